//! `Y [n, out] = X [n, in]·Wᵀ`, and everybody who can compute it.

use gemm::Parallelism;
use lowrank::{Adapter, Arithmetic, Backend, Base, Error, MatMut, MatRef, Saved, Shape, Weights, forward, pack};

use crate::blas::Blas;
use crate::memory::Buffer;

/// What the product is in a layer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With the frozen weights.
    Base,
    /// `h = X·Aᵀ`: a rank of outputs.
    Down,
    /// `hs·Bᵀ`: a rank of inputs.
    Up,
}

impl Kind {
    /// A word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Base => "base",
            Kind::Down => "thin A",
            Kind::Up => "thin B",
        }
    }
}

/// Sizes of a product.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is in a layer.
    pub kind: Kind,
    /// Rows of `W`.
    pub outputs: usize,
    /// Columns of `W`.
    pub inputs: usize,
    /// Rows of `X`.
    pub tokens: usize,
}

impl Case {
    /// All that are measured.
    pub fn all() -> Vec<Case> {
        let base = [
            (64, 64, 1),
            (64, 64, 8),
            (384, 384, 128),
            (1536, 384, 16),
            (1536, 384, 128),
            (1024, 1024, 1),
            (1024, 1024, 16),
            (1024, 1024, 128),
            (2048, 2048, 128),
            (4096, 4096, 1),
            (4096, 4096, 16),
            (4096, 4096, 128),
        ];
        let thin = [(4, 1024), (8, 1024), (16, 1024), (64, 1024), (16, 4096)];
        let base = base.map(|(outputs, inputs, tokens)| Case { kind: Kind::Base, outputs, inputs, tokens });
        let down = thin.map(|(rank, inputs)| Case { kind: Kind::Down, outputs: rank, inputs, tokens: 128 });
        let up = thin.map(|(rank, outputs)| Case { kind: Kind::Up, outputs, inputs: rank, tokens: 128 });
        base.into_iter().chain(down).chain(up).collect()
    }

    /// Multiplications and additions.
    pub fn flops(&self) -> f64 {
        2.0 * (self.outputs * self.inputs * self.tokens) as f64
    }

    /// Bytes of the three matrices.
    pub fn bytes(&self) -> usize {
        let Case { outputs, inputs, tokens, .. } = *self;
        size_of::<f32>() * (outputs * inputs + tokens * (inputs + outputs))
    }
}

/// The matrices of a case.
#[derive(Debug)]
pub struct Matrices {
    case: Case,
    w: Buffer,
    x: Buffer,
}

/// Computes the product into `y`.
pub type Run<'a> = Box<dyn FnMut(&mut [f32]) + 'a>;

/// Somebody who can compute the product.
pub struct Contender<'a> {
    /// Whose code it is: `ours`, or the name of a peer.
    pub name: &'static str,
    /// Which of several ways to call it; empty where there is one.
    pub variant: &'static str,
    /// The product.
    pub run: Run<'a>,
}

impl Matrices {
    /// With numbers in [-1, 1).
    pub fn new(case: Case) -> Self {
        let Case { outputs, inputs, tokens, .. } = case;
        Self { case, w: Buffer::numbers(outputs * inputs, 1), x: Buffer::numbers(tokens * inputs, 1 << 30) }
    }

