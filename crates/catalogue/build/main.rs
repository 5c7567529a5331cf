//! Reads the families' `events.toml`, the tables of system calls and of names, checks them, and writes `tables.rs` and `catalogue.h`.

mod names;
mod syscalls;
mod tsv;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;

use crate::names::Tables;
use crate::syscalls::{Call, Layouts, Numbers};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    #[serde(default)]
    event: Vec<EventEntry>,
    #[serde(default)]
    support: Vec<SupportEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventEntry {
    name: String,
    id: u16,
    lane: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    always: bool,
    /// Names that others have for it.
    #[serde(default)]
    aliases: Vec<String>,
    doc: String,
    #[serde(default)]
    fields: Vec<FieldEntry>,
    #[serde(alias = "tiers")]
    tier: Vec<TierEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldEntry {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    format: Option<String>,
    /// The field whose name chooses among several of that format, or of that layout.
    by: Option<String>,
    on_request: Option<String>,
    /// The structure of a `struct` or of `structs`, of structs.tsv.
    layout: Option<String>,
    doc: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierEntry {
    name: String,
    programs: Vec<ProgramEntry>,
    sees: String,
    #[serde(default)]
    misses: String,
}

#[derive(Deserialize, Clone, PartialEq)]
#[serde(deny_unknown_fields)]
struct ProgramEntry {
    name: String,
    hook: String,
    #[serde(default)]
    syscalls: Vec<String>,
    #[serde(default = "task_only")]
    contexts: Vec<String>,
    #[serde(default = "yes")]
    slot: bool,
    #[serde(default)]
    writes_scope: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SupportEntry {
    name: String,
    #[serde(rename = "for")]
    serves: String,
    hook: String,
    lane: String,
    #[serde(default)]
    syscalls: Vec<String>,
    #[serde(default = "task_only")]
    contexts: Vec<String>,
    #[serde(default)]
    slot: bool,
    #[serde(default)]
    tells: bool,
    doc: String,
}

fn task_only() -> Vec<String> {
    vec!["task".into()]
}

fn yes() -> bool {
    true
}

const LANES: [&str; 4] = ["life", "task", "net", "bulk"];
const TYPES: [&str; 29] = [
    "i32",
    "u32",
    "i64",
    "u64",
    "bool",
    "pointer",
    "time",
    "str",
    "path",
    "str_array",
    "sockaddr",
    "ip",
    "cred",
    "packet",
    "ipv4",
    "ipv6",
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "dns",
    "dns_questions",
    "dns_answers",
    "http",
    "http_request",
    "http_response",
    "bytes",
    "struct",
    "structs",
];

struct Placed {
    entry: ProgramEntry,
    lane: String,
    probe: usize,
    stage: usize,
}

fn main() {
    if let Err(message) = run() {
        // A build script has no better way to stop the build with a message.
        eprintln!("catalogue: {message}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let families = here.join("../../families");
    println!("cargo::rerun-if-changed={}", families.display());
    println!("cargo::rerun-if-changed=build");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").map_err(|e| e.to_string())?;
    let layouts = syscalls::layouts(&families.join("syscall/structs.tsv"), &arch)?;
    let calls = syscalls::calls(&families.join("syscall/syscalls.tsv"), &layouts)?;
    let numbers = syscalls::numbers(&calls);
    let names = names::read(&families.join("names.tsv"), &arch)?;

    let mut events: Vec<(String, PathBuf, EventEntry)> = Vec::new();
    let mut supports: Vec<(PathBuf, SupportEntry)> = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(&families)
        .map_err(|e| format!("{}: {e}", families.display()))?
        .filter_map(|d| d.ok().map(|d| d.path()))
        .filter(|p| p.join("events.toml").is_file())
        .collect();
    folders.sort();
    for folder in folders {
        let file = folder.join("events.toml");
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let family: Family = toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_string();
        events.extend(family.event.into_iter().map(|e| (name.clone(), file.clone(), e)));
        supports.extend(family.support.into_iter().map(|s| (file.clone(), s)));
    }
    let file = families.join("syscall/syscalls.tsv");
    events.extend(calls.iter().map(|c| ("syscall".to_string(), file.clone(), event_of(c))));
    for (at, columns) in tsv::read(&families.join("syscall/aliases.tsv"), 2)? {
        let [alias, name] = &columns[..] else { continue };
        let event = events.iter_mut().find(|(_, _, e)| e.name == *name);
        event.ok_or_else(|| format!("{at}: no system call {name}"))?.2.aliases.push(alias.clone());
    }
    events.sort_by_key(|(_, _, e)| e.id);

    let programs = place_programs(&events, &supports, &numbers)?;
    check_events(&events, &layouts, &names)?;
    check_triggers(&families, &events)?;
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    write(&out.join("tables.rs"), &tables(&events, &supports, &programs, &numbers, &layouts, &names)?)?;
    write(&out.join("calls.rs"), &call_tables(&events, &calls, &layouts, &names)?)?;
    write(&out.join("catalogue.h"), &header(&events, &programs, &numbers))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The event of a system call.
fn event_of(call: &Call) -> EventEntry {
    let field = |name: &str, ty: &str, doc: &str| FieldEntry {
        name: name.into(),
        ty: ty.into(),
        format: None,
        by: None,
        on_request: None,
        layout: None,
        doc: doc.into(),
    };
    let mut fields: Vec<FieldEntry> = call
        .arguments
        .iter()
        .map(|a| FieldEntry {
            format: a.format.clone(),
            by: a.by.and_then(|n| call.arguments.get(n)).map(|a| a.name.clone()),
            layout: a.layout.clone(),
            ..field(
                &a.name,
                a.ty,
                match (a.written, a.kind) {
                    (true, _) => "What the kernel has written there, read at the call's exit",
                    (_, syscalls::Kind::Bytes | syscalls::Kind::String | syscalls::Kind::Strings) => {
                        "What stood there at the call's entry"
                    }
                    _ => "Argument",
                },
            )
        })
        .collect();
    let never_returns = syscalls::NEVER_RETURN.contains(&call.name.as_str());
    if !never_returns {
        fields.push(field("duration", "u64", "Nanoseconds from the call's entry to its exit"));
    }
    fields.extend(call.arguments.iter().filter(|a| a.descriptor().is_some()).map(|a| FieldEntry {
        on_request: Some("fd-paths".into()),
        ..field(
            &format!("{}_path", a.name),
            "path",
            &format!("What {} stood for at the call's entry: a path, pipe:[INODE], socket:[INODE], anon_inode:NAME", a.name),
        )
    }));
    let mut tags = vec!["syscalls".to_string()];
    tags.extend(call.tags.iter().cloned());
    let program = ProgramEntry {
        name: if never_returns { "syscall_entry" } else { "syscall" }.into(),
        hook: if never_returns { "sys_enter" } else { "sys_exit" }.into(),
        syscalls: vec!["all".into()],
        contexts: task_only(),
        slot: true,
        writes_scope: false,
    };
    let mut aliases: Vec<String> =
        call.i386.iter().map(|(_, alias)| alias.clone()).filter(|a| *a != call.name).collect();
    aliases.sort();
    EventEntry {
        name: call.name.clone(),
        id: syscalls::event_id(call).and_then(|id| u16::try_from(id).ok()).unwrap_or_default(),
        lane: "task".into(),
        tags,
        always: false,
        aliases,
        doc: format!(
            "The system call {}(2): its arguments, {}",
            call.name,
            if never_returns { "at its entry, as it does not return" } else { "and what came of it" }
        ),
        fields,
        tier: vec![TierEntry {
            name: "tracepoint".into(),
            programs: vec![program],
            sees: if never_returns { "every call" } else { "every call, with its result" }.into(),
            misses: String::new(),
        }],
    }
}

/// Every event must be caused by a trigger of its family.
fn check_triggers(families: &Path, events: &[(String, PathBuf, EventEntry)]) -> Result<(), String> {
    let mut texts = BTreeMap::new();
    for (family, file, e) in events.iter().filter(|(family, ..)| family != "syscall") {
        let path = families.join(family).join("triggers.rs");
        let text = texts.entry(family).or_insert_with(|| fs::read_to_string(&path).unwrap_or_default());
        if !text.contains(&format!("event: \"{}\"", e.name)) {
            return Err(format!("{}: event {} has no trigger in {}", file.display(), e.name, path.display()));
        }
    }
    Ok(())
}

/// Gives each program its row in its lane's ledger, and each handler of system calls its stage: the least that no other
/// handler of one of its system calls has.
fn place_programs(
    events: &[(String, PathBuf, EventEntry)],
    supports: &[(PathBuf, SupportEntry)],
    syscalls: &Numbers,
) -> Result<Vec<Placed>, String> {
    let all: Vec<String> = syscalls.iter().map(|(name, ..)| name.clone()).collect();
    let mut placed: Vec<Placed> = Vec::new();
    let mut add = |file: &Path, owner: &str, lane: &str, entry: &ProgramEntry| -> Result<(), String> {
        let mut entry = entry.clone();
        if entry.syscalls == ["all"] {
            entry.syscalls.clone_from(&all);
        }
        let at = || format!("{}: {owner}: program {}", file.display(), entry.name);
        if let Some(same) = placed.iter().find(|p| p.entry.name == entry.name) {
            return if same.entry == entry && same.lane == lane {
                Ok(())
            } else {
                Err(format!("{}: declared twice and not alike", at()))
            };
        }
        if !LANES.contains(&lane) {
            return Err(format!("{}: no lane '{lane}'", at()));
        }
        hook(&entry.hook).map_err(|e| format!("{}: {e}", at()))?;
        for c in &entry.contexts {
            if !["task", "softirq", "hardirq", "nmi", "any"].contains(&c.as_str()) {
                return Err(format!("{}: no context '{c}'", at()));
            }
            if c == "any" && entry.slot {
                return Err(format!(
                    "{}: a hook of context 'any' is refused for a program that needs a slot",
                    at()
                ));
            }
            if c != "task" && matches!(lane, "life" | "task") {
                return Err(format!(
                    "{}: the {lane} lane takes hooks of context 'task' only, not '{c}'",
                    at()
                ));
            }
        }
        let by_syscall = entry.hook.starts_with("sys_");
        if by_syscall == entry.syscalls.is_empty() {
            return Err(format!("{}: sys_enter and sys_exit need 'syscalls', other hooks have none", at()));
        }
        if let Some(s) = entry.syscalls.iter().find(|s| !syscalls.iter().any(|t| t.0 == **s)) {
            return Err(format!("{}: no system call '{s}' in syscalls.tsv", at()));
        }
        let taken: BTreeSet<usize> = placed
            .iter()
            .filter(|p| {
                p.entry.hook == entry.hook && p.entry.syscalls.iter().any(|s| entry.syscalls.contains(s))
            })
            .map(|p| p.stage)
            .collect();
        let stage = if by_syscall { (0..).find(|s| !taken.contains(s)).unwrap_or(0) } else { 0 };
        let probe = placed.iter().filter(|p| p.lane == lane).count();
        placed.push(Placed { entry, lane: lane.to_string(), probe, stage });
        Ok(())
    };
    for name in ["dispatch_enter", "dispatch_exit"] {
        let entry = ProgramEntry {
            name: name.into(),
            hook: name.into(),
            syscalls: vec![],
            contexts: task_only(),
            slot: false,
            writes_scope: false,
        };
        add(Path::new("bpf/dispatch.bpf.c"), name, "task", &entry)?;
    }
    for (file, s) in supports {
        let entry = ProgramEntry {
            name: s.name.clone(),
            hook: s.hook.clone(),
            syscalls: s.syscalls.clone(),
            contexts: s.contexts.clone(),
            slot: s.slot,
            writes_scope: false,
        };
        add(file, &s.name, &s.lane, &entry)?;
    }
    for (_, file, e) in events {
        for program in e.tier.iter().flat_map(|t| &t.programs) {
            add(file, &e.name, &e.lane, program)?;
        }
    }
    Ok(placed)
}

fn check_events(
    events: &[(String, PathBuf, EventEntry)],
    layouts: &Layouts,
    tables: &Tables,
) -> Result<(), String> {
    let named = |format: &Option<String>| {
        format.as_deref().is_none_or(|f| {
            tables.contains_key(f) || SPECIAL_FORMATS.contains(&f) || PLAIN_FORMATS.contains(&f)
        })
    };
    for (name, layout) in layouts {
        if let Some(m) = layout.members.iter().find(|m| !named(&m.format)) {
            return Err(format!("structure {name}: member {}: no such format in names.tsv", m.name));
        }
    }
    let mut ids = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (_, file, e) in events {
        let at = format!("{}: event {}", file.display(), e.name);
        if e.id == 0 {
            return Err(format!("{at}: it has no number in any table"));
        }
        if let Some(other) = ids.insert(e.id, &e.name) {
            return Err(format!("{at}: id {} is taken by {other}", e.id));
        }
        if let Some(name) = [&e.name].into_iter().chain(&e.aliases).find(|name| !names.insert(*name)) {
            return Err(format!("{at}: the name {name} is taken"));
        }
        if !LANES.contains(&e.lane.as_str()) {
            return Err(format!("{at}: no lane '{}'", e.lane));
        }
        if e.fields.len() > 255 {
            return Err(format!("{at}: more than 255 fields"));
        }
        let mut fields = BTreeSet::new();
        for f in &e.fields {
            if !TYPES.contains(&f.ty.as_str()) {
                return Err(format!("{at}: field {}: no type '{}'", f.name, f.ty));
            }
            if f.by.is_some() {
                choice(e, f, layouts, tables).map_err(|what| format!("{at}: field {}: {what}", f.name))?;
            }
            if f.by.is_none() && !named(&f.format) {
                return Err(format!("{at}: field {}: no such format in names.tsv", f.name));
            }
            if f.layout.is_some() != f.ty.starts_with("struct")
                || f.by.is_none() && f.layout.as_ref().is_some_and(|l| !layouts.contains_key(l))
            {
                return Err(format!("{at}: field {}: no such structure in structs.tsv", f.name));
            }
            if !fields.insert(&f.name) {
                return Err(format!("{at}: field {} declared twice", f.name));
            }
        }
    }
    Ok(())
}

/// The fields `format`, `formats`, `layout` and `layouts` of a field, in Rust. The last two are chosen among by another field.
fn choice(
    event: &EventEntry,
    field: &FieldEntry,
    layouts: &Layouts,
    tables: &Tables,
) -> Result<String, String> {
    let Some(by) = &field.by else {
        let layout = field.layout.as_deref().map_or("None".into(), |l| format!("Some(&{})", layout_name(l)));
        let format = format_of(field.format.as_deref());
        return Ok(format!("format: {format}, formats: None, layout: {layout}, layouts: None"));
    };
    let place = event.fields.iter().position(|f| f.name == *by).ok_or_else(|| format!("no field '{by}'"))?;
    let chooser = event.fields.get(place).and_then(|f| f.format.as_deref()).and_then(|f| tables.get(f));
    let chooser = chooser.ok_or_else(|| format!("the field {by} has no names of names.tsv"))?;
    let (mask, numbers) = match chooser.kind {
        names::Kind::Mask(mask) => (mask, &chooser.values),
        names::Kind::Number => (u64::from(u32::MAX), &chooser.entries),
        names::Kind::Flags => return Err(format!("the field {by} is of flags")),
    };
    let (name, variants): (_, Vec<(&str, String)>) = match (&field.layout, &field.format) {
        (Some(l), _) => {
            (l, syscalls::variants(layouts, l).map(|(w, _)| (w, layout_name(&format!("{l}={w}")))).collect())
        }
        (None, Some(f)) => {
            (f, syscalls::variants(tables, f).map(|(w, _)| (w, names_name(&format!("{f}={w}")))).collect())
        }
        (None, None) => return Err("neither a layout nor a format to choose".into()),
    };
    let mut of = BTreeMap::new();
    for (which, one) in &variants {
        for which in which.split(',') {
            let number = numbers.iter().find(|(_, name)| name == which).map(|(n, _)| *n);
            let number = number.ok_or_else(|| format!("{name}={which}: {by} has no such name"))?;
            if of.insert(number, one).is_some() {
                return Err(format!("{name}={which} declared twice"));
            }
        }
    }
    if of.is_empty() {
        return Err(format!("nothing is named {name}=..."));
    }
    let of: Vec<String> = of.into_iter().map(|(n, one)| format!("({n}, &{one})")).collect();
    let choice =
        format!("Some(&Choice {{ name: {name:?}, by: {place}, mask: {mask:#x}, of: &[{}] }})", of.join(", "));
    Ok(if field.layout.is_some() {
        format!("format: None, formats: None, layout: None, layouts: {choice}")
    } else {
        format!("format: None, formats: {choice}, layout: None, layouts: None")
    })
}

/// The Rust value of a hook.
fn hook(text: &str) -> Result<String, String> {
    Ok(match text.split_once('/') {
        None if text == "sys_enter" => "Hook::SysEnter".into(),
        None if text == "sys_exit" => "Hook::SysExit".into(),
        None if text == "dispatch_enter" => "Hook::DispatchEnter".into(),
        None if text == "dispatch_exit" => "Hook::DispatchExit".into(),
        Some(("tp_btf", t)) => format!("Hook::TpBtf({t:?})"),
        Some(("tp", t)) if t.contains('/') => format!("Hook::Tracepoint({t:?})"),
        Some(("kprobe", t)) => format!("Hook::Kprobe({t:?})"),
        Some(("fentry", t)) => format!("Hook::Fentry({t:?})"),
        Some(("lsm", t)) => format!("Hook::Lsm({t:?})"),
        Some(("cgroup" | "cgroup_skb", _)) => format!("Hook::Cgroup({text:?})"),
        Some(("iter", t)) => format!("Hook::Iter({t:?})"),
        _ => return Err(format!("no hook '{text}'")),
    })
}

/// Formats that are more than a table of names; the rest stand in names.tsv.
const SPECIAL_FORMATS: [&str; 14] = [
    "open_flags",
    "file_mode",
    "file_type",
    "signal",
    "rename_flags",
    "mount_flags",
    "umount_flags",
    "socket_type",
    "tcp_state",
    "prctl_option",
    "clone_flags",
    "ptrace_request",
    "memfd_flags",
    "bpf_prog_type",
];

/// What is a number for those who read it too.
const PLAIN_FORMATS: [&str; 10] =
    ["rlimit", "fd", "uid", "gid", "errno", "hex", "sigset", "dev", "wait_status", "signal_handler"];

/// The Rust value of an optional format.
fn format_of(format: Option<&str>) -> String {
    match format {
        None => "None".into(),
        Some(f) if PLAIN_FORMATS.contains(&f) => "None".into(),
        Some(f) if SPECIAL_FORMATS.contains(&f) => format!("Some(Format::{})", camel(f)),
        Some(f) => format!("Some(Format::Names(&{}))", names_name(f)),
    }
}

fn layout_name(name: &str) -> String {
    format!("LAYOUT_{}", name.replace(['@', '=', ','], "_").to_uppercase())
}

fn names_name(name: &str) -> String {
    format!("NAMES_{}", name.replace(['=', ','], "_").to_uppercase())
}

/// Names of numbers, structures, and what the programs must know of system calls.
fn call_tables(
    events: &[(String, PathBuf, EventEntry)],
    calls: &[Call],
    layouts: &Layouts,
    names: &Tables,
) -> Result<String, String> {
    let mut o = String::new();
    let w = &mut o;
    for (name, table) in names.iter().filter(|(name, _)| !SPECIAL_FORMATS.contains(&name.as_str())) {
        let kind = match table.kind {
            names::Kind::Flags => "NamesKind::Flags".to_string(),
            names::Kind::Number => "NamesKind::Number".to_string(),
            names::Kind::Mask(mask) => {
                format!("NamesKind::Mask {{ mask: {mask:#x}, values: &{:?} }}", table.values)
            }
        };
        let _ = writeln!(
            w,
            "static {}: Names = Names {{ name: {name:?}, kind: {kind}, entries: &{:?} }};",
            names_name(name),
            table.entries
        );
    }
    let all = names.keys().filter(|n| !SPECIAL_FORMATS.contains(&n.as_str()));
    let all: Vec<String> = all.map(|n| format!("&{}", names_name(n))).collect();
    let _ = writeln!(
        w,
        "/// Every table of names, by name.\npub static NAMES: &[&Names] = &[{}];",
        all.join(", ")
    );
    let shown = |name: &str| name.split_once('@').is_none_or(|(_, of)| of == "32");
    let all: Vec<String> =
        layouts.keys().filter(|n| shown(n)).map(|n| format!("&{}", layout_name(n))).collect();
    let _ = writeln!(w, "/// Every structure.\npub static LAYOUTS: &[&Layout] = &[{}];", all.join(", "));
    for (name, layout) in layouts.iter().filter(|(name, _)| shown(name)) {
        let compat = layouts.contains_key(&format!("{name}@32"));
        let compat = if compat { format!("Some(&{}_32)", layout_name(name)) } else { "None".into() };
        let _ = writeln!(
            w,
            "static {}: Layout = Layout {{ name: {:?}, size: {}, compat: {compat}, members: &[",
            layout_name(name),
            name.trim_end_matches("@32"),
            layout.size
        );
        for m in &layout.members {
            let _ = writeln!(
                w,
                "Member {{ name: {:?}, ty: MemberType::{}, offset: {}, size: {}, format: {} }},",
                m.name,
                camel(&m.ty),
                m.offset,
                m.size,
                format_of(m.format.as_deref())
            );
        }
        let _ = writeln!(w, "] }};");
    }
    let _ =
        writeln!(w, "/// What the programs must know of each system call.\npub static CALLS: &[Call] = &[");
    for call in calls {
        let id = syscalls::event_id(call).unwrap_or_default();
        let place = events.iter().position(|(_, _, e)| u32::from(e.id) == id);
        let place = place.ok_or_else(|| format!("system call {} has no number", call.name))?;
        let mut names = vec![call.name.as_str()];
        names.extend(call.i386.iter().map(|(_, alias)| alias.as_str()).filter(|a| *a != call.name));
        let _ = writeln!(
            w,
            "Call {{ event: {place}, names: &{names:?}, never_returns: {}, makes_child: {}, arguments: &[",
            syscalls::NEVER_RETURN.contains(&call.name.as_str()),
            syscalls::MAKE_CHILDREN.contains(&call.name.as_str())
        );
        // The field of a descriptor's path: behind the arguments and the duration.
        let mut path = call.arguments.len();
        for a in &call.arguments {
            let descriptor = match a.descriptor() {
                None => "None".into(),
                Some(what) => {
                    path += 1;
                    format!(
                        "Some(Descriptor {{ path: {path}, directory: {} }})",
                        what == syscalls::Descriptor::Directory
                    )
                }
            };
            let (kind, count) = (a.kind as u8 + 1, count_number(a.count));
            if a.size.max(a.least) > u32::from(u16::MAX) {
                return Err(format!("{}: {} is of more than 65535 bytes", call.name, a.name));
            }
            let _ = writeln!(
                w,
                "Argument {{ kind: {kind}, written: {}, count: {count}, pair: {}, size: {}, compat_size: {}, alias_size: {}, least: {}, descriptor: {descriptor} }},",
                a.written, a.pair, a.size, a.compat_size, a.alias_size, a.least
            );
        }
        let _ = writeln!(w, "] }},");
    }
    let _ = writeln!(w, "];");
    Ok(o)
}

/// `enum argument_count` of syscall.bpf.c.
fn count_number(count: syscalls::Count) -> u32 {
    match count {
        syscalls::Count::One => 0,
        syscalls::Count::Returned => 8,
        syscalls::Count::Argument(n) => 16 + n,
        syscalls::Count::Pointed(n) => 32 + n,
        syscalls::Count::PointedSecond(n) => 40 + n,
    }
}

fn camel(snake: &str) -> String {
    snake.split('_').map(|w| w[..1].to_uppercase() + &w[1..]).collect()
}

fn tables(
    events: &[(String, PathBuf, EventEntry)],
    supports: &[(PathBuf, SupportEntry)],
    programs: &[Placed],
    syscalls: &Numbers,
    layouts: &Layouts,
    names: &Tables,
) -> Result<String, String> {
    let place = |name: &str| {
        programs
            .iter()
            .position(|p| p.entry.name == name)
            .map(|i| format!("ProgramRef({i})"))
            .ok_or_else(|| format!("no program '{name}'"))
    };
    let list = |names: Vec<String>| format!("&[{}]", names.join(", "));
    let mut o = String::new();
    let w = &mut o;
    let line = |w: &mut String, s: String| {
        let _ = writeln!(w, "{s}");
    };
    line(w, "/// Every event, by number.\npub static EVENTS: &[Event] = &[".into());
    for (index, (family, _, e)) in events.iter().enumerate() {
        line(
            w,
            format!(
                "Event {{ id: {}, index: {index}, name: {:?}, family: {family:?}, lane: Lane::{}, tags: &{:?}, aliases: &{:?}, doc: {:?}, always: {}, fields: &[",
                e.id,
                e.name,
                camel(&e.lane),
                e.tags,
                e.aliases,
                e.doc,
                e.always
            ),
        );
        for f in &e.fields {
            let shown = choice(e, f, layouts, names)?;
            line(
                w,
                format!(
                    "Field {{ name: {:?}, ty: Type::{}, {shown}, on_request: {:?}, doc: {:?} }},",
                    f.name,
                    camel(&f.ty),
                    f.on_request,
                    f.doc
                ),
            );
        }
        line(w, "], tiers: &[".into());
        for t in &e.tier {
            let refs = t.programs.iter().map(|p| place(&p.name)).collect::<Result<_, _>>()?;
            line(
                w,
                format!(
                    "Tier {{ name: {:?}, programs: {}, sees: {:?}, misses: {:?} }},",
                    t.name,
                    list(refs),
                    t.sees,
                    t.misses
                ),
            );
        }
        line(w, "] },".into());
    }
    line(w, "];\n/// Every program.\npub static PROGRAMS: &[Program] = &[".into());
    for p in programs {
        let contexts = p.entry.contexts.iter().map(|c| format!("Context::{}", camel(c))).collect();
        let all = vec!["all".to_string()];
        let calls = if p.entry.syscalls.len() == syscalls.len() { &all } else { &p.entry.syscalls };
        line(
            w,
            format!(
                "Program {{ name: {:?}, hook: {}, syscalls: &{:?}, lane: Lane::{}, probe: {}, stage: {}, contexts: {}, slot: {}, writes_scope: {} }},",
                p.entry.name,
                hook(&p.entry.hook)?,
                calls,
                camel(&p.lane),
                p.probe,
                p.stage,
                list(contexts),
                p.entry.slot,
                p.entry.writes_scope
            ),
        );
    }
    line(w, "];\n/// Programs that serve others.\npub static SUPPORTS: &[Support] = &[".into());
    for (file, s) in supports {
        let serves = s
            .serves
            .split_whitespace()
            .map(place)
            .collect::<Result<_, _>>()
            .map_err(|e| format!("{}: support {}: {e}", file.display(), s.name))?;
        line(
            w,
            format!(
                "Support {{ program: {}, serves: {}, tells: {}, doc: {:?} }},",
                place(&s.name)?,
                list(serves),
                s.tells,
                s.doc
            ),
        );
    }
    line(w, "];".into());
    for (arch, which) in [("x86_64", 0), ("aarch64", 1)] {
        line(
            w,
            format!(
                "/// System calls of this architecture.\n#[cfg(target_arch = {arch:?})]\npub static SYSCALLS: &[Syscall] = &["
            ),
        );
        for (name, x, i, a) in syscalls {
            let (native, compat) = if which == 0 { (x, i) } else { (a, &None) };
            if native.is_some() || compat.is_some() {
                line(w, format!("Syscall {{ name: {name:?}, native: {native:?}, compat: {compat:?} }},"));
            }
        }
        line(w, "];".into());
    }
    line(
        w,
        format!(
            "/// Stages in the chain of handlers of system calls.\npub const STAGES: u32 = {};",
            stages(programs)
        ),
    );
    line(w, "/// Numbers of the fields that the user side reads by name.\npub mod fields {".into());
    for (_, _, e) in events {
        line(
            w,
            format!(
                "/// Of `{}`.\n#[expect(missing_docs, reason = \"the fields are documented in the table\")]\npub mod r#{} {{",
                e.name, e.name
            ),
        );
        line(w, format!("pub const EVENT_ID: u16 = {};", e.id));
        for (i, f) in e.fields.iter().enumerate() {
            line(w, format!("pub const {}: usize = {i};", f.name.to_uppercase().replace('.', "_")));
        }
        line(w, "}".into());
    }
    line(w, "}".into());
    Ok(o)
}

/// Whether a hook can refuse the act: as LSM hooks and those of a socket's addresses can.
fn denies(hook: &str) -> bool {
    ["lsm/", "cgroup/connect", "cgroup/bind", "cgroup/sendmsg"].iter().any(|kind| hook.starts_with(kind))
}

fn stages(programs: &[Placed]) -> usize {
    programs.iter().map(|p| p.stage + 1).max().unwrap_or(1)
}

fn header(events: &[(String, PathBuf, EventEntry)], programs: &[Placed], syscalls: &Numbers) -> String {
    let mut o = String::from("/* Generated from the catalogue entries of the families. */\n#pragma once\n\n");
    for (index, (_, _, e)) in events.iter().enumerate() {
        let _ = writeln!(o, "#define EVENT_{} {}", e.name, e.id);
        let _ = writeln!(o, "#define INDEX_{} {index}", e.name);
        for (i, f) in e.fields.iter().enumerate() {
            let _ = writeln!(o, "#define FIELD_{}__{} {i}", e.name, f.name.replace('.', "_"));
        }
    }
    let _ = writeln!(o, "\n#define EVENTS {}\n#define STAGES {}", events.len(), stages(programs));
    for p in programs {
        let _ = writeln!(o, "#define PROBE_{} {}", p.entry.name, p.probe);
        let _ = writeln!(o, "#define LANE_{} {}", p.entry.name, p.lane);
        let _ = writeln!(o, "#define STAGE_{} {}", p.entry.name, p.stage);
        // Programs of cgroups are not allowed to look up mappings, and an iterator runs for whoever reads it.
        let stack = !["cgroup", "iter"].contains(&p.entry.hook.split(['/', '_']).next().unwrap_or_default());
        let _ = writeln!(o, "#define STACK_{} {}", p.entry.name, u8::from(stack));
        let _ = writeln!(o, "#define DENIES_{} {}", p.entry.name, u8::from(denies(&p.entry.hook)));
    }
    for lane in LANES {
        let count = programs.iter().filter(|p| p.lane == lane).count();
        let _ = writeln!(o, "#define PROBES_{lane} {count}");
    }
    let _ = writeln!(
        o,
        "\n/* Numbers of system calls, for CALL_IS; NO_CALL where there is none. */\n#define NO_CALL 0xffffffff"
    );
    for (target, which) in [("x86", 0), ("arm64", 1)] {
        let _ = writeln!(o, "#if defined(__TARGET_ARCH_{target})");
        for (name, x, i, a) in syscalls {
            let (native, compat) = if which == 0 { (x, i) } else { (a, &None) };
            let native = native.map_or("NO_CALL".into(), |n| n.to_string());
            let compat = compat.map_or("NO_CALL".into(), |n| format!("(COMPAT_BASE + {n})"));
            let _ = writeln!(o, "#define NR_{name} {native}\n#define NR_COMPAT_{name} {compat}");
        }
        let _ = writeln!(o, "#endif");
    }
    o
}
