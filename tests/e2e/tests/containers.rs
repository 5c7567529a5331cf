//! Containers, from their making to their removal.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use e2e::endure::container_id;
use e2e::{Account, Act, Watch, container_hierarchy, scaled, wait_until, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("existing_containers", existing),
    ("names_of_containers", names),
    ("containers_of_runc", of_runc),
    ("containers_packets", of_packets),
    ("containers_of_containerd", of_containerd),
    ("containers_of_podman", of_podman),
    ("containers_packets_of_containerd", of_containerd_packets),
];

/// A container's cgroup; gone with it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(id: &str) -> Cgroup {
        let path = container_hierarchy().join(format!("libpod-{id}.scope"));
        fs::create_dir(&path).unwrap();
        Cgroup(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Nothing can be done about what is not removed.
        let _ = fs::remove_dir(&self.0);
    }
}

/// A Docker that knows containers of any id as `web`, of an image, in a pod.
fn docker(socket: &Path) {
    const CONTAINER: &str = r#"{"Name":"/web","Image":"sha256:12","Config":{"Image":"nginx:1","Labels":{
        "io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"1f2e","tier":"front"}}}"#;
    const IMAGE: &str = r#"{"RepoDigests":["nginx@sha256:ab"]}"#;
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                if line.ends_with("\r\n\r\n") {
                    let body = if line.starts_with("GET /images/") { IMAGE } else { CONTAINER };
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    stream.write_all((head + body).as_bytes()).unwrap();
                    line.clear();
                }
            }
        }
    });
}

fn id() -> String {
    format!("{:064x}", 0xfeed_0000_0000 + u64::from(std::process::id()))
}

/// What is there before the watch is told at its start, once, in any scope, and not as made.
fn existing(_: &str) {
    let cgroup = Cgroup::new(&id());
    let watch = Watch::start(&["--events", "tag=containers", "--scope", "uid=12345"]);
    drop(cgroup);
    let account = watch.stop();
    let found = account.lines.one("existing_container", "container_id", id());
    found.assert(&[("runtime", json!("podman"))]);
    assert!(found.get("ctime").as_u64().unwrap() > 1_600_000_000_000_000_000);
    assert_eq!(found.0["workload"], json!({"container": {"id": id(), "runtime": "podman"}}));
    assert_eq!(
        (found.get("container_name"), found.quality("container_name").as_str()),
        (Value::Null, "unavailable")
    );
    assert_eq!(account.lines.with("container_create", "container_id", id()).len(), 0);
    account.assert_clean();
}

/// The runtime tells names after the container's first events; from then on every event has them.
fn names(_: &str) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    docker(&socket);
    let hierarchy = container_hierarchy().to_str().unwrap().to_string();
    let mut act = Act::new("docker_container", &[hierarchy, id()]);
    let option = format!("container.docker.socket={}", socket.display());
    let scope = format!("tree={}", act.pid());
    let watch = Watch::start(&[
        "--events",
        "tag=containers,security_file_open",
        "--scope",
        &scope,
        "--enrichment",
        &option,
    ]);
    act.begin();
    // What it does before and after they are told.
    let events = watch.events_file();
    wait_until("the names", || fs::read_to_string(&events).unwrap().contains("\"container_enriched\""));
    act.end();
    let account = watch.stop();
    let created = account.lines.one("container_create", "container_id", id());
    assert_eq!(*created.process("/host_pid"), act.pid());
    assert_eq!(created.quality("container_name"), "unavailable");
    let told = [
        ("runtime", json!("docker")),
        ("container_name", json!("web")),
        ("container_image", json!("nginx:1")),
        ("container_image_digest", json!("sha256:ab")),
        ("pod_name", json!("web-1")),
        ("pod_namespace", json!("shop")),
        ("pod_uid", json!("1f2e")),
        ("pod_sandbox", json!(false)),
    ];
    account.lines.one("container_enriched", "container_id", id()).assert(&told);
    let opens = account.lines.of("security_file_open");
    // Not those by which the act made the files.
    let of = |name: &str| {
        let path = act.dir.path().join(name);
        &opens.iter().rfind(|l| l.get("pathname") == path.to_str().unwrap()).unwrap().0["workload"]
    };
    // Events are not held for names, but carry the id at once.
    assert_eq!(of("before")["container"]["id"], id());
    let container = json!({
        "id": id(), "runtime": "docker", "name": "web",
        "image": {"name": "nginx:1", "repo_digests": ["sha256:ab"]},
        "labels": {
            "io.kubernetes.pod.name": "web-1", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "1f2e",
            "tier": "front",
        },
    });
    assert_eq!(of("after")["container"], container);
    let k8s =
        json!({"pod": {"name": "web-1", "uid": "1f2e", "sandbox": false}, "namespace": {"name": "shop"}});
    assert_eq!(of("after")["k8s"], k8s);
    account.lines.one("container_remove", "container_id", id());
    account.assert_clean();
    crate::session::validate(&account);
}

