//! Recorded events: lines of JSON, as `tarsius watch --output json` writes them, asked as events of the stream are.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};

use event::json::Parts;
use expr::{List, Schema as _, Subject, Text, Type, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json_borrow::Value as Json;

use crate::fields::{ABOUT, About, Evidence, Fields, Part, Slot};

/// Bytes of the longest line that is taken: a recording may be none.
const LONGEST: u64 = 16 << 20;

/// A line that is no event.
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

/// A line of a recording, parted.
#[derive(Debug, Deserialize)]
pub struct Line<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: &'a RawValue,
    #[serde(borrow)]
    policies: Option<&'a RawValue>,
    #[serde(borrow)]
    workload: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    /// Of a finding.
    #[serde(borrow)]
    detector: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow)]
    lane: Option<&'a RawValue>,
    #[serde(borrow)]
    cpu: Option<&'a RawValue>,
    #[serde(borrow)]
    slot: Option<&'a RawValue>,
    #[serde(borrow)]
    host: Option<&'a RawValue>,
    #[serde(borrow)]
    boot_id: Option<&'a RawValue>,
    #[serde(borrow)]
    origin: Option<&'a RawValue>,
    #[serde(borrow)]
    via: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    /// Parts a line, which may be that of an event or of a finding.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn parse(text: &'a str) -> Result<Line<'a>, String> {
        serde_json::from_str(text).map_err(|e| {
            // Of its line there is one; which it is in the file is said before.
            let (message, place) = (e.to_string(), format!(" at line {} column {}", e.line(), e.column()));
            format!("column {}: {}", e.column(), message.strip_suffix(&place).unwrap_or(&message))
        })
    }
}

/// A recorded event. Of its fields, and of what is told of who did it, each is looked into when the first of them is asked for.
#[derive(Debug)]
pub struct Recorded<'a> {
    event: &'static catalogue::Event,
    /// Nanoseconds since 1970.
    time: u64,
    /// The line, with its number before it.
    kept: &'a str,
    line: Line<'a>,
    workload: OnceCell<Json<'a>>,
    data: OnceCell<Json<'a>>,
}

impl<'a> Recorded<'a> {
    /// The event in a line; `None` if it is a finding, which is not one of the kernel's.
    ///
    /// # Errors
    ///
    /// It is no JSON, or no event of this version's.
    pub fn parse(text: &'a str) -> Result<Option<Recorded<'a>>, String> {
        Recorded::after(text, 0)
    }

    /// The event that was kept ([`Evidence::record`]), and the number of its line.
    pub fn kept(kept: &'a [u8]) -> Option<(usize, Recorded<'a>)> {
        let kept = std::str::from_utf8(kept).ok()?;
        let (number, _) = kept.split_once(' ')?;
        Some((number.parse().ok()?, Recorded::after(kept, number.len()).ok()??))
    }

    fn after(kept: &'a str, begin: usize) -> Result<Option<Recorded<'a>>, String> {
        let line = Line::parse(kept.get(begin..).unwrap_or_default())?;
        if line.detector.is_some() {
            return Ok(None);
        }
        let event = catalogue::event(&line.name).ok_or_else(|| format!("unknown event '{}'", line.name))?;
        let time: Time = serde_json::from_str(line.timestamp.get()).map_err(|e| format!("timestamp: {e}"))?;
        let time = time.nanoseconds().ok_or("timestamp: out of range")?;
        Ok(Some(Recorded { event, time, kept, line, workload: OnceCell::new(), data: OnceCell::new() }))
    }

    /// Its line.
    pub const fn line(&self) -> &Line<'a> {
        &self.line
    }

    /// Its line alone.
    pub fn into_line(self) -> Line<'a> {
        self.line
    }

    fn workload(&self) -> &Json<'a> {
        self.workload.get_or_init(|| part(self.line.workload))
    }
}

/// What was looked through already as a part of its line is well formed.
fn part<'a>(raw: Option<&'a RawValue>) -> Json<'a> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

#[derive(Debug, Deserialize)]
struct Time {
    seconds: u64,
    #[serde(default)]
    nanos: u64,
}

