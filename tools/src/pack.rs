//! `lowrank pack`: from a PEFT directory to an adapter file.

use std::path::{Path, PathBuf};

use clap::Args;
use lowrank::format::{Contents, Layer};
use serde::Serialize;

use crate::base::Base;
use crate::emit_source;
use crate::error::Failure;
use crate::health;
use crate::layers::Naming;
use crate::peft::{self, CONFIG_FILE, TENSOR_FILE};
use crate::report::{Output, count};
use crate::source::{load_peft, read, read_peft};
use crate::state_file::StateFile;
use crate::symbol::check_symbol;
use crate::terminal;
use crate::write::Outputs;

const HELP: &str = "\
Tensors keep their bits. What the file has no place for in adapter_config.json
goes into its metadata, so that `lowrank unpack` gives the same back; --strip
leaves it out.

--optimizer-state takes PyTorch's AdamW along, so that training goes on: for
each tensor T of the adapter, T.exp_avg, T.exp_avg_sq and T.step in F32. The
README has the three lines of Python that write it.

Numbers that are infinite or NaN are refused, and so are layers that are dead.

Examples:
  lowrank pack my-adapter adapter.lowrank
  lowrank pack my-adapter known.lowrank --fingerprint base.safetensors
  lowrank pack my-adapter fw.lowrank --strip --c-array fw.c --rust fw.rs

Exit status: 0 done, 1 the work failed and nothing was written, 2 the command
line is wrong.";

/// Makes an adapter file of a PEFT directory
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Pack {
    /// PEFT directory
    directory: PathBuf,
    /// Where the adapter file goes
    file: PathBuf,
    /// Write it as a C array too, at a multiple of 16 bytes
    #[arg(long, value_name = "FILE")]
    c_array: Option<PathBuf>,
    /// Write it as a Rust static too, at a multiple of 16 bytes
    #[arg(long, value_name = "FILE")]
    rust: Option<PathBuf>,
    /// Name of the array and of the static (there in capitals)
    #[arg(long, value_name = "NAME", default_value = "adapter", value_parser = check_symbol)]
    symbol: String,
    /// The base that the adapter belongs to, a file or a directory, whose fingerprint goes into the adapter file
    #[arg(long, value_name = "BASE")]
    fingerprint: Option<PathBuf>,
    #[command(flatten)]
    naming: Naming,
    /// Leave out the metadata
    #[arg(long)]
    strip: bool,
    /// Number of the save
    #[arg(long, value_name = "N", default_value_t = 0)]
    generation: u32,
    /// Take layers whose A and B are zero, which change nothing and can never learn
    #[arg(long)]
    allow_dead: bool,
    /// State of AdamW, a safetensors file
    #[arg(long, value_name = "FILE")]
    optimizer_state: Option<PathBuf>,
    /// Of that AdamW
    #[arg(long, value_name = "BETA", default_value_t = 0.9, value_parser = beta, requires = "optimizer_state")]
    beta1: f64,
    /// Of that AdamW
    #[arg(long, value_name = "BETA", default_value_t = 0.999, value_parser = beta, requires = "optimizer_state")]
    beta2: f64,
    /// Replace regular files that exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    bytes: usize,
    layers: usize,
    metadata_bytes: usize,
    fingerprint: Option<String>,
    optimizer_state: bool,
}

impl Pack {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let files = load_peft(&self.directory)?;
        let adapter = read_peft(&self.directory, &files)?;
        let mut layers = adapter.layers();
        let state = self.optimizer_state.as_deref().map(read).transpose()?;
        if let (Some(path), Some(bytes)) = (&self.optimizer_state, &state) {
            StateFile::parse(path, bytes, [self.beta1, self.beta2])?.attach(&mut layers)?;
        }
        health::check(&layers, self.allow_dead)?;
        let fingerprint = self.fingerprint(&layers)?;
        let metadata = if self.strip { String::new() } else { peft::metadata(&adapter.config) };
        let contents = Contents { layers: &layers, metadata: &metadata, fingerprint, generation: self.generation };
        let bytes = emit(&contents).map_err(|source| Failure::File { path: self.file.clone(), source })?;
        let outputs = self.outputs(&bytes)?;
        let report = Report {
            file: self.file.clone(),
            bytes: bytes.len(),
            layers: layers.len(),
            metadata_bytes: metadata.len(),
            fingerprint: (fingerprint != 0).then(|| format!("{fingerprint:016x}")),
            optimizer_state: state.is_some(),
        };
        let layers = count(report.layers, "layer");
        let text = format!("{}: {layers}, {} bytes", terminal::path(&self.file), report.bytes);
        self.output.deliver(outputs, &report, &text)
    }

    /// 0 without a base.
    fn fingerprint(&self, layers: &[Layer<'_>]) -> Result<u64, Failure> {
        let Some(path) = &self.fingerprint else { return Ok(0) };
        self.naming.fingerprint(layers, &Base::open(path).map_err(Failure::not_swapped)?)
    }

    /// The adapter file, and the same as source code.
    fn outputs(&self, bytes: &[u8]) -> Result<Outputs, Failure> {
        let paths: Vec<&Path> = [Some(&self.file), self.c_array.as_ref(), self.rust.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        let mut outputs = Outputs::new(&paths, &self.inputs()?, self.force)?;
        outputs.file(&self.file, bytes)?;
        if let Some(path) = &self.c_array {
            outputs.file(path, emit_source::c(&self.symbol, bytes).as_bytes())?;
        }
        if let Some(path) = &self.rust {
            outputs.file(path, emit_source::rust(&self.symbol, bytes).as_bytes())?;
        }
        Ok(outputs)
    }

    /// Every file that is read.
    fn inputs(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut inputs: Vec<PathBuf> =
            [CONFIG_FILE, TENSOR_FILE].iter().map(|name| self.directory.join(name)).collect();
        inputs.extend(self.optimizer_state.clone());
        if let Some(path) = &self.fingerprint {
            inputs.extend(Base::open(path)?.paths().map(Path::to_owned));
        }
        Ok(inputs)
    }
}

pub(crate) fn emit(contents: &Contents<'_>) -> Result<Vec<u8>, lowrank::Error> {
    let mut bytes = vec![0; contents.encoded_len()?];
    contents.emit(&mut bytes)?;
    Ok(bytes)
}

fn beta(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|beta| (0.0..1.0).contains(beta))
        .ok_or_else(|| "expected a number from 0 to below 1".into())
}
