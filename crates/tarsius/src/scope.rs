//! What the kernel decides of policies: trees and sieves.

use std::collections::BTreeMap;
use std::time::Duration;

use catalogue::fields::{
    cgroup_mkdir, cgroup_rmdir, existing_process, net_packet_raw, sched_process_exec, sched_process_exit,
    sched_process_fork,
};
use context::{Clock, Process};
use detect::Detectors;
use policy::{Policies, Selection};
use sensor::{Execution, Sensor};
use sieve::{Alternative, Sieve};

use crate::watch::Pipeline;

/// By these the user side knows who everyone is: taken whatever is selected, and none is left out.
pub(crate) const IDENTITY: [u16; 6] = [
    sched_process_fork::EVENT_ID,
    sched_process_exec::EVENT_ID,
    sched_process_exit::EVENT_ID,
    existing_process::EVENT_ID,
    cgroup_mkdir::EVENT_ID,
    cgroup_rmdir::EVENT_ID,
];

/// Whether each event of that kind is taken, whoever wants which of them.
pub(crate) fn is_always_whole(event: &catalogue::Event) -> bool {
    event.always || IDENTITY.contains(&event.id) || event.id == net_packet_raw::EVENT_ID
}

/// Longer than records are held back for older ones.
const SETTLE: Duration = Duration::from_millis(25);

/// What the kernel leaves out of each event that policies or detectors look at, and what it does to who acts. Of an event that something else goes
/// by, too, it leaves out nothing; nor of any, if all is to be `whole`.
fn sieves(pipeline: &Pipeline, whole: bool) -> BTreeMap<u16, Sieve> {
    let sieve = |event: &catalogue::Event| {
        let ways = if whole || pipeline.whole.contains(&event.id) {
            let everything = std::iter::once(Alternative::default());
            everything.chain(pipeline.policies.acting(event, &pipeline.context)).collect()
        } else {
            let mut ways = pipeline.policies.alternatives(event, &pipeline.context);
            ways.extend(pipeline.detectors.alternatives(event));
            ways
        };
        Some((event.id, Sieve::new(ways)?))
    };
    catalogue::EVENTS.iter().filter_map(sieve).collect()
}

/// Finds the members of the watched trees, now that every process is known, and tells them to the kernel. A process born while this goes
/// on may be missed by the kernel but not by the rings, so it is done again until nothing is new.
pub(crate) fn begin(pipeline: &mut Pipeline, sensor: &mut Sensor) -> anyhow::Result<()> {
    pipeline.policies.begin(&mut pipeline.context)?;
    take_up(pipeline, sensor)
}

/// So many cgroups may be made before the kernel is told of them: until then, what is in them passes.
const CGROUPS: usize = 64;

/// Gives the kernel its sieves anew, if these ask for containers and there are others by now.
pub(crate) fn sift_again(pipeline: &mut Pipeline, sensor: &mut Sensor) {
    let made = pipeline.context.containers.len().abs_diff(pipeline.cgroups);
    if made >= CGROUPS && pipeline.policies.ask_containers() {
        sift(pipeline, sensor);
    }
}

/// Gives the kernel the sieves of the policies and detectors in force. Without them it leaves out nothing.
pub(crate) fn sift(pipeline: &mut Pipeline, sensor: &mut Sensor) {
    pipeline.cgroups = pipeline.context.containers.len();
    if let Err(error) = sensor.sift(&sieves(pipeline, false)) {
        eprintln!("tarsius: the kernel leaves out nothing of what policies do not want: {error}");
    }
    let living = pipeline.context.processes.iter().filter(|p| p.exit_time().is_none());
    pipeline.executed = living.map(Process::key).collect();
    tell_executables(pipeline, sensor);
}

/// Tells the kernel what the processes run that were made, have executed something, or have ended, if any sieve asks for it.
pub(crate) fn tell_executables(pipeline: &mut Pipeline, sensor: &mut Sensor) {
    let changed = std::mem::take(&mut pipeline.executed);
    if !sensor.asks_executables() {
        return;
    }
    for key in changed {
        let process = pipeline.context.processes.get(key).filter(|p| p.exit_time().is_none());
        let Some(process) = process else {
            sensor.ended(key.pid);
            continue;
        };
        let Some(path) = process.executable() else { continue };
        let execution = Execution { pid: key.pid, start_time: key.start_time, exec_id: process.exec_id() };
        if let Err(error) = sensor.runs(execution, path) {
            // What it does not know passes.
            if !std::mem::replace(&mut pipeline.executables_untold, true) {
                eprintln!(
                    "tarsius: the kernel does not know what each process runs, user space leaves out their events: {error}"
                );
            }
        }
    }
}

/// Makes the policies in force others, between two events: each is judged wholly by the old ones or by the new ones. If the new ones can not
/// begin, the old ones stay.
pub(crate) fn change(
    pipeline: &mut Pipeline,
    sensor: &mut Sensor,
    mut policies: Policies,
    detectors: Detectors,
    selection: Selection,
) -> anyhow::Result<()> {
    if let Err(error) = policies.begin(&mut pipeline.context) {
        policies.end(&mut pipeline.context);
        return Err(error.into());
    }
    // What the kernel leaves out for the old ones, the new ones may want: from here on it leaves out nothing. What happened before is the old
    // ones'.
    sensor.watch_trees(0, 0)?;
    sensor.sift(&BTreeMap::new())?;
    sensor.forget_trees()?;
    catch_up(pipeline, sensor);
    pipeline.replace(policies, detectors, selection);
    take_up(pipeline, sensor)
}

/// Has the kernel leave out what the policies do not want, once it knows who is in the watched trees, and who is followed.
///
/// Until then everything passes. From when it follows by itself, whoever came to be followed before is among those that user space knows once it has
/// caught up; and those that these make before they are told to the kernel are found in the next round.
fn take_up(pipeline: &mut Pipeline, sensor: &mut Sensor) -> anyhow::Result<()> {
    if pipeline.policies.follow() {
        sensor.sift(&sieves(pipeline, true))?;
        catch_up(pipeline, sensor);
    }
    while sensor.mark(&pipeline.policies.seeds(&pipeline.context))? > 0 {
        catch_up(pipeline, sensor);
    }
    let watched = pipeline.policies.trees();
    sensor.watch_trees(watched.all, watched.none)?;
    sift(pipeline, sensor);
    Ok(())
}

/// Takes and judges all that has happened until now.
fn catch_up(pipeline: &mut Pipeline, sensor: &mut Sensor) {
    let now = Clock::now();
    std::thread::sleep(SETTLE);
    loop {
        let mut is_behind = true;
        let emptied = sensor.drain(|record| {
            // They come in their order, and begin with their time: where more is told than can be taken, this one is enough.
            is_behind &= record.first_chunk().is_none_or(|time| u64::from_ne_bytes(*time) <= now);
            pipeline.take(record);
        });
        if emptied || !is_behind {
            break;
        }
    }
    pipeline.settle();
}
