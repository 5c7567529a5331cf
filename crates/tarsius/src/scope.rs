//! The scope, given to the kernel side.

use std::time::Duration;

use policy::{List, Scope};
use sensor::{Mode, Sensor};

use crate::watch::Pipeline;

/// Longer than records are held back for older ones.
const SETTLE: Duration = Duration::from_millis(25);

/// What the kernel can decide from the start: everything but trees, whose members are not known yet.
pub(crate) fn lists(scope: &Scope) -> sensor::Scope {
    fn list<T: Copy>(list: &List<T>) -> (Mode, Vec<T>) {
        match list {
            List::Any => (Mode::Off, vec![]),
            List::Only(values) => (Mode::Only, values.to_vec()),
            List::Except(values) => (Mode::Except, values.to_vec()),
        }
    }
    let kernel = scope.kernel();
    sensor::Scope {
        uids: list(&kernel.uids),
        pids: list(&kernel.pids),
        tids: list(&kernel.tids),
        comms: list(&kernel.comms),
        mnt_namespaces: list(&kernel.mnt_ns),
        pid_namespaces: list(&kernel.pid_ns),
    }
}

/// Finds the members of the watched trees, now that every process is known, and tells them to the kernel. A process born while this goes
/// on may be missed by the kernel but not by the rings, so it is done again until nothing is new.
pub(crate) fn begin(pipeline: &mut Pipeline, sensor: &mut Sensor) -> anyhow::Result<()> {
    pipeline.scope.begin(&mut pipeline.context)?;
    let kernel = pipeline.scope.kernel();
    if kernel.tree_all | kernel.tree_none == 0 {
        return Ok(());
    }
    let mut told = vec![];
    loop {
        let seeds = pipeline.scope.seeds(&pipeline.context);
        if seeds == told {
            return Ok(());
        }
        // The masks last: until they are there, every tree passes.
        sensor.watch_trees(&seeds, 0, 0)?;
        std::thread::sleep(SETTLE);
        sensor.drain(|record| pipeline.record(record));
        sensor.watch_trees(&[], kernel.tree_all, kernel.tree_none)?;
        told = seeds;
    }
}
