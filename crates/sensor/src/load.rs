//! Loading and attaching. A program that this kernel refuses is left out, the plan is made anew without it, and the rest goes on.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;

use catalogue::{Call, Event, Hook, Lane, PROGRAMS, Program};
use kernel::{Features, HookKind};
use libbpf_rs::{
    Link, MapCore as _, MapFlags, MapHandle, MapType, Object, ObjectBuilder, OpenObject, PrintLevel,
};

use crate::config::Config;
use crate::plan::{Plan, Planner};
use crate::{Error, Options, Scratch};

/// The programs for kernels from 5.17 on.
const MODERN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/modern.bpf.o"));
/// The programs for 5.10 to 5.16.
const LEGACY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/legacy.bpf.o"));

/// Tasks that can be in a wanted system call at the same time.
const TASKS_IN_CALLS: u32 = 16384;
/// Tasks whose credentials are known at the same time, where `creds_overwritten` is wanted.
const TASKS_WITH_CREDS: u32 = 65536;
/// `DESKS` of `syscall.bpf.c`: of each CPU.
const DESKS: u32 = 16;

/// Sockets whose owners are known at the same time, in each lane that tells of sockets.
const OWNERS: u32 = 32768;

/// The kernel has what the modern object needs.
pub fn is_modern(features: &Features) -> bool {
    let hook = HookKind::Tracepoint;
    features.atomics.yes()
        && features.helper(kernel::Helper::Loop, hook)
        && features.helper(kernel::Helper::TaskPtRegs, hook)
        && features.helper(kernel::Helper::CurrentTaskBtf, hook)
}

/// The object that suits a kernel.
pub fn object_for(features: &Features) -> &'static [u8] {
    if is_modern(features) { MODERN } else { LEGACY }
}

/// Both objects, for the isolation proof.
pub const OBJECTS: [(&str, &[u8]); 2] = [("modern", MODERN), ("legacy", LEGACY)];

