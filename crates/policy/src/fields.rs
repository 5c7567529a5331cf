//! What conditions can ask of an event: its fields, and who did it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use catalogue::fields::sched_process_exec;
use catalogue::{Format, Quality};
use context::{Called, Context, Labels, Process, comm_bytes};
use event::{Cred, Event, FieldValue, HttpLine, MemberValue, Origin, SockAddr, UnixName, names};
use expr::{Field, List, Names, Schema, Subject, Text, Type, Value};

use crate::stores::{self, STORES, Store};

/// The fields of one event of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// Which.
    pub event: &'static catalogue::Event,
}

/// What a field is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A field of the event, or a part of one.
    Data {
        /// Its place in the catalogue.
        index: u8,
        /// What of it.
        part: Part,
    },
    /// Something about the event as a whole, or who did it.
    About(About),
    /// Something about another, by a key.
    Store(Store),
}

/// What of a field is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Family of a socket address.
    Family,
    /// IP address of a socket address.
    Ip,
    /// Port of a socket address.
    Port,
    /// Path or abstract name of a UNIX socket address.
    Path,
    /// Of a packet: where from.
    SrcIp,
    /// Of a packet: where to.
    DstIp,
    /// Of a packet: port where from.
    SrcPort,
    /// Of a packet: port where to.
    DstPort,
    /// Of a packet: protocol over IP.
    Protocol,
    /// Of a packet: bytes.
    Length,
    /// Of a packet: INGRESS or EGRESS.
    Direction,
    /// Of credentials: a number, by its place in the table of them.
    Credential(u8),
    /// Of a DNS message: the names asked for.
    Queries,
    /// Of a DNS message: the types asked for.
    QueryTypes,
    /// Of a DNS message: the data answered.
    Answers,
    /// Of a DNS message: the response code.
    ResponseCode,
    /// Of HTTP: the method.
    Method,
    /// Of HTTP: the target.
    Uri,
    /// Of HTTP: the host.
    Host,
    /// Of HTTP: the user agent.
    UserAgent,
    /// Of HTTP: the status.
    Status,
    /// Of a structure: the member of that name.
    Member(&'static str),
}

/// A number of credentials, of any width.
type OfCred = fn(&Cred) -> u64;

/// Numbers of credentials.
const CREDENTIALS: [(&str, OfCred); 15] = [
    ("uid", |c| c.uid.into()),
    ("gid", |c| c.gid.into()),
    ("suid", |c| c.suid.into()),
    ("sgid", |c| c.sgid.into()),
    ("euid", |c| c.euid.into()),
    ("egid", |c| c.egid.into()),
    ("fsuid", |c| c.fsuid.into()),
    ("fsgid", |c| c.fsgid.into()),
    ("user_namespace", |c| c.user_ns.into()),
    ("secure_bits", |c| c.securebits.into()),
    ("cap_inheritable", |c| c.cap_inheritable.0),
    ("cap_permitted", |c| c.cap_permitted.0),
    ("cap_effective", |c| c.cap_effective.0),
    ("cap_bounding", |c| c.cap_bounding.0),
    ("cap_ambient", |c| c.cap_ambient.0),
];

