//! Why an object could not be judged.

/// The object could not be read, so nothing can be said of it. Never a verdict: a broken rule is a
/// [`Violation`](crate::Violation).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an ELF file that can be read.
    #[error("the BPF object is not a readable ELF file")]
    Elf(#[from] object::read::Error),
    /// An ELF file, for another machine.
    #[error("the object is not little-endian eBPF")]
    NotBpf,
    /// The type information, from which map definitions are read, is absent or broken.
    #[error("cannot read the object's .BTF: {0} (compile with -g)")]
    Btf(&'static str),
    /// A map whose definition can not be read from the type information.
    #[error("cannot read the definition of map `{map}`: {why}")]
    Map {
        /// The map.
        map: String,
        /// What is amiss.
        why: &'static str,
    },
    /// A function whose code can not be read.
    #[error("cannot read the code of function `{function}`: {why}")]
    Function {
        /// The function.
        function: String,
        /// What is amiss.
        why: &'static str,
    },
}
