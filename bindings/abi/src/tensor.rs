//! A matrix of an adapter file.

use lowrank::format::Tensor;
use lowrank::{Dtype, MatRef};

use crate::codes::*;
use crate::error::Fault;
use crate::memory::{Memory, slice, structures};

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

structures!(lowrank_tensor);

const fn dtype_code(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => LOWRANK_F32,
        Dtype::F16 => LOWRANK_F16,
        Dtype::Bf16 => LOWRANK_BF16,
    }
}

impl lowrank_tensor {
    pub(crate) const ABSENT: Self =
        Self { size: size_of::<Self>(), data: core::ptr::null(), rows: 0, cols: 0, dtype: LOWRANK_F32 };

    pub(crate) fn of(tensor: Tensor<'_>) -> Self {
        let (rows, cols, dtype) = (tensor.rows(), tensor.cols(), dtype_code(tensor.dtype()));
        let data = match tensor.bytes() {
            Some(bytes) if !bytes.is_empty() => bytes.as_ptr().cast(),
            _ => core::ptr::null(),
        };
        Self { size: size_of::<Self>(), data, rows, cols, dtype }
    }

    pub(crate) fn maybe(tensor: Option<Tensor<'_>>) -> Self {
        tensor.map_or(Self::ABSENT, Self::of)
    }

    pub(crate) fn of_matrix(argument: u32, matrix: MatRef<'_>) -> Result<Self, Fault> {
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

    const fn bytes(&self, dtype: Dtype) -> usize {
        self.rows.saturating_mul(self.cols).saturating_mul(dtype.size())
    }

    pub(crate) fn note(&self, argument: u32, memory: &mut Memory) {
        if self.data.is_null() {
            return;
        }
        if self.size != size_of::<Self>() {
            return memory.refuse(Fault::new(LOWRANK_STRUCT_SIZE, argument, size_of::<Self>(), self.size));
        }
        match self.dtype() {
            Ok(dtype) => _ = memory.bytes(argument, self.data.addr(), self.bytes(dtype), 1, false),
            Err(fault) => memory.refuse(fault),
        }
    }

    /// # Safety
    /// Noted.
    pub(crate) unsafe fn view<'c>(&self) -> Result<Option<Tensor<'c>>, Fault> {
        if self.data.is_null() {
            return Ok(None);
        }
        let dtype = self.dtype()?;
        // SAFETY: noted, with this length.
        let bytes = unsafe { slice(self.data.cast(), self.bytes(dtype)) };
        Ok(Some(Tensor::from_bytes(dtype, self.rows, self.cols, bytes)?))
    }
}
