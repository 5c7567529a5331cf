//! Databases made by SQLite's own rules, byte by byte; the real ones are in the end-to-end tests.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::digest::Key;

impl Content for Vec<u8> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        let there = usize::try_from(at).ok().and_then(|at| self.get(at..)?.get(..into.len()));
        there.is_some_and(|bytes| {
            into.copy_from_slice(bytes);
            true
        })
    }
}

/// A header with these entries: tag, type, count, data.
fn header(entries: &[(u32, u32, u32, Vec<u8>)]) -> Vec<u8> {
    let (mut index, mut data) = (vec![], vec![]);
    for (tag, kind, count, bytes) in entries {
        let entry = [*tag, *kind, data.len() as u32, *count].map(u32::to_be_bytes);
        index.extend(entry.as_flattened());
        data.extend(bytes);
    }
    let lengths = [entries.len() as u32, data.len() as u32].map(u32::to_be_bytes);
    [lengths.as_flattened(), &index, &data].concat()
}

fn texts(all: &[&str]) -> (u32, u32, Vec<u8>) {
    (8, all.len() as u32, all.iter().flat_map(|t| [t.as_bytes(), b"\0"].concat()).collect())
}

fn numbers(all: &[u32]) -> (u32, u32, Vec<u8>) {
    (4, all.len() as u32, all.iter().flat_map(|n| n.to_be_bytes()).collect())
}

const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A package with two programs, one of which is another's, and with some more bytes.
fn package(name: &str, more: usize) -> Vec<u8> {
    let entry = |tag: u32, (kind, count, data): (u32, u32, Vec<u8>)| (tag, kind, count, data);
    let text = |tag: u32, text: &str| (tag, 6, 1, [text.as_bytes(), b"\0"].concat());
    header(&[
        text(NAME, name),
        text(VERSION, "1.2"),
        text(RELEASE, "3.el9"),
        entry(EPOCH, numbers(&[4])),
        (1004, 7, more as u32, vec![7; more]),
        (FILE_STATES, 1, 2, vec![0, 1]),
        entry(FILE_DIGESTS, texts(&[SHA256, SHA256])),
        entry(FILE_FLAGS, numbers(&[0, 0])),
        entry(DIR_INDEXES, numbers(&[1, 0])),
        entry(BASE_NAMES, texts(&[name, "replaced"])),
        entry(DIR_NAMES, texts(&["/opt/", "/usr/bin/"])),
        entry(FILE_DIGEST_ALGORITHM, numbers(&[8])),
    ])
}

