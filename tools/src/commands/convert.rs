//! `lowrank convert`: an adapter from one format to another.

use std::path::{Path, PathBuf};

use clap::Args;
use lowrank::format::{AdapterFile, Contents, EmitError, Entry};
use serde::Serialize;

use crate::base::Base;
use crate::emit_source;
use crate::error::Failure;
use crate::format::{ConversionError, Format};
use crate::health;
use crate::layers::Naming;
use crate::peft::{self, CONFIG_FILE, TENSOR_FILE};
use crate::report::{Output, count};
use crate::source::{Opened, Source, read};
use crate::state_file::StateFile;
use crate::symbol::check_symbol;
use crate::terminal;
use crate::write::{DraftDirectory, Outputs};

const HELP: &str = "\
The command looks at SOURCE, and knows a PEFT directory and an adapter file. The
name of DESTINATION says what the adapter becomes, unless --to says it:

  DESTINATION      of a PEFT directory  of an adapter file
  x.c              a C array            a C array
  x.rs             a Rust static        a Rust static
  x.lowrank        an adapter file      an adapter file
  x                an adapter file      a PEFT directory
  x/               refused              a PEFT directory
  another ending   an adapter file      refused without --to

Tensors keep their bits in every format. What an adapter file has no place for
in adapter_config.json goes into its metadata, so that the way back gives the
same; --strip leaves it out. PeftModel.from_pretrained loads the directory that
is written. Its configuration is the one in the metadata, after a check that it
agrees with every layer; without one, or with --from-table, it is made from the
layers. A PEFT directory has no place for the state of an optimizer, which stays
behind.

An adapter file keeps its generation, its fingerprint and the state of its
optimizer when it becomes another adapter file, a C array or a Rust static;
--generation, --fingerprint and --optimizer-state replace them.

--optimizer-state takes PyTorch's AdamW along, so that training goes on: for
each tensor T of the adapter, it wants T.exp_avg, T.exp_avg_sq and T.step in
F32. The README of lowrank has the three lines of Python that write it.

Numbers that are infinite or NaN are refused, and so are layers that are dead,
except on the way to a PEFT directory. An option that means nothing for the two
formats is refused, too.

Examples:
  lowrank convert my-adapter adapter.lowrank
  lowrank convert adapter.lowrank from-device
  lowrank convert my-adapter known.lowrank --fingerprint base.safetensors
  lowrank convert my-adapter fw.lowrank --strip --c-array fw.c --rust fw.rs
  lowrank convert adapter.lowrank fw.c --symbol fw
  lowrank convert adapter.lowrank small.lowrank --strip
  lowrank convert adapter.lowrank back-1.5 --to peft --from-table

Exit status: 0 done, 1 the work failed and nothing was written, 2 the command
line is wrong.";

/// Converts an adapter from one format to another
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Convert {
    /// This adapter is read: a PEFT directory or an adapter file
    source: PathBuf,
    /// The adapter goes there: to an adapter file, a C array, a Rust static, or a PEFT directory that does not exist yet
    destination: PathBuf,
    /// The adapter becomes this, whatever the name of DESTINATION is
    #[arg(long, value_name = "FORMAT")]
    to: Option<Format>,
    /// Write the adapter file to FILE as a C array, too, which starts at a multiple of 16 bytes
    #[arg(long, value_name = "FILE")]
    c_array: Option<PathBuf>,
    /// Write the adapter file to FILE as a Rust static, too, which starts at a multiple of 16 bytes
    #[arg(long, value_name = "FILE")]
    rust: Option<PathBuf>,
    /// The array has this name, and so has the static, in capitals; without the option it is `adapter`
    #[arg(long, value_name = "NAME", value_parser = check_symbol)]
    symbol: Option<String>,
    /// The adapter belongs to this base, a file or a directory, whose fingerprint goes into the adapter file
    #[arg(long, value_name = "BASE")]
    fingerprint: Option<PathBuf>,
    #[command(flatten)]
    naming: Naming,
    /// Leave the metadata out of the adapter file
    #[arg(long)]
    strip: bool,
    /// The adapter file has this number of the save; without the option it is 0, or that of SOURCE
    #[arg(long, value_name = "N")]
    generation: Option<u32>,
    /// Take layers whose A and B are zero, which change nothing and can never learn
    #[arg(long)]
    allow_dead: bool,
    /// The state of AdamW is in this safetensors file
    #[arg(long, value_name = "FILE")]
    optimizer_state: Option<PathBuf>,
    /// Beta 1 of the AdamW whose state that file has: the decay rate of the first moment
    #[arg(long, value_name = "BETA", default_value_t = 0.9, value_parser = beta, requires = "optimizer_state")]
    beta1: f64,
    /// Beta 2 of the AdamW whose state that file has: the decay rate of the second moment
    #[arg(long, value_name = "BETA", default_value_t = 0.999, value_parser = beta, requires = "optimizer_state")]
    beta2: f64,
    /// Make the configuration of the PEFT directory from the layers, whatever the metadata says
    #[arg(long)]
    from_table: bool,
    /// Replace regular files that exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: Output,
}

