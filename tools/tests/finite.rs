//! Numbers that are none, in a base or in what it becomes.

mod support;

use lowrank::Dtype;
use serde_json::json;
use support::{Peft, Room, Tensor, key, noise};

fn write(room: &Room, name: &str, tensors: &[Tensor]) {
    std::fs::write(room.path(name), support::safetensors(tensors)).unwrap();
}

/// A base with a number that is none is good for nothing, and every command that reads its numbers says where it is.
#[test]
fn a_base_that_is_not_finite_is_refused() {
    let room = Room::new();
    Peft::new().write(&room.path("adapter"));
    let v = Tensor::f32("net.v.weight", &[5, 4], &noise(2, 20));
    let with = |name: &str, dtype, bad: &[(usize, f32)], bias: &[f32]| {
        let mut values = noise(1, 12);
        bad.iter().for_each(|&(at, value)| values[at] = value);
        let bias = Tensor::f32("net.q.bias", &[3], bias);
        write(&room, name, &[Tensor::new("net.q.weight", dtype, &[3, 4], &values), v.clone(), bias]);
    };
    with("good", Dtype::F32, &[], &[0.0; 3]);
    room.good(&["convert", "adapter", "packed", "--fingerprint", "good"]);
    let commands: [&[&str]; 4] = [
        &["advise", "adapter", "--base", "base"],
        &["merge", "adapter", "base", "out"],
        &["convert", "adapter", "packed-2", "--fingerprint", "base"],
        &["verify", "adapter", "packed", "--base", "base"],
    ];
    for dtype in Dtype::ALL {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            with("base", dtype, &[(7, value), (9, f32::NAN)], &[0.0; 3]);
            for arguments in commands {
                let output = room.lowrank(arguments);
                let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
                let expected = format!("tensor `net.q.weight`: element 7 of the base is {value}, expected a finite");
                assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
                let times = if arguments[0] == "verify" { 2 } else { 1 };
                assert_eq!(text.matches(&expected).count(), times, "{arguments:?}: {text}");
            }
        }
    }
    with("base", Dtype::F32, &[], &[0.0, f32::NAN, 0.0]);
    let error = room.bad(commands[2]);
    assert!(error.contains("tensor `net.q.bias`: element 1 of the base is NaN"), "{error}");
    assert!(!room.names().iter().any(|name| name == "out" || name == "packed-2"));
}

/// What f16 cannot hold is not a share of anything.
#[test]
fn advice_names_a_storage_that_is_too_small() {
    for (at_base, b) in [(1e5, 1.0), (1.0, 1e6), (1e5, 0.0)] {
        let room = Room::new();
        let mut adapter = Peft::empty();
        adapter.layer("q", 4, 3, 2, Dtype::F32);
        adapter.with(Tensor::f32(&key("q", "lora_B.weight"), &[3, 2], &[b; 6])).write(&room.path("adapter"));
        let values: Vec<f32> = noise(1, 12).iter().map(|value| at_base * value.signum()).collect();
        write(&room, "base", &[Tensor::f32("q.weight", &[3, 4], &values)]);
        let arguments = ["advise", "adapter", "--base", "base", "--storage", "f16,f32"];
        let (text, report) = (room.good(&arguments), room.json(&arguments));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        for (situation, name) in [("merge_then_store", "merge, then store"), ("into_stored_base", "into a stored base")]
        {
            let [half, single] = [0, 1].map(|number| &report["layers"][0]["advice"][number][situation]);
            assert_eq!(half, &json!({ "kept": null, "noise": null, "verdict": "does_not_fit" }), "{report}");
            assert_ne!(single["verdict"], "does_not_fit", "{report}");
            let summary = text.lines().find(|line| line.starts_with(&format!("{name}, f16"))).unwrap();
            assert!(summary.ends_with("does not fit f16"), "{text}");
        }
        assert_eq!(report["summary"][0]["does_not_fit"], 1);
    }
}
