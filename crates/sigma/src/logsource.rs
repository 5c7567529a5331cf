//! From log sources to events: what in the kernel's events is what a log would have said.
//!
//! A log source becomes [`Record`]s: events, and by which names a rule asks their fields. What a rule asks of several records of one event
//! (auditd writes a SYSCALL, an EXECVE and PATHs for an execution) is asked of each alone, as Sigma does.

use std::borrow::Cow;

use crate::detection::{Op, Tree};
use crate::pattern::Shape;

/// Where a rule expects its events from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSource {
    /// `process_creation`, `file_event` ...
    pub category: Option<String>,
    /// `linux`.
    pub product: Option<String>,
    /// `auditd`, `sshd` ...
    pub service: Option<String>,
    /// What must be logged for the rule to work, in words.
    pub definition: Option<String>,
}

impl std::fmt::Display for LogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [("product", &self.product), ("category", &self.category), ("service", &self.service)];
        let said = parts.iter().filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)));
        f.write_str(&said.collect::<Vec<_>>().join(", "))
    }
}

/// A column: what a rule calls a field, and what it is here. Of several expressions any may be as the rule asks; one behind a `?` is not
/// asked where it is not known.
type Column = (&'static str, &'static [&'static str]);

/// An event as a log has it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) event: &'static catalogue::Event,
    /// What must hold of the event for it to be what the log would have told.
    pub(crate) guard: Option<Cow<'static, str>>,
    /// Fields that are the same in each of these.
    pub(crate) constants: Vec<(&'static str, &'static str)>,
    pub(crate) columns: Vec<&'static [Column]>,
    pub(crate) arguments: Arguments,
    /// What keywords are looked for in.
    pub(crate) text: &'static [&'static str],
}

/// What `a0`, `a1` ... are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arguments {
    None,
    /// Words of the command line.
    Words,
    /// Arguments of the system call, which a log has in hexadecimal.
    Call,
    /// There are none; any field is what a line says of it, `FIELD=VALUE`.
    Keyed,
}

/// Who did it, of any event.
const WHO: &[Column] = &[
    ("Image", &["executable", "?called"]),
    ("CommandLine", &["command_line"]),
    ("ParentImage", &["parent.executable", "?parent.called"]),
    ("ParentCommandLine", &["parent.command_line"]),
    ("User", &["user"]),
    ("ProcessId", &["host_pid"]),
    ("ParentProcessId", &["host_ppid"]),
];

/// An execution. A program has three paths: the file's, the one that it was called by, which may be a symbolic link (`sh`, `python3`), and, of a
/// script, its interpreter's, which may be one too.
const EXECUTION: &[Column] = &[
    ("Image", &["data.pathname", "?data.cmdpath", "?data.interp"]),
    ("CommandLine", &["command_line"]),
    ("CurrentDirectory", &["data.pwd"]),
    ("LogonId", &["?data.login_uid"]),
    ("TerminalSessionId", &["?data.login_session"]),
];

const CONNECTION: &[Column] = &[
    ("DestinationIp", &["data.dst"]),
    ("DestinationPort", &["data.dst_port"]),
    ("DestinationHostname", &["?data.dst_dns"]),
];
const DATAGRAMS: &[Column] =
    &[("DestinationIp", &["data.remote_addr.ip"]), ("DestinationPort", &["data.remote_addr.port"])];
/// Of a connection that came in, the source is the other end.
const ACCEPTED: &[Column] = &[
    ("SourceIp", &["data.remote_addr.ip"]),
    ("SourcePort", &["data.remote_addr.port"]),
    ("DestinationIp", &["data.local_addr.ip"]),
    ("DestinationPort", &["data.local_addr.port"]),
];
const QUESTION: &[Column] = &[
    ("QueryName", &["data.dns_questions.query"]),
    ("query", &["data.dns_questions.query"]),
    ("QueryType", &["data.dns_questions.query_type"]),
    ("record_type", &["data.dns_questions.query_type"]),
];

