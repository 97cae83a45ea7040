//! `lowrank plan`: what a layer takes on a device.

use clap::{Args, ValueEnum};
use lowrank::format::{Outline, encoded_len};
use lowrank::train::{Optimizer, Plan, Trained};
use lowrank::{Dtype, Saved, Shape, packed_len};
use serde::Serialize;

use crate::error::Failure;
use crate::report::{self, Output};
use crate::stack::deepest;

const HELP: &str = "\
The numbers are those of the library's constant functions: Plan, Saved,
packed_len and format::encoded_len. They are of one layer; add up several.

The core reads weights of 32 bits. A base that rests in fewer is widened into
RAM before use, which is a line of its own.

The stack of a microcontroller is the deepest call on any of the emulated
Cortex-M and RISC-V cores, without dropout. With vectors, copies of small
blocks lie on the stack, too: up to 48 KiB on x86-64, 16 KiB with NEON and
simd128.

Example:
  lowrank plan --inputs 64 --outputs 48 --rank 4 --tokens 1 --optimizer adamw

Exit status: 0 done, 1 no layer can be trained so, or the sizes are too large
for any memory, 2 the command line is wrong.";

/// Says what a layer takes: flash, RAM, stack and work, for inference and training
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct PlanArgs {
    /// The layer has this many inputs
    #[arg(long, value_name = "N", value_parser = count)]
    inputs: u32,
    /// The layer has this many outputs
    #[arg(long, value_name = "N", value_parser = count)]
    outputs: u32,
    /// The adapter has this rank
    #[arg(long, value_name = "R", value_parser = count)]
    rank: u32,
    /// The layer computes this many tokens at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    tokens: u32,
    /// This optimizer trains it
    #[arg(long, value_name = "NAME", default_value = "adamw")]
    optimizer: OptimizerName,
    /// The base rests in flash in numbers of this type
    #[arg(long, value_name = "NAME", default_value = "f32")]
    base_dtype: DtypeName,
    /// A stays as it is (LoRA-FA)
    #[arg(long)]
    freeze_a: bool,
    /// The bias is trained too
    #[arg(long)]
    train_bias: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum OptimizerName {
    Adamw,
    Sgd,
    Momentum,
    #[value(aliases = ["inplace", "in_place"])]
    InPlace,
}

impl From<OptimizerName> for Optimizer {
    fn from(name: OptimizerName) -> Self {
        match name {
            OptimizerName::Adamw => Optimizer::AdamW,
            OptimizerName::Sgd => Optimizer::Sgd,
            OptimizerName::Momentum => Optimizer::Momentum,
            OptimizerName::InPlace => Optimizer::InPlace,
        }
    }
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum DtypeName {
    F32,
    F16,
    Bf16,
}

impl From<DtypeName> for Dtype {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::F32 => Dtype::F32,
            DtypeName::F16 => Dtype::F16,
            DtypeName::Bf16 => Dtype::Bf16,
        }
    }
}

/// Bytes for one way to use the layer.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Bytes {
    flash_base: u64,
    flash_base_bias: u64,
    flash_adapter_file: u64,
    ram_adapter: u64,
    ram_gradients: u64,
    ram_saved: u64,
    ram_optimizer: u64,
    /// The four above: one buffer.
    ram_arena: u64,
    ram_widened_base: u64,
    /// `X`, `Y`, and in training `dY` and `dX`.
    ram_activations: u64,
}

/// Multiplications with additions, for all tokens.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Work {
    forward: u64,
    parameter_gradients: u64,
    input_gradients: u64,
    /// Parameters that the optimizer changes.
    updated_parameters: u64,
}

/// Bytes on the stack.
#[derive(Copy, Clone, Debug, Serialize)]
struct Stack {
    /// Copies of small blocks, at most.
    x86_64: u64,
    neon: u64,
    simd128: u64,
    /// The deepest call.
    microcontroller_inference: u64,
    microcontroller_training: u64,
    /// Reading an adapter file, and saving one to flash.
    microcontroller_file: u64,
    microcontroller_store: u64,
}

// Calls as the measured figures name them.
const FORWARD: [&str; 2] = ["forward_rows", "forward_packed"];
const FILE: [&str; 2] = ["parse", "find"];
const STORE: [&str; 3] = ["store_save", "store_recover", "store_load"];