/// What is loaded and attached. Dropping it takes all of it out of the kernel.
pub(crate) struct Loaded {
    pub(crate) plan: Plan,
    /// Links by the program they belong to.
    pub(crate) links: Vec<(&'static Program, Link)>,
    /// What was loaded first, with all maps.
    pub(crate) object: Object,
    /// What was added to it: programs that use the same maps, each lot in an object of its own.
    pub(crate) added: Vec<(Vec<&'static Program>, Object)>,
    pub(crate) rings: BTreeMap<Lane, Vec<(OwnedFd, usize)>>,
    pub(crate) cpus: u32,
}

impl Loaded {
    /// The function that a program is, in whichever object it was loaded.
    pub(crate) fn code(&self, program: &Program) -> Option<libbpf_rs::Program<'_>> {
        let function = self.plan.function(program);
        // Each object has all functions, and loads its own.
        let added = self.added.iter().find(|(programs, _)| programs.iter().any(|p| p.name == program.name));
        let object = added.map_or(&self.object, |(_, object)| object);
        object.progs().find(|p| p.name() == function.as_str())
    }
}

/// The lines that libbpf printed while loading: they name the program that failed.
static SAID: Mutex<String> = Mutex::new(String::new());

fn listen(_: PrintLevel, text: String) {
    if let Ok(mut said) = SAID.lock() {
        said.push_str(&text);
    }
}

/// Plans, loads and attaches, until the kernel takes it.
pub(crate) fn load(
    features: &Features,
    options: &Options,
    wanted: impl Fn(&Event) -> bool,
) -> Result<Loaded, Error> {
    let mut planner = Planner::new(features).avoid(&options.avoid).hide(&options.hidden);
    let bytes = object_for(features);
    // Each round leaves out one program more.
    for _ in 0..=PROGRAMS.len() {
        let plan = planner.plan(&wanted);
        if plan.programs.is_empty() {
            return Err(Error::Nothing);
        }
        match attempt(features, options, bytes, plan)? {
            Ok(loaded) => return Ok(loaded),
            Err((program, why)) => {
                if planner.refuses(program) {
                    return Err(Error::Refused(why));
                }
                planner.refuse(program, why);
            }
        }
    }
    Err(Error::Refused("every program was refused".into()))
}

/// A program that the kernel refused, and what it said.
type Refused = (&'static Program, String);

fn attempt(
    features: &Features,
    options: &Options,
    bytes: &[u8],
    plan: Plan,
) -> Result<Result<Loaded, Refused>, Error> {
    let cpus = kernel::possible_cpus()?.iter().max().map_or(1, |c| c + 1);
    let programs: Vec<&'static Program> = plan.programs.values().copied().collect();
    let object = match open_and_load(features, options, bytes, &plan, &programs, cpus, None)? {
        Ok(object) => object,
        Err(refused) => return Ok(Err(refused)),
    };
    let rings = make_rings(&object, options, &plan, cpus)?;
    let mut loaded = Loaded { plan, links: vec![], object, added: vec![], rings, cpus };
    fill_calls(&loaded, None)?;
    fill_handlers(&loaded, None)?;
    match attach(features, &loaded.object, &loaded.plan, programs) {
        Ok(links) => loaded.links = links,
        Err(refused) => return Ok(Err(refused)),
    }
    Ok(Ok(loaded))
}

/// Adds the programs that other events need to those that run, which go on as they are: with the same maps, in an object of their own.
pub(crate) fn extend(
    loaded: &mut Loaded,
    features: &Features,
    options: &Options,
    wanted: impl Fn(&Event) -> bool,
) -> Result<(), Error> {
    let mut planner = Planner::new(features).avoid(&options.avoid).hide(&options.hidden);
    for _ in 0..=PROGRAMS.len() {
        let plan = planner.plan(&wanted);
        let runs = |p: &&'static Program| loaded.plan.programs.contains_key(p.name);
        let programs: Vec<&'static Program> = plan.programs.values().copied().filter(|p| !runs(p)).collect();
        let attempted = if plan.lanes().len() > loaded.plan.lanes().len() {
            return Err(Error::Fixed {
                what: "captured packets need memory that is set aside at start".into(),
            });
        } else if programs.is_empty() {
            None
        } else {
            match open_and_load(
                features,
                options,
                object_for(features),
                &plan,
                &programs,
                loaded.cpus,
                Some(&loaded.object),
            )? {
                Ok(object) => match attach(features, &object, &plan, programs.clone()) {
                    Ok(links) => Some((object, links)),
                    Err((program, why)) => {
                        planner.refuse(program, why);
                        continue;
                    }
                },
                Err((program, why)) => {
                    planner.refuse(program, why);
                    continue;
                }
            }
        };
        // What runs stays: an event that came to be taken otherwise would be told twice.
        let tier = |plan: &Plan, event: &str| {
            plan.choices.iter().find(|c| c.event == event).and_then(|c| c.tier).map(|t| t.name)
        };
        if let Some(other) =
            loaded.plan.choices.iter().find(|c| tier(&plan, c.event) != c.tier.map(|t| t.name))
        {
            return Err(Error::Fixed {
                what: format!("{} would be taken otherwise than it is", other.event),
            });
        }
        if let Some((object, links)) = attempted {
            loaded.links.extend(links);
            loaded.added.push((programs, object));
        }
        let before = std::mem::replace(&mut loaded.plan, plan);
        fill_calls(loaded, Some(&before))?;
        fill_handlers(loaded, Some(&before))?;
        // Programs that run tell of these from now on, too.
        let more = map(&loaded.object, "cfg_more_events")?;
        for event in catalogue::EVENTS.iter() {
            let wanted = loaded.plan.wanted(event);
            if wanted != before.wanted(event) {
                more.update(&u32::from(event.index).to_ne_bytes(), &[wanted], MapFlags::ANY)
                    .map_err(Error::bpf("telling programs of more events"))?;
            }
        }
        return Ok(());
    }
    Err(Error::Refused("every program was refused".into()))
}

/// The program that libbpf's lines name as the one that failed to load.
fn failed_program(plan: &Plan, said: &str) -> Option<&'static Program> {
    let failed =
        said.lines().filter(|l| l.contains("failed to load")).filter_map(|l| l.split('\'').nth(1)).next();
    let named = |name: &str| plan.programs.values().copied().find(|p| plan.function(p) == name);
    failed.and_then(named).or_else(|| {
        said.lines().find_map(|l| l.strip_prefix("libbpf: prog '").and_then(|l| named(l.split('\'').next()?)))
    })
}

/// The last lines of the verifier's log, or of what libbpf said.
fn reason(said: &str) -> String {
    let lines: Vec<&str> =
        said.lines().filter(|l| !l.starts_with("processed ") && !l.contains("-- END PROG")).collect();
    let end = lines.iter().position(|l| l.contains("failed to load")).unwrap_or(lines.len());
    let before: Vec<&str> = lines[..end].iter().rev().take(2).rev().copied().collect();
    before.join("; ")
}

/// Loads these programs of a plan; with the maps of an object that was loaded before, if there is one.
fn open_and_load(
    features: &Features,
    options: &Options,
    bytes: &[u8],
    plan: &Plan,
    programs: &[&'static Program],
    cpus: u32,
    shared: Option<&Object>,
) -> Result<Result<Object, Refused>, Error> {
    let previous = libbpf_rs::set_print(Some((PrintLevel::Warn, listen)));
    if let Ok(mut said) = SAID.lock() {
        said.clear();
    }
    let result = load_them(features, options, bytes, plan, programs, cpus, shared);
    libbpf_rs::set_print(previous);
    let said = SAID.lock().map(|s| s.clone()).unwrap_or_default();
    match result? {
        Ok(object) => Ok(Ok(object)),
        Err(error) => {
            let Some(program) = failed_program(plan, &said) else {
                return Err(Error::Refused(format!("{error}\n{}", said.trim_end())));
            };
            Ok(Err((program, format!("the kernel refuses its program {}: {}", program.name, reason(&said)))))
        }
    }
}

fn load_them(
    features: &Features,
    options: &Options,
    bytes: &[u8],
    plan: &Plan,
    programs: &[&'static Program],
    cpus: u32,
    shared: Option<&Object>,
) -> Result<Result<Object, libbpf_rs::Error>, Error> {
    let mut open = ObjectBuilder::default()
        .name("tarsius")
        .and_then(|b| b.open_memory(bytes))
        .map_err(Error::bpf("opening the built-in BPF object"))?;
    let functions: Vec<String> = programs.iter().map(|p| plan.function(p)).collect();
    for mut program in open.progs_mut() {
        let load = functions.iter().any(|f| program.name() == f.as_str());
        program.set_autoload(load);
    }
    set_maps(&mut open, features, options, bytes, plan, cpus, shared)?;
    Ok(open.load())
}

fn set_maps(
    open: &mut OpenObject,
    features: &Features,
    options: &Options,
    bytes: &[u8],
    plan: &Plan,
    cpus: u32,
    shared: Option<&Object>,
) -> Result<(), Error> {
    let slots = slots(features, options);
    // Events that are added later must find room.
    let calls = options.extendable || plan.wanted_calls().next().is_some();
    let own_pid = std::process::id();
    let config = Config {
        self_pid: if options.include_self { 0 } else { own_pid },
        own_pid,
        slots,
        shards: shards(options, cpus),
        wake: u32::try_from(ring_bytes(options, plan, cpus) / 2).unwrap_or(u32::MAX),
        subsys: options.subsys,
        environment: options.environment,
        descriptor_paths: options.descriptor_paths,
        user_stack: options.user_stack,
        limit: options.limit.unwrap_or(u32::MAX),
        capture: options.capture.payload.into(),
        captured: options.capture.kinds.0,
        unclaimed: options.scratch != Scratch::Claimed,
        extendable: options.extendable,
        events: catalogue::EVENTS.iter().map(|e| plan.wanted(e)).collect(),
    };
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let lane = plan.lanes().iter().copied().find(|l| name.starts_with(&format!("{}_", l.name())));
        let set = |what: libbpf_rs::Result<()>| what.map_err(Error::bpf(format!("preparing the map {name}")));
        if let Some(shared) = shared.filter(|_| !name.starts_with('.') && !name.contains(".rodata")) {
            let other = self::map(shared, &name)?;
            set(map.reuse_fd(other.as_fd()))?;
            continue;
        }
        match (lane, name.split_once('_').map_or("", |n| n.1)) {
            (Some(_), "slots") => set(map.set_max_entries(cpus * slots))?,
            (Some(_), "rings") => set(map.set_max_entries(config.shards))?,
            (Some(_), "owners") => set(map.set_max_entries(OWNERS))?,
            // Room for tasks that are in a system call at once; see syscall.bpf.c.
            (Some(_), "calls") if calls => set(map.set_max_entries(TASKS_IN_CALLS))?,
            (Some(_), "desks") if calls => {
                set(map.set_max_entries(cpus * DESKS))?;
            }
            (Some(_), "settled_creds")
                if options.extendable || plan.programs.contains_key("creds_overwritten_exit") =>
            {
                set(map.set_max_entries(TASKS_WITH_CREDS))?;
            }
            (Some(lane), "ledger") => set(map.set_max_entries(cpus * catalogue::probes_in(lane)))?,
            _ if name.ends_with(".rodata") => {
                let data =
                    map.initial_value_mut().ok_or_else(|| Error::Object("no read-only data".into()))?;
                config.write_to(bytes, data)?;
            }
            _ => {}
        }
    }
    if shared.is_some() { Ok(()) } else { share_scratch(open, options.scratch, plan, cpus) }
}

/// Makes the lanes' slots the same memory, for a control.
fn share_scratch(open: &mut OpenObject, scratch: Scratch, plan: &Plan, cpus: u32) -> Result<(), Error> {
    let lanes: &[Lane] = match scratch {
        Scratch::Claimed => return Ok(()),
        Scratch::Shared => plan.lanes(),
        Scratch::PerContext => &[Lane::Life, Lane::Task],
    };
    let mut maps: Vec<_> = open
        .maps_mut()
        .filter(|m| lanes.iter().any(|l| m.name().to_str() == Some(&format!("{}_slots", l.name()))))
        .collect();
    let bytes = maps.iter().map(|m| m.value_size()).max().unwrap_or(0);
    let create = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
        ..Default::default()
    };
    let shared = MapHandle::create(MapType::Array, Some("shared_slots"), 4, bytes, cpus, &create)
        .map_err(Error::bpf("making the shared slots"))?;
    for map in &mut maps {
        map.reuse_fd(shared.as_fd()).map_err(Error::bpf("sharing the slots"))?;
    }
    Ok(())
}

/// Slots for each CPU and lane. Where a program's run ends before what it interrupted goes on, four are enough for task, softirq,
/// hardirq and NMI; where tasks preempt one another inside programs, up to seven runs were seen at once on one CPU (Linux 7.3).
fn slots(features: &Features, options: &Options) -> u32 {
    let model = features.preemption.model;
    let calm = matches!(model, kernel::Model::None | kernel::Model::Voluntary)
        && !features.tracepoint_programs_preemptible();
    match options.scratch {
        Scratch::Claimed => options.slots.unwrap_or(if calm { 4 } else { 8 }).clamp(1, 8),
        Scratch::Shared | Scratch::PerContext => 1,
    }
}

fn shards(options: &Options, cpus: u32) -> u32 {
    options.shards.unwrap_or(cpus).clamp(1, cpus)
}

/// Bytes of one ring: the budget over all lanes and shards, down to a power of two, a page at least.
fn ring_bytes(options: &Options, plan: &Plan, cpus: u32) -> u64 {
    let rings = u64::from(shards(options, cpus)) * plan.lanes().len() as u64;
    let share = (options.buffers / rings).max(rustix::param::page_size() as u64);
    1 << share.ilog2()
}

pub(crate) fn map<'a>(object: &'a Object, name: &str) -> Result<libbpf_rs::Map<'a>, Error> {
    object.maps().find(|m| m.name() == name).ok_or_else(|| Error::Object(format!("no map {name}")))
}

