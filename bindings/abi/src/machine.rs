//! Versions, backends, the self-test.

use core::ffi::c_char;

use lowrank::{Arithmetic, Backend, selftest};

use crate::codes::*;
use crate::error::{Fault, lowrank_error};

/// The backend of a code.
pub(crate) fn backend_of(code: u32) -> Result<Backend, Fault> {
    match code {
        LOWRANK_BASELINE => Ok(Backend::BASELINE),
        LOWRANK_BASELINE_SEPARATE => Ok(separate(Backend::BASELINE)),
        LOWRANK_BASELINE_FUSED => fused(code, Backend::BASELINE),
        LOWRANK_SCALAR_SEPARATE => scalar(code).map(separate),
        LOWRANK_SCALAR_FUSED => fused(code, scalar(code)?),
        LOWRANK_AVX2_SEPARATE | LOWRANK_AVX512_SEPARATE => vector(code).map(separate),
        LOWRANK_AVX2_FUSED | LOWRANK_AVX512_FUSED => fused(code, vector(code)?),
        got => Err(Fault::unknown(LOWRANK_ARGUMENT_BACKEND, got)),
    }
}

const fn separate(backend: Backend) -> Backend {
    backend.with(Arithmetic::Separate)
}

#[cfg(not(lowrank_small))]
fn scalar(_: u32) -> Result<Backend, Fault> {
    Ok(Backend::SCALAR)
}

#[cfg(lowrank_small)]
fn scalar(code: u32) -> Result<Backend, Fault> {
    Err(unsupported(code))
}

#[cfg(not(lowrank_separate_only))]
fn fused(_: u32, backend: Backend) -> Result<Backend, Fault> {
    Ok(backend.with(Arithmetic::Fused))
}

#[cfg(lowrank_separate_only)]
fn fused(code: u32, _: Backend) -> Result<Backend, Fault> {
    Err(unsupported(code))
}

#[allow(dead_code, reason = "a library with all backends and both arithmetics has no such code")]
const fn unsupported(code: u32) -> Fault {
    Fault::new(LOWRANK_UNSUPPORTED, LOWRANK_ARGUMENT_BACKEND, 0, code as usize)
}

#[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
fn vector(code: u32) -> Result<Backend, Fault> {
    if code < LOWRANK_AVX512_SEPARATE && cpu::has(cpu::AVX2) {
        // SAFETY: the CPU has the instructions, and the system saves their registers.
        Ok(unsafe { Backend::avx2() })
    } else if code >= LOWRANK_AVX512_SEPARATE && cpu::has(cpu::AVX512) {
        // SAFETY: as above.
        Ok(unsafe { Backend::avx512() })
    } else {
        Err(unsupported(code))
    }
}

#[cfg(not(all(target_arch = "x86_64", not(lowrank_scalar_only))))]
fn vector(code: u32) -> Result<Backend, Fault> {
    Err(unsupported(code))
}

/// The best backend of this CPU, in the arithmetic that is fast there.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_detect() -> u32 {
    detect()
}

#[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
fn detect() -> u32 {
    const FUSED: bool = cfg!(not(lowrank_separate_only));
    if cpu::has(cpu::AVX512) {
        if FUSED { LOWRANK_AVX512_FUSED } else { LOWRANK_AVX512_SEPARATE }
    } else if cpu::has(cpu::AVX2) {
        if FUSED { LOWRANK_AVX2_FUSED } else { LOWRANK_AVX2_SEPARATE }
    } else {
        LOWRANK_BASELINE
    }
}

#[cfg(not(all(target_arch = "x86_64", not(lowrank_scalar_only))))]
fn detect() -> u32 {
    LOWRANK_BASELINE
}

/// What the CPU has, asked once: CPUID takes microseconds in a virtual machine, and every call with a backend wants to know.
#[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
mod cpu {
    use core::arch::x86_64::{__cpuid_count, _xgetbv};
    use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

    /// AVX2 and FMA.
    pub(super) const AVX2: u8 = 1;
    /// AVX-512F, and the above.
    pub(super) const AVX512: u8 = 2;
    const ASKED: u8 = 4;

    /// 0 until the CPU was asked. Threads that ask at the same time get the same answer.
    static ANSWER: AtomicU8 = AtomicU8::new(0);

    pub(super) fn has(feature: u8) -> bool {
        let mut answer = ANSWER.load(Relaxed);
        if answer == 0 {
            answer = ASKED | ask();
            ANSWER.store(answer, Relaxed);
        }
        answer & feature != 0
    }

    #[cold]
    fn ask() -> u8 {
        #[target_feature(enable = "xsave")]
        fn saved_by_the_system() -> u64 {
            // SAFETY: the caller has seen that the system has turned XGETBV on.
            unsafe { _xgetbv(0) }
        }
        #[allow(unused_unsafe, reason = "the oldest compiler that is supported wants it, later ones do not")]
        fn leaf(number: u32) -> core::arch::x86_64::CpuidResult {
            // SAFETY: every x86-64 CPU has the instruction.
            unsafe { __cpuid_count(number, 0) }
        }
        const FMA: u32 = 1 << 12;
        const OSXSAVE: u32 = 1 << 27;
        const AVX: u32 = 1 << 28;
        const LEAF_AVX2: u32 = 1 << 5;
        const LEAF_AVX512F: u32 = 1 << 16;
        const YMM: u64 = 0b110;
        const ZMM: u64 = 0b1110_0110;

        let features = leaf(1).ecx;
        if leaf(0).eax < 7 || features & (FMA | OSXSAVE | AVX) != FMA | OSXSAVE | AVX {
            return 0;
        }
        let more = leaf(7).ebx;
        // SAFETY: the CPU has XSAVE, and the system uses it.
        let saved = unsafe { saved_by_the_system() };
        if more & LEAF_AVX2 == 0 || saved & YMM != YMM {
            0
        } else if more & LEAF_AVX512F == 0 || saved & ZMM != ZMM {
            AVX2
        } else {
            AVX2 | AVX512
        }
    }
}

/// Name of the instruction set of a backend, for example "avx2", with a zero byte at the end; null for a code that is none
/// in this build or on this CPU.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_backend_name(backend: u32) -> *const c_char {
    let name = match backend_of(backend).map(Backend::name) {
        Ok("scalar") => c"scalar",
        Ok("avx2") => c"avx2",
        Ok("avx512") => c"avx512",
        Ok("neon") => c"neon",
        Ok("simd128") => c"simd128",
        _ => return core::ptr::null(),
    };
    name.as_ptr()
}

/// The version of the library, for example "0.1.0", with a zero byte at the end.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The version of the arithmetic: results have the same bits wherever it is the same.
#[unsafe(no_mangle)]
pub extern "C" fn lowrank_contract_version() -> u32 {
    1
}

/// Asks a backend for known answers. Run it once at start, and on every thread whose floating-point environment others may
/// have changed.
///
/// # Safety
/// As the page of the header says of pointers.
///
/// # Errors
/// LOWRANK_DEVIATION: results will differ from those of other targets. LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lowrank_selftest(backend: u32, error: *mut lowrank_error) -> lowrank_status {
    crate::call!(error, (), |()| selftest(backend_of(backend)?).map_err(Fault::Deviation))
}
