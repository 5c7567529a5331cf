//! Events of known processes allocate nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use context::{BootId, Clock, Containers, Context, Hierarchy, Processes};
use event::build::RecordBuilder;
use event::{Event, Header, Origin};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: it only counts, and hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` above with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn events_of_known_processes_allocate_nothing() {
    let containers = Containers::with(Hierarchy::V2 { root: "/none".into() }, 10);
    let mut ctx = Context::with(Processes::new(10), containers, Clock::fixed(BootId([1; 16]), "host", 0, 0));
    let records: Vec<Vec<u8>> = (1..=10)
        .map(|pid| {
            let mut h = Header::unknown(pid);
            h.origin = Origin::Current;
            (h.pid, h.leader_start_time) = (u32::try_from(pid).unwrap(), pid);
            RecordBuilder::new(catalogue::event("setns").unwrap(), h).finish()
        })
        .collect();
    let all = |ctx: &mut Context| {
        for record in &records {
            let event = Event::decode(record).unwrap();
            ctx.observe(&event);
            assert!(ctx.process(&event).is_some() && ctx.ancestors(&event, 9).next().is_none());
        }
    };
    all(&mut ctx);
    let before = ALLOCATIONS.get();
    assert!(before > 0);
    all(&mut ctx);
    assert_eq!(ALLOCATIONS.get(), before);
}
