//! Tarsius: bench.
fn main() {}
