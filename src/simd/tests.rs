//! Every operation of the table beside its definition, on every backend, and what it must leave alone.

use std::vec;
use std::vec::Vec;

use super::*;

/// Magnitudes beside which arithmetic changes.
const ENDS: [u32; 8] = [0, 1, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x3f80_0001, 0x7f7f_ffff, 0x7f80_0000];

/// Numbers of all magnitudes, signs and kinds but NaN, whose bits no rule settles.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32)
        .map(|i| match (i + seed) % 5 {
            0 => f32::from_bits(ENDS[(i as usize * 3 + seed as usize) % 8] | (i + seed) << 31),
            _ => f32::from_bits((i + 1).wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503_119))),
        })
        .map(|value| if value.is_nan() { 0.75 } else { value })
        .collect()
}

/// What takes the place of every NaN.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { u32::MAX } else { value.to_bits() }).collect()
}

/// What none of the tests writes.
static MARK: f32 = -77.0;

#[derive(Copy, Clone)]
struct Operations(Backend);

impl Kernel for Operations {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        assert!(S::Narrow::LANES <= S::LANES);
        for seed in 0..if cfg!(miri) { 2 } else { 200 } {
            self.arithmetic(simd, seed);
        }
        self.memory(simd);
        self.columns(simd);
        self.codes(simd);
        if !cfg!(miri) {
            self.ends(simd);
            self.transposition(simd);
        }
    }
}

fn lanes<S: Simd>(simd: S, v: S::V) -> Vec<f32> {
    let mut lanes = vec![MARK; S::LANES];
    // SAFETY: there is room for all lanes.
    unsafe { simd.store(lanes.as_mut_ptr(), v) };
    lanes
}

impl Operations {
    fn arithmetic<S: Simd>(self, simd: S, seed: u32) {
        let [a, b, c] = [0, 1, 2].map(|which| numbers(S::LANES, 7 * seed + which));
        // SAFETY: all lanes lie there.
        let [va, vb, vc] = [&a, &b, &c].map(|from| unsafe { simd.load(from.as_ptr()) });
        let of = |each: &dyn Fn(usize) -> f32| bits(&(0..S::LANES).map(each).collect::<Vec<_>>());
        let same = |v, each: &dyn Fn(usize) -> f32| assert_eq!(bits(&lanes(simd, v)), of(each), "{:?}", self.0);
        same(va, &|i| a[i]);
        same(simd.splat(a[0]), &|_| a[0]);
        same(simd.add(va, vb), &|i| a[i] + b[i]);
        same(simd.sub(va, vb), &|i| a[i] - b[i]);
        same(simd.mul(va, vb), &|i| a[i] * b[i]);
        same(simd.div(va, vb), &|i| a[i] / b[i]);
        same(simd.sqrt(va), &|i| a[i].sqrt());
        same(simd.step(vc, va, vb), &|i| self.0.arithmetic().step(c[i], a[i], b[i]));
    }

    /// Each end beside each other, zero beside infinity as well.
    fn ends<S: Simd>(self, simd: S) {
        let ends = ENDS.iter().flat_map(|&end| [f32::from_bits(end), -f32::from_bits(end)]);
        let same = |v, expected| assert_eq!(bits(&lanes(simd, v)), bits(&vec![expected; S::LANES]), "{:?}", self.0);
        for (a, b) in ends.clone().flat_map(|a| ends.clone().map(move |b| (a, b))) {
            let [va, vb] = [a, b].map(|x| simd.splat(x));
            same(simd.add(va, vb), a + b);
            same(simd.sub(va, vb), a - b);
            same(simd.mul(va, vb), a * b);
            same(simd.div(va, vb), a / b);
            for c in ends.clone() {
                same(simd.step(simd.splat(c), va, vb), self.0.arithmetic().step(c, a, b));
            }
        }
    }

