//! Matrices, and the structs that are made of matrices: base, adapter, gradients, what flows through a layer.

use lowrank::{Accum, Adapter, AdapterMut, Backprop, Base, Error, Grads, MatMut, MatRef, Packed, Weights};

use crate::codes::*;
use crate::error::Fault;
use crate::memory::{Memory, Passed, slice, slice_mut, structures};
use crate::named::lowrank_code;

/// A matrix `[rows, cols]` that is only read: element (i, j) is `data[i * stride + j]`. It may lie in flash.
///
/// Where a matrix may be left out, it is when `data` is null; the other fields are not looked at then.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_matrix {
    /// Bytes of this struct.
    pub size: usize,
    /// Its first element, at a multiple of 4. May be null where there are no elements.
    pub data: *const f32,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from the start of one row to the start of the next, at least `cols`.
    pub stride: usize,
}

/// A matrix `[rows, cols]` that is read and written; the fields are those of `lowrank_matrix`.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_matrix_mut {
    /// Bytes of this struct.
    pub size: usize,
    /// Its first element.
    pub data: *mut f32,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from the start of one row to the start of the next.
    pub stride: usize,
}

/// The frozen layer: W [out, in] and its bias [out].
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_base {
    /// Bytes of this struct.
    pub size: usize,
    /// W in rows, or in panels as `lowrank_pack` writes them.
    pub weights: *const f32,
    /// Rows of W.
    pub outputs: usize,
    /// Columns of W.
    pub inputs: usize,
    /// Elements from the start of one row to the start of the next. Not looked at where W is in panels.
    pub stride: usize,
    /// Outputs in a panel, as `lowrank_pack` or `lowrank_base_panels` has set it; 0 where W is in rows.
    pub panel_width: usize,
    /// What reads panels, set by these calls.
    pub panels: lowrank_code,
    /// As many elements as there are outputs; null where there is no bias.
    pub bias: *const f32,
}

/// An adapter that is only read. It may lie in flash.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_adapter {
    /// Bytes of this struct.
    pub size: usize,
    /// A [r, in].
    pub a: lowrank_matrix,
    /// B [out, r].
    pub b: lowrank_matrix,
    /// A trained bias [1, out] that takes the place of the base's. May be left out.
    pub bias: lowrank_matrix,
    /// The factor s.
    pub scale: f32,
}

/// An adapter in training; the fields are those of `lowrank_adapter`.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_adapter_mut {
    /// Bytes of this struct.
    pub size: usize,
    /// A [r, in].
    pub a: lowrank_matrix_mut,
    /// B [out, r].
    pub b: lowrank_matrix_mut,
    /// A trained bias [1, out]. May be left out.
    pub bias: lowrank_matrix_mut,
    /// The factor s.
    pub scale: f32,
}

/// Gradients of an adapter.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_grads {
    /// Bytes of this struct.
    pub size: usize,
    /// dA [r, in]. Left out where A is frozen.
    pub a: lowrank_matrix_mut,
    /// dB [out, r].
    pub b: lowrank_matrix_mut,
    /// db [1, out]. Left out where the bias is frozen.
    pub bias: lowrank_matrix_mut,
    /// What the next backward pass does with the old content: LOWRANK_REPLACE or LOWRANK_ACCUMULATE.
    pub accumulate: u32,
}

/// What flows through a layer in the backward pass.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct lowrank_backprop {
    /// Bytes of this struct.
    pub size: usize,
    /// X [n, in] of the forward pass. May be left out where A is frozen.
    pub x: lowrank_matrix,
    /// dY [n, out], the gradient of the loss with respect to the layer's output.
    pub dy: lowrank_matrix,
    /// Receives dX [n, in]. Left out where nothing below is trained: then W is not read.
    pub dx: lowrank_matrix_mut,
}

structures!(lowrank_matrix lowrank_matrix_mut lowrank_base lowrank_adapter lowrank_adapter_mut lowrank_grads
    lowrank_backprop);

/// A matrix that is read, and what it is.
#[derive(Copy, Clone)]
pub(crate) struct In(pub u32, pub lowrank_matrix);

/// A matrix that is written, and what it is.
#[derive(Copy, Clone)]
pub(crate) struct Out(pub u32, pub lowrank_matrix_mut);

/// A matrix that may be left out.
#[derive(Copy, Clone)]
pub(crate) struct Maybe<M>(pub M);

/// Elements from the first to the last one of a matrix. `None` when they cannot be counted.
const fn span(rows: usize, cols: usize, stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    match (rows - 1).checked_mul(stride) {
        Some(before) => before.checked_add(cols),
        None => None,
    }
}

impl lowrank_matrix_mut {
    const fn as_const(&self) -> lowrank_matrix {
        let Self { size, data, rows, cols, stride } = *self;
        lowrank_matrix { size, data: data.cast_const(), rows, cols, stride }
    }
}

