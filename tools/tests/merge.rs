//! Merged models and the advice about them, against loops that share no code with the command.

mod support;

use std::collections::BTreeSet;

use lowrank::Dtype;
use serde_json::{Value, json};
use support::{Peft, Room, Tensor, key, load, noise};

/// `W'[o, i] = W[o, i]` and then `+ rn(s·B[o, k])·A[k, i]` for each `k`, rounded as the machine's backend rounds.
fn merged(w: &[f32], a: &[f32], b: &[f32], rank: usize, scale: f32) -> Vec<f32> {
    let inputs = a.len() / rank;
    let fused = lowrank::Backend::detect().arithmetic() == lowrank::Arithmetic::Fused;
    let element = |(at, &w): (usize, &f32)| {
        let (o, i) = (at / inputs, at % inputs);
        (0..rank).fold(w, |sum, k| {
            let (left, right) = (scale * b[o * rank + k], a[k * inputs + i]);
            if fused { left.mul_add(right, sum) } else { sum + left * right }
        })
    };
    w.iter().enumerate().map(element).collect()
}

fn turned(values: &[f32], cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|col| values.iter().skip(col).step_by(cols).copied()).collect()
}

fn rounded(dtype: Dtype, values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| dtype.decode(dtype.encode(value))).collect()
}

fn write(room: &Room, name: &str, tensors: &[Tensor]) {
    std::fs::write(room.path(name), support::safetensors(tensors)).unwrap();
}

fn find<'a>(tensors: &'a [Tensor], name: &str) -> &'a Tensor {
    tensors.iter().find(|tensor| tensor.name == name).unwrap()
}

/// One layer, larger than a block, of odd size.
const INPUTS: usize = 1100;
const OUTPUTS: usize = 611;
const RANK: usize = 3;

fn adapter(fan_in_fan_out: bool) -> Peft {
    let mut adapter = Peft::empty().set("r", json!(RANK)).set("fan_in_fan_out", json!(fan_in_fan_out));
    adapter.layer("net.q", INPUTS, OUTPUTS, RANK, Dtype::F32);
    adapter
}

fn parts(adapter: &Peft) -> [Vec<f32>; 2] {
    ["lora_A.weight", "lora_B.weight"].map(|part| adapter.tensor(&key("net.q", part)).values())
}

#[test]
fn merged_weights_are_those_of_the_formula_in_every_type_and_both_layouts() {
    for dtype in Dtype::ALL {
        for fan_in_fan_out in [false, true] {
            let room = Room::new();
            let adapter = adapter(fan_in_fan_out);
            adapter.write(&room.path("adapter"));
            let w = rounded(dtype, &noise(40, INPUTS * OUTPUTS));
            let (shape, stored) = match fan_in_fan_out {
                false => ([OUTPUTS, INPUTS], w.clone()),
                true => ([INPUTS, OUTPUTS], turned(&w, INPUTS)),
            };
            let base = [Tensor::new("net.q.weight", dtype, &shape, &stored), Tensor::f32("other", &[9], &noise(1, 9))];
            write(&room, "base.safetensors", &base);
            let before = std::fs::read(room.path("base.safetensors")).unwrap();
            room.good(&["merge", "adapter", "base.safetensors", "out.safetensors"]);
            assert_eq!(std::fs::read(room.path("base.safetensors")).unwrap(), before, "the base has changed");

            let [a, b] = parts(&adapter);
            let expected = rounded(dtype, &merged(&w, &a, &b, RANK, (8.0f64 / RANK as f64) as f32));
            let out = load(&room.path("out.safetensors"));
            let got = find(&out, "net.q.weight");
            let values = if fan_in_fan_out { turned(&got.values(), OUTPUTS) } else { got.values() };
            assert!(
                values.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits()),
                "{dtype:?} {fan_in_fan_out}"
            );
            assert_eq!((&got.shape[..], got.dtype), (&shape[..], base[0].dtype));
            assert_eq!(find(&out, "other").bytes, base[1].bytes);
            assert_eq!(out.len(), 2);
        }
    }
}

