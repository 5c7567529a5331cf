//! Which events, and of whom.
//!
//! [`Selection`] says which events are wanted (`--events`), [`Scope`] whose (`--scope`). Both are parsed once, and give the
//! kernel what it can decide before a record is built: [`Selection::iter`] and [`Policies::alternatives`]. User space decides
//! again, and wholly: [`Selection::contains`] and [`Scope::matches`].
//!
//! A [`Policy`] is a scope and rules: events, with conditions on their fields and on who did it ([`Fields`], in the language
//! of the crate `expr`). [`load`] reads them from files; [`Policies`] are those in force, and judge every event.

mod error;
mod fields;
mod file;
mod filter;
mod made;
mod pattern;
mod raw;
mod recorded;
mod replay;
mod schema;
mod scope;
mod selection;
mod set;
mod sieve;
mod stores;

pub use crate::sieve::alternatives;
pub use error::Error;
pub use fields::{ABOUT, About, Evidence, Facts, Fields, Part, Slot};
pub use file::{
    Action, Asked, Dedupe, FileError, Limit, Mode, Place, Policy, Rule, Source, file_names, files, load,
    parse, read_text, seconds,
};
pub use filter::{in_scope, together, translate as filter};
pub use made::made;
pub use recorded::{Line, LineError, Recorded, Seen, Unread, recorded};
pub use replay::{Expectations, Expected, Outcome, replay};
pub use schema::schema;
pub use scope::{Scope, Trees};
pub use selection::{ALIASES, Selection};
pub use set::{Cause, Matched, Policies, Suppressed, Wanted, Whose};
pub use stores::{STORES, Store};

/// The events that a name stands for: one, those that are like it, or those of a tag.
///
/// # Errors
///
/// There is none.
pub fn find_events(name: &str) -> Result<Vec<&'static catalogue::Event>, Error> {
    selection::find(name, false)
}

/// Whether a text is what a pattern says, in which each `*` stands for anything.
pub fn matches(pattern: &str, text: &[u8]) -> bool {
    pattern::Pattern::new(pattern).matches(text)
}
