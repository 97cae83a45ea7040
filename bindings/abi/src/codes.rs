//! The numbers that stand for something in C. They arrive as plain integers and are checked: no Rust enum is ever made of a
//! number from C.

/// 0 where a call has done its work, negative where it has not.
#[allow(non_camel_case_types, reason = "the name that C sees")]
pub type lowrank_status = i32;

/// Done.
pub const LOWRANK_OK: lowrank_status = 0;
/// A buffer has the wrong number of elements: `expected`, `got`.
pub const LOWRANK_LENGTH: lowrank_status = -1;
/// A matrix has the wrong number of rows: `expected`, `got`.
pub const LOWRANK_ROWS: lowrank_status = -2;
/// A matrix has the wrong number of columns: `expected`, `got`.
pub const LOWRANK_COLS: lowrank_status = -3;
/// There is more of something than there is room for: at most `expected` fit, `got` came.
pub const LOWRANK_TOO_MANY: lowrank_status = -4;
/// A row stride is smaller than a row: at least `expected` elements are needed, `got` came.
pub const LOWRANK_STRIDE: lowrank_status = -5;
/// A size does not fit into the address space.
pub const LOWRANK_OVERFLOW: lowrank_status = -6;
/// A number lies outside of its range: `at_least`, `at_most`, `value`.
pub const LOWRANK_RANGE: lowrank_status = -7;
/// An infinity or a NaN where only finite numbers make sense: element `index`, row by row.
pub const LOWRANK_NON_FINITE: lowrank_status = -8;
/// Label number `index` is `got`, but there are `expected` classes.
pub const LOWRANK_LABEL: lowrank_status = -9;
/// A and B are both zero: the adapter can never learn.
pub const LOWRANK_DEAD_ADAPTER: lowrank_status = -10;
/// An argument that this call needs was left out.
pub const LOWRANK_MISSING: lowrank_status = -11;
/// An argument was given that this call cannot fill.
pub const LOWRANK_UNEXPECTED: lowrank_status = -12;
/// Not an adapter file, or contents that cannot be one: `flaw` at byte `index`.
pub const LOWRANK_FILE: lowrank_status = -13;
/// No forward pass of this batch came before.
pub const LOWRANK_NO_FORWARD: lowrank_status = -14;
/// `lowrank_parameter_grads` came before `lowrank_input_grads`.
pub const LOWRANK_NO_INPUT_GRADS: lowrank_status = -15;
/// A backward pass with saved activations that were made for inference: there is no room for gs.
pub const LOWRANK_FOR_INFERENCE: lowrank_status = -16;
/// An earlier pass of this batch ran without an adapter (its scale was 0), and this one has one: run forward again.
pub const LOWRANK_ABSENT_ADAPTER: lowrank_status = -17;
/// The memory was planned for the optimizer `expected`, and the step is one of `got`, which needs more.
pub const LOWRANK_OTHER_OPTIMIZER: lowrank_status = -18;
/// A range that starts at `expected` ends before that, at `got`.
pub const LOWRANK_REVERSED: lowrank_status = -19;
/// The flash failed at address `index`; its driver said `got`.
pub const LOWRANK_FLASH: lowrank_status = -20;
/// The flash does not hold at address `index` what was erased or programmed there.
pub const LOWRANK_VERIFY: lowrank_status = -21;
/// The file has `got` bytes, but there are `expected`.
pub const LOWRANK_TOO_LONG: lowrank_status = -22;
/// All seals of slot `index` are used up: erase both slots to start anew.
pub const LOWRANK_NO_SEAL_LEFT: lowrank_status = -23;
/// The bounds of slot `index` have to be multiples of `expected`.
pub const LOWRANK_SLOT_UNALIGNED: lowrank_status = -24;
/// Slot `index` does not lie within the `expected` bytes of the flash.
pub const LOWRANK_SLOT_OUTSIDE: lowrank_status = -25;
/// Slot `index` needs at least `expected` bytes.
pub const LOWRANK_SLOT_TOO_SMALL: lowrank_status = -26;
/// The slots have bytes in common.
pub const LOWRANK_SLOTS_OVERLAP: lowrank_status = -27;
/// The page has `got` bytes; expected are a multiple of `expected`, at least two of them.
pub const LOWRANK_PAGE: lowrank_status = -28;
/// This build or this thread does not keep to IEEE 754: probe `index` gave the bits `got`, not `expected`.
pub const LOWRANK_DEVIATION: lowrank_status = -30;
/// A pointer is null that must not be.
pub const LOWRANK_NULL: lowrank_status = -40;
/// An address is not a multiple of `expected`.
pub const LOWRANK_MISALIGNED: lowrank_status = -41;
/// The first field of a struct is `got`, not its size `expected`: was it set, do header and library belong together?
pub const LOWRANK_STRUCT_SIZE: lowrank_status = -42;
/// What is written (`argument`) has bytes in common with another argument (`got`).
pub const LOWRANK_OVERLAP: lowrank_status = -43;
/// A buffer of `got` bytes would reach beyond the end of the address space.
pub const LOWRANK_WRAPS: lowrank_status = -44;
/// A code without a meaning: `got`.
pub const LOWRANK_UNKNOWN: lowrank_status = -45;
/// The code `got` has a meaning, but not in this build, or not on this CPU.
pub const LOWRANK_UNSUPPORTED: lowrank_status = -46;
/// Text is not UTF-8.
pub const LOWRANK_NOT_UTF8: lowrank_status = -47;
/// The file has no such entry.
pub const LOWRANK_NOT_FOUND: lowrank_status = -48;
/// The adapter cannot be used where it lies: numbers of 16 bits, not at a multiple of 4. `lowrank_entry_load` copies it. Or B has a
/// bias, for which there is no place.
pub const LOWRANK_NOT_IN_PLACE: lowrank_status = -49;
/// Only a call sets the argument, and it did not: a layer, its panels, its dropout; see `lowrank_code`.
pub const LOWRANK_NOT_SET: lowrank_status = -50;
/// An error that this version of the ABI has no code for.
pub const LOWRANK_OTHER: lowrank_status = -99;

