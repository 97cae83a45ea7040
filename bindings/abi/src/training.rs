//! One layer in training, with all its memory in one struct. Everything that the struct points to is checked by one function,
//! so each call is small: it is the surface for where code size counts.

use core::ptr::null_mut;

use lowrank::train::{Clock, MeanLoss, Plan, Work, clip, init};
use lowrank::{Accum, Backprop, Base, MatMut, MatRef, Packed, Shape, backward, forward, merge};

use crate::codes::*;
use crate::error::{Fault, finish_without_files, lowrank_error};
use crate::loss::lowrank_mean_loss;
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
    /// Gradient of Y [tokens, out]: a loss writes it, the backward pass reads it.
    pub dy: *mut f32,
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
    dy: Option<MatMut<'c>>,
    dx: Option<MatMut<'c>>,
}

/// What a call gets beside the layer.
#[derive(Copy, Clone)]
struct Beside {
    argument: u32,
    start: *const usize,
    bytes: usize,
    align: usize,
    is_struct: bool,
    written: bool,
}

impl Beside {
    const fn structure<T: Structure>(argument: u32, start: *const T, written: bool) -> Self {
        let (start, bytes, align) = (start.cast(), size_of::<T>(), align_of::<T>());
        Self { argument, start, bytes, align, is_struct: true, written }
    }

    const fn elements<T>(argument: u32, start: *const T, len: usize, written: bool) -> Self {
        let (start, bytes, align) = (start.cast(), len.saturating_mul(size_of::<T>()), align_of::<T>());
        Self { argument, start, bytes, align, is_struct: false, written }
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
            (LOWRANK_ARGUMENT_DY, self.dy.cast_const(), tokens, outputs, true),
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
        let write = |start: *mut f32, cols| {
            // SAFETY: noted, with at least as many rows.
            let rows =
                |start: *const f32| MatMut::new(unsafe { slice_mut(start.cast_mut(), tokens * cols) }, tokens, cols);
            given(start.cast_const()).map(rows).transpose()
        };
        // SAFETY: noted, with at least as many rows.
        let rows = |x| MatRef::new(unsafe { slice(x, tokens * inputs) }, tokens, inputs);
        let x = given(self.x).map(rows).transpose()?;
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
            x,
            y: write(self.y, outputs)?,
            dy: write(self.dy, outputs)?,
            dx: write(self.dx, inputs)?,
            into: self,
        })
    }
}

