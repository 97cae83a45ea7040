//! Promise: between two passes, a view of the saved activations that is made anew goes on where the other one stopped.

use lowrank::train::MeanLoss;
use lowrank::{
    Accum, Adapter, Argument, Backend, Backprop, Base, Batch, Error, Grads, MatMut, MatRef, Progress, Saved, backward,
    forward, input_grads, parameter_grads,
};

const W: [[f32; 2]; 3] = [[1.0, 0.5], [0.25, 1.0], [-1.0, 1.0]];
const A: [[f32; 2]; 1] = [[0.5, -1.5]];
const B: [[f32; 1]; 3] = [[2.0], [0.0], [-0.5]];
const X: [[f32; 2]; 2] = [[3.0, 4.0], [-1.0, 0.125]];
const DY: [[f32; 3]; 2] = [[1.0, -2.0, 0.5], [0.25, 4.0, -1.0]];

type Gradients = ([[f32; 2]; 1], [[f32; 1]; 3], [[f32; 2]; 2]);

fn base() -> Base<'static> {
    Base { weights: MatRef::from_rows(&W).into(), bias: None }
}

fn adapter(scale: f32) -> Adapter<'static> {
    Adapter { a: MatRef::from_rows(&A), b: MatRef::from_rows(&B), bias: None, scale }
}

fn forward_pass(adapter: &Adapter<'_>, saved: &mut Saved<'_>) {
    let mut y = [[0.0; 3]; 2];
    forward(Backend::SCALAR, &base(), adapter, MatRef::from_rows(&X), MatMut::from_rows(&mut y), saved).unwrap();
}

fn at_once(adapter: &Adapter<'_>) -> Gradients {
    let (mut memory, mut da, mut db, mut dx) = ([0.0; 4], [[0.0; 2]], [[0.0]; 3], [[0.0; 2]; 2]);
    let mut saved = Saved::training(&mut memory, adapter.shape(), 2).unwrap();
    forward_pass(adapter, &mut saved);
    let (a, b) = (Some(MatMut::from_rows(&mut da)), MatMut::from_rows(&mut db));
    let mut grads = Grads { a, b, bias: None, accum: Accum::Replace };
    let flow =
        Backprop { x: Some(MatRef::from_rows(&X)), dy: MatRef::from_rows(&DY), dx: Some(MatMut::from_rows(&mut dx)) };
    backward(Backend::SCALAR, &base(), adapter, flow, &mut saved, &mut grads).unwrap();
    (da, db, dx)
}

/// With another view of the memory for every pass.
fn in_steps(adapter: &Adapter<'_>, seen: &mut Vec<Progress>) -> Gradients {
    let (mut memory, mut da, mut db, mut dx) = ([0.0; 4], [[0.0; 2]], [[0.0]; 3], [[0.0; 2]; 2]);
    let mut batch = None;
    for step in 0..3 {
        let mut saved = Saved::training(&mut memory, adapter.shape(), 2).unwrap();
        saved.resume(batch).unwrap();
        let (x, dy) = (MatRef::from_rows(&X), MatRef::from_rows(&DY));
        match step {
            0 => forward_pass(adapter, &mut saved),
            1 => input_grads(Backend::SCALAR, &base(), adapter, dy, Some(MatMut::from_rows(&mut dx)), &mut saved)
                .unwrap(),
            _ => {
                let (a, b) = (Some(MatMut::from_rows(&mut da)), MatMut::from_rows(&mut db));
                let mut grads = Grads { a, b, bias: None, accum: Accum::Replace };
                parameter_grads(Backend::SCALAR, Some(x), dy, &saved, &mut grads.whole()).unwrap();
            }
        }
        batch = saved.batch();
        seen.push(batch.unwrap().progress);
    }
    (da, db, dx)
}

#[test]
fn passes_with_a_view_each_give_the_same_bits() {
    let mut seen = Vec::new();
    for scale in [2.0, 0.0] {
        assert_eq!(at_once(&adapter(scale)), in_steps(&adapter(scale), &mut seen));
    }
    use Progress::{Absent, Backward, Forward};
    assert_eq!(seen, [Forward, Backward, Backward, Absent, Absent, Absent]);
    println!("promise resume views: {} passes resumed", seen.len());
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let shape = adapter(2.0).shape();
    let mut memory = [0.0; 2];
    let mut saved = Saved::inference(&mut memory, shape, 2).unwrap();
    let before = Some(Batch { tokens: 1, progress: Progress::Forward });
    saved.resume(before).unwrap();
    let cases = [
        (3, Progress::Forward, Error::TooMany { argument: Argument::Tokens, at_most: 2, got: 3 }),
        (usize::MAX, Progress::Absent, Error::TooMany { argument: Argument::Tokens, at_most: 2, got: usize::MAX }),
        (2, Progress::Backward, Error::ForInference),
    ];
    for (tokens, progress, expected) in cases {
        assert_eq!(saved.resume(Some(Batch { tokens, progress })), Err(expected));
        assert_eq!(saved.batch(), before);
    }
    saved.resume(None).unwrap();
    assert_eq!((saved.batch(), saved.hs().rows()), (None, 0));
}

/// The fields of a [`MeanLoss`] are anybody's: more tokens seen than there are leave room for none, and do not wrap.
#[test]
fn a_mean_over_fewer_tokens_than_seen_has_no_room() {
    let mut loss = MeanLoss { sum: 0.5, tokens: 1, seen: 2 };
    let (before, mut grad) = (loss, [[7.0; 2]]);
    let got = loss.softmax_cross_entropy(MatRef::from_rows(&[[0.0, 1.0]]), &[1], MatMut::from_rows(&mut grad));
    assert_eq!(got, Err(Error::TooMany { argument: Argument::Tokens, at_most: 0, got: 1 }));
    assert_eq!((loss, grad), (before, [[7.0; 2]]));
}