macro_rules! about {
    ($($(#[doc = $doc:literal])+ $name:ident: $ty:ident = $($path:literal),+;)+) => {
        /// What can be asked about an event beside its own fields.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum About { $($(#[doc = $doc])+ $name,)+ }

        /// Each: by which names, of which type, and what it is.
        pub const ABOUT: &[(About, &[&str], Type, &str)] =
            &[$((About::$name, &[$($path),+], Type::$ty, concat!($($doc,)+)),)+];
    };
}

// The first name is that of the event's JSON; the others are Tracee's for filters, and short ones.
about! {
    /// Name of the event.
    Event: Text = "name", "event";
    /// When, in nanoseconds since 1970.
    Timestamp: Int = "timestamp";
    /// Hour of the day on this host's clock, 0 to 23.
    Hour: Int = "time.hour";
    /// Minute of the hour.
    Minute: Int = "time.minute";
    /// Day of the week, Monday 1 to Sunday 7.
    Weekday: Int = "time.weekday";
    /// The CPU.
    Cpu: Int = "cpu", "processorId";
    /// What the system call returned.
    Retval: Int = "data.returnValue", "retval", "returnValue";
    /// Name of the host.
    HostName: Text = "host_name", "hostName";
    /// Process id, as the process itself sees it.
    Pid: Int = "workload.process.pid", "pid", "p", "processId";
    /// Thread id, as the thread itself sees it.
    Tid: Int = "workload.process.thread.tid", "tid", "threadId";
    /// Process id of the parent, as the process itself sees it.
    Ppid: Int = "workload.process.ppid", "ppid", "parentProcessId";
    /// Process id in the host's pid namespace.
    HostPid: Int = "workload.process.host_pid", "hostPid", "host_pid";
    /// Thread id in the host's pid namespace.
    HostTid: Int = "workload.process.thread.host_tid", "hostTid", "host_tid";
    /// Process id of the parent in the host's pid namespace.
    HostPpid: Int = "workload.process.host_ppid", "hostParentProcessId", "host_ppid";
    /// Real user id.
    Uid: Int = "workload.process.real_user.id", "uid", "userId";
    /// Real group id.
    Gid: Int = "workload.process.real_group.id", "gid";
    /// Effective user id.
    Euid: Int = "workload.process.effective_user.id", "euid";
    /// Effective group id.
    Egid: Int = "workload.process.effective_group.id", "egid";
    /// Name of the real user; empty where the host has none for it.
    User: Text = "workload.process.real_user.name", "user";
    /// Command name of the thread.
    Comm: Text = "workload.process.thread.name", "comm", "processName";
    /// Path of the program that the process runs.
    Executable: Text = "workload.process.executable.path", "executable", "exec", "bin", "binary";
    /// Path by which its program was called; not known of a program that ran before the watch began.
    Called: Text = "called";
    /// Its arguments with a space between them; of what ran before the watch began they are not known.
    CommandLine: Text = "command_line";
    /// Mount namespace.
    MntNs: Int = "mntns", "mountNamespace";
    /// Pid namespace.
    PidNs: Int = "pidns", "pidNamespace";
    /// Network namespace.
    NetNs: Int = "netns";
    /// User namespace.
    UserNs: Int = "userns";
    /// Cgroup.
    Cgroup: Int = "cgroupId";
    /// By a 32-bit system call.
    Compat: Bool = "workload.process.thread.compat", "compat";
    /// By a request in a ring of io_uring.
    IoUring: Bool = "io_uring";
    /// By a thread of the kernel's own.
    KernelThread: Bool = "kernel_thread";
    /// Name of the system call in which it happened.
    Syscall: Text = "workload.process.thread.syscall", "syscall";
    /// Command name of the parent process.
    ParentComm: Text = "parent.comm", "parent.name";
    /// Path of the program that the parent process runs.
    ParentExecutable: Text = "parent.executable", "parent.path";
    /// Path by which the parent's program was called; not known of a program that ran before the watch began.
    ParentCalled: Text = "parent.called";
    /// Arguments of the parent process with a space between them; of what ran before the watch began they are not known.
    ParentCommandLine: Text = "parent.command_line";
    /// Command names of the ancestors, the parent first.
    AncestorComms: Texts = "ancestors.comm", "ancestors.name";
    /// Paths of the programs of the ancestors, the parent first.
    AncestorExecutables: Texts = "ancestors.executable", "ancestors.path";
    /// Arguments of the ancestors, each with a space between them, the parent first; of what ran before the watch began they are not known.
    AncestorCommandLines: Texts = "ancestors.command_line";
    /// Ids (`unique_id`) of the process and of those that it descends from, its own first, up to where the host or a session begins (processes 1
    /// and 2, systemd). In `by` of a detector: whoever descends from the parent of who did the first.
    Tree: Ints = "tree";
    /// In a container.
    InContainer: Bool = "container";
    /// In no container.
    InHost: Bool = "host";
    /// Id of the container; empty in none.
    ContainerId: Text = "workload.container.id", "containerId", "container.id";
    /// Name of the container.
    ContainerName: Text = "workload.container.name", "containerName", "container.name";
    /// Name of the container's image.
    ContainerImage: Text = "workload.container.image.name", "containerImage", "container.image", "workload.container.image";
    /// Digest of the container's image.
    ContainerDigest: Text = "workload.container.image.repo_digests", "containerImageDigest", "container.image.digest";
    /// What runs the container: docker, containerd ...
    ContainerRuntime: Text = "workload.container.runtime", "container.runtime";
    /// Labels of the container, each as KEY=VALUE.
    ContainerLabels: Texts = "workload.container.labels", "container.labels";
    /// Name of the pod.
    PodName: Text = "workload.k8s.pod.name", "podName", "pod.name";
    /// Namespace of the pod.
    PodNamespace: Text = "workload.k8s.namespace.name", "podNamespace", "pod.namespace";
    /// UID of the pod.
    PodUid: Text = "workload.k8s.pod.uid", "podUid", "pod.uid";
    /// Labels of the pod, each as KEY=VALUE.
    PodLabels: Texts = "workload.k8s.pod.labels", "pod.labels";
    /// The container holds the pod's namespaces.
    PodSandbox: Bool = "workload.k8s.pod.sandbox", "podSandbox", "pod.sandbox";
}

/// The names behind the numbers of a format.
#[derive(Debug)]
struct FormatNames(Format);

impl Names for FormatNames {
    fn number(&self, name: &str) -> Option<i128> {
        names::parse(self.0, name).map(i128::from)
    }

    fn name(&self, number: i128) -> Option<String> {
        // Numbers of fields have at most 64 bits.
        Some(names::Named(self.0, number as i64).to_string())
    }

    fn are_flags(&self) -> bool {
        names::are_flags(self.0)
    }

    fn all(&self) -> Vec<&str> {
        names::all(self.0).collect()
    }
}

/// What a format's numbers are called: one for each that the catalogue has.
fn names_of(format: Format) -> Option<&'static dyn Names> {
    static ALL: LazyLock<Vec<FormatNames>> = LazyLock::new(|| {
        let fields = catalogue::EVENTS.iter().flat_map(|e| e.fields).filter_map(|f| f.format);
        let mut all: Vec<FormatNames> = vec![];
        for format in fields {
            if !all.iter().any(|known| known.0 == format) {
                all.push(FormatNames(format));
            }
        }
        all
    });
    ALL.iter().find(|known| known.0 == format).map(|known| known as &dyn Names)
}

/// Families of socket addresses.
#[derive(Debug)]
struct Families;

impl Names for Families {
    fn number(&self, name: &str) -> Option<i128> {
        (0..64).find(|n| names::socket_family(*n) == Some(name)).map(i128::from)
    }

    fn name(&self, number: i128) -> Option<String> {
        names::socket_family(u16::try_from(number).ok()?).map(str::to_owned)
    }

    fn are_flags(&self) -> bool {
        false
    }

    fn all(&self) -> Vec<&str> {
        (0..64).filter_map(names::socket_family).collect()
    }
}

impl Schema for Fields {
    type Slot = Slot;

    fn field(&self, path: &str) -> Option<Field<Slot>> {
        let about = ABOUT.iter().find(|(_, names, ..)| names.contains(&path));
        if let Some(&(about, _, ty, _)) = about {
            return Some(Field { slot: Slot::About(about), ty, names: None });
        }
        self.data(path.strip_prefix("data.")?)
    }

    fn names(&self) -> Vec<String> {
        let about = ABOUT.iter().flat_map(|(_, names, ..)| *names).map(|n| (*n).to_owned());
        let data = self.event.fields.iter().map(|f| format!("data.{}", f.name));
        about.chain(data).collect()
    }

    fn store(&self, path: &str) -> Option<expr::Stored<Slot>> {
        stores::find(path)
    }

    fn stores(&self) -> Vec<&'static str> {
        STORES.iter().map(|(_, path, ..)| *path).collect()
    }

    /// Tracee's detectors name fields so.
    fn function(&self, name: &str, args: &[&str]) -> Option<Result<Field<Slot>, String>> {
        if name != "getEventData" {
            return None;
        }
        Some(match args {
            [arg] => self.data(arg).ok_or_else(|| format!("{} has no field '{arg}'", self.event.name)),
            _ => Err("'getEventData' takes the name of a field".into()),
        })
    }
}

