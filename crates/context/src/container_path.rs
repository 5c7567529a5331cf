//! Which container a cgroup's path tells of.

/// What made a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the runtime of that name")]
pub enum Runtime {
    Docker,
    Containerd,
    Crio,
    Podman,
    Lxc,
    Nspawn,
    Garden,
    /// The path has a container's id but does not say whose: `/kubepods/.../<id>`.
    Unknown,
}

impl Runtime {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Containerd => "containerd",
            Runtime::Crio => "crio",
            Runtime::Podman => "podman",
            Runtime::Lxc => "lxc",
            Runtime::Nspawn => "nspawn",
            Runtime::Garden => "garden",
            Runtime::Unknown => "unknown",
        }
    }
}

/// A container's id and runtime, from the path of its cgroup or of any cgroup within.
///
/// Of nested containers the innermost counts. The id is the runtime's: 64 hexadecimal digits, the name for LXC and nspawn,
/// the handle for garden. A runtime's helper in its own cgroup (`libpod-conmon-`, `crio-conmon-`, `lxc.monitor.`, an nspawn's
/// `supervisor`) is not in the container.
pub fn container_of(path: &str) -> Option<(&str, Runtime)> {
    let mut rest = path.trim_end_matches('/');
    let mut inner = "";
    while !rest.is_empty() {
        let (above, component) = rest.rsplit_once('/').unwrap_or(("", rest));
        let parent = above.rsplit('/').next().unwrap_or("");
        if let Some(found) = container_in(component, parent, above, inner) {
            return Some(found);
        }
        rest = above;
        inner = component;
    }
    None
}

/// The container that one component tells of, given what stands above and right below it.
fn container_in<'a>(
    component: &'a str,
    parent: &str,
    above: &str,
    inner: &str,
) -> Option<(&'a str, Runtime)> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    if is_id(name) {
        return Some((name, runtime_above(parent, above)));
    }
    // containerd told to use systemd's names without systemd: SLICE:cri-containerd:ID
    if let Some((before, id)) = name.rsplit_once(':').filter(|(_, id)| is_id(id)) {
        let known = before.ends_with(":cri-containerd").then_some(Runtime::Containerd);
        return Some((id, known.unwrap_or(Runtime::Unknown)));
    }
    if let Some((prefix, id)) = name.rsplit_once('-').filter(|(_, id)| is_id(id)) {
        return match prefix {
            "docker" => Some((id, Runtime::Docker)),
            "cri-containerd" | "nerdctl" => Some((id, Runtime::Containerd)),
            "crio" => Some((id, Runtime::Crio)),
            "libpod" | "libpod-payload" => Some((id, Runtime::Podman)),
            _ if prefix.ends_with("conmon") => None,
            _ => component.ends_with(".scope").then_some((id, Runtime::Unknown)),
        };
    }
    // ECS on Fargate: /ecs/TASK/TASK-NUMBER
    if above.contains("/ecs/") && name.strip_prefix(parent).is_some_and(|n| is_fargate_number(parent, n)) {
        return Some((name, Runtime::Containerd));
    }
    if let Some(name) = component.strip_prefix("lxc.payload.").filter(|n| !n.is_empty()) {
        return Some((name, Runtime::Lxc));
    }
    if parent == "lxc" || parent == "lxc.payload" {
        return Some((component, Runtime::Lxc));
    }
    if is_handle(component, &[8, 4, 4, 4, 4]) || is_garden(above) && is_handle(component, &[8, 4, 4, 4, 12]) {
        return Some((component, Runtime::Garden));
    }
    let machine = component.strip_prefix("machine-").and_then(|c| c.strip_suffix(".scope"));
    let unit = component.strip_prefix("systemd-nspawn@").and_then(|c| c.strip_suffix(".service"));
    match machine.or(unit) {
        // libvirt registers its virtual machines with systemd too.
        Some(name) if name.is_empty() || name.starts_with("qemu\\x2d") => None,
        Some(_) if inner == "supervisor" => None,
        Some(name) if name.starts_with("lxc\\x2d") => Some((name, Runtime::Lxc)),
        Some(name) => Some((name, Runtime::Nspawn)),
        None => None,
    }
}

