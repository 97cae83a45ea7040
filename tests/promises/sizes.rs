//! Promise: sizes never overflow. Every length and every view against u128, on 64-bit and on 32-bit targets.

use crate::support::placed::Placed;
use crate::support::stage::{How, Layout, Stage};
use crate::support::{Data, Layer, Outputs, backends, first_difference, full, mat_mut, report};
use lowrank::arena::{Cutter, total};
use lowrank::train::{Optimizer, State, Trained};
use lowrank::{Accum, Argument, Dropout, Error, MatMut, MatRef, Packed, Plan, Saved, Shape, merge, pack, packed_len};

const MAX: usize = usize::MAX;

// The least counts are those of 32-bit targets, which have fewer boundary values.

/// Where products start to overflow, and the neighbourhood of these numbers.
fn boundaries() -> Vec<usize> {
    let mut all = vec![0, 1, 2, 3, 7, MAX, MAX - 1, MAX / 2, MAX / 2 + 1, MAX / 4, MAX / 4 + 1, MAX / 8, MAX / 8 + 1];
    for power in [8, 15, 16, 29, 30, 31, 32, 33, 47, 61, 62, 63] {
        all.extend(1usize.checked_shl(power).into_iter().flat_map(|n| [n - 1, n]));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// A few of them, for four arguments at a time.
fn few() -> [usize; 9] {
    [0, 1, 5, 1 << 16, (1 << 31) - 1, 1 << 31, MAX / 4, MAX / 2, MAX]
}

/// A length as the crate has to report it: `None` where its bytes exceed `isize::MAX`.
fn expected(elements: Option<u128>) -> Option<usize> {
    elements.filter(|&n| n <= isize::MAX as u128 / 4).map(|n| n as usize)
}

/// Σ rows·cols. Every addend fits u128, as does their sum.
fn dense(pieces: &[(usize, usize)]) -> Option<usize> {
    expected(pieces.iter().try_fold(0u128, |sum, &(rows, cols)| sum.checked_add(rows as u128 * cols as u128)))
}

#[test]
fn lengths_of_arenas() {
    let (mut buffer, mut count) = ([0.0; 3], 0);
    for rows in boundaries() {
        for cols in boundaries() {
            for other in few() {
                let pieces = [(rows, cols), (1, other), (other, 1)];
                assert_eq!(total(&pieces), dense(&pieces), "{pieces:?}");
                count += 1;
            }
            let (got, needed) = (buffer.len(), dense(&[(rows, cols)]));
            let fits = needed.is_some_and(|needed| needed <= got);
            let expected = if fits { Ok(()) } else { verdict(Argument::Arena, needed, got) };
            assert_eq!(Cutter::new(&mut buffer).matrix((rows, cols)).map(drop), expected, "[{rows}, {cols}]");
        }
    }
    report("sizes", "arenas", count, "lengths equal to u128", 2000);
}

/// What a constructor has to say about `got` elements where `elements` are needed.
fn verdict(argument: Argument, elements: Option<usize>, got: usize) -> Result<(), Error> {
    match elements {
        None => Err(Error::Overflow { argument }),
        Some(expected) if expected != got => Err(Error::Length { argument, expected, got }),
        Some(_) => Ok(()),
    }
}

#[test]
fn dense_views_and_packed_weights() {
    let mut count = 0;
    for rows in boundaries() {
        for cols in boundaries() {
            let needed = dense(&[(rows, cols)]);
            assert_eq!(packed_len(rows, cols), needed, "packed_len({rows}, {cols})");
            for len in [0, 1, 2, 3, 4, 6, 9, 21] {
                let memory = &mut [0.0; 21][..len];
                let at = format!("[{rows}, {cols}] in {len}");
                assert_eq!(MatRef::new(memory, rows, cols).map(drop), verdict(Argument::Matrix, needed, len), "{at}");
                assert_eq!(MatMut::new(memory, rows, cols).map(drop), verdict(Argument::Matrix, needed, len), "{at}");
                for width in [0, 1, 5, MAX] {
                    let expected = match width {
                        0 => Err(Error::Cols { argument: Argument::Packed, expected: 1, got: 0 }),
                        _ => verdict(Argument::Packed, needed, len),
                    };
                    let packed = Packed::new(memory, rows, cols, width);
                    let sizes = packed.map(|packed| (packed.outputs(), packed.inputs(), packed.width()));
                    assert_eq!(sizes, expected.map(|()| (rows, cols, width)), "packed {at}, width {width}");
                    count += 1;
                }
                count += 2;
            }
            let full_parameters = (rows as u128 * cols as u128).min(MAX as u128) as usize;
            assert_eq!(Shape::new(rows, cols, 1).full_parameters(), full_parameters);
            count += 2;
        }
    }
    report("sizes", "dense views", count, "results equal to u128", 10_000);
}

/// Elements between the first and behind the last of a strided matrix.
fn strided(rows: usize, cols: usize, stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    expected((rows as u128 - 1).checked_mul(stride as u128).and_then(|before| before.checked_add(cols as u128)))
}

#[test]
fn strided_views() {
    let mut count = 0;
    for rows in boundaries() {
        for cols in boundaries() {
            for stride in boundaries() {
                let argument = Argument::Matrix;
                let expected = |len| match strided(rows, cols, stride) {
                    _ if stride < cols => Err(Error::Stride { argument, expected: cols, got: stride }),
                    None => Err(Error::Overflow { argument }),
                    Some(expected) if len < expected => Err(Error::Length { argument, expected, got: len }),
                    Some(_) => Ok(()),
                };
                for len in [0, 1, 5, 9] {
                    let memory = &mut [0.0; 9][..len];
                    let at = format!("[{rows}, {cols}] at {stride} in {len}");
                    let view = MatRef::with_stride(memory, rows, cols, stride);
                    assert_eq!(view.map(drop), expected(len), "{at}");
                    // Where there is no next row, none is further away than this one is long.
                    let counts = if rows > 1 && cols > 0 { stride } else { cols };
                    if let Ok(view) = view {
                        assert_eq!(view.stride(), counts, "{at}");
                        look_around(view);
                    }
                    let view = MatMut::with_stride(memory, rows, cols, stride);
                    assert_eq!(view.as_ref().map(MatMut::stride).ok(), expected(len).map(|()| counts).ok(), "{at}");
                    assert_eq!(view.map(drop), expected(len), "{at}");
                    count += 2;
                }
            }
        }
    }
    report("sizes", "strided views", count, "results equal to u128", 50_000);
}

/// Every row that there is can be had, every other is empty; nothing panics.
fn look_around(view: MatRef<'_>) {
    for i in [0, 1, 2, 8, MAX / 4, MAX / 2, MAX].into_iter().chain([view.rows().wrapping_sub(1), view.rows()]) {
        assert_eq!(view.row(i).len(), if i < view.rows() { view.cols() } else { 0 });
        let ((above, below), (left, right)) = (view.split_rows(i), view.split_cols(i));
        assert_eq!((above.rows() + below.rows(), below.cols()), (view.rows(), view.cols()));
        assert_eq!((left.cols() + right.cols(), right.rows()), (view.cols(), view.rows()));
        for piece in [above, below, left, right] {
            assert_eq!(piece.row(0).len(), if piece.rows() > 0 { piece.cols() } else { 0 });
        }
    }
}

/// A layer of which every matrix that has one row, or no columns, says that its rows are `stride` apart.
fn far_apart<'l>(layer: &'l Layer, old: &Outputs, stride: usize) -> Stage<'l, Vec<f32>> {
    Stage::new(layer, old, |values, rows, cols| {
        let stride = if rows > 1 && cols > 0 { cols } else { stride };
        Placed::within(vec![0.0; values.len()], values, (rows, cols), 0, stride)
    })
}

