//! The command says what is wrong with its input, and what to do; nothing is written then.

mod support;

use lowrank::Dtype;
use safetensors::tensor::Dtype as Stored;
use serde_json::json;
use support::{Peft, Room, Tensor, key, noise, safetensors};

fn weight(name: &str, shape: &[usize]) -> Tensor {
    Tensor::f32(name, shape, &noise(5, shape.iter().product()))
}

fn base() -> Vec<Tensor> {
    vec![weight("net.q.weight", &[3, 4]), weight("net.v.weight", &[5, 4])]
}

fn raw(name: &str, dtype: Stored, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor { name: name.into(), dtype, shape: shape.into(), bytes: vec![0; count * dtype.bitsize() / 8] }
}

/// An adapter as directory `peft` and file `file`, a base as file `base.safetensors` and directory `model`.
fn furnished() -> Room {
    let room = Room::new();
    Peft::new().write(&room.path("peft"));
    room.good(&["convert", "peft", "file"]);
    std::fs::write(room.path("base.safetensors"), safetensors(&base())).unwrap();
    std::fs::create_dir(room.path("model")).unwrap();
    std::fs::write(room.path("model").join("model.safetensors"), safetensors(&base())).unwrap();
    room
}

/// Each line: what was given, and what the message has to say.
#[test]
fn what_was_mistaken_for_something_else_is_named() {
    let room = furnished();
    for directory in ["bin", "torch", "empty"] {
        std::fs::create_dir(room.path(directory)).unwrap();
    }
    std::fs::write(room.path("bin").join("adapter_config.json"), Peft::new().config()).unwrap();
    std::fs::write(room.path("bin").join("adapter_model.bin"), b"PK\x03\x04rest").unwrap();
    std::fs::write(room.path("torch").join("pytorch_model.bin"), b"PK\x03\x04rest").unwrap();
    std::fs::write(room.path("optimizer.pt"), b"PK\x03\x04rest").unwrap();
    std::fs::write(room.path("old.pt"), b"\x80\x02}q\x00.").unwrap();
    room.good(&["convert", "file", "code.c", "--rust", "code.rs"]);
    let before = room.names();
    let rows: [(&[&str], &[&str]); 30] = [
        (&["convert", "file", "peft"], &["peft: exists already"]),
        (&["convert", "peft/adapter_config.json", "x"], &["or a PEFT directory", "the directory that it lies in"]),
        (&["convert", "code.c", "x"], &["code.c: this is the source code of an adapter, expected an adapter file or"]),
        (&["convert", "code.rs", "x"], &["this is the source code of an adapter", "the adapter that it was made of"]),
        (&["inspect", "code.rs"], &["this is the source code of an adapter", "the adapter that it was made of"]),
        (&["convert", "model", "x"], &["model: this is the directory of a base", "swapped"]),
        (&["convert", "bin", "x"], &["adapter_model.bin", "save_file(torch.load(\"adapter_model.bin\")"]),
        (&["convert", "empty", "x"], &["empty/adapter_config.json"]),
        (&["convert", "peft", "x", "--to", "peft"], &["peft: this is a PEFT directory already", "--to file"]),
        (&["convert", "base.safetensors", "x"], &["this is a safetensors file, expected an adapter file", "swapped"]),
        (&["convert", "optimizer.pt", "x"], &["a file of torch.save"]),
        (&["inspect", "peft/adapter_model.safetensors"], &["the directory that it lies in"]),
        (&["inspect", "bin"], &["adapter_model.bin"]),
        (&["merge", "base.safetensors", "peft", "x"], &["base.safetensors: this is a safetensors file", "swapped"]),
        (&["merge", "model", "peft", "x"], &["model: this is the directory of a base", "swapped"]),
        (&["merge", "peft", "peft", "x"], &["peft: expected model.safetensors or", "swapped"]),
        (&["merge", "peft", "file", "x"], &["file: this is an adapter file, expected a base", "swapped"]),
        (&["merge", "peft", "torch", "x"], &["torch: expected model.safetensors or", "save_pretrained"]),
        (&["merge", "peft", "empty", "x"], &["empty: expected model.safetensors or model.safetensors.index.json"]),
        (&["merge", "peft", "optimizer.pt", "x"], &["a file of torch.save", "save_pretrained"]),
        (&["advise", "file", "--base", "file"], &["file: this is an adapter file, expected a base"]),
        (
            &["convert", "peft", "x", "--fingerprint", "peft"],
            &["expected model.safetensors or", "this is a PEFT directory"],
        ),
        (&["convert", "peft", "x", "--optimizer-state", "optimizer.pt"], &["torch.save", "three lines of Python"]),
        (&["convert", "peft", "x", "--optimizer-state", "old.pt"], &["torch.save", "three lines of Python"]),
        (
            &["convert", "peft", "x", "--optimizer-state", "base.safetensors"],
            &["base.safetensors: this is no optimizer state, expected", "three lines of Python"],
        ),
        (
            &["convert", "peft", "x", "--optimizer-state", "file"],
            &["file: this is an adapter file and no optimizer state"],
        ),
        (
            &["convert", "bin/adapter_model.bin", "x"],
            &["save_file(torch.load(\"adapter_model.bin\")", "give the directory"],
        ),
        (&["inspect", "bin/adapter_model.bin"], &["save_file(torch.load(\"adapter_model.bin\")", "give the directory"]),
        (&["inspect", "base.safetensors"], &["expected an adapter file or a PEFT directory"]),
        (&["advise", "model"], &["model: this is the directory of a base"]),
    ];
    for (arguments, expected) in rows {
        let error = room.bad(arguments);
        for part in expected {
            assert!(error.contains(part), "{arguments:?}: {part:?} is not in {error:?}");
        }
        // Only of two arguments that are no options.
        let two = ["convert", "merge"].contains(&arguments[0]) && !arguments.contains(&"--fingerprint");
        assert!(two || !error.contains("swapped"), "{arguments:?}: {error}");
        assert_eq!(room.names(), before, "{arguments:?}");
    }
}

