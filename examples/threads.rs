//! Trains a layer on one thread, and on two from the same start: to the same bits. The core starts no thread. It hands out
//! pieces of a layer, and the threads meet twice in a step: when the tokens are done, and when the parameters are.
//!
//! ```text
//! cargo run --release --example threads
//! ```

use std::thread;

use lowrank::train::{AdamW, MeanLoss, Optimizer, Rng, State, Work, init, mean_squared_error};
use lowrank::{AdapterMut, Backend, Base, Cut, Error, GradsPart, MatMut, MatRef, Plan, Saved, Scale, Shape};
use lowrank::{forward, input_grads, parameter_grads};

const SIZE: usize = 256; // inputs and outputs
const TOKENS: usize = 64;
const PLAN: Plan = Plan::training(Shape::new(SIZE, SIZE, 8), TOKENS, Optimizer::AdamW);
const SCALE: Scale = Scale::Alpha(16.0);
const ADAMW: AdamW = AdamW { learning_rate: 1e-2, ..AdamW::DEFAULT };
const STEPS: usize = 20;

fn main() -> Result<(), Error> {
    let normal = |seed, rows| -> Vec<[f32; SIZE]> {
        let row = |row| std::array::from_fn(|i| Rng::new(seed).normal((row * SIZE + i) as u64));
        (0..rows).map(row).collect()
    };
    let (w, x, target) = (normal(1, SIZE), normal(2, TOKENS), normal(3, TOKENS));
    let (backend, base) = (Backend::detect(), Base::rows(&w[..], None));
    let (mut y, mut dy) = (normal(0, TOKENS), normal(0, TOKENS));
    let (mut one, mut two) = (vec![0.0; PLAN.len()], vec![0.0; PLAN.len()]);

    let mut layer = PLAN.layer(base, &mut one)?;
    layer.init(SCALE, 42, 0)?; // seed, layer number
    let mut losses = [0.0; STEPS];
    for loss in &mut losses {
        layer.forward(backend, &x[..], &mut y[..])?;
        *loss = mean_squared_error(&y[..], &target[..], &mut dy[..])?;
        layer.backward(backend, &x[..], &dy[..], None)?;
        layer.step(backend, &ADAMW)?;
    }

    let mut work = PLAN.split(&mut two)?;
    work.adapter.scale = SCALE.factor(8);
    init::kaiming_uniform(&mut work.adapter, 42, 0)?;
    for _ in 0..STEPS {
        step_on_two_threads(
            backend,
            &base,
            [&x[..], &target[..]],
            &mut work,
            [&mut y[..], &mut dy[..]].map(MatMut::from),
        )?;
    }

    let bits = |arena: &[f32]| arena[..PLAN.adapter_len().unwrap_or(0)].iter().map(|p| p.to_bits()).collect::<Vec<_>>();
    let (one, two) = (bits(&one), bits(&two));
    println!("{} parameters have the same bits; loss {:.3}, then {:.3}", one.len(), losses[0], losses[STEPS - 1]);
    assert!(one == two && losses[STEPS - 1] < losses[0]);
    Ok(())
}

/// A thread takes half of the tokens, and then half of the parameters.
fn step_on_two_threads(
    backend: Backend,
    base: &Base<'_>,
    [x, target]: [&[[f32; SIZE]]; 2],
    work: &mut Work<'_>,
    [y, mut dy]: [MatMut<'_>; 2],
) -> Result<(), Error> {
    let (x, target, adapter) = (MatRef::from(x), MatRef::from(target), work.adapter.as_ref());
    let tokens = |x, target, mut y: MatMut<'_>, mut dy: MatMut<'_>, mut saved: Saved<'_>| {
        forward(backend, base, &adapter, x, y.reborrow(), &mut saved)?;
        MeanLoss::over(TOKENS).mean_squared_error(y.as_ref(), target, dy.reborrow())?;
        input_grads(backend, base, &adapter, dy.as_ref(), None, &mut saved)?;
        Ok(saved.done())
    };
    let ((x0, x1), (target0, target1)) = (x.split_rows(TOKENS / 2), target.split_rows(TOKENS / 2));
    let ((y0, y1), (dy0, dy1)) = (y.split_rows(TOKENS / 2), dy.reborrow().split_rows(TOKENS / 2));
    let (saved0, saved1) = work.saved.whole().split_tokens(TOKENS / 2);
    let done = both(|| tokens(x0, target0, y0, dy0, saved0), || tokens(x1, target1, y1, dy1, saved1))?;
    work.saved.join_tokens(done)?;

    let parameters = |mut adapter: AdapterMut<'_>, mut grads: GradsPart<'_>, mut state: State<'_>| {
        parameter_grads(backend, Some(x), dy.as_ref(), &work.saved, &mut grads)?;
        ADAMW.step(backend, &mut adapter, grads.grads(), &mut state)?;
        Ok(state.clock)
    };
    let cut = Cut { rank: 8, output: 0 }; // all of A for one thread, all of B for the other
    let (adapter0, adapter1) = work.adapter.whole().split(cut);
    let ((grads0, grads1), (state0, state1)) = (work.grads.whole().split(cut), work.state.whole().split(cut));
    [work.state.clock, _] = both(|| parameters(adapter0, grads0, state0), || parameters(adapter1, grads1, state1))?;
    Ok(())
}

/// Runs a closure on a new thread, and another one on this thread.
fn both<T: Send>(
    first: impl FnOnce() -> Result<T, Error> + Send,
    second: impl FnOnce() -> Result<T, Error>,
) -> Result<[T; 2], Error> {
    let (first, second) = thread::scope(|scope| {
        let (first, second) = (scope.spawn(first), second());
        (first.join().expect("no thread panics"), second)
    });
    Ok([first?, second?])
}

#[test]
#[cfg(not(target_family = "wasm"))] // WASI has no threads.
fn two_threads_train_to_the_bits_of_one() {
    main().unwrap();
}
