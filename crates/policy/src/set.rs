//! The policies in force: which of them an event matches.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use catalogue::EVENTS;
use context::Context;
use event::Event;
use expr::{Condition, Index, Truth, Value};
use rustc_hash::{FxHashMap, FxHasher};
use sieve::{Alternative, Enforcement};

use crate::file::{Action, Dedupe, Limit, Mode};
use crate::sieve::alternatives;
use crate::{Error, Facts, Policy, Scope, Selection, Slot, Store, Trees};

/// Most events that [`Dedupe`] of one rule remembers: when there are more, the oldest are forgotten, and told again.
const REMEMBERED: usize = 4096;

/// Policies that hold together.
#[derive(Debug, Default)]
pub struct Policies {
    policies: Vec<InForce>,
    rules: Vec<Compiled>,
    states: Vec<State>,
    /// By the number of the event.
    by_event: Vec<Index<Slot>>,
    /// Policies that follow processes: these look at each birth and execution, whatever their rules say.
    following: Vec<usize>,
    /// For each policy, whether the event at hand is in its scope, as far as that was asked.
    in_scope: Vec<Option<bool>>,
    /// Rules that may match the event at hand.
    candidates: Vec<usize>,
}

#[derive(Debug)]
struct InForce {
    name: Arc<str>,
    scope: Scope,
    detectors: Vec<String>,
    mode: Mode,
    undecided: u64,
}

/// A rule, for one event.
#[derive(Debug)]
struct Compiled {
    policy: usize,
    event: u16,
    condition: Option<Arc<Condition<Slot>>>,
    /// What makes events alike.
    by: Vec<expr::Term<Slot>>,
    /// The whole rule's place in [`Policies::states`].
    state: usize,
}

/// What a rule has told, of all of its events.
#[derive(Debug)]
struct State {
    policy: usize,
    /// What it does to who acts.
    does: Enforcement,
    /// It asks for attention.
    alerts: bool,
    captures: bool,
    limit: Option<Bucket>,
    seen: Option<Seen>,
    /// Events that were too many.
    limited: u64,
    /// Events like others.
    alike: u64,
}

/// What an event matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched {
    /// No policy.
    None,
    /// Some, but all of their rules have told enough.
    Suppressed,
    /// Some, which want it told.
    Told,
}

/// What policies that an event matches want done, beside telling it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// By policies whose mode is to enforce.
    pub enforced: Enforcement,
    /// By those that only monitor.
    pub monitored: Enforcement,
    /// The first policy that wants what is enforced.
    pub by: Option<Arc<str>>,
    /// One of them asks for attention.
    pub alert: bool,
    /// The first policy that wants a copy of the file kept.
    pub capture: Option<Arc<str>>,
}

/// Who an event is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The task that it tells.
    Actors,
    /// Nobody: it is of the kernel, or of Tarsius itself.
    Nobodys,
}

/// Why an event that met a policy's rule was not told by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// There were too many.
    RateLimit,
    /// Another like it was told.
    Dedupe,
    /// What a condition asks is not known of it, so that it may or may not have met the rule.
    Undecided,
}

impl Cause {
    /// As it is called in events.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::RateLimit => "rate_limit",
            Cause::Dedupe => "dedupe",
            Cause::Undecided => "undecided",
        }
    }
}

/// Events of a policy that were not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// The policy.
    pub policy: Arc<str>,
    /// Why.
    pub cause: Cause,
    /// How many, since the beginning.
    pub events: u64,
}

/// How much a rule may still tell: tokens that come back evenly.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    limit: Limit,
    /// Nanoseconds' worth of tokens.
    filled: u64,
    last: u64,
}

impl Bucket {
    fn new(limit: Limit) -> Bucket {
        Bucket { limit, filled: nanos(limit.per), last: 0 }
    }

    /// Takes a token at that time, if there is one. Time that goes backwards stands still.
    fn take(&mut self, now: u64) -> bool {
        let whole = nanos(self.limit.per);
        let cost = whole / u64::from(self.limit.events.max(1));
        let passed = if self.last == 0 { whole } else { now.saturating_sub(self.last) };
        self.last = self.last.max(now);
        self.filled = self.filled.saturating_add(passed).min(whole);
        let enough = self.filled >= cost;
        if enough {
            self.filled -= cost;
        }
        enough
    }
}

