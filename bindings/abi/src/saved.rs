//! What is kept between two calls: saved activations and the state of an optimizer.

use lowrank::train::{Clock, Moments, State};
use lowrank::{Batch, Dropout, Error, Progress, Saved, Shape};

use crate::codes::*;
use crate::error::{Fault, lowrank_error};
use crate::matrix::{Maybe, Out, lowrank_matrix_mut};
use crate::memory::{Memory, Passed, StructMut, nested, slice_mut, structures};
use crate::named::lowrank_code;

/// Dropout of the adapter's input. The mask is a function of these numbers and of the position; nothing is stored.
/// Within another struct it may be all 0, its size as well: there is no dropout then.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_dropout {
    /// Bytes of this struct.
    pub size: usize,
    /// Probability of dropping, from 0 to below 1; with 0 there is no dropout.
    pub probability: f32,
    /// Number of the layer, below 2^30: another mask for each.
    pub layer_number: u32,
    /// Number of the training step: another mask for each.
    pub step: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Position of the first token in the whole batch, so that micro-batches see the masks of the batch.
    pub first_token: u64,
}

/// What the forward pass leaves for the backward pass, and room for what that needs: hs [n, r], and in training gs [n, r].
///
/// Made by `lowrank_plan_split` for up to a number of tokens; a shorter batch uses the first rows. The passes keep
/// `progress` and `batch`; nothing else of it changes.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_saved {
    /// Bytes of this struct.
    pub size: usize,
    /// hs, then gs.
    pub memory: *mut f32,
    /// Inputs of the layer.
    pub inputs: usize,
    /// Outputs of the layer.
    pub outputs: usize,
    /// Rank of the adapter.
    pub rank: usize,
    /// Tokens that there is room for.
    pub tokens: usize,
    /// Tokens of the last forward pass.
    pub batch: usize,
    /// How far they have come: LOWRANK_PROGRESS_...
    pub progress: u32,
    /// 1 where there is room for gs, 0 for inference.
    pub training: u32,
    /// As `lowrank_set_dropout` has set it; its numbers may be changed from then on. A backward pass wants those of its forward
    /// pass: after a change it says LOWRANK_NO_FORWARD.
    pub dropout: lowrank_dropout,
    /// The dropout of the last forward pass, set by the passes.
    pub dropped: lowrank_dropout,
    /// What makes the masks of dropout, set by that call.
    pub masks: lowrank_code,
}

/// How far the optimizer of a layer has come. All 0 before the first step; its size may be 0 then, too.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_clock {
    /// Bytes of this struct.
    pub size: usize,
    /// Steps taken. Before the first one the moments are not read.
    pub steps: u64,
    /// 1 - beta1^t.
    pub weight1: f32,
    /// 1 - beta2^t.
    pub weight2: f32,
}

/// State of the optimizer of one layer.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_state {
    /// Bytes of this struct.
    pub size: usize,
    /// First and second moments of A, of B, of the bias; left out where there are none.
    pub moments: [lowrank_matrix_mut; 6],
    /// Steps and bias corrections.
    pub clock: lowrank_clock,
}

structures!(lowrank_dropout lowrank_saved lowrank_clock lowrank_state);

impl lowrank_dropout {
    pub(crate) const NONE: lowrank_dropout = lowrank_dropout {
        size: size_of::<Self>(),
        probability: 0.0,
        layer_number: 0,
        step: 0,
        seed: 0,
        first_token: 0,
    };

    /// Nothing where nothing is dropped.
    pub(crate) fn get(&self) -> Result<Option<Dropout>, Fault> {
        let dropout = self.whole()?;
        Ok((dropout.probability != 0.0).then_some(dropout))
    }

    /// Also where nothing is dropped.
    pub(crate) fn whole(&self) -> Result<Dropout, Fault> {
        let Self { size, probability, layer_number, step, seed, first_token } = *self;
        let is_zero = matches!((probability, layer_number, step, seed, first_token), (0.0, 0, 0, 0, 0));
        nested::<Self>(LOWRANK_ARGUMENT_DROPOUT, size, is_zero)?;
        Ok(Dropout { probability, seed, step, layer_number, first_token })
    }
}

