//! Why an adapter is refused: which tensor or field, what was expected, what came, and what to do.

use std::path::PathBuf;

use crate::tensor_file::TensorFileError;

/// Why a PEFT directory cannot be read, or an adapter not be written as one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeftError {
    /// A file cannot be read.
    #[error("{}: {source}; the directory needs adapter_config.json and adapter_model.safetensors", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The configuration is longer than any that PEFT writes.
    #[error("adapter_config.json: expected at most {at_most} bytes, got {got}")]
    ConfigLength {
        /// Limit in bytes.
        at_most: usize,
        /// Length in bytes.
        got: usize,
    },
    /// The configuration is not a JSON object.
    #[error("adapter_config.json: expected a JSON object: {0}")]
    ConfigJson(serde_json::Error),
    /// The configuration holds objects and lists too deep inside of each other.
    #[error("adapter_config.json: expected at most {at_most} objects and lists inside of each other, got more")]
    ConfigDepth {
        /// Limit.
        at_most: usize,
    },
    /// The configuration holds a number that is none in JSON.
    #[error(
        "adapter_config.json: line {line}: {number} is no JSON, although Python writes and reads it; write a number or null \
         instead"
    )]
    PythonNumber {
        /// `NaN`, `Infinity` or `-Infinity`.
        number: &'static str,
        /// Its line, from 1 on.
        line: usize,
    },
    /// A field that must be there is not.
    #[error("adapter_config.json: the field `{field}` is missing: expected {expected}")]
    FieldMissing {
        /// The field.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A field holds something of the wrong kind.
    #[error("adapter_config.json: `{field}`: expected {expected}, got {got}")]
    FieldType {
        /// The field, with the key where it is a table.
        field: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        got: String,
    },
    /// A number lies outside of its range.
    #[error("adapter_config.json: `{field}`: expected {expected}, got {got}")]
    FieldRange {
        /// The field, with the key where it is a table.
        field: String,
        /// The range.
        expected: &'static str,
        /// The value.
        got: String,
    },
    /// Another method than LoRA.
    #[error("adapter_config.json: `peft_type`: expected \"LORA\", got {got}; other methods are not supported")]
    Method {
        /// The value of `peft_type`.
        got: String,
    },
    /// A variant of LoRA that is not implemented.
    #[error("adapter_config.json: `{field}` is {got}: {means}; expected {expected}; {advice}")]
    Variant {
        /// The field that turns it on.
        field: String,
        /// Its value.
        got: String,
        /// What the field means.
        means: &'static str,
        /// The value that is supported.
        expected: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The initialisation has changed the base, so that the adapter belongs to another base than the one that is known.
    #[error(
        "adapter_config.json: `init_lora_weights` is {got}: it changes the base, so the adapter does not fit the \
         original one; expected true, false, \"gaussian\", \"orthogonal\" or \"eva\"; convert it with PEFT: \
         save_pretrained(..., path_initial_model_for_weight_conversion=...)"
    )]
    ChangedBase {
        /// The value.
        got: String,
    },
    /// A field that nobody here knows is set.
    #[error(
        "adapter_config.json: `{field}` is {got}: the field is not known, expected null, false or empty; a newer PEFT \
         may compute something else with it. If it changes no number, remove it from the file"
    )]
    UnknownField {
        /// The field.
        field: String,
        /// Its value.
        got: String,
    },
    /// A pattern that Python refuses, or that this program does not read.
    #[error(
        "adapter_config.json: `{field}`: the pattern {key:?} has {flaw}; expected characters, `.`, `^`, `$`, `|`, `(…)`, \
         `[…]`, `\\d`, `\\w`, escaped punctuation, `*`, `+`, `?` and `{{m,n}}`; write it in these"
    )]
    Pattern {
        /// `rank_pattern` or `alpha_pattern`.
        field: &'static str,
        /// The pattern.
        key: String,
        /// What is wrong with it.
        flaw: String,
    },
    /// All patterns of a table together are too large.
    #[error(
        "adapter_config.json: `{field}`: expected at most {at_most} characters in all patterns, with their repetitions \
         written out; write shorter ones"
    )]
    PatternSize {
        /// `rank_pattern` or `alpha_pattern`.
        field: &'static str,
        /// Limit in characters.
        at_most: u64,
    },
    /// To match all patterns with all layers takes too long.
    #[error(
        "adapter_config.json: `{field}`: its patterns take more than {at_most} steps to match with all layers; write \
         fewer or simpler ones"
    )]
    Steps {
        /// `rank_pattern` or `alpha_pattern`.
        field: &'static str,
        /// Limit in steps.
        at_most: u64,
    },
    /// A name that Python and this program could match in different ways.
    #[error(
        "adapter_config.json: `{field}`: the pattern {key:?} has a `\\d` or `\\w`, which in the layer {layer:?} may mean \
         other characters beyond ASCII than in Python; write them as `[…]`"
    )]
    Ambiguous {
        /// The layer.
        layer: String,
        /// `rank_pattern` or `alpha_pattern`.
        field: &'static str,
        /// The pattern.
        key: String,
    },
    /// The tensor file is not one.
    #[error("adapter_model.safetensors: {0}")]
    Tensors(#[from] TensorFileError),
    /// A name without the prefix that PEFT writes.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}`: expected a name that starts with `base_model.model.`; save the \
         adapter with PeftModel.save_pretrained"
    )]
    Prefix {
        /// The tensor.
        tensor: String,
    },
    /// An adapter of an embedding.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}`: adapters of embeddings are not supported, only those of linear \
         layers; train without the embedding in target_modules"
    )]
    Embedding {
        /// The tensor.
        tensor: String,
    },
    /// A magnitude of DoRA.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}`: DoRA is not supported; train with use_dora=False, or merge it \
         with PEFT"
    )]
    DoraTensor {
        /// The tensor.
        tensor: String,
    },
    /// An adapter inside another wrapper, as PEFT makes them for `nn.MultiheadAttention`.
    #[error(
        "layer `{layer}` lies inside the adapted module `{outer}`, as in nn.MultiheadAttention, which PEFT adapts in a way \
         of its own and which is not supported; target linear layers only"
    )]
    Wrapped {
        /// The layer.
        layer: String,
        /// The layer around it.
        outer: String,
    },
    /// A whole tensor of the base beside the adapter.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}` is a whole tensor of the base, and has no place in an adapter file: \
         PEFT saves it for modules_to_save, or for embeddings and the head with save_embedding_layers; if it is as in the \
         base, save the adapter with save_pretrained(..., save_embedding_layers=False)"
    )]
    WholeTensor {
        /// The tensor.
        tensor: String,
    },
    /// A tensor that belongs to no supported adapter.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}`: expected `….lora_A.weight`, `….lora_B.weight`, `….lora_B.bias` \
         or `….base_layer.bias`; other methods are not supported"
    )]
    UnknownTensor {
        /// The tensor.
        tensor: String,
    },
    /// Numbers of another type.
    #[error("adapter_model.safetensors: tensor `{tensor}`: expected F32, F16 or BF16, got {got}; convert it")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// Its type.
        got: String,
    },
    /// A convolution.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}`: expected a matrix, got the shape {got:?}; adapters of \
         convolutions are not supported"
    )]
    Convolution {
        /// The tensor.
        tensor: String,
        /// Its shape.
        got: Vec<usize>,
    },
    /// `A` without `B`, or `B` without `A`.
    #[error(
        "adapter_model.safetensors: tensor `{missing}` is missing: expected beside `{present}`; save the adapter anew"
    )]
    Partner {
        /// What is there.
        present: String,
        /// What is not.
        missing: String,
    },
    /// The rank of a tensor is not that of the configuration.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}`: expected rank {expected} by {field} of adapter_config.json, got \
         {got}; the two files do not belong together"
    )]
    Rank {
        /// The tensor `A`.
        tensor: String,
        /// `r`, or the key of `rank_pattern`.
        field: String,
        /// By the configuration.
        expected: u32,
        /// Rows of the tensor.
        got: usize,
    },
    /// A tensor of another shape than its layer asks for.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}`: expected the shape {expected}, got {got:?}; save the adapter \
         anew"
    )]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape that it should have.
        expected: String,
        /// The shape that it has.
        got: Vec<usize>,
    },
    /// A tensor whose bytes are not those of its shape.
    #[error("adapter_model.safetensors: tensor `{tensor}`: {source}; save the adapter anew")]
    Size {
        /// The tensor.
        tensor: String,
        /// What does not fit.
        source: lowrank::Error,
    },
    /// A bias that the configuration does not announce.
    #[error(
        "adapter_model.safetensors: tensor `{tensor}`: not expected, since `{field}` of adapter_config.json is \
         {value}; the two files do not belong together"
    )]
    BiasUnexpected {
        /// The tensor.
        tensor: String,
        /// `bias` or `lora_bias`.
        field: &'static str,
        /// Its value.
        value: &'static str,
    },
    /// A bias that the configuration announces is not there.
    #[error("adapter_model.safetensors: tensor `{tensor}` is missing: `lora_bias` of adapter_config.json is true")]
    BiasMissing {
        /// The tensor.
        tensor: String,
    },
    /// Nothing to read.
    #[error("adapter_model.safetensors: no adapter in it: expected at least one layer")]
    NoLayers,
    /// The factor of a layer is too large for 32 bits.
    #[error("adapter_config.json: layer `{layer}`: the scale {got:e} is out of the range of f32; lower lora_alpha")]
    Scale {
        /// The layer.
        layer: String,
        /// The factor.
        got: f64,
    },
    /// The configuration that an adapter file carries says something else than its table.
    #[error(
        "layer `{layer}`: {field} is {table} in the table, but {config} by the PEFT configuration in the metadata; \
         `--from-table` writes a configuration by the table"
    )]
    Disagreement {
        /// The layer.
        layer: String,
        /// What they disagree about.
        field: &'static str,
        /// By the table.
        table: String,
        /// By the configuration.
        config: String,
    },
    /// Two layers of one name.
    #[error(
        "layer {layer:?}: there are several of this name, with the ids {first} and {second}; PEFT knows layers by their \
         names only, and would keep one of them; give them different names"
    )]
    SameName {
        /// The name.
        layer: String,
        /// The id of one of them.
        first: u32,
        /// That of another one.
        second: u32,
    },
    /// The tensors cannot be written.
    #[error("adapter_model.safetensors: {0}")]
    Serialize(safetensors::SafeTensorError),
    /// The layers differ in something that PEFT has one setting for.
    #[error("layer `{layer}`: {field} is {got}, but {expected} in other layers: PEFT has one setting for all of them")]
    Mixed {
        /// The layer.
        layer: String,
        /// What they differ in.
        field: &'static str,
        /// In this layer.
        got: String,
        /// In others.
        expected: String,
    },
}
