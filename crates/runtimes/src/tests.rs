//! Against runtimes that speak the protocol, and against such as do not.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use context::{Labels, Pod};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper::{HeaderMap, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use super::*;
use crate::containerd::{
    Any, Container, Descriptor, GetContainerResponse, GetImageResponse, GetRequest, Image,
    ListNamespacesResponse, Namespace,
};
use crate::cri::{
    ContainerStatus, ContainerStatusResponse, ImageSpec, ListContainersRequest, ListContainersResponse,
    Listed, Metadata, PodMetadata, PodSandboxStatus, PodSandboxStatusResponse, StatusRequest,
};

const ID: &str = "4f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef0123456789abcdef";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Sockets in a folder, none of which is there yet.
fn sockets(folder: &Path) -> Sockets {
    let [docker, containerd, crio, podman] =
        ["docker", "containerd", "crio", "podman"].map(|n| folder.join(n));
    Sockets { docker, containerd, crio, podman }
}

/// Answers each connection to a socket in a thread of its own, until the test ends.
fn listen(socket: &Path, behaviour: impl Fn(UnixStream) + Send + Sync + Clone + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behaviour = behaviour.clone();
            std::thread::spawn(move || behaviour(stream));
        }
    });
}

/// Answers requests of HTTP/1 with a status and JSON.
fn http(socket: &Path, answer: impl Fn(&str) -> (u16, String) + Send + Sync + Clone + 'static) {
    listen(socket, move |mut stream| {
        let mut asked = vec![];
        let mut some = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut some) {
            asked.extend_from_slice(&some[..n]);
            while let Some(end) = asked.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(asked.drain(..end + 4).collect()).unwrap();
                let (status, body) = answer(head.split(' ').nth(1).unwrap());
                let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        }
    });
}

/// Answers calls of gRPC: the path, the namespace and the message give a message, or that there is none.
fn grpc(
    socket: PathBuf,
    answer: impl Fn(&str, &str, &[u8]) -> Option<Vec<u8>> + Send + Sync + Clone + 'static,
) {
    let (ready, bound) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::UnixListener::bind(socket).unwrap();
            ready.send(()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let path = request.uri().path().to_string();
                        let namespace = request.headers().get("containerd-namespace");
                        let namespace = namespace.map_or("", |n| n.to_str().unwrap()).to_string();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let message = answer(&path, &namespace, &body[5..]);
                        let mut trailers = HeaderMap::new();
                        trailers.insert(
                            "grpc-status",
                            if message.is_some() { "0" } else { "5" }.parse().unwrap(),
                        );
                        let body = message.map_or(vec![], |m| {
                            let mut frame = vec![0];
                            frame.extend_from_slice(&(m.len() as u32).to_be_bytes());
                            frame.extend_from_slice(&m);
                            frame
                        });
                        let body = Full::new(Bytes::from(body)).with_trailers(async { Some(Ok(trailers)) });
                        Ok::<_, Infallible>(Response::new(body))
                    }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    bound.recv().unwrap();
}

/// Asks, and waits for what comes of it.
fn ask(sockets: &Sockets, runtime: Runtime) -> Reply {
    let mut runtimes = Runtimes::start(sockets).unwrap();
    runtimes.ask(ID, runtime);
    runtimes.replies.recv().unwrap()
}

fn named(sockets: &Sockets, runtime: Runtime) -> Names {
    match ask(sockets, runtime) {
        Reply::Named { id, names } => {
            assert_eq!(&*id, ID);
            names
        }
        Reply::Complaint(complaint) => panic!("{complaint}"),
    }
}