/// What is between rows that do not lie behind each other is no distance: whatever it is said to be, all passes go through, with
/// the bits of dense matrices.
#[test]
fn single_rows_as_far_apart_as_they_like() {
    const SIZES: [usize; 3] = [0, 1, 33];
    let [mut passes, mut merges] = [0, 0];
    let shapes =
        SIZES.into_iter().flat_map(|i| SIZES.into_iter().flat_map(move |o| SIZES.map(|r| Shape::new(i, o, r))));
    for (shape, tokens) in shapes.flat_map(|shape| SIZES.map(|tokens| (shape, tokens))) {
        let mut layer = Layer::new(shape, tokens, Data::Finite, 11);
        let dropout = Dropout { probability: 0.3, seed: 1, step: 2, layer_number: 3, first_token: 4 };
        for (backend, dropout) in backends().into_iter().flat_map(|backend| [(backend, None), (backend, Some(dropout))])
        {
            layer.dropout = dropout;
            let old = layer.old_outputs(Data::Finite, 12);
            let mut expected = old.clone();
            let result = layer.run(backend, &layer.base(), Accum::Add, &mut expected);
            let mut dense = vec![0.0; layer.w.len()];
            merge(backend, &layer.base(), &layer.adapter(), mat_mut(&mut dense, shape.outputs, shape.inputs)).unwrap();
            for (stride, layout) in [(MAX, Layout::Rows), (MAX / 2 + 1, Layout::Packed(4)), (MAX / 3, Layout::Rows)] {
                let at = format!("{backend:?}, {shape:?}, {tokens} tokens, {dropout:?}, {stride}, {layout:?}");
                let mut stage = far_apart(&layer, &old, stride);
                let how = How { backend, layout, accum: Accum::Add, trained_bias: false };
                stage.pack(how);
                assert_eq!(stage.train(how), result, "{at}");
                assert_eq!(stage.outputs().difference(&expected), None, "{at}");
                stage.merge(how).unwrap();
                assert_eq!(first_difference(&stage.merged(), &dense), None, "{at}");
                assert!(stage.is_intact(), "{at}");
                passes += u64::from(result.is_ok());
                merges += 1;
            }
        }
    }
    report("sizes", "single rows", passes, "passes with the bits of dense matrices", 300);
    report("sizes", "single rows", merges, "merges", 450);
}

