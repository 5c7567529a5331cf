//! Containers, from their making to their removal.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use e2e::{Act, Watch, container_hierarchy, wait_until};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[("existing_containers", existing), ("names_of_containers", names)];

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
        "io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"1f2e"}}}"#;
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
    });
    assert_eq!(of("after")["container"], container);
    let k8s =
        json!({"pod": {"name": "web-1", "uid": "1f2e", "sandbox": false}, "namespace": {"name": "shop"}});
    assert_eq!(of("after")["k8s"], k8s);
    account.lines.one("container_remove", "container_id", id());
    account.assert_clean();
    crate::session::validate(&account);
}
