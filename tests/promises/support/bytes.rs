//! An adapter file written down field by field as the page of the format says, without a check: bad contents give bad files.

use lowrank::Scale;
use lowrank::train::Optimizer;

use super::files::{OwnedContents, OwnedEntry, OwnedTensor};

pub(crate) const HEADER: usize = 64;
pub(crate) const RECORD: usize = 96;

/// CRC-32, bit by bit.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Makes both checksums those of the bytes, so that what is behind them gets its turn.
pub(crate) fn fix_checksums(bytes: &mut [u8]) {
    if bytes.len() >= HEADER {
        let payload = crc32(&bytes[HEADER..]);
        put(bytes, 56, &payload.to_le_bytes());
        let header = crc32(&bytes[..60]);
        put(bytes, 60, &header.to_le_bytes());
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(16), 0);
}

fn code(tensor: Option<&OwnedTensor>) -> u8 {
    tensor.map_or(0, |tensor| match tensor.dtype.name() {
        "f32" => 1,
        "f16" => 2,
        _ => 3,
    })
}

fn tensors(entry: &OwnedEntry) -> Vec<&OwnedTensor> {
    let mut all = vec![&entry.a, &entry.b];
    all.extend(&entry.bias);
    all.extend(&entry.b_bias);
    all.extend(entry.training.iter().flat_map(|training| &training.3));
    all
}

fn record(entry: &OwnedEntry, name_at: usize, payload_at: usize) -> Vec<u8> {
    let shape = entry.shape();
    let (mode, alpha) = match entry.scale {
        Scale::Direct(s) => (0, s),
        Scale::Alpha(alpha) => (1, alpha),
        Scale::RankStabilized(alpha) => (2, alpha),
    };
    let (mut optimizer, mut flags) = (0, if entry.fan_in_fan_out { 4 } else { 0 });
    let (mut steps, mut weights) = (0, [0.0; 2]);
    if let Some((which, trained, clock, _)) = &entry.training {
        let codes = [Optimizer::Momentum, Optimizer::AdamW, Optimizer::Sgd, Optimizer::InPlace];
        optimizer = 1 + codes.iter().position(|code| code == which).unwrap() as u8;
        flags += u8::from(trained.a) + 2 * u8::from(trained.bias);
        (steps, weights) = (clock.steps, [clock.weight1, clock.weight2]);
    }
    let mut bytes = Vec::new();
    let sizes = [name_at, entry.name.len(), entry.id as usize, shape.inputs, shape.outputs, shape.rank];
    sizes.iter().for_each(|&size| bytes.extend((size as u32).to_le_bytes()));
    bytes.extend([mode, code(Some(&entry.a)), code(Some(&entry.b)), code(entry.bias.as_ref())]);
    bytes.extend([code(entry.b_bias.as_ref()), 0, optimizer, flags]);
    bytes.extend(alpha.to_le_bytes());
    bytes.extend(entry.scale.factor(shape.rank).to_le_bytes());
    bytes.extend((payload_at as u64).to_le_bytes());
    bytes.extend(steps.to_le_bytes());
    weights.iter().for_each(|weight| bytes.extend(weight.to_le_bytes()));
    bytes.extend(entry.random.seed.to_le_bytes());
    bytes.extend(entry.random.step.to_le_bytes());
    bytes.extend(entry.random.layer_number.to_le_bytes());
    bytes.extend(entry.random.dropout.to_le_bytes());
    bytes.extend([0; 12]);
    assert_eq!(bytes.len(), RECORD);
    bytes
}

/// The file of these contents, right or wrong.
pub(crate) fn written_down(contents: &OwnedContents) -> Vec<u8> {
    let OwnedContents { entries, metadata, fingerprint, generation } = contents;
    let names: usize = entries.iter().map(|entry| entry.name.len()).sum();
    let mut name_at = HEADER + RECORD * entries.len();
    let mut payload_at = (name_at + names + metadata.len()).next_multiple_of(16);
    let mut bytes = b"lowrank\0\x01\0\x01\0".to_vec();
    bytes.extend((entries.len() as u32).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(fingerprint.to_le_bytes());
    bytes.extend(generation.to_le_bytes());
    bytes.extend((names as u32).to_le_bytes());
    bytes.extend((metadata.len() as u32).to_le_bytes());
    bytes.resize(HEADER, 0);
    for entry in entries {
        bytes.extend(record(entry, name_at, payload_at));
        name_at += entry.name.len();
        payload_at += tensors(entry).iter().map(|tensor| tensor.bytes.len().next_multiple_of(16)).sum::<usize>();
    }
    entries.iter().for_each(|entry| bytes.extend(entry.name.as_bytes()));
    bytes.extend(metadata.as_bytes());
    pad(&mut bytes);
    for tensor in entries.iter().flat_map(tensors) {
        bytes.extend(&tensor.bytes);
        pad(&mut bytes);
    }
    let length = bytes.len() as u64;
    put(&mut bytes, 16, &length.to_le_bytes());
    fix_checksums(&mut bytes);
    bytes
}
