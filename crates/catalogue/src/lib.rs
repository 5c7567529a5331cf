//! Tarsius: catalogue.
