//! Promise: the layer and its training follow PyTorch + PEFT. `tests/golden/README.md` says what the files hold.

use std::collections::HashMap;
use std::path::Path;

use crate::support::{backends, mat, mat_mut, report};
use lowrank::train::{AdamW, Beta, MeanLoss, Optimizer, Plan, Sgd, clip};
use lowrank::{
    Accum, Adapter, Backend, Backprop, Base, Dropout, Grads, MatMut, MatRef, Saved, Scale, Shape, backward, forward,
    merge,
};

/// One golden file.
struct Golden {
    name: String,
    meta: HashMap<String, String>,
    numbers: HashMap<String, Vec<f64>>,
    words: HashMap<String, Vec<u32>>,
}

impl Golden {
    fn all(kind: &str) -> Vec<Golden> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let files = files.iter().filter(|path| path.extension().is_some_and(|end| end == "txt"));
        files.map(|path| Golden::read(path)).filter(|golden| golden.meta["kind"] == kind).collect()
    }

    fn read(path: &Path) -> Golden {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut golden = Golden { name, meta: HashMap::new(), numbers: HashMap::new(), words: HashMap::new() };
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let (kind, rest) = line.split_once(' ').unwrap();
            if kind == "meta" {
                let (key, value) = rest.split_once(' ').unwrap();
                golden.meta.insert(key.into(), value.into());
                continue;
            }
            let (head, data) = rest.split_once(':').unwrap();
            let mut head = head.split_whitespace();
            let name = head.next().unwrap().to_string();
            let len: usize = head.map(|dim| dim.parse::<usize>().unwrap()).product();
            let words: Vec<u64> = data.split_whitespace().map(|w| u64::from_str_radix(w, 16).unwrap()).collect();
            assert_eq!(words.len(), len, "{}: {name}", golden.name);
            match kind {
                "f32" => {
                    let values = words.iter().map(|&w| f64::from(f32::from_bits(w as u32))).collect();
                    golden.numbers.insert(name, values);
                }
                "f64" => {
                    golden.numbers.insert(name, words.iter().map(|&w| f64::from_bits(w)).collect());
                }
                "u32" => {
                    golden.words.insert(name, words.iter().map(|&w| w as u32).collect());
                }
                other => panic!("{}: unknown kind {other}", golden.name),
            }
        }
        golden
    }

    fn meta<T: std::str::FromStr>(&self, key: &str) -> T
    where
        T::Err: std::fmt::Debug,
    {
        self.meta[key].parse().unwrap()
    }

    fn shape(&self) -> Shape {
        Shape::new(self.meta("inputs"), self.meta("outputs"), self.meta("rank"))
    }

    fn f64(&self, name: &str) -> &[f64] {
        self.numbers.get(name).unwrap_or_else(|| panic!("{}: no {name}", self.name))
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        self.f64(name).iter().map(|&value| value as f32).collect()
    }

    fn scale(&self) -> f32 {
        let alpha = self.meta("alpha");
        let scale = if self.meta::<u32>("rslora") == 1 { Scale::RankStabilized(alpha) } else { Scale::Alpha(alpha) };
        let factor = scale.factor(self.meta("rank"));
        assert_eq!(factor, self.f64("scale")[0] as f32, "{}: scale", self.name);
        factor
    }

    fn dropout(&self, step: u32, first_token: u64) -> Option<Dropout> {
        let p: f32 = self.meta.get("dropout").map_or(0.0, |p| p.parse().unwrap());
        (p > 0.0).then(|| Dropout {
            probability: p,
            seed: self.meta("dropout_seed"),
            step,
            layer_number: self.meta("dropout_stream"),
            first_token,
        })
    }

    /// The mask that was recorded is the mask that our generator makes.
    fn check_mask(&self, recorded: &str, step: u32) -> u64 {
        let Some(mask) = self.words.get(recorded) else { return 0 };
        let dropout = self.dropout(step, 0).unwrap();
        let inputs: usize = self.meta("inputs");
        for (e, &kept) in mask.iter().enumerate() {
            assert_eq!(dropout.keeps(inputs, e / inputs, e % inputs), kept == 1, "{}: {recorded} at {e}", self.name);
        }
        mask.len() as u64
    }
}

