//! What programs can say: helpers, kernel functions, atomic instructions.

use std::{collections::BTreeMap, io};

use crate::{
    Helper, HookKind, Kfunc, Support, hooks,
    support::{Step, explain},
    sys::{self, Btf, Insn, Program},
};

/// Hooks for whose programs helpers and kernel functions are asked.
pub(crate) const ASKED: &[HookKind] =
    &[HookKind::TpBtf, HookKind::Tracepoint, HookKind::Kprobe, HookKind::Lsm, HookKind::CgroupSkb];

const PLAIN: &[Insn] = &[Insn::set(0, 0), Insn::EXIT];

/// A hook to ask for: a program of its type that loads, or why there is none.
pub(crate) struct Asked {
    hook: HookKind,
    plain: Result<Program<'static>, String>,
}

/// Finds out for which hooks there is something to ask: a type that does not load answers for all its functions.
pub(crate) fn asked(btf: Option<&Btf>) -> Vec<Asked> {
    ASKED
        .iter()
        .map(|&hook| {
            let plain =
                hooks::program(hook, btf, PLAIN).and_then(|program| match sys::load(program, false) {
                    Ok(_) => Ok(program),
                    Err(refused) => Err(explain(Step::Load, &refused.error)),
                });
            Asked { hook, plain }
        })
        .collect()
}

/// Asks for each helper whether programs of each hook may call it.
///
/// Whether the hook itself can be used is another question: a helper may be there for a program type that loads but does
/// not attach.
pub(crate) fn helpers(asked: &[Asked]) -> BTreeMap<Helper, BTreeMap<HookKind, Support>> {
    Helper::ALL
        .iter()
        .map(|&helper| {
            let call = Insn::call(helper.id());
            (helper, asked.iter().map(|asked| (asked.hook, may_call(asked, call))).collect())
        })
        .collect()
}

/// Asks for each kernel function whether programs of each hook may call it.
pub(crate) fn kfuncs(asked: &[Asked], btf: Option<&Btf>) -> BTreeMap<Kfunc, BTreeMap<HookKind, Support>> {
    Kfunc::ALL
        .iter()
        .map(|&kfunc| {
            let id = btf.and_then(|btf| btf.function(kfunc.name()));
            let answers = asked.iter().map(|asked| {
                let support = match id {
                    None => Support::no("not in this kernel's type information"),
                    Some(id) => may_call(asked, Insn::call_kfunc(id)),
                };
                (asked.hook, support)
            });
            (kfunc, answers.collect())
        })
        .collect()
}

/// Loads a program that calls without giving arguments. The verifier mostly refuses it; *why* tells what we ask.
fn may_call(asked: &Asked, call: Insn) -> Support {
    let code = [call, Insn::set(0, 0), Insn::EXIT];
    match &asked.plain {
        Err(why) => Support::no(why.as_str()),
        Ok(plain) => match sys::load(Program { code: &code, ..*plain }, true) {
            Ok(_) => Support::Yes,
            Err(refused) => judge(&refused.error, &refused.log),
        },
    }
}

/// Tells "no such function for this program" from a complaint about the arguments, which comes after that check.
fn judge(error: &io::Error, log: &str) -> Support {
    // Helpers: "invalid func", "unknown func", since 6.13 "program of this type cannot use helper".
    // Kernel functions: "calling kernel function X is not allowed", "program must be sleepable to call sleepable kfunc X".
    // Not any "is not allowed": 7.x says so of a bpf_preempt_disable without its counterpart.
    const NOT_FOR_YOU: [&str; 7] = [
        "invalid func ",
        "unknown func ",
        "program of this type cannot use helper",
        "helper call is not allowed",
        "calling kernel function",
        "must be sleepable",
        "cannot find address for kernel function",
    ];
    if let Some(line) = log.lines().find(|line| NOT_FOR_YOU.iter().any(|phrase| line.contains(phrase))) {
        return Support::no(format!("the verifier says: {}", line.trim()));
    }
    // The verifier took the call and complains about what it was given.
    let complained =
        !log.trim().is_empty() && matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EACCES));
    if complained { Support::Yes } else { Support::no(explain(Step::Load, error)) }
}

/// Compare-and-swap, exchange and fetch-and-add (5.12): what claims a slot.
pub(crate) fn atomics() -> Support {
    const fn store(value_register: u8) -> Insn {
        Insn { code: 0x7b, registers: 10 | (value_register << 4), offset: -8, immediate: 0 }
    }
    const fn atomic(operation: i32) -> Insn {
        Insn { code: 0xdb, registers: 10 | (1 << 4), offset: -8, immediate: operation }
    }
    const FETCH: i32 = 0x01;
    const EXCHANGE: i32 = 0xe0 | FETCH;
    const COMPARE_EXCHANGE: i32 = 0xf0 | FETCH;
    let code = [
        Insn::set(0, 0),
        Insn::set(1, 1),
        store(0),
        atomic(COMPARE_EXCHANGE),
        atomic(FETCH),
        atomic(EXCHANGE),
        Insn::set(0, 0),
        Insn::EXIT,
    ];
    match hooks::program(HookKind::RawTracepoint, None, &code) {
        Err(why) => Support::no(why),
        Ok(program) => Support::from_result(Step::Load, sys::load(program, false)),
    }
}

/// Whether the kernel tells how often it skipped a program because another run of it was unfinished (5.12).
pub(crate) fn skip_counter() -> Support {
    let filled = hooks::program(HookKind::RawTracepoint, None, PLAIN)
        .map_err(Support::no)
        .and_then(|program| {
            sys::load(program, false).map_err(|refused| Support::no(explain(Step::Load, &refused.error)))
        })
        .and_then(|program| {
            sys::program_info(&program)
                .map_err(|error| Support::no(format!("the kernel tells nothing about programs: {error}")))
        });
    match filled {
        Err(no) => no,
        Ok((_, filled)) if filled > std::mem::offset_of!(libbpf_sys::bpf_prog_info, recursion_misses) => {
            Support::Yes
        }
        Ok(_) => Support::no("this kernel's program info ends before recursion_misses"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_reason_decides() {
        let error = io::Error::from_raw_os_error(libc::EINVAL);
        assert!(judge(&error, "0: (85) call bpf_loop#181\nR1 !read_ok\n").yes());
        assert!(!judge(&error, "0: (85) call unknown#181\ninvalid func unknown#181\n").yes());
        assert!(!judge(&error, "program of this type cannot use helper bpf_d_path#147\n").yes());
        assert!(!judge(&error, "calling kernel function bpf_path_d_path is not allowed\n").yes());
        assert!(judge(&error, "Execution Context Safety: Operation is not allowed in this context\n").yes());
        assert!(!judge(&error, "").yes());
        assert!(!judge(&io::Error::from_raw_os_error(libc::EPERM), "0: (85) call bpf_loop#181\n").yes());
    }
}