/// A root file system with one program of many names, if there is one.
fn root_fs(at: &Path) -> Result<(), String> {
    fs::create_dir_all(at.join("bin")).unwrap();
    fs::copy("/usr/bin/busybox", at.join("bin/true")).map_err(|e| format!("/usr/bin/busybox: {e}"))?;
    Ok(())
}

/// The text that a command writes, or why it could not.
fn output(command: &mut Command) -> Result<String, String> {
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr)))
    }
}

/// What runc runs as a container: `true` with its number. No resource limits: this machine may not let them be raised.
fn bundle(at: &Path, root: &Path, cgroup: &str, n: usize) {
    fs::create_dir(at).unwrap();
    output(Command::new("runc").args(["spec", "--bundle"]).arg(at)).unwrap();
    let file = at.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["/bin/true", n.to_string()]);
    spec["process"].as_object_mut().unwrap().remove("rlimits");
    spec["root"]["path"] = json!(root);
    spec["linux"]["cgroupsPath"] = json!(format!("{cgroup}/{}", container_id(n)));
    fs::write(file, spec.to_string()).unwrap();
}

/// Removes cgroups that a runtime made above its containers', in each hierarchy.
struct Above(String);

impl Drop for Above {
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        for mount in mounts.lines().filter(|l| l.contains(" - cgroup")) {
            let root = PathBuf::from(mount.split(' ').nth(4).unwrap());
            for path in Path::new(self.0.trim_start_matches('/')).ancestors().filter(|p| *p != Path::new(""))
            {
                // What others use too stays.
                let _ = fs::remove_dir(root.join(path));
            }
        }
    }
}

/// The executions of `true` in containers, by the number that they were given: each in its own container, which was told to be made
/// before and to be gone after it.
fn assert_attributed(account: &Account, runtime: &str, ids: &[(usize, String)]) {
    let place = |event: &str, id: &str| {
        let found: Vec<usize> = (0..account.lines.0.len())
            .filter(|&n| {
                account.lines.0[n].0["name"] == event && account.lines.0[n].get("container_id") == id
            })
            .collect();
        assert_eq!(found.len(), 1, "{event} of {id}");
        found[0]
    };
    for (n, id) in ids {
        let argv = json!(["/bin/true", n.to_string()]);
        let execs: Vec<usize> = (0..account.lines.0.len())
            .filter(|&n| {
                account.lines.0[n].0["name"] == "sched_process_exec" && account.lines.0[n].get("argv") == argv
            })
            .collect();
        assert_eq!(execs.len(), 1, "{n}");
        let container = &account.lines.0[execs[0]].0["workload"]["container"];
        assert_eq!((&container["id"], &container["runtime"]), (&json!(id), &json!(runtime)), "{n}");
        assert!(place("container_create", id) < execs[0] && execs[0] < place("container_remove", id), "{n}");
    }
}

/// Containers of a real runtime come and go.
fn of_runc(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (root, state) = (folder.path().join("root"), folder.path().join("state"));
    let above = Above(format!("/tarsius-e2e-{}/docker", std::process::id()));
    let command = |n: usize| {
        let bundle = folder.path().join(format!("b{n}"));
        format!("runc --root {} run --bundle {} tarsius-{n}", state.display(), bundle.display())
    };
    let count = scaled(200);
    let trial = || {
        root_fs(&root)?;
        output(Command::new("runc").arg("--version"))?;
        bundle(&folder.path().join(format!("b{count}")), &root, &above.0, count);
        output(Command::new("sh").arg("-c").arg(command(count)))
    };
    if let Err(why) = trial() {
        return println!("SKIP {test}: no container runs here: {why}");
    }
    for n in 0..count {
        bundle(&folder.path().join(format!("b{n}")), &root, &above.0, n);
    }
    let commands: Vec<String> = (0..count).map(command).collect();
    let (account, _act) = watch_act("commands", &commands, "sched_process_exec,tag=containers", &[]);
    let ids: Vec<(usize, String)> = (0..count).map(|n| (n, container_id(n))).collect();
    assert_attributed(&account, "docker", &ids);
    account.assert_clean();
}

