//! The outcome as one JSON object, for programs.

use serde_json::json;

use crate::adapt::Outcome;
use crate::options::optimizer_name;

pub(crate) fn write(outcome: &Outcome) -> String {
    let Outcome { config, rotated, upright, losses, .. } = outcome;
    let (shapes, plans) = (config.shapes(), config.plans());
    let object = json!({
        "accuracy_before": rotated.before.accuracy(),
        "accuracy_after": rotated.after.accuracy(),
        "accuracy_merged": rotated.merged.accuracy(),
        "upright_before": upright.before.accuracy(),
        "upright_after": upright.after.accuracy(),
        "upright_merged": upright.merged.accuracy(),
        "trainable_parameters": shapes.hidden.adapter_parameters() + shapes.output.adapter_parameters(),
        "full_parameters": shapes.hidden.full_parameters() + shapes.output.full_parameters(),
        "loss_first": losses.first(),
        "loss_last": losses.last(),
        "training_bytes": plans.hidden.bytes() + plans.output.bytes(),
        "activation_bytes": config.activations_len() * size_of::<f32>(),
        "optimizer": optimizer_name(config.optimizer),
        "rank": config.rank,
        "epochs": config.epochs,
        "steps": losses.len(),
        "seed": config.seed,
        "micro_batch": config.micro_batch,
        "packed": outcome.packed,
        "seconds": outcome.duration.as_secs_f64(),
        "backend": config.backend.name(),
        "arithmetic": config.backend.arithmetic().name(),
        "base_digest": outcome.base.to_string(),
        "digest": outcome.digest.to_string(),
    });
    format!("{object:#}\n")
}
