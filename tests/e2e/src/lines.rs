//! The lines that a watch wrote.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// All lines of a watch.
#[derive(Debug)]
pub struct Lines(pub Vec<Line>);

/// One event.
#[derive(Clone)]
pub struct Line(pub Value);

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Lines {
    /// Reads a file of lines; each must be a whole JSON object.
    pub fn read(path: &Path) -> Lines {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
        Lines(
            text.lines()
                .map(|l| Line(serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))))
                .collect(),
        )
    }

    /// Those of an event.
    pub fn of<'a>(&'a self, event: &str) -> Vec<&'a Line> {
        self.0.iter().filter(|l| l.0["name"] == event).collect()
    }

    /// Those of an event of which a field has that value.
    pub fn with<'a>(&'a self, event: &str, field: &str, value: impl Into<Value>) -> Vec<&'a Line> {
        let value = value.into();
        self.of(event).into_iter().filter(|l| l.get(field) == value).collect()
    }

    /// The only one of an event of which a field has that value.
    pub fn one(&self, event: &str, field: &str, value: impl Into<Value>) -> &Line {
        let value = value.into();
        let found = self.with(event, field, value.clone());
        assert_eq!(found.len(), 1, "{event} with {field}={value}: {found:?} among {:?}", self.of(event));
        found[0]
    }
}

impl Line {
    fn entry(&self, field: &str) -> Option<&Value> {
        self.0["data"].as_array()?.iter().find(|d| d["name"] == field)
    }

    /// The value of a field; null if there is none.
    pub fn get(&self, field: &str) -> Value {
        let found = self.entry(field).and_then(|d| {
            d.as_object()?
                .iter()
                .find(|(k, _)| !["name", "quality", "parsed", "encoding"].contains(&k.as_str()))
                .map(|(_, v)| v.clone())
        });
        match found {
            Some(Value::Object(o)) if o.len() == 1 && o.contains_key("value") => o["value"].clone(),
            Some(v) => v,
            None => Value::Null,
        }
    }

    /// The parsed form of a field; null if there is none.
    pub fn parsed(&self, field: &str) -> Value {
        self.entry(field).map_or(Value::Null, |d| d["parsed"].clone())
    }

    /// The quality of a field: "ok" where nothing is said.
    pub fn quality(&self, field: &str) -> String {
        self.entry(field).and_then(|d| d["quality"].as_str()).unwrap_or("ok").to_string()
    }

    /// A value of the process.
    pub fn process(&self, pointer: &str) -> &Value {
        self.0["workload"]["process"].pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Asserts fields and their values, all of good quality.
    pub fn assert(&self, fields: &[(&str, Value)]) -> &Line {
        for (name, value) in fields {
            assert_eq!(self.get(name), *value, "field {name} of {self:?}");
        }
        self
    }

    /// Asserts fields that some kernels do not tell: then they are unavailable, and said to be.
    pub fn assert_where_told(&self, fields: &[(&str, Value)]) -> &Line {
        for (name, value) in fields {
            if self.quality(name) != "unavailable" {
                assert_eq!(self.get(name), *value, "field {name} of {self:?}");
            }
        }
        self
    }
}
