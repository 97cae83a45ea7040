//! The adapter file: reading it where it lies, and writing it.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use lowrank::format::{AdapterFile, Contents, Fingerprint, Layer, RandomState, Tensor, Training};
use lowrank::{Dtype, MatRef};

use crate::codes::*;
use crate::error::{Fault, lowrank_error};
use crate::matrix::{lowrank_adapter, lowrank_adapter_mut, lowrank_base, lowrank_matrix};
use crate::memory::{Memory, Number, Passed, Slice, SliceMut, StructMut, slice, slice_mut, structures};
use crate::passes::scale_of;
use crate::plan::{optimizer, optimizer_code, trained};
use crate::saved::{lowrank_clock, lowrank_state};

/// A matrix of a file: row-major, without gaps. Left out when `data` is null.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_tensor {
    /// Bytes of this struct.
    pub size: usize,
    /// The numbers, little-endian. At any address when they come from a file, at a multiple of 4 (16 bits: 1) to be written.
    pub data: *const core::ffi::c_void,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// LOWRANK_F32, LOWRANK_F16 or LOWRANK_BF16.
    pub dtype: u32,
}

/// Where the random numbers of a layer stand, and its dropout. All 0 where there are none.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_random_state {
    /// Bytes of this struct.
    pub size: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the training step.
    pub step: u32,
    /// Number of the layer or stream.
    pub stream: u32,
    /// Probability of dropout, from 0 to below 1.
    pub dropout: f32,
}

/// One adapted layer of a file. Its pointers point into the file, or to what is to be written.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_layer {
    /// Bytes of this struct; to be set before a call that fills it.
    pub size: usize,
    /// Its name in UTF-8, without a zero byte at the end.
    pub name: *const c_char,
    /// Bytes of the name.
    pub name_len: usize,
    /// A number that tells layers of one name apart.
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
    /// Whose state is stored: LOWRANK_ADAMW, ...; LOWRANK_NONE where none is.
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

/// What the header of a file says.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_file {
    /// Bytes of this struct; to be set before the call.
    pub size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Text in UTF-8 that this library does not interpret, without a zero byte at the end.
    pub metadata: *const c_char,
    /// Bytes of the metadata.
    pub metadata_len: usize,
    /// The fingerprint of the base; 0 when it is not known.
    pub fingerprint: u64,
    /// The number of the save. It wraps.
    pub generation: u32,
}

/// What is to be written into a file.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_contents {
    /// Bytes of this struct.
    pub size: usize,
    /// Ascending by name and then by id.
    pub layers: *const lowrank_layer,
    /// Number of layers.
    pub layers_len: usize,
    /// Text in UTF-8; null when there is none.
    pub metadata: *const c_char,
    /// Bytes of the metadata.
    pub metadata_len: usize,
    /// The fingerprint of the base; 0 when it is not known.
    pub fingerprint: u64,
    /// The number of the save. Not looked at by `lowrank_store_save`, which counts itself.
    pub generation: u32,
    /// Working memory of a call: at a multiple of 8. What is in it before and afterwards does not matter.
    pub room: *mut u64,
    /// Elements of the room: at least LOWRANK_LAYER_ROOM for each layer.
    pub room_len: usize,
}

structures!(lowrank_tensor lowrank_random_state lowrank_layer lowrank_file lowrank_contents);

