//! Trains a layer on one thread, then on two from the same start: the same bits, in about half the time.
//!
//! ```text
//! cargo run --release --example threads
//! ```

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use lowrank::train::{AdamW, MeanLoss, Optimizer, Plan, Rng, State, Work, init};
use lowrank::{Adapter, AdapterMut, Backend, Backprop, Base, Cut, Error, GradsPart, MatMut, MatRef, Saved, Shape};
use lowrank::{backward, forward, input_grads, pack, parameter_grads};
use lowrank_demo::Digest;

const SIZE: usize = 1024; // inputs and outputs
const RANK: usize = 8;
const TOKENS: usize = 128;
const SHAPE: Shape = Shape::new(SIZE, SIZE, RANK);
const PLAN: Plan = Plan::training(SHAPE, TOKENS, Optimizer::AdamW);
const ADAMW: AdamW = AdamW { lr: 1e-2, ..AdamW::DEFAULT };

fn main() -> ExitCode {
    let steps = 20;
    let (one, two) = run(steps).expect("all shapes fit");
    for (threads, (digest, loss, time)) in [("1 thread ", one), ("2 threads", two)] {
        println!(
            "{threads}  digest {digest}  loss {loss:.4}  {:.2} ms a step",
            time.as_secs_f64() * 1e3 / steps as f64
        );
    }
    println!("{:.2} times as fast", one.2.as_secs_f64() / two.2.as_secs_f64());
    if one.0 == two.0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the threads only read.
#[derive(Copy, Clone)]
struct Task<'a> {
    backend: Backend,
    base: Base<'a>,
    x: MatRef<'a>,
    target: MatRef<'a>,
}

/// Digest of the trained adapter, last loss, time.
pub(crate) type Trained = (Digest, f32, Duration);

/// Trains on one thread, and on two. The targets are those of the layer with a hidden adapter.
pub(crate) fn run(steps: usize) -> Result<(Trained, Trained), Error> {
    let normal = |seed, len| -> Vec<f32> { (0..len).map(|i| Rng::new(seed).normal(i as u64)).collect() };
    let (w, x) = (normal(1, SIZE * SIZE), normal(2, TOKENS * SIZE));
    let (a, b) = (normal(3, RANK * SIZE), normal(4, SIZE * RANK));
    let (mut packed, mut target, mut hs) = (vec![0.0; SIZE * SIZE], vec![0.0; TOKENS * SIZE], vec![0.0; TOKENS * RANK]);
    let backend = Backend::detect();
    let base = Base { weights: pack(backend, MatRef::new(&w, SIZE, SIZE)?, &mut packed)?.into(), bias: None };
    let hidden = Adapter { a: MatRef::new(&a, RANK, SIZE)?, b: MatRef::new(&b, SIZE, RANK)?, bias: None, scale: 0.01 };
    let (x, mut saved) = (MatRef::new(&x, TOKENS, SIZE)?, Saved::inference(&mut hs, SHAPE, TOKENS)?);
    forward(backend, &base, &hidden, x, MatMut::new(&mut target, TOKENS, SIZE)?, &mut saved)?;

    let task = Task { backend, base, x, target: MatRef::new(&target, TOKENS, SIZE)? };
    Ok((train(task, steps, step_on_one_thread)?, train(task, steps, step_on_two_threads)?))
}

