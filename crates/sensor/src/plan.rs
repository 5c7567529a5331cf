//! Which way each event is taken on this kernel.

use std::collections::{BTreeMap, BTreeSet};

use catalogue::{
    CALLS, Call, Context, EVENTS, Event, Hook, Lane, PROGRAMS, Program, SUPPORTS, Syscall, Tier,
};
use kernel::{Features, HookKind};
use libbpf_rs::btf::{Btf, BtfType};
use serde::Serialize;

/// Tracepoints in which the kernel holds a spinning lock and interrupts are off: a run of a program there is interrupted by none of its own.
const UNDER_LOCK: [&str; 1] = ["sched_switch"];

/// How one event is taken.
#[derive(Debug, Clone, Serialize)]
pub struct Choice {
    /// The event.
    pub event: &'static str,
    /// The tier taken; none if the event can not be taken here.
    #[serde(flatten, serialize_with = "tier_and_probes")]
    pub tier: Option<&'static Tier>,
    /// The better tiers, and why each was not taken.
    pub refused: Vec<Refusal>,
}

/// A tier that was not taken.
#[derive(Debug, Clone, Serialize)]
pub struct Refusal {
    /// Name of the tier.
    pub tier: &'static str,
    /// Why not.
    pub why: String,
    /// It was tried: the kernel did not take one of its programs when it was loaded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tried: bool,
}

/// The tier by its name, what is missed with it, and its programs with their hooks, lanes and contexts.
fn tier_and_probes<S: serde::Serializer>(tier: &Option<&'static Tier>, s: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;
    let mut map = s.serialize_map(Some(3))?;
    map.serialize_entry("tier", &tier.map(|t| t.name))?;
    map.serialize_entry("misses", &tier.map(|t| t.misses))?;
    map.serialize_entry("probes", &tier.map(|t| t.programs))?;
    map.end()
}

/// The programs to load, and why.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// How each event asked for is taken.
    pub choices: Vec<Choice>,
    /// Programs that would serve others, but can not run here, and why.
    pub unsupported: Vec<(&'static str, String)>,
    /// Every program to load, support and dispatchers included, by name.
    pub programs: BTreeMap<&'static str, &'static Program>,
    /// Handlers of system calls are entered by perf tracepoints, because tracepoint programs by BTF can be preempted here.
    pub perf: bool,
}

impl Plan {
    /// The name of a program's function in the object that is to be loaded.
    pub fn function(&self, program: &Program) -> String {
        match (program.is_syscall(), self.perf) {
            (true, true) => format!("{}__perf", program.name),
            (true, false) => format!("{}__btf", program.name),
            _ => program.name.to_string(),
        }
    }

    /// The system calls that a handler of them is asked for. The two that handle all calls are asked for those whose events are wanted.
    pub fn calls(&self, program: &Program) -> impl Iterator<Item = &'static Syscall> {
        let generic = program.handles_all_calls();
        let exits = program.hook == Hook::SysExit;
        let wanted = self.wanted_calls().filter(move |c| generic && !(exits && c.never_returns));
        // A call that executes a program comes back under the number of another one (set_personality_ia32 and its like).
        let executes = wanted.clone().any(|c| exits && c.names.contains(&"execveat"));
        let more = if executes { &["execve"][..] } else { &[] };
        let own = if generic { &[][..] } else { program.syscalls };
        let names = wanted.flat_map(|c| c.names).chain(more).chain(own);
        names.filter_map(|name| catalogue::syscall(name))
    }

    /// The system calls whose events are taken.
    pub fn wanted_calls(&self) -> impl Iterator<Item = &'static Call> + Clone {
        CALLS.iter().filter(|call| {
            let event = EVENTS.get(call.event).map_or("", |e| e.name);
            self.choices.iter().any(|c| c.event == event && c.tier.is_some())
        })
    }

    /// What the kernel's table of wanted events says of one: 1 if it is wanted, and 2 if a program that serves others tells of it too.
    pub fn wanted(&self, event: &Event) -> u8 {
        let Some(choice) = self.choices.iter().find(|c| c.event == event.name) else { return 0 };
        let own = choice.tier.map_or(&[][..], |t| t.programs);
        let helped = SUPPORTS.iter().any(|s| {
            s.tells
                && self.programs.contains_key(s.program.get().name)
                && s.serves.iter().any(|p| own.contains(p))
        });
        1 | u8::from(helped) << 1
    }

    /// The lanes that need memory: that of captured bytes only where any are captured.
    pub fn lanes(&self) -> &'static [Lane] {
        let captures = self.programs.values().any(|p| p.lane == Lane::Bulk);
        if captures { &Lane::ALL } else { &[Lane::Life, Lane::Task, Lane::Net] }
    }

    /// Events that are taken in a lesser way than this kernel promised, because it did not take a program.
    pub fn lesser(&self) -> impl Iterator<Item = (&Choice, &'static Tier, &Refusal)> {
        self.choices
            .iter()
            .filter_map(|c| Some((c, c.tier?)))
            .flat_map(|(c, tier)| c.refused.iter().filter(|r| r.tried).map(move |r| (c, tier, r)))
    }

    /// Events asked for that can not be taken on this kernel.
    pub fn missing(&self) -> impl Iterator<Item = &Choice> {
        self.choices.iter().filter(|c| c.tier.is_none())
    }
}

