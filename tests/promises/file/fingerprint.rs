//! The fingerprint of a base: known answers, and that nothing but the numbers counts.

use crate::support::{Data, Rng, backends, mat};
use lowrank::format::Fingerprint;
use lowrank::{Base, MatRef, Packed, pack};

fn of(bytes: &[u8]) -> u64 {
    let mut fingerprint = Fingerprint::new();
    fingerprint.bytes(bytes);
    fingerprint.finish()
}

/// As the authors of FNV give them. The hash of the last one is 0, which has another meaning here.
#[test]
fn known_answers() {
    assert_eq!(of(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(of(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(of(b"foobar"), 0x8594_4171_f739_67e8);
    assert_eq!(of(&[0xd5, 0x6b, 0xb9, 0x53, 0x42, 0x87, 0x08, 0x36]), 1);
}

#[test]
fn splits_make_no_difference() {
    let numbers = Data::NonFinite.fill(&mut Rng(4), 40);
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    for at in 0..=bytes.len() {
        let mut parts = Fingerprint::default();
        parts.bytes(&bytes[..at]);
        parts.bytes(&bytes[at..]);
        assert_eq!(parts.finish(), of(&bytes));
    }
    for at in 0..=numbers.len() {
        let mut parts = Fingerprint::new();
        parts.numbers(&numbers[..at]);
        parts.numbers(&numbers[at..]);
        assert_eq!(parts.finish(), of(&bytes));
    }
}

/// As the page says: sizes, rows, bias.
#[test]
fn bases() {
    let rng = &mut Rng(5);
    for (outputs, inputs) in [(1, 1), (3, 8), (8, 3), (5, 17), (0, 4), (4, 0)] {
        let (w, bias) = (Data::Hostile.fill(rng, outputs * inputs), Data::Hostile.fill(rng, outputs));
        for bias in [None, Some(&bias[..])] {
            let mut bytes: Vec<u8> = [outputs, inputs].iter().flat_map(|&size| (size as u64).to_le_bytes()).collect();
            bytes.extend(w.iter().flat_map(|number| number.to_le_bytes()));
            bytes.push(u8::from(bias.is_some()));
            bytes.extend(bias.iter().flat_map(|bias| bias.iter()).flat_map(|number| number.to_le_bytes()));
            let bias = bias.map(MatRef::from_row);
            let base = Base { weights: mat(&w, outputs, inputs).into(), bias };
            assert_eq!(Fingerprint::of(&base), of(&bytes), "[{outputs}, {inputs}]");
            for width in 1..=outputs {
                let mut panels = vec![0.0; w.len()];
                for (o, row) in w.chunks(inputs.max(1)).enumerate() {
                    let first = o - o % width;
                    let lanes = width.min(outputs - first);
                    row.iter().enumerate().for_each(|(i, &x)| panels[inputs * first + i * lanes + o % width] = x);
                }
                let weights = Packed::new(&panels, outputs, inputs, width).unwrap().into();
                assert_eq!(Fingerprint::of(&Base { weights, bias }), of(&bytes), "panels of {width}");
            }
            for backend in backends() {
                let mut panels = vec![0.0; w.len()];
                let weights = pack(backend, mat(&w, outputs, inputs), &mut panels).unwrap().into();
                assert_eq!(Fingerprint::of(&Base { weights, bias }), of(&bytes), "{backend:?}");
            }
        }
    }
}

/// One byte more or less, and it is another base.
#[test]
fn one_byte_makes_a_difference() {
    let mut bytes: Vec<u8> = (0..300).map(|i| (i * 7) as u8).collect();
    let whole = of(&bytes);
    for at in 0..bytes.len() {
        for change in 1..=255 {
            bytes[at] ^= change;
            assert_ne!(of(&bytes), whole);
            bytes[at] ^= change;
        }
    }
}
