//! `lowrank inspect` from outside.

mod support;

use serde_json::json;
use support::{Peft, Room, Tensor, key};

#[test]
fn inspect_finds_what_is_wrong_with_a_layer() {
    let states = |adapter: &Peft, status: i32| {
        let room = Room::new();
        adapter.write(&room.path("in"));
        adapter.read(|read| std::fs::write(room.path("file"), support::emit(&read.unwrap().entries())).unwrap());
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
