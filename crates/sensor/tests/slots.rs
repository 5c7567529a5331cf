//! Without a free slot nothing is sent, and every attempt is counted as `slot_busy`. Needs root.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::process::Command;

use catalogue::Lane;
use kernel::Features;
use sensor::{Options, Sensor};

/// Attempts, submitted, slot_busy of the program that tells executions, while `count` of them happen.
fn executions(sensor: &mut Sensor, count: usize) -> (u64, u64, u64) {
    let counts = |s: &Sensor| {
        let ledger = s.ledger();
        let row = ledger.by_probe().into_iter().find(|r| r.probe.starts_with("sched_process_exec__"));
        row.map(|r| r.counts).unwrap_or_default()
    };
    let before = counts(sensor);
    for _ in 0..count {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
    while !sensor.drain(|_| {}) {}
    let after = counts(sensor);
    (after.attempts - before.attempts, after.submitted - before.submitted, after.slot_busy - before.slot_busy)
}

#[test]
fn no_free_slot_is_counted() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP no_free_slot_is_counted: not root");
        return;
    }
    let features = Features::probe();
    let mut sensor =
        Sensor::start(&features, &Options::default(), |e| e.name == "sched_process_exec").unwrap();
    // The control: with slots, nothing is busy.
    let (attempts, submitted, busy) = executions(&mut sensor, 5);
    assert!(attempts >= 5 && submitted == attempts && busy == 0, "{attempts} {submitted} {busy}");
    sensor.occupy_slots(Lane::Life, true).unwrap();
    let (attempts, submitted, busy) = executions(&mut sensor, 5);
    assert!(attempts >= 5 && submitted == 0 && busy == attempts, "{attempts} {submitted} {busy}");
    sensor.occupy_slots(Lane::Life, false).unwrap();
    let (attempts, submitted, busy) = executions(&mut sensor, 5);
    assert!(attempts >= 5 && submitted == attempts && busy == 0, "{attempts} {submitted} {busy}");
    sensor.finish(|_| {});
    let total = sensor.ledger().total();
    assert_eq!(total.imbalance(), Vec::<String>::new(), "{total:?}");
}