/// What stands in the way of a program here: asked of the kernel once for each hook, kept.
pub struct Planner<'a> {
    features: &'a Features,
    /// Functions of the kernel, and why they can not be probed.
    functions: BTreeMap<&'static str, Option<String>>,
    /// The kernel's types, once they were asked; `None` inside: it has none that can be read.
    btf: Option<Option<Btf<'static>>>,
    /// Programs that the kernel refused, and what it said.
    refused: BTreeMap<&'static str, String>,
    avoided: Vec<String>,
    /// Numbers of events that are not shown.
    hidden: Vec<u16>,
}

impl<'a> Planner<'a> {
    /// A planner for the kernel with those features.
    pub fn new(features: &'a Features) -> Self {
        Self {
            features,
            functions: BTreeMap::new(),
            btf: None,
            refused: BTreeMap::new(),
            avoided: vec![],
            hidden: vec![],
        }
    }

    /// Does not take events by the tiers of those names: how tests see the tiers below the best.
    pub fn avoid(mut self, tiers: &[String]) -> Self {
        self.avoided = tiers.to_vec();
        self
    }

    /// Takes the events of those numbers for the user side's own use only, without the programs that add to what is shown of them.
    pub fn hide(mut self, events: &[u16]) -> Self {
        self.hidden = events.to_vec();
        self
    }

    /// Does not plan with that program again.
    pub fn refuse(&mut self, program: &'static Program, why: String) {
        self.refused.insert(program.name, why);
    }

    /// It was refused already.
    pub fn refuses(&self, program: &Program) -> bool {
        self.refused.contains_key(program.name)
    }

    /// Plans for the events of those numbers.
    pub fn plan(&mut self, events: impl Fn(&Event) -> bool) -> Plan {
        let perf = self.perf();
        let mut plan = Plan { perf, ..Plan::default() };
        let mut shown = BTreeSet::new();
        for event in EVENTS.iter().filter(|e| events(e)) {
            let choice = self.choose(event);
            for program in choice.tier.iter().flat_map(|t| t.programs) {
                plan.programs.insert(program.get().name, program.get());
                if !self.hidden.contains(&event.id) {
                    shown.insert(program.get().name);
                }
            }
            plan.choices.push(choice);
        }
        for support in SUPPORTS {
            let program = support.program.get();
            if !support.serves.iter().any(|p| shown.contains(p.get().name)) {
                continue;
            }
            match self.obstacle(program) {
                None => drop(plan.programs.insert(program.name, program)),
                Some(why) => plan.unsupported.push((program.name, why)),
            }
        }
        for (handler, dispatcher) in
            [(Hook::SysEnter, Hook::DispatchEnter), (Hook::SysExit, Hook::DispatchExit)]
        {
            if plan.programs.values().any(|p| p.hook == handler) {
                plan.programs.extend(PROGRAMS.iter().filter(|p| p.hook == dispatcher).map(|p| (p.name, p)));
            }
        }
        plan
    }

    /// Handlers of system calls by perf tracepoint: where the others can be preempted (and skipped then), or do not exist.
    fn perf(&self) -> bool {
        let tracepoint = self.features.hook(HookKind::Tracepoint);
        tracepoint
            && (self.features.tracepoint_programs_preemptible() || !self.features.hook(HookKind::TpBtf))
    }

