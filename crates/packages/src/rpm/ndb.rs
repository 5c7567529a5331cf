//! rpm's own form of its database (`Packages.db`): pages of slots, each of which tells where a blob lies, in blocks of 16 bytes. Numbers are
//! little-endian. The file's own head takes the place of the first two slots.

use super::Content;
use crate::error::Unread;

const MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const SLOT: u32 = u32::from_le_bytes(*b"Slot");
const BLOB: u32 = u32::from_le_bytes(*b"BlbS");

/// Bytes of a page of slots.
const PAGE: u64 = 4096;
/// Bytes of a block, and of a slot.
const BLOCK: usize = 16;

/// Shows every blob.
pub(crate) fn blobs(
    file: &dyn Content,
    show: &mut dyn FnMut(&[u8]) -> Result<(), Unread>,
) -> Result<(), Unread> {
    let mut head = [0; 2 * BLOCK];
    if !file.read(0, &mut head) {
        return Err(Unread::Damaged("no head"));
    }
    // Version 0 is the only one.
    let [magic, version, _, pages] = numbers(&head);
    if (magic, version) != (MAGIC, 0) {
        return Err(Unread::Damaged("a head of another kind of file"));
    }
    // No two blobs have a byte in common, so that all of them are no longer than the file.
    let mut left = file.length();
    let mut page = vec![0; PAGE as usize];
    for n in 0..u64::from(pages) {
        if !file.read(n * PAGE, &mut page) {
            return Err(Unread::Damaged("a page that is not there"));
        }
        let slots = page.as_chunks::<BLOCK>().0.iter().skip(if n == 0 { 2 } else { 0 });
        for slot in slots {
            let [magic, package, block, _] = numbers(slot);
            if magic != SLOT {
                return Err(Unread::Damaged("a slot that is none"));
            }
            // A free slot is of package 0.
            if package != 0 {
                show(&blob(file, package, u64::from(block) * BLOCK as u64, &mut left)?)?;
            }
        }
    }
    Ok(())
}

/// The blob at that place: a head (magic, package, generation, length), then its bytes.
fn blob(file: &dyn Content, package: u32, at: u64, left: &mut u64) -> Result<Vec<u8>, Unread> {
    let mut head = [0; BLOCK];
    if !file.read(at, &mut head) {
        return Err(Unread::Damaged("a blob that is not there"));
    }
    let [magic, of, _, length] = numbers(&head);
    if (magic, of) != (BLOB, package) {
        return Err(Unread::Damaged("a blob of another package"));
    }
    *left = left.checked_sub(u64::from(length)).ok_or(Unread::Damaged("blobs that lie one over another"))?;
    let mut bytes = vec![0; length as usize];
    if !file.read(at + BLOCK as u64, &mut bytes) {
        return Err(Unread::Damaged("a blob that is cut short"));
    }
    Ok(bytes)
}

/// The first four numbers.
fn numbers(bytes: &[u8]) -> [u32; 4] {
    let mut all = bytes.as_chunks().0.iter().map(|&n| u32::from_le_bytes(n));
    std::array::from_fn(|_| all.next().unwrap_or_default())
}
