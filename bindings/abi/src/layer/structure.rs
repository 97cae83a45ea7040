//! The struct of a layer: everything that it points to is checked and borrowed for each call.

use core::ptr::null_mut;

use lowrank::train::{Layer, Moments, Plan, Standing, State};
use lowrank::{Backend, Base, Batch, Dropout, Error, MatMut, MatRef, Scale, Shape};

use crate::codes::*;
use crate::error::{Fault, finish_without_files, lowrank_error};
use crate::machine::backend_of;
use crate::memory::{Memory, StructMut, Structure, slice, slice_mut, structures};
use crate::named::lowrank_code;
use crate::plan::{optimizer, trained};
use crate::saved::{batch_of, lowrank_clock, lowrank_dropout, progress_of};

/// A layer in training: base, adapter, gradients, saved activations and the state of an optimizer. The caller fills in what
/// comes before `batch`, asks `lowrank_layer_plan` for the length of the arena, and initializes it with `lowrank_layer_init`:
/// what is in `batch` and behind it before does not matter. From then on each call does one thing with it, on the first
/// `tokens` rows of `x`, `y`, `dy`, `dx`: a last, shorter batch is one with fewer `tokens`.
///
/// All memory that it names is disjoint but for what is only read: `weights`, `bias` and `x` may overlap each other.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_layer {
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
    /// LOWRANK_ADAMW, LOWRANK_SGD, LOWRANK_MOMENTUM, LOWRANK_IN_PLACE. LOWRANK_INFERENCE, which is 0, is for `lowrank_plan`.
    pub optimizer: u32,
    /// LOWRANK_TRAINS_A, LOWRANK_TRAINS_BIAS, both (|) or 0: what is trained beside B. A step in place wants LOWRANK_TRAINS_A.
    pub trained: u32,
    /// Instruction set and arithmetic: LOWRANK_BASELINE, ...
    pub backend: u32,
    /// The factor s, such as alpha / r. With 0 the adapter is absent, and nothing is learned.
    pub scale: f32,
    /// W [out, in] without gaps, in rows; in panels after `lowrank_layer_set_panels`.
    pub weights: *const f32,
    /// Bias [out] of the base; null where there is none.
    pub bias: *const f32,
    /// X [tokens, in]. May be null where it is not needed, as the next three.
    pub x: *const f32,
    /// Y [tokens, out].
    pub y: *mut f32,
    /// Gradient of Y [tokens, out]: a loss writes it, the backward pass reads it.
    pub dy: *mut f32,
    /// Receives the gradient of X [tokens, in]; null where nothing below is trained.
    pub dx: *mut f32,
    /// Memory for adapter, gradients, saved activations and moments.
    pub arena: *mut f32,
    /// Elements of the arena, as `lowrank_layer_plan` says.
    pub arena_len: usize,
    /// Tokens of the last forward pass. Set by the calls, as all that follows.
    pub batch: usize,
    /// How far they have come: LOWRANK_PROGRESS_...
    pub progress: u32,
    /// Whether there are gradients: 1 after a backward pass, 0 after a step, which wants them. Set it to 1 where you have written the
    /// gradients in `parts` yourself.
    pub graded: u32,
    /// Outputs in a panel, as `lowrank_layer_set_panels` has set it; 0 where W is in rows.
    pub panel_width: usize,
    /// What reads panels.
    pub panels: lowrank_code,
    /// Dropout of the adapter's input, as `lowrank_layer_set_dropout` has set it. Each step of the optimizer raises its `step`, so that
    /// the next forward pass has other masks; its numbers may be changed by hand, too. A backward pass wants those of its forward
    /// pass: after a change it says LOWRANK_NO_FORWARD.
    pub dropout: lowrank_dropout,
    /// What makes the masks of dropout.
    pub masks: lowrank_code,
    /// The dropout of the last forward pass.
    pub dropped: lowrank_dropout,
    /// Of the optimizer. To resume, call `lowrank_layer_init`, fill the parts of the arena and set it.
    pub clock: lowrank_clock,
    /// In the arena: A [r, in], B [out, r], the trained bias [out]; dA, dB, db; first and second moments of A, of B, of the bias.
    /// Null where there is none.
    pub parts: [*mut f32; 12],
}

