//! Policies tried on recorded events: lines of JSON, as `tarsius watch --output json` writes them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expr::{Binary, Condition, Expr, List, Schema as _, Span, Subject, Text, Truth, Type, Value};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::fields::{ABOUT, About, Fields, Part, Slot};
use crate::{Policy, filter};

/// What a test expects: the YAML file that `tarsius policy test` takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Policy files or directories, beside this file.
    #[serde(default)]
    pub policies: Vec<PathBuf>,
    /// The recorded events, beside this file.
    pub events: PathBuf,
    /// What each policy must match; policies that are not named must match nothing.
    #[serde(default)]
    pub expect: BTreeMap<String, Expected>,
}

/// What a policy must match.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Expected {
    /// These lines, from 1.
    Lines(Vec<usize>),
    /// So many lines.
    Count(usize),
}

/// A line that is no event, or none that a policy can be asked about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {message}", file.display())]
pub struct LineError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Which lines each policy matches, by its name, and which it could not decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The lines that it matches.
    pub matched: Vec<usize>,
    /// The lines of which what it asks is not recorded.
    pub undecided: Vec<usize>,
}

/// Judges recorded events. Limits and `dedupe` are not applied: they depend on when events come.
///
/// # Errors
///
/// The first line that is no event of this version's.
pub fn replay(
    policies: &[Policy],
    file: &Path,
    lines: impl BufRead,
) -> Result<BTreeMap<Arc<str>, Outcome>, LineError> {
    let mut outcomes: BTreeMap<Arc<str>, Outcome> =
        policies.iter().map(|p| (Arc::clone(&p.name), Outcome::default())).collect();
    // A scope, compiled for an event, is the same for each line.
    let mut scopes: BTreeMap<(usize, u16), InScope> = BTreeMap::new();
    for (number, line) in lines.lines().enumerate() {
        let wrong = |message: String| LineError { file: file.to_owned(), line: number + 1, message };
        let line = line.map_err(|e| wrong(e.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let json: Json = serde_json::from_str(&line).map_err(|e| wrong(e.to_string()))?;
        let name = json
            .get("name")
            .and_then(Json::as_str)
            .ok_or_else(|| wrong("no event: it has no name".into()))?;
        let event = catalogue::event(name).ok_or_else(|| wrong(format!("unknown event '{name}'")))?;
        let facts = Recorded { event, json: &json };
        for (n, policy) in policies.iter().enumerate() {
            let rules = policy.rules.iter().flat_map(|r| &r.events).filter(|(e, _)| e.id == event.id);
            let truths = rules.map(|(_, c)| c.as_ref().map_or(Truth::True, |c| c.of(&facts)));
            let any = truths.fold(Truth::False, |a, b| match (a, b) {
                (Truth::True, _) | (_, Truth::True) => Truth::True,
                (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
                _ => Truth::False,
            });
            if any == Truth::False {
                continue;
            }
            let scope = scopes.entry((n, event.id)).or_insert_with(|| scope(policy, event));
            let in_scope = match scope {
                Ok(None) => Truth::True,
                Ok(Some(condition)) => condition.of(&facts),
                Err(message) => return Err(wrong(format!("policy {}: {message}", policy.name))),
            };
            let Some(outcome) = outcomes.get_mut(&policy.name) else { continue };
            match (any, in_scope) {
                (_, Truth::False) => {}
                (Truth::True, Truth::True) => outcome.matched.push(number + 1),
                _ => outcome.undecided.push(number + 1),
            }
        }
    }
    Ok(outcomes)
}

/// A scope as a condition on what is recorded, if it asks for anything; or what it asks that is not recorded.
type InScope = Result<Option<Condition<Slot>>, String>;

fn scope(policy: &Policy, event: &'static catalogue::Event) -> InScope {
    let fields = Fields { event };
    let mut all = vec![];
    for token in &policy.scope_text {
        let end = token.find(['=', '!', '<', '>']).unwrap_or(token.len());
        let (key, rest) = token.split_at(end);
        // A scope asks for the host's ids, and for beginnings of containers' ids.
        let text = match (key, rest) {
            ("follow" | "tree", _) | ("pid" | "container", "=new" | "!=new" | "=started") => {
                return Err(format!("scope '{token}' is known while watching only, not of recorded events"));
            }
            ("pid", rest) => format!("hostPid{rest}"),
            ("tid", rest) => format!("hostTid{rest}"),
            ("not-container", _) => "host".to_owned(),
            ("container", "") => "container".to_owned(),
            ("container", rest) => format!("containerId{}*", rest.replace(',', "*,")),
            _ => token.clone(),
        };
        all.push(filter::translate(&text, &fields).map_err(|e| e.to_string())?);
    }
    if all.is_empty() {
        return Ok(None);
    }
    let whole = Expr::joined(Binary::And, all, Span::default());
    expr::compile(&whole, &fields).map(Some).map_err(|e| e.to_string())
}

/// A recorded event.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// Which.
    pub event: &'static catalogue::Event,
    /// Its line.
    pub json: &'a Json,
}

impl Subject for Recorded<'_> {
    type Slot = Slot;

    fn get(&self, slot: &Slot) -> Value<'_> {
        match *slot {
            Slot::About(about) => self.about(about).unwrap_or(Value::Unknown),
            Slot::Data { index, part } => {
                let field = self.event.fields.get(usize::from(index));
                field.and_then(|f| self.data(f.name, part)).unwrap_or(Value::Unknown)
            }
        }
    }
}

