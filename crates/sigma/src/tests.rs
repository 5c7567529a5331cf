//! Rules from their text to judged events. For each rule events are made that are as it asks, and others that are not; what the compiled
//! condition says of an event is compared with what a plain reading of the rule says, which knows nothing of expressions and of Tarsius' fields.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expr::Truth;
use policy::{Fields, Recorded};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value as Json, json};

use super::*;
use crate::detection::{Op, Order, Test, Tree};
use crate::pattern::{Pattern, Shape};

/// A log's record: fields and their values.
type Log = BTreeMap<String, String>;

const MOST: usize = 48;

/// What tests must hold, and which must not, for the rule to hold or not: several ways.
fn ways(tree: &Tree, want: bool) -> Vec<Vec<(Test, bool)>> {
    match (tree, want) {
        (Tree::Test(test), want) => vec![vec![(test.clone(), want)]],
        (Tree::Not(inner), want) => ways(inner, !want),
        (Tree::Any(trees), true) | (Tree::All(trees), false) => {
            let mut all: Vec<_> = trees.iter().flat_map(|t| ways(t, want).into_iter().take(12)).collect();
            all.truncate(MOST);
            all
        }
        (Tree::All(trees), true) | (Tree::Any(trees), false) => {
            let mut all = vec![vec![]];
            for tree in trees {
                let of = ways(tree, want);
                let with = |way: &Vec<(Test, bool)>| {
                    of.iter().map(|more| [&way[..], &more[..]].concat()).collect::<Vec<_>>()
                };
                all = all.iter().flat_map(with).take(MOST).collect();
            }
            all
        }
    }
}

/// A record for which these tests hold, if that is easily made.
fn made(way: &[(Test, bool)]) -> Option<Log> {
    let mut log = Log::new();
    let mut parts: BTreeMap<String, [String; 3]> = BTreeMap::new();
    for (test, want) in way {
        if !want {
            continue;
        }
        let field = test.field.clone().unwrap_or_else(|| "keywords".into());
        let plain = |text: Vec<u8>| String::from_utf8(text).ok();
        match &test.op {
            Op::Like { pattern, .. } => {
                let part = parts.entry(field.clone()).or_default();
                match pattern.shape() {
                    Shape::Any => {}
                    Shape::Is(text) => drop(log.insert(field, plain(text)?)),
                    Shape::Starts(text) => part[0] = plain(text)?,
                    Shape::Ends(text) => part[2] = plain(text)?,
                    Shape::Contains(text) => {
                        part[1] += &format!("{}{}", if part[1].is_empty() { "" } else { " " }, plain(text)?)
                    }
                    Shape::Like(text) => {
                        let text = plain(text)?
                            .replace("\\*", "\0")
                            .replace("\\?", "\u{1}")
                            .replace("\\\\", "\u{2}");
                        let text = text.replace('*', "xx").replace('?', "y");
                        let text = text.replace('\0', "*").replace('\u{1}', "?").replace('\u{2}', "\\");
                        match field.as_str() {
                            "keywords" => part[1] += &text,
                            _ => drop(log.insert(field, text)),
                        }
                    }
                }
            }
            Op::Matches(expression) => {
                let plain = expression.trim_start_matches('^').trim_end_matches('$');
                let mut runner = proptest::test_runner::TestRunner::deterministic();
                let text = proptest::string::string_regex(plain).ok()?.new_tree(&mut runner).ok()?.current();
                parts.entry(field).or_default()[1] += &format!(" {text}");
            }
            Op::Cidr(net) => {
                let net: expr::Net = net.parse().ok()?;
                log.insert(field, net.addr().to_string());
            }
            Op::Compare(order, n) => {
                let n = match order {
                    Order::Less => n - 1,
                    Order::Greater => n + 1,
                    _ => *n,
                };
                log.insert(field, n.to_string());
            }
            Op::Exists => drop(log.entry(field).or_insert_with(|| "x".into())),
            Op::Null => {}
            Op::Field { .. } => return None,
        }
    }
    for (field, [start, middle, end]) in parts {
        // A path's end is not all of it.
        let start = if start.is_empty() && end.starts_with('/') { "/opt/made".to_owned() } else { start };
        log.entry(field).or_insert_with(|| format!("{start}{middle}{end}"));
    }
    Some(log)
}