fn make_rings(
    object: &Object,
    options: &Options,
    plan: &Plan,
    cpus: u32,
) -> Result<BTreeMap<Lane, Vec<(OwnedFd, usize)>>, Error> {
    let bytes = ring_bytes(options, plan, cpus);
    let size = u32::try_from(bytes).map_err(|_| Error::Object("a ring of more than 4 GiB".into()))?;
    let create = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
        ..Default::default()
    };
    let mut all = BTreeMap::new();
    for &lane in plan.lanes() {
        let outer = map(object, &format!("{}_rings", lane.name()))?;
        let mut rings = vec![];
        for shard in 0..shards(options, cpus) {
            let what = format!("making a ring of {size} bytes for the {} lane", lane.name());
            let ring = MapHandle::create(
                MapType::RingBuf,
                Some(format!("{}_ring", lane.name())),
                0,
                0,
                size,
                &create,
            )
            .map_err(Error::bpf(what.clone()))?;
            outer
                .update(&shard.to_ne_bytes(), &ring.as_fd().as_raw_fd().to_ne_bytes(), MapFlags::ANY)
                .map_err(Error::bpf(what.clone()))?;
            let fd =
                ring.as_fd().try_clone_to_owned().map_err(|source| Error::File { path: what, source })?;
            rings.push((fd, size as usize));
        }
        all.insert(lane, rings);
    }
    Ok(all)
}

