//! `families/syscall/`: `syscalls.tsv` and `structs.tsv`, and the events that come of them. The files' heads tell their language.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::tsv;

/// A system call: an event, and its numbers by the names that the kernel has for it.
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) x86_64: Option<u32>,
    /// In the 32-bit table of x86: under which name.
    pub(crate) i386: Vec<(u32, String)>,
    pub(crate) arm64: Option<u32>,
    pub(crate) tags: Vec<String>,
    pub(crate) arguments: Vec<Argument>,
}

/// What the programs do with an argument: `enum argument_kind` of `syscall.bpf.c`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Bits32,
    Bits64,
    Signed,
    Id,
    String,
    Strings,
    Bytes,
    /// Of a structure, as much as the caller says.
    Structure,
}

/// How many elements: `enum argument_count` of `syscall.bpf.c`.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    One,
    Returned,
    Argument(u32),
    Pointed(u32),
    /// By the second word there.
    PointedSecond(u32),
}

/// An argument.
pub(crate) struct Argument {
    pub(crate) name: String,
    /// Its type in the catalogue.
    pub(crate) ty: &'static str,
    pub(crate) format: Option<String>,
    /// The structure that it, or each of its elements, is.
    pub(crate) layout: Option<String>,
    /// The argument whose name chooses among several of that format, or of that structure.
    pub(crate) by: Option<usize>,
    pub(crate) kind: Kind,
    pub(crate) written: bool,
    pub(crate) count: Count,
    /// 64 bits, which a 32-bit call gives in two registers.
    pub(crate) pair: bool,
    /// Bytes of an element: natively, in a 32-bit call, and in one that has another name there; 0 where that is not known.
    pub(crate) size: u32,
    pub(crate) compat_size: u32,
    pub(crate) alias_size: u32,
    /// Bytes that a count of 0 stands for.
    pub(crate) least: u32,
}

/// What an argument that is a descriptor stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descriptor {
    /// An open file.
    File,
    /// An open directory, or the current one.
    Directory,
}

impl Argument {
    /// What it stands for, if it is the number of a descriptor.
    pub(crate) fn descriptor(&self) -> Option<Descriptor> {
        match self.format.as_deref() {
            _ if self.written || self.kind != Kind::Bits32 => None,
            Some("fd") => Some(Descriptor::File),
            Some("dirfd") => Some(Descriptor::Directory),
            _ => None,
        }
    }
}

/// A structure.
pub(crate) struct Layout {
    pub(crate) size: u32,
    pub(crate) members: Vec<Member>,
}

/// A member of a structure.
pub(crate) struct Member {
    pub(crate) name: String,
    /// A type of structs.tsv: `u32`, `be16`, `bytes` ...
    pub(crate) ty: String,
    /// Bytes of it.
    pub(crate) size: u32,
    pub(crate) offset: u32,
    pub(crate) format: Option<String>,
}

pub(crate) type Layouts = BTreeMap<String, Layout>;

fn scalar_size(ty: &str) -> Option<u32> {
    Some(match ty {
        "i8" | "u8" => 1,
        "i16" | "u16" | "be16" => 2,
        "i32" | "u32" | "be32" => 4,
        "i64" | "u64" | "ptr" => 8,
        _ => return None,
    })
}

/// Reads `structs.tsv`, for an architecture.
pub(crate) fn layouts(path: &Path, arch: &str) -> Result<Layouts, String> {
    let mut all = Layouts::new();
    for (at, columns) in tsv::read(path, 3)? {
        let [name, size, members] = &columns[..] else { continue };
        let size = size.parse().map_err(|e| format!("{at}: size '{size}': {e}"))?;
        let members = members
            .split(' ')
            .map(|text| member(text).ok_or_else(|| format!("{at}: no member: '{text}'")))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(m) = members.iter().find(|m| m.offset + m.size > size) {
            return Err(format!("{at}: member {} is beyond the end", m.name));
        }
        if all.insert(name.clone(), Layout { size, members }).is_some() {
            return Err(format!("{at}: structure {name} declared twice"));
        }
    }
    let own = all.extract_if(.., |name, _| name.ends_with("@arm64"));
    let own: Vec<_> =
        own.filter_map(|(name, l)| Some((name.strip_suffix("@arm64")?.to_string(), l))).collect();
    if arch == "aarch64" {
        all.extend(own);
    }
    // An array of numbers is one of structures with a member without a name.
    for ty in ["i32", "u32", "i64", "u64"] {
        let size = scalar_size(ty).unwrap_or_default();
        let member = Member { name: String::new(), ty: ty.into(), size, offset: 0, format: None };
        all.insert(ty.into(), Layout { size, members: vec![member] });
    }
    Ok(all)
}

