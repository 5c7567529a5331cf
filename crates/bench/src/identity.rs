//! What it costs to know who did it: memory of processes and containers, and time of each event.

use std::sync::Arc;

use anyhow::Context as _;
use catalogue::{Quality, fields::security_file_open};
use context::{
    Birth, BootId, Clock, Containers, Context, FileHash, FileOwner, Function, Hierarchy, Labels, Names,
    Owner, Package, Pod, ProcessKey, Processes, Sha256, Sighting, Symbol,
};
use event::build::RecordBuilder;
use event::json::{Who, write_event};
use event::{Event, Frame, Header, Memory, Origin, Place, USER_STACK};

use crate::{cpu_time, table};

const PROCESSES: u32 = 30_000;
const CONTAINERS: u64 = 1_000;
/// As many as a pod of a careful team has.
const LABELS: usize = 10;
const ANCESTORS: u32 = 6;
const TIMES: u64 = 300_000;

/// Measures and prints.
pub(crate) fn report() -> anyhow::Result<()> {
    let hierarchy = Hierarchy::V2 { root: "/none".into() };
    let clock = Clock::fixed(BootId([0; 16]), "bench", 0, 0);
    let before = resident()?;
    let mut context = Context::with(Processes::default(), Containers::with(hierarchy, 16_384), clock);
    for n in 0..PROCESSES {
        born(&mut context.processes, n);
    }
    let processes = resident()?;
    for n in 0..CONTAINERS {
        contained(&mut context.containers, n)?;
    }
    let containers = resident()?;
    let mut memory = table(&["MEMORY", "MiB", "bytes each"]);
    for (what, bytes, count) in [
        ("30,000 processes, each of an execution of its own", processes - before, u64::from(PROCESSES)),
        ("1,000 containers of two cgroups, with names and labels", containers - processes, CONTAINERS),
    ] {
        memory.add_row([
            what.to_string(),
            format!("{:.1}", bytes as f64 / 1_048_576.0),
            format!("{:.0}", bytes as f64 / count as f64),
        ]);
    }
    println!("{memory}\n");
    times(&mut context)
}

/// The time of writing an event, with more and more of who did it.
fn times(context: &mut Context) -> anyhow::Result<()> {
    let mut table = table(&["A LINE OF JSON, one CPU", "bytes", "ns"]);
    let outside = header(PROCESSES - 1, 0);
    let (bytes, time) = line(&crate::Nobody, outside)?;
    table.add_row(["of nobody known", &bytes.to_string(), &format!("{time:.0}")]);
    for ancestors in [0, ANCESTORS as usize] {
        context.max_ancestors = ancestors;
        let (bytes, time) = line(context, outside)?;
        table.add_row([
            format!("with the process and {ancestors} ancestors"),
            bytes.to_string(),
            format!("{time:.0}"),
        ]);
    }
    let (bytes, time) = line(context, header(PROCESSES - 1, 1))?;
    table.add_row([
        format!("and its container, pod, and {LABELS} labels of each"),
        bytes.to_string(),
        format!("{time:.0}"),
    ]);
    let process = context.processes.get(key(PROCESSES - 1)).context("the process is gone")?;
    let (hash, owner) = (Arc::new(FileHash::default()), Arc::new(FileOwner::default()));
    hash.set(Some(Sha256([7; 32])));
    owner.set(Owner::Package(Arc::new(Package { name: "coreutils".into(), version: "9.1-1".into() })));
    if let Some(program) = process.program() {
        program.hash_with(hash);
        program.owned_by(owner);
    }
    let (bytes, time) = line(context, header(PROCESSES - 1, 1))?;
    table.add_row(["and the program's hash and package", &bytes.to_string(), &format!("{time:.0}")]);
    let frames: Vec<Frame> = (0..FRAMES).map(frame).collect();
    for frame in &frames {
        let name = format!("some_module::some_function_{}", frame.address);
        let function = Function {
            name: name.into(),
            offset: 18,
            source: Some("/usr/src/some/package/src/some_module.c:123".into()),
            inlined: Box::new([]),
        };
        let path = Some(Arc::from(&b"/usr/local/lib/some/package/bin/program"[..]));
        let place = frame.place().context("a frame of a file has a place")?;
        context.symbols.put(place, Symbol { path, function: Ok(function) });
    }
    let (bytes, time) = line_of(context, header(PROCESSES - 1, 1), &frames)?;
    table.add_row([
        format!("and a user stack of {FRAMES} frames with names and lines"),
        bytes.to_string(),
        format!("{time:.0}"),
    ]);
    println!("{table}");
    Ok(())
}

