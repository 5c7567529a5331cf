//! `tarsius query`, and `tarsius ps --at`: what a running watch knows.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use ::control::{Client, Request, Row, What};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cli::{Kind, Query};
use crate::events::{print, table};
use crate::ps::{CONTAINER_DIGITS, printable};

impl From<Kind> for What {
    fn from(kind: Kind) -> What {
        match kind {
            Kind::Process => What::Process,
            Kind::Container => What::Container,
            Kind::Dns => What::Dns,
            Kind::User => What::User,
        }
    }
}

/// Of the columns those that a table shows.
fn shown(what: What) -> &'static [&'static str] {
    match what {
        What::Process => &["pid", "ppid", "user", "started", "ended", "container", "comm", "executable"],
        What::Container => &["id", "runtime", "name", "image", "pod", "namespace", "labels"],
        What::Dns => &["net_ns", "address", "name", "until", "pid"],
        What::User => &["uid", "name"],
    }
}

/// Asks the running watch, and shows what it answers.
pub(crate) fn run(options: &Query) -> anyhow::Result<ExitCode> {
    let what = What::from(options.what);
    let request = Request::Query { what, filters: options.filters.clone() };
    let (rows, notes) = ask(&options.control, &request)?;
    let mut out = anstream::stdout().lock();
    if options.json {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
    } else {
        show(&mut out, shown(what), &rows)?;
        writeln!(out, "\n{} of kind {}.", rows.len(), serde_json::to_string(&what)?.replace('"', ""))?;
    }
    say(&notes);
    Ok(ExitCode::SUCCESS)
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
    use super::*;

    #[test]
    fn what_is_shown_is_told() {
        for what in [What::Process, What::Container, What::Dns, What::User] {
            assert!(shown(what).iter().all(|c| crate::control::columns(what).contains(c)));
        }
    }

    #[test]
    fn cells() {
        assert_eq!(cell(&serde_json::json!({"a": "1", "b": "\u{1b}[2J"})), "a=1,b=\u{fffd}[2J");
        assert_eq!((cell(&Value::Null), cell(&serde_json::json!(5))), ("-".into(), "5".into()));
        assert_eq!(clock("no time"), None);
    }
}