impl lowrank_saved {
    fn len(&self) -> Option<usize> {
        let shape = Shape::new(self.inputs, self.outputs, self.rank);
        if self.training == 0 {
            Saved::inference_len(shape, self.tokens)
        } else {
            Saved::training_len(shape, self.tokens)
        }
    }
}

pub(crate) fn batch_of(progress: u32, tokens: usize) -> Result<Option<Batch>, Fault> {
    let progress = match progress {
        LOWRANK_PROGRESS_NONE => return Ok(None),
        LOWRANK_PROGRESS_FORWARD => Progress::Forward,
        LOWRANK_PROGRESS_BACKWARD => Progress::Backward,
        LOWRANK_PROGRESS_ABSENT => Progress::Absent,
        got => return Err(Fault::unknown(LOWRANK_ARGUMENT_PROGRESS, got)),
    };
    Ok(Some(Batch { tokens, progress }))
}

/// Tokens, and how far they have come.
pub(crate) const fn progress_of(batch: Option<Batch>) -> (usize, u32) {
    match batch {
        None => (0, LOWRANK_PROGRESS_NONE),
        Some(Batch { tokens, progress: Progress::Forward }) => (tokens, LOWRANK_PROGRESS_FORWARD),
        Some(Batch { tokens, progress: Progress::Backward }) => (tokens, LOWRANK_PROGRESS_BACKWARD),
        Some(Batch { tokens, progress: Progress::Absent }) => (tokens, LOWRANK_PROGRESS_ABSENT),
    }
}

/// Saved activations, and where to keep how far they have come.
pub(crate) struct SavedView<'c> {
    pub(crate) saved: Saved<'c>,
    into: &'c mut lowrank_saved,
}

impl SavedView<'_> {
    /// After a call that has done its work.
    pub(crate) fn keep(self) {
        (self.into.batch, self.into.progress) = progress_of(self.saved.batch());
        self.into.dropped = self.into.dropout;
    }
}

impl<'c> Passed<'c> for *mut lowrank_saved {
    type View = SavedView<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let saved = unsafe { memory.structure(LOWRANK_ARGUMENT_SAVED, self.cast_const(), true) };
        let Some(saved) = saved else { return };
        match saved.len() {
            Some(len) => _ = memory.elements(LOWRANK_ARGUMENT_SAVED, saved.memory.cast_const(), len, true),
            None => memory.refuse(Fault::new(LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_SAVED, 0, 0)),
        }
    }

    unsafe fn view(self) -> Result<SavedView<'c>, Fault> {
        // SAFETY: noted.
        let into = unsafe { &mut *self };
        // SAFETY: noted, with this length.
        let memory = unsafe { slice_mut(into.memory, into.len().unwrap_or(0)) };
        let shape = Shape::new(into.inputs, into.outputs, into.rank);
        let mut saved = match into.training {
            0 => Saved::inference(memory, shape, into.tokens)?,
            _ => Saved::training(memory, shape, into.tokens)?,
        };
        if let Some(dropout) = into.dropout.get()? {
            into.masks.saved()?(&mut saved, dropout)?;
        }
        // With another dropout the masks of a backward pass would be others.
        let batch = batch_of(into.progress, into.batch)?;
        saved.resume(if batch.is_none() || into.dropped.get()? == into.dropout.get()? { batch } else { None })?;
        Ok(SavedView { saved, into })
    }
}

fn masks(saved: &mut Saved<'_>, dropout: Dropout) -> Result<(), Error> {
    saved.set_dropout(Some(dropout))
}

