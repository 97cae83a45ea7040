//! The example with threads does what it says: one thread and two give the same bits, and learn. The pieces that it hands out
//! may be sent to threads.

#![cfg(not(target_family = "wasm"))] // WASI has no threads.

use lowrank::train::State;
use lowrank::{Adapter, AdapterMut, Backend, Base, Done, Error, GradsPart, MatMut, MatRef, Saved};

#[path = "../examples/threads.rs"]
#[allow(dead_code, reason = "the program has a `main` too")]
mod example;

#[test]
fn two_threads_train_to_the_bits_of_one() {
    let ((_, first_loss, _), _) = example::run(1).unwrap();
    let ((digest1, loss1, _), (digest2, loss2, _)) = example::run(8).unwrap();
    println!("digest on 1 thread: {digest1}, on 2 threads: {digest2}");
    assert_eq!(digest1, digest2);
    assert!(loss1.max(loss2) < first_loss / 2.0, "from {first_loss} to {loss1} and {loss2} only");
}

#[test]
fn pieces_can_go_to_threads() {
    const fn send_and_sync<T: Send + Sync>() {}
    const { send_and_sync::<(MatRef, MatMut, Base, Adapter, AdapterMut)>() };
    const { send_and_sync::<(Saved, GradsPart, State, Done, Backend, Error)>() };
}
