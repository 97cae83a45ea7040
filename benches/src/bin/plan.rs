//! Prints how much memory training takes, as a Markdown table, from the constants of `Plan`.

use lowrank::train::{Optimizer, Plan};
use lowrank::{Saved, Shape};

/// Inputs, outputs, rank, tokens.
const LAYERS: [(Shape, usize); 4] = [
    (Shape::new(64, 48, 4), 1),
    (Shape::new(64, 64, 8), 1),
    (Shape::new(384, 384, 8), 16),
    (Shape::new(1024, 1024, 16), 128),
];

fn main() {
    println!("| in × out, rank, tokens | inference | in place | SGD | momentum | AdamW |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (shape, tokens) in LAYERS {
        let training = [Optimizer::InPlace, Optimizer::Sgd, Optimizer::Momentum, Optimizer::AdamW];
        let lens = training.map(|optimizer| Plan::training(shape, tokens, optimizer).checked_len());
        let cells = [Saved::inference_len(shape, tokens)].into_iter().chain(lens);
        let cells: Vec<_> = cells.map(|len| len.map_or("too long".into(), |len| len.to_string())).collect();
        let Shape { inputs, outputs, rank } = shape;
        println!("| {inputs} × {outputs}, r = {rank}, n = {tokens} | {} |", cells.join(" | "));
    }
}
