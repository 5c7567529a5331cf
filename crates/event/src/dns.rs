//! DNS messages, as far as they go.
//!
//! The bytes are a stranger's: a packet may be cut by the capture, malformed, or made to keep a parser busy. So the parser
//! is total and lazy: it allocates nothing, follows compression pointers only backwards, and gives every question and
//! answer before the first one that is cut or wrong. Parsers of whole messages give nothing for a cut packet.

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use catalogue::Quality;

use crate::bytes;

/// Bytes of a message's header.
const HEADER: usize = 12;

/// Most bytes that a name has on the wire (RFC 1035, section 2.3.4).
const NAME_BYTES: usize = 255;

/// What of a message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DnsPart {
    /// The questions.
    Questions,
    /// The questions, and the answers.
    Answers,
    /// The header, and all four sections.
    Whole,
}

/// A DNS message in a record, not yet parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsMessage<'a> {
    bytes: &'a [u8],
    part: DnsPart,
    quality: Quality,
}

impl<'a> DnsMessage<'a> {
    /// A message of which that part matters. `quality` is what the record says of these bytes.
    pub const fn new(bytes: &'a [u8], part: DnsPart, quality: Quality) -> DnsMessage<'a> {
        DnsMessage { bytes, part, quality }
    }

    /// The message's bytes.
    pub const fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// What of it is shown.
    pub const fn part(&self) -> DnsPart {
        self.part
    }

    /// Walks the message. A malformed message is not a corrupt record: what came before the fault is there, and
    /// [`Dns::quality`] tells.
    pub fn parse(&self) -> Dns<'a> {
        let bytes = self.bytes;
        let none = Section { at: HEADER, count: 0 };
        let mut dns = Dns { bytes, quality: self.quality, questions: 0, sections: [none; 3] };
        if let Err(fault) = dns.walk(self.part) {
            dns.quality = match fault {
                Fault::Malformed => Quality::Faulted,
                Fault::Cut if self.quality == Quality::Faulted => Quality::Faulted,
                Fault::Cut => Quality::Truncated,
            };
        }
        dns
    }
}

/// Why a walk ended before the message's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The bytes end first.
    Cut,
    /// No DNS.
    Malformed,
}

/// A parsed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dns<'a> {
    bytes: &'a [u8],
    /// Of what is given here: truncated if the message ends within its questions or answers, faulted if it is malformed.
    pub quality: Quality,
    questions: u16,
    /// Answers, authorities, additional records.
    sections: [Section; 3],
}

/// A section of records: where it begins, and how many of its records are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Section {
    at: usize,
    count: u16,
}

impl<'a> Dns<'a> {
    /// Counts the questions and records that are whole.
    fn walk(&mut self, part: DnsPart) -> Result<(), Fault> {
        if self.bytes.len() < HEADER {
            return Err(Fault::Cut);
        }
        let mut at = HEADER;
        for n in 1..=bytes::be16(self.bytes, 4) {
            at = question(self.bytes, at)?.1;
            self.questions = n;
        }
        let sections = match part {
            DnsPart::Questions => 0,
            DnsPart::Answers => 1,
            DnsPart::Whole => 3,
        };
        for (n, section) in self.sections.iter_mut().take(sections).enumerate() {
            section.at = at;
            for count in 1..=bytes::be16(self.bytes, 6 + 2 * n) {
                at = answer(self.bytes, at)?.1;
                section.count = count;
            }
        }
        Ok(())
    }

    /// The 16 bits of flags of the header: QR, opcode, AA, TC, RD, RA, Z, response code (RFC 1035, section 4.1.1).
    pub fn flags(&self) -> u16 {
        bytes::be16(self.bytes, 2)
    }

    /// How many questions, answers, authorities and additional records the header says that there are.
    pub fn counts(&self) -> [u16; 4] {
        [4, 6, 8, 10].map(|at| bytes::be16(self.bytes, at))
    }

    /// The message's id.
    pub fn id(&self) -> u16 {
        bytes::be16(self.bytes, 0)
    }

    /// The response code of the header: 0 no error, 3 no such name.
    pub fn response_code(&self) -> u8 {
        self.bytes.get(3).map_or(0, |b| b & 15)
    }

    /// The questions.
    pub fn questions(&self) -> impl Iterator<Item = Question<'a>> + use<'a> {
        let (bytes, mut at) = (self.bytes, HEADER);
        (0..self.questions).map_while(move |_| {
            let (question, next) = question(bytes, at).ok()?;
            at = next;
            Some(question)
        })
    }

