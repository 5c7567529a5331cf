//! From what is wanted of an event to its sieve.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::column::{Column, Kind};
use crate::values::overlay;
use crate::{Prefix, Values};

/// Most alternatives that a sieve tells apart.
pub const CLASSES: usize = 64;
/// Most columns of a sieve: `COLUMNS` of `bpf/lib/sieve.h`.
pub const COLUMNS: usize = 12;
/// Of these, most that are about who did it: `HEADS`.
pub const HEADS: usize = 6;
/// Fields of a record that a sieve can ask for: the first so many of the catalogue's entry.
pub const FIELDS: u8 = 32;
/// Columns of one field.
const OF_FIELD: usize = 4;

/// What is done to who acts so, beside telling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Enforcement {
    /// The process is killed.
    pub kill: bool,
    /// The act is refused.
    pub deny: bool,
}

impl Enforcement {
    /// Nothing is done.
    pub const NONE: Enforcement = Enforcement { kill: false, deny: false };

    /// Whether anything is done.
    pub fn any(self) -> bool {
        self != Enforcement::NONE
    }

    /// What either does.
    #[must_use]
    pub fn or(self, other: Enforcement) -> Enforcement {
        Enforcement { kill: self.kill || other.kill, deny: self.deny || other.deny }
    }
}

/// One way for an event to be wanted: all of its columns are so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Alternative {
    enforcement: Enforcement,
    follows: u64,
    columns: BTreeMap<Column, Arc<Values>>,
}

impl Alternative {
    /// Adds that a column must be so.
    #[must_use]
    pub fn with(self, column: Column, values: Values) -> Alternative {
        self.with_shared(column, &Arc::new(values))
    }

    fn with_shared(mut self, column: Column, values: &Arc<Values>) -> Alternative {
        let values = match self.columns.get(&column) {
            Some(known) => Arc::new(known.and(values)),
            None => Arc::clone(values),
        };
        self.columns.insert(column, values);
        self
    }

    /// Has that done by the kernel where it is met. It must say all that there is to meet.
    #[must_use]
    pub fn enforcing(self, enforcement: Enforcement) -> Alternative {
        Alternative { enforcement, ..self }
    }

    /// Has the kernel follow who meets it, for all that can be known: by the scopes with these bits, which [`Column::Followed`] asks for. That is
    /// done as a process executes something, or makes another, and only there.
    #[must_use]
    pub fn following(self, marks: u64) -> Alternative {
        Alternative { follows: marks, ..self }
    }

    /// Whether the kernel does something where it is met.
    pub fn enforces(&self) -> bool {
        self.enforcement.any()
    }

    /// Both of them.
    #[must_use]
    pub fn and(&self, other: &Alternative) -> Alternative {
        other.columns.iter().fold(self.clone(), |all, (column, values)| all.with_shared(*column, values))
    }

    /// Its columns.
    pub fn columns(&self) -> impl Iterator<Item = (&Column, &Values)> {
        self.columns.iter().map(|(column, values)| (column, &**values))
    }

    /// Forgets columns that may be anything. Where something is done, they must be known all the same.
    fn simplify(&mut self) {
        if !self.enforces() {
            self.columns.retain(|_, values| !values.is_all());
        }
    }

    /// Whether it asks for nothing: every event meets it.
    pub fn is_open(&self) -> bool {
        self.columns.values().all(|values| values.is_all())
    }
}

/// A column, and which alternatives may be met by its values: a bit for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Of what.
    pub column: Column,
    /// The alternatives that ask of it.
    pub asks: u64,
    /// By values that begin with none of these.
    pub others: u64,
    /// By those that begin so; the longest counts.
    pub prefixes: Vec<(Prefix, u64)>,
}

/// What is decided of one kind of event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sieve {
    classes: u64,
    kill: u64,
    deny: u64,
    marks: Vec<u64>,
    columns: Vec<Tested>,
    early: usize,
}

