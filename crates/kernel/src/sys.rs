//! The system calls, each wrapped once.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use libbpf_sys as sys;

/// One BPF instruction. The kernel's layout; nibble order as on little-endian machines.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Insn {
    pub(crate) code: u8,
    pub(crate) registers: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

impl Insn {
    pub(crate) const EXIT: Self = Self { code: 0x95, registers: 0, offset: 0, immediate: 0 };

    /// `destination = immediate`
    pub(crate) const fn set(destination: u8, immediate: i32) -> Self {
        Self { code: 0xb7, registers: destination, offset: 0, immediate }
    }

    /// Calls a helper.
    pub(crate) const fn call(helper: u32) -> Self {
        Self { code: 0x85, registers: 0, offset: 0, immediate: helper.cast_signed() }
    }

    /// Calls a kernel function by its BTF id.
    pub(crate) const fn call_kfunc(btf_id: u32) -> Self {
        Self { code: 0x85, registers: 2 << 4, offset: 0, immediate: btf_id.cast_signed() }
    }
}

/// What to load: a program type, what it will be attached to, and its code.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) kind: sys::bpf_prog_type,
    pub(crate) attach: sys::bpf_attach_type,
    pub(crate) btf_id: u32,
    pub(crate) code: &'a [Insn],
}

/// Turns libbpf's result (a descriptor or a negative errno) into one of ours.
fn owned(result: i32) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: a non-negative result is a descriptor that was opened for us and that nobody else holds.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}

/// A refused program: the error and what the verifier said.
pub(crate) struct Refused {
    pub(crate) error: io::Error,
    pub(crate) log: String,
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// Loads a program. The log is empty unless `with_log`.
pub(crate) fn load(program: Program<'_>, with_log: bool) -> Result<OwnedFd, Refused> {
    let mut log = vec![0u8; if with_log { 4096 } else { 0 }];
    // SAFETY: all-zero is a valid value of this plain C struct and means "default" for each field.
    let mut options: sys::bpf_prog_load_opts = unsafe { std::mem::zeroed() };
    options.sz = size_of_val(&options) as _;
    options.attempts = 1;
    options.expected_attach_type = program.attach;
    options.attach_btf_id = program.btf_id;
    if with_log {
        options.log_level = 1;
        options.log_size = log.len() as u32;
        options.log_buf = log.as_mut_ptr().cast();
    }
    // SAFETY: Insn has the layout of bpf_insn, the count is the slice's, the log buffer outlives the call, the strings
    // are NUL-terminated.
    let result = unsafe {
        sys::bpf_prog_load(
            program.kind,
            c"tarsius_probe".as_ptr(),
            c"GPL".as_ptr(),
            program.code.as_ptr().cast(),
            program.code.len() as _,
            &mut options,
        )
    };
    owned(result).map_err(|error| Refused {
        error,
        log: CStr::from_bytes_until_nul(&log)
            .map(|log| log.to_string_lossy().into_owned())
            .unwrap_or_default(),
    })
}

/// Attaches tp_btf, fentry, fexit and LSM programs (no name), or a raw tracepoint program to `name`.
pub(crate) fn open_raw_tracepoint(name: Option<&CStr>, program: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated or null, which the kernel takes to mean "the program knows its target".
    owned(unsafe {
        sys::bpf_raw_tracepoint_open(name.map_or(ptr::null(), CStr::as_ptr), program.as_raw_fd())
    })
}

/// Attaches a program to a target (a cgroup, or none) by a link.
pub(crate) fn link(
    program: &OwnedFd,
    target: Option<BorrowedFd<'_>>,
    attach: sys::bpf_attach_type,
) -> io::Result<OwnedFd> {
    let target: RawFd = target.map_or(0, |target| target.as_raw_fd());
    // SAFETY: null options mean the defaults.
    owned(unsafe { sys::bpf_link_create(program.as_raw_fd(), target, attach, ptr::null()) })
}

/// Attaches a kprobe program to a kernel function by a multi link.
pub(crate) fn link_kprobe_multi(program: &OwnedFd, function: &CStr) -> io::Result<OwnedFd> {
    let mut names = [function.as_ptr()];
    // SAFETY: all-zero is a valid value of this plain C struct.
    let mut options: sys::bpf_link_create_opts = unsafe { std::mem::zeroed() };
    options.sz = size_of_val(&options) as _;
    options.__bindgen_anon_1.kprobe_multi.cnt = 1;
    options.__bindgen_anon_1.kprobe_multi.syms = names.as_mut_ptr();
    // SAFETY: the options and the array of one name outlive the call.
    owned(unsafe { sys::bpf_link_create(program.as_raw_fd(), 0, sys::BPF_TRACE_KPROBE_MULTI, &options) })
}

/// Opens an iterator, to be read like a file.
pub(crate) fn open_iterator(link: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: takes a descriptor only.
    owned(unsafe { sys::bpf_iter_create(link.as_raw_fd()) })
}

/// Creates a map.
pub(crate) fn create_map(
    kind: sys::bpf_map_type,
    key: u32,
    value: u32,
    entries: u32,
    set: impl FnOnce(&mut sys::bpf_map_create_opts),
) -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid value of this plain C struct and means "default" for each field.
    let mut options: sys::bpf_map_create_opts = unsafe { std::mem::zeroed() };
    options.sz = size_of_val(&options) as _;
    set(&mut options);
    // SAFETY: the name is NUL-terminated, the options outlive the call.
    owned(unsafe { sys::bpf_map_create(kind, c"tarsius_probe".as_ptr(), key, value, entries, &options) })
}