impl Time {
    fn nanoseconds(&self) -> Option<u64> {
        self.seconds.checked_mul(1_000_000_000)?.checked_add(self.nanos)
    }
}

/// Looks at a recording, line after line; findings in it are passed over.
///
/// # Errors
///
/// The first line that can not be read, is no event of this version's, or at which `look` ends it.
pub fn recorded(
    file: &Path,
    mut lines: impl BufRead,
    mut look: impl FnMut(usize, &Recorded<'_>) -> Result<(), String>,
) -> Result<Seen, LineError> {
    let mut seen = Seen::default();
    let mut kept = String::new();
    for number in 1.. {
        let wrong = |message: String| LineError { file: file.to_owned(), line: number, message };
        kept.clear();
        let _ = write!(kept, "{number} ");
        let begin = kept.len();
        let read = lines.by_ref().take(LONGEST).read_line(&mut kept).map_err(|e| wrong(e.to_string()))?;
        if read == 0 {
            break;
        }
        if read as u64 == LONGEST {
            return Err(wrong(format!("longer than {} MiB", LONGEST >> 20)));
        }
        if kept[begin..].trim().is_empty() {
            continue;
        }
        match Recorded::after(&kept, begin).map_err(wrong)? {
            Some(event) => {
                seen.events += 1;
                seen.kinds.insert(event.event.id);
                look(number, &event).map_err(wrong)?;
            }
            None => seen.findings += 1,
        }
    }
    Ok(seen)
}

/// What was in a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Events.
    pub events: u64,
    /// Findings, which were passed over.
    pub findings: u64,
    /// Numbers of the kinds of events.
    pub kinds: BTreeSet<u16>,
}

fn keyed(out: &mut Vec<u8>, key: &str, raw: Option<&RawValue>) {
    if let Some(raw) = raw {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(raw.get().as_bytes());
    }
}

impl Evidence for Recorded<'_> {
    fn definition(&self) -> &'static catalogue::Event {
        self.event
    }

    fn time(&self) -> u64 {
        self.time
    }

    fn record(&self) -> &[u8] {
        self.kept.as_bytes()
    }
}

impl Parts for &Line<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn timestamp(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.timestamp.get().as_bytes());
    }

    fn policies(&self, out: &mut Vec<u8>) {
        keyed(out, "policies", self.policies);
    }

    fn workload(&self, out: &mut Vec<u8>) {
        keyed(out, "workload", self.workload);
    }

    fn data(&self, out: &mut Vec<u8>) {
        keyed(out, "data", self.data);
    }

    fn source(&self, out: &mut Vec<u8>) {
        keyed(out, "seq", self.seq);
        keyed(out, "lane", self.lane);
        keyed(out, "cpu", self.cpu);
        keyed(out, "slot", self.slot);
        keyed(out, "host", self.host);
        keyed(out, "boot_id", self.boot_id);
        keyed(out, "origin", self.origin);
        keyed(out, "via", self.via);
    }
}

impl Subject for Recorded<'_> {
    type Slot = Slot;

    fn get(&self, slot: &Slot) -> Value<'_> {
        match *slot {
            Slot::About(about) => self.about(about).unwrap_or(Value::Unknown),
            Slot::Store(_) => Value::Unknown,
            Slot::Data { index, part } => {
                let field = self.event.fields.get(usize::from(index));
                field.and_then(|f| self.field(f.name, part)).unwrap_or(Value::Unknown)
            }
        }
    }
}