/// Who did it, as auditd says it.
const AUDITED: &[Column] = &[
    ("exe", &["executable", "?called"]),
    ("comm", &["comm"]),
    ("uid", &["uid"]),
    ("euid", &["euid"]),
    ("gid", &["gid"]),
    ("egid", &["egid"]),
    ("pid", &["host_pid"]),
    ("ppid", &["host_ppid"]),
    ("exit", &["retval"]),
];
const AUDITED_EXECUTION: &[Column] = &[
    ("exe", &["data.pathname", "?data.cmdpath", "?data.interp"]),
    ("auid", &["?data.login_uid"]),
    ("ses", &["?data.login_session"]),
    ("tty", &["?data.tty"]),
    ("cwd", &["data.pwd"]),
    ("proctitle", &["command_line"]),
    ("argc", &["size(data.argv)"]),
];

macro_rules! columns {
    ($($name:ident: $($field:literal)+ = $path:literal;)+) => { $(const $name: &[Column] = &[$(($field, &[$path])),+];)+ };
}
columns! {
    AT_PATHNAME: "TargetFilename" "FileName" "name" = "data.pathname";
    AT_NEW_PATH: "TargetFilename" "FileName" "name" = "data.new_path";
    AT_OLD_PATH: "SourceFilename" "name" = "data.old_path";
    AT_LINKPATH: "TargetFilename" "name" = "data.linkpath";
    AT_FILE_NAME: "TargetFilename" "name" = "data.file_name";
    AT_FILE_PATH: "TargetFilename" "name" = "data.file_path";
}

const COMMAND_LINE: &[&str] = &["command_line"];

/// Types of audit records that kernel events stand for.
const AUDIT_TYPES: [&str; 5] = ["EXECVE", "SYSCALL", "PATH", "PROCTITLE", "CWD"];

