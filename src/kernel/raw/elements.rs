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