const _: () = assert!(size_of::<Layer<'_>>() <= LOWRANK_LAYER_ROOM * size_of::<u64>());
const _: () = assert!(align_of::<Layer<'_>>() <= align_of::<u64>());

const fn dtype_code(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => LOWRANK_F32,
        Dtype::F16 => LOWRANK_F16,
        Dtype::Bf16 => LOWRANK_BF16,
    }
}

impl lowrank_tensor {
    const ABSENT: Self =
        Self { size: size_of::<Self>(), data: core::ptr::null(), rows: 0, cols: 0, dtype: LOWRANK_F32 };

    fn of(tensor: Tensor<'_>) -> Self {
        let (rows, cols, dtype) = (tensor.rows(), tensor.cols(), dtype_code(tensor.dtype()));
        let data = match tensor.bytes() {
            Some(bytes) if !bytes.is_empty() => bytes.as_ptr().cast(),
            _ => core::ptr::null(),
        };
        Self { size: size_of::<Self>(), data, rows, cols, dtype }
    }

    fn maybe(tensor: Option<Tensor<'_>>) -> Self {
        tensor.map_or(Self::ABSENT, Self::of)
    }

    fn of_matrix(argument: u32, matrix: MatRef<'_>) -> Result<Self, Fault> {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        if matrix.stride() != cols {
            return Err(Fault::new(LOWRANK_STRIDE, argument, cols, matrix.stride()));
        }
        let row = matrix.row(0);
        let data = if row.is_empty() { core::ptr::null() } else { row.as_ptr().cast() };
        Ok(Self { size: size_of::<Self>(), data, rows, cols, dtype: LOWRANK_F32 })
    }

    fn dtype(&self) -> Result<Dtype, Fault> {
        match self.dtype {
            LOWRANK_F32 => Ok(Dtype::F32),
            LOWRANK_F16 => Ok(Dtype::F16),
            LOWRANK_BF16 => Ok(Dtype::Bf16),
            got => Err(Fault::unknown(LOWRANK_ARGUMENT_DTYPE, got)),
        }
    }

    fn bytes(&self, argument: u32) -> Result<usize, Fault> {
        let bytes = self.rows.checked_mul(self.cols).and_then(|n| n.checked_mul(self.dtype().map_or(4, Dtype::size)));
        bytes.ok_or(Fault::new(LOWRANK_WRAPS, argument, isize::MAX as usize, usize::MAX))
    }

    fn note(&self, argument: u32, memory: &mut Memory) -> Result<(), Fault> {
        if self.data.is_null() {
            return Ok(());
        }
        if self.size != size_of::<Self>() {
            return Err(Fault::new(LOWRANK_STRUCT_SIZE, argument, size_of::<Self>(), self.size));
        }
        self.dtype()?;
        memory.bytes(argument, self.data.addr(), self.bytes(argument)?, 1, false)
    }

    /// # Safety
    /// Noted.
    unsafe fn view<'c>(&self, argument: u32) -> Result<Option<Tensor<'c>>, Fault> {
        if self.data.is_null() {
            return Ok(None);
        }
        // SAFETY: noted, with this length.
        let bytes = unsafe { slice(self.data.cast(), self.bytes(argument)?) };
        Ok(Some(Tensor::from_bytes(self.dtype()?, self.rows, self.cols, bytes)?))
    }
}

/// # Safety
/// Noted.
unsafe fn text<'c>(argument: u32, start: *const c_char, len: usize) -> Result<&'c str, Fault> {
    // SAFETY: noted, with this length.
    let bytes = unsafe { slice(start.cast(), len) };
    core::str::from_utf8(bytes).map_err(|_| Fault::new(LOWRANK_NOT_UTF8, argument, 0, len))
}

impl lowrank_layer {
    fn tensors(&self) -> impl Iterator<Item = (u32, &lowrank_tensor)> {
        let named = [
            (LOWRANK_ARGUMENT_A, &self.a),
            (LOWRANK_ARGUMENT_B, &self.b),
            (LOWRANK_ARGUMENT_BIAS, &self.bias),
            (LOWRANK_ARGUMENT_B_BIAS, &self.b_bias),
        ];
        named.into_iter().chain(self.moments.iter().map(|moment| (LOWRANK_ARGUMENT_STATE, moment)))
    }

    fn note_parts(&self, memory: &mut Memory) -> Result<(), Fault> {
        memory.elements(LOWRANK_ARGUMENT_NAME, self.name, self.name_len, false)?;
        self.tensors().try_for_each(|(argument, tensor)| tensor.note(argument, memory))
    }

