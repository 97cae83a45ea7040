//! Patterns of `rank_pattern` and `alpha_pattern`.
//!
//! PEFT takes the first key, in the order of the file, for which Python's `re.match(rf"(.*\.)?({key})$", name)` holds; where
//! none does, it looks the name itself up among the keys.
//!
//! All keys are one automaton, whose states are followed side by side: a character of a name costs at most as many steps as
//! there are states, whatever the keys are. The steps are counted, and too many are refused.

use std::collections::HashMap;

use regex_automata::nfa::thompson::{Config, NFA, State, WhichCaptures};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

use super::python::{END, Translated, translate};

/// The keys of a table must not have more parts than this, with their repetitions: 5,000 keys of 100 characters.
pub(super) const LARGEST: u64 = 1 << 19;

/// Bytes that the automaton may take.
const AUTOMATON: usize = 256 << 20;

/// Steps that matching all names may take: about a second. 1,000 names of 40 characters and 1,000 keys take 7 million.
pub(super) const LONGEST: u64 = 1 << 28;

/// Why keys are not taken.
#[derive(Debug)]
pub(super) enum Flaw {
    /// One of them.
    Key { key: String, flaw: String },
    /// All of them together are too large.
    Size,
}

/// Why names cannot be matched.
#[derive(Debug)]
pub(super) enum Stop {
    /// Python could read this key in another way on this name.
    Ambiguous { key: String, name: String },
    /// The steps are used up.
    Steps,
}

/// The keys of a table, ready to be matched.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    keys: Vec<String>,
    automaton: NFA,
    /// The first key with a class.
    with_classes: Option<usize>,
}

/// What keys and names have to do with each other.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// For each name, the number of the key whose value it has.
    pub(super) keys: Vec<Option<usize>>,
    /// The keys that stand for no name.
    pub(super) unused: Vec<usize>,
}

impl Patterns {
    pub(super) fn new(keys: Vec<String>) -> Result<Self, Flaw> {
        let translated = |key: &String| translate(key).map_err(|flaw| Flaw::Key { key: key.clone(), flaw });
        let all: Vec<Translated> = keys.iter().map(translated).collect::<Result<_, _>>()?;
        if all.iter().fold(0u64, |sum, one| sum.saturating_add(one.size)) > LARGEST {
            return Err(Flaw::Size);
        }
        let whole: Vec<String> = all.iter().map(|one| format!("(?:{}){END}", one.regex)).collect();
        let config = Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(AUTOMATON));
        let automaton = NFA::compiler().configure(config).build_many(&whole).map_err(|_| Flaw::Size)?;
        Ok(Self { keys, automaton, with_classes: all.iter().position(|one| one.has_classes) })
    }

    pub(super) fn key(&self, number: usize) -> &str {
        self.keys.get(number).map_or("", String::as_str)
    }

    /// Matches all names in at most so many steps, which are taken off.
    pub(super) fn matches(&self, names: &[&str], steps: &mut u64) -> Result<Matches, Stop> {
        if self.keys.is_empty() {
            return Ok(Matches { keys: vec![None; names.len()], unused: Vec::new() });
        }
        let by_key: HashMap<&str, usize> = self.keys.iter().enumerate().map(|(at, key)| (key.as_str(), at)).collect();
        let mut run = Run::new(&self.automaton, self.keys.len(), steps);
        let mut keys = Vec::with_capacity(names.len());
        for &name in names {
            self.check_unambiguous(name)?;
            run.name(name)?;
            let key = run.first.or_else(|| by_key.get(name).copied());
            if let Some(number) = key {
                run.used[number] = true;
            }
            keys.push(key);
        }
        let unused = run.used.iter().enumerate().filter(|(_, used)| !**used).map(|(number, _)| number).collect();
        Ok(Matches { keys, unused })
    }

    fn check_unambiguous(&self, name: &str) -> Result<(), Stop> {
        match self.with_classes.filter(|_| !name.is_ascii()) {
            None => Ok(()),
            Some(number) => Err(Stop::Ambiguous { key: self.key(number).to_owned(), name: name.to_owned() }),
        }
    }
}