impl Fields {
    /// The type of a field of the event's own.
    pub fn type_of(&self, name: &str) -> Option<Type> {
        self.data(name).map(|field| field.ty)
    }

    /// A field of the event's own, with a part of it behind a dot.
    fn data(&self, path: &str) -> Option<Field<Slot>> {
        let (name, part) = path.split_once('.').map_or((path, None), |(n, p)| (n, Some(p)));
        let index = self.event.fields.iter().position(|f| f.name == name)?;
        let field = &self.event.fields[index];
        let (part, ty) = match part {
            None => (Part::Whole, whole(field.ty)),
            Some(part) => self.part(field, part)?,
        };
        let names = match part {
            Part::Whole => field.format.and_then(names_of),
            Part::Family => Some(&Families as &dyn Names),
            _ => None,
        };
        Some(Field { slot: Slot::Data { index: u8::try_from(index).ok()?, part }, ty, names })
    }

    fn part(&self, field: &catalogue::Field, name: &str) -> Option<(Part, Type)> {
        use catalogue::Type as T;
        Some(match (field.ty, name) {
            (T::Sockaddr, "sa_family" | "family") => (Part::Family, Type::Int),
            (T::Sockaddr, "ip" | "sin_addr" | "sin6_addr") => (Part::Ip, Type::Ip),
            (T::Sockaddr, "port" | "sin_port" | "sin6_port") => (Part::Port, Type::Int),
            (T::Sockaddr, "path" | "sun_path") => (Part::Path, Type::Text),
            (T::Packet, "src_ip") => (Part::SrcIp, Type::Ip),
            (T::Packet, "dst_ip") => (Part::DstIp, Type::Ip),
            (T::Packet, "src_port") => (Part::SrcPort, Type::Int),
            (T::Packet, "dst_port") => (Part::DstPort, Type::Int),
            (T::Packet, "protocol") => (Part::Protocol, Type::Int),
            (T::Packet, "packet_len" | "length") => (Part::Length, Type::Int),
            (T::Packet, "direction") => (Part::Direction, Type::Text),
            (T::Cred, name) => {
                let at = CREDENTIALS.iter().position(|(n, _)| *n == name)?;
                (Part::Credential(u8::try_from(at).ok()?), Type::Int)
            }
            (T::Dns | T::DnsQuestions | T::DnsAnswers, "query") => (Part::Queries, Type::Texts),
            (T::Dns | T::DnsQuestions | T::DnsAnswers, "query_type") => (Part::QueryTypes, Type::Texts),
            (T::Dns | T::DnsAnswers, "answer") => (Part::Answers, Type::Texts),
            (T::Dns | T::DnsQuestions | T::DnsAnswers, "rcode") => (Part::ResponseCode, Type::Int),
            (T::Http | T::HttpRequest, "method") => (Part::Method, Type::Text),
            (T::Http | T::HttpRequest, "uri_path" | "uri") => (Part::Uri, Type::Text),
            (T::Http | T::HttpRequest, "host") => (Part::Host, Type::Text),
            (T::Http | T::HttpRequest, "user_agent") => (Part::UserAgent, Type::Text),
            (T::Http | T::HttpResponse, "status_code" | "status") => (Part::Status, Type::Int),
            (T::Struct, name) => {
                let chosen = field.layouts.iter().flat_map(|choice| choice.of).map(|(_, layout)| *layout);
                let mut layouts = field.layout.into_iter().chain(chosen);
                let member = layouts.find_map(|layout| layout.members.iter().find(|m| m.name == name))?;
                let ty = match member.ty {
                    catalogue::MemberType::Str | catalogue::MemberType::Bytes => Type::Text,
                    _ => Type::Int,
                };
                (Part::Member(member.name), ty)
            }
            _ => return None,
        })
    }
}