    /// The first lanes, as many as are asked for, in memory and in slices.
    fn memory<S: Simd>(self, simd: S) {
        assert_eq!(simd.unrelated(&MARK), &raw const MARK, "{:?}", self.0);
        let starts = if cfg!(miri) { 1..2 } else { 0..3 };
        for (start, count) in starts.flat_map(|start| (0..S::LANES + 3).map(move |count| (start, count))) {
            let all = numbers(S::LANES + 3, 9);
            let (from, first) = (numbers(start + count, 3).split_off(start), count.min(S::LANES));
            let mut expected = vec![0.0; S::LANES];
            expected[..first].copy_from_slice(&from[..first]);
            let mut written = vec![MARK; count + 3];
            written[..first].copy_from_slice(&all[..first]);

            assert_eq!(bits(&lanes(simd, simd.read(&from))), bits(&expected), "{:?}: read {count}", self.0);
            let v = simd.read(&all);
            let mut to = vec![MARK; count + 3];
            simd.write(&mut to[..count], v);
            assert_eq!(bits(&to), bits(&written), "{:?}: write {count}", self.0);
            if count > S::LANES {
                continue;
            }
            // SAFETY: as many numbers lie there.
            let v_first = unsafe { simd.load_first(from.as_ptr(), count) };
            assert_eq!(bits(&lanes(simd, v_first)), bits(&expected), "{:?}: load {count}", self.0);
            let mut to = vec![MARK; count + 3];
            // SAFETY: there is room for as many.
            unsafe { simd.store_first(to.as_mut_ptr(), count, v) };
            assert_eq!(bits(&to), bits(&written), "{:?}: store {count}", self.0);
        }
    }

    /// All bytes in all lanes, at odd addresses, too.
    fn codes<S: Simd>(self, simd: S) {
        let bytes: Vec<u8> = (0..if cfg!(miri) { 20 } else { 300 }).map(|at| at as u8).collect();
        for bytes in bytes.windows(S::LANES) {
            let of = |number: &dyn Fn(u8) -> f32| bytes.iter().map(|&byte| number(byte)).collect::<Vec<_>>();
            // SAFETY: as many bytes are there.
            let signed = unsafe { simd.load_i8(bytes.as_ptr()) };
            assert_eq!(lanes(simd, signed), of(&|byte| f32::from(byte as i8)), "{:?}: {bytes:?}", self.0);
            // SAFETY: as many bytes are there.
            let [low, high] = unsafe { simd.load_u4(bytes.as_ptr()) };
            assert_eq!(lanes(simd, low), of(&|byte| f32::from(byte % 16)), "{:?}: {bytes:?}", self.0);
            assert_eq!(lanes(simd, high), of(&|byte| f32::from(byte / 16)), "{:?}: {bytes:?}", self.0);
        }
    }

    fn columns<S: Simd>(self, simd: S) {
        for stride in [4, 5, 9] {
            let from = numbers((S::LANES - 1) * stride + 4, 4);
            // SAFETY: four numbers of each row lie there.
            let columns = unsafe { simd.load_columns(from.as_ptr(), stride) };
            for (j, column) in columns.into_iter().enumerate() {
                let expected: Vec<_> = (0..S::LANES).map(|l| from[l * stride + j]).collect();
                assert_eq!(bits(&lanes(simd, column)), bits(&expected), "{:?}: {stride} apart, {j}", self.0);
            }
        }
    }