/// What a container sends is its own, in events and in the file of its packets.
fn of_packets(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (root, state) = (folder.path().join("root"), folder.path().join("state"));
    let above = Above(format!("/tarsius-e2e-{}/docker", std::process::id()));
    let (port, n) = (23107, 0);
    let made = (|| {
        root_fs(&root)?;
        fs::copy(root.join("bin/true"), root.join("bin/nc")).unwrap();
        output(Command::new("runc").arg("--version"))?;
        bundle(&folder.path().join("trial"), &root, &above.0, 1);
        let state = state.to_str().unwrap();
        let trial = folder.path().join("trial");
        output(
            Command::new("runc").args(["--root", state, "run", "--bundle"]).arg(trial).arg("tarsius-trial"),
        )
    })();
    if let Err(why) = made {
        return println!("SKIP {test}: no container runs here: {why}");
    }
    let own = folder.path().join("own");
    bundle(&own, &root, &above.0, n);
    let file = own.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    spec["process"]["args"] = json!(["/bin/nc", "127.0.0.1", port.to_string()]);
    // It shares this machine's network.
    spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "network");
    fs::write(file, spec.to_string()).unwrap();
    let command = format!(
        "echo question | runc --root {} run --bundle {} tarsius-packets",
        state.display(),
        own.display()
    );
    let captured = crate::capture::Folder::new();
    let options = captured.options(&["network.pcap.split=container", "network.pcap.snaplen=max"]);
    let more: Vec<&str> = options.iter().map(String::as_str).collect();
    let (account, _act) = watch_act("speak", &[port.to_string(), command], "net_packet_tcp", &more);
    account.assert_clean();
    assert_packets(&account, &captured, "docker", &container_id(n), port);
}

/// What the container sent to that port is told as its own, in the events and in the file of its packets; what came back at the port is not.
fn assert_packets(account: &Account, captured: &crate::capture::Folder, runtime: &str, id: &str, port: u16) {
    let mut words = 0;
    for line in account.lines.of("net_packet_tcp") {
        let metadata = line.get("metadata");
        let theirs = if metadata["direction"] == "EGRESS" { "dst_port" } else { "src_port" };
        let container = &line.0["workload"]["container"];
        if metadata[theirs] == port {
            assert_eq!((&container["id"], &container["runtime"]), (&json!(id), &json!(runtime)), "{line:?}");
            words += usize::from(line.get("proto_tcp")["psh_flag"] == 1);
        } else {
            // The control: the other end is not the container's.
            assert!(container.is_null(), "{line:?}");
        }
    }
    assert_eq!(words, 1);
    let fields = ["-T", "fields", "-e", "frame.comment"];
    let comments = crate::capture::tshark(&captured.file(&format!("containers/{id}.pcap")), &fields);
    assert!(comments.lines().count() > 3);
    let whose = format!(" container={id}");
    assert!(comments.lines().all(|l| l.starts_with("process=nc pid=") && l.ends_with(&whose)), "{comments}");
    let host = crate::capture::tshark(&captured.file("containers/host.pcap"), &fields);
    assert!(!host.is_empty() && !host.contains("container="), "{host}");
}

/// A containerd of our own; ended with it.
struct Containerd {
    child: Child,
    socket: PathBuf,
}

impl Containerd {
    fn start(folder: &Path) -> Result<Containerd, String> {
        let socket = folder.join("containerd.sock");
        let config = format!(
            "version = 2\nroot = '{0}/root'\nstate = '{0}/state'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{1}'\n",
            folder.display(),
            socket.display()
        );
        fs::write(folder.join("config.toml"), config).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(folder.join("config.toml")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|e| format!("containerd: {e}"))?;
        let containerd = Containerd { child, socket };
        wait_until("containerd", || containerd.ctr(&["version"]).is_ok());
        Ok(containerd)
    }