structures!(lowrank_layer);

/// Everything that the struct of a call stands for: the layer, opened where it stands, and its matrices with `tokens` tokens.
pub(super) struct View<'v, 'c> {
    pub(super) into: &'v mut lowrank_layer,
    pub(super) layer: &'v mut Layer<'c>,
    pub(super) x: Option<MatRef<'c>>,
    pub(super) y: Option<MatMut<'c>>,
    pub(super) dy: Option<MatMut<'c>>,
    pub(super) dx: Option<MatMut<'c>>,
    pub(super) backend: Backend,
}

/// What a call gets beside the layer.
#[derive(Copy, Clone)]
pub(super) struct Beside {
    argument: u32,
    start: *const usize,
    bytes: usize,
    align: usize,
    is_struct: bool,
    written: bool,
}

impl Beside {
    pub(super) const fn structure<T: Structure>(argument: u32, start: *const T, written: bool) -> Self {
        let (start, bytes, align) = (start.cast(), size_of::<T>(), align_of::<T>());
        Self { argument, start, bytes, align, is_struct: true, written }
    }

    pub(super) const fn elements<T>(argument: u32, start: *const T, len: usize, written: bool) -> Self {
        let (start, bytes, align) = (start.cast(), len.saturating_mul(size_of::<T>()), align_of::<T>());
        Self { argument, start, bytes, align, is_struct: false, written }
    }
}

impl lowrank_layer {
    fn plan(&self) -> Result<Plan, Fault> {
        let shape = Shape::new(self.inputs, self.outputs, self.rank);
        let Some(optimizer) = optimizer(self.optimizer)? else {
            return Err(Fault::unknown(LOWRANK_ARGUMENT_OPTIMIZER, self.optimizer));
        };
        Ok(Plan::training(shape, self.tokens, optimizer).with(trained(self.trained)?))
    }

    /// Notes everything that the struct points to. What is `needed` must not be null.
    fn note(&self, needed: u32, memory: &mut Memory) {
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
            if start.is_null() && needed & bit(argument) == 0 {
                continue;
            }
            memory.elements(argument, start, rows.saturating_mul(cols), written);
        }
    }
}

/// A call: borrows the layer and all its memory, does its work, and says how that went. Generated once, so `work` is behind a
/// pointer. `needed`: arguments that must not be null.
///
/// # Safety
/// What the page of the crate says of pointers holds for all of them.
#[inline(never)]
pub(super) unsafe fn call(
    layer: *mut lowrank_layer,
    (tokens, needed): (usize, u32),
    beside: &[Beside],
    error: *mut lowrank_error,
    work: &mut dyn FnMut(&mut View<'_, '_>) -> Result<(), Fault>,
) -> lowrank_status {
    // SAFETY: the caller's word.
    let result = unsafe { check(layer, ALWAYS | needed, beside, error) }.and_then(|()| {
        // SAFETY: it was noted right above.
        let layer = unsafe { &mut *layer };
        // SAFETY: all that it points to was noted, too.
        unsafe { run(layer, (tokens, needed), work) }
    });
    // SAFETY: the caller's word; nothing is borrowed any more.
    unsafe { finish_without_files(result, error) }
}

