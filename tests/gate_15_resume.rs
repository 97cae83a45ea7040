//! Gate 15: training that was saved and resumed at any step gives the bits of training that was never interrupted.

mod support;

use lowrank::train::{AdamW, Clock, MeanLoss, Optimizer, Plan, Sgd, Trained, Work, init};
use lowrank::{Backend, Backprop, Base, Dropout, Error, Shape, backward, forward};
use support::{Data, Rng, backends, mat, mat_mut, report};

const SHAPE: Shape = Shape::new(13, 7, 3);
const TOKENS: usize = 5;
const STEPS: u32 = 50;

/// Everything that a run reads and does not change.
struct Task {
    backend: Backend,
    optimizer: Optimizer,
    w: Vec<f32>,
    bias: Vec<f32>,
    x: Vec<f32>,
    labels: Vec<u32>,
}

impl Task {
    fn plan(&self) -> Plan {
        Plan::training(SHAPE, TOKENS, self.optimizer).with(Trained { a: true, bias: true })
    }

    fn start(&self, arena: &mut [f32]) -> Clock {
        let mut work = self.plan().split(arena).unwrap();
        init::kaiming_uniform(&mut work.adapter, 5, 0);
        work.adapter.bias.as_mut().unwrap().row_mut(0).copy_from_slice(&self.bias);
        work.state.clock
    }

    /// One step on an arena, as after a restart: nothing but the arena, the clock and the number of the step is known.
    fn step(&self, arena: &mut [f32], clock: &mut Clock, step: u32) -> Result<(), Error> {
        let mut work = self.plan().split(arena)?;
        work.state.clock = *clock;
        work.adapter.scale = 1.5;
        work.saved.set_dropout(Some(Dropout { p: 0.2, seed: 9, step, layer: 0, first_token: 0 }))?;
        let Work { adapter, grads, saved, state } = &mut work;
        let base = Base { weights: mat(&self.w, SHAPE.outputs, SHAPE.inputs).into(), bias: Some(&self.bias) };
        let x = mat(&self.x, TOKENS, SHAPE.inputs);
        let (mut y, mut dy) = ([0.0; TOKENS * 7], [0.0; TOKENS * 7]);
        forward(self.backend, &base, &adapter.as_ref(), x, mat_mut(&mut y, TOKENS, 7), saved)?;
        let mut loss = MeanLoss::over(TOKENS);
        loss.softmax_cross_entropy(mat(&y, TOKENS, 7), &self.labels, mat_mut(&mut dy, TOKENS, 7))?;
        let flow = Backprop { x: Some(x), dy: mat(&dy, TOKENS, 7), dx: None };
        backward(self.backend, &base, &adapter.as_ref(), flow, saved, grads)?;
        match self.optimizer {
            Optimizer::AdamW => AdamW { lr: 0.02, ..AdamW::DEFAULT }.step(self.backend, adapter, grads, state)?,
            Optimizer::Momentum => {
                let sgd = Sgd { lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.01, ..Sgd::DEFAULT };
                sgd.step(self.backend, adapter, grads, state)?;
            }
            _ => Sgd { lr: 0.05, ..Sgd::DEFAULT }.step(self.backend, adapter, grads, state)?,
        }
        *clock = state.clock;
        Ok(())
    }
}

/// What has to survive a restart: parameters and moments. Gradients and activations do not: they are painted over.
fn restart(task: &Task, arena: &[f32]) -> Vec<f32> {
    let plan = task.plan();
    let (adapter, passing) = (plan.adapter_len().unwrap(), plan.grads_len().unwrap() + plan.saved_len().unwrap());
    let mut copy = arena.to_vec();
    copy[adapter..adapter + passing].fill(f32::NAN);
    copy
}

fn bits(task: &Task, arena: &[f32]) -> Vec<u32> {
    let plan = task.plan();
    let (adapter, passing) = (plan.adapter_len().unwrap(), plan.grads_len().unwrap() + plan.saved_len().unwrap());
    arena[..adapter].iter().chain(&arena[adapter + passing..]).map(|value| value.to_bits()).collect()
}

#[test]
fn resumed_is_uninterrupted() {
    for backend in backends() {
        let mut count = 0;
        for optimizer in [Optimizer::Sgd, Optimizer::Momentum, Optimizer::AdamW] {
            let rng = &mut Rng(77);
            let task = Task {
                backend,
                optimizer,
                w: Data::Finite.fill(rng, 7 * 13),
                bias: Data::Finite.fill(rng, 7),
                x: Data::Finite.fill(rng, TOKENS * 13),
                labels: (0..TOKENS).map(|_| rng.below(7) as u32).collect(),
            };
            // The state of the run that is never interrupted, after every step.
            let mut arena = vec![f32::NAN; task.plan().len()];
            let mut clock = task.start(&mut arena);
            let mut saves = vec![(arena.clone(), clock)];
            for step in 0..STEPS {
                task.step(&mut arena, &mut clock, step).unwrap();
                saves.push((arena.clone(), clock));
            }
            let last = bits(&task, &arena);
            assert_ne!(last, bits(&task, &saves[0].0), "{optimizer:?} did not train");
            for (from, (save, clock)) in saves.iter().enumerate() {
                let (mut arena, mut clock) = (restart(&task, save), *clock);
                for step in from as u32..STEPS {
                    task.step(&mut arena, &mut clock, step).unwrap();
                    let (expected, expected_clock) = &saves[step as usize + 1];
                    assert_eq!(
                        bits(&task, &arena),
                        bits(&task, expected),
                        "{optimizer:?} {backend:?} from {from} at {step}"
                    );
                    assert_eq!(clock, *expected_clock);
                    count += 1;
                }
            }
        }
        report(15, format!("{backend:?}").as_str(), count, "steps of resumed runs", 3 * 50 * 51 / 2);
    }
}
