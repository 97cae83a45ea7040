//! The command from outside: examples, exit codes, what is written and what is not.

mod support;

use lowrank::Dtype;
use serde_json::json;
use support::{Peft, Room, Tensor, key, noise};

const COMMANDS: [&str; 8] = ["", "pack", "unpack", "inspect", "verify", "merge", "advise", "plan"];

/// A base for the layers of [`Peft::new`], with another tensor.
fn base() -> Vec<Tensor> {
    vec![
        Tensor::f32("net.q.weight", &[3, 4], &noise(20, 12)),
        Tensor::f32("net.q.bias", &[3], &noise(21, 3)),
        Tensor::f32("net.v.weight", &[5, 4], &noise(22, 20)),
        Tensor::f32("other", &[7], &noise(23, 7)),
    ]
}

/// `my-adapter`, `base.safetensors`, and what `pack` makes of them.
fn furnished() -> Room {
    let room = Room::new();
    Peft::new().write(&room.path("my-adapter"));
    std::fs::write(room.path("base.safetensors"), support::safetensors(&base())).unwrap();
    room.good(&["pack", "my-adapter", "adapter.lowrank"]);
    room
}

/// Every example of every help text runs as it is written.
#[test]
fn the_examples_in_the_help_run() {
    let mut count = 0;
    for command in COMMANDS {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|argument| !argument.is_empty()).collect();
        let help = Room::new().good(&arguments);
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  lowrank ")).collect();
        assert!(!examples.is_empty(), "{command}: no example");
        assert!(help.contains("Exit status: "), "{command}: no exit status");
        for example in examples {
            let room = furnished();
            if command.is_empty() || command == "pack" {
                std::fs::remove_file(room.path("adapter.lowrank")).unwrap();
            }
            let output = room.good(&example.split(' ').collect::<Vec<_>>());
            assert!(!output.is_empty(), "{example}");
            count += 1;
        }
    }
    assert!(count >= COMMANDS.len());
}

#[test]
fn every_command_writes_json() {
    let room = furnished();
    assert_eq!(room.json(&["pack", "my-adapter", "2.lowrank"])["layers"], 2);
    assert_eq!(room.json(&["unpack", "2.lowrank", "from-device"])["configuration"], "metadata");
    let inspected = room.json(&["inspect", "2.lowrank"]);
    assert_eq!(inspected["layers"][1]["layer"], "net.v");
    assert_eq!(inspected["layers"][1]["scale"], 4.0);
    assert_eq!(inspected["layers"][1]["state"], "ok");
    assert_eq!(room.json(&["verify", "2.lowrank"])[0]["good"], true);
    assert_eq!(room.json(&["advise", "2.lowrank"])["layers"][0]["advice"][0]["storage"], "f16");
    let merged = room.json(&["merge", "my-adapter", "base.safetensors", "merged.safetensors"]);
    assert_eq!(merged["layers"][0]["tensor"], "net.q.weight");
    let plan = room.json(&["plan", "--inputs", "64", "--outputs", "64", "--rank", "8"]);
    let expected = lowrank::train::Plan::training(lowrank::Shape::new(64, 64, 8), 1, lowrank::train::Optimizer::AdamW);
    assert_eq!(plan["training_bytes"]["ram_arena"], expected.bytes());
}

