//! One layer in training, with all its memory in one struct. Everything that the struct points to is checked by one function,
//! so each call is small: it is the surface for where code size counts.

use lowrank::train::{Plan, Work, init};
use lowrank::{Accum, Backprop, Base, MatMut, MatRef, Packed, Shape, backward, forward, merge};

use crate::codes::*;
use crate::error::{Fault, finish_without_files, lowrank_error};
use crate::machine::backend_of;
use crate::memory::{Memory, Structure, slice, slice_mut, structures};
use crate::optimizer::{lowrank_adamw, lowrank_in_place, lowrank_sgd};
use crate::plan::{optimizer, trained};
use crate::saved::{batch_of, lowrank_clock, lowrank_dropout, progress_of};

/// A layer in training. The caller fills in what comes before `batch`, asks `lowrank_training_plan` for the length of the
/// arena, and opens it. From then on each call does one thing with it, on the first `tokens` rows of `x`, `y`, `dy`, `dx`.
///
/// All memory that it names is disjoint but for what is only read: `weights`, `bias`, `x` and `dy` may overlap each other.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_training {
    /// Bytes of this struct.
    pub size: usize,
    /// Columns of W and A.
    pub inputs: usize,
    /// Rows of W and B.
    pub outputs: usize,
    /// Rows of A, columns of B.
    pub rank: usize,
    /// The most tokens at a time.
    pub tokens: usize,
    /// LOWRANK_ADAMW, LOWRANK_SGD, LOWRANK_MOMENTUM, LOWRANK_IN_PLACE.
    pub optimizer: u32,
    /// LOWRANK_TRAINS_A, LOWRANK_TRAINS_BIAS, both (|) or 0: what is trained beside B.
    pub trained: u32,
    /// Instruction set and arithmetic: LOWRANK_BASELINE, ...
    pub backend: u32,
    /// The factor s.
    pub scale: f32,
    /// W [out, in] without gaps, in rows, or in panels as `lowrank_pack` writes them.
    pub weights: *const f32,
    /// Outputs in a panel; 0 where W is in rows.
    pub panel: usize,
    /// Bias [out] of the base; null where there is none.
    pub bias: *const f32,
    /// X [tokens, in]. May be null until it is needed, as the next three.
    pub x: *const f32,
    /// Y [tokens, out].
    pub y: *mut f32,
    /// Gradient of Y [tokens, out].
    pub dy: *const f32,
    /// Receives the gradient of X [tokens, in]; null where nothing below is trained.
    pub dx: *mut f32,
    /// Memory for adapter, gradients, saved activations and moments.
    pub arena: *mut f32,
    /// Elements of the arena, as `lowrank_training_plan` says.
    pub arena_len: usize,
    /// Dropout of the adapter's input; stays what it is from a forward pass to its backward pass.
    pub dropout: lowrank_dropout,
    /// Tokens of the last forward pass. Set by the calls, as all that follows.
    pub batch: usize,
    /// How far they have come: LOWRANK_PROGRESS_...
    pub progress: u32,
    /// Of the optimizer. To resume, open, fill the parts of the arena and set it.
    pub clock: lowrank_clock,
    /// A [r, in], B [out, r] and the trained bias [out], in the arena; null where there is none, as all that follows.
    pub adapter: [*mut f32; 3],
    /// dA, dB and db.
    pub grads: [*mut f32; 3],
    /// First and second moments of A, of B, of the bias.
    pub moments: [*mut f32; 6],
}

structures!(lowrank_training);

/// Everything that the struct of a call stands for, with `tokens` tokens.
struct View<'c> {
    into: &'c mut lowrank_training,
    base: Base<'c>,
    work: Work<'c>,
    x: Option<MatRef<'c>>,
    y: Option<MatMut<'c>>,
    dy: Option<MatRef<'c>>,
    dx: Option<MatMut<'c>>,
}

/// What a call gets beside the layer.
#[derive(Copy, Clone)]
struct Beside {
    argument: u32,
    start: *const usize,
    bytes: usize,
    align: usize,
    /// A matrix that is written, not a struct that is read.
    written: bool,
}

impl Beside {
    const NOTHING: Beside = Beside { argument: 0, start: core::ptr::null(), bytes: 0, align: 1, written: false };

    const fn settings<T: Structure>(settings: *const T) -> Self {
        let (start, bytes, align) = (settings.cast(), size_of::<T>(), align_of::<T>());
        Self { argument: LOWRANK_ARGUMENT_OPTIMIZER, start, bytes, align, written: false }
    }
}

