//! How wide text is on a terminal. It is text of ours: all of it is printable, but for our own colours.

use unicode_width::UnicodeWidthChar;

const ESCAPE: char = '\x1b';

/// The visible characters, each with where it ends and how wide it is.
fn visible(line: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut in_colour = false;
    let text = std::str::from_utf8(line).unwrap_or_default();
    text.char_indices().filter_map(move |(at, c)| {
        if c == ESCAPE {
            in_colour = true;
            return None;
        }
        if in_colour {
            in_colour = c != 'm';
            return None;
        }
        Some((at + c.len_utf8(), c.width().unwrap_or(0)))
    })
}

/// Columns that it takes.
pub(super) fn width(text: &[u8]) -> usize {
    if text.iter().all(|b| matches!(b, b' '..=b'~')) {
        return text.len();
    }
    visible(text).map(|(_, width)| width).sum()
}

/// Cuts the line that begins at `begin` to so many columns; what is cut ends in `…`.
pub(super) fn cut(out: &mut Vec<u8>, begin: usize, columns: usize) {
    let line = out.get(begin..).unwrap_or_default();
    if line.len() <= columns || width(line) <= columns {
        return;
    }
    let (mut used, mut keep) = (0, 0);
    for (end, width) in visible(line) {
        if used + width >= columns {
            break;
        }
        used += width;
        keep = end;
    }
    let coloured = line.contains(&(ESCAPE as u8));
    out.truncate(begin + keep);
    if coloured {
        out.extend_from_slice(b"\x1b[0m");
    }
    out.extend_from_slice("…".as_bytes());
}