    fn of(layer: &Layer<'_>) -> Self {
        let (scale_mode, alpha) = match layer.scale {
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
        let training = layer.training.unwrap_or(none);
        let trained = if training.trained.a { LOWRANK_TRAINS_A } else { 0 }
            | if training.trained.bias { LOWRANK_TRAINS_BIAS } else { 0 };
        let RandomState { seed, step, stream, dropout } = layer.random;
        Self {
            size: size_of::<Self>(),
            name: layer.name.as_ptr().cast(),
            name_len: layer.name.len(),
            id: layer.id,
            scale_mode,
            alpha,
            fan_in_fan_out: u32::from(layer.fan_in_fan_out),
            a: lowrank_tensor::of(layer.a),
            b: lowrank_tensor::of(layer.b),
            bias: lowrank_tensor::maybe(layer.bias),
            b_bias: lowrank_tensor::maybe(layer.b_bias),
            optimizer: layer.training.map_or(LOWRANK_NONE, |training| optimizer_code(training.optimizer)),
            trained,
            clock: lowrank_clock::of(training.clock),
            moments: training.moments.map(lowrank_tensor::of),
            random: lowrank_random_state { size: size_of::<lowrank_random_state>(), seed, step, stream, dropout },
        }
    }

    /// # Safety
    /// Noted.
    unsafe fn get<'c>(&self) -> Result<Layer<'c>, Fault> {
        // SAFETY: noted.
        let name = unsafe { text(LOWRANK_ARGUMENT_NAME, self.name, self.name_len) }?;
        let mut tensors = [None; 10];
        for (to, (argument, tensor)) in tensors.iter_mut().zip(self.tensors()) {
            // SAFETY: noted.
            *to = unsafe { tensor.view(argument) }?;
        }
        let [a, b, bias, b_bias, moments @ ..] = tensors;
        if self.fan_in_fan_out > 1 {
            return Err(Fault::unknown(LOWRANK_ARGUMENT_LAYER, self.fan_in_fan_out));
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
        let lowrank_random_state { size, seed, step, stream, dropout } = self.random;
        if size != size_of::<lowrank_random_state>() {
            let expected = size_of::<lowrank_random_state>();
            return Err(Fault::new(LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_RNG, expected, size));
        }
        Ok(Layer {
            name,
            id: self.id,
            scale: scale_of(self.scale_mode, self.alpha)?,
            a: a.ok_or(lowrank::Error::Missing { argument: lowrank::Argument::A })?,
            b: b.ok_or(lowrank::Error::Missing { argument: lowrank::Argument::B })?,
            bias,
            b_bias,
            fan_in_fan_out: self.fan_in_fan_out == 1,
            training,
            random: RandomState { seed, step, stream, dropout },
        })
    }
}

impl<'c> Passed<'c> for *const lowrank_layer {
    type View = Layer<'c>;

    unsafe fn note(self, memory: &mut Memory) -> Result<(), Fault> {
        // SAFETY: the caller's word.
        let layer = unsafe { memory.structure(LOWRANK_ARGUMENT_LAYER, self, false) }?;
        layer.note_parts(memory)
    }

    unsafe fn view(self) -> Result<Layer<'c>, Fault> {
        // SAFETY: noted.
        let layer = unsafe { &*self };
        // SAFETY: noted.
        unsafe { layer.get() }
    }
}

/// Layers as the core wants them, made in the room of the contents. To be passed as the last argument, since the layers are
/// compared with what was noted before them.
impl<'c> Passed<'c> for *const lowrank_contents {
    type View = Contents<'c>;

    unsafe fn note(self, memory: &mut Memory) -> Result<(), Fault> {
        // SAFETY: the caller's word.
        let contents = unsafe { memory.structure(LOWRANK_ARGUMENT_CONTENTS, self, false) }?;
        let needed = contents.layers_len.saturating_mul(LOWRANK_LAYER_ROOM);
        if contents.room_len < needed {
            return Err(Fault::new(LOWRANK_LENGTH, LOWRANK_ARGUMENT_ROOM, needed, contents.room_len));
        }
        memory.elements(LOWRANK_ARGUMENT_ROOM, contents.room.cast_const(), contents.room_len, true)?;
        memory.elements(LOWRANK_ARGUMENT_METADATA, contents.metadata, contents.metadata_len, false)?;
        memory.elements(LOWRANK_ARGUMENT_LAYERS, contents.layers, contents.layers_len, false)?;
        // SAFETY: not null and aligned; the caller's word for the length.
        let layers = unsafe { slice(contents.layers, contents.layers_len) };
        for layer in layers {
            if layer.size != size_of::<lowrank_layer>() {
                let expected = size_of::<lowrank_layer>();
                return Err(Fault::new(LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_LAYERS, expected, layer.size));
            }
            memory.apart(|memory| layer.note_parts(memory))?;
        }
        Ok(())
    }