fn training_calls(optimizer: OptimizerName) -> Vec<&'static str> {
    let backward = ["backward_rows", "backward_packed", "global_norm"];
    match optimizer {
        OptimizerName::InPlace => [&FORWARD[..], &["in_place_step"]].concat(),
        OptimizerName::Adamw => [&FORWARD[..], &backward, &["adamw_step"]].concat(),
        OptimizerName::Sgd | OptimizerName::Momentum => [&FORWARD[..], &backward, &["sgd_step"]].concat(),
    }
}

impl Stack {
    fn of(optimizer: OptimizerName) -> Self {
        Self {
            x86_64: 48 << 10,
            neon: 16 << 10,
            simd128: 16 << 10,
            microcontroller_inference: deepest(&FORWARD),
            microcontroller_training: deepest(&training_calls(optimizer)),
            microcontroller_file: deepest(&FILE),
            microcontroller_store: deepest(&STORE),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    inputs: u32,
    outputs: u32,
    rank: u32,
    tokens: u32,
    optimizer: &'static str,
    base_dtype: &'static str,
    inference_bytes: Bytes,
    training_bytes: Bytes,
    stack_bytes: Stack,
    inference_work: Work,
    training_work: Work,
}

impl PlanArgs {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let report = self.report()?;
        self.output.print(&report, &text(&report))
    }

    fn shape(&self) -> Shape {
        Shape::new(self.inputs as usize, self.outputs as usize, self.rank as usize)
    }

    fn trained(&self) -> Trained {
        Trained { a: !self.freeze_a, bias: self.train_bias }
    }

    fn report(&self) -> Result<Report, Failure> {
        if matches!(self.optimizer, OptimizerName::InPlace) && self.train_bias {
            return Err(Failure::InPlaceBias);
        }
        Ok(Report {
            inputs: self.inputs,
            outputs: self.outputs,
            rank: self.rank,
            tokens: self.tokens,
            optimizer: report::optimizer(self.optimizer.into()),
            base_dtype: Dtype::from(self.base_dtype).name(),
            inference_bytes: self.bytes(None).ok_or(Failure::Plan("the memory for inference"))?,
            training_bytes: self.bytes(Some(self.optimizer.into())).ok_or(Failure::Plan("the memory for training"))?,
            stack_bytes: Stack::of(self.optimizer),
            inference_work: self.work(false).ok_or(Failure::Plan("the number of multiplications"))?,
            training_work: self.work(true).ok_or(Failure::Plan("the number of multiplications"))?,
        })
    }

    /// For inference without an optimizer. `None` when something does not fit into memory.
    fn bytes(&self, optimizer: Option<Optimizer>) -> Option<Bytes> {
        let (shape, tokens, dtype) = (self.shape(), self.tokens as usize, Dtype::from(self.base_dtype));
        let numbers = |len: usize| len.checked_mul(size_of::<f32>()).map(|bytes| bytes as u64);
        let weights = packed_len(shape.outputs, shape.inputs)?;
        let widened = if dtype == Dtype::F32 { 0 } else { weights };
        let sides = shape.inputs.checked_add(shape.outputs)?;
        let training = optimizer.map(|optimizer| (optimizer, self.trained()));
        let outline =
            Outline { bias: self.train_bias.then_some(Dtype::F32), training, ..Outline::new("", shape, Dtype::F32) };
        let shared = Bytes {
            flash_base: (weights as u64).checked_mul(dtype.size() as u64)?,
            flash_base_bias: numbers(shape.outputs)?,
            flash_adapter_file: encoded_len(&[outline], 0)? as u64,
            ram_widened_base: numbers(widened)?,
            ..Bytes::default()
        };
        let Some((optimizer, trained)) = training else {
            let saved = numbers(Saved::inference_len(shape, tokens)?)?;
            let activations = numbers(tokens.checked_mul(sides)?)?;
            return Some(Bytes { ram_saved: saved, ram_arena: saved, ram_activations: activations, ..shared });
        };
        let plan = Plan::training(shape, tokens, optimizer).with(trained);
        Some(Bytes {
            ram_adapter: numbers(plan.adapter_len()?)?,
            ram_gradients: numbers(plan.grads_len()?)?,
            ram_saved: numbers(plan.saved_len()?)?,
            ram_optimizer: numbers(plan.state_len()?)?,
            ram_arena: numbers(plan.checked_len()?)?,
            ram_activations: numbers(tokens.checked_mul(sides)?.checked_mul(2)?)?,
            ..shared
        })
    }

    /// `None` when it cannot be counted.
    fn work(&self, training: bool) -> Option<Work> {
        let [n, inputs, outputs, rank] = [self.tokens, self.inputs, self.outputs, self.rank].map(u64::from);
        let Trained { a, bias } = self.trained();
        let full = inputs.checked_mul(outputs)?;
        let (down, up) = (rank.checked_mul(inputs)?, rank.checked_mul(outputs)?);
        let sum = |parts: &[u64]| parts.iter().try_fold(0u64, |sum, part| sum.checked_add(*part))?.checked_mul(n);
        let forward = sum(&[full, down, up])?;
        if !training {
            return Some(Work { forward, ..Work::default() });
        }
        let down_if_trained = if a { down } else { 0 };
        let trained_bias = if bias { outputs } else { 0 };
        Some(Work {
            forward,
            // g, dB and dA.
            parameter_gradients: sum(&[up, up, down_if_trained])?,
            input_gradients: sum(&[full, down])?,
            updated_parameters: up.checked_add(down_if_trained)?.checked_add(trained_bias)?,
        })
    }
}

/// What a layer can have of inputs, outputs, rank and tokens.
fn count(text: &str) -> Result<u32, String> {
    match text.parse::<u64>() {
        Ok(0) => Err("a layer has at least one".to_owned()),
        Ok(number) => u32::try_from(number).map_err(|_| format!("a layer has at most {}", u32::MAX)),
        Err(_) => Err(format!("expected a whole number from 1 to {}", u32::MAX)),
    }
}

fn text(report: &Report) -> String {
    let (inference, training, stack) = (&report.inference_bytes, &report.training_bytes, &report.stack_bytes);
    let row =
        |what: &str, of: fn(&Bytes) -> u64| [what.to_owned(), of(inference).to_string(), of(training).to_string()];
    let bytes = [
        row("flash: base", |bytes| bytes.flash_base),
        row("flash: bias of the base", |bytes| bytes.flash_base_bias),
        row("flash: adapter file", |bytes| bytes.flash_adapter_file),
        row("RAM: adapter", |bytes| bytes.ram_adapter),
        row("RAM: gradients", |bytes| bytes.ram_gradients),
        row("RAM: between the passes", |bytes| bytes.ram_saved),
        row("RAM: optimizer", |bytes| bytes.ram_optimizer),
        row("RAM: these four", |bytes| bytes.ram_arena),
        row("RAM: base in 32 bits", |bytes| bytes.ram_widened_base),
        row("RAM: X, Y and gradients", |bytes| bytes.ram_activations),
        [
            "stack: Cortex-M or RISC-V".to_owned(),
            stack.microcontroller_inference.to_string(),
            stack.microcontroller_training.to_string(),
        ],
    ];
    let (inference, training) = (&report.inference_work, &report.training_work);
    let row = |what: &str, of: fn(&Work) -> u64| [what.to_owned(), of(inference).to_string(), of(training).to_string()];
    let work = [
        row("forward", |work| work.forward),
        row("gradients of the parameters", |work| work.parameter_gradients),
        row("gradient of X, if needed", |work| work.input_gradients),
        row("parameters updated", |work| work.updated_parameters),
    ];
    let [inputs, outputs, tokens] = [(report.inputs, "input"), (report.outputs, "output"), (report.tokens, "token")]
        .map(|(number, thing)| report::count(number as usize, thing));
    let Report { rank, optimizer, base_dtype, .. } = report;
    format!(
        "{inputs}, {outputs}, rank {rank}, {tokens}, {optimizer}, base in {base_dtype}\n\n\
         {}\n{}\n\
         Stack of a microcontroller besides: {} bytes to read an adapter file, {} to save one to flash.\n\
         Copies of small blocks on the stack elsewhere: up to {} bytes on x86-64, {} with NEON and simd128.\n",
        report::table(["bytes", "inference", "training"], &bytes),
        report::table(["multiply-adds", "inference", "training"], &work),
        stack.microcontroller_file,
        stack.microcontroller_store,
        stack.x86_64,
        stack.neon,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: PlanArgs = PlanArgs {
        inputs: 64,
        outputs: 48,
        rank: 4,
        tokens: 3,
        optimizer: OptimizerName::Adamw,
        base_dtype: DtypeName::F32,
        freeze_a: false,
        train_bias: false,
        output: Output { json: false },
    };

    #[test]
    fn bytes_are_those_of_the_constant_functions() {
        for optimizer in [OptimizerName::Adamw, OptimizerName::Sgd, OptimizerName::Momentum, OptimizerName::InPlace] {
            for (freeze_a, train_bias) in [(false, false), (true, false), (false, true), (true, true)] {
                let args = PlanArgs { optimizer, freeze_a, train_bias, ..ARGS };
                let (shape, trained) = (Shape::new(64, 48, 4), Trained { a: !freeze_a, bias: train_bias });
                let plan = Plan::training(shape, 3, optimizer.into()).with(trained);
                let bytes = args.bytes(Some(optimizer.into())).unwrap();
                assert_eq!(bytes.ram_arena, plan.bytes() as u64);
                assert_eq!(bytes.ram_adapter, 4 * plan.adapter_len().unwrap() as u64);
                assert_eq!(bytes.ram_gradients, 4 * plan.grads_len().unwrap() as u64);
                assert_eq!(bytes.ram_saved, 4 * plan.saved_len().unwrap() as u64);
                assert_eq!(bytes.ram_optimizer, 4 * plan.state_len().unwrap() as u64);
                let parts = [bytes.ram_adapter, bytes.ram_gradients, bytes.ram_saved, bytes.ram_optimizer];
                assert_eq!(bytes.ram_arena, parts.iter().sum::<u64>());
            }
        }
        let bytes = ARGS.bytes(None).unwrap();
        assert_eq!(bytes.ram_arena, 4 * Saved::inference_len(Shape::new(64, 48, 4), 3).unwrap() as u64);
        assert_eq!(bytes.flash_base, 4 * packed_len(48, 64).unwrap() as u64);
        assert_eq!(bytes.flash_adapter_file, 64 + 96 + 4 * 4 * (64 + 48));
        let half = PlanArgs { base_dtype: DtypeName::Bf16, ..ARGS }.bytes(None).unwrap();
        assert_eq!((2 * half.flash_base, half.ram_widened_base), (bytes.flash_base, bytes.flash_base));
        let training = PlanArgs { train_bias: true, ..ARGS }.bytes(Some(Optimizer::Sgd)).unwrap();
        assert_eq!((bytes.flash_base_bias, training.flash_base_bias), (4 * 48, 4 * 48));
        // X and Y of 3 tokens, and their gradients.
        assert_eq!((bytes.ram_activations, training.ram_activations), (4 * 3 * (64 + 48), 2 * 4 * 3 * (64 + 48)));
        assert_eq!(training.flash_adapter_file, bytes.flash_adapter_file + 4 * 48);
    }

    /// The state of an optimizer is in the file where it has moments, in the sizes of what is trained.
    #[test]
    fn an_adapter_file_holds_the_moments_that_there_are() {
        let (a, b) = (4 * 64, 4 * 48);
        for (optimizer, moments) in [
            (OptimizerName::Adamw, 2),
            (OptimizerName::Momentum, 1),
            (OptimizerName::Sgd, 0),
            (OptimizerName::InPlace, 0),
        ] {
            for (freeze_a, train_bias) in [(false, false), (true, false), (false, true)] {
                let args = PlanArgs { optimizer, freeze_a, train_bias, ..ARGS };
                let bias = if train_bias { 48 } else { 0 };
                let trained = if freeze_a { b } else { a + b } + bias;
                let expected = 64 + 96 + 4 * (a + b + bias + moments * trained);
                let bytes = args.bytes(Some(optimizer.into())).unwrap();
                assert_eq!(bytes.flash_adapter_file, expected, "{optimizer:?}, {freeze_a}, {train_bias}");
                assert_eq!(args.bytes(None).unwrap().flash_adapter_file, 64 + 96 + 4 * (a + b + bias));
            }
        }
    }

    /// Every number of the text stands in its row and column.
    #[test]
    fn the_text_holds_the_numbers_of_the_report() {
        let args = PlanArgs { base_dtype: DtypeName::Bf16, train_bias: true, freeze_a: true, ..ARGS };
        let report = args.report().unwrap();
        let text = text(&report);
        let json = serde_json::to_value(&report).unwrap();
        let rows = [
            ("flash: base", "bytes", "flash_base"),
            ("flash: bias of the base", "bytes", "flash_base_bias"),
            ("flash: adapter file", "bytes", "flash_adapter_file"),
            ("RAM: adapter", "bytes", "ram_adapter"),
            ("RAM: gradients", "bytes", "ram_gradients"),
            ("RAM: between the passes", "bytes", "ram_saved"),
            ("RAM: optimizer", "bytes", "ram_optimizer"),
            ("RAM: these four", "bytes", "ram_arena"),
            ("RAM: base in 32 bits", "bytes", "ram_widened_base"),
            ("RAM: X, Y and gradients", "bytes", "ram_activations"),
            ("forward", "work", "forward"),
            ("gradients of the parameters", "work", "parameter_gradients"),
            ("gradient of X, if needed", "work", "input_gradients"),
            ("parameters updated", "work", "updated_parameters"),
        ];
        let numbers = |label: &str| -> Vec<u64> {
            let mut found = text.lines().filter_map(|line| line.strip_prefix(&format!("{label}  ")));
            let line = found.next().unwrap_or_else(|| panic!("no {label}"));
            assert_eq!(found.next(), None, "{label}");
            line.split_whitespace().map(|number| number.parse().unwrap()).collect()
        };
        for (label, part, field) in rows {
            let expected =
                ["inference", "training"].map(|phase| json[format!("{phase}_{part}")][field].as_u64().unwrap());
            assert_eq!(numbers(label), expected, "{label}");
        }
        let stack = &report.stack_bytes;
        let calls = [stack.microcontroller_inference, stack.microcontroller_training];
        assert_eq!(numbers("stack: Cortex-M or RISC-V"), calls);
        for sentence in [
            format!(
                "{} bytes to read an adapter file, {} to save",
                stack.microcontroller_file, stack.microcontroller_store
            ),
            "up to 49152 bytes on x86-64, 16384 with NEON and simd128".to_owned(),
            "64 inputs, 48 outputs, rank 4, 3 tokens, adamw, base in bf16".to_owned(),
        ] {
            assert!(text.contains(&sentence), "{sentence:?} is not in {text}");
        }
    }

    #[test]
    fn work_is_counted_by_hand() {
        let work = ARGS.work(true).unwrap();
        assert_eq!(work.forward, 3 * (64 * 48 + 4 * 64 + 48 * 4));
        assert_eq!(work.parameter_gradients, 3 * (2 * 48 * 4 + 4 * 64));
        assert_eq!(work.input_gradients, 3 * (64 * 48 + 4 * 64));
        assert_eq!(work.updated_parameters, 4 * (64 + 48));
        let frozen = PlanArgs { freeze_a: true, train_bias: true, ..ARGS }.work(true).unwrap();
        assert_eq!((frozen.parameter_gradients, frozen.updated_parameters), (3 * 2 * 48 * 4, 4 * 48 + 48));
    }

    #[test]
    fn the_stack_is_the_deepest_of_calls_that_were_measured() {
        for (optimizer, calls) in [
            (OptimizerName::Adamw, &["forward", "backward", "global_norm", "adamw_step"][..]),
            (OptimizerName::Sgd, &["forward", "backward", "global_norm", "sgd_step"]),
            (OptimizerName::Momentum, &["forward", "backward", "global_norm", "sgd_step"]),
            (OptimizerName::InPlace, &["forward", "in_place_step"]),
        ] {
            let (stack, training) = (Stack::of(optimizer), training_calls(optimizer));
            let without_form: Vec<&str> =
                training.iter().map(|call| call.trim_end_matches("_rows").trim_end_matches("_packed")).collect();
            assert!(calls.iter().all(|call| without_form.contains(call)), "{training:?}");
            assert_eq!((stack.x86_64, stack.neon, stack.simd128), (49_152, 16_384, 16_384));
            for (bytes, calls) in [
                (stack.microcontroller_inference, &FORWARD[..]),
                (stack.microcontroller_training, &training),
                (stack.microcontroller_file, &FILE),
                (stack.microcontroller_store, &STORE),
            ] {
                let each: Vec<u64> = calls.iter().map(|call| deepest(&[call])).collect();
                assert!(each.iter().all(|&measured| measured > 0), "{calls:?}: {each:?}");
                assert_eq!(Some(bytes), each.into_iter().max(), "{calls:?}");
            }
        }
    }

    #[test]
    fn sizes_beyond_memory_are_an_error() {
        let args = PlanArgs { inputs: u32::MAX, outputs: u32::MAX, rank: u32::MAX, tokens: u32::MAX, ..ARGS };
        assert!(matches!(args.report(), Err(Failure::Plan(_))));
    }
}
