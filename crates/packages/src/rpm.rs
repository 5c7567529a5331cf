//! rpm's database: a header of each package, in a table of SQLite or in rpm's own form of a file, `ndb`.
//!
//! SQLite's form is read here, not by SQLite: a container brings its own database, and SQLite would read a write-ahead log only by taking
//! locks and making files beside it. Here files are only opened for reading, no lock is taken, and no page is read twice, so that a
//! database costs no more than its length, which is bounded. That it was changed meanwhile, the stamps of its files tell.

mod header;
mod ndb;
mod sqlite;
#[cfg(test)]
mod tests;
mod wal;

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::digest::Algorithm;
use crate::error::Unread;
use crate::index::Index;
use crate::root::Root;
use header::Header;

/// Where it is: since Fedora 36 and with SUSE, and before.
const FOLDERS: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];

/// The files of all forms in these folders.
pub(crate) const FILES: [&str; 8] = [
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
    "usr/lib/sysimage/rpm/Packages.db",
    "usr/lib/sysimage/rpm/Packages",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/rpmdb.sqlite-wal",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
];

/// Bytes of the longest database, and of the longest log.
const LONGEST: u64 = 1 << 30;
/// Bytes of the longest path that can be executed.
const PATH: usize = 4096;

/// What a file of a database has in it, read where it is wanted.
pub(crate) trait Content {
    /// How long it is.
    fn length(&self) -> u64;

    /// Fills `into` with what is there; false if there is less.
    fn read(&self, at: u64, into: &mut [u8]) -> bool;
}

impl Content for File {
    fn length(&self) -> u64 {
        self.metadata().map_or(0, |m| m.len())
    }

    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        self.read_exact_at(into, at).is_ok()
    }
}

/// Reads the database into the index; false if there is none.
pub(crate) fn read(root: &Root, index: &mut Index) -> Result<bool, Unread> {
    for folder in FOLDERS {
        let file = |name: &str| root.file(&format!("{folder}/{name}"));
        if let Some(main) = file("rpmdb.sqlite") {
            if file("rpmdb.sqlite-journal").is_some_and(|j| sqlite::is_hot(&j)) {
                return Err(Unread::Changing);
            }
            let log = file("rpmdb.sqlite-wal");
            if main.length() > LONGEST || log.as_ref().is_some_and(|l| l.length() > LONGEST) {
                return Err(Unread::TooLong);
            }
            let log = log.as_ref().map(|l| l as &dyn Content);
            sqlite::blobs(&main, log, b"Packages", 1, &mut |blob| take(blob, index))?;
            return Ok(true);
        }
        if let Some(file) = file("Packages.db") {
            if file.length() > LONGEST {
                return Err(Unread::TooLong);
            }
            ndb::blobs(&file, &mut |blob| take(blob, index))?;
            return Ok(true);
        }
        if file("Packages").is_some() {
            return Err(Unread::BerkeleyDb);
        }
    }
    Ok(false)
}

// rpm's numbers: include/rpm/rpmtag.h, rpmfiles.h.
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const FILE_STATES: u32 = 1029;
const FILE_DIGESTS: u32 = 1035;
const FILE_FLAGS: u32 = 1037;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const FILE_DIGEST_ALGORITHM: u32 = 5011;

/// The file is there, and is this package's: others are of another one that replaced it, or were left out.
const NORMAL: u8 = 0;
/// The package does not bring the file; its digest is of what was there when it was built.
const GHOST: u32 = 1 << 6;

/// Takes a package's paths from its header.
fn take(blob: &[u8], index: &mut Index) -> Result<(), Unread> {
    let header = Header::parse(blob)?;
    let (Some(name), Some(version)) = (header.string(NAME)?, header.string(VERSION)?) else {
        return Err(Unread::Damaged("a package without a name or version"));
    };
    let number =
        |tag| -> Result<Option<u32>, Unread> { Ok(header.numbers(tag)?.and_then(|n| n.first().copied())) };
    let epoch = number(EPOCH)?.map(|e| format!("{e}:")).unwrap_or_default();
    let release = header.string(RELEASE)?.map(|r| format!("-{}", text(r))).unwrap_or_default();
    let algorithm = number(FILE_DIGEST_ALGORITHM)?.map_or(Some(Algorithm::Md5), algorithm);
    let package = index.package(&text(name), &format!("{epoch}{}{release}", text(version)), algorithm)?;
    let Some(names) = header.strings(BASE_NAMES)? else { return Ok(()) };
    let folders = header.strings(DIR_NAMES)?.unwrap_or_default();
    let places = header.numbers(DIR_INDEXES)?.unwrap_or_default();
    let states = header.bytes(FILE_STATES)?.unwrap_or_default();
    let digests = header.strings(FILE_DIGESTS)?.unwrap_or_default();
    let flags = header.numbers(FILE_FLAGS)?.unwrap_or_default();
    for (n, name) in names.into_iter().enumerate() {
        let folder = places.get(n).and_then(|&place| folders.get(place as usize));
        let folder = folder.ok_or(Unread::Damaged("a file without a folder"))?;
        if folder.len() + name.len() > PATH {
            return Err(Unread::Damaged("a path that is too long"));
        }
        if states.get(n).is_some_and(|&state| state != NORMAL) {
            continue;
        }
        let ghost = flags.get(n).is_some_and(|f| f & GHOST != 0);
        let digest = digests.get(n).filter(|_| !ghost).copied();
        index.path(&[folder, name].concat(), package, digest)?;
    }
    Ok(())
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// By its number in OpenPGP (RFC 9580, section 9.5). Of others, such as SHA-1, nothing is told.
fn algorithm(number: u32) -> Option<Algorithm> {
    match number {
        1 => Some(Algorithm::Md5),
        8 => Some(Algorithm::Sha256),
        9 => Some(Algorithm::Sha384),
        10 => Some(Algorithm::Sha512),
        _ => None,
    }
}
