//! Recorded events: lines of JSON, as `tarsius watch --output json` writes them, asked as events of the stream are.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use event::json::Parts;
use expr::{List, Subject, Text, Type, Value};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fields::{ABOUT, About, Evidence, Part, Slot};
use crate::raw::{Members, Raw};

/// Bytes of the longest line that is taken: a recording may be none.
const LONGEST: usize = 16 << 20;

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

/// A recorded event. Of its fields, and of what is told of who did it, each is looked into when it is asked for, and no sooner.
#[derive(Debug)]
pub struct Recorded<'a> {
    event: &'static catalogue::Event,
    /// Nanoseconds since 1970.
    time: u64,
    /// The line, with its number before it.
    kept: &'a str,
    /// The line alone.
    text: &'a str,
    /// It begins as Tarsius writes a line.
    own: bool,
    workload: OnceCell<Option<Members<'a>>>,
    process: OnceCell<Option<Members<'a>>>,
    data: OnceCell<Option<Members<'a>>>,
}

impl<'a> Recorded<'a> {
    /// The event in a line; `None` if it is a finding, which is not one of the kernel's.
    ///
    /// # Errors
    ///
    /// It is no JSON, or no event of this version's. What is behind the name in a line that begins as Tarsius writes it is not looked at
    /// before it is asked for, but that it is whole.
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
        let text = kept.get(begin..).unwrap_or_default().trim();
        let recorded = |event, time, own| {
            let (workload, process, data) = Default::default();
            Some(Recorded { event, time, kept, text, own, workload, process, data })
        };
        if let Some((event, time)) = head(text) {
            if !text.ends_with('}') {
                return Err("it is cut off: it does not end with '}'".into());
            }
            return Ok(recorded(event, time, true));
        }
        let line = Line::parse(text)?;
        if line.detector.is_some() {
            return Ok(None);
        }
        let event = catalogue::event(&line.name).ok_or_else(|| format!("unknown event '{}'", line.name))?;
        let time: Time = serde_json::from_str(line.timestamp.get()).map_err(|e| format!("timestamp: {e}"))?;
        let time = time.nanoseconds().ok_or("timestamp: out of range")?;
        Ok(recorded(event, time, false))
    }

    /// Its line, parted.
    ///
    /// # Errors
    ///
    /// It is no JSON.
    pub fn line(&self) -> Result<Line<'a>, String> {
        Line::parse(self.text)
    }

    /// What the line has by that name.
    fn top(&self, key: &str) -> Option<Raw<'a>> {
        Raw::first(self.text)?.get(key)
    }

    /// The text from the last character of `beginning` on. No text within a line that Tarsius wrote looks so, as quotes are escaped there;
    /// and what has that name comes before all else that could have it.
    fn from(&self, beginning: &Finder<'static>) -> Option<&'a str> {
        let at = self.own.then(|| beginning.find(self.text.as_bytes())).flatten()?;
        self.text.get(at + beginning.needle().len() - 1..)
    }

    /// What is told of who did it, by a path of names.
    fn who(&self, path: &str) -> Option<Raw<'a>> {
        static WORKLOAD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#","workload":{"#));
        static PROCESS: LazyLock<Finder<'static>> =
            LazyLock::new(|| Finder::new(r#","workload":{"process":{"#));
        let top = || self.top("workload").map(Raw::as_str);
        let workload =
            || self.workload.get_or_init(|| self.from(&WORKLOAD).or_else(top).map(Members::of)).as_ref();
        let within = |members: &Members<'a>, path: &str| {
            let mut names = path.split('.');
            names.next().and_then(|first| members.get(first)).and_then(|raw| names.try_fold(raw, Raw::get))
        };
        let Some(path) = path.strip_prefix("process.") else { return within(workload()?, path) };
        let process = || workload()?.get("process").map(Raw::as_str);
        let process = self.process.get_or_init(|| self.from(&PROCESS).or_else(process).map(Members::of));
        within(process.as_ref()?, path)
    }

    /// The fields, by their names.
    fn data(&self) -> Option<&Members<'a>> {
        static DATA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#","data":["#));
        let top = || self.top("data").map(Raw::as_str);
        self.data.get_or_init(|| self.from(&DATA).or_else(top).map(Members::of)).as_ref()
    }
}