// Instruction set and arithmetic
/// What the build target guarantees, in the arithmetic that is fast there.
pub const LOWRANK_BASELINE: u32 = 0;
/// What the build target guarantees; product and sum rounded one after the other.
pub const LOWRANK_BASELINE_SEPARATE: u32 = 1;
/// What the build target guarantees; product and sum rounded once. Emulated where there is no instruction for it.
pub const LOWRANK_BASELINE_FUSED: u32 = 2;
/// One number at a time; product and sum rounded one after the other.
pub const LOWRANK_SCALAR_SEPARATE: u32 = 3;
/// One number at a time; product and sum rounded once, emulated.
pub const LOWRANK_SCALAR_FUSED: u32 = 4;
/// x86-64 with AVX2 and FMA. LOWRANK_UNSUPPORTED where the CPU does not have them: ask `lowrank_detect`.
pub const LOWRANK_AVX2_SEPARATE: u32 = 5;
/// x86-64 with AVX2 and FMA. LOWRANK_UNSUPPORTED where the CPU does not have them: ask `lowrank_detect`.
pub const LOWRANK_AVX2_FUSED: u32 = 6;
/// x86-64 with AVX-512F. LOWRANK_UNSUPPORTED where the CPU does not have it: ask `lowrank_detect`.
pub const LOWRANK_AVX512_SEPARATE: u32 = 7;
/// x86-64 with AVX-512F. LOWRANK_UNSUPPORTED where the CPU does not have it: ask `lowrank_detect`.
pub const LOWRANK_AVX512_FUSED: u32 = 8;

// What training takes, with the numbers that the adapter file has
/// No training: inference only.
pub const LOWRANK_INFERENCE: u32 = 0;
/// SGD with momentum: gradients and one number per parameter.
pub const LOWRANK_MOMENTUM: u32 = 1;
/// AdamW: gradients and two numbers per parameter.
pub const LOWRANK_ADAMW: u32 = 2;
/// SGD without momentum: gradients, no state.
pub const LOWRANK_SGD: u32 = 3;
/// SGD while the gradients are formed: neither gradients nor state.
pub const LOWRANK_IN_PLACE: u32 = 4;
/// A is trained beside B.
pub const LOWRANK_TRAINS_A: u32 = 1;
/// The bias of the layer is trained beside B.
pub const LOWRANK_TRAINS_BIAS: u32 = 2;
/// A gradient replaces what was in its buffer.
pub const LOWRANK_REPLACE: u32 = 0;
/// A gradient is added to what is in its buffer: the chains go on, so micro-batches give the bits of the batch.
pub const LOWRANK_ACCUMULATE: u32 = 1;

