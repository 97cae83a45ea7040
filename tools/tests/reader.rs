//! What the reader of PEFT adapters reads.

mod support;

use lowrank::{Dtype, Scale};
use lowrank_tools::peft;
use serde_json::{Value, json};
use support::{Peft, Tensor, key, noise, safetensors};

#[test]
fn layers_come_in_the_order_of_their_names_with_their_bytes() {
    let mut adapter = Peft::empty();
    adapter.layer("b", 4, 3, 2, Dtype::F32);
    adapter.layer("a.z", 5, 6, 2, Dtype::F16);
    adapter.layer("a", 2, 2, 2, Dtype::Bf16);
    adapter.read(|read| {
        let read = read.unwrap();
        let names: Vec<_> = read.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["a", "a.z", "b"]);
        for (layer, dtype) in read.entries().iter().zip([Dtype::Bf16, Dtype::F16, Dtype::F32]) {
            for (tensor, part) in [(layer.a, "lora_A.weight"), (layer.b, "lora_B.weight")] {
                let stored = adapter.tensor(&key(layer.name, part));
                assert_eq!((tensor.dtype(), vec![tensor.rows(), tensor.cols()]), (dtype, stored.shape.clone()));
                assert_eq!(tensor.bytes().unwrap(), stored.bytes);
            }
        }
    });
}

/// Scales of the layers `net.q` and `net.v`.
fn scales(peft: &Peft) -> Vec<Scale> {
    peft.read(|read| read.unwrap().layers.iter().map(|layer| layer.scale).collect())
}

#[test]
fn the_scale_follows_from_alpha_and_the_first_pattern_that_matches() {
    let peft = Peft::new();
    assert_eq!(scales(&peft), [Scale::Alpha(8.0); 2]);
    let stabilized = peft.clone().set("use_rslora", json!(true)).set("lora_alpha", json!(3.5));
    assert_eq!(scales(&stabilized), [Scale::RankStabilized(3.5); 2]);
    let pattern = peft.clone().set("alpha_pattern", json!({ "net.q": 1, "q": 2, ".*": 3 }));
    assert_eq!(scales(&pattern), [Scale::Alpha(1.0), Scale::Alpha(3.0)]);
    let other_order = peft.clone().set("alpha_pattern", json!({ "q": 2, "net.q": 1 }));
    assert_eq!(scales(&other_order), [Scale::Alpha(2.0), Scale::Alpha(8.0)]);
    // 0.1 is no number of 32 bits: the factor is computed in 64 bits and rounded once.
    let inexact = peft.clone().set("lora_alpha", json!(0.1));
    assert_eq!(scales(&inexact), [Scale::Direct((0.1f64 / 2.0) as f32); 2]);
    let inexact = inexact.set("use_rslora", json!(true));
    assert_eq!(scales(&inexact), [Scale::Direct((0.1f64 / 2f64.sqrt()) as f32); 2]);
    let mut defaults = peft;
    defaults.fields.remove("lora_alpha");
    assert_eq!(scales(&defaults), [Scale::Alpha(8.0); 2]);
}

/// A weight of the base beside an adapter of the head, as PEFT saves it: it is left out, with a word.
#[test]
fn the_weight_of_the_base_is_left_out() {
    let name = key("net.q", "base_layer.weight");
    let saved = Peft::new().with(Tensor::f32(&name, &[3, 4], &noise(5, 12)));
    saved.read(|read| {
        let read = read.unwrap();
        assert_eq!(read.layers.len(), 2);
        assert!(read.warnings.len() == 1 && read.warnings[0].contains(&name), "{:?}", read.warnings);
    });
    // [in, out] with fan_in_fan_out; anything else is the weight of another base.
    saved.clone().set("fan_in_fan_out", json!(true)).read(|read| {
        assert!(matches!(read, Err(peft::PeftError::Shape { tensor, .. }) if tensor == name));
    });
    let turned = Peft::new().with(Tensor::f32(&name, &[4, 3], &noise(5, 12)));
    turned.clone().set("fan_in_fan_out", json!(true)).read(|read| read.map(drop)).unwrap();
    turned.read(|read| assert!(matches!(read, Err(peft::PeftError::Shape { tensor, .. }) if tensor == name)));
}

#[test]
fn the_rank_is_that_of_the_first_pattern_that_matches() {
    let mut adapter = Peft::empty().set("rank_pattern", json!({ r"blocks\.[12]\.q": 3, "q": 1 }));
    for (layer, rank) in [("blocks.0.q", 1), ("blocks.1.q", 3), ("blocks.1.v", 2), ("x.blocks.2.q", 3)] {
        adapter.layer(layer, 4, 4, rank, Dtype::F32);
    }
    adapter.read(|read| {
        let ranks: Vec<_> = read.unwrap().entries().iter().map(|layer| layer.shape().rank).collect();
        assert_eq!(ranks, [1, 3, 2, 3]);
    });
}

