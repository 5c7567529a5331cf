//! Reads `families/*/events.toml` and `syscalls.tsv`, checks them, and writes `tables.rs` and `catalogue.h`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;

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
    on_request: Option<String>,
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
    doc: String,
}

fn task_only() -> Vec<String> {
    vec!["task".into()]
}

fn yes() -> bool {
    true
}

const LANES: [&str; 4] = ["life", "task", "net", "bulk"];
const TYPES: [&str; 16] = [
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
    "cred",
    "packet",
    "dns_questions",
    "dns_answers",
    "bytes",
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
    println!("cargo::rerun-if-changed=syscalls.tsv");
    println!("cargo::rerun-if-changed=build.rs");
    let syscalls = read_syscalls(&here.join("syscalls.tsv"))?;

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
    events.sort_by_key(|(_, _, e)| e.id);

    let programs = place_programs(&events, &supports, &syscalls)?;
    check_events(&events)?;
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    write(&out.join("tables.rs"), &tables(&events, &supports, &programs, &syscalls)?)?;
    write(&out.join("catalogue.h"), &header(&events, &programs, &syscalls))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

type Syscalls = Vec<(String, Option<u32>, Option<u32>, Option<u32>)>;

fn read_syscalls(path: &Path) -> Result<Syscalls, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let number =
        |s: &str| if s == "-" { Ok(None) } else { s.parse().map(Some).map_err(|e| format!("{s}: {e}")) };
    text.lines()
        .filter(|l| !l.starts_with('#') && !l.starts_with("name\t") && !l.is_empty())
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [name, x, i, a] => Ok((name.to_string(), number(x)?, number(i)?, number(a)?)),
            _ => Err(format!("{}: four columns expected: {line}", path.display())),
        })
        .collect()
}

/// Gives each program its row in its lane's ledger, and each handler of system calls its stage: the least that no other
/// handler of one of its system calls has.
fn place_programs(
    events: &[(String, PathBuf, EventEntry)],
    supports: &[(PathBuf, SupportEntry)],
    syscalls: &Syscalls,
) -> Result<Vec<Placed>, String> {
    let mut placed: Vec<Placed> = Vec::new();
    let mut add = |file: &Path, owner: &str, lane: &str, entry: &ProgramEntry| -> Result<(), String> {
        let at = || format!("{}: {owner}: program {}", file.display(), entry.name);
        if let Some(same) = placed.iter().find(|p| p.entry.name == entry.name) {
            return if same.entry == *entry && same.lane == lane {
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
        placed.push(Placed { entry: entry.clone(), lane: lane.to_string(), probe, stage });
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

fn check_events(events: &[(String, PathBuf, EventEntry)]) -> Result<(), String> {
    let mut ids = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (_, file, e) in events {
        let at = format!("{}: event {}", file.display(), e.name);
        if let Some(other) = ids.insert(e.id, &e.name) {
            return Err(format!("{at}: id {} is taken by {other}", e.id));
        }
        if !names.insert(&e.name) {
            return Err(format!("{at}: declared twice"));
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
            if !fields.insert(&f.name) {
                return Err(format!("{at}: field {} declared twice", f.name));
            }
        }
    }
    Ok(())
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

fn camel(snake: &str) -> String {
    snake.split('_').map(|w| w[..1].to_uppercase() + &w[1..]).collect()
}

fn tables(
    events: &[(String, PathBuf, EventEntry)],
    supports: &[(PathBuf, SupportEntry)],
    programs: &[Placed],
    syscalls: &Syscalls,
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
                "Event {{ id: {}, index: {index}, name: {:?}, family: {family:?}, lane: Lane::{}, tags: &{:?}, doc: {:?}, always: {}, fields: &[",
                e.id,
                e.name,
                camel(&e.lane),
                e.tags,
                e.doc,
                e.always
            ),
        );
        for f in &e.fields {
            let format = f.format.as_deref().map_or("None".into(), |f| format!("Some(Format::{})", camel(f)));
            line(
                w,
                format!(
                    "Field {{ name: {:?}, ty: Type::{}, format: {format}, on_request: {:?}, doc: {:?} }},",
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
        line(
            w,
            format!(
                "Program {{ name: {:?}, hook: {}, syscalls: &{:?}, lane: Lane::{}, probe: {}, stage: {}, contexts: {}, slot: {}, writes_scope: {} }},",
                p.entry.name,
                hook(&p.entry.hook)?,
                p.entry.syscalls,
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
                "Support {{ program: {}, serves: {}, doc: {:?} }},",
                place(&s.name)?,
                list(serves),
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
                "/// Of `{}`.\n#[expect(missing_docs, reason = \"the fields are documented in the table\")]\npub mod {} {{",
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

fn stages(programs: &[Placed]) -> usize {
    programs.iter().map(|p| p.stage + 1).max().unwrap_or(1)
}

fn header(events: &[(String, PathBuf, EventEntry)], programs: &[Placed], syscalls: &Syscalls) -> String {
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
