//! What a worker did: memory that it shares with the checker, so that nothing is lost however it ends.
//!
//! Words of 64 bits: what to do, how many acts were done, then two for each act: when it began, and what came of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::time::{ClockId, clock_gettime};

/// Acts that fit: a worker that has done so many ends.
pub(crate) const ACTS: u32 = 1 << 20;
const HEAD: usize = 2;
const WORDS: usize = HEAD + 2 * ACTS as usize;

/// What a worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Act.
    Act = 0,
    /// Finish the act and end.
    Stop = 1,
    /// Wait before the next act.
    Wait = 2,
}

/// A journal. Only what is written takes memory.
#[derive(Debug)]
pub(crate) struct Journal {
    file: OwnedFd,
    at: NonNull<AtomicU64>,
}

impl Journal {
    /// An empty one.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a NUL-terminated name; the result is checked. Not closed on exec: the worker inherits it.
        let fd = unsafe { libc::memfd_create(c"torture-journal".as_ptr(), 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else has.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len((WORDS * size_of::<AtomicU64>()) as u64)?;
        Self::map(file.into())
    }

    /// The one that this process inherited as that descriptor.
    pub(crate) fn inherited(fd: RawFd) -> io::Result<Self> {
        // SAFETY: the parent left it open for this; if it is closed, mapping says so.
        Self::map(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn map(file: OwnedFd) -> io::Result<Self> {
        let (length, protection) = (WORDS * size_of::<AtomicU64>(), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a fresh mapping of a file of that length, which nobody cuts.
        let at = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, &file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { file, at })
    }

    /// The descriptor to inherit.
    pub(crate) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn word(&self, n: usize) -> &AtomicU64 {
        assert!(n < WORDS, "an act beyond the journal's end");
        // SAFETY: within the mapping, which lives as long as `self`; both sides use it atomically only.
        unsafe { self.at.add(n).as_ref() }
    }

    /// Tells the worker what to do.
    pub(crate) fn tell(&self, order: Order) {
        self.word(0).store(order as u64, Ordering::Release);
    }

    pub(crate) fn is_told(&self, order: Order) -> bool {
        self.word(0).load(Ordering::Acquire) == order as u64
    }

    /// How many acts are done.
    pub(crate) fn done(&self) -> u32 {
        u32::try_from(self.word(1).load(Ordering::Acquire)).map_or(ACTS, |n| n.min(ACTS))
    }

    pub(crate) fn set_done(&self, acts: u32) {
        self.word(1).store(acts.into(), Ordering::Release);
    }

    /// The act of that number begins now.
    pub(crate) fn begin(&self, act: u32) {
        self.word(HEAD + 2 * act as usize).store(now(), Ordering::Release);
    }

    /// When it began, by the boot clock in nanoseconds; `None`: it has not.
    pub(crate) fn began(&self, act: u32) -> Option<u64> {
        let time = (act < ACTS).then(|| self.word(HEAD + 2 * act as usize).load(Ordering::Acquire));
        time.filter(|&t| t != 0)
    }

    /// What came of it.
    pub(crate) fn outcome(&self, act: u32) -> u64 {
        if act < ACTS { self.word(HEAD + 2 * act as usize + 1).load(Ordering::Acquire) } else { 0 }
    }

    pub(crate) fn set_outcome(&self, act: u32, outcome: u64) {
        self.word(HEAD + 2 * act as usize + 1).store(outcome, Ordering::Release);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`, with that length; no reference to it outlives `self`. There is nothing to do about an error.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), WORDS * size_of::<AtomicU64>()) };
    }
}

/// The boot clock, which the kernel side stamps records with.
pub(crate) fn now() -> u64 {
    let t = clock_gettime(ClockId::Boottime);
    t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_other_side() {
        let own = Journal::new().unwrap();
        let other = Journal::map(own.file.try_clone().unwrap()).unwrap();
        assert_eq!((other.done(), other.began(3), other.is_told(Order::Act)), (0, None, true));
        own.begin(3);
        own.set_outcome(3, 77);
        own.set_done(4);
        other.tell(Order::Stop);
        assert_eq!((other.done(), other.outcome(3), own.is_told(Order::Stop)), (4, 77, true));
        assert!(other.began(3).is_some_and(|t| t <= now()));
        assert_eq!((other.began(ACTS), other.outcome(ACTS)), (None, 0));
    }
}
