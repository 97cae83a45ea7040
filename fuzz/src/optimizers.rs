//! A few steps of SGD and AdamW on every backend, against their formulas, bit for bit.

use arbitrary::Arbitrary;
use lowrank::train;
use lowrank::train::{AdamW, Optimizer, Sgd, State, Trained};
use lowrank::{Accum, AdapterMut, Backend, Error, Grads, Shape};

use crate::data::{Guarded, Maker, Numbers, Place, Scalar, UpTo, assert_same};

/// A factor in binary64.
#[derive(Copy, Clone, Debug, Arbitrary)]
enum Beta {
    /// `1 - 2⁻ⁿ`
    NearOne(UpTo<60>),
    Fraction(u32),
    Bits(u64),
}

impl Beta {
    fn value(self) -> f64 {
        match self {
            Beta::NearOne(n) => 1.0 - (-(n.0 as f64)).exp2(),
            Beta::Fraction(n) => f64::from(n) / 4_294_967_296.0,
            Beta::Bits(bits) => f64::from_bits(bits),
        }
    }
}

#[derive(Debug, Arbitrary)]
enum Rule {
    Sgd { momentum: Scalar, dampening: Scalar, nesterov: bool },
    AdamW { betas: [Beta; 2], epsilon: Scalar },
}

/// An optimizer, a layer, and gradients for some steps.
#[derive(Debug, Arbitrary)]
pub struct Steps {
    inputs: UpTo<40>,
    outputs: UpTo<40>,
    rank: UpTo<20>,
    trained: (bool, bool),
    steps: UpTo<4>,
    rule: Rule,
    learning_rate: Scalar,
    b_rate: Scalar,
    weight_decay: Scalar,
    keep_finite: bool,
    places: [Place; 9],
    numbers: Numbers,
}

#[derive(Clone)]
struct Parameters {
    a: Guarded,
    b: Guarded,
    bias: Guarded,
}

impl Parameters {
    fn each(&self) -> [&Guarded; 3] {
        [&self.a, &self.b, &self.bias]
    }
}

