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

    /// Whether the oldest record is still being written, so that nothing can be taken though bytes wait.
    pub fn blocked(&self) -> bool {
        let position = self.consumer_position().load(Ordering::Relaxed);
        position != self.producer_position().load(Ordering::Acquire) && self.head(position) & BUSY != 0
    }

    /// The head of the record at that position: its length and what became of it.
    fn head(&self, position: usize) -> u32 {
        let offset = self.page + (position & self.mask & !(HEAD - 1));
        // SAFETY: at a multiple of 8 below `size`, within the mapping of a page and twice `size`, which lives as long as `self`; the kernel
        // writes this word atomically.
        unsafe { self.producer.start().add(offset).cast::<AtomicU32>().as_ref() }.load(Ordering::Acquire)
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
            let head = self.head(position);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 4096;

    /// The kernel's side of a ring, in memory laid out as the kernel's is, but that what is at its end is not at its start as well.
    struct Producer {
        file: std::fs::File,
        page: u64,
        position: usize,
    }

    fn ring() -> (Producer, Ring) {
        let fd = rustix::fs::memfd_create("ring", rustix::fs::MemfdFlags::empty()).unwrap();
        let file = std::fs::File::from(fd);
        let page = rustix::param::page_size();
        file.set_len((2 * page + 2 * SIZE) as u64).unwrap();
        let ring = Ring::new(file.try_clone().unwrap().into(), SIZE).unwrap();
        (Producer { file, page: page as u64, position: 0 }, ring)
    }

    impl Producer {
        fn put(&self, offset: u64, bytes: &[u8]) {
            std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset).unwrap();
        }

        /// Where the head of the record at that position is.
        fn offset(&self, position: usize) -> u64 {
            2 * self.page + (position & (SIZE - 1)) as u64
        }

        /// Has room for a record, which is not written yet; gives its position.
        fn reserve(&mut self, length: usize) -> usize {
            let position = self.position;
            self.put(self.offset(position), &(length as u32 | BUSY).to_ne_bytes());
            self.position += (length + HEAD).next_multiple_of(8);
            self.put(self.page, &self.position.to_ne_bytes());
            position
        }

        fn commit(&self, position: usize, bytes: &[u8], flag: u32) {
            self.put(self.offset(position) + HEAD as u64, bytes);
            self.put(self.offset(position), &(bytes.len() as u32 | flag).to_ne_bytes());
        }
    }

    fn taken(ring: &mut Ring) -> Vec<Vec<u8>> {
        let mut taken = vec![];
        assert!(ring.drain(usize::MAX, |record| taken.push(record.to_vec())));
        taken
    }

    #[test]
    fn a_record_that_is_being_written_holds_up_the_others() {
        let (mut producer, mut ring) = ring();
        assert!(!ring.blocked());
        let first = producer.reserve(3);
        let second = producer.reserve(8);
        producer.commit(second, &[2; 8], 0);
        assert!(ring.blocked() && ring.waiting() > 0);
        assert_eq!(taken(&mut ring), [[0u8; 0]; 0]);
        producer.commit(first, &[1; 3], 0);
        assert!(!ring.blocked());
        assert_eq!(taken(&mut ring), [vec![1; 3], vec![2; 8]]);
        assert!(!ring.blocked() && ring.waiting() == 0);
    }

    #[test]
    fn what_is_no_record_is_not_followed() {
        let (mut producer, mut ring) = ring();
        let position = producer.reserve(3);
        // A length beyond what was produced, and beyond the ring.
        producer.put(producer.offset(position), &(DISCARD - 1).to_ne_bytes());
        assert_eq!(taken(&mut ring), [[0u8; 0]; 0]);
        assert_eq!(ring.waiting(), 0);
    }

    proptest! {
        /// However records are written, in whatever order they become whole: each comes once, in order, and none that was discarded.
        #[test]
        fn each_record_comes_once(
            records in prop::collection::vec((0usize..300, any::<bool>(), any::<bool>()), 0..12),
            step in 1usize..4,
        ) {
            let (mut producer, mut ring) = ring();
            let mut open = vec![];
            let mut expected = vec![];
            let mut got = vec![];
            for (n, &(length, discard, later)) in records.iter().enumerate() {
                let bytes = vec![n as u8; length];
                let position = producer.reserve(length);
                if !discard {
                    expected.push(bytes.clone());
                }
                let flag = if discard { DISCARD } else { 0 };
                if later {
                    open.push((position, bytes, flag));
                } else {
                    producer.commit(position, &bytes, flag);
                }
                if n % step == 0 {
                    got.extend(taken(&mut ring));
                    prop_assert_eq!(&got[..], &expected[..got.len()]);
                    prop_assert_eq!(ring.blocked(), ring.waiting() > 0);
                }
            }
            // The youngest first.
            while let Some((position, bytes, flag)) = open.pop() {
                producer.commit(position, &bytes, flag);
            }
            got.extend(taken(&mut ring));
            prop_assert_eq!(got, expected);
            prop_assert_eq!(ring.waiting(), 0);
        }
    }
}
