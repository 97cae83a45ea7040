//! Promise: NaN, infinities and signed zeros go where the contract says. Every special value at every position of every
//! operand of a small layer; each element of each output falls into the class that the specification gives it.

use crate::support::{Data, Layer, Outputs, Rng, backends, full, lanes, mat_mut, report};
use lowrank::{Accum, Arithmetic, Backend, Dropout, MatMut, Shape, merge, reference};

/// What the contract promises about one number: of a NaN that it is one, of every other number its bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Class {
    Nan,
    Infinity { negative: bool },
    Zero { negative: bool },
    Number(u32),
}

impl Class {
    const KINDS: usize = 6;

    fn of(x: f32) -> Class {
        let negative = x.is_sign_negative();
        match x {
            _ if x.is_nan() => Class::Nan,
            _ if x.is_infinite() => Class::Infinity { negative },
            0.0 => Class::Zero { negative },
            _ => Class::Number(x.to_bits()),
        }
    }

    fn kind(self) -> usize {
        match self {
            Class::Nan => 0,
            Class::Infinity { negative } => 1 + usize::from(negative),
            Class::Zero { negative } => 3 + usize::from(negative),
            Class::Number(_) => 5,
        }
    }
}

const SPECIAL: [f32; 6] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::from_bits(1)];

/// The operands of a layer, and the outputs that an accumulating call reads.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Operand {
    W,
    Bias,
    A,
    B,
    X,
    Dy,
    OldA,
    OldB,
    OldBias,
}

impl Operand {
    const ALL: [Operand; 9] = {
        use Operand::{A, B, Bias, Dy, OldA, OldB, OldBias, W, X};
        [W, Bias, A, B, X, Dy, OldA, OldB, OldBias]
    };

    fn of<'a>(self, layer: &'a mut Layer, old: &'a mut Outputs) -> &'a mut [f32] {
        match self {
            Operand::W => &mut layer.w,
            Operand::Bias => layer.bias.as_deref_mut().unwrap_or(&mut []),
            Operand::A => &mut layer.a,
            Operand::B => &mut layer.b,
            Operand::X => &mut layer.x,
            Operand::Dy => &mut layer.dy,
            Operand::OldA => &mut old.da,
            Operand::OldB => &mut old.db,
            Operand::OldBias => &mut old.dbias,
        }
    }
}

/// What surrounds a special value.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Background {
    /// Small integers; infinity times zero occurs.
    Integers,
    /// Zeros of both signs, but for one element of `A`: the sign of a zero comes through.
    Zeros,
}

fn layer(shape: Shape, tokens: usize, background: Background, dropped: bool) -> Layer {
    let mut layer = Layer::new(shape, tokens, Data::Integers, 5);
    let bias = layer.bias.insert(Data::Integers.fill(&mut Rng(6), shape.outputs));
    if background == Background::Zeros {
        for operand in [bias, &mut layer.w, &mut layer.a, &mut layer.b, &mut layer.x, &mut layer.dy] {
            operand.iter_mut().for_each(|value| *value = if *value < 1.0 { -0.0 } else { 0.0 });
        }
        layer.a[0] = 1.0;
    }
    // Negative, so that there are negative zeros.
    layer.scale = -2.0;
    layer.dropout = dropped.then_some(Dropout { probability: 0.5, seed: 7, step: 0, layer_number: 0, first_token: 0 });
    layer
}

/// Elements that were compared, and how many of each kind were among them.
#[derive(Default)]
struct Tally {
    elements: u64,
    kinds: [u64; Class::KINDS],
}

impl Tally {
    fn compare(&mut self, what: &str, got: &[f32], expected: &[f32], case: &dyn Fn() -> String) {
        assert_eq!(got.len(), expected.len());
        for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
            let (got, expected) = (Class::of(got), Class::of(expected));
            assert!(got == expected, "{what}[{i}]: {got:?}, not {expected:?}: {}", case());
            self.kinds[got.kind()] += 1;
            self.elements += 1;
        }
    }

    fn compare_all(&mut self, got: &Outputs, expected: &Outputs, case: &dyn Fn() -> String) {
        self.compare("Y", &got.y, &expected.y, case);
        self.compare("hs", &got.hs, &expected.hs, case);
        self.compare("dA", &got.da, &expected.da, case);
        self.compare("dB", &got.db, &expected.db, case);
        self.compare("db", &got.dbias, &expected.dbias, case);
        self.compare("dX", &got.dx, &expected.dx, case);
    }
}