#[test]
fn lengths_of_saved_activations() {
    let mut count = 0;
    for rank in boundaries() {
        for tokens in boundaries() {
            let shape = Shape::new(3, 5, rank);
            let (inference, training) = (dense(&[(tokens, rank)]), dense(&[(tokens, rank), (tokens, rank)]));
            assert_eq!(Saved::inference_len(shape, tokens), inference, "{rank}, {tokens}");
            assert_eq!(Saved::training_len(shape, tokens), training, "{rank}, {tokens}");
            for len in [0, 1, 2, 3, 4, 6, 14] {
                let memory = &mut [0.0; 14][..len];
                let inference = verdict(Argument::Saved, inference, len);
                assert_eq!(Saved::inference(memory, shape, tokens).map(drop), inference, "{rank}, {tokens}, {len}");
                let training = verdict(Argument::Saved, training, len);
                assert_eq!(Saved::training(memory, shape, tokens).map(drop), training, "{rank}, {tokens}, {len}");
                count += 2;
            }
            // Sizes that no length depends on do no harm either.
            let shape = Shape::new(tokens, MAX, rank);
            assert_eq!(Saved::inference_len(shape, 1), dense(&[(1, rank)]));
            let parameters = rank as u128 * (tokens as u128 + 5).min(MAX as u128);
            let shape = Shape::new(tokens, 5, rank);
            assert_eq!(shape.adapter_parameters() as u128, parameters.min(MAX as u128));
            count += 4;
        }
    }
    report("sizes", "saved", count, "results equal to u128", 5_000);
}

/// The pieces of a plan by its documentation: adapter, gradients, saved activations, state.
fn pieces(shape: Shape, tokens: usize, optimizer: Optimizer, trained: Trained) -> [Vec<(usize, usize)>; 4] {
    let (a, b, bias) = ((shape.rank, shape.inputs), (shape.outputs, shape.rank), (1, shape.outputs));
    let chosen: Vec<_> = [(trained.a, a), (true, b), (trained.bias, bias)]
        .into_iter()
        .filter_map(|(wanted, piece)| wanted.then_some(piece))
        .collect();
    let adapter = [a, b].into_iter().chain(trained.bias.then_some(bias)).collect();
    let grads = if optimizer == Optimizer::InPlace { vec![] } else { chosen.clone() };
    let moments = match optimizer {
        Optimizer::InPlace | Optimizer::Sgd => 0,
        Optimizer::Momentum => 1,
        Optimizer::AdamW => 2,
    };
    [adapter, grads, vec![(tokens, shape.rank); 2], chosen.repeat(moments)]
}

