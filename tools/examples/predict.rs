//! Reads the rotated test digits with the network of the demo and an adapter file, and prints a digit per line.
//!
//! ```text
//! predict ADAPTER_FILE
//! ```

use std::error::Error;

use lowrank::format::{AdapterFile, Entry};
use lowrank::{AdapterMut, Backend, Base, MatMut, MatRef, Saved, forward};
use lowrank_demo::{Digit, INPUTS, Network, Turns, test_images};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("expected the path of an adapter file")?;
    let bytes = std::fs::read(path)?;
    let file = AdapterFile::parse(&bytes)?;
    let find = |name: &str| file.find(name).ok_or_else(|| format!("the file has no layer `{name}`"));
    let (hidden, output) = (find("hidden")?, find("output")?);
    let network = Network::rows();
    for digit in test_images().filter_map(|image| Digit::get(image.into())) {
        let mut pixels = [0.0; INPUTS];
        digit.write(Turns::QUARTER, &mut pixels);
        let mut units = layer(&network.hidden, &hidden, &pixels)?;
        units.iter_mut().for_each(|unit| *unit = unit.max(0.0));
        let logits = layer(&network.output, &output, &units)?;
        let pairs = logits.iter().enumerate();
        let best = pairs.reduce(|best, next| if next.1 > best.1 { next } else { best });
        println!("{}", best.map_or(0, |(digit, _)| digit));
    }
    Ok(())
}

/// One token through one layer.
fn layer(base: &Base<'_>, entry: &Entry<'_>, x: &[f32]) -> Result<Vec<f32>, lowrank::Error> {
    let shape = entry.shape();
    let (mut a, mut b) = (vec![0.0; shape.rank * shape.inputs], vec![0.0; shape.outputs * shape.rank]);
    let mut adapter = AdapterMut {
        a: MatMut::new(&mut a, shape.rank, shape.inputs)?,
        b: MatMut::new(&mut b, shape.outputs, shape.rank)?,
        bias: None,
        scale: 1.0,
    };
    entry.load(&mut adapter)?;
    let (mut memory, mut y) = (vec![0.0; shape.rank], vec![0.0; shape.outputs]);
    let mut saved = Saved::inference(&mut memory, shape, 1)?;
    let x = MatRef::new(x, 1, shape.inputs)?;
    forward(Backend::detect(), base, &adapter.as_ref(), x, MatMut::new(&mut y, 1, shape.outputs)?, &mut saved)?;
    Ok(y)
}