fn labels(more: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    let pod = [
        ("io.kubernetes.pod.name", "web-1"),
        ("io.kubernetes.pod.namespace", "shop"),
        ("io.kubernetes.pod.uid", "1f2e3d4c"),
    ];
    pod.iter().chain(more).map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn pod(sandbox: bool) -> Pod {
    Pod {
        name: "web-1".into(),
        namespace: Some("shop".into()),
        uid: Some("1f2e3d4c".into()),
        sandbox,
        labels: Labels::of([("app", "web")]),
    }
}

#[test]
fn docker_and_podman() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = sockets(folder.path());
    for (socket, runtime) in [(&sockets.docker, Runtime::Docker), (&sockets.podman, Runtime::Podman)] {
        http(socket, |path| {
            let container = format!("/containers/{ID}/json");
            match path {
                p if p == container => (
                    200,
                    r#"{"Id":"x","Name":"/web","Image":"sha256:1234","Config":{"Image":"nginx:1","Labels":{"team":"shop"}}}"#.into(),
                ),
                "/images/sha256:1234/json" => (200, format!(r#"{{"RepoDigests":["nginx@{DIGEST}","n@sha256:b"]}}"#)),
                _ => (404, r#"{"message":"no"}"#.into()),
            }
        });
        let expected = Names {
            name: Some("web".into()),
            image: Some("nginx:1".into()),
            image_digest: Some(DIGEST.into()),
            labels: Labels::of([("team", "shop")]),
            pod: None,
        };
        assert_eq!(named(&sockets, runtime), expected);
    }
}

#[test]
fn a_runtime_that_learns_of_a_container_late_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = sockets(folder.path());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    http(&sockets.docker, move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => (404, String::new()),
        _ => (200, r#"{"Name":"/late"}"#.into()),
    });
    assert_eq!(named(&sockets, Runtime::Docker).name.as_deref(), Some("late"));
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn kubernetes_by_docker() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = sockets(folder.path());
    let of_sandbox = labels(&[
        ("io.kubernetes.docker.type", "podsandbox"),
        ("io.kubernetes.container.name", "POD"),
        ("app", "web"),
    ]);
    let of_server =
        labels(&[("io.kubernetes.sandbox.id", "5a9db0"), ("io.kubernetes.container.name", "server")]);
    let [of_sandbox, of_server] = [of_sandbox, of_server].map(|l| serde_json::to_string(&l).unwrap());
    for (sandbox, name) in [(true, "POD"), (false, "server")] {
        let asked_for = if sandbox { of_sandbox.clone() } else { of_server.clone() };
        let of_sandbox = of_sandbox.clone();
        let _ = std::fs::remove_file(&sockets.docker);
        http(&sockets.docker, move |path| {
            let labels = match path {
                "/containers/5a9db0/json" => &of_sandbox,
                p if p.starts_with("/containers/") => &asked_for,
                _ => return (404, String::new()),
            };
            (200, format!(r#"{{"Name":"/k8s_web","Config":{{"Image":"pause","Labels":{labels}}}}}"#))
        });
        let names = named(&sockets, Runtime::Unknown);
        assert_eq!((names.name.as_deref(), names.pod), (Some(name), Some(pod(sandbox))));
    }
}

#[test]
fn containerd_in_whichever_namespace() {
    for home in ["k8s.io", "default", "staging"] {
        let folder = tempfile::tempdir().unwrap();
        let sockets = sockets(folder.path());
        grpc(sockets.containerd.clone(), move |path, namespace, message| {
            let key = GetRequest::decode(message).unwrap().key;
            match path {
                "/containerd.services.namespaces.v1.Namespaces/List" => {
                    let namespaces = ["moby", "staging"].map(|n| Namespace { name: n.into() }).into();
                    Some(ListNamespacesResponse { namespaces }.encode_to_vec())
                }
                _ if namespace != home => None,
                "/containerd.services.containers.v1.Containers/Get" if key == "5a9db0" => {
                    let labels = labels(&[("io.cri-containerd.kind", "sandbox"), ("app", "web")]);
                    let container = Some(Container { labels, ..Container::default() });
                    Some(GetContainerResponse { container }.encode_to_vec())
                }
                "/containerd.services.containers.v1.Containers/Get" if key == ID => {
                    let spec =
                        r#"{"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.sandbox-id":"5a9db0"}}"#;
                    let spec = Some(Any { value: spec.into() });
                    let labels = labels(&[
                        ("io.kubernetes.container.name", "server"),
                        ("io.cri-containerd.kind", "container"),
                    ]);
                    let container =
                        Some(Container { labels, image: "docker.io/library/nginx:1".into(), spec });
                    Some(GetContainerResponse { container }.encode_to_vec())
                }
                "/containerd.services.images.v1.Images/Get" if key == "docker.io/library/nginx:1" => {
                    let image = Some(Image { target: Some(Descriptor { digest: DIGEST.into() }) });
                    Some(GetImageResponse { image }.encode_to_vec())
                }
                other => panic!("{other} of {key}"),
            }
        });
        let expected = Names {
            name: Some("server".into()),
            image: Some("docker.io/library/nginx:1".into()),
            image_digest: Some(DIGEST.into()),
            pod: Some(pod(false)),
            labels: Labels::of([
                ("io.cri-containerd.kind", "container"),
                ("io.kubernetes.container.name", "server"),
                ("io.kubernetes.pod.name", "web-1"),
                ("io.kubernetes.pod.namespace", "shop"),
                ("io.kubernetes.pod.uid", "1f2e3d4c"),
            ]),
        };
        assert_eq!(named(&sockets, Runtime::Containerd), expected);
    }
}

#[test]
fn crio_of_containers_and_of_sandboxes() {
    for sandbox in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let sockets = sockets(folder.path());
        grpc(sockets.crio.clone(), move |path, _, message| {
            let list = path.ends_with("/ListContainers");
            let id = match list {
                true => ListContainersRequest::decode(message).unwrap().filter.unwrap().id,
                false => StatusRequest::decode(message).unwrap().id,
            };
            assert_eq!(id, if path.ends_with("/PodSandboxStatus") && !sandbox { "5a9db0" } else { ID });
            match path {
                _ if list => {
                    let containers = vec![Listed { pod_sandbox_id: "5a9db0".into() }];
                    Some(ListContainersResponse { containers }.encode_to_vec())
                }
                "/runtime.v1.RuntimeService/ContainerStatus" if !sandbox => {
                    let status = Some(ContainerStatus {
                        metadata: Some(Metadata { name: "server".into() }),
                        image: Some(ImageSpec {
                            image: "nginx:1".into(),
                            user_specified_image: String::new(),
                        }),
                        image_ref: format!("docker.io/library/nginx@{DIGEST}"),
                        labels: labels(&[]),
                    });
                    Some(ContainerStatusResponse { status }.encode_to_vec())
                }
                "/runtime.v1.RuntimeService/PodSandboxStatus" => {
                    let metadata = Some(PodMetadata {
                        name: "web-1".into(),
                        uid: "1f2e3d4c".into(),
                        namespace: "shop".into(),
                    });
                    let status = Some(PodSandboxStatus { metadata, labels: labels(&[("app", "web")]) });
                    Some(PodSandboxStatusResponse { status }.encode_to_vec())
                }
                _ => None,
            }
        });
        let names = named(&sockets, Runtime::Crio);
        assert_eq!(names.pod, Some(pod(sandbox)));
        let digest = names.image_digest.as_deref();
        let server = (Some("server"), Some("nginx:1"), Some(DIGEST));
        let expected = if sandbox { (None, None, None) } else { server };
        assert_eq!((names.name.as_deref(), names.image.as_deref(), digest), expected);
    }
}

/// Whatever a runtime does, what comes of it is a complaint, and the other runtimes are asked as before.
#[test]
fn hostile_runtimes() {
    type Behaviour = fn(UnixStream);
    /// Writes without end.
    fn forever(mut stream: UnixStream, first: &[u8], then: &[u8]) {
        let _ = stream.write_all(first);
        while stream.write_all(then).is_ok() {}
    }
    let behaviours: [(&str, Behaviour); 6] = [
        ("hangs up", drop),
        ("silent", |mut stream| while let Ok(1..) = stream.read(&mut [0; 64]) {}),
        ("garbage", |stream| forever(stream, b"", &[0x9c; 4096])),
        ("an endless head", |stream| forever(stream, b"HTTP/1.1 200 OK\r\nX: ", &[b'x'; 4096])),
        ("an endless body", |stream| {
            forever(stream, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[\"", &[b'x'; 4096])
        }),
        ("something else", |mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1, 2, 3]");
        }),
    ];
    for (what, behaviour) in behaviours {
        let folder = tempfile::tempdir().unwrap();
        let sockets = sockets(folder.path());
        listen(&sockets.docker, behaviour);
        listen(&sockets.containerd, behaviour);
        http(&sockets.podman, |path| match path {
            p if p.starts_with("/containers/") => (200, r#"{"Name":"/web"}"#.into()),
            _ => (404, String::new()),
        });
        let mut runtimes = Runtimes::start(&sockets).unwrap();
        for _ in 0..100 {
            runtimes.ask(ID, Runtime::Docker);
            runtimes.ask(ID, Runtime::Containerd);
        }
        let complaint = |reply: Reply| match reply {
            Reply::Complaint(complaint) => complaint,
            Reply::Named { .. } => panic!("{what}: {reply:?}"),
        };
        let mut complaints = [(); 2].map(|()| complaint(runtimes.replies.recv().unwrap()));
        complaints.sort();
        println!("{what}: {complaints:?}");
        assert!(complaints[0].starts_with("containerd ") && complaints[1].starts_with("docker "), "{what}");
        runtimes.ask(ID, Runtime::Podman);
        assert!(matches!(runtimes.replies.recv().unwrap(), Reply::Named { .. }), "{what}");
        assert_eq!(runtimes.refused(), 0);
    }
}

#[test]
fn a_runtime_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = sockets(folder.path());
    let reply = ask(&sockets, Runtime::Crio);
    assert!(matches!(&reply, Reply::Complaint(c) if c.contains("container.crio.socket=")), "{reply:?}");
}

#[test]
fn the_queue_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = sockets(folder.path());
    // Never answered, so none of the questions ends.
    let _listener = UnixListener::bind(&sockets.docker).unwrap();
    let mut runtimes = Runtimes::start(&sockets).unwrap();
    let most = QUEUE + UNDER_WAY;
    for _ in 0..=most + 1 {
        runtimes.ask(ID, Runtime::Docker);
    }
    assert!(runtimes.refused() > 0);
    // What could not stand in a URL is not asked, and takes no place.
    let refused = runtimes.refused();
    runtimes.ask("../x", Runtime::Docker);
    assert_eq!(runtimes.refused(), refused);
}

#[test]
fn names_are_bounded() {
    assert_eq!(name("web").as_deref(), Some("web"));
    assert_eq!(name(""), None);
    assert_eq!(name("a\0b"), None);
    assert!(name("x".repeat(context::NAME_BYTES)).is_some());
    assert_eq!(name("x".repeat(context::NAME_BYTES + 1)), None);
}
