//! The exceptions that a processor remembers, and every public operation on finite numbers, which must not raise them. Without
//! heap and `std`: firmware runs it too.

use core::hint::black_box;

use lowrank::format::{AdapterFile, Aligned, Contents, Entry, Fingerprint, Training};
use lowrank::train::{AdamW, Decay, InPlace, MeanLoss, Optimizer, Rng as Words, Schedule, Sgd, Trained, clip, init};
use lowrank::{
    Accum, Adapter, Backend, Backprop, Base, Dropout, Dtype, Error, MatMut, MatRef, Plan, Scale, Shape, Work, backward,
    forward, input_grads, merge, merge_finite, pack, parameter_grads,
};

use super::data::{Data, Rng};

/// The exceptions that tell of an operation that nobody asked for. Inexact and underflow belong to ordinary work.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Flags {
    pub(crate) invalid: bool,
    pub(crate) divide_by_zero: bool,
    pub(crate) overflow: bool,
}

impl Flags {
    fn of_bits(status: u32, [invalid, divide_by_zero, overflow]: [u32; 3]) -> Self {
        let is_set = |bit| status >> bit & 1 != 0;
        Self { invalid: is_set(invalid), divide_by_zero: is_set(divide_by_zero), overflow: is_set(overflow) }
    }
}

/// What `work` raises.
pub(crate) fn flags_of(work: impl FnOnce()) -> Flags {
    machine::clear();
    work();
    machine::raised()
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod machine {
    use super::Flags;
    use core::arch::asm;

    fn status() -> u32 {
        let mut status = 0u32;
        // SAFETY: stores MXCSR, which every CPU with SSE has, to a local variable.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut status, options(nostack, preserves_flags)) };
        status
    }

    /// The status word of the x87, whose registers return numbers on i686 and convert integers of 64 bits.
    fn x87_status() -> u32 {
        let mut status = 0u16;
        // SAFETY: stores the status word to a local variable.
        unsafe { asm!("fnstsw word ptr [{}]", in(reg) &raw mut status, options(nostack, preserves_flags)) };
        u32::from(status)
    }

    pub(super) fn clear() {
        let cleared = status() & !0x3f;
        // SAFETY: loads MXCSR as it was, but for the status flags, which inline assembly may change.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const cleared, options(nostack, readonly)) };
        // SAFETY: clears the flags of the x87, and nothing else of it.
        unsafe { asm!("fnclex", options(nostack, nomem)) };
    }

    pub(super) fn raised() -> Flags {
        Flags::of_bits(status() | x87_status(), [0, 2, 3])
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use super::Flags;
    use core::arch::asm;

    pub(super) fn clear() {
        // SAFETY: writes the floating-point status register, whose flags inline assembly may change.
        unsafe { asm!("msr fpsr, xzr", options(nostack)) };
    }

    pub(super) fn raised() -> Flags {
        let status: u64;
        // SAFETY: reads the floating-point status register.
        unsafe { asm!("mrs {}, fpsr", out(reg) status, options(nostack)) };
        Flags::of_bits(status as u32, [0, 1, 2])
    }
}

#[cfg(target_arch = "arm")]
mod machine {
    use super::Flags;
    use core::arch::asm;

    fn status() -> u32 {
        let status: u32;
        // SAFETY: reads the floating-point status and control register.
        unsafe { asm!("vmrs {}, fpscr", out(reg) status, options(nostack)) };
        status
    }

    pub(super) fn clear() {
        // SAFETY: writes it as it was, but for the flags of exceptions, which inline assembly may change.
        unsafe { asm!("vmsr fpscr, {}", in(reg) status() & !0x9f, options(nostack)) };
    }

    pub(super) fn raised() -> Flags {
        Flags::of_bits(status(), [0, 1, 2])
    }
}

#[cfg(target_arch = "riscv32")]
mod machine {
    use super::Flags;
    use core::arch::asm;

    pub(super) fn clear() {
        // SAFETY: clears the accrued exceptions, which inline assembly may change.
        unsafe { asm!("fsflags zero", options(nostack)) };
    }

    pub(super) fn raised() -> Flags {
        let status: u32;
        // SAFETY: reads the accrued exceptions.
        unsafe { asm!("frflags {}", out(reg) status, options(nostack)) };
        Flags::of_bits(status, [4, 3, 2])
    }
}

/// Operations that raise each of the flags, and one that raises none. What was seen, and what is due.
pub(crate) fn probes() -> [(Flags, Flags); 5] {
    let divide = |a: f32, b: f32| {
        flags_of(|| {
            black_box(black_box(a) / black_box(b));
        })
    };
    let none = Flags::default();
    [
        (divide(1.0, 3.0), none),
        (divide(1.0, 0.0), Flags { divide_by_zero: true, ..none }),
        (divide(0.0, 0.0), Flags { invalid: true, ..none }),
        (divide(3e38, 1e-3), Flags { overflow: true, ..none }),
        (divide(1.0, 3.0), none),
    ]
}

/// Inputs, outputs, rank, tokens.
pub(crate) type Sizes = [usize; 4];

/// Nothing, one number, less and more than a vector or a block of dropout.
const SIDES: [usize; 4] = [0, 1, 5, 35];
const MOST: usize = 35;

/// The largest number below 1.
const BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// What runs, on which sizes, and what that raises.
pub(crate) type Report<'r> = &'r mut dyn FnMut(&'static str, Sizes, Flags);

/// The public operations, watched.
struct Watch<'r> {
    backend: Backend,
    sizes: Sizes,
    report: Report<'r>,
}

impl Watch<'_> {
    /// Only a dead adapter is refused, which one without inputs and outputs is.
    fn see(&mut self, name: &'static str, work: impl FnOnce() -> Result<(), Error>) {
        let mut result = Ok(());
        let flags = flags_of(|| result = work());
        assert!(matches!(result, Ok(()) | Err(Error::DeadAdapter)), "{name} {:?}: {result:?}", self.sizes);
        (self.report)(name, self.sizes, flags);
    }
}

/// `W`, its bias, `A`, `B`, `X`, `dY`.
struct Operands<'a> {
    w: MatRef<'a>,
    bias: &'a [f32],
    a: MatRef<'a>,
    b: MatRef<'a>,
    x: MatRef<'a>,
    dy: MatRef<'a>,
}