/// Whether a record is as a rule asks, read as plainly as can be.
fn plainly(tree: &Tree, log: &Log) -> bool {
    match tree {
        Tree::All(trees) => trees.iter().all(|t| plainly(t, log)),
        Tree::Any(trees) => trees.iter().any(|t| plainly(t, log)),
        Tree::Not(inner) => !plainly(inner, log),
        Tree::Test(test) => {
            let field = test.field.as_deref().unwrap_or("keywords");
            let Some(value) = log.get(field) else { return test.op == Op::Null };
            let bases = [value.clone(), value.rsplit('/').next().unwrap_or_default().to_owned()];
            let exact = matches!(&test.op, Op::Like { pattern, .. } if pattern.text().is_some());
            let values = if field == "a0" && exact && log.get("type").is_some_and(|t| t == "EXECVE") {
                &bases[..]
            } else {
                &bases[..1]
            };
            values.iter().any(|value| match &test.op {
                Op::Like { pattern, cased } => {
                    let expression = as_regex(pattern);
                    let flags = if *cased { "(?s-u)" } else { "(?si-u)" };
                    regex_is_match(&format!("{flags}^(?:{expression})$"), value)
                }
                Op::Matches(expression) => regex_is_match(expression, value),
                Op::Cidr(net) => {
                    let net: expr::Net = net.parse().expect("a network");
                    value.parse().is_ok_and(|ip| net.contains(ip))
                }
                Op::Compare(order, n) => value.parse::<i128>().is_ok_and(|v| match order {
                    Order::Less => v < *n,
                    Order::LessOrEqual => v <= *n,
                    Order::Greater => v > *n,
                    Order::GreaterOrEqual => v >= *n,
                }),
                Op::Exists => true,
                Op::Null => false,
                Op::Field { .. } => panic!("not made"),
            })
        }
    }
}

fn regex_is_match(expression: &str, text: &str) -> bool {
    regex::bytes::Regex::new(expression).expect(expression).is_match(text.as_bytes())
}

fn as_regex(pattern: &Pattern) -> String {
    let escape = |bytes: Vec<u8>| regex::escape(&String::from_utf8_lossy(&bytes));
    match pattern.shape() {
        Shape::Any => ".*".into(),
        Shape::Is(t) => escape(t),
        Shape::Starts(t) => escape(t) + ".*",
        Shape::Ends(t) => ".*".to_owned() + &escape(t),
        Shape::Contains(t) => format!(".*{}.*", escape(t)),
        Shape::Like(t) => {
            let text = String::from_utf8_lossy(&t).into_owned();
            let text = text.replace("\\*", "\0").replace("\\?", "\u{1}").replace("\\\\", "\u{2}");
            let text = regex::escape(&text).replace("\\*", ".*").replace("\\?", ".");
            text.replace('\0', "\\*").replace('\u{1}', "\\?").replace('\u{2}', "\\\\")
        }
    }
}