/// A call: borrows the layer and all its memory, does its work, and says how that went. Generated once, so `work` is behind a
/// pointer.
///
/// # Safety
/// What the page of the crate says of pointers holds for all of them.
#[inline(never)]
unsafe fn call(
    training: *mut lowrank_training,
    tokens: usize,
    beside: &[Beside],
    error: *mut lowrank_error,
    work: &mut dyn FnMut(&mut View<'_>) -> Result<(), Fault>,
) -> lowrank_status {
    // SAFETY: the caller's word.
    let result = unsafe { View::of(training, tokens, beside, error) }.and_then(|mut view| {
        work(&mut view)?;
        (view.into.batch, view.into.progress) = progress_of(view.work.saved.batch());
        view.into.clock = lowrank_clock::of(view.work.state.clock);
        Ok(())
    });
    // SAFETY: the caller's word; nothing is borrowed any more.
    unsafe { finish_without_files(result, error) }
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
    unsafe fn of(
        training: *mut lowrank_training,
        tokens: usize,
        beside: &[Beside],
        error: *mut lowrank_error,
    ) -> Result<Self, Fault> {
        // SAFETY: the caller's word.
        unsafe { check(training, beside, error) }?;
        // SAFETY: it was noted right above.
        let training = unsafe { &mut *training };
        // SAFETY: all that it points to was noted, too.
        unsafe { training.view(tokens) }
    }

    /// The loss of `y`, with its gradient into `dy`.
    fn loss(
        &mut self,
        into: &mut lowrank_mean_loss,
        compute: impl FnOnce(&mut MeanLoss, MatRef<'_>, MatMut<'_>) -> Result<(), lowrank::Error>,
    ) -> Result<(), Fault> {
        let (y, dy) = (needed(LOWRANK_ARGUMENT_Y, self.y.take())?, needed(LOWRANK_ARGUMENT_LOSS_GRAD, self.dy.take())?);
        let mut loss = into.get();
        compute(&mut loss, y.as_ref(), dy)?;
        into.keep(loss);
        Ok(())
    }
}

// A frame of its own: the list of spans is gone before the work starts.
#[inline(never)]
unsafe fn check(
    training: *const lowrank_training,
    beside: &[Beside],
    error: *const lowrank_error,
) -> Result<(), Fault> {
    let mut memory = Memory::EMPTY;
    if !error.is_null() {
        // SAFETY: the caller's word.
        unsafe { memory.structure(LOWRANK_ARGUMENT_ERROR, error, true) }?;
    }
    // SAFETY: the caller's word.
    unsafe { memory.structure(LOWRANK_ARGUMENT_TRAINING, training, true) }?.note(&mut memory)?;
    for &Beside { argument, start, bytes, align, is_struct, written } in beside {
        if is_struct {
            // SAFETY: the caller's word.
            unsafe { memory.sized(argument, start, (bytes, align), written) }?;
        } else {
            memory.bytes(argument, start.addr(), bytes, align, written)?;
        }
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
    // SAFETY: the caller's word.
    unsafe {
        call(training, 0, &[], error, &mut |view| {
            backend_of(view.into.backend)?;
            let Work { adapter, grads, saved, state } = &mut view.work;
            init::kaiming_uniform(adapter, seed, layer);
            if let Some(to) = &mut adapter.bias {
                let to = to.row_mut(0);
                to.fill(0.0);
                to.iter_mut().zip(view.base.bias.unwrap_or(&[])).for_each(|(to, &from)| *to = from);
            }
            saved.resume(None)?;
            state.clock = Clock::default();
            let maybe = |matrix: &mut Option<MatMut<'_>>| matrix.as_mut().map_or(null_mut(), part);
            view.into.adapter = [part(&mut adapter.a), part(&mut adapter.b), maybe(&mut adapter.bias)];
            view.into.grads = [maybe(&mut grads.a), part(&mut grads.b), maybe(&mut grads.bias)];
            let [a, b, bias] = [&mut state.a, &mut state.b, &mut state.bias]
                .map(|moments| [part(&mut moments.first), part(&mut moments.second)]);
            view.into.moments = [a[0], a[1], b[0], b[1], bias[0], bias[1]];
            Ok(())
        })
    }
}

/// Where a matrix lies; null for one without elements.
fn part(matrix: &mut MatMut<'_>) -> *mut f32 {
    match matrix.row_mut(0) {
        [] => null_mut(),
        row => row.as_mut_ptr(),
    }
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
    // SAFETY: the caller's word.
    unsafe {
        call(training, tokens, &[], error, &mut |view| {
            let View { into, base, work: Work { adapter, saved, .. }, x, y, .. } = view;
            let (x, y) = (needed(LOWRANK_ARGUMENT_X, x.take())?, needed(LOWRANK_ARGUMENT_Y, y.take())?);
            Ok(forward(backend_of(into.backend)?, base, &adapter.as_ref(), x, y, saved)?)
        })
    }
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
    // SAFETY: the caller's word.
    unsafe {
        call(training, tokens, &[], error, &mut |view| {
            let View { into, base, work: Work { adapter, grads, saved, .. }, x, dy, dx, .. } = view;
            if into.optimizer == LOWRANK_IN_PLACE {
                return Err(Fault::new(LOWRANK_UNEXPECTED, LOWRANK_ARGUMENT_OPTIMIZER, 0, 0));
            }
            grads.accum = match accum {
                LOWRANK_REPLACE => Accum::Replace,
                LOWRANK_ADD => Accum::Add,
                got => return Err(Fault::unknown(LOWRANK_ARGUMENT_ACCUM, got)),
            };
            let dy = needed(LOWRANK_ARGUMENT_DY, dy.take())?;
            let flow = Backprop { x: x.take(), dy: dy.as_ref(), dx: dx.take() };
            Ok(backward(backend_of(into.backend)?, base, &adapter.as_ref(), flow, saved, grads)?)
        })
    }
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
    let beside = [Beside::structure(LOWRANK_ARGUMENT_OPTIMIZER, adamw, false)];
    let step = &mut |view: &mut View<'_>| {
        let Work { adapter, grads, state, .. } = &mut view.work;
        // SAFETY: checked, and not written.
        let adamw = unsafe { &*adamw }.get();
        Ok(adamw.step(backend_of(view.into.backend)?, adapter, grads, state)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(training, 0, &beside, error, step) }
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
    let beside = [Beside::structure(LOWRANK_ARGUMENT_OPTIMIZER, sgd, false)];
    let step = &mut |view: &mut View<'_>| {
        let Work { adapter, grads, state, .. } = &mut view.work;
        // SAFETY: checked, and not written.
        let sgd = unsafe { &*sgd }.get()?;
        Ok(sgd.step(backend_of(view.into.backend)?, adapter, grads, state)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(training, 0, &beside, error, step) }
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
    let beside = [Beside::structure(LOWRANK_ARGUMENT_OPTIMIZER, in_place, false)];
    let step = &mut |view: &mut View<'_>| {
        let View { into, base, work: Work { adapter, saved, .. }, x, dy, dx, .. } = view;
        let dy = needed(LOWRANK_ARGUMENT_DY, dy.take())?;
        let flow = Backprop { x: x.take(), dy: dy.as_ref(), dx: dx.take() };
        // SAFETY: checked, and not written.
        let in_place = unsafe { &*in_place }.get();
        Ok(in_place.step(backend_of(into.backend)?, base, adapter, flow, saved)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(training, tokens, &beside, error, step) }
}

/// As `lowrank_square_sum`, of the gradients of this layer.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_square_sum(
    training: *mut lowrank_training,
    square_sum: *mut f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::elements(LOWRANK_ARGUMENT_RESULT, square_sum, 1, true)];
    let work = &mut |view: &mut View<'_>| {
        let sum = clip::square_sum(backend_of(view.into.backend)?, &view.work.grads);
        // SAFETY: checked.
        unsafe { square_sum.write(sum) };
        Ok(())
    };
    // SAFETY: the caller's word.
    unsafe { call(training, 0, &beside, error, work) }
}

