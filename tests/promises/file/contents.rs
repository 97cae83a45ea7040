//! Gate 17, continued: whatever can be written can be read, to the same contents and the same bytes, and nothing else can.
//! Random contents, against the format written down without checks.

use std::cell::Cell;

use crate::support::bytes::written_down;
use crate::support::files::{Lying, OwnedContents, OwnedEntry, OwnedTensor, emitted_again};
use crate::support::{Rng, full, mat_mut, report};
use lowrank::format::{Contents, Entry, Outline, RandomState, StreamError, Tensor, encoded_len};
use lowrank::train::{Optimizer, Trained};
use lowrank::{AdapterFile, AdapterMut, Dtype, MatMut, MatRef, Scale, Shape};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

fn for_all<S: Strategy>(property: &str, strategy: S, holds: impl Fn(&S::Value) -> Result<(), TestCaseError>) {
    let cases = if full() { 20_000 } else { 500 };
    let count = Cell::new(0);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |case| {
        holds(&case)?;
        count.set(count.get() + 1);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{property}: {failure}");
    }
    report("file", property, count.get(), "random cases", u64::from(cases));
}

fn dtypes() -> impl Strategy<Value = Dtype> {
    proptest::sample::select(&Dtype::ALL)
}

fn trainings() -> impl Strategy<Value = (Optimizer, Trained)> {
    const ALL: [Optimizer; 4] = [Optimizer::InPlace, Optimizer::Sgd, Optimizer::Momentum, Optimizer::AdamW];
    let trained = any::<(bool, bool)>().prop_map(|(a, bias)| Trained { a, bias });
    (proptest::sample::select(&ALL), trained)
}

fn scales() -> impl Strategy<Value = Scale> {
    let alpha = prop_oneof![Just(16.0), Just(-0.0), Just(f32::MAX), -1e3..1e3f32];
    (0..3usize, alpha).prop_map(|(mode, alpha)| [Scale::Direct, Scale::Alpha, Scale::RankStabilized][mode](alpha))
}

fn random_states() -> impl Strategy<Value = RandomState> {
    (any::<(u64, u32, u32)>(), 0.0..1.0f32).prop_map(|((seed, step, layer_number), dropout)| RandomState {
        seed,
        step,
        layer_number,
        dropout,
    })
}

fn entries() -> impl Strategy<Value = OwnedEntry> {
    let key = ("[ab]{0,2}|é|layer\\.[0-9]{1,30}", 0..3u32);
    let shape = (1..8usize, 1..8usize, 1..6usize).prop_map(|(i, o, r)| Shape::new(i, o, r));
    let types = (dtypes(), dtypes(), option::of(dtypes()), option::of(dtypes()));
    let rest = (option::of(trainings()), scales(), random_states(), any::<bool>(), any::<u64>());
    (key, shape, types, rest).prop_map(|((name, id), shape, (a, b, bias, b_bias), rest)| {
        let (training, scale, random, fan_in_fan_out, seed) = rest;
        let rng = &mut Rng(seed);
        let mut entry = OwnedEntry::new(&name, shape, a, rng);
        entry.b = OwnedTensor::random(rng, b, shape.outputs, shape.rank);
        entry.bias = bias.map(|dtype| OwnedTensor::random(rng, dtype, 1, shape.outputs));
        entry.b_bias = b_bias.map(|dtype| OwnedTensor::random(rng, dtype, 1, shape.outputs));
        let entry = OwnedEntry { id, scale, random, fan_in_fan_out, ..entry };
        match training {
            Some((optimizer, trained)) => {
                let trained = Trained { bias: trained.bias && bias.is_some(), ..trained };
                entry.training(optimizer, trained, rng)
            }
            None => entry,
        }
    })
}

/// Layers in any order, some of them twice.
fn jumbled() -> impl Strategy<Value = OwnedContents> {
    let rest = ("\\PC{0,20}", any::<(u64, u32)>());
    (vec(entries(), 0..6), rest).prop_map(|(entries, (metadata, (fingerprint, generation)))| OwnedContents {
        entries,
        metadata,
        fingerprint,
        generation,
    })
}

fn in_order() -> impl Strategy<Value = OwnedContents> {
    jumbled().prop_map(|mut contents| {
        contents.entries.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        contents.entries.dedup_by(|a, b| (&a.name, a.id) == (&b.name, b.id));
        contents
    })
}

