//! Promise: weights in the bytes of a format are the f32 that the format's page says, and every result is that of these f32.
//!
//! `golden/coded/blocks.txt` holds what another program, gguf-py, decodes.

use crate::support::{Data, Layer, Rng, backends, full, mat, mat_mut, report};
use lowrank::format::Fingerprint;
use lowrank::train::{AdamW, Optimizer};
use lowrank::{Accum, Argument, Backend, Base, Dropout, Error, Plan, Scale, Shape, Weights, merge};

pub(crate) type Make = for<'w> fn(&'w [u8], usize, usize) -> Result<Weights<'w>, Error>;

/// A format whose weights lie in one slice of bytes.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) make: Make,
    /// Bytes and weights of a block.
    pub(crate) block: (usize, usize),
    /// Where a block has numbers in f16 that are scales.
    scales: &'static [usize],
}

pub(crate) static FORMATS: [Format; 6] = [
    Format {
        name: "f16",
        make: |bytes, outputs, inputs| Weights::f16(bytes, outputs, inputs),
        block: (2, 1),
        scales: &[],
    },
    Format {
        name: "bf16",
        make: |bytes, outputs, inputs| Weights::bf16(bytes, outputs, inputs),
        block: (2, 1),
        scales: &[],
    },
    Format {
        name: "q8_0",
        make: |bytes, outputs, inputs| Weights::q8_0(bytes, outputs, inputs),
        block: (34, 32),
        scales: &[0],
    },
    Format {
        name: "q4_0",
        make: |bytes, outputs, inputs| Weights::q4_0(bytes, outputs, inputs),
        block: (18, 32),
        scales: &[0],
    },
    Format {
        name: "q4_k",
        make: |bytes, outputs, inputs| Weights::q4_k(bytes, outputs, inputs),
        block: (144, 256),
        scales: &[0, 2],
    },
    Format {
        name: "q6_k",
        make: |bytes, outputs, inputs| Weights::q6_k(bytes, outputs, inputs),
        block: (210, 256),
        scales: &[208],
    },
];

impl Format {
    fn len(&self, outputs: usize, inputs: usize) -> usize {
        outputs * inputs / self.block.1 * self.block.0
    }

    /// Any bytes, but for scales between 2⁻¹⁴ and 2⁻³ and halves below 2.
    pub(crate) fn fill(&self, rng: &mut Rng, outputs: usize, inputs: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..self.len(outputs, inputs)).map(|_| rng.below(256) as u8).collect();
        for block in bytes.chunks_mut(self.block.0) {
            match self.name {
                "f16" => block[1] &= 0xbf,
                "bf16" => block[1] = block[1] & 0x80 | 0x3e,
                _ => {
                    for &at in self.scales {
                        let exponent = 1 + rng.below(11) as u8;
                        block[at + 1] = (block[at + 1] & 0x83) | exponent << 2;
                    }
                }
            }
        }
        bytes
    }
}

/// All weights, one by one.
fn decoded(weights: &Weights<'_>) -> Vec<f32> {
    let (outputs, inputs) = (weights.outputs(), weights.inputs());
    (0..outputs * inputs).map(|at| weights.get(at / inputs, at % inputs).unwrap()).collect()
}

/// The number of a sign, an exponent of `bits` bits and a fraction, by its definition, in binary64.
fn defined(code: u16, exponent: u32, fraction: u32) -> f64 {
    let (sign, code) = (if code >> 15 == 0 { 1.0 } else { -1.0 }, u32::from(code & 0x7fff));
    let (exponents, bias) = (1 << exponent, (1 << (exponent - 1)) - 1);
    let (field, rest) = ((code >> fraction) as i32, f64::from(code % (1 << fraction)) / f64::from(1 << fraction));
    sign * match field {
        0 => rest * 2.0_f64.powi(1 - bias),
        _ if field == exponents - 1 => {
            if rest == 0.0 {
                f64::INFINITY
            } else {
                f64::NAN
            }
        }
        _ => (1.0 + rest) * 2.0_f64.powi(field - bias),
    }
}