// How numbers are stored, with the numbers that the adapter file has
/// IEEE 754 binary32.
pub const LOWRANK_F32: u32 = 1;
/// IEEE 754 binary16.
pub const LOWRANK_F16: u32 = 2;
/// The upper half of a binary32.
pub const LOWRANK_BF16: u32 = 3;

// How the factor s follows from alpha, with the numbers that the adapter file has
/// s = alpha.
pub const LOWRANK_SCALE_DIRECT: u32 = 0;
/// s = alpha/r.
pub const LOWRANK_SCALE_ALPHA: u32 = 1;
/// s = alpha/√r.
pub const LOWRANK_SCALE_RANK_STABILIZED: u32 = 2;

// How the learning rate falls after the warm-up
/// It stays.
pub const LOWRANK_DECAY_CONSTANT: u32 = 0;
/// In a straight line to 0 at the end.
pub const LOWRANK_DECAY_LINEAR: u32 = 1;
/// Along half a cosine to 0 at the end.
pub const LOWRANK_DECAY_COSINE: u32 = 2;

// What saved activations hold
/// Nothing: no forward pass came before.
pub const LOWRANK_PROGRESS_NONE: u32 = 0;
/// hs, after a forward pass.
pub const LOWRANK_PROGRESS_FORWARD: u32 = 1;
/// hs and gs, after a backward pass.
pub const LOWRANK_PROGRESS_BACKWARD: u32 = 2;
/// Neither: a pass has found rank 0 or a scale of 0. A backward pass that finds that, too, needs neither.
pub const LOWRANK_PROGRESS_ABSENT: u32 = 3;

// Sizes
/// The least bytes of a store's page.
pub const LOWRANK_PAGE_LEN: usize = 128;
/// Elements of the room of `lowrank_contents` for each entry.
pub const LOWRANK_ENTRY_ROOM: usize = 88;
/// What is programmed into flash at once is a multiple of this, at a multiple of this.
pub const LOWRANK_FLASH_UNIT: usize = 64;

