//! Which instruction set and which arithmetic a call uses. The one list of backends is at the end of this file.

use core::fmt;

#[cfg(not(lowrank_separate_only))]
use super::lanes::Fused;
use super::lanes::{Kernel, Separate, Simd};
use super::scalar::{Scalar, step};
use super::target::SMALL_VECTORS;

/// How one link of a chain is rounded. Chosen by the caller, never by the CPU or the shape: the two give different bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `acc = rn(acc + rn(a·b))`: product and sum rounded one after the other. Fast everywhere.
    Separate,
    /// `acc = rn(acc + a·b)`: rounded once. Fast where the CPU has a fused instruction (x86-64 with FMA, AArch64, RISC-V
    /// with F; a Cortex-M with an FPU, but for a call at every step); elsewhere it is emulated exactly, and slower by one
    /// to two orders of magnitude.
    #[cfg(not(lowrank_separate_only))]
    Fused,
}

impl Arithmetic {
    /// Both.
    #[cfg(not(lowrank_separate_only))]
    pub const ALL: [Arithmetic; 2] = [Arithmetic::Separate, Arithmetic::Fused];
    /// The one that this build has.
    #[cfg(lowrank_separate_only)]
    pub const ALL: [Arithmetic; 1] = [Arithmetic::Separate];

    /// `separate` or `fused`.
    pub const fn name(self) -> &'static str {
        match self {
            Arithmetic::Separate => "separate",
            #[cfg(not(lowrank_separate_only))]
            Arithmetic::Fused => "fused",
        }
    }

    /// One link of a chain, on one number: the definition that every backend is held to.
    ///
    /// ```
    /// use lowrank::Arithmetic::{Fused, Separate};
    /// let x = 1.0 + 1.0 / 4096.0; // its square, 1 + 2^-11 + 2^-24, has one bit too many
    /// assert_eq!(Separate.step(-1.0, x, x), 1.0 / 2048.0);
    /// assert_eq!(Fused.step(-1.0, x, x), 1.0 / 2048.0 + 1.0 / 16777216.0);
    /// ```
    #[inline]
    pub fn step(self, acc: f32, a: f32, b: f32) -> f32 {
        match self {
            Arithmetic::Separate => step::<Separate>(acc, a, b),
            #[cfg(not(lowrank_separate_only))]
            Arithmetic::Fused => step::<Fused>(acc, a, b),
        }
    }
}

/// An instruction set that the CPU is known to have, and the arithmetic to use on it.
///
/// Every backend gives the same bits in the same arithmetic. A value of this type is a proof: there is no safe way to
/// make one for instructions that are not there.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct Backend {
    isa: Isa,
    arithmetic: Arithmetic,
}

/// Instruction set and arithmetic: `avx2/fused`.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name(), self.arithmetic.name())
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Backend {
    /// One number at a time, on every target.
    pub const SCALAR: Backend = Backend { isa: Isa::Scalar, arithmetic: Arithmetic::Separate };

    /// The best that the build target guarantees, in the arithmetic that is fast there. A constant, so that nothing else
    /// is linked. On x86-64 without `-C target-feature` that is [`Backend::SCALAR`]: see `detect`, which has feature `std`.
    pub const BASELINE: Backend = Isa::BASELINE.native();

    /// The same instruction set in another arithmetic.
    pub const fn with(self, arithmetic: Arithmetic) -> Backend {
        Backend { isa: self.isa, arithmetic }
    }

    /// The arithmetic in use.
    pub const fn arithmetic(self) -> Arithmetic {
        self.arithmetic
    }

    /// `scalar`, `avx2`, `avx512`, `neon` or `simd128`.
    pub const fn name(self) -> &'static str {
        self.isa.name()
    }

    /// Whether the vectors have an instruction for [`Arithmetic::Fused`]. Where they have none, and on one lane, the step is
    /// emulated, or left to the FPU of a Cortex-M or of RISC-V.
    pub const fn has_fused(self) -> bool {
        self.isa.has_fused()
    }

    /// Width, in outputs, of the panels that this backend reads fastest. See [`crate::weight`].
    pub const fn panel_width(self) -> usize {
        self.isa.panel_width()
    }

    /// Whether one small function computes every product: see [`Simd::COMPACT`](super::Simd::COMPACT).
    pub(crate) const fn is_compact(self) -> bool {
        SMALL_VECTORS || matches!(self.isa, Isa::Scalar)
    }

    /// The best that this CPU has, in the arithmetic that is fast there. Asks the CPU once per process (the standard
    /// library caches the answer).
    ///
    /// Under Miri, and wherever the standard library cannot ask, this is [`Backend::BASELINE`].
    #[cfg(feature = "std")]
    #[cfg_attr(docsrs, doc(cfg(feature = "std")))]
    pub fn detect() -> Backend {
        Isa::ALL.iter().rev().find(|isa| isa.is_detected()).map_or(Backend::BASELINE, |isa| isa.native())
    }

    /// Every backend that this build contains and this CPU has, each in both arithmetics, slowest first.
    #[cfg(feature = "std")]
    #[cfg_attr(docsrs, doc(cfg(feature = "std")))]
    pub fn available() -> impl Iterator<Item = Backend> {
        Isa::ALL
            .iter()
            .filter(|isa| isa.is_detected())
            .flat_map(|&isa| Arithmetic::ALL.map(|arithmetic| Backend { isa, arithmetic }))
    }

    /// The names of all backends that this build contains, whether or not this CPU has them.
    pub fn compiled() -> impl Iterator<Item = &'static str> {
        Isa::ALL.iter().map(|isa| isa.name())
    }
}

