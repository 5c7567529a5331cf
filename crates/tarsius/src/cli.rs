//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

/// Watches this machine: every event delivered intact, or reported lost.
///
/// Without a command: `tarsius watch`.
#[derive(Debug, Parser)]
#[command(name = "tarsius", version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show, as it happens, what processes, files and the network do; Ctrl-C ends it with a summary
    Watch(Box<Watch>),
    /// List the events of the catalogue, or describe one: fields, tags, and the ways to take it
    Events(Events),
    /// Tell what this kernel can do, how each event would be taken here, and what would be missed
    Doctor(Doctor),
    /// List the processes that there are, with their containers and executables, by the kernel's own list of its tasks
    Ps(Ps),
    /// Check policies, explain who decides what of them, test them on recorded events
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// List the detectors: what they look at, and what they find; or describe one
    Detectors(DetectorsOptions),
    /// Check files of detectors
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Check rules of Sigma: which load, and which no event of the kernel's can answer
    #[command(subcommand)]
    Sigma(SigmaCommand),
    /// Have detectors look at recorded events (JSON lines), and give out what they find, as JSON lines too
    ///
    /// A recording is what `tarsius watch --output json` gave out. What detectors ask that was not recorded is undecided, and said on
    /// standard error: a recording with `--enrichment` has more.
    Replay(Replay),
    /// Ask the running watch what it knows: processes, containers, names of addresses, users; and the kernel for its symbols
    Query(Query),
    /// Print the JSON Schema of the event lines
    Schema,
    /// Try to break the promise on this kernel: load it, preempt it, and compare every event with what was done
    ///
    /// Workers open, rename, execute, fork, connect, ask and die, each with a mark of its own in all it does, while real-time tasks, timers
    /// and packets interrupt them. The exit code is 0 only if no event was torn, misattributed, told twice or silently missing, and the
    /// ledger adds up exactly. The machine is busy meanwhile; nothing is left behind.
    Torture(Torture),
}

