//! The part of BTF that tells what a map is.
//!
//! Every offset and every type number comes from the file, so each is checked: a broken file ends in an error or in
//! "not known", never in a panic or an endless loop.

use crate::Error;

const MAGIC: u16 = 0xeb9f;
/// No chain of pointers, typedefs and arrays in a map definition is this long; a longer one is a cycle.
const MAX_CHAIN: usize = 32;

const INT: u8 = 1;
const PTR: u8 = 2;
const ARRAY: u8 = 3;
const STRUCT: u8 = 4;
const UNION: u8 = 5;
const ENUM: u8 = 6;
const FWD: u8 = 7;
const TYPEDEF: u8 = 8;
const VOLATILE: u8 = 9;
const CONST: u8 = 10;
const RESTRICT: u8 = 11;
const FUNC: u8 = 12;
const FUNC_PROTO: u8 = 13;
const VAR: u8 = 14;
const DATASEC: u8 = 15;
const FLOAT: u8 = 16;
const DECL_TAG: u8 = 17;
const TYPE_TAG: u8 = 18;
const ENUM64: u8 = 19;

/// The types of one object.
pub(crate) struct Btf<'a> {
    strings: &'a [u8],
    types: Vec<Type<'a>>,
}

#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u8,
    /// The size or the type that it refers to, by kind.
    of: u32,
    /// What follows the fixed part.
    rest: &'a [u8],
}

