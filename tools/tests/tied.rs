//! Tensors that a base has under two names are not merged into without a word.

mod support;

use lowrank::Dtype;
use serde_json::{Value, json};
use support::{Peft, Room, Tensor, key, noise};

/// A base with an output layer and an embedding, of these names and numbers.
fn ends(head: &str, embedding: Option<(&str, u64)>, metadata: Value) -> Vec<u8> {
    let mut tensors = vec![Tensor::f32(head, &[5, 4], &noise(7, 20)), Tensor::f32("other", &[5, 4], &noise(9, 20))];
    tensors.extend(embedding.map(|(name, seed)| Tensor::f32(name, &[5, 4], &noise(seed, 20))));
    with_metadata(&tensors, metadata)
}

fn with_metadata(tensors: &[Tensor], metadata: Value) -> Vec<u8> {
    let bytes = support::safetensors(tensors);
    let (header, data) = bytes[8..].split_at(u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    header["__metadata__"] = metadata;
    let header = header.to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes(), &header[..], data].concat()
}

#[test]
fn tied_weights_are_refused() {
    let plain = || json!({ "format": "pt" });
    let (tied, untied) = (json!({ "tie_word_embeddings": true }), json!({ "tie_word_embeddings": false }));
    let nested = json!({ "text_config": { "tie_word_embeddings": true } });
    let embedding = |seed| Some(("model.embed_tokens.weight", seed));
    let by_header = json!({ "format": "pt", "model.embed_tokens.weight": "lm_head.weight" });
    for (layer, base, config, refused) in [
        // `safetensors` keeps one of the names of a tensor, and says so.
        ("lm_head", ends("lm_head.weight", None, by_header), None, Some("`model.embed_tokens.weight`, by the header")),
        // A copy under another name.
        ("lm_head", ends("lm_head.weight", embedding(7), plain()), None, Some("which holds the same numbers")),
        ("decoder", ends("decoder.weight", Some(("encoder.weight", 7)), plain()), None, Some("`encoder.weight`")),
        ("lm_head", ends("lm_head.weight", embedding(8), plain()), None, None),
        // A name that stands for itself.
        ("lm_head", ends("lm_head.weight", None, json!({ "lm_head.weight": "lm_head.weight" })), None, None),
        ("lm_head", ends("lm_head.weight", embedding(7), plain()), Some(&untied), None),
        (
            "decoder",
            ends("decoder.weight", Some(("encoder.weight", 7)), plain()),
            Some(&untied),
            Some("`encoder.weight`"),
        ),
        // The configuration of the model.
        ("lm_head", ends("lm_head.weight", None, plain()), Some(&tied), Some("tie_word_embeddings")),
        ("lm_head", ends("lm_head.weight", embedding(8), plain()), Some(&nested), Some("tie_word_embeddings")),
        ("transformer.wte", ends("transformer.wte.weight", None, plain()), Some(&tied), Some("tie_word_embeddings")),
        ("net.q", ends("net.q.weight", None, plain()), Some(&tied), None),
        ("lm_head", ends("lm_head.weight", None, plain()), None, None),
    ] {
        let room = Room::new();
        let mut adapter = Peft::empty();
        adapter.layer(layer, 4, 5, 2, Dtype::F32);
        adapter.write(&room.path("adapter"));
        std::fs::write(room.path("base"), base).unwrap();
        if let Some(config) = config {
            std::fs::write(room.path("config.json"), config.to_string()).unwrap();
        }
        let arguments = ["merge", "adapter", "base", "out"];
        let advice = room.good(&["advise", "adapter", "--base", "base"]);
        let report = room.json(&["advise", "adapter", "--base", "base"]);
        match refused {
            None => {
                room.good(&arguments);
                assert!(!advice.contains("Note:"), "{advice}");
                assert_eq!(report["tied"], json!([]));
            }
            Some(expected) => {
                let note = advice.lines().last().unwrap();
                assert!(note.starts_with("Note: the tensor") && note.contains(expected), "{note}");
                assert_eq!(report["tied"][0]["layer"], layer);
                assert_eq!(report["tied"].as_array().unwrap().len(), 1);
                let error = room.bad(&arguments);
                for text in [expected, "tied weights", "--tied", &format!("layer `{layer}`")] {
                    assert!(error.contains(text), "{text:?} is not in {error:?}");
                }
                assert!(!room.path("out").exists());
                room.good(&[&arguments[..], &["--tied"]].concat());
            }
        }
    }
}

