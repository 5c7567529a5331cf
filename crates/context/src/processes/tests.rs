use proptest::prelude::*;

use super::*;

fn key(pid: u32, start_time: u64) -> ProcessKey {
    ProcessKey::new(pid, start_time).unwrap()
}

fn sighting(key: ProcessKey, parent: Option<ProcessKey>, comm: &str) -> Sighting {
    let mut bytes = [0; 16];
    bytes[..comm.len()].copy_from_slice(comm.as_bytes());
    Sighting {
        key,
        parent,
        comm: bytes,
        leader: true,
        uid: 7,
        cgroup: 1,
        mnt_ns: 2,
        pid_ns: 3,
        ns_pid: 1,
        exec_id: 0,
    }
}

fn birth(key: ProcessKey, parent: ProcessKey) -> Birth {
    Birth { key, parent: Some(parent), cgroup: 9, pid_ns: 4, ns_pid: 1 }
}

fn chain(t: &Processes, of: ProcessKey) -> Vec<ProcessKey> {
    t.ancestors(of, usize::MAX).map(|a| a.key).collect()
}

#[test]
fn a_child_takes_over_what_fork_copies() {
    let mut t = Processes::default();
    let (a, b) = (sighting(key(1, 10), None, "sh"), key(2, 20));
    t.exec(&a, Some(b"/bin/sh"), 5_000);
    t.fork(&a, &birth(b, a.key));
    let p = t.get(b).unwrap();
    assert_eq!((p.comm(), p.executable(), p.uid(), p.cgroup()), (&b"sh"[..], Some(&b"/bin/sh"[..]), 7, 9));
    t.exec(&sighting(b, Some(a.key), "ls"), None, 5_000);
    assert_eq!(t.get(b).unwrap().executable(), None, "an unread path is unknown, not the old one");
}

#[test]
fn a_pid_is_that_of_who_had_it_last() {
    let mut t = Processes::new(2);
    let (first, second, other) = (key(5, 10), key(5, 30), key(6, 20));
    t.seen(&sighting(first, None, "first"));
    t.seen(&sighting(second, None, "second"));
    assert_eq!(t.by_pid(5).map(Process::key), Some(second));
    // Neither what leaves the table is found, nor is anything kept of it.
    t.exit(&sighting(second, None, "second"), 40);
    t.seen(&sighting(other, None, "other"));
    assert_eq!((t.by_pid(5).is_none(), t.by_pid(6).map(Process::key)), (true, Some(other)));
    t.exit(&sighting(first, None, "first"), 50);
    t.seen(&sighting(key(5, 60), None, "third"));
    assert_eq!(t.by_pid(5).map(Process::key), Some(key(5, 60)));
    // One that began before and is heard of late, in the place of the newest.
    t.exit(&sighting(key(5, 60), None, "third"), 70);
    t.seen(&sighting(key(5, 55), None, "late"));
    assert_eq!((t.by_pid(5).map(Process::key), t.by_pid.len()), (Some(key(5, 55)), 2));
}

#[test]
fn a_program_whose_execution_was_lost_is_unknown() {
    let mut t = Processes::default();
    let (a, b) = (sighting(key(1, 10), None, "sh"), key(2, 20));
    let ls = Sighting { exec_id: 1, ..sighting(b, Some(a.key), "ls") };
    t.exec(&a, Some(b"/bin/sh"), 5_000);
    t.fork(&a, &birth(b, a.key));
    t.seen(&sighting(b, Some(a.key), "sh"));
    assert_eq!(t.get(b).unwrap().executable(), Some(&b"/bin/sh"[..]));
    t.seen(&ls);
    assert_eq!(t.get(b).unwrap().executable(), None, "not its maker's");
    // What comes late changes nothing, be it a birth or an execution.
    t.fork(&a, &birth(b, a.key));
    t.exec(&sighting(b, Some(a.key), "sh"), Some(b"/bin/sh"), 5_000);
    assert_eq!(t.get(b).unwrap().executable(), None);
    t.exec(&ls, Some(b"/bin/ls"), 5_000);
    assert_eq!(t.get(b).unwrap().executable(), Some(&b"/bin/ls"[..]));
}