impl lowrank_matrix {
    #[inline(never)]
    fn note(&self, argument: u32, written: bool, memory: &mut Memory) {
        if self.size != size_of::<Self>() {
            return memory.refuse(Fault::new(LOWRANK_STRUCT_SIZE, argument, size_of::<Self>(), self.size));
        }
        if self.stride < self.cols {
            return memory.refuse(Fault::new(LOWRANK_STRIDE, argument, self.cols, self.stride));
        }
        let len = span(self.rows, self.cols, self.stride).unwrap_or(usize::MAX);
        memory.elements(argument, self.data, len, written);
    }

    fn len(&self) -> usize {
        span(self.rows, self.cols, self.stride).unwrap_or(0)
    }
}

impl<'c> Passed<'c> for In {
    type View = MatRef<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        self.1.note(self.0, false, memory);
    }

    unsafe fn view(self) -> Result<MatRef<'c>, Fault> {
        let In(_, matrix) = self;
        // SAFETY: noted, with this length.
        let data = unsafe { slice(matrix.data, matrix.len()) };
        Ok(MatRef::with_stride(data, matrix.rows, matrix.cols, matrix.stride)?)
    }
}

impl<'c> Passed<'c> for Out {
    type View = MatMut<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        self.1.as_const().note(self.0, true, memory);
    }

    unsafe fn view(self) -> Result<MatMut<'c>, Fault> {
        let Out(_, matrix) = self;
        // SAFETY: noted, with this length.
        let data = unsafe { slice_mut(matrix.data, matrix.as_const().len()) };
        Ok(MatMut::with_stride(data, matrix.rows, matrix.cols, matrix.stride)?)
    }
}

impl Maybe<In> {
    fn given(self) -> Option<In> {
        (!self.0.1.data.is_null()).then_some(self.0)
    }
}

impl Maybe<Out> {
    fn given(self) -> Option<Out> {
        (!self.0.1.data.is_null()).then_some(self.0)
    }
}

macro_rules! maybe {
    ($($kind:ident: $view:ident)*) => {
        $(
            impl<'c> Passed<'c> for Maybe<$kind> {
                type View = Option<$view<'c>>;

                unsafe fn note(self, memory: &mut Memory) {
                    if let Some(matrix) = self.given() {
                        // SAFETY: the caller's word.
                        unsafe { matrix.note(memory) };
                    }
                }

                unsafe fn view(self) -> Result<Self::View, Fault> {
                    match self.given() {
                        // SAFETY: the caller's word.
                        Some(matrix) => Ok(Some(unsafe { matrix.view() }?)),
                        None => Ok(None),
                    }
                }
            }
        )*
    };
}
maybe! { In: MatRef Out: MatMut }

impl lowrank_base {
    /// Where the weights are, as a matrix in rows: panels have the same length as dense rows.
    fn weights(&self) -> In {
        let stride = if self.panel_width == 0 { self.stride } else { self.inputs };
        let size = size_of::<lowrank_matrix>();
        In(
            LOWRANK_ARGUMENT_W,
            lowrank_matrix { size, data: self.weights, rows: self.outputs, cols: self.inputs, stride },
        )
    }
}

impl<'c> Passed<'c> for *const lowrank_base {
    type View = Base<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let Some(base) = (unsafe { memory.structure(LOWRANK_ARGUMENT_BASE, self, false) }) else { return };
        // SAFETY: no pointer to a struct in it.
        unsafe { base.weights().note(memory) };
        let biases = if base.bias.is_null() { 0 } else { base.outputs };
        memory.elements(LOWRANK_ARGUMENT_BIAS, base.bias, biases, false);
    }

    unsafe fn view(self) -> Result<Base<'c>, Fault> {
        // SAFETY: noted.
        let base = unsafe { &*self };
        let In(_, rows) = base.weights();
        let weights = if base.panel_width == 0 {
            // SAFETY: noted.
            unsafe { base.weights().view() }?.into()
        } else {
            // SAFETY: noted, with this length.
            let data = unsafe { slice(base.weights, rows.len()) };
            base.panels.panels()?(data, (base.outputs, base.inputs), base.panel_width)?
        };
        // SAFETY: noted, with this length.
        let bias = || MatRef::from_row(unsafe { slice(base.bias, base.outputs) });
        Ok(Base { weights, bias: (!base.bias.is_null()).then(bias) })
    }
}

impl lowrank_adapter {
    fn parts(&self) -> (In, In, Maybe<In>) {
        (In(LOWRANK_ARGUMENT_A, self.a), In(LOWRANK_ARGUMENT_B, self.b), Maybe(In(LOWRANK_ARGUMENT_BIAS, self.bias)))
    }
}