impl lowrank_training {
    fn plan(&self) -> Result<Plan, Fault> {
        let shape = Shape::new(self.inputs, self.outputs, self.rank);
        let Some(optimizer) = optimizer(self.optimizer)? else {
            return Err(Fault::unknown(LOWRANK_ARGUMENT_OPTIMIZER, self.optimizer));
        };
        Ok(Plan::training(shape, self.tokens, optimizer).with(trained(self.trained)?))
    }

    /// Notes everything that the struct points to.
    fn note(&self, memory: &mut Memory) -> Result<(), Fault> {
        let Self { inputs, outputs, tokens, .. } = *self;
        let buffers = [
            (LOWRANK_ARGUMENT_W, self.weights, outputs, inputs, false),
            (LOWRANK_ARGUMENT_BIAS, self.bias, 1, outputs, false),
            (LOWRANK_ARGUMENT_X, self.x, tokens, inputs, false),
            (LOWRANK_ARGUMENT_Y, self.y.cast_const(), tokens, outputs, true),
            (LOWRANK_ARGUMENT_DY, self.dy, tokens, outputs, false),
            (LOWRANK_ARGUMENT_DX, self.dx.cast_const(), tokens, inputs, true),
            (LOWRANK_ARGUMENT_ARENA, self.arena.cast_const(), 1, self.arena_len, true),
        ];
        for (argument, start, rows, cols, written) in buffers {
            if start.is_null() && !matches!(argument, LOWRANK_ARGUMENT_W | LOWRANK_ARGUMENT_ARENA) {
                continue;
            }
            memory.elements(argument, start, rows.saturating_mul(cols), written)?;
        }
        Ok(())
    }

    /// # Safety
    /// All of it was noted in a [`Memory`] in which nothing overlaps, and there is no other borrow of it.
    unsafe fn view<'c>(&'c mut self, tokens: usize) -> Result<View<'c>, Fault> {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let plan = self.plan()?;
        if tokens > self.tokens {
            return Err(Fault::new(LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS, self.tokens, tokens));
        }
        // Lengths cannot overflow: as many elements or more were noted.
        // SAFETY: noted, with this length.
        let weights = unsafe { slice(self.weights, outputs * inputs) };
        // SAFETY: noted, with this length.
        let arena = unsafe { slice_mut(self.arena, self.arena_len) };
        let read = |start: *const f32, cols| {
            // SAFETY: noted, with at least as many rows.
            given(start).map(|start| MatRef::new(unsafe { slice(start, tokens * cols) }, tokens, cols)).transpose()
        };
        let write = |start: *mut f32, cols| {
            // SAFETY: noted, with at least as many rows.
            let rows =
                |start: *const f32| MatMut::new(unsafe { slice_mut(start.cast_mut(), tokens * cols) }, tokens, cols);
            given(start.cast_const()).map(rows).transpose()
        };
        let weights = match self.panel {
            0 => MatRef::new(weights, outputs, inputs)?.into(),
            width => Packed::new(weights, outputs, inputs, width)?.into(),
        };
        // SAFETY: noted, with this length.
        let bias = given(self.bias).map(|bias| unsafe { slice(bias, outputs) });
        let mut work = plan.split(arena)?;
        work.adapter.scale = self.scale;
        work.state.clock = self.clock.get()?;
        work.saved.set_dropout(self.dropout.get()?)?;
        work.saved.resume(batch_of(self.progress, self.batch)?)?;
        Ok(View {
            base: Base { weights, bias },
            work,
            x: read(self.x, inputs)?,
            y: write(self.y, outputs)?,
            dy: read(self.dy, outputs)?,
            dx: write(self.dx, inputs)?,
            into: self,
        })
    }
}

/// A call: borrows the layer and all its memory, does its work, and says how that went.
macro_rules! with_view {
    (($training:expr, $tokens:expr, $beside:expr, $error:expr), $work:expr) => {{
        let error = $error;
        // SAFETY: the caller's word, as the page of the crate says.
        let result = unsafe { View::of($training, $tokens, $beside, error) }.and_then($work);
        // SAFETY: the caller's word, as the page of the crate says; nothing is borrowed any more.
        unsafe { finish_without_files(result, error) }
    }};
}

fn given(start: *const f32) -> Option<*const f32> {
    (!start.is_null()).then_some(start)
}

fn needed<T>(argument: u32, matrix: Option<T>) -> Result<T, Fault> {
    matrix.ok_or(Fault::new(LOWRANK_NULL, argument, 0, 0))
}

