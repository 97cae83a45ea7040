//! Gate 11, continued: the sizes of an adapter file never overflow, against u128, on 64-bit and on 32-bit targets.

use crate::support;
use crate::support::bytes::{fix_checksums, put, written_down};
use crate::support::files::{OwnedContents, OwnedEntry};
use crate::support::{Rng, report};
use lowrank::format::{Contents, EmitError, Entry, Outline, Tensor, encoded_len};
use lowrank::train::{Optimizer, Trained};
use lowrank::{Adapter, AdapterFile, Argument, Dtype, Error, MatRef, Scale, Shape};

const MAX: usize = usize::MAX;

/// Where sums and products start to overflow, and the neighbourhood of these numbers.
fn boundaries() -> Vec<usize> {
    let mut all: Vec<usize> = vec![0, 1, 2, 3, 4, 7, 8, MAX, MAX - 1, MAX - 16, MAX / 2, MAX / 2 + 1, MAX / 4, MAX / 8];
    for power in [15, 16, 27, 28, 29, 30, 31, 32, 33, 47, 61, 62, 63] {
        all.extend(1usize.checked_shl(power).into_iter().flat_map(|n| [n - 16, n - 1, n]));
    }
    all.sort_unstable();
    all.dedup();
    all
}

const U32_MAX: u128 = u32::MAX as u128;

/// Bytes of the payload of an entry.
fn payload(entry: &Outline) -> u128 {
    let [inputs, outputs, rank] = [entry.shape.inputs, entry.shape.outputs, entry.shape.rank].map(|size| size as u128);
    let size = |dtype: Dtype| dtype.size() as u128;
    let optional = |dtype: Option<Dtype>| dtype.map_or(0, |dtype| outputs * size(dtype));
    let mut parts = vec![rank * inputs * size(entry.a), outputs * rank * size(entry.b)];
    parts.extend([optional(entry.bias), optional(entry.b_bias)]);
    if let Some((optimizer, trained)) = entry.training {
        let moments =
            [if trained.a { rank * inputs } else { 0 }, outputs * rank, if trained.bias { outputs } else { 0 }];
        parts.extend(moments.into_iter().flat_map(|n| std::iter::repeat_n(4 * n, optimizer.moments())));
    }
    parts.into_iter().map(|bytes| bytes.div_ceil(16) * 16).sum()
}

/// What `encoded_len` has to say.
fn expected(entries: &[Outline], metadata: usize) -> Option<usize> {
    let sizes = |entry: &Outline| [entry.shape.inputs, entry.shape.outputs, entry.shape.rank];
    if entries.iter().flat_map(sizes).any(|size| size == 0 || size as u128 > U32_MAX) {
        return None;
    }
    let names: u128 = entries.iter().map(|entry| entry.name as u128).sum();
    let names_end = 64 + 96 * entries.len() as u128 + names;
    let length = (names_end + metadata as u128).div_ceil(16) * 16 + entries.iter().map(payload).sum::<u128>();
    let fits = names_end <= U32_MAX && metadata as u128 <= U32_MAX && length <= isize::MAX as u128;
    fits.then_some(length as usize)
}

/// Layers of all kinds of one shape.
fn kinds(shape: Shape) -> [Outline; 4] {
    let all = Trained { a: true, bias: true };
    let plain = Outline::new("12345", shape, Dtype::F32);
    [
        plain,
        Outline { a: Dtype::F16, b: Dtype::Bf16, bias: Some(Dtype::F16), b_bias: Some(Dtype::F32), ..plain },
        Outline { bias: Some(Dtype::F32), training: Some((Optimizer::AdamW, all)), ..plain },
        Outline { training: Some((Optimizer::Momentum, Trained { a: false, bias: false })), ..plain },
    ]
}

#[test]
fn lengths_equal_u128() {
    let mut counts = [0, 0];
    let mut check = |entries: &[Outline], metadata: usize| {
        let expected = expected(entries, metadata);
        assert_eq!(encoded_len(entries, metadata), expected, "{entries:?}, {metadata}");
        counts[usize::from(expected.is_some())] += 1;
    };
    for a in boundaries() {
        for b in boundaries() {
            for shape in [Shape::new(a, b, 1), Shape::new(a, 3, b), Shape::new(2, a, b), Shape::new(a, a, b)] {
                kinds(shape).iter().for_each(|entry| check(std::slice::from_ref(entry), 5));
                check(&kinds(shape), a);
            }
            let [mut first, second, ..] = kinds(Shape::new(1, 1, 1));
            first.name = a;
            check(&[first, second], b);
            check(&[first, Outline { name: b, ..second }, second], 0);
        }
    }
    report("sizes", "lengths of files", counts[0], "impossible files", 10_000);
    report("sizes", "lengths of files", counts[1], "lengths equal to u128", 3_000);
}