fn varint(n: usize) -> Vec<u8> {
    // Up to four bytes are enough here.
    let mut bytes = vec![(n & 0x7f) as u8];
    let mut rest = n >> 7;
    while rest > 0 {
        bytes.insert(0, (rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

const PAGE: usize = 512;

/// Pages of a database that is made.
struct Made(Vec<Vec<u8>>);

impl Made {
    fn page(&mut self) -> usize {
        self.0.push(vec![0; PAGE]);
        self.0.len()
    }

    /// Puts a row on a page that is a leaf with that row alone.
    fn leaf(&mut self, number: usize, row: &[u8]) {
        let (most, least) = (PAGE - 35, (PAGE - 12) * 32 / 255 - 23);
        let here = match least + row.len().saturating_sub(least) % (PAGE - 4) {
            _ if row.len() <= most => row.len(),
            here if here <= most => here,
            _ => least,
        };
        let mut cell = [varint(row.len()), vec![1], row[..here].to_vec()].concat();
        let mut rest = row[here..].chunks(PAGE - 4).peekable();
        if rest.peek().is_some() {
            cell.extend((self.0.len() as u32 + 1).to_be_bytes());
        }
        while let Some(part) = rest.next() {
            let own = self.page();
            let next = if rest.peek().is_some() { own as u32 + 1 } else { 0 };
            self.0[own - 1][..4].copy_from_slice(&next.to_be_bytes());
            self.0[own - 1][4..4 + part.len()].copy_from_slice(part);
        }
        let head = if number == 1 { 100 } else { 0 };
        let page = &mut self.0[number - 1];
        let at = PAGE - cell.len();
        page[at..].copy_from_slice(&cell);
        page[head..head + 8].copy_from_slice(&[13, 0, 0, 0, 1, (at >> 8) as u8, at as u8, 0]);
        page[head + 8..head + 10].copy_from_slice(&(at as u16).to_be_bytes());
    }
}

/// A row of a number (as null: it is the row's own) and a blob.
fn row(blob: &[u8]) -> Vec<u8> {
    let kind = varint(12 + 2 * blob.len());
    [vec![2 + kind.len() as u8, 0], kind, blob.to_vec()].concat()
}

/// A database of SQLite with these blobs: a tree of two levels.
fn sqlite(blobs: &[Vec<u8>]) -> Vec<u8> {
    let mut made = Made(vec![]);
    made.page();
    let root = made.page();
    let schema = [&[6, 23, 29, 29, 1, 13][..], b"tablePackagesPackages", &[root as u8]].concat();
    made.leaf(1, &schema);
    made.0[0][..20].copy_from_slice(b"SQLite format 3\0\x02\x00\x02\x02");
    let leaves: Vec<usize> = blobs
        .iter()
        .map(|blob| {
            let page = made.page();
            made.leaf(page, &row(blob));
            page
        })
        .collect();
    let tree = &mut made.0[root - 1];
    let (last, others) = leaves.split_last().unwrap();
    tree[..5].copy_from_slice(&[5, 0, 0, 0, others.len() as u8]);
    tree[8..12].copy_from_slice(&(*last as u32).to_be_bytes());
    for (n, leaf) in others.iter().enumerate() {
        let at = PAGE - 5 * (n + 1);
        tree[12 + 2 * n..14 + 2 * n].copy_from_slice(&(at as u16).to_be_bytes());
        tree[at..at + 5].copy_from_slice(&[&(*leaf as u32).to_be_bytes()[..], &[1]].concat());
    }
    made.0.concat()
}

/// A database of rpm's own form.
fn ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    let le = |numbers: [u32; 4]| numbers.map(u32::to_le_bytes).as_flattened().to_vec();
    let word = |text: &[u8; 4]| u32::from_le_bytes(*text);
    let mut file = [le([word(b"RpmP"), 0, 1, 1]), le([9, 0, 0, 0])].concat();
    file.extend((2..256).flat_map(|_| le([word(b"Slot"), 0, 0, 0])));
    for (n, blob) in blobs.iter().enumerate() {
        let slot = le([word(b"Slot"), n as u32 + 1, file.len() as u32 / 16, 0]);
        file[32 + 16 * n..48 + 16 * n].copy_from_slice(&slot);
        file.extend(le([word(b"BlbS"), n as u32 + 1, 1, blob.len() as u32]));
        file.extend(blob);
        file.extend(b"....\0\0\0\0BlbE");
        file.resize(file.len().next_multiple_of(16), 0);
    }
    file
}

fn write(root: &Path, name: &str, content: &[u8]) {
    let at = root.join("var/lib/rpm").join(name);
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    std::fs::write(at, content).unwrap();
}

fn index(root: &Path) -> Option<Index> {
    Index::read(&Root::at(root).unwrap(), &Key::default())
}

fn owner(index: &Index, path: &str) -> Option<String> {
    index.owner(path.as_bytes()).map(|(p, digest)| format!("{} {} {}", p.name, p.version, digest.is_some()))
}

#[test]
fn packages_of_both_forms() {
    let packages = ["one", "two", "three"].map(|name| package(name, 1000));
    for (name, content) in [("rpmdb.sqlite", sqlite(&packages)), ("Packages.db", ndb(&packages))] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), name, &content);
        let index = index(folder.path()).unwrap();
        for package in ["one", "two", "three"] {
            let is = format!("{package} 4:1.2-3.el9 true");
            assert_eq!(owner(&index, &format!("/usr/bin/{package}")), Some(is), "{name}");
        }
        for nobodys in ["/opt/replaced", "/usr/bin/four", "/opt/one"] {
            assert_eq!(index.answer(nobodys.as_bytes()), (context::Owner::Nobody, None), "{name}: {nobodys}");
        }
        assert_eq!(index.unread(), None);
    }
}

