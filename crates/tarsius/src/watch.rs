//! `tarsius watch`: records in, events out, and the account at the end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ::control::{Request, Server};
use anyhow::Context as _;
use catalogue::Lane;
use catalogue::fields::{existing_process, net_packet_capture, net_packet_dns_response};
use context::{Change, Clock, Container, Context, ProcessKey};
use detect::{Detectors, Found};
use event::{Event, Origin};
use kernel::Features;
use output::{LedgerSummary, LossRow, Outputs, Summary};
use packet::Dissector;
use policy::{Facts, Matched, Mode, Policies, Selection, Store, Wanted, Whose};
use sensor::{Ledger, Loss, Sensor};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use stacks::Stacks;

use crate::baselines::Kept;
use crate::cli::{Colour, Enrichment, Watch};
use crate::helpers::{self, Helpers, Lines, Seen};
use crate::policies::{self, Files};
use crate::scope::IDENTITY;
use crate::{artifacts, container, control, detectors, enforce, lost, resolved, scope};

/// How long to wait for a filled ring before looking anyway.
const LOOK: Duration = Duration::from_millis(20);
/// The same while records wait for a helper.
const SOON: Duration = Duration::from_millis(1);
/// No event comes so long after it happened, if it comes: nanoseconds. A ring is looked at more often, and no helper is waited for so long.
const LATE: u64 = 2_000_000_000;
/// How often the ledger is read for losses.
const ACCOUNT: Duration = Duration::from_secs(1);
/// A finding is less sure for so long after a loss: nanoseconds.
pub(crate) const DEGRADED: u64 = 60_000_000_000;
/// Exit code of `--fail-on-loss` when anything was lost.
const LOST: u8 = 3;