/// `|P|·|Q|` for `P [rows, depth]` and `Q [depth, cols]`, where `p` and `q` give their elements.
fn magnitude(
    (rows, depth, cols): (usize, usize, usize),
    p: impl Fn(usize, usize) -> f64,
    q: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let element = |e: usize| (0..depth).map(|d| (p(e / cols, d) * q(d, e % cols)).abs()).sum();
    (0..rows * cols).map(element).collect()
}

/// Compares with the componentwise bound `γ_k·size` of FORMULAS, and returns the number of elements.
fn within(what: &str, ours: &[f32], exact: &[f64], k: usize, size: &[f64]) -> u64 {
    let ku = k as f64 * 2f64.powi(-24);
    let gamma = ku / (1.0 - ku);
    assert_eq!((ours.len(), size.len()), (exact.len(), exact.len()), "{what}");
    for (e, ((&ours, &exact), &size)) in ours.iter().zip(exact).zip(size).enumerate() {
        let error = (f64::from(ours) - exact).abs();
        assert!(error <= gamma * size, "{what}[{e}]: {ours}, not {exact}: {error:e} > {:e}", gamma * size);
    }
    exact.len() as u64
}

/// Micro-batches: the first token and the number of tokens of each.
fn micro_batches(sizes: &[usize]) -> Vec<(usize, usize)> {
    let mut first = 0;
    let each = |&size: &usize| {
        first += size;
        (first - size, size)
    };
    sizes.iter().map(each).collect()
}

fn rows_of(data: &[f32], (first, count): (usize, usize), cols: usize) -> MatRef<'_> {
    mat(&data[first * cols..][..count * cols], count, cols)
}

fn rows_of_mut(data: &mut [f32], (first, count): (usize, usize), cols: usize) -> MatMut<'_> {
    mat_mut(&mut data[first * cols..][..count * cols], count, cols)
}

#[test]
fn layers() {
    let files = Golden::all("layer");
    assert!(files.len() >= 8, "only {} layer files", files.len());
    for backend in backends() {
        let count = files.iter().map(|golden| layer(golden, backend)).sum();
        report("peft", format!("{backend:?}").as_str(), count, "elements of PEFT layers within the bound", 9_000);
    }
}

