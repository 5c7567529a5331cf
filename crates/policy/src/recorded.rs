//! Recorded events: lines of JSON, as `tarsius watch --output json` writes them, asked as events of the stream are.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io::{BufRead, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use data_encoding::BASE64;
use event::json::Parts;
use expr::{List, Subject, Text, Type, Value};
use memchr::memmem::Finder;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fields::{ABOUT, About, Evidence, Part, Slot};
use crate::raw::{Members, Named, Raw};

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
    pub fn parse(line: &'a str) -> Result<Line<'a>, String> {
        serde_json::from_str(line).map_err(|e| {
            // Of its line there is one; which it is in the file is said before.
            let (message, place) = (e.to_string(), format!(" at line {} column {}", e.line(), e.column()));
            format!("column {}: {}", e.column(), message.strip_suffix(&place).unwrap_or(&message))
        })
    }
}

/// A recorded event of which nothing is read but what it is, and when it was: most are none that anybody asks about.
#[derive(Debug, Clone, Copy)]
pub struct Unread<'a> {
    event: &'static catalogue::Event,
    /// Nanoseconds since 1970.
    time: u64,
    /// Of the line, from 1.
    number: usize,
    line: &'a [u8],
    /// It begins as Tarsius writes a line.
    own: bool,
}

impl<'a> Unread<'a> {
    /// The event in a line of that number; `None` if it is a finding, which is not one of the kernel's.
    ///
    /// # Errors
    ///
    /// It is no JSON, or no event of this version's. What is behind the name in a line that begins as Tarsius writes it is not looked at
    /// before it is asked for, but that it is whole.
    pub fn parse(number: usize, line: &'a [u8]) -> Result<Option<Unread<'a>>, String> {
        let line = line.trim_ascii();
        if let Some((event, time)) = head(line) {
            if line.last() != Some(&b'}') {
                return Err("it is cut off: it does not end with '}'".into());
            }
            return Ok(Some(Unread { event, time, number, line, own: true }));
        }
        let parted = Line::parse(text(line)?)?;
        if parted.detector.is_some() {
            return Ok(None);
        }
        let event =
            catalogue::event(&parted.name).ok_or_else(|| format!("unknown event '{}'", parted.name))?;
        let time: Time =
            serde_json::from_str(parted.timestamp.get()).map_err(|e| format!("timestamp: {e}"))?;
        let time = time.nanoseconds().ok_or("timestamp: out of range")?;
        Ok(Some(Unread { event, time, number, line, own: false }))
    }

    /// Which event it is.
    pub const fn definition(&self) -> &'static catalogue::Event {
        self.event
    }

    /// When it was: nanoseconds since 1970.
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// The event.
    ///
    /// # Errors
    ///
    /// Its line is not UTF-8: what is found in it may not be what was written.
    pub fn read(&self) -> Result<Recorded<'a>, String> {
        let (workload, process, data) = Default::default();
        Ok(Recorded { unread: *self, line: text(self.line)?, workload, process, data })
    }
}

/// A recorded event. Of its fields, and of what is told of who did it, each is looked into when it is asked for, and no sooner.
#[derive(Debug)]
pub struct Recorded<'a> {
    unread: Unread<'a>,
    line: &'a str,
    workload: OnceCell<Option<Members<'a, Raw<'a>>>>,
    process: OnceCell<Option<Members<'a, Raw<'a>>>>,
    data: OnceCell<Option<Members<'a, Entry<'a>>>>,
}

impl<'a> Recorded<'a> {
    /// The event in a line of that number; `None` if it is a finding.
    ///
    /// # Errors
    ///
    /// As of [`Unread::parse`] and [`Unread::read`].
    pub fn parse(number: usize, line: &'a [u8]) -> Result<Option<Recorded<'a>>, String> {
        Unread::parse(number, line)?.map(|unread| unread.read()).transpose()
    }

    /// The event that was kept ([`Evidence::record`]).
    pub fn kept(kept: &'a [u8]) -> Option<Recorded<'a>> {
        let (number, line) = kept.split_at_checked(memchr::memchr(b' ', kept)?)?;
        Recorded::parse(std::str::from_utf8(number).ok()?.parse().ok()?, line).ok()?
    }

    /// The number of its line, from 1.
    pub const fn number(&self) -> usize {
        self.unread.number
    }

    /// Its line, parted.
    ///
    /// # Errors
    ///
    /// It is no JSON.
    pub fn line(&self) -> Result<Line<'a>, String> {
        Line::parse(self.line)
    }

    /// What the line has by that name.
    fn top(&self, key: &str) -> Option<Raw<'a>> {
        Raw::first(self.line)?.get(key)
    }