/// Watches until it is told to stop.
pub(crate) fn run(options: &Watch) -> anyhow::Result<ExitCode> {
    // What can be wrong with the command line is said before anything is loaded.
    // Looked at before they are read: what changes from here on is seen.
    let mut files = Files::new(&policies::paths(options));
    let mut hash = policies::hash(options);
    let (policies, mut in_force) = policies::load(options)?;
    let selection = policies.selection();
    // What is shown, and what detectors look at.
    let needed = needed(&policies, &in_force);
    let artifacts = artifacts::options(options, &selection)?;
    let lines = Lines::start(options, &needed)?;
    let outputs = open_outputs(options)?;
    let control = open_control(options)?;
    // With policies to be read again, a hang-up asks for that; otherwise it ends the watch, as it does everything else.
    let again = Arc::new(AtomicBool::new(false));
    let stop = if policies::paths(options).is_empty() {
        stop_on(&[SIGINT, SIGTERM, SIGHUP])?
    } else {
        signal_hook::flag::register(SIGHUP, Arc::clone(&again)).context("handling signals")?;
        stop_on(&[SIGINT, SIGTERM])?
    };

    let mut features = Features::probe();
    if options.naive_attachment {
        features.preemption.tracepoint_programs_preemptible = Some(false);
    }
    let context = Context::new()?;
    let kept = |path: &PathBuf| Kept::begin(path, &mut in_force, &context.clock);
    let mut baselines = options.baselines.as_ref().map(kept).transpose()?;
    let sensor_options = sensor::Options {
        buffers: options.buffers,
        environment: options.enrichment.contains(&Enrichment::Environment) || in_force.request("environment"),
        descriptor_paths: options.enrichment.contains(&Enrichment::DescriptorPaths)
            || in_force.request("fd-paths"),
        user_stack: options.user_stacks(),
        include_self: options.include_self,
        subsys: sensor::subsys_of(context.containers.hierarchy().controller())?,
        slots: options.slots,
        limit: options.limit,
        avoid: options.avoid.clone(),
        // Policies that come later may show them.
        hidden: IDENTITY
            .into_iter()
            .filter(|&event| options.policy.is_empty() && !needed.contains(event))
            .collect(),
        // Policies that are read again may want more.
        extendable: !policies::paths(options).is_empty(),
        capture: artifacts::capture(&artifacts, &selection),
        ..sensor::Options::default()
    };
    let named = ask_names(&selection, &policies, &in_force);
    let taken = Taken { needed, named, captures: artifacts.network };
    let mut sensor = Sensor::start(&features, &sensor_options, |e| taken.takes(e, options))?;
    let dissector = Dissector::new(|event| taken.makes(event));
    let helpers = Helpers::start(options, &taken.needed, &artifacts, lines, &features)?;
    let mut pipeline = Pipeline {
        cgroups: 0,
        wanted: Wanted::default(),
        whole: taken.whole(options),
        context,
        selection,
        policies,
        detectors: in_force,
        found: vec![],
        told_found: HashMap::new(),
        last_loss: None,
        outputs,
        counts: HashMap::new(),
        undecoded: vec![],
        executed: vec![],
        executables_untold: false,
        dissector,
        helpers,
        stacks: options
            .user_stacks()
            .then(Stacks::start)
            .transpose()
            .context("starting the thread that reads symbols")?,
        told_lost: HashMap::new(),
        told_suppressed: HashMap::new(),
    };
    let mut kernel = KernelSide { features, options: sensor_options, taken };
    pipeline.context.max_ancestors = options.ancestry();
    // Told only once the trees are known, for which every process must be.
    let mut existing = vec![];
    sensor.existing(|record| {
        pipeline.learn(record);
        if pipeline.selection.contains(existing_process::EVENT_ID) {
            existing.push(record.to_vec());
        }
    })?;
    // Again, for the cgroups made since the first walk.
    pipeline.context.containers.walk()?;
    let containers: Vec<_> = pipeline.context.containers.iter().cloned().collect();
    scope::begin(&mut pipeline, &mut sensor)?;
    existing.iter().for_each(|record| pipeline.tell(record));
    pipeline.made_here(&integrity::info(env!("CARGO_PKG_VERSION")));
    pipeline.made_here(&integrity::init_namespaces());
    containers.iter().for_each(|c| pipeline.found(c));
    announce(&sensor, &mut pipeline, options, kernel.taken.captures);

    let started = Instant::now();
    let mut accounted = started;
    let mut account = Ledger::default();
    let due = |started: Instant| options.duration.is_some_and(|d| started.elapsed() >= d);
    while !stop.load(Ordering::Relaxed) && !pipeline.outputs.closed() && !due(started) {
        let look = if pipeline.waits() { SOON } else { LOOK };
        sensor.wait(look.min(options.duration.map_or(look, |d| d.saturating_sub(started.elapsed()))));
        pipeline.round(&mut sensor);
        if let Some(control) = &control {
            control.serve(|request, answer| match request {
                Request::Reload => {
                    let changed = pipeline.change(&mut sensor, options, &mut kernel, &mut hash);
                    let changed = changed.map_err(|e| format!("the policies stay as they were: {e:#}"))?;
                    answer.row(control::reloaded(&hash, changed, pipeline.policies.names()));
                    Ok(())
                }
                Request::Mode { policy, mode } => {
                    let changed = pipeline.switch(&mut sensor, &policy, &mode)?;
                    answer.row(control::switched(&policy, &mode, changed));
                    Ok(())
                }
                question => control::answer(&pipeline.context, &pipeline.detectors, question, answer),
            });
        }
        if accounted.elapsed() >= ACCOUNT {
            accounted = Instant::now();
            pipeline.context.clock.measure_again();
            pipeline.context.users.refresh();
            account = pipeline.account(&sensor, account);
            pipeline.miss(Clock::now().saturating_sub(LATE));
            scope::sift_again(&mut pipeline, &mut sensor);
            if let Some(kept) = &mut baselines {
                kept.keep(&pipeline.detectors, &pipeline.context.clock);
            }
            let asked = again.swap(false, Ordering::Relaxed);
            if files.changed() || asked {
                match pipeline.change(&mut sensor, options, &mut kernel, &mut hash) {
                    Ok(_) => {}
                    Err(error) => eprintln!("tarsius: the policies stay as they were: {error:#}"),
                }
            }
        }
    }
    sensor.finish(|record| pipeline.take(record));
    pipeline.settle();
    pipeline.note_undecoded(&mut sensor);
    for record in pipeline.helpers.finish(&mut pipeline.context) {
        pipeline.made_here(&record);
    }
    pipeline.helpers.complain();
    account = pipeline.account(&sensor, account);
    // Once it is known what was lost: what did not come may be among it.
    pipeline.miss(Clock::now());
    if let Some(kept) = baselines {
        kept.finish(&pipeline.detectors, &pipeline.context.clock);
    }
    pipeline.outputs.finish();
    pipeline.say();
    if let Some(path) = &options.ledger {
        let text = serde_json::to_string_pretty(&account)?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("writing the ledger to {}", path.display()))?;
    }
    pipeline.summarise(&account, started.elapsed());
    if pipeline.context.dns.forgotten() > 0 {
        eprintln!(
            "tarsius: the names of {} addresses were forgotten before their time: too many were resolved",
            pipeline.context.dns.forgotten()
        );
    }
    pipeline.say_unresolved();
    detectors::say_undecided(&pipeline.detectors);
    let lost = !account.clean()
        || pipeline.lost_here().any(|l| l.count > 0)
        || pipeline.outputs.counts().iter().any(|s| s.dropped > 0);
    Ok(if lost && options.fail_on_loss { ExitCode::from(LOST) } else { ExitCode::SUCCESS })
}