impl Sieve {
    /// Lets pass what meets one of these; `None` if that is everything, as far as it can be said, nothing is enforced and nobody followed.
    pub fn new(alternatives: Vec<Alternative>) -> Option<Sieve> {
        let mut classes = merge(alternatives);
        let does = classes.iter().any(|class| class.enforcement.any() || class.follows != 0);
        if classes.is_empty() || (!does && classes.iter().any(Alternative::is_open)) {
            return None;
        }
        let columns = chosen(&classes);
        for class in &mut classes {
            // What is not all asked of may be met by what is not meant.
            if class.columns.keys().any(|column| !columns.contains(column)) {
                class.enforcement = Enforcement::NONE;
            }
        }
        let bits = |of: &dyn Fn(&Alternative) -> bool| {
            classes.iter().enumerate().fold(0, |bits, (n, class)| bits | u64::from(of(class)) << n)
        };
        let columns = columns.iter().map(|column| {
            let (others, prefixes) =
                overlay(classes.iter().map(|class| class.columns.get(column).map(|v| &**v)));
            let asks = bits(&|class| class.columns.contains_key(column));
            Tested { column: *column, asks, others, prefixes }
        });
        let mut sieve = Sieve {
            classes: bits(&|_| true),
            kill: bits(&|class| class.enforcement.kill),
            deny: bits(&|class| class.enforcement.deny),
            marks: classes.iter().map(|class| class.follows).collect(),
            columns: columns.collect(),
            early: 0,
        };
        sieve.order();
        (!sieve.columns.is_empty() || does).then_some(sieve)
    }

    /// A bit for each class of alternatives.
    pub fn classes(&self) -> u64 {
        self.classes
    }

    /// Of these, those that have the process killed, and the act refused.
    pub fn enforces(&self) -> (u64, u64) {
        (self.kill, self.deny)
    }

    /// Of each class, the bits of the scopes that follow who meets it.
    pub fn marks(&self) -> &[u64] {
        &self.marks
    }

    /// Its columns: those about who did it first, then those of fields, those of one field together.
    pub fn columns(&self) -> &[Tested] {
        &self.columns
    }

    /// How many of these are asked before a record is begun: they come first.
    pub fn early(&self) -> usize {
        self.early
    }

    /// Puts the columns into the order in which the kernel asks.
    ///
    /// What most events fail by is asked first. A column that only leaves out a few (`comm!=backup`) costs a look and stops next to nothing:
    /// where a field lets pass only what is named (`pathname=/etc/*`), it waits until that has been asked. One of the executable can not wait, and is
    /// left to user space then.
    fn order(&mut self) {
        let fields_select =
            self.columns.iter().any(|t| matches!(t.column, Column::Field { .. }) && t.selects());
        self.columns.retain(|t| !matches!(t.column, Column::Executable(_)) || t.selects() || !fields_select);
        let is_early = |t: &Tested| {
            // What no record has can not be asked for later.
            t.column.is_early_only() || t.column.is_early() && (t.selects() || !fields_select)
        };
        self.columns.sort_by_key(|t| (!is_early(t), t.column));
        self.early = self.columns.iter().take_while(|t| is_early(t)).count();
    }

    /// Whether a record passes, by its bytes.
    pub fn admits(&self, record: &[u8]) -> bool {
        self.met(record).is_none_or(|(classes, _)| classes != 0)
    }

    /// What is to be done to who acts as a record says.
    pub fn enforcement(&self, record: &[u8]) -> Enforcement {
        /// `ORIGIN_CURRENT`.
        const CURRENT: u8 = 0;
        let Some((classes, known)) = self.met(record).filter(|_| record.get(26) == Some(&CURRENT)) else {
            return Enforcement::NONE;
        };
        let unknown = self.columns.iter().enumerate().filter(|(n, _)| known >> n & 1 == 0);
        let sure = unknown.fold(classes, |sure, (_, tested)| sure & !tested.asks);
        Enforcement { kill: sure & self.kill != 0, deny: sure & self.deny != 0 }
    }