#[test]
fn biases_are_replaced_and_added_to() {
    let own = noise(51, 3);
    let trained = noise(52, 3);
    let old = noise(53, 3);
    for (lora_bias, lora_only) in [(false, false), (true, false), (false, true), (true, true)] {
        let room = Room::new();
        let mut adapter = Peft::empty();
        adapter.layer("q", 4, 3, 2, Dtype::F32);
        if lora_bias {
            adapter = adapter.set("lora_bias", json!(true)).with(Tensor::f32(&key("q", "lora_B.bias"), &[3], &own));
        }
        if lora_only {
            adapter = adapter.set("bias", json!("lora_only"));
            adapter = adapter.with(Tensor::f32(&key("q", "base_layer.bias"), &[3], &trained));
        }
        adapter.write(&room.path("adapter"));
        write(&room, "base", &[Tensor::f32("q.weight", &[3, 4], &noise(1, 12)), Tensor::f32("q.bias", &[3], &old)]);
        room.good(&["merge", "adapter", "base", "out"]);
        let start = if lora_only { &trained } else { &old };
        let add = |(bias, own): (&f32, &f32)| if lora_bias { bias + 4.0 * own } else { *bias };
        let expected: Vec<f32> = start.iter().zip(&own).map(add).collect();
        assert_eq!(find(&load(&room.path("out")), "q.bias").values(), expected, "{lora_bias} {lora_only}");

        write(&room, "bare", &[Tensor::f32("q.weight", &[3, 4], &noise(1, 12))]);
        if lora_bias || lora_only {
            let error = room.bad(&["merge", "adapter", "bare", "out-2"]);
            assert!(error.contains("layer `q`") && error.contains("`q.bias`"), "{error}");
        } else {
            room.good(&["merge", "adapter", "bare", "out-2"]);
        }
    }
}

#[test]
fn a_sharded_base_keeps_its_shards() {
    let room = Room::new();
    Peft::new().write(&room.path("adapter"));
    let tensors = [
        Tensor::f32("net.q.weight", &[3, 4], &noise(60, 12)),
        Tensor::new("net.v.weight", Dtype::Bf16, &[5, 4], &noise(61, 20)),
        Tensor::f32("other", &[2], &noise(62, 2)),
    ];
    std::fs::create_dir(room.path("base")).unwrap();
    write(&room, "base/1.safetensors", &tensors[..1]);
    write(&room, "base/2.safetensors", &tensors[1..]);
    write(&room, "whole", &tensors);
    let map = json!({ "net.q.weight": "1.safetensors", "net.v.weight": "2.safetensors", "other": "2.safetensors" });
    let index = |map: &Value| {
        let text = json!({ "metadata": { "total_size": 96 }, "weight_map": map }).to_string();
        std::fs::write(room.path("base/model.safetensors.index.json"), text).unwrap();
    };
    index(&map);
    room.good(&["merge", "adapter", "base/model.safetensors.index.json", "out"]);
    room.good(&["merge", "adapter", "whole", "out-whole"]);
    let read = |name: &str| std::fs::read(room.path(name)).unwrap();
    assert_eq!(read("out/model.safetensors.index.json"), read("base/model.safetensors.index.json"));
    let parts = [load(&room.path("out/1.safetensors")), load(&room.path("out/2.safetensors"))];
    assert_eq!(parts.each_ref().map(Vec::len), [1, 2]);
    for tensor in load(&room.path("out-whole")) {
        assert_eq!(find(&parts.concat(), &tensor.name).bytes, tensor.bytes, "{}", tensor.name);
    }

    let bad = [
        (json!({ "net.q.weight": "../1.safetensors" }), "names of files"),
        (json!({ "net.q.weight": "2.safetensors" }), "lies in"),
        (json!({ "net.q.weight": "1.safetensors", "more": "1.safetensors" }), "`more` is missing"),
        (json!({ "net.q.weight": "3.safetensors" }), "3.safetensors"),
        (json!([]), "index.json"),
    ];
    for (map, expected) in bad {
        index(&map);
        let error = room.bad(&["merge", "adapter", "base/model.safetensors.index.json", "out-2"]);
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    }
    assert!(!room.names().contains(&"out-2".to_owned()));
}