/// What was asked of the kernel at start, and has been since.
struct KernelSide {
    features: Features,
    options: sensor::Options,
    taken: Taken,
}

/// What is taken of the kernel.
struct Taken {
    /// For policies and detectors.
    needed: Selection,
    /// DNS answers, by which addresses have names.
    named: bool,
    /// Packets for files.
    captures: bool,
}

impl Taken {
    fn takes(&self, e: &catalogue::Event, options: &Watch) -> bool {
        self.needed.contains(e.id) || IDENTITY.contains(&e.id) || self.otherwise(e, options)
    }

    /// Whether it is to be made of packets.
    fn makes(&self, event: u16) -> bool {
        self.needed.contains(event) || event == net_packet_dns_response::EVENT_ID && self.named
    }

    /// Events that are not only for those who look at them: of these, the kernel leaves out none.
    fn whole(&self, options: &Watch) -> Vec<u16> {
        let whole = |e: &&catalogue::Event| scope::is_always_whole(e) || self.otherwise(e, options);
        catalogue::EVENTS.iter().filter(whole).map(|e| e.id).collect()
    }

    /// Something goes by the event beside policies and detectors.
    fn otherwise(&self, e: &catalogue::Event, options: &Watch) -> bool {
        helpers::need(e.id, options, &self.needed)
            || self.named && e.id == net_packet_dns_response::EVENT_ID
            || self.captures && e.id == net_packet_capture::EVENT_ID
    }
}

/// The events that are shown, and those that detectors look at.
fn needed(policies: &Policies, detectors: &Detectors) -> Selection {
    let (shown, looked_at) = (policies.selection(), detectors.selection());
    Selection::of(shown.iter().chain(looked_at.iter()).map(|e| e.id))
}

/// Whether it is asked what addresses are called, which answers of DNS tell.
fn ask_names(selection: &Selection, policies: &Policies, detectors: &Detectors) -> bool {
    resolved::NAMED.iter().any(|&e| selection.contains(e))
        || policies.asks(Store::Dns)
        || detectors.asks(Store::Dns)
}

