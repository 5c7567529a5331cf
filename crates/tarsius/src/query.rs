//! `tarsius query`, and `tarsius ps --at`: what a running watch knows.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use ::control::{Client, Request, Row, What};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cli::{Kind, Query};
use crate::control::{Filter, row};
use crate::events::{print, table};
use crate::ps::{CONTAINER_DIGITS, printable};

impl Kind {
    /// What a watch is asked for; `None` where none is.
    const fn asked(self) -> Option<What> {
        match self {
            Kind::Process => Some(What::Process),
            Kind::Container => Some(What::Container),
            Kind::Dns => Some(What::Dns),
            Kind::User => Some(What::User),
            Kind::Detector => Some(What::Detector),
            Kind::Symbol => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Kind::Process => "process",
            Kind::Container => "container",
            Kind::Dns => "dns",
            Kind::User => "user",
            Kind::Detector => "detector",
            Kind::Symbol => "symbol",
        }
    }
}

/// The columns of a symbol.
const OF_SYMBOLS: &[&str] = &["address", "name", "module"];

/// Of the columns those that a table shows.
fn shown(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Process => &["pid", "ppid", "user", "started", "ended", "container", "comm", "executable"],
        Kind::Container => &["id", "runtime", "name", "image", "pod", "namespace", "labels"],
        Kind::Dns => &["net_ns", "address", "name", "until", "pid"],
        Kind::User => &["uid", "name"],
        Kind::Detector => crate::control::columns(What::Detector),
        Kind::Symbol => OF_SYMBOLS,
    }
}

/// Asks the running watch, and shows what it answers.
pub(crate) fn run(options: &Query) -> anyhow::Result<ExitCode> {
    let (rows, notes) = match options.what.asked() {
        Some(what) => ask(&options.control, &Request::Query { what, filters: options.filters.clone() })?,
        None => (symbols(&options.filters)?, vec![]),
    };
    let mut out = anstream::stdout().lock();
    if options.json {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
    } else {
        show(&mut out, shown(options.what), &rows)?;
        writeln!(out, "\n{} of kind {}.", rows.len(), options.what.name())?;
    }
    say(&notes);
    Ok(ExitCode::SUCCESS)
}

/// The kernel's symbols. They are the same for every watch, and too many to be read between two of its rounds.
fn symbols(filters: &[String]) -> anyhow::Result<Vec<Row>> {
    let filters = filters.iter().map(|f| Filter::parse(f, OF_SYMBOLS)).collect::<Result<Vec<_>, _>>();
    let filters = filters.map_err(anyhow::Error::msg)?;
    let symbols = context::KernelSymbols::read().map_err(anyhow::Error::msg)?;
    let rows = symbols.iter().map(|s| {
        let address = format!("{:#x}", s.address);
        row([("address", address.into()), ("name", s.name.into()), ("module", s.module.into())])
    });
    Ok(rows.filter(|row| filters.iter().all(|f| f.passes(row))).collect())
}

/// The processes at a time.
pub(crate) fn tree(socket: &Path, at: Timestamp, as_tree: bool) -> anyhow::Result<ExitCode> {
    let at = u64::try_from(at.as_nanosecond()).unwrap_or_default();
    let (mut rows, notes) = ask(socket, &Request::Tree { at })?;
    let number = |row: &Row, key: &str| row.get(key).and_then(Value::as_u64).unwrap_or_default();
    if as_tree {
        for row in &mut rows {
            let indent = "  ".repeat(usize::try_from(number(row, "depth")).unwrap_or_default());
            let comm = row.get("comm").map_or("-".into(), cell);
            row.insert("name".into(), format!("{indent}{comm}").into());
        }
    } else {
        rows.sort_by_key(|row| number(row, "pid"));
        for row in &mut rows {
            let comm = row.remove("comm").unwrap_or_default();
            row.insert("name".into(), comm);
        }
    }
    let mut out = anstream::stdout().lock();
    show(&mut out, &["pid", "ppid", "user", "started", "container", "name", "executable"], &rows)?;
    writeln!(out, "\n{} processes.", rows.len())?;
    say(&notes);
    Ok(ExitCode::SUCCESS)
}

fn ask(socket: &Path, request: &Request) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let mut rows = vec![];
    let notes = Client::connect(socket)?.ask(request, |row| rows.push(row))?;
    Ok((rows, notes))
}

fn say(notes: &[String]) {
    for note in notes {
        eprintln!("tarsius: {}", printable(note.as_bytes()));
    }
}

fn show(out: &mut impl std::io::Write, columns: &[&str], rows: &[Row]) -> std::io::Result<()> {
    let titles: Vec<String> = columns.iter().map(|c| c.to_uppercase()).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let mut lines = table(&titles);
    for row in rows {
        lines.add_row(columns.iter().map(|&column| {
            let text = row.get(column).map_or("-".into(), cell);
            match column {
                "id" | "container" => text.get(..CONTAINER_DIGITS).unwrap_or(&text).to_string(),
                "started" | "ended" | "until" => clock(&text).unwrap_or(text),
                _ => text,
            }
        }));
    }
    print(out, &lines)
}

/// In this place's time.
fn clock(text: &str) -> Option<String> {
    let time: Timestamp = text.parse().ok()?;
    Some(time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => printable(text.as_bytes()),
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(k, v)| format!("{}={}", printable(k.as_bytes()), cell(v))).collect();
            members.join(",")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn what_is_shown_is_told() {
        for kind in Kind::value_variants() {
            let columns = kind.asked().map_or(OF_SYMBOLS, crate::control::columns);
            assert!(shown(*kind).iter().all(|c| columns.contains(c)));
        }
    }

    #[test]
    fn cells() {
        assert_eq!(cell(&serde_json::json!({"a": "1", "b": "\u{1b}[2J"})), "a=1,b=\u{fffd}[2J");
        assert_eq!((cell(&Value::Null), cell(&serde_json::json!(5))), ("-".into(), "5".into()));
        assert_eq!(clock("no time"), None);
    }
}
