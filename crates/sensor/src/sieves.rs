//! The kernel's copy of the sieves: `bpf/lib/sieve.h`.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd as _, AsRawFd as _};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType, Object};
use sieve::{CLASSES, COLUMN_BYTES, COLUMNS, Column, FIELDS, Kind, LONG, Prefix, SHORT, Sieve, Tested};

use crate::load::map;
use crate::{Error, load};

/// `sizeof(struct sieve)`.
const SIEVE_BYTES: usize = 48 + FIELDS as usize + COLUMNS * COLUMN_BYTES + CLASSES * 8;

/// In the place of a place in the header: `AT_TREES`, `AT_EXECUTABLE`, `AT_FOLLOWED`.
const AT_TREES: u16 = 0xffff;
const AT_EXECUTABLE: u16 = 0xfffe;
const AT_FOLLOWED: u16 = 0xfffd;
/// Most executables that have numbers: each has a prefix for each column that asks for it, and there is room for so many of those.
const EXECUTABLES: usize = 1024;

/// What the kernel has.
#[derive(Default)]
pub(crate) struct Sieves {
    /// Numbers of columns are not used again, so that prefixes of one are never found for another.
    columns: u32,
    /// Keys of the prefixes that are in force.
    short: Vec<Vec<u8>>,
    long: Vec<Vec<u8>>,
    /// Those of executables, with their numbers.
    of_executables: Vec<(u32, Tested)>,
}

/// The numbers of executables' paths, which stay what they are.
#[derive(Default)]
pub(crate) struct Executables(HashMap<Box<[u8]>, u64>);

/// Which execution of which process.
#[derive(Debug, Clone, Copy)]
pub struct Execution {
    /// Its process, by the kernel's number in the first namespace.
    pub pid: u32,
    /// When its leading thread was made, in nanoseconds since boot.
    pub start_time: u64,
    /// The kernel's `self_exec_id`.
    pub exec_id: u64,
}

impl Execution {
    /// `struct executable`.
    fn value(self, number: u64) -> [u8; 16] {
        /// `sum_word()` of `bpf/lib/lane.h`.
        fn sum_word(sum: u64, word: u64) -> u64 {
            let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            sum ^ sum >> 29
        }
        let check = sum_word(sum_word(number, self.start_time), self.exec_id);
        let mut value = [0; 16];
        value[..8].copy_from_slice(&number.to_ne_bytes());
        value[8..].copy_from_slice(&check.to_ne_bytes());
        value
    }
}

impl Sieves {
    pub(crate) fn put(
        &mut self,
        object: &Object,
        sieves: &BTreeMap<u16, Sieve>,
        executables: &Executables,
    ) -> Result<(), Error> {
        let (mut new, mut by_event) = (Sieves { columns: self.columns, ..Sieves::default() }, vec![]);
        let filled = sieves.iter().try_for_each(|(event, sieve)| {
            by_event.push((u32::from(*event), new.fill(object, sieve, executables)?));
            Ok(())
        });
        self.columns = new.columns;
        // None between the old and the new ones: what a run has asked of one before it claimed a slot, it must not hold against another. If they
        // can not all be had, it stays at that.
        let put = exchange(object, &[])
            .and_then(|()| if filled.is_ok() { exchange(object, &by_event) } else { Ok(()) });
        let (old, kept) = if filled.is_ok() && put.is_ok() { (&*self, true) } else { (&new, false) };
        old.forget(object)?;
        if kept {
            *self = new;
        }
        filled.and(put)
    }

    /// Puts the prefixes of a sieve where programs will look for them; gives its `struct sieve`.
    fn fill(&mut self, object: &Object, sieve: &Sieve, executables: &Executables) -> Result<Vec<u8>, Error> {
        let heads = sieve.columns().iter().filter(|t| !matches!(t.column, Column::Field { .. })).count();
        let mut first = [0u8; FIELDS as usize];
        let mut columns = vec![];
        for (place, tested) in sieve.columns().iter().enumerate() {
            let (at, kind, field, mask) = match tested.column {
                Column::Head(head) => (head.at(), tested.column.kind(), 0, u64::MAX),
                Column::Tree(mark) => (AT_TREES, tested.column.kind(), 0, mark),
                Column::Executable(_) => (AT_EXECUTABLE, Kind::U64, 0, u64::MAX),
                Column::Followed(mark) => (AT_FOLLOWED, tested.column.kind(), 0, mark),
                Column::Field { field, kind, at, mask } => (at, kind, field, mask),
            };
            if let (Column::Field { .. }, Some(first @ 0)) =
                (tested.column, first.get_mut(usize::from(field)))
            {
                *first = place as u8 + 1;
            }
            self.columns += 1;
            // Of an executable without a number nothing is known.
            let others = if at == AT_EXECUTABLE { u64::MAX } else { tested.others };
            columns.extend(others.to_ne_bytes());
            columns.extend(tested.asks.to_ne_bytes());
            columns.extend(mask.to_ne_bytes());
            columns.extend(self.columns.to_ne_bytes());
            columns.extend(at.to_ne_bytes());
            columns.extend([kind as u8, field]);
            if at == AT_EXECUTABLE {
                self.of_executables.push((self.columns, tested.clone()));
                // There may be no room for all of them, as the other prefixes come first. What is not told of an executable passes.
                for (path, number) in &executables.0 {
                    if self.executable(object, self.columns, tested, path, *number).is_err() {
                        break;
                    }
                }
            } else {
                self.prefixes(object, tested)?;
            }
        }
        let (kill, deny) = sieve.enforces();
        let marks = sieve.marks();
        let follows = marks.iter().enumerate().fold(0, |all, (n, marks)| all | u64::from(*marks != 0) << n);
        let mut bytes: Vec<u8> =
            [sieve.classes(), kill, deny, follows].iter().flat_map(|n| n.to_ne_bytes()).collect();
        // Behind them, a word that is not used: the columns are aligned.
        for number in [heads, sieve.early(), sieve.columns().len(), 0] {
            bytes.extend((number as u32).to_ne_bytes());
        }
        bytes.extend(first);
        columns.resize(COLUMNS * COLUMN_BYTES, 0);
        bytes.extend(columns);
        bytes.extend(marks.iter().flat_map(|n| n.to_ne_bytes()));
        bytes.resize(SIEVE_BYTES, 0);
        Ok(bytes)
    }