    fn transposition<S: Simd>(self, simd: S) {
        for (count, stride, to_stride) in
            [(0, 4, 0), (3, 3, 1), (4, 4, 0), (4, 7, 2), (7, 7, 0), (8, 9, 0), (11, 11, 3), (12, 12, 1)]
        {
            let (fours, to_stride) = (count / 4 * 4, S::LANES + to_stride);
            let from = numbers((S::LANES - 1) * stride + fours, 5);
            let mut to = vec![MARK; (fours.max(1) - 1) * to_stride + if fours > 0 { S::LANES } else { 0 }];
            let mut expected = to.clone();
            for (j, l) in (0..fours).flat_map(|j| (0..S::LANES).map(move |l| (j, l))) {
                expected[j * to_stride + l] = from[l * stride + j];
            }
            let untouched = to.clone();
            if fours > 0 {
                // One number less than it takes.
                let short = to.len() - 1;
                assert_eq!(simd.transpose(&from[..from.len() - 1], stride, &mut to, to_stride, count), 0);
                assert_eq!(simd.transpose(&from, stride, &mut to[..short], to_stride, count), 0);
                assert_eq!(bits(&to), bits(&untouched), "{:?}: what is too short", self.0);
            }
            let case = std::format!("{:?}: {count} columns, {stride} to {to_stride} apart", self.0);
            assert_eq!(simd.transpose(&from, stride, &mut to, to_stride, count), fours, "{case}");
            assert_eq!(bits(&to), bits(&expected), "{case}");
        }
    }
}

#[test]
fn operations_are_their_definitions() {
    // Miri takes a thousand times as long, and is asked for what the CPU may not have: the widest.
    let narrower = if cfg!(miri) { Backend::available().count() - Arithmetic::ALL.len() } else { 0 };
    for backend in Backend::available().skip(narrower) {
        backend.run(Operations(backend));
    }
}

/// However small an addend is beside a product that lies between two numbers, it says which of them is next.
#[cfg(not(lowrank_separate_only))]
#[test]
fn the_fused_step_loses_no_addend() {
    let (x, below) = (1.0 + 1.0 / 4096.0, 1.0 + 1.0 / 2048.0);
    let tiny = 1.0 / (1u64 << 60) as f32;
    for (acc, expected) in [(tiny, below + f32::EPSILON), (-tiny, below)] {
        assert_eq!(Arithmetic::Fused.step(acc, x, x), expected);
    }
}

/// What a backend says of itself.
struct Widths;

impl Kernel for Widths {
    type Output = (usize, usize, bool);

    fn run<S: Simd>(self, _: S) -> (usize, usize, bool) {
        (S::LANES, S::LANES * S::TILE_VECTORS, S::COMPACT)
    }
}

#[test]
fn backends_are_what_they_say() {
    let available: Vec<_> = Backend::available().collect();
    let compiled: Vec<_> = Backend::compiled().collect();
    assert_eq!(compiled[0], "scalar");
    assert!(available.contains(&Backend::SCALAR) && available.contains(&Backend::BASELINE));
    for pair in available.chunks(Arithmetic::ALL.len()) {
        let name = pair[0].name();
        assert!(compiled.contains(&name), "{name}");
        for (backend, arithmetic) in pair.iter().zip(Arithmetic::ALL) {
            assert_eq!((backend.name(), backend.arithmetic()), (name, arithmetic));
            assert_eq!(Backend::SCALAR.with(arithmetic).arithmetic(), arithmetic);
            assert_eq!(pair[0].with(arithmetic), *backend);
            let said = std::format!("{name}/{}", arithmetic.name());
            assert_eq!((std::format!("{backend}"), std::format!("{backend:?}")), (said.clone(), said));
            // Panels are as wide as a tile, where there is one; the sizes are those of the page of `weight`.
            let (lanes, tile, _) = backend.run(Widths);
            let width = backend.panel_width();
            assert_eq!(width, if lanes == 1 { 8 } else { tile }, "{backend}");
            assert_eq!(backend.has_fused(), ["avx2", "avx512", "neon"].contains(&name), "{backend}");
            assert_eq!(selftest(*backend), Ok(()), "{backend}");
        }
    }
    assert_eq!(available.len() % Arithmetic::ALL.len(), 0);
    let best = available[available.len() - 1];
    assert_eq!(Backend::detect().name(), best.name());
    for native in [Backend::detect(), Backend::BASELINE] {
        let fastest = if native.has_fused() { best.arithmetic() } else { Arithmetic::Separate };
        assert_eq!(native.arithmetic(), fastest, "{native}");
    }
    assert_eq!(Arithmetic::Separate.name(), "separate");
    assert!(Arithmetic::ALL.iter().all(|arithmetic| ["separate", "fused"].contains(&arithmetic.name())));
}

