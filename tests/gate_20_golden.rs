//! Gate 20: results stay the same between releases.
//!
//! `golden_hashes.txt` holds one hash per operation, arithmetic and shape, of seeded finite inputs. Every backend on every
//! target has to give the same ones. A change is a new version of the arithmetic contract:
//! `LOWRANK_BLESS=1 cargo test --test gate_20_golden` writes the file anew.

mod support;

use std::collections::BTreeMap;

use lowrank::train::{AdamW, Decay, InPlace, MeanLoss, Optimizer, Rng as Words, Schedule, Sgd, clip, init};
use lowrank::{
    Accum, Adapter, AdapterMut, Arithmetic, Backend, Backprop, Dropout, Plan, Saved, Scale, Shape, backward, forward,
    merge,
};
use support::{Data, Layer, Rng, backends, mat, mat_mut, report};

const GOLDEN: &str = include_str!("golden_hashes.txt");

/// Inputs, outputs, rank, tokens.
const SHAPES: [(usize, usize, usize, usize); 12] = [
    (1, 1, 1, 1),
    (3, 5, 2, 4),
    (12, 20, 0, 3),
    (8, 8, 8, 8),
    (16, 16, 4, 1),
    (17, 33, 5, 7),
    (48, 64, 8, 2),
    (64, 48, 4, 5),
    (100, 7, 3, 9),
    (7, 100, 16, 2),
    (31, 29, 17, 13),
    (300, 12, 2, 18),
];