/// What is written.
struct Room {
    packed: [f32; MOST * MOST],
    arena: [f32; 16 * MOST * MOST],
    out: [f32; MOST * MOST],
    dx: [f32; MOST * MOST],
    file: Aligned<[u8; FILE]>,
}

const FILE: usize = 1024 + 16 * MOST * MOST;

impl Room {
    // Where numbers are read that nobody wrote, it shows.
    const HUGE: Self = Self {
        packed: [f32::MAX; MOST * MOST],
        arena: [f32::MAX; 16 * MOST * MOST],
        out: [f32::MAX; MOST * MOST],
        dx: [f32::MAX; MOST * MOST],
        file: Aligned([0xff; FILE]),
    };
}

fn matrix(memory: &[f32], rows: usize, cols: usize) -> MatRef<'_> {
    MatRef::new(&memory[..rows * cols], rows, cols).unwrap()
}

fn matrix_mut(memory: &mut [f32], rows: usize, cols: usize) -> MatMut<'_> {
    MatMut::new(&mut memory[..rows * cols], rows, cols).unwrap()
}

/// Every operation on sizes from 0 on, in every combination, on numbers in [-1, 1). Without tokens, inputs or outputs, the
/// numbers of the others are so large that a product of any two of them would show.
pub(crate) fn every_operation(backend: Backend, report: Report<'_>) {
    let (mut numbers, mut room) = ([0.0; 6 * MOST * MOST], Room::HUGE);
    for index in 0..SIDES.len().pow(4) {
        let sizes @ [inputs, outputs, rank, n] = [1, 4, 16, 64].map(|place| SIDES[index / place % SIDES.len()]);
        let rng = &mut Rng(index as u64);
        numbers.fill_with(|| Data::Finite.value(rng));
        let mut parts = numbers.chunks_mut(MOST * MOST);
        let mut read = |rows, cols, huge| {
            let part = parts.next().unwrap();
            if huge {
                part.fill(f32::MAX);
            }
            matrix(part, rows, cols)
        };
        // Without inputs there is no `h`, so `B` is multiplied by zeros at most, but for `g`; without tokens by nothing.
        let operands = Operands {
            w: read(outputs, inputs, n == 0),
            a: read(rank, inputs, n == 0 && outputs == 0),
            b: read(outputs, rank, n == 0 && inputs == 0),
            x: read(n, inputs, rank == 0 && outputs == 0),
            dy: read(n, outputs, false),
            bias: read(1, outputs, false).row(0),
        };
        let watch = &mut Watch { backend, sizes, report: &mut *report };
        passes(watch, &operands, &mut room);
        merges(watch, &operands, &mut room);
        steps(watch, &mut room);
        losses(watch, &operands, &mut room);
        files(watch, &operands, &mut room);
    }
    numbers_alone(&mut Watch { backend, sizes: [0; 4], report });
}

