//! What user space decides before the programs are loaded: the mirror of `struct config` in `bpf/lib/lane.h`.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::Error;

/// `struct config`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) self_pid: u32,
    pub(crate) own_pid: u32,
    pub(crate) slots: u32,
    pub(crate) shards: u32,
    pub(crate) wake: u32,
    pub(crate) subsys: i32,
    pub(crate) environment: bool,
    pub(crate) descriptor_paths: bool,
    pub(crate) user_stack: bool,
    pub(crate) limit: u32,
    pub(crate) capture: u32,
    pub(crate) captured: u32,
    pub(crate) unclaimed: bool,
    pub(crate) extendable: bool,
    pub(crate) events: Vec<u8>,
}

impl Config {
    fn bytes(&self) -> Vec<u8> {
        let words = [
            self.self_pid,
            self.own_pid,
            self.slots,
            self.shards,
            self.wake,
            self.subsys.cast_unsigned(),
            u32::from(self.environment),
            u32::from(self.descriptor_paths),
            u32::from(self.user_stack),
            self.limit,
            self.capture,
            self.captured,
            u32::from(self.unclaimed),
            u32::from(self.extendable),
        ];
        words.iter().flat_map(|w| w.to_ne_bytes()).chain(self.events.iter().copied()).collect()
    }

    /// Writes the configuration where the object's symbol `cfg` stands in its read-only data.
    pub(crate) fn write_to(&self, object: &[u8], rodata: &mut [u8]) -> Result<(), Error> {
        let file = object::File::parse(object).map_err(|e| Error::Object(e.to_string()))?;
        let symbol = file.symbol_by_name("cfg").ok_or_else(|| Error::Object("no symbol cfg".into()))?;
        let in_rodata = symbol
            .section_index()
            .and_then(|i| file.section_by_index(i).ok())
            .is_some_and(|s| s.name() == Ok(".rodata"));
        let bytes = self.bytes();
        let start = usize::try_from(symbol.address()).unwrap_or(usize::MAX);
        // The compiler pads the struct to its alignment of 4.
        if !in_rodata || symbol.size() != bytes.len().next_multiple_of(4) as u64 {
            return Err(Error::Object("struct config is not what this program takes it for".into()));
        }
        let place = start.checked_add(bytes.len()).and_then(|end| rodata.get_mut(start..end));
        place.ok_or_else(|| Error::Object("read-only data is too short".into()))?.copy_from_slice(&bytes);
        Ok(())
    }
}