/// # Safety
/// All of it was noted in a [`Memory`] in which nothing overlaps, and there is no other borrow of it.
unsafe fn run(
    into: &mut lowrank_layer,
    (tokens, needed): (usize, u32),
    call: &mut dyn FnMut(&mut View<'_, '_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (inputs, outputs) = (into.inputs, into.outputs);
    let (plan, backend) = (into.plan()?, backend_of(into.backend)?);
    if tokens > into.tokens {
        return Err(Fault::new(LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS, into.tokens, tokens));
    }
    // Lengths cannot overflow: as many elements or more were noted.
    // SAFETY: noted, with this length.
    let weights = unsafe { slice(into.weights, outputs * inputs) };
    // SAFETY: noted, with this length.
    let arena = unsafe { slice_mut(into.arena, into.arena_len) };
    // SAFETY: noted, with at least as many rows, or null and without elements.
    let write = |start: *mut f32, cols| MatMut::new(unsafe { slice_mut(start, tokens * cols) }, tokens, cols).ok();
    // SAFETY: as above.
    let rows = |x: *mut f32| MatRef::new(unsafe { slice(x, tokens * inputs) }, tokens, inputs).ok();
    let given_or_empty = |start: *mut f32, cols: usize| {
        let is_there = !start.is_null() || tokens.saturating_mul(cols) == 0;
        is_there.then_some(start)
    };
    let is_new = needed & NEW != 0;
    // A struct that `lowrank_layer_init` has not seen does not say where A lies.
    if !is_new && inputs != 0 && into.rank != 0 && into.parts.first() != Some(&into.arena) {
        return Err(Fault::new(LOWRANK_NOT_SET, LOWRANK_ARGUMENT_LAYER, 0, 0));
    }
    let weights = match into.panel_width {
        width if width != 0 && !is_new => into.panels.panels()?(weights, (outputs, inputs), width)?,
        _ => MatRef::new(weights, outputs, inputs)?.into(),
    };
    // SAFETY: noted, with this length.
    let bias = given(into.bias.cast_mut()).map(|bias| MatRef::from_row(unsafe { slice(bias, outputs) }));
    // It is used where it was opened: a move would copy all of it.
    let mut opened = open(&plan, Base { weights, bias }, arena);
    let layer = opened.as_mut().map_err(|error| *error)?;
    // The struct may know of a batch with another dropout, which may come back: that batch stays as it is.
    let mut is_other = false;
    if !is_new {
        if needed & SETS_DROPOUT == 0
            && let Some(dropout) = into.dropout.get()?
        {
            into.masks.layer()?(layer, dropout)?;
        }
        let (scale, clock) = (if needed & SCALE == 0 { 1.0 } else { into.scale }, into.clock.get()?);
        let (scale, is_graded) = (Some(Scale::Direct(scale)), into.graded != 0);
        let batch = batch(into, layer.dropout())?;
        is_other = batch.is_none();
        layer.stand(Standing { scale, batch, clock, is_graded, accumulates: false })?;
    }
    call(&mut View {
        layer: &mut *layer,
        x: given_or_empty(into.x.cast_mut(), inputs).and_then(rows),
        y: given_or_empty(into.y, outputs).and_then(|y| write(y, outputs)),
        dy: given_or_empty(into.dy, outputs).and_then(|dy| write(dy, outputs)),
        dx: given(into.dx).and_then(|dx| write(dx, inputs)),
        backend,
        into,
    })?;
    let Standing { batch, clock, is_graded, .. } = layer.standing();
    if batch.is_some() || !is_other {
        (into.batch, into.progress) = progress_of(batch);
        into.dropped = into.dropout;
    }
    (into.clock, into.graded) = (lowrank_clock::of(clock), u32::from(is_graded));
    if let Some(Dropout { step, .. }) = layer.dropout() {
        into.dropout.step = step;
    }
    Ok(())
}

// A frame of its own: what the opening needs is gone before the work starts.
#[inline(never)]
fn open<'c>(plan: &Plan, base: Base<'c>, arena: &'c mut [f32]) -> Result<Layer<'c>, Error> {
    plan.layer(base, arena)
}

/// The batch of the last forward pass. With another dropout it is none any more: the masks of its backward pass would be others.
fn batch(of: &lowrank_layer, dropout: Option<Dropout>) -> Result<Option<Batch>, Fault> {
    let batch = batch_of(of.progress, of.batch)?;
    Ok(if batch.is_none() || of.dropped.get()? == dropout { batch } else { None })
}

fn given(start: *mut f32) -> Option<*mut f32> {
    (!start.is_null()).then_some(start)
}

/// The bit of an argument below 32, and those of arguments that every call needs.
pub(super) const fn bit(argument: u32) -> u32 {
    1 << argument
}
const ALWAYS: u32 = bit(LOWRANK_ARGUMENT_W) | bit(LOWRANK_ARGUMENT_ARENA);

/// Instead of arguments: from `batch` on the struct is still to be filled in, and holds anything.
const NEW: u32 = bit(LOWRANK_ARGUMENT_NONE);

/// Beside arguments: the call sets the dropout, whatever that is now.
pub(super) const SETS_DROPOUT: u32 = bit(LOWRANK_ARGUMENT_DROPOUT);

/// Beside arguments: the call reads the scale, which has to be finite then.
pub(super) const SCALE: u32 = bit(LOWRANK_ARGUMENT_SCALE);

impl View<'_, '_> {
    /// A constant in a small build, so that nothing else is linked.
    pub(super) fn backend(&self) -> Backend {
        if cfg!(lowrank_small) { Backend::BASELINE } else { self.backend }
    }
}

// A frame of its own: the list of spans is gone before the work starts.
#[inline(never)]
unsafe fn check(
    layer: *const lowrank_layer,
    needed: u32,
    beside: &[Beside],
    error: *const lowrank_error,
) -> Result<(), Fault> {
    // SAFETY: the caller's word.
    let mut memory = unsafe { Memory::with(error) };
    // SAFETY: the caller's word.
    if let Some(layer) = unsafe { memory.structure(LOWRANK_ARGUMENT_LAYER, layer, true) } {
        layer.note(needed, &mut memory);
    }
    for &Beside { argument, start, bytes, align, is_struct, written } in beside {
        if is_struct {
            // SAFETY: the caller's word.
            unsafe { memory.sized(argument, start, (bytes, align), written) };
        } else {
            memory.bytes(argument, start.addr(), bytes, align, written);
        }
    }
    memory.verdict()
}

/// Sets `arena_len` to the elements that the arena of this layer has to have. The sizes, `optimizer` and `trained` are read.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_OVERFLOW when no memory could be long enough; LOWRANK_UNKNOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_plan(layer: *mut lowrank_layer, error: *mut lowrank_error) -> lowrank_status {
    crate::call_without_files!(error, (StructMut(LOWRANK_ARGUMENT_LAYER, layer),), |(layer,)| {
        let overflow = Fault::new(LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_ARENA, 0, 0);
        layer.arena_len = layer.plan()?.checked_len().ok_or(overflow)?;
        Ok(())
    })
}