    /// The classes that may be met by a record, and a bit for each column of which it has a value; `None` if it is no record.
    fn met(&self, record: &[u8]) -> Option<(u64, u32)> {
        /// `ORIGIN_UNKNOWN`, `RECORD_RETURN`, `QUALITY_UNRESOLVED` of `record.h`, and the size of the header.
        const UNKNOWN: u8 = 2;
        const RETURN: u8 = 1 << 1;
        const UNRESOLVED: u8 = 4;
        const HEADER: usize = 168;
        let (header, mut fields) = record.split_at_checked(HEADER)?;
        let (mut classes, mut seen) = (self.classes, 0);
        for (n, tested) in self.columns.iter().enumerate() {
            let Column::Head(head) = tested.column else { continue };
            let known = match tested.column.kind() {
                Kind::I64 => header[27] & RETURN != 0,
                _ => header[26] != UNKNOWN,
            };
            if known && let Some(met) = tested.classes(header.get(head.at().into()..).unwrap_or_default()) {
                seen |= 1 << n;
                classes &= met;
            }
        }
        while let Some((&[index, quality, low, high], rest)) = fields.split_first_chunk() {
            let length = usize::from(u16::from_le_bytes([low, high]));
            let payload = rest.get(..length)?;
            fields = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            if quality != 0 && quality != UNRESOLVED {
                continue;
            }
            for (n, tested) in self.columns.iter().enumerate() {
                if matches!(tested.column, Column::Field { field, .. } if field == index)
                    && let Some(met) = tested.classes(payload)
                {
                    seen |= 1 << n;
                    classes &= met;
                }
            }
        }
        Some((classes, seen))
    }
}

impl Tested {
    /// Whether those that ask of it want only a small part of all values, as a few users or what is below a directory: most events have others.
    fn selects(&self) -> bool {
        /// Of a column's values. Ranges that leave out a few, such as `uid>=1000`, are most of them.
        const SMALL: f64 = 1.0 / 16.0;
        // All numbers are compared as 64 bits, of which these have fewer.
        let same = match self.column.kind() {
            Kind::U32 | Kind::I32 => 32,
            Kind::Port => 48,
            _ => 0,
        };
        let wanted = self.prefixes.iter().filter(|(_, bits)| bits & self.asks != 0);
        // Of one within another, too much: no matter.
        let share: f64 =
            wanted.map(|(prefix, _)| 0.5f64.powi(prefix.bits().saturating_sub(same).min(1024) as i32)).sum();
        self.asks & self.others == 0 && share <= SMALL
    }

    /// The alternatives that may be met by a payload; `None` if there is no value in it.
    pub fn classes(&self, payload: &[u8]) -> Option<u64> {
        let key = self.column.key(payload)?;
        let longest = self.prefixes.iter().filter(|(p, _)| p.begins(&key)).max_by_key(|(p, _)| p.bits());
        Some(longest.map_or(self.others, |(_, bits)| *bits))
    }
}

/// At most [`CLASSES`] alternatives that let pass what these do. What differs in one column only becomes one without letting pass more; if
/// that is not enough, others do, too.
fn merge(mut alternatives: Vec<Alternative>) -> Vec<Alternative> {
    alternatives.iter_mut().for_each(Alternative::simplify);
    alternatives.sort();
    alternatives.dedup();
    let mut columns: Vec<Column> = alternatives.iter().flat_map(|a| a.columns.keys().copied()).collect();
    columns.sort();
    columns.dedup();
    for column in columns {
        if alternatives.len() <= 1 {
            break;
        }
        alternatives = joined(alternatives, |a| {
            let mut others = a.clone();
            others.columns.remove(&column).is_some().then_some(others)
        });
    }
    if alternatives.len() > CLASSES {
        let all = Arc::new(Values::all(true));
        // By the columns that they ask for. What comes to let pass more than one of them does is not enforced any more.
        alternatives = joined(alternatives, |a| {
            let columns = a.columns.keys().map(|c| (*c, Arc::clone(&all))).collect();
            Some(Alternative { columns, enforcement: Enforcement::NONE, follows: a.follows })
        });
    }
    while alternatives.len() > CLASSES {
        let (Some(a), Some(b)) = (alternatives.pop(), alternatives.pop()) else { break };
        let mut one = either(&[a, b]);
        one.simplify();
        alternatives.insert(0, one);
    }
    alternatives
}

/// Makes one of those of which `like` gives the same.
fn joined(
    alternatives: Vec<Alternative>,
    like: impl Fn(&Alternative) -> Option<Alternative>,
) -> Vec<Alternative> {
    let mut groups: BTreeMap<Alternative, Vec<Alternative>> = BTreeMap::new();
    let mut out = vec![];
    for alternative in alternatives {
        match like(&alternative) {
            Some(key) => groups.entry(key).or_default().push(alternative),
            None => out.push(alternative),
        }
    }
    for (key, group) in groups {
        let mut one = either(&group).enforcing(key.enforcement).following(key.follows);
        one.simplify();
        out.push(one);
    }
    out
}

