//! Which package an executed file is of: by its path, in the database of dpkg, rpm or apk in the root that it has in its own mount namespace.
//!
//! A thread reads the databases: the host's at start, a container's through the root of a process in it, when something is executed there for
//! the first time. A file that was last changed before a database was read is the one of which the database spoke, so its owner is told at once.
//! Whatever else there is, the thread looks for, and reads the database again if it was changed: so an answer may come after the event. That a
//! database is the one that was read, is looked at again at most a second after an execution.
//!
//! It is the path that has an owner. Whether the file is what the package brought, its digest tells, where the package has one: threads of their
//! own read the file, so that this answer may come later still.

mod apk;
mod digest;
mod dpkg;
mod error;
mod index;
mod root;
mod rpm;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use context::{FileOwner, Owner};
use hashes::FileId;
use rustc_hash::FxHashMap;

use digest::{Digests, Key};
use error::Unread;
use index::Index;
use root::Root;

/// Questions that wait for their turn.
const QUEUE: usize = 4096;
/// Mount namespaces whose databases are kept, and paths of all of them; beyond, all but the host's are read anew.
const NAMESPACES: usize = 64;
const PATHS: usize = 8 << 20;

/// A file that was changed less than that long before a database was read may be another than that of which it spoke.
const MARGIN: Duration = Duration::from_secs(1);
/// How long it is believed that a database was not changed.
const FRESH: Duration = Duration::from_secs(1);

/// An execution.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The file's path as the kernel has it: from the root of the mount namespace.
    pub path: Box<[u8]>,
    /// Which file it is, in which state; without, it may be a new one.
    pub file: Option<FileId>,
    /// The mount namespace.
    pub mnt_ns: u32,
    /// The process, and its parent, which is likely in the same namespace.
    pub pids: [u32; 2],
}

impl Execution {
    /// Whether its file is one of which the databases spoke.
    fn is_spoken_of(&self, index: &Index) -> bool {
        self.file.is_some_and(|file| index.is_of(file.ctime))
    }
}

/// What is known of a mount namespace.
#[derive(Debug, Clone)]
struct Known {
    /// None: it has no database.
    index: Option<Arc<Index>>,
    /// When it was looked at.
    looked: Instant,
}

/// By mount namespace: written by the thread.
type Indexes = Arc<Mutex<FxHashMap<u32, Known>>>;

fn lock(indexes: &Indexes) -> MutexGuard<'_, FxHashMap<u32, Known>> {
    indexes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Knows the owners of files.
#[derive(Debug)]
pub struct Packages {
    ask: SyncSender<(Execution, Arc<FileOwner>)>,
    indexes: Indexes,
    digests: Digests,
    unread: Arc<Mutex<Complaints>>,
    refused: u64,
    lost: Arc<AtomicU64>,
}

/// What was found out of databases that can not be read, each kind once.
#[derive(Debug, Default)]
struct Complaints {
    known: HashSet<Unread>,
    new: Vec<String>,
}

impl Packages {
    /// Reads the host's database, and starts the thread.
    ///
    /// # Errors
    ///
    /// The kernel refuses a thread, or does not tell the own mount namespace.
    pub fn start() -> std::io::Result<Packages> {
        Packages::of(Path::new("/"))
    }

    fn of(root: &Path) -> std::io::Result<Packages> {
        let host = namespace(Path::new("/proc/self/ns/mnt"))?;
        let (indexes, key) = (Indexes::default(), Key::default());
        let digests = Digests::start(&key)?;
        let (unread, lost) = (Arc::<Mutex<Complaints>>::default(), Arc::<AtomicU64>::default());
        let worker = Worker {
            root: root.to_path_buf(),
            host,
            key,
            indexes: Arc::clone(&indexes),
            digests: digests.clone(),
            unread: Arc::clone(&unread),
            lost: Arc::clone(&lost),
        };
        if let Some(root) = Root::at(root) {
            worker.look(host, &root);
        }
        let (ask, asked) = sync_channel(QUEUE);
        std::thread::Builder::new().name("packages".into()).spawn(move || worker.work(&asked))?;
        Ok(Packages { ask, indexes, digests, unread, refused: 0, lost })
    }