/// Loads type information that holds `int` as type 1: what storage maps demand for their values.
pub(crate) fn load_btf_of_int() -> io::Result<OwnedFd> {
    const STRINGS: &[u8; 5] = b"\0int\0";
    // struct btf_header (magic, version, flags, header length; offset and length of types and strings), then BTF_KIND_INT
    // (1 << 24): name at 1, 4 bytes, signed, 32 bits.
    let words: [u32; 10] = [0x0001_eb9f, 24, 0, 16, 16, STRINGS.len() as u32, 1, 1 << 24, 4, (1 << 24) | 32];
    let mut blob: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    blob.extend_from_slice(STRINGS);
    // SAFETY: the length is the blob's; null options mean the defaults.
    owned(unsafe { sys::bpf_btf_load(blob.as_ptr().cast(), blob.len() as _, ptr::null_mut()) })
}

/// While the result lives, the kernel counts the runs of all programs (5.8), which makes each a little slower.
///
/// # Errors
///
/// The kernel can not, or does not allow it.
pub fn count_runs() -> io::Result<OwnedFd> {
    // SAFETY: takes a number only.
    owned(unsafe { sys::bpf_enable_stats(sys::BPF_STATS_RUN_TIME) })
}

/// What the kernel knows about a program, and how many bytes of the structure it filled.
pub(crate) fn program_info(program: &OwnedFd) -> io::Result<(sys::bpf_prog_info, usize)> {
    let mut info = sys::bpf_prog_info::default();
    let mut length = size_of_val(&info) as u32;
    // SAFETY: the length is the structure's; no array is asked for, as all its pointers are zero.
    checked(unsafe { sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut length) })?;
    Ok((info, length as usize))
}

/// `struct perf_event_attr`, version 1 (72 bytes): what the probes here need of it.
#[repr(C)]
#[derive(Default)]
pub(crate) struct PerfEvent {
    pub(crate) kind: u32,
    pub(crate) size: u32,
    pub(crate) config: u64,
    pub(crate) period: u64,
    pub(crate) sample_type: u64,
    pub(crate) read_format: u64,
    pub(crate) flags: u64,
    pub(crate) wakeup: u32,
    pub(crate) breakpoint: u32,
    pub(crate) config1: u64,
    pub(crate) config2: u64,
}

/// Opens a perf event. `name` (a function or a file) is given as `config1`.
pub(crate) fn open_perf(
    mut event: PerfEvent,
    name: Option<&CString>,
    pid: i32,
    cpu: i32,
) -> io::Result<OwnedFd> {
    const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;
    event.size = size_of::<PerfEvent>() as u32;
    if let Some(name) = name {
        event.config1 = name.as_ptr() as u64;
    }
    // SAFETY: the event is a perf_event_attr of the size it states, and the string in config1 outlives the call.
    let fd =
        unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const event, pid, cpu, -1, CLOSE_ON_EXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    owned(fd as i32)
}

