//! The page of all system calls.

use std::fmt::Write as _;

use catalogue::{CALLS, EVENTS};

use crate::seen::Seen;

/// The page.
pub(crate) fn page(seen: &Seen) -> String {
    let mut o = String::from(
        "<!-- written by ./x pages: change families/syscall, not this page -->\n\n# System calls\n\n\
         Each is an event of its name, with the arguments as fields, `duration` (nanoseconds from entry to exit) and `returnValue`. What the kernel \
         reads of the caller's memory is read at the entry, what it writes at the exit; a `>` stands before the latter. A call by the 32-bit gate is the \
         same event, with `compat` true; its other names there select it too. Calls that do not return are told at their entry.\n\n\
         Only what is selected costs anything: for any other call, the dispatcher looks once at a table.\n\n",
    );
    for (tier, kernels) in seen.passed("syscalls") {
        let _ = writeln!(
            o,
            "Every call of the {tier} table was made, and told with what was passed and returned, under {}.\n",
            kernels.join(", ")
        );
    }
    let _ = writeln!(o, "| event | number | 32-bit | arguments | also called |\n|---|---|---|---|---|");
    for call in CALLS {
        let Some(event) = EVENTS.get(call.event) else { continue };
        let numbers = call.names.iter().filter_map(|name| catalogue::syscall(name));
        let native: Vec<String> = numbers.clone().filter_map(|s| s.native).map(|n| n.to_string()).collect();
        let compat: Vec<String> = numbers.filter_map(|s| s.compat).map(|n| n.to_string()).collect();
        let arguments: Vec<String> = call
            .arguments
            .iter()
            .zip(event.fields)
            .map(|(a, f)| format!("{}`{}`", if a.written { ">" } else { "" }, f.name))
            .collect();
        let _ = writeln!(
            o,
            "| {} | {} | {} | {} | {} |",
            event.name,
            native.join(", "),
            compat.join(", "),
            arguments.join(", "),
            event.aliases.join(", ")
        );
    }
    o
}