/// Everything that a layer gives: with weights in rows, and in panels.
fn check(arithmetic: Arithmetic, layer: &Layer, old: &Outputs, accum: Accum, tallies: &mut [(Backend, Tally)]) {
    let Shape { inputs, outputs, .. } = layer.shape;
    let merged = |run: &dyn Fn(MatMut<'_>)| {
        let mut merged = vec![f32::NAN; outputs * inputs];
        run(mat_mut(&mut merged, outputs, inputs));
        merged
    };
    let mut expected = old.clone();
    layer.specify(arithmetic, accum, &mut expected);
    let expected_merged = merged(&|to| reference::merge(arithmetic, &layer.base(), &layer.adapter(), to).unwrap());
    for (backend, tally) in tallies.iter_mut().filter(|(backend, _)| backend.arithmetic() == arithmetic) {
        let mut buffer = vec![];
        for base in [layer.base(), layer.packed(*backend, &mut buffer)] {
            let case = || format!("{backend:?}, {accum:?}, {base:?}, {layer:?}, {old:?}");
            let mut got = old.clone();
            layer.run(*backend, &base, accum, &mut got).unwrap();
            tally.compare_all(&got, &expected, &case);
            let got = merged(&|to| merge(*backend, &base, &layer.adapter(), to).unwrap());
            tally.compare("merge", &got, &expected_merged, &case);
        }
    }
}

/// A layer of which nothing fills a vector, and one that has full vectors and tails.
fn shapes(backends: &[Backend]) -> Vec<(usize, Shape)> {
    let v = backends.iter().map(|&backend| lanes(backend)).max().unwrap_or(1).max(8);
    let wide = if full() { v + 3 } else { v + 1 };
    vec![(2, Shape::new(3, 2, 2)), (5, Shape::new(wide, wide + 1, 3))]
}

/// Every special value at every position of an operand.
fn check_operand(operand: Operand, plain: &Layer, tallies: &mut [(Backend, Tally)]) {
    let old = plain.old_outputs(Data::Integers, 1);
    let positions = operand.of(&mut plain.clone(), &mut old.clone()).len();
    assert!(positions > 0);
    for (at, special) in (0..positions).flat_map(|at| SPECIAL.map(|special| (at, special))) {
        let (mut layer, mut old) = (plain.clone(), old.clone());
        operand.of(&mut layer, &mut old)[at] = special;
        for arithmetic in Arithmetic::ALL {
            for accum in [Accum::Replace, Accum::Add] {
                if !layer.is_dead() {
                    check(arithmetic, &layer, &old, accum, tallies);
                }
            }
        }
    }
}

#[test]
fn specials_go_where_the_specification_says() {
    let mut tallies: Vec<_> = backends().into_iter().map(|backend| (backend, Tally::default())).collect();
    for (tokens, shape) in shapes(&backends()) {
        for operand in Operand::ALL {
            for background in [Background::Integers, Background::Zeros] {
                let dropped = (operand as usize + background as usize) % 2 == 1;
                check_operand(operand, &layer(shape, tokens, background, dropped), &mut tallies);
                if full() {
                    check_operand(operand, &layer(shape, tokens, background, !dropped), &mut tallies);
                }
            }
        }
    }
    for (backend, tally) in tallies {
        assert!(tally.kinds.iter().all(|&count| count > 100), "{backend:?}: too few of some kind: {:?}", tally.kinds);
        let what = format!("elements in the right class (NaN, +∞, -∞, +0, -0, others: {:?})", tally.kinds);
        report("nan_classes", format!("{backend:?}"), tally.elements, &what, 1_000_000);
    }
}

/// A replacing call does not read what was there: it is NaN, and nothing becomes NaN.
#[test]
fn replacing_does_not_read_the_old_output() {
    for backend in backends() {
        let mut count = 0;
        let v = lanes(backend);
        for (tokens, shape) in [(2, Shape::new(3, 2, 2)), (v + 1, Shape::new(3 * v + 2, 2 * v + 1, 3))] {
            for dropped in [false, true] {
                let layer = layer(shape, tokens, Background::Integers, dropped);
                let nan = |values: Vec<f32>| vec![f32::NAN; values.len()];
                let old = layer.old_outputs(Data::Finite, 1);
                let (y, hs) = (nan(old.y), nan(old.hs));
                let old = Outputs { y, hs, da: nan(old.da), db: nan(old.db), dbias: nan(old.dbias), dx: nan(old.dx) };
                let mut buffer = vec![];
                for base in [layer.base(), layer.packed(backend, &mut buffer)] {
                    let mut out = old.clone();
                    layer.run(backend, &base, Accum::Replace, &mut out).unwrap();
                    let all = [&out.y, &out.hs, &out.da, &out.db, &out.dbias, &out.dx];
                    assert!(all.into_iter().flatten().all(|value| value.is_finite()), "{backend:?}, {layer:?}");
                    count += out.len() as u64;
                }
            }
        }
        report("nan_classes", format!("{backend:?}"), count, "elements replaced where NaN was", 100);
    }
}
