//! A layer of an adapter file.

use super::extent::Outline;
use super::tensor::Tensor;
use crate::error::{Argument, Error};
use crate::lora::{Adapter, AdapterMut, Dropout, Scale, Shape};
use crate::train::{Clock, Moments, Optimizer, Rng, State, Trained};
use crate::view::{MatMut, expect_shape};

/// One adapted layer, borrowed from a file or from memory.
#[derive(Copy, Clone, Debug)]
pub struct Layer<'a> {
    /// Its name, which may be empty.
    pub name: &'a str,
    /// A number that tells layers of one name apart.
    pub id: u32,
    /// How `s` follows from alpha and rank.
    pub scale: Scale,
    /// `A [r, in]`.
    pub a: Tensor<'a>,
    /// `B [out, r]`.
    pub b: Tensor<'a>,
    /// A bias `[1, out]` that takes the place of the base's, as with `bias="lora_only"` in PEFT.
    pub bias: Option<Tensor<'a>>,
    /// The bias `[1, out]` of `B`, as with `lora_bias` in PEFT: `Y` has `s` times this bias in addition.
    pub b_bias: Option<Tensor<'a>>,
    /// Whether the base of this layer is stored as `[in, out]` where it comes from. `A` and `B` keep their shapes.
    pub fan_in_fan_out: bool,
    /// What training needs to go on, if it is to.
    pub training: Option<Training<'a>>,
    /// Where the random numbers of the layer stand.
    pub random: RandomState,
}

/// Where the random numbers of a layer stand, and its dropout. All zero where there are none.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct RandomState {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the training step.
    pub step: u32,
    /// Number of the layer or stream. A layer with dropout has one below 2³⁰.
    pub stream: u32,
    /// Probability of dropout, from 0 to below 1.
    pub dropout: f32,
}

impl RandomState {
    /// The dropout of this step, for [`Saved::set_dropout`](crate::Saved::set_dropout), which refuses a stream of 2³⁰ or more:
    /// no layer has it, but a file may. `None` with probability 0.
    ///
    /// ```
    /// use lowrank::format::RandomState;
    /// use lowrank::{Argument, Error, Saved, Shape};
    ///
    /// let mut memory = [0.0; 2];
    /// let mut saved = Saved::training(&mut memory, Shape::new(3, 2, 1), 1)?;
    /// let random = RandomState { stream: (1 << 30) - 1, dropout: 0.5, ..RandomState::default() };
    /// saved.set_dropout(random.dropout())?;
    ///
    /// let other = RandomState { stream: 1 << 30, ..random };
    /// let refused = Error::TooMany { argument: Argument::Layer, at_most: (1 << 30) - 1, got: 1 << 30 };
    /// assert_eq!(saved.set_dropout(other.dropout()), Err(refused));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn dropout(&self) -> Option<Dropout> {
        let Self { seed, step, stream, dropout: p } = *self;
        (p != 0.0).then_some(Dropout { p, seed, step, layer: stream, first_token: 0 })
    }

    /// The sequence of random numbers of this step.
    pub const fn rng(&self) -> Rng {
        Rng { seed: self.seed, stream: self.stream, step: self.step }
    }
}

/// The state of the optimizer of a layer, for training to go on with the same bits.
#[derive(Copy, Clone, Debug)]
pub struct Training<'a> {
    /// Whose state it is.
    pub optimizer: Optimizer,
    /// Which parameters are trained beside `B`.
    pub trained: Trained,
    /// Steps and bias corrections.
    pub clock: Clock,
    /// First and second moments of `A`, of `B`, of the bias, as in [`State`]: always [`Dtype::F32`](crate::Dtype::F32), and
    /// [empty](Tensor::EMPTY) where the optimizer has none or the parameter is not trained.
    pub moments: [Tensor<'a>; 6],
}

impl<'a> Training<'a> {
    /// What a state is to be stored as.
    pub fn of(state: &'a State<'_>, optimizer: Optimizer, trained: Trained) -> Self {
        let State { a, b, bias, clock } = state;
        let moments = [&a.first, &a.second, &b.first, &b.second, &bias.first, &bias.second];
        Self { optimizer, trained, clock: *clock, moments: moments.map(|moment| moment.as_ref().into()) }
    }

