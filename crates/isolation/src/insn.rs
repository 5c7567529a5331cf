//! BPF instructions, as far as the proof needs them.

/// Bytes of an instruction.
pub(crate) const SIZE: usize = 8;
/// `ld_imm64`: two instructions long; the way to name a map, a global or a callback.
pub(crate) const LD_IMM64: u8 = 0x18;
/// Call of a helper, subprogram or kfunc.
pub(crate) const CALL: u8 = 0x85;
/// Call through a register.
pub(crate) const CALLX: u8 = 0x8d;
/// End of a function.
pub(crate) const EXIT: u8 = 0x95;
/// Jump by `off`.
pub(crate) const JUMP: u8 = 0x05;
/// Jump by `imm`.
pub(crate) const JUMP_LONG: u8 = 0x06;
/// Jump through a register.
pub(crate) const JUMPX: u8 = 0x0d;
/// In a call's `src`: a subprogram at `imm + 1` from here.
pub(crate) const PSEUDO_CALL: u8 = 1;

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Insn {
    pub(crate) code: u8,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    pub(crate) off: i16,
    pub(crate) imm: i32,
}

impl Insn {
    fn decode(bytes: [u8; SIZE]) -> Self {
        let [code, registers, off0, off1, imm @ ..] = bytes;
        Self {
            code,
            dst: registers & 0xf,
            src: registers >> 4,
            off: i16::from_le_bytes([off0, off1]),
            imm: i32::from_le_bytes(imm),
        }
    }

    /// The helper that this calls, if it calls one.
    pub(crate) fn helper(self) -> Option<i32> {
        (self.code == CALL && self.src == 0).then_some(self.imm)
    }
}

/// All instructions of `code`, or nothing if it is not a whole number of them or names a register that is not.
pub(crate) fn decode(code: &[u8]) -> Option<Vec<Insn>> {
    let (chunks, rest) = code.as_chunks::<SIZE>();
    let insns: Vec<_> = chunks.iter().copied().map(Insn::decode).collect();
    (rest.is_empty() && insns.iter().all(|insn| insn.dst <= 10 && insn.src <= 10)).then_some(insns)
}