/// `CALLS` and `COMPAT_BASE` of `bpf/lib/syscall.h`.
const CALLS: u32 = 1024;
const COMPAT_BASE: u32 = 512;

/// Tells the programs that handle all system calls what to take of those that are wanted: `struct call_form` of `syscall.bpf.c`.
///
/// Those of a plan before were told already.
fn fill_calls(loaded: &Loaded, before: Option<&Plan>) -> Result<(), Error> {
    let forms = map(&loaded.object, "cfg_calls")?;
    let known =
        |call: &&Call| before.is_some_and(|b| b.wanted_calls().any(|other| other.event == call.event));
    for call in loaded.plan.wanted_calls().filter(|call| !known(call)) {
        let Some(event) = catalogue::EVENTS.get(call.event) else { continue };
        for name in call.names {
            let Some(numbers) = catalogue::syscall(name) else { continue };
            let native = numbers.native.map(|n| (n, false));
            let compat = numbers.compat.map(|n| (n + COMPAT_BASE, true));
            for (number, compat) in native.into_iter().chain(compat) {
                forms
                    .update(
                        &number.to_ne_bytes(),
                        &form(event.id, call, compat.then_some((number, *name))),
                        MapFlags::ANY,
                    )
                    .map_err(Error::bpf(format!("telling the programs of the call {name}")))?;
            }
        }
    }
    Ok(())
}

