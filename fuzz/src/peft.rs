//! The two files of a PEFT adapter: anything as bytes, and files that are right but for a few changes.

use arbitrary::{Arbitrary, Result, Unstructured};
use lowrank::format::{AdapterFile, Contents, Entry};
use lowrank_tools::peft::{self, Adapter, PeftError};
use serde_json::{Map, Value, json};

use crate::data::UpTo;

/// A case of this target.
#[derive(Debug, Arbitrary)]
pub enum Case {
    /// The bytes of both files.
    Bytes(Vec<u8>, Vec<u8>),
    /// A configuration that is right, and the bytes of a tensor file.
    Tensors(Vec<u8>),
    Files(Files),
}

impl Case {
    pub fn check(self) {
        match self {
            Case::Bytes(config, tensors) => drop(check(&config, &tensors)),
            Case::Tensors(tensors) => drop(check(br#"{"peft_type":"LORA"}"#, &tensors)),
            Case::Files(files) => files.check(),
        }
    }
}

/// Whatever is taken has layers in order whose tensors fit, and survives both ways that it can be written.
fn check(config: &[u8], tensors: &[u8]) -> std::result::Result<(), PeftError> {
    let adapter = peft::read(config, tensors).inspect_err(|error| assert!(!error.to_string().is_empty()))?;
    let entries = adapter.entries();
    assert!(!entries.is_empty());
    assert!(entries.windows(2).all(|pair| pair[0].name < pair[1].name));
    for entry in &entries {
        let shape = entry.shape();
        assert_eq!((entry.b.cols(), entry.a.rows()), (shape.rank, rank(&adapter.config, entry.name).unwrap()));
        let biases = [entry.bias, entry.b_bias].into_iter().flatten();
        assert!(biases.clone().all(|bias| (bias.rows(), bias.cols()) == (1, shape.outputs)));
        for tensor in [entry.a, entry.b].into_iter().chain(biases) {
            assert_eq!(tensor.bytes().unwrap().len(), tensor.rows() * tensor.cols() * tensor.dtype().size());
        }
        assert!(entry.scale.factor(shape.rank).is_finite());
    }
    comes_back(&adapter, &entries);
    Ok(())
}

/// The rank of a layer by the configuration; `None` where a factor is too large or a name cannot be matched.
fn rank(config: &peft::Config, layer: &str) -> Option<usize> {
    let (settings, _) = config.settings(&[layer]).ok()?;
    Some(settings[0].rank as usize)
}

/// Through an adapter file, and written by either configuration, every layer is what it was.
fn comes_back(adapter: &Adapter<'_>, entries: &[Entry<'_>]) {
    let contents = Contents { entries, metadata: "", fingerprint: 0, generation: 0 };
    let mut bytes = vec![0; contents.encoded_len().unwrap()];
    contents.emit(&mut bytes).unwrap();
    let file = AdapterFile::parse(&bytes).unwrap();
    let read: Vec<_> = file.entries().collect();
    for config in [Some(&adapter.config), None] {
        let written = peft::write(&read, config).unwrap();
        let again = peft::read(written.config.as_bytes(), &written.tensors).unwrap();
        assert_eq!(again.layers.len(), entries.len());
        for (old, new) in entries.iter().zip(again.entries()) {
            assert_eq!((old.name, old.fan_in_fan_out), (new.name, new.fan_in_fan_out));
            let [old_factor, new_factor] = [old, &new].map(|entry| entry.scale.factor(entry.shape().rank).to_bits());
            assert_eq!(old_factor, new_factor);
            let tensors = |entry: &Entry<'_>| {
                let all = [Some(entry.a), Some(entry.b), entry.bias, entry.b_bias];
                all.map(|tensor| tensor.map(|t| (t.dtype(), t.rows(), t.cols(), t.bytes().unwrap().to_vec())))
            };
            assert_eq!(tensors(old), tensors(&new));
        }
    }
}

/// Files that are right, and what is then done to them.
#[derive(Debug, Arbitrary)]
pub struct Files {
    rank: UpTo<3>,
    layers: Vec<Part>,
    rank_stabilized: bool,
    fan_in_fan_out: bool,
    bias: bool,
    b_bias: bool,
    alpha: Number,
    patterns: [Vec<(Key, Number)>; 2],
    changes: Vec<Change>,
}

/// A layer.
#[derive(Debug, Arbitrary)]
struct Part {
    name: Name,
    sides: [UpTo<4>; 2],
    dtypes: [UpTo<2>; 4],
    /// Where there are biases at all.
    bias: bool,
    byte: u8,
}

#[derive(Copy, Clone, Debug, Arbitrary)]
enum Name {
    Q,
    V,
    Deep,
    Deeper(u8),
}

impl Name {
    fn text(self) -> String {
        match self {
            Name::Q => "q".into(),
            Name::V => "blocks.0.v".into(),
            Name::Deep => "blocks.0.q".into(),
            Name::Deeper(number) => format!("blocks.{number}.q"),
        }
    }
}

#[derive(Debug)]
enum Key {
    Known(&'static str),
    Any(String),
}

impl<'a> Arbitrary<'a> for Key {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        const KNOWN: [&str; 8] = ["q", "v", r"blocks\.\d+\.q", "^q", ".*", "[qv]", "blocks.0.(q|v)", "(?:0.)?q{1,2}"];
        Ok(if u.arbitrary()? { Key::Known(u.choose(&KNOWN)?) } else { Key::Any(u.arbitrary()?) })
    }
}

#[derive(Copy, Clone, Debug, Arbitrary)]
enum Number {
    Small(u8),
    Fraction(i16),
    Any(f64),
}

