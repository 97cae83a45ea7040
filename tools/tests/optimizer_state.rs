//! The state of PyTorch's AdamW on its way into an adapter file.

mod support;

use lowrank::Dtype;
use support::{Peft, Room, Tensor, key, noise};

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
    let convert = |state: &[Tensor]| {
        std::fs::write(room.path("state.safetensors"), support::safetensors(state)).unwrap();
        room.lowrank(&["convert", "in", "file", "--force", "--optimizer-state", "state.safetensors"])
    };
    assert_eq!(convert(&state).status.code(), Some(0));
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
        let output = convert(&other);
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
        let convert =
            ["convert", "in", "file", "--force", "--beta1", "0.8", "--beta2", "0.9", "--optimizer-state", "state"];
        if !good {
            let error = room.bad(&convert);
            assert!(error.contains(&format!("from 1 to below 2^24, got {step}")), "{error}");
            continue;
        }
        room.good(&convert);
        let bytes = std::fs::read(room.path("file")).unwrap();
        let training = lowrank::format::AdapterFile::parse(&bytes).unwrap().find("q").unwrap().training.unwrap();
        // After 1,000 steps, the weights change no more.
        let [weight1, weight2] = [0.8, 0.9].map(|beta| weight(beta, step.min(1_000.0) as u32));
        let clock = lowrank::train::Clock { steps: step as u64, weight1, weight2 };
        assert_eq!(training.clock, clock);
    }
}