/// `struct call_form`; of a 32-bit call by its number (with `COMPAT_BASE`) and name.
fn form(event: u16, call: &Call, compat: Option<(u32, &str)>) -> Vec<u8> {
    const MAX_ARGUMENTS: usize = 6;
    const BYTES: u8 = 7;
    const PAIR: u8 = 9;
    const DESCRIPTOR: u8 = 10;
    /// From this number on, 32-bit calls take structures in the layout of 64-bit ones (y2038).
    const NATIVE_TIMES: u32 = COMPAT_BASE + 403;
    let own_name = catalogue::EVENTS.get(call.event).map_or("", |e| e.name);
    // The register of each argument.
    let mut next = 0;
    let registers: Vec<u8> = call
        .arguments
        .iter()
        .map(|a| {
            let register = next;
            next += if a.pair && compat.is_some() { 2 } else { 1 };
            register
        })
        .collect();
    let mut bytes = event.to_ne_bytes().to_vec();
    let flags = u8::from(call.never_returns)
        | u8::from(call.makes_child) << 1
        | u8::from(call.names.iter().any(|n| n.starts_with("execve"))) << 2;
    bytes.extend([call.arguments.len() as u8, flags, 0, 0, 0, 0]);
    for n in 0..MAX_ARGUMENTS {
        let (Some(argument), Some(&register)) = (call.arguments.get(n), registers.get(n)) else {
            bytes.extend([0; 8]);
            continue;
        };
        let size = match compat {
            None => argument.size,
            Some((number, _)) if number >= NATIVE_TIMES => argument.size,
            Some((_, name)) if name != own_name => argument.alias_size,
            Some(_) => argument.compat_size,
        };
        let kind = match argument.kind {
            _ if argument.descriptor.is_some() => DESCRIPTOR,
            // What is of a size that is not known is not read.
            BYTES if size == 0 => 0,
            _ if argument.pair && compat.is_some() => PAIR,
            kind => kind,
        };
        // A count that another argument gives is in that one's register.
        let count = match argument.count {
            of @ (16..=21 | 32..=37 | 40..=45) => {
                let register = registers.get(usize::from(of & 7)).copied().unwrap_or_default();
                of & !7 | register
            }
            other => other,
        };
        bytes.extend([kind, argument.written.into(), count, register]);
        let (size, least) = match argument.descriptor {
            Some(descriptor) => (descriptor.path.into(), descriptor.directory.into()),
            None => (size, argument.least),
        };
        // The catalogue has none that is larger.
        bytes.extend([size, least].map(|n| n as u16).iter().flat_map(|n| n.to_ne_bytes()));
    }
    bytes
}

