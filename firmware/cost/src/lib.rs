//! Every operation of `lowrank` on one layer of 64 × 64 with rank 8, as one function on memory that its caller owns.
//!
//! `scripts/check-cost.py` links an image for each function alone and looks at what is in it: how many bytes, which symbols. It
//! also runs them in an emulator and counts instructions.

#![no_std]

mod files;
mod fixed;

use fixed::{FixedAdapter, FixedBase, FixedGrads};
use lowrank::train::{AdamW, InPlace, MeanLoss, Optimizer, Plan, Sgd, State, Trained, clip, init};
use lowrank::{Accum, Backend, Backprop, Cut, Error, MatMut, MatRef, Packed, Saved, Scale, Shape, Weights};

pub use files::{Files, RamFlash};

/// A panic that could be reached would leave this undefined symbol, and the image would not link.
#[cfg(feature = "proof")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn a_panic_can_be_reached() -> !;
    }
    a_panic_can_be_reached()
}

/// Inputs and outputs.
pub const SIDE: usize = 64;
pub const RANK: usize = 8;
/// Tokens that there is room for.
pub const TOKENS: usize = 8;

const SHAPE: Shape = Shape::new(SIDE, SIDE, RANK);
const BACKEND: Backend = Backend::BASELINE;
const SAVED: usize = match Saved::training_len(SHAPE, TOKENS) {
    Some(len) => len,
    None => 0,
};
const fn state_len(optimizer: Optimizer) -> usize {
    match State::len(SHAPE, optimizer, Trained::DEFAULT) {
        Some(len) => len,
        None => 0,
    }
}
pub const PLAN: Plan = Plan::training(SHAPE, TOKENS, Optimizer::AdamW);
pub const INFERENCE: Plan = Plan::inference(SHAPE, TOKENS);

type Side = [[f32; SIDE]; TOKENS];

/// All the memory of a layer.
#[repr(C)]
pub struct Memory {
    pub base: FixedBase<SIDE, SIDE>,
    /// The weights in panels, as wide as one lane likes them.
    pub packed: [f32; SIDE * SIDE],
    /// The weights in codes of 8 bits, with a scale for each output, and in blocks of codes of 4 bits.
    pub int8: [i8; SIDE * SIDE],
    pub scales: [f32; SIDE],
    pub q4_0: [[u8; 18]; SIDE * SIDE / 32],
    pub adapter: FixedAdapter<SIDE, SIDE, RANK>,
    pub grads: FixedGrads<SIDE, SIDE, RANK>,
    pub saved: [f32; SAVED],
    pub adamw: [f32; state_len(Optimizer::AdamW)],
    pub momentum: [f32; state_len(Optimizer::Momentum)],
    pub x: Side,
    pub y: Side,
    pub dy: Side,
    pub dx: Side,
    pub merged: [[f32; SIDE]; SIDE],
    pub labels: [u32; TOKENS],
    pub arena: [f32; PLAN.len()],
    pub inner: [f32; INFERENCE.len()],
    /// Tokens in use.
    pub tokens: u32,
}

impl Memory {
    pub const ZERO: Self = Self {
        base: FixedBase { w: [[0.0; SIDE]; SIDE], bias: [0.0; SIDE] },
        packed: [0.0; SIDE * SIDE],
        int8: [0; SIDE * SIDE],
        scales: [0.0; SIDE],
        q4_0: [[0; 18]; SIDE * SIDE / 32],
        adapter: FixedAdapter::zero(0.5),
        grads: FixedGrads::ZERO,
        saved: [0.0; SAVED],
        adamw: [0.0; state_len(Optimizer::AdamW)],
        momentum: [0.0; state_len(Optimizer::Momentum)],
        x: [[0.0; SIDE]; TOKENS],
        y: [[0.0; SIDE]; TOKENS],
        dy: [[0.0; SIDE]; TOKENS],
        dx: [[0.0; SIDE]; TOKENS],
        merged: [[0.0; SIDE]; SIDE],
        labels: [0; TOKENS],
        arena: [0.0; PLAN.len()],
        inner: [0.0; INFERENCE.len()],
        tokens: 1,
    };