    /// One that has an image, whose program is called so, too; why not, where no container runs.
    fn with_image(folder: &Path, name: &str, programs: &[&str]) -> Result<Containerd, String> {
        let root = folder.join("rootfs");
        root_fs(&root)?;
        for program in programs {
            fs::copy(root.join("bin/true"), root.join("bin").join(program)).unwrap();
        }
        let containerd = Containerd::start(folder)?;
        let tar = image(folder, &root, name)?;
        containerd.ctr(&["images", "import", "--snapshotter", "native", tar.to_str().unwrap()])?;
        containerd.ctr(&["run", "--rm", "--snapshotter", "native", name, "trial", "/bin/true"])?;
        Ok(containerd)
    }

    fn ctr(&self, args: &[&str]) -> Result<String, String> {
        output(Command::new("ctr").arg("--address").arg(&self.socket).args(args))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        e2e::signal(self.child.id(), libc::SIGTERM);
        let _ = self.child.wait();
    }
}

/// An image as `docker save` writes one, of a root file system.
fn image(folder: &Path, root: &Path, name: &str) -> Result<PathBuf, String> {
    let own = folder.join("image");
    fs::create_dir(&own).unwrap();
    output(Command::new("tar").arg("-C").arg(root).arg("-cf").arg(own.join("layer.tar")).arg("."))?;
    let sum = output(Command::new("sha256sum").arg(own.join("layer.tar")))?;
    let layer = format!("sha256:{}", sum.split(' ').next().unwrap());
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    });
    fs::write(own.join("config.json"), config.to_string()).unwrap();
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(own.join("manifest.json"), manifest.to_string()).unwrap();
    let tar = folder.join("image.tar");
    output(Command::new("tar").arg("-C").arg(&own).arg("-cf").arg(&tar).arg("."))?;
    Ok(tar)
}

/// A real containerd tells what its containers are called.
fn of_containerd(test: &str) {
    const IMAGE: &str = "localhost/tiny:1";
    let folder = tempfile::tempdir().unwrap();
    let _above = Above("/default".into());
    let containerd = match Containerd::with_image(folder.path(), IMAGE, &[]) {
        Ok(containerd) => containerd,
        Err(why) => return println!("SKIP {test}: no container runs here: {why}"),
    };
    let images = containerd.ctr(&["images", "list"]).unwrap();
    let digest = images.split_whitespace().find(|w| w.starts_with("sha256:")).unwrap().to_string();
    let socket = format!("container.containerd.socket={}", containerd.socket.display());
    let watch = Watch::start(&["--events", "tag=containers,sched_process_exec", "--enrichment", &socket]);
    let ids: Vec<(usize, String)> = (0..3).map(|n| (n, container_id(n))).collect();
    for (n, id) in &ids {
        let label = format!("io.kubernetes.container.name=server-{n}");
        let n = n.to_string();
        let create = ["containers", "create", "--snapshotter", "native", "--label", &label, "--label"];
        let pod = ["io.kubernetes.pod.name=web", IMAGE, id, "/bin/true", &n];
        containerd.ctr(&[&create[..], &pod[..]].concat()).unwrap();
        containerd.ctr(&["tasks", "start", id]).unwrap();
    }
    // Its cgroup is gone by now, but containerd knows the container until it is told to forget it.
    let events = watch.events_file();
    let told = || fs::read_to_string(&events).unwrap().matches("\"id\":\"container_enriched\"").count();
    wait_until("the names", || told() == ids.len());
    let account = watch.stop();
    assert_attributed(&account, "containerd", &ids);
    for (n, id) in &ids {
        account.lines.one("container_enriched", "container_id", id.as_str()).assert(&[
            ("runtime", json!("containerd")),
            ("container_name", json!(format!("server-{n}"))),
            ("container_image", json!(IMAGE)),
            ("container_image_digest", json!(digest)),
            ("pod_name", json!("web")),
            ("pod_sandbox", json!(false)),
        ]);
    }
    account.assert_clean();
}