impl<'a> Recorded<'a> {
    fn entry(&self, name: &str) -> Option<&'a Json> {
        let all = self.json.get("data")?.as_array()?;
        all.iter().find(|entry| entry.get("name").and_then(Json::as_str) == Some(name))
    }

    fn data(&self, name: &str, part: Part) -> Option<Value<'a>> {
        let entry = self.entry(name)?;
        let cut = match entry.get("quality").and_then(Json::as_str) {
            Some("truncated") => true,
            Some("faulted" | "unavailable") => return None,
            _ => false,
        };
        let (key, value) = entry.as_object()?.iter().find(|(key, _)| !NOT_VALUES.contains(&key.as_str()))?;
        let escaped = entry.get("encoding").is_some();
        let wanted = |keys: &[&str]| keys.iter().find_map(|key| value.get(*key));
        let one = |value: &'a Json| scalar(value, cut, escaped);
        match part {
            Part::Whole => match (key.as_str(), value) {
                ("str_array", list) => Some(list_of(list.get("value")?, cut, escaped)),
                ("timespec", time) => nanos(time),
                ("bool", Json::Bool(b)) => Some(Value::Bool(*b)),
                ("bytes", _) => None,
                ("str", Json::String(text)) if whole_is_ip(self.event, name) => {
                    text.parse().ok().map(Value::Ip)
                }
                (_, Json::String(_) | Json::Number(_)) => one(value),
                _ => None,
            },
            Part::Family => {
                let name = wanted(&["sa_family"])?.as_str()?;
                let number = (0..64).find(|n| event::names::socket_family(*n) == Some(name));
                number.map(|n| Value::Int(n.into())).or_else(|| name.parse().ok().map(Value::Int))
            }
            Part::Ip => address(wanted(&["sin_addr", "sin6_addr"])?),
            Part::Port => one(wanted(&["sin_port", "sin6_port"])?),
            Part::Path => Some(
                wanted(&["sun_path"])
                    .map_or(Value::text(b""), |p| scalar(p, cut, escaped).unwrap_or(Value::Unknown)),
            ),
            Part::SrcIp => address(wanted(&["src_ip"])?),
            Part::DstIp => address(wanted(&["dst_ip"])?),
            Part::SrcPort => one(wanted(&["src_port"])?),
            Part::DstPort => one(wanted(&["dst_port"])?),
            Part::Protocol => one(wanted(&["protocol"])?),
            Part::Length => one(wanted(&["packet_len"])?),
            Part::Direction => one(wanted(&["direction"])?),
            Part::Credential(n) => {
                one(wanted(&[crate::fields::credential(n)?])?).filter(|v| matches!(v, Value::Int(_)))
            }
            Part::Method => one(wanted(&["method"])?),
            Part::Uri => one(wanted(&["uri_path"])?),
            Part::Host => one(wanted(&["host"])?),
            Part::UserAgent => one(wanted(&["headers"])?.get("User-Agent")?.get("value")?.get(0)?),
            Part::Status => one(wanted(&["status_code"])?),
            Part::Member(member) => one(value.get(member)?),
            Part::Queries => Some(asked(value, "query")),
            Part::QueryTypes => Some(asked(value, "query_type")),
            Part::Answers | Part::ResponseCode => None,
        }
    }

    fn about(&self, about: About) -> Option<Value<'a>> {
        let json = self.json;
        let at = |path: &str| {
            let mut value = json;
            for key in path.split('.') {
                value = value.get(key)?;
            }
            Some(value)
        };
        let in_container = at("workload.container").is_some();
        let namespace =
            |name: &str| at("workload.process.namespaces")?.get(name).and_then(|v| scalar(v, false, false));
        let ancestors = |f: fn(&'a Json) -> Option<&'a Json>| {
            let all = at("workload.process.ancestors")?.as_array()?;
            Some(Value::List(List::Values(all.iter().filter_map(|a| scalar(f(a)?, false, false)).collect())))
        };
        let first = |list: Option<Value<'a>>| match list {
            Some(Value::List(list)) => list.iter().next(),
            _ => None,
        };
        let comms = |a: &'a Json| a.get("thread")?.get("name");
        let paths = |a: &'a Json| a.get("executable")?.get("path");
        match about {
            About::Timestamp => nanos(json.get("timestamp")?),
            About::Hour | About::Minute | About::Weekday => {
                let Some(Value::Int(wall)) = nanos(json.get("timestamp")?) else { return None };
                crate::fields::clock(about, wall)
            }
            About::Retval => self.data("returnValue", Part::Whole),
            About::HostName => scalar(json.get("host")?, false, false),
            About::MntNs => namespace("mnt"),
            About::PidNs => namespace("pid"),
            About::NetNs => namespace("net"),
            About::UserNs => namespace("user"),
            About::Cgroup => scalar(at("workload.process.cgroup_id")?, false, false),
            About::InContainer => Some(Value::Bool(in_container)),
            About::InHost => Some(Value::Bool(!in_container)),
            About::IoUring => Some(Value::Bool(json.get("via").is_some())),
            About::KernelThread => Some(Value::Bool(at("workload.process.thread.kernel_thread").is_some())),
            About::Called => self.data("cmdpath", Part::Whole),
            About::CommandLine => match self.data("argv", Part::Whole)? {
                Value::List(list) => Some(Value::Text(list.joined(b" "))),
                _ => None,
            },
            // Of the parents of what was executed.
            About::ParentCommandLine => {
                let line = at("workload.process.ancestors")?.get(0)?.get("command_line")?;
                scalar(line.get("value")?, false, line.get("encoding").is_some())
            }
            About::ParentCalled => None,
            About::AncestorComms => ancestors(comms),
            About::AncestorExecutables => ancestors(paths),
            About::ParentComm => first(ancestors(comms)),
            About::ParentExecutable => first(ancestors(paths)),
            About::ContainerDigest => {
                let digest =
                    at("workload.container.image.repo_digests").and_then(|d| scalar(d.get(0)?, false, false));
                digest.or((!in_container).then_some(Value::text(b"")))
            }
            About::ContainerLabels => labels(at("workload.container")),
            About::PodLabels => labels(at("workload.k8s.pod")),
            About::PodSandbox => {
                Some(Value::Bool(at("workload.k8s.pod.sandbox").and_then(Json::as_bool) == Some(true)))
            }
            _ => {
                let (_, names, ty, _) = ABOUT.iter().find(|(a, ..)| *a == about)?;
                let path = names.first()?;
                let found = at(path).and_then(|v| scalar(v, false, false));
                let of_container = path.starts_with("workload.container") || path.starts_with("workload.k8s");
                let none = (of_container && !in_container && *ty == Type::Text).then_some(Value::text(b""));
                // A thread outside of system calls is in none, and a user may have no name: both are known.
                let known = matches!(about, About::Syscall | About::User).then_some(Value::text(b""));
                found.or(none).or(known)
            }
        }
    }
}