/// What was told of late, by what makes events alike.
#[derive(Debug)]
struct Seen {
    window: u64,
    told: FxHashMap<u64, u64>,
}

impl Seen {
    fn new(dedupe: &Dedupe) -> Seen {
        Seen { window: nanos(dedupe.window), told: FxHashMap::default() }
    }

    /// Whether none like it was told within the window before.
    fn is_new(&mut self, by: &[expr::Term<Slot>], facts: &Facts<'_>) -> bool {
        let mut hasher = FxHasher::default();
        facts.event.definition.id.hash(&mut hasher);
        for term in by {
            hash(&term.value(facts), &mut hasher);
        }
        let (key, now, window) = (hasher.finish(), facts.event.header.time, self.window);
        let fresh = |told: u64| now.saturating_sub(told) < window;
        if self.told.get(&key).is_some_and(|&told| fresh(told)) {
            return false;
        }
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, told| fresh(*told));
            // Told twice is better than not at all.
            if self.told.len() >= REMEMBERED {
                self.told.clear();
            }
        }
        self.told.insert(key, now);
        true
    }
}

fn hash(value: &Value<'_>, to: &mut FxHasher) {
    match value {
        Value::Unknown => 0u8.hash(to),
        Value::Bool(b) => (1u8, b).hash(to),
        Value::Int(n) => (2u8, n).hash(to),
        Value::Double(d) => (3u8, d.to_bits()).hash(to),
        Value::Text(t) => (4u8, &t.bytes).hash(to),
        Value::Ip(ip) => (5u8, ip).hash(to),
        Value::List(list) => {
            6u8.hash(to);
            list.iter().for_each(|item| hash(&item, to));
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Policies {
    /// These policies.
    pub fn new(policies: Vec<Policy>) -> Policies {
        let len = EVENTS.iter().map(|e| usize::from(e.id) + 1).max().unwrap_or(0);
        let mut set = Policies::default();
        for policy in policies {
            let number = set.policies.len();
            if policy.scope.follows() {
                set.following.push(number);
            }
            for rule in policy.rules {
                let state = set.states.len();
                set.states.push(State {
                    policy: number,
                    does: Enforcement {
                        kill: rule.actions.contains(&Action::Kill),
                        deny: rule.actions.contains(&Action::Deny),
                    },
                    alerts: rule.actions.contains(&Action::Alert),
                    captures: rule.actions.contains(&Action::Capture),
                    limit: rule.limit.map(Bucket::new),
                    seen: rule.dedupe.as_ref().map(Seen::new),
                    limited: 0,
                    alike: 0,
                });
                for (event, condition) in rule.events {
                    let by = rule.dedupe.iter().flat_map(|d| &d.by).find(|(e, _)| e.id == event.id);
                    let by = by.map(|(_, terms)| terms.clone()).unwrap_or_default();
                    set.rules.push(Compiled { policy: number, event: event.id, condition, by, state });
                }
            }
            set.policies.push(InForce {
                name: policy.name,
                scope: policy.scope,
                detectors: policy.detectors,
                mode: policy.mode,
                undecided: 0,
            });
        }
        set.in_scope = vec![None; set.policies.len()];
        let mut by_event: Vec<Vec<_>> = vec![vec![]; len];
        for (place, rule) in set.rules.iter().enumerate() {
            if let Some(rules) = by_event.get_mut(usize::from(rule.event)) {
                rules.push((place, rule.condition.as_deref()));
            }
        }
        set.by_event = by_event.into_iter().map(Index::new).collect();
        set
    }

    /// The events that any of them wants.
    pub fn selection(&self) -> Selection {
        let wanted = self.by_event.iter().enumerate().filter(|(_, rules)| !rules.is_empty());
        Selection::of(wanted.filter_map(|(id, _)| u16::try_from(id).ok()))
    }

    /// Whether any of them asks that of a store.
    pub fn asks(&self, store: Store) -> bool {
        let mut asked = false;
        let mut show = |slot: &Slot| asked |= *slot == Slot::Store(store);
        for rule in &self.rules {
            rule.condition.iter().for_each(|condition| condition.asks(&mut show));
            rule.by.iter().for_each(|term| term.asks(&mut show));
        }
        asked
    }

    /// The trees that the kernel must look for, for all of them together.
    pub fn trees(&self) -> Trees {
        let each = self.policies.iter().map(|p| p.scope.trees());
        each.reduce(Trees::or).unwrap_or_default()
    }

    /// The ways for an event to be wanted, or to be undecided, as far as the kernel can look at them.
    pub fn alternatives(&self, event: &catalogue::Event, ctx: &Context) -> Vec<Alternative> {
        let rules = self.rules.iter().filter(|rule| rule.event == event.id);
        rules.flat_map(|rule| self.ways(event, rule, ctx)).collect()
    }

    /// Of these, those that have the kernel do something to who acts; and those that have it follow them.
    pub fn acting(&self, event: &catalogue::Event, ctx: &Context) -> Vec<Alternative> {
        let acts = |rule: &&Compiled| rule.event == event.id && self.enforces(rule).any();
        let ways = self.rules.iter().filter(acts).flat_map(|rule| self.ways(event, rule, ctx));
        let following = self.policies.iter().filter_map(|p| p.scope.following(event, ctx));
        ways.filter(Alternative::enforces).chain(following).collect()
    }

    /// Whether any of them follows processes.
    pub fn follow(&self) -> bool {
        !self.following.is_empty()
    }

    fn ways(&self, event: &catalogue::Event, rule: &Compiled, ctx: &Context) -> Vec<Alternative> {
        let Some(policy) = self.policies.get(rule.policy) else { return vec![] };
        let (scope, whole) = policy.scope.sieve(Some(ctx));
        let (ways, exact) = alternatives(event, rule.condition.as_deref(), |slot| Some(*slot));
        // Nothing is done to anybody but for all that is asked.
        let does = if whole && exact { self.enforces(rule) } else { Enforcement::NONE };
        let of_scope = ways.iter().map(|way| scope.and(way).enforcing(does));
        let followed = policy.scope.followed();
        let of_followed = followed.iter().flat_map(|followed| ways.iter().map(|way| followed.and(way)));
        of_scope.chain(of_followed).collect()
    }

    /// Whether any of them asks in which container something is: what the kernel knows of them is to be told anew when there are others.
    pub fn ask_containers(&self) -> bool {
        self.policies.iter().any(|p| p.scope.asks_containers())
    }

    /// What a rule has done to who acts.
    fn enforces(&self, rule: &Compiled) -> Enforcement {
        let enforcing = self.policies.get(rule.policy).is_some_and(|p| p.mode == Mode::Enforce);
        let state = self.states.get(rule.state).filter(|_| enforcing);
        state.map_or(Enforcement::NONE, |state| state.does)
    }

    /// Switches a policy's mode; `None` if there is none of that name, else whether it was another.
    pub fn switch(&mut self, policy: &str, mode: Mode) -> Option<bool> {
        let policy = self.policies.iter_mut().find(|p| &*p.name == policy)?;
        Some(std::mem::replace(&mut policy.mode, mode) != mode)
    }

    /// The words of processes that are in trees that any of them watches: see [`Scope::seeds`].
    pub fn seeds(&self, ctx: &Context) -> Vec<(u32, u64)> {
        let mut words: std::collections::BTreeMap<u32, u64> = Default::default();
        for (pid, word) in self.policies.iter().flat_map(|p| p.scope.seeds(ctx)) {
            *words.entry(pid).or_default() |= word;
        }
        words.into_iter().collect()
    }

    /// Whether the event is in the scope of any of them that has a rule for what it is looked at for.
    pub fn in_any_scope(&self, event: &Event<'_>, ctx: &Context) -> bool {
        self.policies.iter().any(|p| p.scope.matches(event, ctx))
    }

    /// Takes up the processes that run, in every scope: see [`Scope::begin`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn begin(&mut self, ctx: &mut Context) -> Result<(), Error> {
        self.policies.iter_mut().try_for_each(|p| p.scope.begin(ctx))
    }

    /// Lets go of the processes that the scopes have taken up.
    pub fn end(&mut self, ctx: &mut Context) {
        self.policies.iter_mut().for_each(|p| p.scope.end(ctx));
    }

    /// Names of all, in their order; that of the command line is empty.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|p| &*p.name)
    }

    /// What detectors find that any of them wants.
    pub fn findings(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().flat_map(|p| &p.detectors).map(String::as_str)
    }

    /// Whether any of them wants what was found in an event told; `matched` gets the names of those.
    pub fn want(
        &self,
        finding: &str,
        event: &Event<'_>,
        whose: Whose,
        ctx: &Context,
        matched: &mut Vec<Arc<str>>,
    ) -> bool {
        matched.clear();
        let mut any = false;
        for policy in self.policies.iter().filter(|p| p.detectors.iter().any(|d| d == finding)) {
            if whose == Whose::Nobodys || policy.scope.matches(event, ctx) {
                any = true;
                if !policy.name.is_empty() {
                    matched.push(Arc::clone(&policy.name));
                }
            }
        }
        any
    }

    /// What an event matches. `matched` gets the names of the policies that want it told, `wanted` what else they want done. `ctx` must have observed the event. What user space
    /// has found, whoever did it, is in every scope.
    pub fn judge(
        &mut self,
        event: &Event<'_>,
        whose: Whose,
        ctx: &Context,
        matched: &mut Vec<Arc<str>>,
        wanted: &mut Wanted,
    ) -> Matched {
        matched.clear();
        *wanted = Wanted::default();
        if event.definition.always {
            return Matched::Told;
        }
        self.in_scope.fill((whose == Whose::Nobodys).then_some(true));
        for &policy in self.following.iter().filter(|_| crate::scope::begins(event.definition.id)) {
            self.in_scope[policy].get_or_insert_with(|| self.policies[policy].scope.matches(event, ctx));
        }
        let rules = self.by_event.get(usize::from(event.definition.id));
        let Some(rules) = rules.filter(|rules| !rules.is_empty()) else { return Matched::None };
        let facts = Facts { event, ctx };
        self.candidates.clear();
        rules.candidates(&facts, &mut self.candidates);
        let mut outcome = Matched::None;
        let mut last = None;
        for &place in &self.candidates {
            let rule = &self.rules[place];
            // One rule of a policy is enough to tell it; rules of one policy stand together.
            let told = last == Some(rule.policy);
            let state = &self.states[rule.state];
            if told && !state.does.any() && !state.alerts && !state.captures {
                continue;
            }
            let policy = &mut self.policies[rule.policy];
            let in_scope =
                *self.in_scope[rule.policy].get_or_insert_with(|| policy.scope.matches(event, ctx));
            if !in_scope {
                continue;
            }
            match rule.condition.as_ref().map_or(Truth::True, |c| c.of(&facts)) {
                Truth::True => {}
                Truth::False => continue,
                Truth::Unknown => {
                    policy.undecided += 1;
                    continue;
                }
            }
            let now = event.header.time;
            let state = &mut self.states[rule.state];
            match policy.mode {
                Mode::Monitor => wanted.monitored = wanted.monitored.or(state.does),
                Mode::Enforce => {
                    wanted.enforced = wanted.enforced.or(state.does);
                    if state.does.any() && wanted.by.is_none() {
                        wanted.by = Some(Arc::clone(&policy.name));
                    }
                }
            }
            wanted.alert |= state.alerts;
            if state.captures && wanted.capture.is_none() {
                wanted.capture = Some(Arc::clone(&policy.name));
            }
            if told {
                continue;
            }
            let alike = state.seen.as_mut().is_some_and(|seen| !seen.is_new(&rule.by, &facts));
            let limited = !alike && state.limit.as_mut().is_some_and(|bucket| !bucket.take(now));
            state.alike += u64::from(alike);
            state.limited += u64::from(limited);
            if alike || limited {
                if outcome == Matched::None {
                    outcome = Matched::Suppressed;
                }
                continue;
            }
            outcome = Matched::Told;
            last = Some(rule.policy);
            if !policy.name.is_empty() {
                matched.push(Arc::clone(&policy.name));
            }
        }
        outcome
    }

    /// What was not told since the beginning, by policy and cause; what is none is left out.
    pub fn suppressed(&self) -> Vec<Suppressed> {
        let mut all = vec![];
        for (number, policy) in self.policies.iter().enumerate() {
            let states = || self.states.iter().filter(|s| s.policy == number);
            for (cause, events) in [
                (Cause::RateLimit, states().map(|s| s.limited).sum()),
                (Cause::Dedupe, states().map(|s| s.alike).sum()),
                (Cause::Undecided, policy.undecided),
            ] {
                if events > 0 {
                    all.push(Suppressed { policy: Arc::clone(&policy.name), cause, events });
                }
            }
        }
        all
    }
}
