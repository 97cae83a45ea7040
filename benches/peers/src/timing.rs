//! Timing in turn: every contender once per round, so that whatever else the machine does strikes all of them.

use std::time::{Duration, Instant};

use crate::memory::read_streams;

/// How long is measured.
#[derive(Copy, Clone, Debug)]
pub struct Effort {
    /// Time that one timing takes at least; a call that takes longer is timed alone.
    pub timing: Duration,
    /// No round is begun after this time,
    pub total: Duration,
    /// but there are at least this many.
    pub rounds: usize,
}

/// Seconds per call, one per round.
#[derive(Clone, Debug, Default)]
pub struct Seconds(pub Vec<f64>);

impl Seconds {
    /// The fastest round.
    pub fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The median over the rounds.
    pub fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The median over the rounds of how many times as long `other` takes within the round.
    pub fn median_lead(&self, other: &Seconds) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(own, other)| other / own).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn seconds(calls: usize, action: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        action();
    }
    start.elapsed().as_secs_f64()
}

fn calls_that_take(time: Duration, action: &mut dyn FnMut()) -> usize {
    let mut calls = 1;
    while seconds(calls, action) < time.as_secs_f64() && calls < 1 << 30 {
        calls *= 2;
    }
    calls
}

/// More than a last-level cache holds.
const FLUSH: usize = 24 << 20;

/// Times all `actions` in turn. The first of a round changes from round to round. Before each timing other memory is read
/// and then a call is made that is not timed, so that what an action finds in the caches is what it left there itself, also
/// where several read the same matrices: main memory seemed a third faster to those.
pub fn in_turn(effort: Effort, actions: &mut [Box<dyn FnMut() + '_>]) -> Vec<Seconds> {
    let calls: Vec<_> = actions.iter_mut().map(|action| calls_that_take(effort.timing, action)).collect();
    let mut times = vec![Seconds::default(); actions.len()];
    let flush = vec![1.0_f32; FLUSH];
    let start = Instant::now();
    let mut round = 0;
    while round < effort.rounds || start.elapsed() < effort.total {
        for turn in 0..actions.len() {
            let i = (turn + round) % actions.len();
            read_streams(&flush);
            actions[i]();
            times[i].0.push(seconds(calls[i], &mut actions[i]) / calls[i] as f64);
        }
        round += 1;
    }
    times
}
