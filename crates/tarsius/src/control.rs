//! What a watch answers at its control socket.

use ::control::{Answer, Request, Row, What};
use context::{Clock, Container, Context, Owner, Process};
use detect::Detectors;
use event::json::Who as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ps;

/// Answers a question.
pub(crate) fn answer(
    context: &Context,
    detectors: &Detectors,
    request: Request,
    answer: &mut Answer,
) -> Result<(), String> {
    match request {
        Request::Query { what, filters } => query(context, detectors, what, &filters, answer),
        Request::Tree { at } => tree(context, at, answer),
        // Done by the watch itself.
        Request::Reload | Request::Mode { .. } => Err("policies are not changed by a question".into()),
    }
}

/// What the policies are, after they were read again.
pub(crate) fn reloaded<'a>(hash: &str, changed: bool, policies: impl Iterator<Item = &'a str>) -> Row {
    row([
        ("changed", json!(changed)),
        ("hash", json!(hash)),
        ("policies", policies.collect::<Vec<_>>().into()),
    ])
}

pub(crate) fn switched(policy: &str, mode: &str, changed: bool) -> Row {
    row([("policy", json!(policy)), ("mode", json!(mode)), ("changed", json!(changed))])
}

fn query(
    context: &Context,
    detectors: &Detectors,
    what: What,
    filters: &[String],
    answer: &mut Answer,
) -> Result<(), String> {
    let filters: Vec<Filter> =
        filters.iter().map(|f| Filter::parse(f, columns(what))).collect::<Result<_, _>>()?;
    let mut give = |row: Row| {
        if filters.iter().all(|f| f.passes(&row)) {
            answer.row(row);
        }
    };
    match what {
        What::Process => {
            let mut all: Vec<&Process> = context.processes.iter().collect();
            all.sort_unstable_by_key(|p| (p.key().start_time, p.key().pid));
            all.into_iter().for_each(|p| give(process(context, p)));
            let evicted = context.processes.evictions();
            if evicted.exited + evicted.living > 0 {
                answer.note(format!(
                    "{} processes that had ended and {} that lived were forgotten for want of room",
                    evicted.exited, evicted.living
                ));
            }
        }
        What::Container => {
            let mut all: Vec<_> = context.containers.iter().collect();
            all.sort_unstable_by_key(|c| c.id());
            all.into_iter().for_each(|c| give(container(c)));
            if context.containers.refused() > 0 {
                answer.note(format!("{} cgroups found no room", context.containers.refused()));
            }
        }
        What::Dns => {
            let mut all: Vec<_> = context.dns.iter(Clock::now()).collect();
            all.sort_unstable();
            for (net_ns, address, name, until, asker) in all {
                give(row([
                    ("net_ns", json!(net_ns)),
                    ("address", json!(address.to_string())),
                    ("name", json!(name)),
                    ("until", time(context, until)),
                    ("pid", json!(asker.map(|a| a.pid))),
                ]));
            }
            if context.dns.forgotten() > 0 {
                answer
                    .note(format!("{} addresses were forgotten before their time", context.dns.forgotten()));
            }
        }
        What::User => {
            let mut all: Vec<_> = context.users.iter().collect();
            all.sort_unstable();
            all.into_iter().for_each(|(uid, name)| give(row([("uid", json!(uid)), ("name", json!(name))])));
        }
        What::Detector => {
            let mut all: Vec<_> = detectors.iter().collect();
            // Those that cost most first.
            all.sort_by_key(|(_, counts)| {
                std::cmp::Reverse(u128::from(counts.looked_at) * u128::from(counts.cost().unwrap_or(0)))
            });
            for (detector, counts) in all {
                give(row([
                    ("detector", json!(*detector.id)),
                    ("name", json!(*detector.produced.name)),
                    ("looked_at", json!(counts.looked_at)),
                    ("found", json!(counts.found)),
                    ("undecided", json!(counts.undecided)),
                    ("evicted", json!(counts.evicted)),
                    ("ns_per_look", json!(counts.cost())),
                ]));
            }
        }
    }
    Ok(())
}

/// The columns of an answer.
pub(crate) const fn columns(what: What) -> &'static [&'static str] {
    match what {
        What::Process => &[
            "pid",
            "ppid",
            "ns_pid",
            "uid",
            "user",
            "comm",
            "executable",
            "sha256",
            "package",
            "modified",
            "container",
            "started",
            "ended",
            "unique_id",
        ],
        What::Container => &[
            "id",
            "runtime",
            "name",
            "image",
            "image_digest",
            "pod",
            "namespace",
            "labels",
            "pod_labels",
            "new",
        ],
        What::Dns => &["net_ns", "address", "name", "until", "pid"],
        What::User => &["uid", "name"],
        What::Detector => &["detector", "name", "looked_at", "found", "undecided", "evicted", "ns_per_look"],
    }
}

