//! What conditions of detectors can ask of what they look at.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use event::Output;
use expr::{Field, List, Schema, Stored, Subject, Text, Type, Value};
use policy::{Evidence, Fields, Slot};
use rustc_hash::FxHashMap;

/// What a field is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum In {
    /// Of the event.
    Event(Slot),
    /// Of the finding, by its place.
    Output(u16),
}

/// What detectors call that a file comes to be at a path, by whichever road, so that none is left out: they say once what holds of its
/// `data.pathname`, and look at each of [`ROADS`].
pub(crate) const FILE_PLACED: &str = "file_placed";

/// The event, which of its fields has the path, and what must hold beside.
pub(crate) type Road = (&'static str, &'static str, Option<&'static str>);

/// The roads of [`FILE_PLACED`].
pub(crate) const ROADS: [Road; 4] = [
    // O_WRONLY or O_RDWR, of O_ACCMODE (asm-generic/fcntl.h).
    ("security_file_open", "pathname", Some("data.flags % 4 != 0")),
    ("security_inode_rename", "new_path", None),
    ("security_inode_link", "new_path", None),
    ("security_inode_symlink", "linkpath", None),
];

/// The fields of an event of the catalogue, or of what a detector finds; and lists of texts with a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'d> {
    pub(crate) of: OfFields<'d>,
    /// The field that is the path, of a road of [`FILE_PLACED`].
    pub(crate) placed: Option<&'static str>,
    pub(crate) lists: &'d FxHashMap<Arc<str>, Vec<Vec<u8>>>,
    /// The options by which fields are taken that were asked for, and are not taken without.
    pub(crate) requests: &'d RefCell<BTreeSet<&'static str>>,
}

impl Inputs<'_> {
    /// What can be asked of who did it, which is the same of all events, and of findings.
    pub(crate) fn who(&self) -> Fields {
        match self.of {
            OfFields::Event(fields) => fields,
            OfFields::Finding(..) => Fields { event: &catalogue::EVENTS[0] },
        }
    }

    fn data(&self, name: &str) -> Option<Field<In>> {
        let name = if name == "pathname" { self.placed.unwrap_or(name) } else { name };
        let field = self.of.data(name)?;
        if let OfFields::Event(fields) = self.of {
            let name = name.split('.').next().unwrap_or(name);
            let of_event = fields.event.fields.iter().find(|f| f.name == name);
            self.requests.borrow_mut().extend(of_event.and_then(|f| f.on_request));
        }
        Some(field)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum OfFields<'d> {
    Event(Fields),
    /// Its name, and fields.
    Finding(&'d str, &'d [(String, Type)]),
}

impl OfFields<'_> {
    fn data(&self, name: &str) -> Option<Field<In>> {
        match self {
            OfFields::Event(fields) => of_event(fields.field(&format!("data.{name}"))?),
            OfFields::Finding(_, fields) => {
                let at = fields.iter().position(|(n, _)| n == name)?;
                Some(Field { slot: In::Output(u16::try_from(at).ok()?), ty: fields[at].1, names: None })
            }
        }
    }
}

fn of_event(field: Field<Slot>) -> Option<Field<In>> {
    Some(Field { slot: In::Event(field.slot), ty: field.ty, names: field.names })
}

impl Schema for Inputs<'_> {
    type Slot = In;

    fn field(&self, path: &str) -> Option<Field<In>> {
        if let Some(name) = path.strip_prefix("data.")
            && let Some(field) = self.data(name)
        {
            return Some(field);
        }
        match self.of {
            OfFields::Event(fields) => of_event(fields.field(path)?),
            // Who did it is asked in the same way, whatever the event.
            OfFields::Finding(..) => {
                self.who().field(path).filter(|f| matches!(f.slot, Slot::About(_))).and_then(of_event)
            }
        }
    }

    fn names(&self) -> Vec<String> {
        match self.of {
            OfFields::Event(fields) => fields.names(),
            OfFields::Finding(_, fields) => fields.iter().map(|(name, _)| format!("data.{name}")).collect(),
        }
    }

    fn list(&self, name: &str) -> Option<&[Vec<u8>]> {
        self.lists.get(name).map(Vec::as_slice)
    }

    fn store(&self, path: &str) -> Option<Stored<In>> {
        let Stored { field, key } = self.who().store(path)?;
        Some(Stored { field: of_event(field)?, key })
    }

    fn stores(&self) -> Vec<&'static str> {
        self.who().stores()
    }

    fn function(&self, name: &str, args: &[&str]) -> Option<Result<Field<In>, String>> {
        if name != "getEventData" {
            return None;
        }
        let [arg] = args else { return Some(Err("'getEventData' takes the name of a field".into())) };
        let of = match self.of {
            OfFields::Event(fields) => fields.event.name,
            OfFields::Finding(name, _) => name,
        };
        Some(self.data(arg).ok_or_else(|| format!("{of} has no field '{arg}'")))
    }
}

/// What a detector looks at: an event, or a finding of one.
#[derive(Debug)]
pub struct Input<'a, E> {
    /// The event.
    pub event: &'a E,
    /// The finding's fields.
    pub outputs: &'a [(&'a str, Output)],
}

impl<E: Evidence> Subject for Input<'_, E> {
    type Slot = In;

    fn look_up(&self, slot: &In, key: &Value<'_>) -> Value<'_> {
        match slot {
            In::Event(slot) => self.event.look_up(slot, key),
            In::Output(_) => Value::Unknown,
        }
    }

    #[inline]
    fn get(&self, slot: &In) -> Value<'_> {
        match slot {
            In::Event(slot) => self.event.get(slot),
            In::Output(at) => {
                self.outputs.get(usize::from(*at)).map_or(Value::Unknown, |(_, output)| value(output))
            }
        }
    }
}

fn value(output: &Output) -> Value<'_> {
    match output {
        Output::Unknown => Value::Unknown,
        Output::Bool(b) => Value::Bool(*b),
        Output::Int(n) => Value::Int(*n),
        Output::Double(n) => Value::Double(*n),
        Output::Text { bytes, cut } => Value::Text(Text { bytes: Cow::Borrowed(bytes), cut: *cut }),
        Output::List(values) => Value::List(List::Values(values.iter().map(value).collect())),
    }
}

/// A value to keep.
pub(crate) fn output(value: &Value<'_>) -> Output {
    match value {
        Value::Unknown => Output::Unknown,
        Value::Bool(b) => Output::Bool(*b),
        Value::Int(n) => Output::Int(*n),
        Value::Double(n) => Output::Double(*n),
        Value::Text(text) => Output::Text { bytes: text.bytes.as_ref().into(), cut: text.cut },
        Value::Ip(ip) => Output::Text { bytes: ip.to_string().into_bytes().into(), cut: false },
        Value::List(list) => Output::List(list.iter().map(|v| output(&v)).collect()),
    }
}