#[test]
fn a_base_that_does_not_fit_is_refused() {
    let room = Room::new();
    Peft::new().write(&room.path("adapter"));
    Peft::new().set("fan_in_fan_out", json!(true)).write(&room.path("turned"));
    let v = Tensor::f32("net.v.weight", &[5, 4], &noise(1, 20));
    let q = |shape: &[usize], dtype| Tensor::new("net.q.weight", dtype, shape, &noise(2, shape.iter().product()));
    let refused = |adapter: &str, first: Tensor, expected: &[&str]| {
        write(&room, "base", &[first, v.clone()]);
        let error = room.bad(&["merge", adapter, "base", "out"]);
        expected.iter().for_each(|text| assert!(error.contains(text), "{text:?} is not in {error:?}"));
        assert!(!room.names().contains(&"out".to_owned()));
    };
    refused("adapter", q(&[4, 5], Dtype::F32), &["`net.q.weight`", "[3, 4]", "[4, 5]", "[out, in]"]);
    refused("turned", q(&[12, 1], Dtype::F32), &["`net.q.weight`", "[4, 3]", "[12, 1]", "[in, out]"]);
    let integers = Tensor { dtype: safetensors::Dtype::I8, bytes: vec![0; 12], ..q(&[3, 4], Dtype::F32) };
    refused("adapter", integers, &["`net.q.weight`", "I8"]);
    let renamed = Tensor { name: "model.net.q.weight".into(), ..q(&[3, 4], Dtype::F32) };
    refused("adapter", renamed, &["layer `net.q`", "`net.q.weight`", "`model.net.q.weight`", "--add-prefix"]);
    // An overflow of f16: 65504 and a little more.
    let mut large = Peft::empty();
    large.layer("net.q", 4, 3, 2, Dtype::F32);
    let large = large.with(Tensor::f32(&key("net.q", "lora_B.weight"), &[3, 2], &[1e9; 6]));
    large.write(&room.path("large"));
    refused("large", q(&[3, 4], Dtype::F16), &["layer `net.q`", "not finite in f16"]);

    write(&room, "prefixed", &[Tensor { name: "model.net.q.weight".into(), ..q(&[3, 4], Dtype::F32) }]);
    let mut one = Peft::empty();
    one.layer("x.net.q", 4, 3, 2, Dtype::F32);
    one.write(&room.path("one"));
    room.good(&["merge", "one", "prefixed", "out", "--remove-prefix", "x.", "--add-prefix", "model."]);
}

/// Two layers whose names become one, as with a prefix that only one of them has.
#[test]
fn a_tensor_takes_the_update_of_one_layer() {
    let room = Room::new();
    let mut adapter = Peft::empty();
    ["q", "x.q"].iter().for_each(|name| adapter.layer(name, 4, 3, 2, Dtype::F32));
    adapter.write(&room.path("adapter"));
    write(&room, "base", &[Tensor::f32("q.weight", &[3, 4], &noise(1, 12))]);
    let error = room.bad(&["merge", "adapter", "base", "out", "--remove-prefix", "x."]);
    assert!(
        error.contains("layer `x.q`: the tensor `q.weight` of the base belongs to another layer already"),
        "{error}"
    );
}

/// Large tensors are copied piece by piece; the report counts them, too.
#[test]
fn tensors_beside_the_layers_are_copied_whole() {
    let room = Room::new();
    Peft::new().write(&room.path("adapter"));
    let large = Tensor::f32("large", &[700_001], &noise(3, 700_001));
    let [q, v] = [("net.q.weight", 3), ("net.v.weight", 5)]
        .map(|(name, outputs)| Tensor::f32(name, &[outputs, 4], &noise(4, 4 * outputs)));
    write(&room, "base", &[large.clone(), q, v]);
    let text = room.good(&["merge", "adapter", "base", "out"]);
    assert!(text.ends_with("\n2 of 3 tensors merged into out\n"), "{text}");
    assert!(find(&load(&room.path("out")), "large").bytes == large.bytes);
}

