//! An entry of an adapter file: what becomes of one that was read, and how one is made that is to be written.

use core::ffi::c_char;

use lowrank::MatRef;
use lowrank::format::{Entry, RandomState, Tensor, Training};

use crate::codes::*;
use crate::error::{Fault, lowrank_error, optimizer_code};
use crate::matrix::{lowrank_adapter, lowrank_adapter_mut, lowrank_matrix};
use crate::memory::{Memory, Passed, Slice, StructMut, nested, slice, structures};
use crate::passes::scale_of;
use crate::plan::{optimizer, trained};
use crate::saved::{lowrank_clock, lowrank_state};
use crate::tensor::lowrank_tensor;

/// Where the random numbers of a layer stand, and its dropout. All 0 where there are none; its size may be 0 then, too.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_random_state {
    /// Bytes of this struct.
    pub size: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the training step.
    pub step: u32,
    /// Number of the layer. A file may have any number here, a layer with dropout has one below 2^30.
    pub layer_number: u32,
    /// Probability of dropout, from 0 to below 1.
    pub dropout: f32,
}

/// An entry: what an adapter file holds of one layer. Its pointers point into the file, or to what is to be written.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_entry {
    /// Bytes of this struct; to be set before a call that fills it.
    pub size: usize,
    /// Its name in UTF-8, without a zero byte at the end.
    pub name: *const c_char,
    /// Bytes of the name.
    pub name_len: usize,
    /// A number that tells entries of one name apart.
    pub id: u32,
    /// How s follows from alpha and rank: LOWRANK_SCALE_...
    pub scale_mode: u32,
    /// alpha, or s itself with LOWRANK_SCALE_DIRECT.
    pub alpha: f32,
    /// 1 where the base is stored as [in, out] where it comes from, otherwise 0.
    pub fan_in_fan_out: u32,
    /// A [r, in].
    pub a: lowrank_tensor,
    /// B [out, r].
    pub b: lowrank_tensor,
    /// A bias [1, out] that takes the place of the base's. May be left out.
    pub bias: lowrank_tensor,
    /// The bias [1, out] of B. May be left out.
    pub b_bias: lowrank_tensor,
    /// Whose state is stored: LOWRANK_ADAMW, ...; LOWRANK_INFERENCE where none is.
    pub optimizer: u32,
    /// LOWRANK_TRAINS_A, LOWRANK_TRAINS_BIAS, both (|) or 0.
    pub trained: u32,
    /// Of the optimizer.
    pub clock: lowrank_clock,
    /// First and second moments of A, of B, of the bias; left out where there are none.
    pub moments: [lowrank_tensor; 6],
    /// Where the random numbers stand.
    pub random: lowrank_random_state,
}

structures!(lowrank_random_state lowrank_entry);

/// # Safety
/// Noted.
pub(crate) unsafe fn text<'c>(argument: u32, start: *const c_char, len: usize) -> Result<&'c str, Fault> {
    // SAFETY: noted, with this length.
    let bytes = unsafe { slice(start.cast(), len) };
    core::str::from_utf8(bytes).map_err(|_| Fault::new(LOWRANK_NOT_UTF8, argument, 0, len))
}

impl lowrank_entry {
    fn tensors(&self) -> impl Iterator<Item = (u32, &lowrank_tensor)> {
        let named = [
            (LOWRANK_ARGUMENT_A, &self.a),
            (LOWRANK_ARGUMENT_B, &self.b),
            (LOWRANK_ARGUMENT_BIAS, &self.bias),
            (LOWRANK_ARGUMENT_B_BIAS, &self.b_bias),
        ];
        named.into_iter().chain(self.moments.iter().map(|moment| (LOWRANK_ARGUMENT_STATE, moment)))
    }

    pub(crate) fn note_parts(&self, memory: &mut Memory) {
        memory.elements(LOWRANK_ARGUMENT_NAME, self.name, self.name_len, false);
        self.tensors().for_each(|(argument, tensor)| tensor.note(argument, memory));
    }