#[test]
fn a_wrong_command_line_has_status_2() {
    for arguments in [&["pack"][..], &["what"], &["plan", "--inputs", "x"], &["pack", "a", "b", "--symbol", "1x"], &[]]
    {
        let output = Room::new().lowrank(arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
    }
}

/// What no layer can be trained with, no plan is made of.
#[test]
fn a_plan_refuses_what_training_refuses() {
    let room = Room::new();
    let plan = |changes: &[(&str, &str)]| {
        let mut options = vec![("--inputs", "64"), ("--outputs", "48"), ("--rank", "4"), ("--tokens", "2")];
        for change in changes {
            options.retain(|option| option.0 != change.0);
            options.push(*change);
        }
        let words = options.iter().flat_map(|(name, value)| [*name, *value]).filter(|word| !word.is_empty());
        let output = room.lowrank(&["plan"].into_iter().chain(words).collect::<Vec<_>>());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(plan(&[]).0, 0);
    let most = u32::MAX.to_string();
    for option in ["--inputs", "--outputs", "--rank", "--tokens"] {
        for (value, expected) in [
            ("0", "a layer has at least one"),
            ("4294967296", "a layer has at most 4294967295"),
            ("-1", "-1"),
            ("1.5", "expected a whole number from 1 to 4294967295"),
            ("", option),
        ] {
            let (status, error) = plan(&[(option, value)]);
            assert_eq!(status, 2, "{option} {value}");
            assert!(error.contains(expected), "{option} {value}: {error}");
        }
        assert_eq!(plan(&[(option, "1")]).0, 0, "{option}");
    }
    let all = ["--inputs", "--outputs", "--rank", "--tokens"].map(|option| (option, most.as_str()));
    let (status, error) = plan(&all);
    assert_eq!(status, 1);
    assert!(
        error.contains("the memory for inference of a layer of these sizes is more than any memory holds"),
        "{error}"
    );
    for optimizer in ["adamw", "sgd", "momentum", "inplace"] {
        for flags in
            [&[][..], &[("--freeze-a", "")], &[("--train-bias", "")], &[("--train-bias", ""), ("--freeze-a", "")]]
        {
            let (status, error) = plan(&[&[("--optimizer", optimizer)], flags].concat());
            let refused = optimizer == "inplace" && flags.first().is_some_and(|flag| flag.0 == "--train-bias");
            assert_eq!(status, i32::from(refused), "{optimizer} {flags:?}: {error}");
            assert!(!refused || error.contains("`inplace` has no gradients and cannot train a bias"), "{error}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_written_is_a_failure() {
    for arguments in [&["--help"][..], &["--version"], &["pack", "--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lowrank"));
        assert_eq!(command.args(arguments).stdout(full).output().unwrap().status.code(), Some(1), "{arguments:?}");
        assert!(!Room::new().good(arguments).is_empty());
    }
}

#[test]
fn an_adapter_comes_back_as_it_was() {
    let room = Room::new();
    let adapter = Peft::new().set("alpha_pattern", json!({ "q": 0.3 })).set("base_model_name_or_path", json!("größe"));
    adapter.write(&room.path("in"));
    room.good(&["pack", "in", "file"]);
    room.good(&["unpack", "file", "out"]);
    let read = |name: &str| std::fs::read(room.path(name)).unwrap();
    assert_eq!(read("in/adapter_model.safetensors"), read("out/adapter_model.safetensors"));
    let config: serde_json::Value = serde_json::from_slice(&read("out/adapter_config.json")).unwrap();
    assert_eq!(config, serde_json::Value::Object(adapter.fields));
    // The table alone gives the same tensors, and a configuration with the same file in the end.
    room.good(&["unpack", "file", "table", "--from-table"]);
    assert_eq!(read("in/adapter_model.safetensors"), read("table/adapter_model.safetensors"));
    room.good(&["pack", "in", "stripped", "--strip"]);
    room.good(&["unpack", "stripped", "unstripped"]);
    assert_eq!(read("table/adapter_config.json"), read("unstripped/adapter_config.json"));
    assert!(read("stripped").len() < read("file").len());
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_of_a_failure() {
    let room = furnished();
    let before = room.names();
    let old = std::fs::read(room.path("adapter.lowrank")).unwrap();
    let error = room.bad(&["pack", "my-adapter", "adapter.lowrank"]);
    assert!(error.contains("adapter.lowrank: exists already"), "{error}");
    for arguments in [
        &["unpack", "adapter.lowrank", "my-adapter"][..],
        &["merge", "my-adapter", "base.safetensors", "base.safetensors"],
        &["pack", "my-adapter", "new.lowrank", "--c-array", "base.safetensors"],
        &["pack", "my-adapter", "nowhere/new.lowrank"],
        &["pack", "my-adapter", "new.lowrank", "--fingerprint", "adapter.lowrank"],
        &["merge", "my-adapter", "adapter.lowrank", "merged.safetensors"],
        &["unpack", "base.safetensors", "out"],
    ] {
        room.bad(arguments);
        assert_eq!(room.names(), before, "{arguments:?}");
    }
    assert_eq!(std::fs::read(room.path("adapter.lowrank")).unwrap(), old);
    room.good(&["pack", "my-adapter", "adapter.lowrank", "--generation", "3", "--force"]);
    assert_eq!(room.json(&["inspect", "adapter.lowrank"])["header"]["generation"], 3);
}

#[test]
fn errors_name_file_and_tensor() {
    let room = furnished();
    let error = room.bad(&["pack", "nothing", "x"]);
    assert!(error.contains("nothing/adapter_config.json"), "{error}");
    Peft::new().set("use_dora", json!(true)).write(&room.path("dora"));
    let error = room.bad(&["merge", "dora", "base.safetensors", "x"]);
    assert!(error.contains("`use_dora` is true: DoRA"), "{error}");
    let error = room.bad(&["unpack", "base.safetensors", "x"]);
    assert!(error.contains("base.safetensors"), "{error}");
}

#[test]
fn verify_finds_every_changed_byte() {
    let room = furnished();
    let good = std::fs::read(room.path("adapter.lowrank")).unwrap();
    for at in (0..good.len()).step_by(37) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        std::fs::write(room.path("bad"), bytes).unwrap();
        let output = room.lowrank(&["verify", "adapter.lowrank", "bad"]);
        assert_eq!(output.status.code(), Some(1), "byte {at}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = lines.lines().collect();
        assert!(lines[0].starts_with("adapter.lowrank: good, 2 layers"), "{lines:?}");
        assert!(lines[1].starts_with("bad: NOT GOOD: "), "{lines:?}");
    }
}

#[test]
fn verify_knows_the_base() {
    let room = furnished();
    room.good(&["pack", "my-adapter", "marked", "--fingerprint", "base.safetensors"]);
    room.good(&["verify", "marked", "my-adapter", "--base", "base.safetensors"]);
    let mut other = base();
    other[2].bytes[0] ^= 1;
    std::fs::write(room.path("other.safetensors"), support::safetensors(&other)).unwrap();
    for (file, base, expected) in [
        ("marked", "other.safetensors", "the fingerprint of the base is"),
        ("adapter.lowrank", "base.safetensors", "no fingerprint"),
    ] {
        let output = room.lowrank(&["verify", file, "--base", base]);
        assert_eq!(output.status.code(), Some(1));
        let line = String::from_utf8(output.stdout).unwrap();
        assert!(line.contains(expected), "{line}");
    }
    // A directory has no fingerprint, but shapes, and says so whichever base it is.
    for base in ["base.safetensors", "other.safetensors"] {
        let text = room.good(&["verify", "my-adapter", "--base", base]);
        assert_eq!(text, format!("my-adapter: good, 2 layers; {}\n", support::NO_BASE));
        let report = room.json(&["verify", "my-adapter", "--base", base]);
        assert_eq!((&report[0]["compared"], &report[0]["note"]), (&json!("shapes"), &json!(support::NO_BASE)));
    }
    let report = room.json(&["verify", "marked", "--base", "base.safetensors"]);
    assert_eq!((&report[0]["compared"], &report[0]["note"]), (&json!("fingerprint"), &json!(null)));
    let report = room.json(&["verify", "marked", "my-adapter"]);
    assert!(report.as_array().unwrap().iter().all(|entry| entry["compared"].is_null() && entry["note"].is_null()));
    // Commands that merge note the same, and only of an adapter without a fingerprint.
    for (adapter, noted) in [("my-adapter", true), ("adapter.lowrank", true), ("marked", false)] {
        let out = format!("out-of-{adapter}");
        for arguments in
            [&["merge", adapter, "base.safetensors", &out][..], &["advise", adapter, "--base", "base.safetensors"]]
        {
            let output = room.lowrank(arguments);
            assert_eq!(output.status.code(), Some(0), "{arguments:?}");
            let expected = if noted { format!("note: {}\n", support::NO_BASE) } else { String::new() };
            assert_eq!(String::from_utf8(output.stderr).unwrap(), expected, "{arguments:?}");
        }
        assert_eq!(room.lowrank(&["advise", adapter]).stderr, b"", "{adapter}");
    }
    let mut other = base();
    other[2] = Tensor::f32("net.v.weight", &[5, 3], &noise(24, 15));
    std::fs::write(room.path("narrow.safetensors"), support::safetensors(&other)).unwrap();
    let output = room.lowrank(&["verify", "my-adapter", "--base", "narrow.safetensors"]);
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.contains("my-adapter: NOT GOOD: ") && line.contains("`net.v.weight`"), "{line}");
    // A tensor that the adapter does not touch is no part of it.
    let mut other = base();
    other[3].bytes[0] ^= 1;
    std::fs::write(room.path("same.safetensors"), support::safetensors(&other)).unwrap();
    room.good(&["verify", "marked", "--base", "same.safetensors"]);
}

/// The fingerprint is the one that a device computes from its weights, whichever way round the file stores them.
#[test]
fn the_fingerprint_is_that_of_the_library() {
    let expected = {
        let tensors = base();
        let [q, b, v] = [0, 1, 2].map(|number: usize| tensors[number].values());
        let mut fingerprint = lowrank::format::Fingerprint::new();
        let rows = |values, outputs| lowrank::MatRef::new(values, outputs, 4).unwrap().into();
        fingerprint.base(&lowrank::Base { weights: rows(&q, 3), bias: Some(lowrank::MatRef::from_row(&b)) });
        fingerprint.base(&lowrank::Base { weights: rows(&v, 5), bias: None });
        format!("{:016x}", fingerprint.finish())
    };
    let room = furnished();
    let packed = room.json(&["pack", "my-adapter", "marked", "--fingerprint", "base.safetensors"]);
    assert_eq!(packed["fingerprint"], expected);
    let mut turned = base();
    for tensor in &mut turned[..3] {
        if let [rows, cols] = tensor.shape[..] {
            let values = tensor.values();
            let columns: Vec<f32> = (0..cols)
                .flat_map(|col| (0..rows).map(move |row| (row, col)))
                .map(|(row, col)| values[row * cols + col])
                .collect();
            *tensor = Tensor::f32(&tensor.name, &[cols, rows], &columns);
        }
    }
    std::fs::write(room.path("turned.safetensors"), support::safetensors(&turned)).unwrap();
    Peft::new().set("fan_in_fan_out", json!(true)).write(&room.path("turned"));
    let packed = room.json(&["pack", "turned", "marked-2", "--fingerprint", "turned.safetensors"]);
    assert_eq!(packed["fingerprint"], expected);
}

#[test]
fn inspect_finds_what_is_wrong_with_a_layer() {
    let states = |adapter: &Peft, status: i32| {
        let room = Room::new();
        adapter.write(&room.path("in"));
        adapter.read(|read| std::fs::write(room.path("file"), support::emit(&read.unwrap().layers())).unwrap());
        let [directory, file] = ["in", "file"].map(|source| {
            let output = room.lowrank(&["inspect", source, "--json"]);
            assert_eq!(output.status.code(), Some(status));
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(report["layers"][1]["state"], "ok");
            report["layers"][0].clone()
        });
        assert_eq!(directory, file);
        file
    };
    let (a, b) = (key("net.q", "lora_A.weight"), key("net.q", "lora_B.weight"));
    let zero_b = Peft::new().with(Tensor::f32(&b, &[3, 2], &[0.0; 6]));
    assert_eq!(states(&zero_b, 0)["state"], "untrained");
    let dead = zero_b.with(Tensor::f32(&a, &[2, 4], &[-0.0; 8]));
    assert_eq!(states(&dead, 1)["state"], "dead");
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = [1.0; 6];
        values[4] = bad;
        let layer = states(&Peft::new().with(Tensor::f32(&b, &[3, 2], &values)), 1);
        assert_eq!(layer["state"], "nonfinite");
        // No number is not zero.
        assert!(layer["update_norm"].is_null() && layer["b_norm"].is_null() && layer["a_norm"].is_number(), "{layer}");
    }
    let off = Peft::new().set("alpha_pattern", json!({ "q": 0 }));
    assert_eq!(states(&off, 0)["state"], "off");
    let known = Peft::new()
        .with(Tensor::f32(&a, &[2, 4], &[3.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0]))
        .with(Tensor::f32(&b, &[3, 2], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]));
    let layer = states(&known, 0);
    // s·B·A has the elements 4·3 and 4·4.
    assert_eq!((layer["a_norm"].as_f64(), layer["b_norm"].as_f64()), (Some(5.0), Some(2f64.sqrt())));
    assert_eq!(layer["update_norm"].as_f64(), Some(20.0));
}

#[test]
fn the_state_of_an_optimizer_travels_along() {
    let room = Room::new();
    Peft::new().write(&room.path("in"));
    let mut state = Vec::new();
    for (layer, outputs) in [("net.q", 3), ("net.v", 5)] {
        for (part, shape) in [("lora_A.weight", [2, 4]), ("lora_B.weight", [outputs, 2])] {
            let name = key(layer, part);
            let count = shape[0] * shape[1];
            state.push(Tensor::f32(&format!("{name}.exp_avg"), &shape, &noise(1, count)));
            let squares: Vec<f32> = noise(2, count).iter().map(|value| value * value).collect();
            state.push(Tensor::f32(&format!("{name}.exp_avg_sq"), &shape, &squares));
            state.push(Tensor::f32(&format!("{name}.step"), &[], &[7.0]));
        }
    }
    let pack = |state: &[Tensor]| {
        std::fs::write(room.path("state.safetensors"), support::safetensors(state)).unwrap();
        room.lowrank(&["pack", "in", "file", "--force", "--optimizer-state", "state.safetensors"])
    };
    assert_eq!(pack(&state).status.code(), Some(0));
    let bytes = std::fs::read(room.path("file")).unwrap();
    let file = lowrank::format::AdapterFile::parse(&bytes).unwrap();
    let training = file.find("net.v").unwrap().training.unwrap();
    let clock = lowrank::train::Clock { steps: 7, weight1: weight(0.9, 7), weight2: weight(0.999, 7) };
    assert_eq!(training.clock, clock);
    let bytes: Vec<_> = training.moments[..4].iter().map(|moment| moment.bytes().unwrap()).collect();
    assert_eq!(bytes, [&state[6], &state[7], &state[9], &state[10]].map(|tensor| tensor.bytes.as_slice()));
    let refused = |change: &dyn Fn(&mut Vec<Tensor>), expected: &str| {
        let mut other = state.clone();
        change(&mut other);
        let output = pack(&other);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    };
    for (at, bad, part) in [
        (0, f32::NAN, "the first moment of A"),
        (1, f32::INFINITY, "the second moment of A"),
        (4, -1e-30, "the second moment of B"),
        (3, f32::NEG_INFINITY, "the first moment of B"),
    ] {
        let expected = format!("\"net.q\": element 2 of {part} is {bad}, expected");
        refused(&|state| state[at].bytes[8..12].copy_from_slice(&bad.to_le_bytes()), &expected);
    }
    refused(&|state| drop(state.remove(1)), "net.q.lora_A.weight.exp_avg_sq`: is missing");
    refused(&|state| drop(state.remove(3)), "net.q.lora_B.weight.exp_avg`: is missing");
    refused(&|state| state[2] = Tensor::f32(&state[2].name.clone(), &[], &[8.0]), "as many steps");
    refused(&|state| state[2] = Tensor::f32(&state[2].name.clone(), &[], &[0.5]), "whole number");
    refused(&|state| state[2] = Tensor::f32(&state[2].name.clone(), &[2], &[7.0; 2]), "whole number");
    refused(&|state| state[0] = Tensor::f32(&state[0].name.clone(), &[4, 2], &[0.0; 8]), "[2, 4]");
    refused(&|state| state[0] = Tensor::new(&state[0].name.clone(), Dtype::F16, &[2, 4], &[0.0; 8]), "expected F32");
    refused(&|state| state.push(Tensor::f32("x.exp_avg", &[1], &[0.0])), "x.exp_avg");
}

/// What the moments of AdamW weigh after so many steps.
fn weight(beta: f64, steps: u32) -> f32 {
    (0..steps).fold(0.0, |weight, _| beta as f32 * weight + (1.0 - beta) as f32)
}

#[test]
fn an_optimizer_has_made_from_one_step_to_what_f32_counts_exactly() {
    let room = Room::new();
    let mut adapter = Peft::empty();
    adapter.layer("q", 4, 3, 2, Dtype::F32);
    adapter.write(&room.path("in"));
    let below_2_24 = 16_777_215.0f32;
    for (step, good) in [
        (-1.0, false),
        (0.0, false),
        (0.999, false),
        (1.0, true),
        (1.5, false),
        (2.0, true),
        (below_2_24, true),
        (below_2_24 + 1.0, false),
        (3e38, false),
        (f32::INFINITY, false),
        (f32::NAN, false),
    ] {
        let moment = |part: &str| Tensor::f32(&format!("{}.{part}", key("q", "lora_B.weight")), &[3, 2], &[0.5; 6]);
        let count = Tensor::f32(&format!("{}.step", key("q", "lora_B.weight")), &[], &[step]);
        let state = [moment("exp_avg"), moment("exp_avg_sq"), count];
        std::fs::write(room.path("state"), support::safetensors(&state)).unwrap();
        let pack = ["pack", "in", "file", "--force", "--beta1", "0.8", "--beta2", "0.9", "--optimizer-state", "state"];
        if !good {
            let error = room.bad(&pack);
            assert!(error.contains(&format!("from 1 to below 2^24, got {step}")), "{error}");
            continue;
        }
        room.good(&pack);
        let bytes = std::fs::read(room.path("file")).unwrap();
        let training = lowrank::format::AdapterFile::parse(&bytes).unwrap().find("q").unwrap().training.unwrap();
        // After 1,000 steps, the weights change no more.
        let [weight1, weight2] = [0.8, 0.9].map(|beta| weight(beta, step.min(1_000.0) as u32));
        let clock = lowrank::train::Clock { steps: step as u64, weight1, weight2 };
        assert_eq!(training.clock, clock);
    }
}
