//! Which events.

use catalogue::{EVENTS, Event};

use crate::Error;
use crate::pattern::Pattern;
use expr::nearest;

/// Short names for what people ask for often.
pub const ALIASES: &[(&str, &[&str])] = &[
    ("exec", &["sched_process_exec"]),
    ("create", &["security_inode_create"]),
    ("dns", &["net_packet_dns_request", "net_packet_dns_response"]),
    ("tcp", &["net_tcp_state"]),
    ("creds", &["commit_creds"]),
    ("module", &["module_load"]),
];

/// Selected by their names only, not by a wildcard or tag: what the sensor reads at start for its own use, what happens so often that it is
/// nothing to ask for by accident, and what is for files.
const BY_NAME_ONLY: [&str; 3] = ["existing_process", "sched_switch", "net_packet_capture"];

/// A set of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// By number, as in records: the catalogue's numbers are small.
    ids: Vec<bool>,
}

impl Selection {
    /// Reads the values of `--events`, which may be given several times, each a list with commas of
    ///
    /// - an event's name, or one of [`ALIASES`];
    /// - a name with wildcards: `net_*`, `security_*`, `*`;
    /// - `tag=NAME`: all events with that tag;
    /// - any of these after `-`: not those, wherever in the list it stands.
    ///
    /// If nothing is selected (only excluded), it starts from the events with the tag `default`. Events that are
    /// [`always`](Event::always) in the stream are in every selection.
    ///
    /// # Errors
    ///
    /// A name, pattern or tag that no event has; the exclusion of an event that is always there.
    pub fn parse<S: AsRef<str>>(flags: &[S]) -> Result<Selection, Error> {
        let len = EVENTS.iter().map(|e| usize::from(e.id) + 1).max().unwrap_or(0);
        let mut wanted = Selection { ids: vec![false; len] };
        let mut unwanted = wanted.clone();
        let mut any = false;
        let tokens =
            flags.iter().flat_map(|f| f.as_ref().split(',')).map(str::trim).filter(|t| !t.is_empty());
        for token in tokens {
            if let Some(excluded) = token.strip_prefix('-') {
                unwanted.set_all(&find(excluded, true)?, true);
            } else {
                any = true;
                wanted.set_all(&find(token, false)?, true);
            }
        }
        if !any {
            wanted.set_all(&tagged("default"), true);
        }
        for (wanted, unwanted) in wanted.ids.iter_mut().zip(&unwanted.ids) {
            *wanted &= !unwanted;
        }
        wanted.set_all(&EVENTS.iter().filter(|e| e.always).collect::<Vec<_>>(), true);
        Ok(wanted)
    }

    /// These events, and those that are always in the stream.
    pub fn of(events: impl IntoIterator<Item = u16>) -> Selection {
        let len = EVENTS.iter().map(|e| usize::from(e.id) + 1).max().unwrap_or(0);
        let mut selection = Selection { ids: vec![false; len] };
        for id in events.into_iter().chain(EVENTS.iter().filter(|e| e.always).map(|e| e.id)) {
            if let Some(bit) = selection.ids.get_mut(usize::from(id)) {
                *bit = true;
            }
        }
        selection
    }

    /// Whether the event of that number is wanted.
    #[inline]
    pub fn contains(&self, id: u16) -> bool {
        self.ids.get(usize::from(id)).copied().unwrap_or(false)
    }

    /// The wanted events, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &'static Event> {
        EVENTS.iter().filter(|e| self.contains(e.id))
    }

    fn set_all(&mut self, events: &[&'static Event], to: bool) {
        for event in events {
            if let Some(bit) = self.ids.get_mut(usize::from(event.id)) {
                *bit = to;
            }
        }
    }
}

/// The events that one part of a list stands for.
pub(crate) fn find(token: &str, excluding: bool) -> Result<Vec<&'static Event>, Error> {
    // Tracee's names for whatever system call.
    let token = if ["sys_enter", "sys_exit"].contains(&token) { "tag=syscalls" } else { token };
    if let Some(tag) = token.strip_prefix("tag=") {
        let found = tagged(tag);
        let known = || {
            let mut tags: Vec<&str> = EVENTS.iter().flat_map(|e| e.tags).copied().collect();
            tags.sort_unstable();
            tags.dedup();
            tags.join(", ")
        };
        let there = EVENTS.iter().any(|e| e.tags.contains(&tag));
        return if there { Ok(found) } else { Err(Error::UnknownTag { tag: tag.into(), known: known() }) };
    }
    let unsupported = |what| Err(Error::EventsUnsupported { token: token.into(), what });
    if token.starts_with("threat.") {
        return unsupported("there are no detectors to choose among");
    }
    let name_end = token.find(['=', '<', '>', '!']).unwrap_or(token.len());
    if token.get(..name_end).is_some_and(|name| name.contains('.')) {
        return unsupported("a condition on an event's fields");
    }
    if token.contains('*') {
        let pattern = Pattern::new(token);
        let found: Vec<_> = EVENTS
            .iter()
            .filter(|e| pattern.matches(e.name.as_bytes()) && !BY_NAME_ONLY.contains(&e.name))
            .collect();
        let none = || Error::NoEventMatches { pattern: token.into() };
        return if found.is_empty() { Err(none()) } else { Ok(found) };
    }
    if let Some(event) = catalogue::event(token) {
        let always = || Error::AlwaysSelected { name: token.into() };
        return if event.always && excluding { Err(always()) } else { Ok(vec![event]) };
    }
    if let Some((_, names)) = ALIASES.iter().find(|(alias, _)| *alias == token) {
        return Ok(names.iter().filter_map(|n| catalogue::event(n)).collect());
    }
    let tag = EVENTS.iter().any(|e| e.tags.contains(&token)).then(|| format!("tag={token}"));
    let names = EVENTS.iter().map(|e| e.name).chain(ALIASES.iter().map(|a| a.0));
    Err(Error::UnknownEvent { name: token.into(), suggestion: tag.or_else(|| nearest(token, names)) })
}

