//! An entry of an adapter file: the part that belongs to one layer.

use super::extent::Outline;
use super::tensor::Tensor;
use crate::error::{Argument, Error};
use crate::lora::{Adapter, AdapterMut, Dropout, Scale, Shape};
use crate::train::{Clock, Moments, Optimizer, Rng, State, Trained};
use crate::view::{MatMut, expect_shape};

/// The part of an adapter file that belongs to one layer. It borrows from the file or from memory.
#[derive(Copy, Clone, Debug)]
pub struct Entry<'a> {
    /// The name may be empty.
    pub name: &'a str,
    /// The id tells entries of one name apart.
    pub id: u32,
    /// The factor `s` follows from alpha and rank in this way.
    pub scale: Scale,
    /// This is `A [r, in]`.
    pub a: Tensor<'a>,
    /// This is `B [out, r]`.
    pub b: Tensor<'a>,
    /// This bias `[1, out]` takes the place of that of the base, as with `bias="lora_only"` in PEFT.
    pub bias: Option<Tensor<'a>>,
    /// `B` has this bias `[1, out]`, as with `lora_bias` in PEFT: `Y` has `s` times this bias in addition.
    pub b_bias: Option<Tensor<'a>>,
    /// This says whether the base of the layer is stored as `[in, out]` in the model that it comes from. `A` and `B` keep their shapes.
    pub fan_in_fan_out: bool,
    /// A training goes on with this state, if there is one.
    pub training: Option<Training<'a>>,
    /// The random numbers of the layer go on from this place.
    pub random: RandomState,
}

/// The place in the random numbers of a layer, and its dropout. All fields are zero where a layer has none.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct RandomState {
    /// The seed belongs to the run.
    pub seed: u64,
    /// This is the number of the training step.
    pub step: u32,
    /// The layer number chooses the random numbers, as in [`Dropout`]: a layer with dropout has one below 2³⁰. A file may have any number
    /// here.
    pub layer_number: u32,
    /// The probability of dropout is from 0 to below 1.
    pub dropout: f32,
}

impl RandomState {
    /// Returns the dropout of this step, and `None` where its probability is 0. [`Saved::set_dropout`](crate::Saved::set_dropout) refuses a
    /// layer number of 2³⁰ or more, which a file may have although no layer has it.
    ///
    /// ```
    /// use lowrank::format::RandomState;
    /// use lowrank::{Argument, Error, Saved, Shape};
    ///
    /// let mut memory = [0.0; 2];
    /// let mut saved = Saved::training(&mut memory, Shape::new(3, 2, 1), 1)?;
    /// let random = RandomState { layer_number: (1 << 30) - 1, dropout: 0.5, ..RandomState::default() };
    /// saved.set_dropout(random.dropout())?;
    ///
    /// let other = RandomState { layer_number: 1 << 30, ..random };
    /// let refused = Error::TooMany { argument: Argument::LayerNumber, at_most: (1 << 30) - 1, got: 1 << 30 };
    /// assert_eq!(saved.set_dropout(other.dropout()), Err(refused));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn dropout(&self) -> Option<Dropout> {
        let Self { seed, step, layer_number, dropout: probability } = *self;
        (probability != 0.0).then_some(Dropout { probability, seed, step, layer_number, first_token: 0 })
    }

    /// Returns the sequence of random numbers of this step.
    pub const fn rng(&self) -> Rng {
        Rng { seed: self.seed, stream: self.layer_number, step: self.step }
    }
}

/// The state of the optimizer of a layer, with which a training goes on to the same bits.
#[derive(Copy, Clone, Debug)]
pub struct Training<'a> {
    /// The state is that of this optimizer.
    pub optimizer: Optimizer,
    /// These parameters are trained beside `B`.
    pub trained: Trained,
    /// The clock has the steps and the bias corrections.
    pub clock: Clock,
    /// These are the first and second moments of `A`, of `B` and of the bias, as in [`State`]. They are always
    /// [`Dtype::F32`](crate::Dtype::F32), and [empty](Tensor::EMPTY) where the optimizer has none or the parameter is not trained.
    pub moments: [Tensor<'a>; 6],
}

impl<'a> Training<'a> {
    /// Borrows a state, to be stored.
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

/// Says whether a shape has no elements.
pub(super) const fn is_empty((rows, cols): (usize, usize)) -> bool {
    rows == 0 || cols == 0
}

impl<'a> Entry<'a> {
    /// Gives an adapter a name. The id is 0, the scale is stored as it is, and there is neither the state of an optimizer nor a place in
    /// random numbers.
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

    /// Returns the shape, read off `A` and `B`.
    pub const fn shape(&self) -> Shape {
        Shape::new(self.a.cols(), self.b.rows(), self.a.rows())
    }

    /// Returns the facts that decide how many bytes the entry takes.
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

    /// Returns the adapter where it lies, which may be flash.
    ///
    /// # Errors
    /// [`Error::NotInPlace`] when a tensor cannot be read in place, see [`Tensor::as_f32`]: [`load`](Self::load) copies it.
    /// [`Error::Missing`] about [`Argument::BBias`] when `B` has a bias, for which neither an [`Adapter`] nor a layer has a place.
    pub fn adapter(&self) -> Result<Adapter<'a>, Error> {
        if self.b_bias.is_some() {
            return Err(Error::Missing { argument: Argument::BBias });
        }
        let in_place =
            |argument, tensor: Tensor<'a>| tensor.as_f32().ok_or(Error::NotInPlace { argument, dtype: tensor.dtype() });
        Ok(Adapter {
            a: in_place(Argument::A, self.a)?,
            b: in_place(Argument::B, self.b)?,
            bias: self.bias.map(|bias| in_place(Argument::Bias, bias)).transpose()?,
            scale: self.scale.factor(self.a.rows()),
        })
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

    /// Returns tensor number `index` of the payload, as in [`Outline::part`]. It is empty if it is not there.
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
