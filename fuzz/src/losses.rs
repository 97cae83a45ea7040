//! Clipping and the losses.

use arbitrary::Arbitrary;
use lowrank::train::{MeanLoss, clip};
use lowrank::{Accum, Arithmetic, Backend, Grads, reference};

use crate::backends;
use crate::data::{Guarded, Maker, Numbers, Place, Scalar, UpTo, assert_same};

/// The gradients of two layers.
#[derive(Debug, Arbitrary)]
pub struct Clipping {
    shapes: [(UpTo<36>, UpTo<36>, UpTo<36>); 2],
    parts: [(bool, bool); 2],
    max_norm: Scalar,
    keep_finite: bool,
    places: [Place; 6],
    numbers: Numbers,
}

type Matrices = [Guarded; 3];

impl Clipping {
    pub fn check(self) {
        let mut maker = Maker::new(self.numbers.clone(), &self.places);
        maker.finite = self.keep_finite;
        let layers = self.shapes.map(|(inputs, outputs, rank)| {
            [maker.matrix(rank.0, inputs.0), maker.matrix(outputs.0, rank.0), maker.matrix(1, outputs.0)]
        });
        for arithmetic in Arithmetic::ALL {
            let total = layers.iter().zip(self.parts).fold(0.0, |sum, (layer, parts)| {
                let square_sum = |wanted: bool, i: usize| {
                    if wanted { reference::square_sum(arithmetic, layer[i].view()) } else { 0.0 }
                };
                sum + (square_sum(parts.0, 0) + square_sum(true, 1) + square_sum(parts.1, 2))
            });
            for backend in backends(arithmetic) {
                self.check_on(backend, layers.clone(), total);
            }
        }
    }

    fn check_on(&self, backend: Backend, mut layers: [Matrices; 2], total: f32) {
        let old = layers.clone();
        let max_norm = self.max_norm.value();
        let [first, second] = &mut layers;
        let mut grads = (view(first, self.parts[0]), view(second, self.parts[1]));
        let result = clip::global_norm(backend, &mut [&mut grads.0, &mut grads.1], max_norm);
        let accepted = (0.0..=f32::MAX).contains(&max_norm) && total.is_finite();
        assert_eq!(result.is_ok(), accepted, "{result:?}");
        if let Ok(norm) = result {
            assert_same("norm", &[total.sqrt()], &[norm]);
        }
        let factor = if accepted { (max_norm / (total.sqrt() + 1e-6)).min(1.0) } else { 1.0 };
        for ((layer, old), parts) in layers.iter().zip(&old).zip(self.parts) {
            for ((now, old), wanted) in layer.iter().zip(old).zip([parts.0, true, parts.1]) {
                if factor == 1.0 || !wanted {
                    now.assert_untouched("gradient");
                } else {
                    let expected: Vec<f32> = old.values().into_iter().map(|g| factor * g).collect();
                    assert_same("clipped gradient", &expected, &now.values());
                    now.assert_guarded("gradient");
                }
            }
        }
    }
}

fn view([a, b, bias]: &mut Matrices, parts: (bool, bool)) -> Grads<'_> {
    Grads {
        a: parts.0.then(|| a.view_mut()),
        b: b.view_mut(),
        bias: parts.1.then(|| bias.view_mut()),
        accum: Accum::Replace,
    }
}

/// A batch in two parts.
#[derive(Debug, Arbitrary)]
pub struct SquaredError {
    tokens: [UpTo<9>; 2],
    outputs: UpTo<36>,
    keep_finite: bool,
    places: [Place; 3],
    numbers: Numbers,
}

impl SquaredError {
    pub fn check(self) {
        let (n, outputs) = (self.tokens[0].0 + self.tokens[1].0, self.outputs.0);
        let mut maker = Maker::new(self.numbers.clone(), &self.places);
        maker.finite = self.keep_finite;
        let mut loss = MeanLoss::over(n);
        let mut expected = 0.0f32;
        for tokens in self.tokens.map(|tokens| tokens.0) {
            let [prediction, target, mut grad] = [0; 3].map(|_| maker.matrix(tokens, outputs));
            let before = loss.value();
            let result = loss.mean_squared_error(prediction.view(), target.view(), grad.view_mut());
            let (p, t) = (prediction.values(), target.values());
            let finite = p.iter().chain(&t).all(|value| value.is_finite());
            assert_eq!(result.is_ok(), finite, "{result:?}");
            if !finite {
                grad.assert_untouched("gradient after an error");
                return assert_same("loss after an error", &[before], &[loss.value()]);
            }
            let weight = 2.0 / (n as f32 * outputs as f32);
            let d: Vec<f32> = p.iter().zip(&t).map(|(p, t)| p - t).collect();
            assert_same("gradient", &d.iter().map(|d| d * weight).collect::<Vec<_>>(), &grad.values());
            grad.assert_guarded("gradient");
            for token in 0..tokens {
                let row = &d[token * outputs..][..outputs];
                expected += row.iter().fold(0.0, |sum, d| sum + d * d) / outputs.max(1) as f32;
            }
            let mean = if n == 0 { 0.0 } else { expected / n as f32 };
            assert_same("loss", &[mean], &[loss.value()]);
        }
    }
}