    /// Where it is told whose the executed file is, at once if that is known. Does not wait.
    pub fn of_execution(&mut self, execution: Execution) -> Arc<FileOwner> {
        let owner = Arc::new(FileOwner::default());
        let known = lock(&self.indexes).get(&execution.mnt_ns).cloned();
        if let Some(Known { index: Some(index), looked }) = known
            && execution.is_spoken_of(&index)
            && let Some((package, expected)) = index.owner(&execution.path)
        {
            owner.set(Owner::Package(Arc::clone(package)));
            if let Some(expected) = expected {
                self.digests.compare(&execution, expected, &owner);
            }
            if looked.elapsed() < FRESH {
                return owner;
            }
            // To have the database looked at; another will, if there is no room.
            let _ = self.ask.try_send((execution, Arc::default()));
        } else if self.ask.try_send((execution, Arc::clone(&owner))).is_err() {
            self.refused += 1;
            owner.set(Owner::Unknown);
        }
        owner
    }

    /// How many files were not looked for, or not compared, as too many came at once or their root was gone.
    pub fn lost(&self) -> u64 {
        self.refused + self.lost.load(Ordering::Relaxed) + self.digests.refused()
    }

    /// Why databases were not read, since the last time; of each reason, of one of them.
    pub fn complaints(&mut self) -> Vec<String> {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut unread.new)
    }
}

/// The thread that reads databases.
struct Worker {
    root: PathBuf,
    host: u32,
    key: Key,
    indexes: Indexes,
    digests: Digests,
    unread: Arc<Mutex<Complaints>>,
    lost: Arc<AtomicU64>,
}

impl Worker {
    fn work(self, asked: &Receiver<(Execution, Arc<FileOwner>)>) {
        for (execution, owner) in asked {
            let root = match execution.mnt_ns == self.host {
                true => Root::at(&self.root),
                false => root_of(&execution),
            };
            let index = match root {
                Some(root) => self.look(execution.mnt_ns, &root),
                None => {
                    // Nobody is left through whom the root could be had. Whether it had another database by then, is not known.
                    let known = lock(&self.indexes).get(&execution.mnt_ns).and_then(|k| k.index.clone());
                    let known =
                        known.filter(|i| execution.is_spoken_of(i) && i.owner(&execution.path).is_some());
                    if known.is_none() {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                    }
                    known
                }
            };
            let (whose, expected) = index.map_or((Owner::Unknown, None), |i| i.answer(&execution.path));
            owner.set(whose);
            if let Some(expected) = expected {
                self.digests.compare(&execution, expected, &owner);
            }
        }
    }

    /// The index of a root, read anew if its databases were changed.
    fn look(&self, mnt_ns: u32, root: &Root) -> Option<Arc<Index>> {
        let known = lock(&self.indexes).get(&mnt_ns).and_then(|k| k.index.clone());
        let index = known.filter(|i| i.is_current(root)).or_else(|| {
            let index = Index::read(root, &self.key)?;
            if let Some(why) = index.unread() {
                self.complain(mnt_ns, why);
            }
            Some(Arc::new(index))
        });
        let mut indexes = lock(&self.indexes);
        let paths: usize = indexes.values().filter_map(|k| k.index.as_ref()).map(|i| i.len()).sum();
        if !indexes.contains_key(&mnt_ns) && (indexes.len() >= NAMESPACES || paths > PATHS) {
            indexes.retain(|&ns, _| ns == self.host);
        }
        indexes.insert(mnt_ns, Known { index: index.clone(), looked: Instant::now() });
        index
    }

    fn complain(&self, mnt_ns: u32, why: Unread) {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        // What changes will be read when it is asked for again.
        if why != Unread::Changing && unread.known.insert(why) {
            unread.new.push(format!(
                "package unknown: {why} (in mount namespace {mnt_ns}; others like it are not told)"
            ));
        }
    }
}

/// The root of a process that is in the execution's mount namespace still.
fn root_of(execution: &Execution) -> Option<Root> {
    execution.pids.iter().find_map(|pid| {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let root = Root::at(&process.join("root"))?;
        // Asked afterwards: whoever has the number now is in that namespace, and so is the root.
        (namespace(&process.join("ns/mnt")).ok()? == execution.mnt_ns).then_some(root)
    })
}