/// Says on standard error that the watch has begun, and what is not to be expected of it.
fn announce(sensor: &Sensor, pipeline: &mut Pipeline, options: &Watch, captures: bool) {
    for choice in sensor.plan().missing().filter(|c| pipeline.selects(c.event)) {
        let why: Vec<String> = choice.refused.iter().map(|r| format!("{}: {}", r.tier, r.why)).collect();
        eprintln!("tarsius: {} can not be taken on this kernel ({})", choice.event, why.join("; "));
    }
    for (choice, tier, refusal) in sensor.plan().lesser().filter(|(c, ..)| pipeline.selects(c.event)) {
        eprintln!(
            "tarsius: {} is taken by {}, not by {}: {}",
            choice.event, tier.name, refusal.tier, refusal.why
        );
    }
    pipeline.helpers.complain();
    if captures && sensor.plan().missing().any(|c| c.event == "net_packet_capture") {
        eprintln!("tarsius: packets can not be captured on this kernel");
    }
    for (program, why) in &sensor.plan().unsupported {
        eprintln!("tarsius: without {program}: {why}");
    }
    let own =
        if options.include_self { "" } else { "; its own activity is left out (--include-self shows it)" };
    let events = pipeline.selection.iter().filter(|e| !e.always).count();
    let what = match (events, pipeline.detectors.iter().count()) {
        (events, 0) => format!("{events} kinds of events"),
        (0, detectors) => format!("by {detectors} detectors"),
        (events, detectors) => format!("{events} kinds of events, and by {detectors} detectors"),
    };
    eprintln!("tarsius: watching {what}{own}; Ctrl-C ends");
}

fn open_outputs(options: &Watch) -> anyhow::Result<Outputs> {
    let specs = options.output.iter().map(|s| output::Spec::parse(s)).collect::<Result<Vec<_>, _>>()?;
    let colour = match options.color {
        Colour::Auto => output::Colour::Auto,
        Colour::Always => output::Colour::Always,
        Colour::Never => output::Colour::Never,
    };
    Ok(Outputs::open(&specs, output::Options { colour, wide: options.wide })?)
}

/// The control socket. One that was not asked for may be missing; that is said.
fn open_control(options: &Watch) -> anyhow::Result<Option<Server>> {
    match &options.control {
        Some(path) if path.as_os_str() == "none" => Ok(None),
        Some(path) => Ok(Some(Server::bind(path)?)),
        None if !rustix::process::geteuid().is_root() => Ok(None),
        None => Ok(Server::bind(Path::new(::control::DEFAULT_PATH))
            .inspect_err(|error| eprintln!("tarsius: `tarsius query` will not be answered: {error}"))
            .ok()),
    }
}

/// Set once one of these signals comes.
pub(crate) fn stop_on(signals: &[i32]) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for &signal in signals {
        // A second signal ends the program at once, in case the first is not heeded.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .context("handling signals")?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("handling signals")?;
    }
    Ok(stop)
}

/// Decodes, learns, selects, gives out.
pub(crate) struct Pipeline {
    pub(crate) context: Context,
    selection: Selection,
    pub(crate) policies: Policies,
    pub(crate) detectors: Detectors,
    /// Events of which the kernel leaves out none, whatever policies want of them.
    pub(crate) whole: Vec<u16>,
    /// How many cgroups there were when the kernel was told of them.
    pub(crate) cgroups: usize,
    /// What policies want done about the event at hand.
    wanted: Wanted,
    /// What was found in the event at hand.
    found: Vec<Found>,
    /// How often what was found was told, by its name.
    told_found: HashMap<Arc<str>, u64>,
    /// When the last loss was noticed; boot clock, ns.
    last_loss: Option<u64>,
    outputs: Outputs,
    counts: HashMap<u16, u64>,
    undecoded: Vec<Vec<u8>>,
    /// Processes that were made, have executed something, or have ended, since the kernel was told what they run.
    pub(crate) executed: Vec<ProcessKey>,
    /// It was said that the kernel could not be told.
    pub(crate) executables_untold: bool,
    /// Makes events of packets.
    dissector: Dissector,
    /// Work beside the stream.
    helpers: Helpers,
    /// Names of what is on user stacks, for which records wait.
    stacks: Option<Stacks>,
    /// What was lost here, as far as it was told.
    told_lost: HashMap<&'static str, u64>,
    /// What policies held back, as far as it was told.
    told_suppressed: HashMap<(Arc<str>, policy::Cause), u64>,
}

