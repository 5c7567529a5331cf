//! What works beside the stream: it looks at events as they pass, and makes records of its own when it has found something.
//!
//! A helper never makes the stream wait. Whatever takes time it does in a thread of its own, from a bounded queue; what finds no place there
//! it counts, and the ledger tells it like a loss of the programs.

use std::sync::Arc;

use capture::Capture;
use catalogue::fields::{
    log_line, module_load, net_packet_capture, sched_process_exec, shared_object_loaded, symbols_loaded,
};
use catalogue::{Lane, Quality};
use context::{Container, Context};
use event::Event;
use hashes::Hashes;
use integrity::Checker;
use kernel::Features;
use libraries::Reader;
use logs::Logs;
use packages::{Execution, Packages};
use policy::Selection;
use runtimes::{Reply, Runtimes};
use sensor::{Cause, Loss};

use crate::cli::{Enrichment, Watch};
use crate::container;
use crate::executable::{self, Executed};
use crate::keep::Keeper;

/// An event as helpers see it: known to the context, not told yet.
pub(crate) struct Seen<'a> {
    pub(crate) event: &'a Event<'a>,
    pub(crate) in_scope: bool,
    pub(crate) context: &'a Context,
}

/// One that works beside the stream.
pub(crate) trait Helper {
    /// The events that it looks at. That they are taken is up to [`need`].
    fn observed(&self) -> &'static [u16] {
        &[]
    }

    /// Looks at one of these events.
    fn observe(&mut self, seen: &Seen<'_>) {
        let _ = seen;
    }

    /// A container is there, or came.
    fn container(&mut self, container: &Container) {
        let _ = container;
    }

    /// What was found since the last time, as records. What is found of things that the context knows is put there, too.
    fn records(&mut self, context: &mut Context) -> Vec<Vec<u8>>;

    /// Ends; the last records. Whether it works off what waits is up to it, but it may not take long.
    fn finish(&mut self, context: &mut Context) -> Vec<Vec<u8>> {
        self.records(context)
    }

    /// What it has lost since the beginning.
    fn lost(&self) -> Option<Loss> {
        None
    }

    /// What is to be said on standard error since the last time.
    fn complaints(&mut self) -> Vec<String> {
        vec![]
    }
}

/// A loss of user space since the beginning.
pub(crate) fn loss(lane: Lane, probe: &'static str, count: u64) -> Loss {
    Loss { lane, probe, cpu: None, cause: Cause::Untracked, count }
}

/// The helpers that a watch was asked for.
pub(crate) struct Helpers {
    all: Vec<Box<dyn Helper>>,
    keeper: Keeper,
}

/// Which of some events are selected.
fn of(events: &[u16], selection: &Selection) -> Vec<u16> {
    events.iter().copied().filter(|&e| selection.contains(e)).collect()
}

/// Whether a helper needs an event that may not be selected: known before the helpers are there.
pub(crate) fn need(event: u16, options: &Watch, selection: &Selection) -> bool {
    let any = |events: &[u16]| events.iter().any(|&e| selection.contains(e));
    if options.hashes_loads() && executable::LOADS.contains(&event) {
        return true;
    }
    match event {
        module_load::EVENT_ID => any(&integrity::LOOKED_FOR),
        shared_object_loaded::EVENT_ID => any(&libraries::EVENTS),
        _ => false,
    }
}

const NO_LOG: &str = "there will be no log_line (no --log-source names a log)";

/// Those that some events are for.
fn by_events(
    options: &Watch,
    selection: &Selection,
    features: &Features,
) -> anyhow::Result<Vec<Box<dyn Helper>>> {
    use anyhow::Context as _;
    let mut all: Vec<Box<dyn Helper>> = vec![];
    let events = of(&integrity::LOOKED_FOR, selection);
    if !events.is_empty() {
        let tracefs = features.tracefs.mount.clone();
        let options = integrity::Options { events, tracefs, dumps: options.dump.clone() };
        all.push(Box::new(Integrity { checker: Checker::start(options), announced: false }));
    }
    let events = of(&libraries::EVENTS, selection);
    if !events.is_empty() {
        let silent = options.symbols.is_empty() && events.contains(&symbols_loaded::EVENT_ID);
        let symbols = options.symbols.iter().cloned().collect();
        let reader = Reader::start(libraries::Options { events, symbols })
            .context("starting the thread that reads shared objects")?;
        all.push(Box::new(Objects { reader, silent }));
    }
    Ok(all)
}