fn passes(watch: &mut Watch<'_>, operands: &Operands<'_>, room: &mut Room) {
    let (backend, [inputs, outputs, rank, n]) = (watch.backend, watch.sizes);
    let (Operands { w, bias, a, b, x, dy }, Room { packed, arena, out, dx, .. }) = (operands, room);
    let packed = &mut packed[..outputs * inputs];
    watch.see("pack", || pack(backend, *w, packed).map(drop));
    let panels = pack(backend, *w, packed).unwrap().into();
    let plan =
        Plan::training(Shape::new(inputs, outputs, rank), n, Optimizer::Sgd).with(Trained { a: true, bias: true });
    let Work { adapter: mut trained, mut grads, mut saved, .. } = plan.split(&mut arena[..plan.len()]).unwrap();
    trained.bias = None;
    for (base, scale) in [
        (Base { weights: (*w).into(), bias: None }, 0.0),
        (Base { weights: panels, bias: Some(MatRef::from_row(bias)) }, 0.75),
    ] {
        watch.see("fingerprint", || {
            black_box(Fingerprint::of(&base));
            Ok(())
        });
        let adapter = Adapter { a: *a, b: *b, bias: None, scale };
        for p in [0.0, 0.25, 0.5, 0.75, BELOW_ONE] {
            let dropout = Dropout { probability: p, seed: 7, step: 1, layer_number: 2, first_token: 3 };
            saved.set_dropout((p != 0.0).then_some(dropout)).unwrap();
            watch.see("forward", || forward(backend, &base, &adapter, *x, matrix_mut(out, n, outputs), &mut saved));
            for accum in [Accum::Replace, Accum::Add] {
                grads.accum = accum;
                let flow = Backprop { x: Some(*x), dy: *dy, dx: Some(matrix_mut(dx, n, inputs)) };
                watch.see("backward", || backward(backend, &base, &adapter, flow, &mut saved, &mut grads));
            }
            watch.see("input_grads", || {
                input_grads(backend, &base, &adapter, *dy, Some(matrix_mut(dx, n, inputs)), &mut saved)
            });
            if adapter.check_alive().is_ok() {
                watch.see("parameter_grads", || parameter_grads(backend, Some(*x), *dy, &saved, &mut grads.whole()));
            }
            for max_norm in [None, Some(0.0), Some(0.5)] {
                (0..rank).for_each(|k| trained.a.row_mut(k).copy_from_slice(a.row(k)));
                (0..outputs).for_each(|o| trained.b.row_mut(o).copy_from_slice(b.row(o)));
                trained.scale = scale;
                forward(backend, &base, &adapter, *x, matrix_mut(out, n, outputs), &mut saved).unwrap();
                let flow = Backprop { x: Some(*x), dy: *dy, dx: Some(matrix_mut(dx, n, inputs)) };
                let rule = InPlace { max_norm, ..InPlace::DEFAULT };
                watch.see("in place", || rule.step(backend, &base, &mut trained, flow, &mut saved));
            }
        }
    }
}