impl Isa {
    const fn native(self) -> Backend {
        #[cfg(not(lowrank_separate_only))]
        if self.has_fused() {
            return Backend { isa: self, arithmetic: Arithmetic::Fused };
        }
        Backend { isa: self, arithmetic: Arithmetic::Separate }
    }
}

/// The list of backends: from it follow the enum, the names, detection and dispatch.
///
/// `token` makes the operation table; where that is `unsafe`, the variant itself is the proof, as it is only made by
/// detection, by a build that guarantees the features, or by a constructor that demands them.
macro_rules! backends {
    ($(
        $(#[$cfg:meta])*
        $variant:ident {
            name: $name:literal,
            fused: $fused:literal,
            panel: $panel:literal,
            guaranteed: $guaranteed:expr,
            detected: $detected:expr,
            token: $token:ident => $make:expr $(,)?
        }
    )*) => {
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
        enum Isa {
            $($(#[$cfg])* $variant,)*
        }

        impl Isa {
            /// Slowest first.
            const ALL: &'static [Isa] = &[$($(#[$cfg])* Isa::$variant,)*];

            const BASELINE: Isa = {
                let mut best = Isa::Scalar;
                $($(#[$cfg])* if $guaranteed { best = Isa::$variant; })*
                best
            };

            const fn name(self) -> &'static str {
                match self { $($(#[$cfg])* Isa::$variant => $name,)* }
            }

            const fn has_fused(self) -> bool {
                match self { $($(#[$cfg])* Isa::$variant => $fused,)* }
            }

            const fn panel_width(self) -> usize {
                match self { $($(#[$cfg])* Isa::$variant => $panel,)* }
            }

            #[cfg(feature = "std")]
            fn is_detected(self) -> bool {
                match self { $($(#[$cfg])* Isa::$variant => $guaranteed || $detected,)* }
            }
        }

        impl Backend {
            /// Runs a kernel: the one place where instruction set and arithmetic become types.
            #[inline(always)]
            pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
                match (self.isa, self.arithmetic) {
                    $(
                        $(#[$cfg])*
                        (Isa::$variant, Arithmetic::Separate) => { type $token = Separate; $make.call(kernel) }
                        $(#[$cfg])*
                        #[cfg(not(lowrank_separate_only))]
                        (Isa::$variant, Arithmetic::Fused) => { type $token = Fused; $make.call(kernel) }
                    )*
                }
            }
        }
    };
}

backends! {
    Scalar {
        name: "scalar",
        fused: false,
        panel: 8,
        guaranteed: true,
        detected: true,
        token: R => Scalar::<R>::new(),
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(lowrank_scalar_only)))]
    Simd128 {
        name: "simd128",
        fused: false,
        panel: 8,
        guaranteed: true,
        detected: true,
        token: R => super::simd128::Simd128::<R>::new(),
    }
    #[cfg(all(target_arch = "aarch64", target_feature = "neon", not(lowrank_scalar_only)))]
    Neon {
        name: "neon",
        fused: true,
        panel: 12,
        guaranteed: true,
        detected: true,
        token: R => {
            // SAFETY: the build target guarantees NEON.
            unsafe { super::neon::Neon::<R>::new() }
        },
    }
    #[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
    Avx2 {
        name: "avx2",
        fused: true,
        panel: 16,
        guaranteed: cfg!(all(target_feature = "avx2", target_feature = "fma")),
        detected: std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma"),
        token: R => {
            // SAFETY: the variant exists only where the CPU has AVX2 and FMA.
            unsafe { super::avx2::Avx2::<R>::new() }
        },
    }
    #[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
    Avx512 {
        name: "avx512",
        fused: true,
        panel: 48,
        guaranteed: cfg!(target_feature = "avx512f"),
        detected: std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("fma"),
        token: R => {
            // SAFETY: the variant exists only where the CPU has AVX-512F.
            unsafe { super::avx512::Avx512::<R>::new() }
        },
    }
}

/// For code that has checked the CPU by itself, on targets without the standard library.
#[cfg(all(target_arch = "x86_64", not(lowrank_scalar_only)))]
impl Backend {
    /// AVX2 with FMA.
    ///
    /// # Safety
    /// Safe to call from a function that has the features. From others it takes `unsafe`, and with it the caller's word
    /// that the CPU has AVX2 and FMA and that the operating system saves their registers.
    #[target_feature(enable = "avx2,fma")]
    pub const fn avx2() -> Backend {
        Isa::Avx2.native()
    }

    /// AVX-512F.
    ///
    /// # Safety
    /// As [`Backend::avx2`], for AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub const fn avx512() -> Backend {
        Isa::Avx512.native()
    }
}
