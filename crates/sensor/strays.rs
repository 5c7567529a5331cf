//! Undoes what clang (19, for one) does to some field offsets, others in every run: where the offset of a field is asked for in several
//! places, the load of the variable that stood for it becomes the constant itself (`r9 = 144`), but some of the loads through it stay
//! behind (`r1 = *(u64 *)(r9 + 0)`), which the verifier refuses. Such a load is made the copy that it should be (`r1 = r9`).
//!
//! It is found by following what registers hold along every path: no program can load from what is a constant on all of them.

/// What a register holds before an instruction, over all paths that lead there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// No path was followed yet.
    Nothing,
    /// A constant that was set in full.
    Constant,
    /// Anything else.
    Other,
}

type State = [Held; 16];

const LDDW: u8 = 0x18;
const MOV_CONSTANT: u8 = 0xb7;
const MOV: u8 = 0xbf;
const JUMP: u8 = 0x05;
const JUMP_FAR: u8 = 0x06;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// Of a byte, two, four, eight.
const LOADS: [u8; 4] = [0x71, 0x69, 0x61, 0x79];

/// Mends the instructions of a section; returns how many loads it made copies.
pub(crate) fn mend(code: &mut [u8]) -> usize {
    let strays = find(code.as_chunks::<8>().0);
    for &at in &strays {
        code[8 * at] = MOV;
    }
    strays.len()
}

fn find(code: &[[u8; 8]]) -> Vec<usize> {
    let mut before = vec![[Held::Nothing; 16]; code.len()];
    // Functions stand one behind the other: what no path has come to begins one, of which nothing is known.
    for start in 0..code.len() {
        if before[start] == [Held::Nothing; 16] {
            follow(code, &mut before, start);
        }
    }
    let is_stray = |at: &usize| {
        let insn = code[*at];
        LOADS.contains(&insn[0])
            && insn[2..4] == [0, 0]
            && before[*at][usize::from(insn[1] >> 4)] == Held::Constant
    };
    (0..code.len()).filter(is_stray).collect()
}

fn follow(code: &[[u8; 8]], before: &mut [State], start: usize) {
    before[start] = [Held::Other; 16];
    let mut work = vec![start];
    while let Some(at) = work.pop() {
        let after = step(code[at], before[at]);
        for next in successors(code, at) {
            let Some(known) = before.get_mut(next) else { continue };
            let mut joined = *known;
            for (j, a) in joined.iter_mut().zip(after) {
                *j = match (*j, a) {
                    (Held::Nothing, a) => a,
                    (j, a) if j == a => j,
                    _ => Held::Other,
                };
            }
            if joined != *known {
                *known = joined;
                work.push(next);
            }
        }
    }
}

fn step(insn: [u8; 8], mut state: State) -> State {
    let (to, from) = (usize::from(insn[1] & 0xf), usize::from(insn[1] >> 4));
    match (insn[0], insn[0] & 7) {
        (MOV_CONSTANT, _) => state[to] = Held::Constant,
        (MOV, _) => state[to] = state[from],
        (CALL, _) => state[..6].fill(Held::Other),
        // Atomic operations give back what was there, in their source or in r0.
        (code, 3) if code & 0xe0 == 0xc0 => (state[from], state[0]) = (Held::Other, Held::Other),
        // Stores and jumps change no register.
        (_, 2 | 3 | 5 | 6) => {}
        _ => state[to] = Held::Other,
    }
    state
}

fn successors(code: &[[u8; 8]], at: usize) -> Vec<usize> {
    let insn = code[at];
    let offset = i64::from(i16::from_le_bytes([insn[2], insn[3]]));
    let far = i64::from(i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]));
    let by = |offset: i64| usize::try_from(at as i64 + 1 + offset).unwrap_or(usize::MAX);
    match (insn[0], insn[0] & 7) {
        (EXIT, _) => vec![],
        (JUMP, _) => vec![by(offset)],
        (JUMP_FAR, _) => vec![by(far)],
        (CALL, _) => vec![by(0)],
        (LDDW, _) => vec![by(1)],
        (_, 5 | 6) => vec![by(0), by(offset)],
        _ => vec![by(0)],
    }
}