/// Of an adapter file, or of one as source code.
#[derive(Serialize)]
struct FileReport {
    file: PathBuf,
    from: Format,
    to: Format,
    /// Of the adapter file.
    bytes: usize,
    layers: usize,
    metadata_bytes: usize,
    fingerprint: Option<String>,
    optimizer_state: bool,
}

/// Of a PEFT directory.
#[derive(Serialize)]
struct DirectoryReport {
    directory: PathBuf,
    from: Format,
    to: Format,
    layers: usize,
    /// `metadata` or `table`
    configuration: &'static str,
    /// Layers whose state of an optimizer is not in the directory
    states_left_behind: usize,
}

impl Convert {
    /// What the names of before say about the destination, where --to does not: `pack` made adapter files, and `unpack`
    /// PEFT directories, whatever their names were.
    pub(crate) fn called(&mut self, name: &str) {
        self.to = self.to.or(match name {
            "pack" => Some(Format::File),
            "unpack" => Some(Format::Peft),
            _ => None,
        });
    }

    pub(crate) fn run(&self) -> Result<(), Failure> {
        let source = Source::load(&self.source)?;
        let opened = source.open()?;
        let from = opened.format();
        let to = self.to.map_or_else(|| Format::of_destination(&self.destination, from), Ok)?;
        self.check(from, to)?;
        match &opened {
            Opened::File(file) if to == Format::Peft => self.to_directory(file),
            _ => self.to_file(&opened, to),
        }
    }

    /// Refuses what makes no sense.
    fn check(&self, from: Format, to: Format) -> Result<(), ConversionError> {
        let path = || self.source.clone();
        if from == Format::Peft && to == Format::Peft {
            return Err(ConversionError::PeftToPeft { path: path() });
        }
        let of_files = [
            ("--strip", self.strip),
            ("--generation", self.generation.is_some()),
            ("--fingerprint", self.fingerprint.is_some()),
            ("--optimizer-state", self.optimizer_state.is_some()),
            ("--c-array", self.c_array.is_some()),
            ("--rust", self.rust.is_some()),
            ("--allow-dead", self.allow_dead),
            ("--force", self.force),
        ];
        let of_peft = [("--from-table", self.from_table)];
        let strange = if to == Format::Peft { &of_files[..] } else { &of_peft };
        if let Some(&(option, _)) = strange.iter().find(|(_, given)| *given) {
            return Err(ConversionError::Option { option, from, to });
        }
        // The first six are what can change.
        let changes = of_files[..6].iter().any(|(_, given)| *given);
        if from == Format::File && to == Format::File && !changes {
            return Err(ConversionError::NothingChanges { path: path() });
        }
        self.check_company(to)
    }

    /// Refuses an option that is there without the one that it belongs to.
    fn check_company(&self, to: Format) -> Result<(), ConversionError> {
        let code = matches!(to, Format::C | Format::Rust) || self.c_array.is_some() || self.rust.is_some();
        if self.symbol.is_some() && !code {
            return Err(ConversionError::Alone { option: "--symbol", needed: "--c-array or --rust" });
        }
        match self.naming.given() {
            Some(option) if self.fingerprint.is_none() => {
                Err(ConversionError::Alone { option, needed: "--fingerprint" })
            }
            _ => Ok(()),
        }
    }

    fn to_file(&self, opened: &Opened<'_>, to: Format) -> Result<(), Failure> {
        let mut entries = opened.entries();
        let state = self.optimizer_state.as_deref().map(read).transpose()?;
        if let (Some(path), Some(bytes)) = (&self.optimizer_state, &state) {
            StateFile::parse(path, bytes, [self.beta1, self.beta2])?.attach(&mut entries)?;
        }
        health::check(&entries, self.allow_dead)?;
        let fingerprint = self.fingerprint(&entries)?.unwrap_or(opened.fingerprint());
        let (metadata, generation) = match opened {
            Opened::Peft(adapter) => (peft::metadata(&adapter.config), 0),
            Opened::File(file) => (file.metadata().to_owned(), file.generation()),
        };
        let metadata = if self.strip { String::new() } else { metadata };
        let generation = self.generation.unwrap_or(generation);
        let contents = Contents { entries: &entries, metadata: &metadata, fingerprint, generation };
        let bytes = emit(&contents).map_err(|source| Failure::Emit { path: self.destination.clone(), source })?;
        let outputs = self.outputs(&bytes, opened.format(), to)?;
        let report = FileReport {
            file: self.destination.clone(),
            from: opened.format(),
            to,
            bytes: bytes.len(),
            layers: entries.len(),
            metadata_bytes: metadata.len(),
            fingerprint: (fingerprint != 0).then(|| format!("{fingerprint:016x}")),
            optimizer_state: entries.iter().any(|entry| entry.training.is_some()),
        };
        self.output.deliver(outputs, &report, &report.text())
    }