/// A configuration that is there but is not understood may tie the head and the embedding.
#[test]
fn a_configuration_that_is_not_understood_is_not_ignored() {
    const UNTIED: &str = r#""tie_word_embeddings": false"#;
    for (config, flaw, refused) in [
        ("\u{feff}{\"tie_word_embeddings\": true}", Some("expected an object of JSON"), true),
        (r#"{"tie_word_embeddings": true,}"#, Some("expected an object of JSON"), true),
        ("", Some("expected an object of JSON"), true),
        ("[]", Some("expected an object of JSON"), true),
        (r#"{"tie_word_embeddings": "true"}"#, Some("tie_word_embeddings, got a text"), true),
        (r#"{"tie_word_embeddings": 1}"#, Some("tie_word_embeddings, got a number"), true),
        (r#"{"text_config": "llama"}"#, Some("text_config, got a text"), true),
        (r#"{"text_config": {"tie_word_embeddings": []}}"#, Some("tie_word_embeddings, got a list"), true),
        // What else is understood stays known.
        (r#"{"tie_word_embeddings": true, "model_type": 7}"#, Some("model_type, got a number"), true),
        (r#"{"tie_word_embeddings": true, "text_config": 7}"#, Some("text_config, got a number"), true),
        (&format!(r#"{{{UNTIED}, "text_config": 7}}"#), Some("text_config, got a number"), true),
        (&format!(r#"{{{UNTIED}, "model_type": 7}}"#), Some("model_type, got a number"), false),
        // Of a key that stands there twice, the last counts, as in Python.
        (&format!(r#"{{{UNTIED}, "tie_word_embeddings": true}}"#), None, true),
        (&format!(r#"{{"tie_word_embeddings": true, {UNTIED}}}"#), None, false),
        (&format!(r#"{{{UNTIED}, "text_config": {{"tie_word_embeddings": true}}}}"#), None, true),
        (&format!(r#"{{"tie_word_embeddings": true, "text_config": {{{UNTIED}}}}}"#), None, true),
        (r#"{"tie_word_embeddings": null, "model_type": null, "text_config": null}"#, None, false),
    ] {
        let room = Room::new();
        for layer in ["lm_head", "net"] {
            let mut adapter = Peft::empty();
            adapter.layer(layer, 4, 5, 2, Dtype::F32);
            adapter.write(&room.path(layer));
            let metadata = json!({ "format": "pt" });
            let base = ends(&format!("{layer}.weight"), Some(("model.embed_tokens.weight", 8)), metadata);
            std::fs::write(room.path("base"), base).unwrap();
            std::fs::write(room.path("config.json"), config).unwrap();
            let output = room.lowrank(&["merge", layer, "base", "out"]);
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), !refused || layer == "net", "{config}: {error}");
            assert_eq!(room.path("out").exists(), output.status.success(), "{config}");
            match flaw {
                Some(flaw) => {
                    let warnings = error.lines().filter(|line| line.starts_with("warning: ") && line.contains(flaw));
                    assert_eq!(warnings.count(), 1, "{config}: {flaw:?} is not in {error:?}");
                    assert!(error.contains("config.json"), "{error}");
                }
                None => assert!(!error.contains("warning"), "{config}: {error}"),
            }
            if !output.status.success() {
                assert!(error.contains("tied weights"), "{error}");
                let output = room.lowrank(&["merge", layer, "base", "out", "--tied"]);
                assert!(output.status.success(), "{config}");
            }
            std::fs::remove_file(room.path("out")).unwrap();
        }
    }
}

/// Biases have second names as weights have.
#[test]
fn tied_biases_are_refused_where_they_change() {
    let changing = |kind: &str| {
        let mut adapter = Peft::empty();
        adapter.layer("q", 4, 3, 2, Dtype::F32);
        match kind {
            "bias of B" => {
                adapter.set("lora_bias", json!(true)).with(Tensor::f32(&key("q", "lora_B.bias"), &[3], &noise(4, 3)))
            }
            "trained" => adapter.set("bias", json!("lora_only")).with(Tensor::f32(
                &key("q", "base_layer.bias"),
                &[3],
                &noise(5, 3),
            )),
            _ => adapter,
        }
    };
    let bias = |name: &str, values: &[f32]| Tensor::f32(name, &[3], values);
    let own = noise(6, 3);
    for (kind, second, by_header, expected) in [
        ("bias of B", None, true, Some("`x.bias`, by the header")),
        ("trained", None, true, Some("`x.bias`, by the header")),
        ("bias of B", Some(&own[..]), false, Some("`x.bias`, which holds the same numbers")),
        ("trained", Some(&own[..]), false, Some("`x.bias`, which holds the same numbers")),
        ("trained", Some(&[1.0, 2.0, 3.0][..]), false, None),
        // Nothing happens to this bias.
        ("none", Some(&own[..]), true, None),
    ] {
        let room = Room::new();
        changing(kind).write(&room.path("adapter"));
        let mut tensors = vec![Tensor::f32("q.weight", &[3, 4], &noise(7, 12)), bias("q.bias", &own)];
        tensors.extend(second.map(|values| bias("x.bias", values)));
        let metadata = if by_header { json!({ "x.bias": "q.bias" }) } else { json!({ "format": "pt" }) };
        std::fs::write(room.path("base"), with_metadata(&tensors, metadata)).unwrap();
        let merge = ["merge", "adapter", "base", "out"];
        let advice = room.good(&["advise", "adapter", "--base", "base"]);
        match expected {
            None => {
                room.good(&merge);
                assert!(!advice.contains("Note:"), "{advice}");
            }
            Some(expected) => {
                let error = room.bad(&merge);
                for text in [expected, "`q.bias`", "--tied"] {
                    assert!(error.contains(text), "{kind}: {text:?} is not in {error:?}");
                }
                assert!(advice.contains(expected), "{advice}");
                room.good(&[&merge[..], &["--tied"]].concat());
            }
        }
    }
}

/// Elements that are compared at a time, of 512·1030 in all.
const PIECE: usize = 1 << 18;

/// Tensors that are equal in all elements look alike by chance; a long one differs only far behind its start.
#[test]
fn tensors_that_only_look_alike_are_not_tied() {
    let room = Room::new();
    let mut adapter = Peft::empty();
    adapter.layer("q", 512, 1030, 2, Dtype::F32);
    adapter.write(&room.path("adapter"));
    let weights = noise(4, 512 * 1030);
    let other = |at: Option<usize>| {
        let mut weights = weights.clone();
        at.into_iter().for_each(|at| weights[at] += 1.0);
        [("q.weight", self::weights(&noise(4, 512 * 1030))), ("k.weight", self::weights(&weights))]
    };
    let alike = |parts: &[&[f32]]| ["q.weight", "k.weight"].map(|name| (name, self::weights(&parts.concat())));
    for (tensors, tied) in [
        (other(None), true),
        (other(Some(0)), false),
        (other(Some(512 * 1030 - 1)), false),
        // Not all elements are equal, although those of the last bytes are, or those of every part.
        (alike(&[&noise(4, PIECE), &[0.5; 512 * 1030 - PIECE]]), true),
        (alike(&[&[0.5; 512 * 1030 - 1], &[0.25]]), true),
        (alike(&[&[0.5; PIECE], &[0.25; PIECE], &[0.5; 512 * 1030 - 2 * PIECE]]), true),
        ([("q.weight", self::weights(&[0.5; 512 * 1030])), ("k.weight", self::weights(&[0.5; 512 * 1030]))], false),
    ] {
        let tensors = tensors.map(|(name, tensor)| Tensor { name: name.into(), ..tensor });
        std::fs::write(room.path("base"), support::safetensors(&tensors)).unwrap();
        assert_eq!(room.lowrank(&["merge", "adapter", "base", "out"]).status.success(), !tied);
        let _ = std::fs::remove_file(room.path("out"));
    }
}

fn weights(values: &[f32]) -> Tensor {
    Tensor::f32("", &[1030, 512], values)
}
