//! Promise: results stay the same between releases.
//!
//! `golden_hashes.txt` holds one hash per operation, arithmetic and shape, of seeded finite inputs. Every backend on every
//! target has to give the same ones; the cases are in `support/golden.rs`, which firmware runs too. A change is a new version
//! of the arithmetic contract: `LOWRANK_BLESS=1 cargo test --test promises golden::` writes the file anew.

use std::collections::BTreeMap;

use crate::support::golden::{Key, MEMORY, SIZES, hash, of_numbers, of_size};
use crate::support::{backends, report};
use lowrank::{Arithmetic, Backend};

const GOLDEN: &str = include_str!("../golden_hashes.txt");

/// All hashes that a run hands out, by `operation arithmetic size`.
fn collect(mut run: impl FnMut(&mut [f32], &mut dyn FnMut(Key, u64))) -> BTreeMap<String, u64> {
    let (mut all, mut memory) = (BTreeMap::new(), vec![f32::NAN; MEMORY]);
    run(&mut memory, &mut |key, hash| {
        let twice = all.insert(key.to_string(), hash);
        assert_eq!(twice, None, "{key} has two hashes");
    });
    all
}

fn of_backend(backend: Backend) -> BTreeMap<String, u64> {
    collect(|memory, read| SIZES.into_iter().for_each(|size| of_size(backend, size, memory, read)))
}

/// `hash operation arithmetic size`, one a line.
fn parse(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (hash, key) = line.split_once(' ').unwrap();
            (key.to_owned(), u64::from_str_radix(hash, 16).unwrap())
        })
        .collect()
}

#[test]
fn results_are_those_of_the_last_release() {
    let mut ours = collect(of_numbers);
    let golden = if std::env::var_os("LOWRANK_BLESS").is_some() { None } else { Some(parse(GOLDEN)) };
    let backends = backends();
    for &backend in &backends {
        let all = of_backend(backend);
        for (key, hash) in &all {
            if let Some(golden) = &golden {
                assert_eq!(Some(hash), golden.get(key), "{backend:?}: {key} is not what it was");
            }
            let other = *ours.entry(key.clone()).or_insert(*hash);
            assert_eq!(*hash, other, "{backend:?}: {key} is not what another backend gives");
        }
        report("golden", format!("{backend:?}"), all.len() as u64, "golden hashes", 200);
    }
    for arithmetic in Arithmetic::ALL {
        assert!(backends.iter().any(|backend| backend.arithmetic() == arithmetic), "{arithmetic:?} did not run");
    }
    match golden {
        Some(golden) => assert_eq!(ours, golden),
        None => bless(&ours),
    }
    report("golden", "all backends", ours.len() as u64, "golden hashes", 400);
}

fn bless(hashes: &BTreeMap<String, u64>) {
    let mut text = String::from(
        "# FNV-1a of the results: hash, operation, arithmetic, shape. Written by tests/promises/golden.rs.\n",
    );
    for (key, hash) in hashes {
        text += &format!("{hash:016x} {key}\n");
    }
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden_hashes.txt"), text).unwrap();
}

/// One bit more or less is another hash; another NaN is not.
#[test]
fn hashes_see_every_bit() {
    let values = [1.0f32, -0.0, 0.5];
    let mut seen = vec![hash([&values[..]])];
    for (at, bit) in (0..3).flat_map(|at| (0..32).map(move |bit| (at, bit))) {
        let mut other = values;
        other[at] = f32::from_bits(other[at].to_bits() ^ (1 << bit));
        seen.push(hash([&other[..]]));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 97);
    assert_eq!(hash([&[f32::NAN][..]]), hash([&[-f32::NAN][..]]));
}