/// What a log, of that service, would have of an event that has these values, record by record; and the event, as it is recorded.
fn event(event: &'static catalogue::Event, service: &str, log: &Log) -> Option<(Vec<Log>, Json)> {
    let get = |field: &str, default: &str| log.get(field).cloned().unwrap_or_else(|| default.to_owned());
    let mut data: Vec<Json> = vec![];
    let mut put = |name: &str, value: Json| data.push(json!({ "name": name, "value": value }));
    let image = log.get("Image").or(log.get("exe")).cloned().unwrap_or_else(|| "/opt/made/up".into());
    let mut seen = Log::new();
    let mut logs: Vec<Vec<(&str, &str)>> = vec![];
    let mut line = get("CommandLine", &get("proctitle", ""));
    let path = get("TargetFilename", &get("name", &get("FileName", &get("keywords", "/opt/made"))));
    match event.name {
        "sched_process_exec" => {
            let last = (0..99).rev().find(|n| log.contains_key(&format!("a{n}")));
            let words: Vec<String> = if line.is_empty() {
                let words = (0..=last.unwrap_or(0)).map(|n| get(&format!("a{n}"), "x"));
                words.chain(log.get("keywords").cloned()).collect()
            } else {
                line.split(' ').map(str::to_owned).collect()
            };
            line = words.join(" ");
            for (n, word) in words.iter().enumerate() {
                seen.insert(format!("a{n}"), word.clone());
            }
            for name in ["pathname", "cmdpath", "interp"] {
                put(name, json!(image));
            }
            data.push(json!({ "name": "argv", "str_array": { "value": words } }));
            let mut put = |name: &str, value: Json| data.push(json!({ "name": name, "value": value }));
            put("pwd", json!(get("CurrentDirectory", &get("cwd", "/opt"))));
            seen.insert("CurrentDirectory".into(), get("CurrentDirectory", &get("cwd", "/opt")));
            if let Some(uid) = log.get("LogonId").or(log.get("auid")) {
                put("login_uid", json!(uid.parse::<u32>().ok()?));
                seen.extend([("LogonId".into(), uid.clone()), ("auid".into(), uid.clone())]);
            }
            seen.insert("keywords".into(), line.clone());
            seen.insert("CommandLine".into(), line.clone());
            logs.push(vec![("type", "EXECVE")]);
            logs.push(vec![("type", "SYSCALL"), ("SYSCALL", "execve")]);
            logs.push(vec![("type", "PROCTITLE")]);
        }
        "security_file_open" => {
            put("pathname", json!(path));
            put("flags", json!(0o1101));
            logs.push(vec![("type", "PATH"), ("nametype", "NORMAL")]);
        }
        "security_inode_unlink" | "security_inode_rmdir" => {
            put("pathname", json!(path));
            logs.push(vec![("type", "PATH"), ("nametype", "DELETE")]);
        }
        "security_inode_rename" => {
            put("old_path", json!("/opt/old"));
            put("new_path", json!(path));
            logs.push(vec![("type", "PATH"), ("nametype", "CREATE")]);
            logs.push(vec![
                ("type", "PATH"),
                ("nametype", "DELETE"),
                ("name", "/opt/old"),
                ("TargetFilename", "/opt/old"),
                ("keywords", "/opt/old"),
            ]);
        }
        "security_inode_link"
        | "security_inode_symlink"
        | "security_inode_mkdir"
        | "security_inode_mknod"
        | "security_inode_create" => {
            let field = match event.name {
                "security_inode_link" => "new_path",
                "security_inode_symlink" => "linkpath",
                "security_inode_mknod" => "file_name",
                _ => "pathname",
            };
            put(field, json!(path));
            logs.push(vec![("type", "PATH"), ("nametype", "CREATE")]);
        }
        "net_tcp_connect" | "security_socket_connect" => {
            let (ip, port) = (get("DestinationIp", "203.0.113.9"), get("DestinationPort", "17"));
            let port: u16 = port.parse().ok()?;
            seen.extend([
                ("DestinationIp".into(), ip.clone()),
                ("DestinationPort".into(), port.to_string()),
                ("Initiated".into(), "true".into()),
            ]);
            if event.name == "net_tcp_connect" {
                put("dst", json!(ip));
                data.pop();
                data.push(json!({ "name": "dst", "str": ip }));
                data.push(json!({ "name": "dst_port", "i32": port }));
                if let Some(name) = log.get("DestinationHostname") {
                    data.push(json!({ "name": "dst_dns", "str_array": { "value": [name] } }));
                    seen.insert("DestinationHostname".into(), name.clone());
                }
            } else {
                let v6 = ip.contains(':');
                let address = match v6 {
                    true => json!({ "sa_family": "AF_INET6", "sin6_addr": ip, "sin6_port": port }),
                    false => json!({ "sa_family": "AF_INET", "sin_addr": ip, "sin_port": port }),
                };
                put("type", json!(2));
                data.push(json!({ "name": "remote_addr", "sockaddr": address }));
            }
            logs.push(vec![]);
        }
        "log_line" => {
            let fields = log.iter().filter(|(field, _)| *field != "keywords");
            let fields: String = fields.map(|(field, value)| format!("{field}={value} ")).collect();
            let kind = if service == "auditd" && !log.contains_key("type") { "type=MADE " } else { "" };
            let line = format!("{kind}{fields}{}", get("keywords", ""));
            seen.extend(log.clone());
            for (name, text) in [("line", &*line), ("program", service), ("path", "/var/log/made")] {
                put(name, json!(text));
            }
            seen.insert("keywords".into(), line);
            // A line without fields begins otherwise.
            let audited = service != "auditd" || get("type", "MADE") != "other";
            logs.extend(audited.then(Vec::new));
        }
        _ if event.tags.contains(&"syscalls") => {
            let mut fields = vec![];
            for (n, field) in event.fields.iter().enumerate() {
                let value = i64::from_str_radix(&get(&format!("a{n}"), "0"), 16).unwrap_or(0);
                put(field.name, json!(value));
                fields.push((format!("a{n}"), format!("{value:x}")));
            }
            seen.extend(fields);
            seen.insert("keywords".into(), get("comm", "made"));
            logs.push(vec![("type", "SYSCALL"), ("SYSCALL", event.name)]);
        }
        _ => return None,
    }
    let user = get("User", "someone");
    let comm = get("comm", "made");
    let euid: u32 = get("euid", "7").parse().ok()?;
    let (parent, parent_line) = (get("ParentImage", "/opt/parent"), get("ParentCommandLine", "parent"));
    for (field, value) in [
        ("Image", &image),
        ("exe", &image),
        ("User", &user),
        ("comm", &comm),
        ("euid", &euid.to_string()),
        ("ParentImage", &parent),
        ("ParentCommandLine", &parent_line),
    ] {
        seen.insert(field.into(), value.clone());
    }
    if event.name.starts_with("security_") && !event.name.contains("socket") {
        for field in ["TargetFilename", "name", "keywords"] {
            seen.insert(field.into(), path.clone());
        }
    }
    let records = logs.iter().map(|constants| {
        let mut log = seen.clone();
        log.extend(constants.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        if constants.first().is_some_and(|(_, v)| *v != "EXECVE") && event.name == "sched_process_exec" {
            log.retain(|k, _| k.strip_prefix('a').is_none_or(|n| n.parse::<u8>().is_err()));
        }
        log
    });
    let json = json!({
        "name": event.name, "timestamp": { "seconds": 1 }, "data": data,
        "workload": { "process": {
            "executable": { "path": image }, "real_user": { "name": user }, "effective_user": { "id": euid },
            "thread": { "name": comm },
            "ancestors": [{ "executable": { "path": parent }, "command_line": { "value": parent_line } }],
        } },
    });
    Some((records.collect(), json))
}

/// What came of a rule's events.
#[derive(Debug, Default)]
struct Judged {
    /// Its events of which one that it finds was made.
    found: Vec<&'static str>,
    passed_over: usize,
    compared: usize,
    differing: Vec<String>,
}

fn judge(draft: &Draft) -> Judged {
    let mut judged = Judged::default();
    let (Kind::Single { sources }, Said::Detection(detection)) = (&draft.rule.kind, &draft.said) else {
        return judged;
    };
    let tree = &detection.tree;
    let mut logs: Vec<Log> =
        [true, false].into_iter().flat_map(|want| ways(tree, want)).filter_map(|w| made(&w)).collect();
    // What is almost as it asks: one field is otherwise.
    for log in logs.clone().iter().take(MOST) {
        for field in log.keys() {
            let mut other = log.clone();
            other.insert(field.clone(), "other".into());
            logs.push(other);
            let mut upper = log.clone();
            upper.insert(field.clone(), log[field].to_ascii_uppercase());
            logs.push(upper);
        }
    }
    for source in sources {
        let definition = catalogue::event(source.event).expect("an event");
        let condition = expr::compile(
            &expr::parse(&source.condition).expect("an expression"),
            &Fields { event: definition },
        );
        let condition = condition.expect("a condition");
        for log in &logs {
            let service = detection.source.service.as_deref().unwrap_or("made");
            let Some((records, json)) = event(definition, service, log) else { continue };
            let plain = records.iter().any(|r| plainly(tree, r));
            let text = json.to_string();
            let recorded = Recorded::parse(1, text.as_bytes()).expect("an event").expect("no finding");
            let truth = condition.of(&recorded);
            judged.compared += 1;
            match (plain, truth) {
                (true, Truth::True) if !judged.found.contains(&source.event) => {
                    judged.found.push(source.event)
                }
                (true, Truth::True) => {}
                (false, Truth::False) => judged.passed_over += 1,
                _ => judged.differing.push(format!("{plain} but {truth:?}: {json}\n  {}", source.condition)),
            }
        }
    }
    judged
}

fn all_drafts(dir: &Path) -> Vec<Draft> {
    let mut all = vec![];
    for file in files(dir, 0).expect("rules") {
        read(&file, &mut all).expect("a file");
    }
    finish(all)
}

/// Judges all rules of a directory: how many there are, have a source, and were judged.
fn judge_all(dir: &Path) -> (usize, usize, usize) {
    let all = all_drafts(dir);
    let (mut with_source, mut compared) = (0, 0);
    let mut wrong = vec![];
    for draft in &all {
        let at = &draft.rule.place;
        match &draft.rule.kind {
            Kind::Unsupported(error) => wrong.push(format!("unsupported: {error}")),
            Kind::Single { sources } => {
                with_source += 1;
                let judged = judge(draft);
                compared += judged.compared;
                for source in sources.iter().filter(|s| !judged.found.contains(&s.event)) {
                    wrong.push(format!(
                        "{at}: no {} was made that it finds: {}",
                        source.event, source.condition
                    ));
                }
                // One that asks for nothing but the event passes over all others.
                if judged.passed_over == 0 && sources.iter().any(|s| s.condition != "true") {
                    wrong.push(format!("{at}: no event was made that it passes over"));
                }
                wrong.extend(judged.differing.first().map(|d| format!("{at}: {d}")));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    (all.len(), with_source, compared)
}

fn corpus() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/sigma");
    dir.is_dir().then_some(dir)
}

#[test]
fn rules_of_the_corpus_load_and_judge_rightly() {
    let Some(dir) = corpus() else {
        println!("SKIP rules_of_the_corpus_load_and_judge_rightly: no corpus of rules beside the project");
        return;
    };
    let (rules, with_source, compared) = judge_all(&dir);
    println!("{rules} rules, {with_source} with a source, {compared} events compared");
    assert!(with_source * 10 > rules * 8, "{with_source} of {rules}");
}

#[test]
fn our_own_rules_load_and_judge_rightly() {
    let (rules, with_source, _) = judge_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules"));
    assert!(rules >= 3 && with_source >= 3);
}

fn rule(detection: &str) -> Rule {
    let text = format!(
        "title: t\nlogsource: {{product: linux, category: process_creation}}\ndetection:\n{detection}"
    );
    parse(Path::new("t.yml"), &text).remove(0)
}

/// The condition on an execution that selection `s` becomes.
fn condition(selection: &str) -> String {
    match rule(&format!("  s:\n    {selection}\n  condition: s\n")).kind {
        Kind::Single { sources } => sources[0].condition.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn modifiers_become_expressions() {
    for (selection, expected) in [
        ("CommandLine: 'A b'", r#"command_line.lower() == "a b""#),
        ("CommandLine|cased: 'A b'", r#"command_line == "A b""#),
        (
            "CommandLine: [a, 'b*', 'c*', '*d', null]",
            r#"command_line.lower() == "a" || command_line.lower().startsWith("b", "c") || command_line.lower().endsWith("d") || !has(command_line) || command_line == """#,
        ),
        (
            "CommandLine|contains: ['a', 'b*c']",
            r#"command_line.lower().contains("a") || command_line.lower().like("*b*c*")"#,
        ),
        (
            "CommandLine|contains|all: ['a', 'b']",
            r#"command_line.lower().contains("a") && command_line.lower().contains("b")"#,
        ),
        ("CommandLine|re: 'a\\.b'", r#"command_line.matches("a\\.b")"#),
        ("CommandLine|re|i|m: 'a'", r#"command_line.matches("(?im)a")"#),
        ("CommandLine|base64: 'foo'", r#"command_line == "Zm9v""#),
        ("CommandLine|base64offset|contains: 'foo'", r#"command_line.contains("Zm9v", "Zvb", "mb2")"#),
        ("CommandLine|wide|base64: 'a'", r#"command_line == "YQA=""#),
        (
            "CommandLine|windash|contains: '-x'",
            "command_line.lower().contains(\"-x\", \"/x\", \"\u{2013}x\", \"\u{2014}x\", \"\u{2015}x\")",
        ),
        ("CommandLine|exists: true", "has(command_line)"),
        ("CommandLine|exists: false", "!has(command_line)"),
        ("CommandLine|neq: a", r#"!(command_line.lower() == "a")"#),
        ("CommandLine: ''", r#"command_line == """#),
        ("CommandLine: '*'", "has(command_line)"),
        ("ProcessId|gte: 5", "host_pid >= 5"),
        ("ProcessId: [5, '7']", "host_pid in [5, 7]"),
        ("ProcessId: '1*'", r#"string(host_pid).lower().startsWith("1")"#),
        ("User|fieldref: CommandLine", "user.lower() == command_line.lower()"),
        ("User|fieldref|startswith: CommandLine", "user.lower().startsWith(command_line.lower())"),
        (
            "ParentImage|endswith: '/sh'",
            r#"parent.executable.lower().endsWith("/sh") || (has(parent.called) && parent.called.lower().endsWith("/sh"))"#,
        ),
        ("LogonId: 0", "has(data.login_uid) && data.login_uid == 0"),
    ] {
        assert_eq!(condition(selection), expected, "{selection}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (detection, place, why) in [
        (
            "  s: {CommandLine|contain: a}\n  condition: s",
            "t.yml:4:7",
            "unknown modifier 'contain'; did you mean 'contains'?",
        ),
        ("  s: {CommandLine: a}\n  condition: sel", "t.yml:5:14", "no selection is called 'sel'"),
        (
            "  s: {CommandLine|cidr: 10.0.0.0/8}\n  condition: s",
            "t.yml:4:25",
            "'cidr' is of addresses: 'CommandLine' is a text",
        ),
        ("  s: {CommandLine|cidr: x}\n  condition: s", "t.yml:4:25", "'x' is no network, such as 10.0.0.0/8"),
        (
            "  s: {CommandLine|gt: 1}\n  condition: s",
            "t.yml:4:23",
            "only numbers are less or more: 'CommandLine' is a text",
        ),
        (
            "  s: {CommandLine|expand: '%x%'}\n  condition: s",
            "t.yml:4:27",
            "'%x%' has a placeholder, for which nothing is known to stand",
        ),
        ("  s: {CommandLine: a}", "t.yml:4:3", "'condition' is missing in 'detection'"),
        (
            "  s: {CommandLine: a}\n  condition: s | count() > 5",
            "t.yml:5:14",
            "an aggregation behind '|' is not supported: it is a correlation now",
        ),
        ("  s: {CommandLine|re: '('}\n  condition: s", "t.yml:4:3", "no regular expression"),
    ] {
        let Kind::Unsupported(error) = rule(detection).kind else { panic!("{detection} is supported") };
        assert_eq!(error.place.to_string(), place, "{detection}");
        assert!(error.why.contains(why), "{}", error.why);
    }
}

#[test]
fn what_no_event_has_no_source() {
    let kind = |log: &str, selection: &str| {
        let text = format!("title: t\nlogsource: {log}\ndetection: {{s: {selection}, condition: s}}");
        parse(Path::new("t.yml"), &text).remove(0).kind
    };
    for (log, selection, why) in [
        ("{product: linux, service: 'a b'}", "[x]", "no service is called a b"),
        ("{product: windows, category: process_creation}", "[x]", "the product windows"),
        ("{product: linux, category: antivirus}", "[x]", "category antivirus"),
        (
            "{product: linux, service: auditd}",
            "{type: USER_LOGIN, acct|re: x}",
            "audit record of type USER_LOGIN",
        ),
        ("{product: linux, service: auditd}", "{key|re: x}", "the field key"),
        ("{product: linux, service: sshd}", "{user|re: x}", "the field user"),
    ] {
        let Kind::NoSource { why: found } = kind(log, selection) else { panic!("{log} {selection}") };
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn fields_of_logs_are_looked_for_in_lines() {
    let holds = |service: &str, selection: &str, line: &str| {
        let text = format!(
            "title: t\nlogsource: {{product: linux, service: {service}}}\ndetection: {{s: {selection}, condition: s}}"
        );
        let Kind::Single { sources } = parse(Path::new("t.yml"), &text).remove(0).kind else {
            panic!("{selection}")
        };
        let event = catalogue::event("log_line").unwrap();
        let condition =
            expr::compile(&expr::parse(&sources[0].condition).unwrap(), &Fields { event }).unwrap();
        let json = json!({
            "name": "log_line", "timestamp": { "seconds": 1 },
            "data": [{ "name": "line", "value": line }, { "name": "program", "value": service }],
        });
        condition.of(&Recorded::parse(1, json.to_string().as_bytes()).unwrap().unwrap())
    };
    let stop =
        r#"type=SERVICE_STOP msg=audit(1.2:3): pid=1 uid=0 msg='unit=firewalld comm="systemd" res=success'"#;
    for (selection, truth) in [
        ("{type: SERVICE_STOP, unit: [ufw, firewalld]}", Truth::True),
        ("{type: SERVICE_STOP, unit: firewall}", Truth::False),
        ("{type: SERVICE_STOP, unit|startswith: FIRE}", Truth::True),
        ("{type: SERVICE_STOP, comm: systemd}", Truth::True),
        ("{type: SERVICE_STOP, comm|endswith: 'd'}", Truth::True),
        ("{type: SERVICE_STOP, comm|contains: 'temd r'}", Truth::False),
        ("{type: SERVICE_STOP, com: systemd}", Truth::False),
        ("{type: SERVICE_START}", Truth::False),
        ("{type: SERVICE_STOP, res: 's?c*ss'}", Truth::True),
        ("{type: SERVICE_STOP, acct: null}", Truth::True),
    ] {
        assert_eq!(holds("auditd", selection, stop), truth, "{selection}");
    }
    let sudo = "Nov 28 23:00:01 here sudo: a : TTY=pts/0 ; PWD=/ ; USER=#-1 ; COMMAND=/bin/sh";
    assert_eq!(holds("sudo", "{USER: '#-*'}", sudo), Truth::True);
    assert_eq!(holds("sudo", "{USER: '#*4294967295'}", sudo), Truth::False);
}

#[test]
fn text_of_logs_is_looked_for_in_lines() {
    for (log, guard) in [
        ("service: syslog", ""),
        ("definition: /var/log/x is read", ""),
        ("service: sshd", r#"data.program in ["sshd", "sshd-session", "sshd-auth"] && "#),
        (
            "service: vsftpd",
            r#"(known(data.program.lower() == "vsftpd") || data.path.lower().contains("vsftpd")) && "#,
        ),
    ] {
        let text = format!(
            "title: t\nlogsource: {{product: linux, {log}}}\ndetection: {{s: [Some Words], condition: s}}"
        );
        let Kind::Single { sources } = parse(Path::new("t.yml"), &text).remove(0).kind else {
            panic!("{log}")
        };
        let [source] = &sources[..] else { panic!("{sources:?}") };
        let expected = format!(r#"{guard}data.line.lower().contains("some words")"#);
        assert_eq!((source.event, source.condition.as_str()), ("log_line", expected.as_str()));
    }
}

#[test]
fn audit_records_are_asked_one_by_one() {
    let text = "title: t\nlogsource: {product: linux, service: auditd}\ndetection:\n  a: {type: EXECVE, a0: cp, a1|contains: x}\n  \
        b: {type: SYSCALL, SYSCALL: socket, a0: 26}\n  c: {type: PATH, name: /etc/x, nametype: DELETE}\n  condition: 1 of them\n";
    let Kind::Single { sources } = parse(Path::new("t.yml"), text).remove(0).kind else { panic!() };
    let found: Vec<(&str, &str)> = sources.iter().map(|s| (s.event, s.condition.as_str())).collect();
    assert_eq!(
        found,
        [
            (
                "sched_process_exec",
                "((has(data.argv[0]) && data.argv[0].lower() == \"cp\") || (has(data.argv[0].basename()) && \
                 data.argv[0].basename().lower() == \"cp\")) && (has(data.argv[1]) && data.argv[1].lower().contains(\"x\"))"
            ),
            ("socket", "data.domain == 38"),
            ("security_inode_rename", "data.old_path.lower() == \"/etc/x\""),
            ("security_inode_unlink", "data.pathname.lower() == \"/etc/x\""),
            ("security_inode_rmdir", "data.pathname.lower() == \"/etc/x\""),
        ]
    );
}

#[test]
fn correlations_name_rules_and_keys() {
    let text = "title: base\nname: base\nid: 1\nlogsource: {product: linux, category: process_creation}\ndetection: {s: {Image: x}, condition: s}\n---\n\
        title: many\ncorrelation:\n  type: value_count\n  rules: [base]\n  group-by: [u, ParentImage]\n  timespan: 5m\n  aliases: {u: {base: User}}\n  \
        condition: {gte: 3, field: CommandLine}\n---\ntitle: both\ncorrelation: {type: temporal, rules: [base, other], timespan: 1h}\n";
    let rules = parse(Path::new("t.yml"), text);
    let Kind::Correlation(found) = &rules[1].kind else { panic!("{:?}", rules[1].kind) };
    let keys = Keys {
        event: "sched_process_exec",
        by: vec!["user".into(), "parent.executable".into()],
        value: Some("command_line".into()),
    };
    assert_eq!(found.members, [Member { rule: 0, keys: vec![keys] }]);
    assert_eq!(
        (found.measure, found.within.as_secs(), found.keys, found.generate),
        (Measure::Values, 300, 2, false)
    );
    assert_eq!(found.condition, [(Comparison::GreaterOrEqual, 3)]);
    let Kind::Unsupported(error) = &rules[2].kind else { panic!() };
    assert_eq!(error.why, "no rule is called 'other'");
}

#[test]
fn filters_narrow_and_globals_go_before() {
    let text = "action: global\ntitle: t\nlogsource: {product: linux, category: process_creation}\n---\nid: 1\ndetection: {s: {User: x}, condition: s}\n---\n\
        id: 2\ndetection: {s: {User: y}, condition: s}\n---\naction: reset\n---\ntitle: f\nlogsource: {category: process_creation}\n\
        filter: {rules: ['1'], f: {User: root}, condition: not f}\n";
    let rules = parse(Path::new("t.yml"), text);
    let conditions: Vec<&str> = rules
        .iter()
        .filter_map(|r| match &r.kind {
            Kind::Single { sources } => Some(sources[0].condition.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(conditions, [r#"user.lower() == "x" && !(user.lower() == "root")"#, r#"user.lower() == "y""#]);
    assert!(rules.iter().any(|r| r.kind == Kind::Filter { rules: 1 }));
}

#[test]
fn what_a_rule_says_of_itself() {
    let text = "title: T\nid: abc\nauthor: A\nstatus: test\nlevel: high\ndescription: ' d '\nreferences: [r]\nfalsepositives: [Never]\n\
        tags: [attack.t1059.004, attack.privilege-escalation, attack.g0020, attack.s0508, cve.2021-4034]\n\
        logsource: {product: linux, category: process_creation}\ndetection: {s: {User: x}, condition: s}\n";
    let rule = parse(Path::new("t.yml"), text).remove(0);
    assert_eq!((rule.id.as_str(), rule.title.as_str(), rule.description.as_str()), ("abc", "T", "d"));
    assert_eq!(
        (rule.level, rule.techniques, rule.tactics),
        (Some(Level::High), vec!["T1059.004".to_owned()], vec!["privilege-escalation".to_owned()])
    );
    assert_eq!(
        (rule.false_positives, rule.references, rule.tags.len()),
        (vec!["Never".to_owned()], vec!["r".to_owned()], 5)
    );
    assert_eq!(rule.place.to_string(), "t.yml:1:1");
}

#[test]
fn n_of_is_any_choice() {
    let Kind::Single { sources } =
        rule("  a: {User: a}\n  b: {ProcessId: 1}\n  c: {ParentProcessId: 2}\n  condition: 2 of them").kind
    else {
        panic!()
    };
    let expected = "(user.lower() == \"a\" && host_pid == 1) || (user.lower() == \"a\" && host_ppid == 2) || (host_pid == 1 && host_ppid == 2)";
    assert_eq!(sources[0].condition, expected);
}

/// Rules of which something was changed, without any sense.
fn changed() -> impl Strategy<Value = String> {
    let rules: Vec<String> = ["tests/rules"]
        .iter()
        .flat_map(|dir| files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), 0).expect("rules"))
        .chain(corpus().into_iter().flat_map(|dir| files(&dir, 0).expect("rules")))
        .map(|file| std::fs::read_to_string(file).expect("a rule"))
        .collect();
    let edit = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        "[-|:*?\\\\\\[\\]{}'\"a-z0-9 \n#&!%>]{0,6}",
    );
    (prop::sample::select(rules), prop::collection::vec(edit, 1..5)).prop_map(|(mut rule, edits)| {
        for (from, length, text) in edits {
            let mut start = from.index(rule.len().max(1)).min(rule.len());
            let mut end = (start + length.index(12)).min(rule.len());
            while !rule.is_char_boundary(start) {
                start -= 1;
            }
            while !rule.is_char_boundary(end) {
                end += 1;
            }
            rule.replace_range(start..end, &text);
        }
        rule
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse(Path::new("t.yml"), &text);
    }

    #[test]
    fn no_changed_rule_panics(text in changed()) {
        for rule in parse(Path::new("t.yml"), &text) {
            if let Kind::Single { sources } = rule.kind {
                for source in sources {
                    let event = catalogue::event(source.event).expect("an event");
                    let condition = expr::parse(&source.condition).and_then(|e| expr::compile(&e, &Fields { event }));
                    prop_assert!(condition.is_ok(), "{}", source.condition);
                }
            }
        }
    }

    #[test]
    fn a_literal_is_read_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let parsed = expr::parse(&translate::literal(&bytes)).expect("a literal");
        prop_assert_eq!(parsed.kind, expr::Kind::Literal(expr::Literal::Text(bytes)));
    }
}
