//! Where the kernel keeps its per-CPU variables, relative to one another.

use std::{
    fs::File,
    io::{BufRead, BufReader},
};

use crate::sys::Btf;

/// Distances of per-CPU variables from `runqueues`, in bytes. `None`: not in this kernel, or not to be found out.
pub(crate) fn from_runqueues<const N: usize>(names: [&str; N], btf: Option<&Btf>) -> [Option<i64>; N] {
    let by_type_information = |name: &str| btf?.per_cpu_offset(name).map(i64::from);
    if let Some(base) = by_type_information("runqueues") {
        return names.map(|name| Some(by_type_information(name)? - base));
    }
    // 5.10's type information has no variables; its symbols have.
    let Ok(symbols) = File::open("/proc/kallsyms").map(BufReader::new) else {
        return [None; N];
    };
    distances(names, symbols)
}

fn distances<const N: usize>(names: [&str; N], symbols: impl BufRead) -> [Option<i64>; N] {
    let mut base = None;
    let mut found = [None; N];
    for line in symbols.lines().map_while(Result::ok) {
        let mut fields = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let place = if name == "runqueues" {
            &mut base
        } else if let Some(index) = names.iter().position(|wanted| *wanted == name) {
            &mut found[index]
        } else {
            continue;
        };
        // Zero is what those see who may not see addresses.
        *place = u64::from_str_radix(address, 16).ok().filter(|address| *address != 0).map(u64::cast_signed);
    }
    found.map(|address| Some(address?.wrapping_sub(base?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_give_distances() {
        let symbols = "000000000001fb80 A __preempt_count\n\
                       000000000002ac00 A runqueues\n\
                       0000000000000000 A current_task\n\
                       ffffffffc0000000 t pcpu_hot\t[module]\n";
        assert_eq!(
            distances(["__preempt_count", "current_task", "pcpu_hot"], symbols.as_bytes()),
            [Some(0x1fb80 - 0x2ac00), None, None]
        );
        assert_eq!(distances(["__preempt_count"], "000000000001fb80 A __preempt_count\n".as_bytes()), [None]);
    }
}
