//! What the machine can do at best: floating-point operations that stay in registers, and reading memory.

use lowrank::{Arithmetic, Backend};

/// Lets the multipliers and adders of `backend`'s instruction set run for `rounds` rounds, in registers, on chains that do
/// not depend on each other. Returns the number of floating-point operations done, or `None` for an instruction set that
/// has no such loop here.
///
/// Fused: one multiply-add per chain. Separate: as many multiplications as additions.
pub fn compute(backend: Backend, rounds: usize) -> Option<u64> {
    let fused = backend.arithmetic() == Arithmetic::Fused;
    match backend.name() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a backend of this name exists only where the CPU has AVX2 and FMA.
        "avx2" => Some(unsafe { avx2::compute(fused, rounds) }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a backend of this name exists only where the CPU has AVX-512F.
        "avx512" => Some(unsafe { avx512::compute(fused, rounds) }),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a backend of this name exists only where the CPU has NEON.
        "neon" => Some(unsafe { neon::compute(fused, rounds) }),
        _ => None,
    }
}

/// Adds up `data` with the widest loads of `backend`'s instruction set where it has some, as eight streams side by side: from
/// end to end, a hardware prefetcher stops at the end of every page of 4 KiB, and main memory gives a third less. Returns the
/// bytes read.
pub fn read(backend: Backend, data: &[f32]) -> u64 {
    match backend.name() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a backend of this name exists only where the CPU has AVX2 and FMA.
        "avx2" => unsafe { avx2::read(data) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a backend of this name exists only where the CPU has AVX-512F.
        "avx512" => unsafe { avx512::read(data) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a backend of this name exists only where the CPU has NEON.
        "neon" => unsafe { neon::read(data) },
        _ => {
            let sums =
                data.chunks_exact(8).fold([0.0; 8], |sums: [f32; 8], part| core::array::from_fn(|i| sums[i] + part[i]));
            core::hint::black_box(sums);
        }
    }
    size_of_val(data) as u64
}

/// The loops of one instruction set. `$chains` accumulators and two operands fit into its register file, and are more than
/// latency times throughput of its units.
macro_rules! instruction_set {
    ($set:ident, $arch:ident, $features:literal, $vector:ident, $lanes:literal, $chains:literal,
     $splat:ident, $mul:ident, $add:ident, $load:ident, |$acc:ident, $x:ident, $y:ident| $multiply_add:expr) => {
        mod $set {
            use core::arch::$arch::*;
            use core::hint::black_box;

            #[target_feature(enable = $features)]
            pub(super) fn compute(fused: bool, rounds: usize) -> u64 {
                let factor = $splat(black_box(0.5));
                let summand = $splat(black_box(1.0));
                let mut chains = [factor; $chains];
                for chain in &mut chains {
                    *chain = $splat(black_box(1.0));
                }
                if fused {
                    for _ in 0..rounds {
                        for chain in &mut chains {
                            let ($acc, $x, $y) = (summand, *chain, factor);
                            *chain = $multiply_add;
                        }
                    }
                } else {
                    let factor = summand;
                    let (products, sums) = chains.split_at_mut($chains / 2);
                    for _ in 0..rounds {
                        for (product, sum) in products.iter_mut().zip(&mut *sums) {
                            *product = $mul(*product, factor);
                            *sum = $add(*sum, summand);
                        }
                    }
                }
                black_box(chains);
                let per_round = if fused { 2 * $chains } else { $chains };
                (rounds * per_round * $lanes) as u64
            }

            #[target_feature(enable = $features)]
            pub(super) fn read(data: &[f32]) {
                let mut sums: [$vector; 8] = [$splat(0.0); 8];
                let stream = data.len() / 8;
                for at in (0..stream - stream % $lanes).step_by($lanes) {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: the i-th eighth of the data holds a vector at this place.
                        *sum = $add(*sum, unsafe { $load(data.as_ptr().wrapping_add(i * stream + at)) });
                    }
                }
                black_box(sums);
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
instruction_set!(
    avx2,
    x86_64,
    "avx2,fma",
    __m256,
    8,
    12,
    _mm256_set1_ps,
    _mm256_mul_ps,
    _mm256_add_ps,
    _mm256_loadu_ps,
    |acc, x, y| _mm256_fmadd_ps(x, y, acc)
);

#[cfg(target_arch = "x86_64")]
instruction_set!(
    avx512,
    x86_64,
    "avx512f",
    __m512,
    16,
    24,
    _mm512_set1_ps,
    _mm512_mul_ps,
    _mm512_add_ps,
    _mm512_loadu_ps,
    |acc, x, y| _mm512_fmadd_ps(x, y, acc)
);

#[cfg(target_arch = "aarch64")]
instruction_set!(
    neon,
    aarch64,
    "neon",
    float32x4_t,
    4,
    24,
    vdupq_n_f32,
    vmulq_f32,
    vaddq_f32,
    vld1q_f32,
    |acc, x, y| vfmaq_f32(acc, x, y)
);
