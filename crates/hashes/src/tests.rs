use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

/// SHA-256 of `abc`: FIPS 180-2, appendix B.1.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn id(path: &Path) -> FileId {
    let m = fs::metadata(path).unwrap();
    let ctime = (m.ctime() * 1_000_000_000 + m.ctime_nsec()).cast_unsigned();
    FileId { dev: m.dev() as u32, inode: m.ino(), ctime }
}

/// Of nobody who lives.
fn execution(file: FileId, path: &Path) -> Execution<()> {
    Execution { file, path: path.into(), pid: 0, parent: 0, with: () }
}

fn waited(hashes: &Hashes<()>) -> Option<String> {
    hashes.done.recv().unwrap().1.get().map(|h| h.to_string())
}

#[test]
fn the_file_that_ran_is_hashed_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("abc");
    fs::write(&path, "abc").unwrap();
    let mut hashes = Hashes::start(true).unwrap();
    let hash = hashes.of(execution(id(&path), &path));
    assert_eq!(waited(&hashes).as_deref(), Some(ABC));
    assert_eq!(hash.get().unwrap().to_string(), ABC);
    // Known now, wherever it is said to be.
    assert!(Arc::ptr_eq(&hash, &hashes.of(execution(id(&path), Path::new("/none")))));
    assert_eq!(hashes.done().count(), 0);
}

#[test]
fn another_file_of_that_name_is_not_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("abc");
    fs::write(&path, "abc").unwrap();
    let (ran, mut hashes) = (id(&path), Hashes::start(true).unwrap());
    let other = FileId { inode: ran.inode + 1, ..ran };
    assert!(!hashes.of(execution(other, &path)).failed() && waited(&hashes).is_none());
    let changed = FileId { ctime: ran.ctime - 1, ..ran };
    let hash = hashes.of(execution(changed, &path));
    assert_eq!((waited(&hashes), hash.failed()), (None, true));
    // What failed is tried again.
    assert!(!Arc::ptr_eq(&hash, &hashes.of(execution(changed, &path))));
}

#[test]
fn a_removed_file_is_hashed_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cat");
    fs::copy("/bin/cat", &path).unwrap();
    let mut child: Child = Command::new(&path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let ran = id(&path);
    fs::remove_file(&path).unwrap();
    let mut hashes = Hashes::start(true).unwrap();
    // By its path it is not to be had.
    hashes.of(execution(ran, &path));
    assert_eq!(waited(&hashes), None);
    let removed = Execution { pid: child.id(), ..execution(ran, &path) };
    hashes.of(removed);
    let mut found = vec![waited(&hashes)];
    hashes.of(execution(id(Path::new("/bin/cat")), Path::new("/bin/cat")));
    found.push(waited(&hashes));
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(found[0].is_some() && found[0] == found[1], "{found:?}");
}

#[test]
fn without_a_cache_every_execution_is_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("abc");
    fs::write(&path, "abc").unwrap();
    let mut hashes = Hashes::start(false).unwrap();
    for _ in 0..2 {
        hashes.of(execution(id(&path), &path));
        assert_eq!(waited(&hashes).as_deref(), Some(ABC));
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let mut hashes = Hashes::start(true).unwrap();
    for inode in 0..2 * KEPT as u64 {
        hashes.of(execution(FileId { dev: 0, inode, ctime: 0 }, Path::new("/none")));
    }
    assert_eq!((hashes.known.len(), hashes.order.len()), (KEPT, KEPT));
    // Each has its answer, those for which there was no room too.
    for _ in 0..2 * KEPT {
        assert_eq!(waited(&hashes), None);
    }
}