/// What a whole field is in conditions. What is made of several parts is a text, as the table shows it.
const fn whole(ty: catalogue::Type) -> Type {
    use catalogue::Type as T;
    match ty {
        T::I32 | T::U32 | T::I64 | T::U64 | T::Pointer | T::Time => Type::Int,
        T::Bool => Type::Bool,
        T::StrArray => Type::Texts,
        T::Ip => Type::Ip,
        _ => Type::Text,
    }
}

/// So many ancestors conditions can ask of, however many are written with an event.
pub(crate) const LINEAGE: usize = 64;

/// Whether everything on the host, or in a session, descends from a process of that id and command name.
pub(crate) fn is_beginning(host_pid: i128, comm: &[u8]) -> bool {
    matches!(host_pid, 1 | 2) || comm == b"systemd"
}

/// An event, and what is known of who did it: what conditions are asked of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The event.
    pub event: &'a Event<'a>,
    /// Who there is.
    pub ctx: &'a Context,
}

fn owned(text: String) -> Value<'static> {
    Value::Text(Text { bytes: Cow::Owned(text.into_bytes()), cut: false })
}

/// Texts of a message of that quality: of one that is cut or malformed there may be more.
fn texts(list: impl Iterator<Item = String>, quality: Quality) -> Value<'static> {
    let more = (quality != Quality::Ok).then_some(Value::Unknown);
    Value::List(List::Values(list.map(owned).chain(more).collect()))
}

/// An event of which conditions are asked: one of the stream, with what is known of who did it, or one that was recorded.
pub trait Evidence: Subject<Slot = Slot> {
    /// Its entry in the catalogue.
    fn definition(&self) -> &'static catalogue::Event;
    /// When, in nanoseconds by the same clock for all of them.
    fn time(&self) -> u64;
    /// What it is kept as.
    fn record(&self) -> Cow<'_, [u8]>;
}