    /// lowrank: first the way that a layer takes, then others.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn ours(&self, backend: Backend) -> Result<Vec<Contender<'_>>, Error> {
        let separate = backend.with(Arithmetic::Separate);
        let list = match self.case.kind {
            Kind::Base => {
                [("", self.packed(backend)?), ("separate", self.packed(separate)?), ("rows", self.rows(backend)?)]
            }
            Kind::Down => {
                [("", self.adapter(backend)?), ("separate", self.adapter(separate)?), ("packed", self.packed(backend)?)]
            }
            Kind::Up => {
                [("", self.rows(backend)?), ("separate", self.rows(separate)?), ("packed", self.packed(backend)?)]
            }
        };
        Ok(list.into_iter().map(|(variant, run)| Contender { name: "ours", variant, run }).collect())
    }

    /// Everybody else.
    pub fn peers<'a>(&'a self, libraries: &'a [Blas]) -> Vec<Contender<'a>> {
        let mut list = vec![];
        for blas in libraries {
            let mut add = |name, variant, run| list.push(Contender { name, variant, run });
            let Case { outputs, inputs, tokens, .. } = self.case;
            let sizes = (outputs, inputs, tokens);
            add(blas.name, "", Box::new(move |y: &mut [f32]| blas.gemm(sizes, &self.w, &self.x, y)) as Run<'a>);
            if tokens == 1 {
                let run = move |y: &mut [f32]| blas.gemv((outputs, inputs), &self.w, &self.x, y);
                add(blas.name, "gemv", Box::new(run));
            }
            if let Some(mut packed) = blas.packed(sizes, &self.w) {
                add("MKL packed", "", Box::new(move |y: &mut [f32]| packed(&self.x, y)));
            }
        }
        list.push(Contender { name: "gemm", variant: "", run: Box::new(|y| self.gemm(y)) });
        list.push(Contender { name: "matrixmultiply", variant: "", run: Box::new(|y| self.matrixmultiply(y)) });
        list
    }

    fn packed(&self, backend: Backend) -> Result<Run<'_>, Error> {
        let Case { outputs, inputs, .. } = self.case;
        let mut memory = Buffer::zeros(outputs * inputs);
        let width = pack(backend, MatRef::new(&self.w, outputs, inputs)?, &mut memory)?.width();
        Ok(Box::new(move |y| {
            let weights = lowrank::Packed::new(&memory, outputs, inputs, width).map(Weights::from);
            assert_eq!(weights.and_then(|weights| self.forward(backend, weights, y)), Ok(()));
        }))
    }

    fn rows(&self, backend: Backend) -> Result<Run<'_>, Error> {
        let weights = Weights::from(MatRef::new(&self.w, self.case.outputs, self.case.inputs)?);
        Ok(Box::new(move |y| assert_eq!(self.forward(backend, weights, y), Ok(()))))
    }

    /// A forward pass without adapter.
    fn forward(&self, backend: Backend, weights: Weights<'_>, y: &mut [f32]) -> Result<(), Error> {
        let Case { outputs, inputs, tokens, .. } = self.case;
        let (a, b) = (MatRef::new(&[], 0, inputs)?, MatRef::new(&[], outputs, 0)?);
        let adapter = Adapter { a, b, bias: None, scale: 1.0 };
        let mut saved = Saved::inference(&mut [], Shape::new(inputs, outputs, 0), tokens)?;
        let (x, y) = (MatRef::new(&self.x, tokens, inputs)?, MatMut::new(y, tokens, outputs)?);
        forward(backend, &Base { weights, bias: None }, &adapter, x, y, &mut saved)
    }

    /// `h = X·Aᵀ` as a forward pass computes it: that of a layer without outputs, whose `A` is the `W` of this product.
    fn adapter(&self, backend: Backend) -> Result<Run<'_>, Error> {
        let Case { outputs: rank, inputs, tokens, .. } = self.case;
        let (a, b) = (MatRef::new(&self.w, rank, inputs)?, MatRef::new(&[], 0, rank)?);
        let base = Base { weights: Weights::from(MatRef::new(&[], 0, inputs)?), bias: None };
        let adapter = Adapter { a, b, bias: None, scale: 1.0 };
        let x = MatRef::new(&self.x, tokens, inputs)?;
        let shape = Shape::new(inputs, 0, rank);
        Ok(Box::new(move |h| {
            let done = Saved::inference(h, shape, tokens).and_then(|mut saved| {
                forward(backend, &base, &adapter, x, MatMut::new(&mut [], tokens, 0)?, &mut saved)
            });
            assert_eq!(done, Ok(()));
        }))
    }

    fn gemm(&self, y: &mut [f32]) {
        let Case { outputs, inputs, tokens, .. } = self.case;
        assert_eq!(y.len(), tokens * outputs);
        let (out, k) = (outputs as isize, inputs as isize);
        let (w, x, y) = (self.w.as_ptr(), self.x.as_ptr(), y.as_mut_ptr());
        let (m, n) = (tokens, outputs);
        // SAFETY: the lengths are those of the sizes; each matrix is given as column stride, row stride. `y` is not read.
        unsafe {
            gemm::gemm(
                m,
                n,
                inputs,
                y,
                1,
                out,
                false,
                x,
                1,
                k,
                w,
                k,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }

    fn matrixmultiply(&self, y: &mut [f32]) {
        let Case { outputs, inputs, tokens, .. } = self.case;
        assert_eq!(y.len(), tokens * outputs);
        let (out, k) = (outputs as isize, inputs as isize);
        let (w, x, y) = (self.w.as_ptr(), self.x.as_ptr(), y.as_mut_ptr());
        // SAFETY: the lengths are those of the sizes; each matrix is given as row stride, column stride.
        unsafe { matrixmultiply::sgemm(tokens, inputs, outputs, 1.0, x, k, 1, w, 1, k, 0.0, y, out, 1) }
    }

    /// Whether `y` is the product. Looks at up to 97 elements in binary64: no order of summation is further off than
    /// `k·u/(1 - k·u)·Σ|w·x|`.
    pub fn is_product(&self, y: &[f32]) -> bool {
        let Case { outputs, inputs, .. } = self.case;
        let stride = y.len() / 97 + 1;
        let rounding = inputs as f64 * f64::from(f32::EPSILON) / 2.0;
        y.iter().enumerate().step_by(stride).all(|(i, &value)| {
            let (w, x) = (&self.w[i % outputs * inputs..][..inputs], &self.x[i / outputs * inputs..][..inputs]);
            let products = || w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
            let bound = rounding / (1.0 - rounding) * products().map(f64::abs).sum::<f64>();
            (f64::from(value) - products().sum::<f64>()).abs() <= bound
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_product_is_noticed() {
        for case in Case::all().into_iter().filter(|case| case.flops() < 4e6) {
            let matrices = Matrices::new(case);
            for mut contender in matrices.peers(&[]) {
                let mut y = vec![f32::NAN; case.tokens * case.outputs];
                (contender.run)(&mut y);
                assert!(matrices.is_product(&y), "{case:?} {}", contender.name);
                y[0] += 1.0;
                assert!(!matrices.is_product(&y), "{case:?}");
            }
            assert!(!matrices.is_product(&vec![f32::NAN; case.tokens * case.outputs]));
        }
    }
}