    /// Of the base that is given.
    fn fingerprint(&self, entries: &[Entry<'_>]) -> Result<Option<u64>, Failure> {
        let Some(path) = &self.fingerprint else { return Ok(None) };
        self.naming.fingerprint(entries, &Base::open(path).map_err(Failure::not_swapped)?).map(Some)
    }

    /// The adapter file in the format of the destination, and in those of the other outputs.
    fn outputs(&self, bytes: &[u8], from: Format, to: Format) -> Result<Outputs, Failure> {
        let all = [
            Some((&self.destination, to)),
            self.c_array.as_ref().map(|path| (path, Format::C)),
            self.rust.as_ref().map(|path| (path, Format::Rust)),
        ];
        let all: Vec<(&Path, Format)> =
            all.into_iter().flatten().map(|(path, format)| (path.as_path(), format)).collect();
        let paths: Vec<&Path> = all.iter().map(|(path, _)| *path).collect();
        let mut outputs = Outputs::new(&paths, &self.inputs(from)?, self.force)?;
        let symbol = self.symbol.as_deref().unwrap_or("adapter");
        for (path, format) in all {
            match format {
                Format::C => outputs.file(path, emit_source::c(symbol, bytes).as_bytes())?,
                Format::Rust => outputs.file(path, emit_source::rust(symbol, bytes).as_bytes())?,
                Format::File | Format::Peft => outputs.file(path, bytes)?,
            }
        }
        Ok(outputs)
    }

    /// Every file that is read.
    fn inputs(&self, from: Format) -> Result<Vec<PathBuf>, Failure> {
        let mut inputs = match from {
            Format::Peft => [CONFIG_FILE, TENSOR_FILE].iter().map(|name| self.source.join(name)).collect(),
            _ => vec![self.source.clone()],
        };
        inputs.extend(self.optimizer_state.clone());
        if let Some(path) = &self.fingerprint {
            inputs.extend(Base::open(path)?.paths().map(Path::to_owned));
        }
        Ok(inputs)
    }

    fn to_directory(&self, file: &AdapterFile<'_>) -> Result<(), Failure> {
        let entries: Vec<Entry<'_>> = file.entries().collect();
        let config = if self.from_table { None } else { peft::from_metadata(file.metadata())? };
        let written = peft::write(&entries, config.as_ref())?;
        let mut outputs = Outputs::new(&[&self.destination], &[], false)?;
        let directory = DraftDirectory::new(&self.destination)?;
        for (name, bytes) in [(CONFIG_FILE, written.config.as_bytes()), (TENSOR_FILE, written.tensors.as_slice())] {
            let mut draft = directory.file(Path::new(name))?;
            draft.write(bytes)?;
            directory.add(draft)?;
        }
        outputs.add(directory.complete());
        let report = DirectoryReport {
            directory: self.destination.clone(),
            from: Format::File,
            to: Format::Peft,
            layers: entries.len(),
            configuration: if config.is_some() { "metadata" } else { "table" },
            states_left_behind: entries.iter().filter(|entry| entry.training.is_some()).count(),
        };
        self.output.deliver(outputs, &report, &report.text())
    }
}

impl FileReport {
    fn text(&self) -> String {
        let form = match self.to {
            Format::C | Format::Rust => format!(" as {}", self.to.name()),
            Format::File | Format::Peft => String::new(),
        };
        format!("{}: {}, {} bytes{form}", terminal::path(&self.file), count(self.layers, "layer"), self.bytes)
    }
}

impl DirectoryReport {
    fn text(&self) -> String {
        let name = terminal::path(&self.directory);
        let left = match self.states_left_behind {
            0 => String::new(),
            left => format!("; the state of the optimizer of {} stays behind", count(left, "layer")),
        };
        format!("{name}: {}, configuration from the {}{left}", count(self.layers, "layer"), self.configuration)
    }
}

fn emit(contents: &Contents<'_>) -> Result<Vec<u8>, EmitError> {
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
