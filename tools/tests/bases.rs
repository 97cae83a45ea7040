//! A merge is of the base that the adapter was trained on: its layout, its fingerprint, its tied weights.

mod support;

use lowrank::Dtype;
use serde_json::{Value, json};
use support::{Peft, Room, Tensor, key, load, noise};

/// Layers of both layouts, square and not: name, sides as stored, and whether that is `[in, out]`.
const CONV1D: [(&str, [usize; 2], bool); 5] = [
    ("h.0.attn.c_attn", [4, 12], true),
    ("h.0.attn.c_proj", [4, 4], true),
    ("h.0.mlp.c_fc", [4, 16], true),
    ("h.0.mlp.gate", [4, 4], false),
    ("lm_head", [9, 4], false),
];

/// An adapter for some of the layers, whose flag is the given one, and the base.
fn mixture(room: &Room, names: &[&str], flag: bool) -> Peft {
    let mut adapter = Peft::empty().set("fan_in_fan_out", json!(flag));
    let mut base = Vec::new();
    for (number, (name, stored, turned)) in CONV1D.into_iter().enumerate() {
        base.push(Tensor::f32(&format!("{name}.weight"), &stored, &noise(90 + number as u64, stored[0] * stored[1])));
        if names.contains(&name) {
            let [inputs, outputs] = if turned { stored } else { [stored[1], stored[0]] };
            adapter.layer(name, inputs, outputs, 2, Dtype::F32);
        }
    }
    let _ = std::fs::remove_dir_all(room.path("adapter"));
    adapter.write(&room.path("adapter"));
    std::fs::write(room.path("base"), support::safetensors(&base)).unwrap();
    adapter
}

/// Checks every layer of a merged model: `W'[o, i] = W[o, i] + 4·Σ B[o, k]·A[k, i]`, to a few roundings.
fn assert_merged(room: &Room, adapter: &Peft, out: &str) {
    let (base, out) = (load(&room.path("base")), load(&room.path(out)));
    let find = |tensors: &[Tensor], name: &str| tensors.iter().find(|tensor| tensor.name == name).unwrap().values();
    for (name, [_, cols], turned) in CONV1D {
        let weight = format!("{name}.weight");
        let (before, after) = (find(&base, &weight), find(&out, &weight));
        let parts = ["lora_A.weight", "lora_B.weight"].map(|part| key(name, part));
        if !adapter.tensors.iter().any(|tensor| tensor.name == parts[0]) {
            assert_eq!(before, after, "{name}");
            continue;
        }
        let [a, b] = parts.map(|part| adapter.tensor(&part).values());
        let inputs = a.len() / 2;
        for (at, (before, after)) in before.iter().zip(&after).enumerate() {
            let (row, col) = (at / cols, at % cols);
            let (o, i) = if turned { (col, row) } else { (row, col) };
            let update = 4.0 * (b[2 * o] * a[i] + b[2 * o + 1] * a[inputs + i]);
            assert!(
                (after - before - update).abs() < 1e-5,
                "{name} at {at}: {before} became {after}, not {update} more"
            );
        }
    }
}

/// Commands that read an adapter and a base that has to be understood.
const MERGING: [&[&str]; 3] = [
    &["merge", "adapter", "base", "out"],
    &["advise", "adapter", "--base", "base"],
    &["convert", "adapter", "out", "--to", "file", "--fingerprint", "base"],
];

#[test]
fn where_the_shape_tells_the_layout_the_flag_does_not_count() {
    let names = ["h.0.attn.c_attn", "h.0.mlp.c_fc", "lm_head"];
    for flag in [false, true] {
        let room = Room::new();
        let adapter = mixture(&room, &names, flag);
        let report = room.json(MERGING[0]);
        let layouts: Vec<&Value> = report["layers"].as_array().unwrap().iter().map(|layer| &layer["layout"]).collect();
        assert_eq!(layouts, [&json!("in-out"), &json!("in-out"), &json!("out-in")]);
        assert_merged(&room, &adapter, "out");
    }
}

