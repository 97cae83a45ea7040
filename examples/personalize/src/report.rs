//! The outcome in words, for people.

use lowrank::{Plan, Shape};
use lowrank_demo::{Config, Score, TRAINING_IMAGES};

use crate::adapt::{Outcome, Scores};
use crate::curve;
use crate::options::optimizer_name;

pub(crate) fn write(outcome: &Outcome) -> String {
    [introduction(outcome), loss(outcome), accuracy(outcome), parameters(outcome), memory(outcome), bits(outcome)]
        .join("\n")
}

fn introduction(outcome: &Outcome) -> String {
    format!(
        "\
A network that reads upright digits meets a user whose images are rotated by 90
degrees. It stays frozen; an adapter of rank {} on both layers learns the turn.
",
        outcome.config.rank
    )
}

fn loss(outcome: &Outcome) -> String {
    let config = &outcome.config;
    format!(
        "\
LOSS   cross-entropy, logarithmic: {} steps of {} on {} images each, {:.2} s
{}",
        grouped(outcome.losses.len()),
        optimizer_name(config.optimizer),
        config.batch,
        outcome.duration.as_secs_f64(),
        curve::draw(&outcome.losses, config.epochs)
    )
}

fn accuracy(outcome: &Outcome) -> String {
    let row = |scores: &Scores| {
        let percent = |score: Score| format!("{:6.2} %", 100.0 * score.accuracy());
        format!("{}    {}    {}", percent(scores.before), percent(scores.after), percent(scores.merged))
    };
    format!(
        "\
ACCURACY                   before       after      merged
  rotated test images    {}
  upright test images    {}
  {} images that nobody trained on. Guessing gives about 10 %. The adapter is
  for this user: without it the network still reads upright images as before.
  Merged: the adapter added into a copy of the weights, at no cost per image.
",
        row(&outcome.rotated),
        row(&outcome.upright),
        outcome.rotated.after.images
    )
}

fn parameters(outcome: &Outcome) -> String {
    let shapes = outcome.config.shapes();
    let adapter = shapes.hidden.adapter_parameters() + shapes.output.adapter_parameters();
    let full = shapes.hidden.full_parameters() + shapes.output.full_parameters();
    let large = Shape::new(1000, 1000, 10);
    format!(
        "\
PARAMETERS
  trained here     {:>8} instead of {:>9}   r·(in + out), not in·out
  d = 1000, r = 10 {:>8} instead of {:>9}   saves more in large layers
",
        grouped(adapter),
        grouped(full),
        grouped(large.adapter_parameters()),
        grouped(large.full_parameters())
    )
}

fn memory(outcome: &Outcome) -> String {
    const NUMBER: usize = size_of::<f32>();
    let config = &outcome.config;
    let one = Config { micro_batch: 1, ..*config };
    let plans = config.plans();
    let both = |len: fn(&Plan) -> Option<usize>| {
        let len = |plan| len(plan).unwrap_or(0);
        grouped(NUMBER * (len(&plans.hidden) + len(&plans.output)))
    };
    format!(
        "\
MEMORY FOR TRAINING, planned before it started; nothing is allocated later
  both layers    {:>8} bytes   adapter {}, gradients {},
                                  optimizer {}, between the passes {}
  activations    {:>8} bytes   of {} images at a time; of one: {}
  image order    {:>8} bytes   mixed anew in every epoch
",
        grouped(plans.hidden.bytes() + plans.output.bytes()),
        both(Plan::adapter_len),
        both(Plan::grads_len),
        both(Plan::state_len),
        both(Plan::saved_len),
        grouped(NUMBER * config.activations_len()),
        config.micro_batch,
        grouped(NUMBER * one.activations_len()),
        grouped(size_of::<u16>() * TRAINING_IMAGES),
    )
}

fn bits(outcome: &Outcome) -> String {
    let backend = outcome.config.backend;
    let weights = if outcome.packed { "packed" } else { "in rows" };
    format!(
        "\
BITS
  computed on    {}, {} arithmetic, frozen weights {weights}
  digest         {}   of the adapter and of the loss of each step:
                                    in this arithmetic the same everywhere
  frozen network {}   before and after: no bit has changed
",
        backend.name(),
        backend.arithmetic().name(),
        outcome.digest,
        outcome.base
    )
}

/// A number with commas between groups of three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