fn layer(golden: &Golden, backend: Backend) -> u64 {
    let Shape { inputs, outputs, rank } = golden.shape();
    let n: usize = golden.meta("tokens");
    let (w, a, b) = (golden.f32("W"), golden.f32("A"), golden.f32("B"));
    let bias = (golden.meta::<u32>("bias") == 1).then(|| golden.f32("b"));
    let (x, dy) = (golden.f32("X"), golden.f32("dY"));
    let scale = golden.scale();
    let base = Base { weights: mat(&w, outputs, inputs).into(), bias: bias.as_deref().map(MatRef::from_row) };
    let adapter = Adapter { a: mat(&a, rank, inputs), b: mat(&b, outputs, rank), bias: None, scale };

    let (mut y, mut dx) = (vec![0.0; n * outputs], vec![0.0; n * inputs]);
    let (mut da, mut db, mut dbias) = (vec![0.0; rank * inputs], vec![0.0; outputs * rank], vec![0.0; outputs]);
    let step = golden.meta.get("dropout_step").map_or(0, |step| step.parse().unwrap());
    let sizes: Vec<usize> = golden.meta["micro_batches"]
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|size| size.parse().ok())
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), n);
    for (index, part) in micro_batches(&sizes).into_iter().enumerate() {
        let mut memory = vec![0.0; Saved::training_len(golden.shape(), part.1).unwrap()];
        let mut saved = Saved::training(&mut memory, golden.shape(), part.1).unwrap();
        saved.set_dropout(golden.dropout(step, part.0 as u64)).unwrap();
        let x = rows_of(&x, part, inputs);
        forward(backend, &base, &adapter, x, rows_of_mut(&mut y, part, outputs), &mut saved).unwrap();
        let dx = Some(rows_of_mut(&mut dx, part, inputs));
        let mut grads = Grads {
            a: Some(mat_mut(&mut da, rank, inputs)),
            b: mat_mut(&mut db, outputs, rank),
            bias: Some(mat_mut(&mut dbias, 1, outputs)),
            accum: if index == 0 { Accum::Replace } else { Accum::Add },
        };
        let flow = Backprop { x: Some(x), dy: rows_of(&dy, part, outputs), dx };
        backward(backend, &base, &adapter, flow, &mut saved, &mut grads).unwrap();
    }
    let mut merged = vec![0.0; outputs * inputs];
    merge(backend, &base, &adapter, mat_mut(&mut merged, outputs, inputs)).unwrap();

    let mut count = golden.check_mask("mask", step);
    let dropout = golden.dropout(step, 0);
    let factor = dropout.map_or(1.0, |d| f64::from(d.keep_factor()));
    let keep = |t: usize, i: usize| dropout.is_none_or(|d| d.keeps(inputs, t, i));
    let d = |t: usize, i: usize| if keep(t, i) { factor } else { 0.0 };
    let at = |v: &[f32], e: usize| f64::from(v[e]);
    let xt = |t: usize, i: usize| at(&x, t * inputs + i) * d(t, i);
    // |s|·|A||X̃| [r, n] and |s|·|B|ᵀ|dY| [r, n]
    let s = f64::from(scale).abs();
    let hs = magnitude((rank, inputs, n), |k, i| s * at(&a, k * inputs + i), |i, t| xt(t, i));
    let gs = magnitude((rank, outputs, n), |k, o| s * at(&b, o * rank + k), |o, t| at(&dy, t * outputs + o));

    // Dropout rounds twice more: the factor and its product.
    let more = 2 + if dropout.is_some() { 2 } else { 0 };
    let size = |through_base: Vec<f64>, through_adapter: Vec<f64>, start: &dyn Fn(usize) -> f64| {
        let sums = through_base.iter().zip(&through_adapter).enumerate();
        sums.map(|(e, (p, q))| p + q + start(e)).collect::<Vec<_>>()
    };
    let none = |_: usize| 0.0;
    let from_bias = |e: usize| bias.as_ref().map_or(0.0, |bias| f64::from(bias[e % outputs]).abs());
    let y_size = size(
        magnitude((n, inputs, outputs), |t, i| at(&x, t * inputs + i), |i, o| at(&w, o * inputs + i)),
        magnitude((n, rank, outputs), |t, k| hs[k * n + t], |k, o| at(&b, o * rank + k)),
        &from_bias,
    );
    let dx_adapter = magnitude((n, rank, inputs), |t, k| gs[k * n + t], |k, i| at(&a, k * inputs + i));
    let dx_size = size(
        magnitude((n, outputs, inputs), |t, o| at(&dy, t * outputs + o), |o, i| at(&w, o * inputs + i)),
        dx_adapter.iter().enumerate().map(|(e, v)| v * d(e / inputs, e % inputs)).collect(),
        &none,
    );
    let merged_size = size(
        w.iter().map(|&w| f64::from(w).abs()).collect(),
        magnitude((outputs, rank, inputs), |o, k| s * at(&b, o * rank + k), |k, i| at(&a, k * inputs + i)),
        &none,
    );
    let da_size = magnitude((rank, n, inputs), |k, t| gs[k * n + t], xt);
    let db_size = magnitude((outputs, n, rank), |o, t| at(&dy, t * outputs + o), |t, k| hs[k * n + t]);
    let dbias_size = magnitude((1, n, outputs), |_, _| 1.0, |t, o| at(&dy, t * outputs + o));
    let name = &golden.name;
    count += within(&format!("{name}: Y"), &y, golden.f64("Y"), inputs + rank + more, &y_size);
    count += within(&format!("{name}: dX"), &dx, golden.f64("dX"), outputs + rank + more, &dx_size);
    count += within(&format!("{name}: dA"), &da, golden.f64("dA"), n + outputs + more, &da_size);
    count += within(&format!("{name}: dB"), &db, golden.f64("dB"), n + inputs + more, &db_size);
    if bias.is_some() {
        count += within(&format!("{name}: db"), &dbias, golden.f64("db"), n, &dbias_size);
    }
    count + within(&format!("{name}: merged"), &merged, golden.f64("merged"), rank + 2, &merged_size)
}

#[derive(Copy, Clone)]
enum Rule {
    AdamW(AdamW),
    Sgd(Sgd),
}