impl Pipeline {
    /// Takes a record, which may have to wait for names.
    pub(crate) fn take(&mut self, record: &[u8]) {
        let (selection, detectors, symbols) = (&self.selection, &self.detectors, &mut self.context.symbols);
        let shown = |event| selection.contains(event) || detectors.look_at(event);
        if self.stacks.as_mut().is_none_or(|stacks| stacks.pass(record, shown, symbols)) {
            self.record(record);
        }
        self.release();
    }

    /// Goes on with what waits for nothing any more.
    fn release(&mut self) {
        while let Some(stacks) = self.stacks.as_mut().filter(|s| s.waits()) {
            stacks.learn(&mut self.context.symbols);
            match stacks.next(&self.context.symbols) {
                Some(record) => self.record(&record),
                None => return,
            }
        }
    }

    /// Whether records wait.
    fn waits(&self) -> bool {
        self.stacks.as_ref().is_some_and(Stacks::waits)
    }

    /// Goes on with all that waits; that takes [`stacks::WAIT`] at most.
    pub(crate) fn settle(&mut self) {
        self.release();
        while self.waits() {
            std::thread::sleep(SOON);
            self.release();
        }
    }

    fn record(&mut self, record: &[u8]) {
        let Some((event, change)) = self.learn(record) else { return };
        if self.helpers.look_at(event.definition.id) {
            let in_scope = self.policies.in_any_scope(&event, &self.context);
            self.helpers.observe(&Seen { event: &event, in_scope, context: &self.context });
        }
        self.choose(&event);
        if let Some(change) = change {
            if let Change::Made(container) = &change {
                self.helpers.container(container);
            }
            self.tell(&container::changed(&change, &event.header, &self.context));
        }
        let mut made = vec![];
        self.dissector.dissect(&event, |record| made.push(record.to_vec()));
        for record in made {
            if let Ok(event) = Event::decode(&record) {
                self.context.observe(&event);
                self.choose(&event);
            }
        }
    }