/// Options of `tarsius watch`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Watch {
    /// Events to show: names, wildcards (net_*), tags (tag=fs), -NAME to leave out; what detectors find, by name or id (TRC-1*), or all
    /// of it (detectors), or all that rules of --sigma find (sigma); several by comma [default: tag=default]
    #[arg(short, long, value_name = "EVENTS", allow_hyphen_values = true)]
    pub(crate) events: Vec<String>,

    /// Whose events: uid=1000, pid=1,2, pid=new, comm=bash, container, not-container, container=ID, tree=PID, exec=/usr/bin/x,
    /// mntns=, pidns=, follow; = != and for numbers < > <= >=; several flags must all hold
    #[arg(short, long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,

    /// Policies: a file, or a directory of them; in Tracee's form. Beside them, --events and --scope are a policy of their own
    #[arg(short, long, value_name = "PATH")]
    pub(crate) policy: Vec<PathBuf>,

    /// Detectors beside those that come with Tarsius: a file, or a directory of them, in Tracee's form. Alone, they are what is shown
    #[arg(short, long, value_name = "PATH", value_parser = crate::detectors::path)]
    pub(crate) detectors: Vec<PathBuf>,

    /// Rules of Sigma for Linux, as they are: a file, or a directory of them. Alone, what they find is what is shown; `tarsius sigma check`
    /// says what becomes of each
    #[arg(long, value_name = "PATH")]
    pub(crate) sigma: Vec<PathBuf>,

    /// Where to, several at once: table, json, json:FILE, table:FILE, none [default: table]
    #[arg(short, long, value_name = "FORMAT[:FILE]")]
    pub(crate) output: Vec<String>,

    /// More about each event: environment; fd-paths, what the descriptors among the arguments of a system call stand for; user-stack, the
    /// functions of the program that led to it, as far as they keep frame pointers; ancestry=N (how many ancestors, 16 if not said);
    /// executable-hash, SHA-256 of executed files, each hashed once (executable-hash.mode=none: at each execution); loaded-hash, the same of
    /// shared objects and modules; package, of dpkg, rpm or apk, of executed files, and whether these are what it brought. Always on:
    /// decoded-data, container,
    /// for which container.docker.socket=PATH (or containerd, crio, podman) says where a runtime tells names
    #[arg(short = 'E', long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) enrichment: Vec<Enrichment>,

    /// Capture packets in pcapng files, each with whose it is: network; network.pcap.split=single,process,container,command;
    /// network.pcap.options=filtered (only what the selected events are about); network.pcap.snaplen=headers, default (and 96 bytes),
    /// max, or bytes; dir.path=/var/lib/tarsius, dir.clear; network.pcap.rotate.size=64mb, .time=10m, .files=N. One option a flag.
    /// Copies of files, which policies have made (actions: [capture]), come below dir.path, too
    #[arg(short, long, value_name = "WHAT")]
    pub(crate) artifacts: Vec<String>,

    /// Where detectors keep what they have learnt to be usual (unusual), from one watch to the next; without it they learn anew each time
    #[arg(long, value_name = "FILE")]
    pub(crate) baselines: Option<PathBuf>,

    /// Symbols of shared objects that matter: symbols_loaded needs some, symbols_collision takes all if there are none
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) symbols: Vec<String>,

    /// Logs whose lines are events, log_line: files, from their ends on, and pipes. Detectors and rules of Sigma look at them
    #[arg(long = "log-source", value_name = "FILE")]
    pub(crate) logs: Vec<PathBuf>,

    /// The kernel's memory that print_mem_dump shows: a symbol and how many bytes, 256 if not said
    #[arg(long, value_name = "SYMBOL[:BYTES]", value_delimiter = ',')]
    pub(crate) dump: Vec<integrity::Dump>,

    /// Where to answer `tarsius query`, or none [default: /run/tarsius.sock, for root, if no other watch has it]
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: Option<PathBuf>,

    /// Memory for all rings together: 64M, 512K, 1G
    #[arg(short, long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    pub(crate) buffers: u64,

    /// End with exit code 3 if the ledger shows any loss
    #[arg(long)]
    pub(crate) fail_on_loss: bool,

    /// Show what Tarsius itself does, too; it is left out otherwise
    #[arg(long)]
    pub(crate) include_self: bool,

    /// End by itself after that many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) duration: Option<Duration>,

    /// Do not cut the table's lines at the width of the terminal
    #[arg(long)]
    pub(crate) wide: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Colour,

    /// Write the whole ledger as JSON to this file at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,

    /// Do not take events by these tiers (lsm, kprobe, tp_btf, cgroup ...); for tests
    #[arg(long, value_name = "TIERS", value_delimiter = ',', hide = true)]
    pub(crate) avoid: Vec<String>,

    /// Bytes that the fields of a record may have; for tests
    #[arg(long, value_name = "BYTES", hide = true)]
    pub(crate) limit: Option<u32>,

    /// Slots for each CPU and lane; for tests
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) slots: Option<u32>,

    /// Attach by tp_btf even where such programs can be preempted, and are skipped then; the control of tests
    #[arg(long, hide = true)]
    pub(crate) naive_attachment: bool,
}

/// What `--enrichment` adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Enrichment {
    /// The environment of executed programs
    Environment,
    /// What descriptors stand for
    DescriptorPaths,
    /// The user stack of the task that caused the event
    UserStack,
    /// Names of containers, and names beside numbers: always on
    Always,
    /// Ancestors, at most so many
    Ancestry(usize),
    /// SHA-256 of executed files; with `keep`, once for each
    Hash { keep: bool },
    /// The packages of executed files
    Package,
    /// SHA-256 of shared objects and modules that are loaded
    LoadedHash,
    /// Where a container runtime is reached
    Socket(Engine, PathBuf),
}

/// A container runtime that is asked for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Docker,
    Containerd,
    Crio,
    Podman,
}

