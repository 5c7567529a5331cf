//! Triggers: for each event of the catalogue an act that causes it, and what must be told of it then.
//!
//! They stand in `families/*/triggers.rs`, beside the events that they cause. The build of the catalogue fails where an event has none.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use catalogue::{EVENTS, Event, Tier};
use serde_json::Value;

use crate::{Account, Act, Line, Lines, Watch};

/// How one event is caused, and what must be told of it.
#[derive(Clone, Copy)]
pub struct Trigger {
    /// Name of the event.
    pub event: &'static str,
    /// Causes it; in a process of its own, in an empty folder that is its working directory.
    pub act: fn(&Path),
    /// Fails if what is told is not what happened.
    pub check: fn(&Told<'_>),
    /// What the act needs and this machine lacks, if anything.
    pub needs: fn() -> Result<(), String>,
    /// The end-to-end test that causes the event instead, where it needs a watch of its own.
    pub elsewhere: Option<&'static str>,
}

impl Trigger {
    /// For what a trigger does not say.
    pub const NONE: Trigger =
        Trigger { event: "", act: |_| {}, check: |_| {}, needs: || Ok(()), elsewhere: None };
}

/// What was told of one event.
pub struct Told<'a> {
    /// Its name.
    pub event: &'static str,
    /// The folder of the act.
    pub dir: &'a Path,
    /// The tier by which it was taken.
    pub tier: &'static str,
    /// The act's process; what it started is of another.
    pub pid: u32,
    /// The event's lines, as far as they come of the act's processes.
    pub lines: Lines,
}

impl Told<'_> {
    /// The only line of which a field has that value.
    pub fn one(&self, field: &str, value: impl Into<Value>) -> &Line {
        self.lines.one(self.event, field, value)
    }

    /// The lines of which a field has that value.
    pub fn with(&self, field: &str, value: impl Into<Value>) -> Vec<&Line> {
        self.lines.with(self.event, field, value)
    }

    /// The first line; there must be one.
    pub fn any(&self) -> &Line {
        assert!(!self.lines.0.is_empty(), "{} was not told", self.event);
        &self.lines.0[0]
    }

    /// The path of a name in the act's folder.
    pub fn path(&self, name: &str) -> Value {
        self.dir.join(name).to_str().unwrap().into()
    }
}

macro_rules! families {
    ($($name:ident $path:literal)*) => {
        $(
            #[path = $path]
            mod $name;
        )*
        /// The families, and their triggers.
        pub const FAMILIES: &[(&str, &[Trigger])] = &[$((stringify!($name), $name::TRIGGERS)),*];
    };
}
families!(
    bpf "../../../families/bpf/triggers.rs"
    capture "../../../families/capture/triggers.rs"
    container "../../../families/container/triggers.rs"
    cred "../../../families/cred/triggers.rs"
    file "../../../families/file/triggers.rs"
    flow "../../../families/flow/triggers.rs"
    integrity "../../../families/integrity/triggers.rs"
    io_uring "../../../families/io_uring/triggers.rs"
    ledger "../../../families/ledger/triggers.rs"
    library "../../../families/library/triggers.rs"
    log "../../../families/log/triggers.rs"
    memory "../../../families/memory/triggers.rs"
    module "../../../families/module/triggers.rs"
    namespace "../../../families/namespace/triggers.rs"
    net "../../../families/net/triggers.rs"
    packet "../../../families/packet/triggers.rs"
    process "../../../families/process/triggers.rs"
    system "../../../families/system/triggers.rs"
);

fn triggers(family: &str) -> &'static [Trigger] {
    FAMILIES.iter().find(|(name, _)| *name == family).unwrap().1
}

/// The act `triggers`: performs each trigger of a family that this machine can, each in a child process and a folder of its own.
pub(crate) fn perform(dir: &Path, args: &[String]) {
    for trigger in triggers(&args[0]) {
        if trigger.elsewhere.is_some() || (trigger.needs)().is_err() {
            continue;
        }
        let own = dir.join(trigger.event);
        fs::create_dir(&own).unwrap();
        // SAFETY: this process has one thread; the child acts and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            std::env::set_current_dir(&own).unwrap();
            let done = catch_unwind(|| (trigger.act)(&own)).is_ok();
            // SAFETY: ends the child without unwinding into its parent's code.
            unsafe { libc::_exit(i32::from(!done)) };
        }
        fs::write(own.with_extension("pid"), child.to_string()).unwrap();
        let mut status = 0;
        // SAFETY: a child of ours, and a live place for its status.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        // An act may end by a signal or an execution on purpose: its check sees whether the act was done.
        if status != 0 {
            println!("{}: the act ended with {status:#x}", trigger.event);
        }
    }
}

