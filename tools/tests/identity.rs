//! What goes from an adapter file to a PEFT directory and back is what it was: names, numbers and settings.

mod support;

use std::collections::BTreeSet;

use lowrank::format::{AdapterFile, Contents, EmitError, Entry, RandomState, Tensor};
use lowrank::{MatRef, Scale};
use lowrank_tools::peft::{self, Config, PeftError};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Peft, Room, noise};

/// A layer that a PEFT directory can hold, with 3 inputs and 2 outputs.
#[derive(Clone, Debug)]
struct Plain {
    name: String,
    rank: usize,
    scale: Scale,
    bias: bool,
    numbers: [Vec<f32>; 3],
}

impl Plain {
    fn new(name: &str, rank: usize, scale: Scale, bias: bool) -> Self {
        let numbers = [noise(1, rank * 3), noise(2, 2 * rank), noise(3, 2)];
        Self { name: name.to_owned(), rank, scale, bias, numbers }
    }

    fn layer(&self, id: u32, dropout: f32) -> Entry<'_> {
        let [a, b, bias] = &self.numbers;
        let tensor = |values, rows, cols| Tensor::from(MatRef::new(values, rows, cols).unwrap());
        Entry {
            name: &self.name,
            id,
            scale: self.scale,
            a: tensor(a, self.rank, 3),
            b: tensor(b, 2, self.rank),
            bias: self.bias.then(|| tensor(bias, 1, 2)),
            b_bias: None,
            fan_in_fan_out: false,
            training: None,
            random: RandomState { dropout, ..RandomState::default() },
        }
    }
}

