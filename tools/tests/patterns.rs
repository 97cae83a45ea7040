//! Patterns of `rank_pattern` and `alpha_pattern`, and factors, against tables that come from PEFT.

mod support;

use lowrank::Dtype;
use lowrank_tools::peft::{self, Config, PeftError};
use serde::Deserialize;
use serde_json::{Value, json};
use support::Peft;

#[derive(Deserialize)]
struct Row {
    name: String,
    keys: Vec<(String, u32)>,
    layers: Vec<String>,
    /// The alpha of each layer, or "refused".
    expected: Value,
    #[serde(default)]
    unmatched: Vec<String>,
}

/// The text of a table, whose keys may come twice.
fn table(entries: &[(String, u32)]) -> String {
    let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
    format!("{{{}}}", entries.join(","))
}

fn config(field: &str, table: &str) -> Result<Config, PeftError> {
    let default = if field == "rank_pattern" { "r" } else { "lora_alpha" };
    Config::parse(format!(r#"{{"peft_type":"LORA","r":1,"{default}":8,"{field}":{table}}}"#).as_bytes())
}

/// `data/patterns.json` was written by PEFT itself; what it says of alphas holds for ranks.
#[test]
fn a_layer_has_the_value_that_peft_gives_it() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("data/patterns.json")).unwrap();
    assert!(rows.len() > 400, "{} rows", rows.len());
    for Row { name, keys, layers, expected, unmatched } in rows {
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        for field in ["rank_pattern", "alpha_pattern"] {
            let config = config(field, &table(&keys));
            if expected == json!("refused") {
                let error = config.map(drop).expect_err(&format!("{name}: {keys:?} is taken"));
                assert!(matches!(&error, PeftError::Pattern { .. }), "{name}: {error}");
                continue;
            }
            let config = config.unwrap_or_else(|error| panic!("{name}: {error}"));
            let (settings, unused) = config.settings(&layers).unwrap();
            let got = settings.iter().map(|setting| match field {
                "rank_pattern" => json!(setting.rank),
                _ => json!(setting.scale.factor(1) as u32),
            });
            assert_eq!(Value::from_iter(got), expected, "{name}, {field}: {keys:?} {layers:?}");
            let unused: Vec<_> = unused.into_iter().flat_map(|unused| unused.keys).collect();
            assert_eq!(unused, unmatched, "{name}, {field}");
        }
    }
}

#[derive(Deserialize)]
struct Factor {
    lora_alpha: String,
    r: u32,
    use_rslora: bool,
    /// Of the factor in 32 bits, or "refused".
    bits: String,
}