/// Rows that fill their page to the last byte, and those that go on, by one byte and by pages.
#[test]
fn rows_of_any_length() {
    for length in (0..3000).chain([70_000]) {
        let blobs = [vec![1; length], vec![2; 3], vec![3; length / 2]];
        let (mut shown, file) = (vec![], sqlite(&blobs));
        sqlite::blobs(&file, None, b"Packages", 1, &mut |blob| {
            shown.push(blob.to_vec());
            Ok(())
        })
        .unwrap_or_else(|why| panic!("{length}: {why}"));
        assert!(shown == blobs, "{length}");
    }
}

/// A log with these pages, in transactions; its sums are in that order of bytes.
fn log(transactions: &[&[(u32, &[u8])]], count: u32, little: bool) -> Vec<u8> {
    let mut sum = (0_u32, 0_u32);
    let mut add = |bytes: &[u8]| {
        let word = |w: &[u8]| {
            let w = <[u8; 4]>::try_from(w).unwrap();
            if little { u32::from_le_bytes(w) } else { u32::from_be_bytes(w) }
        };
        for pair in bytes.chunks(8) {
            sum.0 = sum.0.wrapping_add(word(&pair[..4])).wrapping_add(sum.1);
            sum.1 = sum.1.wrapping_add(word(&pair[4..])).wrapping_add(sum.0);
        }
        [sum.0.to_be_bytes(), sum.1.to_be_bytes()].concat()
    };
    let be = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    let mut file = be(&[if little { 0x377f_0682 } else { 0x377f_0683 }, 3_007_000, PAGE as u32, 0, 11, 12]);
    let sums = add(&file);
    file.extend(sums);
    for pages in transactions {
        for (n, (number, page)) in pages.iter().enumerate() {
            let head = be(&[*number, if n + 1 == pages.len() { count } else { 0 }]);
            add(&head);
            let sums = add(page);
            file.extend([head, be(&[11, 12]), sums, page.to_vec()].concat());
        }
    }
    file
}

/// What was committed counts; what was not, or is left from an earlier log, does not.
#[test]
fn a_log_beside_the_database() {
    let (old, new) = (sqlite(&[package("old", 0)]), sqlite(&[package("new", 0)]));
    let pages: Vec<(u32, &[u8])> =
        new.chunks(PAGE).enumerate().map(|(n, page)| (n as u32 + 1, page)).collect();
    let count = pages.len() as u32;
    let name = |log: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "rpmdb.sqlite", &old);
        write(folder.path(), "rpmdb.sqlite-wal", log);
        let index = index(folder.path()).unwrap();
        assert_eq!(index.unread(), None);
        ["old", "new"].map(|name| owner(&index, &format!("/usr/bin/{name}")).is_some())
    };
    for little in [false, true] {
        let whole = log(&[&pages], count, little);
        assert_eq!(name(&whole), [false, true]);
        // Not written to its end.
        assert_eq!(name(&whole[..whole.len() - 1]), [true, false]);
        let mut torn = whole.clone();
        *torn.last_mut().unwrap() ^= 1;
        assert_eq!(name(&torn), [true, false]);
        let mut salted = whole.clone();
        salted[32 + 8] ^= 1;
        assert_eq!(name(&salted), [true, false]);
        // Pages after the last commit.
        let garbage = vec![0xff; PAGE];
        let more = log(&[&pages, &[(1, &garbage), (2, &garbage)]], count, little);
        let before_the_last = more.len() - (24 + PAGE);
        assert_eq!(name(&more[..before_the_last]), [false, true]);
        assert_eq!(name(&whole[..20]), [true, false]);
    }
}

#[test]
fn what_is_not_read_is_not_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = (context::Owner::Unknown, None);
    write(folder.path(), "Packages", b"any");
    let read = index(folder.path()).unwrap();
    assert_eq!((read.unread(), read.answer(b"/usr/bin/x")), (Some(Unread::BerkeleyDb), unknown.clone()));
    // Beside one that is read: what that has is known, and nothing else.
    for (path, text) in [
        ("status", "Package: deb\nVersion: 1\n"),
        ("info/deb.list", "/usr/bin/deb\n"),
        ("info/deb.md5sums", ""),
    ] {
        let at = folder.path().join("var/lib/dpkg").join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, text).unwrap();
    }
    let read = index(folder.path()).unwrap();
    assert_eq!(owner(&read, "/usr/bin/deb").as_deref(), Some("deb 1 false"));
    assert_eq!(read.answer(b"/usr/bin/x"), unknown);
    write(folder.path(), "rpmdb.sqlite", &sqlite(&[package("one", 0)]));
    write(folder.path(), "rpmdb.sqlite-journal", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7....");
    assert_eq!(index(folder.path()).unwrap().unread(), Some(Unread::Changing));
    write(folder.path(), "rpmdb.sqlite-journal", &[0; 512]);
    assert_eq!(index(folder.path()).unwrap().unread(), None);
    write(folder.path(), "rpmdb.sqlite", b"");
    assert!(matches!(index(folder.path()).unwrap().unread(), Some(Unread::Damaged(_))));
}