/// Where there is no element of `W'`, the adapter is as large as it can be.
fn merges(watch: &mut Watch<'_>, operands: &Operands<'_>, room: &mut Room) {
    let (backend, [inputs, outputs, rank, _]) = (watch.backend, watch.sizes);
    let base = Base { weights: operands.w.into(), bias: None };
    room.arena.fill(f32::MAX);
    let huge = (matrix(&room.arena, rank, inputs), matrix(&room.arena, outputs, rank));
    let (a, b) = if inputs * outputs == 0 { huge } else { (operands.a, operands.b) };
    for scale in [0.0, 4.0] {
        let adapter = Adapter { a, b, bias: None, scale };
        watch.see("merge", || merge(backend, &base, &adapter, matrix_mut(&mut room.out, outputs, inputs)));
        watch
            .see("merge_finite", || merge_finite(backend, &base, &adapter, matrix_mut(&mut room.out, outputs, inputs)));
        watch.see("check_finite", || adapter.check_finite());
        watch.see("check_alive", || adapter.check_alive());
    }
}

fn steps(watch: &mut Watch<'_>, room: &mut Room) {
    let (backend, [inputs, outputs, rank, n]) = (watch.backend, watch.sizes);
    let heavy = Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1, ..Sgd::DEFAULT };
    for (optimizer, sgd) in [
        (Optimizer::AdamW, None),
        (Optimizer::Momentum, Some(Sgd { momentum: 0.9, ..Sgd::DEFAULT })),
        (Optimizer::Momentum, Some(heavy)),
        (Optimizer::Sgd, Some(Sgd::DEFAULT)),
    ] {
        let plan =
            Plan::training(Shape::new(inputs, outputs, rank), n, optimizer).with(Trained { a: true, bias: true });
        room.arena.fill(f32::MAX);
        let Work { mut adapter, mut grads, mut state, .. } = plan.split(&mut room.arena[..plan.len()]).unwrap();
        watch.see("gaussian", || init::gaussian(&mut adapter, 1, 2));
        watch.see("kaiming_uniform", || init::kaiming_uniform(&mut adapter, 1, 2));
        adapter.bias.iter_mut().for_each(|bias| bias.row_mut(0).fill(0.5));
        for _ in 0..3 {
            (0..rank).for_each(|k| grads.a.as_mut().unwrap().row_mut(k).fill(0.25));
            (0..outputs).for_each(|o| grads.b.row_mut(o).fill(-0.75));
            grads.bias.iter_mut().for_each(|bias| bias.row_mut(0).fill(0.0));
            watch.see("square_sum", || {
                black_box(clip::square_sum(backend, &grads));
                Ok(())
            });
            watch.see("clip", || clip::global_norm(backend, &mut [&mut grads], 0.5).map(drop));
            watch.see("check_finite", || grads.check_finite());
            watch.see("step", || match sgd {
                None => AdamW::DEFAULT.step(backend, &mut adapter, &grads, &mut state),
                Some(sgd) => sgd.step(backend, &mut adapter, &grads, &mut state),
            });
        }
    }
}

