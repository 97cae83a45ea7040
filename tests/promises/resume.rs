//! Promise: training that was saved and resumed at any step gives the bits of training that was never interrupted. Saved as
//! plain memory, and as an adapter file.

use crate::support::{Data, Rng, backends, mat, mat_mut, report};
use lowrank::format::{AdapterFile, Contents, Entry, RandomState, Training};
use lowrank::train::{AdamW, Clock, MeanLoss, Optimizer, Plan, Sgd, Trained, Work, init};
use lowrank::{Backend, Backprop, Base, Error, MatRef, Scale, Shape, backward, forward};

const SHAPE: Shape = Shape::new(13, 7, 3);
const TOKENS: usize = 5;
const STEPS: u32 = 50;

const TRAINED: Trained = Trained { a: true, bias: true };

/// The random numbers of a step.
fn random(step: u32) -> RandomState {
    RandomState { seed: 9, step, layer_number: 0, dropout: 0.2 }
}

/// Everything that a run reads and does not change.
struct Task {
    backend: Backend,
    optimizer: Optimizer,
    w: Vec<f32>,
    bias: Vec<f32>,
    x: Vec<f32>,
    labels: Vec<u32>,
}

/// What a run changes, and all that is known after a restart.
#[derive(Clone)]
struct Run {
    arena: Vec<f32>,
    clock: Clock,
    scale: f32,
    random: RandomState,
}

impl Task {
    fn new(backend: Backend, optimizer: Optimizer) -> Self {
        let rng = &mut Rng(77);
        Self {
            backend,
            optimizer,
            w: Data::Finite.fill(rng, 7 * 13),
            bias: Data::Finite.fill(rng, 7),
            x: Data::Finite.fill(rng, TOKENS * 13),
            labels: (0..TOKENS).map(|_| rng.below(7) as u32).collect(),
        }
    }

    fn plan(&self) -> Plan {
        Plan::training(SHAPE, TOKENS, self.optimizer).with(TRAINED)
    }

    fn start(&self) -> Run {
        let mut arena = vec![f32::NAN; self.plan().len()];
        let mut work = self.plan().split(&mut arena).unwrap();
        init::kaiming_uniform(&mut work.adapter, 5, 0).unwrap();
        work.adapter.bias.as_mut().unwrap().row_mut(0).copy_from_slice(&self.bias);
        let clock = work.state.clock;
        Run { arena, clock, scale: 1.5, random: random(0) }
    }

    fn work<'r>(&self, run: &'r mut Run) -> Work<'r> {
        let mut work = self.plan().split(&mut run.arena).unwrap();
        (work.state.clock, work.adapter.scale) = (run.clock, run.scale);
        work
    }

    fn step(&self, run: &mut Run) -> Result<(), Error> {
        let dropout = run.random.dropout();
        let mut work = self.work(run);
        work.saved.set_dropout(dropout)?;
        let Work { adapter, grads, saved, state } = &mut work;
        let base = Base {
            weights: mat(&self.w, SHAPE.outputs, SHAPE.inputs).into(),
            bias: Some(MatRef::from_row(&self.bias)),
        };
        let x = mat(&self.x, TOKENS, SHAPE.inputs);
        let (mut y, mut dy) = ([0.0; TOKENS * 7], [0.0; TOKENS * 7]);
        forward(self.backend, &base, &adapter.as_ref(), x, mat_mut(&mut y, TOKENS, 7), saved)?;
        let mut loss = MeanLoss::over(TOKENS);
        loss.softmax_cross_entropy(mat(&y, TOKENS, 7), &self.labels, mat_mut(&mut dy, TOKENS, 7))?;
        let flow = Backprop { x: Some(x), dy: mat(&dy, TOKENS, 7), dx: None };
        backward(self.backend, &base, &adapter.as_ref(), flow, saved, grads)?;
        match self.optimizer {
            Optimizer::AdamW => {
                AdamW { learning_rate: 0.02, ..AdamW::DEFAULT }.step(self.backend, adapter, grads, state)?
            }
            Optimizer::Momentum => {
                let sgd =
                    Sgd { learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.01, ..Sgd::DEFAULT };
                sgd.step(self.backend, adapter, grads, state)?;
            }
            _ => Sgd { learning_rate: 0.05, ..Sgd::DEFAULT }.step(self.backend, adapter, grads, state)?,
        }
        run.clock = state.clock;
        run.random.step += 1;
        Ok(())
    }

    /// After every step, from the start on.
    fn uninterrupted(&self) -> Vec<Run> {
        let mut run = self.start();
        let mut saves = vec![run.clone()];
        for _ in 0..STEPS {
            self.step(&mut run).unwrap();
            saves.push(run.clone());
        }
        saves
    }
}