/// What lets pass all that one of these does: the columns that all ask for, each with the values of all.
fn either(group: &[Alternative]) -> Alternative {
    let Some((first, rest)) = group.split_first() else { return Alternative::default() };
    let mut columns = first.columns.clone();
    columns.retain(|column, _| rest.iter().all(|a| a.columns.contains_key(column)));
    for (column, values) in &mut columns {
        // Two by two, so that none is gone through for each of the others; the same ones are one.
        let mut all: Vec<Arc<Values>> = group.iter().filter_map(|a| a.columns.get(column).cloned()).collect();
        all.sort();
        all.dedup();
        while all.len() > 1 {
            all = all
                .chunks(2)
                .map(|two| match two {
                    [a, b] => Arc::new(a.or(b)),
                    _ => Arc::clone(&two[0]),
                })
                .collect();
        }
        if let Some(one) = all.pop() {
            *values = one;
        }
    }
    // Who is followed by too many is followed by user space by none.
    let follows = group.iter().fold(0, |all, a| all | a.follows);
    Alternative { columns, enforcement: Enforcement::NONE, follows }
}

/// The columns that the kernel is to look at: those that most ask for, as many as there is room for.
fn chosen(classes: &[Alternative]) -> Vec<Column> {
    let mut asked: BTreeMap<Column, usize> = BTreeMap::new();
    for column in classes.iter().flat_map(|class| class.columns.keys()) {
        *asked.entry(*column).or_default() += 1;
    }
    let mut by_use: Vec<(Column, usize)> = asked.into_iter().collect();
    by_use.sort_by_key(|(column, count)| (usize::MAX - count, *column));
    let mut out: Vec<Column> = vec![];
    for (column, _) in by_use {
        let alike = |other: &&Column| match (column, **other) {
            (Column::Field { field: a, .. }, Column::Field { field: b, .. }) => a == b,
            (Column::Field { .. }, _) | (_, Column::Field { .. }) => false,
            _ => true,
        };
        let room = match column {
            Column::Field { field, .. } if field < FIELDS => OF_FIELD,
            Column::Field { .. } => 0,
            _ => HEADS,
        };
        if out.len() < COLUMNS && out.iter().filter(alike).count() < room {
            out.push(column);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Head;

    const PATH: Column = Column::field(0, Kind::Start);
    const USER: Column = Column::Head(Head::Uid);
    const COMM: Column = Column::Head(Head::Comm);
    const PROGRAM: Column = Column::Executable(Kind::Start);

    fn order(alternatives: Vec<Alternative>) -> (Vec<Column>, usize) {
        let sieve = Sieve::new(alternatives).unwrap();
        (sieve.columns().iter().map(|t| t.column).collect(), sieve.early())
    }

    #[test]
    fn what_most_fail_by_is_asked_first() {
        let below = PATH.part(b"/etc/").unwrap();
        let root = USER.numbers(&[0]);
        let users = USER.range(1000, u32::MAX.into());
        let not_tar = COMM.whole(b"tar").unwrap().not();
        let all = Alternative::default().with(PATH, below.clone()).with(USER, root.clone());
        assert_eq!(order(vec![all.with(COMM, not_tar.clone())]), (vec![USER, COMM, PATH], 1));
        let dpkg = PROGRAM.whole(b"/usr/bin/dpkg").unwrap();
        let all = Alternative::default().with(PATH, below.clone());
        assert_eq!(order(vec![all.clone().with(PROGRAM, dpkg.clone())]), (vec![PROGRAM, PATH], 1));
        assert_eq!(order(vec![all.with(PROGRAM, dpkg.not())]), (vec![PATH], 0));
        assert_eq!(order(vec![Alternative::default().with(PROGRAM, dpkg.not())]), (vec![PROGRAM], 1));
        // Neither stops much: the path does.
        let all = Alternative::default().with(PATH, below.clone()).with(USER, users.clone());
        assert_eq!(order(vec![all.with(COMM, not_tar.clone())]), (vec![USER, COMM, PATH], 0));
        // What is left out below a directory says little of the others: as early as can be.
        let all = Alternative::default().with(PATH, below.not()).with(USER, users);
        assert_eq!(order(vec![all.with(COMM, not_tar)]), (vec![USER, COMM, PATH], 2));
    }
}
