//! Trains, saves the layer in flash, loses its memory, and goes on: with the bits of a training that nothing has interrupted. The file
//! has the adapter, the moments and the clock of AdamW, and the place in the random numbers of dropout.
//!
//! ```text
//! cargo run --release --example resume_from_flash
//! ```

use std::convert::Infallible;

use lowrank::format::Aligned;
use lowrank::store::{page_len, slot_len};
use lowrank::train::{AdamW, Optimizer, softmax_cross_entropy};
use lowrank::{Backend, Base, Contents, Dropout, Error, Flash, Layer, Plan, Scale, Shape, Store};

const PLAN: Plan = Plan::training(Shape::new(2, 3, 2), 4, Optimizer::AdamW); // inputs, outputs, rank; tokens
static W: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
const FILE: usize = 1024; // bytes that a file may have
const SLOT: usize = slot_len::<Ram>(FILE).unwrap();

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut page, mut arena) = ([0; page_len::<Ram>()], [0.0; PLAN.len()]);
    let mut store = Store::new(Ram([0xff; 2 * SLOT]), [0..SLOT as u32, SLOT as u32..2 * SLOT as u32], &mut page)?;
    let mut layer = PLAN.layer(Base::rows(&W, None), &mut arena)?;
    layer.init(Scale::Alpha(4.0), 42, 0)?; // seed, layer number
    layer.set_dropout(Some(Dropout { probability: 0.25, seed: 42, layer_number: 0, step: 0, first_token: 0 }))?;
    train(&mut layer, 10)?;
    store.save(&Contents { entries: &[layer.entry("fc1")?], metadata: "", fingerprint: 0, generation: 0 })?;
    train(&mut layer, 10)?;

    // After a restart:
    let (mut memory, mut arena) = (Aligned([0; FILE]), [0.0; PLAN.len()]);
    let mut resumed = PLAN.layer(Base::rows(&W, None), &mut arena)?;
    let file = store.load(&mut memory.0)?.ok_or("nothing was saved")?;
    resumed.resume(&file.find("fc1").ok_or("the file has no such entry")?)?;
    assert_eq!(resumed.clock().steps, 10);
    train(&mut resumed, 10)?;

    let bits = |layer: &Layer<'_>| layer.adapter().map(|adapter| [adapter.a, adapter.b].map(|m| m.row(1)[0].to_bits()));
    println!("{:08x?} after 20 steps, {:08x?} after 10 and 10", bits(&layer)?, bits(&resumed)?);
    assert_eq!(format!("{:?}", resumed.entry("fc1")?), format!("{:?}", layer.entry("fc1")?));
    Ok(())
}

fn train(layer: &mut Layer<'_>, steps: usize) -> Result<(), Error> {
    let (x, mut y, mut dy) = ([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [[0.0; 3]; 4], [[0.0; 3]; 4]);
    for _ in 0..steps {
        layer.forward(Backend::BASELINE, &x, &mut y)?;
        softmax_cross_entropy(&y, &[0, 1, 2, 0], &mut dy)?;
        layer.backward(Backend::BASELINE, &x, &dy, None)?;
        layer.step(Backend::BASELINE, &AdamW { learning_rate: 0.05, ..AdamW::DEFAULT })?;
    }
    Ok(())
}

/// A flash that is played by RAM: on a device this is the driver.
struct Ram([u8; 2 * SLOT]);

impl Flash for Ram {
    type Error = Infallible;
    const WRITE: usize = 8;
    const ERASE: usize = 2048;

    fn capacity(&self) -> usize {
        self.0.len()
    }
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), Infallible> {
        into.copy_from_slice(&self.0[at as usize..][..into.len()]);
        Ok(())
    }
    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.0[from as usize..to as usize].fill(0xff);
        Ok(())
    }
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

#[test]
fn goes_on_with_the_same_bits() {
    main().unwrap();
}