    /// The text from the last character of `beginning` on. No text within a line that Tarsius wrote looks so, as quotes are escaped there;
    /// and what has that name comes before all else that could have it.
    fn from(&self, beginning: &Finder<'static>) -> Option<&'a str> {
        let at = self.unread.own.then(|| beginning.find(self.line.as_bytes())).flatten()?;
        self.line.get(at + beginning.needle().len() - 1..)
    }

    /// What is told of who did it, by a path of names.
    fn who(&self, path: &str) -> Option<Raw<'a>> {
        static WORKLOAD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#","workload":{"#));
        static PROCESS: LazyLock<Finder<'static>> =
            LazyLock::new(|| Finder::new(r#","workload":{"process":{"#));
        let top = || self.top("workload").map(Raw::written);
        let workload =
            || self.workload.get_or_init(|| self.from(&WORKLOAD).or_else(top).map(Members::of)).as_ref();
        let within = |members: &Members<'a, Raw<'a>>, path: &str| {
            // Names are short: this is faster than what looks for a character anywhere.
            let mut names = path.split(['.']);
            names.next().and_then(|first| members.get(first)).and_then(|raw| names.try_fold(raw, Raw::get))
        };
        let Some(path) = path.strip_prefix("process.") else { return within(workload()?, path) };
        let process = || workload()?.get("process").map(Raw::written);
        let process = self.process.get_or_init(|| self.from(&PROCESS).or_else(process).map(Members::of));
        within(process.as_ref()?, path)
    }

    /// The fields, by their names.
    fn data(&self) -> Option<&Members<'a, Entry<'a>>> {
        static DATA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#","data":["#));
        let top = || self.top("data").map(Raw::written);
        self.data.get_or_init(|| self.from(&DATA).or_else(top).map(Members::elements)).as_ref()
    }
}

/// A line's text.
fn text(line: &[u8]) -> Result<&str, String> {
    simdutf8::basic::from_utf8(line).map_err(|_| {
        let at = std::str::from_utf8(line).map_or_else(|e| e.valid_up_to(), str::len);
        format!("column {}: this is not UTF-8", at + 1)
    })
}

/// What a line tells first, if it begins as Tarsius writes it: the time, and the event's name twice.
fn head(line: &[u8]) -> Option<(&'static catalogue::Event, u64)> {
    let (seconds, rest) = number(line.strip_prefix(br#"{"timestamp":{"seconds":"#)?)?;
    let (nanos, rest) = number(rest.strip_prefix(br#","nanos":"#)?)?;
    let rest = rest.strip_prefix(br#"},"id":""#)?;
    let (id, rest) = rest.split_at_checked(rest.iter().position(|b| *b == b'"')?)?;
    let name = rest.strip_prefix(br#"","name":""#)?.strip_prefix(id)?;
    static EVENTS: LazyLock<FxHashMap<&[u8], &catalogue::Event>> =
        LazyLock::new(|| catalogue::EVENTS.iter().map(|e| (e.name.as_bytes(), e)).collect());
    let event = *EVENTS.get(id).filter(|_| name.starts_with(b"\""))?;
    Some((event, Time { seconds, nanos }.nanoseconds()?))
}

/// The number at the beginning, and what is behind it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    let mut length = 0;
    for digit in text.iter().take_while(|b| b.is_ascii_digit()) {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        length += 1;
    }
    Some((number, text.get(length..)?)).filter(|_| length > 0)
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
    mut look: impl FnMut(&Unread<'_>) -> Result<(), String>,
) -> Result<Seen, LineError> {
    let mut seen = Seen::default();
    let mut met = vec![];
    let mut line = |number: usize, line: &[u8]| {
        if line.len() > LONGEST {
            return Err(format!("longer than {} MiB", LONGEST >> 20));
        }
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let Some(event) = Unread::parse(number, line)? else {
            seen.findings += 1;
            return Ok(());
        };
        seen.events += 1;
        let kind = usize::from(event.event.id);
        match met.get_mut(kind) {
            Some(met) => *met = true,
            None => {
                met.resize(kind + 1, false);
                met[kind] = true;
            }
        }
        look(&event)
    };
    // The beginning of a line of which the end is not read yet.
    let mut begun = vec![];
    let mut number = 1;
    let mut read = || -> Result<(), (usize, String)> {
        loop {
            let there = match lines.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                there => there.map_err(|e| (number, e.to_string()))?,
            };
            let length = there.len();
            if length == 0 {
                return line(number, &begun).map_err(|message| (number, message));
            }
            // Lines that are whole are looked at where they are.
            let mut rest = there;
            while let Some((one, after)) =
                memchr::memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end + 1))
            {
                if begun.is_empty() {
                    line(number, one).map_err(|message| (number, message))?;
                } else {
                    begun.extend_from_slice(one);
                    line(number, &begun).map_err(|message| (number, message))?;
                    begun.clear();
                }
                number += 1;
                rest = after;
            }
            begun.extend_from_slice(rest);
            if begun.len() > LONGEST {
                return line(number, &begun).map_err(|message| (number, message));
            }
            lines.consume(length);
        }
    };
    read().map_err(|(line, message)| LineError { file: file.to_owned(), line, message })?;
    seen.kinds = (0..).zip(met).filter(|(_, met)| *met).map(|(kind, _)| kind).collect();
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
        self.unread.event
    }

    fn time(&self) -> u64 {
        self.unread.time
    }

    fn record(&self) -> Cow<'_, [u8]> {
        Cow::Owned([self.unread.number.to_string().as_bytes(), b" ", self.line.as_bytes()].concat())
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
                let field = self.unread.event.fields.get(usize::from(index));
                field
                    .and_then(|f| self.field(f.name, f.ty == catalogue::Type::Ip, part))
                    .unwrap_or(Value::Unknown)
            }
        }
    }

    /// A recording does not tell what was known beside it; a test may.
    fn look_up(&self, slot: &Slot, key: &Value<'_>) -> Value<'_> {
        let told = || {
            let Slot::Store(store) = slot else { return None };
            let told = self.top(crate::made::STORES)?.get(&crate::stores::asked(*store, key)?)?;
            match told.elements() {
                Some(all) => Some(Value::List(List::Values(all.filter_map(plain).collect()))),
                None => plain(told),
            }
        };
        told().unwrap_or(Value::Unknown)
    }
}

impl Recorded<'_> {
    fn named(&self, name: &str) -> Option<Value<'_>> {
        self.field(name, false, Part::Whole)
    }