    fn prefixes(&mut self, object: &Object, tested: &Tested) -> Result<(), Error> {
        let (name, bytes, keys) = match tested.column.kind().is_long() {
            true => ("cfg_long_prefixes", LONG, &mut self.long),
            false => ("cfg_short_prefixes", SHORT, &mut self.short),
        };
        let tries = map(object, name)?;
        for (prefix, classes) in &tested.prefixes {
            let key = key(self.columns, prefix, bytes);
            tries
                .update(&key, &classes.to_ne_bytes(), MapFlags::ANY)
                .map_err(Error::bpf(format!("filling {name}")))?;
            keys.push(key);
        }
        Ok(())
    }

    /// Says what the column tells by that executable.
    fn executable(
        &mut self,
        object: &Object,
        column: u32,
        tested: &Tested,
        path: &[u8],
        number: u64,
    ) -> Result<(), Error> {
        let key = key(column, &Prefix::new(&number.to_be_bytes(), 64), SHORT);
        let classes = tested.classes(path).unwrap_or(u64::MAX);
        map(object, "cfg_short_prefixes")?
            .update(&key, &classes.to_ne_bytes(), MapFlags::ANY)
            .map_err(Error::bpf("filling cfg_short_prefixes"))?;
        self.short.push(key);
        Ok(())
    }

    /// Whether any sieve in force asks for executables.
    pub(crate) fn ask_executables(&self) -> bool {
        !self.of_executables.is_empty()
    }

    /// Says what an execution's process runs. There are so many numbers only: what has none stays unknown.
    pub(crate) fn runs(
        &mut self,
        object: &Object,
        executables: &mut Executables,
        execution: Execution,
        path: &[u8],
    ) -> Result<(), Error> {
        let number = match executables.0.get(path) {
            Some(number) => *number,
            None if executables.0.len() >= EXECUTABLES => return Ok(()),
            None => {
                let number = executables.0.len() as u64 + 1;
                for (column, tested) in self.of_executables.clone() {
                    self.executable(object, column, &tested, path, number)?;
                }
                executables.0.insert(path.into(), number);
                number
            }
        };
        let told = map(object, "cfg_executables")?.update(
            &execution.pid.to_ne_bytes(),
            &execution.value(number),
            MapFlags::ANY,
        );
        told.map_err(Error::bpf("filling cfg_executables"))
    }

    fn forget(&self, object: &Object) -> Result<(), Error> {
        for (name, keys) in [("cfg_short_prefixes", &self.short), ("cfg_long_prefixes", &self.long)] {
            let tries = map(object, name)?;
            for key in keys {
                tries.delete(key).map_err(Error::bpf(format!("emptying {name}")))?;
            }
        }
        Ok(())
    }
}

/// `struct short_key`, `struct long_key`.
fn key(column: u32, prefix: &Prefix, bytes: usize) -> Vec<u8> {
    let mut key = (32 + prefix.bits()).to_ne_bytes().to_vec();
    // Of a prefix, the column is the beginning, so its order of bytes does not matter.
    key.extend(column.to_ne_bytes());
    key.extend(prefix.bytes());
    key.resize(8 + bytes, 0);
    key
}

/// Gives programs these sieves in the place of all that they had. The kernel comes back when no program runs any more that had looked up the
/// old ones (`maybe_wait_bpf_programs`, since Linux 4.19).
fn exchange(object: &Object, sieves: &[(u32, Vec<u8>)]) -> Result<(), Error> {
    let what = || "giving the kernel its sieves";
    let create = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
        map_flags: libbpf_sys::BPF_F_RDONLY_PROG,
        ..Default::default()
    };
    let room = u32::try_from(sieves.len()).unwrap_or(u32::MAX).max(1);
    let size = SIEVE_BYTES as u32;
    let new = MapHandle::create(MapType::Hash, Some("sieves"), 4, size, room, &create)
        .map_err(Error::bpf(what()))?;
    for (event, bytes) in sieves {
        new.update(&event.to_ne_bytes(), bytes, MapFlags::ANY).map_err(Error::bpf(what()))?;
    }
    load::map(object, "cfg_sieves")?
        .update(&0u32.to_ne_bytes(), &new.as_fd().as_raw_fd().to_ne_bytes(), MapFlags::ANY)
        .map_err(Error::bpf(what()))
}