/// Those that lived at that time, as they were then; user and container are those of the last that was seen of them.
fn tree(context: &Context, at: u64, answer: &mut Answer) -> Result<(), String> {
    let time = context.clock.boot(at);
    if time > Clock::now() {
        return Err("that time has not come yet".into());
    }
    let all: Vec<&Process> = context.processes.iter().filter(|p| p.lived_at(time)).collect();
    for (depth, p) in ps::tree(context, &all) {
        let then = p.program_at(time);
        let mut row = process(context, p);
        let text = |bytes: &[u8]| json!(String::from_utf8_lossy(bytes));
        row.insert("comm".into(), then.as_ref().map_or(Value::Null, |t| text(t.comm())));
        row.insert("executable".into(), then.as_ref().and_then(|t| t.path()).map_or(Value::Null, text));
        if time < p.since() {
            // It is of what it runs now.
            row.insert("sha256".into(), Value::Null);
            row.insert("package".into(), Value::Null);
            row.insert("modified".into(), Value::Null);
        }
        row.insert("depth".into(), json!(depth));
        answer.row(row);
    }
    let evicted = context.processes.evictions();
    if time < context.processes.whole_since() {
        answer.note(format!(
            "some may be missing: of those that ended, {} were forgotten for want of room, the last of which ended after that time",
            evicted.exited
        ));
    }
    if evicted.living > 0 {
        answer.note(format!("some may be missing: {} were forgotten while they lived", evicted.living));
    }
    if time < context.clock.started() {
        answer.note("the watch had not begun then: only those are known that lived when it did".into());
    }
    Ok(())
}

fn process(context: &Context, p: &Process) -> Row {
    let text = |bytes: &[u8]| json!(String::from_utf8_lossy(bytes));
    row([
        ("pid", json!(p.key().pid)),
        ("ppid", json!(p.parent().map(|k| k.pid))),
        ("ns_pid", json!(p.ns_pid())),
        ("uid", json!(p.uid())),
        ("user", json!(context.user(p.uid(), p.cgroup()))),
        ("comm", text(p.comm())),
        ("executable", p.executable().map_or(Value::Null, text)),
        ("sha256", json!(p.program().and_then(|e| e.sha256()).map(|s| s.to_string()))),
        ("package", json!(p.program().and_then(|e| e.owner()).map(package))),
        ("modified", json!(p.program().and_then(|e| e.modified()))),
        ("container", json!(context.containers.container(p.cgroup()).map(Container::id))),
        ("started", time(context, p.key().start_time)),
        ("ended", p.exit_time().map_or(Value::Null, |t| time(context, t))),
        // Not a number: those of JSON are not all as long.
        ("unique_id", json!(context.clock.process_id(p.key()).to_string())),
    ])
}

fn package(owner: &Owner) -> String {
    match owner {
        Owner::Package(p) => format!("{} {}", p.name, p.version),
        Owner::Nobody => "none".into(),
        Owner::Unknown => String::new(),
    }
}

fn container(c: &Container) -> Row {
    let names = c.names();
    let pod = names.and_then(|n| n.pod.as_ref());
    let labels = |labels: &context::Labels| {
        Value::Object(labels.kept().iter().map(|(k, v)| (k.to_string(), json!(v))).collect())
    };
    row([
        ("id", json!(c.id())),
        ("runtime", json!(c.runtime().name())),
        ("name", json!(names.and_then(|n| n.name.as_deref()))),
        ("image", json!(names.and_then(|n| n.image.as_deref()))),
        ("image_digest", json!(names.and_then(|n| n.image_digest.as_deref()))),
        ("pod", json!(pod.map(|p| &*p.name))),
        ("namespace", json!(pod.and_then(|p| p.namespace.as_deref()))),
        ("labels", names.map_or(Value::Null, |n| labels(&n.labels))),
        ("pod_labels", pod.map_or(Value::Null, |p| labels(&p.labels))),
        ("new", json!(c.is_new())),
    ])
}

pub(crate) fn row<const N: usize>(columns: [(&str, Value); N]) -> Row {
    columns.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// Of the boot clock.
fn time(context: &Context, at: u64) -> Value {
    json!(Timestamp::from_nanosecond(context.clock.wall(at).into()).unwrap_or_default().to_string())
}

/// `COLUMN=VALUE` or `COLUMN!=VALUE`.
#[derive(Debug)]
pub(crate) struct Filter {
    column: String,
    /// A label's key, of `labels.KEY`.
    label: Option<String>,
    value: String,
    equal: bool,
}

impl Filter {
    pub(crate) fn parse(text: &str, columns: &[&str]) -> Result<Filter, String> {
        let (column, value) = text.split_once('=').ok_or_else(|| format!("{text}: no COLUMN=VALUE"))?;
        let (column, equal) = column.strip_suffix('!').map_or((column, true), |c| (c, false));
        let (column, label) = match column.split_once('.') {
            Some((column, label)) if column.ends_with("labels") => (column, Some(label.to_string())),
            _ => (column, None),
        };
        if !columns.contains(&column) {
            return Err(format!("there is no column {column}, but {}", columns.join(", ")));
        }
        Ok(Filter { column: column.into(), label, value: value.into(), equal })
    }

    /// What is not known is equal to nothing but the empty value.
    pub(crate) fn passes(&self, row: &Row) -> bool {
        let mut cell = row.get(&self.column);
        if let Some(label) = &self.label {
            cell = cell.and_then(|c| c.get(label));
        }
        let text = match cell {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        policy::matches(&self.value, text.as_bytes()) == self.equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let row = row([
            ("name", json!("web")),
            ("pod", Value::Null),
            ("new", json!(true)),
            ("labels", json!({"app.x/tier": "front"})),
        ]);
        let passes = |text: &str| Filter::parse(text, columns(What::Container)).map(|f| f.passes(&row));
        for (filter, expected) in [
            ("name=web", true),
            ("name=w*", true),
            ("name!=w*", false),
            ("name=we", false),
            ("pod=", true),
            ("pod!=", false),
            ("pod=x", false),
            ("new=true", true),
            ("labels.app.x/tier=front", true),
            ("labels.app=front", false),
        ] {
            assert_eq!(passes(filter), Ok(expected), "{filter}");
        }
        assert!(passes("colour=red").is_err() && passes("name").is_err());
    }
}
