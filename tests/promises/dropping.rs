//! Dropout: which words keep an element, and what a change of dropout does to a forward pass that came before.

use crate::support::{Data, Layer, mat, mat_mut, report};
use lowrank::format::RandomState;
use lowrank::train::Rng;
use lowrank::{
    Accum, Backend, Backprop, Dropout, Error, Grads, Saved, Shape, backward, forward, input_grads, parameter_grads,
};

const DROPOUT: Dropout = Dropout { probability: 0.5, seed: 1, step: 2, layer_number: 3, first_token: 0 };

/// An element is kept when its word is at least `⌊p·2³²⌋`: the word that is equal is kept, and so at every threshold that a
/// binary32 can say.
#[test]
fn the_word_at_the_threshold_is_kept() {
    let mut count = 0;
    for position in 0..100_000_u64 {
        let word = Rng { seed: 1, stream: 3, step: 2 }.word(position);
        // p = word/2³² is a binary32 only when the word has no more than 24 significant bits.
        if word == 0 || word >> word.trailing_zeros() >= 1 << 24 {
            continue;
        }
        let p = word as f32 / 4_294_967_296.0;
        let keeps = |p| Dropout { probability: p, first_token: position, ..DROPOUT }.keeps(1, 0, 0);
        assert!(keeps(p), "word {word} at {position}");
        assert!(keeps(p.next_down()), "word {word} at {position}");
        // The next threshold is above the word, if it is not the same integer.
        let next = p.next_up();
        assert_eq!(keeps(next), (f64::from(next) * 4_294_967_296.0).floor() as u64 <= u64::from(word), "word {word}");
        count += 1;
    }
    report("error_bound", "dropout", count, "words at the threshold", 500);
}

/// 0 keeps everything, also the word 0.
#[test]
fn nothing_is_dropped_with_probability_0() {
    let all = Dropout { probability: 0.0, ..DROPOUT };
    assert!((0..1000).all(|i| all.keeps(1000, 0, i)));
    assert_eq!(all.keep_factor(), 1.0);
}

/// Every field of the stored state is a field of the dropout and of the sequence that it gives.
#[test]
fn a_stored_state_is_the_dropout_that_was_stored() {
    let random = RandomState { seed: 1 << 40 | 5, step: 6, layer_number: 7, dropout: 0.25 };
    let dropout = Dropout { probability: 0.25, seed: 1 << 40 | 5, step: 6, layer_number: 7, first_token: 0 };
    assert_eq!(random.dropout(), Some(dropout));
    assert_eq!(random.rng(), Rng { seed: 1 << 40 | 5, step: 6, stream: 7 });
    for none in [0.0, -0.0] {
        assert_eq!(RandomState { dropout: none, ..random }.dropout(), None);
    }
    // Every one of them makes another mask.
    let mask = |random: RandomState| {
        let dropout = random.dropout().unwrap();
        (0..64).map(|i| dropout.keeps(64, 0, i)).collect::<Vec<_>>()
    };
    let others = [
        RandomState { seed: 5, ..random },
        RandomState { step: 5, ..random },
        RandomState { layer_number: 5, ..random },
        RandomState { dropout: 0.5, ..random },
    ];
    for other in others {
        assert_ne!(mask(other), mask(random), "{other:?}");
    }
}

const SHAPE: Shape = Shape::new(5, 4, 3);

/// After `set_dropout`, to whatever it was set, no forward pass has come before: every backward pass refuses.
#[test]
fn a_change_of_dropout_forgets_the_batch() {
    let layer = Layer::new(SHAPE, 2, Data::Finite, 1);
    let (x, dy) = (mat(&layer.x, 2, 5), mat(&layer.dy, 2, 4));
    for before in [None, Some(DROPOUT)] {
        for after in [None, Some(DROPOUT), Some(Dropout { step: 9, ..DROPOUT })] {
            for further in [false, true] {
                let (mut memory, mut y) = ([0.0; 2 * 2 * 3], [0.0; 8]);
                let (mut da, mut db) = ([0.0; 15], [0.0; 12]);
                let mut grads = Grads {
                    a: Some(mat_mut(&mut da, 3, 5)),
                    b: mat_mut(&mut db, 4, 3),
                    bias: None,
                    accum: Accum::Replace,
                };
                let mut saved = Saved::training(&mut memory, SHAPE, 2).unwrap();
                saved.set_dropout(before).unwrap();
                let y = mat_mut(&mut y, 2, 4);
                forward(Backend::BASELINE, &layer.base(), &layer.adapter(), x, y, &mut saved).unwrap();
                if further {
                    input_grads(Backend::BASELINE, &layer.base(), &layer.adapter(), dy, None, &mut saved).unwrap();
                }
                assert!(saved.batch().is_some() && saved.hs().rows() == 2);
                saved.set_dropout(after).unwrap();
                assert_eq!((saved.batch(), saved.hs().rows()), (None, 0));
                let none_came = Err(Error::NoForward);
                assert_eq!(parameter_grads(Backend::BASELINE, Some(x), dy, &saved, &mut grads.whole()), none_came);
                let flow = Backprop { x: Some(x), dy, dx: None };
                let (base, adapter) = (layer.base(), layer.adapter());
                assert_eq!(backward(Backend::BASELINE, &base, &adapter, flow, &mut saved, &mut grads), none_came);
                assert_eq!(input_grads(Backend::BASELINE, &base, &adapter, dy, None, &mut saved), none_came);
            }
        }
    }
}

/// A dropout that is refused changes nothing: neither the batch nor the masks.
#[test]
fn a_dropout_that_is_refused_changes_nothing() {
    let layer = Layer::new(SHAPE, 2, Data::Finite, 1);
    let (mut memory, mut y) = ([0.0; 12], [0.0; 8]);
    let mut saved = Saved::training(&mut memory, SHAPE, 2).unwrap();
    saved.set_dropout(Some(DROPOUT)).unwrap();
    let x = mat(&layer.x, 2, 5);
    let y = mat_mut(&mut y, 2, 4);
    forward(Backend::BASELINE, &layer.base(), &layer.adapter(), x, y, &mut saved).unwrap();
    let before = format!("{saved:?}");
    for p in [1.0, -0.1, f32::NAN, f32::INFINITY, -f32::from_bits(1)] {
        assert!(saved.set_dropout(Some(Dropout { probability: p, ..DROPOUT })).is_err(), "{p}");
        assert_eq!(format!("{saved:?}"), before);
    }
}
