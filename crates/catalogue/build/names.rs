//! `families/names.tsv`: the names behind numbers.

use std::collections::BTreeMap;
use std::path::Path;

use crate::tsv;

/// How a number is read by a table of names: `catalogue::NamesKind`.
pub(crate) enum Kind {
    Flags,
    Number,
    Mask(u64),
}

/// A table of names.
pub(crate) struct Names {
    pub(crate) kind: Kind,
    pub(crate) entries: Vec<(u64, String)>,
    /// Names of values under the mask.
    pub(crate) values: Vec<(u64, String)>,
}

/// By name, of one architecture.
pub(crate) type Tables = BTreeMap<String, Names>;

fn value(text: &str) -> Option<u64> {
    match (text.strip_prefix("0x"), text.strip_prefix('-')) {
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
        (_, Some(_)) => text.parse::<i64>().ok().map(i64::cast_unsigned),
        _ => text.parse().ok(),
    }
}

/// Reads the tables, those of an architecture in the place of the general ones.
pub(crate) fn read(path: &Path, arch: &str) -> Result<Tables, String> {
    let mut all = Tables::new();
    let mut own = Tables::new();
    for (at, columns) in tsv::read(path, 3)? {
        let [name, kind, entries] = &columns[..] else { continue };
        let kind = match (kind.as_str(), kind.strip_prefix("mask:").and_then(value)) {
            ("flags", _) => Kind::Flags,
            ("number", _) => Kind::Number,
            (_, Some(mask)) => Kind::Mask(mask),
            _ => return Err(format!("{at}: no kind '{kind}'")),
        };
        let mut names = Names { kind, entries: vec![], values: vec![] };
        for entry in entries.split(' ').filter(|e| !e.is_empty() && *e != "-") {
            let (under_mask, text) = match entry.strip_prefix('=') {
                Some(rest) => (true, rest),
                None => (false, entry),
            };
            let (name, n) = text
                .split_once('=')
                .and_then(|(name, n)| Some((name, value(n)?)))
                .ok_or_else(|| format!("{at}: no entry: '{entry}'"))?;
            if under_mask { &mut names.values } else { &mut names.entries }.push((n, name.to_string()));
        }
        if matches!(names.kind, Kind::Number) {
            names.entries.sort();
            names.entries.dedup_by_key(|(n, _)| *n);
        }
        names.values.sort();
        match name.split_once('@') {
            None => drop(all.insert(name.clone(), names)),
            Some((name, of)) if of == arch => drop(own.insert(name.to_string(), names)),
            Some(_) => {}
        }
    }
    all.extend(own);
    Ok(all)
}
