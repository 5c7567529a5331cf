//! Yes, or no and why.

use std::io;

use serde::Serialize;

use crate::capability;

/// Whether something works here. Found out by doing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It was done, and it worked.
    Yes,
    /// It was tried and did not work, or could not be tried.
    No {
        /// The reason, in words for the person who runs the program.
        why: String,
    },
}

impl Support {
    /// Whether it works.
    pub fn yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    /// Why it does not work.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Yes => None,
            Self::No { why } => Some(why),
        }
    }

    pub(crate) fn no(why: impl Into<String>) -> Self {
        Self::No { why: why.into() }
    }

    pub(crate) fn from_result<T>(step: Step, result: Result<T, impl Into<io::Error>>) -> Self {
        match result {
            Ok(_) => Self::Yes,
            Err(error) => Self::no(explain(step, &error.into())),
        }
    }
}

/// Which act failed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Open(&'static str),
    Load,
    Attach,
    CreateMap,
    Trigger,
}

/// What an error means at a step.
pub(crate) fn explain(step: Step, error: &io::Error) -> String {
    let act = match step {
        Step::Open(what) => format!("can not open {what}"),
        Step::Load => "the program does not load".into(),
        Step::Attach => "the program loads but does not attach".into(),
        Step::CreateMap => "the map can not be created".into(),
        Step::Trigger => "the program attaches but could not be seen running".into(),
    };
    let Some(code) = error.raw_os_error() else {
        return format!("{act}: {error}");
    };
    let (name, meaning) = match (code, step) {
        (libc::EPERM, _) if capability::for_programs() => {
            ("EPERM", "this machine forbids it, though this process holds the capabilities for it")
        }
        (libc::EPERM, _) => {
            ("EPERM", "this process lacks one of CAP_BPF, CAP_PERFMON and, for networking, CAP_NET_ADMIN")
        }
        (libc::EACCES, Step::Load) => ("EACCES", "the verifier refuses it"),
        (libc::EACCES, _) => ("EACCES", "access denied"),
        (libc::EINVAL, _) => ("EINVAL", "this kernel does not know it"),
        (libc::EOPNOTSUPP, _) => ("EOPNOTSUPP", "this kernel or this processor's part of it can not do it"),
        // ENOTSUPP of the kernel, which leaks to user space; it has no name there.
        (524, _) => ("ENOTSUPP", "this kernel or this processor's part of it can not do it"),
        (libc::ENOENT, _) => ("ENOENT", "what it would attach to is not in this kernel"),
        (libc::EBUSY, _) => ("EBUSY", "something else holds the place"),
        (libc::E2BIG, _) => ("E2BIG", "this kernel knows less than was asked, or allows less"),
        (libc::ENOMEM, _) => ("ENOMEM", "no memory"),
        (libc::ENOSYS, _) => ("ENOSYS", "this kernel has no such system call"),
        _ => return format!("{act}: {error}"),
    };
    format!("{act}: {name}: {meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_explained() {
        let why = explain(Step::Load, &io::Error::from_raw_os_error(libc::EPERM));
        assert!(why.starts_with("the program does not load: EPERM: "), "{why}");
        assert!(explain(Step::Attach, &io::Error::from_raw_os_error(524)).contains("ENOTSUPP"));
    }

    #[test]
    fn support_is_plain_in_json() {
        assert_eq!(serde_json::to_string(&Support::Yes).expect("readable"), r#""yes""#);
        assert_eq!(serde_json::to_string(&Support::no("x")).expect("readable"), r#"{"no":{"why":"x"}}"#);
    }
}