impl<'c> View<'c> {
    /// Checks and borrows everything.
    ///
    /// # Safety
    /// What the page of the crate says of pointers holds for all of them, as long as `'c`.
    #[inline(never)]
    unsafe fn of(
        training: *mut lowrank_training,
        tokens: usize,
        beside: Beside,
        error: *mut lowrank_error,
    ) -> Result<Self, Fault> {
        // SAFETY: the caller's word.
        unsafe { check(training, beside, error) }?;
        // SAFETY: it was noted right above.
        let training = unsafe { &mut *training };
        // SAFETY: all that it points to was noted, too.
        unsafe { training.view(tokens) }
    }

    fn backprop(&mut self) -> Result<Backprop<'c>, Fault> {
        Ok(Backprop { x: self.x, dy: needed(LOWRANK_ARGUMENT_DY, self.dy)?, dx: self.dx.take() })
    }

    /// After a call that has done its work.
    fn keep(self) -> Result<(), Fault> {
        (self.into.batch, self.into.progress) = progress_of(self.work.saved.batch());
        self.into.clock = lowrank_clock::of(self.work.state.clock);
        Ok(())
    }
}

// A frame of its own: the list of spans is gone before the work starts.
#[inline(never)]
unsafe fn check(training: *const lowrank_training, beside: Beside, error: *const lowrank_error) -> Result<(), Fault> {
    let mut memory = Memory::EMPTY;
    if !error.is_null() {
        // SAFETY: the caller's word.
        unsafe { memory.structure(LOWRANK_ARGUMENT_ERROR, error, true) }?;
    }
    // SAFETY: the caller's word.
    unsafe { memory.structure(LOWRANK_ARGUMENT_TRAINING, training, true) }?.note(&mut memory)?;
    let Beside { argument, start, bytes, align, written } = beside;
    if written || bytes == 0 {
        memory.bytes(argument, start.addr(), bytes, align, written)?;
    } else {
        // SAFETY: the caller's word.
        unsafe { memory.sized(argument, start, (bytes, align), false) }?;
    }
    memory.disjoint()
}

/// Sets `arena_len` to the elements that the arena of this layer has to have. The sizes, `optimizer` and `trained` are read.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_OVERFLOW when no memory could be long enough; LOWRANK_UNKNOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_plan(
    training: *mut lowrank_training,
    error: *mut lowrank_error,
) -> lowrank_status {
    let plan = || {
        let mut memory = Memory::EMPTY;
        // SAFETY: the caller's word.
        let plan = unsafe { memory.structure(LOWRANK_ARGUMENT_TRAINING, training, true) }?.plan()?;
        let len = plan.checked_len().ok_or(Fault::new(LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_ARENA, 0, 0))?;
        // SAFETY: noted right above; the borrow is gone.
        unsafe { (*training).arena_len = len };
        Ok(())
    };
    // SAFETY: the caller's word.
    unsafe { finish_without_files(plan(), error) }
}

/// Makes a new adapter in the arena: A as `lowrank_init_kaiming_uniform` does with `seed` and `layer`, B zero, a trained bias
/// as in the base. Sets all that the calls set: no batch, no step taken, where the parts lie.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_LENGTH when the arena is shorter or longer than its plan; LOWRANK_OVERFLOW; LOWRANK_RANGE for the dropout;
/// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_open(
    training: *mut lowrank_training,
    seed: u64,
    layer: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    with_view!((training, 0, Beside::NOTHING, error), |view| {
        backend_of(view.into.backend)?;
        let Work { mut adapter, grads, state, .. } = view.work;
        init::kaiming_uniform(&mut adapter, seed, layer);
        if let Some(to) = &mut adapter.bias {
            let to = to.row_mut(0);
            match view.base.bias {
                Some(from) => to.iter_mut().zip(from).for_each(|(to, &from)| *to = from),
                None => to.fill(0.0),
            }
        }
        let part = |mut matrix: MatMut<'_>| match matrix.row_mut(0) {
            [] => core::ptr::null_mut(),
            row => row.as_mut_ptr(),
        };
        let maybe = |matrix: Option<MatMut<'_>>| matrix.map_or(core::ptr::null_mut(), part);
        let into = view.into;
        (into.batch, into.progress) = (0, LOWRANK_PROGRESS_NONE);
        into.clock = lowrank_clock::of(lowrank::train::Clock::default());
        into.adapter = [part(adapter.a), part(adapter.b), maybe(adapter.bias)];
        into.grads = [maybe(grads.a), part(grads.b), maybe(grads.bias)];
        let (a, b, bias) = (state.a, state.b, state.bias);
        into.moments = [a.first, a.second, b.first, b.second, bias.first, bias.second].map(part);
        Ok(())
    })
}

