//! The whole catalogue: each event is caused by its trigger, at each tier that this kernel has, and what is told of it is checked.

use std::fmt::Write as _;

use e2e::trigger::{FAMILIES, Failure, Outcome, conform};
use libtest_mimic::Trial;

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
    .collect()
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
        println!("conformance {family:<10} {event:<32} {tier:<12} {} {result}", kernel.trim());
        if std::env::var_os("TARSIUS_EXAMPLES").is_some()
            && let Some(line) = example
        {
            println!("EXAMPLE {}", line.0);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
