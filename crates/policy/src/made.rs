//! Events that are made up, for the tests of detectors: lines of a recording that tell what a test says, and nothing else.

use catalogue::Event;
use data_encoding::BASE64;
use expr::Type;
use serde_json::{Map, Value, json};

use crate::fields::{ABOUT, About, Fields};
use crate::stores;

/// What is known beside the event, by what asks for it: `process(42).comm`. No watch writes it.
pub(crate) const STORES: &str = "stores";

/// The line of an event, `at` so many nanoseconds after 1970. `who` has what is told of who did it, by the names that conditions ask by (what a
/// store has under a key among it: `process(42).comm`), and `data` the event's fields: texts (of bytes: a character for each, U+0000 to U+00FF),
/// numbers, booleans, lists of texts, or what stands in a line for a value of parts; one that is null is known to be missing.
///
/// # Errors
///
/// There is no such name, or what it asks for follows from others.
pub fn made(
    event: &'static Event,
    at: u64,
    who: &Map<String, Value>,
    data: &Map<String, Value>,
) -> Result<String, String> {
    let mut line = json!({
        "timestamp": {"seconds": at / 1_000_000_000, "nanos": at % 1_000_000_000},
        "id": event.name,
        "name": event.name,
        "workload": {"process": {}},
    });
    let mut fields = vec![];
    for (name, value) in data {
        let definition = event.fields.iter().find(|f| f.name == name);
        if definition.is_none() && name != "returnValue" {
            let known = event.fields.iter().map(|f| f.name);
            return Err(format!("{} has no field '{name}'{}", event.name, hint(name, known)));
        }
        let asked = Fields { event }.type_of(name).filter(|_| !value.is_null() && !value.is_object());
        if let Some(ty) = asked.filter(|ty| !is_of(value, *ty)) {
            return Err(format!("{name} of {} is {}", event.name, ty.name()));
        }
        fields.push(match value {
            Value::String(text) if definition.is_some_and(|f| f.ty == catalogue::Type::Bytes) => {
                let bytes = bytes(text).map_err(|c| format!("{name} of {}: '{c}' is no byte", event.name))?;
                json!({"name": name, "bytes": BASE64.encode(&bytes)})
            }
            _ => field(name, value),
        });
    }
    for (name, value) in who {
        if let Some(ty) = stores::type_of(name) {
            if !is_of(value, ty) {
                return Err(format!("'{name}' is {}", ty.name()));
            }
            line[STORES][name] = value.clone();
            continue;
        }
        let found = ABOUT.iter().find(|(_, names, ..)| names.contains(&name.as_str()));
        let Some((about, names, ty, _)) = found else {
            let known = ABOUT.iter().flat_map(|(_, names, ..)| *names).copied();
            return Err(format!("unknown name '{name}'{}", hint(name, known)));
        };
        if !is_of(value, *ty) {
            return Err(format!("'{name}' is {}", ty.name()));
        }
        let namespace = |kind: &str| format!("workload.process.namespaces.{kind}");
        let ancestors = "workload.process.ancestors";
        let path = match about {
            About::Retval => {
                fields.push(field("returnValue", value));
                continue;
            }
            About::AncestorComms | About::AncestorExecutables | About::AncestorCommandLines => {
                let part = match about {
                    About::AncestorComms => "thread.name",
                    About::AncestorExecutables => "executable.path",
                    _ => "command_line.value",
                };
                for (n, value) in value.as_array().into_iter().flatten().enumerate() {
                    put(&mut line, &format!("{ancestors}.{n}.{part}"), value.clone());
                }
                continue;
            }
            About::Tree => {
                let mut ids = value.as_array().into_iter().flatten();
                put(&mut line, "workload.process.unique_id", ids.next().cloned().unwrap_or_default());
                for (n, id) in ids.enumerate() {
                    put(&mut line, &format!("{ancestors}.{n}.unique_id"), id.clone());
                }
                continue;
            }
            About::ParentComm => format!("{ancestors}.0.thread.name"),
            About::ParentExecutable => format!("{ancestors}.0.executable.path"),
            About::ParentCommandLine => format!("{ancestors}.0.command_line.value"),
            About::Cpu => "cpu".into(),
            About::HostName => "host".into(),
            About::MntNs => namespace("mnt"),
            About::PidNs => namespace("pid"),
            About::NetNs => namespace("net"),
            About::UserNs => namespace("user"),
            About::Cgroup => "workload.process.cgroup_id".into(),
            About::ContainerLabels | About::PodLabels => {
                return Err(format!("'{name}' can not be said in a test"));
            }
            About::ContainerDigest => "workload.container.image.repo_digests.0".into(),
            _ => match names.first().filter(|path| path.starts_with("workload.")) {
                Some(path) => (*path).to_owned(),
                None => return Err(format!("'{name}' follows from others, and is not said in a test")),
            },
        };
        put(&mut line, &path, value.clone());
    }
    line["data"] = Value::Array(fields);
    Ok(line.to_string())
}

