//! The network 64-48-10 and its frozen weights.

use lowrank::arena::Cutter;
use lowrank::{Adapter, Argument, Backend, Base, MatRef, Saved, Shape, forward, pack};

use crate::activations::{Activations, rows, rows_mut};
use crate::{CLASSES, Digest, Digit, Error, HIDDEN, INPUTS, TEST_IMAGES, Turns, test_images};

/// The highest rank of adapters that [`Network::score_adapted`] takes.
pub const HIGHEST_RANK: usize = 16;

/// Weights of both layers together, without biases.
pub const WEIGHTS: usize = INPUTS * HIDDEN + HIDDEN * CLASSES;

const FILE: &[u8; 4 * (WEIGHTS + HIDDEN + CLASSES)] = include_bytes!("../data/base.bin");

// Decoded when this is compiled, so that they lie aligned in read-only memory.
static W1: [[f32; INPUTS]; HIDDEN] = decode(0);
static B1: [[f32; HIDDEN]; 1] = decode(INPUTS * HIDDEN);
static W2: [[f32; HIDDEN]; CLASSES] = decode(INPUTS * HIDDEN + HIDDEN);
static B2: [[f32; CLASSES]; 1] = decode(WEIGHTS + HIDDEN);

const fn decode<const ROWS: usize, const COLS: usize>(first: usize) -> [[f32; COLS]; ROWS] {
    let mut matrix = [[0.0; COLS]; ROWS];
    let numbers = FILE.as_chunks().0;
    let mut i = 0;
    while i < ROWS * COLS {
        matrix[i / COLS][i % COLS] = f32::from_le_bytes(numbers[first + i]);
        i += 1;
    }
    matrix
}

/// One thing for each layer.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Layers<T> {
    /// 64 inputs, 48 outputs.
    pub hidden: T,
    /// 48 inputs, 10 outputs.
    pub output: T,
}

/// Weights and biases, only borrowed.
pub type Network<'a> = Layers<Base<'a>>;

/// How many test images were read correctly.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// Images read correctly.
    pub correct: usize,
    /// All images.
    pub images: usize,
}

impl Score {
    /// Correct images over all images.
    pub fn accuracy(self) -> f64 {
        self.correct as f64 / self.images as f64
    }

    /// The score on all test images, by their logits.
    pub(crate) fn count(mut logits: impl FnMut(u16, &mut [f32; CLASSES]) -> Result<(), Error>) -> Result<Self, Error> {
        let (mut correct, mut out) = (0, [0.0; CLASSES]);
        for image in test_images() {
            logits(image, &mut out)?;
            let label = Digit::get(usize::from(image)).map(|digit| digit.label() as usize);
            if label == largest(&out) {
                correct += 1;
            }
        }
        Ok(Self { correct, images: TEST_IMAGES })
    }
}

/// Index of the first largest number.
fn largest(values: &[f32]) -> Option<usize> {
    let pairs = values.iter().enumerate();
    pairs.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(index, _)| index)
}

