//! What policies have done to who acts, beside telling it.
//!
//! The kernel does it where it decides all that a policy asks, before who acted goes on, and marks the record. What it has not done is done
//! here, if that is possible: afterwards.

use catalogue::Quality;
use catalogue::fields::{enforcement_failed, policy_mode_changed};
use context::Done;
use event::build::RecordBuilder;
use event::{Event, Header, Origin};
use policy::{Mode, Wanted};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Does what is wanted and not done yet; `done` gets all that is to be told with the event. Gives records of what could not be done.
pub(crate) fn act(event: &Event<'_>, wanted: &Wanted, done: &mut Vec<Done>) -> Vec<Vec<u8>> {
    done.clear();
    let mut failed = vec![];
    if wanted.alert {
        done.push(Done { action: "alert", by: "user_space" });
    }
    let flags = event.header.flags;
    let actions = [
        ("kill", wanted.enforced.kill, wanted.monitored.kill, flags.killed()),
        ("deny", wanted.enforced.deny, wanted.monitored.deny, flags.denied()),
    ];
    for (action, enforced, monitored, by_kernel) in actions {
        let by = match (enforced, monitored) {
            _ if by_kernel => "kernel",
            (true, _) => {
                let outcome =
                    if action == "kill" { kill(&event.header) } else { Err(not_denied(&event.header)) };
                match outcome {
                    Ok(()) => "user_space",
                    Err(reason) => {
                        let policy = wanted.by.as_deref().unwrap_or_default();
                        failed.push(failure(&event.header, event.definition.name, policy, action, &reason));
                        "failed"
                    }
                }
            }
            (false, true) => "monitor",
            (false, false) => continue,
        };
        done.push(Done { action, by });
    }
    failed
}

/// Kills the process that acted, if it is still the same.
fn kill(who: &Header) -> Result<(), String> {
    let pid = i32::try_from(who.pid).ok().and_then(Pid::from_raw).filter(|_| who.origin != Origin::Unknown);
    let pid = pid.ok_or("it is not known who acted")?;
    // Who would tell the rest?
    if who.pid == std::process::id() {
        return Err("it is Tarsius itself".into());
    }
    if pid.as_raw_nonzero().get() == 1 {
        return Err("it is the first process of this host".into());
    }
    // It would take no notice of a signal, and the kernel says nothing of that.
    if who.flags.kthread() {
        return Err("it is a thread of the kernel".into());
    }
    // From here on the number can not become another's.
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| format!("the process is gone: {e}"))?;
    if !is_running(who) {
        return Err("the process is gone, and its number another's".into());
    }
    pidfd_send_signal(process, Signal::KILL).map_err(|e| format!("the kernel refuses: {e}"))
}

/// Nanoseconds of a tick in which `/proc` counts: 1/100 s, which is part of the kernel's interface (USER_HZ).
const TICK: u64 = 10_000_000;

/// The process is there, and is the same.
pub(crate) fn is_running(who: &Header) -> bool {
    started(who.pid) == Some(who.leader_start_time / TICK)
}

/// When a process started, in ticks of the boot clock: field 22 of its `stat` (proc(5)).
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have anything in it.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn not_denied(who: &Header) -> String {
    match catalogue::program_of(who.lane, who.probe) {
        Some(program) if program.denies() => {
            "the kernel does not decide all that the policy asks; see tarsius policy explain".into()
        }
        Some(program) => {
            format!("on this kernel the event is taken by {}, where nothing can be refused", program.name)
        }
        None => "the event is made in user space, of what has happened already".into(),
    }
}

/// `enforcement_failed`.
pub(crate) fn failure(who: &Header, event: &str, policy: &str, action: &str, reason: &str) -> Vec<u8> {
    let Some(definition) = catalogue::event_by_id(enforcement_failed::EVENT_ID) else { return vec![] };
    let index = |field: usize| u8::try_from(field).unwrap_or(u8::MAX);
    RecordBuilder::new(definition, Header { probe: event::NO_PROBE, ret: None, ..*who })
        .put_str(index(enforcement_failed::POLICY), policy.as_bytes(), Quality::Ok)
        .put_str(index(enforcement_failed::ACTION), action.as_bytes(), Quality::Ok)
        .put_str(index(enforcement_failed::EVENT), event.as_bytes(), Quality::Ok)
        .put_u64(index(enforcement_failed::EVENT_TIME), who.time)
        .put_str(index(enforcement_failed::REASON), reason.as_bytes(), Quality::Ok)
        .finish()
}

/// `policy_mode_changed`.
pub(crate) fn switched(policy: &str, mode: Mode, time: u64) -> Vec<u8> {
    let Some(definition) = catalogue::event_by_id(policy_mode_changed::EVENT_ID) else { return vec![] };
    let index = |field: usize| u8::try_from(field).unwrap_or(u8::MAX);
    RecordBuilder::new(definition, Header::unknown(time))
        .put_str(index(policy_mode_changed::POLICY), policy.as_bytes(), Quality::Ok)
        .put_str(index(policy_mode_changed::MODE), mode.name().as_bytes(), Quality::Ok)
        .finish()
}
