//! The scope, given to the kernel side.

use std::time::Duration;

use policy::{KernelScope, List, Policies};
use sensor::{Mode, Sensor};

use crate::watch::Pipeline;

/// Longer than records are held back for older ones.
const SETTLE: Duration = Duration::from_millis(25);

/// What the kernel can decide from the start: everything but trees, whose members are not known yet.
pub(crate) fn lists(kernel: &KernelScope) -> sensor::Scope {
    fn list<T: Copy>(list: &List<T>) -> (Mode, Vec<T>) {
        match list {
            List::Any => (Mode::Off, vec![]),
            List::Only(values) => (Mode::Only, values.to_vec()),
            List::Except(values) => (Mode::Except, values.to_vec()),
        }
    }
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
    pipeline.policies.begin(&mut pipeline.context)?;
    trees(pipeline, sensor)
}

/// Makes the policies in force others, between two events: each is judged wholly by the old ones or by the new ones. If the new ones can not
/// begin, the old ones stay.
pub(crate) fn change(
    pipeline: &mut Pipeline,
    sensor: &mut Sensor,
    mut policies: Policies,
) -> anyhow::Result<()> {
    if let Err(error) = policies.begin(&mut pipeline.context) {
        policies.end(&mut pipeline.context);
        return Err(error.into());
    }
    // What the kernel leaves out for the old ones, the new ones may want: from here on it leaves out nothing (its lists are empty where policies
    // may change). What happened before is the old ones'.
    sensor.watch_trees(&[], 0, 0)?;
    std::thread::sleep(SETTLE);
    while !sensor.drain(|record| pipeline.take(record)) {}
    pipeline.settle();
    pipeline.replace(policies);
    trees(pipeline, sensor)
}

/// Tells the kernel the members of the watched trees.
fn trees(pipeline: &mut Pipeline, sensor: &mut Sensor) -> anyhow::Result<()> {
    let kernel = pipeline.policies.kernel();
    if kernel.tree_all | kernel.tree_none == 0 {
        return Ok(());
    }
    let mut told = vec![];
    loop {
        let seeds = pipeline.policies.seeds(&pipeline.context);
        if seeds == told {
            return Ok(());
        }
        // The masks last: until they are there, every tree passes.
        sensor.watch_trees(&seeds, 0, 0)?;
        std::thread::sleep(SETTLE);
        sensor.drain(|record| pipeline.take(record));
        pipeline.settle();
        sensor.watch_trees(&[], kernel.tree_all, kernel.tree_none)?;
        told = seeds;
    }
}