/// What a line tells first, if it begins as Tarsius writes it: the time, and the event's name twice.
fn head(line: &str) -> Option<(&'static catalogue::Event, u64)> {
    let (seconds, rest) = number(line.strip_prefix(r#"{"timestamp":{"seconds":"#)?)?;
    let (nanos, rest) = number(rest.strip_prefix(r#","nanos":"#)?)?;
    let (id, rest) = rest.strip_prefix(r#"},"id":""#)?.split_once('"')?;
    let name = rest.strip_prefix(r#","name":""#)?.strip_prefix(id)?;
    let event = catalogue::event(id).filter(|_| name.starts_with('"'))?;
    Some((event, Time { seconds, nanos }.nanoseconds()?))
}

/// The number at the beginning, and what is behind it.
fn number(text: &str) -> Option<(u64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(length)?;
    Some((digits.parse().ok()?, rest))
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
    let mut last = None;
    let mut kept = String::new();
    for number in 1.. {
        let wrong = |message: String| LineError { file: file.to_owned(), line: number, message };
        kept.clear();
        let _ = write!(kept, "{number} ");
        let begin = kept.len();
        let mut bytes = kept.into_bytes();
        if read_line(&mut lines, &mut bytes).map_err(|e| wrong(e.to_string()))? == 0 {
            break;
        }
        if bytes.len() - begin > LONGEST {
            return Err(wrong(format!("longer than {} MiB", LONGEST >> 20)));
        }
        kept = String::from_utf8(bytes)
            .map_err(|e| wrong(format!("column {}: not UTF-8", e.utf8_error().valid_up_to() + 1 - begin)))?;
        if kept[begin..].trim().is_empty() {
            continue;
        }
        match Recorded::after(&kept, begin).map_err(wrong)? {
            Some(event) => {
                seen.events += 1;
                if last.replace(event.event.id) != Some(event.event.id) {
                    seen.kinds.insert(event.event.id);
                }
                look(number, &event).map_err(wrong)?;
            }
            None => seen.findings += 1,
        }
    }
    Ok(seen)
}

/// Appends a line, and its newline; or more than [`LONGEST`] of one. As `BufRead::read_until`, by the widest instructions that there are:
/// this finds the end of each line of recordings of gigabytes.
fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut read = 0;
    loop {
        let there = match lines.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            there => there?,
        };
        let end = memchr::memchr(b'\n', there).map(|at| at + 1);
        let used = end.unwrap_or(there.len());
        line.extend_from_slice(there.get(..used).unwrap_or_default());
        lines.consume(used);
        read += used;
        if end.is_some() || used == 0 || read > LONGEST {
            return Ok(read);
        }
    }
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
                field
                    .and_then(|f| self.field(f.name, f.ty == catalogue::Type::Ip, part))
                    .unwrap_or(Value::Unknown)
            }
        }
    }
}

impl Recorded<'_> {
    fn named(&self, name: &str) -> Option<Value<'_>> {
        self.field(name, false, Part::Whole)
    }

    fn field(&self, name: &str, is_address: bool, part: Part) -> Option<Value<'_>> {
        let Entry { value, quality, escaped } = Entry::of(self.data()?.get(name)?);
        let cut = match quality.as_deref() {
            Some("truncated") => true,
            Some("faulted" | "unavailable") => return None,
            _ => false,
        };
        let (key, value) = value?;
        let key = key.text()?;
        let wanted = |keys: &[&str]| keys.iter().find_map(|key| value.get(key));
        let one = |value| scalar(value, cut, escaped);
        match part {
            Part::Whole => match &*key {
                "str_array" => Some(list_of(value.get("value")?, cut, escaped)),
                "timespec" => nanos(value),
                "bool" => value.bool().map(Value::Bool),
                "bytes" => None,
                "str" if is_address => address(value),
                _ => one(value).filter(|value| !matches!(value, Value::Bool(_))),
            },
            Part::Family => {
                let name = wanted(&["sa_family"])?.text()?;
                let number = (0..64).find(|n| event::names::socket_family(*n) == Some(&*name));
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
                one(wanted(&["headers"])?.get("User-Agent")?.get("value")?.elements()?.next()?)
            }
            Part::Status => one(wanted(&["status_code"])?),
            Part::Member(member) => one(value.get(member)?),
            Part::Queries => Some(asked(value, "query")),
            Part::QueryTypes => Some(asked(value, "query_type")),
            Part::Answers | Part::ResponseCode => None,
        }
    }

    fn about(&self, about: About) -> Option<Value<'_>> {
        let at = |path: &str| self.who(path);
        let in_container = || at("container").is_some();
        let namespace = |name: &str| plain(at("process.namespaces")?.get(name)?);
        let ancestors = |path: [&str; 2]| {
            let all = at("process.ancestors")?.elements()?;
            let values = all.filter_map(|one| plain(one.get(path[0])?.get(path[1])?));
            Some(Value::List(List::Values(values.collect())))
        };
        let parent = || at("process.ancestors")?.elements()?.next();
        let of_parent = |path: [&str; 2]| plain(parent()?.get(path[0])?.get(path[1])?);
        const COMM: [&str; 2] = ["thread", "name"];
        const EXECUTABLE: [&str; 2] = ["executable", "path"];
        match about {
            About::Event => Some(Value::text(self.event.name.as_bytes())),
            About::Timestamp => Some(Value::Int(self.time.into())),
            About::Hour | About::Minute | About::Weekday => crate::fields::clock(about, self.time.into()),
            About::Cpu => self.top("cpu")?.int().map(Value::Int),
            About::Retval => self.named("returnValue"),
            About::HostName => plain(self.top("host")?).filter(|host| matches!(host, Value::Text(_))),
            About::MntNs => namespace("mnt"),
            About::PidNs => namespace("pid"),
            About::NetNs => namespace("net"),
            About::UserNs => namespace("user"),
            About::Cgroup => plain(at("process.cgroup_id")?),
            About::InContainer => Some(Value::Bool(in_container())),
            About::InHost => Some(Value::Bool(!in_container())),
            About::IoUring => Some(Value::Bool(self.top("via").is_some())),
            About::KernelThread => Some(Value::Bool(at("process.thread.kernel_thread").is_some())),
            About::Called => self.named("cmdpath"),
            About::CommandLine => match self.named("argv")? {
                Value::List(list) => Some(Value::Text(list.joined(b" "))),
                _ => None,
            },
            // Of the parents of what was executed.
            About::ParentCommandLine => {
                let line = parent()?.get("command_line")?;
                scalar(line.get("value")?, false, line.get("encoding").is_some())
            }
            About::ParentCalled => None,
            About::AncestorComms => ancestors(COMM),
            About::AncestorExecutables => ancestors(EXECUTABLE),
            About::ParentComm => of_parent(COMM),
            About::ParentExecutable => of_parent(EXECUTABLE),
            About::ContainerDigest => {
                let digest = at("container.image.repo_digests").and_then(|d| plain(d.elements()?.next()?));
                digest.or_else(|| (!in_container()).then_some(Value::text(b"")))
            }
            About::ContainerLabels => labels(at("container")),
            About::PodLabels => labels(at("k8s.pod")),
            About::PodSandbox => Some(Value::Bool(at("k8s.pod.sandbox").and_then(Raw::bool) == Some(true))),
            _ => {
                let (_, names, ty, _) = ABOUT.iter().find(|(a, ..)| *a == about)?;
                let path = names.first()?.strip_prefix("workload.")?;
                if let Some(found) = at(path).and_then(plain) {
                    return Some(found);
                }
                let of_container = path.starts_with("container") || path.starts_with("k8s");
                // A thread outside of system calls is in none, and a user may have no name: both are known.
                let known = matches!(about, About::Syscall | About::User)
                    || (of_container && *ty == Type::Text && !in_container());
                known.then_some(Value::text(b""))
            }
        }
    }
}

