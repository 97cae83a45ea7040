//! Nothing from a file reaches the terminal as it is: what a terminal would act on is escaped, by every command.

mod support;

use lowrank::Dtype;
use lowrank::format::{AdapterFile, Contents};
use serde_json::{Value, json};
use support::{Peft, Room, Tensor, key, noise, safetensors};

/// Sets the title, moves the cursor, goes back in the line, begins a new one, turns the direction of the text.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{9b}2J\rA\nFAKE\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}";
/// The same without what no file name and no tensor of PEFT may have.
const INVISIBLE: &str = "FAKE\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}";

fn active(c: char) -> bool {
    c != '\n' && c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Runs a command, which has to print the hostile name, and may print it only with escapes.
fn assert_inert(room: &Room, arguments: &[&str]) {
    for json in [&[][..], &["--json"]] {
        let arguments = [arguments, json].concat();
        let output = room.lowrank(&arguments);
        let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        for text in [&out, &error] {
            assert!(!text.contains(active), "{arguments:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("FAKE")), "{arguments:?}: {text:?}");
        }
        let escapes = ["\\u{202e}", "\\u202e"];
        assert!(
            escapes.iter().any(|escape| out.contains(escape) || error.contains(escape)),
            "{arguments:?}: {out}{error}"
        );
        if !out.is_empty() && !json.is_empty() {
            let value: Value = serde_json::from_str(&out).unwrap();
            // A message inside has escapes of its own.
            let same = ["\u{202e}", "\\u{202e}"].iter().any(|name| names(&value).contains(name));
            assert!(same, "{arguments:?}: JSON has another name: {out}");
        }
    }
}

/// All texts of a JSON value.
fn names(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(names).collect(),
        Value::Object(fields) => fields.values().map(names).collect(),
        _ => String::new(),
    }
}

fn furnished() -> Room {
    let room = Room::new();
    Peft::new().write(&room.path("adapter"));
    room.good(&["convert", "adapter", "packed"]);
    let base =
        [Tensor::f32("net.q.weight", &[3, 4], &noise(1, 12)), Tensor::f32("net.v.weight", &[5, 4], &noise(2, 20))];
    std::fs::write(room.path("base"), safetensors(&base)).unwrap();
    room
}

/// An adapter file can hold any name.
#[test]
fn names_of_layers() {
    let room = furnished();
    let bytes = std::fs::read(room.path("packed")).unwrap();
    let mut entries: Vec<_> = AdapterFile::parse(&bytes).unwrap().entries().collect();
    entries[0].name = HOSTILE;
    let write = |name: &str, entries: &[lowrank::format::Entry<'_>]| {
        let fingerprint = u64::from(name == "marked");
        let contents = Contents { entries, metadata: "", fingerprint, generation: 0 };
        let mut bytes = vec![0; contents.encoded_len().unwrap()];
        contents.emit(&mut bytes).unwrap();
        std::fs::write(room.path(name), bytes).unwrap();
    };
    write("hostile", &entries);
    write("marked", &entries);
    let zero = [0; 4 * 8];
    entries[0].a = lowrank::format::Tensor::from_bytes(Dtype::F32, 2, 4, &zero[..32]).unwrap();
    entries[0].b = lowrank::format::Tensor::from_bytes(Dtype::F32, 3, 2, &zero[..24]).unwrap();
    write("dead", &entries);
    assert_inert(&room, &["inspect", "hostile"]);
    assert_inert(&room, &["advise", "hostile"]);
    assert_inert(&room, &["advise", "hostile", "--base", "base"]);
    assert_inert(&room, &["merge", "hostile", "base", "out"]);
    assert_inert(&room, &["verify", "marked", "--base", "base"]);
    assert_inert(&room, &["verify", "dead"]);
    assert_inert(&room, &["merge", "dead", "base", "out"]);
    // The base has the layer, too.
    let tensors = [(HOSTILE, 3), ("net.v", 5)]
        .map(|(name, outputs)| Tensor::f32(&format!("{name}.weight"), &[outputs, 4], &noise(3, 4 * outputs)));
    std::fs::write(room.path("hostile-base"), safetensors(&tensors)).unwrap();
    assert_inert(&room, &["advise", "hostile", "--base", "hostile-base"]);
    let report = room.lowrank(&["merge", "hostile", "hostile-base", "out"]);
    assert!(report.status.success());
    std::fs::remove_file(room.path("out")).unwrap();
    let report = room.json(&["merge", "hostile", "hostile-base", "out"]);
    assert_eq!(report["layers"][0]["layer"], HOSTILE);
}

/// A name without an end is cut in a table, and stays whole in JSON.
#[test]
fn names_of_any_length() {
    let (room, name) = (Room::new(), "n".repeat(70_000));
    let mut adapter = Peft::empty();
    adapter.layer(&name, 4, 3, 2, Dtype::F32);
    adapter.write(&room.path("adapter"));
    let base = [Tensor::f32(&format!("{name}.weight"), &[3, 4], &noise(3, 12))];
    std::fs::write(room.path("base"), safetensors(&base)).unwrap();
    let merge = ["merge", "adapter", "base", "out"];
    for arguments in [&["inspect", "adapter"][..], &["advise", "adapter", "--base", "base"], &merge] {
        let text = room.good(arguments);
        assert!(text.lines().all(|line| line.chars().count() < 300), "{arguments:?}");
        assert!(text.contains("nnn…  "), "{text}");
        let _ = std::fs::remove_file(room.path("out"));
        assert_eq!(room.json(arguments)["layers"][0]["layer"], name.as_str());
    }
}

#[test]
fn what_files_hold() {
    let room = furnished();
    let adapters = [
        Peft::new().set(HOSTILE, json!(true)),
        Peft::new().set("peft_type", json!(HOSTILE)),
        Peft::new().set("init_lora_weights", json!(HOSTILE)),
        Peft::new().set("rank_pattern", json!({ HOSTILE: 2.5 })),
        Peft::new().set("alpha_pattern", json!({ format!("({HOSTILE}"): 1 })),
        Peft::new().with(Tensor::f32(HOSTILE, &[2, 4], &[0.0; 8])),
        Peft::new().with(Tensor::f32(&key(HOSTILE, "lora_A.weight"), &[2, 4], &noise(1, 8))),
        Peft::new().with(Tensor::f32(&key(INVISIBLE, "lora_B.weight"), &[2, 4], &noise(1, 8))),
    ];
    for (number, adapter) in adapters.iter().enumerate() {
        let name = format!("bad-{number}");
        adapter.write(&room.path(&name));
        for arguments in [
            &["convert", &name, "out"][..],
            &["inspect", &name],
            &["verify", &name],
            &["advise", &name],
            &["merge", &name, "base", "out"],
        ] {
            assert_inert(&room, arguments);
        }
    }
    // A base whose tensors, types and files have such names.
    let renamed = Tensor::f32(&format!("{HOSTILE}.net.q.weight"), &[3, 4], &noise(1, 12));
    std::fs::write(room.path("renamed"), safetensors(&[renamed])).unwrap();
    let header = json!({ "net.q.weight": { "dtype": HOSTILE, "shape": [1], "data_offsets": [0, 4] } }).to_string();
    std::fs::write(room.path("types"), [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat())
        .unwrap();
    for (number, map) in
        [json!({ "a": HOSTILE }), json!({ HOSTILE: "base" }), json!({ "a": 1, HOSTILE: [HOSTILE] })].iter().enumerate()
    {
        let text = json!({ "weight_map": map }).to_string();
        std::fs::write(room.path(&format!("{number}.index.json")), text).unwrap();
    }
    for base in ["renamed", "types", "0.index.json"] {
        assert_inert(&room, &["merge", "adapter", base, "out"]);
        assert_inert(&room, &["advise", "adapter", "--base", base]);
        assert_inert(&room, &["convert", "adapter", "out", "--fingerprint", base]);
    }
    let state = Tensor::f32(&format!("{HOSTILE}.exp_avg"), &[1], &[0.0]);
    std::fs::write(room.path("state"), safetensors(&[state])).unwrap();
    let output = room.lowrank(&["convert", "adapter", "out", "--optimizer-state", "state"]);
    assert!(!String::from_utf8(output.stderr).unwrap().contains(active));
}

/// Names of files come from elsewhere, too: `lowrank verify *`.
#[test]
fn names_of_files() {
    let room = furnished();
    let hostile = HOSTILE.replace('/', "");
    for arguments in [
        &["inspect", &hostile][..],
        &["verify", &hostile],
        &["advise", &hostile],
        &["merge", "adapter", &hostile, "out"],
        &["convert", &hostile, "out"],
        &["convert", &hostile, "out"],
        &["convert", "adapter", "out", "--fingerprint", &hostile],
        &["convert", "adapter", "x", "--c-array", &hostile, "--rust", &hostile],
        &["convert", "adapter", &format!("nowhere/{hostile}")],
        &["convert", "adapter", &format!("{hostile}/")],
    ] {
        assert_inert(&room, arguments);
    }
    for arguments in [
        &["convert", "adapter", &hostile][..],
        &["convert", "packed", &hostile],
        &["merge", "adapter", "base", &hostile],
    ] {
        assert_inert(&room, arguments);
        let path = room.path(&hostile);
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    std::fs::copy(room.path("packed"), room.path(&hostile)).unwrap();
    assert_inert(&room, &["verify", &hostile]);
    assert_inert(&room, &["convert", "adapter", &hostile]);
}

#[test]
fn words_of_a_wrong_command_line() {
    let room = furnished();
    for arguments in [
        &[HOSTILE][..],
        &["convert", "adapter", "out", "--symbol", HOSTILE],
        &["advise", "adapter", "--storage", HOSTILE],
        &["plan", "--inputs", HOSTILE],
        &["merge", "adapter", "base", "out", "--layout", HOSTILE],
        &["inspect", "adapter", HOSTILE],
        &["inspect", "adapter", &format!("--{HOSTILE}")],
    ] {
        assert_inert(&room, arguments);
        assert_eq!(room.lowrank(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

/// All printing goes through one file, so that none can be forgotten.
#[test]
fn only_one_file_prints() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for directory in [sources.clone(), sources.join("commands"), sources.join("peft")] {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("src/terminal.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for word in ["println!", "print!(", "eprint", "io::stderr", "dbg!"] {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 30);
}
