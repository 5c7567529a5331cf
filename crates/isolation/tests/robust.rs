//! No file makes `check` panic, hang, or pass without a verdict.

mod support;

use std::sync::OnceLock;

use isolation::{Error, check};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| support::compile("good", &[]))
}

#[test]
fn other_files_have_no_verdict() {
    assert!(matches!(check(b"", &[]), Err(Error::Elf(_))));
    let program = std::env::current_exe().and_then(std::fs::read).expect("this test's own program");
    assert!(matches!(check(&program, &[]), Err(Error::NotBpf)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..4096)) {
        prop_assert!(check(&bytes, &[]).is_err());
    }

    #[test]
    fn changed_bytes(changes in vec((any::<Index>(), any::<u8>()), 1..24)) {
        let mut bytes = good().to_vec();
        for (at, byte) in changes {
            bytes[at.index(good().len())] = byte;
        }
        let _ = check(&bytes, &[]);
    }

    #[test]
    fn changed_words(changes in vec((any::<Index>(), prop_oneof![Just(0), Just(u32::MAX), 0..64_u32]), 1..8)) {
        let mut bytes = good().to_vec();
        for (at, word) in changes {
            let at = at.index(good().len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let _ = check(&bytes, &[]);
    }

    #[test]
    fn cut_short(length in any::<Index>()) {
        let bytes = &good()[..length.index(good().len())];
        prop_assert!(check(bytes, &[]).is_err());
    }
}
