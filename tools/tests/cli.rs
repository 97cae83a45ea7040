//! The command from outside: examples, exit codes, what is written and what is not.

mod support;

use serde_json::json;
use support::{Peft, Room, furnished};

const COMMANDS: [&str; 7] = ["", "convert", "inspect", "verify", "merge", "advise", "plan"];

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
            let words: Vec<&str> = example.split(' ').collect();
            if words.get(2) == Some(&"adapter.lowrank") {
                std::fs::remove_file(room.path("adapter.lowrank")).unwrap();
            }
            let output = room.good(&words);
            assert!(!output.is_empty(), "{example}");
            count += 1;
        }
    }
    assert!(count >= COMMANDS.len());
}

#[test]
fn every_command_writes_json() {
    let room = furnished();
    assert_eq!(room.json(&["convert", "my-adapter", "2.lowrank"])["layers"], 2);
    assert_eq!(room.json(&["convert", "2.lowrank", "from-device"])["configuration"], "metadata");
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
    for arguments in
        [&["convert"][..], &["what"], &["plan", "--inputs", "x"], &["convert", "a", "b", "--symbol", "1x"], &[]]
    {
        let output = Room::new().lowrank(arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_written_is_a_failure() {
    for arguments in [&["--help"][..], &["--version"], &["convert", "--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lowrank"));
        assert_eq!(command.args(arguments).stdout(full).output().unwrap().status.code(), Some(1), "{arguments:?}");
        assert!(!Room::new().good(arguments).is_empty());
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_of_a_failure() {
    let room = furnished();
    let before = room.names();
    let old = std::fs::read(room.path("adapter.lowrank")).unwrap();
    let error = room.bad(&["convert", "my-adapter", "adapter.lowrank"]);
    assert!(error.contains("adapter.lowrank: exists already"), "{error}");
    for arguments in [
        &["convert", "adapter.lowrank", "my-adapter"][..],
        &["merge", "my-adapter", "base.safetensors", "base.safetensors"],
        &["convert", "my-adapter", "new.lowrank", "--c-array", "base.safetensors"],
        &["convert", "my-adapter", "nowhere/new.lowrank"],
        &["convert", "my-adapter", "new.lowrank", "--fingerprint", "adapter.lowrank"],
        &["merge", "my-adapter", "adapter.lowrank", "merged.safetensors"],
        &["convert", "base.safetensors", "out"],
    ] {
        room.bad(arguments);
        assert_eq!(room.names(), before, "{arguments:?}");
    }
    assert_eq!(std::fs::read(room.path("adapter.lowrank")).unwrap(), old);
    room.good(&["convert", "my-adapter", "adapter.lowrank", "--generation", "3", "--force"]);
    assert_eq!(room.json(&["inspect", "adapter.lowrank"])["header"]["generation"], 3);
}

#[test]
fn errors_name_file_and_tensor() {
    let room = furnished();
    let error = room.bad(&["convert", "nothing", "x"]);
    assert!(error.starts_with("error: nothing: cannot be read"), "{error}");
    Peft::new().set("use_dora", json!(true)).write(&room.path("dora"));
    let error = room.bad(&["merge", "dora", "base.safetensors", "x"]);
    assert!(error.contains("`use_dora` is true: DoRA"), "{error}");
    let error = room.bad(&["convert", "base.safetensors", "x"]);
    assert!(error.contains("base.safetensors"), "{error}");
}