fn tagged(tag: &str) -> Vec<&'static Event> {
    EVENTS.iter().filter(|e| e.tags.contains(&tag) && !BY_NAME_ONLY.contains(&e.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(flags: &[&str]) -> Vec<&'static str> {
        Selection::parse(flags).unwrap().iter().filter(|e| !e.always).map(|e| e.name).collect()
    }

    fn error(flags: &[&str]) -> String {
        Selection::parse(flags).unwrap_err().to_string()
    }

    #[test]
    fn aliases_name_events_and_hide_none() {
        for (alias, names) in ALIASES {
            assert!(catalogue::event(alias).is_none(), "{alias}");
            for name in *names {
                assert!(catalogue::event(name).is_some(), "{alias}: {name}");
            }
        }
        assert!(BY_NAME_ONLY.iter().all(|name| catalogue::event(name).is_some()));
    }

    #[test]
    fn nothing_is_the_default_set() {
        let default: Vec<_> =
            EVENTS.iter().filter(|e| e.tags.contains(&"default") && !e.always).map(|e| e.name).collect();
        assert_eq!(names(&[]), default);
        assert_eq!(names(&["", " , "]), default);
        let fewer: Vec<_> = default.iter().copied().filter(|n| !n.starts_with("security_")).collect();
        assert_eq!(names(&["-security_*"]), fewer);
    }

    #[test]
    fn lists_wildcards_tags_and_exclusions() {
        assert_eq!(
            names(&["exec, sched_process_exit", "sched_process_fork"]),
            ["sched_process_fork", "sched_process_exec", "sched_process_exit"]
        );
        assert_eq!(names(&["-exec", "sched_process_*"]), ["sched_process_fork", "sched_process_exit"]);
        assert_eq!(names(&["dns"]), ["net_packet_dns_request", "net_packet_dns_response"]);
        assert_eq!(
            names(&["*_process_fork,sched_process_e*,-*_exit"]),
            ["sched_process_fork", "sched_process_exec"]
        );
        assert_eq!(names(&["tag=proc_life", "-tag=proc"]), [""; 0]);
        assert_eq!(names(&["*_dns_req*"]), ["net_packet_dns_request"]);
    }

    #[test]
    fn some_events_only_by_name() {
        for flags in [["*"], ["tag=proc"], ["existing_*,exec"], ["sched_*"]] {
            if let Ok(s) = Selection::parse(&flags) {
                assert!(s.iter().all(|e| !BY_NAME_ONLY.contains(&e.name)), "{flags:?}");
            }
        }
        assert_eq!(names(&BY_NAME_ONLY), BY_NAME_ONLY);
        assert_eq!(names(&["*"]).len(), EVENTS.iter().filter(|e| !e.always).count() - BY_NAME_ONLY.len());
    }

    #[test]
    fn loss_is_always_told() {
        let lost = catalogue::event("lost_events").unwrap().id;
        for flags in [vec!["exec"], vec!["-*"], vec!["-lost_*"], vec!["-tag=default"]] {
            assert!(Selection::parse(&flags).unwrap().contains(lost), "{flags:?}");
        }
        assert_eq!(
            error(&["-lost_events"]),
            "event 'lost_events' can not be excluded: it tells what was lost"
        );
    }

    #[test]
    fn errors_help() {
        assert_eq!(
            error(&["sched_proces_exec"]),
            "unknown event 'sched_proces_exec'; did you mean 'sched_process_exec'?"
        );
        assert_eq!(error(&["frok"]), "unknown event 'frok'; did you mean 'fork'?");
        assert_eq!(error(&["fs"]), "unknown event 'fs'; did you mean 'tag=fs'?");
        assert_eq!(error(&["-qqqqqq"]), "unknown event 'qqqqqq'");
        assert!(error(&["zz*"]).starts_with("no event matches 'zz*'"));
        assert!(error(&["tag=nope"]).starts_with("unknown tag 'nope'; tags are "));
        assert!(error(&["tag=nope"]).contains("proc_life, "));
        assert!(error(&["security_file_open.data.pathname=/etc/*"]).contains("not supported yet"));
        assert!(error(&["threat.name=x"]).contains("not supported yet"));
        assert!(!Selection::parse::<&str>(&[]).unwrap().contains(u16::MAX));
    }
}