impl Helpers {
    /// Starts those that the options and the selection ask for.
    pub(crate) fn start(
        options: &Watch,
        selection: &Selection,
        artifacts: &capture::Options,
        lines: Option<Lines>,
        features: &Features,
    ) -> anyhow::Result<Helpers> {
        use anyhow::Context as _;
        let names = Names::start(options).context("starting to ask container runtimes")?;
        let mut all: Vec<Box<dyn Helper>> = vec![Box::new(names)];
        if let Some(hashing) = Hashing::start(options).context("starting to hash")? {
            all.push(Box::new(hashing));
        }
        if options.enrichment.contains(&Enrichment::Package) {
            all.push(Box::new(Packages::start().context("starting to read the packages")?));
        }
        all.extend(by_events(options, selection, features)?);
        all.extend(lines.map(|lines| Box::new(lines) as Box<dyn Helper>));
        artifacts.clear()?;
        if artifacts.network {
            all.push(Box::new(Capture::start(artifacts)?));
        }
        Ok(Helpers { all, keeper: Keeper::new(artifacts.folder.clone()) })
    }

    /// Starts those that other events need, which came to be selected since.
    pub(crate) fn extend(
        &mut self,
        options: &Watch,
        more: &Selection,
        features: &Features,
    ) -> anyhow::Result<()> {
        self.all.extend(by_events(options, more, features)?);
        if more.contains(log_line::EVENT_ID) && options.logs.is_empty() {
            eprintln!("tarsius: {NO_LOG}");
        }
        Ok(())
    }

    /// Keeps a copy of the file that an event is about, for a policy.
    pub(crate) fn keep(&mut self, event: &Event<'_>, policy: &Arc<str>, context: &Context) {
        self.keeper.keep(event, policy, context);
    }

    /// Whether one looks at that event.
    pub(crate) fn look_at(&self, event: u16) -> bool {
        self.all.iter().any(|h| h.observed().contains(&event))
    }

    /// Shows an event to those that look at it.
    pub(crate) fn observe(&mut self, seen: &Seen<'_>) {
        let id = seen.event.definition.id;
        self.all.iter_mut().filter(|h| h.observed().contains(&id)).for_each(|h| h.observe(seen));
    }

    /// A container is there, or came.
    pub(crate) fn container(&mut self, container: &Container) {
        self.all.iter_mut().for_each(|h| h.container(container));
    }

    /// What was found since the last time.
    pub(crate) fn records(&mut self, context: &mut Context) -> Vec<Vec<u8>> {
        let kept = self.keeper.records(context);
        self.all.iter_mut().flat_map(|h| h.records(context)).chain(kept).collect()
    }

    /// Ends them; the last records.
    pub(crate) fn finish(&mut self, context: &mut Context) -> Vec<Vec<u8>> {
        let kept = self.keeper.finish(context);
        self.all.iter_mut().flat_map(|h| h.finish(context)).chain(kept).collect()
    }

    /// What each has lost since the beginning.
    pub(crate) fn lost(&self) -> impl Iterator<Item = Loss> {
        self.all.iter().filter_map(|h| h.lost()).chain(self.keeper.lost())
    }

    /// Says on standard error what there is to say.
    pub(crate) fn complain(&mut self) {
        for complaint in self.all.iter_mut().flat_map(|h| h.complaints()) {
            eprintln!("tarsius: {complaint}");
        }
    }
}

/// Whether the kernel is what it should be.
struct Integrity {
    checker: Checker,
    announced: bool,
}

impl Helper for Integrity {
    fn observed(&self) -> &'static [u16] {
        &[module_load::EVENT_ID]
    }

    /// A module that came is a reason to look, whoever loaded it.
    fn observe(&mut self, _: &Seen<'_>) {
        self.checker.module_came();
    }

    fn records(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        self.checker.records()
    }

    fn finish(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        self.checker.finish()
    }

    fn complaints(&mut self) -> Vec<String> {
        if std::mem::replace(&mut self.announced, true) {
            return vec![];
        }
        let missing = self.checker.missing().iter();
        missing.map(|(event, why)| format!("{event} can not be taken on this kernel ({why})")).collect()
    }
}

/// Hashes of files that run.
struct Hashing {
    hashes: Hashes<Executed>,
    observed: &'static [u16],
}

impl Hashing {
    fn start(options: &Watch) -> std::io::Result<Option<Hashing>> {
        const EXECUTIONS: [u16; 1] = [sched_process_exec::EVENT_ID];
        const BOTH: [u16; 3] = [EXECUTIONS[0], executable::LOADS[0], executable::LOADS[1]];
        let observed: &[u16] = match (options.hashes(), options.hashes_loads()) {
            (None, false) => return Ok(None),
            (Some(_), false) => &EXECUTIONS,
            (None, true) => &executable::LOADS,
            (Some(_), true) => &BOTH,
        };
        let hashes = Hashes::start(options.hashes().unwrap_or(true))?;
        Ok(Some(Hashing { hashes, observed }))
    }
}

impl Helper for Hashing {
    fn observed(&self) -> &'static [u16] {
        self.observed
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if seen.in_scope {
            executable::hash(&mut self.hashes, seen.context, seen.event);
        }
    }

    fn records(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        self.hashes.done().map(|(executed, hash)| executable::hashed(&executed, &hash)).collect()
    }
}