/// As `lowrank_forward`, from `x` to `y`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_TOO_MANY, LOWRANK_RANGE, LOWRANK_LENGTH; LOWRANK_NULL also for `x` and `y`; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_forward(
    training: *mut lowrank_training,
    tokens: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    with_view!((training, tokens, Beside::NOTHING, error), |mut view| {
        let (x, y) = (needed(LOWRANK_ARGUMENT_X, view.x)?, needed(LOWRANK_ARGUMENT_Y, view.y.take())?);
        let Work { adapter, saved, .. } = &mut view.work;
        forward(backend_of(view.into.backend)?, &view.base, &adapter.as_ref(), x, y, saved)?;
        view.keep()
    })
}

/// As `lowrank_backward`, from `x` and `dy` to the gradients, and to `dx` where it is not null. `accum` is LOWRANK_REPLACE or
/// LOWRANK_ADD.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_backward`; LOWRANK_NULL also for `dy`; LOWRANK_UNEXPECTED when the optimizer works in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_backward(
    training: *mut lowrank_training,
    tokens: usize,
    accum: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    with_view!((training, tokens, Beside::NOTHING, error), |mut view| {
        if view.into.optimizer == LOWRANK_IN_PLACE {
            return Err(Fault::new(LOWRANK_UNEXPECTED, LOWRANK_ARGUMENT_OPTIMIZER, 0, 0));
        }
        let backend = backend_of(view.into.backend)?;
        let flow = view.backprop()?;
        let Work { adapter, grads, saved, .. } = &mut view.work;
        grads.accum = match accum {
            LOWRANK_REPLACE => Accum::Replace,
            LOWRANK_ADD => Accum::Add,
            got => return Err(Fault::unknown(LOWRANK_ARGUMENT_ACCUM, got)),
        };
        backward(backend, &view.base, &adapter.as_ref(), flow, saved, grads)?;
        view.keep()
    })
}

/// As `lowrank_adamw_step`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_adamw_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_adamw(
    training: *mut lowrank_training,
    adamw: *const lowrank_adamw,
    error: *mut lowrank_error,
) -> lowrank_status {
    with_view!((training, 0, Beside::settings(adamw), error), |mut view| {
        let Work { adapter, grads, state, .. } = &mut view.work;
        // SAFETY: checked, and not written.
        unsafe { &*adamw }.get().step(backend_of(view.into.backend)?, adapter, grads, state)?;
        view.keep()
    })
}

/// As `lowrank_sgd_step`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_sgd_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_sgd(
    training: *mut lowrank_training,
    sgd: *const lowrank_sgd,
    error: *mut lowrank_error,
) -> lowrank_status {
    with_view!((training, 0, Beside::settings(sgd), error), |mut view| {
        let Work { adapter, grads, state, .. } = &mut view.work;
        // SAFETY: checked, and not written.
        unsafe { &*sgd }.get()?.step(backend_of(view.into.backend)?, adapter, grads, state)?;
        view.keep()
    })
}

/// As `lowrank_in_place_step`, from `x` and `dy` to the adapter, and to `dx` where it is not null.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_in_place_step`; LOWRANK_NULL also for `dy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_in_place(
    training: *mut lowrank_training,
    tokens: usize,
    in_place: *const lowrank_in_place,
    error: *mut lowrank_error,
) -> lowrank_status {
    with_view!((training, tokens, Beside::settings(in_place), error), |mut view| {
        let flow = view.backprop()?;
        let Work { adapter, saved, .. } = &mut view.work;
        // SAFETY: checked, and not written.
        unsafe { &*in_place }.get().step(backend_of(view.into.backend)?, &view.base, adapter, flow, saved)?;
        view.keep()
    })
}

/// As `lowrank_merge`, into `merged` [out, in] without gaps.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_merge`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_merge(
    training: *mut lowrank_training,
    merged: *mut f32,
    merged_len: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let bytes = merged_len.saturating_mul(size_of::<f32>());
    let start = merged.cast_const().cast();
    let beside = Beside { argument: LOWRANK_ARGUMENT_MERGED, start, bytes, align: align_of::<f32>(), written: true };
    with_view!((training, 0, beside, error), |view| {
        // SAFETY: checked, with this length.
        let merged = unsafe { slice_mut(merged, merged_len) };
        let merged = MatMut::new(merged, view.into.outputs, view.into.inputs).map_err(|_| {
            Fault::new(LOWRANK_LENGTH, LOWRANK_ARGUMENT_MERGED, view.into.outputs * view.into.inputs, merged_len)
        })?;
        Ok(merge(backend_of(view.into.backend)?, &view.base, &view.work.adapter.as_ref(), merged)?)
    })
}