/// Opens a perf event, as [`open_perf`], and attaches a program to it.
pub(crate) fn attach_perf(
    event: PerfEvent,
    name: Option<&CString>,
    pid: i32,
    cpu: i32,
    program: &OwnedFd,
) -> io::Result<OwnedFd> {
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    const ENABLE: libc::c_ulong = 0x2400;
    let fd = open_perf(event, name, pid, cpu)?;
    // SAFETY: both requests take a number, not a pointer.
    if unsafe { libc::ioctl(fd.as_raw_fd(), SET_BPF as _, program.as_raw_fd()) } < 0
        // SAFETY: as above.
        || unsafe { libc::ioctl(fd.as_raw_fd(), ENABLE as _, 0) } < 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

/// The kernel's type information, parsed.
pub(crate) struct Btf(ptr::NonNull<sys::btf>);

// SAFETY: libbpf only reads a parsed btf in the lookups used here; nothing of it is bound to a thread.
unsafe impl Sync for Btf {}

impl Btf {
    /// Reads and parses /sys/kernel/btf/vmlinux.
    pub(crate) fn of_kernel() -> io::Result<Self> {
        // SAFETY: takes nothing; the result is null on failure, with errno set.
        ptr::NonNull::new(unsafe { sys::btf__load_vmlinux_btf() })
            .map(Self)
            .ok_or_else(io::Error::last_os_error)
    }

    pub(crate) fn find(&self, name: &str, kind: u32) -> Option<u32> {
        let name = CString::new(name).ok()?;
        // SAFETY: the pointer is valid until drop; the name is NUL-terminated.
        u32::try_from(unsafe { sys::btf__find_by_name_kind(self.0.as_ptr(), name.as_ptr(), kind) }).ok()
    }

    /// Offset of a per-CPU variable in the per-CPU section.
    pub(crate) fn per_cpu_offset(&self, name: &str) -> Option<u32> {
        let variable = self.find(name, sys::BTF_KIND_VAR)?;
        let section = self.find(".data..percpu", sys::BTF_KIND_DATASEC)?;
        // SAFETY: the id is one of this BTF, so the result points to a btf_type that lives as long as it.
        let section = unsafe { sys::btf__type_by_id(self.0.as_ptr(), section).as_ref() }?;
        let length = (section.info & 0xffff) as usize;
        // SAFETY: a section's btf_type is followed by as many btf_var_secinfo as its info states; libbpf has checked the
        // lengths when parsing.
        let variables = unsafe {
            std::slice::from_raw_parts(ptr::from_ref(section).add(1).cast::<sys::btf_var_secinfo>(), length)
        };
        variables.iter().find(|entry| entry.type_ == variable).map(|entry| entry.offset)
    }

    /// Name of the type of a structure's member.
    pub(crate) fn member_type(&self, structure: &str, member: &str) -> Option<String> {
        let btf = self.0.as_ptr();
        let text = |offset| {
            // SAFETY: an offset that this BTF gave; the result is null or a string that lives as long as the BTF.
            let text = unsafe { sys::btf__name_by_offset(btf, offset) };
            // SAFETY: as above.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        };
        let id = self.find(structure, sys::BTF_KIND_STRUCT)?;
        // SAFETY: the id is one of this BTF, so the result points to a btf_type that lives as long as it.
        let structure = unsafe { sys::btf__type_by_id(btf, id).as_ref() }?;
        let length = (structure.info & 0xffff) as usize;
        // SAFETY: a structure's btf_type is followed by as many btf_member as its info states; libbpf has checked the
        // lengths when parsing.
        let members = unsafe {
            std::slice::from_raw_parts(ptr::from_ref(structure).add(1).cast::<sys::btf_member>(), length)
        };
        let found = members.iter().find(|m| text(m.name_off).as_deref() == Some(member))?;
        // SAFETY: as above.
        text(unsafe { sys::btf__type_by_id(btf, found.type_).as_ref() }?.name_off)
    }

    pub(crate) fn function(&self, name: &str) -> Option<u32> {
        self.find(name, sys::BTF_KIND_FUNC)
    }
}

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: ours, and not used after this.
        unsafe { sys::btf__free(self.0.as_ptr()) }
    }
}

/// While this lives, libbpf prints nothing: refusals are what a probe is for.
pub(crate) struct Quiet {
    before: sys::libbpf_print_fn_t,
    _alone: MutexGuard<'static, ()>,
}

impl Quiet {
    pub(crate) fn new() -> Self {
        // The print function is one for the process: two probes at once would restore each other's.
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: libbpf exchanges the pointer atomically; None means silence.
        Self { before: unsafe { sys::libbpf_set_print(None) }, _alone: alone }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: puts back what was there.
        unsafe { sys::libbpf_set_print(self.before) };
    }
}
