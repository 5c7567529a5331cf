//! One BPF ring buffer, read in place.
//!
//! The kernel's layout (kernel/bpf/ringbuf.c, 5.8): a page with the consumer's position, writable; a page with the producer's position;
//! then the data, mapped twice in a row so that a record never wraps. Each record has a head of 8 bytes: its length with a busy and a
//! discard bit, and a page offset. The reader goes up to the first busy record, and tells the kernel once for a whole batch how far.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEAD: usize = 8;

/// A mapping that is unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    at: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes of a BPF map from `offset`.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        writable: bool,
    ) -> rustix::io::Result<Self> {
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address of the kernel's choice; nothing else is there.
        let at = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, fd, offset) }?;
        NonNull::new(at.cast()).map(|at| Self { at, length }).ok_or(rustix::io::Errno::NOMEM)
    }

    /// Start of the mapping; good for `len` bytes as long as `self` lives.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.at
    }

    /// Bytes mapped.
    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, and nobody holds a reference into it beyond `self`.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.length) };
    }
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}

/// A ring buffer of the kernel, consumed by one reader.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    mask: usize,
    page: usize,
}

impl Ring {
    /// Maps the ring behind `fd`, which has `size` bytes, a power of two.
    pub fn new(fd: OwnedFd, size: usize) -> rustix::io::Result<Self> {
        let page = rustix::param::page_size();
        if !size.is_power_of_two() || size < page {
            return Err(rustix::io::Errno::INVAL);
        }
        let consumer = Mapping::new(fd.as_fd(), 0, page, true)?;
        let producer = Mapping::new(fd.as_fd(), page as u64, page + 2 * size, false)?;
        Ok(Self { fd, consumer, producer, mask: size - 1, page })
    }

    fn consumer_position(&self) -> &AtomicUsize {
        // SAFETY: the first word of the consumer's page, aligned, mapped as long as `self` lives, and shared with the kernel, which
        // reads and writes it atomically as well.
        unsafe { self.consumer.start().cast::<AtomicUsize>().as_ref() }
    }

    fn producer_position(&self) -> &AtomicUsize {
        // SAFETY: as above; only read here, so the read-only mapping is enough.
        unsafe { self.producer.start().cast::<AtomicUsize>().as_ref() }
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.producer_position()
            .load(Ordering::Acquire)
            .wrapping_sub(self.consumer_position().load(Ordering::Relaxed))
    }

    /// Bytes that fit.
    pub fn size(&self) -> usize {
        self.mask + 1
    }

    /// Gives each complete record to `take`, oldest first, until there is none, one is still being written, or about `limit` bytes were
    /// taken. Returns whether the ring was emptied.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(&[u8])) -> bool {
        let start = self.consumer_position().load(Ordering::Relaxed);
        let produced = self.producer_position().load(Ordering::Acquire);
        let mut position = start;
        let mut emptied = true;
        while position != produced {
            if position.wrapping_sub(start) > limit {
                emptied = false;
                break;
            }
            let offset = position & self.mask;
            // SAFETY: the head of a record lies at a multiple of 8 below `size`, within the mapping of a page and twice `size`; the
            // kernel writes this word atomically.
            let head = unsafe { self.producer.start().add(self.page + offset).cast::<AtomicU32>().as_ref() };
            let head = head.load(Ordering::Acquire);
            if head & BUSY != 0 {
                break;
            }
            let length = (head & !(BUSY | DISCARD)) as usize;
            let step = (length + HEAD).next_multiple_of(8);
            if step > produced.wrapping_sub(position)
                || offset + HEAD + length > self.producer.len() - self.page
            {
                // The kernel never writes this. Do not go on into what is no record.
                position = produced;
                break;
            }
            if head & DISCARD == 0 {
                // SAFETY: within the mapping by the check above; a record that is not busy is not written again before the consumer's
                // position passes it, which happens after this loop.
                let record = unsafe {
                    std::slice::from_raw_parts(
                        self.producer.start().add(self.page + offset + HEAD).as_ptr(),
                        length,
                    )
                };
                take(record);
            }
            position = position.wrapping_add(step);
        }
        if position != start {
            self.consumer_position().store(position, Ordering::Release);
        }
        emptied
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
