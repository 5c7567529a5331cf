//! Structures of the interface between user space and the kernel, as a system call was given them.

use catalogue::{Layout, Member, MemberType};

use crate::bytes;

/// Structures of one kind, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structures<'a> {
    layout: &'static Layout,
    raw: &'a [u8],
}

/// A member's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberValue<'a> {
    /// A number with a sign.
    Signed(i64),
    /// A number without; in host order.
    Unsigned(u64),
    /// An address.
    Pointer(u64),
    /// Text, without what follows its first NUL.
    Str(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl MemberValue<'_> {
    /// The number, for the names of its format; unsigned ones wrap.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            MemberValue::Signed(n) => Some(n),
            MemberValue::Unsigned(n) | MemberValue::Pointer(n) => Some(n.cast_signed()),
            MemberValue::Str(_) | MemberValue::Bytes(_) => None,
        }
    }
}

impl<'a> Structures<'a> {
    /// The structures of that layout in `raw`; `compat`: as a 32-bit program has it.
    pub(crate) fn new(layout: &'static Layout, raw: &'a [u8], compat: bool) -> Self {
        let layout = layout.compat.filter(|_| compat).unwrap_or(layout);
        Self { layout, raw }
    }

    /// What they are.
    pub const fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// Each whole structure: its members and their values.
    pub fn iter(&self) -> impl Iterator<Item = Vec<(&'static Member, MemberValue<'a>)>> {
        let Structures { layout, raw } = *self;
        raw.chunks_exact(layout.size.max(1)).map(move |one| members(layout, one).collect())
    }

    /// The members of the one structure that this is, as far as it goes: of one that has grown since, the caller may know less.
    pub fn members(&self) -> impl Iterator<Item = (&'static Member, MemberValue<'a>)> {
        members(self.layout, self.raw.get(..self.layout.size).unwrap_or(self.raw))
    }
}

/// Those that are all there; of bytes what is there.
fn members<'a>(
    layout: &'static Layout,
    raw: &'a [u8],
) -> impl Iterator<Item = (&'static Member, MemberValue<'a>)> {
    let there = |m: &&Member| m.offset + if m.ty == MemberType::Bytes { 1 } else { m.size } <= raw.len();
    layout.members.iter().filter(move |m| there(m)).map(move |m| (m, value(m, raw)))
}

fn value<'a>(member: &Member, raw: &'a [u8]) -> MemberValue<'a> {
    let at = member.offset;
    let [byte] = bytes::array(raw, at);
    let part = raw.get(at..raw.len().min(at + member.size)).unwrap_or_default();
    match member.ty {
        MemberType::I8 => MemberValue::Signed(i64::from(byte.cast_signed())),
        MemberType::U8 => MemberValue::Unsigned(byte.into()),
        MemberType::I16 => MemberValue::Signed(i64::from(bytes::u16(raw, at).cast_signed())),
        MemberType::U16 => MemberValue::Unsigned(bytes::u16(raw, at).into()),
        MemberType::I32 => MemberValue::Signed(i64::from(bytes::u32(raw, at).cast_signed())),
        MemberType::U32 => MemberValue::Unsigned(bytes::u32(raw, at).into()),
        MemberType::I64 => MemberValue::Signed(bytes::u64(raw, at).cast_signed()),
        MemberType::U64 => MemberValue::Unsigned(bytes::u64(raw, at)),
        MemberType::Ptr => MemberValue::Pointer(bytes::u64(raw, at)),
        MemberType::Be16 => MemberValue::Unsigned(bytes::be16(raw, at).into()),
        MemberType::Be32 => MemberValue::Unsigned(bytes::be32(raw, at).into()),
        MemberType::Str => {
            let end = memchr::memchr(0, part).unwrap_or(part.len());
            MemberValue::Str(part.get(..end).unwrap_or_default())
        }
        MemberType::Bytes => MemberValue::Bytes(part),
    }
}