/// `name:type[=bytes][/format]@offset`
fn member(text: &str) -> Option<Member> {
    let (name, rest) = text.split_once(':')?;
    let (rest, offset) = rest.rsplit_once('@')?;
    let (ty, format) = match rest.split_once('/') {
        Some((ty, format)) => (ty, Some(format.to_string())),
        None => (rest, None),
    };
    let (ty, size) = match ty.split_once("[=") {
        Some((ty @ ("bytes" | "str"), size)) => (ty, size.strip_suffix(']')?.parse().ok()?),
        _ => (ty, scalar_size(ty)?),
    };
    Some(Member { name: name.into(), ty: ty.into(), size, offset: offset.parse().ok()?, format })
}

/// Reads `syscalls.tsv`.
pub(crate) fn calls(path: &Path, layouts: &Layouts) -> Result<Vec<Call>, String> {
    let mut names = BTreeSet::new();
    let mut calls = vec![];
    for (at, columns) in tsv::read(path, 6)? {
        let [name, x86_64, i386, arm64, tags, arguments] = &columns[..] else { continue };
        let number = |s: &str| s.parse::<u32>().map_err(|e| format!("{at}: number '{s}': {e}"));
        let maybe = |s: &str| if s == "-" { Ok(None) } else { number(s).map(Some) };
        let mut compat = vec![];
        for entry in i386.split(',').filter(|e| *e != "-") {
            let (n, alias) = entry.split_once(':').unwrap_or((entry, name));
            compat.push((number(n)?, alias.to_string()));
        }
        let arguments = arguments
            .split(' ')
            .filter(|a| !a.is_empty() && *a != "-")
            .map(|text| argument(text, layouts).ok_or_else(|| format!("{at}: no argument: '{text}'")))
            .collect::<Result<Vec<_>, _>>()?;
        if arguments.len() > 6 {
            return Err(format!("{at}: more than 6 arguments"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("{at}: {name} declared twice"));
        }
        calls.push(Call {
            name: name.clone(),
            x86_64: maybe(x86_64)?,
            i386: compat,
            arm64: maybe(arm64)?,
            tags: tags.split(',').filter(|t| !t.is_empty() && *t != "-").map(Into::into).collect(),
            arguments,
        });
    }
    Ok(calls)
}

/// `name:type`: the language of `syscalls.tsv`.
fn argument(text: &str, layouts: &Layouts) -> Option<Argument> {
    let (argument, rest) = text.split_once(':')?;
    let (written, rest) = match rest.strip_prefix("<>").or_else(|| rest.strip_prefix('>')) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (pointed, rest) = match rest.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (written, rest),
    };
    let (rest, format) = match rest.split_once('/') {
        Some((rest, format)) => (rest, Some(format.to_string())),
        None => (rest, None),
    };
    let (rest, grown) = match rest.split_once('(') {
        Some((rest, length)) => (rest, Some(grown(length.strip_suffix(')')?)?)),
        None => (rest, None),
    };
    let (rest, of_structures) = chosen(rest)?;
    let (format, of_names) = match &format {
        Some(format) => chosen(format).map(|(name, by)| (Some(name.to_string()), by))?,
        None => (None, None),
    };
    let by = of_structures.or(of_names);
    let (base, count) = match rest.split_once('[') {
        Some((base, count)) => (base, Some(count.strip_suffix(']')?)),
        None => (rest, None),
    };
    let (count, times) = match count {
        None => (Count::One, 1),
        Some("ret") => (Count::Returned, 1),
        Some(n) => match (n.strip_prefix('='), n.strip_prefix('*')) {
            (Some(n), _) => (Count::One, n.parse().ok()?),
            (_, Some(n)) => (Count::Pointed(n.parse().ok()?), 1),
            _ => (Count::Argument(n.parse().ok()?), 1),
        },
    };
    let many = rest.contains('[');
    let known = |name: &str| layouts.get(name).map(|l| l.size);
    if let Some((count, least)) = grown {
        let name = base.strip_prefix("struct:")?;
        let size = match of_structures {
            None => known(name)?,
            Some(_) => variants(layouts, name).map(|(_, l)| l.size).max()?,
        };
        return Some(Argument {
            name: argument.into(),
            ty: "struct",
            format,
            layout: Some(name.into()),
            by,
            kind: Kind::Structure,
            written,
            count,
            pair: false,
            size,
            compat_size: size,
            alias_size: size,
            least,
        });
    }
    // Type, structure, kind, bytes natively and in a 32-bit call.
    let (ty, layout, kind, size, compat_size) = match base {
        "str" => ("str", None, Kind::String, 0, 0),
        "path" => ("path", None, Kind::String, 0, 0),
        "strv" => ("str_array", None, Kind::Strings, 0, 0),
        "bytes" => ("bytes", None, Kind::Bytes, times, times),
        "sockaddr" => ("sockaddr", None, Kind::Bytes, 1, 1),
        _ if base.starts_with("struct:") || (many && scalar(base).is_some()) => {
            let name = base.strip_prefix("struct:").unwrap_or(scalar(base).map_or(base, |s| s.0));
            let size = known(name)?;
            let compat = known(&format!("{name}@32")).unwrap_or(size);
            let ty = if many { "structs" } else { "struct" };
            (ty, Some(name.to_string()), Kind::Bytes, size * times, compat * times)
        }
        _ => {
            let (ty, kind) = scalar(base)?;
            if pointed {
                let size = scalar_size(ty)?;
                // What is as wide as a register has another width there, and old calls have ids of 16 bits.
                let compat = if kind == Kind::Id || base == "long" || base == "ulong" { 0 } else { size };
                (if ty == "ptr" { "pointer" } else { ty }, None, Kind::Bytes, size, compat)
            } else {
                (if ty == "ptr" { "pointer" } else { ty }, None, kind, 0, 0)
            }
        }
    };
    // The 32-bit call of another name has it in yet another layout.
    let others = layouts.keys().filter_map(|l| l.strip_prefix(layout.as_deref()?)?.strip_prefix('@'));
    let alias_size = if others.into_iter().any(|l| l != "32" && l != "arm64") { 0 } else { compat_size };
    let pair = matches!(base, "i64x2" | "u64x2");
    Some(Argument {
        name: argument.into(),
        ty,
        format,
        layout,
        by,
        kind,
        written,
        count,
        pair,
        size,
        compat_size,
        alias_size,
        least: 0,
    })
}

