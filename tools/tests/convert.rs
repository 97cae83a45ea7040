//! `lowrank convert`: from which format to which one, how a destination is understood, and which options are refused.

mod support;

use lowrank::format::{AdapterFile, Contents};
use serde_json::json;
use support::{Peft, Room, Tensor, key, noise, safetensors};

/// The formats that can be written, as `--to` calls them.
const FORMATS: [&str; 4] = ["peft", "file", "c", "rust"];

/// An adapter as directory `peft` and as file `file`, a base and the state of an optimizer.
fn furnished() -> Room {
    let room = Room::new();
    Peft::new().write(&room.path("peft"));
    room.good(&["convert", "peft", "file"]);
    let base =
        [Tensor::f32("net.q.weight", &[3, 4], &noise(5, 12)), Tensor::f32("net.v.weight", &[5, 4], &noise(6, 20))];
    std::fs::write(room.path("base"), safetensors(&base)).unwrap();
    let state = [("net.q", 3), ("net.v", 5)].map(|(layer, outputs)| {
        let name = key(layer, "lora_B.weight");
        let moment = |part| Tensor::f32(&format!("{name}.{part}"), &[outputs, 2], &vec![0.5; 2 * outputs]);
        [moment("exp_avg"), moment("exp_avg_sq"), Tensor::f32(&format!("{name}.step"), &[], &[7.0])]
    });
    std::fs::write(room.path("state"), safetensors(&state.concat())).unwrap();
    room
}