/// The packages of executed files.
impl Helper for Packages {
    fn observed(&self) -> &'static [u16] {
        &[sched_process_exec::EVENT_ID]
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let path = seen.event.field(sched_process_exec::PATHNAME);
        // A part of a path is another path.
        if seen.in_scope
            && path.quality == Quality::Ok
            && let Some(path) = path.value.and_then(|p| p.as_bytes())
            && let Some(program) = seen.context.process(seen.event).and_then(|p| p.program())
        {
            let header = &seen.event.header;
            program.owned_by(self.of_execution(Execution {
                path: path.into(),
                file: executable::file(seen.event),
                mnt_ns: header.mnt_ns,
                pids: [header.pid, header.ppid],
            }));
        }
    }

    fn records(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        vec![]
    }

    fn lost(&self) -> Option<Loss> {
        Some(loss(Lane::Life, "packages", Packages::lost(self)))
    }

    fn complaints(&mut self) -> Vec<String> {
        Packages::complaints(self)
    }
}

/// What is in loaded objects.
struct Objects {
    reader: Reader,
    /// There will be no `symbols_loaded`, though it is asked for.
    silent: bool,
}

impl Helper for Objects {
    fn observed(&self) -> &'static [u16] {
        &libraries::OBSERVED
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if seen.in_scope {
            self.reader.observe(seen.event);
        }
    }

    fn records(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        self.reader.records()
    }

    fn finish(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        self.reader.finish()
    }

    fn lost(&self) -> Option<Loss> {
        Some(loss(Lane::Task, "libraries", self.reader.unread()))
    }

    fn complaints(&mut self) -> Vec<String> {
        let silent = std::mem::replace(&mut self.silent, false);
        silent
            .then(|| "there will be no symbols_loaded (no --symbols names one)".into())
            .into_iter()
            .collect()
    }
}

/// Lines of logs.
pub(crate) struct Lines {
    logs: Logs,
    complaint: Option<&'static str>,
}

impl Lines {
    /// Begins to read those that there are, or says that there are none that could be wanted.
    pub(crate) fn start(options: &Watch, selection: &Selection) -> anyhow::Result<Option<Lines>> {
        use anyhow::Context as _;
        let wanted = selection.contains(log_line::EVENT_ID);
        let complaint = match (wanted, options.logs.is_empty()) {
            (false, true) => return Ok(None),
            (true, true) => Some(NO_LOG),
            (false, false) => Some("--log-source is read for nothing (nobody asks for log_line)"),
            (true, false) => None,
        };
        let logs = Logs::start(&options.logs).context("--log-source")?;
        Ok(Some(Lines { logs, complaint }))
    }
}

impl Helper for Lines {
    fn records(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        self.logs.records()
    }

    fn finish(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        self.logs.finish()
    }

    fn lost(&self) -> Option<Loss> {
        Some(loss(Lane::Life, "logs", self.logs.lost()))
    }

    fn complaints(&mut self) -> Vec<String> {
        self.complaint.take().map(str::to_owned).into_iter().chain(self.logs.complaints()).collect()
    }
}

/// Files of packets.
impl Helper for Capture {
    fn observed(&self) -> &'static [u16] {
        &[net_packet_capture::EVENT_ID]
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if seen.in_scope {
            self.take(seen.event, seen.context);
        }
    }

    fn records(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        self.flush();
        vec![]
    }

    fn finish(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        Capture::finish(self);
        vec![]
    }

    fn lost(&self) -> Option<Loss> {
        let count = self.counts().dropped;
        Some(Loss { lane: Lane::Bulk, probe: "capture", cpu: None, cause: Cause::Unwritten, count })
    }

    fn complaints(&mut self) -> Vec<String> {
        self.messages()
    }
}

/// What containers are called.
struct Names {
    runtimes: Runtimes,
    complaints: Vec<String>,
}

impl Names {
    fn start(options: &Watch) -> std::io::Result<Names> {
        Ok(Names { runtimes: Runtimes::start(&options.sockets())?, complaints: vec![] })
    }
}

impl Helper for Names {
    fn container(&mut self, container: &Container) {
        self.runtimes.ask(container.id(), container.runtime());
    }

    fn records(&mut self, context: &mut Context) -> Vec<Vec<u8>> {
        let mut records = vec![];
        for reply in self.runtimes.replies() {
            match reply {
                Reply::Complaint(complaint) => self.complaints.push(complaint),
                Reply::Named { id, names } => {
                    let named = context.containers.named(&id, names);
                    records.extend(named.map(|c| container::enriched(&c, context)));
                }
            }
        }
        records
    }

    fn finish(&mut self, context: &mut Context) -> Vec<Vec<u8>> {
        let records = self.records(context);
        let refused = self.runtimes.refused();
        if refused > 0 {
            self.complaints
                .push(format!("the names of {refused} containers were not asked for: too many came at once"));
        }
        records
    }

    fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }
}
