//! The rows of one table in a file of SQLite. <https://sqlite.org/fileformat2.html>

use super::Content;
use super::wal::Wal;
use crate::error::Unread;

/// Bytes of the longest row that is read: rpm's headers are shorter by far.
const ROW: u64 = 64 << 20;

/// Whether a rollback journal is one that has to be rolled back, so that the database is not to be read without.
pub(crate) fn is_hot(journal: &dyn Content) -> bool {
    let mut magic = [0; 8];
    journal.read(0, &mut magic) && magic == [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]
}

/// Shows a column of every row of a table.
pub(crate) fn blobs(
    main: &dyn Content,
    log: Option<&dyn Content>,
    table: &[u8],
    shown: usize,
    show: &mut dyn FnMut(&[u8]) -> Result<(), Unread>,
) -> Result<(), Unread> {
    let mut database = Database::open(main, log)?;
    let mut root = None;
    // Of a table: its kind, name, table, first page, text.
    database.rows(1, &mut |row| {
        if column(row, 0)? == b"table" && column(row, 1)? == table {
            let page = column(row, 3)?.iter().fold(0, |page: u64, &byte| page << 8 | u64::from(byte));
            root = u32::try_from(page).ok();
        }
        Ok(())
    })?;
    let root = root.ok_or(Unread::Damaged("no table of packages"))?;
    database.rows(root, &mut |row| show(column(row, shown)?))
}

/// A file, and what is newer.
struct Database<'a> {
    main: &'a dyn Content,
    log: Option<Wal<'a>>,
    /// Bytes of a page, and of what is used of it.
    page: usize,
    usable: usize,
    /// Whether a page was read. A database that leads to a page twice is none.
    read: Vec<bool>,
}

impl<'a> Database<'a> {
    fn open(main: &'a dyn Content, log: Option<&'a dyn Content>) -> Result<Database<'a>, Unread> {
        let mut head = [0; 100];
        if !main.read(0, &mut head) || !head.starts_with(b"SQLite format 3\0") {
            return Err(Unread::Damaged("no head of SQLite's"));
        }
        let page = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 1 << 16,
            size => usize::from(size),
        };
        let usable = page.saturating_sub(head[20].into());
        if !page.is_power_of_two() || page < 512 || usable < 480 {
            return Err(Unread::Damaged("pages of a size that there is not"));
        }
        let log = log.and_then(|log| Wal::read(log, page));
        let count = log.as_ref().map_or(main.length() / page as u64, |l| l.count.into());
        // Those of the file, and those that are only in the log.
        let most = (main.length() + log.as_ref().map_or(0, Wal::length)) / page as u64;
        let read = vec![false; usize::try_from(count.min(most)).unwrap_or_default()];
        Ok(Database { main, log, page, usable, read })
    }

    /// A page, from 1 on.
    fn page(&mut self, number: u32) -> Result<Vec<u8>, Unread> {
        let before = (number as usize).checked_sub(1);
        let read =
            before.and_then(|n| self.read.get_mut(n)).ok_or(Unread::Damaged("a page that is not there"))?;
        if std::mem::replace(read, true) {
            return Err(Unread::Damaged("a page that is in two places"));
        }
        let mut bytes = vec![0; self.page];
        let there = match self.log.as_ref().and_then(|log| log.page(number, &mut bytes)) {
            Some(there) => there,
            None => self.main.read((u64::from(number) - 1) * self.page as u64, &mut bytes),
        };
        there.then_some(bytes).ok_or(Unread::Damaged("a page that is cut short"))
    }

    /// Shows the rows of the table whose tree begins with that page.
    fn rows(&mut self, root: u32, show: &mut dyn FnMut(&[u8]) -> Result<(), Unread>) -> Result<(), Unread> {
        let mut pages = vec![root];
        while let Some(number) = pages.pop() {
            let page = self.page(number)?;
            let tree = page.get(if number == 1 { 100 } else { 0 }..).unwrap_or_default();
            let cells = usize::from(short(tree, 3)?);
            match tree.first() {
                // Pages, and the last one in the head.
                Some(5) => {
                    pages.push(long(tree, 8)?);
                    for n in (0..cells).rev() {
                        pages.push(long(&page, short(tree, 12 + 2 * n)?.into())?);
                    }
                    // So that no tree can make the list long.
                    if pages.len() > self.read.len() {
                        return Err(Unread::Damaged("more pages than there are"));
                    }
                }
                Some(13) => {
                    let mut left = self.usable;
                    for n in 0..cells {
                        show(&self.row(&page, short(tree, 8 + 2 * n)?.into(), &mut left)?)?;
                    }
                }
                _ => return Err(Unread::Damaged("a page that is not of a table")),
            }
        }
        Ok(())
    }

    /// The row whose cell is there: its length, its number, its beginning, and the page where it goes on. Of what is left of the page for
    /// cells, it takes its own: no two have a byte in common.
    fn row(&mut self, page: &[u8], at: usize, left: &mut usize) -> Result<Vec<u8>, Unread> {
        let cell = page.get(..self.usable).and_then(|p| p.get(at..)).unwrap_or_default();
        let (length, used) = varint(cell)?;
        let used = used + varint(cell.get(used..).unwrap_or_default())?.1;
        if length > ROW {
            return Err(Unread::TooLong);
        }
        let (length, usable) = (length as usize, self.usable);
        let (most, least) = (usable - 35, (usable - 12) * 32 / 255 - 23);
        let here = match least + length.saturating_sub(least) % (usable - 4) {
            _ if length <= most => length,
            here if here <= most => here,
            _ => least,
        };
        let rest = cell.get(used..).unwrap_or_default();
        let mut row = rest.get(..here).ok_or(Unread::Damaged("a row that is not in its page"))?.to_vec();
        *left = left.checked_sub(used + here).ok_or(Unread::Damaged("rows that lie one over another"))?;
        if row.len() < length {
            let mut next = long(rest, here)?;
            while row.len() < length {
                let page = self.page(next)?;
                next = long(&page, 0)?;
                let more = (length - row.len()).min(usable - 4);
                row.extend_from_slice(page.get(4..4 + more).unwrap_or_default());
            }
        }
        Ok(row)
    }
}