// Arguments that an error can be about
/// None in particular.
pub const LOWRANK_ARGUMENT_NONE: u32 = 0;
/// Frozen weights W [out, in].
pub const LOWRANK_ARGUMENT_W: u32 = 1;
/// Bias [out].
pub const LOWRANK_ARGUMENT_BIAS: u32 = 2;
/// A [r, in].
pub const LOWRANK_ARGUMENT_A: u32 = 3;
/// B [out, r].
pub const LOWRANK_ARGUMENT_B: u32 = 4;
/// The factor s.
pub const LOWRANK_ARGUMENT_SCALE: u32 = 5;
/// Input X [n, in].
pub const LOWRANK_ARGUMENT_X: u32 = 6;
/// Output Y [n, out].
pub const LOWRANK_ARGUMENT_Y: u32 = 7;
/// Gradient with respect to Y.
pub const LOWRANK_ARGUMENT_DY: u32 = 8;
/// Gradient with respect to X.
pub const LOWRANK_ARGUMENT_DX: u32 = 9;
/// Gradient with respect to A.
pub const LOWRANK_ARGUMENT_DA: u32 = 10;
/// Gradient with respect to B.
pub const LOWRANK_ARGUMENT_DB: u32 = 11;
/// Gradient with respect to the bias.
pub const LOWRANK_ARGUMENT_DBIAS: u32 = 12;
/// Saved activations.
pub const LOWRANK_ARGUMENT_SAVED: u32 = 13;
/// State of an optimizer.
pub const LOWRANK_ARGUMENT_STATE: u32 = 14;
/// Destination of a merge.
pub const LOWRANK_ARGUMENT_MERGED: u32 = 15;
/// Memory that a plan cuts.
pub const LOWRANK_ARGUMENT_ARENA: u32 = 16;
/// Memory for packed weights.
pub const LOWRANK_ARGUMENT_PACKED: u32 = 17;
/// The number of tokens.
pub const LOWRANK_ARGUMENT_TOKENS: u32 = 18;
/// The rank r.
pub const LOWRANK_ARGUMENT_RANK: u32 = 19;
/// A matrix without a role.
pub const LOWRANK_ARGUMENT_MATRIX: u32 = 20;
/// The norm of the gradients of all layers.
pub const LOWRANK_ARGUMENT_GRAD_NORM: u32 = 21;
/// The learning rate.
pub const LOWRANK_ARGUMENT_LEARNING_RATE: u32 = 22;
/// Momentum of SGD.
pub const LOWRANK_ARGUMENT_MOMENTUM: u32 = 23;
/// What keeps a division away from zero.
pub const LOWRANK_ARGUMENT_EPSILON: u32 = 24;
/// Weight decay.
pub const LOWRANK_ARGUMENT_WEIGHT_DECAY: u32 = 25;
/// Maximal norm of a gradient.
pub const LOWRANK_ARGUMENT_MAX_NORM: u32 = 26;
/// Dropout.
pub const LOWRANK_ARGUMENT_DROPOUT: u32 = 27;
/// Class labels.
pub const LOWRANK_ARGUMENT_LABELS: u32 = 28;
/// Targets of a loss.
pub const LOWRANK_ARGUMENT_TARGETS: u32 = 29;
/// Gradient with respect to the prediction.
pub const LOWRANK_ARGUMENT_LOSS_GRAD: u32 = 30;
/// An adapter file, in bytes.
pub const LOWRANK_ARGUMENT_FILE: u32 = 31;
/// The bias of B.
pub const LOWRANK_ARGUMENT_B_BIAS: u32 = 32;
/// The layer number, which chooses the random numbers of a layer.
pub const LOWRANK_ARGUMENT_LAYER_NUMBER: u32 = 33;
/// Dampening of SGD.
pub const LOWRANK_ARGUMENT_DAMPENING: u32 = 34;
/// The moment factor beta1 of AdamW.
pub const LOWRANK_ARGUMENT_BETA1: u32 = 35;
/// The moment factor beta2 of AdamW.
pub const LOWRANK_ARGUMENT_BETA2: u32 = 36;
/// The struct of the base.
pub const LOWRANK_ARGUMENT_BASE: u32 = 100;
/// The struct of the adapter.
pub const LOWRANK_ARGUMENT_ADAPTER: u32 = 101;
/// The struct of what flows through a layer.
pub const LOWRANK_ARGUMENT_FLOW: u32 = 102;
/// The struct of the gradients.
pub const LOWRANK_ARGUMENT_GRADS: u32 = 103;
/// A plan.
pub const LOWRANK_ARGUMENT_PLAN: u32 = 104;
/// What a plan has cut.
pub const LOWRANK_ARGUMENT_WORK: u32 = 105;
/// What a plan says.
pub const LOWRANK_ARGUMENT_LENGTHS: u32 = 106;
/// The backend.
pub const LOWRANK_ARGUMENT_BACKEND: u32 = 107;
/// Optimizer, or its settings.
pub const LOWRANK_ARGUMENT_OPTIMIZER: u32 = 108;
/// What is trained.
pub const LOWRANK_ARGUMENT_TRAINED: u32 = 109;
/// Replace or accumulate.
pub const LOWRANK_ARGUMENT_ACCUMULATE: u32 = 110;
/// The progress of saved activations.
pub const LOWRANK_ARGUMENT_PROGRESS: u32 = 111;
/// How numbers are stored.
pub const LOWRANK_ARGUMENT_DTYPE: u32 = 112;
/// A mean loss.
pub const LOWRANK_ARGUMENT_LOSS: u32 = 113;
/// A sequence of random numbers.
pub const LOWRANK_ARGUMENT_RNG: u32 = 114;
/// Items to be shuffled.
pub const LOWRANK_ARGUMENT_ITEMS: u32 = 115;
/// A schedule.
pub const LOWRANK_ARGUMENT_SCHEDULE: u32 = 116;
/// A number that a call returns.
pub const LOWRANK_ARGUMENT_RESULT: u32 = 117;
/// An entry of a file.
pub const LOWRANK_ARGUMENT_ENTRY: u32 = 118;
/// The entries of contents.
pub const LOWRANK_ARGUMENT_ENTRIES: u32 = 119;
/// The name of an entry.
pub const LOWRANK_ARGUMENT_NAME: u32 = 120;
/// Metadata of a file.
pub const LOWRANK_ARGUMENT_METADATA: u32 = 121;
/// Contents of a file.
pub const LOWRANK_ARGUMENT_CONTENTS: u32 = 122;
/// The room of contents.
pub const LOWRANK_ARGUMENT_ROOM: u32 = 123;
/// The flash of a store.
pub const LOWRANK_ARGUMENT_FLASH: u32 = 124;
/// A store.
pub const LOWRANK_ARGUMENT_STORE: u32 = 125;
/// The page of a store.
pub const LOWRANK_ARGUMENT_PAGE: u32 = 126;
/// Where a file lies.
pub const LOWRANK_ARGUMENT_STORED: u32 = 127;
/// The struct of the error.
pub const LOWRANK_ARGUMENT_ERROR: u32 = 128;
/// The clock of an optimizer.
pub const LOWRANK_ARGUMENT_CLOCK: u32 = 129;
/// A layer: base, adapter and all memory of it.
pub const LOWRANK_ARGUMENT_LAYER: u32 = 130;

