//! The policies in force: from files, and from the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use catalogue::Quality;
use catalogue::fields::{policy_reloaded, policy_suppressed};
use detect::{Detectors, Library};
use event::Header;
use event::build::RecordBuilder;
use policy::{Policies, Scope, Selection, Suppressed};
use sha2::{Digest as _, Sha256};

use crate::cli::Watch;
use crate::detectors;

/// Those of the files and of `--events` and `--scope`, which are a policy of their own if they are there, or nothing else is.
///
/// And the detectors of which they want to know what they find.
pub(crate) fn load(options: &Watch) -> anyhow::Result<(Policies, Detectors)> {
    let library = detectors::library(&options.detectors, &options.sigma)?;
    let mut all = read(&options.policy, &library)?;
    let mut selected = detectors::select(&library, &options.events);
    if options.events.is_empty() && all.is_empty() {
        let files = [options.detectors.as_slice(), &options.sigma].concat();
        let theirs = library.detectors.iter().filter(|d| detectors::own(d, &files));
        selected.findings = theirs.map(|d| d.produced.name.to_string()).collect();
    }
    if all.is_empty() || !options.events.is_empty() || !options.scope.is_empty() {
        // Detectors alone are not beside what is shown by default.
        let selection =
            match !selected.findings.is_empty() && selected.events.iter().all(|e| e.starts_with('-')) {
                true => Selection::of([]),
                false => Selection::parse(&selected.events)?,
            };
        let mut policy = policy::Policy::of_flags(&selection, Scope::parse(&options.scope)?);
        policy.detectors = selected.findings;
        all.push(policy);
    }
    let policies = Policies::new(all);
    let detectors = library.select(|d| policies.findings().any(|f| *f == *d.produced.name));
    Ok((policies, Detectors::new(detectors)))
}

/// The files that are in force, and read again when they change.
pub(crate) fn paths(options: &Watch) -> Vec<PathBuf> {
    options.policy.iter().chain(&options.detectors).chain(&options.sigma).cloned().collect()
}

/// SHA-256 over the files of policies and detectors, each with its name: which are in force.
pub(crate) fn hash(options: &Watch) -> String {
    let mut hasher = Sha256::new();
    for path in policy::file_names(&paths(options)) {
        let text = std::fs::read(&path).unwrap_or_default();
        for part in [path.as_os_str().as_encoded_bytes(), &text] {
            hasher.update(part.len().to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Looks whether the files of policies have changed.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    /// Those in force, or found wrong.
    seen: BTreeMap<PathBuf, Stamp>,
    /// What they were at the last look. They are read once they have not changed between two: an editor may be writing.
    last: BTreeMap<PathBuf, Stamp>,
}

/// By what a file is seen to have changed: time, size, device and inode.
type Stamp = (Option<SystemTime>, u64, u64, u64);

impl Files {
    pub(crate) fn new(paths: &[PathBuf]) -> Files {
        let seen = stamps(paths);
        Files { paths: paths.to_vec(), last: seen.clone(), seen }
    }

    /// Whether they have changed, and are as they are now for a while.
    pub(crate) fn changed(&mut self) -> bool {
        let now = stamps(&self.paths);
        let settled = now == self.last;
        let changed = settled && now != self.seen;
        if changed {
            self.seen = now.clone();
        }
        self.last = now;
        changed
    }
}

fn stamps(paths: &[PathBuf]) -> BTreeMap<PathBuf, Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let stamp = |path: PathBuf| {
        let found = std::fs::metadata(&path).ok();
        let stamp = found.map_or((None, 0, 0, 0), |m| (m.modified().ok(), m.size(), m.dev(), m.ino()));
        (path, stamp)
    };
    policy::file_names(paths).into_iter().map(stamp).collect()
}

/// `policy_reloaded`.
pub(crate) fn reloaded(old: &str, new: &str, policies: &Policies, time: u64) -> Vec<u8> {
    let Some(definition) = catalogue::event_by_id(policy_reloaded::EVENT_ID) else { return vec![] };
    let index = |field: usize| u8::try_from(field).unwrap_or(u8::MAX);
    let names: Vec<&[u8]> = policies.names().filter(|n| !n.is_empty()).map(str::as_bytes).collect();
    RecordBuilder::new(definition, Header::unknown(time))
        .put_str(index(policy_reloaded::OLD_HASH), old.as_bytes(), Quality::Ok)
        .put_str(index(policy_reloaded::NEW_HASH), new.as_bytes(), Quality::Ok)
        .put_str_array(index(policy_reloaded::POLICIES), &names, Quality::Ok)
        .finish()
}

/// `policy_suppressed`: so many more since a time.
pub(crate) fn suppressed(what: &Suppressed, since: u64, until: u64) -> Vec<u8> {
    let Some(definition) = catalogue::event_by_id(policy_suppressed::EVENT_ID) else { return vec![] };
    let index = |field: usize| u8::try_from(field).unwrap_or(u8::MAX);
    RecordBuilder::new(definition, Header::unknown(until))
        .put_str(index(policy_suppressed::POLICY), what.policy.as_bytes(), Quality::Ok)
        .put_str(index(policy_suppressed::CAUSE), what.cause.name().as_bytes(), Quality::Ok)
        .put_u64(index(policy_suppressed::COUNT), what.events)
        .put_u64(index(policy_suppressed::SINCE), since)
        .finish()
}

/// The policies of files, which may name what detectors find; all that is wrong with them as one error.
pub(crate) fn read(paths: &[PathBuf], library: &Library) -> anyhow::Result<Vec<policy::Policy>> {
    let named = |name: &str| library.detectors.iter().find(|d| *d.produced.name == *name || *d.id == *name);
    let policies = policy::load(paths, &|name| named(name).is_some()).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    });
    let mut policies = policies?;
    for finding in policies.iter_mut().flat_map(|p| &mut p.detectors) {
        if let Some(detector) = named(finding) {
            *finding = detector.produced.name.to_string();
        }
    }
    Ok(policies)
}