/// FNV-1a over the bits. A NaN counts as one, whatever its sign and payload.
fn hash<'a>(parts: impl IntoIterator<Item = &'a [f32]>) -> u64 {
    let canonical = |value: &f32| if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
    let bytes = parts.into_iter().flatten().flat_map(|value| canonical(value).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The hashes of one backend by `operation arithmetic shape`.
struct Hashes {
    suffix: String,
    all: BTreeMap<String, u64>,
}

impl Hashes {
    fn add<'a>(&mut self, operation: &str, parts: impl IntoIterator<Item = &'a [f32]>) {
        let twice = self.all.insert(format!("{operation} {}", self.suffix), hash(parts));
        assert_eq!(twice, None, "{operation} {} has two hashes", self.suffix);
    }
}

fn layer((inputs, outputs, rank, tokens): (usize, usize, usize, usize), data: Data) -> Layer {
    let seed = 7 + inputs as u64 * 1000 + outputs as u64;
    let mut layer = Layer::new(Shape::new(inputs, outputs, rank), tokens, data, seed);
    layer.scale = Scale::RankStabilized(3.0).factor(rank);
    layer
}

fn passes(hashes: &mut Hashes, backend: Backend, layer: &Layer) {
    let mut packed = Vec::new();
    let base = if layer.tokens.is_multiple_of(2) { layer.packed(backend, &mut packed) } else { layer.base() };
    let old = layer.old_outputs(Data::Finite, 2);
    let run = |layer: &Layer, accum| {
        let mut out = old.clone();
        layer.run(backend, &base, accum, &mut out).unwrap();
        out
    };
    let out = run(layer, Accum::Replace);
    for (name, part) in
        [("y", &out.y), ("hs", &out.hs), ("da", &out.da), ("db", &out.db), ("dbias", &out.dbias), ("dx", &out.dx)]
    {
        hashes.add(name, [&part[..]]);
    }
    let out = run(layer, Accum::Add);
    hashes.add("accumulated", [&out.da[..], &out.db, &out.dbias]);
    let dropout = Dropout { p: 0.2, seed: 0x1234_5678_9abc, step: 3, layer: 1, first_token: 77 };
    let out = run(&Layer { dropout: Some(dropout), ..layer.clone() }, Accum::Replace);
    hashes.add("dropout-forward", [&out.y[..], &out.hs]);
    hashes.add("dropout-backward", [&out.da[..], &out.db, &out.dx]);
    let Shape { inputs, outputs, .. } = layer.shape;
    let (n, mut y) = (layer.tokens, vec![0.0; layer.tokens * outputs]);
    let adapter = Adapter { bias: Some(mat(&old.dbias, 1, outputs)), ..layer.adapter() };
    let mut memory = vec![0.0; n * layer.shape.rank];
    let mut saved = Saved::inference(&mut memory, layer.shape, n).unwrap();
    forward(backend, &base, &adapter, mat(&layer.x, n, inputs), mat_mut(&mut y, n, outputs), &mut saved).unwrap();
    hashes.add("trained-bias", [&y[..]]);
    let mut merged = vec![0.0; layer.w.len()];
    merge(backend, &base, &layer.adapter(), mat_mut(&mut merged, outputs, inputs)).unwrap();
    hashes.add("merge", [&merged[..]]);
}

/// An optimizer, and how it takes a step.
enum Step {
    Sgd(Sgd),
    AdamW(AdamW),
    InPlace(InPlace),
}

/// Four steps on one batch, in the memory of a plan. Adapter, gradients and state count; what is saved between the passes is
/// nobody's business.
fn training(hashes: &mut Hashes, backend: Backend, layer: &Layer) {
    let momentum = Sgd { lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01, ..Sgd::DEFAULT };
    let runs = [
        ("sgd", Optimizer::Sgd, Step::Sgd(Sgd { lr: 0.1, ..Sgd::DEFAULT })),
        ("sgd-momentum", Optimizer::Momentum, Step::Sgd(momentum)),
        ("adamw", Optimizer::AdamW, Step::AdamW(AdamW { lr: 0.05, b_rate: 4.0, ..AdamW::DEFAULT })),
        ("in-place", Optimizer::InPlace, Step::InPlace(InPlace { lr: 0.1, ..InPlace::DEFAULT })),
        ("in-place-clip", Optimizer::InPlace, Step::InPlace(InPlace { max_norm: Some(0.5), ..InPlace::DEFAULT })),
    ];
    for (name, optimizer, step) in runs {
        let plan = Plan::training(layer.shape, layer.tokens, optimizer);
        let mut arena = vec![0.0; plan.len()];
        let mut y = vec![0.0; layer.tokens * layer.shape.outputs];
        train(backend, layer, &plan, &step, (&mut arena, &mut y));
        let [adapter, grads, state] = [plan.adapter_len(), plan.grads_len(), plan.state_len()].map(Option::unwrap);
        hashes.add(name, [&arena[..adapter + grads], &arena[arena.len() - state..], &y]);
    }
}

fn train(backend: Backend, layer: &Layer, plan: &Plan, step: &Step, (arena, y): (&mut [f32], &mut [f32])) {
    let (n, Shape { inputs, outputs, .. }) = (layer.tokens, layer.shape);
    let (base, x) = (layer.base(), mat(&layer.x, n, inputs));
    let mut work = plan.split(arena).unwrap();
    work.adapter.scale = layer.scale;
    init::kaiming_uniform(&mut work.adapter, 99, 3);
    for _ in 0..4 {
        forward(backend, &base, &work.adapter.as_ref(), x, mat_mut(y, n, outputs), &mut work.saved).unwrap();
        let flow = Backprop { x: Some(x), dy: mat(&layer.dy, n, outputs), dx: None };
        if let Step::InPlace(in_place) = step {
            in_place.step(backend, &base, &mut work.adapter, flow, &mut work.saved).unwrap();
            continue;
        }
        backward(backend, &base, &work.adapter.as_ref(), flow, &mut work.saved, &mut work.grads).unwrap();
        clip::global_norm(backend, &mut [&mut work.grads], 2.0).unwrap();
        match step {
            Step::Sgd(sgd) => sgd.step(backend, &mut work.adapter, &work.grads, &mut work.state).unwrap(),
            Step::AdamW(adamw) => adamw.step(backend, &mut work.adapter, &work.grads, &mut work.state).unwrap(),
            Step::InPlace(_) => {}
        }
    }
}

/// The layout of packed weights by its documentation.
fn panels(w: &[f32], outputs: usize, inputs: usize, width: usize) -> Vec<f32> {
    let mut packed = vec![0.0; w.len()];
    for o in 0..outputs {
        for i in 0..inputs {
            let first = o - o % width;
            packed[inputs * first + i * width.min(outputs - first) + o % width] = w[o * inputs + i];
        }
    }
    packed
}

/// Operations that have neither backend nor arithmetic.
fn numbers() -> BTreeMap<String, u64> {
    let mut hashes = Hashes { suffix: String::new(), all: BTreeMap::new() };
    for (shape, data) in SHAPES.into_iter().zip([Data::Finite, Data::Hostile].into_iter().cycle()) {
        let layer = layer(shape, Data::Finite);
        let Shape { inputs, outputs, .. } = layer.shape;
        hashes.suffix = format!("- {}", label(&layer));
        for width in [8, 12, 16, 48] {
            hashes.add(&format!("pack-{width}"), [&panels(&layer.w, outputs, inputs, width)[..]]);
        }
        initialisation(&mut hashes, &layer);
        losses(&mut hashes, &layer, data);
    }
    hashes.suffix = "- -".to_owned();
    for (name, decay) in [("constant", Decay::Constant), ("linear", Decay::Linear), ("cosine", Decay::Cosine)] {
        let schedule = Schedule { warmup: 13, total: 400, decay };
        hashes.add(name, [&(0..500).map(|step| schedule.factor(step)).collect::<Vec<_>>()[..]]);
    }
    let words = Words { seed: u64::MAX / 3, stream: 5, step: 6 };
    hashes.add("uniform", [&(0..1000).map(|at| words.uniform(at)).collect::<Vec<_>>()[..]]);
    hashes.add("normal", [&(0..1000).map(|at| words.normal(at)).collect::<Vec<_>>()[..]]);
    let mut order: Vec<_> = (0..1000u16).map(f32::from).collect();
    words.shuffle(&mut order);
    hashes.add("shuffle", [&order[..]]);
    hashes.all
}

fn initialisation(hashes: &mut Hashes, layer: &Layer) {
    type Initialise = fn(&mut AdapterMut<'_>, u64, u32);
    let Shape { inputs, outputs, rank } = layer.shape;
    let both: [(&str, Initialise); 2] = [("kaiming", init::kaiming_uniform), ("gaussian", init::gaussian)];
    for (name, initialise) in both {
        let (mut a, mut b) = (layer.a.clone(), layer.b.clone());
        let (a_view, b_view) = (mat_mut(&mut a, rank, inputs), mat_mut(&mut b, outputs, rank));
        initialise(&mut AdapterMut { a: a_view, b: b_view, bias: None, scale: 1.0 }, 42, 7);
        hashes.add(name, [&a[..], &b]);
    }
}

fn losses(hashes: &mut Hashes, layer: &Layer, data: Data) {
    let (n, outputs) = (layer.tokens, layer.shape.outputs);
    let rng = &mut Rng(n as u64);
    let logits: Vec<_> = data.fill(rng, n * outputs).into_iter().map(|z| z.clamp(-30.0, 30.0) * 4.0).collect();
    let labels: Vec<_> = (0..n).map(|_| rng.below(outputs) as u32).collect();
    let (mut loss, mut grad) = (MeanLoss::over(n + 1), vec![0.0; n * outputs]);
    let (y, targets) = (mat(&logits, n, outputs), mat(&layer.dy, n, outputs));
    loss.softmax_cross_entropy(y, &labels, mat_mut(&mut grad, n, outputs)).unwrap();
    hashes.add("cross-entropy", [&grad[..], &[loss.value()]]);
    let mut loss = MeanLoss::over(n + 1);
    loss.mean_squared_error(y, targets, mat_mut(&mut grad, n, outputs)).unwrap();
    hashes.add("squared-error", [&grad[..], &[loss.value()]]);
}

fn label(layer: &Layer) -> String {
    format!("{}x{}r{}n{}", layer.shape.inputs, layer.shape.outputs, layer.shape.rank, layer.tokens)
}

fn of_backend(backend: Backend) -> BTreeMap<String, u64> {
    let mut hashes = Hashes { suffix: String::new(), all: BTreeMap::new() };
    for shape in SHAPES {
        let mut layer = layer(shape, Data::Finite);
        hashes.suffix = format!("{} {}", backend.arithmetic().name(), label(&layer));
        passes(&mut hashes, backend, &layer);
        training(&mut hashes, backend, &layer);
        layer = self::layer(shape, Data::Hostile);
        hashes.suffix += "-hostile";
        if !layer.is_dead() {
            passes(&mut hashes, backend, &layer);
        }
        // Packing knows no arithmetic.
        layer = self::layer(shape, Data::Finite);
        hashes.suffix = format!("- {}", label(&layer));
        let mut packed = Vec::new();
        layer.packed(backend, &mut packed);
        hashes.add(&format!("pack-{}", backend.panel_width()), [&packed[..]]);
    }
    hashes.all
}

/// `hash operation arithmetic shape`, one a line.
fn parse(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (hash, key) = line.split_once(' ').unwrap();
            (key.to_owned(), u64::from_str_radix(hash, 16).unwrap())
        })
        .collect()
}