#[test]
fn lengths_of_plans() {
    let mut count = 0;
    let optimizers = [Optimizer::InPlace, Optimizer::Sgd, Optimizer::Momentum, Optimizer::AdamW];
    let trained = [(false, false), (false, true), (true, false), (true, true)].map(|(a, bias)| Trained { a, bias });
    for (inputs, outputs, rank, tokens) in quadruples() {
        let shape = Shape::new(inputs, outputs, rank);
        for optimizer in optimizers {
            for trained in trained {
                let plan = Plan::training(shape, tokens, optimizer).with(trained);
                let pieces = pieces(shape, tokens, optimizer, trained);
                let parts = [plan.adapter_len(), plan.grads_len(), plan.saved_len(), plan.state_len()];
                assert_eq!(parts, [0, 1, 2, 3].map(|part| dense(&pieces[part])), "{plan:?}");
                assert_eq!(State::len(shape, optimizer, trained), dense(&pieces[3]), "{plan:?}");
                let all = dense(&pieces.concat());
                assert_eq!((plan.checked_len(), plan.len()), (all, all.unwrap_or(MAX)), "{plan:?}");
                assert_eq!(plan.bytes() as u128, (plan.len() as u128 * 4).min(MAX as u128), "{plan:?}");
                assert_eq!(plan.is_empty(), all == Some(0), "{plan:?}");
                for len in [0, 7] {
                    let memory = &mut [0.0; 7][..len];
                    assert_eq!(plan.split(memory).map(drop), verdict(Argument::Arena, all, len), "{plan:?}");
                    let state = verdict(Argument::State, dense(&pieces[3]), len);
                    assert_eq!(State::new(memory, shape, optimizer, trained).map(drop), state, "{plan:?}");
                }
                count += 12;
            }
        }
    }
    report("sizes", "plans", count, "results equal to u128", 100_000);
}

/// All pairs of boundary values in every two of four places; all quadruples of the few, if asked for.
fn quadruples() -> Vec<(usize, usize, usize, usize)> {
    let mut all = Vec::new();
    let pairs: Vec<(usize, usize)> = few().into_iter().flat_map(|a| few().map(|b| (a, b))).collect();
    for &(a, b) in &pairs {
        for small in [0, 3] {
            let s = small;
            all.extend([(a, b, s, s), (a, s, b, s), (a, s, s, b), (s, a, b, s), (s, a, s, b), (s, s, a, b)]);
        }
        if full() {
            all.extend(pairs.iter().map(|&(c, d)| (a, b, c, d)));
        }
    }
    all
}

/// Shapes without elements, as large as they like: packing them and asking for elements does not panic.
#[test]
fn empty_matrices_of_any_size() {
    let mut count = 0;
    for backend in backends() {
        for size in boundaries() {
            for (rows, cols) in [(size, 0), (0, size)] {
                let w = MatRef::new(&[], rows, cols).unwrap();
                let packed = pack(backend, w, &mut []).unwrap();
                assert_eq!((packed.outputs(), packed.inputs()), (rows, cols));
                for (o, i) in [(0, 0), (MAX, 0), (0, MAX), (MAX, MAX), (size, 0), (0, size)] {
                    assert_eq!(lowrank::Weights::from(packed).get(o, i), None);
                    assert_eq!(lowrank::Weights::from(w).get(o, i), None);
                    count += 2;
                }
            }
        }
    }
    report("sizes", "empty matrices", count, "elements that are not there", 500);
}

/// Lengths are constants where sizes are.
const _: () = {
    assert!(matches!(Saved::training_len(Shape::new(3, 5, 4), 7), Some(56)));
    assert!(Saved::training_len(Shape::new(3, 5, MAX), 2).is_none());
    assert!(packed_len(MAX, 2).is_none());
    assert!(Plan::training(Shape::new(MAX, 1, 1), 1, Optimizer::Sgd).checked_len().is_none());
};