/// Numbers by a reading of the bytes that is not the crate's.
fn numbers(tensor: &OwnedTensor) -> Vec<u32> {
    let wide = |&bits: &[u8; 2]| u32::from(u16::from_le_bytes(bits));
    match tensor.dtype {
        Dtype::F32 => tensor.bytes.as_chunks::<4>().0.iter().map(|&four| u32::from_le_bytes(four)).collect(),
        Dtype::Bf16 => tensor.bytes.as_chunks::<2>().0.iter().map(|two| wide(two) << 16).collect(),
        Dtype::F16 => {
            tensor.bytes.as_chunks::<2>().0.iter().map(|two| Dtype::F16.decode(wide(two)).to_bits()).collect()
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn same_tensor(got: &Tensor<'_>, expected: &OwnedTensor) -> Result<(), TestCaseError> {
    prop_assert_eq!((got.dtype(), got.rows(), got.cols()), (expected.dtype, expected.rows, expected.cols));
    prop_assert_eq!(got.bytes(), Some(&expected.bytes[..]));
    let mut decoded = vec![0.0; expected.rows * expected.cols];
    got.decode(mat_mut(&mut decoded, expected.rows, expected.cols)).unwrap();
    prop_assert_eq!(bits(&decoded), numbers(expected));
    if let Some(matrix) = got.as_f32() {
        let rows: Vec<f32> = (0..matrix.rows()).flat_map(|i| matrix.row(i)).copied().collect();
        prop_assert_eq!(bits(&rows), numbers(expected));
    }
    Ok(())
}

fn same_entry(got: &Entry<'_>, expected: &OwnedEntry) -> Result<(), TestCaseError> {
    prop_assert_eq!((got.name, got.id), (&expected.name[..], expected.id));
    prop_assert_eq!((got.scale, got.shape()), (expected.scale, expected.shape()));
    prop_assert_eq!((got.fan_in_fan_out, got.random), (expected.fan_in_fan_out, expected.random));
    same_tensor(&got.a, &expected.a)?;
    same_tensor(&got.b, &expected.b)?;
    prop_assert_eq!((got.bias.is_some(), got.b_bias.is_some()), (expected.bias.is_some(), expected.b_bias.is_some()));
    for (got, expected) in got.bias.iter().zip(&expected.bias).chain(got.b_bias.iter().zip(&expected.b_bias)) {
        same_tensor(got, expected)?;
    }
    prop_assert_eq!(got.training.is_some(), expected.training.is_some());
    if let (Some(got), Some((optimizer, trained, clock, moments))) = (&got.training, &expected.training) {
        prop_assert_eq!((got.optimizer, got.trained, got.clock), (*optimizer, *trained, *clock));
        for (got, expected) in got.moments.iter().zip(moments) {
            same_tensor(got, expected)?;
        }
    }
    Ok(())
}

/// In place and copied, `A` and `B` are those of the file.
fn usable(entry: &Entry<'_>, expected: &OwnedEntry, aligned: bool) -> Result<(), TestCaseError> {
    let Shape { inputs, outputs, rank } = entry.shape();
    let f32_only = [Some(&expected.a), Some(&expected.b), expected.bias.as_ref()];
    let f32_only = f32_only.into_iter().flatten().all(|tensor| tensor.dtype == Dtype::F32);
    prop_assert_eq!(entry.adapter().is_ok(), aligned && f32_only && expected.b_bias.is_none());
    let (mut a, mut b, mut bias) = (vec![0.5; rank * inputs], vec![0.5; outputs * rank], vec![0.5; outputs]);
    let mut target = AdapterMut {
        a: mat_mut(&mut a, rank, inputs),
        b: mat_mut(&mut b, outputs, rank),
        bias: expected.bias.as_ref().map(|_| mat_mut(&mut bias, 1, outputs)),
        scale: 0.5,
    };
    prop_assert_eq!(entry.load(&mut target).is_ok(), expected.b_bias.is_none());
    if expected.b_bias.is_none() {
        prop_assert_eq!(target.scale.to_bits(), expected.scale.factor(rank).to_bits());
        let fields = [Some(&target.a), Some(&target.b), target.bias.as_ref()];
        let tensors = [Some(&expected.a), Some(&expected.b), expected.bias.as_ref()];
        let loaded = |matrix: &MatMut<'_>| (0..matrix.rows()).flat_map(|i| bits(matrix.row(i))).collect::<Vec<_>>();
        for (field, tensor) in fields.into_iter().flatten().zip(tensors.into_iter().flatten()) {
            prop_assert_eq!(loaded(field), numbers(tensor));
        }
    }
    Ok(())
}

#[test]
fn what_is_written_is_read() {
    for_all("written and read", (in_order(), 0..16usize), |(contents, remainder)| {
        let lying = Lying::new(&contents.file(), *remainder);
        prop_assert!(lying.bytes() == written_down(contents));
        let file = AdapterFile::parse(lying.bytes()).unwrap();
        prop_assert_eq!((file.fingerprint(), file.generation()), (contents.fingerprint, contents.generation));
        prop_assert_eq!(file.metadata(), &contents.metadata);
        prop_assert_eq!(file.entries().len(), contents.entries.len());
        prop_assert_eq!(file.entries().count(), contents.entries.len());
        for (entry, expected) in file.entries().zip(&contents.entries) {
            same_entry(&entry, expected)?;
            usable(&entry, expected, remainder % 4 == 0)?;
            let first = contents.entries.iter().find(|entry| entry.name == expected.name).unwrap();
            prop_assert_eq!(file.find(entry.name).map(|found| found.id), Some(first.id));
            let first = contents.entries.iter().find(|entry| entry.id == expected.id).unwrap();
            prop_assert_eq!(file.find_id(entry.id).map(|found| found.name), Some(&first.name[..]));
        }
        for absent in ["", "a", "b", "ab", "layer", "\u{10ffff}"] {
            let there = contents.entries.iter().any(|entry| entry.name == absent);
            prop_assert_eq!(file.find(absent).is_some(), there);
        }
        prop_assert!(file.find_id(3).is_none() && file.entry(contents.entries.len()).is_none());
        prop_assert!(emitted_again(&file) == lying.bytes());
        Ok(())
    });
}

/// Ways to make contents wrong.
#[derive(Copy, Clone, Debug)]
enum Spoil {
    Alpha(f32),
    Weight1(f32),
    Weight2(f32),
    Dropout(f32),
    TrainedBias,
    NoInputs,
    NoOutputs,
    NoRank,
}

fn spoils() -> impl Strategy<Value = Spoil> {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let alphas = bad.map(Spoil::Alpha).into_iter().chain(bad.map(Spoil::Weight1)).chain(bad.map(Spoil::Weight2));
    let dropouts = bad.into_iter().chain([1.0, -0.1, -0.0]).map(Spoil::Dropout);
    let rest = [Spoil::TrainedBias, Spoil::NoInputs, Spoil::NoOutputs, Spoil::NoRank];
    proptest::sample::select(alphas.chain(dropouts).chain(rest).collect::<Vec<_>>())
}

fn spoil(entry: &mut OwnedEntry, spoil: Spoil) {
    let Shape { inputs, outputs, rank } = entry.shape();
    let (mut shape, rng) = (entry.shape(), &mut Rng(1));
    match (spoil, &mut entry.training) {
        (Spoil::Alpha(alpha), _) => entry.scale = Scale::RankStabilized(alpha),
        (Spoil::Weight1(weight), Some(training)) => training.2.weight1 = weight,
        (Spoil::Weight2(weight), Some(training)) => training.2.weight2 = weight,
        (Spoil::Dropout(p), _) => entry.random.dropout = p,
        (Spoil::TrainedBias, Some((Optimizer::Sgd | Optimizer::InPlace, trained, ..))) => trained.bias = true,
        (Spoil::NoInputs, _) => shape.inputs = 0,
        (Spoil::NoOutputs, _) => shape.outputs = 0,
        (Spoil::NoRank, _) => shape.rank = 0,
        _ => {}
    }
    if shape != Shape::new(inputs, outputs, rank) {
        let fresh = OwnedEntry::new(&entry.name, shape, Dtype::F16, rng);
        *entry = OwnedEntry { id: entry.id, scale: Scale::Direct(1.0), ..fresh };
    }
}

/// Right and wrong contents: what `emit` refuses, `parse` would have refused if it had been written.
#[test]
fn nothing_is_written_that_is_not_read() {
    let strategy = (prop_oneof![in_order(), jumbled()], option::of(spoils()), any::<prop::sample::Index>());
    let (refused, written) = (Cell::new(0), Cell::new(0));
    for_all("right or wrong", strategy, |(contents, way, which)| {
        let mut contents = contents.clone();
        if let (Some(way), false) = (way, contents.entries.is_empty()) {
            let which = which.index(contents.entries.len());
            spoil(&mut contents.entries[which], *way);
        }
        let expected = written_down(&contents);
        let mut out = vec![0xa5; expected.len() + 7];
        let readable = AdapterFile::parse(&expected).map(drop);
        match contents.borrowed(|contents| contents.emit(&mut out)) {
            Ok(length) => {
                prop_assert_eq!((readable, length), (Ok(()), expected.len()));
                prop_assert!(out[..length] == expected && out[length..] == [0xa5; 7]);
                written.set(written.get() + 1);
            }
            Err(error) => {
                prop_assert!(readable.is_err(), "{} refused: {error}", expected.len());
                prop_assert!(out.iter().all(|&byte| byte == 0xa5));
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    report("file", "right or wrong", refused.get(), "contents that are refused and would not be read", 100);
    report("file", "right or wrong", written.get(), "contents that are written and read", 100);
}

/// In pieces, with the header at the end, the bytes are the same; a sink that fails ends it there.
#[test]
fn streams_are_files() {
    for_all("streamed", (in_order(), any::<prop::sample::Index>()), |(contents, failing)| {
        let file = contents.file();
        let (mut body, mut pieces) = (Vec::new(), Vec::new());
        let header = contents.borrowed(|contents| {
            contents.stream(|piece| {
                body.extend_from_slice(piece);
                pieces.push(piece.len());
                Ok::<(), ()>(())
            })
        });
        prop_assert!(header.unwrap()[..] == file[..64] && body == file[64..]);
        let (last, full) = pieces.split_last().unwrap_or((&64, &[]));
        prop_assert!(full.iter().all(|&len| len == 64) && (16..=64).contains(last) && last % 16 == 0);
        if !pieces.is_empty() {
            let failing = failing.index(pieces.len());
            let mut before = 0;
            let result = contents.borrowed(|contents| {
                contents.stream(|_| {
                    before += 1;
                    if before > failing { Err("full") } else { Ok(()) }
                })
            });
            prop_assert_eq!((result, before), (Err(StreamError::Sink("full")), failing + 1));
        }
        Ok(())
    });
}

/// The length that is a constant is the length that is written.
#[test]
fn lengths_are_known_before() {
    for_all("lengths", in_order(), |contents| {
        let length = contents.borrowed(|Contents { entries, metadata, .. }| {
            let outlines: Vec<Outline> = entries.iter().map(Entry::outline).collect();
            encoded_len(&outlines, metadata.len())
        });
        prop_assert_eq!(length, Some(written_down(contents).len()));
        Ok(())
    });
}

/// Numbers in memory, with gaps between their rows, are written as their bytes are.
#[test]
fn views_are_written_as_bytes() {
    let strategy = (entries(), 0..5usize, any::<u64>());
    for_all("views with gaps", strategy, |(entry, gap, seed)| {
        let rng = &mut Rng(*seed);
        let Shape { inputs, outputs, rank } = entry.shape();
        let mut in_bytes = OwnedEntry { a: OwnedTensor::random(rng, Dtype::F32, rank, inputs), ..entry.clone() };
        in_bytes.b = OwnedTensor::random(rng, Dtype::F32, outputs, rank);
        let spread = |tensor: &OwnedTensor| -> Vec<f32> {
            let row = |row: &[u32]| [row.iter().map(|&bits| f32::from_bits(bits)).collect(), vec![9.0; *gap]].concat();
            numbers(tensor).chunks(tensor.cols).flat_map(row).collect()
        };
        let (a, b) = (spread(&in_bytes.a), spread(&in_bytes.b));
        let in_memory = Entry {
            a: MatRef::with_stride(&a, rank, inputs, inputs + gap).unwrap().into(),
            b: MatRef::with_stride(&b, outputs, rank, rank + gap).unwrap().into(),
            ..in_bytes.view()
        };
        let emit = |entry| {
            let contents = Contents { entries: &[entry], metadata: "", fingerprint: 1, generation: 2 };
            let mut out = vec![0xff; contents.encoded_len().unwrap()];
            contents.emit(&mut out).map(|_| out)
        };
        prop_assert_eq!(emit(in_memory), emit(in_bytes.view()));
        prop_assert!(in_memory.a.bytes().is_none() && in_memory.a.as_f32().is_some());
        let mut decoded = vec![0.0; outputs * rank];
        in_memory.b.decode(mat_mut(&mut decoded, outputs, rank)).unwrap();
        prop_assert_eq!(bits(&decoded), numbers(&in_bytes.b));
        Ok(())
    });
}
