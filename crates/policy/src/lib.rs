//! Tarsius: policy.
