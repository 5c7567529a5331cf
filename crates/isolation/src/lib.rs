//! Tarsius: isolation.