    pub(crate) fn of(entry: &Entry<'_>) -> Self {
        let (scale_mode, alpha) = match entry.scale {
            lowrank::Scale::Direct(s) => (LOWRANK_SCALE_DIRECT, s),
            lowrank::Scale::Alpha(alpha) => (LOWRANK_SCALE_ALPHA, alpha),
            lowrank::Scale::RankStabilized(alpha) => (LOWRANK_SCALE_RANK_STABILIZED, alpha),
        };
        let none = Training {
            optimizer: lowrank::train::Optimizer::Sgd,
            trained: lowrank::train::Trained { a: false, bias: false },
            clock: lowrank::train::Clock::default(),
            moments: [Tensor::EMPTY; 6],
        };
        let training = entry.training.unwrap_or(none);
        let trained = if training.trained.a { LOWRANK_TRAINS_A } else { 0 }
            | if training.trained.bias { LOWRANK_TRAINS_BIAS } else { 0 };
        let RandomState { seed, step, layer_number, dropout } = entry.random;
        Self {
            size: size_of::<Self>(),
            name: entry.name.as_ptr().cast(),
            name_len: entry.name.len(),
            id: entry.id,
            scale_mode,
            alpha,
            fan_in_fan_out: u32::from(entry.fan_in_fan_out),
            a: lowrank_tensor::of(entry.a),
            b: lowrank_tensor::of(entry.b),
            bias: lowrank_tensor::maybe(entry.bias),
            b_bias: lowrank_tensor::maybe(entry.b_bias),
            optimizer: entry.training.map_or(LOWRANK_INFERENCE, |training| optimizer_code(training.optimizer)),
            trained,
            clock: lowrank_clock::of(training.clock),
            moments: training.moments.map(lowrank_tensor::of),
            random: lowrank_random_state { size: size_of::<lowrank_random_state>(), seed, step, layer_number, dropout },
        }
    }

    /// # Safety
    /// Noted.
    pub(crate) unsafe fn get<'c>(&self) -> Result<Entry<'c>, Fault> {
        // SAFETY: noted.
        let name = unsafe { text(LOWRANK_ARGUMENT_NAME, self.name, self.name_len) }?;
        let mut tensors = [None; 10];
        for (to, (_, tensor)) in tensors.iter_mut().zip(self.tensors()) {
            // SAFETY: noted.
            *to = unsafe { tensor.view() }?;
        }
        let [a, b, bias, b_bias, moments @ ..] = tensors;
        if self.fan_in_fan_out > 1 {
            return Err(Fault::unknown(LOWRANK_ARGUMENT_ENTRY, self.fan_in_fan_out));
        }
        let training = match optimizer(self.optimizer)? {
            None => None,
            Some(optimizer) => Some(Training {
                optimizer,
                trained: trained(self.trained)?,
                clock: self.clock.get()?,
                moments: moments.map(|moment| moment.unwrap_or(Tensor::EMPTY)),
            }),
        };
        let lowrank_random_state { size, seed, step, layer_number, dropout } = self.random;
        let is_zero = matches!((seed, step, layer_number, dropout), (0, 0, 0, 0.0));
        nested::<lowrank_random_state>(LOWRANK_ARGUMENT_RNG, size, is_zero)?;
        Ok(Entry {
            name,
            id: self.id,
            scale: scale_of(self.scale_mode, self.alpha)?,
            a: a.ok_or(lowrank::Error::Missing { argument: lowrank::Argument::A })?,
            b: b.ok_or(lowrank::Error::Missing { argument: lowrank::Argument::B })?,
            bias,
            b_bias,
            fan_in_fan_out: self.fan_in_fan_out == 1,
            training,
            random: RandomState { seed, step, layer_number, dropout },
        })
    }
}

impl<'c> Passed<'c> for *const lowrank_entry {
    type View = Entry<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        if let Some(entry) = unsafe { memory.structure(LOWRANK_ARGUMENT_ENTRY, self, false) } {
            entry.note_parts(memory);
        }
    }

    unsafe fn view(self) -> Result<Entry<'c>, Fault> {
        // SAFETY: noted.
        let entry = unsafe { &*self };
        // SAFETY: noted.
        unsafe { entry.get() }
    }
}

fn in_place(matrix: MatRef<'_>) -> lowrank_matrix {
    let row = matrix.row(0);
    let data = if row.is_empty() { core::ptr::null() } else { row.as_ptr() };
    let (rows, cols, stride) = (matrix.rows(), matrix.cols(), matrix.stride());
    lowrank_matrix { size: size_of::<lowrank_matrix>(), data, rows, cols, stride }
}

/// The adapter where it lies, which may be flash.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_NOT_IN_PLACE: use `lowrank_entry_load`. As `lowrank_encoded_len` for an entry that is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_entry_adapter(
    entry: *const lowrank_entry,
    adapter: *mut lowrank_adapter,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (entry, StructMut(LOWRANK_ARGUMENT_ADAPTER, adapter)), |(entry, into)| {
        let not_in_place = |_| Fault::new(LOWRANK_NOT_IN_PLACE, LOWRANK_ARGUMENT_ENTRY, 0, 0);
        let adapter = entry.adapter().map_err(not_in_place)?;
        let none =
            lowrank_matrix { size: size_of::<lowrank_matrix>(), data: core::ptr::null(), rows: 0, cols: 0, stride: 0 };
        *into = lowrank_adapter {
            size: size_of::<lowrank_adapter>(),
            a: in_place(adapter.a),
            b: in_place(adapter.b),
            bias: adapter.bias.map_or(none, in_place),
            scale: adapter.scale,
        };
        Ok(())
    })
}

