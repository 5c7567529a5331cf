//! The isolation proof.
//!
//! [`check`] reads a compiled BPF object and names every program that breaks a rule of ARCHITECTURE.md, "Lanes". It
//! reads the object itself, not the source: what clang inlined, moved or dropped is seen as it is.
//!
//! # What is proven
//!
//! For an object without a [`Violation`], which the kernel's verifier accepts:
//!
//! - each program is declared, and refers, itself or through subprograms, callbacks and the initial values of maps, to
//!   maps of its own lane, configuration that programs can not write, `scope_tree`, and read-only data. A reference that
//!   can not be followed is a violation ([`Rule::NotFollowed`]), so none is overlooked;
//! - no map that the object defines, nor the template of maps in a map, is per-CPU;
//! - a program not marked `writes_scope` does not write `scope_tree`: neither by a helper nor by a store through the
//!   pointer that a lookup gave, on any path;
//! - slots are plain arrays, reached only by programs that declare the need, and never in a hook of context *any*.
//!
//! # What is not
//!
//! - Maps that user space puts into a map of maps, and programs that it puts into a program array. A program reached by
//!   a tail call is judged by its own declaration. The sensor must fill each from the lane that its name says.
//! - What user space changes before loading (libbpf can set a map's type and flags).
//! - That a hook's context is as declared, that a slot is claimed before it is used, that a `writes_scope` program
//!   writes whole words: the catalogue and the tests of the sensor answer for these.
//! - Per-CPU memory from the kernel's own functions (`bpf_percpu_obj_new`).

mod btf;
mod declare;
mod error;
mod image;
mod insn;
mod live;
mod reach;
mod rules;
mod scope;
mod violation;

pub use declare::{Context, Lane, Program};
pub use error::Error;
pub use violation::{Report, Rule, ScopeWrite, Violation};

/// Judges a compiled BPF object. `declared` is every program that should be in it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let object = b"";
/// use isolation::{Context, Lane, Program};
///
/// let exec = Program {
///     name: "exec",
///     lane: Lane::Life,
///     contexts: &[Context::Task],
///     needs_slot: true,
///     writes_scope: false,
/// };
/// match isolation::check(object, &[exec]) {
///     Ok(report) => assert!(report.is_clean(), "{report}"),
///     Err(error) => eprintln!("no verdict: {error}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the object can not be read, so that there is no verdict. A caller must treat this like a violation.
pub fn check(object: &[u8], declared: &[Program<'_>]) -> Result<Report, Error> {
    Ok(rules::judge(&image::Image::parse(object)?, declared))
}
