//! What stands between sizes that do not fit and raw pointers.

use std::vec;

use super::room::{Room, rows_in};
use super::tile::*;
use crate::kernel::operand::Operand;
use crate::simd::{Backend, Kernel, Simd};
use crate::view::MatMut;

#[test]
fn numbers_at_two_strides_are_held_if_the_last_one_is() {
    let data = [0.0; 12];
    for (outer_stride, inner_stride) in
        [(0, 1), (1, 0), (1, 1), (4, 1), (1, 4), (3, 2), (usize::MAX, 1), (1, usize::MAX / 2)]
    {
        for (outer, inner) in (0..14).flat_map(|outer| (0..14).map(move |inner| (outer, inner))) {
            for len in 0..=12 {
                let strided = Operand::strided(&data[..len], (outer, inner), (outer_stride, inner_stride));
                let index = |i: usize, j: usize| i as u128 * outer_stride as u128 + j as u128 * inner_stride as u128;
                let held = (0..outer).all(|i| (0..inner).all(|j| index(i, j) < len as u128));
                assert_eq!(strided.holds(outer, inner), held, "{outer} × {inner} of {strided:?}");
            }
        }
    }
}

/// Sizes of operands of a product of 3 rows that fit, each of which may be changed.
#[derive(Copy, Clone, Debug)]
struct Sizes {
    lanes: usize,
    depth: usize,
    left: usize,
    right: usize,
    right_outer: usize,
    right_inner: usize,
    second_depth: usize,
    second_inner: usize,
    bias: usize,
}

struct Fits;

impl Kernel for Fits {
    type Output = ();

    fn run<S: Simd>(self, _: S) {
        let (lanes, depth) = (2 * S::LANES, 8);
        let numbers = vec![0.0; 64 * S::LANES];
        let fits = |sizes: Sizes| {
            let Sizes { lanes, depth, left, right, right_outer, right_inner, second_depth, second_inner, bias } = sizes;
            let first = Term {
                left: Operand::strided(&numbers[..left], (3, depth), (depth, 1)),
                right: Operand::strided(&numbers[..right], (depth, lanes), (right_outer, right_inner)),
                ahead: Ahead::Nothing,
            };
            let right = Operand::strided(&numbers, (second_depth, lanes), (lanes, second_inner));
            let second = Term { left: Operand::strided(&numbers[..3], (3, second_depth), (1, 1)), right, ..first };
            let mut out = vec![0.0; 3 * lanes];
            let out = MatMut::new(&mut out, 3, lanes).unwrap();
            PanelProduct { terms: [first, second], out, start: Start::Bias(&numbers[..bias]) }.fits::<S>()
        };
        let plain = Sizes {
            lanes,
            depth,
            left: 3 * depth,
            right: depth * lanes,
            right_outer: lanes,
            right_inner: 1,
            second_depth: 1,
            second_inner: 1,
            bias: lanes,
        };
        let gathered = Sizes { right_outer: 1, right_inner: depth, second_depth: 0, ..plain };
        for sizes in [plain, gathered] {
            assert!(fits(sizes), "{sizes:?}");
            assert!(!fits(Sizes { left: sizes.left - 1, ..sizes }), "a left operand one too short: {sizes:?}");
            assert!(!fits(Sizes { right: sizes.right - 1, ..sizes }), "a right operand one too short: {sizes:?}");
            assert!(!fits(Sizes { bias: sizes.bias - 1, ..sizes }), "a bias one too short: {sizes:?}");
            assert!(!fits(Sizes { second_inner: 2, ..sizes }), "a second term that is gathered: {sizes:?}");
        }
        assert!(!fits(Sizes { second_depth: 1, ..gathered }), "a second term beside one that is gathered");
        // Side by side, lanes and depths may be as many as they like.
        assert!(fits(Sizes { depth: 7, left: 21, lanes: lanes - 1, ..plain }));
        assert!(!fits(Sizes { depth: 7, left: 21, ..gathered }), "gathered, four depths at a time");
        assert!(
            !fits(Sizes { right_outer: 2, right: 2 * gathered.right, ..gathered }),
            "gathered, depths side by side"
        );
        let narrower = Sizes { lanes: lanes - 1, bias: lanes - 1, ..gathered };
        assert_eq!(fits(narrower), S::LANES == 1, "gathered, whole vectors");
    }
}

#[test]
fn a_product_that_does_not_fit_its_operands_is_refused() {
    for backend in Backend::available() {
        backend.run(Fits);
    }
}

#[test]
fn there_is_room_for_one_row_at_least() {
    for (room, width, rows) in [(10, 1, 10), (10, 3, 3), (10, 5, 2), (10, 10, 1), (10, 11, 1), (10, 0, 1), (0, 4, 1)] {
        assert_eq!(rows_in(room, width), rows, "{room}, {width}");
    }
}

#[test]
fn room_is_handed_out_as_far_as_there_is_any() {
    let mut room = Room::<10>::new();
    // What lies behind what was handed out before is zero, and what was written stays.
    for (len, expected) in
        [(3, &[0.0; 3][..]), (6, &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]), (2, &[2.0; 2]), (6, &[3.0, 3.0, 2.0, 2.0, 2.0, 2.0])]
    {
        let numbers = room.first(len);
        assert_eq!(numbers, expected);
        let next = numbers.first().copied().unwrap_or(0.0) + 1.0;
        numbers.fill(next);
    }
    assert_eq!(room.first(10).len(), 10);
    assert!(room.first(11).is_empty() && room.first(usize::MAX).is_empty() && room.first(0).is_empty());
}