/// One lane is always compact; vectors are where it was asked for, but not those that are chosen at run time.
#[test]
fn speed_counts_where_there_are_vectors_and_size_elsewhere() {
    let vectors = Backend::compiled().count() > 1;
    assert_eq!((target::HAS_VECTORS, target::COMPACT), (vectors, cfg!(lowrank_small) || !vectors));
    for backend in Backend::available() {
        let (lanes, _, compact) = backend.run(Widths);
        let small = cfg!(all(lowrank_small, not(target_arch = "x86_64")));
        assert_eq!(compact, small || lanes == 1, "{backend}");
    }
}

/// Runs a selftest on a thread whose floating-point environment was changed: bits of MXCSR on x86, of FPCR on AArch64.
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
fn selftest_with(control: usize, backend: Backend) -> Result<(), Deviation> {
    use core::arch::asm;
    use core::hint::black_box;

    let mut usual = 0usize;
    #[cfg(not(target_arch = "aarch64"))]
    // SAFETY: stores MXCSR, which has 32 bits, to a local variable.
    unsafe {
        asm!("stmxcsr [{}]", in(reg) &raw mut usual, options(nostack, preserves_flags))
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: only reads the register.
    unsafe {
        asm!("mrs {}, fpcr", out(reg) usual, options(nostack, preserves_flags))
    };
    let set = |register: usize| {
        #[cfg(not(target_arch = "aarch64"))]
        // SAFETY: the bits are there. What runs until they are as they were is what the selftest is for.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const register, options(nostack, preserves_flags))
        };
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        unsafe {
            asm!("msr fpcr, {}", in(reg) register, options(nostack, preserves_flags))
        };
    };
    set(usual | control);
    let found = black_box(selftest as fn(_) -> _)(backend);
    set(usual);
    found
}

/// What flushes, rounds upwards, downwards or towards zero is found out by the first probe that it concerns.
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
#[test]
fn selftest_finds_another_environment() {
    const FLUSHES: &[usize] = if cfg!(target_arch = "aarch64") { &[1 << 24] } else { &[1 << 15, 1 << 6] };
    const ROUNDING: [usize; 3] =
        if cfg!(target_arch = "aarch64") { [1 << 22, 2 << 22, 3 << 22] } else { [2 << 13, 1 << 13, 3 << 13] };
    let [tie, above] = [(0x4b80_0000, 0x4b80_0001), (0x4b80_0001, 0x4b80_0000)];
    for backend in Backend::available() {
        let expect = |control, probe, (expected, got)| {
            assert_eq!(
                selftest_with(control, backend),
                Err(Deviation { probe, expected, got }),
                "{backend}: {control:x}"
            );
        };
        FLUSHES.iter().for_each(|&control| expect(control, 0, (2, 0)));
        expect(ROUNDING[0], 1, tie);
        expect(ROUNDING[1], 2, above);
        expect(ROUNDING[2], 2, above);
        assert_eq!(selftest(backend), Ok(()), "{backend}: as it was");
    }
}

#[test]
fn bytes_are_numbers_where_they_are_aligned() {
    let numbers = [1.5f32, -2.0, 0.25];
    // SAFETY: numbers are bytes.
    let bytes: &[u8] = unsafe { core::slice::from_raw_parts(numbers.as_ptr().cast(), 12) };
    for (start, end) in (0..=12).flat_map(|start| (start..=12).map(move |end| (start, end))) {
        let inside = start % 4 == 0 && (end - start) % 4 == 0 && cfg!(target_endian = "little");
        let expected = inside.then(|| &numbers[start / 4..end / 4]);
        assert_eq!(as_f32(&bytes[start..end]), expected, "{start}..{end}");
    }
}
