//! Whatever the reader of PEFT adapters does not support or cannot trust, it refuses by name.

mod support;

use lowrank::Dtype;
use lowrank_tools::TensorFileError;
use lowrank_tools::peft::{self, PeftError};
use safetensors::tensor::Dtype as Stored;
use serde_json::{Value, json};
use support::{Peft, Tensor, key, noise, safetensors};

/// The error of an adapter, which has to name these.
fn refused(peft: &Peft, names: &[&str]) -> PeftError {
    let error = peft.read(|read| read.map(drop)).expect_err("is taken");
    let message = error.to_string();
    for name in names {
        assert!(message.contains(name), "{name:?} is not named by: {message}");
    }
    error
}

macro_rules! assert_refused {
    ($peft:expr, $names:expr, $pattern:pat $(if $guard:expr)?) => {
        match refused(&$peft, &$names) {
            $pattern $(if $guard)? => {}
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn the_adapter_that_the_others_are_made_of_is_good() {
    Peft::new().read(|read| assert_eq!(read.unwrap().layers.len(), 2));
}

#[test]
fn variants_are_refused_by_the_name_of_their_field() {
    let variants = [
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["head"])),
        ("trainable_token_indices", json!([1, 2])),
        ("target_parameters", json!(["w"])),
        ("layer_replication", json!([[0, 4], [2, 5]])),
        ("alora_invocation_tokens", json!([7])),
        ("ensure_weight_tying", json!(true)),
        ("megatron_config", json!({ "x": 1 })),
        ("use_qalora", json!(true)),
        ("use_bdlora", json!({ "nblocks": 2 })),
        ("velora_config", json!({ "scale": 1.0 })),
        ("arrow_config", json!({ "top_k": 3 })),
        ("kasa_config", json!({ "beta": 0.1 })),
        ("monteclora_config", json!({ "num_samples": 8 })),
    ];
    for (field, value) in variants {
        let name = format!("`{field}`");
        assert_refused!(Peft::new().set(field, value), [&name], PeftError::Variant { field: f, .. } if f == field);
        // What is empty is not there.
        for nothing in [json!(null), json!(false), json!([]), json!({}), json!("")] {
            Peft::new().set(field, nothing).read(|read| read.map(drop)).unwrap();
        }
    }
    assert_refused!(
        Peft::new().set("bias", json!("all")),
        ["`bias`", "lora_only"],
        PeftError::Variant { field, .. } if field == "bias"
    );
}

#[test]
fn other_methods_and_changed_bases_are_refused() {
    assert_refused!(Peft::new().set("peft_type", json!("LOHA")), ["`peft_type`", "LOHA"], PeftError::Method { .. });
    assert_refused!(Peft::new().set("peft_type", json!(null)), ["`peft_type`", "null"], PeftError::Method { .. });
    let mut nameless = Peft::new();
    nameless.fields.remove("peft_type");
    assert_refused!(nameless, ["`peft_type`"], PeftError::FieldMissing { .. });
    for how in ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "mica", "OLORA", "of tomorrow"] {
        let peft = Peft::new().set("init_lora_weights", json!(how));
        assert_refused!(peft, ["`init_lora_weights`", how], PeftError::ChangedBase { .. });
    }
    // Of all names, PEFT takes only "gaussian" in any case.
    for how in ["gaussian", "Gaussian", "GAUSSIAN", "orthogonal", "eva"].map(Value::from) {
        Peft::new().set("init_lora_weights", how).read(|read| read.map(drop)).unwrap();
    }
    for how in [json!(true), json!(false), json!(null)] {
        Peft::new().set("init_lora_weights", how).read(|read| read.map(drop)).unwrap();
    }
    for how in ["Orthogonal", "EVA", "MiCA", "PiSSA"] {
        let peft = Peft::new().set("init_lora_weights", json!(how));
        assert_refused!(peft, ["`init_lora_weights`", how], PeftError::ChangedBase { .. });
    }
    for how in [json!(1), json!(["gaussian"]), json!({})] {
        let peft = Peft::new().set("init_lora_weights", how);
        assert_refused!(peft, ["`init_lora_weights`"], PeftError::FieldType { .. });
    }
}