/// The bytes that a text tells, `"\x7fELF\xff"`; or the first character that is none.
fn bytes(text: &str) -> Result<Vec<u8>, char> {
    text.chars().map(|c| u8::try_from(c).map_err(|_| c)).collect()
}

/// Otherwise it would be unknown, and a test by which nothing is to be found passed for that.
fn is_of(value: &Value, ty: Type) -> bool {
    match ty {
        Type::Int => value.is_i64() || value.is_u64(),
        Type::Bool => value.is_boolean(),
        Type::Double => value.is_number(),
        Type::Texts => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
        Type::Ints => value.as_array().is_some_and(|all| all.iter().all(Value::is_number)),
        _ => value.is_string(),
    }
}

fn hint<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    expr::nearest(name, known).map_or(String::new(), |nearest| format!("; did you mean '{nearest}'?"))
}

/// A field as it stands in a line. What names the type is only for those who read it.
fn field(name: &str, value: &Value) -> Value {
    match value {
        Value::Null => json!({"name": name, "quality": "unavailable"}),
        Value::String(text) => json!({"name": name, "str": text}),
        Value::Bool(truth) => json!({"name": name, "bool": truth}),
        Value::Number(number) => json!({"name": name, "int64": number}),
        Value::Array(all) => json!({"name": name, "str_array": {"value": all}}),
        Value::Object(parts) => json!({"name": name, "parts": parts}),
    }
}

