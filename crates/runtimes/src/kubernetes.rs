//! What the kubelet has its runtimes note of a container: labels of these names, whichever the runtime.

use std::collections::HashMap;

use context::{Labels, Pod};

use crate::name;

/// The container's name in its pod.
pub(crate) fn container(labels: &HashMap<String, String>) -> Option<Box<str>> {
    labels.get("io.kubernetes.container.name").and_then(name)
}

/// The pod. Its labels are those of its sandbox: the container itself, or another that was asked for.
pub(crate) fn pod(
    labels: &HashMap<String, String>,
    sandbox: bool,
    of_sandbox: &HashMap<String, String>,
) -> Option<Pod> {
    let label = |key: &str| labels.get(&format!("io.kubernetes.pod.{key}")).and_then(name);
    Some(Pod {
        name: label("name")?,
        namespace: label("namespace"),
        uid: label("uid"),
        sandbox,
        labels: of_pod(if sandbox { labels } else { of_sandbox }),
    })
}

/// All labels.
pub(crate) fn labels(labels: &HashMap<String, String>) -> Labels {
    Labels::of(labels.iter().map(|(key, value)| (&**key, &**value)))
}

/// Those that somebody put on the pod, not those by which a runtime or the kubelet knows its own.
pub(crate) fn of_pod(labels: &HashMap<String, String>) -> Labels {
    const OWN: [&str; 4] =
        ["io.kubernetes.pod.", "io.kubernetes.container.", "io.kubernetes.docker.", "io.cri-containerd."];
    let own = |key: &str| OWN.iter().any(|own| key.starts_with(own));
    let all = labels.iter().map(|(key, value)| (&**key, &**value));
    Labels::of(all.filter(|(key, _)| !own(key)))
}