/// Puts the handlers of system calls where the dispatchers look for them.
///
/// Where they stand already by a plan before, they stay as they are.
fn fill_handlers(loaded: &Loaded, before: Option<&Plan>) -> Result<(), Error> {
    for &program in loaded.plan.programs.values() {
        let (handlers, wanted) = match program.hook {
            Hook::SysEnter => ("cfg_enter_handlers", "cfg_enter_wanted"),
            Hook::SysExit => ("cfg_exit_handlers", "cfg_exit_wanted"),
            _ => continue,
        };
        let function = loaded.plan.function(program);
        let Some(loaded_program) = loaded.code(program) else {
            return Err(Error::Object(format!("no program {function}")));
        };
        let (handlers, wanted) = (map(&loaded.object, handlers)?, map(&loaded.object, wanted)?);
        let before = before.filter(|b| b.programs.contains_key(program.name));
        let known: Vec<&str> = before.iter().flat_map(|b| b.calls(program)).map(|call| call.name).collect();
        for call in loaded.plan.calls(program).filter(|call| !known.contains(&call.name)) {
            for number in call.native.into_iter().chain(call.compat.map(|n| n + COMPAT_BASE)) {
                let at = u32::from(program.stage) * CALLS + number;
                let what = format!("entering the handler {function} of {}", call.name);
                handlers
                    .update(
                        &at.to_ne_bytes(),
                        &loaded_program.as_fd().as_raw_fd().to_ne_bytes(),
                        MapFlags::ANY,
                    )
                    .map_err(Error::bpf(what.clone()))?;
                wanted
                    .update(&number.to_ne_bytes(), &1u32.to_ne_bytes(), MapFlags::ANY)
                    .map_err(Error::bpf(what))?;
            }
        }
    }
    Ok(())
}

/// Attaches what has a hook of its own; the life lane first, so that no process is born unseen between it and the rest.
fn attach(
    features: &Features,
    object: &Object,
    plan: &Plan,
    mut programs: Vec<&'static Program>,
) -> Result<Vec<(&'static Program, Link)>, Refused> {
    let mut links = vec![];
    programs.sort_by_key(|p| (p.lane, p.hook == Hook::DispatchExit, p.name));
    let cgroup = features.cgroup2.mount.as_ref().map(File::open);
    for program in programs {
        let function = plan.function(program);
        let refuse = |why: String| (program, why);
        let Some(code) = object.progs_mut().find(|p| p.name() == function.as_str()) else {
            return Err(refuse(format!("there is no program {function}")));
        };
        let link = match program.hook {
            Hook::SysEnter | Hook::SysExit => continue,
            Hook::TpBtf(_) | Hook::Fentry(_) => code.attach_trace(),
            Hook::DispatchEnter | Hook::DispatchExit if !plan.perf => code.attach_trace(),
            Hook::DispatchEnter => {
                code.attach_tracepoint(libbpf_rs::TracepointCategory::RawSyscalls, "sys_enter")
            }
            Hook::DispatchExit => {
                code.attach_tracepoint(libbpf_rs::TracepointCategory::RawSyscalls, "sys_exit")
            }
            Hook::Tracepoint(name) => match name.split_once('/') {
                Some((group, name)) => {
                    code.attach_tracepoint(libbpf_rs::TracepointCategory::Custom(group.into()), name)
                }
                None => return Err(refuse(format!("{name} is no tracepoint"))),
            },
            Hook::Kprobe(name) => code.attach_kprobe(false, name),
            Hook::Lsm(_) => code.attach_lsm(),
            Hook::Iter(_) => code.attach(),
            Hook::Cgroup(_) => match &cgroup {
                Some(Ok(root)) => code.attach_cgroup(root.as_raw_fd()),
                Some(Err(e)) => return Err(refuse(format!("the root of cgroup v2: {e}"))),
                None => return Err(refuse("cgroup v2 is not mounted".into())),
            },
        };
        match link {
            Ok(link) => links.push((program, link)),
            Err(e) => return Err(refuse(format!("attaching {function}: {e}"))),
        }
    }
    Ok(links)
}
