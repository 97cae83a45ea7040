//! Stored numbers and those of 32 bits.

use lowrank::Dtype;
use lowrank::MatMut;
use lowrank::format::Tensor;

/// Replaces `to` by what the bytes stand for.
pub(crate) fn decode(dtype: Dtype, bytes: &[u8], to: &mut Vec<f32>) {
    to.clear();
    match dtype {
        Dtype::F32 => to.extend(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
        _ => to.extend(bytes.as_chunks().0.iter().map(|&bytes| dtype.decode(u16::from_le_bytes(bytes).into()))),
    }
}

/// Replaces `to` by the bytes of the values, each rounded once.
pub(crate) fn encode(dtype: Dtype, values: &[f32], to: &mut Vec<u8>) {
    to.clear();
    let size = dtype.size();
    values.iter().for_each(|&value| to.extend(&dtype.encode(value).to_le_bytes()[..size]));
}

/// The elements of a tensor, row by row.
pub(crate) fn elements(tensor: &Tensor<'_>) -> Result<Vec<f32>, lowrank::Error> {
    let (rows, cols) = (tensor.rows(), tensor.cols());
    let mut values = vec![0.0; rows.saturating_mul(cols)];
    tensor.decode(MatMut::new(&mut values, rows, cols)?)?;
    Ok(values)
}

/// The bytes of a tensor that is a view of numbers in memory.
pub(crate) fn bytes(tensor: &Tensor<'_>) -> Vec<u8> {
    elements(tensor).unwrap_or_default().iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Replaces `to` by the transpose of the matrix `from` with rows of `cols` elements.
pub(crate) fn transpose(from: &[f32], cols: usize, to: &mut Vec<f32>) {
    to.clear();
    to.extend((0..cols).flat_map(|col| from.iter().skip(col).step_by(cols)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_numbers_and_bytes_again() {
        let values = [1.5, -2.0, 0.0, 65504.0];
        for dtype in Dtype::ALL {
            let (mut bytes, mut back) = (Vec::new(), Vec::new());
            encode(dtype, &values[..3], &mut bytes);
            assert_eq!(bytes.len(), 3 * dtype.size());
            decode(dtype, &bytes, &mut back);
            assert_eq!(back, values[..3]);
        }
        let mut bytes = Vec::new();
        encode(Dtype::F16, &[1.5, 65504.0], &mut bytes);
        assert_eq!(bytes, [0x00, 0x3e, 0xff, 0x7b]);
        encode(Dtype::Bf16, &[1.5], &mut bytes);
        assert_eq!(bytes, [0xc0, 0x3f]);
    }

    #[test]
    fn a_transpose_has_columns_for_rows() {
        let mut to = Vec::new();
        transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, &mut to);
        assert_eq!(to, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