/// What a container, or a pod, is labelled with: `KEY=VALUE` of each.
fn labels(of: Option<&Json>) -> Option<Value<'static>> {
    let Some(of) = of else { return Some(Value::List(List::Values(vec![]))) };
    let kept = of.get("labels").and_then(Json::as_object).into_iter().flatten().map(|(key, value)| {
        let text = format!("{key}={}", value.as_str().unwrap_or_default());
        Value::Text(Text { bytes: Cow::Owned(text.into_bytes()), cut: false })
    });
    let missing = of.get("labels_left_out").map(|_| Value::Unknown);
    Some(Value::List(List::Values(kept.chain(missing).collect())))
}

/// Keys of a field's entry that are not its value.
const NOT_VALUES: [&str; 5] = ["name", "quality", "parsed", "encoding", "abstract"];

fn whole_is_ip(event: &'static catalogue::Event, name: &str) -> bool {
    (Fields { event }).field(&format!("data.{name}")).is_some_and(|f| f.ty == Type::Ip)
}

fn scalar(value: &Json, cut: bool, escaped: bool) -> Option<Value<'_>> {
    Some(match value {
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => Value::Int(n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from))?),
        Json::String(text) if escaped => Value::Text(Text { bytes: Cow::Owned(unescape(text)), cut }),
        Json::String(text) => Value::Text(Text { bytes: Cow::Borrowed(text.as_bytes()), cut }),
        _ => return None,
    })
}