    /// Copies moments and clock into a state that was made for the same shape, optimizer and parameters.
    ///
    /// # Errors
    /// [`Error::Rows`] and [`Error::Cols`] about [`Argument::State`] when it was made for others.
    pub fn restore(&self, state: &mut State<'_>) -> Result<(), Error> {
        let State { a, b, bias, clock } = state;
        let [a, b, bias] = [a, b, bias].map(|Moments { first, second }| [first, second]);
        let pairs = || self.moments.iter();
        let mut targets = [a, b, bias];
        for (to, from) in targets.iter().flatten().zip(pairs()) {
            let (got, expected) = ((to.rows(), to.cols()), (from.rows(), from.cols()));
            if is_empty(got) && is_empty(expected) {
                continue;
            }
            expect_shape(Argument::State, got, expected)?;
        }
        targets.iter_mut().flatten().zip(pairs()).for_each(|(to, from)| from.fill(to));
        *clock = self.clock;
        Ok(())
    }
}

/// Whether a shape has no elements.
pub(super) const fn is_empty((rows, cols): (usize, usize)) -> bool {
    rows == 0 || cols == 0
}

impl<'a> Layer<'a> {
    /// An adapter under a name: id 0, its scale as it is, no state of an optimizer, no random numbers.
    pub fn of(name: &'a str, adapter: &Adapter<'a>) -> Self {
        Self {
            name,
            id: 0,
            scale: Scale::Direct(adapter.scale),
            a: adapter.a.into(),
            b: adapter.b.into(),
            bias: adapter.bias.map(Tensor::from),
            b_bias: None,
            fan_in_fan_out: false,
            training: None,
            random: RandomState::default(),
        }
    }

    /// Sizes, read off `A` and `B`.
    pub const fn shape(&self) -> Shape {
        Shape::new(self.a.cols(), self.b.rows(), self.a.rows())
    }

    /// What decides how many bytes the layer takes.
    pub fn outline(&self) -> Outline {
        Outline {
            name: self.name.len(),
            shape: self.shape(),
            a: self.a.dtype(),
            b: self.b.dtype(),
            bias: self.bias.map(|bias| bias.dtype()),
            b_bias: self.b_bias.map(|bias| bias.dtype()),
            training: self.training.map(|training| (training.optimizer, training.trained)),
        }
    }

    /// The adapter where it lies, which may be flash. `None` when one of its tensors is not to be read in place (see
    /// [`Tensor::as_f32`]), or when `B` has a bias, which an [`Adapter`] cannot express.
    pub fn adapter(&self) -> Option<Adapter<'a>> {
        if self.b_bias.is_some() {
            return None;
        }
        let bias = match self.bias {
            Some(bias) => Some(bias.as_f32()?),
            None => None,
        };
        Some(Adapter { a: self.a.as_f32()?, b: self.b.as_f32()?, bias, scale: self.scale.factor(self.a.rows()) })
    }

    /// Copies `A`, `B`, the bias and the scale into an adapter of the same shape, and widens them to binary32.
    ///
    /// # Errors
    /// [`Error::Rows`], [`Error::Cols`]; [`Error::Missing`] when there is a bias and the adapter has no room for it, which it
    /// never has for one of `B` ([`Argument::BBias`]); [`Error::Unexpected`] when it has room and there is no bias. Nothing is
    /// written then.
    pub fn load(&self, into: &mut AdapterMut<'_>) -> Result<(), Error> {
        let expect = |argument, from: &Tensor<'_>, to: &MatMut<'_>| {
            expect_shape(argument, (to.rows(), to.cols()), (from.rows(), from.cols()))
        };
        expect(Argument::A, &self.a, &into.a)?;
        expect(Argument::B, &self.b, &into.b)?;
        if self.b_bias.is_some() {
            return Err(Error::Missing { argument: Argument::BBias });
        }
        let argument = Argument::Bias;
        match (&self.bias, &mut into.bias) {
            (None, None) => {}
            (Some(_), None) => return Err(Error::Missing { argument }),
            (None, Some(_)) => return Err(Error::Unexpected { argument }),
            (Some(from), Some(to)) => {
                expect(argument, from, to)?;
                from.fill(to);
            }
        }
        self.a.fill(&mut into.a);
        self.b.fill(&mut into.b);
        into.scale = self.scale.factor(self.a.rows());
        Ok(())
    }

    /// Tensor number `index` of the payload, as in [`Outline::part`]; empty if it is not there.
    pub(super) fn tensor(&self, index: usize) -> Tensor<'a> {
        let tensor = match index {
            0 => Some(self.a),
            1 => Some(self.b),
            2 => self.bias,
            3 => self.b_bias,
            _ => self.training.as_ref().and_then(|training| training.moments.get(index - 4).copied()),
        };
        tensor.unwrap_or(Tensor::EMPTY)
    }
}
