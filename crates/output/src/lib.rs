//! Where events go.
//!
//! A [`Spec`] is one `--output`. [`Outputs`] are the sinks that they name: each formats every event into a buffer of its
//! own, as a line of JSON or of the [`table`], and writes whole lines or none. What a sink could not write is counted,
//! and said once. [`summary()`] is what is shown at the end.
//!
//! Nothing that an event carries reaches a terminal as it is: whatever is not printable is escaped, so that a file's name
//! is only ever text, and an event only ever one line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail"))]

mod error;
mod number;
mod outputs;
mod sink;
mod spec;
pub mod summary;
pub mod table;
#[cfg(test)]
mod testing;
mod writer;

pub use error::Error;
pub use outputs::{Colour, Options, Outputs};
pub use sink::{SinkCounts, State};
pub use spec::{Format, Spec, Target};
pub use summary::{LedgerSummary, LossRow, Summary, summary};
