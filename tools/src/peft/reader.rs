//! From the two files to the layers of an adapter.

use std::collections::BTreeMap;
use std::path::Path;

use lowrank::Scale;
use lowrank::format::{Entry, RandomState, Tensor};
use safetensors::tensor::TensorInfo;

use super::config::{Bias, Config, Setting, Unused};
use super::error::PeftError;
use super::names::{Part, check_wrapped, classify};
use super::{CONFIG_FILE, TENSOR_FILE};
use crate::tensor_file;

/// A header of 16 MiB describes about 100,000 tensors.
const LONGEST_HEADER: u64 = 16 << 20;

/// The bytes of a PEFT directory.
#[derive(Debug)]
pub struct Files {
    /// `adapter_config.json`
    pub config: Vec<u8>,
    /// `adapter_model.safetensors`
    pub tensors: Vec<u8>,
}

impl Files {
    /// Reads a directory.
    ///
    /// # Errors
    /// [`PeftError::Read`] with the file that cannot be read.
    pub fn load(directory: &Path) -> Result<Self, PeftError> {
        let load = |name| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|source| PeftError::Read { path, source })
        };
        Ok(Self { config: load(CONFIG_FILE)?, tensors: load(TENSOR_FILE)? })
    }

    /// The adapter in these files.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self) -> Result<Adapter<'_>, PeftError> {
        read(&self.config, &self.tensors)
    }
}

/// An adapter of PEFT: its settings, and its layers in ascending order of their names.
#[derive(Debug)]
pub struct Adapter<'a> {
    /// The settings.
    pub config: Config,
    /// The layers.
    pub layers: Vec<PeftLayer<'a>>,
    /// What has no effect or is left out, a sentence each.
    pub warnings: Vec<String>,
}

impl Adapter<'_> {
    /// The layers as an adapter file holds them, without training state.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        self.layers.iter().map(|layer| layer.layer(&self.config)).collect()
    }
}

/// A layer of an adapter.
#[derive(Debug)]
pub struct PeftLayer<'a> {
    /// The path of the module, without `base_model.model.`.
    pub name: String,
    /// The factor in front of `B·A`.
    pub scale: Scale,
    /// `A [r, in]`
    pub a: Tensor<'a>,
    /// `B [out, r]`
    pub b: Tensor<'a>,
    /// `[1, out]`, takes the place of the base's.
    pub bias: Option<Tensor<'a>>,
    /// `[1, out]`, the bias of `B`.
    pub b_bias: Option<Tensor<'a>>,
}

impl PeftLayer<'_> {
    fn layer(&self, config: &Config) -> Entry<'_> {
        Entry {
            name: &self.name,
            id: 0,
            scale: self.scale,
            a: self.a,
            b: self.b,
            bias: self.bias,
            b_bias: self.b_bias,
            fan_in_fan_out: config.fan_in_fan_out,
            training: None,
            random: RandomState { dropout: config.dropout, ..RandomState::default() },
        }
    }
}

/// Reads an adapter from the bytes of `adapter_config.json` and of `adapter_model.safetensors`. The tensors stay where
/// they are.
///
/// # Errors
/// [`PeftError`] for files that are damaged, do not belong together, or hold what is not supported.
pub fn read<'a>(config: &[u8], tensors: &'a [u8]) -> Result<Adapter<'a>, PeftError> {
    let config = Config::parse(config)?;
    let (metadata, data) = tensor_file::parse(tensors, LONGEST_HEADER)?;
    let infos = metadata.tensors();
    // In order, so that of several flaws it is always the same one that is reported.
    let infos: BTreeMap<&str, &TensorInfo> = infos.iter().map(|(name, info)| (name.as_str(), *info)).collect();
    let mut layers: BTreeMap<&str, Parts<'_, 'a>> = BTreeMap::new();
    for (name, info) in infos {
        let (layer, part) = classify(name)?;
        let found = Found { name, info, data };
        *layers.entry(layer).or_default().get_mut(part) = Some(found);
    }
    if layers.is_empty() {
        return Err(PeftError::NoLayers);
    }
    check_wrapped(layers.keys().copied())?;
    let names: Vec<&str> = layers.keys().copied().collect();
    let (settings, unused) = config.settings(&names)?;
    let all = layers.iter().zip(&settings);
    let all: Result<_, _> = all.map(|((name, parts), setting)| parts.layer(name, setting, &config)).collect();
    let warnings = unused.iter().map(unused_keys).chain(layers.values().filter_map(left_out)).collect();
    Ok(Adapter { layers: all?, warnings, config })
}

fn unused_keys(Unused { field, keys }: &Unused) -> String {
    let keys: Vec<_> = keys.iter().map(|key| format!("{key:?}")).collect();
    format!("{CONFIG_FILE}: `{field}`: no layer is matched by {}, so it has no effect", keys.join(", "))
}

fn left_out(parts: &Parts<'_, '_>) -> Option<String> {
    let tensor = parts.base?.name;
    Some(format!(
        "{TENSOR_FILE}: tensor `{tensor}` is the weight of the base, which PEFT saves along with an adapter of the head \
         (save_embedding_layers); it is left out, and belongs to the base"
    ))
}

