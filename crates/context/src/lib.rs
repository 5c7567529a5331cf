//! Tarsius: context.
