//! The part of a scope that the kernel decides.

use context::COMM_BYTES;
use event::{Header, Origin};

use super::condition::{Condition, Number, Text};

/// Which values pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum List<T> {
    /// All.
    #[default]
    Any,
    /// These; none, if there are none.
    Only(Vec<T>),
    /// All but these.
    Except(Vec<T>),
}

/// Most values of a list that the kernel keeps.
const MOST: usize = 1024;

impl<T: PartialEq + Clone> List<T> {
    /// Whether a value passes.
    pub fn admits(&self, value: &T) -> bool {
        match self {
            List::Any => true,
            List::Only(list) => list.contains(value),
            List::Except(list) => !list.contains(value),
        }
    }

    /// Lets pass what either did; everything, if that would be a list too long for the kernel.
    fn or(&mut self, other: List<T>) {
        *self = match (std::mem::take(self), other) {
            (List::Any, _) | (_, List::Any) => List::Any,
            (List::Only(mut a), List::Only(b)) => {
                let more: Vec<T> = b.into_iter().filter(|v| !a.contains(v)).collect();
                a.extend(more);
                if a.len() > MOST { List::Any } else { List::Only(a) }
            }
            (List::Except(mut a), b) | (b, List::Except(mut a)) => {
                a.retain(|v| !b.admits(v));
                List::Except(a)
            }
        };
    }

    /// Lets pass only what both did.
    fn and(&mut self, other: List<T>) {
        *self = match (std::mem::take(self), other) {
            (List::Any, list) | (list, List::Any) => list,
            (List::Except(mut a), List::Except(b)) => {
                a.extend(b);
                List::Except(a)
            }
            (List::Only(mut a), b) | (b, List::Only(mut a)) => {
                a.retain(|v| b.admits(v));
                List::Only(a)
            }
        };
    }
}

/// What the kernel can decide of a scope before it builds a record: conditions that every event in scope meets, but not
/// only those. It never turns away what [`Scope::matches`](crate::Scope::matches) would take; a property test holds it to
/// that, with [`KernelScope::admits`] as the model of what the BPF programs do.
///
/// Lists with `=` and `!=` come here: of numbers, and of command names without wildcards. The rest (ranges, paths of
/// programs, containers, what is new) is for user space.
///
/// With `follow` only trees come here: who else is in scope depends on what an ancestor was, which user space knows. A
/// tree stays a condition then, since descendants of a process in the tree are in it too; `tree!=` does not, since a process
/// outside may be followed into the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelScope {
    /// Real user ids.
    pub uids: List<u32>,
    /// Process ids (`tgid`).
    pub pids: List<u32>,
    /// Thread ids.
    pub tids: List<u32>,
    /// Mount namespaces.
    pub mnt_ns: List<u32>,
    /// Pid namespaces.
    pub pid_ns: List<u32>,
    /// Command names of the thread, filled up with NULs.
    pub comms: List<[u8; COMM_BYTES]>,
    /// Bits that the process's word in `scope_tree` must all have.
    pub tree_all: u64,
    /// Bits of which it must have none.
    pub tree_none: u64,
    /// Descendants of what is in scope are too.
    pub follow: bool,
}

impl KernelScope {
    pub(super) fn new(conditions: &[Condition], follow: bool) -> KernelScope {
        let mut scope = KernelScope { follow, ..KernelScope::default() };
        for condition in conditions {
            match condition {
                Condition::Tree { mark: Some(mark), negate: false, .. } => scope.tree_all |= mark.word(),
                _ if follow => {}
                Condition::Tree { mark: Some(mark), negate: true, .. } => scope.tree_none |= mark.word(),
                Condition::Numbers { of, list, negate } => {
                    let list = if *negate { List::Except(list.clone()) } else { List::Only(list.clone()) };
                    scope.numbers(*of).and(list);
                }
                Condition::Texts { of: Text::Comm, list, negate } => {
                    let exact: Vec<_> = list.iter().filter_map(|p| p.exact().map(padded)).collect();
                    match negate {
                        true => scope.comms.and(List::Except(exact)),
                        false if exact.len() == list.len() => scope.comms.and(List::Only(exact)),
                        false => {}
                    }
                }
                _ => {}
            }
        }
        scope
    }

    /// Lets pass what either did. Trees stay a condition only where both ask for the same.
    pub(crate) fn or(&mut self, other: KernelScope) {
        self.uids.or(other.uids);
        self.pids.or(other.pids);
        self.tids.or(other.tids);
        self.mnt_ns.or(other.mnt_ns);
        self.pid_ns.or(other.pid_ns);
        self.comms.or(other.comms);
        self.tree_all &= other.tree_all;
        self.tree_none &= other.tree_none;
        self.follow |= other.follow;
    }

    fn numbers(&mut self, of: Number) -> &mut List<u32> {
        match of {
            Number::Uid => &mut self.uids,
            Number::Pid => &mut self.pids,
            Number::Tid => &mut self.tids,
            Number::MntNs => &mut self.mnt_ns,
            Number::PidNs => &mut self.pid_ns,
        }
    }

    /// The kernel's decision, as BPF programs must make it: by the identity that the record's header will carry, and the
    /// word of the process in `scope_tree` (0 if it has none).
    ///
    /// Whoever is not known ([`Origin::Unknown`]) passes. Of an owner who is not the current task only the lists are asked:
    /// it may have exited, and its word gone with it, while user space still knows its tree.
    pub fn admits(&self, who: &Header, tree: u64) -> bool {
        if who.origin == Origin::Unknown {
            return true;
        }
        let in_tree = tree & self.tree_all == self.tree_all && tree & self.tree_none == 0;
        (in_tree || who.origin != Origin::Current)
            && self.uids.admits(&who.uid)
            && self.pids.admits(&who.pid)
            && self.tids.admits(&who.tid)
            && self.mnt_ns.admits(&who.mnt_ns)
            && self.pid_ns.admits(&who.pid_ns)
            && self.comms.admits(&padded(who.comm()))
    }
}

fn padded(comm: &[u8]) -> [u8; COMM_BYTES] {
    let mut out = [0; COMM_BYTES];
    for (to, from) in out.iter_mut().zip(comm) {
        *to = *from;
    }
    out
}