#[test]
fn where_nothing_tells_the_layout_the_command_asks() {
    let all: Vec<&str> = CONV1D.iter().map(|layer| layer.0).collect();
    for names in [&all[..], &["h.0.attn.c_proj", "lm_head"], &["h.0.attn.c_proj", "h.0.mlp.gate"], &all[..2]] {
        for flag in [false, true] {
            let room = Room::new();
            let adapter = mixture(&room, names, flag);
            room.good(&["convert", "adapter", "packed", "--strip"]);
            // Only shapes are compared, which fit either way round.
            let text = room.good(&["verify", "adapter", "--base", "base"]);
            assert!(
                text.starts_with("adapter: good, ") && text.ends_with(&format!("; {}\n", support::NO_BASE)),
                "{text}"
            );
            let before = room.names();
            for command in MERGING {
                let from_file = command.iter().map(|&word| if word == "adapter" { "packed" } else { word }).collect();
                for arguments in [command.to_vec(), from_file] {
                    let error = room.bad(&arguments);
                    let saved = format!("fan_in_fan_out={flag}");
                    let expected = ["layer `h.0.attn.c_proj`", "square", &saved, "--layout in-out", "--layout out-in"];
                    expected.iter().for_each(|text| assert!(error.contains(text), "{text:?} is not in {error:?}"));
                    assert_eq!(room.names(), before);
                }
            }
            // Of square layers that are alike, one word is enough; others have a name, or the end of one.
            let mut told = vec!["--layout", "in-out"];
            if names.contains(&"h.0.mlp.gate") {
                told.extend(["--layout", "mlp.gate=out-in"]);
            }
            let merge = |command: &[&str]| {
                let output = room.lowrank(&[command, &told].concat());
                let errors = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(0), "{errors}");
                // Here the only layer whose shape tells is `lm_head`, and it is stored the other way round.
                assert_eq!(errors.contains("warning:"), names[1] == "lm_head", "{errors}");
            };
            merge(MERGING[0]);
            assert_merged(&room, &adapter, "out");
            merge(&["merge", "packed", "base", "out-2"]);
            assert_merged(&room, &adapter, "out-2");
        }
    }
}

/// The word for all layers wins, and a layer of the base that has it otherwise is named.
#[test]
fn a_layout_for_all_that_another_layer_contradicts_is_warned_of() {
    let room = Room::new();
    let layers = [("a", [4, 4]), ("b", [5, 4]), ("c", [4, 6])];
    let base =
        layers.map(|(name, shape)| Tensor::f32(&format!("{name}.weight"), &shape, &noise(3, shape[0] * shape[1])));
    std::fs::write(room.path("base"), support::safetensors(&base)).unwrap();
    let warning = |told: &str, other: &str, shape: &str| {
        format!(
            "warning: layer `a` is square and taken as {told} by --layout, but layer `{other}` of this base is {shape} \
             by its shape\n"
        )
    };
    // Layers of the adapter: in `b` the base has [out, in], in `c` it has [in, out].
    for (number, (names, told, expected)) in [
        (&["a", "b"][..], &["--layout", "in-out"][..], Some(warning("[in, out]", "b", "[out, in]"))),
        (&["a", "b"], &["--layout", "out-in"], None),
        (&["a", "c"], &["--layout", "out-in"], Some(warning("[out, in]", "c", "[in, out]"))),
        (&["a", "c"], &["--layout", "in-out"], None),
        // One layer each way: the base is mixed.
        (&["a", "b", "c"], &["--layout", "in-out"], None),
        (&["a", "b"], &["--layout", "a=in-out"], None),
        (&["a"], &["--layout", "in-out"], None),
    ]
    .into_iter()
    .enumerate()
    {
        let [adapter, out] = ["adapter", "out"].map(|what| format!("{what}-{number}"));
        let mut peft = Peft::empty();
        for name in names {
            let [inputs, outputs] = if *name == "b" {
                [4, 5]
            } else if *name == "c" {
                [4, 6]
            } else {
                [4, 4]
            };
            peft.layer(name, inputs, outputs, 2, Dtype::F32);
        }
        peft.write(&room.path(&adapter));
        let output = room.lowrank(&[&["merge", &adapter, "base", &out], told].concat());
        assert_eq!(output.status.code(), Some(0));
        let errors = String::from_utf8(output.stderr).unwrap();
        let note = format!("note: {}\n", support::NO_BASE);
        assert_eq!(errors, format!("{}{note}", expected.unwrap_or_default()), "{names:?} {told:?}");
    }
}