/// A map as its definition says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) value_size: Option<u32>,
    /// The maps that a map of maps holds.
    pub(crate) inner: Option<Box<Definition>>,
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let start = index.checked_mul(4)?;
    let bytes = bytes.get(start..start.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn part(data: &[u8], base: u32, offset: u32, length: u32) -> Option<&[u8]> {
    let start = base.checked_add(offset)?;
    let end = start.checked_add(length)?;
    data.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

impl<'a> Btf<'a> {
    /// Reads a `.BTF` section.
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, Error> {
        if data.get(..2) != Some(&MAGIC.to_le_bytes()) {
            return Err(Error::Btf("no header"));
        }
        let cut = Error::Btf("a section is cut short");
        let header = |index| word(data, index).ok_or(Error::Btf("no header"));
        let base = header(1)?;
        let types = part(data, base, header(2)?, header(3)?);
        let strings = part(data, base, header(4)?, header(5)?);
        let (Some(mut rest), Some(strings)) = (types, strings) else { return Err(cut) };

        // Type 0 is void, and is not in the file.
        let mut types = vec![Type { name: 0, kind: 0, of: 0, rest: &[] }];
        while !rest.is_empty() {
            let (Some(name), Some(info), Some(of)) = (word(rest, 0), word(rest, 1), word(rest, 2)) else {
                return Err(cut);
            };
            let count = (info & 0xffff) as usize;
            let kind = (info >> 24 & 0x1f) as u8;
            let length = match kind {
                INT | VAR | DECL_TAG => 4,
                ARRAY => 12,
                STRUCT | UNION | DATASEC | ENUM64 => count * 12,
                ENUM | FUNC_PROTO => count * 8,
                PTR | FWD | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | FLOAT | TYPE_TAG => 0,
                _ => return Err(Error::Btf("a kind of type that this reader does not know")),
            };
            let Some((own, others)) = rest.get(12..).and_then(|tail| tail.split_at_checked(length)) else {
                return Err(cut);
            };
            types.push(Type { name, kind, of, rest: own });
            rest = others;
        }
        Ok(Self { strings, types })
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        self.types.get(usize::try_from(id).ok()?).copied()
    }

    fn string(&self, offset: u32) -> Option<&'a str> {
        let tail = self.strings.get(usize::try_from(offset).ok()?..)?;
        let end = tail.iter().position(|&byte| byte == 0)?;
        str::from_utf8(tail.get(..end)?).ok()
    }

    /// The type without its names and qualifiers.
    fn bare(&self, mut id: u32) -> Option<Type<'a>> {
        for _ in 0..MAX_CHAIN {
            let found = self.get(id)?;
            match found.kind {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = found.of,
                _ => return Some(found),
            }
        }
        None
    }

    fn pointee(&self, id: u32) -> Option<u32> {
        self.bare(id).filter(|found| found.kind == PTR).map(|found| found.of)
    }

    fn array(&self, id: u32) -> Option<(u32, u32)> {
        let found = self.bare(id).filter(|found| found.kind == ARRAY)?;
        Some((word(found.rest, 0)?, word(found.rest, 2)?))
    }

    fn size(&self, mut id: u32) -> Option<u32> {
        let mut elements = 1_u32;
        for _ in 0..MAX_CHAIN {
            let found = self.bare(id)?;
            match found.kind {
                INT | STRUCT | UNION | ENUM | ENUM64 | FLOAT => return elements.checked_mul(found.of),
                PTR => return elements.checked_mul(8),
                ARRAY => {
                    id = word(found.rest, 0)?;
                    elements = elements.checked_mul(word(found.rest, 2)?)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// The variables of a data section: name and type.
    pub(crate) fn variables(&self, section: &str) -> impl Iterator<Item = (&'a str, u32)> {
        self.members_of(section).filter(|(_, found)| found.kind == VAR).map(|(name, found)| (name, found.of))
    }

    /// Whether the named section declares the variable or function: so are `extern`s of the kernel marked.
    pub(crate) fn declares(&self, section: &str, name: &str) -> bool {
        self.members_of(section).any(|(member, _)| member == name)
    }

    fn members_of(&self, section: &str) -> impl Iterator<Item = (&'a str, Type<'a>)> {
        self.types
            .iter()
            .filter(move |found| found.kind == DATASEC && self.string(found.name) == Some(section))
            .flat_map(|found| found.rest.as_chunks::<12>().0)
            .filter_map(|entry| self.get(word(entry, 0)?))
            .filter_map(|found| Some((self.string(found.name)?, found)))
    }

    /// The map definition that type `id` spells, in the manner of libbpf: `int (*name)[value]`.
    pub(crate) fn definition(&self, id: u32) -> Result<Definition, &'static str> {
        self.definition_within(id, true)
    }

    fn definition_within(&self, id: u32, may_hold_maps: bool) -> Result<Definition, &'static str> {
        let found = self.bare(id).filter(|found| found.kind == STRUCT).ok_or("it is not a struct")?;
        let mut definition = Definition::default();
        let mut kind = None;
        for member in found.rest.as_chunks::<12>().0 {
            let (Some(name), Some(of)) =
                (word(member, 0).and_then(|name| self.string(name)), word(member, 1))
            else {
                return Err("it has a member without a name");
            };
            let number = || {
                let array = self.pointee(of).and_then(|array| self.array(array));
                array.map(|(_, count)| count).ok_or("it has a member that is no number")
            };
            match name {
                "type" => kind = Some(number()?),
                "map_flags" => definition.flags = number()?,
                "value_size" => definition.value_size = Some(number()?),
                "value" => definition.value_size = self.pointee(of).and_then(|value| self.size(value)),
                "values" => definition.inner = self.inner(of, may_hold_maps)?.map(Box::new),
                _ => {}
            }
        }
        definition.kind = kind.ok_or("it has no type")?;
        Ok(definition)
    }

    /// What a map's `values` are: maps, or (for a program array) functions.
    fn inner(&self, of: u32, may_hold_maps: bool) -> Result<Option<Definition>, &'static str> {
        let element = self.array(of).and_then(|(element, _)| self.pointee(element));
        let element = element.ok_or("its `values` are not an array of pointers")?;
        match self.bare(element) {
            Some(found) if found.kind == STRUCT && may_hold_maps => {
                self.definition_within(element, false).map(Some)
            }
            Some(found) if found.kind == FUNC_PROTO => Ok(None),
            _ => Err("its `values` are neither maps nor programs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `.BTF` section of these types, each as the words of its fixed part and what follows.
    fn section(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let length = types.len() as u32 * 4;
        let header = [0x1_eb9f, 24, 0, length, length, strings.len() as u32];
        let words = header.iter().chain(types).flat_map(|word| word.to_le_bytes());
        words.chain(strings.iter().copied()).collect()
    }

    fn info(kind: u8, count: u32) -> u32 {
        u32::from(kind) << 24 | count
    }

    #[test]
    fn a_cycle_of_types_has_no_end_and_no_size() {
        // 1: typedef of 2; 2: typedef of 1; 3: array of 3.
        let types = [0, info(TYPEDEF, 0), 2, 0, info(TYPEDEF, 0), 1, 0, info(ARRAY, 0), 0, 3, 1, 1];
        let data = section(&types, b"\0");
        let btf = Btf::parse(&data).expect("well-formed, but for its meaning");
        assert_eq!((btf.size(1), btf.size(3)), (None, None));
        assert_eq!(btf.definition(1), Err("it is not a struct"));
    }

    #[test]
    fn sizes_do_not_overflow() {
        // 1: array of 2^31 of 2; 2: array of 2^31 of 3; 3: int.
        let array = |of| [0, info(ARRAY, 0), 0, of, 3, 1 << 31];
        let types = [array(2).as_slice(), &array(3), &[0, info(INT, 0), 4, 32]].concat();
        let data = section(&types, b"\0");
        let btf = Btf::parse(&data).expect("well-formed");
        assert_eq!((btf.size(1), btf.size(3)), (None, Some(4)));
    }

    #[test]
    fn what_is_not_known_or_cut_is_an_error() {
        assert!(Btf::parse(b"").is_err());
        assert!(Btf::parse(&section(&[0, info(INT, 0), 4], b"\0")).is_err());
        assert!(Btf::parse(&section(&[0, info(31, 0), 4], b"\0")).is_err());
        assert!(Btf::parse(&section(&[], b"\0")[..24]).is_err());
    }
}
