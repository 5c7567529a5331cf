//! An empty program on the entry or the exit of every system call: what the hook itself costs.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, ensure};

/// The program, on its hook as long as this lives.
pub(crate) struct Empty {
    _program: OwnedFd,
    _link: OwnedFd,
}

impl Empty {
    /// Loads `return 0` and attaches it to a tracepoint by BTF.
    pub(crate) fn attach(hook: &CStr) -> anyhow::Result<Self> {
        let code = [insn(0xb7), insn(0x95)];
        // SAFETY: the name is a C string.
        let target =
            unsafe { libbpf_sys::libbpf_find_vmlinux_btf_id(hook.as_ptr(), libbpf_sys::BPF_TRACE_RAW_TP) };
        ensure!(target > 0, "this kernel's types do not have the tracepoint {}", hook.to_string_lossy());
        let mut options = libbpf_sys::bpf_prog_load_opts {
            sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as u64,
            expected_attach_type: libbpf_sys::BPF_TRACE_RAW_TP,
            attach_btf_id: target.cast_unsigned(),
            ..Default::default()
        };
        // SAFETY: all pointers are to what lives through the call, and the lengths are theirs.
        let fd = unsafe {
            libbpf_sys::bpf_prog_load(
                libbpf_sys::BPF_PROG_TYPE_TRACING,
                c"empty".as_ptr(),
                c"GPL".as_ptr(),
                code.as_ptr(),
                code.len() as u64,
                &raw mut options,
            )
        };
        let program = owned(fd).context("loading the empty program")?;
        // SAFETY: no name is needed for a program that has its target.
        let link = owned(unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), fd) });
        Ok(Self { _program: program, _link: link.context("attaching the empty program")? })
    }
}

/// Empty programs on both ways of the packets of all cgroups, as long as this lives.
pub(crate) struct EmptyPackets {
    _attached: Vec<(OwnedFd, OwnedFd)>,
}

impl EmptyPackets {
    /// Loads `return 1`, which lets a packet pass, and attaches it to the root of cgroup v2.
    pub(crate) fn attach() -> anyhow::Result<Self> {
        let features = kernel::Features::probe();
        let mount = features.cgroup2.mount.context("cgroup v2 is not mounted")?;
        let root = std::fs::File::open(&mount).with_context(|| format!("opening {}", mount.display()))?;
        let pass = libbpf_sys::bpf_insn { imm: 1, ..insn(0xb7) };
        let ways = [libbpf_sys::BPF_CGROUP_INET_EGRESS, libbpf_sys::BPF_CGROUP_INET_INGRESS];
        let attached = ways.map(|way| attach_packets(&[pass, insn(0x95)], way, &root));
        Ok(Self { _attached: attached.into_iter().collect::<anyhow::Result<Vec<_>>>()? })
    }
}

fn attach_packets(
    code: &[libbpf_sys::bpf_insn],
    way: libbpf_sys::bpf_attach_type,
    root: &std::fs::File,
) -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as u64,
        expected_attach_type: way,
        ..Default::default()
    };
    // SAFETY: all pointers are to what lives through the call, and the lengths are theirs.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_CGROUP_SKB,
            c"empty".as_ptr(),
            c"GPL".as_ptr(),
            code.as_ptr(),
            code.len() as u64,
            &raw mut options,
        )
    };
    let program = owned(fd).context("loading the empty program")?;
    // SAFETY: descriptors that are open; no options.
    let link = unsafe { libbpf_sys::bpf_link_create(fd, root.as_raw_fd(), way, std::ptr::null()) };
    Ok((program, owned(link).context("attaching the empty program")?))
}

fn insn(code: u8) -> libbpf_sys::bpf_insn {
    libbpf_sys::bpf_insn { code, ..Default::default() }
}

fn owned(fd: i32) -> std::io::Result<OwnedFd> {
    if fd < 0 {
        return Err(std::io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: a descriptor that the kernel just gave us, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
