//! Detectors: what an attack looks like in events.
//!
//! A detector is data, in a file of Tracee's form (`type: detector`): which events it looks at, conditions on them in the language of
//! the crate `expr`, what that means (`threat`), and what is told of it (`output`). What it finds is an event of its own, and others may
//! look at that. [`load`] reads files, [`shipped`] gives the detectors that come with Tarsius; [`Detectors`] are those in force, and look
//! at every event.
//!
//! Beyond Tracee's: a filter or condition can ask for all that conditions of policies can; and a detector may want several events
//! that are alike in something (`by`), within a time (`window`):
//!
//! - `threshold`: so many (`count`), or so many different values of something (`distinct`);
//! - `sequence`: all events of `requirements`, in their order;
//! - `together`: the same, in any order;
//! - `absence`: the first event of `requirements`, and none of the others after it.
//!
//! Or it wants one that is unusual: a value that was seldom there before, or never, of those who are known for a while (`unusual`).
//!
//! It says how far it can be relied on (`maturity`: one of `sandbox` or `deprecated` looks only where it is named), and may bring events by which
//! it is tested (`tests`).

mod absence;
mod baseline;
mod correlation;
mod detector;
mod engine;
mod file;
mod input;
mod sigma;

#[cfg(test)]
mod tests;

pub use baseline::{Baseline, Baselines};
pub use correlation::{Before, Comparison, Correlation, Measure};
pub use detector::{Case, Detector, Look, Maturity, Of, Produced};
pub use engine::{Counts, Detectors, Found};
pub use file::{Library, load, parse, shipped};
pub use input::{In, Input};
pub use sigma::{Idle, SIGMA};