impl Rule {
    fn of(golden: &Golden) -> (Rule, Optimizer) {
        let (learning_rate, weight_decay) = (golden.meta("lr"), golden.meta("weight_decay"));
        match golden.meta["optimizer"].as_str() {
            "adamw" => {
                let (beta1, beta2, epsilon) = (golden.meta("beta1"), golden.meta("beta2"), golden.meta("eps"));
                (
                    Rule::AdamW(AdamW {
                        learning_rate,
                        b_rate: 1.0,
                        beta1: Beta::new(beta1),
                        beta2: Beta::new(beta2),
                        epsilon,
                        weight_decay,
                    }),
                    Optimizer::AdamW,
                )
            }
            "sgd" => {
                let momentum = golden.meta("momentum");
                let dampening = golden.meta("dampening");
                let nesterov = golden.meta::<u32>("nesterov") == 1;
                let kind = if momentum == 0.0 { Optimizer::Sgd } else { Optimizer::Momentum };
                (Rule::Sgd(Sgd { learning_rate, b_rate: 1.0, momentum, dampening, nesterov, weight_decay }), kind)
            }
            other => panic!("{}: unknown optimizer {other}", golden.name),
        }
    }
}

#[test]
fn training() {
    let files = Golden::all("training");
    assert!(files.len() >= 10, "only {} training files", files.len());
    for backend in backends() {
        let (mut count, mut worst) = (0, (0.0, String::new()));
        for golden in &files {
            count += train(golden, backend, &mut worst);
        }
        println!(
            "promise peft {backend:?}: farthest from f64, relative to PyTorch's f32: {:.2} ({})",
            worst.0, worst.1
        );
        report("peft", format!("{backend:?}").as_str(), count, "comparisons with PyTorch + PEFT training runs", 1_200);
    }
}

/// Distance over `A` and `B` together.
fn distance(ours: [&[f64]; 2], exact: [&[f64]; 2]) -> f64 {
    let squares = ours.iter().zip(exact).flat_map(|(ours, exact)| ours.iter().zip(exact).map(|(a, b)| (a - b).powi(2)));
    squares.sum::<f64>().sqrt()
}

fn train(golden: &Golden, backend: Backend, worst: &mut (f64, String)) -> u64 {
    let shape = golden.shape();
    let Shape { inputs, outputs, .. } = shape;
    let n: usize = golden.meta("tokens");
    let (rule, optimizer) = Rule::of(golden);
    let plan = Plan::training(shape, n, optimizer);
    let mut arena = vec![f32::NAN; plan.len()];
    let mut work = plan.split(&mut arena).unwrap();
    work.adapter.scale = golden.scale();
    let (w, bias) = (golden.f32("W"), golden.f32("b"));
    let base = Base { weights: mat(&w, outputs, inputs).into(), bias: Some(MatRef::from_row(&bias)) };
    for (k, row) in golden.f32("A0").chunks(inputs).enumerate() {
        work.adapter.a.row_mut(k).copy_from_slice(row);
    }
    for o in 0..outputs {
        work.adapter.b.row_mut(o).fill(0.0);
    }
    let parts = match golden.meta("micro_batches") {
        1usize => vec![(0, n)],
        parts => micro_batches(&vec![n / parts; parts]),
    };
    let (xs, max_norm): (_, f32) = (golden.f32("X"), golden.meta("max_norm"));
    let targets = golden.numbers.contains_key("target").then(|| golden.f32("target"));
    let labels = golden.words.get("target");

    let mut count = 0;
    let (mut y, mut dy) = (vec![0.0; n * outputs], vec![0.0; n * outputs]);
    for step in 1..=golden.meta("steps") {
        let batch = (step as usize - 1) % golden.meta::<usize>("batches");
        let mut loss = MeanLoss::over(n);
        for (index, &part) in parts.iter().enumerate() {
            let at = (batch * n + part.0, part.1);
            let x = rows_of(&xs, at, inputs);
            work.saved.set_dropout(golden.dropout(step, part.0 as u64)).unwrap();
            work.grads.accum = if index == 0 { Accum::Replace } else { Accum::Add };
            let (y, dy) = (&mut y[..part.1 * outputs], &mut dy[..part.1 * outputs]);
            let out = mat_mut(y, part.1, outputs);
            forward(backend, &base, &work.adapter.as_ref(), x, out, &mut work.saved).unwrap();
            let (prediction, grad) = (mat(y, part.1, outputs), mat_mut(dy, part.1, outputs));
            match (&targets, labels) {
                (Some(targets), _) => loss.mean_squared_error(prediction, rows_of(targets, at, outputs), grad),
                (_, Some(labels)) => loss.softmax_cross_entropy(prediction, &labels[at.0..][..at.1], grad),
                _ => panic!("{}: no target", golden.name),
            }
            .unwrap();
            let flow = Backprop { x: Some(x), dy: mat(dy, part.1, outputs), dx: None };
            backward(backend, &base, &work.adapter.as_ref(), flow, &mut work.saved, &mut work.grads).unwrap();
        }
        if max_norm > 0.0 {
            clip::global_norm(backend, &mut [&mut work.grads], max_norm).unwrap();
        }
        match rule {
            Rule::AdamW(adamw) => adamw.step(backend, &mut work.adapter, &work.grads, &mut work.state).unwrap(),
            Rule::Sgd(sgd) => sgd.step(backend, &mut work.adapter, &work.grads, &mut work.state).unwrap(),
        }
        count += golden.check_mask(&format!("mask.{step}"), step);

        if let Some(exact) = golden.f64("loss_f64").get(step as usize - 1) {
            let difference = (f64::from(loss.value()) - exact).abs();
            assert!(difference <= 5e-6, "{} {backend:?}: loss of step {step} is off by {difference:e}", golden.name);
            count += 1;
        }
        if golden.numbers.contains_key(&format!("A_f64.{step}")) {
            let wide = |m: &MatMut<'_>| (0..m.rows()).flat_map(|i| m.row(i)).map(|&v| f64::from(v)).collect::<Vec<_>>();
            let ours = [wide(&work.adapter.a), wide(&work.adapter.b)];
            let pair = |kind: &str| ["A", "B"].map(|m| golden.f64(&format!("{m}_{kind}.{step}")));
            let (exact, torch) = (pair("f64"), pair("f32"));
            let ratio = distance([&ours[0], &ours[1]], exact) / distance(torch, exact);
            assert!(ratio <= 1.5, "{} {backend:?}: {ratio} times as far as PyTorch at step {step}", golden.name);
            if ratio > worst.0 {
                *worst = (ratio, format!("{}, step {step}", golden.name));
            }
            if step <= 300 {
                for (ours, exact) in ours.iter().flatten().zip(exact.into_iter().flatten()) {
                    assert!(
                        (ours - exact).abs() <= 5e-5,
                        "{} {backend:?}: step {step}: {ours}, not {exact}",
                        golden.name
                    );
                    count += 1;
                }
            }
            count += 1;
        }
    }
    count
}

