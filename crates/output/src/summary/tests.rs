use super::*;

fn show(ledger: &LedgerSummary, sinks: &[SinkCounts]) -> String {
    let events = [("security_file_open", 12_000), ("setuid", 0), ("sched_process_exec", 345), ("a", 345)];
    let mut out = Vec::new();
    let elapsed = Duration::from_millis(12_345);
    summary(&mut out, &Summary { events: &events, sinks, ledger, elapsed }).unwrap();
    String::from_utf8(out).unwrap()
}

fn counts(name: &str, written: u64, dropped: u64) -> SinkCounts {
    SinkCounts { name: name.into(), delivered: written + dropped, written, dropped }
}

#[test]
fn clean() {
    let ledger = LedgerSummary { delivered: 12_690, filtered: 67_890, rows: Vec::new() };
    insta::assert_snapshot!(show(&ledger, &[counts("table:stdout", 12_690, 0)]), @"
    security_file_open  12,000
    a                      345
    sched_process_exec     345
    total               12,690  in 12.3 s, 1,028 per second
    ledger: clean: 12,690 records delivered, nothing lost (67,890 filtered in the kernel)
    ");
}

#[test]
fn lossy() {
    let row = |lane, probe: &str, cause: &str, count| LossRow {
        lane,
        probe: probe.into(),
        cause: cause.into(),
        count,
    };
    let rows = vec![
        row(Lane::Task, "security_file_open", "ring_full", 1_234_567),
        row(Lane::Task, "security_file_open", "corrupt", 0),
        row(Lane::Net, "net_packet__egress", "skipped", 2),
        row(Lane::Life, "sched_process_exec", "slot_busy", 1),
    ];
    let ledger = LedgerSummary { delivered: 12_690, filtered: 0, rows };
    let sinks = [counts("table:stdout", 12_690, 0), counts("json:/x", 12_000, 690)];
    insta::assert_snapshot!(show(&ledger, &sinks), @"
    security_file_open  12,000
    a                      345
    sched_process_exec     345
    total               12,690  in 12.3 s, 1,028 per second
    output json:/x: 12,000 events written, 690 DROPPED
    ledger: LOST 1,234,570 of 1,247,260 records (0 filtered in the kernel)
      LANE  PROBE               CAUSE          COUNT
      life  sched_process_exec  slot_busy          1
      task  security_file_open  ring_full  1,234,567
      net   net_packet__egress  skipped            2
            total                          1,234,570
    ");
}

#[test]
fn nothing_at_all() {
    let mut out = Vec::new();
    let ledger = LedgerSummary::default();
    summary(&mut out, &Summary { events: &[], sinks: &[], ledger: &ledger, elapsed: Duration::ZERO })
        .unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @"
    total  0  in 0.0 s
    ledger: clean: 0 records delivered, nothing lost (0 filtered in the kernel)
    ");
}
