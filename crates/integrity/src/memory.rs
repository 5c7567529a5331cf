//! The kernel's memory, read by a BPF program that is attached to nothing and run on request.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;

use libbpf_sys as sys;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// One BPF instruction, in the kernel's layout.
#[repr(C)]
#[derive(Clone, Copy)]
struct Insn {
    code: u8,
    /// Destination in the low half, source in the high one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn insn(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: destination | source << 4, offset, immediate }
}

/// Bytes that one run reads at most.
const CHUNK: usize = 4096;

/// What the program and user space share: a word for how it went, the current task, then the bytes.
const HEAD: usize = 16;

/// The program's map in our memory. A system call that reads a map keeps programs of others off its CPU meanwhile, and they are skipped.
struct Window(NonNull<u8>);

// SAFETY: the mapping belongs to no thread.
unsafe impl Send for Window {}

impl Window {
    const BYTES: usize = (HEAD + CHUNK).next_multiple_of(4096);

    fn new(map: &OwnedFd) -> io::Result<Self> {
        // SAFETY: a new mapping, of as many pages as the map has.
        let at =
            unsafe { mmap(std::ptr::null_mut(), Self::BYTES, ProtFlags::READ, MapFlags::SHARED, map, 0) }?;
        NonNull::new(at.cast()).map(Self).ok_or_else(|| io::Error::other("a mapping at 0"))
    }

    fn copy(&self, from: usize, into: &mut [u8]) {
        let length = into.len().min(Self::BYTES.saturating_sub(from));
        // SAFETY: within the mapping, which lives as long as `self`; the program writes to it only while we run it.
        unsafe { self.0.as_ptr().add(from).copy_to_nonoverlapping(into.as_mut_ptr(), length) };
    }

    fn word(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        self.copy(at, &mut bytes);
        u64::from_ne_bytes(bytes)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, used by nobody any more.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), Self::BYTES) };
    }
}

/// Reads the kernel's memory. What is not there, or changes meanwhile, gives an error or a mixture, never harm: every read is one that the
/// kernel checks.
pub(crate) struct Memory {
    program: OwnedFd,
    window: Window,
}

impl Memory {
    pub(crate) fn new() -> io::Result<Self> {
        let options = sys::bpf_map_create_opts {
            sz: size_of::<sys::bpf_map_create_opts>() as _,
            map_flags: sys::BPF_F_MMAPABLE,
            ..Default::default()
        };
        // SAFETY: the options live through the call; the name ends with a NUL.
        let map = owned(unsafe {
            let name = c"tarsius_memory".as_ptr();
            sys::bpf_map_create(
                sys::BPF_MAP_TYPE_ARRAY,
                name,
                4,
                (HEAD + CHUNK) as u32,
                1,
                &raw const options,
            )
        })?;
        let code = [
            insn(0x79, 6, 1, 0, 0),   // r6 = address
            insn(0x79, 7, 1, 8, 0),   // r7 = length
            insn(0x62, 10, 0, -4, 0), // key = 0
            insn(0xbf, 2, 10, 0, 0),  // r2 = &key
            insn(0x07, 2, 0, 0, -4),
            insn(0x18, 1, 1, 0, map.as_raw_fd()), // r1 = the map
            insn(0, 0, 0, 0, 0),
            insn(0x85, 0, 0, 0, 1),            // bpf_map_lookup_elem
            insn(0x15, 0, 0, 11, 0),           // none: to the end
            insn(0xbf, 8, 0, 0, 0),            // r8 = value
            insn(0x85, 0, 0, 0, 35),           // bpf_get_current_task
            insn(0x7b, 8, 0, 8, 0),            // value.task = r0
            insn(0x25, 7, 0, 7, CHUNK as i32), // longer than a chunk: to the end
            insn(0x15, 7, 0, 6, 0),            // nothing to read: to the end
            insn(0xbf, 1, 8, 0, 0),            // r1 = value.bytes
            insn(0x07, 1, 0, 0, HEAD as i32),
            insn(0xbf, 2, 7, 0, 0),   // r2 = length
            insn(0xbf, 3, 6, 0, 0),   // r3 = address
            insn(0x85, 0, 0, 0, 113), // bpf_probe_read_kernel
            insn(0x7b, 8, 0, 0, 0),   // value.result = r0
            insn(0xb7, 0, 0, 0, 0),   // the end
            insn(0x95, 0, 0, 0, 0),
        ];
        // SAFETY: Insn has the layout of bpf_insn, the count is the slice's, null options mean the defaults.
        let program = owned(unsafe {
            sys::bpf_prog_load(
                sys::BPF_PROG_TYPE_RAW_TRACEPOINT,
                c"tarsius_memory".as_ptr(),
                c"GPL".as_ptr(),
                code.as_ptr().cast(),
                code.len() as _,
                std::ptr::null_mut(),
            )
        })?;
        let memory = Self { program, window: Window::new(&map)? };
        memory.run(0, 0)?;
        Ok(memory)
    }

    /// Fills the buffer from that address.
    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> io::Result<()> {
        for (n, part) in into.chunks_mut(CHUNK).enumerate() {
            self.run(address.wrapping_add((n * CHUNK) as u64), part.len() as u64)?;
            let result = self.window.word(0).cast_signed();
            if result != 0 {
                return Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or_default()));
            }
            self.window.copy(HEAD, part);
        }
        Ok(())
    }

    pub(crate) fn bytes(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn word(&self, address: u64) -> io::Result<u64> {
        Ok(word(&self.bytes(address, 8)?, 0))
    }

    pub(crate) fn half(&self, address: u64) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// A string of `limit` bytes at most.
    pub(crate) fn string(&self, address: u64, limit: usize) -> io::Result<String> {
        let bytes = self.bytes(address, limit)?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned())
    }

    /// Address of the struct task_struct of this thread.
    pub(crate) fn current_task(&self) -> io::Result<u64> {
        self.run(0, 0)?;
        Ok(self.window.word(8))
    }

    fn run(&self, address: u64, length: u64) -> io::Result<()> {
        let arguments = [address, length];
        let mut options = sys::bpf_test_run_opts {
            sz: size_of::<sys::bpf_test_run_opts>() as _,
            ctx_in: arguments.as_ptr().cast(),
            ctx_size_in: size_of_val(&arguments) as u32,
            ..Default::default()
        };
        // SAFETY: the options and the two words that they name live through the call.
        checked(unsafe { sys::bpf_prog_test_run_opts(self.program.as_raw_fd(), &raw mut options) })
    }
}

/// The word at that place in bytes that were read.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_ne_bytes(*b))
}

fn owned(result: i32) -> io::Result<OwnedFd> {
    checked(result)?;
    // SAFETY: a non-negative result is a descriptor that was opened for us and that nobody else holds.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}