/// Bytes that were written as `\xNN`, with backslashes doubled.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = vec![];
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(1..3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        match (byte, after.first(), hex) {
            (b'\\', Some(b'x'), Some(value)) => {
                out.push(value);
                rest = &after[3..];
            }
            (b'\\', Some(b'\\'), _) => {
                out.push(b'\\');
                rest = &after[1..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn list_of(list: &Json, cut: bool, escaped: bool) -> Value<'_> {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let last = all.len().saturating_sub(1);
    let values = all.iter().enumerate().filter_map(|(n, v)| scalar(v, cut && n == last, escaped));
    let mut values: Vec<Value<'_>> = values.collect();
    if cut {
        // That more may follow is what an element of which nothing is known says.
        values.push(Value::Unknown);
    }
    Value::List(List::Values(values))
}

fn nanos(time: &Json) -> Option<Value<'static>> {
    let part = |key: &str| time.get(key).and_then(Json::as_u64).map(i128::from);
    Some(Value::Int(part("seconds")? * 1_000_000_000 + part("nanos").unwrap_or(0)))
}

fn address(value: &Json) -> Option<Value<'_>> {
    value.as_str()?.parse().ok().map(Value::Ip)
}

/// What a DNS message asked.
fn asked<'a>(value: &'a Json, key: &str) -> Value<'a> {
    let lists = ["questions", "responses"].into_iter().filter_map(|k| value.get(k)?.as_array());
    let asked = lists.flatten().filter_map(|q| q.get("query_data").unwrap_or(q).get(key));
    Value::List(List::Values(asked.filter_map(|v| scalar(v, false, false)).collect()))
}
