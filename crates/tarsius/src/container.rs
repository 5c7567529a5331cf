//! Containers that came, went or were there, as events of the stream.

use std::os::unix::fs::MetadataExt as _;

use catalogue::Quality;
use catalogue::fields::{container_create, container_enriched, container_remove, existing_container};
use context::{Change, Clock, Container, Context};
use event::Header;
use event::build::RecordBuilder;

/// The record of a container that came or went with an event of that header: of the same task.
pub(crate) fn changed(change: &Change, cause: &Header, context: &Context) -> Vec<u8> {
    // The numbers of the slot are the cause's, and there is no call that returned.
    let header = Header { probe: event::NO_PROBE, seq: 0, slot: 0, ret: None, ..*cause };
    match change {
        Change::Made(container) => {
            let made = context.clock.wall(cause.time);
            Record::new(container_create::EVENT_ID, header).described(container, Some(made)).finish()
        }
        Change::Removed(container) => {
            Record::new(container_remove::EVENT_ID, header).identified(container).finish()
        }
    }
}

/// The record of a container that is there.
pub(crate) fn existing(container: &Container, context: &Context) -> Vec<u8> {
    Record::new(existing_container::EVENT_ID, of_container(container))
        .described(container, folder_time(container, context))
        .finish()
}

/// The record of a container of which the names have become known.
pub(crate) fn enriched(container: &Container, context: &Context) -> Vec<u8> {
    Record::new(container_enriched::EVENT_ID, of_container(container))
        .described(container, folder_time(container, context))
        .finish()
}

/// Nobody's act, in that container.
fn of_container(container: &Container) -> Header {
    Header { cgroup: container.cgroup(), ..Header::unknown(Clock::now()) }
}

/// When the container's cgroup was made as its folder has it, nanoseconds since the epoch.
fn folder_time(container: &Container, context: &Context) -> Option<u64> {
    let path = context.containers.cgroup(container.cgroup())?.path().trim_start_matches('/');
    let folder = std::fs::metadata(context.containers.hierarchy().root().join(path)).ok()?;
    let (seconds, nanoseconds) =
        (u64::try_from(folder.ctime()).ok()?, u64::try_from(folder.ctime_nsec()).ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// A record under construction, of an event by its number. The fields of all these events have the same places, as a test
/// assures.
struct Record(Option<RecordBuilder>);

impl Record {
    fn new(event: u16, header: Header) -> Record {
        Record(catalogue::event_by_id(event).map(|definition| RecordBuilder::new(definition, header)))
    }

    fn text(self, field: usize, text: &str) -> Record {
        Record(self.0.map(|r| r.put_str(index(field), text.as_bytes(), Quality::Ok)))
    }

    /// Which it is.
    fn identified(self, container: &Container) -> Record {
        self.text(container_create::RUNTIME, container.runtime().name())
            .text(container_create::CONTAINER_ID, container.id())
    }

    /// Which it is, since when, and what is known of it. What is not put is unavailable.
    fn described(self, container: &Container, made: Option<u64>) -> Record {
        let mut record = self.identified(container);
        if let Some(made) = made {
            record = Record(record.0.map(|r| r.put_u64(index(container_create::CTIME), made)));
        }
        let Some(names) = container.names() else { return record };
        let pod = names.pod.as_ref();
        let texts = [
            (container_create::CONTAINER_IMAGE, names.image.as_deref()),
            (container_create::CONTAINER_IMAGE_DIGEST, names.image_digest.as_deref()),
            (container_create::CONTAINER_NAME, names.name.as_deref()),
            (container_create::POD_NAME, pod.map(|p| &*p.name)),
            (container_create::POD_NAMESPACE, pod.and_then(|p| p.namespace.as_deref())),
            (container_create::POD_UID, pod.and_then(|p| p.uid.as_deref())),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                record = record.text(field, text);
            }
        }
        let sandbox = pod.is_some_and(|p| p.sandbox);
        Record(record.0.map(|r| r.put_bool(index(container_create::POD_SANDBOX), sandbox)))
    }

    fn finish(self) -> Vec<u8> {
        self.0.map(RecordBuilder::finish).unwrap_or_default()
    }
}

fn index(field: usize) -> u8 {
    u8::try_from(field).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_same_fields_in_the_same_places() {
        let fields = |event: &str| {
            let event = catalogue::event(event).expect("it is in the catalogue");
            event.fields.iter().map(|f| (f.name, f.ty)).collect::<Vec<_>>()
        };
        let all = fields("container_create");
        assert_eq!(fields("existing_container"), all);
        assert_eq!(fields("container_enriched"), all);
        assert_eq!(fields("container_remove"), all[..2]);
    }
}