/// What a container of containerd's sends is its own.
fn of_containerd_packets(test: &str) {
    const IMAGE: &str = "localhost/tiny:1";
    let folder = tempfile::tempdir().unwrap();
    let _above = Above("/default".into());
    let (port, id) = (23108, container_id(0));
    let containerd = match Containerd::with_image(folder.path(), IMAGE, &["sh", "nc"]) {
        Ok(containerd) => containerd,
        Err(why) => return println!("SKIP {test}: no container runs here: {why}"),
    };
    // It shares this machine's network.
    let command = format!(
        "ctr --address {} run --rm --net-host --snapshotter native {IMAGE} {id} \
         /bin/sh -c 'echo question | /bin/nc 127.0.0.1 {port}'",
        containerd.socket.display()
    );
    let captured = crate::capture::Folder::new();
    let options = captured.options(&["network.pcap.split=container", "network.pcap.snaplen=max"]);
    let mut act = Act::new("speak", &[port.to_string(), command]);
    let all: Vec<&str> =
        ["--events", "net_packet_tcp"].into_iter().chain(options.iter().map(String::as_str)).collect();
    // Not of the act's descendants only: the container is a child of containerd's.
    let watch = Watch::start(&all);
    act.perform();
    let mut account = watch.stop();
    account.assert_clean();
    account.lines.0.retain(|l| {
        l.0["name"] != "net_packet_tcp" || {
            let metadata = l.get("metadata");
            metadata["dst_port"] == port || metadata["src_port"] == port
        }
    });
    assert_packets(&account, &captured, "containerd", &id, port);
}

/// A podman of our own, which answers at its socket; ended with it.
struct Podman {
    folder: PathBuf,
    service: Option<Child>,
}

impl Podman {
    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        for (option, folder) in [("--root", "store"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.folder.join(folder));
        }
        command.args(["--cgroup-manager", "cgroupfs", "--storage-driver", "vfs"]);
        command.args(["--runtime", "runc", "--events-backend", "none"]);
        command
    }

    fn podman(&self, args: &[&str]) -> Result<String, String> {
        output(self.command().args(args))
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("podman.sock")
    }

    /// Runs `true` with its number; gives the container's id.
    fn run(&self, name: &str, options: &[&str], image: &str, n: &str) -> Result<String, String> {
        // What this machine may not let be raised.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=100:100"];
        let run = ["run", "--network", "none", "--name", name];
        self.podman(&[&run[..], &limits, options, &[image, "/bin/true", n]].concat())?;
        let id = self.podman(&["inspect", "--format", "{{.Id}}", name])?;
        Ok(id.trim().to_owned())
    }

    fn serve(&mut self) -> Result<(), String> {
        let address = format!("unix://{}", self.socket().display());
        let mut command = self.command();
        command
            .args(["system", "service", "--time", "0", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.service = Some(command.spawn().map_err(|e| format!("podman: {e}"))?);
        wait_until("podman", || std::os::unix::net::UnixStream::connect(self.socket()).is_ok());
        Ok(())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            e2e::signal(service.id(), libc::SIGTERM);
            let _ = service.wait();
        }
        let _ = self.podman(&["rm", "--all", "--force"]);
    }
}

/// A real podman tells what its containers are called.
fn of_podman(test: &str) {
    const IMAGE: &str = "localhost/tiny:1";
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("rootfs");
    let _above = Above("/libpod_parent/conmon".into());
    let mut podman = Podman { folder: folder.path().into(), service: None };
    let made = (|| {
        root_fs(&root)?;
        let tar = folder.path().join("image.tar");
        output(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg("."))?;
        podman.podman(&["import", tar.to_str().unwrap(), IMAGE])?;
        podman.run("trial", &[], IMAGE, "trial")?;
        podman.serve()
    })();
    if let Err(why) = made {
        return println!("SKIP {test}: no container runs here: {why}");
    }
    let digest = podman.podman(&["image", "inspect", "--format", "{{.Digest}}", IMAGE]).unwrap();
    let socket = format!("container.podman.socket={}", podman.socket().display());
    let watch = Watch::start(&["--events", "tag=containers,sched_process_exec", "--enrichment", &socket]);
    let ids: Vec<(usize, String)> = (0..3)
        .map(|n| {
            let (name, label) = (format!("server-{n}"), format!("shelf={n}"));
            (n, podman.run(&name, &["--label", &label], IMAGE, &n.to_string()).unwrap())
        })
        .collect();
    let events = watch.events_file();
    let told = || fs::read_to_string(&events).unwrap().matches("\"id\":\"container_enriched\"").count();
    wait_until("the names", || told() == ids.len());
    let account = watch.stop();
    assert_attributed(&account, "podman", &ids);
    for (n, id) in &ids {
        account.lines.one("container_enriched", "container_id", id.as_str()).assert(&[
            ("runtime", json!("podman")),
            ("container_name", json!(format!("server-{n}"))),
            ("container_image", json!(IMAGE)),
            ("container_image_digest", json!(digest.trim())),
        ]);
    }
    account.assert_clean();
}
