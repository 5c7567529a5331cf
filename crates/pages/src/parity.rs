//! What Tracee has, and what has it here.

use std::fmt::Write as _;

use anyhow::Context as _;
use catalogue::Event;

use crate::seen::Seen;

const TRACEE: &str = include_str!("../tracee.tsv");

/// The page.
pub(crate) fn page(seen: &Seen) -> anyhow::Result<String> {
    let mut rows = String::new();
    let (mut all, mut had, mut whole) = (0, 0, 0);
    for line in TRACEE.lines().filter(|l| !l.starts_with('#') && !l.starts_with("name\t")) {
        let [name, fields, note] = line.split('\t').collect::<Vec<_>>()[..] else {
            anyhow::bail!("tracee.tsv: three columns expected: {line}");
        };
        all += 1;
        let Some(event) = catalogue::event(name) else {
            let ours = if name.starts_with("sys_e") {
                "each system call's own event; the name selects them all"
            } else {
                "–"
            };
            if ours != "–" {
                had += 1;
                whole += 1;
            }
            let _ = writeln!(rows, "| `{name}` | {ours} | | | {note} |");
            continue;
        };
        had += 1;
        let missing: Vec<&str> = fields
            .split(',')
            .filter(|f| !f.is_empty() && !event.fields.iter().any(|own| own.name == *f))
            .collect();
        let mut notes = vec![];
        if missing.is_empty() {
            whole += 1;
        } else if event.name == name {
            notes.push(format!("without {}", missing.join(", ")));
        }
        if event.name != name {
            notes.push("the old name selects it".into());
        }
        if !note.is_empty() {
            notes.push(note.to_string());
        }
        let _ = writeln!(
            rows,
            "| `{name}` | [{0}](events/{0}.md) | {1} | {2} | {3} |",
            event.name,
            tiers(event),
            tested(event, seen),
            notes.join("; ")
        );
    }
    let calls = catalogue::CALLS.len();
    let mut o = String::from(
        "<!-- written by ./x pages: change the catalogue, not this page -->\n\n# Tracee's events, and ours\n\n",
    );
    writeln!(
        o,
        "Of Tracee's {all} public events that are no system calls, {had} are here, {whole} of them with all of Tracee's fields (`returnValue` stands in \
         every event that has one). All of its system calls are, by their names and by those of the 32-bit table, and those that it lacks \
         (449 and up): [{calls} in all](events/syscalls.md).\n\n| Tracee | here | ways to take it | seen right | |\n|---|---|---|---|---|\n{rows}"
    )
    .context("writing the page")?;
    Ok(o)
}

fn tiers(event: &Event) -> String {
    event.tiers.iter().map(|t| t.name).collect::<Vec<_>>().join(", ")
}

fn tested(event: &Event, seen: &Seen) -> String {
    let passed = seen.passed(event.name);
    if let Some(one) = seen.of(event.name).find(|o| o.result.starts_with("skip: caused by")) {
        return one.result.trim_start_matches("skip: caused by the ").into();
    }
    if passed.is_empty() {
        return "not yet".into();
    }
    passed
        .iter()
        .map(|(tier, kernels)| format!("{tier}: {}", kernels.join(", ")))
        .collect::<Vec<_>>()
        .join("; ")
}