#[test]
fn unknown_fields_are_refused_where_they_say_something() {
    for value in [json!(true), json!(0), json!("x"), json!([0]), json!({ "a": null })] {
        let peft = Peft::new().set("use_of_tomorrow", value);
        assert_refused!(peft, ["`use_of_tomorrow`"], PeftError::UnknownField { .. });
    }
    Peft::new().set("use_of_tomorrow", json!(null)).read(|read| read.map(drop)).unwrap();
}

#[test]
fn fields_of_another_kind_are_refused() {
    let kinds: [(&str, Value); 18] = [
        ("r", json!("8")),
        ("r", json!(2.0)),
        ("r", json!(true)),
        ("lora_alpha", json!("16")),
        ("lora_alpha", json!([16])),
        ("lora_dropout", json!("0.1")),
        ("use_rslora", json!(1)),
        ("use_rslora", json!("false")),
        ("fan_in_fan_out", json!(0)),
        ("lora_bias", json!("x")),
        ("bias", json!("some")),
        ("bias", json!(false)),
        ("rank_pattern", json!([])),
        ("rank_pattern", json!({ "q": "8" })),
        ("rank_pattern", json!({ "q": 8.5 })),
        ("alpha_pattern", json!("q")),
        ("alpha_pattern", json!({ "q": null })),
        ("alpha_pattern", json!({ "q": {} })),
    ];
    for (field, value) in kinds {
        assert_refused!(Peft::new().set(field, value), [field], PeftError::FieldType { .. });
    }
}

/// PEFT has defaults for fields that are not there. Null is not there for a flag and for the initialisation only: every
/// verdict was seen with PeftModel.from_pretrained of PEFT 0.21.2.
#[test]
fn null_is_a_default_where_peft_takes_it() {
    for field in ["r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern", "bias"] {
        let null = Peft::new().set(field, json!(null));
        assert_refused!(null, [field, "got null"], PeftError::FieldType { .. });
        let mut absent = if field == "r" { Peft::empty() } else { Peft::new() };
        if field == "r" {
            absent.layer("q", 4, 4, 8, Dtype::F32);
        }
        absent.fields.remove(field);
        absent.read(|read| read.map(drop)).unwrap();
    }
    assert_refused!(Peft::new().set("peft_type", json!(null)), ["`peft_type`", "null"], PeftError::Method { .. });
    for field in ["use_rslora", "fan_in_fan_out", "lora_bias", "init_lora_weights"] {
        Peft::new().set(field, json!(null)).read(|read| read.map(drop)).unwrap();
    }
}

/// The error for this text of a field, which is not always JSON that `serde_json` writes.
fn field(field: &str, text: &str) -> Option<PeftError> {
    let mut fields = Peft::new().fields;
    fields.insert(field.into(), json!("@"));
    let config = Value::Object(fields).to_string().replace("\"@\"", text);
    peft::read(config.as_bytes(), &safetensors(&Peft::new().tensors)).map(drop).err()
}

/// Python writes numbers that are none in JSON, also in fields that nobody reads here.
#[test]
fn numbers_of_python_that_json_does_not_have_are_named() {
    for name in ["r", "lora_alpha", "lora_dropout", "loftq_config"] {
        for (text, expected) in [
            ("NaN", Some("NaN")),
            ("Infinity", Some("Infinity")),
            ("-Infinity", Some("-Infinity")),
            ("{\n \"x\": [\"NaN\", 1, NaN ]}", Some("NaN")),
            ("nan", None),
            ("{ \"NaN\": x }", None),
            ("x,\n\"y\": NaN", None),
        ] {
            match (field(name, text), expected) {
                (Some(PeftError::PythonNumber { number, line }), Some(expected)) => {
                    assert_eq!((number, line), (expected, 1 + text.matches('\n').count()), "{name}: {text}");
                }
                (Some(PeftError::ConfigJson(_)), None) => {}
                (other, _) => panic!("{name}: {text}: {other:?}"),
            }
        }
    }
}

