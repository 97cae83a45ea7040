//! Prints how much stack each public operation takes on a layer of 64 × 64 with rank 8: a table `operation bytes`.

#![no_std]
#![no_main]

use core::hint::black_box;

use lowrank::format::{Aligned, Contents, Entry, Outline, encoded_len};
use lowrank::store::{page_len, slot_len};
use lowrank::train::{AdamW, InPlace, MeanLoss, Optimizer, Rng, Sgd, clip, init};
use lowrank::{
    AdapterFile, Backend, Backprop, Base, Dtype, MatMut, MatRef, Plan, Scale, Shape, Store, backward, forward, merge,
    pack, selftest,
};
use lowrank_firmware::flash::RamFlash;
use lowrank_firmware::{Failure, check, entry, finish, stack};
use semihosting::println;

const SHAPE: Shape = Shape::new(64, 64, 8);
const TOKENS: usize = 4;
const BACKEND: Backend = Backend::BASELINE;
const FILE: usize = encoded_len(&[Outline::new("layer", SHAPE, Dtype::F32)], 0).expect("it fits into a file");
const SLOT: usize = slot_len::<RamFlash<'_>>(FILE).expect("it fits into the address space");

type Signal = [[f32; 64]; TOKENS];

#[entry]
fn main() -> ! {
    finish(run())
}

fn run() -> Result<(), Failure> {
    let nothing = stack::taken(|| {});
    let known = stack::taken(|| {
        black_box(&mut [0u32; 256]);
    });
    check((1024..1024 + 64).contains(&(known - nothing)), "a call with 1024 bytes takes 1024 bytes and a frame")?;
    numbers()?;
    training::<{ Plan::training(SHAPE, TOKENS, Optimizer::AdamW).len() }>(Optimizer::AdamW)?;
    training::<{ Plan::training(SHAPE, TOKENS, Optimizer::Momentum).len() }>(Optimizer::Momentum)?;
    training::<{ Plan::training(SHAPE, TOKENS, Optimizer::InPlace).len() }>(Optimizer::InPlace)?;
    layer()?;
    files()
}

/// A row of the table, once the call has done its work.
fn row<E>(operation: &str, mut call: impl FnMut() -> Result<(), E>) -> Result<(), Failure> {
    let mut done = false;
    let bytes = stack::taken(|| done = black_box(call()).is_ok());
    println!("{operation} {bytes}");
    check(done, "the measured call does its work")?;
    check(bytes < stack::PAINTED, "the painted stack is enough")
}

fn random<const ROWS: usize>(stream: u32) -> [[f32; 64]; ROWS] {
    let mut values = [[0.0; 64]; ROWS];
    let rng = Rng { seed: 1, stream, step: 0 };
    (0..).zip(values.as_flattened_mut()).for_each(|(at, to)| *to = rng.uniform(at) - 0.5);
    values
}

/// What needs no adapter.
fn numbers() -> Result<(), Failure> {
    let (w, y) = (random::<64>(0), random::<TOKENS>(1));
    let (mut panels, mut dy): ([f32; 64 * 64], Signal) = ([0.0; 64 * 64], [[0.0; 64]; TOKENS]);
    row("selftest", || selftest(BACKEND))?;
    row("pack", || pack(BACKEND, MatRef::from_rows(&w), &mut panels).map(|_| ()))?;
    row("softmax_cross_entropy", || {
        let (y, dy) = (MatRef::from_rows(&y), MatMut::from_rows(&mut dy));
        MeanLoss::over(TOKENS).softmax_cross_entropy(y, &[1, 2, 3, 4], dy)
    })
}

