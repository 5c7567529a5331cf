//! The object as functions, maps, and what each refers to.

use std::collections::BTreeMap;

use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SectionKind,
    SymbolKind, elf,
};

use crate::Error;
use crate::btf::{Btf, Definition};
use crate::insn::{self, CALL, CALLX, Insn, JUMPX, LD_IMM64, PSEUDO_CALL, SIZE};

type File<'a> = ElfFile64<'a, LittleEndian>;

/// The section of subprograms. Functions elsewhere are programs.
const SUBPROGRAMS: &str = ".text";

/// What an instruction, or a map's initial value, refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A function, by its place in [`Image::functions`]: called, or handed to a helper as a callback.
    Function(usize),
    /// A map, by its place in [`Image::maps`].
    Map(usize),
    /// Global data in the section of this name.
    Data(String),
    /// A variable or function of the kernel.
    Kernel,
    /// Something that can not be followed.
    Unknown(String),
}

pub(crate) struct Function {
    pub(crate) name: String,
    /// Whether it is a program rather than a subprogram.
    pub(crate) program: bool,
    pub(crate) insns: Vec<Insn>,
    /// By the instruction's place in the function.
    pub(crate) references: BTreeMap<usize, Reference>,
}

pub(crate) struct Map {
    pub(crate) name: String,
    pub(crate) definition: Definition,
    /// Maps and programs that it holds from the start.
    pub(crate) holds: Vec<Reference>,
}

pub(crate) struct Image {
    pub(crate) functions: Vec<Function>,
    pub(crate) maps: Vec<Map>,
}

/// Where things are: symbols to their places in the [`Image`].
struct Places<'a, 'b> {
    file: &'b File<'a>,
    btf: &'b Btf<'b>,
    /// The longest function at each start.
    functions: BTreeMap<(usize, u64), usize>,
    /// Start and end of each map.
    maps: Vec<(SectionIndex, u64, u64)>,
}

struct Span {
    section: SectionIndex,
    start: u64,
    size: u64,
}

impl Image {
    /// Reads a compiled object.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, Error> {
        let file = File::parse(data)?;
        if file.elf_header().e_machine.get(LittleEndian) != elf::EM_BPF {
            return Err(Error::NotBpf);
        }
        let section = file.section_by_name(".BTF").ok_or(Error::Btf("there is none"))?;
        let btf = Btf::parse(section.data()?)?;

        let (mut functions, spans) = functions(&file)?;
        let (mut maps, map_spans) = maps(&file, &btf)?;
        let mut places = Places { file: &file, btf: &btf, functions: BTreeMap::new(), maps: map_spans };
        for (index, span) in spans.iter().enumerate() {
            let longest = places.functions.entry((span.section.0, span.start)).or_insert(index);
            if spans.get(*longest).is_some_and(|known| known.size < span.size) {
                *longest = index;
            }
        }
        for (function, span) in functions.iter_mut().zip(&spans) {
            places.refer(function, span)?;
        }
        for (index, reference) in places.held()? {
            if let Some(map) = maps.get_mut(index) {
                map.holds.push(reference);
            }
        }
        Ok(Self { functions, maps })
    }
}

fn functions(file: &File<'_>) -> Result<(Vec<Function>, Vec<Span>), Error> {
    let (mut functions, mut spans) = (Vec::new(), Vec::new());
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index)?;
        let name = symbol.name()?.to_owned();
        let (start, size) = (symbol.address(), symbol.size());
        let code = file_range(section.data()?, start, size).filter(|_| start % SIZE as u64 == 0);
        let Some(insns) = code.and_then(insn::decode) else {
            return Err(Error::Function {
                function: name,
                why: "it is not whole instructions of its section",
            });
        };
        let program = section.name()? != SUBPROGRAMS;
        functions.push(Function { name, program, insns, references: BTreeMap::new() });
        spans.push(Span { section: index, start, size });
    }
    Ok((functions, spans))
}

