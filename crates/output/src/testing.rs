//! Events to test with.

use event::build::RecordBuilder;
use event::json::{ContainerRef, Who};
use event::{Header, Origin};

/// The cgroup of a container.
pub(crate) const CONTAINER: u64 = 4242;

/// A host that was started at the epoch.
pub(crate) struct Host;

impl Who for Host {
    fn host(&self) -> &str {
        "host"
    }

    fn boot_id(&self) -> &str {
        "0b1c"
    }

    fn wall_time(&self, boot_ns: u64) -> u64 {
        boot_ns
    }

    fn unique_id(&self, start_time: u64, tid: u32) -> u64 {
        start_time ^ u64::from(tid)
    }

    fn container(&self, cgroup: u64) -> Option<ContainerRef<'_>> {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        (cgroup == CONTAINER).then_some(ContainerRef {
            id,
            runtime: "docker",
            name: Some("web"),
            ..ContainerRef::default()
        })
    }
}

/// Somebody.
pub(crate) fn header(comm: &[u8]) -> Header {
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm);
    Header {
        origin: Origin::Current,
        pid: 4242,
        tid: 4243,
        uid: 1000,
        comm: name,
        ..Header::unknown(1_700_000_000_123_456_789)
    }
}

/// A record under construction.
pub(crate) fn record(event: &str, header: Header) -> RecordBuilder {
    RecordBuilder::new(catalogue::event(event).unwrap(), header)
}

/// The index of a field.
pub(crate) fn index(event: &str, field: &str) -> u8 {
    let fields = catalogue::event(event).unwrap().fields;
    u8::try_from(fields.iter().position(|f| f.name == field).unwrap()).unwrap()
}
