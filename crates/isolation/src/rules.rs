//! The rules, applied.

use std::collections::{BTreeMap, BTreeSet};

use crate::btf::Definition;
use crate::image::{Image, Map};
use crate::reach::{Reach, Way};
use crate::scope;
use crate::{Context, Lane, Program, Report, Rule, ScopeWrite, Violation};

const SCOPE_TREE: &str = "scope_tree";
const BPF_F_RDONLY_PROG: u32 = 1 << 7;

const ARRAY: u32 = 2;
const PROG_ARRAY: u32 = 3;
/// Which holds maps: the kernel lets no program write to it, and refuses the flag that says so.
const ARRAY_OF_MAPS: u32 = 12;
/// `PERCPU_HASH`, `PERCPU_ARRAY`, `LRU_PERCPU_HASH`, `PERCPU_CGROUP_STORAGE`.
const PER_CPU: [u32; 4] = [5, 6, 10, 21];

/// Judges an object against its declarations.
pub(crate) fn judge(image: &Image, declared: &[Program<'_>]) -> Report {
    let mut found = BTreeSet::new();
    let mut by_name = BTreeMap::new();
    for program in declared {
        if by_name.insert(program.name, program).is_some() {
            found.insert(about(program.name, Rule::DeclaredTwice));
        }
        found.extend(declaration(program).into_iter().map(|rule| about(program.name, rule)));
    }

    let scope = image.maps.iter().position(|map| map.name == SCOPE_TREE);
    let writes = scope.map(|scope| scope::writes(image, scope)).unwrap_or_default();
    let mut reach = BTreeMap::new();
    let mut reached = BTreeSet::new();
    for (index, function) in image.functions.iter().enumerate().filter(|(_, function)| function.program) {
        let name = function.name.as_str();
        let own = Reach::of(image, index);
        let program = by_name.get(name).copied();
        if program.is_none() {
            found.insert(about(name, Rule::NotDeclared));
        }
        Judge { image, name, program, reach: &own, writes: &writes, found: &mut found }.all();
        reached.extend(own.maps.keys().copied());
        reach.insert(name.to_owned(), own.names(image));
    }
    let missing = by_name.keys().filter(|&&name| !reach.contains_key(name));
    found.extend(missing.map(|name| about(name, Rule::NotInObject)));

    // A map that nothing reaches today is one line away from being reached.
    for (_, map) in image.maps.iter().enumerate().filter(|(index, _)| !reached.contains(index)) {
        let blame =
            |rule| Violation { program: None, map: Some(map.name.clone()), through: Way::new(), rule };
        found.extend(definition(map).into_iter().map(blame));
    }
    Report { violations: found.into_iter().collect(), programs: reach.len(), maps: image.maps.len(), reach }
}

fn about(program: &str, rule: Rule) -> Violation {
    Violation { program: Some(program.to_owned()), map: None, through: Way::new(), rule }
}

/// What is wrong with a declaration, whatever the object.
fn declaration(program: &Program<'_>) -> Vec<Rule> {
    let Program { lane, contexts, .. } = *program;
    let mut rules = Vec::new();
    if contexts.is_empty() {
        rules.push(Rule::NoContext);
    }
    if program.needs_slot && contexts.contains(&Context::Any) {
        rules.push(Rule::SlotInAnyContext);
    }
    if matches!(lane, Lane::Life | Lane::Task) {
        let foreign = contexts.iter().filter(|&&context| context != Context::Task);
        rules.extend(foreign.map(|&context| Rule::ForeignContext { lane, context }));
    }
    if program.writes_scope && lane != Lane::Life {
        rules.push(Rule::ScopeWriterLane { lane });
    }
    rules
}

/// What is wrong with a map, whoever reaches it.
fn definition(map: &Map) -> Vec<Rule> {
    let Map { name, definition, .. } = map;
    let kind = definition.kind;
    let config = name.starts_with("cfg_");
    let lane = Lane::of_map(name);
    let every = || std::iter::once(definition).chain(definition.inner.as_deref());
    let mut rules = Vec::new();
    if let Some(per_cpu) = every().find(|map| PER_CPU.contains(&map.kind)) {
        rules.push(Rule::PerCpuMap { kind: per_cpu.kind });
    }
    if kind == PROG_ARRAY && !config {
        rules.push(Rule::ProgramArrayNotConfig);
    }
    let writable = |map: &Definition| {
        map.flags & BPF_F_RDONLY_PROG == 0 && ![PROG_ARRAY, ARRAY_OF_MAPS].contains(&map.kind)
    };
    if config && every().any(writable) {
        rules.push(Rule::WritableConfig);
    }
    if name == SCOPE_TREE {
        if definition.value_size != Some(8) {
            rules.push(Rule::ScopeValueSize { size: definition.value_size });
        }
    } else if lane.is_none() && !config {
        rules.push(Rule::NoLane);
    }
    if lane.is_some() && name.ends_with("_slots") && kind != ARRAY {
        rules.push(Rule::SlotsNotArray { kind });
    }
    rules
}

/// One program and what it reaches.
struct Judge<'a> {
    image: &'a Image,
    name: &'a str,
    program: Option<&'a Program<'a>>,
    reach: &'a Reach<'a>,
    /// How each function can write `scope_tree`.
    writes: &'a [BTreeSet<ScopeWrite>],
    found: &'a mut BTreeSet<Violation>,
}

