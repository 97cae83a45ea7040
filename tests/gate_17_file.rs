//! Gate 17: a bad file cannot crash, over-read, stall or half-load.

mod support;

use lowrank::AdapterFile;
use lowrank::format::{Contents, Layer};
use support::files::{Lying, OwnedContents, halves, many_layers, two_layers};

fn samples() -> [(&'static str, OwnedContents); 3] {
    [("two layers with AdamW", two_layers()), ("halves with biases", halves()), ("many small layers", many_layers())]
}

/// What was parsed, written again.
fn again(file: &AdapterFile<'_>) -> Vec<u8> {
    let layers: Vec<Layer<'_>> = file.layers().collect();
    let (fingerprint, generation) = (file.fingerprint(), file.generation());
    let contents = Contents { layers: &layers, metadata: file.metadata(), fingerprint, generation };
    let mut bytes = vec![0xff; contents.encoded_len().unwrap()];
    contents.emit(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_parsed_is_written_again() {
    for (name, contents) in samples() {
        let bytes = contents.file();
        println!("{name}: {} bytes", bytes.len());
        for remainder in 0..16 {
            let lying = Lying::new(&bytes, remainder);
            let file = AdapterFile::parse(lying.bytes()).unwrap();
            assert_eq!(file.layers().len(), contents.layers.len());
            assert!(again(&file) == bytes, "{name}");
        }
    }
}
