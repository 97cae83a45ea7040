//! Matrices element by element, where there are no vectors.

#![allow(unsafe_code, reason = "the sizes of views, compared once, then raw pointers")]

use crate::simd::Simd;
use crate::view::{MatMut, MatRef};

/// Repeats a block for each of at most two moments. A loop over an array of pointers would keep them in memory at "s".
macro_rules! each_moment {
    ($k:ident < $moments:ident, $body:block) => {
        if $moments >= 1 {
            let $k: usize = 0;
            $body
        }
        if $moments >= 2 {
            let $k: usize = 1;
            $body
        }
    };
}

/// Parameters, their gradients, and what an optimizer remembers of them.
pub(crate) struct Elements<'a, 'p, 'm> {
    pub param: &'a mut MatMut<'p>,
    pub grad: &'a MatRef<'a>,
    pub first: &'a mut MatMut<'m>,
    pub second: &'a mut MatMut<'m>,
}

impl Elements<'_, '_, '_> {
    /// Replaces every parameter and its moments by what `each` makes of parameter, gradient and moments. Of the moments, the
    /// first `MOMENTS` are read and written, the others are zero. What one matrix has more than the others is left out.
    #[inline(always)]
    pub(crate) fn replace<S: Simd, const MOMENTS: usize>(
        self,
        simd: S,
        each: impl Fn(S::V, S::V, [S::V; 2]) -> (S::V, [S::V; 2]),
    ) {
        let Self { param, grad, first, second } = self;
        let (mut rows, mut cols) = (param.rows().min(grad.rows()), param.cols().min(grad.cols()));
        let views = [&*first, &*second];
        each_moment!(k < MOMENTS, { (rows, cols) = (rows.min(views[k].rows()), cols.min(views[k].cols())) });
        let (gap_p, gap_g, mut gap) = (param.stride() - cols, grad.stride() - cols, [0; 2]);
        each_moment!(k < MOMENTS, { gap[k] = views[k].stride() - cols });
        // Rows without gaps are one long row.
        if gap_p | gap_g | gap[0] | gap[1] == 0 {
            (rows, cols) = (1, rows * cols);
        }
        let (mut p, mut g) = (param.data_mut().as_mut_ptr(), grad.data().as_ptr());
        let mut moments = [first.data_mut().as_mut_ptr(), second.data_mut().as_mut_ptr()];
        for _ in 0..rows {
            for _ in 0..cols {
                let mut old = [simd.splat(0.0); 2];
                each_moment!(k < MOMENTS, {
                    // SAFETY: a view lies inside its slice, and no row or column is behind the last one of any view.
                    old[k] = unsafe { simd.load_first(moments[k], 1) };
                });
                // SAFETY: as above.
                let old_p = unsafe { simd.load_first(p, 1) };
                // SAFETY: as above.
                let old_g = unsafe { simd.load_first(g, 1) };
                let (new, new_moments) = each(old_p, old_g, old);
                // SAFETY: as above, and each matrix is borrowed for writing.
                unsafe { simd.store_first(p, 1, new) };
                (p, g) = (p.wrapping_add(1), g.wrapping_add(1));
                each_moment!(k < MOMENTS, {
                    // SAFETY: as above.
                    unsafe { simd.store_first(moments[k], 1, new_moments[k]) };
                    moments[k] = moments[k].wrapping_add(1);
                });
            }
            (p, g) = (p.wrapping_add(gap_p), g.wrapping_add(gap_g));
            each_moment!(k < MOMENTS, { moments[k] = moments[k].wrapping_add(gap[k]) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::simd::{Backend, Kernel};

    /// Matrices of these strides; the other sizes are what the smallest has, and more.
    #[derive(Copy, Clone, Debug)]
    struct Replace {
        rows: [usize; 4],
        cols: [usize; 4],
        strides: [usize; 4],
    }

    impl Replace {
        fn data(&self, at: usize) -> Vec<f32> {
            (0..self.rows[at] * self.strides[at]).map(|i| (100 * at + i) as f32).collect()
        }

        fn with<S: Simd, const MOMENTS: usize>(self, simd: S) {
            let Self { rows, cols, strides } = self;
            let mut data = [0, 1, 2, 3].map(|at| self.data(at));
            let mut expected = data.clone();
            let least = |sizes: [usize; 4]| sizes.into_iter().take(2 + MOMENTS).min().unwrap_or(0);
            for (i, j) in (0..least(rows)).flat_map(|i| (0..least(cols)).map(move |j| (i, j))) {
                let old = [0, 1, 2, 3].map(|at| if at < 2 + MOMENTS { expected[at][i * strides[at] + j] } else { 0.0 });
                let new = [old[0] - old[1] + old[2] - old[3], old[1], old[2] + old[1], old[3] - old[0]];
                (0..2 + MOMENTS).for_each(|at| expected[at][i * strides[at] + j] = new[at]);
            }

            let [p, g, m, v] = &mut data;
            let view = |data, at: usize| MatMut::with_stride(data, rows[at], cols[at], strides[at]).unwrap();
            let (mut p, mut m, mut v) = (view(p, 0), view(m, 2), view(v, 3));
            let g = MatRef::with_stride(g, rows[1], cols[1], strides[1]).unwrap();
            let elements = Elements { param: &mut p, grad: &g, first: &mut m, second: &mut v };
            elements.replace::<S, MOMENTS>(simd, |p, g, [m, v]| {
                (simd.sub(simd.add(simd.sub(p, g), m), v), [simd.add(m, g), simd.sub(v, p)])
            });
            assert_eq!(data, expected, "{self:?}, {MOMENTS} moments");
        }
    }

    impl Kernel for Replace {
        type Output = ();

        fn run<S: Simd>(self, simd: S) {
            self.with::<S, 0>(simd);
            self.with::<S, 1>(simd);
            self.with::<S, 2>(simd);
        }
    }

    /// Some of the four matrices have gaps, each set of them; each in turn has more rows or more columns, or fewer.
    #[test]
    fn every_element_is_replaced_and_no_other() {
        let plain = Replace { rows: [3; 4], cols: [4; 4], strides: [4; 4] };
        let mut all = Vec::from([Replace { strides: [5, 6, 7, 9], ..plain }]);
        for set in 0..16 {
            all.push(Replace { strides: [0, 1, 2, 3].map(|at| 4 + 2 * (set >> at & 1)), ..plain });
        }
        for at in 0..4 {
            let with = |change: fn(&mut Replace, usize)| {
                let mut replace = plain;
                change(&mut replace, at);
                replace
            };
            all.push(with(|it, at| it.rows[at] += 1));
            all.push(with(|it, at| it.rows[at] = 0));
            all.push(with(|it, at| (it.cols[at], it.strides[at]) = (5, 5)));
            all.push(with(|it, at| it.cols[at] -= 1));
        }
        for replace in all {
            Backend::SCALAR.run(replace);
        }
    }
}