impl<'c> Passed<'c> for *const lowrank_adapter {
    type View = Adapter<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let Some(adapter) = (unsafe { memory.structure(LOWRANK_ARGUMENT_ADAPTER, self, false) }) else { return };
        // SAFETY: no pointer to a struct in it.
        unsafe { adapter.parts().note(memory) };
    }

    unsafe fn view(self) -> Result<Adapter<'c>, Fault> {
        // SAFETY: noted.
        let adapter = unsafe { &*self };
        // SAFETY: noted.
        let (a, b, bias) = unsafe { adapter.parts().view() }?;
        Ok(Adapter { a, b, bias, scale: adapter.scale })
    }
}

impl lowrank_adapter_mut {
    pub(crate) fn parts(&self) -> (Out, Out, Maybe<Out>) {
        let (a, b, bias) = (LOWRANK_ARGUMENT_A, LOWRANK_ARGUMENT_B, LOWRANK_ARGUMENT_BIAS);
        (Out(a, self.a), Out(b, self.b), Maybe(Out(bias, self.bias)))
    }
}

impl<'c> Passed<'c> for *const lowrank_adapter_mut {
    type View = AdapterMut<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let Some(adapter) = (unsafe { memory.structure(LOWRANK_ARGUMENT_ADAPTER, self, false) }) else { return };
        // SAFETY: no pointer to a struct in it.
        unsafe { adapter.parts().note(memory) };
    }

    unsafe fn view(self) -> Result<AdapterMut<'c>, Fault> {
        // SAFETY: noted.
        let adapter = unsafe { &*self };
        // SAFETY: noted.
        let (a, b, bias) = unsafe { adapter.parts().view() }?;
        Ok(AdapterMut { a, b, bias, scale: adapter.scale })
    }
}

pub(crate) fn accum_of(code: u32) -> Result<Accum, Fault> {
    match code {
        LOWRANK_REPLACE => Ok(Accum::Replace),
        LOWRANK_ACCUMULATE => Ok(Accum::Add),
        got => Err(Fault::unknown(LOWRANK_ARGUMENT_ACCUMULATE, got)),
    }
}

impl lowrank_grads {
    fn parts(&self) -> (Maybe<Out>, Out, Maybe<Out>) {
        let (a, b, bias) = (LOWRANK_ARGUMENT_DA, LOWRANK_ARGUMENT_DB, LOWRANK_ARGUMENT_DBIAS);
        (Maybe(Out(a, self.a)), Out(b, self.b), Maybe(Out(bias, self.bias)))
    }
}

impl<'c> Passed<'c> for *const lowrank_grads {
    type View = Grads<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let Some(grads) = (unsafe { memory.structure(LOWRANK_ARGUMENT_GRADS, self, false) }) else { return };
        // SAFETY: no pointer to a struct in it.
        unsafe { grads.parts().note(memory) };
    }

    unsafe fn view(self) -> Result<Grads<'c>, Fault> {
        // SAFETY: noted.
        let grads = unsafe { &*self };
        // SAFETY: noted.
        let (a, b, bias) = unsafe { grads.parts().view() }?;
        Ok(Grads { a, b, bias, accum: accum_of(grads.accumulate)? })
    }
}

impl lowrank_backprop {
    fn parts(&self) -> (Maybe<In>, In, Maybe<Out>) {
        let (x, dy, dx) = (LOWRANK_ARGUMENT_X, LOWRANK_ARGUMENT_DY, LOWRANK_ARGUMENT_DX);
        (Maybe(In(x, self.x)), In(dy, self.dy), Maybe(Out(dx, self.dx)))
    }
}

impl<'c> Passed<'c> for *const lowrank_backprop {
    type View = Backprop<'c>;

    unsafe fn note(self, memory: &mut Memory) {
        // SAFETY: the caller's word.
        let Some(flow) = (unsafe { memory.structure(LOWRANK_ARGUMENT_FLOW, self, false) }) else { return };
        // SAFETY: no pointer to a struct in it.
        unsafe { flow.parts().note(memory) };
    }

    unsafe fn view(self) -> Result<Backprop<'c>, Fault> {
        // SAFETY: noted.
        let flow = unsafe { &*self };
        // SAFETY: noted.
        let (x, dy, dx) = unsafe { flow.parts().view() }?;
        Ok(Backprop { x, dy, dx })
    }
}

/// Reads weights in panels.
pub(crate) fn panels(weights: &[f32], (outputs, inputs): (usize, usize), width: usize) -> Result<Weights<'_>, Error> {
    Ok(Packed::new(weights, outputs, inputs, width)?.into())
}

/// A frozen layer with W [outputs, inputs] in panels of `panel_width` outputs, as `lowrank_pack` writes them. They may lie in flash;
/// `bias` may be null.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_base_panels(
    weights: *const f32,
    bias: *const f32,
    outputs: usize,
    inputs: usize,
    panel_width: usize,
) -> lowrank_base {
    let (size, panels) = (size_of::<lowrank_base>(), lowrank_code::of_panels(panels));
    lowrank_base { size, weights, outputs, inputs, stride: inputs, panel_width, panels, bias }
}