fn losses(watch: &mut Watch<'_>, operands: &Operands<'_>, room: &mut Room) {
    let [_, outputs, _, n] = watch.sizes;
    let (labels, y) = ([0; MOST], operands.dy);
    for over in [n, n + 1] {
        let mut loss = MeanLoss::over(over);
        watch.see("squared error", || loss.mean_squared_error(y, y, matrix_mut(&mut room.out, n, outputs)));
        if outputs > 0 {
            let mut loss = MeanLoss::over(over);
            watch.see("cross-entropy", || {
                loss.softmax_cross_entropy(y, &labels[..n], matrix_mut(&mut room.out, n, outputs))
            });
        }
        watch.see("mean", || {
            black_box(loss.value());
            Ok(())
        });
    }
}

/// A file has no layer without numbers.
fn files(watch: &mut Watch<'_>, operands: &Operands<'_>, room: &mut Room) {
    let [inputs, outputs, rank, n] = watch.sizes;
    if inputs * outputs * rank == 0 {
        return;
    }
    let adapter = Adapter { a: operands.a, b: operands.b, bias: None, scale: 0.75 };
    let plan = Plan::training(Shape::new(inputs, outputs, rank), n, Optimizer::Momentum);
    room.arena.fill(0.5);
    let (arena, other) = room.arena.split_at_mut(8 * MOST * MOST);
    let mut work = plan.split(&mut arena[..plan.len()]).unwrap();
    let mut resumed = plan.split(&mut other[..plan.len()]).unwrap();
    let training = Some(Training::of(&work.state, Optimizer::Momentum, Trained::DEFAULT));
    for scale in [Scale::Direct(0.75), Scale::Alpha(8.0), Scale::RankStabilized(8.0)] {
        let entries = [Entry { scale, training, ..Entry::of("q", &adapter) }];
        let contents = Contents { entries: &entries, metadata: "", fingerprint: 0, generation: 1 };
        let mut len = 0;
        let file = &mut room.file.0;
        watch.see("emit", || {
            len = contents.emit(file).unwrap();
            Ok(())
        });
        let mut parsed = None;
        watch.see("parse", || {
            parsed = Some(AdapterFile::parse(&file[..len]).unwrap());
            Ok(())
        });
        let entry = parsed.unwrap().find("q").unwrap();
        watch.see("load", || entry.load(&mut work.adapter));
        watch.see("restore", || entry.training.unwrap().restore(&mut resumed.state));
    }
}

/// Functions of numbers: of every exponent, of every step.
fn numbers_alone(watch: &mut Watch<'_>) {
    for decay in [Decay::Constant, Decay::Linear, Decay::Cosine] {
        for (warmup, total) in [(0, 0), (0, 10), (3, 10), (10, 10), (10, 3), (u32::MAX, u32::MAX), (0, u32::MAX)] {
            for step in [0, 1, 3, 5, 9, 10, 11, u32::MAX - 1, u32::MAX] {
                watch.see("schedule", || {
                    black_box(Schedule { warmup, total, decay }.factor(black_box(step)));
                    Ok(())
                });
            }
        }
    }
    for position in 0..1000 {
        watch.see("random numbers", || {
            let words = Words::new(black_box(3));
            black_box((words.uniform(position), words.normal(position), words.below(position, 7)));
            Ok(())
        });
    }
    for upper in 0..=0xffff {
        let value = f32::from_bits(upper << 16 | 0x8001);
        if value.is_finite() {
            watch.see("dtype", || {
                for dtype in Dtype::ALL {
                    black_box(dtype.decode(black_box(dtype.encode(black_box(value)))));
                }
                Ok(())
            });
            watch.see("scale", || {
                for scale in [Scale::Alpha, Scale::RankStabilized, Scale::Direct] {
                    black_box(scale(black_box(value)).factor(black_box(3)));
                    black_box(scale(black_box(value)).factor(black_box(0)));
                }
                Ok(())
            });
        }
        if (0.0..1.0).contains(&value) {
            let dropout = Dropout { probability: value, ..Dropout::default() };
            watch.see("dropout", || {
                black_box((black_box(dropout).keeps(5, 1, 2), black_box(dropout).keep_factor()));
                Ok(())
            });
        }
    }
}
