//! The pieces of a layer may be sent to threads. `examples/threads.rs` trains on them.

use lowrank::train::{Layer, State};
use lowrank::{Adapter, AdapterMut, Backend, Base, Done, Error, GradsPart, MatMut, MatRef, Saved};

#[test]
fn pieces_can_go_to_threads() {
    const fn send_and_sync<T: Send + Sync>() {}
    const { send_and_sync::<(MatRef, MatMut, Base, Adapter, AdapterMut, Layer)>() };
    const { send_and_sync::<(Saved, GradsPart, State, Done, Backend, Error)>() };
}