/// What overflows is named by its place in the whole tensor, be it a weight or a bias.
#[test]
fn an_overflow_is_named_by_its_place() {
    let room = Room::new();
    let adapter = adapter(false);
    let mut b = vec![0.0; OUTPUTS * RANK];
    b[600 * RANK] = 1e9;
    let mut a = vec![0.0; RANK * INPUTS];
    a[7] = 1.0;
    let adapter = adapter.with(Tensor::f32(&key("net.q", "lora_A.weight"), &[RANK, INPUTS], &a)).with(Tensor::f32(
        &key("net.q", "lora_B.weight"),
        &[OUTPUTS, RANK],
        &b,
    ));
    adapter.write(&room.path("adapter"));
    write(&room, "base", &[Tensor::new("net.q.weight", Dtype::F16, &[OUTPUTS, INPUTS], &noise(1, OUTPUTS * INPUTS))]);
    let error = room.bad(&["merge", "adapter", "base", "out"]);
    let expected = format!("element {} of the merged `net.q.weight` is inf", 600 * INPUTS + 7);
    assert!(error.contains(&expected), "{error}");

    let mut biased = Peft::empty().set("bias", json!("lora_only"));
    biased.layer("q", 4, 3, 2, Dtype::F32);
    biased.with(Tensor::f32(&key("q", "base_layer.bias"), &[3], &[1.0, -65520.0, 0.0])).write(&room.path("biased"));
    let bias = Tensor::new("q.bias", Dtype::F16, &[3], &[0.0; 3]);
    write(&room, "base", &[Tensor::f32("q.weight", &[3, 4], &noise(1, 12)), bias]);
    let error = room.bad(&["merge", "biased", "base", "out"]);
    assert!(error.contains("element 1 of the merged `q.bias` is -inf, which is not finite in f16"), "{error}");
}

/// What the help says, in loops.
fn round_groups(values: &mut [f32], inputs: usize, largest: f32) {
    for row in values.chunks_mut(inputs) {
        for start in (0..inputs).step_by(32) {
            let group = &mut row[start..inputs.min(start + 32)];
            let step = group.iter().map(|value| value.abs()).fold(0.0, f32::max) / largest;
            for value in group {
                *value = (*value / step).round_ties_even().clamp(-largest, largest) * step;
            }
        }
    }
}

fn stored(storage: &str, mut values: Vec<f32>) -> Vec<f32> {
    match storage {
        "f32" => {}
        "f16" => values = rounded(Dtype::F16, &values),
        "bf16" => values = rounded(Dtype::Bf16, &values),
        "int8" => round_groups(&mut values, INPUTS, 127.0),
        "int4" => round_groups(&mut values, INPUTS, 7.0),
        other => panic!("{other}"),
    }
    values
}

/// Share kept and noise of an update that goes into `v` and becomes `m`, and how far `v` is from `w`; all in one piece.
fn direct(v: &[f32], m: &[f32], w: &[f32], delta: &[f32]) -> (f64, f64, f64) {
    let (mut along, mut square, mut error, mut base) = (0.0, 0.0, 0.0, 0.0);
    for (((v, m), w), delta) in v.iter().zip(m).zip(w).zip(delta) {
        let [v, m, w, delta] = [*v, *m, *w, *delta].map(f64::from);
        along += (m - v) * delta;
        square += delta * delta;
        error += (m - v - delta) * (m - v - delta);
        base += (v - w) * (v - w);
    }
    (along / square, f64::sqrt(error / square), f64::sqrt(base / square))
}

/// Both situations of a storage: kept and noise of `merge, then store` and of `into a stored base`, and the base's noise.
fn situations(storage: &str, w: &[f32], a: &[f32], b: &[f32], scale: f32) -> ([(f64, f64); 2], f64) {
    let delta = merged(&vec![0.0; w.len()], a, b, RANK, scale);
    let then = direct(w, &stored(storage, merged(w, a, b, RANK, scale)), w, &delta);
    let q = stored(storage, w.to_vec());
    let into = direct(&q, &stored(storage, merged(&q, a, b, RANK, scale)), w, &delta);
    ([(then.0, then.1), (into.0, into.1)], into.2)
}