/// Makes a new adapter in the arena: A as `lowrank_init_kaiming_uniform` does with `seed` and `layer_number`, B zero, a
/// trained bias as in the base, the gradients zero. Sets all that the calls set: no batch, no step taken, W in rows, no dropout, where
/// the parts lie.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_LENGTH when the arena is shorter or longer than its plan; LOWRANK_OVERFLOW; LOWRANK_TOO_MANY unless `layer_number` is below
/// 2^30; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_init(
    layer: *mut lowrank_layer,
    seed: u64,
    layer_number: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    // SAFETY: the caller's word.
    unsafe {
        call(layer, (0, NEW), &[], error, &mut |view| {
            let View { into, layer, .. } = view;
            // No pass runs, so the scale is not read.
            layer.init(Scale::Direct(1.0), seed, layer_number)?;
            (into.panel_width, into.panels) = (0, lowrank_code::NONE);
            (into.dropout, into.masks) = (lowrank_dropout::NONE, lowrank_code::NONE);
            into.parts = [null_mut(); 12];
            let (trained, moments) = into.parts.split_at_mut(6);
            if let Some((mut adapter, mut grads)) = layer.parts() {
                let (a, b, bias) = (Some(&mut adapter.a), Some(&mut adapter.b), adapter.bias.as_mut());
                note_parts(trained, &mut [a, b, bias, grads.a.as_mut(), Some(&mut grads.b), grads.bias.as_mut()]);
            }
            let State { a, b, bias, .. } = &mut layer.state_mut();
            let Moments { first: a1, second: a2 } = a;
            let Moments { first: b1, second: b2 } = b;
            let Moments { first: bias1, second: bias2 } = bias;
            note_parts(moments, &mut [Some(a1), Some(a2), Some(b1), Some(b2), Some(bias1), Some(bias2)]);
            Ok(())
        })
    }
}

/// Notes where matrices lie; those without elements lie nowhere.
#[inline(never)]
fn note_parts<'m>(to: &mut [*mut f32], parts: &mut [Option<&mut MatMut<'m>>; 6]) {
    for (to, part) in to.iter_mut().zip(parts) {
        if let Some(part) = part
            && let first @ [_, ..] = part.row_mut(0)
        {
            *to = first.as_mut_ptr();
        }
    }
}