    /// Numbers that look like data, without a table.
    pub fn fill(&mut self) {
        let mut seed = 1u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let rows = self.base.w.as_flattened_mut().iter_mut().chain(&mut self.base.bias).chain(&mut self.packed);
        let adapter = self.adapter.a.as_flattened_mut().iter_mut().chain(self.adapter.b.as_flattened_mut());
        let tokens = self.x.as_flattened_mut().iter_mut().chain(self.dy.as_flattened_mut());
        let scales = &mut self.scales;
        rows.chain(adapter).chain(tokens).chain(&mut self.arena).chain(scales).for_each(|number| *number = next());
        self.int8.iter_mut().for_each(|code| *code = (next() * 254.0) as i8);
        for block in &mut self.q4_0 {
            block.iter_mut().for_each(|byte| *byte = (next() * 254.0) as i8 as u8);
            // A scale of 1/64 in f16.
            [block[0], block[1]] = [0x00, 0x24];
        }
    }
}

fn rows(memory: &Side, tokens: u32) -> MatRef<'_> {
    MatRef::from_rows(memory.get(..tokens as usize).unwrap_or(memory))
}

fn rows_mut(memory: &mut Side, tokens: u32) -> MatMut<'_> {
    MatMut::from_rows(memory.split_at_mut_checked(tokens as usize).map_or(&mut [], |(first, _)| first))
}

fn status<E>(result: Result<(), E>) -> u32 {
    u32::from(result.is_err())
}

/// Functions that are linked alone.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($memory:ident) $body:block)*) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            #[inline(never)]
            #[allow(clippy::redundant_closure_call, reason = "it is what `?` returns from")]
            pub extern "C" fn $name($memory: &mut Memory) -> u32 { status((|| $body)()) }
        )*
        /// All of them by name.
        pub const OPERATIONS: &[(&str, extern "C" fn(&mut Memory) -> u32)] = &[$((stringify!($name), $name)),*];
    };
}

