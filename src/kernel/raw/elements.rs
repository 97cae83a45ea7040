//! Parameters one by one, where there are no vectors.

#![allow(unsafe_code, reason = "the lengths of slices, compared once, then raw pointers")]

use crate::simd::Simd;

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

/// Parameters, their gradients, and what an optimizer remembers of them, one after the other.
pub(crate) struct Elements<'a> {
    pub param: &'a mut [f32],
    pub grad: &'a [f32],
    pub first: &'a mut [f32],
    pub second: &'a mut [f32],
}

impl Elements<'_> {
    /// Replaces every parameter and its moments by what `each` makes of parameter, gradient and moments. Of the moments, the
    /// first `MOMENTS` are read and written, the others are zero. What one slice has more than the others is left out.
    #[inline(always)]
    pub(crate) fn replace<S: Simd, const MOMENTS: usize>(
        self,
        simd: S,
        each: impl Fn(S::V, S::V, [S::V; 2]) -> (S::V, [S::V; 2]),
    ) {
        let Self { param, grad, first, second } = self;
        let mut count = param.len().min(grad.len());
        let lens = [first.len(), second.len()];
        each_moment!(k < MOMENTS, { count = count.min(lens[k]) });
        let (mut p, mut g) = (param.as_mut_ptr(), grad.as_ptr());
        let mut moments = [first.as_mut_ptr(), second.as_mut_ptr()];
        for _ in 0..count {
            let mut old = [simd.splat(0.0); 2];
            each_moment!(k < MOMENTS, {
                // SAFETY: no slice is shorter than `count`.
                old[k] = unsafe { simd.load_first(moments[k], 1) };
            });
            // SAFETY: as above.
            let old_p = unsafe { simd.load_first(p, 1) };
            // SAFETY: as above.
            let old_g = unsafe { simd.load_first(g, 1) };
            let (new, new_moments) = each(old_p, old_g, old);
            // SAFETY: as above, and each slice is borrowed for writing.
            unsafe { simd.store_first(p, 1, new) };
            (p, g) = (p.wrapping_add(1), g.wrapping_add(1));
            each_moment!(k < MOMENTS, {
                // SAFETY: as above.
                unsafe { simd.store_first(moments[k], 1, new_moments[k]) };
                moments[k] = moments[k].wrapping_add(1);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::kernel::product::replace;
    use crate::simd::{Backend, Kernel};

    /// Slices of these lengths.
    #[derive(Copy, Clone, Debug)]
    struct Replace([usize; 4]);

    impl Replace {
        /// One by one, or as the passes have it done, which asks for slices of one length.
        fn with<S: Simd, const MOMENTS: usize>(self, simd: S) {
            self.check::<S, MOMENTS>(simd, false);
            if self.0[1..] == self.0[..3] {
                self.check::<S, MOMENTS>(simd, true);
            }
        }

        fn check<S: Simd, const MOMENTS: usize>(self, simd: S, by_passes: bool) {
            let mut data = [0, 1, 2, 3].map(|at| (0..self.0[at]).map(|i| (100 * at + i) as f32).collect::<Vec<_>>());
            let mut expected = data.clone();
            let count = self.0.into_iter().take(2 + MOMENTS).min().unwrap_or(0);
            (0..count).for_each(|i| {
                let old = [0, 1, 2, 3].map(|at| if at < 2 + MOMENTS { expected[at][i] } else { 0.0 });
                let new = [old[0] - old[1] + old[2] - old[3], old[1], old[2] + old[1], old[3] - old[0]];
                (0..2 + MOMENTS).for_each(|at| expected[at][i] = new[at]);
            });

            let [param, grad, first, second] = &mut data;
            let elements = Elements { param, grad, first, second };
            let each =
                |p, g, [m, v]: [S::V; 2]| (simd.sub(simd.add(simd.sub(p, g), m), v), [simd.add(m, g), simd.sub(v, p)]);
            if by_passes {
                replace::<S, MOMENTS>(simd, elements, each);
            } else {
                elements.replace::<S, MOMENTS>(simd, each);
            }
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

    /// Each of the four slices in turn is longer than the others, or shorter.
    #[test]
    fn every_element_is_replaced_and_no_other() {
        for len in [0, 1, 7, 12, 35, 70] {
            let mut all = Vec::from([Replace([len; 4])]);
            for (at, other) in (0..4).flat_map(|at| [len + 1, len.saturating_sub(1)].map(|other| (at, other))) {
                let mut lens = [len; 4];
                lens[at] = other;
                all.push(Replace(lens));
            }
            for replace in all {
                Backend::available().for_each(|backend| backend.run(replace));
            }
        }
    }
}