/// A configuration that is deeper than any of PEFT's is refused before anything looks into it.
#[test]
fn a_deep_configuration_is_refused() {
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "0" + &close.repeat(depth);
    for (open, close, each) in [("[", "]", 1), ("{\"x\":", "}", 1), ("[{\"[\":", "}]", 2)] {
        // The configuration itself is one of them.
        let fits = nested(open, close, 99 / each);
        assert!(field("loftq_config", &fits).is_none(), "{open}");
        for depth in [99 / each + 1, 1_000, 300_000] {
            let deep = field("loftq_config", &nested(open, close, depth));
            assert!(matches!(deep, Some(PeftError::ConfigDepth { at_most: 100 })), "{open} {depth}: {deep:?}");
        }
        let open_only = field("lora_alpha", &open.repeat(300_000));
        assert!(matches!(open_only, Some(PeftError::ConfigDepth { .. })), "{open_only:?}");
    }
    // Neither brackets in text nor many beside each other are deep.
    assert!(field("loftq_config", &format!("[\"{}\\\"[\", {}[]]", "[".repeat(200), "[],".repeat(200))).is_none());
}

/// What is no number, or none that this field can have, is refused in whichever way it is written.
#[test]
fn numbers_are_read_as_they_are_written() {
    for name in ["r", "lora_alpha", "lora_dropout"] {
        for text in ["+1", "01", ".5", "1.", "0x2", "1_0"] {
            assert!(matches!(field(name, text), Some(PeftError::ConfigJson(_))), "{name}: {text}");
        }
        for text in ["true", "false", "\"2\"", "[2]", "{}", "\"NaN\""] {
            assert!(matches!(field(name, text), Some(PeftError::FieldType { .. })), "{name}: {text}");
        }
    }
    for text in ["2.0", "2e0", "20e-1", "-0.0", "1e400"] {
        assert!(matches!(field("r", text), Some(PeftError::FieldType { .. })), "r: {text}");
    }
    for text in ["0", "-0", "-2", "4294967296", "99999999999999999999999999"] {
        assert!(matches!(field("r", text), Some(PeftError::FieldRange { .. })), "r: {text}");
    }
    for text in ["1e400", "-1e309", "9007199254740993", "18446744073709551615", "100000000000000000000000"] {
        assert!(matches!(field("lora_alpha", text), Some(PeftError::FieldRange { .. })), "lora_alpha: {text}");
    }
    for text in ["1", "1.0", "1e0", "-0.5", "1e400", "0.99999999999"] {
        assert!(matches!(field("lora_dropout", text), Some(PeftError::FieldRange { .. })), "lora_dropout: {text}");
    }
    for (name, text) in [("r", "2"), ("lora_alpha", "-0"), ("lora_alpha", "1E+2"), ("lora_alpha", "9007199254740994")] {
        assert!(field(name, text).is_none(), "{name}: {text}");
    }
    for text in ["0", "-0.0", "0.5", "5e-324", "0.9999999"] {
        assert!(field("lora_dropout", text).is_none(), "lora_dropout: {text}");
    }
}

#[test]
fn numbers_out_of_their_range_are_refused() {
    let numbers = [
        ("r", json!(0)),
        ("r", json!(-1)),
        ("r", json!(1u64 << 32)),
        ("lora_alpha", json!(u64::MAX)),
        ("lora_alpha", json!((1u64 << 53) + 1)),
        ("lora_dropout", json!(1.0)),
        ("lora_dropout", json!(-0.1)),
        ("lora_dropout", json!(0.999_999_999)),
        ("rank_pattern", json!({ "q": 0 })),
        ("alpha_pattern", json!({ "q": -9_007_199_254_740_993i64 })),
    ];
    for (field, value) in numbers {
        assert_refused!(Peft::new().set(field, value), [field], PeftError::FieldRange { .. });
    }
}

#[test]
fn patterns_that_python_reads_differently_are_refused() {
    for field in ["rank_pattern", "alpha_pattern"] {
        let peft = Peft::new().set(field, json!({ "(?i)q": 2 }));
        assert_refused!(peft, [field, "(?i)q"], PeftError::Pattern { .. });
    }
}