impl Judge<'_> {
    fn blame(&mut self, map: Option<&str>, through: &[String], rule: Rule) {
        let (program, map) = (Some(self.name.to_owned()), map.map(str::to_owned));
        self.found.insert(Violation { program, map, through: through.to_vec(), rule });
    }

    fn all(&mut self) {
        for (section, way) in &self.reach.data {
            // Other sections hold no data that libbpf would load.
            let frozen = *section == ".kconfig" || *section == ".ksyms" || is_named(section, ".rodata");
            if !frozen {
                let writable = is_named(section, ".data") || is_named(section, ".bss");
                let rule = if writable {
                    Rule::WritableGlobal
                } else {
                    Rule::NotFollowed { what: format!("data in section `{section}`") }
                };
                self.blame(Some(section), way, rule);
            }
        }
        for (what, way) in &self.reach.unknown {
            self.blame(None, way, Rule::NotFollowed { what: (*what).to_owned() });
        }
        for (&index, way) in &self.reach.maps {
            let Some(map) = self.image.maps.get(index) else { continue };
            for rule in definition(map) {
                self.blame(Some(&map.name), way, rule);
            }
            self.lane(map, way);
            if map.name == SCOPE_TREE {
                self.scope(map);
            }
        }
    }

    fn lane(&mut self, map: &Map, way: &[String]) {
        let (Some(program), Some(lane)) = (self.program, Lane::of_map(&map.name)) else { return };
        if lane != program.lane {
            self.blame(Some(&map.name), way, Rule::ForeignLane { program: program.lane, map: lane });
        } else if map.name.ends_with("_slots") && !program.needs_slot {
            self.blame(Some(&map.name), way, Rule::SlotNotDeclared);
        }
    }

    fn scope(&mut self, map: &Map) {
        // A program that is not declared may write nothing.
        if self.program.is_some_and(|program| program.writes_scope) {
            return;
        }
        for (&place, way) in &self.reach.functions {
            let (Some(function), Some(writes)) = (self.image.functions.get(place), self.writes.get(place))
            else {
                continue;
            };
            let mut through = way.clone();
            if function.name != self.name {
                through.push(function.name.clone());
            }
            for &how in writes {
                self.blame(Some(&map.name), &through, Rule::ScopeWrite { how });
            }
        }
    }
}

/// Whether a section is `prefix`, or a part of it as in `.rodata.str1.1`.
fn is_named(section: &str, prefix: &str) -> bool {
    section.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