    fn field(&self, name: &str, is_address: bool, part: Part) -> Option<Value<'_>> {
        let Entry { value, quality, escaped } = self.data()?.named(name)?;
        let cut = match quality.and_then(Raw::text).as_deref() {
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
                "bytes" => {
                    let bytes = Cow::Owned(BASE64.decode(value.text()?.as_bytes()).ok()?);
                    Some(Value::Text(Text { bytes, cut }))
                }
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
            About::Event => Some(Value::text(self.unread.event.name.as_bytes())),
            About::Timestamp => Some(Value::Int(self.unread.time.into())),
            About::Hour | About::Minute | About::Weekday => {
                crate::fields::clock(about, self.unread.time.into())
            }
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
            About::ParentCommandLine => command_line(parent()?),
            About::ParentCalled => None,
            About::AncestorComms => ancestors(COMM),
            About::AncestorExecutables => ancestors(EXECUTABLE),
            About::AncestorCommandLines => {
                let all = at("process.ancestors")?.elements()?;
                let values = all.map(|one| command_line(one).unwrap_or(Value::Unknown));
                Some(Value::List(List::Values(values.collect())))
            }
            About::Tree => {
                let own = at("process.unique_id")?.int()?;
                let is_beginning = |one: &Raw<'_>| {
                    let comm = one.get("thread").and_then(|t| t.get("name")?.text()).unwrap_or_default();
                    let pid = one.get("host_pid").and_then(Raw::int).unwrap_or_default();
                    crate::fields::is_beginning(pid, comm.as_bytes())
                };
                let above = at("process.ancestors").and_then(Raw::elements).into_iter().flatten();
                let above =
                    above.take_while(|one| !is_beginning(one)).filter_map(|one| one.get("unique_id")?.int());
                Some(Value::List(List::Values(std::iter::once(own).chain(above).map(Value::Int).collect())))
            }
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
                // They stand in the order of their numbers.
                let (_, names, ty, _) = ABOUT.get(about as usize)?;
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

/// What an ancestor was called with, if that is known.
fn command_line(of: Raw<'_>) -> Option<Value<'_>> {
    let line = of.get("command_line")?;
    scalar(line.get("value")?, false, line.get("encoding").is_some())
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
#[derive(Debug, Clone, Copy, Default)]
struct Entry<'a> {
    /// Its value, behind what names its type.
    value: Option<(Raw<'a>, Raw<'a>)>,
    quality: Option<Raw<'a>>,
    escaped: bool,
}

impl<'a> Named<'a> for Entry<'a> {
    #[inline]
    fn take(&mut self, key: Raw<'a>, value: Raw<'a>) {
        let escaped = if key.plain().is_none() { key.text() } else { None };
        match escaped.as_deref().or(key.plain()) {
            Some("parsed" | "abstract") => {}
            Some("quality") => self.quality = Some(value),
            Some("encoding") => self.escaped = true,
            _ => self.value = self.value.or(Some((key, value))),
        }
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
        r#""policies":{"matched":["one \",\"data\":[ two"]},"workload":{"process":{"executable":{"path":"/usr/bin/env"},"unique_id":9,"host_pid":28278,"#,
        r#""pid":7,"real_user":{"id":0,"name":"root"},"effective_user":{"id":33},"thread":{"name":"\",\"workload\":{","host_tid":28278,"tid":7,"#,
        r#""syscall":"execve","compat":false},"host_ppid":28074,"ppid":6,"namespaces":{"mnt":4026531832,"pid":4026531836,"net":4026531833},"#,
        r#""cgroup_id":3170,"ancestors":[{"unique_id":8,"host_pid":28074,"executable":{"path":"/usr/bin/bash"},"thread":{"name":"bash"}}]},"#,
        r#""container":{"id":"abc","name":"shop","image":{"id":"x","name":"shop:1","repo_digests":["sha256:1"]},"labels":{"a":"b","data":"["}},"#,
        r#""k8s":{"pod":{"name":"shop-1","sandbox":true,"labels":{"c":"d"}},"namespace":{"name":"shops"}}},"#,
        r#""data":[{"name":"cmdpath","str":"env"},{"name":"pathname","str":"/usr/\\xffbin\\\\env","encoding":"escaped"},"#,
        r#"{"name":"dev","u_int32":65024},{"name":"inode","u_int64":247847},{"name":"argv","str_array":{"value":["env","\"data\":[","cut"]},"quality":"truncated"},"#,
        r#"{"name":"pwd","quality":"faulted"},{"name":"invoked_from_kernel","bool":false},{"name":"returnValue","int64":-2}],"#,
        r#""seq":5,"lane":"life","cpu":1,"slot":0,"host":"a host","boot_id":"0","origin":"current","via":"io_uring"}"#
    );

    fn read(line: &str) -> Recorded<'_> {
        Recorded::parse(1, line.as_bytes()).unwrap().unwrap()
    }