impl Evidence for Facts<'_> {
    fn definition(&self) -> &'static catalogue::Event {
        self.event.definition
    }

    fn time(&self) -> u64 {
        self.event.header.time
    }

    fn record(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.event.record())
    }
}

impl Subject for Facts<'_> {
    type Slot = Slot;

    #[inline]
    fn get(&self, slot: &Slot) -> Value<'_> {
        match slot {
            Slot::Data { index, part: Part::Whole } => {
                self.whole(&self.event.field(usize::from(*index)), usize::from(*index))
            }
            Slot::Data { index, part } => self.part(&self.event.field(usize::from(*index)), *part),
            Slot::About(about) => self.about(*about),
            Slot::Store(_) => Value::Unknown,
        }
    }

    fn look_up(&self, slot: &Slot, key: &Value<'_>) -> Value<'_> {
        match slot {
            Slot::Store(store) => stores::look_up(self.ctx, self.event, *store, key),
            Slot::Data { .. } | Slot::About(_) => Value::Unknown,
        }
    }
}

impl<'a> Facts<'a> {
    fn whole(&self, field: &FieldValue<'a>, index: usize) -> Value<'a> {
        use event::Value as V;
        // A part of what should be there is no value, but of a text.
        let cut = match field.quality {
            Quality::Ok | Quality::Unresolved => false,
            Quality::Truncated => true,
            Quality::Faulted | Quality::Unavailable => return Value::Unknown,
        };
        let Some(value) = field.value else { return Value::Unknown };
        match value {
            V::Str(bytes) | V::Path(bytes) | V::Bytes(bytes) => {
                Value::Text(Text { bytes: Cow::Borrowed(bytes), cut })
            }
            V::StrArray(list) => Value::List(List::Terminated { raw: list.raw(), cut }),
            V::I32(v) => Value::Int(v.into()),
            V::U32(v) => Value::Int(v.into()),
            V::I64(v) => Value::Int(v.into()),
            V::U64(v) | V::Pointer(v) => Value::Int(v.into()),
            V::Bool(b) => Value::Bool(b),
            V::Time(boot) => Value::Int(self.ctx.clock.wall(boot).into()),
            V::Ip(ip) => Value::Ip(ip),
            V::Sockaddr(address) => owned(shown(&address)),
            V::Protocol(header) => owned(header.to_string()),
            V::Http(head) => owned(head.to_string()),
            V::Packet(p) => owned(format!("{}:{} > {}:{}", p.src, p.src_port, p.dst, p.dst_port)),
            V::Dns(message) => {
                owned(message.parse().questions().map(|q| q.name.to_string()).collect::<Vec<_>>().join(" "))
            }
            V::Cred(cred) => owned(CREDENTIALS.map(|(name, of)| format!("{name}={}", of(&cred))).join(" ")),
            V::Struct(structures) => owned(members(structures.members())),
            V::Structs(structures) => {
                let format = self.event.definition.fields.get(index).and_then(|f| self.event.format(f));
                let each = structures.iter().map(|one| match (one.as_slice(), format) {
                    ([(member, value)], Some(format)) if member.name.is_empty() => {
                        value.as_i64().map(|n| names::Named(format, n).to_string()).unwrap_or_default()
                    }
                    _ => members(one.into_iter()),
                });
                owned(each.collect::<Vec<_>>().join(","))
            }
        }
    }

    fn part(&self, field: &FieldValue<'a>, part: Part) -> Value<'a> {
        use event::Value as V;
        let Some(value) = field.value else { return Value::Unknown };
        let cut = field.quality == Quality::Truncated;
        let text = |bytes: &'a [u8]| Value::Text(Text { bytes: Cow::Borrowed(bytes), cut });
        match (part, value) {
            (Part::Family, V::Sockaddr(address)) => Value::Int(address.family().into()),
            (Part::Ip, V::Sockaddr(SockAddr::Inet { addr, .. })) => Value::Ip(addr.into()),
            (Part::Ip, V::Sockaddr(SockAddr::Inet6 { addr, .. })) => Value::Ip(addr.into()),
            (Part::Port, V::Sockaddr(SockAddr::Inet { port, .. } | SockAddr::Inet6 { port, .. })) => {
                Value::Int(port.into())
            }
            (Part::Path, V::Sockaddr(SockAddr::Unix(UnixName::Path(path)))) => text(path),
            (Part::Path, V::Sockaddr(SockAddr::Unix(UnixName::Abstract(id)))) => {
                Value::Text(Text { bytes: Cow::Owned([b"@", id].concat()), cut })
            }
            // An address of another family has no path: that is known.
            (Part::Path, V::Sockaddr(_)) => Value::text(b""),
            (Part::SrcIp, V::Packet(p)) => Value::Ip(p.src),
            (Part::DstIp, V::Packet(p)) => Value::Ip(p.dst),
            (Part::SrcPort, V::Packet(p)) => Value::Int(p.src_port.into()),
            (Part::DstPort, V::Packet(p)) => Value::Int(p.dst_port.into()),
            (Part::Protocol, V::Packet(p)) => Value::Int(p.protocol.into()),
            (Part::Length, V::Packet(p)) => Value::Int(p.length.into()),
            (Part::Direction, V::Packet(p)) => Value::text(p.direction.name().as_bytes()),
            (Part::Credential(n), V::Cred(cred)) => {
                CREDENTIALS.get(usize::from(n)).map_or(Value::Unknown, |(_, of)| Value::Int(of(&cred).into()))
            }
            (Part::Queries, V::Dns(m)) => {
                let dns = m.parse();
                texts(dns.questions().map(|q| q.name.to_string()), dns.quality)
            }
            (Part::QueryTypes, V::Dns(m)) => {
                let dns = m.parse();
                let name = |ty: u16| names::dns_type(ty).map_or_else(|| ty.to_string(), str::to_owned);
                texts(dns.questions().map(|q| name(q.ty)), dns.quality)
            }
            (Part::Answers, V::Dns(m)) => {
                let dns = m.parse();
                texts(dns.answers().map(|a| a.data.to_string()), dns.quality)
            }
            (Part::ResponseCode, V::Dns(m)) => Value::Int(m.parse().response_code().into()),
            (Part::Method | Part::Uri | Part::Host | Part::UserAgent | Part::Status, V::Http(head)) => {
                let Some(http) = head.parse() else { return Value::Unknown };
                match (part, http.line) {
                    (Part::Method, HttpLine::Request { method, .. }) => Value::text(method.as_bytes()),
                    (Part::Uri, HttpLine::Request { target, .. }) => Value::text(target.as_bytes()),
                    (Part::Host, _) => Value::text(http.header("host").unwrap_or_default()),
                    (Part::UserAgent, _) => Value::text(http.header("user-agent").unwrap_or_default()),
                    (Part::Status, HttpLine::Response { code, .. }) => Value::Int(code.into()),
                    _ => Value::Unknown,
                }
            }
            (Part::Member(name), V::Struct(structures)) => {
                match structures.members().find(|(m, _)| m.name == name).map(|(_, value)| value) {
                    Some(MemberValue::Signed(n)) => Value::Int(n.into()),
                    Some(MemberValue::Unsigned(n) | MemberValue::Pointer(n)) => Value::Int(n.into()),
                    Some(MemberValue::Str(bytes) | MemberValue::Bytes(bytes)) => text(bytes),
                    None => Value::Unknown,
                }
            }
            _ => Value::Unknown,
        }
    }

    fn about(&self, about: About) -> Value<'_> {
        let h = &self.event.header;
        match about {
            About::Event => return Value::text(self.event.definition.name.as_bytes()),
            About::Timestamp => return Value::Int(self.ctx.clock.wall(h.time).into()),
            About::Hour | About::Minute | About::Weekday => {
                let wall = i128::from(self.ctx.clock.wall(h.time));
                return clock(about, wall).unwrap_or(Value::Unknown);
            }
            About::Cpu => return Value::Int(h.cpu.into()),
            About::Retval => return h.ret.map_or(Value::Unknown, |ret| Value::Int(ret.into())),
            About::HostName => return Value::text(self.ctx.clock.host_name().as_bytes()),
            _ if h.origin == Origin::Unknown => return Value::Unknown,
            _ => {}
        }
        let text = |text: Option<&'a [u8]>| text.map_or(Value::Unknown, Value::text);
        match about {
            About::Pid => Value::Int(h.ns_pid.into()),
            About::Tid => Value::Int(h.ns_tid.into()),
            About::Ppid => Value::Int(h.ns_ppid.into()),
            About::HostPid => Value::Int(h.pid.into()),
            About::HostTid => Value::Int(h.tid.into()),
            About::HostPpid => Value::Int(h.ppid.into()),
            About::Uid => Value::Int(h.uid.into()),
            About::Gid => Value::Int(h.gid.into()),
            About::Euid => Value::Int(h.euid.into()),
            About::Egid => Value::Int(h.egid.into()),
            About::User => {
                // A container has users of its own, whatever their numbers are called outside.
                let name = self.ctx.container(self.event).is_none().then(|| self.ctx.users.name(h.uid));
                Value::text(name.flatten().unwrap_or_default().as_bytes())
            }
            About::Comm => Value::text(comm_bytes(&self.event.header.comm)),
            About::Executable => self.ctx.executable(self.event).map_or(Value::Unknown, Value::text),
            About::Called => called(self.ctx.process(self.event)),
            About::CommandLine => self.command_line(),
            About::MntNs => Value::Int(h.mnt_ns.into()),
            About::PidNs => Value::Int(h.pid_ns.into()),
            About::NetNs => Value::Int(h.net_ns.into()),
            About::UserNs => Value::Int(h.user_ns.into()),
            About::Cgroup => Value::Int(h.cgroup.into()),
            About::Compat => Value::Bool(h.flags.compat()),
            About::IoUring => Value::Bool(h.flags.io_uring()),
            About::KernelThread => Value::Bool(h.flags.kthread()),
            About::Syscall => {
                let name = h.syscall.and_then(|n| names::syscall(n, h.flags.compat()));
                Value::text(name.unwrap_or_default().as_bytes())
            }
            About::ParentComm => text(self.parent().map(Process::comm)),
            About::ParentExecutable => text(self.parent().and_then(Process::executable)),
            About::ParentCalled => called(self.parent()),
            About::ParentCommandLine => line(self.parent()),
            About::AncestorComms => self.ancestors(|p| Value::text(p.comm())),
            About::AncestorExecutables => {
                self.ancestors(|p| p.executable().map_or(Value::Unknown, Value::text))
            }
            About::AncestorCommandLines => self.ancestors(|p| line(Some(p))),
            About::Tree => self.tree(),
            _ => self.container(about),
        }
    }

    fn command_line(&self) -> Value<'a> {
        match line(self.ctx.process(self.event)) {
            whole @ Value::Text(Text { cut: false, .. }) => whole,
            // More of it is in the event of the execution.
            kept => arguments(self.event).unwrap_or(kept),
        }
    }