/// The command sums the same numbers in another order: `n` additions in 64 bits, each of relative error 2⁻⁵³, of terms
/// whose magnitudes sum to at most `condition` times the result.
fn assert_close(got: &Value, expected: f64, condition: f64, what: &str) {
    let n = (INPUTS * OUTPUTS) as f64;
    let bound = 2.0 * n * f64::EPSILON * condition * expected.abs().max(1.0);
    let got = got.as_f64().unwrap();
    assert!((got - expected).abs() <= bound, "{what}: {got}, not {expected}");
}

#[test]
fn the_advice_is_that_of_a_direct_computation() {
    let mut verdicts = BTreeSet::new();
    for (fan_in_fan_out, alpha) in [(false, 0.02), (true, 0.02), (false, 3.0)] {
        let room = Room::new();
        let adapter = adapter(fan_in_fan_out).set("lora_alpha", json!(alpha));
        adapter.write(&room.path("adapter"));
        let w = noise(70, INPUTS * OUTPUTS);
        let (shape, values) = match fan_in_fan_out {
            false => ([OUTPUTS, INPUTS], w.clone()),
            true => ([INPUTS, OUTPUTS], turned(&w, INPUTS)),
        };
        write(&room, "base", &[Tensor::f32("net.q.weight", &shape, &values)]);
        let report = room.json(&["advise", "adapter", "--base", "base", "--storage", "f32,f16,bf16,int8,int4"]);
        let layer = &report["layers"][0];
        let [a, b] = parts(&adapter);
        let scale = (alpha / RANK as f64) as f32;
        let advice = layer["advice"].as_array().unwrap();
        assert_eq!(advice.len(), 5);
        for entry in advice {
            let storage = entry["storage"].as_str().unwrap();
            let (expected, base) = situations(storage, &w, &a, &b, scale);
            assert_close(&entry["base_noise"], base, 1.0, storage);
            for (number, situation) in ["merge_then_store", "into_stored_base"].into_iter().enumerate() {
                let ((kept, noise), got, what) =
                    (expected[number], &entry[situation], format!("{storage} {situation}"));
                // By Cauchy and Schwarz: Σ|(M−V)·Δ| is at most ‖M−V‖‖Δ‖, and ‖M−V‖ at most ‖Δ‖ and the noise.
                assert_close(&got["kept"], kept, 1.0 + noise, &what);
                assert_close(&got["noise"], noise, 1.0, &what);
                let anyway = if number == 0 { base } else { 0.0 };
                // How far noise beside the update moves what is kept.
                let chance = noise / ((INPUTS * OUTPUTS) as f64).sqrt();
                let verdict = match (kept - 1.0).abs() {
                    off if off <= 0.01 && (noise <= 0.1 || noise <= 1.1 * anyway && chance <= 0.01) => "survives",
                    off if off <= 0.1 && (noise <= 1.0 || noise <= 2.0 * anyway && chance <= 0.1) => "noisy",
                    _ => "lost",
                };
                assert_eq!(got["verdict"], verdict, "{what}");
                verdicts.insert((situation, verdict));
            }
        }
        // `merge` says the same of the type of the base.
        write(&room, "half", &[Tensor::new("net.q.weight", Dtype::Bf16, &shape, &values)]);
        let merge = room.json(&["merge", "adapter", "half", "out"]);
        let ([_, (kept, noise)], _) = situations("bf16", &rounded(Dtype::Bf16, &w), &a, &b, scale);
        assert_close(&merge["layers"][0]["kept"], kept, 1.0 + noise, "merge");
        assert_close(&merge["layers"][0]["noise"], noise, 1.0, "merge");
    }
    let into = ["survives", "noisy", "lost"].map(|verdict| ("into_stored_base", verdict));
    assert!(into.iter().all(|seen| verdicts.contains(seen)), "not every verdict has been seen: {verdicts:?}");
}