/// Both passes, and a step of the optimizer. What does not depend on it is printed with AdamW.
fn training<const LEN: usize>(optimizer: Optimizer) -> Result<(), Failure> {
    let is_first = optimizer == Optimizer::AdamW;
    let (w, x, dy, mut arena) = (random::<64>(0), random::<TOKENS>(1), random::<TOKENS>(2), [0.0; LEN]);
    let (mut y, mut dx): (Signal, Signal) = ([[0.0; 64]; TOKENS], [[0.0; 64]; TOKENS]);
    let (mut merged, mut panels) = ([[0.0; 64]; 64], [0.0; 64 * 64]);
    let (x, dy) = (MatRef::from_rows(&x), MatRef::from_rows(&dy));
    let base = Base { weights: MatRef::from_rows(&w).into(), bias: None };
    let mut work = Plan::training(SHAPE, TOKENS, optimizer).split(&mut arena)?;
    work.adapter.scale = 2.0;
    init::kaiming_uniform(&mut work.adapter, 1, 0)?;
    let (adapter, saved) = (&mut work.adapter, &mut work.saved);
    forward(BACKEND, &base, &adapter.as_ref(), x, MatMut::from_rows(&mut y), saved)?;
    if optimizer == Optimizer::InPlace {
        let in_place = InPlace { learning_rate: 0.1, ..InPlace::DEFAULT };
        return row("in_place_step", || in_place.step(BACKEND, &base, adapter, flow(x, dy, &mut dx), saved));
    }
    if !is_first {
        backward(BACKEND, &base, &adapter.as_ref(), flow(x, dy, &mut dx), saved, &mut work.grads)?;
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, ..Sgd::DEFAULT };
        return row("sgd_step", || sgd.step(BACKEND, adapter, &work.grads, &mut work.state));
    }
    let packed = Base { weights: pack(BACKEND, MatRef::from_rows(&w), &mut panels)?.into(), bias: None };
    row("forward_packed", || forward(BACKEND, &packed, &adapter.as_ref(), x, MatMut::from_rows(&mut y), saved))?;
    row("forward_rows", || forward(BACKEND, &base, &adapter.as_ref(), x, MatMut::from_rows(&mut y), saved))?;
    row("backward_packed", || {
        backward(BACKEND, &packed, &adapter.as_ref(), flow(x, dy, &mut dx), saved, &mut work.grads)
    })?;
    forward(BACKEND, &base, &adapter.as_ref(), x, MatMut::from_rows(&mut y), saved)?;
    row("backward_rows", || backward(BACKEND, &base, &adapter.as_ref(), flow(x, dy, &mut dx), saved, &mut work.grads))?;
    row("global_norm", || clip::global_norm(BACKEND, &mut [&mut work.grads], 1.0).map(|_| ()))?;
    row("adamw_step", || AdamW::DEFAULT.step(BACKEND, adapter, &work.grads, &mut work.state))?;
    row("merge", || merge(BACKEND, &base, &adapter.as_ref(), MatMut::from_rows(&mut merged)))
}

/// The calls of a layer.
fn layer() -> Result<(), Failure> {
    const PLAN: Plan = Plan::training(SHAPE, TOKENS, Optimizer::AdamW);
    let (w, x, dy, mut arena) = (random::<64>(0), random::<TOKENS>(1), random::<TOKENS>(2), [0.0; PLAN.len()]);
    let (mut y, mut dx, mut merged): (Signal, Signal, _) = ([[0.0; 64]; TOKENS], [[0.0; 64]; TOKENS], [[0.0; 64]; 64]);
    let mut layer = PLAN.layer(Base::rows(&w, None), &mut arena)?;
    layer.init(Scale::Alpha(16.0), 1, 0)?;
    row("layer_forward", || layer.forward(BACKEND, &x, &mut y))?;
    row("layer_backward", || layer.backward(BACKEND, &x, &dy, Some(MatMut::from_rows(&mut dx))))?;
    row("layer_adamw_step", || layer.step(BACKEND, &AdamW::DEFAULT))?;
    row("layer_merge", || layer.merge(BACKEND, &mut merged))
}

fn flow<'a>(x: MatRef<'a>, dy: MatRef<'a>, dx: &'a mut Signal) -> Backprop<'a> {
    Backprop { x: Some(x), dy, dx: Some(MatMut::from_rows(dx)) }
}

fn files() -> Result<(), Failure> {
    let (a, b) = (random::<8>(0), random::<8>(1));
    let b = MatRef::new(b.as_flattened(), 64, 8)?;
    let adapter = lowrank::Adapter { a: MatRef::from_rows(&a), b, bias: None, scale: 2.0 };
    let entries = [Entry { scale: Scale::Alpha(16.0), ..Entry::of("layer", &adapter) }];
    let contents = Contents { entries: &entries, metadata: "", fingerprint: 0, generation: 0 };
    let (mut memory, mut cells, mut page) = (Aligned([0; FILE]), [0xff; 2 * SLOT], [0; page_len::<RamFlash<'_>>()]);
    row("emit", || contents.emit(&mut memory.0).map(|_| ()))?;
    row("parse", || AdapterFile::parse(&memory.0).map(|_| ()))?;
    let file = AdapterFile::parse(&memory.0)?;
    row("find", || file.find("layer").and_then(|entry| entry.adapter().ok()).map(|_| ()).ok_or(()))?;
    let slots = [0..SLOT as u32, SLOT as u32..2 * SLOT as u32];
    let mut store = Store::new(RamFlash(&mut cells), slots, &mut page)?;
    row("store_save", || store.save(&contents).map(|_| ()))?;
    row("store_recover", || store.recover().map(|_| ()))?;
    row("store_load", || store.load(&mut memory.0).map(|_| ()))
}
