//! Loads that clang left behind are mended, and no others.

#[path = "../strays.rs"]
mod strays;

/// An instruction: opcode, destination and source, offset, constant.
fn insn(code: u8, to: u8, from: u8, offset: i16, constant: i32) -> [u8; 8] {
    let ([a, b], [c, d, e, f]) = (offset.to_le_bytes(), constant.to_le_bytes());
    [code, from << 4 | to, a, b, c, d, e, f]
}

const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

fn set(to: u8, constant: i32) -> [u8; 8] {
    insn(0xb7, to, 0, 0, constant)
}

fn copy(to: u8, from: u8) -> [u8; 8] {
    insn(0xbf, to, from, 0, 0)
}

fn load(to: u8, from: u8) -> [u8; 8] {
    insn(0x79, to, from, 0, 0)
}

/// Where the program was changed.
fn mended(program: &[[u8; 8]]) -> Vec<usize> {
    let mut code = program.concat();
    let count = strays::mend(&mut code);
    let changed: Vec<usize> = (0..program.len()).filter(|&n| code[8 * n..8 * n + 8] != program[n]).collect();
    assert!(changed.iter().all(|&n| code[8 * n..8 * n + 8] == copy(program[n][1] & 0xf, program[n][1] >> 4)));
    assert_eq!(count, changed.len());
    changed
}

#[test]
fn a_load_from_a_constant_becomes_a_copy() {
    assert_eq!(mended(&[set(1, 144), load(1, 1), EXIT]), [1]);
    // From another register, of four bytes, behind a branch and a call.
    let call = insn(0x85, 0, 0, 0, 1);
    let branch = insn(0x15, 0, 0, 1, 0);
    let small = insn(0x61, 1, 9, 0, 0);
    assert_eq!(mended(&[set(9, 144), call, branch, call, small, EXIT]), [4]);
    // By way of a copy, and in a function behind another.
    assert_eq!(mended(&[EXIT, set(2, 8), copy(3, 2), load(1, 3), EXIT]), [3]);
}

#[test]
fn other_loads_stay() {
    // From what a caller gave, at an offset, from what a call clobbered.
    assert_eq!(mended(&[load(1, 1), EXIT]), [0usize; 0]);
    assert_eq!(mended(&[set(1, 0), insn(0x79, 1, 1, 112, 0), EXIT]), [0usize; 0]);
    assert_eq!(mended(&[set(1, 144), insn(0x85, 0, 0, 0, 1), load(2, 1), EXIT]), [0usize; 0]);
    // A pointer on one of two paths: nothing, unless there is one.
    let branch = insn(0x15, 0, 0, 1, 0);
    assert_eq!(mended(&[copy(9, 1), branch, set(9, 0), load(2, 9), EXIT]), [0usize; 0]);
    // Only added to what it points into.
    let add = insn(0x0f, 2, 1, 0, 0);
    assert_eq!(mended(&[set(1, 144), add, load(3, 2), EXIT]), [0usize; 0]);
    // A constant of 64 bits is an address: its second half is no instruction.
    assert_eq!(mended(&[insn(0x18, 1, 1, 0, 5), [0; 8], load(2, 1), EXIT]), [0usize; 0]);
}