impl<'a> Recorded<'a> {
    fn entry(&self, name: &str) -> Option<&Json<'a>> {
        let all = self.data.get_or_init(|| part(self.line.data)).as_array()?;
        all.iter().find(|entry| get(entry, "name").and_then(Json::as_str) == Some(name))
    }

    fn field(&self, name: &str, part: Part) -> Option<Value<'_>> {
        let entry = self.entry(name)?;
        let cut = match get(entry, "quality").and_then(Json::as_str) {
            Some("truncated") => true,
            Some("faulted" | "unavailable") => return None,
            _ => false,
        };
        let (key, value) = entry.as_object()?.iter().find(|(key, _)| !NOT_VALUES.contains(key))?;
        let escaped = get(entry, "encoding").is_some();
        let wanted = |keys: &[&str]| keys.iter().find_map(|key| get(value, key));
        let one = |value| scalar(value, cut, escaped);
        match part {
            Part::Whole => match (key, value) {
                ("str_array", list) => Some(list_of(get(list, "value")?, cut, escaped)),
                ("timespec", time) => nanos(time),
                ("bool", Json::Bool(b)) => Some(Value::Bool(*b)),
                ("bytes", _) => None,
                ("str", Json::Str(text)) if whole_is_ip(self.event, name) => text.parse().ok().map(Value::Ip),
                (_, Json::Str(_) | Json::Number(_)) => one(value),
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
            Part::UserAgent => {
                one(get(get(wanted(&["headers"])?, "User-Agent")?, "value")?.as_array()?.first()?)
            }
            Part::Status => one(wanted(&["status_code"])?),
            Part::Member(member) => one(get(value, member)?),
            Part::Queries => Some(asked(value, "query")),
            Part::QueryTypes => Some(asked(value, "query_type")),
            Part::Answers | Part::ResponseCode => None,
        }
    }

    fn about(&self, about: About) -> Option<Value<'_>> {
        let workload = self.workload();
        let at = |path: &str| path.split('.').try_fold(workload, get);
        let in_container = get(workload, "container").is_some();
        let namespace = |name: &str| plain(get(at("process.namespaces")?, name)?);
        let ancestors = |path: [&str; 2]| {
            let all = at("process.ancestors")?.as_array()?.iter();
            let values = all.filter_map(|one| plain(get(get(one, path[0])?, path[1])?));
            Some(Value::List(List::Values(values.collect())))
        };
        let of_parent = |path: [&str; 2]| {
            let parent = at("process.ancestors")?.as_array()?.first()?;
            plain(get(get(parent, path[0])?, path[1])?)
        };
        const COMM: [&str; 2] = ["thread", "name"];
        const EXECUTABLE: [&str; 2] = ["executable", "path"];
        match about {
            About::Event => Some(Value::text(self.event.name.as_bytes())),
            About::Timestamp => Some(Value::Int(self.time.into())),
            About::Hour | About::Minute | About::Weekday => crate::fields::clock(about, self.time.into()),
            About::Cpu => self.line.cpu?.get().parse().ok().map(Value::Int),
            About::Retval => self.field("returnValue", Part::Whole),
            About::HostName => {
                let host: Cow<'_, str> = serde_json::from_str(self.line.host?.get()).ok()?;
                Some(Value::Text(Text { bytes: Cow::Owned(host.into_owned().into_bytes()), cut: false }))
            }
            About::MntNs => namespace("mnt"),
            About::PidNs => namespace("pid"),
            About::NetNs => namespace("net"),
            About::UserNs => namespace("user"),
            About::Cgroup => plain(at("process.cgroup_id")?),
            About::InContainer => Some(Value::Bool(in_container)),
            About::InHost => Some(Value::Bool(!in_container)),
            About::IoUring => Some(Value::Bool(self.line.via.is_some())),
            About::KernelThread => Some(Value::Bool(at("process.thread.kernel_thread").is_some())),
            About::Called => self.field("cmdpath", Part::Whole),
            About::CommandLine => match self.field("argv", Part::Whole)? {
                Value::List(list) => Some(Value::Text(list.joined(b" "))),
                _ => None,
            },
            // Of the parents of what was executed.
            About::ParentCommandLine => {
                let line = get(at("process.ancestors")?.as_array()?.first()?, "command_line")?;
                scalar(get(line, "value")?, false, get(line, "encoding").is_some())
            }
            About::ParentCalled => None,
            About::AncestorComms => ancestors(COMM),
            About::AncestorExecutables => ancestors(EXECUTABLE),
            About::ParentComm => of_parent(COMM),
            About::ParentExecutable => of_parent(EXECUTABLE),
            About::ContainerDigest => {
                let digest = at("container.image.repo_digests").and_then(|d| plain(d.as_array()?.first()?));
                digest.or((!in_container).then_some(Value::text(b"")))
            }
            About::ContainerLabels => labels(at("container")),
            About::PodLabels => labels(at("k8s.pod")),
            About::PodSandbox => {
                Some(Value::Bool(at("k8s.pod.sandbox").and_then(Json::as_bool) == Some(true)))
            }
            _ => {
                let (_, names, ty, _) = ABOUT.iter().find(|(a, ..)| *a == about)?;
                let path = names.first()?.strip_prefix("workload.")?;
                let found = at(path).and_then(plain);
                let of_container = path.starts_with("container") || path.starts_with("k8s");
                let none = (of_container && !in_container && *ty == Type::Text).then_some(Value::text(b""));
                // A thread outside of system calls is in none, and a user may have no name: both are known.
                let known = matches!(about, About::Syscall | About::User).then_some(Value::text(b""));
                found.or(none).or(known)
            }
        }
    }
}