/// A tensor in the file.
#[derive(Copy, Clone)]
struct Found<'n, 'a> {
    name: &'n str,
    info: &'n TensorInfo,
    data: &'a [u8],
}

impl<'a> Found<'_, 'a> {
    fn shape(&self) -> &[usize] {
        &self.info.shape
    }

    fn tensor(&self, rows: usize, cols: usize) -> Result<Tensor<'a>, PeftError> {
        let tensor = self.name.to_owned();
        let Some(dtype) = tensor_file::float_type(self.info.dtype) else {
            return Err(PeftError::TensorType { tensor, got: self.info.dtype.to_string() });
        };
        let (start, end) = self.info.data_offsets;
        let bytes = self.data.get(start..end).unwrap_or(&[]);
        Tensor::from_bytes(dtype, rows, cols, bytes).map_err(|source| PeftError::Size { tensor, source })
    }

    /// The sizes of a matrix.
    fn matrix(&self) -> Result<(usize, usize), PeftError> {
        let (tensor, got) = (self.name.to_owned(), self.info.shape.clone());
        match *self.info.shape.as_slice() {
            [0, _] | [_, 0] => Err(PeftError::Shape { tensor, expected: "without an empty side".into(), got }),
            [rows, cols] => Ok((rows, cols)),
            [_, _, _, ..] => Err(PeftError::Convolution { tensor, got }),
            _ => Err(PeftError::Shape { tensor, expected: "of a matrix".into(), got }),
        }
    }

    fn expect(&self, shape: &[usize]) -> Result<(), PeftError> {
        if self.shape() == shape {
            return Ok(());
        }
        let (tensor, got) = (self.name.to_owned(), self.info.shape.clone());
        Err(PeftError::Shape { tensor, expected: format!("{shape:?}"), got })
    }
}

/// The tensors of a layer.
#[derive(Default)]
struct Parts<'n, 'a> {
    a: Option<Found<'n, 'a>>,
    b: Option<Found<'n, 'a>>,
    bias: Option<Found<'n, 'a>>,
    b_bias: Option<Found<'n, 'a>>,
    base: Option<Found<'n, 'a>>,
}

impl<'n, 'a> Parts<'n, 'a> {
    fn get_mut(&mut self, part: Part) -> &mut Option<Found<'n, 'a>> {
        match part {
            Part::A => &mut self.a,
            Part::B => &mut self.b,
            Part::Bias => &mut self.bias,
            Part::BBias => &mut self.b_bias,
            Part::Base => &mut self.base,
        }
    }

    fn layer(&self, name: &str, setting: &Setting<'_>, config: &Config) -> Result<PeftLayer<'a>, PeftError> {
        let (a, b) = self.partners(name)?;
        let (rank, inputs) = a.matrix()?;
        let (outputs, _) = b.matrix()?;
        if rank != setting.rank as usize {
            let field = setting.rank_key.map_or_else(|| "`r`".to_owned(), |key| format!("`rank_pattern[{key:?}]`"));
            return Err(PeftError::Rank { tensor: a.name.to_owned(), field, expected: setting.rank, got: rank });
        }
        b.expect(&[outputs, rank])?;
        self.check_biases(name, outputs, config)?;
        if let Some(base) = self.base {
            base.expect(&if config.fan_in_fan_out { [inputs, outputs] } else { [outputs, inputs] })?;
        }
        Ok(PeftLayer {
            name: name.to_owned(),
            scale: setting.scale,
            a: a.tensor(rank, inputs)?,
            b: b.tensor(outputs, rank)?,
            bias: self.bias.map(|bias| bias.tensor(1, outputs)).transpose()?,
            b_bias: self.b_bias.map(|bias| bias.tensor(1, outputs)).transpose()?,
        })
    }

    /// `A` and `B`.
    fn partners(&self, layer: &str) -> Result<(Found<'n, 'a>, Found<'n, 'a>), PeftError> {
        if let (Some(a), Some(b)) = (self.a, self.b) {
            return Ok((a, b));
        }
        let missing = if self.a.is_none() { Part::A } else { Part::B };
        let present = [self.a, self.b, self.bias, self.b_bias, self.base].into_iter().flatten().next();
        let present = present.map_or_else(String::new, |found| found.name.to_owned());
        Err(PeftError::Partner { present, missing: missing.tensor(layer) })
    }

    fn check_biases(&self, layer: &str, outputs: usize, config: &Config) -> Result<(), PeftError> {
        match (self.bias, config.bias) {
            (Some(found), Bias::None) => {
                let tensor = found.name.to_owned();
                return Err(PeftError::BiasUnexpected { tensor, field: "bias", value: "\"none\"" });
            }
            // A layer whose base has no bias has none with "lora_only" either.
            (Some(found), Bias::LoraOnly) => found.expect(&[outputs])?,
            (None, _) => {}
        }
        match (self.b_bias, config.b_bias) {
            (Some(found), true) => found.expect(&[outputs]),
            (None, false) => Ok(()),
            (Some(found), false) => {
                let tensor = found.name.to_owned();
                Err(PeftError::BiasUnexpected { tensor, field: "lora_bias", value: "false" })
            }
            (None, true) => Err(PeftError::BiasMissing { tensor: Part::BBias.tensor(layer) }),
        }
    }
}