    /// The answers; none if they were not wanted.
    pub fn answers(&self) -> impl Iterator<Item = Answer<'a>> + use<'a> {
        self.section(0)
    }

    /// The authorities; none if they were not wanted.
    pub fn authorities(&self) -> impl Iterator<Item = Answer<'a>> + use<'a> {
        self.section(1)
    }

    /// The additional records; none if they were not wanted.
    pub fn additionals(&self) -> impl Iterator<Item = Answer<'a>> + use<'a> {
        self.section(2)
    }

    fn section(&self, n: usize) -> impl Iterator<Item = Answer<'a>> + use<'a> {
        let (bytes, Section { mut at, count }) = (self.bytes, self.sections[n]);
        (0..count).map_while(move |_| {
            let (answer, next) = answer(bytes, at).ok()?;
            at = next;
            Some(answer)
        })
    }
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name.
    pub name: Name<'a>,
    /// Number of the type; [`names::dns_type`](crate::names::dns_type).
    pub ty: u16,
    /// Number of the class; [`names::dns_class`](crate::names::dns_class).
    pub class: u16,
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The name that it is about.
    pub name: Name<'a>,
    /// Number of the type.
    pub ty: u16,
    /// Number of the class.
    pub class: u16,
    /// Seconds that it may be kept.
    pub ttl: u32,
    /// The answer; `Display` gives it as a zone file has it.
    pub data: RecordData<'a>,
}

/// The data of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordData<'a> {
    /// A.
    A(Ipv4Addr),
    /// AAAA.
    Aaaa(Ipv6Addr),
    /// CNAME, NS, PTR.
    Name(Name<'a>),
    /// MX.
    Mx {
        /// Lower is better.
        preference: u16,
        /// Host.
        exchange: Name<'a>,
    },
    /// TXT: strings, each after its length.
    Txt(&'a [u8]),
    /// SOA.
    Soa {
        /// Primary server.
        mname: Name<'a>,
        /// Mailbox of who is responsible.
        rname: Name<'a>,
        /// Serial, refresh, retry, expire, minimum.
        numbers: [u32; 5],
    },
    /// SRV.
    Srv {
        /// Lower is better.
        priority: u16,
        /// Share among those of one priority.
        weight: u16,
        /// Port.
        port: u16,
        /// Host.
        target: Name<'a>,
    },
    /// Of another type: shown in hexadecimal.
    Other(&'a [u8]),
}

/// A name in a message.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.labels().eq(other.labels())
    }
}

impl Eq for Name<'_> {}

impl<'a> Name<'a> {
    /// Its labels.
    pub fn labels(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut walk = Labels::new(self.message, self.at);
        std::iter::from_fn(move || walk.next().ok().flatten())
    }
}

/// A walk over the labels of a name.
struct Labels<'a> {
    message: &'a [u8],
    at: usize,
    /// Where the next pointer must point before: so that a walk always ends.
    limit: usize,
    /// End of the name where it stands, known at the first pointer or the end.
    end: Option<usize>,
    wire: usize,
}