/// Multiplies the gradients of this layer by what `lowrank_clip_factor` says. `square_sum` is that of all layers together.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_clip_factor`; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_clip(
    training: *mut lowrank_training,
    square_sum: f32,
    max_norm: f32,
    error: *mut lowrank_error,
) -> lowrank_status {
    // SAFETY: the caller's word.
    unsafe {
        call(training, 0, &[], error, &mut |view| {
            let factor = clip::factor(square_sum, max_norm)?;
            clip::scale(backend_of(view.into.backend)?, &mut view.work.grads, factor);
            Ok(())
        })
    }
}

/// As `lowrank_merge`, into `merged` [out, in] without gaps.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_merge`; LOWRANK_LENGTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_merge(
    training: *mut lowrank_training,
    merged: *mut f32,
    merged_len: usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [Beside::elements(LOWRANK_ARGUMENT_MERGED, merged, merged_len, true)];
    let work = &mut |view: &mut View<'_>| {
        let (outputs, inputs) = (view.into.outputs, view.into.inputs);
        if merged_len != outputs * inputs {
            return Err(Fault::new(LOWRANK_LENGTH, LOWRANK_ARGUMENT_MERGED, outputs * inputs, merged_len));
        }
        // SAFETY: checked, with this length.
        let merged = MatMut::new(unsafe { slice_mut(merged, merged_len) }, outputs, inputs)?;
        Ok(merge(backend_of(view.into.backend)?, &view.base, &view.work.adapter.as_ref(), merged)?)
    };
    // SAFETY: the caller's word.
    unsafe { call(training, 0, &beside, error, work) }
}

/// As `lowrank_softmax_cross_entropy`, from `y` and `labels` [tokens] to `dy`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_softmax_cross_entropy`; LOWRANK_NULL also for `y` and `dy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_softmax_cross_entropy(
    training: *mut lowrank_training,
    tokens: usize,
    labels: *const u32,
    labels_len: usize,
    loss: *mut lowrank_mean_loss,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [
        Beside::elements(LOWRANK_ARGUMENT_LABELS, labels, labels_len, false),
        Beside::structure(LOWRANK_ARGUMENT_LOSS, loss, true),
    ];
    let work = &mut |view: &mut View<'_>| {
        // SAFETY: checked, with this length.
        let labels = unsafe { slice(labels, labels_len) };
        // SAFETY: checked.
        let loss = unsafe { &mut *loss };
        view.loss(loss, |it, y, dy| it.softmax_cross_entropy(y, labels, dy))
    };
    // SAFETY: the caller's word.
    unsafe { call(training, tokens, &beside, error, work) }
}

/// As `lowrank_mean_squared_error`, from `y` and `targets` [tokens, out] to `dy`.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_mean_squared_error`; LOWRANK_LENGTH; LOWRANK_NULL also for `y` and `dy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_training_mean_squared_error(
    training: *mut lowrank_training,
    tokens: usize,
    targets: *const f32,
    targets_len: usize,
    loss: *mut lowrank_mean_loss,
    error: *mut lowrank_error,
) -> lowrank_status {
    let beside = [
        Beside::elements(LOWRANK_ARGUMENT_TARGETS, targets, targets_len, false),
        Beside::structure(LOWRANK_ARGUMENT_LOSS, loss, true),
    ];
    let work = &mut |view: &mut View<'_>| {
        let outputs = view.into.outputs;
        if tokens.checked_mul(outputs) != Some(targets_len) {
            let expected = tokens.saturating_mul(outputs);
            return Err(Fault::new(LOWRANK_LENGTH, LOWRANK_ARGUMENT_TARGETS, expected, targets_len));
        }
        // SAFETY: checked, with this length.
        let targets = MatRef::new(unsafe { slice(targets, targets_len) }, tokens, outputs)?;
        // SAFETY: checked.
        let loss = unsafe { &mut *loss };
        view.loss(loss, |it, y, dy| it.mean_squared_error(y, targets, dy))
    };
    // SAFETY: the caller's word.
    unsafe { call(training, tokens, &beside, error, work) }
}