/// `NAME{N}`: the name without, and N.
fn chosen(text: &str) -> Option<(&str, Option<usize>)> {
    Some(match text.split_once('{') {
        Some((name, by)) => (name, Some(by.strip_suffix('}')?.parse().ok()?)),
        None => (text, None),
    })
}

/// What stands between the parentheses behind a structure: the count, and what 0 stands for.
fn grown(length: &str) -> Option<(Count, u32)> {
    let (length, least) = match length.split_once(':') {
        Some((length, least)) => (length, least.parse().ok()?),
        None => (length, 0),
    };
    let count = match length.strip_prefix('*') {
        None => Count::Argument(length.parse().ok()?),
        Some(n) => match n.strip_suffix("+4") {
            Some(n) => Count::PointedSecond(n.parse().ok()?),
            None => Count::Pointed(n.parse().ok()?),
        },
    };
    Some((count, least))
}

/// Those of several that have a name in common: `NAME=WHICH,WHICH`; what comes after "=", and each.
pub(crate) fn variants<'a, T>(
    all: &'a BTreeMap<String, T>,
    name: &str,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    all.iter().filter_map(move |(key, one)| {
        let (of, which) = key.split_once('=')?;
        (of == name).then_some((which, one))
    })
}

fn scalar(base: &str) -> Option<(&'static str, Kind)> {
    Some(match base {
        "i32" => ("i32", Kind::Bits32),
        "u32" => ("u32", Kind::Bits32),
        "i64" | "i64x2" | "long" => ("i64", Kind::Signed),
        "u64" | "u64x2" | "ulong" => ("u64", Kind::Bits64),
        "ptr" => ("ptr", Kind::Bits64),
        "uid" | "gid" => ("u32", Kind::Id),
        _ => return None,
    })
}

/// Calls that do not come back, or not to an exit that is theirs.
pub(crate) const NEVER_RETURN: [&str; 4] = ["exit", "exit_group", "rt_sigreturn", "sigreturn"];
/// Calls that also return in a new task.
pub(crate) const MAKE_CHILDREN: [&str; 4] = ["clone", "clone3", "fork", "vfork"];

/// The number of a call's event: never that of another call, whatever the table grows by.
pub(crate) fn event_id(call: &Call) -> Option<u32> {
    match (call.x86_64, call.i386.first(), call.arm64) {
        (Some(n), ..) => Some(10_000 + n),
        (None, Some((n, _)), _) => Some(11_000 + n),
        (None, None, Some(n)) => Some(12_000 + n),
        (None, None, None) => None,
    }
}

/// Each name that the kernel has for a call, with its numbers: x86_64, 32-bit x86, arm64.
pub(crate) type Numbers = Vec<(String, Option<u32>, Option<u32>, Option<u32>)>;

/// All names of all calls.
pub(crate) fn numbers(calls: &[Call]) -> Numbers {
    let mut all = Numbers::new();
    for call in calls {
        let own = call.i386.iter().find(|(_, alias)| *alias == call.name).map(|(n, _)| *n);
        all.push((call.name.clone(), call.x86_64, own, call.arm64));
        for (n, alias) in call.i386.iter().filter(|(_, alias)| *alias != call.name) {
            all.push((alias.clone(), None, Some(*n), None));
        }
    }
    all
}