fn emit(entries: &[Entry<'_>], metadata: &str) -> Result<Vec<u8>, EmitError> {
    let contents = Contents { entries, metadata, fingerprint: 0, generation: 0 };
    let mut bytes = vec![0; contents.encoded_len()?];
    contents.emit(&mut bytes).map(|_| bytes)
}

/// Names of the pieces that patterns, JSON, paths and terminals could stumble over, and any others.
fn name() -> impl Strategy<Value = String> {
    const PIECES: [&str; 32] = [
        "q",
        "v",
        "a",
        ".",
        "0",
        "1",
        "base_layer",
        ".base_layer",
        "lora_A",
        ".weight",
        ".bias",
        "default",
        " ",
        "\n",
        "\t",
        "\u{1b}[31m",
        "\0",
        "\u{7f}",
        "é",
        "e\u{301}",
        "\u{feff}",
        "日本",
        "😀",
        "+",
        "*",
        "[0]",
        "(a)",
        "\\",
        "^",
        "$",
        "|",
        "\"",
    ];
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(&PIECES[..]), 0..5).prop_map(|pieces| pieces.concat()),
        2 => prop::sample::select(&["", "^", "^\\^", "a", "^a", "^\\^a"][..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn layer(modes: &'static [u8]) -> impl Strategy<Value = Plain> {
    let number = prop_oneof![Just(1.0), Just(8.0), Just(0.1), Just(-0.0), -100.0..100.0f32, any::<f32>()];
    let number = number.prop_filter("finite", |number| number.is_finite());
    (name(), 1..5usize, number, prop::sample::select(modes), any::<bool>()).prop_map(
        |(name, rank, number, mode, bias)| {
            let scale = match mode {
                0 => Scale::Alpha(number),
                1 => Scale::RankStabilized(number),
                _ => Scale::Direct(number),
            };
            Plain::new(&name, rank, scale, bias)
        },
    )
}

fn layers() -> impl Strategy<Value = Vec<Plain>> {
    const MODES: [&[u8]; 4] = [&[0], &[1], &[2], &[0, 1, 2]];
    prop::sample::select(&MODES[..]).prop_flat_map(|modes| prop::collection::vec(layer(modes), 1..5))
}

/// Whether PEFT can hold these names beside each other.
fn expressible(names: &[&str]) -> bool {
    let all: BTreeSet<&str> = names.iter().copied().collect();
    let wraps = |outer: &&str, inner: &&str| {
        inner.strip_prefix(*outer).is_some_and(|rest| rest == ".base_layer" || rest.starts_with(".base_layer."))
    };
    all.len() == names.len() && !all.iter().any(|outer| all.iter().any(|inner| wraps(outer, inner)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// Whatever becomes a PEFT directory is what it was when it comes back. What PEFT cannot hold is refused.
    #[test]
    fn a_file_comes_back(mut plain in layers(), dropout in prop_oneof![Just(0.0f32), 0.0..0.99f32]) {
        plain.sort_by(|x, y| x.name.cmp(&y.name));
        let ids = |at: usize| u32::from(at > 0 && plain[at - 1].name == plain[at].name) * at as u32;
        let old: Vec<Entry<'_>> = plain.iter().enumerate().map(|(at, entry)| entry.layer(ids(at), dropout)).collect();
        // A factor that is not finite is refused by the format.
        let Ok(bytes) = emit(&old, "") else { return Ok(()) };
        let file = AdapterFile::parse(&bytes).unwrap();
        let entries: Vec<Entry<'_>> = file.entries().collect();
        let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        // A pattern for one of them matches the other one, too.
        let line_feed = names.iter().any(|name| name.strip_suffix('\n').is_some_and(|other| names.contains(&other)));
        let written = match peft::write(&entries, None) {
            Ok(written) => written,
            Err(PeftError::SameName { .. } | PeftError::Wrapped { .. }) if !expressible(&names) => return Ok(()),
            Err(PeftError::Disagreement { .. }) if line_feed => return Ok(()),
            Err(other) => panic!("{other}: {names:?}"),
        };
        prop_assert!(expressible(&names));
        let again = peft::read(written.config.as_bytes(), &written.tensors).unwrap();
        prop_assert_eq!(again.layers.len(), entries.len());
        for (old, new) in entries.iter().zip(again.entries()) {
            let [old_factor, new_factor] = [old, &new].map(|entry| entry.scale.factor(entry.shape().rank).to_bits());
            prop_assert_eq!((old.name, old_factor, old.random.dropout), (new.name, new_factor, new.random.dropout));
        }
        if entries.iter().all(|entry| matches!(entry.scale, Scale::Alpha(_))) {
            prop_assert_eq!(emit(&again.entries(), "").unwrap(), bytes);
        }
        // And with the configuration in the metadata.
        let metadata = peft::metadata(&again.config);
        let packed = emit(&again.entries(), &metadata).unwrap();
        let config = peft::from_metadata(AdapterFile::parse(&packed).unwrap().metadata()).unwrap().unwrap();
        let written = peft::write(&again.entries(), Some(&config)).unwrap();
        let third = peft::read(written.config.as_bytes(), &written.tensors).unwrap();
        prop_assert_eq!(emit(&third.entries(), &peft::metadata(&third.config)).unwrap(), packed);
    }

    /// Any number that JSON can hold comes back with the bits that Python gives it, in whichever way it is written.
    #[test]
    fn a_number_comes_back(alpha in any::<f64>(), way in 0..4u8) {
        prop_assume!(alpha.is_finite());
        let text = match way {
            0 => format!("{alpha:?}"),
            1 => format!("{alpha:e}"),
            2 => format!("{alpha:.17e}").replace('e', "E"),
            _ => format!("{alpha:.30}"),
        };
        let config = format!(r#"{{"peft_type":"LORA","r":1,"lora_alpha":{text},"loftq_config":{{"x":[ {text} ]}}}}"#);
        let config = Config::parse(config.as_bytes()).unwrap();
        let back = peft::from_metadata(&peft::metadata(&config)).unwrap().unwrap();
        let expected = [format!("\"lora_alpha\": {text},"), format!("[{text}]")];
        prop_assert!(expected.iter().all(|part| back.pretty().contains(part)), "{}", back.pretty());
        if let Ok((settings, _)) = back.settings(&["q"]) {
            prop_assert_eq!(settings[0].scale.factor(1).to_bits(), (text.parse::<f64>().unwrap() as f32).to_bits());
        } else {
            prop_assert!(!(alpha as f32).is_finite());
        }
    }
}

/// The text of a configuration that was made from the entries is this one.
#[test]
fn the_text_of_a_written_configuration_is_that_of_the_layers() {
    let written = |entries: &[(&str, usize, Scale, bool)], dropout: f32| -> Vec<String> {
        let plain: Vec<_> =
            entries.iter().map(|&(name, rank, scale, bias)| Plain::new(name, rank, scale, bias)).collect();
        let entries: Vec<_> = plain.iter().map(|entry| entry.layer(0, dropout)).collect();
        let config = peft::write(&entries, None).unwrap().config;
        let said = [
            "alpha_pattern",
            "\"bias",
            "lora_alpha",
            "lora_dropout",
            "\"r\"",
            "rank_pattern",
            "target",
            "rslora",
            "  \"^",
        ];
        let line = |line: &&str| said.iter().any(|said| line.contains(said));
        config.lines().filter(line).map(|line| line.trim().trim_end_matches(',').to_owned()).collect()
    };
    let entries =
        [("a", 2, Scale::Alpha(16.0), false), ("b.c", 3, Scale::Alpha(0.3), true), ("d", 3, Scale::Direct(0.1), false)];
    let expected = [
        "\"alpha_pattern\": {",
        "\"^b\\\\.c\": 0.30000001192092896",
        "\"^d\": 0.30000000447034836",
        "\"bias\": \"lora_only\"",
        "\"lora_alpha\": 16",
        "\"lora_dropout\": 0.1",
        "\"r\": 3",
        "\"rank_pattern\": {",
        "\"^a\": 2",
        "\"target_modules\": \"(?:a|b\\\\.c|d)\"",
        "\"use_rslora\": false",
    ];
    assert_eq!(written(&entries, 0.1), expected);
    // Of two that are as frequent, the first one is the usual one.
    let entries = [("a", 7, Scale::RankStabilized(2.5), false), ("b", 1, Scale::RankStabilized(-0.0), false)];
    let expected = [
        "\"alpha_pattern\": {",
        "\"^b\": -0.0",
        "\"bias\": \"none\"",
        "\"lora_alpha\": 2.5",
        "\"lora_dropout\": 0.0",
        "\"r\": 7",
        "\"rank_pattern\": {",
        "\"^b\": 1",
        "\"target_modules\": \"(?:a|b)\"",
        "\"use_rslora\": true",
    ];
    assert_eq!(written(&entries, 0.0), expected);
    let dropouts =
        [(0.3, "0.3"), (0.05, "0.05"), (1.0 / 3.0, "0.33333334"), (1e-10, "1e-10"), (0.999_999_94, "0.99999994")];
    for (dropout, text) in dropouts {
        let lines = written(&[("a", 1, Scale::Alpha(1e9), false)], dropout);
        assert!(lines.contains(&format!("\"lora_dropout\": {text}")), "{lines:?}");
        assert!(lines.contains(&"\"lora_alpha\": 1000000000.0".to_owned()), "{lines:?}");
    }
}

/// The key of a layer can be the name of another one, which PEFT would look up.
#[test]
fn a_name_that_is_the_key_of_another_layer_has_a_key_of_its_own() {
    for [one, other] in [["", "^"], ["a", "^a"], ["^a", "^\\^a"]] {
        let plain =
            [(one, 4), (other, 1), ("x", 1)].map(|(name, rank)| Plain::new(name, rank, Scale::Alpha(8.0), false));
        let entries = plain.each_ref().map(|entry| entry.layer(0, 0.0));
        let written = peft::write(&entries, None).unwrap();
        let again = peft::read(written.config.as_bytes(), &written.tensors).unwrap();
        let ranks: Vec<_> = again.entries().iter().map(|entry| (entry.name.to_owned(), entry.shape().rank)).collect();
        assert!(ranks.contains(&(one.to_owned(), 4)) && ranks.contains(&(other.to_owned(), 1)), "{ranks:?}");
    }
}

/// A pattern for a name matches the same name with a line feed behind it, too: what PEFT would take for something else is
/// refused, whichever factor the scales need.
#[test]
fn names_that_differ_in_a_line_feed_have_one_setting_or_are_refused() {
    let scales: [fn(f32) -> Scale; 3] = [Scale::Alpha, Scale::RankStabilized, Scale::Direct];
    for (scale, (alphas, good)) in
        scales.iter().flat_map(|scale| [([4.0, 4.0], true), ([8.0, 4.0], false)].map(|row| (scale, row)))
    {
        let plain = [("a", alphas[0]), ("a\n", alphas[1]), ("x", 4.0)]
            .map(|(name, alpha)| Plain::new(name, 3, scale(alpha), false));
        let entries = plain.each_ref().map(|entry| entry.layer(0, 0.0));
        match peft::write(&entries, None) {
            Ok(written) => {
                let again = peft::read(written.config.as_bytes(), &written.tensors).unwrap();
                let factors =
                    |entries: &[Entry<'_>]| -> Vec<f32> { entries.iter().map(|entry| entry.scale.factor(3)).collect() };
                assert_eq!(factors(&again.entries()), factors(&entries));
                assert!(good, "{:?}", plain[0].scale);
            }
            Err(PeftError::Disagreement { field: "scale", .. }) => assert!(!good, "{:?}", plain[0].scale),
            Err(other) => panic!("{other}"),
        }
    }
}

/// A trained bias needs a configuration that has one.
#[test]
fn a_trained_bias_is_not_written_under_a_configuration_without_one() {
    let plain = Plain::new("q", 2, Scale::Alpha(8.0), true);
    let entries = [plain.layer(0, 0.0)];
    for (bias, good) in [("lora_only", true), ("none", false)] {
        let text = json!({ "peft_type": "LORA", "r": 2, "lora_alpha": 8, "bias": bias }).to_string();
        match peft::write(&entries, Some(&Config::parse(text.as_bytes()).unwrap())) {
            Ok(_) => assert!(good),
            Err(PeftError::Disagreement { field, .. }) => assert!(!good && field == "a trained bias"),
            Err(other) => panic!("{other}"),
        }
    }
    // No field is "none".
    let text = json!({ "peft_type": "LORA", "r": 2, "lora_alpha": 8 }).to_string();
    assert!(peft::write(&entries, Some(&Config::parse(text.as_bytes()).unwrap())).is_err());
}

/// Every field has the place and the characters that it had, also those that are not Unicode.
#[test]
fn a_configuration_keeps_its_characters() {
    let text = r#"{
  "base_model_name_or_path": "/data/mod\udce8le \u00e8 è",
  "peft_type": "LORA",
  "r": 2, "lora_alpha": 1.60E+1,
  "loftq_config": {"big": 123456789012345678901234567890, "tiny": 1e-999, "text": "a \" b \\"},
  "alpha_pattern": {"2": 16, "10" : 4.0, "1": 0.1}, "r": 3
}"#;
    let config = Config::parse(text.as_bytes()).unwrap();
    let expected = concat!(
        r#"{"adapter_config.json":{"base_model_name_or_path":"/data/mod\udce8le \u00e8 è","peft_type":"LORA","r":3,"#,
        r#""lora_alpha":1.60E+1,"loftq_config":{"big":123456789012345678901234567890,"tiny":1e-999,"text":"a \" b \\"},"#,
        r#""alpha_pattern":{"2":16,"10":4.0,"1":0.1}}}"#
    );
    assert_eq!(peft::metadata(&config), expected);
    let back = peft::from_metadata(expected).unwrap().unwrap();
    assert_eq!(peft::metadata(&back), expected);
    assert!(back.pretty().starts_with("{\n  \"base_model_name_or_path\": \"/data/mod\\udce8le \\u00e8 è\",\n"));
    assert!(back.pretty().ends_with("{\"2\":16,\"10\":4.0,\"1\":0.1}\n}"));
    for none in ["", "{}", "[]", "x", r#"{"adapter_config.json":[]}"#] {
        assert!(peft::from_metadata(none).unwrap().is_none());
    }
    assert!(peft::from_metadata(r#"{"adapter_config.json":{}}"#).is_err());
}

/// The command refuses a file with two entries of one name, and leaves nothing.
#[test]
fn layers_of_one_name_do_not_become_one() {
    let plain = [0, 1].map(|_| Plain::new("q", 2, Scale::Alpha(8.0), false));
    let entries = [plain[0].layer(0, 0.0), plain[1].layer(1, 0.0)];
    let room = Room::new();
    std::fs::write(room.path("file"), emit(&entries, "").unwrap()).unwrap();
    let with_config = r#"{"adapter_config.json":{"peft_type":"LORA","r":2,"lora_alpha":8}}"#;
    std::fs::write(room.path("marked"), emit(&entries, with_config).unwrap()).unwrap();
    for file in ["file", "marked"] {
        let error = room.bad(&["convert", file, "out"]);
        assert!(error.contains("\"q\"") && error.contains("ids 0 and 1"), "{error}");
    }
    assert_eq!(room.names(), ["file", "marked"]);
}

/// The command takes names to a directory and back that no other part of it could.
#[test]
fn odd_names_go_there_and_back() {
    let names = ["", " ", "a b", "größe", "x\u{1b}[2Jy", "net.base_layer.q", "a\nb", "日本.v"];
    let room = Room::new();
    for (at, name) in names.iter().enumerate() {
        let others = [Plain::new("m", 2, Scale::Alpha(8.0), false), Plain::new(name, 3, Scale::Direct(0.1), false)];
        let mut entries: Vec<_> = others.iter().map(|entry| entry.layer(0, 0.0)).collect();
        entries.sort_by(|x, y| x.name.cmp(y.name));
        let [file, directory, again] = ["file", "directory", "again"].map(|what| format!("{what}-{at}"));
        std::fs::write(room.path(&file), emit(&entries, "").unwrap()).unwrap();
        room.good(&["convert", &file, &directory]);
        room.good(&["convert", &directory, &again, "--strip"]);
        let [old, new] = [file, again].map(|file| std::fs::read(room.path(&file)).unwrap());
        let [old, new] = [&old, &new].map(|bytes| AdapterFile::parse(bytes).unwrap());
        for (old, new) in old.entries().zip(new.entries()) {
            let factors = [old, new].map(|entry| entry.scale.factor(entry.shape().rank).to_bits());
            assert_eq!((old.name, factors[0]), (new.name, factors[1]));
        }
        assert_eq!(old.entries().len(), new.entries().len());
    }
}

/// Of the fields that say nothing about a layer, none is looked at.
#[test]
fn the_path_of_a_base_need_not_be_unicode() {
    let room = Room::new();
    Peft::new().write(&room.path("in"));
    let text = String::from_utf8(Peft::new().config()).unwrap();
    let text = text.replacen('{', r#"{"base_model_name_or_path":"/mod\udce8le","#, 1);
    std::fs::write(room.path("in").join(peft::CONFIG_FILE), &text).unwrap();
    room.good(&["convert", "in", "file"]);
    room.good(&["convert", "file", "out"]);
    let back = std::fs::read_to_string(room.path("out").join(peft::CONFIG_FILE)).unwrap();
    assert!(back.contains(r#""/mod\udce8le""#), "{back}");
    let _: Value = serde_json::from_str(&back.replace(r"\udce8", "")).unwrap();
}
