//! The end-to-end tests: `cargo test -p e2e`. As root, on a kernel with BTF.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod capture;
mod cli;
mod conformance;
mod containers;
mod corpus;
mod detectors;
mod endure;
mod enforcement;
mod events;
mod identity;
mod integrity;
mod loss;
mod network;
mod policies;
mod protocols;
mod rings;
mod rules;
mod session;
mod sieves;
mod sigma;
mod stacks;
mod truth;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut args = std::env::args();
    if args.nth(1).as_deref() == Some("--act") {
        let name = args.next().unwrap();
        let dir = args.next().unwrap();
        let rest: Vec<String> = args.collect();
        e2e::acts::perform(&name, dir.as_ref(), &rest);
        return;
    }
    let mut arguments = Arguments::from_args();
    // They watch one machine, and each wants its load alone.
    arguments.test_threads = Some(1);
    let root = root();
    let trials = [
        session::TESTS,
        events::TESTS,
        loss::TESTS,
        network::TESTS,
        capture::TESTS,
        protocols::TESTS,
        cli::TESTS,
        endure::TESTS,
        integrity::TESTS,
        truth::TESTS,
        containers::TESTS,
        rings::TESTS,
        rules::TESTS,
        policies::TESTS,
        sieves::TESTS,
        enforcement::TESTS,
        corpus::TESTS,
        detectors::TESTS,
        identity::TESTS,
        stacks::TESTS,
        sigma::TESTS,
    ]
    .concat();
    let tests = trials.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test(name);
            Ok(())
        })
    });
    let mut trials: Vec<Trial> = tests.chain(conformance::trials()).collect();
    if !root {
        let names = trials.iter().map(|t| t.name().to_string());
        trials = names
            .map(|name| {
                Trial::test(name.clone(), move || {
                    println!("SKIP {name}: not root");
                    Ok(())
                })
            })
            .collect();
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Every test gets its own name, to say by it that it is skipped.
pub(crate) type Test = (&'static str, fn(&str));

fn root() -> bool {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().any(|l| l.starts_with("Uid:\t0\t0"))
}
