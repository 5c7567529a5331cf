//! From a cgroup's id to its path and container.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use crate::container_path::{Runtime, container_of};
use crate::hierarchy::{Hierarchy, walk};
use crate::{Error, Names, choose_hierarchy};

/// How many cgroups are held unless told otherwise.
pub const DEFAULT_CGROUPS: usize = 16_384;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    id: Box<str>,
    runtime: Runtime,
    new: bool,
    cgroup: u64,
    names: OnceLock<Names>,
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

    /// The cgroup by which it became known: its own, or, where the making of that was lost, one within.
    pub fn cgroup(&self) -> u64 {
        self.cgroup
    }

    /// What it is called; `None` until its runtime has told.
    pub fn names(&self) -> Option<&Names> {
        self.names.get()
    }
}

/// A container came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its first cgroup was made.
    Made(Arc<Container>),
    /// Its last cgroup was removed.
    Removed(Arc<Container>),
}

/// A container by its id.
#[derive(Debug)]
struct Known {
    container: Arc<Container>,
    /// How many of its cgroups are there.
    cgroups: usize,
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
    by_id: FxHashMap<Box<str>, Known>,
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
    /// after events of the life lane were lost. Gives the containers that were not known.
    ///
    /// # Errors
    ///
    /// The hierarchy's root can not be read.
    pub fn walk(&mut self) -> Result<Vec<Arc<Container>>, Error> {
        let root = self.hierarchy.root().to_path_buf();
        let mut found = vec![];
        walk(&root, |id, path| {
            found.extend(self.enter(id, path, false));
            self.cgroups.len() < self.capacity || !self.removed.is_empty()
        })?;
        Ok(found)
    }

    /// A cgroup was made, in the hierarchy of that number; other hierarchies are passed over. Gives the container that
    /// it is the first cgroup of.
    pub fn made(&mut self, hierarchy: u32, id: u64, path: &str) -> Option<Change> {
        if hierarchy != self.hierarchy.id() {
            return None;
        }
        self.enter(id, path, true).map(Change::Made)
    }

    /// A cgroup was removed. Its path may not have been known before. Gives the container that it was the last cgroup of.
    pub fn removed(&mut self, hierarchy: u32, id: u64, path: &str) -> Option<Change> {
        if hierarchy != self.hierarchy.id() {
            return None;
        }
        self.enter(id, path, false);
        let cgroup = self.cgroups.get_mut(&id).filter(|c| !c.removed)?;
        cgroup.removed = true;
        self.removed.push_back(id);
        let container = cgroup.container.clone()?;
        let known = self.by_id.get_mut(&container.id).filter(|k| Arc::ptr_eq(&k.container, &container))?;
        known.cgroups = known.cgroups.saturating_sub(1);
        (known.cgroups == 0).then_some(Change::Removed(container))
    }

    /// The containers that are there, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.by_id.values().filter(|k| k.cgroups > 0).map(|k| &k.container)
    }

    /// The container of that id, also one that is no more but remembered.
    pub fn by_id(&self, id: &str) -> Option<&Container> {
        self.by_id.get(id).map(|known| &*known.container)
    }

    /// The runtime has told what a container is called. Gives the container, if it is known and its names were not.
    pub fn named(&self, id: &str, names: Names) -> Option<Arc<Container>> {
        let container = &self.by_id.get(id)?.container;
        container.names.set(names).is_ok().then(|| Arc::clone(container))
    }

    /// The cgroup of that id.
    pub fn cgroup(&self, id: u64) -> Option<&Cgroup> {
        self.cgroups.get(&id)
    }

    /// The cgroups that are there, by their ids.
    pub fn cgroups(&self) -> impl Iterator<Item = (u64, &Cgroup)> {
        self.cgroups.iter().filter(|(_, cgroup)| !cgroup.removed).map(|(id, cgroup)| (*id, cgroup))
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

    /// Gives the container that this is the first cgroup of.
    fn enter(&mut self, id: u64, path: &str, new: bool) -> Option<Arc<Container>> {
        if self.cgroups.contains_key(&id) {
            return None;
        }
        if self.cgroups.len() >= self.capacity && !self.make_room() {
            self.refused += 1;
            return None;
        }
        let (mut container, mut first) = (None, None);
        if let Some((name, runtime)) = container_of(path) {
            // An inner cgroup made later does not make its container new. One that was gone and is made again does: LXC and
            // nspawn use a name many times.
            let known = match self.by_id.get_mut(name).filter(|k| k.cgroups > 0) {
                Some(known) => known,
                None => {
                    let made = Container {
                        id: name.into(),
                        runtime,
                        new,
                        cgroup: id,
                        names: named_by(name, runtime),
                    };
                    let made = Arc::new(made);
                    first = Some(Arc::clone(&made));
                    self.by_id.insert(name.into(), Known { container: made, cgroups: 0 });
                    self.by_id.get_mut(name)?
                }
            };
            known.cgroups += 1;
            container = Some(Arc::clone(&known.container));
        }
        self.cgroups.insert(id, Cgroup { path: path.into(), container, removed: false });
        first
    }

    fn make_room(&mut self) -> bool {
        let Some(cgroup) = self.removed.pop_front().and_then(|id| self.cgroups.remove(&id)) else {
            return false;
        };
        // Ours, and that of `by_id`: no other cgroup belongs to it.
        if let Some(container) = cgroup.container.filter(|c| Arc::strong_count(c) <= 2)
            && self.by_id.get(&container.id).is_some_and(|k| Arc::ptr_eq(&k.container, &container))
        {
            self.by_id.remove(&container.id);
        }
        true
    }
}