/// More than that many ancestors no process has.
const MOST_ANCESTORS: usize = 1024;

impl std::str::FromStr for Enrichment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').map_or((text, None), |(k, v)| (k, Some(v)));
        let engine = match key {
            "container.docker.socket" => Some(Engine::Docker),
            "container.containerd.socket" => Some(Engine::Containerd),
            "container.crio.socket" => Some(Engine::Crio),
            "container.podman.socket" => Some(Engine::Podman),
            _ => None,
        };
        match (key, value, engine) {
            ("environment", None, _) => Ok(Self::Environment),
            ("fd-paths", None, _) => Ok(Self::DescriptorPaths),
            ("user-stack", None, _) => Ok(Self::UserStack),
            ("container" | "decoded-data", None, _) => Ok(Self::Always),
            ("package", None, _) => Ok(Self::Package),
            ("loaded-hash", None, _) => Ok(Self::LoadedHash),
            ("executable-hash", None, _) | ("executable-hash.mode", Some("dev-inode"), _) => {
                Ok(Self::Hash { keep: true })
            }
            ("executable-hash.mode", Some("none"), _) => Ok(Self::Hash { keep: false }),
            ("executable-hash.mode", ..) => Err("executable-hash.mode is none or dev-inode: an inode number alone, \
                                                or with an image's digest, does not name a file"
                .into()),
            ("ancestry", Some(n), _) => match n.parse() {
                Ok(n) if n <= MOST_ANCESTORS => Ok(Self::Ancestry(n)),
                _ => Err(format!("ancestry is a number up to {MOST_ANCESTORS}: ancestry=5")),
            },
            (_, Some(path), Some(engine)) if path.starts_with('/') => Ok(Self::Socket(engine, path.into())),
            (_, _, Some(_)) => Err(format!("{key} takes an absolute path: {key}=/run/other.sock")),
            _ => Err("environment, fd-paths, user-stack, ancestry=N, executable-hash, executable-hash.mode=MODE, loaded-hash, package, container, decoded-data, or \
                      container.RUNTIME.socket=PATH of docker, containerd, crio, podman"
                .into()),
        }
    }
}

impl Watch {
    /// How many ancestors an event is written with.
    pub(crate) fn ancestry(&self) -> usize {
        let said = self.enrichment.iter().rev().find_map(|e| match e {
            Enrichment::Ancestry(n) => Some(*n),
            _ => None,
        });
        said.unwrap_or(context::DEFAULT_ANCESTORS)
    }

    /// Whether user stacks are taken.
    pub(crate) fn user_stacks(&self) -> bool {
        self.enrichment.contains(&Enrichment::UserStack)
    }

    /// Whether executed files are hashed, and if so, whether a file is hashed once.
    pub(crate) fn hashes(&self) -> Option<bool> {
        self.enrichment.iter().rev().find_map(|e| match e {
            Enrichment::Hash { keep } => Some(*keep),
            _ => None,
        })
    }

    /// Whether files are hashed that are loaded.
    pub(crate) fn hashes_loads(&self) -> bool {
        self.enrichment.contains(&Enrichment::LoadedHash)
    }

