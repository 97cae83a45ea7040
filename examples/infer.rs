//! Reads rotated digits with a network and an adapter that are used where they lie: no weight is copied, and a layer takes `rank`
//! numbers of memory. The adapter was trained by PyTorch + PEFT, and reads 341 of 360 images, as it does there.
//!
//! ```text
//! cargo run --release --example infer
//! ```

use lowrank::{AdapterFile, Backend, Plan, Shape};
use lowrank_demo::{CLASSES, Digit, HIDDEN, INPUTS, Network, TEST_IMAGES, Turns, test_images};

#[path = "../firmware/src/adapter.rs"]
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "the file is one of the firmware")]
mod flash; // an adapter file as a Rust static, which the command `lowrank` has written

const FIRST: Plan = Plan::inference(Shape::new(INPUTS, HIDDEN, 4), 1); // inputs, outputs, rank; tokens
const SECOND: Plan = Plan::inference(Shape::new(HIDDEN, CLASSES, 4), 1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (backend, network) = (Backend::detect(), Network::rows());
    let (mut x, mut h, mut y, mut right) = ([[0.0; INPUTS]], [[0.0; HIDDEN]], [[0.0; CLASSES]], 0);

    let file = AdapterFile::parse(flash::ADAPTER)?; // checks every byte, once
    let entry = |name| file.find(name).ok_or("no such adapter");
    let (mut memory, mut more) = ([0.0; FIRST.len()], [0.0; SECOND.len()]);
    let mut hidden = FIRST.adapted(network.hidden, entry("hidden")?.adapter()?, &mut memory)?;
    let mut output = SECOND.adapted(network.output, entry("output")?.adapter()?, &mut more)?;
    for digit in test_images().filter_map(|number| Digit::get(number.into())) {
        digit.write(Turns::QUARTER, &mut x[0]);
        hidden.forward(backend, &x, &mut h)?;
        h[0].iter_mut().for_each(|h| *h = h.max(0.0));
        output.forward(backend, &h, &mut y)?;
        right += usize::from((0..CLASSES).all(|class| y[0][class] <= y[0][digit.label() as usize]));
    }
    println!("{right} of {TEST_IMAGES} rotated digits read, in {} bytes", size_of_val(&memory) + size_of_val(&more));
    assert_eq!((right, size_of_val(&memory) + size_of_val(&more)), (341, 32));
    Ok(())
}

#[test]
fn reads_as_many_digits_as_pytorch() {
    main().unwrap();
}