    fn parent(&self) -> Option<&'a Process> {
        self.ctx.ancestors(self.event, 1).next()?.process
    }

    /// Of each ancestor.
    fn ancestors(&self, of: impl Fn(&'a Process) -> Value<'a>) -> Value<'a> {
        if self.ctx.process(self.event).is_none() {
            return Value::Unknown;
        }
        let all = self.ctx.ancestors(self.event, LINEAGE + 1).enumerate();
        // One of which it is not known, or that is too far away, may be the one that is asked for.
        let values =
            all.map(|(n, ancestor)| ancestor.process.filter(|_| n < LINEAGE).map_or(Value::Unknown, &of));
        Value::List(List::Values(values.collect()))
    }

    fn tree(&self) -> Value<'a> {
        let Some(own) = self.ctx.process(self.event) else { return Value::Unknown };
        let above = self.ctx.ancestors(self.event, LINEAGE);
        let above =
            above.take_while(|a| !is_beginning(a.key.pid.into(), a.process.map_or(b"", Process::comm)));
        let ids = std::iter::once(own.key()).chain(above.map(|a| a.key));
        let ids = ids.map(|key| Value::Int(self.ctx.clock.process_id(key).into()));
        Value::List(List::Values(ids.collect()))
    }

    fn container(&self, about: About) -> Value<'a> {
        let container = self.ctx.container(self.event);
        match about {
            About::InContainer => return Value::Bool(container.is_some()),
            About::InHost => return Value::Bool(container.is_none()),
            _ => {}
        }
        // On the host there is no container to have a name, which is known; that of a container may come yet.
        let Some(container) = container else {
            return match about {
                About::PodSandbox => Value::Bool(false),
                About::ContainerLabels | About::PodLabels => Value::List(List::Values(vec![])),
                _ => Value::text(b""),
            };
        };
        let names = container.names();
        let pod = names.and_then(|n| n.pod.as_ref());
        let text = |text: Option<&'a str>| text.map_or(Value::Unknown, |t| Value::text(t.as_bytes()));
        let of_pod = |text: Option<&'a str>| match (names, pod) {
            (Some(_), None) => Value::text(b""),
            _ => text.map_or(Value::Unknown, |t| Value::text(t.as_bytes())),
        };
        match about {
            About::ContainerId => Value::text(container.id().as_bytes()),
            About::ContainerRuntime => Value::text(container.runtime().name().as_bytes()),
            About::ContainerName => text(names.and_then(|n| n.name.as_deref())),
            About::ContainerImage => text(names.and_then(|n| n.image.as_deref())),
            About::ContainerDigest => text(names.and_then(|n| n.image_digest.as_deref())),
            About::PodName => of_pod(pod.map(|p| &*p.name)),
            About::PodNamespace => of_pod(pod.and_then(|p| p.namespace.as_deref())),
            About::PodUid => of_pod(pod.and_then(|p| p.uid.as_deref())),
            About::ContainerLabels => names.map_or(Value::Unknown, |n| labels(&n.labels)),
            About::PodLabels => match (names, pod) {
                (None, _) => Value::Unknown,
                (Some(_), None) => Value::List(List::Values(vec![])),
                (_, Some(pod)) => labels(&pod.labels),
            },
            About::PodSandbox => {
                names.map_or(Value::Unknown, |_| Value::Bool(pod.is_some_and(|p| p.sandbox)))
            }
            _ => Value::Unknown,
        }
    }
}