fn record(event: &str, columns: &[&'static [Column]], text: &'static [&'static str]) -> Option<Record> {
    Some(Record {
        event: catalogue::event(event)?,
        guard: None,
        constants: vec![],
        columns: columns.to_vec(),
        arguments: Arguments::None,
        text,
    })
}

impl Record {
    fn only(self, guard: impl Into<Cow<'static, str>>) -> Record {
        Record { guard: Some(guard.into()), ..self }
    }

    fn with(mut self, field: &'static str, value: &'static str) -> Record {
        self.constants.push((field, value));
        self
    }
}

/// What a log source's events are here.
///
/// # Errors
///
/// Why no event of the kernel's is one.
pub(crate) fn records(source: &LogSource, tree: &Tree) -> Result<Vec<Record>, String> {
    let lower = |text: &Option<String>| text.as_deref().map(str::to_ascii_lowercase);
    let (category, product, service) =
        (lower(&source.category), lower(&source.product), lower(&source.service));
    if let Some(product) = product.filter(|p| p != "linux") {
        return Err(format!("its events are those of the product {product}"));
    }
    let of_log = source.definition.as_ref().is_some_and(|definition| definition.contains("/var/log/"));
    let found = match (category.as_deref(), service.as_deref()) {
        (_, None) if of_log => vec![log()],
        (None, Some("auditd")) => audit(tree),
        (None, Some(service)) => vec![log_of(service)?],
        // Any log of Linux: of these, command lines are what the kernel knows.
        (None, None) => vec![record("sched_process_exec", &[EXECUTION, WHO], COMMAND_LINE)],
        (Some(category), _) => match category_records(category) {
            Some(records) => records,
            None => return Err(format!("no kernel event is of the category {category}")),
        },
    };
    // An event of that name is in the catalogue: a test says so.
    Ok(found.into_iter().flatten().collect())
}

/// What stands in a log (`--log-source`).
fn log() -> Option<Record> {
    record("log_line", &[], &["data.line"]).map(|r| Record { arguments: Arguments::Keyed, ..r })
}

/// Where else what is asked for may stand, where no event of the kernel's has it: in the log of auditd.
pub(crate) fn elsewhere(source: &LogSource) -> Option<Record> {
    let service = source.service.as_deref()?;
    // Its lines have nothing before their fields.
    log()
        .filter(|_| service.eq_ignore_ascii_case("auditd"))
        .map(|r| r.only("data.line.startsWith(\"type=\")"))
}

/// What a service logs, by its name in the line, or in that of the log.
fn log_of(service: &str) -> Result<Option<Record>, String> {
    if !service.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
        return Err(format!("no service is called {service}"));
    }
    let guard = match service {
        // Of any program.
        "syslog" | "auth" => return Ok(log()),
        "cron" => r#"data.program.lower() in ["cron", "crond", "crontab", "anacron"]"#.into(),
        "sshd" => r#"data.program in ["sshd", "sshd-session", "sshd-auth"]"#.into(),
        _ => format!(
            r#"(known(data.program.lower() == "{service}") || data.path.lower().contains("{service}"))"#
        ),
    };
    Ok(log().map(|record| record.only(guard)))
}

fn category_records(category: &str) -> Option<Vec<Option<Record>>> {
    Some(match category {
        "process_creation" => vec![record("sched_process_exec", &[EXECUTION, WHO], COMMAND_LINE)],
        "process_termination" => vec![
            record("sched_process_exit", &[WHO], &["command_line"]).map(|r| r.only("data.process_group_exit")),
        ],
        "file_event" => vec![
            record("security_file_open", &[AT_PATHNAME, WHO], &["data.pathname"])
                .map(|r| r.only("(data.flags.has(\"O_CREAT\") || data.flags.has(\"O_TRUNC\"))")),
            record("security_inode_rename", &[AT_NEW_PATH, WHO], &["data.new_path"]),
            record("security_inode_link", &[AT_NEW_PATH, WHO], &["data.new_path"]),
            record("security_inode_symlink", &[AT_LINKPATH, WHO], &["data.linkpath"]),
        ],
        "file_change" => vec![record("file_modification", &[AT_FILE_PATH, WHO], &["data.file_path"])],
        "file_rename" => vec![
            record("security_inode_rename", &[AT_NEW_PATH, AT_OLD_PATH, WHO], &["data.old_path", "data.new_path"]),
        ],
        "file_delete" => vec![record("security_inode_unlink", &[AT_PATHNAME, WHO], &["data.pathname"])],
        "file_access" => vec![record("security_file_open", &[AT_PATHNAME, WHO], &["data.pathname"])],
        "network_connection" => vec![
            record("net_tcp_connect", &[CONNECTION, WHO], &["?data.dst_dns"])
                .map(|r| r.with("Initiated", "true").with("Protocol", "tcp")),
            record("security_socket_connect", &[DATAGRAMS, WHO], &[])
                .map(|r| r.with("Initiated", "true").with("Protocol", "udp"))
                .map(|r| {
                    r.only("data.type == \"SOCK_DGRAM\" && data.remote_addr.family in [\"AF_INET\", \"AF_INET6\"]")
                }),
            record("socket_accept", &[ACCEPTED, WHO], &[])
                .map(|r| r.with("Initiated", "false").with("Protocol", "tcp"))
                .map(|r| r.only("data.remote_addr.family in [\"AF_INET\", \"AF_INET6\"]")),
        ],
        "dns" | "dns_query" => {
            vec![record("net_packet_dns_request", &[QUESTION, WHO], &["data.dns_questions.query"])]
        }
        _ => return None,
    })
}

/// Records of auditd: those of executions, of files, and of the calls that the rule names.
fn audit(tree: &Tree) -> Vec<Option<Record>> {
    let exec = |text| record("sched_process_exec", &[AUDITED_EXECUTION, AUDITED], text);
    let mut all = vec![
        exec(COMMAND_LINE).map(|r| Record { arguments: Arguments::Words, ..r.with("type", "EXECVE") }),
        exec(COMMAND_LINE).map(|r| {
            r.with("type", "SYSCALL")
                .with("SYSCALL", "execve")
                .with("syscall", "execve")
                .with("success", "yes")
        }),
        exec(COMMAND_LINE).map(|r| r.with("type", "PROCTITLE")),
        exec(&["data.pwd"]).map(|r| r.with("type", "CWD")),
    ];
    for call in calls(tree).filter(|call| !call.name.starts_with("execve")) {
        let record = record(call.name, &[AUDITED], &["executable", "comm"]);
        all.push(record.map(|r| {
            let r = r.with("type", "SYSCALL").with("SYSCALL", call.name).with("syscall", call.name);
            Record { arguments: Arguments::Call, ..r }
        }));
    }
    // A file that an open creates is told by the open, too: once is enough, unless the rule asks for new ones.
    let created = asks(tree, "nametype").then_some(("security_inode_create", AT_PATHNAME, "CREATE"));
    let files: [(&str, &'static [Column], &'static str); 9] = [
        ("security_file_open", AT_PATHNAME, "NORMAL"),
        ("security_inode_mkdir", AT_PATHNAME, "CREATE"),
        ("security_inode_mknod", AT_FILE_NAME, "CREATE"),
        ("security_inode_symlink", AT_LINKPATH, "CREATE"),
        ("security_inode_link", AT_NEW_PATH, "CREATE"),
        ("security_inode_rename", AT_NEW_PATH, "CREATE"),
        ("security_inode_rename", AT_OLD_PATH, "DELETE"),
        ("security_inode_unlink", AT_PATHNAME, "DELETE"),
        ("security_inode_rmdir", AT_PATHNAME, "DELETE"),
    ];
    for (event, columns, nametype) in files.into_iter().chain(created) {
        let text = columns.first().map_or(&[][..], |(_, paths)| paths);
        let record = record(event, &[columns, AUDITED], text);
        all.push(record.map(|r| r.with("type", "PATH").with("nametype", nametype)));
    }
    all
}

/// The system calls that a rule names.
fn calls(tree: &Tree) -> impl Iterator<Item = &'static catalogue::Event> {
    let mut names = vec![];
    tree.tests(&mut |test| {
        if let (Some("SYSCALL" | "syscall"), Op::Like { pattern, .. }) = (test.field.as_deref(), &test.op)
            && let Shape::Is(name) = pattern.shape()
        {
            names.push(String::from_utf8_lossy(&name).to_ascii_lowercase());
        }
    });
    names.sort();
    names.dedup();
    let events = names.into_iter().filter_map(|name| catalogue::event(&name));
    events.filter(|event| event.tags.contains(&"syscalls"))
}

