//! Random cases of the properties of `split` and `threads`.

use std::cell::Cell;

use lowrank::{Accum, Backend};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::{backends, full, report};

pub(crate) fn accums() -> impl Strategy<Value = Accum> {
    prop_oneof![Just(Accum::Replace), Just(Accum::Add)]
}

/// Runs a property on random cases, each on every backend, and prints how often it held.
pub(crate) fn for_all<S: Strategy>(
    property: &str,
    strategy: S,
    holds: impl Fn(Backend, &S::Value) -> Result<(), TestCaseError>,
) {
    let cases = if full() { 10_000 } else { 300 };
    let backends = backends();
    let counts: Vec<Cell<u64>> = backends.iter().map(|_| Cell::new(0)).collect();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |case| {
        for (&backend, count) in backends.iter().zip(&counts) {
            holds(backend, &case)?;
            count.set(count.get() + 1);
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{property}: {failure}");
    }
    for (backend, count) in backends.iter().zip(&counts) {
        report("split", format!("{backend:?}"), count.get(), &format!("random cases of {property}"), u64::from(cases));
    }
}