    /// Where container runtimes are reached.
    pub(crate) fn sockets(&self) -> runtimes::Sockets {
        let mut sockets = runtimes::Sockets::default();
        for enrichment in &self.enrichment {
            if let Enrichment::Socket(engine, path) = enrichment {
                let socket = match engine {
                    Engine::Docker => &mut sockets.docker,
                    Engine::Containerd => &mut sockets.containerd,
                    Engine::Crio => &mut sockets.crio,
                    Engine::Podman => &mut sockets.podman,
                };
                socket.clone_from(path);
            }
        }
        sockets
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options of `tarsius events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Name of an event, or a wildcard
    pub(crate) name: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `tarsius doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `tarsius ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Each process below the one that made it
    #[arg(short, long)]
    pub(crate) tree: bool,

    /// As they were at that time, by what the running watch remembers: 2026-11-28T12:00:00Z, 12:00:00 (of today), "5m ago"
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) at: Option<Timestamp>,

    /// The watch's --control
    #[arg(long, value_name = "SOCKET", default_value = control::DEFAULT_PATH, requires = "at")]
    pub(crate) control: PathBuf,
}

/// Options of `tarsius detectors`.
#[derive(Debug, Args)]
pub(crate) struct DetectorsOptions {
    /// Of which, by id or by what it finds
    pub(crate) name: Option<String>,

    /// Detectors beside those that come with Tarsius: a file, or a directory of them
    #[arg(short, long, value_name = "PATH", value_parser = crate::detectors::path)]
    pub(crate) detectors: Vec<PathBuf>,

    /// Rules of Sigma: a file, or a directory of them
    #[arg(long, value_name = "PATH")]
    pub(crate) sigma: Vec<PathBuf>,

    /// Of the running watch instead: how often each looked, what it found, and what a look costs (`tarsius query detector`)
    #[arg(long, conflicts_with_all = ["name", "detectors", "sigma"])]
    pub(crate) stats: bool,

    /// The watch's --control
    #[arg(long, value_name = "SOCKET", default_value = control::DEFAULT_PATH, requires = "stats")]
    pub(crate) control: PathBuf,
}

/// What `tarsius rules` does.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Read detectors, and say all that is wrong with them, by file, line and column
    Check {
        /// Files, or directories of them
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Have detectors look at the events of their tests, and compare what they find with what is expected
    ///
    /// FILE is a file of detectors, or a directory of them: each is tested by its own `tests`, events that are made up.
    ///
    /// Or it is a YAML file about a recording (JSON lines): `detectors` and `sigma`, files or directories of them, beside it; `events`, the
    /// recording; and `expect`, for each name of what is found the lines, from 1, or how many there are. Detectors of the files that are
    /// not named must find nothing.
    Test {
        /// Detectors, or what is expected of a recording [default: the detectors that come with Tarsius]
        file: Option<PathBuf>,
    },
}

/// Options of `tarsius replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Recordings, one after another as one stream; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Which detectors: by what they find, or by id, with wildcards (TRC-1*); several by comma [default: those of --rules and --sigma; or
    /// all that come with Tarsius]
    #[arg(short, long, value_name = "EVENTS", allow_hyphen_values = true)]
    pub(crate) events: Vec<String>,

    /// Detectors beside those that come with Tarsius: a file, or a directory of them
    #[arg(short = 'd', long, visible_alias = "detectors", value_name = "PATH", value_parser = crate::detectors::path)]
    pub(crate) rules: Vec<PathBuf>,

    /// Rules of Sigma: a file, or a directory of them
    #[arg(long, value_name = "PATH")]
    pub(crate) sigma: Vec<PathBuf>,
}

/// Options of `tarsius query`.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// Of what
    pub(crate) what: Kind,

    /// Which: COLUMN=VALUE or COLUMN!=VALUE, with * for anything; several must all hold
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,

    /// As JSON, one line each
    #[arg(long)]
    pub(crate) json: bool,

    /// The watch's --control
    #[arg(long, value_name = "SOCKET", default_value = control::DEFAULT_PATH)]
    pub(crate) control: PathBuf,
}

/// What `tarsius query` can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The processes, and those that ended and are still remembered
    Process,
    /// The containers that are there
    Container,
    /// What addresses were resolved from
    Dns,
    /// The host's users
    User,
    /// The detectors in force: how often they looked, what they found, and what a look costs (nanoseconds), the dearest first
    Detector,
    /// The kernel's symbols, read from the kernel: of these no watch is asked
    Symbol,
}