impl<'a> Labels<'a> {
    fn new(message: &'a [u8], at: usize) -> Labels<'a> {
        Labels { message, at, limit: at, end: None, wire: 1 }
    }

    fn next(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        loop {
            let &length = self.message.get(self.at).ok_or(Fault::Cut)?;
            match length {
                0 => {
                    self.end.get_or_insert(self.at + 1);
                    return Ok(None);
                }
                1..=63 => {
                    let start = self.at + 1;
                    let end = start + usize::from(length);
                    self.wire += 1 + usize::from(length);
                    if self.wire > NAME_BYTES {
                        return Err(Fault::Malformed);
                    }
                    self.at = end;
                    return self.message.get(start..end).map(Some).ok_or(Fault::Cut);
                }
                192.. => {
                    let &low = self.message.get(self.at + 1).ok_or(Fault::Cut)?;
                    let target = usize::from(u16::from_be_bytes([length & 63, low]));
                    if target >= self.limit {
                        return Err(Fault::Malformed);
                    }
                    self.end.get_or_insert(self.at + 2);
                    self.limit = target;
                    self.at = target;
                }
                _ => return Err(Fault::Malformed),
            }
        }
    }
}

/// The name at `at`, and where the message goes on after it.
fn name(message: &[u8], at: usize) -> Result<(Name<'_>, usize), Fault> {
    let mut walk = Labels::new(message, at);
    while walk.next()?.is_some() {}
    Ok((Name { message, at }, walk.end.ok_or(Fault::Malformed)?))
}

fn question(message: &[u8], at: usize) -> Result<(Question<'_>, usize), Fault> {
    let (name, at) = name(message, at)?;
    if message.len() < at + 4 {
        return Err(Fault::Cut);
    }
    Ok((Question { name, ty: bytes::be16(message, at), class: bytes::be16(message, at + 2) }, at + 4))
}

fn answer(message: &[u8], at: usize) -> Result<(Answer<'_>, usize), Fault> {
    let (name, at) = name(message, at)?;
    if message.len() < at + 10 {
        return Err(Fault::Cut);
    }
    let ty = bytes::be16(message, at);
    let start = at + 10;
    let end = start + usize::from(bytes::be16(message, at + 8));
    // Up to the end of the data only: nothing in it may reach beyond. Compression points backwards, into what is left.
    let upto = message.get(..end).ok_or(Fault::Cut)?;
    let data = record_data(ty, upto, start).ok_or(Fault::Malformed)?;
    let (class, ttl) = (bytes::be16(message, at + 2), bytes::be32(message, at + 4));
    Ok((Answer { name, ty, class, ttl, data }, end))
}

/// The data that stands at `at` and ends with the message.
fn record_data(ty: u16, message: &[u8], at: usize) -> Option<RecordData<'_>> {
    let raw = message.get(at..)?;
    let name_at = |at| name(message, at).ok();
    let last_name = |at| name_at(at).filter(|&(_, end)| end == message.len()).map(|(name, _)| name);
    Some(match ty {
        1 => RecordData::A(Ipv4Addr::from(<[u8; 4]>::try_from(raw).ok()?)),
        28 => RecordData::Aaaa(Ipv6Addr::from(<[u8; 16]>::try_from(raw).ok()?)),
        2 | 5 | 12 => RecordData::Name(last_name(at)?),
        15 => RecordData::Mx { preference: bytes::be16(raw, 0), exchange: last_name(at + 2)? },
        16 if txt_strings(raw).map(|s| s.len() + 1).sum::<usize>() == raw.len() => RecordData::Txt(raw),
        16 => return None,
        6 => {
            let (mname, next) = name_at(at)?;
            let (rname, next) = name_at(next)?;
            let words = <&[u8; 20]>::try_from(message.get(next..)?).ok()?;
            RecordData::Soa { mname, rname, numbers: [0, 4, 8, 12, 16].map(|n| bytes::be32(words, n)) }
        }
        33 => RecordData::Srv {
            priority: bytes::be16(raw, 0),
            weight: bytes::be16(raw, 2),
            port: bytes::be16(raw, 4),
            target: last_name(at + 6)?,
        },
        _ => RecordData::Other(raw),
    })
}

/// The strings of a TXT record, as far as they are whole.
pub(crate) fn txt_strings(mut raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, rest) = raw.split_first()?;
        let (string, rest) = rest.split_at_checked(length.into())?;
        raw = rest;
        Some(string)
    })
}

/// Bytes as a zone file has them (RFC 1035, section 5.1): printable ASCII, `\` before what is special, else `\DDD`.
fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8], special: &[u8]) -> fmt::Result {
    for &b in bytes {
        match b {
            b if special.contains(&b) => write!(f, "\\{}", char::from(b))?,
            b' '..=b'~' => f.write_char(b.into())?,
            b => write!(f, "\\{b:03}")?,
        }
    }
    Ok(())
}

/// The name with dots, without the last one; the root is `.`.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for label in self.labels() {
            if !first {
                f.write_char('.')?;
            }
            first = false;
            write_escaped(f, label, b".\\")?;
        }
        if first { f.write_char('.') } else { Ok(()) }
    }
}

impl fmt::Display for RecordData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordData::A(a) => a.fmt(f),
            RecordData::Aaaa(a) => a.fmt(f),
            RecordData::Name(name) => name.fmt(f),
            RecordData::Mx { preference, exchange } => write!(f, "{preference} {exchange}"),
            RecordData::Txt(raw) => {
                for (n, string) in txt_strings(raw).enumerate() {
                    f.write_str(if n == 0 { "\"" } else { " \"" })?;
                    write_escaped(f, string, b"\"\\")?;
                    f.write_char('"')?;
                }
                Ok(())
            }
            RecordData::Soa { mname, rname, numbers: [serial, refresh, retry, expire, minimum] } => {
                write!(f, "{mname} {rname} {serial} {refresh} {retry} {expire} {minimum}")
            }
            RecordData::Srv { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {target}")
            }
            RecordData::Other(raw) => raw.iter().try_for_each(|b| write!(f, "{b:02x}")),
        }
    }
}
