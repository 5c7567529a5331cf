//! `tarsius policy`: policies looked at without watching.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ::control::{Client, Request, Row};
use anyhow::Context as _;
use catalogue::Lane;
use context::Context;
use kernel::Features;
use policy::{Action, Asked, Expectations, Expected, Outcome, Policies, Scope};
use sensor::Planner;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sieve::{Column, Kind, Sieve};

use crate::cli::{PolicyCommand, PolicyPaths};
use crate::detectors::library;
use crate::keep;
use crate::policies::read;
use crate::scope;

/// Does what was asked.
pub(crate) fn run(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check(paths) => check(paths),
        PolicyCommand::Explain(paths) => explain(paths),
        PolicyCommand::Test { file } => test(file),
        PolicyCommand::Reload { control } => reload(control),
        PolicyCommand::Mode { policy, mode, control } => switch(policy, mode, control),
        PolicyCommand::Fields { event } => fields(event.as_deref()),
        PolicyCommand::Schema => {
            writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&policy::schema())?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(paths: &PolicyPaths) -> anyhow::Result<ExitCode> {
    let policies = read(&paths.paths, &library(&[], &[])?)?;
    let rules: usize = policies.iter().map(|p| p.rules.len()).sum();
    let mut out = std::io::stdout().lock();
    let events = Policies::new(policies.clone()).selection().iter().filter(|e| !e.always).count();
    let findings: usize = policies.iter().map(|p| p.detectors.len()).sum();
    let findings = match findings {
        0 => String::new(),
        n => format!(", {n} of findings"),
    };
    writeln!(
        out,
        "{} policies, {rules} rules{findings}, {events} kinds of events: all well",
        policies.len()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Has the running watch read its policies again.
fn reload(socket: &Path) -> anyhow::Result<ExitCode> {
    let mut rows: Vec<Row> = vec![];
    Client::connect(socket)?.ask(&Request::Reload, |row| rows.push(row))?;
    let row = rows.first().context("the watch has answered nothing")?;
    let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
    let names = row.get("policies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    let changed = if row.get("changed") == Some(&Value::Bool(true)) { "new" } else { "as they were" };
    let mut out = std::io::stdout().lock();
    writeln!(out, "the policies are {changed}: {} (hash {})", names.join(", "), text("hash"))?;
    Ok(ExitCode::SUCCESS)
}

/// Has the running watch switch a policy's mode.
fn switch(policy: &str, mode: &str, socket: &Path) -> anyhow::Result<ExitCode> {
    let request = Request::Mode { policy: policy.into(), mode: mode.into() };
    let mut rows: Vec<Row> = vec![];
    Client::connect(socket)?.ask(&request, |row| rows.push(row))?;
    let row = rows.first().context("the watch has answered nothing")?;
    let already = if row.get("changed") == Some(&Value::Bool(true)) { "" } else { " already" };
    writeln!(std::io::stdout(), "policy {policy} is in {mode} mode{already}")?;
    Ok(ExitCode::SUCCESS)
}

/// Who decides what.
fn explain(paths: &PolicyPaths) -> anyhow::Result<ExitCode> {
    let policies = read(&paths.paths, &library(&[], &[])?)?;
    let all = Policies::new(policies.clone());
    let selection = all.selection();
    let features = Features::probe();
    let plan = Planner::new(&features).plan(|e: &catalogue::Event| selection.contains(e.id));
    // Of all of them together: what one rule can not say, the kernel can not ask of any.
    let context = Context::new().context("who runs here can not be told")?;
    let sieve = |event: &catalogue::Event| Sieve::new(all.alternatives(event, &context));
    let mut out = std::io::stdout().lock();
    for policy in &policies {
        writeln!(out, "policy {} ({})", policy.name, policy.place)?;
        for token in &policy.scope_text {
            writeln!(out, "  scope {token}\n      {}", of_scope(policies.len(), token, &policy.scope))?;
        }
        for rule in &policy.rules {
            for (event, _) in &rule.events {
                writeln!(out, "  event {}\n      {}", event.name, of_event(event, &plan))?;
            }
            let events = || rule.events.iter().map(|(event, _)| *event);
            for condition in &rule.conditions {
                writeln!(out, "    condition {condition}")?;
                // Events that are told the same stand together.
                let mut told: Vec<(String, Vec<&str>)> = vec![];
                for event in events() {
                    let text = of_condition(event, condition, sieve(event).as_ref());
                    match told.iter_mut().find(|(known, _)| *known == text) {
                        Some((_, events)) => events.push(event.name),
                        None => told.push((text, vec![event.name])),
                    }
                }
                for (text, names) in &told {
                    let of = if told.len() > 1 { format!("{}: ", names.join(", ")) } else { String::new() };
                    writeln!(out, "      {of}{text}")?;
                }
            }
            // What is more than telling it.
            let does = [Action::Capture, Action::Kill, Action::Deny];
            for action in does.into_iter().filter(|a| rule.actions.contains(a)) {
                for (event, condition) in &rule.events {
                    let ways = policy::alternatives(event, condition.as_deref(), |slot| Some(*slot));
                    let decided = policy.scope.sieve(None).1 && ways.1;
                    let mut text = of_action(action, event, decided, &plan);
                    // Who does not meet the scope may be followed, or only seem so to the kernel.
                    if policy.scope.follows() && text.starts_with("kernel") {
                        text += "; of who is followed user space does it, afterwards, and can refuse nothing";
                    }
                    writeln!(
                        out,
                        "    {} on {} ({} mode)\n      {text}",
                        action.name(),
                        event.name,
                        policy.mode.name()
                    )?;
                }
            }
            if let Some(limit) = rule.limit {
                writeln!(out, "    at most {} in {:?}\n      user space", limit.events, limit.per)?;
            }
            if let Some(dedupe) = &rule.dedupe {
                writeln!(out, "    once in {:?}\n      user space", dedupe.window)?;
            }
        }
        for finding in &policy.detectors {
            writeln!(
                out,
                "  finding {finding}\n      user space: `tarsius detectors {finding}` tells what it looks at"
            )?;
        }
    }
    writeln!(out, "What the kernel decides, user space checks again.")?;
    Ok(ExitCode::SUCCESS)
}

/// Whether an event is taken, and by what.
fn of_event(event: &catalogue::Event, plan: &sensor::Plan) -> String {
    let missing = plan.missing().find(|c| c.event == event.name);
    if let Some(choice) = missing {
        let why: Vec<String> = choice.refused.iter().map(|r| format!("{}: {}", r.tier, r.why)).collect();
        return format!("not on this kernel: {}", why.join("; "));
    }
    match event.tags.contains(&"syscalls") {
        true => "kernel: by its number, in the map cfg_calls; other calls cost one look at it".into(),
        false => "kernel: its programs are loaded, as it is wanted".into(),
    }
}

/// Who decides a part of a scope.
fn of_scope(policies: usize, token: &str, scope: &Scope) -> String {
    let key = token.split(['=', '!', '<', '>']).next().unwrap_or_default();
    if key == "tree" && (policies == 1 || !scope.follows()) {
        return "kernel: before a record is built, by the map scope_tree, on every kernel".into();
    }
    if key == "follow" {
        return "kernel in part, then user space: before a record is built, by the map scope_tree, on every kernel; from when a process executes \
                something or makes another"
            .into();
    }
    if key.ends_with("container") {
        return "kernel in part, then user space: before a record is built, by the cgroups that are known then (map cfg_short_prefixes), on every \
                kernel"
            .into();
    }
    let part = Scope::parse(&[token]).unwrap_or_default();
    let (way, whole) = part.sieve(None);
    let columns: Vec<Column> = way.columns().map(|(column, _)| *column).collect();
    let when = match columns.iter().all(Column::is_early_only) {
        true => "before a record is built",
        false => "before a record is built, or once a field was asked that fewer events pass",
    };
    of_columns(None, &columns, when, whole && !scope.follows())
}

/// Who decides a condition on an event.
fn of_condition(event: &'static catalogue::Event, condition: &Asked, sieve: Option<&Sieve>) -> String {
    if scope::is_always_whole(event) {
        return "user space: every one is taken, as by these it is known who everyone is".into();
    }
    if event.tiers.iter().all(|tier| tier.programs.is_empty()) || event.name.starts_with("net_packet_") {
        return "user space: it makes the event".into();
    }
    let (mut columns, whole) = condition.looks_at(event);
    let could = columns.len();
    let place = |column: &Column| sieve.and_then(|s| s.columns().iter().position(|t| t.column == *column));
    columns.retain(|column| place(column).is_some());
    if columns.is_empty() && could > 0 {
        return match sieve {
            Some(_) => "user space: the kernel asks first what leaves out more, and then no more".into(),
            None => "user space: another rule wants of this event what the kernel can not tell, so all of it is taken".into(),
        };
    }
    let is_argument = |column: &Column| {
        matches!(column, Column::Field { field, kind, at: 0, .. }
            if event.tags.contains(&"syscalls")
                && !kind.is_long()
                && event.fields.get(usize::from(*field)).is_some_and(|f| f.name != "returnValue"))
    };
    let early = |column: &Column| {
        is_argument(column) || place(column).is_some_and(|at| at < sieve.map_or(0, Sieve::early))
    };
    let when = match columns.iter().all(early) {
        true if columns.iter().any(is_argument) => {
            "before a record is built (before Linux 5.17: by its bytes, before it is sent)"
        }
        true => "before a record is built",
        false => "by the record's bytes, before it is sent",
    };
    of_columns(Some(event), &columns, when, whole && columns.len() == could)
}

/// What the kernel looks at, when, and by which map.
fn of_columns(event: Option<&catalogue::Event>, columns: &[Column], when: &str, whole: bool) -> String {
    if columns.is_empty() {
        return "user space".into();
    }
    let name = |column: &Column| match column {
        Column::Head(head) => head.name().to_owned(),
        Column::Tree(_) => "its tree".into(),
        Column::Followed(_) => "who follows it".into(),
        Column::Executable(kind) => {
            let end = if *kind == Kind::End { " from its end" } else { "" };
            format!("executable{end}, known a moment after the execution")
        }
        Column::Field { field, kind, .. } => {
            let field = event.and_then(|e| e.fields.get(usize::from(*field))).map_or("", |f| f.name);
            let part = match kind {
                Kind::Start => " from its beginning",
                Kind::End => " from its end",
                Kind::UnixStart => " by its path, from the beginning",
                Kind::UnixEnd => " by its path, from the end",
                Kind::Address => " by its address",
                Kind::Port => " by its port",
                _ => "",
            };
            format!("{field}{part}")
        }
    };
    let mut maps: Vec<&str> = columns
        .iter()
        .map(|c| match (c, c.kind()) {
            (Column::Executable(_), _) => "cfg_executables",
            (_, kind) if kind.is_long() => "cfg_long_prefixes",
            _ => "cfg_short_prefixes",
        })
        .collect();
    maps.sort_unstable();
    maps.dedup();
    let names: Vec<String> = columns.iter().map(name).collect();
    let who = if whole { "kernel" } else { "kernel in part, then user space" };
    format!("{who}: {when}, by {} (map {}), on every kernel", names.join(", "), maps.join(", "))
}

/// What is done to who acts, and when.
fn of_action(action: Action, event: &catalogue::Event, decided: bool, plan: &sensor::Plan) -> String {
    let tier = plan.choices.iter().find(|c| c.event == event.name).and_then(|c| c.tier);
    let programs = || tier.iter().flat_map(|tier| tier.programs).map(|p| p.get());
    // Beside them may stand others, for what these do not see.
    let refuses = programs().any(|program| program.denies());
    let acts =
        programs().next().is_some() && event.lane != Lane::Net && !event.name.starts_with("net_packet_");
    match (action, decided) {
        (Action::Capture, _) if !keep::is_about_file(event) => {
            "not done: the event is about no file; enforcement_failed tells each".into()
        }
        (Action::Capture, _) => "user space: after the act, the file as it is by then (file_captured)".into(),
        (Action::Deny, true) if refuses => "kernel: the act is refused with EPERM".into(),
        (Action::Deny, false) if refuses => {
            "not done: the kernel does not decide all that is asked; enforcement_failed tells each".into()
        }
        (Action::Deny, _) => {
            "not done: on this kernel the hook can refuse nothing; enforcement_failed tells each".into()
        }
        (_, true) if acts && refuses => "kernel: as the act happens; the process does not go on".into(),
        (_, true) if acts => "kernel: after the act, before the process goes on".into(),
        _ => "user space: after the act, as soon as it is told; the process may have gone on".into(),
    }
}

fn test(file: &Path) -> anyhow::Result<ExitCode> {
    let expected: Expectations = expectations(file)?;
    let paths: Vec<PathBuf> = expected.policies.iter().map(|path| beside(file, path)).collect();
    let policies = read(&paths, &library(&[], &[])?)?;
    let events = beside(file, &expected.events);
    let lines = File::open(&events).with_context(|| events.display().to_string())?;
    let outcomes = policy::replay(&policies, &events, BufReader::new(lines))?;
    report("policy", &outcomes, &expected.expect)
}

/// What a file of expectations says.
///
/// # Errors
///
/// It can not be read; or what is wrong with it, and where.
pub(crate) fn expectations<T: DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_saphyr::from_str(&text).map_err(|e| {
        let (line, column) = e.location().map_or((1, 1), |l| (l.line(), l.column()));
        anyhow::anyhow!("{}:{line}:{column}: {}", file.display(), e.without_snippet())
    })
}

/// A path that stands in a file, and means what is beside that.
pub(crate) fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

/// Says of each policy, or detector, whether it is as expected; what is not named is to match nothing.
pub(crate) fn report(
    what: &str,
    outcomes: &BTreeMap<Arc<str>, Outcome>,
    expected: &BTreeMap<String, Expected>,
) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut failed = 0;
    for name in expected.keys().filter(|name| !outcomes.contains_key(name.as_str())) {
        failed += 1;
        writeln!(out, "FAIL {name}: there is no such {what}")?;
    }
    for (name, outcome) in outcomes {
        let wanted = expected.get(&**name).cloned().unwrap_or(Expected::Count(0));
        let well = match &wanted {
            Expected::Lines(lines) => *lines == outcome.matched,
            Expected::Count(count) => *count == outcome.matched.len(),
        };
        let undecided = match outcome.undecided.as_slice() {
            [] => String::new(),
            lines => format!("; undecided, as what it asks is not recorded: {lines:?}"),
        };
        if well {
            writeln!(out, "ok   {name}: {} lines{undecided}", outcome.matched.len())?;
        } else {
            failed += 1;
            let wanted = match wanted {
                Expected::Lines(lines) => format!("lines {lines:?}"),
                Expected::Count(count) => format!("{count} lines"),
            };
            writeln!(out, "FAIL {name}: wanted {wanted}, matched {:?}{undecided}", outcome.matched)?;
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What conditions can ask.
fn fields(event: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for (_, names, ty, doc) in policy::ABOUT {
        writeln!(out, "{}\n    {}: {}", names.join(", "), ty.name(), doc.trim())?;
    }
    for (_, path, key, ty, doc) in policy::STORES {
        let (name, member) =
            path.split_once('.').map_or((*path, String::new()), |(n, m)| (n, format!(".{m}")));
        writeln!(out, "{name}(KEY){member}\n    {}, by {}: {}", ty.name(), key.name(), doc.trim())?;
    }
    if let Some(name) = event {
        let event = catalogue::event(name).with_context(|| format!("unknown event '{name}'"))?;
        for field in event.fields {
            let ty = policy::Fields { event }.type_of(field.name);
            writeln!(out, "data.{}\n    {}: {}", field.name, ty.map_or("", expr::Type::name), field.doc)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