/// A value that is not escaped, and not cut.
fn plain(value: Raw<'_>) -> Option<Value<'_>> {
    scalar(value, false, false)
}

/// What a container, or a pod, is labelled with: `KEY=VALUE` of each.
fn labels(of: Option<Raw<'_>>) -> Option<Value<'static>> {
    let Some(of) = of else { return Some(Value::List(List::Values(vec![]))) };
    let kept = of.get("labels").into_iter().flat_map(Raw::entries).map(|(key, value)| {
        let text = |raw: Raw<'_>| raw.text().unwrap_or_default().into_owned();
        let text = format!("{}={}", text(key), text(value));
        Value::Text(Text { bytes: Cow::Owned(text.into_bytes()), cut: false })
    });
    let missing = of.get("labels_left_out").map(|_| Value::Unknown);
    Some(Value::List(List::Values(kept.chain(missing).collect())))
}

/// What is told of a field.
struct Entry<'a> {
    /// Its value, behind what names its type.
    value: Option<(Raw<'a>, Raw<'a>)>,
    quality: Option<Cow<'a, str>>,
    escaped: bool,
}

impl<'a> Entry<'a> {
    fn of(raw: Raw<'a>) -> Entry<'a> {
        let mut entry = Entry { value: None, quality: None, escaped: false };
        for (key, value) in raw.entries() {
            match key.text().as_deref() {
                Some("name" | "parsed" | "abstract") => {}
                Some("quality") => entry.quality = value.text(),
                Some("encoding") => entry.escaped = true,
                _ => entry.value = entry.value.or(Some((key, value))),
            }
        }
        entry
    }
}

fn scalar(value: Raw<'_>, cut: bool, escaped: bool) -> Option<Value<'_>> {
    let Some(text) = value.text() else {
        return value.int().map(Value::Int).or_else(|| value.bool().map(Value::Bool));
    };
    let bytes = match text {
        text if escaped => Cow::Owned(unescape(&text)),
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    Some(Value::Text(Text { bytes, cut }))
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

fn list_of(list: Raw<'_>, cut: bool, escaped: bool) -> Value<'_> {
    let mut all = list.elements().into_iter().flatten().peekable();
    let mut values = vec![];
    while let Some(one) = all.next() {
        values.extend(scalar(one, cut && all.peek().is_none(), escaped));
    }
    if cut {
        // That more may follow is what an element of which nothing is known says.
        values.push(Value::Unknown);
    }
    Value::List(List::Values(values))
}

fn nanos(time: Raw<'_>) -> Option<Value<'static>> {
    let part = |key: &str| time.get(key).and_then(Raw::int);
    Some(Value::Int(part("seconds")?.checked_mul(1_000_000_000)?.checked_add(part("nanos").unwrap_or(0))?))
}

fn address(value: Raw<'_>) -> Option<Value<'static>> {
    value.text()?.parse().ok().map(Value::Ip)
}

/// What a DNS message asked.
fn asked<'v>(value: Raw<'v>, key: &str) -> Value<'v> {
    let lists = ["questions", "responses"].into_iter().filter_map(|k| value.get(k)?.elements());
    let asked = lists.flatten().filter_map(|q| q.get("query_data").unwrap_or(q).get(key));
    Value::List(List::Values(asked.filter_map(|v| scalar(v, false, false)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"timestamp":{"seconds":1795942553,"nanos":881998491},"id":"sched_process_exec","name":"sched_process_exec","#,
        r#""policies":{"matched":["one \",\"data\":[ two"]},"workload":{"process":{"executable":{"path":"/usr/bin/env"},"host_pid":28278,"#,
        r#""pid":7,"real_user":{"id":0,"name":"root"},"effective_user":{"id":33},"thread":{"name":"\",\"workload\":{","host_tid":28278,"tid":7,"#,
        r#""syscall":"execve","compat":false},"host_ppid":28074,"ppid":6,"namespaces":{"mnt":4026531832,"pid":4026531836,"net":4026531833},"#,
        r#""cgroup_id":3170,"ancestors":[{"host_pid":28074,"executable":{"path":"/usr/bin/bash"},"thread":{"name":"bash"}}]},"#,
        r#""container":{"id":"abc","name":"shop","image":{"id":"x","name":"shop:1","repo_digests":["sha256:1"]},"labels":{"a":"b","data":"["}},"#,
        r#""k8s":{"pod":{"name":"shop-1","sandbox":true,"labels":{"c":"d"}},"namespace":{"name":"shops"}}},"#,
        r#""data":[{"name":"cmdpath","str":"env"},{"name":"pathname","str":"/usr/\\xffbin\\\\env","encoding":"escaped"},"#,
        r#"{"name":"dev","u_int32":65024},{"name":"inode","u_int64":247847},{"name":"argv","str_array":{"value":["env","\"data\":[","cut"]},"quality":"truncated"},"#,
        r#"{"name":"pwd","quality":"faulted"},{"name":"invoked_from_kernel","bool":false},{"name":"returnValue","int64":-2}],"#,
        r#""seq":5,"lane":"life","cpu":1,"slot":0,"host":"a host","boot_id":"0","origin":"current","via":"io_uring"}"#
    );

    fn read(line: &str) -> Recorded<'_> {
        Recorded::parse(line).unwrap().unwrap()
    }

    fn all(recorded: &Recorded<'_>) -> Vec<String> {
        let about = ABOUT.iter().map(|(about, ..)| Slot::About(*about));
        let fields = 0..u8::try_from(recorded.event.fields.len()).unwrap();
        let data = fields.map(|index| Slot::Data { index, part: Part::Whole });
        about.chain(data).map(|slot| format!("{slot:?}: {:?}", recorded.get(&slot))).collect()
    }

    /// What is looked for in a line as Tarsius writes it is what a parser finds in it.
    #[test]
    fn other_layouts_say_the_same() {
        let json: serde_json::Value = serde_json::from_str(LINE).unwrap();
        let pretty = serde_json::to_string_pretty(&json).unwrap();
        let (own, other) = (read(LINE), read(&pretty));
        assert!(own.own && !other.own);
        assert_eq!(all(&own), all(&other));
        // Asked in any order.
        let mut backwards: Vec<String> = vec![];
        let again = read(LINE);
        for (about, ..) in ABOUT.iter().rev() {
            backwards.push(format!("{:?}: {:?}", Slot::About(*about), again.get(&Slot::About(*about))));
        }
        backwards.reverse();
        assert_eq!(backwards, all(&own)[..ABOUT.len()]);
    }

    #[test]
    fn what_is_told() {
        let line = read(LINE);
        let about = |about| format!("{:?}", line.get(&Slot::About(about)));
        let comm = format!("{:?}", Value::text(br#"","workload":{"#));
        assert_eq!(about(About::Comm), comm);
        assert_eq!(about(About::Retval), "Int(-2)");
        assert_eq!(about(About::IoUring), "Bool(true)");
        let field = |name: &str| {
            let index = line.event.fields.iter().position(|f| f.name == name).unwrap();
            line.get(&Slot::Data { index: u8::try_from(index).unwrap(), part: Part::Whole })
        };
        let Value::Text(path) = field("pathname") else { panic!() };
        assert_eq!(&*path.bytes, b"/usr/\xffbin\\env");
        assert_eq!(format!("{:?}", field("inode")), "Int(247847)");
        assert!(matches!(field("pwd"), Value::Unknown) && matches!(field("interp"), Value::Unknown));
        let Value::List(argv) = field("argv") else { panic!() };
        // That more may follow is the last of them.
        assert_eq!(format!("{argv:?}").matches("Text(").count(), 3, "{argv:?}");
        assert!(format!("{argv:?}").contains("Unknown"), "{argv:?}");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let cut = &LINE[..LINE.len() - 1];
        assert_eq!(Recorded::parse(cut).unwrap_err(), "it is cut off: it does not end with '}'");
        assert!(Recorded::parse(&LINE[..100]).unwrap_err().contains("column"), "within the name");
        // That one is found when its fields are needed whole.
        let broken = LINE.replace(r#""seq":5"#, r#""seq":"#);
        assert!(read(&broken).line().is_err());
        let strange = LINE.replace("sched_process_exec", "sched_proces_exec");
        assert_eq!(Recorded::parse(&strange).unwrap_err(), "unknown event 'sched_proces_exec'");
    }
}
