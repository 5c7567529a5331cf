//! Which events, and of whom.
//!
//! [`Selection`] says which events are wanted (`--events`), [`Scope`] whose (`--scope`). Both are parsed once, and give the
//! kernel what it can decide before a record is built: [`Selection::iter`] and [`Scope::kernel`]. User space decides
//! again, and wholly: [`Selection::contains`] and [`Scope::matches`].
//!
//! A policy file will be a name, a scope, and a selection with conditions on fields; several of them hold at once. They
//! are the seams here: neither type knows of the command line beyond its syntax.

mod error;
mod pattern;
mod scope;
mod selection;
mod suggest;

pub use error::Error;
pub use scope::{KernelScope, List, Scope};
pub use selection::{ALIASES, Selection};

/// Whether a text is what a pattern says, in which each `*` stands for anything.
pub fn matches(pattern: &str, text: &[u8]) -> bool {
    pattern::Pattern::new(pattern).matches(text)
}