fn file_range(data: &[u8], start: u64, size: u64) -> Option<&[u8]> {
    let end = start.checked_add(size)?;
    data.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

type Maps = (Vec<Map>, Vec<(SectionIndex, u64, u64)>);

fn maps(file: &File<'_>, btf: &Btf<'_>) -> Result<Maps, Error> {
    let (mut maps, mut spans) = (Vec::new(), Vec::new());
    let Some(section) = file.section_by_name(".maps") else { return Ok((maps, spans)) };
    let types: BTreeMap<_, _> = btf.variables(".maps").collect();
    // The offsets in BTF are zero until a linker fills them in, so symbols tell where a map is.
    for symbol in file.symbols().filter(|symbol| symbol.section_index() == Some(section.index())) {
        if matches!(symbol.kind(), SymbolKind::Section | SymbolKind::Label) {
            continue;
        }
        let name = symbol.name()?.to_owned();
        let Some(&id) = types.get(name.as_str()) else {
            return Err(Error::Map { map: name, why: "it is not in the type information" });
        };
        let Some(end) = symbol.address().checked_add(symbol.size()) else {
            return Err(Error::Map { map: name, why: "it has no end" });
        };
        match btf.definition(id) {
            Ok(definition) => maps.push(Map { name, definition, holds: Vec::new() }),
            Err(why) => return Err(Error::Map { map: name, why }),
        }
        spans.push((section.index(), symbol.address(), end));
    }
    Ok((maps, spans))
}

impl Places<'_, '_> {
    /// Finds what every instruction of a function refers to.
    fn refer(&self, function: &mut Function, span: &Span) -> Result<(), Error> {
        let section = self.file.section_by_index(span.section)?;
        for (at, relocation) in section.relocations() {
            let Some(within) = at.checked_sub(span.start).filter(|&within| within < span.size) else {
                continue;
            };
            let place = usize::try_from(within).unwrap_or(usize::MAX) / SIZE;
            let Some(&insn) = function.insns.get(place) else { continue };
            let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
            let symbol = self.file.symbol_by_index(symbol)?;
            let aligned = within % SIZE as u64 == 0;
            let reference = match insn.code {
                // A section symbol and `imm` together name the function: clang writes a static function's calls so.
                CALL if aligned => self.code(&symbol, (i64::from(insn.imm) + 1) * SIZE as i64)?,
                LD_IMM64 if aligned => self.value(&symbol, i64::from(insn.imm))?,
                _ => Reference::Unknown(format!(
                    "a relocation to `{}` on an instruction that takes none",
                    symbol.name().unwrap_or_default()
                )),
            };
            function.references.insert(place, reference);
        }

        let mut place = 0;
        while let Some(&insn) = function.insns.get(place) {
            if let std::collections::btree_map::Entry::Vacant(vacant) = function.references.entry(place) {
                let here = span.start / SIZE as u64 + place as u64;
                if let Some(reference) = self.unrelocated(insn, span.section, here) {
                    vacant.insert(reference);
                }
            }
            place += if insn.code == LD_IMM64 { 2 } else { 1 };
        }
        Ok(())
    }

    /// What an instruction without a relocation refers to.
    fn unrelocated(&self, insn: Insn, section: SectionIndex, here: u64) -> Option<Reference> {
        match (insn.code, insn.src) {
            (CALL, 0) | (LD_IMM64, 0) => None,
            (CALL, PSEUDO_CALL) => {
                let target = here.checked_add_signed(i64::from(insn.imm) + 1);
                let target = target.and_then(|target| target.checked_mul(SIZE as u64));
                Some(self.function(section, target))
            }
            (CALL, _) => Some(Reference::Unknown("a call of an unknown kind".to_owned())),
            (CALLX, _) => Some(Reference::Unknown("a call through a register".to_owned())),
            (JUMPX, _) => Some(Reference::Unknown("a jump through a register".to_owned())),
            (LD_IMM64, _) => Some(Reference::Unknown("a map or function without a name".to_owned())),
            _ => None,
        }
    }

    /// The function at a place in a section.
    fn function(&self, section: SectionIndex, start: Option<u64>) -> Reference {
        let found = start.and_then(|start| self.functions.get(&(section.0, start)));
        found.map_or_else(
            || Reference::Unknown("code that is not the start of a function".to_owned()),
            |&function| Reference::Function(function),
        )
    }

    fn code(&self, symbol: &ElfSymbol64<'_, '_, LittleEndian>, addend: i64) -> Result<Reference, Error> {
        match symbol.section_index() {
            Some(section) => Ok(self.function(section, symbol.address().checked_add_signed(addend))),
            None => self.undefined(symbol),
        }
    }

    /// What the address of a symbol is the address of.
    fn value(&self, symbol: &ElfSymbol64<'_, '_, LittleEndian>, addend: i64) -> Result<Reference, Error> {
        let Some(index) = symbol.section_index() else { return self.undefined(symbol) };
        let section = self.file.section_by_index(index)?;
        let name = section.name()?;
        let target = symbol.address().checked_add_signed(addend);
        if section.kind() == SectionKind::Text {
            return Ok(self.function(index, target));
        }
        if name != ".maps" {
            return Ok(Reference::Data(name.to_owned()));
        }
        // libbpf takes a named map's address as the map, whatever is added to it.
        let target = if symbol.kind() == SymbolKind::Section { target } else { Some(symbol.address()) };
        let found = self.map_at(index, target);
        Ok(found.map_or_else(
            || Reference::Unknown("a place in .maps where no map is".to_owned()),
            Reference::Map,
        ))
    }

    fn map_at(&self, section: SectionIndex, target: Option<u64>) -> Option<usize> {
        let target = target?;
        self.maps.iter().position(|&(of, start, end)| of == section && (start..end).contains(&target))
    }

    fn undefined(&self, symbol: &ElfSymbol64<'_, '_, LittleEndian>) -> Result<Reference, Error> {
        let name = symbol.name()?;
        let kernel = [".ksyms", ".kconfig"].iter().any(|section| self.btf.declares(section, name));
        Ok(if kernel {
            Reference::Kernel
        } else {
            Reference::Unknown(format!("`{name}`, which is not defined here"))
        })
    }

    /// What maps are initialised with: `.values = { &map, &program }`.
    fn held(&self) -> Result<Vec<(usize, Reference)>, Error> {
        let mut held = Vec::new();
        let Some(section) = self.file.section_by_name(".maps") else { return Ok(held) };
        for (at, relocation) in section.relocations() {
            let (Some(map), RelocationTarget::Symbol(symbol)) =
                (self.map_at(section.index(), Some(at)), relocation.target())
            else {
                continue;
            };
            let symbol = self.file.symbol_by_index(symbol)?;
            // The addend is in the place itself, and is the target's offset when the symbol is a section.
            let place = file_range(section.data()?, at, 8).and_then(|bytes| bytes.try_into().ok());
            let addend = place.map_or(0, i64::from_le_bytes);
            held.push((map, self.value(&symbol, addend)?));
        }
        Ok(held)
    }
}