fn asks(tree: &Tree, field: &str) -> bool {
    let mut found = false;
    tree.tests(&mut |test| found |= test.field.as_deref() == Some(field));
    found
}

/// What of a rule that no event fits is to blame.
pub(crate) fn blame(source: &LogSource, tree: &Tree, absent: &[String]) -> String {
    let mut types = vec![];
    if source.service.as_deref() == Some("auditd") {
        tree.tests(&mut |test| {
            if let (Some("type"), Op::Like { pattern, .. }) = (test.field.as_deref(), &test.op)
                && let Shape::Is(name) = pattern.shape()
            {
                let name = String::from_utf8_lossy(&name).into_owned();
                if !AUDIT_TYPES.iter().any(|known| known.eq_ignore_ascii_case(&name))
                    && !types.contains(&name)
                {
                    types.push(name);
                }
            }
        });
    }
    match (types.as_slice(), absent) {
        ([], []) => "no event can be what it asks for".into(),
        ([], fields) => format!("no kernel event has the field {}", fields.join(", ")),
        (types, _) => format!("no kernel event is an audit record of type {}", types.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each event and each expression is there.
    #[test]
    fn every_column_is_of_its_event() {
        let tree = Tree::Any(vec![]);
        let categories = [
            "process_creation",
            "process_termination",
            "file_event",
            "file_change",
            "file_rename",
            "file_delete",
            "file_access",
            "network_connection",
            "dns",
            "dns_query",
        ];
        let mut records: Vec<Option<Record>> =
            categories.iter().flat_map(|c| category_records(c).expect("known")).collect();
        records.extend(audit(&tree));
        records.extend([record("security_inode_create", &[AT_PATHNAME, AUDITED], &[])]);
        records.extend(["syslog", "cron", "sshd", "vsftpd"].map(|service| log_of(service).expect("known")));
        for record in records {
            let record = record.expect("an event of the catalogue");
            let fields = policy::Fields { event: record.event };
            let columns = record.columns.iter().flat_map(|c| c.iter()).flat_map(|(_, paths)| paths.iter());
            for path in columns.chain(record.text).copied().chain(record.guard.as_deref()) {
                let parsed = expr::parse(path.trim_start_matches('?')).expect(path);
                expr::compile_value(&parsed, &fields)
                    .unwrap_or_else(|e| panic!("{} {path}: {e}", record.event.name));
            }
        }
    }
}