/// What `tarsius policy` does.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Read policies, and say all that is wrong with them, by file, line and column
    Check(PolicyPaths),
    /// Tell of each condition whether the kernel decides it, before a record is built, or user space
    Explain(PolicyPaths),
    /// Have the running watch read its policies again, at once; it does so by itself when a file has changed
    Reload {
        /// The watch's --control
        #[arg(long, value_name = "SOCKET", default_value = control::DEFAULT_PATH)]
        control: PathBuf,
    },
    /// Switch a policy of the running watch between telling what it would do (monitor) and doing it (enforce)
    ///
    /// Holds until the policies are read again: then it is what their files say.
    Mode {
        /// Name of the policy
        policy: String,
        /// monitor or enforce
        #[arg(value_parser = ["monitor", "enforce"])]
        mode: String,
        /// The watch's --control
        #[arg(long, value_name = "SOCKET", default_value = control::DEFAULT_PATH)]
        control: PathBuf,
    },
    /// Judge recorded events (JSON lines) by policies, and compare with what is expected
    ///
    /// FILE is YAML: `policies` (files or directories), `events` (a file of JSON lines), both beside it, and `expect`: by the name of each policy
    /// the numbers of the lines that it matches, or how many they are. Scopes that only a running watch knows (tree, follow, new) are an error.
    Test {
        /// What is expected
        file: PathBuf,
    },
    /// List the fields that conditions can ask of every event, and those of one event
    Fields {
        /// Name of an event
        event: Option<String>,
    },
    /// Print the JSON Schema of policy files, for editors
    Schema,
}

/// What `tarsius sigma` does.
#[derive(Debug, Subcommand)]
pub(crate) enum SigmaCommand {
    /// Read rules, and say of each what becomes of it: loaded, without a source, or unsupported, and why
    Check {
        /// Files, or directories of them
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Print the conditions on events that rules become, too
        #[arg(long)]
        conditions: bool,
    },
}

/// Where policies are.
#[derive(Debug, Args)]
pub(crate) struct PolicyPaths {
    /// Files, or directories of them
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

/// Options of `tarsius torture`.
#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// How long the load runs
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) seconds: u64,

    /// CPUs to load, such as 0,2-3; packets are steered to the first [default: the first four]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = cpus)]
    pub(crate) cpus: Vec<Vec<u32>>,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Make one thing wrong that is known to be wrong, to show that it is seen: the exit code is 1 then
    #[arg(long, value_name = "WHAT")]
    pub(crate) control: Option<Control>,

    /// Memory for all rings together: 64M, 512K, 1G
    #[arg(short, long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    pub(crate) buffers: u64,

    /// Be a worker with that part
    #[arg(long, value_name = "PART", hide = true)]
    pub(crate) worker: Option<String>,
}

/// What `--control` makes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Control {
    /// All programs build their records in one buffer for each CPU, as Tracee once did: torn on every kernel
    SharedScratch,
    /// One buffer for the net lane, one for all others, Tracee's fix: torn where tasks preempt one another
    SingleSlotPerContext,
    /// Attach by tp_btf even where such programs can be preempted (Linux 7): skipped there
    NaiveAttachment,
}

impl From<Control> for torture::Control {
    fn from(control: Control) -> Self {
        match control {
            Control::SharedScratch => Self::SharedScratch,
            Control::SingleSlotPerContext => Self::SingleSlotPerContext,
            Control::NaiveAttachment => Self::NaiveAttachment,
        }
    }
}

/// A CPU or a range of them.
fn cpus(text: &str) -> Result<Vec<u32>, String> {
    let wrong = |_| format!("CPUs are numbers and ranges, such as 0,2-3; not {text:?}");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u32, u32) = (first.parse().map_err(wrong)?, last.parse().map_err(wrong)?);
    if first <= last && last < 4096 {
        Ok((first..=last).collect())
    } else {
        Err(format!("no range of CPUs: {text}"))
    }
}

/// Bytes, with a unit of 1024: K, M or G.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err("a size is a number, with K, M or G behind it if you like: 64M".into()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "a size is a number, with K, M or G behind it if you like: 64M".to_string())?;
    let bytes = number.checked_mul(1 << unit).filter(|b| (4096..=64 << 30).contains(b));
    bytes.ok_or_else(|| "a size from 4K to 64G, please".into())
}

