//! One adapted layer in training, timed on demand: the side of lowrank in `training.py`.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Instant;

use clap::Parser;
use lowrank::train::{Optimizer, State, Trained};
use lowrank::{
    Accum, AdapterMut, Backend, Backprop, Base, Grads, MatMut, MatRef, Saved, Shape, Weights, backward, forward, pack,
};
use lowrank_bench::ADAMW;
use lowrank_peers::memory::Buffer;

/// Times one adapted layer on one thread, whenever a line on the standard input asks for it.
///
/// `KIND N` repeats KIND N times and answers the seconds that one repetition took, as one line. KIND is `base` (forward
/// without adapter), `forward`, `backward` (forward and backward, with dX) or `step` (that, and AdamW). `check` answers the
/// sums of the squares of Y, dX, dA and dB. The standard input's end is the end.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Rows of W.
    outputs: usize,
    /// Columns of W.
    inputs: usize,
    /// Rank of the adapter.
    rank: usize,
    /// Rows of X.
    tokens: usize,
}

/// Where the numbers of a matrix start in the sequence; `training.py` has the same list.
const SEEDS: [u32; 6] = [0, 1 << 26, 2 << 26, 3 << 26, 4 << 26, 5 << 26];
const SCALE: f32 = 2.0;

struct Layer<'a> {
    backend: Backend,
    base: Base<'a>,
    adapter: AdapterMut<'a>,
    nothing: (MatRef<'a>, MatRef<'a>),
    x: MatRef<'a>,
    dy: MatRef<'a>,
    y: MatMut<'a>,
    dx: MatMut<'a>,
    saved: Saved<'a>,
    grads: Grads<'a>,
    state: State<'a>,
}

impl Layer<'_> {
    /// A forward pass without adapter.
    fn base(&mut self) -> Result<(), lowrank::Error> {
        let (a, b) = self.nothing;
        let shape = Shape::new(a.cols(), b.rows(), 0);
        let mut saved = Saved::inference(&mut [], shape, self.x.rows())?;
        let adapter = lowrank::Adapter { a, b, bias: None, scale: SCALE };
        forward(self.backend, &self.base, &adapter, self.x, self.y.reborrow(), &mut saved)
    }

    fn forward(&mut self) -> Result<(), lowrank::Error> {
        forward(self.backend, &self.base, &self.adapter.as_ref(), self.x, self.y.reborrow(), &mut self.saved)
    }

    fn backward(&mut self) -> Result<(), lowrank::Error> {
        self.forward()?;
        let flow = Backprop { x: Some(self.x), dy: self.dy, dx: Some(self.dx.reborrow()) };
        backward(self.backend, &self.base, &self.adapter.as_ref(), flow, &mut self.saved, &mut self.grads)
    }

    fn step(&mut self) -> Result<(), lowrank::Error> {
        self.backward()?;
        ADAMW.step(self.backend, &mut self.adapter, &self.grads, &mut self.state)
    }

    /// What the line asks for.
    fn answer(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        if line == "check" {
            self.backward()?;
            let da = self.grads.a.as_ref().map(MatMut::as_ref).ok_or("dA is missing")?;
            let sums = [self.y.as_ref(), self.dx.as_ref(), da, self.grads.b.as_ref()].map(square_sum);
            return Ok(sums.map(|sum| format!("{sum:e}")).join(" "));
        }
        let (kind, count) = line.split_once(' ').ok_or("expected KIND N")?;
        let operation = match kind {
            "base" => Self::base,
            "forward" => Self::forward,
            "backward" => Self::backward,
            "step" => Self::step,
            _ => return Err("expected base, forward, backward or step".into()),
        };
        let count: u32 = count.parse()?;
        let start = Instant::now();
        for _ in 0..count {
            operation(self)?;
        }
        Ok(format!("{:e}", start.elapsed().as_secs_f64() / f64::from(count)))
    }
}

fn square_sum(matrix: MatRef<'_>) -> f64 {
    (0..matrix.rows()).flat_map(|i| matrix.row(i)).map(|&value| f64::from(value) * f64::from(value)).sum()
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { outputs, inputs, rank, tokens } = Arguments::parse();
    let backend = Backend::detect();
    let shape = Shape::new(inputs, outputs, rank);
    let sizes = [(outputs, inputs), (1, outputs), (rank, inputs), (outputs, rank), (tokens, inputs), (tokens, outputs)];
    let [w, bias, mut a, mut b, x, dy] = std::array::from_fn(|i| Buffer::numbers(sizes[i].0 * sizes[i].1, SEEDS[i]));
    let mut packed = Buffer::zeros(w.len());
    let weights = Weights::from(pack(backend, MatRef::new(&w, outputs, inputs)?, &mut packed)?);
    let [mut y, mut dx, mut da, mut db] = [dy.len(), x.len(), a.len(), b.len()].map(Buffer::zeros);
    let mut saved = Buffer::zeros(Saved::training_len(shape, tokens).ok_or("too many tokens")?);
    let mut state = Buffer::zeros(State::len(shape, Optimizer::AdamW, Trained::DEFAULT).ok_or("too large a state")?);
    let mut layer = Layer {
        backend,
        base: Base { weights, bias: Some(MatRef::from_row(&bias)) },
        adapter: AdapterMut {
            a: MatMut::new(&mut a, rank, inputs)?,
            b: MatMut::new(&mut b, outputs, rank)?,
            bias: None,
            scale: SCALE,
        },
        nothing: (MatRef::new(&[], 0, inputs)?, MatRef::new(&[], outputs, 0)?),
        x: MatRef::new(&x, tokens, inputs)?,
        dy: MatRef::new(&dy, tokens, outputs)?,
        y: MatMut::new(&mut y, tokens, outputs)?,
        dx: MatMut::new(&mut dx, tokens, inputs)?,
        saved: Saved::training(&mut saved, shape, tokens)?,
        grads: Grads {
            a: Some(MatMut::new(&mut da, rank, inputs)?),
            b: MatMut::new(&mut db, outputs, rank)?,
            bias: None,
            accum: Accum::Replace,
        },
        state: State::new(&mut state, shape, Optimizer::AdamW, Trained::DEFAULT)?,
    };
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(output, "{}", layer.answer(&line?)?)?;
        output.flush()?;
    }
    Ok(())
}
