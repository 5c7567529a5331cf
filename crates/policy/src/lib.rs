//! Which events, and of whom.
//!
//! [`Selection`] says which events are wanted (`--events`), [`Scope`] whose (`--scope`). Both are parsed once, and give the
//! kernel what it can decide before a record is built: [`Selection::iter`] and [`Scope::kernel`]. User space decides
//! again, and wholly: [`Selection::contains`] and [`Scope::matches`].
//!
//! A policy file will be a name, a scope, and a selection with conditions on fields; several of them hold at once. They
//! are the seams here: neither type knows of the command line beyond its syntax.

mod error;
mod fields;
mod pattern;
mod scope;
mod selection;

pub use error::Error;
pub use fields::{ABOUT, About, Facts, Fields, Part, Slot};
pub use scope::{KernelScope, List, Scope};
pub use selection::{ALIASES, Selection};
