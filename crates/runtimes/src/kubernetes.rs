//! What the kubelet has its runtimes note of a container: labels of these names, whichever the runtime.

use std::collections::HashMap;

use context::Pod;

use crate::name;

/// The container's name in its pod.
pub(crate) fn container(labels: &HashMap<String, String>) -> Option<Box<str>> {
    labels.get("io.kubernetes.container.name").and_then(name)
}

/// The pod.
pub(crate) fn pod(labels: &HashMap<String, String>, sandbox: bool) -> Option<Pod> {
    let label = |key: &str| labels.get(&format!("io.kubernetes.pod.{key}")).and_then(name);
    Some(Pod { name: label("name")?, namespace: label("namespace"), uid: label("uid"), sandbox })
}
