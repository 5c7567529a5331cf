//! A package's header, as it lies in the database: how many entries and how many bytes of data, the entries (tag, type, where in the data,
//! how many; 16 bytes), the data. Numbers have the byte order of networks.

use crate::error::Unread;

// Types of entries.
const CHAR: u32 = 1;
const INT8: u32 = 2;
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const TRANSLATED: u32 = 9;

/// Elements of an entry that are read.
const MOST: u32 = 1 << 20;

/// A header.
pub(crate) struct Header<'a> {
    entries: &'a [[u8; 16]],
    data: &'a [u8],
}

/// An entry: its type, how many elements it has, and the data from its first on.
struct Entry<'a> {
    kind: u32,
    count: u32,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    /// The header that begins the blob.
    pub(crate) fn parse(blob: &'a [u8]) -> Result<Header<'a>, Unread> {
        let parts = || {
            let (lengths, rest) = blob.split_at_checked(8)?;
            let entries = usize::try_from(number(lengths, 0)?).ok()?.checked_mul(16)?;
            let (entries, rest) = rest.split_at_checked(entries)?;
            let data = rest.get(..usize::try_from(number(lengths, 4)?).ok()?)?;
            Some(Header { entries: entries.as_chunks().0, data })
        };
        parts().ok_or(Unread::Damaged("a header is shorter than it says"))
    }

    /// What rpm adds when it installs stands behind what the package brought, and counts.
    fn entry(&self, tag: u32) -> Result<Option<Entry<'a>>, Unread> {
        let Some(entry) = self.entries.iter().rfind(|e| number(*e, 0) == Some(tag)) else { return Ok(None) };
        let found = || {
            let data = self.data.get(usize::try_from(number(entry, 8)?).ok()?..)?;
            let count = number(entry, 12).filter(|&count| count <= MOST)?;
            Some(Some(Entry { kind: number(entry, 4)?, count, data }))
        };
        found().ok_or(Unread::Damaged("an entry that is not in its header"))
    }

    /// The text of a tag.
    pub(crate) fn string(&self, tag: u32) -> Result<Option<&'a [u8]>, Unread> {
        Ok(self.strings(tag)?.and_then(|all| all.first().copied()))
    }

    /// The texts of a tag.
    pub(crate) fn strings(&self, tag: u32) -> Result<Option<Vec<&'a [u8]>>, Unread> {
        let Some(Entry { kind, count, mut data }) = self.entry(tag)? else { return Ok(None) };
        if ![STRING, STRING_ARRAY, TRANSLATED].contains(&kind) {
            return Err(Unread::Damaged("an entry is not of text"));
        }
        let mut all = vec![];
        for _ in 0..count {
            let end = data.iter().position(|&b| b == 0).ok_or(Unread::Damaged("a text without an end"))?;
            let (text, rest) = data.split_at(end);
            all.push(text);
            data = rest.get(1..).unwrap_or_default();
        }
        Ok(Some(all))
    }

    /// The numbers of a tag.
    pub(crate) fn numbers(&self, tag: u32) -> Result<Option<Vec<u32>>, Unread> {
        let Some(Entry { kind, count, data }) = self.entry(tag)? else { return Ok(None) };
        let numbers = data.get(..count as usize * 4).filter(|_| kind == INT32);
        let numbers = numbers.ok_or(Unread::Damaged("an entry is not of numbers"))?;
        Ok(Some(numbers.as_chunks().0.iter().map(|&n| u32::from_be_bytes(n)).collect()))
    }

    /// The bytes of a tag that has one for each element.
    pub(crate) fn bytes(&self, tag: u32) -> Result<Option<&'a [u8]>, Unread> {
        let Some(Entry { kind, count, data }) = self.entry(tag)? else { return Ok(None) };
        let bytes = data.get(..count as usize).filter(|_| kind == CHAR || kind == INT8);
        bytes.map(Some).ok_or(Unread::Damaged("an entry is not of bytes"))
    }
}

/// The number that stands there.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&n| u32::from_be_bytes(n))
}