/// The automaton at work.
struct Run<'a> {
    automaton: &'a NFA,
    steps: &'a mut u64,
    /// The states that wait for a character, and those that wait for the next one.
    now: Vec<StateID>,
    next: Vec<StateID>,
    /// The states that are still to be followed.
    open: Vec<StateID>,
    /// When a state was reached last.
    reached: Vec<u64>,
    time: u64,
    /// The first key that matches the name.
    first: Option<usize>,
    /// The keys that have matched any name.
    used: Vec<bool>,
}

impl<'a> Run<'a> {
    fn new(automaton: &'a NFA, keys: usize, steps: &'a mut u64) -> Self {
        let reached = vec![0; automaton.states().len()];
        let (now, next, open) = (Vec::new(), Vec::new(), Vec::new());
        Self { automaton, steps, now, next, open, reached, time: 0, first: None, used: vec![false; keys] }
    }

    /// Finds the keys that match a name: all of it, or what follows a dot of its first line, which is where `(.*\.)?` can
    /// end.
    fn name(&mut self, name: &str) -> Result<(), Stop> {
        self.first = None;
        let line = name.split('\n').next().unwrap_or("");
        let mut starts = std::iter::once(0).chain(line.match_indices('.').map(|(at, _)| at + 1));
        starts.try_for_each(|start| self.from(name.as_bytes(), start))
    }

    fn from(&mut self, name: &[u8], start: usize) -> Result<(), Stop> {
        self.now.clear();
        self.time += 1;
        self.reach(self.automaton.start_anchored(), name, start)?;
        for (at, &byte) in name.iter().enumerate().skip(start) {
            std::mem::swap(&mut self.now, &mut self.next);
            self.now.clear();
            if self.next.is_empty() {
                return Ok(());
            }
            self.time += 1;
            for number in 0..self.next.len() {
                let to = match self.automaton.state(self.next[number]) {
                    State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
                    State::Sparse(all) => all.matches_byte(byte),
                    State::Dense(all) => all.matches_byte(byte),
                    _ => None,
                };
                self.step()?;
                if let Some(to) = to {
                    self.reach(to, name, at + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a state, and those that it leads to without a character.
    fn reach(&mut self, state: StateID, name: &[u8], at: usize) -> Result<(), Stop> {
        self.open.push(state);
        while let Some(id) = self.open.pop() {
            self.step()?;
            if std::mem::replace(&mut self.reached[id.as_usize()], self.time) == self.time {
                continue;
            }
            match self.automaton.state(id) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => self.now.push(id),
                State::Look { look, next } => {
                    let end = at == name.len() || name.get(at..) == Some(b"\n");
                    if (*look == Look::Start && at == 0) || (*look == Look::EndLF && end) {
                        self.open.push(*next);
                    }
                }
                State::Union { alternates } => self.open.extend_from_slice(alternates),
                State::BinaryUnion { alt1, alt2 } => self.open.extend([alt1, alt2]),
                State::Capture { next, .. } => self.open.push(*next),
                State::Fail => {}
                State::Match { pattern_id } => {
                    let number = pattern_id.as_usize();
                    self.used[number] = true;
                    self.first = Some(self.first.map_or(number, |first| first.min(number)));
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Stop> {
        *self.steps = self.steps.checked_sub(1).ok_or(Stop::Steps)?;
        Ok(())
    }
}

/// A key that matches this name and no other, but for one that has a line feed more at its end.
pub(super) fn exactly(name: &str) -> String {
    // Without the `^`, names that end in this one behind a dot would match as well.
    format!("^{}", escape(name))
}

/// The expression of a text, for Python and for this program.
pub(super) fn escape(text: &str) -> String {
    let special = |c: char| r"\.+*?()|[]{}^$#&-~".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}