/// The number of a namespace: the inode number of its file.
fn namespace(file: &Path) -> std::io::Result<u32> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(u32::try_from(std::fs::metadata(file)?.ino()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn write(root: &Path, path: &str, text: &str) {
        let at = root.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, text).unwrap();
    }

    fn debian(root: &Path) {
        write(
            root,
            "var/lib/dpkg/status",
            "Package: coreutils\nStatus: install ok installed\nArchitecture: amd64\nVersion: 9.1-1\n\n\
             Package: libc6\nArchitecture: amd64\nMulti-Arch: same\nVersion: 2.36-9\n\n\
             Package: dash\nVersion: 0.5\nDescription: x\n Version: 7\n\nPackage: mine\nVersion: 1\n",
        );
        write(root, "var/lib/dpkg/info/coreutils.list", "/.\n/bin\n/bin/ls\n/usr/bin/id\n");
        write(root, "var/lib/dpkg/info/libc6:amd64.list", "/usr/lib/ld.so\n");
        write(root, "var/lib/dpkg/info/dash.list", "/bin/sh\n");
        write(root, "var/lib/dpkg/info/mine.list", "/bin/sh\n");
        write(root, "var/lib/dpkg/info/gone.list", "/usr/bin/gone\n");
        write(root, "var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\nmine\n");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
    }

    fn owner(index: &Index, path: &str) -> Option<(String, String)> {
        index.owner(path.as_bytes()).map(|(p, _)| (p.name.to_string(), p.version.to_string()))
    }

    fn is(name: &str, version: &str) -> Option<(String, String)> {
        Some((name.into(), version.into()))
    }

    #[test]
    fn a_database_of_dpkg() {
        let folder = tempfile::tempdir().unwrap();
        debian(folder.path());
        let root = Root::at(folder.path()).unwrap();
        let index = Index::read(&root, &Key::default()).unwrap();
        // By either name, as /bin is a link.
        for ls in ["/bin/ls", "/usr/bin/ls"] {
            assert_eq!(owner(&index, ls), is("coreutils", "9.1-1"), "{ls}");
        }
        assert_eq!(owner(&index, "/usr/lib/ld.so"), is("libc6", "2.36-9"));
        // Moved away for another package's.
        assert_eq!(owner(&index, "/usr/bin/sh"), is("mine", "1"));
        assert_eq!(owner(&index, "/usr/bin/sh.distrib"), is("dash", "0.5"));
        for nobodys in ["/usr/bin/gone", "/usr/local/bin/ls", "/usr/bin/l", "/usr/binls", "ls", ""] {
            assert_eq!(owner(&index, nobodys), None, "{nobodys}");
        }
        assert!(index.is_current(&root));
        write(folder.path(), "var/lib/dpkg/info/new.list", "/usr/bin/new\n");
        assert!(!index.is_current(&root));
    }

    #[test]
    fn a_database_of_apk() {
        let folder = tempfile::tempdir().unwrap();
        let text = "C:Q1\nP:busybox\nV:1.36-r5\nF:bin\nR:busybox\na:0:0:755\nF:\nR:top\n\nP:musl\nV:1.2\nF:lib\nR:ld.so\n\n";
        write(folder.path(), "lib/apk/db/installed", text);
        let index = Index::read(&Root::at(folder.path()).unwrap(), &Key::default()).unwrap();
        assert_eq!(owner(&index, "/bin/busybox"), is("busybox", "1.36-r5"));
        assert_eq!(owner(&index, "/top"), is("busybox", "1.36-r5"));
        assert_eq!(owner(&index, "/lib/ld.so"), is("musl", "1.2"));
        // Not merged here: another file.
        assert_eq!(owner(&index, "/usr/bin/busybox"), None);
    }

    #[test]
    fn nothing_leads_out_of_a_root() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        debian(&outside);
        fs::create_dir_all(inside.join("var/lib")).unwrap();
        symlink(outside.join("var/lib/dpkg"), inside.join("var/lib/dpkg")).unwrap();
        assert!(Index::read(&Root::at(&inside).unwrap(), &Key::default()).is_none());
        fs::remove_file(inside.join("var/lib/dpkg")).unwrap();
        symlink("../../../out/var/lib/dpkg", inside.join("var/lib/dpkg")).unwrap();
        assert!(Index::read(&Root::at(&inside).unwrap(), &Key::default()).is_none());
    }

    /// MD5 of `abc`: RFC 1321, appendix A.5.
    const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

    #[test]
    fn whether_a_file_is_what_its_package_brought() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        let own = |name: &str| format!("{root}/bin/{name}");
        let names = ["same", "other", "unsaid", "wrong"];
        let list: String = names.iter().map(|name| own(name) + "\n").collect();
        // By another's paths, and in letters of another size.
        let digests = format!(
            "{}  {root}/bin/same\n{ABC}  {root}/bin/other\nabc  {root}/bin/wrong\n{ABC}  bin/unsaid\n",
            ABC.to_uppercase()
        );
        write(folder.path(), "var/lib/dpkg/status", "Package: p\nVersion: 1\n");
        write(folder.path(), "var/lib/dpkg/info/p.list", &list);
        write(folder.path(), "var/lib/dpkg/info/p.md5sums", &digests.replace("  /", "  "));
        for name in names {
            write(folder.path(), &format!("bin/{name}"), if name == "other" { "abd" } else { "abc" });
        }
        let mut packages = Packages::of(folder.path()).unwrap();
        let mnt_ns = namespace(Path::new("/proc/self/ns/mnt")).unwrap();
        let mut run = |name: &str| {
            use std::os::unix::fs::MetadataExt as _;
            let m = fs::metadata(own(name)).unwrap();
            let ctime = (m.ctime() * 1_000_000_000 + m.ctime_nsec()).cast_unsigned();
            let file = Some(FileId { dev: m.dev() as u32, inode: m.ino(), ctime });
            packages.of_execution(Execution { path: own(name).as_bytes().into(), file, mnt_ns, pids: [0, 0] })
        };
        for (name, modified) in [("same", false), ("other", true)] {
            let owner = run(name);
            while owner.modified().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(owner.modified(), Some(modified), "{name}");
            assert!(matches!(owner.get(), Some(Owner::Package(_))));
        }
        for name in ["unsaid", "wrong"] {
            let owner = run(name);
            while owner.get().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(matches!(owner.get(), Some(Owner::Package(_))));
            assert_eq!(owner.modified(), None, "{name}");
        }
        // What was changed is another file, and is read anew.
        fs::write(own("same"), "abd").unwrap();
        let owner = run("same");
        while owner.modified().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(owner.modified(), Some(true));
        assert_eq!(packages.lost(), 0);
    }

    #[test]
    fn answers_come_at_once_or_later() {
        let folder = tempfile::tempdir().unwrap();
        debian(folder.path());
        let mut packages = Packages::of(folder.path()).unwrap();
        let here = namespace(Path::new("/proc/self/ns/mnt")).unwrap();
        let run = |packages: &mut Packages, path: &str, ctime: u64, mnt_ns: u32, pid: u32| {
            let file = Some(FileId { dev: 0, inode: 0, ctime });
            packages.of_execution(Execution { path: path.as_bytes().into(), file, mnt_ns, pids: [pid, pid] })
        };
        let later = |owner: &FileOwner| loop {
            match owner.get() {
                Some(Owner::Package(p)) => break Some(p.name.to_string()),
                Some(Owner::Nobody) => break None,
                Some(Owner::Unknown) => break Some("?".into()),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let at_once = run(&mut packages, "/usr/bin/ls", 1, here, 1);
        assert!(matches!(at_once.get(), Some(Owner::Package(_))));
        // Of what is newer than the database, it is not known whether that is spoken of.
        assert_eq!(later(&run(&mut packages, "/usr/bin/ls", u64::MAX, here, 1)), Some("coreutils".into()));
        assert_eq!(later(&run(&mut packages, "/tmp/x", 1, here, 1)), None);
        // It comes while we watch.
        write(folder.path(), "var/lib/dpkg/info/gone.list", "/usr/bin/gone\n");
        let status = fs::read_to_string(folder.path().join("var/lib/dpkg/status")).unwrap();
        write(folder.path(), "var/lib/dpkg/status", &(status + "\nPackage: gone\nVersion: 1\n"));
        assert_eq!(later(&run(&mut packages, "/usr/bin/gone", u64::MAX, here, 1)), Some("gone".into()));
        // Of a namespace in which nobody is, nothing is known.
        assert_eq!(later(&run(&mut packages, "/usr/bin/ls", 1, 7, u32::MAX)), Some("?".into()));
        assert_eq!(packages.lost(), 1);
        // What is known of the host is looked at again after a while, and is another then.
        // As dpkg does it: a new file takes the name of the old one.
        write(folder.path(), "var/lib/dpkg/info/new", "/usr/bin/id\n");
        let info = folder.path().join("var/lib/dpkg/info");
        fs::rename(info.join("new"), info.join("coreutils.list")).unwrap();
        lock(&packages.indexes).get_mut(&here).unwrap().looked -= FRESH;
        while later(&run(&mut packages, "/usr/bin/ls", 1, here, 1)).is_some() {}
    }
}
