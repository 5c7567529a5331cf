//! Which argument registers a function reads, and whose results are used.
//!
//! Taken from the code, because prototypes do not tell: clang drops, adds and splits the arguments of static functions,
//! and drops results that are constant, without a word in BTF.

use std::collections::BTreeSet;

use crate::image::{Function, Image, Reference};
use crate::insn::{CALL, EXIT, Insn, JUMP, JUMP_LONG, LD_IMM64};

/// Argument registers r1 to r5, as a set of bits.
const ARGUMENTS: u16 = 0b11_1110;
/// What a call leaves undefined or sets: r0 to r5.
const CALL_SETS: u16 = ARGUMENTS | 1;

/// What is known of all functions of an object.
pub(crate) struct Liveness {
    /// For each function, the registers that it may read before it sets them.
    entry: Vec<u16>,
    /// Functions whose result some caller may read.
    used: BTreeSet<usize>,
}

impl Liveness {
    pub(crate) fn of(image: &Image) -> Self {
        let mut live = Self { entry: vec![0; image.functions.len()], used: BTreeSet::new() };
        // A caller reads what its callee reads, so until nothing grows.
        loop {
            let before = (live.entry.clone(), live.used.len());
            for (index, function) in image.functions.iter().enumerate() {
                let registers = live.function(function);
                if let Some(entry) = live.entry.get_mut(index) {
                    *entry |= registers;
                }
            }
            if before == (live.entry.clone(), live.used.len()) {
                return live;
            }
        }
    }

    /// The argument registers that a function may read.
    pub(crate) fn arguments(&self, function: usize) -> u16 {
        self.entry.get(function).copied().unwrap_or(ARGUMENTS) & ARGUMENTS
    }

    /// Whether a caller may read the function's result. What a callback gives to its helper is a number.
    pub(crate) fn result_used(&self, function: usize) -> bool {
        self.used.contains(&function)
    }

    fn function(&mut self, function: &Function) -> u16 {
        let mut before = vec![0_u16; function.insns.len()];
        let mut grown = true;
        while grown {
            grown = false;
            for (place, &insn) in function.insns.iter().enumerate().rev() {
                let next = successors(place, insn).into_iter().flatten();
                let after = next.filter_map(|next| before.get(next)).fold(0, |all, live| all | live);
                let callee = match function.references.get(&place) {
                    Some(&Reference::Function(callee)) if insn.code == CALL => Some(callee),
                    _ => None,
                };
                if let Some(callee) = callee.filter(|_| after & 1 != 0) {
                    self.used.insert(callee);
                }
                let (reads, sets) = self.effect(insn, callee);
                let now = after & !sets | reads;
                if let Some(known) = before.get_mut(place).filter(|known| **known != now) {
                    *known = now;
                    grown = true;
                }
            }
        }
        before.first().copied().unwrap_or(0)
    }

    /// The registers that an instruction may read, and those that it sets in any case.
    fn effect(&self, insn: Insn, callee: Option<usize>) -> (u16, u16) {
        let (dst, src) = (1_u16 << insn.dst, 1_u16 << insn.src);
        let by_register = if insn.code & 8 == 0 { 0 } else { src };
        match (insn.code, insn.code & 7) {
            (LD_IMM64, _) => (0, dst),
            (_, 0) => (src, CALL_SETS),
            (_, 1) => (src, dst),
            (_, 2) => (dst, 0),
            // Compare-and-swap reads r0.
            (code, 3) => (dst | src | u16::from(code & 0xe0 == 0xc0), 0),
            (0xb4 | 0xb7, _) => (0, dst),
            (0xbc | 0xbf, _) => (src, dst),
            (CALL, _) => {
                let arguments = match (callee, insn.helper()) {
                    (Some(callee), _) => self.arguments(callee),
                    (None, Some(helper)) => helper_arguments(helper),
                    (None, None) => ARGUMENTS,
                };
                (arguments, CALL_SETS)
            }
            (EXIT, _) => (1, 0),
            (JUMP | JUMP_LONG, _) => (0, 0),
            _ => (dst | by_register, 0),
        }
    }
}

/// Where control may go from an instruction.
pub(crate) fn successors(place: usize, insn: Insn) -> [Option<usize>; 2] {
    let jump = |by: i32| place.checked_add_signed(isize::try_from(by).ok()?)?.checked_add(1);
    match (insn.code, insn.code & 7) {
        (LD_IMM64, _) => [place.checked_add(2), None],
        (EXIT, _) => [None, None],
        (JUMP, _) => [jump(insn.off.into()), None],
        (JUMP_LONG, _) => [jump(insn.imm), None],
        (CALL, _) => [place.checked_add(1), None],
        (_, 5 | 6) => [place.checked_add(1), jump(insn.off.into())],
        _ => [place.checked_add(1), None],
    }
}

/// The argument registers of a helper, of those that matter. A register too many only makes the proof stricter.
pub(crate) fn helper_arguments(helper: i32) -> u16 {
    let count = match helper {
        // ktime_get_ns, get_prandom_u32, get_smp_processor_id, get_current_pid_tgid, get_current_uid_gid,
        // get_current_task, get_numa_node_id, get_current_cgroup_id, jiffies64, ktime_get_boot_ns,
        // get_current_task_btf, ktime_get_coarse_ns, ktime_get_tai_ns
        5 | 7 | 8 | 14 | 15 | 35 | 42 | 80 | 118 | 125 | 158 | 160 | 208 => 0,
        // get_current_ancestor_cgroup_id, get_socket_cookie, sk_fullsock, skb_cgroup_id, task_pt_regs
        123 | 46 | 95 | 79 | 175 => 1,
        // map_lookup_elem, map_delete_elem, get_current_comm, per_cpu_ptr
        1 | 3 | 16 | 153 => 2,
        // probe_read and its kin, tail_call
        4 | 12 | 45 | 112..=115 => 3,
        // map_update_elem, task_storage_get, ringbuf_output, loop
        2 | 130 | 156 | 181 => 4,
        _ => 5,
    };
    ARGUMENTS & ((1 << (count + 1)) - 1)
}
