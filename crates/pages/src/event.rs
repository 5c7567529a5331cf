//! The page of an event, and the list of all pages.

use std::fmt::Write as _;

use catalogue::{EVENTS, Event, Hook, Program};
use detect::{Detector, Of};

use crate::seen::Seen;

const GENERATED: &str = "<!-- written by ./x pages: change the catalogue, not this page -->\n\n";

/// A name of serde's, for people.
fn name_of(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default()
}

/// What is chosen, and by which field.
fn chosen<T>(event: &Event, choice: &catalogue::Choice<T>) -> String {
    format!("{} by {}", choice.name, event.fields.get(choice.by).map_or("", |f| f.name))
}

/// The detectors that look at an event, by number.
fn users(event: &Event, detectors: &[Detector]) -> String {
    let looks = |d: &&Detector| d.looks.iter().any(|l| matches!(l.of, Of::Event(e) if e.id == event.id));
    let mut users: Vec<String> =
        detectors.iter().filter(looks).map(|d| format!("{} `{}`", d.id, d.produced.name)).collect();
    users.sort();
    if users.is_empty() { "none".into() } else { users.join(", ") }
}

/// The page.
pub(crate) fn page(event: &Event, seen: &Seen, detectors: &[Detector]) -> String {
    let mut o = String::from(GENERATED);
    let _ = writeln!(o, "# {}\n\n{}\n", event.name, event.doc);
    let _ = writeln!(o, "- family `{}`, {} lane, number {}", event.family, event.lane.name(), event.id);
    let _ = writeln!(o, "- tags: {}", list(event.tags));
    if !event.aliases.is_empty() {
        let _ = writeln!(o, "- also called: {}", list(event.aliases));
    }
    let _ = writeln!(o, "- cost: {}", cost(event));
    let _ = writeln!(o, "- detectors that look at it: {}\n\n## Fields\n", users(event, detectors));
    if event.fields.is_empty() {
        let _ = writeln!(o, "None.");
    } else {
        let _ = writeln!(o, "| field | type | shown as | meaning |\n|---|---|---|---|");
    }
    for field in event.fields {
        let shown = [
            field.format.map(|f| name_of(&f)),
            field.formats.map(|c| chosen(event, c)),
            field.layout.map(|l| l.name.to_string()),
            field.layouts.map(|c| chosen(event, c)),
        ];
        let shown = shown.into_iter().flatten().next();
        let ask = field.on_request.map_or(String::new(), |w| format!(" (with `--enrichment {w}`)"));
        let _ = writeln!(
            o,
            "| `{}` | {} | {} | {}{ask} |",
            field.name,
            name_of(&field.ty),
            shown.unwrap_or_default(),
            field.doc.replace('|', "\\|")
        );
    }
    let _ =
        writeln!(o, "\n## How it is taken\n\nBy the first of these that the kernel has and does not skip:\n");
    let passed = seen.passed(event.name);
    for (n, tier) in event.tiers.iter().enumerate() {
        let _ = writeln!(o, "{}. **{}** sees {}", n + 1, tier.name, tier.sees);
        if !tier.misses.is_empty() {
            let _ = writeln!(o, "   - misses {}", tier.misses);
        }
        for program in tier.programs.iter().map(|p| p.get()) {
            let _ = writeln!(o, "   - `{}` on {}", program.name, hook(program));
        }
        if let Some(kernels) = passed.get(tier.name) {
            let _ = writeln!(o, "   - seen right under {}", kernels.join(", "));
        }
    }
    let elsewhere = seen.of(event.name).find(|o| o.result.starts_with("skip: caused by"));
    if let Some(one) = elsewhere {
        let _ = writeln!(o, "\nTested by itself: {}.", one.result.trim_start_matches("skip: "));
    }
    if let Some(line) = seen.of(event.name).find_map(|o| o.line.as_ref()) {
        let pretty = serde_json::to_string_pretty(line).unwrap_or_default();
        let _ = writeln!(
            o,
            "\n## Example\n\nAs the conformance test saw it, without what tells of the machine:\n\n```json\n{pretty}\n```"
        );
    }
    o
}

fn list(names: &[&str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn hook(program: &Program) -> String {
    if program.syscalls.is_empty() {
        format!("`{}`", program.hook)
    } else {
        format!("`{}` of {}", program.hook, list(program.syscalls))
    }
}

/// How often its programs run, which is what an event costs.
fn cost(event: &Event) -> String {
    let programs = || event.tiers.iter().flat_map(|t| t.programs).map(|p| p.get());
    if programs().next().is_none() {
        return "nothing in the kernel".into();
    }
    if event.name == "sched_switch" {
        return "very high: for every switch of tasks".into();
    }
    if programs().any(|p| matches!(p.hook, Hook::Cgroup(h) if h.starts_with("cgroup_skb"))) {
        return "high: for every packet of every socket".into();
    }
    if programs().any(|p| p.hook == Hook::SysEnter && p.syscalls.len() > 30) {
        return "high: for every one of the system calls below".into();
    }
    "low: for every such act, or call that may be one".into()
}

/// The list of pages.
pub(crate) fn index() -> String {
    let calls = EVENTS.iter().filter(|e| e.family == "syscall").count();
    let mut o = String::from(GENERATED);
    let _ = writeln!(
        o,
        "# Events\n\n{} events: {} below, and [{calls} system calls](syscalls.md). `tarsius events NAME` says the same on a terminal.\n\n| event | family | lane | what happened |\n|---|---|---|---|",
        EVENTS.len(),
        EVENTS.len() - calls
    );
    for event in EVENTS.iter().filter(|e| e.family != "syscall") {
        let first = event.doc.split_inclusive(['.', ':']).next().unwrap_or(event.doc);
        let _ = writeln!(
            o,
            "| [{0}]({0}.md) | {1} | {2} | {3} |",
            event.name,
            event.family,
            event.lane.name(),
            first.trim_end_matches([':', '.']).replace('|', "\\|")
        );
    }
    o
}
