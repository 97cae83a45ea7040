//! Every fact about the build target that something above this floor depends on.

/// Whether there is a backend with more than one lane.
pub(crate) const HAS_VECTORS: bool = cfg!(all(
    not(lowrank_scalar_only),
    any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon"),
        all(target_arch = "wasm32", target_feature = "simd128"),
    )
));

/// Whether size counts more than speed.
pub(crate) const SMALL: bool = cfg!(lowrank_small);

/// Whether the operations of binary32 are instructions. Elsewhere each is a call.
const HAS_FPU: bool = cfg!(not(any(
    all(target_arch = "arm", target_abi = "eabi"),
    all(any(target_arch = "riscv32", target_arch = "riscv64"), not(lowrank_riscv_f)),
)));

/// Whether one tile computes all products of one lane: where size counts, and beside calls, where more tiles would save 1 % of the
/// instructions.
pub(crate) const ONE_TILE: bool = SMALL || !HAS_FPU;

/// Whether one small function computes every product on vectors, too. Not on x86-64: there a function of its own that is generic over
/// the instruction set would not be compiled for it.
pub(crate) const SMALL_VECTORS: bool = SMALL && cfg!(not(target_arch = "x86_64"));

/// Whether size counts more than speed in what is not a kernel: without vectors there is no speed to win.
pub(crate) const COMPACT: bool = SMALL || !HAS_VECTORS;

/// Numbers of a panel on the stack: 12 KiB on x86-64, which has the widest tiles, 4 KiB where vectors have four lanes, none on
/// one-lane targets, which read every operand in place.
pub(crate) const PANEL: usize = match (HAS_VECTORS, cfg!(target_arch = "x86_64")) {
    (false, _) => 0,
    (true, true) => 3072,
    (true, false) => 1024,
};

/// Rows and columns of a small block on the stack: half a kibibyte where there are vectors as a rule, 64 bytes
/// elsewhere.
pub(crate) const BLOCK: (usize, usize) =
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "wasm32")) { (4, 32) } else { (2, 8) };

/// Numbers that weights are decoded into, a panel at a time.
pub(crate) const DECODED: usize = if HAS_VECTORS { PANEL } else { 256 };
