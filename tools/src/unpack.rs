//! `lowrank unpack`: from an adapter file to a PEFT directory.

use std::path::{Path, PathBuf};

use clap::Args;
use lowrank::format::Layer;
use serde::Serialize;

use crate::error::Failure;
use crate::peft::{self, CONFIG_FILE, TENSOR_FILE};
use crate::report::{Output, count};
use crate::source::{parse, read_adapter};
use crate::terminal;
use crate::write::{DraftDirectory, Outputs};

const HELP: &str = "\
PeftModel.from_pretrained loads the directory. Tensors keep their bits. The
configuration is the one that `lowrank pack` has put into the metadata, after a
check that it agrees with every layer; without one, or with --from-table, it is
made from the layers. The state of an optimizer stays behind.

Example:
  lowrank unpack adapter.lowrank from-device

Exit status: 0 done, 1 the work failed and nothing was written, 2 the command
line is wrong.";

/// Makes a PEFT directory of an adapter file
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Unpack {
    /// Adapter file
    file: PathBuf,
    /// Where the PEFT directory goes; must not exist
    directory: PathBuf,
    /// Make the configuration from the layers, whatever the metadata says
    #[arg(long)]
    from_table: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    directory: PathBuf,
    layers: usize,
    /// `metadata` or `table`
    configuration: &'static str,
}

impl Unpack {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let bytes = read_adapter(&self.file)?;
        let file = parse(&self.file, &bytes)?;
        let layers: Vec<Layer<'_>> = file.layers().collect();
        let config = if self.from_table { None } else { peft::from_metadata(file.metadata())? };
        let written = peft::write(&layers, config.as_ref())?;
        let mut outputs = Outputs::new(&[&self.directory], &[], false)?;
        let directory = DraftDirectory::new(&self.directory)?;
        for (name, bytes) in [(CONFIG_FILE, written.config.as_bytes()), (TENSOR_FILE, written.tensors.as_slice())] {
            let mut draft = directory.file(Path::new(name))?;
            draft.write(bytes)?;
            directory.add(draft)?;
        }
        outputs.add(directory.complete());
        let configuration = if config.is_some() { "metadata" } else { "table" };
        let report = Report { directory: self.directory.clone(), layers: layers.len(), configuration };
        let name = terminal::path(&self.directory);
        let layers = count(report.layers, "layer");
        let text = format!("{name}: {layers}, configuration from the {configuration}");
        self.output.deliver(outputs, &report, &text)
    }
}
