//! `adapter_config.json`: what of it changes a number, and what is refused.

use lowrank::Scale;
use serde_json::value::RawValue;

use super::error::PeftError;
use super::fields::{Fields, compact, depth, integer, number, python_number, table, text};
use super::known::Known;
use super::pattern::{Flaw, LARGEST, LONGEST as LONGEST_MATCH, Matches, Patterns, Stop};

/// PEFT's file has about 1,500 bytes; patterns for every layer of a large model make it longer.
const LONGEST: usize = 4 << 20;

/// Objects and lists inside of each other.
const DEEPEST: usize = 100;

/// What happens to biases of the base.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Bias {
    /// They stay.
    None,
    /// Those of adapted layers are replaced by trained ones.
    LoraOnly,
}

/// The settings of an adapter.
#[derive(Clone, Debug)]
pub struct Config {
    fields: Fields,
    rank: u32,
    alpha: f64,
    ranks: Table<u32>,
    alphas: Table<f64>,
    rank_stabilized: bool,
    /// The base is stored `[in, out]`.
    pub fan_in_fan_out: bool,
    /// Of the base.
    pub bias: Bias,
    /// `B` has a bias of its own.
    pub b_bias: bool,
    /// Probability that an input of the adapter is dropped in training.
    pub dropout: f32,
}

/// What the configuration says of one layer.
#[derive(Copy, Clone, Debug)]
pub struct Setting<'a> {
    /// The rank.
    pub rank: u32,
    /// The key of `rank_pattern` that says so; `None`: it is `r`.
    pub rank_key: Option<&'a str>,
    /// The factor in front of `B·A`. An alpha that is no number of 32 bits becomes the factor itself.
    pub scale: Scale,
}

/// Keys of `rank_pattern` or `alpha_pattern` that stand for no layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// The field.
    pub field: &'static str,
    /// The keys.
    pub keys: Vec<String>,
}

impl Config {
    /// Reads the text of `adapter_config.json`.
    ///
    /// # Errors
    /// [`PeftError`] for what is not JSON, too deep, not of the right kind, or not supported.
    pub fn parse(text: &[u8]) -> Result<Self, PeftError> {
        if text.len() > LONGEST {
            return Err(PeftError::ConfigLength { at_most: LONGEST, got: text.len() });
        }
        let fields = fields(text)?;
        refuse(&fields)?;
        let with = |field, parse: fn(&str, &RawValue) -> Result<f64, PeftError>| {
            fields.get(field).map_or_else(|| Ok(Known::default(field)), |value| parse(field, value))
        };
        Ok(Self {
            rank: fields.get("r").map_or(Ok(Known::default("r") as u32), |value| rank("r", value))?,
            alpha: with("lora_alpha", alpha)?,
            ranks: Table::parse(&fields, "rank_pattern", rank)?,
            alphas: Table::parse(&fields, "alpha_pattern", alpha)?,
            rank_stabilized: flag(&fields, "use_rslora")?,
            fan_in_fan_out: flag(&fields, "fan_in_fan_out")?,
            bias: bias(&fields)?,
            b_bias: flag(&fields, "lora_bias")?,
            dropout: with("lora_dropout", dropout)? as f32,
            fields,
        })
    }

    /// All fields in the order of the file, each with the characters that it had there, as JSON without white space.
    pub fn compact(&self) -> String {
        self.fields.compact()
    }

    /// As [`compact`](Self::compact), with one line for each field.
    pub fn pretty(&self) -> String {
        self.fields.pretty()
    }

    /// What the configuration says of these layers, and the keys that stand for none of them.
    ///
    /// # Errors
    /// [`PeftError::Ambiguous`] for a name that Python could match in another way, [`PeftError::Steps`] when matching takes
    /// too long, [`PeftError::Scale`] when a factor is too large for 32 bits.
    pub fn settings(&self, layers: &[&str]) -> Result<(Vec<Setting<'_>>, Vec<Unused>), PeftError> {
        let mut steps = LONGEST_MATCH;
        let [ranks, alphas] = [self.ranks.matches(layers, &mut steps)?, self.alphas.matches(layers, &mut steps)?];
        let setting = |(&layer, (rank, alpha)): (&&str, (&Option<usize>, &Option<usize>))| {
            let (rank_key, rank) = match rank.and_then(|number| self.ranks.get(number)) {
                Some((key, rank)) => (Some(key), rank),
                None => (None, self.rank),
            };
            let alpha = alpha.and_then(|number| self.alphas.get(number)).map_or(self.alpha, |(_, alpha)| alpha);
            let scale = self.scale(layer, rank, alpha)?;
            Ok::<_, PeftError>(Setting { rank, rank_key, scale })
        };
        let settings = layers.iter().zip(ranks.keys.iter().zip(&alphas.keys)).map(setting).collect::<Result<_, _>>()?;
        Ok((settings, [self.ranks.unused(&ranks), self.alphas.unused(&alphas)].into_iter().flatten().collect()))
    }

