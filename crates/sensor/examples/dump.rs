//! Dev. The events named as arguments, for two seconds, or `SECONDS` of them. `AVOID=lsm,kprobe,tpbtf` acts as if this kernel did not
//! have those hooks, to try every tier.
use std::time::{Duration, Instant};
fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let mut f = kernel::Features::probe();
    let avoid = std::env::var("AVOID").unwrap_or_default();
    for (kind, support) in &mut f.hooks {
        if avoid.split(',').any(|a| a == format!("{kind:?}").to_lowercase()) {
            *support = kernel::Support::No { why: "avoided".into() };
        }
    }
    let seconds = std::env::var("SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let t = Instant::now();
    let mut s =
        match sensor::Sensor::start(&f, &sensor::Options::default(), |e| names.iter().any(|n| n == e.name)) {
            Ok(s) => s,
            Err(e) => {
                eprintln!("{e}");
                std::process::exit(1)
            }
        };
    eprintln!("started in {:?}", t.elapsed());
    for c in &s.plan().choices {
        eprintln!("{} {:?} {:?}", c.event, c.tier.map(|t| t.name), c.refused);
    }
    let show = |r: &[u8]| match event::Event::decode(r) {
        Ok(e) => {
            print!("{} {} seq={} cpu={} ", e.header.time, e.definition.name, e.header.seq, e.header.cpu);
            print!(
                "{}/{} {} ret={:?} ",
                e.header.pid,
                e.header.ns_pid,
                String::from_utf8_lossy(e.header.comm()),
                e.header.ret
            );
            for (f, v) in e.fields() {
                match v.value {
                    Some(event::Value::Str(b) | event::Value::Path(b)) => {
                        print!("{}={:?}[{}] ", f.name, String::from_utf8_lossy(b), v.quality.name())
                    }
                    Some(event::Value::StrArray(a)) => print!(
                        "{}={:?} ",
                        f.name,
                        a.into_iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect::<Vec<_>>()
                    ),
                    Some(x) => print!("{}={x:?} ", f.name),
                    None => print!("{}=<{}> ", f.name, v.quality.name()),
                }
            }
            println!();
        }
        Err(e) => println!("BAD {e}"),
    };
    let mut n = 0;
    s.existing(|r| {
        n += 1;
        if n < 4 {
            show(r)
        }
    })
    .unwrap();
    eprintln!("{n} existing");
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        s.wait(Duration::from_millis(20));
        s.drain(show);
    }
    s.finish(show);
    for r in s.ledger().by_probe() {
        eprintln!("{:?} {:?}", r.probe, r.counts);
    }
}