/// A flaw is of an adapter that was read; what cannot be read is an error, and hides no verdict about another one.
#[test]
fn verify_names_each_adapter_once() {
    let room = furnished();
    std::fs::write(room.path("bad"), b"lowrank\0rest").unwrap();
    for name in ["base.safetensors", "bad", "model"] {
        let output = room.lowrank(&["verify", name]);
        let (text, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), error.as_str()), (Some(1), ""), "{name}");
        assert!(text.starts_with(&format!("{name}: NOT GOOD: ")) && text.matches(name).count() == 1, "{text}");
        assert!(!text.contains("swapped"), "{text}");
    }
    let error = room.bad(&["verify", "nothing"]);
    assert!(error.starts_with("error: nothing: cannot be read: ") && error.matches("nothing").count() == 1, "{error}");
    let output = room.lowrank(&["verify", "nothing", "bad", "file", "never"]);
    let (text, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text.lines().map(|line| &line[..8]).collect::<Vec<_>>(), ["bad: NOT", "file: go"], "{text}");
    assert!(["nothing", "never"].iter().all(|name| error.contains(&format!("error: {name}: cannot be read"))));
}

#[test]
fn messages_about_a_configuration_give_its_path() {
    let room = furnished();
    let broken = [json!({ "use_dora": true }), json!({ "r": "x" }), json!({ "peft_type": "IA3" })];
    for (number, fields) in broken.into_iter().enumerate() {
        let (field, value) = fields.as_object().unwrap().iter().next().unwrap();
        let name = format!("broken-{number}");
        Peft::new().set(field, value.clone()).write(&room.path(&name));
        for arguments in [&["convert", &name, "x"][..], &["inspect", &name], &["merge", &name, "base.safetensors", "x"]]
        {
            let error = room.bad(arguments);
            assert!(error.starts_with(&format!("error: {name}/adapter_config.json: `{field}`")), "{error}");
        }
        let text = String::from_utf8(room.lowrank(&["verify", &name]).stdout).unwrap();
        assert!(text.contains(&format!("{name}/adapter_config.json: `{field}`")), "{text}");
    }
    Peft::new().without(&key("net.q", "lora_A.weight")).write(&room.path("half"));
    let error = room.bad(&["convert", "half", "x"]);
    assert!(error.starts_with("error: half/adapter_model.safetensors: tensor `"), "{error}");
}

