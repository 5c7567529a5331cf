//! Whether a function can write `scope_tree`.
//!
//! A lookup gives a pointer through which a program may store, so it is not enough to look for update and delete. This
//! follows, over every path of a function, which registers and stack slots may hold the map or a pointer into it. The
//! answer errs on one side: a function without a finding does not write the map, provided that the kernel's verifier
//! accepts it; where the map or a pointer into it leaves the function, that is a finding.

use std::collections::BTreeSet;

use crate::ScopeWrite;
use crate::image::{Function, Image, Reference};
use crate::insn::{CALL, EXIT, Insn, LD_IMM64};
use crate::live::{Liveness, helper_arguments, successors};

/// May be the map.
const MAP: u8 = 1;
/// May point into the map.
const VALUE: u8 = 2;
/// May point into the stack.
const STACK: u8 = 4;
/// May be other than zero.
const NONZERO: u8 = 8;
const TAINT: u8 = MAP | VALUE;

const FRAME: u8 = 10;
const STACK_SLOTS: usize = 64;

const LOAD_ACQUIRE: i32 = 0x100;
const STORE_RELEASE: i32 = 0x110;
const FETCH: i32 = 1;
const COMPARE_EXCHANGE: i32 = 0xf1;

/// What each register and stack slot may hold, before one instruction. Only ever grows.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    registers: [u8; 11],
    slots: [u8; STACK_SLOTS],
}

impl State {
    fn entry() -> Self {
        let mut registers = [NONZERO; 11];
        registers[usize::from(FRAME)] = NONZERO | STACK;
        Self { registers, slots: [NONZERO; STACK_SLOTS] }
    }

    fn join(&mut self, other: &Self) -> bool {
        let before = *self;
        self.registers.iter_mut().zip(other.registers).for_each(|(mine, theirs)| *mine |= theirs);
        self.slots.iter_mut().zip(other.slots).for_each(|(mine, theirs)| *mine |= theirs);
        *self != before
    }

    fn get(&self, register: u8) -> u8 {
        self.registers.get(usize::from(register)).copied().unwrap_or(TAINT | STACK | NONZERO)
    }

    fn set(&mut self, register: u8, value: u8) {
        if let Some(place) = self.registers.get_mut(usize::from(register)) {
            *place = value;
        }
    }

    fn any_slot(&self) -> u8 {
        self.slots.iter().fold(NONZERO, |all, slot| all | slot)
    }

    fn load(&self, base: u8, off: i16) -> u8 {
        match slot(base, off) {
            Some(slot) => self.slots.get(slot).copied().unwrap_or_else(|| self.any_slot()) | NONZERO,
            None if self.get(base) & STACK != 0 => self.any_slot(),
            None => NONZERO,
        }
    }

    /// After a call: the result, and argument registers that hold nothing.
    fn returned(&mut self, result: u8) {
        self.set(0, result);
        (1..=5).for_each(|register| self.set(register, NONZERO));
    }
}

/// The stack slot that an access through the frame pointer falls in.
fn slot(base: u8, off: i16) -> Option<usize> {
    let offset = usize::try_from(i32::from(off) + (STACK_SLOTS * 8) as i32).ok()?;
    (base == FRAME && offset < STACK_SLOTS * 8).then_some(offset / 8)
}

/// Every way in which each function can write the map `scope`. Empty for those that can not.
pub(crate) fn writes(image: &Image, scope: usize) -> Vec<BTreeSet<ScopeWrite>> {
    let live = Liveness::of(image);
    let functions = image.functions.iter().enumerate();
    functions.map(|(index, function)| function_writes(&live, index, function, scope)).collect()
}

fn function_writes(live: &Liveness, index: usize, function: &Function, scope: usize) -> BTreeSet<ScopeWrite> {
    // What another function got hold of, it did not get hold of without a finding there.
    if !function.references.values().any(|reference| *reference == Reference::Map(scope)) {
        return BTreeSet::new();
    }
    let result_used = live.result_used(index);
    let mut walk = Walk { live, function, result_used, scope, found: BTreeSet::new() };
    let mut before: Vec<Option<State>> = vec![None; function.insns.len()];
    let mut work = Vec::new();
    if let Some(first) = before.first_mut() {
        *first = Some(State::entry());
        work.push(0);
    }
    while let Some(place) = work.pop() {
        let (Some(&insn), Some(Some(state))) = (function.insns.get(place), before.get(place)) else {
            continue;
        };
        let mut state = *state;
        walk.step(place, insn, &mut state);
        for next in successors(place, insn).into_iter().flatten() {
            let grown = match before.get_mut(next) {
                Some(Some(known)) => known.join(&state),
                Some(unseen) => {
                    *unseen = Some(state);
                    true
                }
                // The verifier refuses a function that runs off its end.
                None => false,
            };
            if grown {
                work.push(next);
            }
        }
    }
    walk.found
}

struct Walk<'a> {
    live: &'a Liveness,
    function: &'a Function,
    result_used: bool,
    scope: usize,
    found: BTreeSet<ScopeWrite>,
}

