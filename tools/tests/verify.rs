//! `lowrank verify` from outside.

mod support;

use serde_json::json;
use support::{Tensor, base, furnished, noise};

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
    room.good(&["convert", "my-adapter", "marked", "--fingerprint", "base.safetensors"]);
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