#[test]
fn tensors_of_other_adapters_are_refused() {
    let with = |name: &str, shape: &[usize]| {
        let len = shape.iter().product();
        Peft::new().with(Tensor::f32(name, shape, &noise(0, len)))
    };
    let embedding = key("net.wte", "lora_embedding_A");
    assert_refused!(with(&embedding, &[2, 9]), [&embedding], PeftError::Embedding { .. });
    let magnitude = key("net.q", "lora_magnitude_vector");
    assert_refused!(with(&magnitude, &[3]), [&magnitude, "DoRA"], PeftError::DoraTensor { .. });
    for (outer, inner) in [("attn", "attn.base_layer.out_proj"), ("net.q", "net.q.base_layer"), ("", ".base_layer")] {
        let mut wrapped = Peft::new();
        wrapped.layer(inner, 4, 4, 2, Dtype::F32);
        // Without a layer around it, it is a module of that name.
        if outer != "net.q" {
            wrapped.read(|read| read.map(drop)).unwrap();
            wrapped.layer(outer, 4, 12, 2, Dtype::F32);
        }
        assert_refused!(wrapped, [inner, "MultiheadAttention"], PeftError::Wrapped { .. });
    }
    for saved in
        ["lm_head.weight", "model.embed_tokens.weight", "score.bias"].map(|name| format!("base_model.model.{name}"))
    {
        let names = [saved.as_str(), "modules_to_save", "save_embedding_layers=False"];
        assert_refused!(with(&saved, &[2, 4]), names, PeftError::WholeTensor { .. });
    }
    let named = key("net.q", "lora_A.default.weight");
    assert_refused!(with(&named, &[2, 4]), [&named], PeftError::UnknownTensor { .. });
    assert_refused!(with("net.q.lora_A.weight", &[2, 4]), ["net.q.lora_A.weight"], PeftError::Prefix { .. });
}

#[test]
fn tensors_of_other_shapes_and_types_are_refused() {
    let (a, b) = (key("net.q", "lora_A.weight"), key("net.q", "lora_B.weight"));
    let with = |name: &str, shape: &[usize]| {
        let len = shape.iter().product();
        Peft::new().with(Tensor::f32(name, shape, &noise(0, len)))
    };
    assert_refused!(with(&a, &[2, 4, 3, 3]), [&a, "convolution"], PeftError::Convolution { .. });
    assert_refused!(with(&a, &[8]), [&a, "[8]"], PeftError::Shape { .. });
    assert_refused!(with(&a, &[2, 0]), [&a, "[2, 0]"], PeftError::Shape { .. });
    assert_refused!(with(&b, &[3, 3]), [&b, "[3, 2]", "[3, 3]"], PeftError::Shape { .. });
    assert_refused!(with(&b, &[0, 2]), [&b], PeftError::Shape { .. });
    assert_refused!(with(&a, &[3, 4]), [&a, "`r`", "rank 2", "got 3"], PeftError::Rank { expected: 2, got: 3, .. });
    let pattern = Peft::new().set("rank_pattern", json!({ "v": 3 }));
    let v = key("net.v", "lora_A.weight");
    assert_refused!(pattern, [&v, "rank_pattern[\"v\"]"], PeftError::Rank { expected: 3, got: 2, .. });
    for dtype in [Stored::F64, Stored::I32, Stored::F8_E4M3] {
        let bytes = vec![0; 8 * dtype.bitsize() / 8];
        let tensor = Tensor { name: a.clone(), dtype, shape: vec![2, 4], bytes };
        assert_refused!(Peft::new().with(tensor), [&a, "F32"], PeftError::TensorType { .. });
    }
}

#[test]
fn half_an_adapter_is_refused() {
    let (a, b) = (key("net.q", "lora_A.weight"), key("net.q", "lora_B.weight"));
    assert_refused!(Peft::new().without(&a), [&a, &b], PeftError::Partner { missing, .. } if missing == a);
    assert_refused!(Peft::new().without(&b), [&a, &b], PeftError::Partner { missing, .. } if missing == b);
    let lonely = Tensor::f32(&key("x", "base_layer.bias"), &[2], &[0.0; 2]);
    assert_refused!(
        Peft::new().set("bias", json!("lora_only")).with(lonely),
        ["x.base_layer.bias", "x.lora_A.weight"],
        PeftError::Partner { .. }
    );
    assert_refused!(Peft::empty(), ["at least one layer"], PeftError::NoLayers);
}