// Flaws of a file
/// None: the error is not about a file.
pub const LOWRANK_FLAW_NONE: u32 = 0;
/// The bytes end before the header does: at least `expected`.
pub const LOWRANK_FLAW_TRUNCATED: u32 = 1;
/// No adapter file.
pub const LOWRANK_FLAW_MAGIC: u32 = 2;
/// Version `got` is not known, `expected` is.
pub const LOWRANK_FLAW_VERSION: u32 = 3;
/// The checksum is `expected`, not `got`.
pub const LOWRANK_FLAW_CRC: u32 = 4;
/// The length is `expected`.
pub const LOWRANK_FLAW_LENGTH: u32 = 5;
/// It has to start at `expected`.
pub const LOWRANK_FLAW_OFFSET: u32 = 6;
/// It reaches beyond the end.
pub const LOWRANK_FLAW_OUTSIDE: u32 = 7;
/// Too large for its field.
pub const LOWRANK_FLAW_TOO_LARGE: u32 = 8;
/// Must not be 0.
pub const LOWRANK_FLAW_ZERO: u32 = 9;
/// Has to be 0, is `got`.
pub const LOWRANK_FLAW_NOT_ZERO: u32 = 10;
/// Padding has to be 0, is `got`.
pub const LOWRANK_FLAW_PADDING: u32 = 11;
/// `got` has no meaning.
pub const LOWRANK_FLAW_CODE: u32 = 12;
/// Trains a bias that is not there.
pub const LOWRANK_FLAW_NO_BIAS: u32 = 13;
/// No UTF-8.
pub const LOWRANK_FLAW_UTF8: u32 = 14;
/// Entries have to ascend by name and id.
pub const LOWRANK_FLAW_ORDER: u32 = 15;
/// Not a finite number.
pub const LOWRANK_FLAW_NON_FINITE: u32 = 16;
/// The scale does not follow from alpha and rank: `at_least` does, `value` came.
pub const LOWRANK_FLAW_SCALE: u32 = 17;
/// Not from 0 to below 1: `value`.
pub const LOWRANK_FLAW_PROBABILITY: u32 = 18;
/// `expected` rows are needed, not `got`.
pub const LOWRANK_FLAW_ROWS: u32 = 19;
/// `expected` columns are needed, not `got`.
pub const LOWRANK_FLAW_COLS: u32 = 20;
/// Moments are f32.
pub const LOWRANK_FLAW_NOT_F32: u32 = 21;
/// A flaw that this version of the ABI has no code for.
pub const LOWRANK_FLAW_OTHER: u32 = 99;
