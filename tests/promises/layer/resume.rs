//! Promise: training that goes through an entry of an adapter file, after any step, into another buffer gives the bits
//! of training that was never interrupted.

use crate::support::{Data, Layer as Inputs, backends, mat, mat_mut, report};
use lowrank::train::{AdamW, InPlace, Optimizer, Sgd, Trained};
use lowrank::{AdapterFile, Backend, Contents, Dropout, Layer, MatRef, Plan, Scale, Shape};

const SHAPE: Shape = Shape::new(9, 6, 3);
const TOKENS: usize = 4;
const STEPS: usize = 6;

/// A training, and what it is made on.
struct Task {
    backend: Backend,
    optimizer: Optimizer,
    trained: Trained,
    scale: Scale,
    dropout: Option<Dropout>,
    inputs: Inputs,
}

/// What is seen of a step: outputs, and what remains.
type Seen = Vec<u32>;

impl Task {
    fn plan(&self) -> Plan {
        Plan::training(SHAPE, TOKENS, self.optimizer).with(self.trained)
    }

    fn start<'a>(&'a self, arena: &'a mut [f32]) -> Layer<'a> {
        let mut layer = self.plan().layer(self.inputs.base(), arena).unwrap();
        layer.init(self.scale, 3, 1).unwrap();
        layer.set_dropout(self.dropout).unwrap();
        layer
    }

    /// On tokens that differ from step to step.
    fn step(&self, layer: &mut Layer<'_>, number: usize) -> Seen {
        let (n, Shape { inputs, outputs, .. }) = (1 + number % TOKENS, SHAPE);
        let (x, dy) = (&self.inputs.x[number..][..n * inputs], &self.inputs.dy[number..][..n * outputs]);
        let (x, dy) = (mat(x, n, inputs), mat(dy, n, outputs));
        let (mut y, mut dx) = (vec![0.0; n * outputs], vec![0.0; n * inputs]);
        layer.forward(self.backend, x, mat_mut(&mut y, n, outputs)).unwrap();
        let wanted = Some(mat_mut(&mut dx, n, inputs));
        let sgd = Sgd { learning_rate: 0.1, weight_decay: 0.01, ..Sgd::DEFAULT };
        match self.optimizer {
            Optimizer::InPlace => {
                let rule = InPlace { learning_rate: 0.1, max_norm: Some(0.5), ..InPlace::DEFAULT };
                layer.step_in_place(self.backend, &rule, x, dy, wanted).unwrap();
            }
            optimizer => {
                layer.backward(self.backend, x, dy, wanted).unwrap();
                match optimizer {
                    Optimizer::AdamW => layer.step(self.backend, &AdamW { learning_rate: 0.05, ..AdamW::DEFAULT }),
                    Optimizer::Momentum => layer.step(self.backend, &Sgd { momentum: 0.9, ..sgd }),
                    _ => layer.step(self.backend, &sgd),
                }
                .unwrap();
            }
        }
        let outputs = y.iter().chain(&dx).map(|value| value.to_bits());
        outputs.chain(remains(layer)).collect()
    }
}

/// The bits of everything that training goes on with.
fn remains(layer: &Layer<'_>) -> Vec<u32> {
    let values = |matrix: MatRef<'_>| (0..matrix.rows()).flat_map(|i| matrix.row(i).to_vec()).collect::<Vec<_>>();
    let adapter = layer.adapter().unwrap();
    let mut all = [values(adapter.a), values(adapter.b), adapter.bias.map_or(Vec::new(), values)].concat();
    all.extend(layer.moments().into_iter().flat_map(values));
    all.extend([adapter.scale, layer.clock().weight1, layer.clock().weight2]);
    let mut bits: Vec<u32> = all.into_iter().map(f32::to_bits).collect();
    bits.extend([layer.clock().steps as u32, layer.dropout().map_or(0, |dropout| dropout.step)]);
    bits
}

fn file(layer: &Layer<'_>) -> Vec<u8> {
    let contents = Contents { entries: &[layer.entry("fc").unwrap()], metadata: "", fingerprint: 1, generation: 2 };
    let mut bytes = vec![0xa5; contents.encoded_len().unwrap()];
    assert_eq!(contents.emit(&mut bytes), Ok(bytes.len()));
    bytes
}

