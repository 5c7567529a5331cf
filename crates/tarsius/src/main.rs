//! Tarsius: tarsius.
fn main() {}