/// A batch that is also given in two parts.
#[derive(Debug, Arbitrary)]
pub struct CrossEntropy {
    tokens: [UpTo<6>; 2],
    classes: UpTo<36>,
    labels: [u8; 12],
    wrong_label: Option<(u8, u32)>,
    spread: UpTo<40>,
    keep_finite: bool,
    places: [Place; 2],
    numbers: Numbers,
}

impl CrossEntropy {
    pub fn check(self) {
        let (n, classes) = (self.tokens[0].0 + self.tokens[1].0, self.classes.0);
        let mut maker = Maker::new(self.numbers.clone(), &self.places);
        maker.finite = self.keep_finite;
        maker.factor = self.spread.0 as f32;
        let (logits, mut grad) = (maker.matrix(n, classes), maker.matrix(n, classes));
        let mut labels: Vec<u32> =
            self.labels[..n].iter().map(|&label| u32::from(label) % classes.max(1) as u32).collect();
        if let (Some((at, label)), true) = (self.wrong_label, n > 0) {
            labels[at as usize % n] = label;
        }
        let mut loss = MeanLoss::over(n);
        let whole = loss.softmax_cross_entropy(logits.view(), &labels, grad.view_mut());
        let fine = labels.iter().all(|&label| (label as usize) < classes)
            && logits.values().iter().all(|value| value.is_finite());
        assert_eq!(whole.is_ok(), fine, "{whole:?}");
        if !fine {
            grad.assert_untouched("gradient after an error");
            return;
        }
        grad.assert_guarded("gradient");
        self.check_values(&logits.values(), &labels, loss.value(), &grad.values());
        self.check_parts(&logits.values(), &labels, loss.value(), &grad.values());
    }

    /// Two micro-batches have the bits of the batch.
    fn check_parts(&self, logits: &[f32], labels: &[u32], value: f32, grad: &[f32]) {
        let classes = self.classes.0;
        let mut loss = MeanLoss::over(labels.len());
        let mut parts = vec![0.0; grad.len()];
        let mut done = 0;
        for tokens in self.tokens.map(|tokens| tokens.0) {
            let range = done * classes..(done + tokens) * classes;
            let z = lowrank::MatRef::new(&logits[range.clone()], tokens, classes).unwrap();
            let to = lowrank::MatMut::new(&mut parts[range], tokens, classes).unwrap();
            loss.softmax_cross_entropy(z, &labels[done..done + tokens], to).unwrap();
            done += tokens;
        }
        assert_same("loss in parts", &[value], &[loss.value()]);
        assert_same("gradient in parts", grad, &parts);
    }

    /// Against binary64, with `u = 2⁻²⁴` and `exp` and `ln` good to 2 ulp = 4u (1.1 and 0.9 ulp were measured).
    ///
    /// `d = z - m` is off by `u·|d|`, and `e = exp(d)` by `u·|d|·e + 4u·e <= (1/e + 4)·u < 5u`, as `|d|·exp(d) <= 1/e`. The
    /// sum `S >= 1` of C of these is off by `5C·u + (C - 1)·u·S`, so relatively by less than `6C·u`; `e/S` by less than
    /// `(5 + 6C + 1)·u`, its difference to 0 or 1 by one `u` more, and the loss by `6C·u + 4u·ln S + 2u·|d| + u·loss`.
    /// Terms in `u²` and subnormals are far below the one `u` (relative) that is added for them.
    fn check_values(&self, logits: &[f32], labels: &[u32], value: f32, grad: &[f32]) {
        let u = 2f64.powi(-24);
        let (classes, n) = (self.classes.0, labels.len());
        let (mut total, mut bound) = (0.0, 0.0);
        for (t, &label) in labels.iter().enumerate() {
            let z: Vec<f64> = logits[t * classes..][..classes].iter().map(|&z| f64::from(z)).collect();
            let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = z.iter().map(|z| (z - largest).exp()).sum();
            for (c, z) in z.iter().enumerate() {
                let target = if c == label as usize { 1.0 } else { 0.0 };
                let exact = ((z - largest).exp() / sum - target) / n as f64;
                let off = (f64::from(grad[t * classes + c]) - exact).abs() * n as f64;
                // Two more roundings: 1/tokens, and the product with it.
                assert!(off <= u * (6 * classes + 10) as f64, "gradient ({t}, {c}): {off:e}, exact {exact:e}");
            }
            let d = largest - z[label as usize];
            let loss = sum.ln() + d;
            total += loss;
            bound += u * ((6 * classes + 1) as f64 + 4.0 * sum.ln() + 2.0 * d + loss);
        }
        if n == 0 {
            assert_eq!(value.to_bits(), 0, "the mean of nothing");
            return;
        }
        // The sum over the tokens, and the division.
        bound += u * (n + 2) as f64 * total;
        let off = (f64::from(value) * n as f64 - total).abs();
        if total + bound < f64::from(f32::MAX) {
            assert!(off <= bound, "loss {value:e}: off by {off:e}, at most {bound:e}");
        } else {
            assert!(value > 0.0, "loss {value:e} of {total:e}");
        }
    }
}
