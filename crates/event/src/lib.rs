//! Tarsius: event.