/// `KEY=VALUE` of each; one that is not known, where some were left out.
fn labels(labels: &Labels) -> Value<'static> {
    let kept = labels.kept().iter().map(|(key, value)| {
        Value::Text(Text { bytes: Cow::Owned(format!("{key}={value}").into_bytes()), cut: false })
    });
    let missing = (labels.left_out() > 0).then_some(Value::Unknown);
    Value::List(List::Values(kept.chain(missing).collect()))
}

pub(crate) fn called(process: Option<&Process>) -> Value<'_> {
    let path = process.and_then(Process::called).map(Called::path);
    path.filter(|path| !path.is_empty()).map_or(Value::Unknown, Value::text)
}

pub(crate) fn line(process: Option<&Process>) -> Value<'_> {
    process
        .and_then(Process::called)
        .map(Called::line)
        .map_or(Value::Unknown, |(line, cut)| Value::Text(Text { bytes: Cow::Borrowed(line), cut }))
}

/// The arguments of an execution, by its event.
fn arguments(event: &Event<'_>) -> Option<Value<'static>> {
    if event.definition.id != sched_process_exec::EVENT_ID {
        return None;
    }
    let field = event.field_by_name("argv")?;
    let Some(event::Value::StrArray(list)) = field.value else { return None };
    let list = List::Terminated { raw: list.raw(), cut: field.quality == Quality::Truncated };
    Some(Value::Text(list.joined(b" ")))
}

/// A time of the day on this host's clock, `wall` nanoseconds after 1970.
pub(crate) fn clock(about: About, wall: i128) -> Option<Value<'static>> {
    let here = jiff::Timestamp::from_nanosecond(wall).ok()?.to_zoned(jiff::tz::TimeZone::system());
    Some(Value::Int(match about {
        About::Hour => here.hour().into(),
        About::Minute => here.minute().into(),
        _ => here.weekday().to_monday_one_offset().into(),
    }))
}