/// Resumes after each of the steps. Steps that were compared.
fn interrupted_is_uninterrupted(task: &Task) -> u64 {
    let mut arena = vec![f32::NAN; task.plan().len()];
    let mut layer = task.start(&mut arena);
    let mut files = vec![file(&layer)];
    let mut seen = Vec::new();
    for number in 0..STEPS {
        seen.push(task.step(&mut layer, number));
        files.push(file(&layer));
    }
    assert_ne!(files[0], files[STEPS], "nothing was trained");
    let mut count = 0;
    for (from, bytes) in files.iter().enumerate() {
        let file = AdapterFile::parse(bytes).unwrap();
        let mut other = vec![f32::NAN; task.plan().len()];
        // One that has been training forgets it.
        let mut resumed = task.start(&mut other);
        if from % 2 == 0 {
            task.step(&mut resumed, 0);
        }
        resumed.resume(&file.find("fc").unwrap()).unwrap();
        assert_eq!((resumed.scale(), resumed.training()), (layer.scale(), layer.training()));
        for (number, expected) in seen.iter().enumerate().skip(from) {
            let at = format!("{:?} {:?} {:?}", task.optimizer, task.trained, task.dropout);
            assert_eq!(&task.step(&mut resumed, number), expected, "{at}, from {from} at {number}");
            count += 1;
        }
    }
    count
}

#[test]
fn through_an_entry_of_a_file() {
    const OPTIMIZERS: [Optimizer; 4] = [Optimizer::InPlace, Optimizer::Sgd, Optimizer::Momentum, Optimizer::AdamW];
    let dropout = Dropout { probability: 0.25, seed: 1 << 40, step: 9, layer_number: 4, first_token: 0 };
    for backend in backends() {
        let mut count = 0;
        for optimizer in OPTIMIZERS {
            for (a, bias) in [(true, false), (false, false), (true, true), (false, true)] {
                if bias && optimizer == Optimizer::InPlace {
                    continue;
                }
                for (dropout, scale) in [(None, Scale::Alpha(5.0)), (Some(dropout), Scale::RankStabilized(2.0))] {
                    let inputs = Inputs::new(SHAPE, 2 * TOKENS, Data::Finite, 6);
                    let trained = Trained { a, bias };
                    let task = Task { backend, optimizer, trained, scale, dropout, inputs };
                    count += interrupted_is_uninterrupted(&task);
                }
            }
        }
        report("resume", format!("{backend:?}"), count, "steps of resumed layers", 8 * 2 * 21);
    }
}

/// An entry without the state of an optimizer is an adapter that training begins with: as one that lies in the buffer.
#[test]
fn an_adapter_alone_begins() {
    let inputs = Inputs::new(SHAPE, 2 * TOKENS, Data::Finite, 6);
    let (optimizer, trained) = (Optimizer::AdamW, Trained::DEFAULT);
    let scale = Scale::Alpha(3.0);
    let task = Task { backend: Backend::BASELINE, optimizer, trained, scale, dropout: None, inputs };
    let [mut one, mut other] = [(); 2].map(|()| vec![f32::NAN; task.plan().len()]);
    let mut trained = task.start(&mut one);
    task.step(&mut trained, 0);
    let mut entry = trained.entry("fc").unwrap();
    entry.training = None;
    let mut begun = task.start(&mut other);
    task.step(&mut begun, 1);
    begun.resume(&entry).unwrap();
    assert_eq!(begun.clock(), Default::default());
    let mut adopted_memory = vec![f32::NAN; task.plan().len()];
    let adapter = [&entry.a, &entry.b].map(|tensor| tensor.as_f32().unwrap());
    let values = adapter.iter().flat_map(|matrix| (0..matrix.rows()).flat_map(|i| matrix.row(i)));
    adopted_memory.iter_mut().zip(values).for_each(|(to, &from)| *to = from);
    let mut adopted = task.plan().layer(task.inputs.base(), &mut adopted_memory).unwrap();
    adopted.adopt(scale).unwrap();
    for number in 0..STEPS {
        assert_eq!(task.step(&mut begun, number), task.step(&mut adopted, number));
    }
}