    unsafe fn view(self) -> Result<Contents<'c>, Fault> {
        // SAFETY: noted.
        let contents = unsafe { &*self };
        // SAFETY: noted.
        let layers = unsafe { slice(contents.layers, contents.layers_len) };
        // SAFETY: noted: aligned, apart from all else, and with room for as many layers.
        let room = unsafe { slice_mut(contents.room.cast::<MaybeUninit<Layer<'c>>>(), contents.layers_len) };
        for (to, layer) in room.iter_mut().zip(layers) {
            // SAFETY: noted.
            to.write(unsafe { layer.get() }?);
        }
        // SAFETY: every one of them was written right above.
        let layers = unsafe { slice(room.as_ptr().cast::<Layer<'c>>(), room.len()) };
        // SAFETY: noted.
        let metadata = unsafe { text(LOWRANK_ARGUMENT_METADATA, contents.metadata, contents.metadata_len) }?;
        Ok(Contents { layers, metadata, fingerprint: contents.fingerprint, generation: contents.generation })
    }
}

/// A file, from its first byte to its last.
fn file(bytes: *const u8, len: usize) -> Slice<u8> {
    Slice(LOWRANK_ARGUMENT_FILE, bytes, len)
}

/// Checks a file from its first byte to its last, in a time that is linear in its length. The bytes may lie at any address, in
/// flash as well; at a multiple of 4 (of 16, best), numbers in f32 can be used where they are.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_parse(
    bytes: *const u8,
    len: usize,
    into: *mut lowrank_file,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (file(bytes, len), StructMut(LOWRANK_ARGUMENT_FILE, into)), |(bytes, into)| {
        let file = AdapterFile::parse(bytes)?;
        *into = lowrank_file {
            size: size_of::<lowrank_file>(),
            layers: file.layers().len(),
            metadata: file.metadata().as_ptr().cast(),
            metadata_len: file.metadata().len(),
            fingerprint: file.fingerprint(),
            generation: file.generation(),
        };
        Ok(())
    })
}

fn fill(into: &mut lowrank_layer, layer: Option<Layer<'_>>) -> Result<(), Fault> {
    *into = lowrank_layer::of(&layer.ok_or(Fault::new(LOWRANK_NOT_FOUND, LOWRANK_ARGUMENT_LAYER, 0, 0))?);
    Ok(())
}

/// Layer number `index` of a file. Each such call checks the whole file, as `lowrank_parse` does.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE, LOWRANK_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_at(
    bytes: *const u8,
    len: usize,
    index: usize,
    layer: *mut lowrank_layer,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (file(bytes, len), StructMut(LOWRANK_ARGUMENT_LAYER, layer)), |(bytes, into)| {
        fill(into, AdapterFile::parse(bytes)?.layer(index))
    })
}

/// The layer of this name, of several the one with the smallest id.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE, LOWRANK_NOT_FOUND, LOWRANK_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_find(
    bytes: *const u8,
    len: usize,
    name: *const c_char,
    name_len: usize,
    layer: *mut lowrank_layer,
    error: *mut lowrank_error,
) -> lowrank_status {
    let name = Slice(LOWRANK_ARGUMENT_NAME, name.cast::<u8>(), name_len);
    crate::call!(error, (file(bytes, len), name, StructMut(LOWRANK_ARGUMENT_LAYER, layer)), |(bytes, name, into)| {
        let name = core::str::from_utf8(name);
        let name = name.map_err(|_| Fault::new(LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_NAME, 0, name_len))?;
        fill(into, AdapterFile::parse(bytes)?.find(name))
    })
}

