//! The whole catalogue: each event is caused by its trigger, at each tier that this kernel has, and what is told of it is checked.

use std::fmt::Write as _;

use e2e::trigger::{FAMILIES, Failure, Outcome, conform};
use libtest_mimic::Trial;
use serde_json::json;

/// Tiers that are left out so that those of that name are taken, and the hook that they need.
const TIERS: [(&str, &str, Option<&str>); 3] =
    [("best", "none", None), ("kprobe", "lsm", Some("kprobe")), ("plain", "lsm,kprobe", None)];

/// One test for each family and kind of tier.
pub(crate) fn trials() -> Vec<Trial> {
    let all = FAMILIES.iter().flat_map(|(family, _)| TIERS.iter().map(move |tier| (*family, *tier)));
    all.map(|(family, (tier, avoid, hook))| {
        Trial::test(format!("conformance_{family}_{tier}"), move || {
            let missing = match tier {
                "plain" => None,
                _ => hook.or(Some("lsm")).filter(|h| !e2e::has_hook(h)),
            };
            match missing {
                Some(hook) => {
                    println!("SKIP conformance_{family}_{tier}: this kernel runs no {hook} programs")
                }
                None => report(family, &conform(family, avoid))?,
            }
            Ok(())
        })
    })
    .chain([false, true].into_iter().filter(|compat| !compat || cfg!(target_arch = "x86_64")).map(calls))
    .collect()
}

/// Every system call of a table.
fn calls(compat: bool) -> Trial {
    let name = if compat { "conformance_syscalls_compat" } else { "conformance_syscalls" };
    Trial::test(name, move || {
        let wrong = e2e::calls::conform(compat);
        if std::env::var_os("TARSIUS_CONFORMED").is_some() {
            let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            let host = std::env::var_os("TARSIUS_VM").is_none();
            let result = if wrong.is_empty() { "pass" } else { "FAIL" };
            let tier = if compat { "compat" } else { "native" };
            let seen = json!({"event": "syscalls", "tier": tier, "kernel": kernel.trim(), "host": host, "result": result});
            println!("CONFORMED {seen}");
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
    })
}

/// Prints the table; fails if one failed.
fn report(family: &str, outcomes: &[Outcome]) -> Result<(), String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut wrong = String::new();
    for Outcome { event, tier, result, example } in outcomes {
        let tier = tier.unwrap_or("-");
        let result = match result {
            Ok(()) => "pass".to_string(),
            Err(Failure::Skipped(why)) => format!("skip: {why}"),
            Err(Failure::Wrong(what)) => {
                let _ = writeln!(wrong, "{event} by {tier}: {what}");
                "FAIL".to_string()
            }
        };
        let kernel = kernel.trim();
        println!("conformance {family:<10} {event:<32} {tier:<12} {kernel} {result}");
        // For crates/pages.
        if std::env::var_os("TARSIUS_CONFORMED").is_some() {
            let line = example.as_ref().map(|l| &l.0);
            let host = std::env::var_os("TARSIUS_VM").is_none();
            let seen = json!({"event": event, "tier": tier, "kernel": kernel, "host": host, "result": result, "line": line});
            println!("CONFORMED {seen}");
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
