//! What interfaces are called: the kernel tells their numbers, which mean something in their network namespace only.

use std::collections::HashMap;
use std::fs;

use crate::twins::LOOPBACK;

/// So many names are kept; then all are asked for anew.
const KEPT: usize = 4096;

/// Names by network namespace and number.
#[derive(Debug, Default)]
pub(crate) struct Names {
    own: u32,
    known: HashMap<(u32, u32), String>,
}

impl Names {
    pub(crate) fn new() -> Names {
        Names { own: net_ns("self"), known: HashMap::new() }
    }

    /// The name of an interface, by way of a process that may be in its namespace; `if` and its number where it can not be had.
    pub(crate) fn name(&mut self, net_ns: u32, number: u32, pid: u32) -> &str {
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        let own = self.own;
        self.known.entry((net_ns, number)).or_insert_with(|| {
            let process = if net_ns == own { "self".into() } else { pid.to_string() };
            match number {
                LOOPBACK => "lo".into(),
                _ => look_up(&process, net_ns, number).unwrap_or_else(|| format!("if{number}")),
            }
        })
    }
}

/// The network namespace of a process; 0 if it can not be told.
fn net_ns(process: &str) -> u32 {
    let link = fs::read_link(format!("/proc/{process}/ns/net")).unwrap_or_default();
    let text = link.to_string_lossy();
    text.strip_prefix("net:[").and_then(|t| t.strip_suffix(']')).and_then(|t| t.parse().ok()).unwrap_or(0)
}

fn look_up(process: &str, net_ns: u32, number: u32) -> Option<String> {
    if self::net_ns(process) != net_ns {
        return None;
    }
    // Each interface has multicast addresses, of the link or of IPv6.
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/net/{file}")).unwrap_or_default();
    in_dev_mcast(&read("dev_mcast"), number).or_else(|| in_if_inet6(&read("if_inet6"), number))
}

/// `2    eth0            1     0     333300000001`
fn in_dev_mcast(text: &str, number: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()?.parse() == Ok(number)).then(|| words.next().map(String::from))?
    })
}

/// `fe800000000000000000000000000001 02 40 20 80     eth0`
fn in_if_inet6(text: &str, number: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, place, _, _, _, name] = words[..] else { return None };
        (u32::from_str_radix(place, 16) == Ok(number)).then(|| name.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let mcast = "1    lo              1     0     x\n12   eth0            1     0     333300000001\n";
        assert_eq!(in_dev_mcast(mcast, 12).as_deref(), Some("eth0"));
        assert_eq!(in_dev_mcast(mcast, 2), None);
        let inet6 = "fe80 0c 40 20 80     veth1\n\nx\n";
        assert_eq!(in_if_inet6(inet6, 12).as_deref(), Some("veth1"));
        let mut names = Names::new();
        assert_eq!(names.name(1, 1, 0), "lo");
        assert_eq!(names.name(1, 7, 0), "if7");
    }
}
