//! What the proof finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{Context, Lane};

/// The verdict on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Every broken rule, in a fixed order. Empty for an object that keeps all of them.
    pub violations: Vec<Violation>,
    /// How many programs the object has.
    pub programs: usize,
    /// How many maps the object defines.
    pub maps: usize,
    /// For each program the maps and data sections that it reaches, itself or through others.
    pub reach: BTreeMap<String, BTreeSet<String>>,
}

impl Report {
    /// Whether the object keeps every rule.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (programs, maps, count) = (self.programs, self.maps, self.violations.len());
        write!(f, "{programs} programs, {maps} maps, {count} violations")?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The program that breaks it. None for a map that no program reaches.
    pub program: Option<String>,
    /// The map, or data section, that it is about.
    pub map: Option<String>,
    /// The subprograms, callbacks and maps between the program and the map.
    pub through: Vec<String>,
    /// The rule.
    pub rule: Rule,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.program, &self.map) {
            (Some(program), Some(map)) => write!(f, "program `{program}`, map `{map}`")?,
            (Some(program), None) => write!(f, "program `{program}`")?,
            (None, Some(map)) => write!(f, "map `{map}`")?,
            (None, None) => write!(f, "object")?,
        }
        if !self.through.is_empty() {
            write!(f, " (through `{}`)", self.through.join("` -> `"))?;
        }
        write!(f, ": {}", self.rule)
    }
}

/// The rules of ARCHITECTURE.md, "Lanes", each as the way to break it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// A program reaches another lane's map.
    #[error(
        "a program of lane {program} must not reach a map of lane {map}: nothing crosses lanes in the kernel"
    )]
    ForeignLane {
        /// The program's lane.
        program: Lane,
        /// The map's lane.
        map: Lane,
    },
    /// A per-CPU map.
    #[error(
        "it is a per-CPU map (type {kind}): a run that is preempted shares it with the next run on its CPU; \
         slots are the only scratch"
    )]
    PerCpuMap {
        /// `enum bpf_map_type`.
        kind: u32,
    },
    /// Writable global data.
    #[error("writable global data is shared by all lanes and CPUs: use a slot, or make it const")]
    WritableGlobal,
    /// A configuration map that programs could write.
    #[error(
        "a configuration map must be a program array, or carry BPF_F_RDONLY_PROG (and so must the maps in it)"
    )]
    WritableConfig,
    /// A map that belongs to no lane.
    #[error("its name begins with neither a lane nor cfg_, so no rule guards it")]
    NoLane,
    /// A program array that is not configuration.
    #[error("a program array must be named cfg_*: tail calls go through configuration only")]
    ProgramArrayNotConfig,
    /// Slots that are not in a plain array.
    #[error("a lane's slots must be a plain BPF_MAP_TYPE_ARRAY, not type {kind}")]
    SlotsNotArray {
        /// `enum bpf_map_type`.
        kind: u32,
    },
    /// `scope_tree` with values that can be torn.
    #[error("its value must be one 8-byte word, so that it can not be torn, but is {} bytes", size_text(*.size))]
    ScopeValueSize {
        /// The value's size, where the definition tells it.
        size: Option<u32>,
    },
    /// A program that may only read `scope_tree` can write it.
    #[error("only a program marked writes_scope may write it, and this one {how}")]
    ScopeWrite {
        /// How it can.
        how: ScopeWrite,
    },
    /// A program marked `writes_scope` outside the life lane.
    #[error("it is marked writes_scope, but is of lane {lane}: only the life lane keeps scope_tree")]
    ScopeWriterLane {
        /// Its lane.
        lane: Lane,
    },
    /// A slot in a hook whose context is not known.
    #[error(
        "it needs a slot, but its hook runs in any context, so a claim could not be told from the claim it interrupts"
    )]
    SlotInAnyContext,
    /// A lane with a hook that does not suit it.
    #[error("a program of lane {lane} must run in context task only, and this one runs in context {context}")]
    ForeignContext {
        /// The program's lane.
        lane: Lane,
        /// The context that the lane does not take.
        context: Context,
    },
    /// A program without a context.
    #[error("it is declared without a context: declare `any` where nothing is known")]
    NoContext,
    /// A program that reaches slots, and is declared not to need one.
    #[error("it reaches its lane's slots, but is declared not to need one")]
    SlotNotDeclared,
    /// A program that the catalogue does not know.
    #[error("it is in the object but not declared in the catalogue")]
    NotDeclared,
    /// A program that the catalogue knows in vain.
    #[error("it is declared in the catalogue but not in the object")]
    NotInObject,
    /// A program declared twice.
    #[error("it is declared more than once")]
    DeclaredTwice,
    /// A reference that can not be followed, behind which anything may be.
    #[error("it refers to what the proof can not follow: {what}")]
    NotFollowed {
        /// What it refers to.
        what: String,
    },
}

/// How a program can write `scope_tree`, or can come to in a way that the proof does not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ScopeWrite {
    /// `bpf_map_update_elem`.
    #[error("updates an entry")]
    Update,
    /// `bpf_map_delete_elem`.
    #[error("deletes an entry")]
    Delete,
    /// `bpf_task_storage_get` with flags that may create an entry.
    #[error("may create an entry")]
    Create,
    /// A store, or a helper's output, through the pointer that a lookup gave.
    #[error("stores through a looked-up pointer")]
    Store,
    /// The map or a looked-up pointer is handed on to where the proof does not follow it.
    #[error("hands the map or a looked-up pointer to a function, helper or memory where it could be written")]
    Escape,
}

fn size_text(size: Option<u32>) -> String {
    size.map_or_else(|| "an unknown number of".to_owned(), |size| size.to_string())
}