fn read(room: &Room, name: &str) -> Vec<u8> {
    std::fs::read(room.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The format of what lies there, as `--to` calls it.
fn format(room: &Room, name: &str) -> &'static str {
    if room.path(name).is_dir() {
        assert!(!read(room, &format!("{name}/adapter_config.json")).is_empty());
        return "peft";
    }
    let bytes = read(room, name);
    match bytes.get(..3).unwrap() {
        b"low" => "file",
        b"/* " => "c",
        b"// " => "rust",
        other => panic!("{name} starts with {other:?}"),
    }
}

fn remove(room: &Room, name: &str) {
    let path = room.path(name);
    if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
}

/// The bytes in a source that the command has written.
fn bytes_of_code(source: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(source.to_vec()).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("    ") && line.trim_start().starts_with(char::is_numeric));
    let numbers = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_name_of_the_destination_tells_its_format() {
    let room = furnished();
    for (source, destination, expected) in [
        ("peft", "x", Some("file")),
        ("peft", "x.lowrank", Some("file")),
        ("peft", "x.bin", Some("file")),
        ("peft", "x-1.5", Some("file")),
        ("peft", "x.c", Some("c")),
        ("peft", "x.rs", Some("rust")),
        ("file", "x", Some("peft")),
        ("file", "x/", Some("peft")),
        ("file", "x-1.5/", Some("peft")),
        ("file", "x.c", Some("c")),
        ("file", "x.rs", Some("rust")),
        ("file", "x.bin", None),
        ("file", "x-1.5", None),
    ] {
        let before = room.names();
        let Some(expected) = expected else {
            let error = room.bad(&["convert", source, destination]);
            let parts = ["the name does not say", "--to peft", "--to file", "--to c ", "--to rust"];
            assert!(error.contains(destination) && parts.iter().all(|part| error.contains(part)), "{error}");
            assert_eq!(room.names(), before, "{source} to {destination}");
            continue;
        };
        let report = room.json(&["convert", source, destination]);
        assert_eq!(format(&room, destination), expected, "{source} to {destination}");
        assert_eq!((&report["from"], &report["to"]), (&source.into(), &expected.into()));
        remove(&room, destination);
    }
}

#[test]
fn what_is_said_about_the_format_wins_over_the_name() {
    let room = furnished();
    let names = ["x", "x.c", "x.rs", "x.lowrank", "x-1.5", "x.bin"];
    let mut count = 0;
    for source in ["peft", "file"] {
        for to in FORMATS.into_iter().filter(|&to| to != source) {
            for name in names {
                room.good(&["convert", source, name, "--to", to]);
                assert_eq!(format(&room, name), to, "{source} to {name}");
                remove(&room, name);
                count += 1;
            }
        }
    }
    assert_eq!(count, 2 * 3 * names.len());
    assert_eq!(room.lowrank(&["convert", "peft", "x", "--to", "zip"]).status.code(), Some(2));
}

/// Whatever the way is, the same adapter gives the same bytes.
#[test]
fn every_way_to_a_format_gives_the_same() {
    let room = furnished();
    for (format, name) in [("c", "x.c"), ("rust", "x.rs")] {
        room.good(&["convert", "file", name]);
        let direct = read(&room, name);
        assert_eq!(bytes_of_code(&direct), read(&room, "file"), "{format}");
        room.good(&["convert", "peft", name, "--force"]);
        assert_eq!(read(&room, name), direct, "{format}");
        let option = if format == "c" { "--c-array" } else { "--rust" };
        for source in ["peft", "file"] {
            room.good(&["convert", source, "y.lowrank", "--strip", "--force", option, name]);
            assert_eq!(bytes_of_code(&read(&room, name)), read(&room, "y.lowrank"), "{source}");
        }
        remove(&room, name);
    }
    // Both at once, and with one name.
    room.good(&["convert", "file", "x.c", "--rust", "x.rs", "--symbol", "fw", "--strip"]);
    let [c, rust] = ["x.c", "x.rs"].map(|name| read(&room, name));
    assert_eq!(bytes_of_code(&c), bytes_of_code(&rust));
    assert_eq!(bytes_of_code(&c), read(&room, "y.lowrank"));
    assert!(String::from_utf8(c).unwrap().contains("const unsigned char fw["));
    assert!(String::from_utf8(rust).unwrap().contains("pub static FW: "));
    room.good(&["convert", "file", "back"]);
    room.good(&["convert", "back", "again"]);
    assert_eq!(read(&room, "again"), read(&room, "file"));
}

/// What an adapter file says about itself stays, unless it is replaced.
#[test]
fn an_adapter_file_keeps_what_no_option_replaces() {
    let room = furnished();
    let marks = ["--fingerprint", "base", "--generation", "7", "--optimizer-state", "state"];
    room.good(&[&["convert", "peft", "marked"][..], &marks].concat());
    let marked = read(&room, "marked");
    let file = AdapterFile::parse(&marked).unwrap();
    let entries: Vec<_> = file.entries().collect();
    assert!(file.fingerprint() != 0 && entries.iter().all(|entry| entry.training.is_some()));
    let expected = |metadata, fingerprint, generation| {
        let contents = Contents { entries: &entries, metadata, fingerprint, generation };
        let mut bytes = vec![0; contents.encoded_len().unwrap()];
        contents.emit(&mut bytes).unwrap();
        bytes
    };
    let (metadata, fingerprint) = (file.metadata(), file.fingerprint());
    let other = [Tensor::f32("net.q.weight", &[3, 4], &[0.5; 12]), Tensor::f32("net.v.weight", &[5, 4], &[0.5; 20])];
    std::fs::write(room.path("other"), safetensors(&other)).unwrap();
    let report = room.json(&["convert", "marked", "new.lowrank", "--fingerprint", "other"]);
    let new = u64::from_str_radix(report["fingerprint"].as_str().unwrap(), 16).unwrap();
    assert!(new != fingerprint && report["optimizer_state"] == true);
    assert_eq!(read(&room, "new.lowrank"), expected(metadata, new, 7));
    for (options, bytes) in [
        (&["--strip"][..], expected("", fingerprint, 7)),
        (&["--generation", "8"], expected(metadata, fingerprint, 8)),
        (&["--generation", "0", "--strip"], expected("", fingerprint, 0)),
        (&["--fingerprint", "base"], marked.clone()),
        (&["--optimizer-state", "state"], marked.clone()),
    ] {
        room.good(&[&["convert", "marked", "new.lowrank", "--force"], options].concat());
        assert!(read(&room, "new.lowrank") == bytes, "{options:?}");
        // Source code holds the same.
        room.good(&[&["convert", "marked", "new.c", "--force"], options].concat());
        assert!(bytes_of_code(&read(&room, "new.c")) == bytes, "{options:?}");
    }
    room.good(&["convert", "marked", "as-it-is.rs"]);
    assert_eq!(bytes_of_code(&read(&room, "as-it-is.rs")), marked);
    assert!(room.bad(&["convert", "marked", "x.lowrank", "--fingerprint", "file"]).contains("expected a base"));
    assert_eq!(room.json(&["convert", "file", "x.lowrank", "--optimizer-state", "state"])["optimizer_state"], true);
}

#[test]
fn what_would_change_nothing_is_refused() {
    let room = furnished();
    let before = room.names();
    for (arguments, parts) in [
        (&["peft", "x", "--to", "peft"][..], ["peft: this is a PEFT directory already", "copy it", "--to file"]),
        (&["file", "x.lowrank"], ["file: this is an adapter file already", "copy it", "--strip"]),
        (&["file", "x", "--to", "file"], ["nothing in it would change", "--generation", "--to for another"]),
        (&["file", "x.lowrank", "--force"], ["nothing in it would change", "--fingerprint", "--optimizer-state"]),
    ] {
        let error = room.bad(&[&["convert"], arguments].concat());
        assert!(parts.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
        assert_eq!(room.names(), before, "{arguments:?}");
    }
    room.good(&["convert", "file", "x.lowrank", "--c-array", "x.c"]);
    assert_eq!(read(&room, "x.lowrank"), read(&room, "file"));
}

/// Each option, in each pair of formats: taken where it means something, and refused by its name elsewhere.
#[test]
fn an_option_without_a_meaning_is_refused_by_name() {
    let options: [&[&str]; 9] = [
        &["--strip"],
        &["--generation", "3"],
        &["--fingerprint", "base"],
        &["--optimizer-state", "state"],
        &["--c-array", "y.c"],
        &["--rust", "y.rs"],
        &["--allow-dead"],
        &["--force"],
        &["--from-table"],
    ];
    let room = furnished();
    let before = room.names();
    let (mut taken, mut refused) = (0, 0);
    for source in ["peft", "file"] {
        for to in FORMATS.into_iter().filter(|&to| (source, to) != ("peft", "peft")) {
            for option in options {
                let means_something = (option[0] == "--from-table") == (to == "peft");
                // What changes nothing is refused for that, unless something else changes.
                let change: &[&str] = if [source, to] == ["file", "file"] { &["--generation", "9"] } else { &[] };
                let change = if option[0] == "--generation" { &[] } else { change };
                let arguments = [&["convert", source, "x", "--to", to], option, change].concat();
                if means_something {
                    room.good(&arguments);
                    taken += 1;
                } else {
                    let error = room.bad(&arguments);
                    let names = ["a PEFT directory", "an adapter file", "a C array", "a Rust static"];
                    let name = |format: &str| names[FORMATS.iter().position(|&each| each == format).unwrap()];
                    let expected = format!("`{}` means nothing from {} to {}", option[0], name(source), name(to));
                    assert!(error.contains(&expected), "{expected:?} is not in {error:?}");
                    refused += 1;
                }
                let made: Vec<String> = room.names().into_iter().filter(|name| !before.contains(name)).collect();
                assert_eq!(made.is_empty(), !means_something, "{arguments:?}: {made:?}");
                made.iter().for_each(|name| remove(&room, name));
            }
        }
    }
    assert_eq!((taken, refused), (6 * 8 + 1, 6 + 8));
}

#[test]
fn an_option_that_belongs_to_another_one_is_refused_alone() {
    let room = furnished();
    let before = room.names();
    for (arguments, option, needed) in [
        (&["peft", "x", "--symbol", "fw"][..], "--symbol", "--c-array or --rust"),
        (&["file", "x", "--symbol", "fw"], "--symbol", "--c-array or --rust"),
        (&["peft", "x", "--layout", "in-out"], "--layout", "--fingerprint"),
        (&["file", "x.c", "--remove-prefix", "a"], "--remove-prefix", "--fingerprint"),
        (&["file", "x", "--add-prefix", "a"], "--add-prefix", "--fingerprint"),
    ] {
        let error = room.bad(&[&["convert"], arguments].concat());
        assert!(error.contains(&format!("`{option}` means nothing without {needed}")), "{error}");
        assert_eq!(room.names(), before, "{arguments:?}");
    }
}

/// Scripts have the names of before: they say what is written, whatever its name is.
#[test]
fn the_names_of_before_work_as_before() {
    let room = furnished();
    let help = room.good(&["--help"]);
    assert!(help.contains("  convert ") && !help.contains("pack"), "{help}");
    for name in ["x", "x.c", "x.rs", "x.bin"] {
        room.good(&["pack", "peft", name]);
        assert!(read(&room, name) == read(&room, "file"), "{name}");
        remove(&room, name);
        room.good(&["unpack", "file", name]);
        assert_eq!(format(&room, name), "peft", "{name}");
        remove(&room, name);
    }
    room.good(&["pack", "peft", "x", "--strip", "--c-array", "x.c", "--rust", "x.rs"]);
    room.good(&["unpack", "file", "y", "--from-table"]);
    room.good(&["pack", "peft", "z", "--to", "c"]);
    assert_eq!(["x", "x.c", "x.rs", "y", "z"].map(|name| format(&room, name)), ["file", "c", "rust", "peft", "c"]);
    assert!(room.bad(&["unpack", "peft", "new"]).contains("peft: this is a PEFT directory already"));
    assert!(room.bad(&["pack", "file", "new"]).contains("file: this is an adapter file already"));
    for name in ["pack", "unpack", "convert"] {
        let help = room.good(&[name, "--help"]);
        assert!(help.contains("Usage: lowrank convert ") && help == room.good(&["convert", "--help"]), "{help}");
    }
}

/// A file is no better than the directory that it could have come from.
#[test]
fn a_dead_layer_of_an_adapter_file_is_taken_only_when_asked_for() {
    let room = Room::new();
    let zeros = |part: &str, rows, cols| Tensor::f32(&key("net.q", part), &[rows, cols], &vec![0.0; rows * cols]);
    Peft::new().with(zeros("lora_A.weight", 2, 4)).with(zeros("lora_B.weight", 3, 2)).write(&room.path("peft"));
    room.good(&["convert", "peft", "dead", "--allow-dead"]);
    for name in ["x.c", "x.rs"] {
        let error = room.bad(&["convert", "dead", name]);
        assert!(error.contains("\"net.q\" is dead") && error.contains("`lowrank convert` takes it"), "{error}");
        room.good(&["convert", "dead", name, "--allow-dead"]);
    }
    assert!(room.bad(&["convert", "dead", "x.lowrank", "--strip"]).contains("is dead"));
    room.good(&["convert", "dead", "x.lowrank", "--strip", "--allow-dead"]);
    room.good(&["convert", "dead", "directory"]);
}

#[test]
fn the_source_is_never_replaced() {
    let room = furnished();
    let before = read(&room, "file");
    for arguments in [
        &["convert", "file", "file", "--to", "file", "--strip", "--force"][..],
        &["convert", "file", "./file", "--to", "c", "--force"],
        &["convert", "file", "x.c", "--rust", "file", "--force"],
        &["convert", "file", "x.lowrank", "--force", "--optimizer-state", "state", "--c-array", "state"],
    ] {
        let error = room.bad(arguments);
        assert!(error.contains("is an input of this command"), "{arguments:?}: {error}");
        assert!(read(&room, "file") == before && !room.path("x.c").exists(), "{arguments:?}");
    }
}

#[test]
fn an_adapter_comes_back_as_it_was() {
    let room = Room::new();
    let adapter = Peft::new().set("alpha_pattern", json!({ "q": 0.3 })).set("base_model_name_or_path", json!("größe"));
    adapter.write(&room.path("in"));
    room.good(&["convert", "in", "file"]);
    room.good(&["convert", "file", "out"]);
    let read = |name: &str| std::fs::read(room.path(name)).unwrap();
    assert_eq!(read("in/adapter_model.safetensors"), read("out/adapter_model.safetensors"));
    let config: serde_json::Value = serde_json::from_slice(&read("out/adapter_config.json")).unwrap();
    assert_eq!(config, serde_json::Value::Object(adapter.fields));
    // The table alone gives the same tensors, and a configuration with the same file in the end.
    room.good(&["convert", "file", "table", "--from-table"]);
    assert_eq!(read("in/adapter_model.safetensors"), read("table/adapter_model.safetensors"));
    room.good(&["convert", "in", "stripped", "--strip"]);
    room.good(&["convert", "stripped", "unstripped"]);
    assert_eq!(read("table/adapter_config.json"), read("unstripped/adapter_config.json"));
    assert!(read("stripped").len() < read("file").len());
}

/// The fingerprint is the one that a device computes from its weights, whichever way round the file stores them.
#[test]
fn the_fingerprint_is_that_of_the_library() {
    let expected = {
        let tensors = support::base();
        let [q, b, v] = [0, 1, 2].map(|number: usize| tensors[number].values());
        let mut fingerprint = lowrank::format::Fingerprint::new();
        let rows = |values, outputs| lowrank::MatRef::new(values, outputs, 4).unwrap().into();
        fingerprint.base(&lowrank::Base { weights: rows(&q, 3), bias: Some(lowrank::MatRef::from_row(&b)) });
        fingerprint.base(&lowrank::Base { weights: rows(&v, 5), bias: None });
        format!("{:016x}", fingerprint.finish())
    };
    let room = support::furnished();
    let packed = room.json(&["convert", "my-adapter", "marked", "--fingerprint", "base.safetensors"]);
    assert_eq!(packed["fingerprint"], expected);
    let mut turned = support::base();
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
    let packed = room.json(&["convert", "turned", "marked-2", "--fingerprint", "turned.safetensors"]);
    assert_eq!(packed["fingerprint"], expected);
}