    /// The event in a record, and the container that came or went with it, once what it says of processes and containers is
    /// known.
    fn learn<'a>(&mut self, record: &'a [u8]) -> Option<(Event<'a>, Option<Change>)> {
        let Ok(event) = Event::decode(record) else {
            // Its header is enough for the ledger.
            self.undecoded.push(record.iter().copied().take(sensor::HEAD_BYTES).collect());
            return None;
        };
        let change = self.context.observe(&event);
        if IDENTITY.contains(&event.definition.id) {
            self.executed.extend(context::born(&event).or_else(|| context::process_of(&event.header)));
        }
        Some((event, change))
    }

    /// Gives out a record of which nothing is to be learnt, or was before.
    fn tell(&mut self, record: &[u8]) {
        if let Ok(event) = Event::decode(record) {
            self.choose(&event);
        }
    }

    /// Gives out what a policy wants.
    fn choose(&mut self, event: &Event<'_>) {
        self.judge(event, Whose::Actors);
    }

    /// Gives out a record that user space made. That of an actor is for those in whose scope the actor is: it may have been made for another's
    /// sake. One of nobody is in every scope.
    fn made_here(&mut self, record: &[u8]) {
        if let Ok(event) = Event::decode(record) {
            let nobody = event.header.origin == Origin::Unknown;
            self.judge(&event, if nobody { Whose::Nobodys } else { Whose::Actors });
        }
    }

    fn judge(&mut self, event: &Event<'_>, whose: Whose) {
        // Names first: conditions may ask for them.
        let named =
            self.selection.contains(event.definition.id).then(|| resolved::with_names(event, &self.context));
        let named = named.flatten();
        let named = named.as_deref().and_then(|record| Event::decode(record).ok());
        let event = named.as_ref().unwrap_or(event);
        let mut matched = std::mem::take(&mut self.context.matched);
        let mut wanted = std::mem::take(&mut self.wanted);
        let outcome = self.policies.judge(event, whose, &self.context, &mut matched, &mut wanted);
        self.context.matched = matched;
        let failed = enforce::act(event, &wanted, &mut self.context.done);
        if let Some(policy) = &wanted.capture {
            self.helpers.keep(event, policy, &self.context);
        }
        self.wanted = wanted;
        if outcome == Matched::Told {
            *self.counts.entry(event.definition.id).or_default() += 1;
            self.outputs.write(event, &self.context);
        }
        for record in failed {
            self.made_here(&record);
        }
        if self.detectors.look_at(event.definition.id) {
            self.detect(event, whose);
        }
    }

    /// Has detectors look at an event, and gives out what they find and a policy wants.
    fn detect(&mut self, event: &Event<'_>, whose: Whose) {
        let mut found = std::mem::take(&mut self.found);
        self.detectors.look(&Facts { event, ctx: &self.context }, &mut found);
        self.tell_found(event, whose, &found);
        self.found = found;
    }

    /// Gives out what detectors find because nothing has come after an event, up to that time.
    fn miss(&mut self, until: u64) {
        while let Some((first, record)) = self.detectors.due(until) {
            let Ok(event) = Event::decode(&record) else { continue };
            let mut found = std::mem::take(&mut self.found);
            self.detectors.follow(first, &Facts { event: &event, ctx: &self.context }, &mut found);
            self.tell_found(&event, Whose::Actors, &found);
            self.found = found;
        }
    }

    /// Gives out what was found in an event, and a policy wants.
    fn tell_found(&mut self, event: &Event<'_>, whose: Whose, found: &[Found]) {
        let degraded = self.last_loss.is_some_and(|at| event.header.time.saturating_sub(at) < DEGRADED);
        for one in found {
            let Some(name) = self.detectors.get(one.detector).map(|d| Arc::clone(&d.produced.name)) else {
                continue;
            };
            self.context.done.clear();
            let mut matched = std::mem::take(&mut self.context.matched);
            let wanted = self.policies.want(&name, event, whose, &self.context, &mut matched);
            self.context.matched = matched;
            if wanted {
                *self.told_found.entry(name).or_default() += 1;
                let outputs = &mut self.outputs;
                let read = |record| Event::decode(record).ok();
                self.detectors.tell(one, event, read, degraded, |finding| {
                    outputs.write_finding(finding, &self.context);
                });
            }
        }
    }

    /// A container is there, and was not told yet.
    fn found(&mut self, container: &Container) {
        self.helpers.container(container);
        self.made_here(&container::existing(container, &self.context));
    }

    /// Lets these policies judge from the next event on.
    pub(crate) fn replace(&mut self, policies: Policies, mut detectors: Detectors, selection: Selection) {
        let now = Clock::now();
        self.tell_suppressed(now, now);
        self.told_suppressed.clear();
        self.policies.end(&mut self.context);
        detectors.begin(self.detectors.baselines(0), 0);
        detectors::say_undecided(&self.detectors);
        (self.policies, self.detectors, self.selection) = (policies, detectors, selection);
    }

    /// Reads the policies again, and puts them into force, all or none; whether they are others.
    fn change(
        &mut self,
        sensor: &mut Sensor,
        options: &Watch,
        kernel: &mut KernelSide,
        hash: &mut String,
    ) -> anyhow::Result<bool> {
        anyhow::ensure!(
            !policies::paths(options).is_empty(),
            "the watch was begun without --policy, --detectors and --sigma"
        );
        let ((new, new_detectors), new_hash) = (policies::load(options)?, policies::hash(options));
        if new_hash == *hash {
            return Ok(false);
        }
        let selection = new.selection();
        self.extend(sensor, options, kernel, &new, &new_detectors)?;
        scope::change(self, sensor, new, new_detectors, selection)?;
        self.made_here(&policies::reloaded(hash, &new_hash, &self.policies, Clock::now()));
        *hash = new_hash;
        eprintln!(
            "tarsius: the policies were changed: {}",
            self.policies.names().collect::<Vec<_>>().join(", ")
        );
        Ok(true)
    }

    /// Takes what other policies and detectors need, if more than is taken already.
    fn extend(
        &mut self,
        sensor: &mut Sensor,
        options: &Watch,
        kernel: &mut KernelSide,
        policies: &Policies,
        detectors: &Detectors,
    ) -> anyhow::Result<()> {
        let taken = |event: u16| kernel.taken.needed.contains(event) || IDENTITY.contains(&event);
        let needed = needed(policies, detectors);
        let more: Vec<&catalogue::Event> = needed.iter().filter(|e| !taken(e.id)).collect();
        let named = kernel.taken.named || ask_names(&policies.selection(), policies, detectors);
        for (asked, has, what) in [
            ("environment", kernel.options.environment, "the environment of programs"),
            ("fd-paths", kernel.options.descriptor_paths, "what descriptors stand for"),
        ] {
            let lacks = detectors.request(asked) && !has;
            anyhow::ensure!(
                !lacks,
                "detectors ask for {what}, which is taken from the start only: start tarsius anew"
            );
        }
        if more.is_empty() && named == kernel.taken.named {
            return Ok(());
        }
        let all = Selection::of(kernel.taken.needed.iter().chain(more.iter().copied()).map(|e| e.id));
        let wanted = Taken { needed: all, named, ..kernel.taken };
        let names = || more.iter().map(|e| e.name).collect::<Vec<_>>().join(", ");
        sensor
            .extend(&kernel.features, &kernel.options, |e| wanted.takes(e, options))
            .with_context(|| format!("taking {} too", names()))?;
        self.helpers.extend(options, &Selection::of(more.iter().map(|e| e.id)), &kernel.features)?;
        self.dissector.also(|event| wanted.makes(event));
        let missing = sensor.plan().missing().filter(|c| more.iter().any(|e| e.name == c.event));
        let missing: Vec<&str> = missing.map(|c| c.event).collect();
        if !missing.is_empty() {
            eprintln!(
                "tarsius: {} can not be taken on this kernel; tarsius doctor says why",
                missing.join(", ")
            );
        }
        self.whole = wanted.whole(options);
        kernel.taken = wanted;
        Ok(())
    }

    /// Switches a policy between monitor and enforce; whether it was in the other mode.
    fn switch(&mut self, sensor: &mut Sensor, policy: &str, mode: &str) -> Result<bool, String> {
        let mode = Mode::parse(mode)
            .ok_or_else(|| format!("a policy's mode is monitor or enforce, not '{mode}'"))?;
        let changed = self.policies.switch(policy, mode).ok_or_else(|| {
            let names: Vec<&str> = self.policies.names().filter(|n| !n.is_empty()).collect();
            let near = expr::nearest(policy, names.iter().copied());
            let hint = near.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
            format!("no policy is named '{policy}'{hint}; in force are {}", names.join(", "))
        })?;
        if changed {
            scope::sift(self, sensor);
            self.made_here(&enforce::switched(policy, mode, Clock::now()));
        }
        Ok(changed)
    }

    fn selects(&self, event: &str) -> bool {
        self.selection.iter().any(|e| e.name == event)
    }

    fn round(&mut self, sensor: &mut Sensor) {
        sensor.drain(|record| self.take(record));
        self.release();
        scope::tell_executables(self, sensor);
        self.note_undecoded(sensor);
        for record in self.helpers.records(&mut self.context) {
            self.made_here(&record);
        }
        self.helpers.complain();
        self.flush();
    }

    fn note_undecoded(&mut self, sensor: &mut Sensor) {
        for record in self.undecoded.drain(..) {
            sensor.corrupt(&record);
        }
    }

    fn flush(&mut self) {
        self.outputs.flush();
        self.say();
    }

    fn say(&mut self) {
        for message in self.outputs.messages() {
            eprintln!("tarsius: {message}");
        }
    }

    /// Puts what was lost since the last account into the stream; gives the ledger as it is now.
    fn account(&mut self, sensor: &Sensor, before: Ledger) -> Ledger {
        let now = sensor.ledger();
        let losses = now.losses_since(&before);
        // The making of a cgroup may be among them: without it, nothing in it would ever be told to be a container's.
        if losses.iter().any(|l| l.lane == Lane::Life) {
            match self.context.containers.walk() {
                Ok(found) => found.iter().for_each(|c| self.found(c)),
                Err(error) => eprintln!("tarsius: {error}"),
            }
        }
        let mut ended = vec![];
        self.dissector.expire(now.time, |record| ended.push(record.to_vec()));
        ended.iter().for_each(|record| self.tell(record));
        if !losses.is_empty() {
            self.last_loss = Some(now.time);
        }
        for loss in losses {
            self.made_here(&lost::record(&loss, before.time, now.time));
        }
        for loss in self.lost_here().collect::<Vec<_>>() {
            let told = self.told_lost.insert(loss.probe, loss.count).unwrap_or(0);
            if loss.count > told {
                self.last_loss = Some(now.time);
                let loss = Loss { count: loss.count - told, ..loss };
                self.made_here(&lost::record(&loss, before.time, now.time));
            }
        }
        self.tell_suppressed(before.time, now.time);
        now
    }

    /// Puts into the stream what policies have held back since it was told last.
    fn tell_suppressed(&mut self, since: u64, until: u64) {
        for mut held in self.policies.suppressed() {
            let told = self.told_suppressed.entry((Arc::clone(&held.policy), held.cause)).or_default();
            held.events -= std::mem::replace(told, held.events);
            if held.events > 0 {
                self.made_here(&policies::suppressed(&held, since, until));
            }
        }
    }

    /// What was lost since the beginning not by the programs but here: by helpers, and what of packets was given up before it was whole.
    fn lost_here(&self) -> impl Iterator<Item = Loss> {
        let packets = self.dissector.lost().map(|(event, count)| helpers::loss(Lane::Net, event, count));
        let late = self.stacks.as_ref().map(|s| helpers::loss(Lane::Task, "user_stack", s.late()));
        self.helpers.lost().chain(packets).chain(late)
    }

    /// Says of how many places on user stacks there are no names.
    fn say_unresolved(&self) {
        let reasons = self.stacks.iter().flat_map(Stacks::unresolved);
        let reasons: Vec<String> = reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
        if !reasons.is_empty() {
            eprintln!("tarsius: places on user stacks without a name: {}", reasons.join(", "));
        }
    }

    fn summarise(&self, ledger: &Ledger, elapsed: Duration) {
        let found = self.told_found.iter().map(|(name, n)| (&**name, *n));
        let events = self.counts.iter().filter_map(|(id, n)| Some((catalogue::event_by_id(*id)?.name, *n)));
        let events: Vec<(&str, u64)> = events.chain(found).collect();
        let total = ledger.total();
        let rows = ledger
            .by_probe()
            .into_iter()
            .flat_map(|row| {
                sensor::Cause::ALL.map(|cause| (row.lane, row.probe, cause, row.counts.lost(cause)))
            })
            .chain(self.lost_here().map(|l| (l.lane, l.probe, l.cause, l.count)))
            .filter(|(.., count)| *count > 0)
            .map(|(lane, probe, cause, count)| LossRow {
                lane,
                probe: probe.into(),
                cause: cause.name().into(),
                count,
            })
            .collect();
        let ledger =
            LedgerSummary { delivered: total.received - total.corrupt, filtered: total.filtered, rows };
        let summary = Summary { events: &events, sinks: &self.outputs.counts(), ledger: &ledger, elapsed };
        // Nothing can be done about a closed standard error.
        let _ = output::summary(&mut std::io::stderr().lock(), &summary);
    }
}