/// Whose a bare id is, by where it stands.
fn runtime_above(parent: &str, above: &str) -> Runtime {
    match parent {
        "docker" | "actions_job" => Runtime::Docker,
        "libpod_parent" => Runtime::Podman,
        // containerd's namespaces
        "default" | "k8s.io" => Runtime::Containerd,
        _ if above.starts_with("/ecs/") => Runtime::Docker,
        _ => Runtime::Unknown,
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Groups of so many hexadecimal digits, with dashes between them. Cloud Foundry names its containers by a UUID of which the
/// last eight digits are cut.
fn is_handle(text: &str, digits: &[usize]) -> bool {
    let mut groups = text.split('-');
    let hexadecimal = |group: &str| group.bytes().all(|b| b.is_ascii_hexdigit());
    digits.iter().all(|&n| groups.next().is_some_and(|g| g.len() == n && hexadecimal(g)))
        && groups.next().is_none()
}

/// The cgroup of the garden daemon, which has a tag where there are several, or one of the two in which it puts containers
/// by their use of the CPU.
fn is_garden(above: &str) -> bool {
    let above = ["/good", "/bad"].iter().find_map(|s| above.strip_suffix(s)).unwrap_or(above);
    let daemon = above.rsplit('/').next().unwrap_or("");
    daemon == "garden" || daemon.starts_with("garden-")
}

fn is_fargate_number(task: &str, rest: &str) -> bool {
    let task_ok = task.len() == 32 && task.bytes().all(|b| b.is_ascii_hexdigit());
    task_ok && rest.strip_prefix('-').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::Runtime::*;
    use super::*;

    const ID: &str = "4f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef0123456789abcdef";
    const OUTER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn real_paths() {
        let table: &[(&str, Option<(&str, Runtime)>)] = &[
            // Docker: cgroupfs and systemd drivers, rootless, inner cgroups, GitHub's runners
            ("/docker/ID", Some((ID, Docker))),
            ("/docker/ID/", Some((ID, Docker))),
            ("/docker/ID/init.scope", Some((ID, Docker))),
            ("/docker/ID/system.slice/nginx.service", Some((ID, Docker))),
            ("/system.slice/docker-ID.scope", Some((ID, Docker))),
            ("/system.slice/docker-ID.scope/init.scope", Some((ID, Docker))),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", Some((ID, Docker))),
            ("/actions_job/ID", Some((ID, Docker))),
            ("/ecs/7f0b9c2e4d5f4a1b8c7d6e5f4a3b2c1d/ID", Some((ID, Docker))),
            // Docker in Docker: the innermost
            ("/docker/OUTER/docker/ID", Some((ID, Docker))),
            (
                "/docker/OUTER/kubelet.slice/kubelet-kubepods.slice/cri-containerd-ID.scope",
                Some((ID, Containerd)),
            ),
            // Kubernetes
            ("/kubepods/besteffort/pod1f2e3d4c-0000-4000-8000-000000000000/ID", Some((ID, Unknown))),
            ("/kubepods/pod1f2e3d4c-0000-4000-8000-000000000000/ID/child", Some((ID, Unknown))),
            ("/kubepods/burstable/pod1f2e3d4c-0000-4000-8000-000000000000/crio-ID", Some((ID, Crio))),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f2e3d4c_0000.slice/cri-containerd-ID.scope",
                Some((ID, Containerd)),
            ),
            ("/kubepods.slice/kubepods-pod1f2e3d4c_0000.slice/docker-ID.scope", Some((ID, Docker))),
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1f2e.slice/crio-ID.scope",
                Some((ID, Crio)),
            ),
            ("/kubepods.slice/kubepods-pod1f2e.slice/crio-ID.scope/container", Some((ID, Crio))),
            (
                "/system.slice/containerd.service/kubepods-besteffort-pod1f2e.slice:cri-containerd:ID",
                Some((ID, Containerd)),
            ),
            ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1f2e.slice", None),
            ("/kubepods/besteffort/pod1f2e3d4c-0000-4000-8000-000000000000", None),
            // containerd by ctr and nerdctl, Fargate
            ("/default/ID", Some((ID, Containerd))),
            ("/k8s.io/ID", Some((ID, Containerd))),
            ("/system.slice/nerdctl-ID.scope", Some((ID, Containerd))),
            (
                "/ecs/7f0b9c2e4d5f4a1b8c7d6e5f4a3b2c1d/7f0b9c2e4d5f4a1b8c7d6e5f4a3b2c1d-3681261407",
                Some(("7f0b9c2e4d5f4a1b8c7d6e5f4a3b2c1d-3681261407", Containerd)),
            ),
            // Podman: rootful, rootless, pods, --cgroups=split, cgroupfs
            ("/machine.slice/libpod-ID.scope", Some((ID, Podman))),
            ("/machine.slice/libpod-ID.scope/container", Some((ID, Podman))),
            ("/machine.slice/libpod-conmon-ID.scope", None),
            ("/machine.slice/machine-libpod_pod_OUTER.slice/libpod-ID.scope", Some((ID, Podman))),
            ("/machine.slice/machine-libpod_pod_OUTER.slice", None),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", Some((ID, Podman))),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/podman-pause-1b2c3d4e.scope", None),
            ("/system.slice/web.service/libpod-payload-ID", Some((ID, Podman))),
            ("/libpod_parent/libpod-ID", Some((ID, Podman))),
            ("/docker/OUTER/libpod_parent/libpod-conmon-ID", Some((OUTER, Docker))),
            // CRI-O's helper
            ("/system.slice/crio-conmon-ID.scope", None),
            ("/system.slice/crio.service", None),
            // LXC, LXD, Proxmox
            ("/lxc/web", Some(("web", Lxc))),
            ("/lxc/101/ns/system.slice/ssh.service", Some(("101", Lxc))),
            ("/lxc.payload.web/system.slice/cron.service", Some(("web", Lxc))),
            ("/lxc.payload/web", Some(("web", Lxc))),
            ("/lxc.monitor.web", None),
            ("/lxc", None),
            ("/lxc/101/ns/docker/ID", Some((ID, Docker))),
            // nspawn, and libvirt beside it
            ("/machine.slice/machine-debian.scope", Some(("debian", Nspawn))),
            ("/machine.slice/machine-debian.scope/payload/system.slice", Some(("debian", Nspawn))),
            ("/machine.slice/machine-debian.scope/supervisor", None),
            ("/machine.slice/systemd-nspawn@debian.service/payload", Some(("debian", Nspawn))),
            ("/machine.slice/systemd-nspawn@debian.service/supervisor", None),
            ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", None),
            ("/machine.slice/machine-lxc\\x2d12\\x2dapp.scope", Some(("lxc\\x2d12\\x2dapp", Lxc))),
            // garden: Cloud Foundry, Concourse
            ("/garden/5f1b7a2e-1c3d-4b5a-6978-8796", Some(("5f1b7a2e-1c3d-4b5a-6978-8796", Garden))),
            (
                "/system.slice/runc-bpm-garden.scope/garden/bad/5f1b7a2e-1c3d-4b5a-6978-8796",
                Some(("5f1b7a2e-1c3d-4b5a-6978-8796", Garden)),
            ),
            (
                "/garden-2/5f1b7a2e-1c3d-4b5a-6978-8796a5b4c3d2/init",
                Some(("5f1b7a2e-1c3d-4b5a-6978-8796a5b4c3d2", Garden)),
            ),
            ("/garden/good", None),
            ("/garden", None),
            ("/user.slice/5f1b7a2e-1c3d-4b5a-6978-8796a5b4c3d2", None),
            ("/garden/5f1b7a2e-1c3d-4b5a-6978-879g", None),
            // of version 1 each controller has a path of its own, and a runtime in a container has its container's before it
            (
                "/kubepods/burstable/pod1f2e3d4c-0000-4000-8000-000000000000/OUTER/docker/ID",
                Some((ID, Docker)),
            ),
            ("/system.slice/docker-OUTER.scope/machine.slice/libpod-ID.scope/container", Some((ID, Podman))),
            ("/machine.slice/machine-debian.scope/payload/system.slice/docker-ID.scope", Some((ID, Docker))),
            ("/docker/OUTER/lxc/web", Some(("web", Lxc))),
            // Podman: an exec's own cgroup, and user services
            ("/libpod_parent/libpod-ID/ctr", Some((ID, Podman))),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/libpod-payload-ID",
                Some((ID, Podman)),
            ),
            // LXD and Incus
            ("/lxc.payload.c1/init.scope", Some(("c1", Lxc))),
            ("/lxc.pivot/web", None),
            // an unknown runtime's scope
            ("/system.slice/kata-ID.scope", Some((ID, Unknown))),
            ("/system.slice/kata-ID.service", None),
            // no container
            ("", None),
            ("/", None),
            ("/init.scope", None),
            ("/user.slice/user-1000.slice/session-3.scope", None),
            ("/system.slice/docker.service", None),
            ("/system.slice/containerd.service", None),
            ("/docker", None),
            ("/docker/buildkit/3x8q0jv5r2d1m7n9k4c6b8z0y", None),
            ("/docker/4f1e2d3c4b5a", None),
            ("/machine.slice", None),
        ];
        for (path, expected) in table {
            let path = path.replace("ID", ID).replace("OUTER", OUTER);
            assert_eq!(container_of(&path), *expected, "{path}");
        }
    }
}