/// Of some runtimes the id is the name, and nobody else knows more.
fn named_by(id: &str, runtime: Runtime) -> OnceLock<Names> {
    match runtime {
        Runtime::Lxc | Runtime::Nspawn => Names { name: Some(id.into()), ..Names::default() }.into(),
        _ => OnceLock::new(),
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
    fn containers_come_with_their_first_cgroup_and_go_with_their_last() {
        let mut c = empty(10);
        let outer = format!("/docker/{}", id('a'));
        let Some(Change::Made(made)) = c.made(0, 5, &outer) else { panic!("not made") };
        assert_eq!((made.id(), made.cgroup(), made.is_new()), (&*id('a'), 5, true));
        assert_eq!(c.made(0, 5, &outer), None);
        assert_eq!(c.made(0, 6, &format!("{outer}/init.scope")), None);
        assert_eq!(c.made(0, 7, "/system.slice"), None);
        assert_eq!(c.iter().collect::<Vec<_>>(), [&made]);
        assert_eq!(c.removed(0, 6, &format!("{outer}/init.scope")), None);
        assert_eq!(c.removed(0, 7, "/system.slice"), None);
        assert_eq!(c.removed(0, 5, &outer), Some(Change::Removed(Arc::clone(&made))));
        assert_eq!(c.removed(0, 5, &outer), None);
        assert_eq!(c.iter().count(), 0);
    }

    #[test]
    fn names_come_once_and_for_all_cgroups() {
        let mut c = empty(10);
        c.made(0, 5, &format!("/docker/{}", id('a')));
        c.made(0, 6, &format!("/docker/{}/init.scope", id('a')));
        let names = |n: &str| Names { name: Some(n.into()), ..Names::default() };
        assert_eq!(c.container(5).unwrap().names(), None);
        assert_eq!(c.named(&id('a'), names("web")).unwrap().id(), id('a'));
        assert_eq!(c.container(6).unwrap().names(), Some(&names("web")));
        assert_eq!((c.named(&id('a'), names("other")), c.named(&id('b'), names("other"))), (None, None));
        c.made(0, 7, "/lxc/box");
        assert_eq!(c.container(7).unwrap().names(), Some(&names("box")));
    }

    #[test]
    fn a_name_used_again_is_another_container() {
        let mut c = empty(2);
        let Some(Change::Made(first)) = c.made(0, 1, "/lxc/web") else { panic!("not made") };
        c.removed(0, 1, "/lxc/web");
        let Some(Change::Made(second)) = c.made(0, 2, "/lxc/web") else { panic!("not made") };
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!((c.container(1).unwrap().cgroup(), c.container(2).unwrap().cgroup()), (1, 2));
        // The first is forgotten, the second stays.
        drop(first);
        c.made(0, 3, "/x");
        assert_eq!((c.cgroup(1).is_none(), c.iter().collect::<Vec<_>>()), (true, vec![&second]));
        // One that was never seen to be made is removed.
        let mut c = empty(2);
        assert!(matches!(c.removed(0, 9, "/lxc/old"), Some(Change::Removed(old)) if !old.is_new()));
    }

    #[test]
    fn this_host_can_be_read() {
        if let Ok(c) = Containers::new() {
            assert!(!c.is_empty());
        }
    }
}