/// The name of a number of credentials.
pub(crate) fn credential(place: u8) -> Option<&'static str> {
    CREDENTIALS.get(usize::from(place)).map(|(name, _)| *name)
}

/// A socket address, as the table shows it.
fn shown(address: &SockAddr<'_>) -> String {
    match address {
        SockAddr::Inet { addr, port } => format!("{addr}:{port}"),
        SockAddr::Inet6 { addr, port, .. } => format!("[{addr}]:{port}"),
        SockAddr::Unix(UnixName::Path(path)) => String::from_utf8_lossy(path).into_owned(),
        SockAddr::Unix(UnixName::Abstract(id)) => format!("@{}", String::from_utf8_lossy(id)),
        SockAddr::Unix(UnixName::Unnamed) => String::new(),
        SockAddr::Vsock { cid, port } => format!("vsock:{cid}:{port}"),
        SockAddr::Other { family, .. } => {
            names::socket_family(*family).map_or_else(|| family.to_string(), str::to_owned)
        }
    }
}

fn members<'a>(members: impl Iterator<Item = (&'static catalogue::Member, MemberValue<'a>)>) -> String {
    let mut out = String::new();
    for (member, value) in members {
        let separator = if out.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(out, "{separator}{}=", member.name);
        let _ = match (value, member.format, value.as_i64()) {
            (_, Some(format), Some(n)) => names::render(format, n, &mut out),
            (MemberValue::Signed(n), ..) => write!(out, "{n}"),
            (MemberValue::Unsigned(n) | MemberValue::Pointer(n), ..) => write!(out, "{n}"),
            (MemberValue::Str(text) | MemberValue::Bytes(text), ..) => {
                write!(out, "{}", String::from_utf8_lossy(text))
            }
        };
    }
    out
}