#[test]
fn what_a_process_ran_before_is_known_by_time() {
    let mut t = Processes::default();
    let (a, b) = (sighting(key(1, 10), None, "sh"), key(2, 20));
    t.exec(&a, Some(b"/bin/sh"), 15);
    t.fork(&a, &birth(b, a.key));
    let step = |exec_id: u64, comm: &str| Sighting { exec_id, ..sighting(b, Some(a.key), comm) };
    // Something is told of it between the kernel's count and the execution's own event.
    t.seen(&step(1, "ls"));
    t.exec(&step(1, "ls"), Some(b"/bin/ls"), 100);
    t.exec(&step(2, "id"), Some(b"/bin/id"), 200);
    let at = |t: &Processes, time| {
        let program = t.get(b).unwrap().program_at(time)?;
        Some((String::from_utf8(program.comm().into()).unwrap(), program.path().map(<[u8]>::to_vec)))
    };
    let ran = |comm: &str, path: &[u8]| Some((comm.to_string(), Some(path.to_vec())));
    assert_eq!(at(&t, 20), ran("sh", b"/bin/sh"));
    assert_eq!(at(&t, 99), ran("sh", b"/bin/sh"));
    assert_eq!(at(&t, 100), ran("ls", b"/bin/ls"));
    assert_eq!(at(&t, 1000), ran("id", b"/bin/id"));
    // An execution is lost: nobody knows when what it replaced was over.
    t.seen(&step(3, "x"));
    assert_eq!((at(&t, 1000), at(&t, 150)), (None, ran("ls", b"/bin/ls")));
    t.exec(&step(4, "y"), Some(b"/bin/y"), 2000);
    assert_eq!((at(&t, 1999), at(&t, 2000)), (None, ran("y", b"/bin/y")));
    // And no more is kept than has to be.
    for n in 5..100_000 {
        t.exec(&step(n, "z"), Some(b"/bin/z"), 2000 + n);
    }
    assert_eq!(at(&t, 2000), None);
    assert_eq!((at(&t, 101_900), at(&t, 101_999)), (None, ran("z", b"/bin/z")));
    t.exit(&step(100_000, "z"), 200_000);
    let p = t.get(b).unwrap();
    assert_eq!([19, 20, 199_999, 200_000].map(|time| p.lived_at(time)), [false, true, true, false]);
}

#[test]
fn what_was_forgotten_is_said() {
    let mut t = Processes::new(2);
    t.seen(&sighting(key(1, 10), None, "a"));
    t.seen(&sighting(key(2, 20), None, "b"));
    t.exit(&sighting(key(2, 20), None, "b"), 77);
    assert_eq!(t.whole_since(), 0);
    t.seen(&sighting(key(3, 80), None, "c"));
    assert_eq!(t.whole_since(), 77);
}

#[test]
fn reparenting_does_not_change_the_chain() {
    let mut t = Processes::default();
    let init = sighting(key(1, 1), None, "init");
    let (shell, daemon) = (key(2, 20), key(3, 30));
    t.seen(&init);
    t.fork(&init, &birth(shell, init.key));
    t.fork(&sighting(shell, Some(init.key), "sh"), &birth(daemon, shell));
    t.exit(&sighting(shell, Some(init.key), "sh"), 40);
    t.seen(&sighting(daemon, Some(init.key), "daemon"));
    assert_eq!(chain(&t, daemon), [shell, init.key]);
}