/// Sets the dropout of the following forward passes and of the backward passes that belong to them. With a null `dropout`
/// there is none.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_RANGE unless 0 <= probability < 1; LOWRANK_TOO_MANY unless `layer_number` is below 2^30.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_set_dropout(
    saved: *mut lowrank_saved,
    dropout: *const lowrank_dropout,
    error: *mut lowrank_error,
) -> lowrank_status {
    let dropout = if dropout.is_null() { &lowrank_dropout::NONE } else { dropout };
    crate::call!(error, (saved, crate::memory::Struct(LOWRANK_ARGUMENT_DROPOUT, dropout)), |(mut view, dropout)| {
        masks(&mut view.saved, dropout.whole()?)?;
        (view.into.dropout, view.into.masks) = (*dropout, lowrank_code::of_saved(masks));
        view.keep();
        Ok(())
    })
}

/// Names of the moments, for errors: they are all of the state.
const MOMENT: u32 = LOWRANK_ARGUMENT_STATE;

type MaybeMoment = Maybe<Out>;

impl lowrank_state {
    fn parts(&self) -> ((MaybeMoment, MaybeMoment), (MaybeMoment, MaybeMoment), (MaybeMoment, MaybeMoment)) {
        let [a1, a2, b1, b2, bias1, bias2] = self.moments.map(|moment| Maybe(Out(MOMENT, moment)));
        ((a1, a2), (b1, b2), (bias1, bias2))
    }
}

impl lowrank_clock {
    pub(crate) fn get(&self) -> Result<Clock, Fault> {
        let Self { size, steps, weight1, weight2 } = *self;
        nested::<Self>(LOWRANK_ARGUMENT_CLOCK, size, matches!((steps, weight1, weight2), (0, 0.0, 0.0)))?;
        Ok(Clock { steps, weight1, weight2 })
    }

    pub(crate) const fn of(clock: Clock) -> Self {
        Self { size: size_of::<Self>(), steps: clock.steps, weight1: clock.weight1, weight2: clock.weight2 }
    }
}

/// The state of an optimizer, and where to keep its clock.
pub(crate) struct StateView<'c> {
    pub(crate) state: State<'c>,
    into: &'c mut lowrank_state,
}

impl StateView<'_> {
    /// After a call that has done its work.
    pub(crate) fn keep(self) {
        self.into.clock = lowrank_clock::of(self.state.clock);
    }
}

fn moments<'c>((first, second): (Option<lowrank::MatMut<'c>>, Option<lowrank::MatMut<'c>>)) -> Moments<'c> {
    Moments { first: first.unwrap_or_else(none), second: second.unwrap_or_else(none) }
}

/// A matrix without elements.
pub(crate) fn none<'c>() -> lowrank::MatMut<'c> {
    lowrank::MatMut::from_rows::<0>(&mut [])
}

impl<'c> Passed<'c> for *mut lowrank_state {
    type View = StateView<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let state = unsafe { memory.structure(LOWRANK_ARGUMENT_STATE, self.cast_const(), true) };
        let Some(state) = state else { return };
        // SAFETY: no pointer to a struct in it.
        unsafe { state.parts().note(memory) };
    }

    unsafe fn view(self) -> Result<StateView<'c>, Fault> {
        // SAFETY: noted.
        let into = unsafe { &mut *self };
        // SAFETY: noted.
        let (a, b, bias) = unsafe { into.parts().view() }?;
        let state = State { a: moments(a), b: moments(b), bias: moments(bias), clock: into.clock.get()? };
        Ok(StateView { state, into })
    }
}

impl lowrank_state {
    /// A state without moments, before the first step.
    pub(crate) const fn empty(moments: [lowrank_matrix_mut; 6]) -> Self {
        let clock = lowrank_clock { size: size_of::<lowrank_clock>(), steps: 0, weight1: 0.0, weight2: 0.0 };
        Self { size: size_of::<Self>(), moments, clock }
    }
}

/// Forgets what an optimizer has learned: the next step is the first one.
///
/// # Safety
/// As the page of the header says of pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_state_reset(state: *mut lowrank_state, error: *mut lowrank_error) -> lowrank_status {
    crate::call!(error, (StructMut(LOWRANK_ARGUMENT_STATE, state),), |(state,)| {
        state.clock = lowrank_clock::of(Clock::default());
        Ok(())
    })
}