/// Task, memory, and room for `Y` and `dY`.
type Step = fn(Task<'_>, &mut Work<'_>, [MatMut<'_>; 2]) -> Result<f32, Error>;

fn train(task: Task<'_>, steps: usize, step: Step) -> Result<Trained, Error> {
    let (mut arena, mut y, mut dy) = (vec![0.0; PLAN.len()], vec![0.0; TOKENS * SIZE], vec![0.0; TOKENS * SIZE]);
    let (mut work, mut loss) = (PLAN.split(&mut arena)?, 0.0);
    init::kaiming_uniform(&mut work.adapter, 42, 0)?;
    let start = Instant::now();
    for _ in 0..steps {
        loss = step(task, &mut work, [MatMut::new(&mut y, TOKENS, SIZE)?, MatMut::new(&mut dy, TOKENS, SIZE)?])?;
    }
    let time = start.elapsed();
    let adapter = &arena[..PLAN.adapter_len().unwrap_or(0)];
    Ok((Digest::EMPTY.with_all(adapter), loss, time))
}

fn step_on_one_thread(task: Task<'_>, work: &mut Work<'_>, [mut y, mut dy]: [MatMut<'_>; 2]) -> Result<f32, Error> {
    let Task { backend, base, x, target } = task;
    forward(backend, &base, &work.adapter.as_ref(), x, y.reborrow(), &mut work.saved)?;
    let mut loss = MeanLoss::over(TOKENS);
    loss.mean_squared_error(y.as_ref(), target, dy.reborrow())?;
    let flow = Backprop { x: Some(x), dy: dy.as_ref(), dx: None };
    backward(backend, &base, &work.adapter.as_ref(), flow, &mut work.saved, &mut work.grads)?;
    ADAMW.step(backend, &mut work.adapter, &work.grads, &mut work.state)?;
    Ok(loss.value())
}

/// The same step in two halves: a thread takes half of the tokens, and then half of the parameters.
fn step_on_two_threads(task: Task<'_>, work: &mut Work<'_>, [y, mut dy]: [MatMut<'_>; 2]) -> Result<f32, Error> {
    let Task { backend, base, x, target } = task;
    let adapter = work.adapter.as_ref();
    let half_of_tokens = |x, target, mut y: MatMut, mut dy: MatMut, mut saved: Saved| {
        forward(backend, &base, &adapter, x, y.reborrow(), &mut saved)?;
        let mut loss = MeanLoss::over(TOKENS);
        loss.mean_squared_error(y.as_ref(), target, dy.reborrow())?;
        input_grads(backend, &base, &adapter, dy.as_ref(), None, &mut saved)?;
        Ok::<_, Error>((loss.value(), saved.done()))
    };
    let ((x0, x1), (target0, target1)) = (x.split_rows(TOKENS / 2), target.split_rows(TOKENS / 2));
    let ((y0, y1), (dy0, dy1)) = (y.split_rows(TOKENS / 2), dy.reborrow().split_rows(TOKENS / 2));
    let (saved0, saved1) = work.saved.whole().split_tokens(TOKENS / 2);
    let ((loss0, done0), (loss1, done1)) =
        both(|| half_of_tokens(x0, target0, y0, dy0, saved0), || half_of_tokens(x1, target1, y1, dy1, saved1))?;
    work.saved.join_tokens([done0, done1])?;

    let half_of_parameters = |mut adapter: AdapterMut, mut grads: GradsPart, mut state: State| {
        parameter_grads(backend, Some(x), dy.as_ref(), &work.saved, &mut grads)?;
        ADAMW.step(backend, &mut adapter, grads.grads(), &mut state)?;
        Ok(state.clock)
    };
    let cut = Cut { rank: RANK, output: 0 }; // all of A for one thread, all of B for the other
    let (adapter0, adapter1) = work.adapter.whole().split(cut);
    let ((grads0, grads1), (state0, state1)) = (work.grads.whole().split(cut), work.state.whole().split(cut));
    let (clock, _) =
        both(|| half_of_parameters(adapter0, grads0, state0), || half_of_parameters(adapter1, grads1, state1))?;
    work.state.clock = clock;
    Ok(loss0 + loss1)
}

/// Runs one closure on a new thread and the other on this one.
fn both<T: Send>(
    first: impl FnOnce() -> Result<T, Error> + Send,
    second: impl FnOnce() -> Result<T, Error>,
) -> Result<(T, T), Error> {
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        (first.join().expect("no thread panics"), second)
    });
    Ok((first?, second?))
}