#[test]
fn a_childs_event_may_come_before_its_birth() {
    let mut t = Processes::default();
    let (a, b) = (sighting(key(1, 10), None, "sh"), key(2, 20));
    t.exec(&a, Some(b"/bin/sh"), 5_000);
    t.seen(&sighting(b, Some(key(9, 9)), "ls"));
    t.fork(&a, &birth(b, a.key));
    let p = t.get(b).unwrap();
    assert_eq!((p.parent(), p.comm(), p.executable()), (Some(a.key), &b"ls"[..], Some(&b"/bin/sh"[..])));
}

#[test]
fn only_the_leader_names_the_process() {
    let mut t = Processes::default();
    let main = sighting(key(1, 10), None, "main");
    t.seen(&main);
    t.seen(&Sighting { leader: false, uid: 8, ..sighting(main.key, None, "worker") });
    let p = t.get(main.key).unwrap();
    assert_eq!((p.comm(), p.uid()), (&b"main"[..], 8));
    t.glimpsed(&sighting(main.key, None, "stale"));
    assert_eq!(t.get(main.key).unwrap().comm(), b"main");
}

#[test]
fn the_exited_leave_first_oldest_exit_first() {
    let mut t = Processes::new(4);
    for n in 1..=4 {
        t.seen(&sighting(key(n, 10), None, "p"));
    }
    for n in [3, 1] {
        t.exit(&sighting(key(n, 10), None, "p"), 50);
        t.exit(&sighting(key(n, 10), None, "p"), 51);
    }
    t.seen(&sighting(key(5, 60), None, "p"));
    assert!(t.get(key(3, 10)).is_none() && t.get(key(1, 10)).is_some());
    t.seen(&sighting(key(6, 60), None, "p"));
    assert!(t.get(key(1, 10)).is_none());
    assert_eq!(t.evictions(), Evictions { exited: 2, living: 0 });
    t.seen(&sighting(key(7, 60), None, "p"));
    assert_eq!((t.evictions(), t.len()), (Evictions { exited: 2, living: 1 }, 4));
}

#[test]
fn what_is_heard_of_outlives_what_is_silent() {
    let mut t = Processes::new(3);
    for n in 1..=3 {
        t.seen(&sighting(key(n, 10), None, "p"));
    }
    t.seen(&sighting(key(4, 10), None, "p")); // takes one, after a whole round of second chances
    let left: Vec<u32> = (1..=3).filter(|&n| t.get(key(n, 10)).is_some()).collect();
    t.seen(&sighting(key(left[0], 10), None, "p"));
    t.seen(&sighting(key(5, 10), None, "p"));
    assert!(t.get(key(left[0], 10)).is_some() && t.get(key(left[1], 10)).is_none());
}

#[test]
fn marks_go_down_from_the_creator() {
    let mut t = Processes::default();
    let (root, other) = (sighting(key(1, 1), None, "a"), sighting(key(2, 2), None, "b"));
    t.seen(&root);
    t.seen(&other);
    t.fork(&root, &birth(key(3, 3), root.key));
    let mark = t.claim_mark().unwrap();
    t.get(root.key).unwrap().mark(mark);
    assert!(!t.get(key(3, 3)).unwrap().is_marked(mark));
    t.spread(mark);
    assert!(t.get(key(3, 3)).unwrap().is_marked(mark));
    t.fork(&sighting(key(3, 3), Some(root.key), "c"), &birth(key(4, 4), other.key));
    assert!(t.get(key(4, 4)).unwrap().is_marked(mark), "CLONE_PARENT");
    t.seen(&sighting(key(5, 5), Some(key(4, 4)), "d"));
    assert!(t.get(key(5, 5)).unwrap().is_marked(mark), "a birth that was lost");
    assert!(!t.get(other.key).unwrap().is_marked(mark));
    assert_eq!(std::iter::from_fn(|| t.claim_mark()).count(), 63);
}

#[derive(Debug, Clone)]
enum Act {
    Fork { by: usize, pid: u32, clone_parent: bool },
    Exec { by: usize },
    Exit { by: usize },
    Event { by: usize },
}