/// `data/scales.json` has the factors that PEFT computes and PyTorch applies.
#[test]
fn the_factor_is_that_of_peft_to_the_bit() {
    let rows: Vec<Factor> = serde_json::from_str(include_str!("data/scales.json")).unwrap();
    assert!(rows.len() > 500, "{} rows", rows.len());
    for Factor { lora_alpha, r, use_rslora, bits } in rows {
        let text = format!(r#"{{"peft_type":"LORA","r":{r},"lora_alpha":{lora_alpha},"use_rslora":{use_rslora}}}"#);
        let got = Config::parse(text.as_bytes()).and_then(|config| {
            let (settings, _) = config.settings(&["q"])?;
            Ok(format!("{:08x}", settings[0].scale.factor(r as usize).to_bits()))
        });
        let got = match got {
            Err(PeftError::Scale { .. } | PeftError::FieldRange { .. }) => "refused".to_owned(),
            other => other.unwrap(),
        };
        assert_eq!(got, bits, "{text}");
    }
}

/// Names of layers as a model has them, and a key for each of them.
fn many(count: usize) -> (Vec<String>, String) {
    let names: Vec<_> = (0..count).map(|number| format!("model.layers.{number}.self_attn.q_proj")).collect();
    let keys: Vec<_> = names.iter().map(|name| (name.clone(), 3)).collect();
    (names, table(&keys))
}

/// The work is counted: a thousand layers with a key each are far below the limit, and what is above it is refused.
#[test]
fn what_takes_too_many_steps_is_refused() {
    let (names, keys) = many(1_000);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let per_layer = config("alpha_pattern", &keys).unwrap();
    let (settings, unused) = per_layer.settings(&names).unwrap();
    assert!(settings.iter().all(|setting| setting.scale.factor(1) == 3.0) && unused.is_empty());

    // As many steps for each character as the key has, which is known beforehand.
    let endless = config("rank_pattern", r#"{"(.*.*.*.*.*.*.*.*){1,99}x":2}"#).unwrap();
    let name = "a".repeat(10_000);
    endless.settings(&[&name[..1_000]]).unwrap();
    let error = endless.settings(&vec![name.as_str(); 100]).map(drop).unwrap_err();
    assert!(matches!(error, PeftError::Steps { field: "rank_pattern", .. }), "{error}");
    // A key may begin behind every dot.
    let dots = "a.".repeat(100_000);
    let error = config("rank_pattern", r#"{".*x":2}"#).unwrap().settings(&[&dots]).map(drop).unwrap_err();
    assert!(matches!(error, PeftError::Steps { .. }), "{error}");

    let (_, keys) = many(20_000);
    let error = config("rank_pattern", &keys).map(drop).unwrap_err();
    assert!(matches!(error, PeftError::PatternSize { field: "rank_pattern", .. }), "{error}");
}

/// Beyond ASCII, `\d` and `\w` mean what a version of Unicode says.
#[test]
fn a_class_is_not_matched_with_a_name_beyond_ascii() {
    for key in [r"\w", r"[\d]x", r"a|\d"] {
        let mut adapter = Peft::empty().set("rank_pattern", json!({ "q": 2, key: 2 }));
        adapter.layer("net.é", 4, 4, 2, Dtype::F32);
        adapter.read(|read| match read.map(drop).unwrap_err() {
            PeftError::Ambiguous { layer, key: named, .. } => {
                assert_eq!((layer.as_str(), named.as_str()), ("net.é", key))
            }
            other => panic!("{other}"),
        });
    }
}

/// Python's `.` and `.*` stop at a line feed, and its `$` holds in front of the last one.
#[test]
fn line_feeds_in_names_are_those_of_python() {
    // Each line was checked with re.match(rf"(.*\.)?({key})$", name).
    let rows = [
        ("q", "q\n", true),
        ("q$", "q\n", true),
        ("q", "q\n\n", false),
        ("q", "\nq", false),
        ("q", "a\n.q", false),
        ("q", "a.q\n", true),
        ("a.q", "a\nq", false),
        ("a[^b]q", "a\nq", true),
        ("a\nq", "x.a\nq", true),
        ("q$\n", "q\n", true),
        ("q$\nx", "q\nx", false),
        ("", "a.\n", true),
    ];
    for (key, name, expected) in rows {
        let config = config("rank_pattern", &table(&[(key.to_owned(), 2)])).unwrap();
        let (settings, _) = config.settings(&[name]).unwrap();
        assert_eq!(settings[0].rank == 2, expected, "{key:?} {name:?}");
    }
}

#[test]
fn a_key_that_stands_for_no_layer_is_named() {
    let peft =
        Peft::new().set("rank_pattern", json!({ "w": 3, "v": 2 })).set("alpha_pattern", json!({ "zz": 1, "^q": 2 }));
    peft.read(|read| {
        let warnings = read.unwrap().warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[0].contains("`rank_pattern`") && warnings[0].contains("\"w\"") && !warnings[0].contains("\"v\"")
        );
        assert!(warnings[1].contains("`alpha_pattern`") && warnings[1].contains("\"zz\", \"^q\""), "{warnings:?}");
    });
    let (config, tensors) = (Peft::new().config(), support::safetensors(&Peft::new().tensors));
    assert_eq!(peft::read(&config, &tensors).unwrap().warnings, Vec::<String>::new());
}
