use super::*;
use crate::{Options, Outputs};

fn error(given: &str) -> String {
    Spec::parse(given).unwrap_err().to_string()
}

#[test]
fn formats_and_targets() {
    for (given, shown) in [
        ("table", "table:stdout"),
        ("json", "json:stdout"),
        ("jsonl", "json:stdout"),
        ("json-lines:-", "json:stdout"),
        ("json:stderr", "json:stderr"),
        ("table:/a:b/c", "table:/a:b/c"),
        ("json:./stdout", "json:./stdout"),
        ("none", "none"),
    ] {
        let spec = Spec::parse(given).unwrap();
        assert_eq!(spec.to_string(), shown);
        assert_eq!(shown.parse::<Spec>().unwrap(), spec);
    }
    assert_eq!(Spec::parse("table").unwrap(), Spec::DEFAULT);
}

#[test]
fn errors_say_what_would_do() {
    insta::assert_snapshot!(error("jsno:/x"), @"--output 'jsno:/x': unknown format 'jsno'; did you mean 'json'?; write FORMAT[:PATH], where FORMAT is table, json or none, and PATH a file, stdout or stderr, for example 'json:/var/log/tarsius.json'");
    insta::assert_snapshot!(error("protobuf"), @"--output 'protobuf': unknown format 'protobuf'; write FORMAT[:PATH], where FORMAT is table, json or none, and PATH a file, stdout or stderr, for example 'json:/var/log/tarsius.json'");
    insta::assert_snapshot!(error(""), @"--output '': unknown format ''; write FORMAT[:PATH], where FORMAT is table, json or none, and PATH a file, stdout or stderr, for example 'json:/var/log/tarsius.json'");
    insta::assert_snapshot!(error("destinations.a.format=json"), @"--output 'destinations.a.format=json': destinations by name are not supported yet; write FORMAT[:PATH], where FORMAT is table, json or none, and PATH a file, stdout or stderr, for example 'json:/var/log/tarsius.json'");
    insta::assert_snapshot!(error("sort-events"), @"--output 'sort-events': an option to sort (events always come sorted by time) is not supported yet; write FORMAT[:PATH], where FORMAT is table, json or none, and PATH a file, stdout or stderr, for example 'json:/var/log/tarsius.json'");
    insta::assert_snapshot!(error("json:"), @"--output 'json:': the path is empty; write FORMAT[:PATH], where FORMAT is table, json or none, and PATH a file, stdout or stderr, for example 'json:/var/log/tarsius.json'");
    insta::assert_snapshot!(error("none:/x"), @"--output 'none:/x': 'none' takes no path");
}

fn open(given: &[&str]) -> Result<Outputs, Error> {
    let specs: Vec<_> = given.iter().map(|given| Spec::parse(given).unwrap()).collect();
    Outputs::open(&specs, Options::default())
}

fn open_error(given: &[&str]) -> String {
    open(given).err().unwrap().to_string()
}

#[test]
fn one_place_is_for_one_output() {
    insta::assert_snapshot!(open_error(&["table", "json:-"]), @"--output 'table:stdout' and 'json:stdout' both write to standard output; give each its own");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("kept"), "kept").unwrap();
    std::os::unix::fs::symlink(path("kept"), path("link")).unwrap();
    let error = open_error(&[&format!("json:{}", path("kept")), &format!("table:{}", path("link"))]);
    insta::assert_snapshot!(error.replace(&path(""), "DIR/"), @"--output 'json:DIR/kept' and 'table:DIR/link' both write to DIR/link; give each its own");
    assert_eq!(std::fs::read(path("kept")).unwrap(), b"kept", "emptied for nothing");
    assert!(open(&[&format!("json:{}", path("a")), &format!("json:{}", path("b"))]).is_ok());
    assert!(open(&["json:/dev/null", "table:stderr"]).is_ok());
    assert!(open(&["none"]).unwrap().is_empty());
}

#[test]
fn files_are_emptied_and_made_with_their_directories() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a/b/events");
    let spec = format!("table:{}", file.display());
    for _ in 0..2 {
        let mut outputs = open(&[&spec]).unwrap();
        outputs.finish();
        assert_eq!(outputs.messages().next(), None);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let error = open_error(&[&format!("json:{}", file.join("c").display())]);
    insta::assert_snapshot!(error.replace(&dir.path().display().to_string(), "DIR"), @"--output 'json:DIR/a/b/events/c': can not make the directory DIR/a/b/events: File exists (os error 17)");
    let error = open_error(&[&format!("json:{}", dir.path().display())]);
    insta::assert_snapshot!(error.replace(&dir.path().display().to_string(), "DIR"), @"--output 'json:DIR': can not open DIR: Is a directory (os error 21)");
}