    fn all(recorded: &Recorded<'_>) -> Vec<String> {
        let about = ABOUT.iter().map(|(about, ..)| Slot::About(*about));
        let fields = 0..u8::try_from(recorded.unread.event.fields.len()).unwrap();
        let data = fields.map(|index| Slot::Data { index, part: Part::Whole });
        about.chain(data).map(|slot| format!("{slot:?}: {:?}", recorded.get(&slot))).collect()
    }

    /// What is looked for in a line as Tarsius writes it is what a parser finds in it.
    #[test]
    fn other_layouts_say_the_same() {
        let json: serde_json::Value = serde_json::from_str(LINE).unwrap();
        let pretty = serde_json::to_string_pretty(&json).unwrap();
        let (own, other) = (read(LINE), read(&pretty));
        assert!(own.unread.own && !other.unread.own);
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
            let index = line.unread.event.fields.iter().position(|f| f.name == name).unwrap();
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
        let parse = |line: &'static str| Recorded::parse(1, line.as_bytes());
        let cut = &LINE[..LINE.len() - 1];
        assert_eq!(parse(cut).unwrap_err(), "it is cut off: it does not end with '}'");
        assert!(parse(&LINE[..100]).unwrap_err().contains("column"), "within the name");
        // That one is found when its fields are needed whole.
        let broken = LINE.replace(r#""seq":5"#, r#""seq":"#);
        assert!(read(&broken).line().is_err());
        let strange = LINE.replace("sched_process_exec", "sched_proces_exec");
        let unknown = Recorded::parse(1, strange.as_bytes()).unwrap_err();
        assert_eq!(unknown, "unknown event 'sched_proces_exec'");
        let mut other = LINE.as_bytes().to_vec();
        let at = LINE.find("bash").unwrap();
        other[at] = 0xff;
        let not_text = Recorded::parse(1, &other).unwrap_err();
        assert_eq!(not_text, format!("column {}: this is not UTF-8", at + 1));
    }
}