/// The first layer with this id.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE, LOWRANK_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_find_id(
    bytes: *const u8,
    len: usize,
    id: u32,
    layer: *mut lowrank_layer,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (file(bytes, len), StructMut(LOWRANK_ARGUMENT_LAYER, layer)), |(bytes, into)| {
        fill(into, AdapterFile::parse(bytes)?.find_id(id))
    })
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
/// LOWRANK_NOT_IN_PLACE: use `lowrank_layer_load`. As `lowrank_encoded_len` for a layer that is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_adapter(
    layer: *const lowrank_layer,
    adapter: *mut lowrank_adapter,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (layer, StructMut(LOWRANK_ARGUMENT_ADAPTER, adapter)), |(layer, into)| {
        let adapter = layer.adapter().ok_or(Fault::new(LOWRANK_NOT_IN_PLACE, LOWRANK_ARGUMENT_LAYER, 0, 0))?;
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

    unsafe fn note(self, memory: &mut Memory) -> Result<(), Fault> {
        // SAFETY: the caller's word.
        let adapter = unsafe { memory.structure(LOWRANK_ARGUMENT_ADAPTER, self.0.cast_const(), true) }?;
        // SAFETY: no pointer to a struct in it.
        unsafe { adapter.parts().note(memory) }
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
pub unsafe extern "C" fn lowrank_layer_load(
    layer: *const lowrank_layer,
    adapter: *mut lowrank_adapter_mut,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (layer, Loaded(adapter)), |(layer, (mut adapter, scale))| {
        layer.load(&mut adapter)?;
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
/// LOWRANK_ROWS and LOWRANK_COLS when it was made for others; LOWRANK_MISSING when the layer has no state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_restore(
    layer: *const lowrank_layer,
    state: *mut lowrank_state,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (layer, state), |(layer, mut view)| {
        let training = layer.training.ok_or(lowrank::Error::Missing { argument: lowrank::Argument::State })?;
        training.restore(&mut view.state)?;
        view.keep();
        Ok(())
    })
}

/// Makes a layer of an adapter, to be written: id 0, its scale as it is, no state of an optimizer, no random numbers.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_STRIDE when A, B or the bias has gaps between its rows; LOWRANK_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_of(
    name: *const c_char,
    name_len: usize,
    adapter: *const lowrank_adapter,
    layer: *mut lowrank_layer,
    error: *mut lowrank_error,
) -> lowrank_status {
    let text = Slice(LOWRANK_ARGUMENT_NAME, name.cast::<u8>(), name_len);
    crate::call!(error, (text, adapter, StructMut(LOWRANK_ARGUMENT_LAYER, layer)), |(text, adapter, into)| {
        let text = core::str::from_utf8(text);
        let text = text.map_err(|_| Fault::new(LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_NAME, 0, name_len))?;
        let a = lowrank_tensor::of_matrix(LOWRANK_ARGUMENT_A, adapter.a)?;
        let b = lowrank_tensor::of_matrix(LOWRANK_ARGUMENT_B, adapter.b)?;
        let bias = match adapter.bias {
            Some(bias) => lowrank_tensor::of_matrix(LOWRANK_ARGUMENT_BIAS, bias)?,
            None => lowrank_tensor::ABSENT,
        };
        *into = lowrank_layer { a, b, bias, ..lowrank_layer::of(&Layer::of(text, &adapter)) };
        Ok(())
    })
}

/// Adds the state of an optimizer to a layer, to be written. `optimizer` and `trained` are those of the plan.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_STRIDE when a moment has gaps between its rows; LOWRANK_UNKNOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_layer_keep(
    layer: *mut lowrank_layer,
    state: *mut lowrank_state,
    optimizer: u32,
    trained: u32,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (StructMut(LOWRANK_ARGUMENT_LAYER, layer), state), |(into, view)| {
        crate::plan::optimizer(optimizer)?;
        crate::plan::trained(trained)?;
        let lowrank::train::State { a, b, bias, clock } = &view.state;
        let mut moments = [lowrank_tensor::ABSENT; 6];
        let matrices = [&a.first, &a.second, &b.first, &b.second, &bias.first, &bias.second];
        for (to, matrix) in moments.iter_mut().zip(matrices) {
            *to = lowrank_tensor::of_matrix(LOWRANK_ARGUMENT_STATE, matrix.as_ref())?;
        }
        *into = lowrank_layer { optimizer, trained, clock: lowrank_clock::of(*clock), moments, ..*into };
        Ok(())
    })
}

/// Bytes of the file that contents give.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_FILE with the place that the flaw would have in the file; LOWRANK_OVERFLOW; LOWRANK_LENGTH for a room that is too
/// short; LOWRANK_MISSING, LOWRANK_UNKNOWN, LOWRANK_NOT_UTF8 for a layer that is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_encoded_len(
    contents: *const lowrank_contents,
    len: *mut usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (Number(len), contents), |(len, contents)| {
        *len = contents.encoded_len()?;
        Ok(())
    })
}

/// Writes a file to the start of `bytes`, and its length to `written`. What lies behind it stays as it is.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// As `lowrank_encoded_len`; LOWRANK_TOO_MANY when there are too few bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_emit(
    contents: *const lowrank_contents,
    bytes: *mut u8,
    len: usize,
    written: *mut usize,
    error: *mut lowrank_error,
) -> lowrank_status {
    let out = SliceMut(LOWRANK_ARGUMENT_FILE, bytes, len);
    crate::call!(error, (out, Number(written), contents), |(out, written, contents)| {
        *written = contents.emit(out)?;
        Ok(())
    })
}

/// A fingerprint of the frozen base, so that an adapter is not put on a base that it was not trained on.
///
/// # Safety
/// As the page of the header says of pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_fingerprint(
    base: *const lowrank_base,
    fingerprint: *mut u64,
    error: *mut lowrank_error,
) -> lowrank_status {
    crate::call!(error, (base, Number(fingerprint)), |(base, fingerprint)| {
        *fingerprint = Fingerprint::of(&base);
        Ok(())
    })
}