/// Rounding after the merge loses nothing of an update on average, however small; rounding a base that lies on the grid
/// already takes it back to where it was.
#[test]
fn a_small_update_survives_rounding_after_the_merge_but_not_into_a_stored_base() {
    let room = Room::new();
    adapter(false).set("lora_alpha", json!(0.05)).write(&room.path("adapter"));
    let w = noise(70, INPUTS * OUTPUTS);
    write(&room, "base", &[Tensor::f32("net.q.weight", &[OUTPUTS, INPUTS], &w)]);
    let report = room.json(&["advise", "adapter", "--base", "base", "--storage", "int4"]);
    let advice = &report["layers"][0]["advice"][0];
    let number = |value: &Value| value.as_f64().unwrap();
    let (then, into) = (&advice["merge_then_store"], &advice["into_stored_base"]);
    // Errors that do not depend on the update add `noise` in a random direction: a √n-th of it along the update.
    let chance = number(&then["noise"]) / ((INPUTS * OUTPUTS) as f64).sqrt();
    assert!((number(&then["kept"]) - 1.0).abs() <= 4.0 * chance, "{then}");
    assert!(number(&into["kept"]) < 0.5, "{into}");
    assert!((number(&then["noise"]) / number(&advice["base_noise"]) - 1.0).abs() < 0.01, "{advice}");
    assert_eq!((&then["verdict"], &into["verdict"]), (&json!("survives"), &json!("lost")));

    let text = room.good(&["advise", "adapter", "--base", "base", "--storage", "int4,f32"]);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
    let cells =
        |line: &Vec<&'_ str>| line.iter().filter(|cell| !cell.is_empty()).map(|cell| (*cell).to_owned()).collect();
    let summary: Vec<Vec<String>> = lines[lines.len() - 5..].iter().map(cells).collect();
    assert_eq!(summary[0], ["summary", "survive", "worst layer", "kept", "noise", "base", "verdict"]);
    for (row, expected) in summary[1..].iter().zip([
        ["merge, then store, int4", "1 of 1", "net.q", "survives"],
        ["merge, then store, f32", "1 of 1", "net.q", "survives"],
        ["into a stored base, int4", "0 of 1", "net.q", "lost"],
        ["into a stored base, f32", "1 of 1", "net.q", "survives"],
    ]) {
        assert_eq!([&row[0], &row[1], &row[2], &row[6]], expected, "{text}");
    }
    // Each row has the noise of the base in its own storage.
    assert!(number(&advice["base_noise"]) <= 10.0, "{advice}");
    let percent = |value: &Value| format!("{:.2} %", 100.0 * number(value));
    assert_eq!([&summary[1][5], &summary[3][5]], [&percent(&advice["base_noise"]); 2]);
    assert_eq!([&summary[2][5], &summary[4][5]], ["0.00 %"; 2]);
    // And each layer the length of its update.
    let first: Vec<String> = cells(&lines[2]);
    assert_eq!(first[1], format!("{:.3e}", number(&report["layers"][0]["update_norm"])), "{text}");
}

/// Noise in the direction of an update of which little more is left than that noise is not the update.
#[test]
fn an_update_that_drowns_in_noise_does_not_survive() {
    let (inputs, outputs) = (96, 64);
    for seed in 0..12 {
        let room = Room::new();
        let mut adapter = Peft::empty();
        let mut base = Vec::new();
        // The update, in lengths of the base.
        for (name, length) in [("tiny", 1e-4), ("ordinary", 0.5)] {
            adapter.layer(name, inputs, outputs, 2, Dtype::F32);
            let w = noise(100 + seed, inputs * outputs);
            let (a, b) = (noise(200 + seed, 2 * inputs), noise(300 + seed, outputs * 2));
            let norm = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
            let factor = length * norm(&w) / norm(&merged(&vec![0.0; w.len()], &a, &b, 2, 4.0));
            let b: Vec<f32> = b.iter().map(|value| factor * value).collect();
            adapter = adapter.with(Tensor::f32(&key(name, "lora_A.weight"), &[2, inputs], &a)).with(Tensor::f32(
                &key(name, "lora_B.weight"),
                &[outputs, 2],
                &b,
            ));
            base.push(Tensor::f32(&format!("{name}.weight"), &[outputs, inputs], &w));
        }
        adapter.write(&room.path("adapter"));
        write(&room, "base", &base);
        let report = room.json(&["advise", "adapter", "--base", "base", "--storage", "int8,int4"]);
        for layer in report["layers"].as_array().unwrap() {
            for (number, storage) in ["int8", "int4"].into_iter().enumerate() {
                let verdict = &layer["advice"][number]["merge_then_store"]["verdict"];
                let expected = match (layer["layer"].as_str(), storage) {
                    (Some("tiny"), _) => "lost",
                    (_, "int8") => "survives",
                    (_, _) => "noisy",
                };
                assert_eq!(verdict, expected, "seed {seed}, {storage}: {layer}");
            }
        }
    }
}