    /// The first tier that works and that the kernel never skips; else the first that works.
    fn choose(&mut self, event: &Event) -> Choice {
        let mut refused = vec![];
        let mut skippable: Option<(usize, &'static Tier)> = None;
        for tier in event.tiers {
            let avoided =
                self.avoided.iter().any(|a| a == tier.name).then(|| "left out as asked".to_string());
            let obstacle = avoided.or_else(|| tier.programs.iter().find_map(|p| self.obstacle(p.get())));
            if let Some(why) = obstacle {
                let tried = tier.programs.iter().any(|p| self.refuses(p.get()));
                refused.push(Refusal { tier: tier.name, why, tried });
            } else if tier.programs.iter().any(|p| self.can_be_skipped(p.get())) {
                refused.push(Refusal {
                    tier: tier.name,
                    why: "its programs can be interrupted by another run of theirs, and that is skipped then"
                        .into(),
                    tried: false,
                });
                skippable = skippable.or(Some((refused.len(), tier)));
            } else {
                return Choice { event: event.name, tier: Some(tier), refused };
            }
        }
        match skippable {
            Some((place, tier)) => {
                refused.truncate(place - 1);
                Choice { event: event.name, tier: Some(tier), refused }
            }
            None => Choice { event: event.name, tier: None, refused },
        }
    }

    /// The kernel guards these programs: a run is skipped while another is unfinished on its CPU. That happens where tasks preempt one
    /// another inside programs, and, on every kernel, where softirqs run the programs that they interrupt.
    fn can_be_skipped(&self, program: &Program) -> bool {
        let in_interrupts = program.contexts.iter().any(|&c| c != Context::Task);
        match program.hook {
            Hook::TpBtf(name) if UNDER_LOCK.contains(&name) => false,
            Hook::TpBtf(_) | Hook::Fentry(_) => {
                in_interrupts || self.features.tracepoint_programs_preemptible()
            }
            Hook::Tracepoint(_) | Hook::Kprobe(_) => in_interrupts,
            _ => false,
        }
    }

    /// Why that program can not run here.
    fn obstacle(&mut self, program: &Program) -> Option<String> {
        if let Some(why) = self.refused.get(program.name) {
            return Some(why.clone());
        }
        let hook = match program.hook {
            Hook::TpBtf(_) => HookKind::TpBtf,
            Hook::Tracepoint(_) => HookKind::Tracepoint,
            Hook::Kprobe(_) => HookKind::Kprobe,
            Hook::Fentry(_) => HookKind::Fentry,
            Hook::Lsm(_) => HookKind::Lsm,
            Hook::Iter(_) => HookKind::Iter,
            Hook::Cgroup(name) if name.starts_with("cgroup_skb") => HookKind::CgroupSkb,
            Hook::Cgroup("cgroup/sock_create") => HookKind::CgroupSock,
            Hook::Cgroup("cgroup/sock_ops") => HookKind::SockOps,
            Hook::Cgroup(_) => HookKind::CgroupSockAddr,
            Hook::SysEnter | Hook::SysExit | Hook::DispatchEnter | Hook::DispatchExit if self.perf() => {
                HookKind::Tracepoint
            }
            Hook::SysEnter | Hook::SysExit | Hook::DispatchEnter | Hook::DispatchExit => HookKind::TpBtf,
        };
        if let Some(why) = self.features.hooks.get(&hook).and_then(|s| s.why()) {
            return Some(why.to_string());
        }
        let tracepoint = match program.hook {
            Hook::TpBtf(name) => name,
            Hook::Tracepoint(name) => name.split_once('/').map_or(name, |(_, name)| name),
            _ => "",
        };
        if UNDER_LOCK.contains(&tracepoint)
            && let Some(why) = self.features.rings_under_locks.why()
        {
            return Some(format!("the kernel holds a lock in the tracepoint {tracepoint}, and {why}"));
        }
        match program.hook {
            Hook::TpBtf(name) => (!self.in_btf(&format!("btf_trace_{name}")))
                .then(|| format!("this kernel has no tracepoint {name}")),
            Hook::Lsm(name) => (!self.in_btf(&format!("bpf_lsm_{name}")))
                .then(|| format!("this kernel has no LSM hook {name}")),
            Hook::Tracepoint(name) => {
                let mount = self.features.tracefs.mount.as_ref()?;
                (!mount.join("events").join(name).exists())
                    .then(|| format!("this kernel has no tracepoint {name}"))
            }
            Hook::Kprobe(name) => {
                self.functions.entry(name).or_insert_with(|| kernel::probe_function(name).err()).clone()
            }
            _ => None,
        }
    }

    /// The kernel's types have a function or a type definition of that name.
    fn in_btf(&mut self, name: &str) -> bool {
        let btf = self.btf.get_or_insert_with(|| Btf::from_vmlinux().ok());
        btf.as_ref().is_some_and(|btf| btf.type_by_name::<BtfType<'_>>(name).is_some())
    }
}
