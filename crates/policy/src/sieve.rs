//! Conditions and scopes, as far as the kernel can decide them: as alternatives of a sieve.

use catalogue::{Event, Type};
use expr::{Bounds, Condition, Is, Place};
use sieve::{Alternative, Column, Head, Kind};

use crate::fields::{About, Part, Slot};

/// More ways than that to meet one condition are not told apart.
const MOST: usize = 64;

/// The ways for an event to meet a condition, or to leave it undecided; and whether they are all that it asks. `slot` tells the field of the
/// event, if it is one.
pub fn alternatives<S>(
    event: &Event,
    condition: Option<&Condition<S>>,
    slot: impl Fn(&S) -> Option<Slot>,
) -> (Vec<Alternative>, bool) {
    let Some(condition) = condition else { return (vec![Alternative::default()], true) };
    let (bounds, exact) = condition.bounds();
    let mut of = Translation { event, slot, exact };
    let ways = of.ways(&bounds);
    (ways, of.exact)
}

struct Translation<'e, F> {
    event: &'e Event,
    slot: F,
    exact: bool,
}

impl<F> Translation<'_, F> {
    /// Each way to be so.
    fn ways<S>(&mut self, bounds: &Bounds<'_, S>) -> Vec<Alternative>
    where
        F: Fn(&S) -> Option<Slot>,
    {
        match bounds {
            Bounds::Open => vec![Alternative::default()],
            Bounds::Never => vec![],
            Bounds::Any(parts) => {
                let mut any = vec![];
                for part in parts {
                    any.extend(self.ways(part));
                }
                any
            }
            Bounds::All(parts) => {
                let mut all = vec![Alternative::default()];
                for part in parts {
                    let ways = self.ways(part);
                    if all.len() * ways.len() > MOST {
                        self.exact = false;
                        continue;
                    }
                    all = all.iter().flat_map(|a| ways.iter().map(move |b| a.and(b))).collect();
                }
                all
            }
            Bounds::Field { slot, is, not } => {
                let found = (self.slot)(slot).and_then(|slot| self.field(slot, is, *not));
                found.unwrap_or_else(|| {
                    self.exact = false;
                    vec![Alternative::default()]
                })
            }
        }
    }

    /// Each way for a field to be so; `None` if the kernel can not look at it.
    fn field(&mut self, slot: Slot, is: &Is<'_>, not: bool) -> Option<Vec<Alternative>> {
        let column = column(self.event, slot)?;
        let one = |column: Column, values: sieve::Values| {
            vec![Alternative::default().with(column, if not { values.not() } else { values })]
        };
        let number = matches!(column.kind(), Kind::U32 | Kind::I32 | Kind::U64 | Kind::I64 | Kind::Port);
        match is {
            Is::True if number => Some(vec![
                Alternative::default()
                    .with(column, if not { column.numbers(&[0]) } else { column.numbers(&[0]).not() }),
            ]),
            Is::Numbers(list) if number => Some(one(column, column.numbers(list))),
            Is::Range(first, last) if number => Some(one(column, column.range(*first, *last))),
            Is::Bits(bits) => {
                let Column::Field { field, kind, at, .. } = column else { return None };
                let (kind, mask) = match kind {
                    Kind::U32 | Kind::I32 => (Kind::U32, u32::try_from(*bits).ok()?.into()),
                    Kind::U64 | Kind::I64 => (Kind::U64, u64::try_from(*bits).ok()?),
                    _ => return None,
                };
                let column = Column::Field { field, kind, at, mask };
                Some(one(column, column.numbers(&[*bits])))
            }
            Is::Nets(nets) if column.kind() == Kind::Address => {
                Some(one(column, column.networks(nets.iter().map(|net| (net.addr(), net.bits())))))
            }
            Is::Texts(texts) if matches!(column.kind(), Kind::Start | Kind::Comm | Kind::UnixStart) => {
                self.texts(column, texts, not)
            }
            _ => None,
        }
    }

    fn texts(
        &mut self,
        column: Column,
        texts: &[(Place, std::borrow::Cow<'_, [u8]>)],
        not: bool,
    ) -> Option<Vec<Alternative>> {
        let from_end = match column {
            Column::Field { field, kind: Kind::Start, .. } => Some(Column::field(field, Kind::End)),
            Column::Field { field, kind: Kind::UnixStart, .. } => Some(Column::field(field, Kind::UnixEnd)),
            Column::Head(Head::Comm) => Some(Column::Head(Head::CommEnd)),
            Column::Executable(Kind::Start) => {
                // The kernel learns of it some time after.
                self.exact = false;
                Some(Column::Executable(Kind::End))
            }
            _ => None,
        };
        let mut any: Vec<(Column, sieve::Values)> = vec![];
        for (place, text) in texts {
            let column = if *place == Place::End { from_end? } else { column };
            if !column.fits(text) {
                self.exact = false;
                if not {
                    return None;
                }
            }
            let values = if *place == Place::Whole { column.whole(text)? } else { column.part(text)? };
            any.push((column, values));
        }
        let of = |column: Column| {
            let mut all: Vec<_> = any.iter().filter(|(c, _)| *c == column).map(|(_, v)| v.clone()).collect();
            while all.len() > 1 {
                all = all
                    .chunks(2)
                    .map(|two| two.iter().skip(1).fold(two[0].clone(), |a, b| a.or(b)))
                    .collect();
            }
            all.pop().map(|values| (column, values))
        };
        let found = [Some(column), from_end].into_iter().flatten().filter_map(of);
        Some(if not {
            vec![found.fold(Alternative::default(), |all, (column, values)| all.with(column, values.not()))]
        } else {
            found.map(|(column, values)| Alternative::default().with(column, values)).collect()
        })
    }
}

/// What the kernel is to look at for a field; of a text, from its beginning.
fn column(event: &Event, slot: Slot) -> Option<Column> {
    if let Slot::About(About::Executable) = slot {
        return Some(Column::Executable(Kind::Start));
    }
    Some(match slot {
        Slot::Data { index, part } => {
            let ty = event.fields.get(usize::from(index))?.ty;
            match (part, ty) {
                (Part::Whole, Type::I32) => Column::field(index, Kind::I32),
                (Part::Whole, Type::U32 | Type::Bool) => Column::field(index, Kind::U32),
                (Part::Whole, Type::I64) => Column::field(index, Kind::I64),
                (Part::Whole, Type::U64 | Type::Pointer) => Column::field(index, Kind::U64),
                (Part::Whole, Type::Str | Type::Path) => Column::field(index, Kind::Start),
                (Part::Ip, Type::Sockaddr) => Column::field(index, Kind::Address),
                (Part::Port, Type::Sockaddr) => Column::field(index, Kind::Port),
                (Part::Path, Type::Sockaddr) => Column::field(index, Kind::UnixStart),
                (Part::Credential(n), Type::Cred) => {
                    // `struct cred_record`: ten numbers of 4 bytes, then of 8.
                    let n = u16::from(n);
                    let (kind, at) = if n < 10 { (Kind::U32, n * 4) } else { (Kind::U64, 40 + (n - 10) * 8) };
                    Column::Field { field: index, kind, at, mask: u64::MAX }
                }
                _ => return None,
            }
        }
        Slot::About(about) => Column::Head(match about {
            About::Retval => Head::Return,
            About::Pid => Head::NsPid,
            About::Tid => Head::NsTid,
            About::Ppid => Head::NsPpid,
            About::HostPid => Head::Pid,
            About::HostTid => Head::Tid,
            About::HostPpid => Head::Ppid,
            About::Uid => Head::Uid,
            About::Gid => Head::Gid,
            About::Euid => Head::Euid,
            About::Egid => Head::Egid,
            About::Comm => Head::Comm,
            About::MntNs => Head::MntNs,
            About::PidNs => Head::PidNs,
            About::NetNs => Head::NetNs,
            About::UserNs => Head::UserNs,
            About::Cgroup => Head::Cgroup,
            _ => return None,
        }),
        Slot::Store(_) => return None,
    })
}
