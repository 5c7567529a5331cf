//! What can go wrong with the kernel side.

/// An error of the sensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The built-in BPF object is not as expected.
    #[error("the built-in BPF object is damaged: {0}")]
    Object(String),
    /// The kernel has no type information.
    #[error(
        "this kernel has no type information: {why}; a kernel with CONFIG_DEBUG_INFO_BTF (5.4 or later) is needed"
    )]
    NoBtf {
        /// What was tried.
        why: String,
    },
    /// The process may not load BPF programs.
    #[error("not allowed to load BPF programs: missing {missing}; run as root, or with these capabilities")]
    Forbidden {
        /// The missing capabilities.
        missing: String,
    },
    /// Slots could not be claimed safely.
    #[error(
        "this kernel lets tasks preempt BPF programs ({model}) and lacks what makes that safe \
         (compare-and-swap, bpf_loop, bpf_task_pt_regs): events could come out torn; use Linux 5.17 or later, or one without preemption"
    )]
    Unsafe {
        /// The preemption model, as the kernel names it.
        model: &'static str,
    },
    /// No event asked for can be taken here.
    #[error("none of the events asked for can be taken on this kernel; `tarsius doctor` says why")]
    Nothing,
    /// libbpf or the kernel refused something.
    #[error("{what}: {source}")]
    Bpf {
        /// What was being done.
        what: String,
        /// What the library says.
        source: libbpf_rs::Error,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// What the kernel says.
        source: rustix::io::Errno,
    },
    /// The machine could not be read.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The object could not be loaded although each program that the kernel refused was left out.
    #[error("the kernel refuses the BPF programs: {0}")]
    Refused(String),
    /// What runs can not be changed so.
    #[error("{what}: that is done at start only")]
    Fixed {
        /// What stands in the way.
        what: String,
    },
    /// A file of the kernel could not be opened.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn bpf(what: impl Into<String>) -> impl FnOnce(libbpf_rs::Error) -> Self {
        let what = what.into();
        move |source| Error::Bpf { what, source }
    }

    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let what = what.into();
        move |source| Error::System { what, source }
    }
}