/// A time of some day, of today, or a span from now.
fn moment(text: &str) -> Result<Timestamp, String> {
    let now = jiff::Zoned::now();
    let of_today = |time: jiff::civil::Time| now.with().time(time).build();
    let told = text
        .parse::<Timestamp>()
        .or_else(|_| Ok(text.parse::<jiff::Zoned>()?.timestamp()))
        .or_else(|_: jiff::Error| {
            Ok(text.parse::<jiff::civil::DateTime>()?.to_zoned(now.time_zone().clone())?.timestamp())
        })
        .or_else(|_: jiff::Error| Ok(of_today(text.parse()?)?.timestamp()))
        .or_else(|error: jiff::Error| {
            // Digits and colons that are no time of the day are no span either, though one could be read in them.
            let named = text.bytes().any(|b| b.is_ascii_alphabetic());
            let span = if named { text.parse::<jiff::Span>()? } else { return Err(error) };
            Ok(now.checked_add(span)?.timestamp())
        });
    told.map_err(|_: jiff::Error| "a time: 2026-11-28T12:00:00Z, 12:00:00, or \"5m ago\"".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 10 or 0.5".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "a number of seconds, such as 10 or 0.5".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("512KiB"), Ok(512 << 10));
        assert_eq!(size("4096"), Ok(4096));
        assert!(
            size("12").is_err() && size("M").is_err() && size("5X").is_err() && size("99999999999G").is_err()
        );
    }

    #[test]
    fn moments() {
        let known = moment("2026-11-28T12:00:00Z").expect("a time");
        assert_eq!(known.as_second(), 1_795_867_200);
        let ago = Timestamp::now().as_second() - moment("5m ago").expect("a span").as_second();
        assert!((299..=302).contains(&ago), "{ago}");
        assert!(moment("12:30:00").is_ok() && moment("2026-11-28 12:00:00").is_ok());
        assert!(moment("").is_err() && moment("soon").is_err() && moment("25:00:00").is_err());
    }

    #[test]
    fn cpu_lists() {
        let cli = Cli::try_parse_from(["tarsius", "torture", "--cpus", "0,2-3"]).expect("valid");
        let Some(Command::Torture(options)) = cli.command else { panic!("another command") };
        assert_eq!(options.cpus.concat(), [0, 2, 3]);
        assert!(cpus("3-2").is_err() && cpus("x").is_err() && cpus("0-99999").is_err());
    }

    #[test]
    fn enrichments() {
        let options = ["--enrichment", "environment,ancestry=3", "-E", "container.crio.socket=/run/c.sock"];
        let cli = Cli::try_parse_from(["tarsius"].iter().chain(&options)).expect("valid");
        assert!(cli.watch.enrichment.contains(&Enrichment::Environment));
        assert_eq!((cli.watch.ancestry(), cli.watch.hashes()), (3, None));
        let cli2 = Cli::try_parse_from(["tarsius", "-E", "executable-hash,executable-hash.mode=none"]);
        assert_eq!(cli2.expect("valid").watch.hashes(), Some(false));
        let sockets = cli.watch.sockets();
        assert_eq!(sockets.crio, PathBuf::from("/run/c.sock"));
        assert_eq!(sockets.docker, runtimes::Sockets::default().docker);
        for wrong in [
            "",
            "ancestry",
            "ancestry=x",
            "ancestry=5000",
            "container.crio.socket",
            "env",
            "container=1",
            "executable-hash.mode=inode",
        ] {
            assert!(wrong.parse::<Enrichment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_command_is_watch() {
        let cli = Cli::try_parse_from(["tarsius", "--events", "-net_*"]).expect("valid");
        assert!(cli.command.is_none());
        assert_eq!(cli.watch.events, ["-net_*"]);
    }
}