/// Puts a value where a path of names leads to: a number is a place in a list.
fn put(line: &mut Value, path: &str, value: Value) {
    let mut at = line;
    for name in path.split('.') {
        match name.parse::<usize>() {
            Ok(place) => {
                if !at.is_array() {
                    *at = json!([]);
                }
                let Value::Array(all) = at else { return };
                if all.len() <= place {
                    all.resize(place + 1, json!({}));
                }
                at = &mut all[place];
            }
            Err(_) => {
                if !at.is_object() {
                    *at = json!({});
                }
                at = &mut at[name];
            }
        }
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use expr::{Schema as _, Subject as _};

    use super::*;
    use crate::Recorded;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_stores_know_is_told() {
        let event = catalogue::event("kill").unwrap();
        let who = map(
            json!({"process(42).comm": "auditd", "process(42).uid": 0, "ancestors.command_line": ["sh -c x"]}),
        );
        let line = made(event, 0, &who, &map(json!({"pid": 42}))).unwrap();
        let recorded = Recorded::parse(1, line.as_bytes()).unwrap().unwrap();
        let judge = |condition: &str| {
            let parsed = expr::parse(condition).unwrap();
            expr::compile(&parsed, &Fields { event }).unwrap().of(&recorded)
        };
        assert_eq!(
            judge("process(data.pid).comm == 'auditd' && process(data.pid).uid == 0"),
            expr::Truth::True
        );
        assert_eq!(judge("process(data.pid).comm == 'falco'"), expr::Truth::False);
        assert_eq!(judge("process(43).comm == 'auditd'"), expr::Truth::Unknown);
        assert_eq!(judge("ancestors.command_line.exists(l, l.startsWith('sh '))"), expr::Truth::True);
        let wrong = made(event, 0, &map(json!({"process(42).uid": "root"})), &Map::new());
        assert_eq!(wrong.unwrap_err(), "'process(42).uid' is a number");
    }

    #[test]
    fn what_is_said_is_told() {
        let event = catalogue::event("sched_process_exec").unwrap();
        let who = map(json!({
            "comm": "sh", "uid": 7, "parent.executable": "/usr/sbin/nginx", "ancestors.comm": ["nginx", "init"],
            "container.id": "abc", "mntns": 5, "kernel_thread": true,
        }));
        // What follows from another is said by that.
        assert!(made(event, 0, &who, &Map::new()).unwrap_err().starts_with("'kernel_thread' follows"));
        let who: Map<_, _> = who.into_iter().filter(|(name, _)| name != "kernel_thread").collect();
        let data = map(json!({"pathname": "/bin/sh", "argv": ["sh", "-c"], "inode": 3, "pwd": null}));
        let line = made(event, 1_000_000_002, &who, &data).unwrap();
        let recorded = Recorded::parse(1, line.as_bytes()).unwrap().unwrap();
        let ask = |name: &str| format!("{:?}", recorded.get(&Fields { event }.field(name).unwrap().slot));
        for (name, part) in [
            ("timestamp", "Int(1000000002)"),
            ("comm", "Text"),
            ("uid", "Int(7)"),
            ("parent.executable", "Text"),
            ("ancestors.comm", "List"),
            ("container", "Bool(true)"),
            ("mntns", "Int(5)"),
            ("data.pathname", "Text"),
            ("command_line", "Text"),
            ("data.inode", "Int(3)"),
            ("data.pwd", "Unknown"),
            ("data.interp", "Unknown"),
            ("gid", "Unknown"),
        ] {
            assert!(ask(name).starts_with(part), "{name}: {}", ask(name));
        }
    }

    #[test]
    fn a_character_is_a_byte() {
        let event = catalogue::event("magic_write").unwrap();
        let made = |text: &str| made(event, 0, &Map::new(), &map(json!({"bytes": text})));
        let line = made("\x7fELF\u{ff}").unwrap();
        let recorded = Recorded::parse(1, line.as_bytes()).unwrap().unwrap();
        let expr::Value::Text(text) = recorded.get(&Fields { event }.field("data.bytes").unwrap().slot)
        else {
            panic!("{line}")
        };
        assert_eq!(*text.bytes, *b"\x7fELF\xff");
        assert_eq!(made("a\u{100}").unwrap_err(), "bytes of magic_write: 'Ā' is no byte");
    }

    #[test]
    fn what_is_not_there_can_not_be_said() {
        let event = catalogue::event("sched_process_exec").unwrap();
        let wrong = |who: Value, data: Value| made(event, 0, &map(who), &map(data)).unwrap_err();
        assert_eq!(
            wrong(json!({}), json!({"pathnam": ""})),
            "sched_process_exec has no field 'pathnam'; did you mean 'pathname'?"
        );
        assert_eq!(wrong(json!({"ancestors.comm": "sh"}), json!({})), "'ancestors.comm' is a list of texts");
        assert!(wrong(json!({}), json!({"pathname": 5})).starts_with("pathname of sched_process_exec is "));
        assert!(wrong(json!({"uid": "0"}), json!({})).starts_with("'uid' is "));
        assert_eq!(wrong(json!({"com": ""}), json!({})), "unknown name 'com'; did you mean 'comm'?");
    }
}