/// The summary counts layers by verdict, and names the worst one.
#[test]
fn the_summary_names_the_worst_layer() {
    let room = Room::new();
    let mut adapter = Peft::empty();
    // The more of an update of bf16 is rounded away, the smaller it is.
    let (mut base, names) = (Vec::new(), ["large", "tiny", "small", "none"]);
    for (name, factor) in names.into_iter().zip([1.0, 1e-5, 1e-3, 0.0]) {
        adapter.layer(name, 40, 30, 2, Dtype::F32);
        let b: Vec<f32> = noise(9, 60).iter().map(|value| factor * value).collect();
        adapter = adapter.with(Tensor::f32(&key(name, "lora_B.weight"), &[30, 2], &b));
        base.push(Tensor::new(&format!("{name}.weight"), Dtype::Bf16, &[30, 40], &noise(3, 1200)));
    }
    base[1].bytes[0] ^= 1;
    adapter.write(&room.path("adapter"));
    write(&room, "base", &base);
    let report = room.json(&["advise", "adapter", "--base", "base", "--storage", "bf16,f32"]);
    let find = |situation: &str, storage: &str| {
        let summary = report["summary"].as_array().unwrap();
        summary.iter().find(|entry| entry["situation"] == situation && entry["storage"] == storage).unwrap().clone()
    };
    assert_eq!(report["summary"].as_array().unwrap().len(), 4);
    for situation in ["merge_then_store", "into_stored_base"] {
        let bf16 = find(situation, "bf16");
        assert_eq!((&bf16["worst"], &bf16["verdict"], &bf16["layers"]), (&json!("tiny"), &json!("lost"), &json!(4)));
        let counts = ["survives", "noisy", "lost", "empty"].map(|verdict| bf16[verdict].as_u64().unwrap());
        let mut seen = [0; 4];
        for layer in report["layers"].as_array().unwrap() {
            let verdict = layer["advice"][0][situation]["verdict"].as_str().unwrap();
            seen[["survives", "noisy", "lost", "empty"].iter().position(|name| *name == verdict).unwrap()] += 1;
        }
        assert_eq!((counts, seen[3]), (seen, 1));
        let f32 = find(situation, "f32");
        assert_eq!((&f32["survives"], &f32["empty"], &f32["verdict"]), (&json!(3), &json!(1), &json!("survives")));
    }
}

/// Of two layers with one verdict, the worst is the one of which less is kept; of two that are alike, the first.
#[test]
fn of_equally_bad_layers_the_worst_is_defined() {
    for (factors, expected) in [([1e-5, 1e-4], "a"), ([1e-4, 1e-5], "b"), ([1e-5, 1e-5], "a"), ([0.0, 0.0], "a")] {
        let room = Room::new();
        let (mut adapter, mut base) = (Peft::empty(), Vec::new());
        for (name, factor) in ["a", "b"].into_iter().zip(factors) {
            adapter.layer(name, 40, 30, 2, Dtype::F32);
            for (part, shape, scale) in [("lora_A.weight", [2, 40], 1.0), ("lora_B.weight", [30, 2], factor)] {
                let values: Vec<f32> = noise(9, shape[0] * shape[1]).iter().map(|value| scale * value).collect();
                adapter = adapter.with(Tensor::f32(&key(name, part), &shape, &values));
            }
            base.push(Tensor::new(&format!("{name}.weight"), Dtype::Bf16, &[30, 40], &noise(3, 1200)));
        }
        adapter.write(&room.path("adapter"));
        write(&room, "base", &base);
        let report = room.json(&["advise", "adapter", "--base", "base", "--storage", "bf16"]);
        for (summary, situation) in
            report["summary"].as_array().unwrap().iter().zip(["merge_then_store", "into_stored_base"])
        {
            let entries = [0, 1].map(|layer| &report["layers"][layer]["advice"][0][situation]);
            assert_eq!(entries[0]["verdict"], entries[1]["verdict"], "{factors:?}");
            let differ = entries[0]["kept"] != entries[1]["kept"];
            assert_eq!(differ, factors[0] != factors[1], "{factors:?}");
            assert_eq!(
                (&summary["situation"], &summary["worst"]),
                (&json!(situation), &json!(expected)),
                "{factors:?}"
            );
        }
    }
}

