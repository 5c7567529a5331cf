//! The user stack that a record carries: `struct frame_record` of `bpf/lib/record.h`.

use catalogue::Quality;

use crate::bytes;

/// Index of the field in records: of no event's own, as any may have it.
pub const USER_STACK: u8 = 255;

/// Most frames of a stack.
pub const STACK_FRAMES: usize = 32;

/// Bytes of one frame.
pub const FRAME_BYTES: usize = 40;

/// The user stack of the event's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserStack<'a> {
    /// Ok: the chain of frame pointers was followed to its end. Truncated: it broke off, or is longer than what is taken, so that there may
    /// be more callers. Unavailable: the hook can not tell it.
    pub quality: Quality,
    frames: &'a [u8],
}

/// One function of a stack, by an address in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The address.
    pub address: u64,
    /// What was mapped there.
    pub memory: Memory,
    /// The address is behind the instruction at hand, a call: where that returns to.
    pub behind: bool,
}

/// What was mapped at an address when the event happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It could not be looked at, as the process was changing its mappings.
    Unknown,
    /// A file.
    File(Place),
    /// Memory without a file: code made while running, or the kernel's own (vdso).
    Anonymous,
    /// Nothing, or no code.
    Nothing,
}

/// A place in a file, in the state in which that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Device, as `stat` numbers it.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Change time, nanoseconds since the epoch.
    pub ctime: u64,
    /// Bytes from the file's beginning.
    pub offset: u64,
}

impl Frame {
    /// The place whose function this is: a call may be a function's last instruction, and the next one another function's.
    pub fn place(&self) -> Option<Place> {
        match self.memory {
            Memory::File(place) => {
                Some(Place { offset: place.offset.saturating_sub(self.behind.into()), ..place })
            }
            _ => None,
        }
    }

    fn decode(record: &[u8]) -> Option<Frame> {
        let place = Place {
            offset: bytes::u64(record, 8),
            inode: bytes::u64(record, 16),
            ctime: bytes::u64(record, 24),
            dev: bytes::u32(record, 32),
        };
        let word = bytes::u32(record, 36);
        let memory = match word & 0xffff {
            0 => Memory::Unknown,
            1 => Memory::File(place),
            2 => Memory::Anonymous,
            3 => Memory::Nothing,
            _ => return None,
        };
        let behind = match word >> 16 {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Frame { address: bytes::u64(record, 0), memory, behind })
    }

    /// The bytes of the frame in a record.
    pub fn encode(&self) -> [u8; FRAME_BYTES] {
        let nowhere = Place { dev: 0, inode: 0, ctime: 0, offset: 0 };
        let (place, memory): (Place, u32) = match self.memory {
            Memory::Unknown => (nowhere, 0),
            Memory::File(place) => (place, 1),
            Memory::Anonymous => (nowhere, 2),
            Memory::Nothing => (nowhere, 3),
        };
        let mut record = [0; FRAME_BYTES];
        for (at, word) in [self.address, place.offset, place.inode, place.ctime].into_iter().enumerate() {
            record[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        record[32..36].copy_from_slice(&place.dev.to_le_bytes());
        record[36..].copy_from_slice(&(memory | u32::from(self.behind) << 16).to_le_bytes());
        record
    }
}

impl<'a> UserStack<'a> {
    /// A stack by its payload; `None` if that is none.
    pub(crate) fn new(quality: Quality, frames: &'a [u8]) -> Option<UserStack<'a>> {
        let sound = match quality {
            Quality::Ok | Quality::Truncated => {
                frames.len().is_multiple_of(FRAME_BYTES)
                    && frames.len() <= STACK_FRAMES * FRAME_BYTES
                    && frames.chunks_exact(FRAME_BYTES).all(|f| Frame::decode(f).is_some())
            }
            Quality::Unavailable => frames.is_empty(),
            Quality::Faulted | Quality::Unresolved => false,
        };
        sound.then_some(UserStack { quality, frames })
    }

    /// Its frames, the innermost first.
    pub fn frames(&self) -> impl Iterator<Item = Frame> + use<'a> {
        self.frames.chunks_exact(FRAME_BYTES).filter_map(Frame::decode)
    }
}