impl Walk<'_> {
    fn step(&mut self, place: usize, insn: Insn, state: &mut State) {
        let reference = self.function.references.get(&place);
        match (insn.code, insn.code & 7) {
            (LD_IMM64, _) => {
                let next = self.function.insns.get(place + 1).map_or(0, |next| next.imm);
                let value = match reference {
                    Some(&Reference::Map(map)) if map == self.scope => MAP | NONZERO,
                    None if insn.imm == 0 && next == 0 => 0,
                    _ => NONZERO,
                };
                state.set(insn.dst, value);
            }
            // Loads from a packet: r0 is the result.
            (_, 0) => state.returned(NONZERO),
            (_, 1) => state.set(insn.dst, state.load(insn.src, insn.off)),
            (code, 2) => self.store(state, insn, code & 0x18 == 0x18, 0),
            (code, 3) if code & 0xe0 == 0xc0 => self.atomic(state, insn),
            (code, 3) => self.store(state, insn, code & 0x18 == 0x18, state.get(insn.src)),
            // Moves: of a constant, of a register.
            (0xb4 | 0xb7, _) => state.set(insn.dst, if insn.imm == 0 { 0 } else { NONZERO }),
            (0xbc | 0xbf, _) => state.set(insn.dst, state.get(insn.src)),
            (code, 4 | 7) => {
                let other = if code & 8 == 0 { 0 } else { state.get(insn.src) };
                state.set(insn.dst, state.get(insn.dst) | other | NONZERO);
            }
            (CALL, _) => self.call(state, insn, reference),
            (EXIT, _) if self.result_used && state.get(0) & TAINT != 0 => {
                self.found.insert(ScopeWrite::Escape);
            }
            _ => {}
        }
    }

    fn store(&mut self, state: &mut State, insn: Insn, whole: bool, value: u8) {
        if state.get(insn.dst) & TAINT != 0 {
            self.found.insert(ScopeWrite::Store);
        }
        match slot(insn.dst, insn.off).and_then(|slot| state.slots.get_mut(slot)) {
            Some(slot) if whole && insn.off % 8 == 0 => *slot = value | NONZERO,
            Some(slot) => *slot |= value,
            None if value & TAINT != 0 => {
                self.found.insert(ScopeWrite::Escape);
            }
            // A stack pointer kept elsewhere on the stack, through another stack pointer.
            None if value & STACK != 0 => state.slots.iter_mut().for_each(|slot| *slot |= STACK),
            None => {}
        }
    }

    fn atomic(&mut self, state: &mut State, insn: Insn) {
        match insn.imm {
            LOAD_ACQUIRE => return state.set(insn.dst, state.load(insn.src, insn.off)),
            STORE_RELEASE => return self.store(state, insn, insn.code & 0x18 == 0x18, state.get(insn.src)),
            _ => {}
        }
        if state.get(insn.dst) & TAINT != 0 {
            self.found.insert(ScopeWrite::Store);
        }
        if state.get(insn.src) & TAINT != 0 {
            self.found.insert(ScopeWrite::Escape);
        }
        if insn.imm & FETCH != 0 {
            let into = if insn.imm == COMPARE_EXCHANGE { 0 } else { insn.src };
            let value = state.load(insn.dst, insn.off);
            state.set(into, value);
        }
    }

    fn call(&mut self, state: &mut State, insn: Insn, reference: Option<&Reference>) {
        let argument = |register: u8| state.get(register);
        let is_map = argument(1) & MAP != 0;
        let mut result = NONZERO;
        // The arguments that may hold the map or a pointer into it, because what becomes of them is known.
        let kept: &[u8] = match insn.helper() {
            Some(1) => {
                result |= if is_map { VALUE } else { 0 };
                &[1]
            }
            Some(2) => {
                self.found.extend(is_map.then_some(ScopeWrite::Update));
                &[1]
            }
            Some(3) => {
                self.found.extend(is_map.then_some(ScopeWrite::Delete));
                &[1]
            }
            // task_storage_get
            Some(156) => {
                let creates = is_map && argument(4) & NONZERO != 0;
                self.found.extend(creates.then_some(ScopeWrite::Create));
                result |= if is_map { VALUE } else { 0 };
                &[1]
            }
            // probe_read and its kin: the third argument is only read, the first is written.
            Some(4 | 45 | 112..=115) => {
                self.found.extend((argument(1) & TAINT != 0).then_some(ScopeWrite::Store));
                &[1, 3]
            }
            _ => &[],
        };
        let arguments = match (reference, insn.helper()) {
            (Some(&Reference::Function(callee)), _) => self.live.arguments(callee),
            (_, Some(helper)) => helper_arguments(helper),
            _ => u16::MAX,
        };
        let passed = (1..=5).filter(|register| arguments >> register & 1 != 0 && !kept.contains(register));
        let passed = passed.fold(0, |all, register| all | argument(register));
        // What a callee finds on the stack that it is given, it may use. Helpers do not, but for their callbacks.
        let follows_stack = insn.helper().is_none_or(|helper| matches!(helper, 164 | 170 | 180 | 181 | 209));
        let by_stack = follows_stack && passed & STACK != 0 && state.any_slot() & TAINT != 0;
        if passed & TAINT != 0 || by_stack {
            self.found.insert(ScopeWrite::Escape);
        }
        state.returned(result);
    }
}