/// What came of one trigger.
pub struct Outcome {
    /// The event.
    pub event: &'static str,
    /// The tier by which it was taken; none if it can not be taken here.
    pub tier: Option<&'static str>,
    /// Why it was not tried, or in what it failed.
    pub result: Result<(), Failure>,
    /// A line that was told.
    pub example: Option<Line>,
}

/// Why a trigger did not pass.
pub enum Failure {
    /// It was not tried.
    Skipped(String),
    /// What was told is wrong.
    Wrong(String),
}

/// Performs all triggers of a family under one watch that takes no events by the tiers in `avoid`, and checks what is told of each.
pub fn conform(family: &str, avoid: &str) -> Vec<Outcome> {
    let names: Vec<&str> =
        EVENTS.iter().filter(|e| e.family == family && !e.always).map(|e| e.name).collect();
    let mut act = Act::new("triggers", &[family.to_string()]);
    let tree = format!("tree={}", act.pid());
    let names = names.join(",");
    let mut options = vec!["--events", &names, "--scope", &tree, "--avoid", avoid];
    if family == "library" {
        options.extend(["--symbols", "fopen"]);
    }
    let watch = Watch::start(&options);
    act.perform();
    let account = watch.stop();
    account.assert_clean();
    triggers(family).iter().map(|trigger| judge(trigger, &account, &act)).collect()
}

/// The line is of that process, or of one that descends from it.
fn descends(line: &Line, pid: u64) -> bool {
    let ancestors = line.process("/ancestors").as_array();
    let up = ancestors.into_iter().flatten().map(|a| &a["host_pid"]);
    [line.process("/host_pid"), line.process("/host_ppid")].into_iter().chain(up).any(|id| *id == pid)
}

fn judge(trigger: &Trigger, account: &Account, act: &Act) -> Outcome {
    let event = catalogue::event(trigger.event).unwrap();
    let tier = taken_by(event, account).map(|t| t.name);
    let mut outcome = Outcome { event: event.name, tier, result: Ok(()), example: None };
    let skip = |why: &str| Err(Failure::Skipped(why.to_string()));
    if let Some(test) = trigger.elsewhere {
        outcome.result = skip(&format!("caused by the test {test}"));
        return outcome;
    }
    if let Err(why) = (trigger.needs)() {
        outcome.result = skip(&why);
        return outcome;
    }
    let Some(tier) = tier else {
        outcome.result = skip("this kernel has no hook for it");
        return outcome;
    };
    let dir = act.dir.path().join(trigger.event);
    let pid: u64 = fs::read_to_string(dir.with_extension("pid")).unwrap().parse().unwrap();
    let of_act = |line: &&Line| descends(line, pid);
    let lines = Lines(account.lines.of(event.name).into_iter().filter(of_act).cloned().collect());
    outcome.example = lines.0.first().cloned();
    let told = Told { event: event.name, dir: &dir, tier, pid: pid as u32, lines };
    outcome.result = catch_unwind(AssertUnwindSafe(|| (trigger.check)(&told)))
        .map_err(|panic| Failure::Wrong(format!("{}\ntold: {:?}", said(&*panic), told.lines.0)));
    outcome
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_string())).unwrap_or_default()
}

/// The tier of an event of which the first program has rows in a ledger: it is of this tier only. Those beside it may have had nothing to do.
fn taken_by(event: &Event, account: &Account) -> Option<&'static Tier> {
    let rows = account.ledger["rows"].as_array().unwrap();
    let loaded = |name: &str| rows.iter().any(|r| r["probe"] == name);
    let tiers: &'static [Tier] = event.tiers;
    tiers.iter().find(|t| t.programs.first().is_none_or(|p| loaded(p.get().name)))
}