fn act() -> impl Strategy<Value = Act> {
    let by = 0..64usize;
    prop_oneof![
        4 => (by.clone(), 2..10u32, prop::bool::weighted(0.1))
            .prop_map(|(by, pid, clone_parent)| Act::Fork { by, pid, clone_parent }),
        1 => by.clone().prop_map(|by| Act::Exec { by }),
        3 => by.clone().prop_map(|by| Act::Exit { by }),
        2 => by.prop_map(|by| Act::Event { by }),
    ]
}

/// The naive model: every process that ever was, with the parent it was born to and the one that the kernel names now.
struct Model {
    all: Vec<(ProcessKey, Option<ProcessKey>, Option<ProcessKey>)>,
    living: Vec<usize>,
}

impl Model {
    fn new() -> Model {
        Model { all: vec![(key(1, 1), None, None)], living: vec![0] }
    }

    fn born_to(&self, k: ProcessKey) -> Option<ProcessKey> {
        self.all.iter().find(|p| p.0 == k).and_then(|p| p.1)
    }

    fn chain(&self, k: ProcessKey) -> Vec<ProcessKey> {
        std::iter::successors(self.born_to(k), |&k| self.born_to(k)).collect()
    }

    /// Plays an act and feeds the table with what the kernel would tell.
    fn play(&mut self, act: &Act, time: u64, t: &mut Processes) {
        let pick = |by: usize| self.living[by % self.living.len()];
        let see = |at: usize| sighting(self.all[at].0, self.all[at].2, "x");
        match *act {
            Act::Fork { by, pid, clone_parent } => {
                let at = pick(by);
                if self.living.iter().any(|&l| self.all[l].0.pid == pid) {
                    return;
                }
                let up = if clone_parent { self.all[at].2 } else { Some(self.all[at].0) };
                let child = key(pid, time);
                t.fork(&see(at), &Birth { parent: up, ..birth(child, child) });
                self.all.push((child, up, up));
                self.living.push(self.all.len() - 1);
            }
            Act::Exec { by } => t.exec(&see(pick(by)), Some(b"/x"), 5_000),
            Act::Event { by } => t.seen(&see(pick(by))),
            Act::Exit { by } => {
                let at = pick(by);
                if at == 0 {
                    return;
                }
                t.exit(&see(at), time);
                let gone = self.all[at].0;
                self.living.retain(|&l| l != at);
                for p in self.all.iter_mut().filter(|p| p.2 == Some(gone)) {
                    p.2 = Some(key(1, 1));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn ancestors_are_those_of_the_naive_model(acts in prop::collection::vec(act(), 1..200)) {
        let (mut model, mut t) = (Model::new(), Processes::default());
        t.seen(&sighting(key(1, 1), None, "init"));
        for (n, act) in acts.iter().enumerate() {
            model.play(act, 2 + n as u64, &mut t);
        }
        for (k, ..) in &model.all {
            prop_assert_eq!(chain(&t, *k), model.chain(*k));
        }
    }

    /// A table too small may cut a chain, and what comes again after it left has the parent the kernel names then; but
    /// it never holds more than it may, nor two places for one key, nor names a process that was not there.
    #[test]
    fn a_small_table_stays_sound(acts in prop::collection::vec(act(), 1..200), size in 1..6usize) {
        let (mut model, mut t) = (Model::new(), Processes::new(size));
        for (n, act) in acts.iter().enumerate() {
            model.play(act, 2 + n as u64, &mut t);
            prop_assert!(t.len() <= size && t.index.len() == t.len());
            prop_assert_eq!(t.exited.len(), t.iter().filter(|p| p.exit_time.is_some()).count());
        }
        for p in t.iter() {
            prop_assert_eq!(t.get(p.key).map(Process::key), Some(p.key));
            for a in t.ancestors(p.key, size + 1) {
                prop_assert!(model.all.iter().any(|(k, ..)| *k == a.key));
                prop_assert!(a.key.start_time < p.key.start_time);
            }
        }
    }
}