/// Four numbers of a file, and what is left of it.
fn file_of_zeros() -> Vec<u8> {
    let mut entry = OwnedEntry::new("n", Shape::new(6, 4, 2), Dtype::F32, &mut Rng(1));
    entry.scale = Scale::Direct(0.5);
    entry.a.bytes.fill(0);
    entry.b.bytes.fill(0);
    written_down(&OwnedContents { entries: vec![entry], metadata: "m".to_owned(), ..OwnedContents::default() })
}

/// A file that claims to be of this shape is read when it has the length for it, and refused otherwise.
#[test]
fn shapes_in_files_equal_u128() {
    let valid = file_of_zeros();
    let sizes: Vec<u32> = boundaries().into_iter().filter_map(|size| u32::try_from(size).ok()).chain(5..9).collect();
    let mut counts = [0, 0];
    for &inputs in &sizes {
        for &outputs in &sizes {
            for &rank in &sizes {
                let mut bytes = valid.clone();
                [inputs, outputs, rank]
                    .iter()
                    .zip([76, 80, 84])
                    .for_each(|(n, at)| put(&mut bytes, at, &n.to_le_bytes()));
                fix_checksums(&mut bytes);
                let shape = Shape::new(inputs as usize, outputs as usize, rank as usize);
                let expected = expected(&[Outline::new("n", shape, Dtype::F32)], 1) == Some(bytes.len());
                assert_eq!(AdapterFile::parse(&bytes).is_ok(), expected, "{shape:?}");
                counts[usize::from(expected)] += 1;
            }
        }
    }
    report("sizes", "shapes in files", counts[0], "claims refused", 10_000);
    report("sizes", "shapes in files", counts[1], "claims read", 5);
}

/// Every field that says how long something is or where it is has one right value. The metadata has more: the padding
/// behind it is text too.
#[test]
fn places_in_files_have_one_value() {
    let valid = file_of_zeros();
    let mut count = 0;
    for (at, width) in [(12, 4), (16, 8), (36, 4), (40, 4), (64, 4), (68, 4), (104, 8)] {
        let right = u64::from_le_bytes(std::array::from_fn(|i| if i < width { valid[at + i] } else { 0 }));
        let near = [0u64, right, 1 << 8, 1 << 16, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX, u64::MAX - 63];
        for value in near.iter().flat_map(|n| (0..64).flat_map(|d| [n.wrapping_sub(d), n.wrapping_add(d)])) {
            let value = if width == 4 { value & 0xffff_ffff } else { value };
            let mut bytes = valid.clone();
            put(&mut bytes, at, &value.to_le_bytes()[..width]);
            fix_checksums(&mut bytes);
            let result = AdapterFile::parse(&bytes).map(drop);
            let expected = if at == 40 { (1..=15).contains(&value) } else { value == right };
            assert_eq!(result.is_ok(), expected, "{value} at {at}: {result:?}");
            count += 1;
        }
    }
    report("sizes", "places in files", count, "values at places", 8_000);
}

#[test]
fn tensors_equal_u128() {
    let (memory, mut count) = ([0; 64], 0);
    let argument = Argument::Matrix;
    for rows in boundaries() {
        for cols in boundaries() {
            for dtype in Dtype::ALL {
                let needed = (rows as u128 * cols as u128).checked_mul(dtype.size() as u128);
                for got in [0, 1, 2, 3, 4, 16, 28, 64] {
                    let expected = match needed {
                        Some(expected) if expected == got as u128 => Ok(()),
                        Some(n) if n <= isize::MAX as u128 => {
                            Err(Error::Length { argument, expected: n as usize, got })
                        }
                        _ => Err(Error::Overflow { argument }),
                    };
                    assert_eq!(Tensor::from_bytes(dtype, rows, cols, &memory[..got]).map(drop), expected);
                    count += 1;
                }
            }
        }
    }
    report("sizes", "tensors", count, "results equal to u128", 20_000);
}