#[test]
fn biases_and_settings_reach_the_layers() {
    let adapter = Peft::new()
        .set("bias", json!("lora_only"))
        .set("lora_bias", json!(true))
        .set("fan_in_fan_out", json!(true))
        .set("lora_dropout", json!(0.1))
        .with(Tensor::f32(&key("net.q", "base_layer.bias"), &[3], &noise(7, 3)))
        .with(Tensor::new(&key("net.q", "lora_B.bias"), Dtype::F16, &[3], &noise(8, 3)))
        .with(Tensor::f32(&key("net.v", "lora_B.bias"), &[5], &noise(9, 5)));
    adapter.read(|read| {
        let read = read.unwrap();
        let [q, v] = read.entries()[..] else { panic!("not two layers") };
        assert_eq!(q.bias.unwrap().bytes().unwrap(), adapter.tensor(&key("net.q", "base_layer.bias")).bytes);
        assert_eq!(q.b_bias.unwrap().bytes().unwrap(), adapter.tensor(&key("net.q", "lora_B.bias")).bytes);
        assert_eq!(q.b_bias.unwrap().dtype(), Dtype::F16);
        // A layer whose base has no bias.
        assert!(v.bias.is_none() && v.b_bias.is_some());
        assert!(q.fan_in_fan_out && v.fan_in_fan_out);
        assert_eq!(q.random.dropout, 0.1);
    });
}

/// What is written is what was read: every byte of the tensor file and every field.
#[test]
fn writing_is_the_inverse_of_reading() {
    let mut adapter = Peft::new()
        .set("rank_pattern", json!({ "^a": 1 }))
        .set("alpha_pattern", json!({ "v": 0.1, "q": 4 }))
        .set("task_type", json!(null))
        .set("peft_version", json!("0.21.2"));
    adapter.layer("a", 3, 3, 1, Dtype::Bf16);
    let (config, tensors) = (adapter.config(), safetensors(&adapter.tensors));
    let read = peft::read(&config, &tensors).unwrap();
    let written = peft::write(&read.entries(), Some(&read.config)).unwrap();
    assert_eq!(written.tensors, tensors);
    let fields: Value = serde_json::from_str(&written.config).unwrap();
    assert_eq!(fields, Value::Object(adapter.fields.clone()));
}

/// A configuration made from the layers says the same about each of them as the one they came with.
#[test]
fn a_configuration_made_from_the_layers_agrees_with_them() {
    let mut plain = Peft::new()
        .set("rank_pattern", json!({ "a.q": 1 }))
        .set("alpha_pattern", json!({ "net.v": 0.1, "^q": 5 }))
        .set("lora_dropout", json!(0.05))
        .set("fan_in_fan_out", json!(true))
        .set("bias", json!("lora_only"))
        .with(Tensor::f32(&key("net.q", "base_layer.bias"), &[3], &noise(7, 3)));
    plain.layer("a.q", 3, 3, 1, Dtype::F32);
    plain.layer("q", 3, 3, 2, Dtype::F32);
    let stabilized = Peft::new().set("use_rslora", json!(true)).set("alpha_pattern", json!({ "q": 3 }));
    let inexact = stabilized.clone().set("alpha_pattern", json!({ "q": 0.3 }));
    for adapter in [plain, stabilized, inexact] {
        let (config, tensors) = (adapter.config(), safetensors(&adapter.tensors));
        let read = peft::read(&config, &tensors).unwrap();
        let written = peft::write(&read.entries(), None).unwrap();
        assert_eq!(written.tensors, tensors);
        let again = peft::read(written.config.as_bytes(), &written.tensors).unwrap();
        for (old, new) in read.entries().iter().zip(again.entries()) {
            let rank = old.shape().rank;
            assert_eq!(old.scale.factor(rank).to_bits(), new.scale.factor(rank).to_bits(), "{}", old.name);
            assert_eq!((old.random.dropout, old.fan_in_fan_out), (new.random.dropout, new.fan_in_fan_out));
        }
        // And PEFT would accept it with the layers that come from it.
        peft::write(&again.entries(), Some(&again.config)).unwrap();
    }
}

#[test]
fn a_configuration_that_disagrees_with_a_layer_is_refused() {
    let adapter = Peft::new();
    let (config, tensors) = (adapter.config(), safetensors(&adapter.tensors));
    let read = peft::read(&config, &tensors).unwrap();
    for (field, value, said) in [
        ("r", json!(3), "rank"),
        ("lora_alpha", json!(9), "scale"),
        ("lora_dropout", json!(0.5), "dropout"),
        ("fan_in_fan_out", json!(true), "fan_in_fan_out"),
        ("lora_bias", json!(true), "a bias of B"),
    ] {
        let other = peft::Config::parse(&adapter.clone().set(field, value).config()).unwrap();
        let error = peft::write(&read.entries(), Some(&other)).unwrap_err();
        assert!(matches!(&error, peft::PeftError::Disagreement { field, .. } if *field == said), "{error}");
    }
    let mut entries = read.entries();
    entries[1].fan_in_fan_out = true;
    let error = peft::write(&entries, None).unwrap_err();
    assert!(matches!(error, peft::PeftError::Mixed { field: "fan_in_fan_out", .. }), "{error}");
    assert!(matches!(peft::write(&[], None), Err(peft::PeftError::NoLayers)));
}