#[test]
fn without_a_base_the_advice_is_about_one_that_is_made_up() {
    let room = Room::new();
    adapter(false).write(&room.path("adapter"));
    let text = room.good(&["advise", "adapter"]);
    assert!(text.contains("The base is made up"), "{text}");
    let report = room.json(&["advise", "adapter", "--storage", "f32"]);
    let number = |value: &Value| value.as_f64().unwrap();
    let (update, kept) = (
        number(&report["layers"][0]["update_norm"]),
        number(&report["layers"][0]["advice"][0]["merge_then_store"]["kept"]),
    );
    // Rows of norm 1, about: what f32 rounds away is at most r + 1 times 2⁻²⁴ of base and update.
    let (base, unit) = (1.1 * (OUTPUTS as f64).sqrt(), f64::from(f32::EPSILON) / 2.0);
    assert!((kept - 1.0).abs() <= (RANK + 1) as f64 * unit * (base + update) / update, "{kept}");
    // Rounding to int8 is off by a uniform part of a step, which is the largest of 32 normal deviates, about 2, over 127.
    let report = room.json(&["advise", "adapter", "--storage", "int8"]);
    let off = number(&report["layers"][0]["advice"][0]["base_noise"]) * update / (OUTPUTS as f64).sqrt();
    assert!((0.5..2.0).contains(&(off / (2.0 / 127.0 / 12f64.sqrt()))), "{off}");
    // Equal layers do not have equal bases.
    let mut twins = Peft::empty();
    ["p", "q"].iter().for_each(|name| twins.layer(name, 4, 3, 2, Dtype::F32));
    for (part, shape) in [("lora_A.weight", [2, 4]), ("lora_B.weight", [3, 2])] {
        twins = twins.clone().with(Tensor::f32(&key("q", part), &shape, &twins.tensor(&key("p", part)).values()));
    }
    twins.write(&room.path("twins"));
    let report = room.json(&["advise", "twins", "--storage", "int4"]);
    assert_eq!(report["layers"][0]["update_norm"], report["layers"][1]["update_norm"]);
    assert_ne!(report["layers"][0]["advice"], report["layers"][1]["advice"]);
    let zero =
        adapter(false).with(Tensor::f32(&key("net.q", "lora_B.weight"), &[OUTPUTS, RANK], &vec![0.0; OUTPUTS * RANK]));
    zero.write(&room.path("zero"));
    let report = room.json(&["advise", "zero", "--storage", "int4"]);
    for situation in ["merge_then_store", "into_stored_base"] {
        let advice = &report["layers"][0]["advice"][0][situation];
        assert_eq!((&advice["kept"], &advice["verdict"]), (&Value::Null, &json!("empty")));
    }
}

#[test]
fn a_thousand_merges_leave_the_base_alone() {
    let room = Room::new();
    Peft::new().write(&room.path("adapter"));
    let base =
        [Tensor::f32("net.q.weight", &[3, 4], &noise(1, 12)), Tensor::f32("net.v.weight", &[5, 4], &noise(2, 20))];
    write(&room, "base", &base);
    let before = std::fs::read(room.path("base")).unwrap();
    let mut first = Vec::new();
    for cycle in 0..1000 {
        let out = format!("out-{cycle}");
        room.good(&["merge", "adapter", "base", &out]);
        let merged = std::fs::read(room.path(&out)).unwrap();
        std::fs::remove_file(room.path(&out)).unwrap();
        assert_eq!(std::fs::read(room.path("base")).unwrap(), before, "cycle {cycle}");
        if cycle == 0 {
            assert_ne!(merged, before);
            first = merged;
        } else {
            assert_eq!(merged, first, "cycle {cycle}");
        }
    }
}
