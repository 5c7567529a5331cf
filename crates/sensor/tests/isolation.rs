//! The compiled programs reach nothing that they must not reach; and the check that says so can fail.

#[path = "../proof.rs"]
mod proof;

use isolation::{Lane, Rule};

#[test]
fn the_programs_are_isolated() {
    for (name, object) in sensor::OBJECTS {
        let report = proof::check(object, |_, lane| lane).unwrap();
        assert!(report.is_clean(), "{name}:\n{report}");
        assert!(report.programs > 100, "{name}: {} programs", report.programs);
    }
}

/// The control: were the program of an execution in the task lane, it would reach another lane's maps, and write who is followed.
#[test]
fn a_program_in_the_wrong_lane_is_found() {
    let (_, object) = sensor::OBJECTS[0];
    let report =
        proof::check(object, |p, lane| if p.name == "sched_process_exec__btf" { Lane::Task } else { lane })
            .unwrap();
    assert!(!report.is_clean());
    for violation in &report.violations {
        assert_eq!(violation.program.as_deref(), Some("sched_process_exec__btf"));
        let expected = matches!(violation.rule, Rule::ForeignLane { .. } | Rule::ScopeWriterLane { .. });
        assert!(expected, "{:?}", violation.rule);
    }
}
