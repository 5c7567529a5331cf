//! Tarsius: sensor.