fn get<'v, 'a>(value: &'v Json<'a>, key: &str) -> Option<&'v Json<'a>> {
    value.as_object()?.get(key)
}

/// A value that is not escaped, and not cut.
fn plain<'v>(value: &'v Json<'_>) -> Option<Value<'v>> {
    scalar(value, false, false)
}

/// What a container, or a pod, is labelled with: `KEY=VALUE` of each.
fn labels(of: Option<&Json<'_>>) -> Option<Value<'static>> {
    let Some(of) = of else { return Some(Value::List(List::Values(vec![]))) };
    let kept = get(of, "labels").and_then(Json::as_object).into_iter().flat_map(|all| all.iter()).map(
        |(key, value)| {
            let text = format!("{key}={}", value.as_str().unwrap_or_default());
            Value::Text(Text { bytes: Cow::Owned(text.into_bytes()), cut: false })
        },
    );
    let missing = get(of, "labels_left_out").map(|_| Value::Unknown);
    Some(Value::List(List::Values(kept.chain(missing).collect())))
}

/// Keys of a field's entry that are not its value.
const NOT_VALUES: [&str; 5] = ["name", "quality", "parsed", "encoding", "abstract"];

fn whole_is_ip(event: &'static catalogue::Event, name: &str) -> bool {
    (Fields { event }).field(&format!("data.{name}")).is_some_and(|f| f.ty == Type::Ip)
}

fn scalar<'v>(value: &'v Json<'_>, cut: bool, escaped: bool) -> Option<Value<'v>> {
    Some(match value {
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => Value::Int(n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from))?),
        Json::Str(text) if escaped => Value::Text(Text { bytes: Cow::Owned(unescape(text)), cut }),
        Json::Str(text) => Value::Text(Text { bytes: Cow::Borrowed(text.as_bytes()), cut }),
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

fn list_of<'v>(list: &'v Json<'_>, cut: bool, escaped: bool) -> Value<'v> {
    let all = list.as_array().unwrap_or_default();
    let last = all.len().saturating_sub(1);
    let values = all.iter().enumerate().filter_map(|(n, v)| scalar(v, cut && n == last, escaped));
    let mut values: Vec<Value<'_>> = values.collect();
    if cut {
        // That more may follow is what an element of which nothing is known says.
        values.push(Value::Unknown);
    }
    Value::List(List::Values(values))
}

fn nanos(time: &Json<'_>) -> Option<Value<'static>> {
    let part = |key: &str| get(time, key).and_then(Json::as_u64).map(i128::from);
    Some(Value::Int(part("seconds")? * 1_000_000_000 + part("nanos").unwrap_or(0)))
}

fn address(value: &Json<'_>) -> Option<Value<'static>> {
    value.as_str()?.parse().ok().map(Value::Ip)
}

/// What a DNS message asked.
fn asked<'v>(value: &'v Json<'_>, key: &str) -> Value<'v> {
    let lists = ["questions", "responses"].into_iter().filter_map(|k| get(value, k)?.as_array());
    let asked = lists.flatten().filter_map(|q| get(get(q, "query_data").unwrap_or(q), key));
    Value::List(List::Values(asked.filter_map(|v| scalar(v, false, false)).collect()))
}