/// An adapter whose scale is written, too.
#[derive(Copy, Clone)]
struct Loaded(*mut lowrank_adapter_mut);

impl<'c> Passed<'c> for Loaded {
    type View = (lowrank::AdapterMut<'c>, &'c mut f32);

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let adapter = unsafe { memory.structure(LOWRANK_ARGUMENT_ADAPTER, self.0.cast_const(), true) };
        let Some(adapter) = adapter else { return };
        // SAFETY: no pointer to a struct in it.
        unsafe { adapter.parts().note(memory) };
    }

    unsafe fn view(self) -> Result<Self::View, Fault> {
        // SAFETY: noted.
        let into = unsafe { &mut *self.0 };
        // SAFETY: noted.
        let (a, b, bias) = unsafe { into.parts().view() }?;
        Ok((lowrank::AdapterMut { a, b, bias, scale: into.scale }, &mut into.scale))
    }
}

/// Copies A, B, the bias and the scale into an adapter of the same shape, and widens them to f32.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_ROWS, LOWRANK_COLS; LOWRANK_MISSING when there is a bias and the adapter has no room for it, which it never has for
/// one of B; LOWRANK_UNEXPECTED when it has room and there is no bias.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_entry_load(
    entry: *const lowrank_entry,
    adapter: *mut lowrank_adapter_mut,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (entry, Loaded(adapter)), |(entry, (mut adapter, scale))| {
        entry.load(&mut adapter)?;
        *scale = adapter.scale;
        Ok(())
    })
}

/// Copies moments and clock into a state that was made for the same shape, optimizer and parameters: training goes on with the
/// same bits.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_ROWS and LOWRANK_COLS when it was made for others; LOWRANK_MISSING when the entry has no state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_entry_restore(
    entry: *const lowrank_entry,
    state: *mut lowrank_state,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (entry, state), |(entry, mut view)| {
        let training = entry.training.ok_or(lowrank::Error::Missing { argument: lowrank::Argument::State })?;
        training.restore(&mut view.state)?;
        view.keep();
        Ok(())
    })
}

/// Makes an entry of an adapter, to be written: id 0, its scale as it is, no state of an optimizer, no random numbers.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_STRIDE when A, B or the bias has gaps between its rows; LOWRANK_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_entry_of(
    name: *const c_char,
    name_len: usize,
    adapter: *const lowrank_adapter,
    entry: *mut lowrank_entry,
    error: *mut lowrank_error,
) -> lowrank_status {
    let text = Slice(LOWRANK_ARGUMENT_NAME, name.cast::<u8>(), name_len);
    crate::call!(error, (text, adapter, StructMut(LOWRANK_ARGUMENT_ENTRY, entry)), |(text, adapter, into)| {
        let text = core::str::from_utf8(text);
        let text = text.map_err(|_| Fault::new(LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_NAME, 0, name_len))?;
        let a = lowrank_tensor::of_matrix(LOWRANK_ARGUMENT_A, adapter.a)?;
        let b = lowrank_tensor::of_matrix(LOWRANK_ARGUMENT_B, adapter.b)?;
        let bias = match adapter.bias {
            Some(bias) => lowrank_tensor::of_matrix(LOWRANK_ARGUMENT_BIAS, bias)?,
            None => lowrank_tensor::ABSENT,
        };
        *into = lowrank_entry { a, b, bias, ..lowrank_entry::of(&Entry::of(text, &adapter)) };
        Ok(())
    })
}

/// Adds the state of an optimizer to an entry, to be written. `optimizer` and `trained` are those of the plan.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_STRIDE when a moment has gaps between its rows; LOWRANK_UNKNOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_entry_keep(
    entry: *mut lowrank_entry,
    state: *mut lowrank_state,
    optimizer: u32,
    trained: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (StructMut(LOWRANK_ARGUMENT_ENTRY, entry), state), |(into, view)| {
        crate::plan::optimizer(optimizer)?;
        crate::plan::trained(trained)?;
        let lowrank::train::State { a, b, bias, clock } = &view.state;
        let mut moments = [lowrank_tensor::ABSENT; 6];
        let matrices = [&a.first, &a.second, &b.first, &b.second, &bias.first, &bias.second];
        for (to, matrix) in moments.iter_mut().zip(matrices) {
            *to = lowrank_tensor::of_matrix(LOWRANK_ARGUMENT_STATE, matrix.as_ref())?;
        }
        *into = lowrank_entry { optimizer, trained, clock: lowrank_clock::of(*clock), moments, ..*into };
        Ok(())
    })
}
