//! Tarsius: output.