/// The bytes of a column: types and lengths of all, then all one after another.
fn column(row: &[u8], wanted: usize) -> Result<&[u8], Unread> {
    const SHORT: Unread = Unread::Damaged("a row without that column");
    let (length, used) = varint(row)?;
    let (head, mut body) =
        usize::try_from(length).ok().and_then(|length| row.split_at_checked(length)).ok_or(SHORT)?;
    let mut types = head.get(used..).ok_or(SHORT)?;
    for n in 0.. {
        let (kind, used) = varint(types)?;
        types = types.get(used..).unwrap_or_default();
        let length = match kind {
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            0 | 8..=11 => 0,
            _ => (kind - 12) / 2,
        };
        let (bytes, rest) =
            usize::try_from(length).ok().and_then(|length| body.split_at_checked(length)).ok_or(SHORT)?;
        if n == wanted {
            return Ok(bytes);
        }
        body = rest;
    }
    Err(SHORT)
}

/// A number of one to nine bytes, and how many: seven bits of each, and all of the ninth.
fn varint(bytes: &[u8]) -> Result<(u64, usize), Unread> {
    let mut number = 0;
    for (n, &byte) in bytes.iter().take(9).enumerate() {
        if n == 8 {
            return Ok((number << 8 | u64::from(byte), 9));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Ok((number, n + 1));
        }
    }
    Err(Unread::Damaged("a number that is cut short"))
}

fn short(bytes: &[u8], at: usize) -> Result<u16, Unread> {
    let there = bytes.get(at..).and_then(|b| b.first_chunk());
    there.map(|&n| u16::from_be_bytes(n)).ok_or(Unread::Damaged("a page that ends too early"))
}

fn long(bytes: &[u8], at: usize) -> Result<u32, Unread> {
    let there = bytes.get(at..).and_then(|b| b.first_chunk());
    there.map(|&n| u32::from_be_bytes(n)).ok_or(Unread::Damaged("a page that ends too early"))
}