impl Number {
    fn value(self) -> Value {
        match self {
            Number::Small(number) => json!(number),
            Number::Fraction(number) => json!(f64::from(number) / 100.0),
            Number::Any(number) => json!(number),
        }
    }
}

/// Something that is done to the files when they are right.
#[derive(Debug, Arbitrary)]
enum Change {
    Field(Field, Json),
    ConfigByte(u16, u8),
    TensorByte(u16, u8),
    /// The last so many bytes are cut off.
    Shorter(UpTo<64>),
    Longer(u8),
}

#[derive(Debug)]
struct Field(&'static str);

impl<'a> Arbitrary<'a> for Field {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        const FIELDS: [&str; 14] = [
            "peft_type",
            "r",
            "lora_alpha",
            "lora_dropout",
            "rank_pattern",
            "alpha_pattern",
            "use_rslora",
            "fan_in_fan_out",
            "bias",
            "lora_bias",
            "init_lora_weights",
            "use_dora",
            "modules_to_save",
            "of_tomorrow",
        ];
        u.choose(&FIELDS).copied().map(Field)
    }
}

#[derive(Debug, Arbitrary)]
enum Json {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<u8>),
    Table(Vec<(String, Number)>),
}

impl Json {
    fn value(self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Flag(flag) => json!(flag),
            Json::Number(number) => number.value(),
            Json::Text(text) => json!(text),
            Json::List(items) => json!(items),
            Json::Table(entries) => {
                entries.into_iter().map(|(key, number)| (key, number.value())).collect::<Map<_, _>>().into()
            }
        }
    }
}

impl Files {
    fn check(self) {
        // The patterns decide which rank a layer has to have: what they are is the reader's to say.
        let Some((mut fields, config)) = self.fields() else { return };
        let Some(mut tensors) = self.tensors(&config) else { return };
        if self.changes.is_empty() {
            match check(&text(&fields), &tensors) {
                Err(PeftError::NoLayers) if self.layers.is_empty() => {}
                Ok(()) | Err(PeftError::Scale { .. }) if !self.layers.is_empty() => {}
                result => panic!("{} layers that are right: {result:?}", self.layers.len()),
            }
            return;
        }
        let mut bytes = Vec::new();
        for change in self.changes {
            match change {
                Change::Field(field, value) => drop(fields.insert(field.0.into(), value.value())),
                Change::ConfigByte(at, byte) => bytes.push((at, byte)),
                Change::TensorByte(at, byte) => {
                    let len = tensors.len().max(1);
                    tensors.iter_mut().skip(usize::from(at) % len).take(1).for_each(|old| *old = byte);
                }
                Change::Shorter(by) => tensors.truncate(tensors.len().saturating_sub(by.0)),
                Change::Longer(byte) => tensors.push(byte),
            }
        }
        let mut config = text(&fields);
        for (at, byte) in bytes {
            let len = config.len();
            config[usize::from(at) % len] = byte;
        }
        drop(check(&config, &tensors));
    }

    /// `None` when a pattern or a number is not taken.
    fn fields(&self) -> Option<(Map<String, Value>, peft::Config)> {
        let [ranks, alphas] = &self.patterns;
        let table = |patterns: &[(Key, Number)], value: &dyn Fn(Number) -> Value| {
            let key = |key: &Key| match key {
                Key::Known(key) => (*key).to_owned(),
                Key::Any(key) => key.clone(),
            };
            Value::Object(patterns.iter().map(|(name, number)| (key(name), value(*number))).collect())
        };
        let rank = |number| match number {
            Number::Small(rank) => json!(1 + rank % 4),
            _ => json!(2),
        };
        let fields = json!({
            "peft_type": "LORA",
            "r": 1 + self.rank.0,
            "lora_alpha": self.alpha.value(),
            "rank_pattern": table(ranks, &rank),
            "alpha_pattern": table(alphas, &Number::value),
            "use_rslora": self.rank_stabilized,
            "fan_in_fan_out": self.fan_in_fan_out,
            "bias": if self.bias { "lora_only" } else { "none" },
            "lora_bias": self.b_bias,
        });
        let fields = fields.as_object()?.clone();
        let config = peft::Config::parse(&text(&fields)).ok()?;
        Some((fields, config))
    }

    /// A tensor file that fits the configuration. `None` where that has no ranks.
    fn tensors(&self, config: &peft::Config) -> Option<Vec<u8>> {
        let mut header = Map::new();
        let mut data = Vec::new();
        let mut put = |name: String, shape: &[usize], dtype: UpTo<2>, byte: u8| {
            let (dtype, size) = [("F32", 4), ("F16", 2), ("BF16", 2)][dtype.0];
            let start = data.len();
            data.resize(start + size * shape.iter().product::<usize>(), byte);
            header.insert(name, json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, data.len()] }));
        };
        let mut seen = Vec::new();
        for Part { name, sides: [inputs, outputs], dtypes: [a, b, bias, b_bias], bias: has_bias, byte } in &self.layers
        {
            let name = name.text();
            if seen.contains(&name) {
                continue;
            }
            let (inputs, outputs, rank) = (1 + inputs.0, 1 + outputs.0, rank(config, &name)?);
            let tensor = |part: &str| format!("base_model.model.{name}.{part}");
            put(tensor("lora_A.weight"), &[rank, inputs], *a, *byte);
            put(tensor("lora_B.weight"), &[outputs, rank], *b, *byte);
            if self.bias && *has_bias {
                put(tensor("base_layer.bias"), &[outputs], *bias, *byte);
            }
            if self.b_bias {
                put(tensor("lora_B.bias"), &[outputs], *b_bias, *byte);
            }
            seen.push(name);
        }
        let header = Value::Object(header).to_string();
        Some([&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat())
    }
}

fn text(fields: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(fields).unwrap()
}