/// A tree that leads back to itself, in each of the ways that there are.
#[test]
fn circles() {
    let file = sqlite(&["one", "two"].map(|name| package(name, 1000)));
    // The last page of the root, a page in a cell, and where the first row goes on: at the end of its page, as it is alone there.
    for at in [PAGE + 8, 2 * PAGE - 5, 3 * PAGE - 4] {
        for to in (1..=3_u32).map(u32::to_be_bytes).filter(|to| file[at..at + 4] != *to) {
            let mut file = file.clone();
            file[at..at + 4].copy_from_slice(&to);
            let read = sqlite::blobs(&file, None, b"Packages", 1, &mut |_| Ok(()));
            assert_eq!(read, Err(Unread::Damaged("a page that is in two places")), "{at} {to:?}");
        }
    }
}

/// A page with one cell that is there many times.
#[test]
fn rows_one_over_another() {
    let mut file = sqlite(&[package("one", 0)[..300].to_vec()]);
    let leaf = 2 * PAGE;
    file[leaf + 4] = 3;
    file.copy_within(leaf + 8..leaf + 10, leaf + 10);
    file.copy_within(leaf + 8..leaf + 10, leaf + 12);
    let (mut rows, mut file) = (0, file);
    let mut read = |file: &Vec<u8>| {
        rows = 0;
        let read = sqlite::blobs(file, None, b"Packages", 1, &mut |_| {
            rows += 1;
            Ok(())
        });
        (read, rows)
    };
    assert_eq!(read(&file), (Err(Unread::Damaged("rows that lie one over another")), 1));
    file[leaf + 4] = 1;
    assert_eq!(read(&file), (Ok(()), 1));
}

fn read_all(main: &Vec<u8>, log: &Vec<u8>) {
    let mut index = Index::new(&Key::default(), vec![], Default::default());
    let _ = sqlite::blobs(main, Some(log), b"Packages", 1, &mut |blob| take(blob, &mut index));
    let _ = sqlite::blobs(main, None, b"Packages", 1, &mut |blob| take(blob, &mut index));
    let _ = ndb::blobs(main, &mut |blob| take(blob, &mut index));
    let _ = take(main, &mut index);
}

/// Bytes of a database, a log or a header, with some of them changed, and cut short.
fn changed(original: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = original.len();
    // Numbers that are special, more often than others.
    let byte = prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(1), Just(0x80), Just(13), Just(5)];
    let changes = proptest::collection::vec((0..length, byte), 0..8);
    (changes, prop_oneof![Just(length), 0..=length]).prop_map(move |(changes, length)| {
        let mut bytes = original.clone();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        bytes.truncate(length);
        bytes
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        read_all(&bytes, &bytes);
        let head = sqlite(&[vec![]]);
        read_all(&[&head[..PAGE], &bytes].concat(), &bytes);
        read_all(&[&ndb(&[])[..32], &bytes].concat(), &bytes);
    }

    #[test]
    fn changed_bytes(
        main in changed(sqlite(&["one", "two", "three"].map(|name| package(name, 700)))),
        log in changed(log(&[&[(1, &[0; PAGE]), (2, &[0; PAGE])]], 2, true)),
        ndb in changed(ndb(&["one", "two", "three"].map(|name| package(name, 5)))),
        header in changed(package("one", 3)),
    ) {
        read_all(&main, &log);
        read_all(&ndb, &log);
        read_all(&header, &log);
        read_all(&sqlite(std::slice::from_ref(&header)), &log);
    }
}