/// One matrix of parameters as the formulas see it.
#[derive(Clone)]
struct Expected {
    p: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Steps {
    pub fn check(self) {
        let mut maker = Maker::new(self.numbers.clone(), &self.places);
        let parameters = self.parameters(&mut maker);
        let memory = maker.matrix(1, State::len(self.shape(), self.kind(), self.trained()).unwrap());
        maker.finite = self.keep_finite;
        let grads: Vec<_> = (0..self.steps.0).map(|_| self.parameters(&mut maker)).collect();
        for backend in Backend::available() {
            self.check_on(backend, parameters.clone(), &grads, memory.clone());
        }
    }

    fn shape(&self) -> Shape {
        Shape::new(self.inputs.0, self.outputs.0, self.rank.0)
    }

    fn trained(&self) -> Trained {
        Trained { a: self.trained.0, bias: self.trained.1 }
    }

    fn parameters(&self, maker: &mut Maker) -> Parameters {
        let Shape { inputs, outputs, rank } = self.shape();
        Parameters { a: maker.matrix(rank, inputs), b: maker.matrix(outputs, rank), bias: maker.matrix(1, outputs) }
    }

    fn kind(&self) -> Optimizer {
        match self.rule {
            Rule::Sgd { momentum, .. } if momentum.value() == 0.0 => Optimizer::Sgd,
            Rule::Sgd { .. } => Optimizer::Momentum,
            Rule::AdamW { .. } => Optimizer::AdamW,
        }
    }

    fn check_on(&self, backend: Backend, mut parameters: Parameters, grads: &[Parameters], mut memory: Guarded) {
        let untouched = parameters.clone();
        let mut state = State::new(memory.slice_mut(), self.shape(), self.kind(), self.trained()).unwrap();
        let mut expected = parameters.each().map(|p| {
            let zero = vec![0.0; p.values().len()];
            Expected { p: p.values(), first: zero.clone(), second: zero }
        });
        let mut weights = [0.0, 0.0];
        for (step, grad) in grads.iter().enumerate() {
            let before = parameters.clone();
            let result = self.step(backend, &mut parameters, grad.clone(), &mut state);
            if !self.expect_accepted(grad, &result) {
                for (before, after) in before.each().into_iter().zip(parameters.each()) {
                    assert_same("parameters after an error", &before.values(), &after.values());
                }
                assert_eq!(state.clock.steps, step as u64);
                break;
            }
            self.expect_step(step, grad, &mut expected, &mut weights);
            let moments = [&state.a, &state.b, &state.bias];
            for (i, name) in ["A", "B", "bias"].into_iter().enumerate() {
                let what = format!("{name} after step {step} on {backend:?}");
                assert_same(&what, &expected[i].p, &parameters.each()[i].values());
                for (got, expected) in
                    [(&moments[i].first, &expected[i].first), (&moments[i].second, &expected[i].second)]
                {
                    let got: Vec<f32> = (0..got.rows()).flat_map(|row| got.row(row).to_vec()).collect();
                    assert_same(&format!("moment of {what}"), &expected[..got.len()], &got);
                }
            }
        }
        memory.assert_guarded("state");
        for (parameter, untouched) in parameters.each().into_iter().zip(untouched.each()) {
            parameter.assert_guarded("parameters");
            if grads.is_empty() {
                assert_same("parameters", &untouched.values(), &parameter.values());
            }
        }
    }

    fn step(
        &self,
        backend: Backend,
        parameters: &mut Parameters,
        mut grad: Parameters,
        state: &mut State<'_>,
    ) -> Result<(), Error> {
        let mut adapter = AdapterMut {
            a: parameters.a.view_mut(),
            b: parameters.b.view_mut(),
            bias: Some(parameters.bias.view_mut()),
            scale: 1.0,
        };
        let grads = Grads {
            a: self.trained.0.then(|| grad.a.view_mut()),
            b: grad.b.view_mut(),
            bias: self.trained.1.then(|| grad.bias.view_mut()),
            accum: Accum::Replace,
        };
        let (learning_rate, b_rate, weight_decay) = (self.learning_rate.value(), self.b_rate.value(), self.weight_decay.value());
        match self.rule {
            Rule::Sgd { momentum, dampening, nesterov } => {
                let (momentum, dampening) = (momentum.value(), dampening.value());
                Sgd { learning_rate, b_rate, momentum, dampening, nesterov, weight_decay }.step(
                    backend,
                    &mut adapter,
                    &grads,
                    state,
                )
            }
            Rule::AdamW { betas, epsilon } => {
                let [beta1, beta2] = betas.map(Beta::value);
                AdamW {
                    learning_rate,
                    b_rate,
                    beta1: train::Beta::new(beta1),
                    beta2: train::Beta::new(beta2),
                    epsilon: epsilon.value(),
                    weight_decay,
                }
                .step(backend, &mut adapter, &grads, state)
            }
        }
    }

    /// Whether the documented ranges allow the step; panics if `result` says otherwise.
    fn expect_accepted(&self, grad: &Parameters, result: &Result<(), Error>) -> bool {
        let non_negative = |x: f32| (0.0..=f32::MAX).contains(&x);
        let rates = [self.learning_rate.value(), self.learning_rate.value() * self.b_rate.value(), self.weight_decay.value()];
        let own = match self.rule {
            Rule::Sgd { momentum, dampening, nesterov } => {
                let most = if nesterov { 0.0 } else { 1.0 };
                let momentum = momentum.value();
                (0.0..=1.0).contains(&momentum)
                    && (!nesterov || momentum > 0.0)
                    && (0.0..=most).contains(&dampening.value())
            }
            Rule::AdamW { betas, epsilon } => {
                let positive = epsilon.value() > 0.0 && epsilon.value().is_finite();
                positive && betas.iter().all(|beta| (0.0..1.0).contains(&beta.value()))
            }
        };
        let finite = grad
            .each()
            .into_iter()
            .zip([self.trained.0, true, self.trained.1])
            .all(|(g, trained)| !trained || g.values().iter().all(|value| value.is_finite()));
        let expected = own && rates.into_iter().all(non_negative) && finite;
        assert_eq!(result.is_ok(), expected, "{result:?}");
        expected
    }

    fn expect_step(&self, step: usize, grad: &Parameters, expected: &mut [Expected; 3], weights: &mut [f32; 2]) {
        if let Rule::AdamW { betas, .. } = self.rule {
            for (weight, beta) in weights.iter_mut().zip(betas) {
                *weight = beta.value() as f32 * *weight + (1.0 - beta.value()) as f32;
            }
        }
        let lr = self.learning_rate.value();
        let rates = [lr, lr * self.b_rate.value(), lr];
        let trained = [self.trained.0, true, self.trained.1];
        for ((expected, grad), (lr, trained)) in
            expected.iter_mut().zip(grad.each()).zip(rates.into_iter().zip(trained))
        {
            for (j, g) in grad.values().into_iter().enumerate().filter(|_| trained) {
                let old = (expected.p[j], expected.first[j], expected.second[j]);
                let (p, first, second) = self.formula(step, lr, weights, g, old);
                (expected.p[j], expected.first[j], expected.second[j]) = (p, first, second);
            }
        }
    }

    /// As on the pages of [`Sgd`] and [`AdamW`].
    fn formula(
        &self,
        step: usize,
        lr: f32,
        weights: &[f32; 2],
        g: f32,
        (p, first, second): (f32, f32, f32),
    ) -> (f32, f32, f32) {
        let wd = self.weight_decay.value();
        match self.rule {
            Rule::Sgd { momentum, dampening, nesterov } => {
                let mu = momentum.value();
                let d = if wd == 0.0 { g } else { g + wd * p };
                if mu == 0.0 {
                    return (p - lr * d, first, second);
                }
                let buf = if step == 0 { d } else { mu * first + (1.0 - dampening.value()) * d };
                let d = if nesterov { d + mu * buf } else { buf };
                (p - lr * d, buf, second)
            }
            Rule::AdamW { betas, epsilon } => {
                let [beta1, beta2] = betas.map(Beta::value);
                let p = p * (1.0 - lr * wd);
                let m = beta1 as f32 * first + (1.0 - beta1) as f32 * g;
                let v = beta2 as f32 * second + ((1.0 - beta2) as f32 * g) * g;
                let update = ((lr / weights[0]) * m) / (v.sqrt() / weights[1].sqrt() + epsilon.value());
                (p - update, m, v)
            }
        }
    }
}