    /// As PEFT computes it: in 64 bits, and rounded when it meets the numbers of the layer.
    fn scale(&self, layer: &str, rank: u32, alpha: f64) -> Result<Scale, PeftError> {
        let divisor = if self.rank_stabilized { f64::from(rank).sqrt() } else { f64::from(rank) };
        let factor = (alpha / divisor) as f32;
        if !factor.is_finite() {
            return Err(PeftError::Scale { layer: layer.to_owned(), got: alpha / divisor });
        }
        let single = alpha as f32;
        let from_alpha = if self.rank_stabilized { Scale::RankStabilized(single) } else { Scale::Alpha(single) };
        let same = f64::from(single) == alpha && from_alpha.factor(rank as usize).to_bits() == factor.to_bits();
        Ok(if same { from_alpha } else { Scale::Direct(factor) })
    }
}

/// Patterns and what they stand for.
#[derive(Clone, Debug)]
struct Table<T> {
    field: &'static str,
    patterns: Patterns,
    values: Vec<T>,
}

impl<T: Copy> Table<T> {
    fn parse(
        fields: &Fields,
        field: &'static str,
        parse: fn(&str, &RawValue) -> Result<T, PeftError>,
    ) -> Result<Self, PeftError> {
        let entries = match fields.get(field) {
            None => Fields::default(),
            Some(value) if value.get().starts_with('{') => table(value).map_err(PeftError::ConfigJson)?,
            Some(got) => return Err(wrong_type(field, "a table of patterns", got)),
        };
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (key, value) in entries.iter() {
            values.push(parse(&format!("{field}[{key:?}]"), value)?);
            keys.push(key.to_owned());
        }
        let patterns = Patterns::new(keys).map_err(|flaw| match flaw {
            Flaw::Key { key, flaw } => PeftError::Pattern { field, key, flaw },
            Flaw::Size => PeftError::PatternSize { field, at_most: LARGEST },
        })?;
        Ok(Self { field, patterns, values })
    }

    fn matches(&self, layers: &[&str], steps: &mut u64) -> Result<Matches, PeftError> {
        let field = self.field;
        self.patterns.matches(layers, steps).map_err(|stop| match stop {
            Stop::Ambiguous { key, name } => PeftError::Ambiguous { layer: name, field, key },
            Stop::Steps => PeftError::Steps { field, at_most: LONGEST_MATCH },
        })
    }

    fn get(&self, number: usize) -> Option<(&str, T)> {
        Some((self.patterns.key(number), *self.values.get(number)?))
    }

    fn unused(&self, matches: &Matches) -> Option<Unused> {
        let keys: Vec<_> = matches.unused.iter().map(|&number| self.patterns.key(number).to_owned()).collect();
        (!keys.is_empty()).then_some(Unused { field: self.field, keys })
    }
}

fn fields(json: &[u8]) -> Result<Fields, PeftError> {
    let text = String::from_utf8_lossy(json);
    if depth(&text) > DEEPEST {
        return Err(PeftError::ConfigDepth { at_most: DEEPEST });
    }
    serde_json::from_slice(json).map_err(|error| {
        let line = error.line();
        match text.lines().nth(line.saturating_sub(1)).and_then(python_number) {
            Some(number) => PeftError::PythonNumber { number, line },
            None => PeftError::ConfigJson(error),
        }
    })
}