impl<'a> Network<'a> {
    /// The frozen network as it was trained, on upright digits; its weights in rows.
    pub fn rows() -> Network<'static> {
        frozen(MatRef::from_rows(&W1).into(), MatRef::from_rows(&W2).into())
    }

    /// The same with weights in panels, as `backend` likes them, in a buffer of [`WEIGHTS`] elements.
    ///
    /// # Errors
    /// [`lowrank::Error::Length`] when the buffer is shorter or longer.
    pub fn packed(backend: Backend, buffer: &'a mut [f32]) -> Result<Network<'a>, Error> {
        let (hidden, output) = halves(Argument::Packed, buffer)?;
        let hidden = pack(backend, MatRef::from_rows(&W1), hidden)?;
        let output = pack(backend, MatRef::from_rows(&W2), output)?;
        Ok(frozen(hidden.into(), output.into()))
    }

    /// The network with its adapters merged into its weights: `W + s·B·A`, in a buffer of [`WEIGHTS`] elements.
    ///
    /// # Errors
    /// [`lowrank::Error::Length`], [`lowrank::Error::NonFinite`].
    pub fn merged<'m>(
        &self,
        backend: Backend,
        adapters: &Layers<Adapter<'_>>,
        buffer: &'m mut [f32],
    ) -> Result<Network<'m>, Error>
    where
        'a: 'm,
    {
        let (hidden, output) = halves(Argument::Merged, buffer)?;
        lowrank::merge_finite(backend, &self.hidden, &adapters.hidden, rows_mut(hidden, HIDDEN, INPUTS)?)?;
        lowrank::merge_finite(backend, &self.output, &adapters.output, rows_mut(output, CLASSES, HIDDEN)?)?;
        Ok(Layers {
            hidden: Base { weights: rows(hidden, HIDDEN, INPUTS)?.into(), bias: self.hidden.bias },
            output: Base { weights: rows(output, CLASSES, HIDDEN)?.into(), bias: self.output.bias },
        })
    }

    /// The score of this network without adapter.
    ///
    /// # Errors
    /// [`lowrank::Error`] when a layer has another shape than 64-48-10.
    pub fn score(&self, backend: Backend, turns: Turns) -> Result<Score, Error> {
        let hidden = absent(Shape::new(INPUTS, HIDDEN, 0))?;
        let output = absent(Shape::new(HIDDEN, CLASSES, 0))?;
        self.score_adapted(backend, &Layers { hidden, output }, turns)
    }

    /// The score of this network with adapters of a rank of up to [`HIGHEST_RANK`].
    ///
    /// # Errors
    /// [`lowrank::Error`] when a layer or its adapter has another shape, or a higher rank.
    pub fn score_adapted(
        &self,
        backend: Backend,
        adapters: &Layers<Adapter<'_>>,
        turns: Turns,
    ) -> Result<Score, Error> {
        let mut memory = [0.0; Activations::len(1)];
        let mut activations = Activations::cut(&mut Cutter::new(&mut memory), 1)?;
        let (mut memory, mut more) = ([0.0; HIGHEST_RANK], [0.0; HIGHEST_RANK]);
        let (mut hidden, mut output) = (saved(&adapters.hidden, &mut memory)?, saved(&adapters.output, &mut more)?);
        Score::count(|image, logits| {
            activations.load(&[image], turns);
            let saved = Layers { hidden: &mut hidden, output: &mut output };
            self.forward(backend, adapters, 1, &mut activations, saved)?;
            activations.copy_logits(logits);
            Ok(())
        })
    }

    /// Forward pass of the first `images` rows.
    pub(crate) fn forward(
        &self,
        backend: Backend,
        adapters: &Layers<Adapter<'_>>,
        images: usize,
        activations: &mut Activations<'_>,
        saved: Layers<&mut Saved<'_>>,
    ) -> Result<(), Error> {
        let Activations { x, hidden, logits, .. } = activations;
        let (x, y) = (rows(x, images, INPUTS)?, rows_mut(hidden, images, HIDDEN)?);
        forward(backend, &self.hidden, &adapters.hidden, x, y, saved.hidden)?;
        relu(hidden);
        let (x, y) = (rows(hidden, images, HIDDEN)?, rows_mut(logits, images, CLASSES)?);
        forward(backend, &self.output, &adapters.output, x, y, saved.output)?;
        Ok(())
    }

    /// Of all weights and biases, whatever their layout: tells whether the network is still the same.
    pub fn digest(&self) -> Digest {
        [&self.hidden, &self.output].into_iter().fold(Digest::EMPTY, |digest, base| {
            let weights = base.weights;
            let digest = (0..weights.outputs())
                .flat_map(|o| (0..weights.inputs()).filter_map(move |i| weights.get(o, i)))
                .fold(digest, Digest::with);
            digest.with_all(base.bias.map_or(&[], |bias| bias.row(0)))
        })
    }
}

fn frozen<'a>(hidden: lowrank::Weights<'a>, output: lowrank::Weights<'a>) -> Network<'a> {
    Layers {
        hidden: Base { weights: hidden, bias: Some(MatRef::from_rows(&B1)) },
        output: Base { weights: output, bias: Some(MatRef::from_rows(&B2)) },
    }
}

/// A buffer of [`WEIGHTS`] elements, cut between the layers.
fn halves(argument: Argument, buffer: &mut [f32]) -> Result<(&mut [f32], &mut [f32]), Error> {
    let got = buffer.len();
    match buffer.split_at_mut_checked(INPUTS * HIDDEN) {
        Some(halves) if got == WEIGHTS => Ok(halves),
        _ => Err(lowrank::Error::Length { argument, expected: WEIGHTS, got }.into()),
    }
}

/// An adapter of rank 0, which has no effect.
fn absent(shape: Shape) -> Result<Adapter<'static>, Error> {
    let (a, b) = (MatRef::new(&[], 0, shape.inputs)?, MatRef::new(&[], shape.outputs, 0)?);
    Ok(Adapter { a, b, bias: None, scale: 0.0 })
}

/// What the forward pass of one image leaves in a layer.
fn saved<'m>(adapter: &Adapter<'_>, memory: &'m mut [f32; HIGHEST_RANK]) -> Result<Saved<'m>, Error> {
    let (shape, at_most) = (adapter.shape(), HIGHEST_RANK);
    let too_many = lowrank::Error::TooMany { argument: Argument::Rank, at_most, got: shape.rank };
    Ok(Saved::inference(memory.get_mut(..shape.rank).ok_or(too_many)?, shape, 1)?)
}

/// `max(x, 0)`
fn relu(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}

/// The gradient of [`relu`]: it flows where the result was above 0.
pub(crate) fn relu_gradient(result: &[f32], gradient: &mut [f32]) {
    for (gradient, &result) in gradient.iter_mut().zip(result) {
        if result <= 0.0 {
            *gradient = 0.0;
        }
    }
}
