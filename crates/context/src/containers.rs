//! From a cgroup's id to its path and container.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::container_path::{Runtime, container_of};
use crate::hierarchy::{Hierarchy, walk};
use crate::{Error, choose_hierarchy};

/// How many cgroups are held unless told otherwise.
pub const DEFAULT_CGROUPS: usize = 16_384;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    id: Box<str>,
    runtime: Runtime,
    new: bool,
}

impl Container {
    /// Its id: 64 hexadecimal digits, or a name for LXC and nspawn.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What made it.
    pub fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// It was made after Tarsius started.
    pub fn is_new(&self) -> bool {
        self.new
    }
}

/// A cgroup.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: Box<str>,
    container: Option<Arc<Container>>,
    removed: bool,
}

impl Cgroup {
    /// Its path in the hierarchy.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The container that it belongs to.
    pub fn container(&self) -> Option<&Container> {
        self.container.as_deref()
    }

    /// It was removed: what is known of it helps to understand events that came before.
    pub fn is_removed(&self) -> bool {
        self.removed
    }
}

/// The cgroups of one hierarchy, and the containers that they belong to.
///
/// It holds a fixed number. A removed cgroup stays until its place is needed, the one that was removed first goes first;
/// when all are there still, a new one is refused and counted.
#[derive(Debug)]
pub struct Containers {
    hierarchy: Hierarchy,
    cgroups: FxHashMap<u64, Cgroup>,
    by_id: FxHashMap<Box<str>, Arc<Container>>,
    removed: VecDeque<u64>,
    capacity: usize,
    refused: u64,
}

impl Containers {
    /// The containers of this host as they are now.
    ///
    /// # Errors
    ///
    /// No hierarchy is mounted, or it can not be read.
    pub fn new() -> Result<Containers, Error> {
        let mut containers = Containers::with(choose_hierarchy()?, DEFAULT_CGROUPS);
        containers.walk()?;
        Ok(containers)
    }

    /// None yet, of that hierarchy, with room for so many cgroups (at least one).
    pub fn with(hierarchy: Hierarchy, capacity: usize) -> Containers {
        Containers {
            hierarchy,
            cgroups: FxHashMap::default(),
            by_id: FxHashMap::default(),
            removed: VecDeque::new(),
            capacity: capacity.max(1),
            refused: 0,
        }
    }

    /// The hierarchy in which containers are told apart.
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// Enters every cgroup that is there now and not known. Containers found so are not new. It may be called again,
    /// after events of the life lane were lost.
    ///
    /// # Errors
    ///
    /// The hierarchy's root can not be read.
    pub fn walk(&mut self) -> Result<(), Error> {
        let root = self.hierarchy.root().to_path_buf();
        walk(&root, |id, path| {
            self.enter(id, path, false);
            self.cgroups.len() < self.capacity || !self.removed.is_empty()
        })
    }

    /// A cgroup was made, in the hierarchy of that number; other hierarchies are passed over.
    pub fn made(&mut self, hierarchy: u32, id: u64, path: &str) {
        if hierarchy == self.hierarchy.id() {
            self.enter(id, path, true);
        }
    }

    /// A cgroup was removed. Its path may not have been known before.
    pub fn removed(&mut self, hierarchy: u32, id: u64, path: &str) {
        if hierarchy != self.hierarchy.id() {
            return;
        }
        self.enter(id, path, false);
        if let Some(cgroup) = self.cgroups.get_mut(&id).filter(|c| !c.removed) {
            cgroup.removed = true;
            self.removed.push_back(id);
        }
    }

    /// The cgroup of that id.
    pub fn cgroup(&self, id: u64) -> Option<&Cgroup> {
        self.cgroups.get(&id)
    }

    /// The container that the cgroup of that id belongs to.
    pub fn container(&self, cgroup: u64) -> Option<&Container> {
        self.cgroup(cgroup)?.container()
    }