#[test]
fn betas_belong_to_the_state_of_an_optimizer() {
    let room = furnished();
    for beta in ["--beta1", "--beta2"] {
        let output = room.lowrank(&["convert", "peft", "x", beta, "0.5"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("--optimizer-state") && !room.path("x").exists(), "{error}");
    }
}

/// One of something is no plural, in any report.
#[test]
fn one_layer_is_not_several() {
    let room = Room::new();
    let mut adapter = Peft::empty();
    adapter.layer("net.q", 4, 3, 2, lowrank::Dtype::F32);
    adapter.write(&room.path("peft"));
    std::fs::write(room.path("base"), safetensors(&[weight("net.q.weight", &[3, 4])])).unwrap();
    for (arguments, expected) in [
        (&["convert", "peft", "file"][..], "file: 1 layer, "),
        (&["convert", "file", "back"], "back: 1 layer, "),
        (&["verify", "file"], "file: good, 1 layer\n"),
        (&["merge", "peft", "base", "out"], "1 of 1 tensor merged"),
        (
            &["plan", "--inputs", "1", "--outputs", "1", "--rank", "1", "--tokens", "1"],
            "1 input, 1 output, rank 1, 1 token, ",
        ),
        (
            &["plan", "--inputs", "2", "--outputs", "3", "--rank", "1", "--tokens", "2"],
            "2 inputs, 3 outputs, rank 1, 2 tokens",
        ),
    ] {
        let text = room.good(arguments);
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

/// The help of every option and argument that takes a base says that it may be a directory.
#[test]
fn the_help_says_that_a_base_may_be_a_directory() {
    let room = Room::new();
    for command in ["convert", "verify", "merge", "advise"] {
        for help in ["-h", "--help"] {
            let text = room.good(&[command, help]);
            let about = text.split("<BASE>").nth(1).unwrap_or_else(|| panic!("{command}: {text}"));
            assert!(about.lines().take(4).any(|line| line.contains("directory")), "{command}: {about}");
        }
    }
}

#[test]
fn a_base_may_be_given_as_its_directory() {
    let room = furnished();
    room.good(&["merge", "peft", "base.safetensors", "of-file"]);
    room.good(&["merge", "peft", "model", "of-directory"]);
    let [one, other] = ["of-file", "of-directory"].map(|name| std::fs::read(room.path(name)).unwrap());
    assert_eq!(one, other);
    let [one, other] = ["base.safetensors", "model"]
        .map(|base| room.json(&["convert", "peft", "new", "--force", "--fingerprint", base]));
    assert_eq!(one["fingerprint"], other["fingerprint"]);
    assert!(one["fingerprint"].is_string());
    // An index, where there is no single file.
    let sharded = room.path("sharded");
    std::fs::create_dir(&sharded).unwrap();
    for (at, tensor) in base().into_iter().enumerate() {
        std::fs::write(sharded.join(format!("{at}.safetensors")), safetensors(&[tensor])).unwrap();
    }
    let index = json!({ "weight_map": { "net.q.weight": "0.safetensors", "net.v.weight": "1.safetensors" } });
    std::fs::write(sharded.join("model.safetensors.index.json"), index.to_string()).unwrap();
    room.good(&["merge", "peft", "sharded", "of-shards"]);
    assert!(room.path("of-shards").join("1.safetensors").is_file());
}

/// Quantisers store a weight under another name, in another type, or in another shape.
#[test]
fn a_quantised_base_is_called_so() {
    let signs: [(&str, Vec<Tensor>); 8] = [
        ("net.q.weight.absmax", vec![raw("net.q.weight", Stored::U8, &[6, 1]), weight("net.q.weight.absmax", &[1])]),
        (
            "net.q.weight.quant_map",
            vec![raw("net.q.weight", Stored::U8, &[6, 1]), weight("net.q.weight.quant_map", &[16])],
        ),
        ("net.q.SCB", vec![raw("net.q.weight", Stored::I8, &[3, 4]), weight("net.q.SCB", &[3])]),
        ("net.q.qweight", vec![raw("net.q.qweight", Stored::I32, &[1, 3]), raw("net.q.qzeros", Stored::I32, &[1, 1])]),
        ("net.q.weight_packed", vec![raw("net.q.weight_packed", Stored::I32, &[3, 1])]),
        (
            "net.q.weight_scale_inv",
            vec![raw("net.q.weight", Stored::F8_E4M3, &[3, 4]), weight("net.q.weight_scale_inv", &[1, 1])],
        ),
        ("`net.q.weight` is F8_E4M3", vec![raw("net.q.weight", Stored::F8_E4M3, &[3, 4])]),
        ("`net.q.weight` is U8", vec![raw("net.q.weight", Stored::U8, &[6, 1])]),
    ];
    for (sign, tensors) in signs {
        let room = Room::new();
        Peft::new().write(&room.path("peft"));
        let all: Vec<Tensor> = tensors.into_iter().chain([base().remove(1)]).collect();
        std::fs::write(room.path("base.safetensors"), safetensors(&all)).unwrap();
        for arguments in
            [&["merge", "peft", "base.safetensors", "x"][..], &["advise", "peft", "--base", "base.safetensors"]]
        {
            let error = room.bad(arguments);
            assert!(error.contains("`net.q` is quantised in this base") && error.contains(sign), "{sign}: {error}");
        }
        assert_eq!(room.names(), ["base.safetensors", "peft"]);
    }
}

/// A head without a weight of its own has that of the embedding.
#[test]
fn a_tied_head_is_called_so() {
    let room = Room::new();
    let mut adapter = Peft::empty();
    adapter.layer("lm_head", 4, 6, 2, Dtype::F32);
    adapter.write(&room.path("peft"));
    std::fs::write(room.path("tied"), safetensors(&[weight("model.embed_tokens.weight", &[6, 4])])).unwrap();
    let error = room.bad(&["merge", "peft", "tied", "x"]);
    for part in ["`lm_head.weight`", "tied to `model.embed_tokens.weight`", "would change both"] {
        assert!(error.contains(part), "{error}");
    }
    // Of another shape, it is another base.
    std::fs::write(room.path("other"), safetensors(&[weight("model.embed_tokens.weight", &[7, 4])])).unwrap();
    let error = room.bad(&["merge", "peft", "other", "x"]);
    assert!(error.contains("no tensor `lm_head.weight`") && !error.contains("tied"), "{error}");
}

/// Numbers that no training goes on with are refused by their place.
#[test]
fn bad_numbers_are_not_packed() {
    let parts = [
        ("lora_A.weight", "A"),
        ("lora_B.weight", "B"),
        ("base_layer.bias", "the bias"),
        ("lora_B.bias", "the bias of B"),
    ];
    for (part, name) in parts {
        for dtype in Dtype::ALL {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let room = Room::new();
                let mut adapter = Peft::new().set("bias", json!("lora_only")).set("lora_bias", json!(true));
                for layer in ["net.q", "net.v"] {
                    let outputs = if layer == "net.q" { 3 } else { 5 };
                    let shapes = [("lora_A.weight", vec![2, 4]), ("lora_B.weight", vec![outputs, 2])];
                    let biases = ["base_layer.bias", "lora_B.bias"].map(|bias| (bias, vec![outputs]));
                    for (tensor, shape) in shapes.into_iter().chain(biases) {
                        let mut values = vec![1e-3; shape.iter().product()];
                        if layer == "net.v" && tensor == part {
                            values[3] = bad;
                        }
                        adapter = adapter.with(Tensor::new(&key(layer, tensor), dtype, &shape, &values));
                    }
                }
                adapter.write(&room.path("in"));
                let error = room.bad(&["convert", "in", "x", "--allow-dead"]);
                assert!(
                    error.contains(&format!("\"net.v\": element 3 of {name} is {bad}, expected a finite")),
                    "{error}"
                );
                assert_eq!(room.names(), ["in"]);
            }
        }
    }
}

#[test]
fn a_dead_layer_is_packed_only_when_asked_for() {
    let room = Room::new();
    let zeros = |part: &str, rows: usize, cols: usize| {
        Tensor::f32(&key("net.q", part), &[rows, cols], &vec![-0.0; rows * cols])
    };
    let untrained = Peft::new().with(zeros("lora_B.weight", 3, 2));
    untrained.write(&room.path("untrained"));
    room.good(&["convert", "untrained", "file"]);
    // Subnormal numbers are numbers.
    let tiny = untrained.clone().with(Tensor::f32(&key("net.q", "lora_A.weight"), &[2, 4], &[1e-45; 8]));
    tiny.write(&room.path("tiny"));
    room.good(&["convert", "tiny", "tiny-file"]);
    untrained.with(zeros("lora_A.weight", 2, 4)).write(&room.path("dead"));
    let error = room.bad(&["convert", "dead", "dead-file"]);
    assert!(error.contains("\"net.q\" is dead") && error.contains("--allow-dead"), "{error}");
    room.good(&["convert", "dead", "dead-file", "--allow-dead"]);
    assert_eq!(room.lowrank(&["inspect", "dead-file"]).status.code(), Some(1));
}

/// A warning goes to the error output, and the work is done.
#[test]
fn what_has_no_effect_is_warned_of() {
    let room = furnished();
    let adapter = Peft::new().set("alpha_pattern", json!({ "nothing": 1 }));
    adapter.with(Tensor::f32(&key("net.q", "base_layer.weight"), &[3, 4], &noise(5, 12))).write(&room.path("in"));
    for arguments in [
        &["convert", "in", "x"][..],
        &["inspect", "in"],
        &["verify", "in"],
        &["advise", "in"],
        &["merge", "in", "base.safetensors", "y"],
    ] {
        let output = room.lowrank(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        let lines: Vec<_> = errors.lines().filter(|line| !line.starts_with("note: ")).collect();
        assert!(
            lines.len() == 2 && lines.iter().all(|line| line.starts_with("warning: in/")),
            "{arguments:?}: {errors}"
        );
        assert!(lines[0].contains("\"nothing\"") && lines[1].contains("net.q.base_layer.weight"), "{errors}");
    }
}