#[test]
fn flags_that_were_set_layer_by_layer_count() {
    // PEFT saves the flag of the last module, and here there is no other.
    for (name, flag) in [("h.0.attn.c_proj", true), ("h.0.mlp.gate", false)] {
        let room = Room::new();
        let adapter = mixture(&room, &[name], flag);
        room.good(MERGING[0]);
        assert_merged(&room, &adapter, "out");
    }
    // A file has a flag for each layer; where they differ, somebody has set them so.
    let room = Room::new();
    let adapter = mixture(&room, &["h.0.attn.c_proj", "h.0.mlp.gate"], false);
    room.good(&["convert", "adapter", "packed"]);
    let bytes = std::fs::read(room.path("packed")).unwrap();
    let file = lowrank::format::AdapterFile::parse(&bytes).unwrap();
    let mut entries: Vec<_> = file.entries().collect();
    entries[0].fan_in_fan_out = true;
    let contents = lowrank::format::Contents { entries: &entries, metadata: "", fingerprint: 0, generation: 0 };
    let mut bytes = vec![0; contents.encoded_len().unwrap()];
    contents.emit(&mut bytes).unwrap();
    std::fs::write(room.path("device"), bytes).unwrap();
    room.good(&["merge", "device", "base", "out"]);
    assert_merged(&room, &adapter, "out");
}

#[test]
fn a_known_model_beside_the_base_tells_the_layout() {
    let room = Room::new();
    let gpt2 = ["h.0.attn.c_attn", "h.0.attn.c_proj", "lm_head"];
    let adapter = mixture(&room, &gpt2, false);
    let config = |config: Value| std::fs::write(room.path("config.json"), config.to_string()).unwrap();
    for (model, good) in [
        (json!({ "model_type": "gpt2" }), true),
        (json!({ "model_type": "gpt2", "auto_map": { "AutoModel": "code.Mine" } }), false),
        (json!({ "model_type": "of-tomorrow" }), false),
        // All of its layers are nn.Linear, and `c_attn` is not: the configuration is that of another model.
        (json!({ "model_type": "llama" }), false),
        (json!([]), false),
        (json!({ "model_type": 7 }), false),
    ] {
        config(model.clone());
        let output = room.lowrank(MERGING[0]);
        assert_eq!(output.status.success(), good, "{model}");
        if good {
            assert_merged(&room, &adapter, "out");
            std::fs::remove_file(room.path("out")).unwrap();
        }
    }
    // What somebody says counts more.
    config(json!({ "model_type": "gpt2" }));
    let report = room.json(&[MERGING[0], &["--layout", "out-in"]].concat());
    let layouts = report["layers"].as_array().unwrap().iter().map(|layer| layer["layout"].as_str().unwrap());
    assert_eq!(layouts.collect::<Vec<_>>(), ["in-out", "out-in", "out-in"]);
    std::fs::remove_file(room.path("out")).unwrap();
    let linear = mixture(&room, &["h.0.mlp.gate", "lm_head"], true);
    config(json!({ "model_type": "llama" }));
    room.good(MERGING[0]);
    assert_merged(&room, &linear, "out");
}

#[test]
fn what_is_said_about_layouts_has_to_fit() {
    let room = Room::new();
    mixture(&room, &["h.0.attn.c_attn", "h.0.attn.c_proj"], true);
    for (told, expected) in [
        ("c_attn=out-in", "expected the shape [12, 4]"),
        ("nothing=out-in", "no layer has the name `nothing`"),
        ("proj=out-in", "no layer has the name `proj`"),
    ] {
        let error = room.bad(&["merge", "adapter", "base", "out", "--layout", "in-out", "--layout", told]);
        assert!(error.contains(expected), "{error}");
    }
    // Two words for one layer, or for all; the same word twice is one.
    for (told, expected) in [
        (["c_proj=in-out", "c_proj=out-in"], "--layout: `c_proj` is given as in-out and as out-in"),
        (["c_proj=out-in", "c_proj=in-out"], "--layout: `c_proj` is given as out-in and as in-out"),
        (["in-out", "out-in"], "--layout: the layout of all layers is given as in-out and as out-in"),
    ] {
        let error = room.bad(&["merge", "adapter", "base", "out", "--layout", told[0], "--layout", told[1]]);
        assert!(error.contains(expected), "{error}");
        assert!(!room.path("out").exists());
    }
    room.good(&["merge", "adapter", "base", "same", "--layout", "c_proj=in-out", "--layout", "c_proj=in-out"]);
    let output = room.lowrank(&["merge", "adapter", "base", "out", "--layout", "sideways"]);
    assert_eq!(output.status.code(), Some(2));
    // The most exact name counts, wherever it stands.
    let exact = ["--layout", "h.0.attn.c_proj=in-out", "--layout", "c_proj=out-in", "--layout", "out-in"];
    let report = room.json(&[&["merge", "adapter", "base", "out"], &exact[..]].concat());
    assert_eq!(report["layers"][1]["layout"], "in-out");
}