operations! {
    forward_rows(m) {
        let mut saved = Saved::training(&mut m.saved, SHAPE, TOKENS)?;
        let (x, y) = (rows(&m.x, m.tokens), rows_mut(&mut m.y, m.tokens));
        lowrank::forward(BACKEND, &m.base.view(), &m.adapter.view(), x, y, &mut saved)
    }
    forward_packed(m) {
        let weights = Packed::new(&m.packed, SIDE, SIDE, BACKEND.panel_width())?.into();
        let base = lowrank::Base { weights, bias: Some(MatRef::from_row(&m.base.bias)) };
        let mut saved = Saved::training(&mut m.saved, SHAPE, TOKENS)?;
        let (x, y) = (rows(&m.x, m.tokens), rows_mut(&mut m.y, m.tokens));
        lowrank::forward(BACKEND, &base, &m.adapter.view(), x, y, &mut saved)
    }
    forward_int8(m) {
        let base = lowrank::Base::new(Weights::int8(&m.int8, &m.scales, SIDE, SIDE)?, Some(&m.base.bias));
        let mut saved = Saved::training(&mut m.saved, SHAPE, TOKENS)?;
        let (x, y) = (rows(&m.x, m.tokens), rows_mut(&mut m.y, m.tokens));
        lowrank::forward(BACKEND, &base, &m.adapter.view(), x, y, &mut saved)
    }
    forward_q4_0(m) {
        let base = lowrank::Base::new(Weights::q4_0(m.q4_0.as_flattened(), SIDE, SIDE)?, Some(&m.base.bias));
        let mut saved = Saved::training(&mut m.saved, SHAPE, TOKENS)?;
        let (x, y) = (rows(&m.x, m.tokens), rows_mut(&mut m.y, m.tokens));
        lowrank::forward(BACKEND, &base, &m.adapter.view(), x, y, &mut saved)
    }
    /// Every other format that is decoded: its checks, and a weight. The bytes may be no weights of that format.
    decode_formats(m) {
        let bytes = m.q4_0.as_flattened();
        let of = |len| bytes.get(..len).unwrap_or(bytes);
        let (f16, bf16) = (Weights::f16(of(256), 2, SIDE), Weights::bf16(of(256), 2, SIDE));
        let (q8_0, q4_k) = (Weights::q8_0(of(136), 2, SIDE), Weights::q4_k(of(144), 1, 4 * SIDE));
        let all = [f16, bf16, q8_0, q4_k, Weights::q6_k(of(210), 1, 4 * SIDE)];
        for (weights, to) in all.into_iter().zip(m.y.as_flattened_mut()) {
            *to = weights.ok().and_then(|weights| weights.get(0, 1)).unwrap_or(0.0);
        }
        Ok::<(), Error>(())
    }
    /// Forward and backward pass: one does not work without the other.
    passes_rows(m) {
        let mut saved = Saved::training(&mut m.saved, SHAPE, TOKENS)?;
        let (base, adapter, x) = (m.base.view(), m.adapter.view(), rows(&m.x, m.tokens));
        lowrank::forward(BACKEND, &base, &adapter, x, rows_mut(&mut m.y, m.tokens), &mut saved)?;
        let flow = Backprop { x: Some(x), dy: rows(&m.dy, m.tokens), dx: Some(rows_mut(&mut m.dx, m.tokens)) };
        lowrank::backward(BACKEND, &base, &adapter, flow, &mut saved, &mut m.grads.view(Accum::Replace))
    }
    passes_in_halves(m) {
        let mut saved = Saved::training(&mut m.saved, SHAPE, TOKENS)?;
        let (base, adapter, x) = (m.base.view(), m.adapter.view(), rows(&m.x, m.tokens));
        lowrank::forward(BACKEND, &base, &adapter, x, rows_mut(&mut m.y, m.tokens), &mut saved)?;
        let (dy, dx) = (rows(&m.dy, m.tokens), rows_mut(&mut m.dx, m.tokens));
        lowrank::input_grads(BACKEND, &base, &adapter, dy, Some(dx), &mut saved)?;
        let mut grads = m.grads.view(Accum::Replace);
        let (mut part, _) = grads.whole().split(Cut { rank: RANK, output: SIDE });
        lowrank::parameter_grads(BACKEND, Some(x), dy, &saved, &mut part)
    }
    adamw(m) {
        let mut state = State::new(&mut m.adamw, SHAPE, Optimizer::AdamW, Trained::DEFAULT)?;
        let grads = m.grads.view(Accum::Replace);
        AdamW::DEFAULT.step(BACKEND, &mut m.adapter.view_mut(), &grads, &mut state)
    }
    momentum(m) {
        let mut state = State::new(&mut m.momentum, SHAPE, Optimizer::Momentum, Trained::DEFAULT)?;
        let grads = m.grads.view(Accum::Replace);
        Sgd { momentum: 0.9, ..Sgd::DEFAULT }.step(BACKEND, &mut m.adapter.view_mut(), &grads, &mut state)
    }
    sgd(m) {
        let mut state = State::new(&mut [], SHAPE, Optimizer::Sgd, Trained::DEFAULT)?;
        let grads = m.grads.view(Accum::Replace);
        Sgd::DEFAULT.step(BACKEND, &mut m.adapter.view_mut(), &grads, &mut state)
    }
    /// With the forward pass, without which it does not work.
    in_place(m) {
        let mut saved = Saved::training(&mut m.saved, SHAPE, TOKENS)?;
        let (base, x) = (m.base.view(), rows(&m.x, m.tokens));
        lowrank::forward(BACKEND, &base, &m.adapter.view(), x, rows_mut(&mut m.y, m.tokens), &mut saved)?;
        let flow = Backprop { x: Some(x), dy: rows(&m.dy, m.tokens), dx: None };
        InPlace::DEFAULT.step(BACKEND, &base, &mut m.adapter.view_mut(), flow, &mut saved)
    }
    merge(m) {
        lowrank::merge(BACKEND, &m.base.view(), &m.adapter.view(), MatMut::from_rows(&mut m.merged))
    }
    merge_finite(m) {
        lowrank::merge_finite(BACKEND, &m.base.view(), &m.adapter.view(), MatMut::from_rows(&mut m.merged))
    }
    pack(m) {
        lowrank::pack(BACKEND, MatRef::from_rows(&m.base.w), &mut m.packed).map(|_| ())
    }
    init_kaiming(m) {
        init::kaiming_uniform(&mut m.adapter.view_mut(), 42, 0)
    }
    clip_norm(m) {
        clip::global_norm(BACKEND, &mut [&mut m.grads.view(Accum::Replace)], 1.0).map(|_| ())
    }
    cross_entropy(m) {
        let mut loss = MeanLoss::over(m.tokens as usize);
        let labels = m.labels.get(..m.tokens as usize).unwrap_or(&[]);
        loss.softmax_cross_entropy(rows(&m.y, m.tokens), labels, rows_mut(&mut m.dy, m.tokens))
    }
    squared_error(m) {
        let mut loss = MeanLoss::over(m.tokens as usize);
        loss.mean_squared_error(rows(&m.y, m.tokens), rows(&m.x, m.tokens), rows_mut(&mut m.dy, m.tokens))
    }
    plan_split(m) {
        let work = PLAN.split(&mut m.arena)?;
        m.tokens = work.saved.hs().rows() as u32;
        Ok::<(), Error>(())
    }
    selftest(_m) {
        lowrank::selftest(BACKEND)
    }
    /// What a device that trains needs: forward and backward pass, the step of AdamW, and the merge.
    training(m) {
        let mut saved = Saved::training(&mut m.saved, SHAPE, TOKENS)?;
        let (base, adapter, x) = (m.base.view(), m.adapter.view(), rows(&m.x, m.tokens));
        lowrank::forward(BACKEND, &base, &adapter, x, rows_mut(&mut m.y, m.tokens), &mut saved)?;
        let flow = Backprop { x: Some(x), dy: rows(&m.dy, m.tokens), dx: None };
        let mut grads = m.grads.view(Accum::Replace);
        lowrank::backward(BACKEND, &base, &adapter, flow, &mut saved, &mut grads)?;
        let mut state = State::new(&mut m.adamw, SHAPE, Optimizer::AdamW, Trained::DEFAULT)?;
        AdamW::DEFAULT.step(BACKEND, &mut m.adapter.view_mut(), &grads, &mut state)?;
        lowrank::merge(BACKEND, &base, &m.adapter.view(), MatMut::from_rows(&mut m.merged))
    }
    /// The same through a layer.
    layer_training(m) {
        let mut layer = PLAN.layer(m.base.view(), &mut m.arena)?;
        layer.adopt(Scale::Direct(0.5))?;
        layer.forward(BACKEND, rows(&m.x, m.tokens), rows_mut(&mut m.y, m.tokens))?;
        layer.backward(BACKEND, rows(&m.x, m.tokens), rows(&m.dy, m.tokens), None)?;
        layer.step(BACKEND, &AdamW::DEFAULT)?;
        layer.merge(BACKEND, &mut m.merged)
    }
    layer_inference(m) {
        let mut layer = INFERENCE.adapted(m.base.view(), m.adapter.view(), &mut m.inner)?;
        layer.forward(BACKEND, rows(&m.x, m.tokens), rows_mut(&mut m.y, m.tokens))
    }
}

/// A panic for the check to find: the linker has to refuse it.
#[cfg(feature = "proof")]
#[unsafe(no_mangle)]
pub extern "C" fn planted(m: &mut Memory) -> u32 {
    m.labels[m.tokens as usize]
}