#[test]
fn biases_that_nobody_announced_are_refused() {
    let bias = Tensor::f32(&key("net.q", "base_layer.bias"), &[3], &[0.0; 3]);
    let own = Tensor::f32(&key("net.q", "lora_B.bias"), &[3], &[0.0; 3]);
    let peft = Peft::new().with(bias.clone());
    assert_refused!(peft, [&bias.name, "`bias`"], PeftError::BiasUnexpected { field: "bias", .. });
    let peft = Peft::new().with(own.clone());
    assert_refused!(peft, [&own.name, "`lora_bias`"], PeftError::BiasUnexpected { field: "lora_bias", .. });
    let announced = Peft::new().set("lora_bias", json!(true)).with(own.clone());
    let missing = key("net.v", "lora_B.bias");
    assert_refused!(announced, [&missing], PeftError::BiasMissing { tensor } if tensor == missing);
    for name in [&bias.name, &own.name] {
        let long = Tensor::f32(name, &[4], &[0.0; 4]);
        let peft = Peft::new().set("lora_bias", json!(true)).set("bias", json!("lora_only")).with(long);
        assert_refused!(peft, [name, "[3]", "[4]"], PeftError::Shape { .. });
    }
}

#[test]
fn a_scale_beyond_f32_is_refused() {
    assert_refused!(Peft::new().set("lora_alpha", json!(1e39)), ["net.q", "5e38"], PeftError::Scale { .. });
    let pattern = Peft::new().set("alpha_pattern", json!({ "v": -1e300 }));
    assert_refused!(pattern, ["net.v"], PeftError::Scale { .. });
    Peft::new().set("lora_alpha", json!(6e38)).read(|read| read.map(drop)).unwrap();
}

/// The error for these bytes of a tensor file.
fn tensors(bytes: &[u8]) -> PeftError {
    peft::read(&Peft::new().config(), bytes).map(drop).expect_err("is taken")
}

#[test]
fn damaged_files_are_refused() {
    let config = |text: &[u8]| peft::read(text, &safetensors(&Peft::new().tensors)).map(drop).expect_err("is taken");
    assert!(matches!(config(b"{"), PeftError::ConfigJson(_)));
    assert!(matches!(config(b"[]"), PeftError::ConfigJson(_)));
    assert!(matches!(config(b"\xff"), PeftError::ConfigJson(_)));
    assert!(matches!(config(&vec![b' '; (4 << 20) + 1]), PeftError::ConfigLength { .. }));
    assert!(matches!(config(&b"[".repeat(100_000)), PeftError::ConfigDepth { .. }));

    let whole = safetensors(&Peft::new().tensors);
    assert!(matches!(tensors(&[]), PeftError::Tensors(TensorFileError::Short { .. })));
    assert!(matches!(tensors(&whole[..20]), PeftError::Tensors(TensorFileError::Short { .. })));
    assert!(matches!(tensors(&whole[..whole.len() - 1]), PeftError::Tensors(TensorFileError::Length { .. })));
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(tensors(&longer), PeftError::Tensors(TensorFileError::Length { .. })));
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(tensors(&huge), PeftError::Tensors(TensorFileError::HeaderLength { .. })));
    let mut torn = whole.clone();
    torn[8] = b'x';
    assert!(matches!(tensors(&torn), PeftError::Tensors(TensorFileError::Header(_))));
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let number = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let overlap = format!(r#"{{"a":{number},"b":{number}}}"#);
    assert!(matches!(tensors(&header(&overlap)), PeftError::Tensors(TensorFileError::Header(_))));
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#;
    let bytes = [header(twice), vec![0; 4]].concat();
    assert!(
        matches!(tensors(&bytes), PeftError::Tensors(TensorFileError::Header(error)) if error.to_string().contains("twice"))
    );
    let wide = r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#;
    assert!(matches!(tensors(&header(wide)), PeftError::Tensors(TensorFileError::Header(_))));
    let far = format!(r#"{{"a":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}"#, usize::MAX / 8);
    assert!(matches!(tensors(&header(&far)), PeftError::Tensors(TensorFileError::Length { .. })));
}

/// Every prefix of both files is refused: nothing is read behind an end, and nothing is taken that is not whole.
#[test]
fn every_truncation_is_refused() {
    let (config, whole) = (Peft::new().config(), safetensors(&Peft::new().tensors));
    for len in 0..whole.len() {
        tensors(&whole[..len]);
    }
    for len in 0..config.len() {
        assert!(peft::read(&config[..len], &whole).is_err(), "{len} bytes of the configuration are taken");
    }
}
