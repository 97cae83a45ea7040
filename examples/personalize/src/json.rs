//! The outcome as one JSON object, for programs.

use std::fmt::Display;

use crate::adapt::Outcome;
use crate::options::optimizer_name;

pub(crate) fn write(outcome: &Outcome) -> String {
    let Outcome { config, rotated, upright, losses, .. } = outcome;
    let (shapes, plans) = (config.shapes(), config.plans());
    let fields = [
        ("accuracy_before", number(rotated.before.accuracy())),
        ("accuracy_after", number(rotated.after.accuracy())),
        ("accuracy_merged", number(rotated.merged.accuracy())),
        ("upright_before", number(upright.before.accuracy())),
        ("upright_after", number(upright.after.accuracy())),
        ("upright_merged", number(upright.merged.accuracy())),
        ("trainable_parameters", count(shapes.hidden.adapter_parameters() + shapes.output.adapter_parameters())),
        ("full_parameters", count(shapes.hidden.full_parameters() + shapes.output.full_parameters())),
        ("loss_first", number(losses.first().copied().unwrap_or(f32::NAN).into())),
        ("loss_last", number(losses.last().copied().unwrap_or(f32::NAN).into())),
        ("training_bytes", count(plans.hidden.bytes() + plans.output.bytes())),
        ("activation_bytes", count(config.activations_len() * size_of::<f32>())),
        ("optimizer", text(optimizer_name(config.optimizer).replace('-', "_"))),
        ("rank", count(config.rank)),
        ("epochs", config.epochs.to_string()),
        ("steps", count(losses.len())),
        ("seed", config.seed.to_string()),
        ("micro_batch", count(config.micro_batch)),
        ("packed", outcome.packed.to_string()),
        ("seconds", number(outcome.duration.as_secs_f64())),
        ("backend", text(config.backend.name())),
        ("arithmetic", text(config.backend.arithmetic().name())),
        ("base_digest", text(outcome.base)),
        ("digest", text(outcome.digest)),
    ];
    let lines: Vec<_> = fields.iter().map(|(name, value)| format!("  \"{name}\": {value}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn count(number: usize) -> String {
    number.to_string()
}

/// JSON has no infinity and no NaN.
fn number(number: f64) -> String {
    if number.is_finite() { number.to_string() } else { "null".into() }
}

/// Names and digests: none has a character that JSON wants escaped.
fn text(text: impl Display) -> String {
    format!("\"{text}\"")
}