const FRAMES: u64 = 8;

fn frame(n: u64) -> Frame {
    let place = Place { dev: 1, inode: 2, ctime: 3, offset: 4096 + 64 * n };
    Frame { address: 0x5555_5555_4000 + 64 * n, memory: Memory::File(place), behind: true }
}

fn line(who: &dyn Who, header: Header) -> anyhow::Result<(usize, f64)> {
    line_of(who, header, &[])
}

fn line_of(who: &dyn Who, header: Header, stack: &[Frame]) -> anyhow::Result<(usize, f64)> {
    let definition = catalogue::event_by_id(security_file_open::EVENT_ID).context("no such event")?;
    let mut record = RecordBuilder::new(definition, header).put_str(
        security_file_open::PATHNAME as u8,
        b"/var/lib/some/file/of/ordinary/length",
        Quality::Ok,
    );
    if !stack.is_empty() {
        let frames: Vec<u8> = stack.iter().flat_map(Frame::encode).collect();
        record = record.put(USER_STACK, Quality::Ok, &frames);
    }
    let record = record.finish();
    let mut line = Vec::with_capacity(8192);
    let start = cpu_time();
    for _ in 0..TIMES {
        line.clear();
        write_event(&mut line, &Event::decode(std::hint::black_box(&record))?, who);
    }
    Ok((line.len(), (cpu_time() - start) as f64 / TIMES as f64))
}

fn key(n: u32) -> ProcessKey {
    ProcessKey { pid: n + 1, start_time: u64::from(n) * 1000 + 1 }
}

fn header(n: u32, cgroup: u64) -> Header {
    let key = key(n);
    Header {
        origin: Origin::Current,
        pid: key.pid,
        tid: key.pid,
        start_time: key.start_time,
        leader_start_time: key.start_time,
        cgroup,
        ..Header::unknown(u64::MAX / 2)
    }
}

/// Chains of some length, as shells and their scripts make them.
fn born(processes: &mut Processes, n: u32) {
    let sighting = |n: u32, exec_id: u64| Sighting {
        key: key(n),
        parent: None,
        comm: *b"some-command\0\0\0\0",
        leader: true,
        uid: 1000,
        cgroup: 1,
        mnt_ns: 1,
        pid_ns: 1,
        ns_pid: n,
        exec_id,
    };
    let maker = if n.is_multiple_of(ANCESTORS) { 0 } else { n - 1 };
    if n > 0 {
        let birth = Birth { key: key(n), parent: Some(key(maker)), cgroup: 1, pid_ns: 1, ns_pid: n };
        processes.fork(&sighting(maker, 1), &birth);
    }
    processes.exec(&sighting(n, 2), Some(b"/usr/local/lib/some/package/bin/program"), key(n).start_time + 1);
}

fn contained(containers: &mut Containers, n: u64) -> anyhow::Result<()> {
    let id = format!("{n:064x}");
    let pod = format!("/kubepods.slice/kubepods-pod{n:032x}.slice/cri-containerd-{id}.scope");
    containers.made(0, 2 * n + 1, &pod);
    containers.made(0, 2 * n + 2, &format!("{pod}/inner"));
    let labels: Vec<(String, String)> =
        (0..LABELS).map(|l| (format!("app.kubernetes.io/label-{l}"), format!("value-{l}-of-{n}"))).collect();
    let labels = || Labels::of(labels.iter().map(|(k, v)| (&**k, &**v)));
    let names = Names {
        name: Some("server".into()),
        image: Some("registry.example/shop/server:1.2.3".into()),
        image_digest: Some(format!("sha256:{n:064x}").into()),
        labels: labels(),
        pod: Some(Pod {
            name: format!("server-{n}").into(),
            namespace: Some("shop".into()),
            uid: Some(format!("{n:032x}").into()),
            sandbox: false,
            labels: labels(),
        }),
    };
    containers.named(&id, names).context("the container is not known").map(drop)
}

/// Bytes of this process's memory.
fn resident() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).context("no resident pages")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