#[test]
fn every_number_of_16_bits_is_its_definition() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for (format, (exponent, fraction)) in FORMATS.iter().zip([(5, 10), (8, 7)]) {
        for (outputs, inputs) in [(1, 65_536), (65_536, 1), (64, 1024)] {
            let weights = (format.make)(&bytes, outputs, inputs).unwrap();
            let mut copied = vec![0.0; 65_536];
            let shape = Shape::new(inputs, outputs, 0);
            let none = Layer::new(shape, 0, Data::Finite, 1);
            merge(Backend::BASELINE, &Base::new(weights, None), &none.adapter(), mat_mut(&mut copied, outputs, inputs))
                .unwrap();
            for (code, (number, copied)) in (0..=u16::MAX).zip(decoded(&weights).into_iter().zip(copied)) {
                let expected = defined(code, exponent, fraction);
                for got in [number, copied] {
                    let same = f64::from(got).to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
                    assert!(same, "{} {code:#06x}: {got:?} is not {expected:?}", format.name);
                }
            }
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// One block in a row, and several.
#[test]
fn blocks_are_what_gguf_py_decodes() {
    let golden: Vec<Vec<_>> = include_str!("../golden/coded/blocks.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(' ').collect())
        .collect();
    for format in &FORMATS[2..] {
        let blocks: Vec<_> = golden.iter().filter(|words| words[0] == format.name).collect();
        for in_row in [1, 2, 5, blocks.len()] {
            let (outputs, inputs) = (blocks.len() / in_row, in_row * format.block.1);
            let blocks = &blocks[..outputs * in_row];
            let bytes: Vec<u8> = blocks.iter().flat_map(|words| unhex(words[1])).collect();
            let words: Vec<u8> = blocks.iter().flat_map(|words| unhex(words[2])).collect();
            let expected = words.as_chunks().0.iter().map(|&word| u32::from_be_bytes(word));
            let weights = (format.make)(&bytes, outputs, inputs).unwrap();
            for (at, (got, expected)) in decoded(&weights).into_iter().zip(expected).enumerate() {
                // An overflow of a product is no number in either.
                let nan = got.is_nan() && f32::from_bits(expected).is_nan();
                let block = blocks[at / format.block.1][1];
                assert!(
                    nan || got.to_bits() == expected,
                    "{} {outputs}x{inputs} {block}: {at} is {got:?}",
                    format.name
                );
            }
            report("coded gguf", format.name, (outputs * inputs) as u64, "weights", 256);
        }
    }
}

/// Everything that a layer computes from its base.
fn all_of(layer: &Layer, backend: Backend, base: &Base<'_>) -> (Vec<Vec<u32>>, u64) {
    let Shape { inputs, outputs, rank } = layer.shape;
    let mut out = layer.old_outputs(Data::Finite, 3);
    layer.run(backend, base, Accum::Add, &mut out).unwrap();
    let mut merged = vec![f32::NAN; outputs * inputs];
    merge(backend, base, &layer.adapter(), mat_mut(&mut merged, outputs, inputs)).unwrap();

    // One object, trained for two steps.
    let plan = Plan::training(layer.shape, layer.tokens, Optimizer::AdamW);
    let mut arena = vec![f32::NAN; plan.len()];
    let mut object = plan.layer(*base, &mut arena).unwrap();
    object.init(Scale::Direct(layer.scale), 7, 0).unwrap();
    object.set_dropout(layer.dropout).unwrap();
    let (mut y, mut dx) = (vec![0.0; layer.tokens * outputs], vec![0.0; layer.tokens * inputs]);
    for _ in 0..if rank > 0 { 2 } else { 0 } {
        let (x, dy) = (mat(&layer.x, layer.tokens, inputs), mat(&layer.dy, layer.tokens, outputs));
        object.forward(backend, x, mat_mut(&mut y, layer.tokens, outputs)).unwrap();
        object.backward(backend, x, dy, Some(mat_mut(&mut dx, layer.tokens, inputs))).unwrap();
        object.step(backend, &AdamW::DEFAULT).unwrap();
    }
    let mut of_object = vec![f32::NAN; outputs * inputs];
    object.merge(backend, mat_mut(&mut of_object, outputs, inputs)).unwrap();
    let all = [&out.y, &out.hs, &out.da, &out.db, &out.dbias, &out.dx, &merged, &y, &dx, &of_object];
    (all.map(|numbers| numbers.iter().map(|number| number.to_bits()).collect()).to_vec(), Fingerprint::of(base))
}

/// On the bytes at any address, and on a range of their outputs.
#[test]
fn every_result_is_that_of_the_decoded_weights() {
    let sizes: &[usize] = if full() { &[1, 31, 32, 33, 64, 300, 512] } else { &[1, 32, 50, 256] };
    for backend in backends() {
        let mut compared = 0;
        for format in &FORMATS {
            let sizes = sizes.iter().filter(|&&inputs| inputs.is_multiple_of(format.block.1));
            for (turn, &inputs) in sizes.enumerate() {
                for (outputs, tokens) in [(1, 1), (21, 3), (50, 17), (5, 60)] {
                    let rng = &mut Rng((inputs * outputs) as u64);
                    let codes = format.fill(rng, outputs, inputs);
                    let mut memory = vec![0; codes.len() + 4];
                    let at = 1 + turn % 3;
                    memory[at..at + codes.len()].copy_from_slice(&codes);
                    let weights = (format.make)(&memory[at..at + codes.len()], outputs, inputs).unwrap();
                    let mut layer = Layer::new(Shape::new(inputs, outputs, 2), tokens, Data::Finite, 5);
                    layer.dropout = (turn % 2 == 1).then(|| Dropout { probability: 0.5, ..Dropout::default() });
                    layer.w = decoded(&weights);
                    let coded = Base { weights, ..layer.base() };
                    let (got, expected) = (all_of(&layer, backend, &coded), all_of(&layer, backend, &layer.base()));
                    assert!(got == expected, "{} {backend:?}: {outputs}x{inputs}, {tokens} tokens", format.name);

                    let cut = outputs / 3..outputs;
                    let part = coded.outputs(cut.clone()).unwrap();
                    assert_eq!(decoded(&part.weights), layer.w[cut.start * inputs..], "{}", format.name);
                    let mut small = layer.clone();
                    small.shape.outputs = cut.len();
                    small.b = layer.b[cut.start * 2..].to_vec();
                    small.dy.truncate(tokens * cut.len());
                    small.bias = layer.bias.as_ref().map(|bias| bias[cut.clone()].to_vec());
                    small.w = layer.w[cut.start * inputs..].to_vec();
                    let (got, expected) = (all_of(&small, backend, &part), all_of(&small, backend, &small.base()));
                    assert!(got == expected, "{} {backend:?}: outputs {cut:?} of {outputs}x{inputs}", format.name);
                    compared += got.0.iter().map(|bits| bits.len() as u64).sum::<u64>();
                }
            }
        }
        report("coded bits", format!("{backend:?}"), compared, "numbers", 10_000);
    }
}

/// Codes of 8 bits have scales beside them.
#[test]
fn codes_with_a_scale_for_each_output_are_their_products() {
    let scales = [0.0, -0.0, f32::from_bits(1), -1e-38, 0.01, -3.0, 3e38, f32::MIN_POSITIVE];
    let codes: Vec<i8> = (0..scales.len() * 256).map(|at| at as u8 as i8).collect();
    let weights = Weights::int8(&codes, &scales, scales.len(), 256).unwrap();
    for (at, number) in decoded(&weights).into_iter().enumerate() {
        assert_eq!(number.to_bits(), (scales[at / 256] * f32::from(codes[at])).to_bits(), "{at}");
    }
    let rng = &mut Rng(3);
    for backend in backends() {
        for (inputs, outputs, tokens) in [(1, 1, 1), (33, 21, 3), (300, 50, 17), (64, 8, 40)] {
            let codes: Vec<i8> = (0..outputs * inputs).map(|_| rng.below(256) as u8 as i8).collect();
            let scales = Data::Finite.fill(rng, outputs);
            let weights = Weights::int8(&codes, &scales, outputs, inputs).unwrap();
            let mut layer = Layer::new(Shape::new(inputs, outputs, 2), tokens, Data::Finite, 5);
            layer.w = decoded(&weights);
            let coded = Base { weights, ..layer.base() };
            assert!(all_of(&layer, backend, &coded) == all_of(&layer, backend, &layer.base()), "{backend:?} {inputs}");
        }
    }
}

#[test]
fn bytes_that_are_not_the_format_are_refused() {
    let mut refused = 0;
    for format in &FORMATS {
        let (bytes, weights) = format.block;
        let good = vec![0; 6 * bytes];
        let make = |bytes: &[u8], outputs, inputs| (format.make)(bytes, outputs, inputs).map(drop);
        assert_eq!(make(&good, 2, 3 * weights), Ok(()), "{}", format.name);
        assert_eq!(make(&[], 0, weights), Ok(()), "{}", format.name);
        for len in [0, 1, 6 * bytes - 1] {
            let error = Error::Length { argument: Argument::Codes, expected: 6 * bytes, got: len };
            assert_eq!(make(&good[..len], 2, 3 * weights), Err(error), "{}", format.name);
        }
        for inputs in (1..weights).chain(weights + 1..2 * weights) {
            let error = Error::Multiple { argument: Argument::W, of: weights, got: inputs };
            assert_eq!(make(&good, 2, inputs), Err(error), "{}", format.name);
            refused += 1;
        }
        let whole = usize::MAX / weights * weights;
        for (outputs, inputs) in [(usize::MAX, weights), (2, whole), (usize::MAX / 2, 5 * weights)] {
            let error = Error::Overflow { argument: Argument::Codes };
            assert_eq!(make(&good, outputs, inputs), Err(error), "{}", format.name);
        }
        for (block, &at) in (0..6).flat_map(|block| format.scales.iter().map(move |at| (block, at))) {
            for exponent in [0x7c, 0xfc, 0x7d, 0xff] {
                let mut bad = good.clone();
                bad[block * bytes + at + 1] = exponent;
                let error = Error::NonFinite { argument: Argument::Scales, index: block };
                assert_eq!(make(&bad, 2, 3 * weights), Err(error), "{}", format.name);
                refused += 1;
            }
        }
    }
    report("coded errors", "formats", refused, "mistakes", 600);
    let scales = [1.0, f32::NAN];
    let length = |argument, expected, got| Error::Length { argument, expected, got };
    assert_eq!(Weights::int8(&[0; 5], &scales, 2, 3).map(drop), Err(length(Argument::Codes, 6, 5)));
    assert_eq!(Weights::int8(&[0; 6], &scales[..1], 2, 3).map(drop), Err(length(Argument::Scales, 2, 1)));
    let error = Error::NonFinite { argument: Argument::Scales, index: 1 };
    assert_eq!(Weights::int8(&[0; 6], &scales, 2, 3).map(drop), Err(error));
    let text = "Codes: expected 6 bytes, got 5";
    assert_eq!(length(Argument::Codes, 6, 5).to_string(), text);
    let text = "W: 33 columns are no multiple of 32";
    assert_eq!(Error::Multiple { argument: Argument::W, of: 32, got: 33 }.to_string(), text);
}