#[test]
fn results_are_those_of_the_last_release() {
    let mut ours = numbers();
    let golden = if std::env::var_os("LOWRANK_BLESS").is_some() { None } else { Some(parse(GOLDEN)) };
    let backends = backends();
    for &backend in &backends {
        let all = of_backend(backend);
        for (key, hash) in &all {
            if let Some(golden) = &golden {
                assert_eq!(Some(hash), golden.get(key), "{backend:?}: {key} is not what it was");
            }
            let other = *ours.entry(key.clone()).or_insert(*hash);
            assert_eq!(*hash, other, "{backend:?}: {key} is not what another backend gives");
        }
        report(20, format!("{backend:?}"), all.len() as u64, "golden hashes", 200);
    }
    for arithmetic in Arithmetic::ALL {
        assert!(backends.iter().any(|backend| backend.arithmetic() == arithmetic), "{arithmetic:?} did not run");
    }
    match golden {
        Some(golden) => assert_eq!(ours, golden),
        None => bless(&ours),
    }
    report(20, "all backends", ours.len() as u64, "golden hashes", 400);
}

fn bless(hashes: &BTreeMap<String, u64>) {
    let mut text =
        String::from("# FNV-1a of the results: hash, operation, arithmetic, shape. Written by gate_20_golden.rs.\n");
    for (key, hash) in hashes {
        text += &format!("{hash:016x} {key}\n");
    }
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden_hashes.txt"), text).unwrap();
}

/// One bit more or less is another hash; another NaN is not.
#[test]
fn hashes_see_every_bit() {
    let values = [1.0f32, -0.0, 0.5];
    let mut seen = vec![hash([&values[..]])];
    for (at, bit) in (0..3).flat_map(|at| (0..32).map(move |bit| (at, bit))) {
        let mut other = values;
        other[at] = f32::from_bits(other[at].to_bits() ^ (1 << bit));
        seen.push(hash([&other[..]]));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 97);
    assert_eq!(hash([&[f32::NAN][..]]), hash([&[-f32::NAN][..]]));
}