#[test]
fn losses() {
    let files = Golden::all("loss");
    assert!(files.len() >= 3, "only {} loss files", files.len());
    let mut count = 0;
    for golden in &files {
        let y = golden.f32("Y");
        let labels = &golden.words["labels"];
        let (n, outputs) = (labels.len(), y.len() / labels.len());
        let target = golden.f32("target");
        let mut grad = vec![f32::NAN; y.len()];
        let check = |what: &str, loss: MeanLoss, grad: &[f32]| {
            let exact = golden.f64(&format!("{what}_value"))[0];
            // The sum of n losses, each of magnitude up to the value: n + outputs roundings, exp and ln of 1.1 ulp each.
            let bound = (n + outputs + 4) as f64 * 2f64.powi(-24) * exact.abs().max(1.0);
            let error = (f64::from(loss.value()) - exact).abs();
            assert!(error <= bound, "{} {what}: {} not {exact}", golden.name, loss.value());
            let exact = golden.f64(&format!("{what}_dY"));
            for (ours, exact) in grad.iter().zip(exact) {
                // p and p - 1 are at most 1, divided by n; exp of a difference of logits z carries |z| ulp of its argument.
                let largest = y.iter().fold(1.0f64, |m, &v| m.max(f64::from(v.abs())));
                let bound = (outputs as f64 + 2.0 * largest + 8.0) * 2f64.powi(-24) * (exact.abs().max(1.0 / n as f64));
                assert!((f64::from(*ours) - exact).abs() <= bound, "{} {what}: {ours} not {exact}", golden.name);
            }
            grad.len() as u64 + 1
        };
        let mut loss = MeanLoss::over(n);
        loss.softmax_cross_entropy(mat(&y, n, outputs), labels, mat_mut(&mut grad, n, outputs)).unwrap();
        count += check("ce", loss, &grad);
        let mut loss = MeanLoss::over(n);
        loss.mean_squared_error(mat(&y, n, outputs), mat(&target, n, outputs), mat_mut(&mut grad, n, outputs)).unwrap();
        count += check("mse", loss, &grad);
    }
    report("peft", "losses", count, "values and gradients of losses", 100);
}