/// What has to survive a restart: parameters and moments. Gradients and activations do not: they are painted over.
fn through_memory(task: &Task, save: &Run) -> Run {
    let plan = task.plan();
    let (adapter, passing) = (plan.adapter_len().unwrap(), plan.grads_len().unwrap() + plan.saved_len().unwrap());
    let mut copy = save.clone();
    copy.arena[adapter..adapter + passing].fill(f32::NAN);
    copy
}

/// Everything comes from the file.
fn through_file(task: &Task, save: &Run) -> Run {
    let mut save = save.clone();
    let (scale, random) = (Scale::Direct(save.scale), save.random);
    let work = task.work(&mut save);
    let training = Some(Training::of(&work.state, task.optimizer, TRAINED));
    let entry = Entry { scale, training, random, ..Entry::of("layer", &work.adapter.as_ref()) };
    let contents = Contents { entries: &[entry], metadata: "", fingerprint: 0, generation: random.step };
    let mut bytes = vec![0xff; contents.encoded_len().unwrap()];
    contents.emit(&mut bytes).unwrap();

    let file = AdapterFile::parse(&bytes).unwrap();
    let entry = file.find("layer").unwrap();
    let training = entry.training.unwrap();
    let mut arena = vec![f32::NAN; task.plan().len()];
    let mut work =
        Plan::training(entry.shape(), TOKENS, training.optimizer).with(training.trained).split(&mut arena).unwrap();
    entry.load(&mut work.adapter).unwrap();
    training.restore(&mut work.state).unwrap();
    let (clock, scale) = (work.state.clock, work.adapter.scale);
    Run { arena, clock, scale, random: entry.random }
}

fn bits(task: &Task, arena: &[f32]) -> Vec<u32> {
    let plan = task.plan();
    let (adapter, passing) = (plan.adapter_len().unwrap(), plan.grads_len().unwrap() + plan.saved_len().unwrap());
    arena[..adapter].iter().chain(&arena[adapter + passing..]).map(|value| value.to_bits()).collect()
}

fn resumed_is_uninterrupted(what: &str, restart: fn(&Task, &Run) -> Run) {
    for backend in backends() {
        let mut count = 0;
        for optimizer in [Optimizer::Sgd, Optimizer::Momentum, Optimizer::AdamW] {
            let task = Task::new(backend, optimizer);
            let saves = task.uninterrupted();
            let (first, last) = (&saves[0], &saves[STEPS as usize]);
            assert_ne!(bits(&task, &last.arena), bits(&task, &first.arena), "{optimizer:?} did not train");
            for (from, save) in saves.iter().enumerate() {
                let mut run = restart(&task, save);
                for (step, expected) in saves.iter().enumerate().skip(from + 1) {
                    task.step(&mut run).unwrap();
                    let at = format!("{optimizer:?} {backend:?} from {from} at {step}");
                    assert_eq!(bits(&task, &run.arena), bits(&task, &expected.arena), "{at}");
                    assert_eq!((run.clock, run.random), (expected.clock, expected.random), "{at}");
                    count += 1;
                }
            }
        }
        report("resume", format!("{backend:?}"), count, &format!("steps of runs resumed from {what}"), 3 * 50 * 51 / 2);
    }
}

#[test]
fn from_memory() {
    resumed_is_uninterrupted("memory", through_memory);
}

#[test]
fn from_a_file() {
    resumed_is_uninterrupted("a file", through_file);
}
