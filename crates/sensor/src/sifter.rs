//! For tests: asks the kernel what a sieve says of a record.

use std::collections::BTreeMap;

use kernel::Features;
use libbpf_rs::{MapCore as _, MapFlags, Object, ObjectBuilder, ProgramInput};
use sieve::Sieve;

use crate::Error;
use crate::load::{is_modern, map};
use crate::sieves::{Executables, Sieves};

const MODERN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/modern.sift.bpf.o"));
const LEGACY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/legacy.sift.bpf.o"));

/// Bytes of a record's header, and of a slot's data: `BYTES_task` of `bpf/lib/lane.h`.
const HEADER: usize = 168;
const DATA: usize = 26624;
/// Where `used` stands in `struct slot`.
const USED: usize = 16;

/// A program of `bpf/sift.bpf.c` in the kernel.
pub struct Sifter {
    object: Object,
    sieves: Sieves,
}

impl Sifter {
    /// Loads it.
    ///
    /// # Errors
    ///
    /// The kernel refuses it.
    pub fn load(features: &Features) -> Result<Sifter, Error> {
        let bytes = if is_modern(features) { MODERN } else { LEGACY };
        let mut open = ObjectBuilder::default()
            .name("sifter")
            .and_then(|b| b.open_memory(bytes))
            .map_err(Error::bpf("opening the object for tests"))?;
        for mut map in open.maps_mut().filter(|m| m.name().to_string_lossy().ends_with("_rings")) {
            map.set_max_entries(1).map_err(Error::bpf("preparing the object for tests"))?;
        }
        let object = open.load().map_err(Error::bpf("loading the object for tests"))?;
        Ok(Sifter { object, sieves: Sieves::default() })
    }

    /// Gives it these sieves in the place of what it had.
    ///
    /// # Errors
    ///
    /// The kernel has no room for them.
    pub fn put(&mut self, sieves: &BTreeMap<u16, Sieve>) -> Result<(), Error> {
        self.sieves.put(&self.object, sieves, &Executables::default())
    }

    /// Whether a record passes, and whether something is to be done to who acts.
    ///
    /// # Errors
    ///
    /// The kernel does not run the program; the record is too long for a slot.
    pub fn sift(&self, record: &[u8]) -> Result<(bool, bool), Error> {
        let slots = map(&self.object, "task_slots")?;
        let size = slots.value_size() as usize;
        let long = || Error::Object("the record is no record, or longer than a slot".into());
        let (start, used) = (size - DATA - HEADER, record.len().checked_sub(HEADER).ok_or_else(long)?);
        let mut slot = vec![0; size];
        slot[USED..USED + 4].copy_from_slice(&u32::try_from(used).map_err(|_| long())?.to_ne_bytes());
        slot.get_mut(start..start + record.len()).ok_or_else(long)?.copy_from_slice(record);
        let put = slots.update(&0u32.to_ne_bytes(), &slot, MapFlags::ANY);
        put.map_err(Error::bpf("giving the program a record"))?;
        let program = self.object.progs_mut().next().ok_or_else(|| Error::Object("no program".into()))?;
        program.test_run(ProgramInput::default()).map_err(Error::bpf("running the program"))?;
        let verdict = map(&self.object, "task_verdict")?.lookup(&0u32.to_ne_bytes(), MapFlags::ANY);
        let verdict = verdict.map_err(Error::bpf("reading the verdict"))?.unwrap_or_default();
        let any = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| bytes.iter().any(|b| *b != 0));
        Ok((any(verdict.get(..8)), any(verdict.get(8..))))
    }
}