/// One number is the same both ways round, so nobody is asked.
#[test]
fn a_weight_of_one_element_has_no_layout() {
    let room = Room::new();
    let mut adapter = Peft::empty();
    ["p", "q"].iter().for_each(|name| adapter.layer(name, 1, 1, 2, Dtype::F32));
    adapter.write(&room.path("adapter"));
    let base = ["p.weight", "q.weight"].map(|name| Tensor::f32(name, &[1, 1], &[0.5]));
    std::fs::write(room.path("base"), support::safetensors(&base)).unwrap();
    room.good(MERGING[0]);
}

/// The question counts the layers that it is about.
#[test]
fn the_question_about_layouts_counts_the_layers() {
    for (others, expected) in [(1, "layer `q0` and another one: "), (2, "layer `q0` and 2 others: ")] {
        let room = Room::new();
        let names: Vec<String> = (0..=others).map(|number| format!("q{number}")).collect();
        let mut adapter = Peft::empty();
        names.iter().for_each(|name| adapter.layer(name, 4, 4, 2, Dtype::F32));
        adapter.write(&room.path("adapter"));
        let weight = |name: &String| Tensor::f32(&format!("{name}.weight"), &[4, 4], &noise(1, 16));
        std::fs::write(room.path("base"), support::safetensors(&names.iter().map(weight).collect::<Vec<_>>())).unwrap();
        let error = room.bad(MERGING[0]);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn another_base_than_that_of_the_fingerprint_is_refused() {
    let room = Room::new();
    Peft::new().write(&room.path("adapter"));
    let base = |last: f32| {
        let mut q = noise(2, 12);
        q[11] = last;
        [Tensor::f32("net.q.weight", &[3, 4], &q), Tensor::f32("net.v.weight", &[5, 4], &noise(3, 20))]
    };
    std::fs::write(room.path("base"), support::safetensors(&base(0.25))).unwrap();
    std::fs::write(room.path("other"), support::safetensors(&base(0.5))).unwrap();
    room.good(&["convert", "adapter", "packed", "--fingerprint", "base"]);
    let before = room.names();
    for arguments in [&["merge", "packed", "other", "out"][..], &["advise", "packed", "--base", "other"]] {
        let error = room.bad(arguments);
        for text in ["the fingerprint of the base is", "--other-base"] {
            assert!(error.contains(text), "{error}");
        }
        assert_eq!(room.names(), before);
        room.good(&[arguments, &["--other-base"]].concat());
        let _ = std::fs::remove_file(room.path("out"));
    }
    room.good(&["merge", "packed", "base", "out"]);
    room.good(&["advise", "packed", "--base", "base"]);
    room.good(&["advise", "packed"]);
}

/// A fingerprint is that of weights in one layout: it tells whether the flags of square layers are right.
#[test]
fn a_fingerprint_confirms_the_layout() {
    let room = Room::new();
    let names = ["h.0.attn.c_proj", "h.0.attn.c_attn"];
    let adapter = mixture(&room, &names, true);
    room.good(&["convert", "adapter", "packed", "--fingerprint", "base", "--layout", "in-out"]);
    room.good(&["verify", "packed", "--base", "base"]);
    room.good(&["merge", "packed", "base", "out"]);
    assert_merged(&room, &adapter, "out");
    let wrong = room.bad(&["merge", "packed", "base", "out-2", "--layout", "c_proj=out-in"]);
    assert!(wrong.contains("the fingerprint of the base is"), "{wrong}");
    // Flags that were wrong do not go unnoticed either.
    mixture(&room, &names, false);
    room.good(&["convert", "adapter", "packed-2", "--fingerprint", "base", "--layout", "in-out"]);
    let wrong = room.bad(&["merge", "packed-2", "base", "out-2"]);
    assert!(wrong.contains("the fingerprint of the base is"), "{wrong}");
    room.good(&["merge", "packed-2", "base", "out-2", "--layout", "in-out"]);
    assert_merged(&room, &adapter, "out-2");
}

#[test]
fn adapters_that_are_never_good_are_refused() {
    let [a, b] = ["lora_A.weight", "lora_B.weight"].map(|part| key("net.v", part));
    let with = |name: &str, shape: &[usize], at: usize, value: f32| {
        let mut values = noise(5, shape.iter().product());
        values[at] = value;
        Peft::new().with(Tensor::f32(name, shape, &values))
    };
    let zero = |name: &str, shape: &[usize]| Tensor::f32(name, shape, &vec![-0.0; shape.iter().product()]);
    let bias = key("net.v", "lora_B.bias");
    let biased = Peft::new().set("lora_bias", json!(true));
    let biased = biased.with(Tensor::f32(&key("net.q", "lora_B.bias"), &[3], &[0.0; 3]));
    let trained = key("net.v", "base_layer.bias");
    let lora_only = Peft::new().set("bias", json!("lora_only"));
    for (adapter, expected) in [
        (with(&a, &[2, 4], 7, f32::NAN), "element 7 of A is NaN"),
        (with(&a, &[2, 4], 0, f32::INFINITY), "element 0 of A is inf"),
        (with(&b, &[5, 2], 9, f32::NEG_INFINITY), "element 9 of B is -inf"),
        (biased.with(Tensor::f32(&bias, &[5], &[0.0, f32::NAN, 0.0, 0.0, 0.0])), "element 1 of the bias of B is NaN"),
        (lora_only.with(Tensor::f32(&trained, &[5], &[f32::NAN; 5])), "element 0 of the bias is NaN"),
        (Peft::new().with(zero(&a, &[2, 4])).with(zero(&b, &[5, 2])), "is dead: A and B are zero"),
    ] {
        let room = Room::new();
        adapter.write(&room.path("adapter"));
        let base: Vec<Tensor> = [("q", 3), ("v", 5)]
            .into_iter()
            .flat_map(|(name, outputs)| {
                let weight = Tensor::f32(&format!("net.{name}.weight"), &[outputs, 4], &noise(6, 4 * outputs));
                [weight, Tensor::f32(&format!("net.{name}.bias"), &[outputs], &noise(7, outputs))]
            })
            .collect();
        std::fs::write(room.path("base"), support::safetensors(&base)).unwrap();
        for command in
            [&["merge", "adapter", "base", "out"][..], &["advise", "adapter", "--base", "base"], &["advise", "adapter"]]
        {
            let error = room.bad(command);
            assert!(error.contains("net.v") && error.contains(expected), "{error}");
            assert!(!room.path("out").exists());
        }
        let output = room.lowrank(&["verify", "adapter", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &report[0]["good"]), (Some(1), &json!(false)));
        assert!(report[0]["flaw"].as_str().unwrap().contains(expected), "{report}");
    }
}

/// The product of finite numbers can be none.
#[test]
fn an_update_beyond_f32_is_refused() {
    let room = Room::new();
    let mut adapter = Peft::empty();
    adapter.layer("q", 4, 3, 2, Dtype::F32);
    let large = adapter.with(Tensor::f32(&key("q", "lora_A.weight"), &[2, 4], &[3e30; 8])).with(Tensor::f32(
        &key("q", "lora_B.weight"),
        &[3, 2],
        &[3e30; 6],
    ));
    large.write(&room.path("adapter"));
    std::fs::write(room.path("base"), support::safetensors(&[Tensor::f32("q.weight", &[3, 4], &noise(1, 12))]))
        .unwrap();
    for command in
        [&["merge", "adapter", "base", "out"][..], &["advise", "adapter"], &["advise", "adapter", "--base", "base"]]
    {
        let error = room.bad(command);
        assert!(error.contains("layer `q`"), "{error}");
    }
}