/// Refuses other methods, variants, unknown fields, and bases that were changed.
fn refuse(fields: &Fields) -> Result<(), PeftError> {
    match fields.get("peft_type") {
        None => return Err(PeftError::FieldMissing { field: "peft_type", expected: "\"LORA\"" }),
        Some(method) if text(method).as_deref() == Some("LORA") => {}
        Some(got) => return Err(PeftError::Method { got: shown(got) }),
    }
    if let Some(how) = fields.get("init_lora_weights") {
        check_initialisation(how)?;
    }
    for (field, value) in fields.iter().filter(|(_, value)| is_set(value)) {
        let Some(known) = Known::find(field) else {
            return Err(PeftError::UnknownField { field: field.into(), got: shown(value) });
        };
        if let Some(means) = known.refused() {
            let (advice, expected) = ("train without it, or merge it with PEFT", "null, false or empty");
            return Err(PeftError::Variant { field: field.into(), got: shown(value), means, expected, advice });
        }
    }
    Ok(())
}

/// Of the names, PEFT takes only some without regard to the case.
fn check_initialisation(how: &RawValue) -> Result<(), PeftError> {
    let Some(name) = text(how) else {
        let known = matches!(how.get(), "null" | "true" | "false");
        let wrong = || wrong_type("init_lora_weights", "true, false or the name of an initialisation", how);
        return if known { Ok(()) } else { Err(wrong()) };
    };
    let taken = Known::find("init_lora_weights").is_some_and(|field| field.takes(&name));
    if taken { Ok(()) } else { Err(PeftError::ChangedBase { got: shown(how) }) }
}

/// Whether a field holds more than nothing.
fn is_set(value: &RawValue) -> bool {
    !["null", "false", "\"\"", "[]", "{}"].contains(&compact(value.get()).as_str())
}

fn flag(fields: &Fields, field: &str) -> Result<bool, PeftError> {
    let Some(value) = fields.get(field) else { return Ok(false) };
    match value.get() {
        // PEFT takes null for false here, and refuses it in the other fields.
        "false" | "null" => Ok(false),
        "true" => Ok(true),
        _ => Err(wrong_type(field, "true or false", value)),
    }
}

fn bias(fields: &Fields) -> Result<Bias, PeftError> {
    let Some(value) = fields.get("bias") else { return Ok(Bias::None) };
    match text(value).as_deref() {
        Some("none") => Ok(Bias::None),
        Some("lora_only") => Ok(Bias::LoraOnly),
        Some("all") => Err(PeftError::Variant {
            field: "bias".into(),
            got: shown(value),
            means: "biases of layers without adapter are trained too",
            expected: "\"none\" or \"lora_only\"",
            advice: "train with bias=\"lora_only\"",
        }),
        _ => Err(wrong_type("bias", "\"none\" or \"lora_only\"", value)),
    }
}

fn wrong_type(field: &str, expected: &'static str, got: &RawValue) -> PeftError {
    PeftError::FieldType { field: field.to_owned(), expected, got: shown(got) }
}

fn out_of_range(field: &str, expected: &'static str, got: &RawValue) -> PeftError {
    PeftError::FieldRange { field: field.to_owned(), expected, got: shown(got) }
}

/// The value in an error.
fn shown(value: &RawValue) -> String {
    const MOST: usize = 80;
    let text = compact(value.get());
    match text.char_indices().nth(MOST) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

fn rank(field: &str, value: &RawValue) -> Result<u32, PeftError> {
    let expected = "a whole number from 1 to 4294967295";
    let digits = integer(value).ok_or_else(|| wrong_type(field, expected, value))?;
    digits.parse().ok().filter(|&rank| rank > 0).ok_or_else(|| out_of_range(field, expected, value))
}

fn alpha(field: &str, value: &RawValue) -> Result<f64, PeftError> {
    let alpha = number(value).ok_or_else(|| wrong_type(field, "a number", value))?;
    if !alpha.is_finite() {
        return Err(out_of_range(field, "a number in the range of 64 bits", value));
    }
    match integer(value) {
        None => Ok(alpha),
        // Python divides whole numbers exactly; zero has no sign there.
        Some(_) if alpha == 0.0 => Ok(0.0),
        Some(digits) if format!("{alpha:.0}") == digits => Ok(alpha),
        Some(_) => {
            Err(out_of_range(field, "a whole number that 64 bits hold exactly, or one with a decimal point", value))
        }
    }
}

/// A number of 64 bits that stays below 1 in 32 bits.
fn dropout(field: &str, value: &RawValue) -> Result<f64, PeftError> {
    let expected = "a number from 0 to below 1";
    let p = number(value).ok_or_else(|| wrong_type(field, expected, value))?;
    if (0.0..1.0).contains(&(p as f32)) { Ok(p) } else { Err(out_of_range(field, expected, value)) }
}