fn emit(entries: &[Entry<'_>], metadata: &str) -> Result<usize, EmitError> {
    Contents { entries, metadata, fingerprint: 0, generation: 0 }.emit(&mut [])
}

#[cfg(target_pointer_width = "64")]
#[test]
fn what_fields_cannot_hold_is_refused() {
    // Memory that nobody has touched. SAFETY: zeros are UTF-8.
    let untouched = |len: usize| unsafe { String::from_utf8_unchecked(vec![0; len]) };
    let too_large = |at| Err(lowrank::FileError { at, flaw: lowrank::Flaw::TooLarge }.into());
    let (empty, one) = (|rows, cols| MatRef::new(&[], rows, cols).unwrap(), MatRef::from_rows(&[[1.0]]));
    let entry = |a, b| Entry::of("", &Adapter { a, b, bias: None, scale: 1.0 });
    for size in [1 << 32, 1 << 33, MAX] {
        assert_eq!(emit(&[entry(empty(0, size), empty(1, 0))], ""), too_large(64 + 12));
        assert_eq!(emit(&[entry(empty(0, 1), empty(size, 0))], ""), too_large(64 + 16));
        assert_eq!(emit(&[entry(one, one), entry(empty(size, 0), empty(1, 0))], ""), too_large(160 + 20));
    }
    let name = untouched(1 << 26);
    let names = |count, len: usize| (0..count).map(|id| Entry { id, name: &name[..len], ..entry(one, one) }).collect();
    let entries: Vec<Entry<'_>> = names(64, 1 << 26);
    assert_eq!(emit(&entries, ""), too_large(36));
    // The bytes can be counted, but the last ones cannot be pointed to.
    let entries: Vec<Entry<'_>> = names(64, (1 << 26) - 97);
    assert_eq!(emit(&entries, ""), too_large(36));
    if support::full() {
        let entries: Vec<Entry<'_>> = names(64, (1 << 26) - 98);
        let length = Contents { entries: &entries, metadata: "", fingerprint: 0, generation: 0 }.encoded_len();
        assert_eq!(length, Ok((1 << 32) - 64 + 64 * 32));
    }
    let metadata = untouched((1 << 32) + 1);
    assert_eq!(emit(&[], &metadata), too_large(40));
    assert_eq!(emit(&[], &metadata[1..]), too_large(40));
    let at_most = 0;
    assert_eq!(
        emit(&[], &metadata[2..]),
        Err(Error::TooMany { argument: Argument::File, at_most, got: 64 + (1 << 32) }.into())
    );
}

/// Thousands of entries that share their numbers are longer than the address space.
#[cfg(target_pointer_width = "32")]
#[test]
fn what_memory_cannot_hold_is_refused() {
    let numbers = vec![0.0; 1 << 20];
    let adapter = Adapter {
        a: MatRef::new(&numbers, 1, 1 << 20).unwrap(),
        b: MatRef::new(&numbers, 1 << 20, 1).unwrap(),
        bias: None,
        scale: 1.0,
    };
    // 256 times 8 MiB is one byte more than there can be, without the table.
    for (count, fits) in [(1, true), (255, true), (256, false), (511, false), (512, false), (600, false)] {
        let entries: Vec<Entry<'_>> = (0..count).map(|id| Entry { id, ..Entry::of("", &adapter) }).collect();
        let contents = Contents { entries: &entries, metadata: "", fingerprint: 0, generation: 0 };
        let overflow = EmitError::Call(Error::Overflow { argument: Argument::File });
        assert_eq!(contents.encoded_len().is_ok(), fits, "{count} entries");
        if !fits {
            assert_eq!(contents.encoded_len(), Err(overflow));
            assert_eq!(emit(&entries, ""), Err(overflow));
        }
    }
}

/// Lengths are constants where sizes are.
const _: () = {
    assert!(matches!(encoded_len(&[], 0), Some(64)));
    assert!(matches!(
        encoded_len(&[Outline::new("abc", Shape::new(3, 5, 4), Dtype::F16)], 14),
        Some(272) // 64 + 96 + 32 + 32 + 48
    ));
    assert!(encoded_len(&[Outline::new("", Shape::new(MAX, 1, 1), Dtype::F32)], 0).is_none());
    assert!(encoded_len(&[Outline::new("", Shape::new(1, 1, 0), Dtype::F32)], 0).is_none());
};