    /// How many cgroups are held.
    pub fn len(&self) -> usize {
        self.cgroups.len()
    }

    /// Whether no cgroup is held.
    pub fn is_empty(&self) -> bool {
        self.cgroups.is_empty()
    }

    /// How many cgroups found no place.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn enter(&mut self, id: u64, path: &str, new: bool) {
        if self.cgroups.contains_key(&id) {
            return;
        }
        if self.cgroups.len() >= self.capacity && !self.make_room() {
            self.refused += 1;
            return;
        }
        let container = container_of(path).map(|(name, runtime)| match self.by_id.get(name) {
            // An inner cgroup made later does not make its container new.
            Some(known) => Arc::clone(known),
            None => {
                let container = Arc::new(Container { id: name.into(), runtime, new });
                self.by_id.insert(name.into(), Arc::clone(&container));
                container
            }
        });
        self.cgroups.insert(id, Cgroup { path: path.into(), container, removed: false });
    }

    fn make_room(&mut self) -> bool {
        let Some(cgroup) = self.removed.pop_front().and_then(|id| self.cgroups.remove(&id)) else {
            return false;
        };
        // Ours, and that of `by_id`: no other cgroup belongs to it.
        if let Some(container) = cgroup.container.filter(|c| Arc::strong_count(c) <= 2) {
            self.by_id.remove(&container.id);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn empty(capacity: usize) -> Containers {
        Containers::with(Hierarchy::V2 { root: "/none".into() }, capacity)
    }

    #[test]
    fn inner_cgroups_are_the_containers() {
        let mut c = empty(10);
        c.made(0, 5, &format!("/docker/{}", id('a')));
        c.made(0, 6, &format!("/docker/{}/init.scope", id('a')));
        c.made(0, 7, "/system.slice/ssh.service");
        assert_eq!(c.container(6), c.container(5));
        let container = c.container(6).unwrap();
        assert_eq!(
            (container.id(), container.runtime(), container.is_new()),
            (&*id('a'), Runtime::Docker, true)
        );
        assert!(c.container(7).is_none() && c.container(8).is_none());
        assert_eq!(c.cgroup(7).unwrap().path(), "/system.slice/ssh.service");
    }

    #[test]
    fn other_hierarchies_are_passed_over() {
        let mut c = empty(10);
        c.made(4, 5, "/a");
        c.removed(4, 6, "/b");
        assert!(c.is_empty());
    }

    #[test]
    fn what_was_there_at_start_is_not_new() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join(format!("docker/{}", id('b')))).unwrap();
        let mut c = Containers::with(Hierarchy::V2 { root: root.path().into() }, 10);
        c.walk().unwrap();
        assert_eq!(c.len(), 3);
        c.made(0, 1, &format!("/docker/{}/inner", id('b')));
        assert!(!c.container(1).unwrap().is_new());
        c.walk().unwrap();
        assert_eq!(c.len(), 4);
    }

    #[test]
    fn the_removed_stay_until_space_is_needed() {
        let mut c = empty(2);
        c.made(0, 1, &format!("/docker/{}", id('a')));
        c.removed(0, 1, &format!("/docker/{}", id('a')));
        assert!(c.cgroup(1).unwrap().is_removed() && c.container(1).is_some());
        c.made(0, 2, "/x");
        c.made(0, 3, "/y");
        assert!(c.cgroup(1).is_none() && c.by_id.is_empty());
        c.made(0, 4, "/z");
        assert_eq!((c.len(), c.refused(), c.cgroup(4).is_none()), (2, 1, true));
        c.removed(0, 2, "/x");
        c.removed(0, 2, "/x");
        c.made(0, 4, "/z");
        assert!(c.cgroup(4).is_some() && c.cgroup(3).is_some());
    }

    #[test]
    fn this_host_can_be_read() {
        if let Ok(c) = Containers::new() {
            assert!(!c.is_empty());
        }
    }
}
