/* lowrank: low-rank adaptation (LoRA; nothing to do with the radio) on buffers that the caller owns.
 *
 *     Y = X*W^T + b + s*(X*A^T)*B^T      W frozen [out, in]   A [r, in]   B [out, r]   s = alpha/r or alpha/sqrt(r)
 *
 * What is true of all functions:
 * - Status. Every call that can fail returns LOWRANK_OK, or a negative LOWRANK_... code. Where the last argument `error` is
 *   not NULL, it says which argument, what was expected and what came. Where a call has failed, nothing was written but
 *   `error` and working memory (the `room` of contents, the `page` of a store), unless the call says otherwise.
 * - Structs belong to the caller. The first field of each is its size in bytes, which every call checks, also of the
 *   structs that it is to fill. What calls set in a struct, only calls change. The clock, the dropout and the random state
 *   within another struct may be all 0, their size as well: there is none then.
 * - Pointers. NULL, misaligned, overlapping and wrapping ones are refused: LOWRANK_NULL, LOWRANK_MISALIGNED,
 *   LOWRANK_STRUCT_SIZE, LOWRANK_OVERLAP, LOWRANK_WRAPS. What a call writes (also the struct `error`) may not have a byte in
 *   common with anything else that it gets. The caller's word counts for the rest: there is as much memory as is said, and
 *   no other thread writes it in the meantime.
 * - Matrices are row-major, one token a row, with any row stride.
 * - Numbers at any multiple of 4 bytes are right; more alignment is only faster.
 * - No state is kept anywhere else: calls on disjoint memory can run on any thread at the same time, also in interrupts.
 * - No heap, no panic, no static memory but for a byte on x86-64: what the CPU has, once it was asked.
 */


#ifndef LOWRANK_H
#define LOWRANK_H

/* Made from bindings/abi by cbindgen: change it there. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the build target guarantees, in the arithmetic that is fast there.
#define LOWRANK_BASELINE 0

// What the build target guarantees; product and sum rounded one after the other.
#define LOWRANK_BASELINE_SEPARATE 1

// What the build target guarantees; product and sum rounded once. Emulated where there is no instruction for it.
#define LOWRANK_BASELINE_FUSED 2

// One number at a time; product and sum rounded one after the other.
#define LOWRANK_SCALAR_SEPARATE 3

// One number at a time; product and sum rounded once, emulated.
#define LOWRANK_SCALAR_FUSED 4

// x86-64 with AVX2 and FMA. LOWRANK_UNSUPPORTED where the CPU does not have them: ask `lowrank_detect`.
#define LOWRANK_AVX2_SEPARATE 5

// x86-64 with AVX2 and FMA. LOWRANK_UNSUPPORTED where the CPU does not have them: ask `lowrank_detect`.
#define LOWRANK_AVX2_FUSED 6

// x86-64 with AVX-512F. LOWRANK_UNSUPPORTED where the CPU does not have it: ask `lowrank_detect`.
#define LOWRANK_AVX512_SEPARATE 7

// x86-64 with AVX-512F. LOWRANK_UNSUPPORTED where the CPU does not have it: ask `lowrank_detect`.
#define LOWRANK_AVX512_FUSED 8

// No training: inference only.
#define LOWRANK_INFERENCE 0

// SGD with momentum: gradients and one number per parameter.
#define LOWRANK_MOMENTUM 1

// AdamW: gradients and two numbers per parameter.
#define LOWRANK_ADAMW 2

// SGD without momentum: gradients, no state.
#define LOWRANK_SGD 3

// SGD while the gradients are formed: neither gradients nor state.
#define LOWRANK_IN_PLACE 4

// A is trained beside B.
#define LOWRANK_TRAINS_A 1

// The bias of the layer is trained beside B.
#define LOWRANK_TRAINS_BIAS 2

// A gradient replaces what was in its buffer.
#define LOWRANK_REPLACE 0

// A gradient is added to what is in its buffer: the chains go on, so micro-batches give the bits of the batch.
#define LOWRANK_ACCUMULATE 1

// IEEE 754 binary32.
#define LOWRANK_F32 1

// IEEE 754 binary16.
#define LOWRANK_F16 2

// The upper half of a binary32.
#define LOWRANK_BF16 3

// s = alpha.
#define LOWRANK_SCALE_DIRECT 0

// s = alpha/r.
#define LOWRANK_SCALE_ALPHA 1

// s = alpha/√r.
#define LOWRANK_SCALE_RANK_STABILIZED 2

// It stays.
#define LOWRANK_DECAY_CONSTANT 0

// In a straight line to 0 at the end.
#define LOWRANK_DECAY_LINEAR 1

// Along half a cosine to 0 at the end.
#define LOWRANK_DECAY_COSINE 2

// Nothing: no forward pass came before.
#define LOWRANK_PROGRESS_NONE 0

// hs, after a forward pass.
#define LOWRANK_PROGRESS_FORWARD 1

// hs and gs, after a backward pass.
#define LOWRANK_PROGRESS_BACKWARD 2

// Neither: a pass has found rank 0 or a scale of 0. A backward pass that finds that, too, needs neither.
#define LOWRANK_PROGRESS_ABSENT 3

// The least bytes of a store's page.
#define LOWRANK_PAGE_LEN 128

// Elements of the room of `lowrank_contents` for each entry.
#define LOWRANK_ENTRY_ROOM 88

// What is programmed into flash at once is a multiple of this, at a multiple of this.
#define LOWRANK_FLASH_UNIT 64

// None in particular.
#define LOWRANK_ARGUMENT_NONE 0

// Frozen weights W [out, in].
#define LOWRANK_ARGUMENT_W 1

// Bias [out].
#define LOWRANK_ARGUMENT_BIAS 2

// A [r, in].
#define LOWRANK_ARGUMENT_A 3

// B [out, r].
#define LOWRANK_ARGUMENT_B 4

// The factor s.
#define LOWRANK_ARGUMENT_SCALE 5

// Input X [n, in].
#define LOWRANK_ARGUMENT_X 6

// Output Y [n, out].
#define LOWRANK_ARGUMENT_Y 7

// Gradient with respect to Y.
#define LOWRANK_ARGUMENT_DY 8

// Gradient with respect to X.
#define LOWRANK_ARGUMENT_DX 9

// Gradient with respect to A.
#define LOWRANK_ARGUMENT_DA 10

// Gradient with respect to B.
#define LOWRANK_ARGUMENT_DB 11

// Gradient with respect to the bias.
#define LOWRANK_ARGUMENT_DBIAS 12

// Saved activations.
#define LOWRANK_ARGUMENT_SAVED 13

// State of an optimizer.
#define LOWRANK_ARGUMENT_STATE 14

// Destination of a merge.
#define LOWRANK_ARGUMENT_MERGED 15

// Memory that a plan cuts.
#define LOWRANK_ARGUMENT_ARENA 16

// Memory for packed weights.
#define LOWRANK_ARGUMENT_PACKED 17

// The number of tokens.
#define LOWRANK_ARGUMENT_TOKENS 18

// The rank r.
#define LOWRANK_ARGUMENT_RANK 19

// A matrix without a role.
#define LOWRANK_ARGUMENT_MATRIX 20

// The norm of the gradients of all layers.
#define LOWRANK_ARGUMENT_GRAD_NORM 21

// The learning rate.
#define LOWRANK_ARGUMENT_LEARNING_RATE 22

// Momentum of SGD.
#define LOWRANK_ARGUMENT_MOMENTUM 23

// What keeps a division away from zero.
#define LOWRANK_ARGUMENT_EPSILON 24

// Weight decay.
#define LOWRANK_ARGUMENT_WEIGHT_DECAY 25

// Maximal norm of a gradient.
#define LOWRANK_ARGUMENT_MAX_NORM 26

// Dropout.
#define LOWRANK_ARGUMENT_DROPOUT 27

// Class labels.
#define LOWRANK_ARGUMENT_LABELS 28

// Targets of a loss.
#define LOWRANK_ARGUMENT_TARGETS 29

// Gradient with respect to the prediction.
#define LOWRANK_ARGUMENT_LOSS_GRAD 30

// An adapter file, in bytes.
#define LOWRANK_ARGUMENT_FILE 31

// The bias of B.
#define LOWRANK_ARGUMENT_B_BIAS 32

// The layer number, which chooses the random numbers of a layer.
#define LOWRANK_ARGUMENT_LAYER_NUMBER 33

// Dampening of SGD.
#define LOWRANK_ARGUMENT_DAMPENING 34

// The moment factor beta1 of AdamW.
#define LOWRANK_ARGUMENT_BETA1 35

// The moment factor beta2 of AdamW.
#define LOWRANK_ARGUMENT_BETA2 36

// The struct of the base.
#define LOWRANK_ARGUMENT_BASE 100

// The struct of the adapter.
#define LOWRANK_ARGUMENT_ADAPTER 101

// The struct of what flows through a layer.
#define LOWRANK_ARGUMENT_FLOW 102

// The struct of the gradients.
#define LOWRANK_ARGUMENT_GRADS 103

// A plan.
#define LOWRANK_ARGUMENT_PLAN 104

// What a plan has cut.
#define LOWRANK_ARGUMENT_WORK 105

// What a plan says.
#define LOWRANK_ARGUMENT_LENGTHS 106

// The backend.
#define LOWRANK_ARGUMENT_BACKEND 107

// Optimizer, or its settings.
#define LOWRANK_ARGUMENT_OPTIMIZER 108

// What is trained.
#define LOWRANK_ARGUMENT_TRAINED 109

// Replace or accumulate.
#define LOWRANK_ARGUMENT_ACCUMULATE 110

// The progress of saved activations.
#define LOWRANK_ARGUMENT_PROGRESS 111

// How numbers are stored.
#define LOWRANK_ARGUMENT_DTYPE 112

// A mean loss.
#define LOWRANK_ARGUMENT_LOSS 113

// A sequence of random numbers.
#define LOWRANK_ARGUMENT_RNG 114

// Items to be shuffled.
#define LOWRANK_ARGUMENT_ITEMS 115

// A schedule.
#define LOWRANK_ARGUMENT_SCHEDULE 116

// A number that a call returns.
#define LOWRANK_ARGUMENT_RESULT 117

// An entry of a file.
#define LOWRANK_ARGUMENT_ENTRY 118

// The entries of contents.
#define LOWRANK_ARGUMENT_ENTRIES 119

// The name of an entry.
#define LOWRANK_ARGUMENT_NAME 120

// Metadata of a file.
#define LOWRANK_ARGUMENT_METADATA 121

// Contents of a file.
#define LOWRANK_ARGUMENT_CONTENTS 122

// The room of contents.
#define LOWRANK_ARGUMENT_ROOM 123

// The flash of a store.
#define LOWRANK_ARGUMENT_FLASH 124

// A store.
#define LOWRANK_ARGUMENT_STORE 125

// The page of a store.
#define LOWRANK_ARGUMENT_PAGE 126

// Where a file lies.
#define LOWRANK_ARGUMENT_STORED 127

// The struct of the error.
#define LOWRANK_ARGUMENT_ERROR 128

// The clock of an optimizer.
#define LOWRANK_ARGUMENT_CLOCK 129

// A layer: base, adapter and all memory of it.
#define LOWRANK_ARGUMENT_LAYER 130

// None: the error is not about a file.
#define LOWRANK_FLAW_NONE 0

// The bytes end before the header does: at least `expected`.
#define LOWRANK_FLAW_TRUNCATED 1

// No adapter file.
#define LOWRANK_FLAW_MAGIC 2

// Version `got` is not known, `expected` is.
#define LOWRANK_FLAW_VERSION 3

// The checksum is `expected`, not `got`.
#define LOWRANK_FLAW_CRC 4

// The length is `expected`.
#define LOWRANK_FLAW_LENGTH 5

// It has to start at `expected`.
#define LOWRANK_FLAW_OFFSET 6

// It reaches beyond the end.
#define LOWRANK_FLAW_OUTSIDE 7

// Too large for its field.
#define LOWRANK_FLAW_TOO_LARGE 8

// Must not be 0.
#define LOWRANK_FLAW_ZERO 9

// Has to be 0, is `got`.
#define LOWRANK_FLAW_NOT_ZERO 10

// Padding has to be 0, is `got`.
#define LOWRANK_FLAW_PADDING 11

// `got` has no meaning.
#define LOWRANK_FLAW_CODE 12

// Trains a bias that is not there.
#define LOWRANK_FLAW_NO_BIAS 13

// No UTF-8.
#define LOWRANK_FLAW_UTF8 14

// Entries have to ascend by name and id.
#define LOWRANK_FLAW_ORDER 15

// Not a finite number.
#define LOWRANK_FLAW_NON_FINITE 16

// The scale does not follow from alpha and rank: `at_least` does, `value` came.
#define LOWRANK_FLAW_SCALE 17

// Not from 0 to below 1: `value`.
#define LOWRANK_FLAW_PROBABILITY 18

// `expected` rows are needed, not `got`.
#define LOWRANK_FLAW_ROWS 19

// `expected` columns are needed, not `got`.
#define LOWRANK_FLAW_COLS 20

// Moments are f32.
#define LOWRANK_FLAW_NOT_F32 21

// A flaw that this version of the ABI has no code for.
#define LOWRANK_FLAW_OTHER 99

// 0 where a call has done its work, negative where it has not.
typedef int32_t lowrank_status;

// A matrix of a file: row-major, without gaps. Left out when `data` is null.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // The numbers, little-endian. At any address when they come from a file, at a multiple of 4 (16 bits: 1) to be written.
    const void *data;
    // Number of rows.
    size_t rows;
    // Number of columns.
    size_t cols;
    // LOWRANK_F32, LOWRANK_F16 or LOWRANK_BF16.
    uint32_t dtype;
} lowrank_tensor;

// How far the optimizer of a layer has come. All 0 before the first step; its size may be 0 then, too.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Steps taken. Before the first one the moments are not read.
    uint64_t steps;
    // 1 - beta1^t.
    float weight1;
    // 1 - beta2^t.
    float weight2;
} lowrank_clock;

// Where the random numbers of a layer stand, and its dropout. All 0 where there are none; its size may be 0 then, too.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Seed of the run.
    uint64_t seed;
    // Number of the training step.
    uint32_t step;
    // Number of the layer. A file may have any number here, a layer with dropout has one below 2^30.
    uint32_t layer_number;
    // Probability of dropout, from 0 to below 1.
    float dropout;
} lowrank_random_state;

// An entry: what an adapter file holds of one layer. Its pointers point into the file, or to what is to be written.
typedef struct {
    // Bytes of this struct; to be set before a call that fills it.
    size_t size;
    // Its name in UTF-8, without a zero byte at the end.
    const char *name;
    // Bytes of the name.
    size_t name_len;
    // A number that tells entries of one name apart.
    uint32_t id;
    // How s follows from alpha and rank: LOWRANK_SCALE_...
    uint32_t scale_mode;
    // alpha, or s itself with LOWRANK_SCALE_DIRECT.
    float alpha;
    // 1 where the base is stored as [in, out] where it comes from, otherwise 0.
    uint32_t fan_in_fan_out;
    // A [r, in].
    lowrank_tensor a;
    // B [out, r].
    lowrank_tensor b;
    // A bias [1, out] that takes the place of the base's. May be left out.
    lowrank_tensor bias;
    // The bias [1, out] of B. May be left out.
    lowrank_tensor b_bias;
    // Whose state is stored: LOWRANK_ADAMW, ...; LOWRANK_INFERENCE where none is.
    uint32_t optimizer;
    // LOWRANK_TRAINS_A, LOWRANK_TRAINS_BIAS, both (|) or 0.
    uint32_t trained;
    // Of the optimizer.
    lowrank_clock clock;
    // First and second moments of A, of B, of the bias; left out where there are none.
    lowrank_tensor moments[6];
    // Where the random numbers stand.
    lowrank_random_state random;
} lowrank_entry;

// What is to be written into a file.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Ascending by name and then by id.
    const lowrank_entry *entries;
    // Number of entries.
    size_t entries_len;
    // Text in UTF-8; null when there is none.
    const char *metadata;
    // Bytes of the metadata.
    size_t metadata_len;
    // The fingerprint of the base; 0 when it is not known.
    uint64_t fingerprint;
    // The number of the save. Not looked at by `lowrank_store_save`, which counts itself.
    uint32_t generation;
    // Working memory of a call: at a multiple of 8. What is in it before does not matter, and a call writes to it also when
    // it fails.
    uint64_t *room;
    // Elements of the room: at least LOWRANK_ENTRY_ROOM for each entry.
    size_t room_len;
} lowrank_contents;

// What went wrong with an argument. Nothing but working memory was written then, unless a call says otherwise. Fields that
// the status does not speak of are 0.
typedef struct {
    // Bytes of this struct; to be set before the call.
    size_t size;
    // What the call returned.
    lowrank_status status;
    // The argument that it is about: `LOWRANK_ARGUMENT_...`.
    uint32_t argument;
    // What was expected.
    size_t expected;
    // What came.
    size_t got;
    // Where: an element, a label, a byte of a file, a probe, a slot, an address of the flash.
    size_t index;
    // What is wrong with a file: `LOWRANK_FLAW_...`.
    uint32_t flaw;
    // The smallest value allowed.
    float at_least;
    // The largest value allowed.
    float at_most;
    // The value that came.
    float value;
} lowrank_error;

// A matrix `[rows, cols]` that is only read: element (i, j) is `data[i * stride + j]`. It may lie in flash.
//
// Where a matrix may be left out, it is when `data` is null; the other fields are not looked at then.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Its first element, at a multiple of 4. May be null where there are no elements.
    const float *data;
    // Number of rows.
    size_t rows;
    // Number of columns.
    size_t cols;
    // Elements from the start of one row to the start of the next, at least `cols`.
    size_t stride;
} lowrank_matrix;

// An adapter that is only read. It may lie in flash.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // A [r, in].
    lowrank_matrix a;
    // B [out, r].
    lowrank_matrix b;
    // A trained bias [1, out] that takes the place of the base's. May be left out.
    lowrank_matrix bias;
    // The factor s.
    float scale;
} lowrank_adapter;

// A matrix `[rows, cols]` that is read and written; the fields are those of `lowrank_matrix`.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Its first element.
    float *data;
    // Number of rows.
    size_t rows;
    // Number of columns.
    size_t cols;
    // Elements from the start of one row to the start of the next.
    size_t stride;
} lowrank_matrix_mut;

// An adapter in training; the fields are those of `lowrank_adapter`.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // A [r, in].
    lowrank_matrix_mut a;
    // B [out, r].
    lowrank_matrix_mut b;
    // A trained bias [1, out]. May be left out.
    lowrank_matrix_mut bias;
    // The factor s.
    float scale;
} lowrank_adapter_mut;

// State of the optimizer of one layer.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // First and second moments of A, of B, of the bias; left out where there are none.
    lowrank_matrix_mut moments[6];
    // Steps and bias corrections.
    lowrank_clock clock;
} lowrank_state;

// What the header of a file says.
typedef struct {
    // Bytes of this struct; to be set before the call.
    size_t size;
    // Number of entries.
    size_t entries;
    // Text in UTF-8 that this library does not interpret, without a zero byte at the end.
    const char *metadata;
    // Bytes of the metadata.
    size_t metadata_len;
    // The fingerprint of the base; 0 when it is not known.
    uint64_t fingerprint;
    // The number of the save. It wraps.
    uint32_t generation;
} lowrank_file;

// Code that a call has named. Only the calls write it, so it does not say its size. Where it is needed and was not named, a call
// says LOWRANK_NOT_SET.
typedef struct {
    // The code.
    void (*function)(void);
    // All bits of its address turned round, and a number of its kind: what lies in memory that no call has filled in is refused, not
    // run, and so is code of another kind.
    size_t inverse;
} lowrank_code;

// The frozen layer: W [out, in] and its bias [out].
typedef struct {
    // Bytes of this struct.
    size_t size;
    // W in rows, or in panels as `lowrank_pack` writes them.
    const float *weights;
    // Rows of W.
    size_t outputs;
    // Columns of W.
    size_t inputs;
    // Elements from the start of one row to the start of the next. Not looked at where W is in panels.
    size_t stride;
    // Outputs in a panel, as `lowrank_pack` or `lowrank_base_panels` has set it; 0 where W is in rows.
    size_t panel_width;
    // What reads panels, set by these calls.
    lowrank_code panels;
    // As many elements as there are outputs; null where there is no bias.
    const float *bias;
} lowrank_base;

// Dropout of the adapter's input. The mask is a function of these numbers and of the position; nothing is stored.
// Within another struct it may be all 0, its size as well: there is no dropout then.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Probability of dropping, from 0 to below 1; with 0 there is no dropout.
    float probability;
    // Number of the layer, below 2^30: another mask for each.
    uint32_t layer_number;
    // Number of the training step: another mask for each.
    uint32_t step;
    // Seed of the run.
    uint64_t seed;
    // Position of the first token in the whole batch, so that micro-batches see the masks of the batch.
    uint64_t first_token;
} lowrank_dropout;

// A layer in training: base, adapter, gradients, saved activations and the state of an optimizer. The caller fills in what
// comes before `batch`, asks `lowrank_layer_plan` for the length of the arena, and initializes it with `lowrank_layer_init`:
// what is in `batch` and behind it before does not matter. From then on each call does one thing with it, on the first
// `tokens` rows of `x`, `y`, `dy`, `dx`: a last, shorter batch is one with fewer `tokens`.
//
// All memory that it names is disjoint but for what is only read: `weights`, `bias` and `x` may overlap each other.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Columns of W and A.
    size_t inputs;
    // Rows of W and B.
    size_t outputs;
    // Rows of A, columns of B.
    size_t rank;
    // The most tokens at a time.
    size_t tokens;
    // LOWRANK_ADAMW, LOWRANK_SGD, LOWRANK_MOMENTUM, LOWRANK_IN_PLACE. LOWRANK_INFERENCE, which is 0, is for `lowrank_plan`.
    uint32_t optimizer;
    // LOWRANK_TRAINS_A, LOWRANK_TRAINS_BIAS, both (|) or 0: what is trained beside B. A step in place wants LOWRANK_TRAINS_A.
    uint32_t trained;
    // Instruction set and arithmetic: LOWRANK_BASELINE, ...
    uint32_t backend;
    // The factor s, such as alpha / r. With 0 the adapter is absent, and nothing is learned.
    float scale;
    // W [out, in] without gaps, in rows; in panels after `lowrank_layer_set_panels`.
    const float *weights;
    // Bias [out] of the base; null where there is none.
    const float *bias;
    // X [tokens, in]. May be null where it is not needed, as the next three.
    const float *x;
    // Y [tokens, out].
    float *y;
    // Gradient of Y [tokens, out]: a loss writes it, the backward pass reads it.
    float *dy;
    // Receives the gradient of X [tokens, in]; null where nothing below is trained.
    float *dx;
    // Memory for adapter, gradients, saved activations and moments.
    float *arena;
    // Elements of the arena, as `lowrank_layer_plan` says.
    size_t arena_len;
    // Tokens of the last forward pass. Set by the calls, as all that follows.
    size_t batch;
    // How far they have come: LOWRANK_PROGRESS_...
    uint32_t progress;
    // Whether there are gradients: 1 after a backward pass, 0 after a step, which wants them. Set it to 1 where you have written the
    // gradients in `parts` yourself.
    uint32_t graded;
    // Outputs in a panel, as `lowrank_layer_set_panels` has set it; 0 where W is in rows.
    size_t panel_width;
    // What reads panels.
    lowrank_code panels;
    // Dropout of the adapter's input, as `lowrank_layer_set_dropout` has set it. Each step of the optimizer raises its `step`, so that
    // the next forward pass has other masks; its numbers may be changed by hand, too. A backward pass wants those of its forward
    // pass: after a change it says LOWRANK_NO_FORWARD.
    lowrank_dropout dropout;
    // What makes the masks of dropout.
    lowrank_code masks;
    // The dropout of the last forward pass.
    lowrank_dropout dropped;
    // Of the optimizer. To resume, call `lowrank_layer_init`, fill the parts of the arena and set it.
    lowrank_clock clock;
    // In the arena: A [r, in], B [out, r], the trained bias [out]; dA, dB, db; first and second moments of A, of B, of the bias.
    // Null where there is none.
    float *parts[12];
} lowrank_layer;

// AdamW with decoupled weight decay. `lowrank_adamw_default` gives the defaults of torch.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Learning rate, at least 0.
    float learning_rate;
    // Factor on the learning rate for B, at least 0.
    float b_rate;
    // From 0 to below 1. In binary64, since it is 1 - beta that counts.
    double beta1;
    // From 0 to below 1.
    double beta2;
    // Added to the denominator, above 0.
    float epsilon;
    // Weight decay, at least 0.
    float weight_decay;
} lowrank_adamw;

// SGD, with momentum, dampening, Nesterov's variant and weight decay if wanted.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Learning rate, at least 0.
    float learning_rate;
    // Factor on the learning rate for B, at least 0.
    float b_rate;
    // From 0 to 1. With 0 there is no state.
    float momentum;
    // From 0 to 1.
    float dampening;
    // Weight decay, at least 0.
    float weight_decay;
    // 1 for Nesterov's variant, which wants momentum without dampening; otherwise 0.
    uint32_t nesterov;
} lowrank_sgd;

// Plain SGD that applies each gradient as it is formed: no gradient buffers, no state.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Learning rate, at least 0.
    float learning_rate;
    // Factor on the learning rate for B, at least 0.
    float b_rate;
    // Clips the norm of this layer's gradient to that; negative: not at all.
    float max_norm;
} lowrank_in_place;

// A mean over the tokens of a batch, which may come in micro-batches. Before the first of them: `sum` and `seen` are 0.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Tokens of the batch.
    size_t tokens;
    // Tokens seen.
    size_t seen;
    // Of the losses of the tokens seen.
    float sum;
} lowrank_mean_loss;

// Linear warm-up, then a decay.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Steps over which the rate rises from 0.
    uint32_t warmup;
    // Number of the step at which the rate has fallen to 0.
    uint32_t total;
    // How it falls: LOWRANK_DECAY_...
    uint32_t decay;
} lowrank_schedule;

// Gradients of an adapter.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // dA [r, in]. Left out where A is frozen.
    lowrank_matrix_mut a;
    // dB [out, r].
    lowrank_matrix_mut b;
    // db [1, out]. Left out where the bias is frozen.
    lowrank_matrix_mut bias;
    // What the next backward pass does with the old content: LOWRANK_REPLACE or LOWRANK_ACCUMULATE.
    uint32_t accumulate;
} lowrank_grads;

// What flows through a layer in the backward pass.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // X [n, in] of the forward pass. May be left out where A is frozen.
    lowrank_matrix x;
    // dY [n, out], the gradient of the loss with respect to the layer's output.
    lowrank_matrix dy;
    // Receives dX [n, in]. Left out where nothing below is trained: then W is not read.
    lowrank_matrix_mut dx;
} lowrank_backprop;

// What the forward pass leaves for the backward pass, and room for what that needs: hs [n, r], and in training gs [n, r].
//
// Made by `lowrank_plan_split` for up to a number of tokens; a shorter batch uses the first rows. The passes keep
// `progress` and `batch`; nothing else of it changes.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // hs, then gs.
    float *memory;
    // Inputs of the layer.
    size_t inputs;
    // Outputs of the layer.
    size_t outputs;
    // Rank of the adapter.
    size_t rank;
    // Tokens that there is room for.
    size_t tokens;
    // Tokens of the last forward pass.
    size_t batch;
    // How far they have come: LOWRANK_PROGRESS_...
    uint32_t progress;
    // 1 where there is room for gs, 0 for inference.
    uint32_t training;
    // As `lowrank_set_dropout` has set it; its numbers may be changed from then on. A backward pass wants those of its forward
    // pass: after a change it says LOWRANK_NO_FORWARD.
    lowrank_dropout dropout;
    // The dropout of the last forward pass, set by the passes.
    lowrank_dropout dropped;
    // What makes the masks of dropout, set by that call.
    lowrank_code masks;
} lowrank_saved;

// What a layer is to do: sizes, tokens at a time, optimizer.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Columns of W and A.
    size_t inputs;
    // Rows of W and B.
    size_t outputs;
    // Rows of A, columns of B.
    size_t rank;
    // The most tokens at a time.
    size_t tokens;
    // LOWRANK_ADAMW, LOWRANK_SGD, LOWRANK_MOMENTUM, LOWRANK_IN_PLACE; LOWRANK_INFERENCE where nothing is trained.
    uint32_t optimizer;
    // LOWRANK_TRAINS_A, LOWRANK_TRAINS_BIAS, both (|) or 0: what is trained beside B. With LOWRANK_IN_PLACE, there is nothing
    // in the arena that tells whether A is trained: it is where a step gets `x`.
    uint32_t trained;
} lowrank_plan;

// Elements of the parts of an arena, in their order.
typedef struct {
    // Bytes of this struct; to be set before the call.
    size_t size;
    // Of the whole arena.
    size_t arena;
    // A, B and the bias, if it is trained.
    size_t adapter;
    // Gradients.
    size_t grads;
    // Saved activations.
    size_t saved;
    // State of the optimizer.
    size_t state;
} lowrank_lengths;

// The parts of an arena.
typedef struct {
    // Bytes of this struct; to be set before the call.
    size_t size;
    // The adapter. Its scale is 1 until it is set; A and B hold what was in the arena: see `lowrank_init_kaiming_uniform`.
    lowrank_adapter_mut adapter;
    // Gradients, to be replaced by each backward pass.
    lowrank_grads grads;
    // Between forward and backward.
    lowrank_saved saved;
    // Of the optimizer, before the first step; to resume, set its clock.
    lowrank_state state;
} lowrank_work;

// A sequence of random numbers that can be read at any position, with the same bits on every target.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Seed of the run.
    uint64_t seed;
    // Independent sequences of one seed. From 2^31 + 2^30 on they are free.
    uint32_t stream;
    // Independent sequences of one stream.
    uint32_t step;
} lowrank_rng;

// NOR flash: three functions of a driver. They get `context`, return 0 or a code of their own that the error then shows, and
// must not touch the memory of the call but what they are given.
//
// The write unit of the flash may be up to LOWRANK_FLASH_UNIT bytes: programming comes in whole multiples of that.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // Handed to the functions.
    void *context;
    // Reads `len` bytes at address `at`.
    int32_t (*read)(void *context, uint32_t at, uint8_t *into, size_t len);
    // Erases whole blocks, from the first address up to and without the second.
    int32_t (*erase)(void *context, uint32_t from, uint32_t to);
    // Programs `len` bytes that are erased at address `at`.
    int32_t (*program)(void *context, uint32_t at, const uint8_t *bytes, size_t len);
    // Bytes of the flash.
    size_t capacity;
    // Bytes of a block, which is erased at once: a power of two.
    uint32_t erase_size;
} lowrank_flash;

// Two slots of a flash, each from its start up to and without its end.
typedef struct {
    // Bytes of this struct.
    size_t size;
    // The flash.
    lowrank_flash flash;
    // Where the slots start, multiples of `erase_size` and of LOWRANK_FLASH_UNIT.
    uint32_t start[2];
    // Where they end, such multiples as well.
    uint32_t end[2];
    // Working memory: a call writes to it also when it fails.
    uint8_t *page;
    // Bytes of the page: a multiple of LOWRANK_FLASH_UNIT, at least LOWRANK_PAGE_LEN.
    size_t page_len;
} lowrank_store;

// Where a file lies.
typedef struct {
    // Bytes of this struct; to be set before the call.
    size_t size;
    // Bytes of the file; 0 when there is none.
    size_t len;
    // The address of its first byte.
    uint32_t at;
    // The slot: 0 or 1.
    uint32_t slot;
    // The generation of the file.
    uint32_t generation;
} lowrank_stored;

// Done.
#define LOWRANK_OK 0

// A buffer has the wrong number of elements: `expected`, `got`.
#define LOWRANK_LENGTH -1

// A matrix has the wrong number of rows: `expected`, `got`.
#define LOWRANK_ROWS -2

// A matrix has the wrong number of columns: `expected`, `got`.
#define LOWRANK_COLS -3

// There is more of something than there is room for: at most `expected` fit, `got` came.
#define LOWRANK_TOO_MANY -4

// A row stride is smaller than a row: at least `expected` elements are needed, `got` came.
#define LOWRANK_STRIDE -5

// A size does not fit into the address space.
#define LOWRANK_OVERFLOW -6

// A number lies outside of its range: `at_least`, `at_most`, `value`.
#define LOWRANK_RANGE -7

// An infinity or a NaN where only finite numbers make sense: element `index`, row by row.
#define LOWRANK_NON_FINITE -8

// Label number `index` is `got`, but there are `expected` classes.
#define LOWRANK_LABEL -9

// A and B are both zero: the adapter can never learn.
#define LOWRANK_DEAD_ADAPTER -10

// An argument that this call needs was left out.
#define LOWRANK_MISSING -11

// An argument was given that this call cannot fill.
#define LOWRANK_UNEXPECTED -12

// Not an adapter file, or contents that cannot be one: `flaw` at byte `index`.
#define LOWRANK_FILE -13

// No forward pass of this batch came before.
#define LOWRANK_NO_FORWARD -14

// `lowrank_parameter_grads` came before `lowrank_input_grads`.
#define LOWRANK_NO_INPUT_GRADS -15

// A backward pass with saved activations that were made for inference: there is no room for gs.
#define LOWRANK_FOR_INFERENCE -16

// An earlier pass of this batch ran without an adapter (its scale was 0), and this one has one: run forward again.
#define LOWRANK_ABSENT_ADAPTER -17

// The memory was planned for the optimizer `expected`, and the step is one of `got`, which needs more.
#define LOWRANK_OTHER_OPTIMIZER -18

// A range that starts at `expected` ends before that, at `got`.
#define LOWRANK_REVERSED -19

// The flash failed at address `index`; its driver said `got`.
#define LOWRANK_FLASH -20

// The flash does not hold at address `index` what was erased or programmed there.
#define LOWRANK_VERIFY -21

// The file has `got` bytes, but there are `expected`.
#define LOWRANK_TOO_LONG -22

// All seals of slot `index` are used up: erase both slots to start anew.
#define LOWRANK_NO_SEAL_LEFT -23

// The bounds of slot `index` have to be multiples of `expected`.
#define LOWRANK_SLOT_UNALIGNED -24

// Slot `index` does not lie within the `expected` bytes of the flash.
#define LOWRANK_SLOT_OUTSIDE -25

// Slot `index` needs at least `expected` bytes.
#define LOWRANK_SLOT_TOO_SMALL -26

// The slots have bytes in common.
#define LOWRANK_SLOTS_OVERLAP -27

// The page has `got` bytes; expected are a multiple of `expected`, at least two of them.
#define LOWRANK_PAGE -28

// This build or this thread does not keep to IEEE 754: probe `index` gave the bits `got`, not `expected`.
#define LOWRANK_DEVIATION -30

// A pointer is null that must not be.
#define LOWRANK_NULL -40

// An address is not a multiple of `expected`.
#define LOWRANK_MISALIGNED -41

// The first field of a struct is `got`, not its size `expected`: was it set, do header and library belong together?
#define LOWRANK_STRUCT_SIZE -42

// What is written (`argument`) has bytes in common with another argument (`got`).
#define LOWRANK_OVERLAP -43

// A buffer of `got` bytes would reach beyond the end of the address space.
#define LOWRANK_WRAPS -44

// A code without a meaning: `got`.
#define LOWRANK_UNKNOWN -45

// The code `got` has a meaning, but not in this build, or not on this CPU.
#define LOWRANK_UNSUPPORTED -46

// Text is not UTF-8.
#define LOWRANK_NOT_UTF8 -47

// The file has no such entry.
#define LOWRANK_NOT_FOUND -48

// The adapter cannot be used where it lies: numbers of 16 bits, not at a multiple of 4. `lowrank_entry_load` copies it. Or B has a
// bias, for which there is no place.
#define LOWRANK_NOT_IN_PLACE -49

// Only a call sets the argument, and it did not: a layer, its panels, its dropout; see `lowrank_code`.
#define LOWRANK_NOT_SET -50

// An error that this version of the ABI has no code for.
#define LOWRANK_OTHER -99

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Bytes of the file that contents give.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_FILE with the place that the flaw would have in the file; LOWRANK_OVERFLOW; LOWRANK_LENGTH for a room that is too
// short; LOWRANK_MISSING, LOWRANK_UNKNOWN, LOWRANK_NOT_UTF8 for an entry that is none.
lowrank_status lowrank_encoded_len(const lowrank_contents *contents,
                                   size_t *len,
                                   lowrank_error *error);

// Writes a file to the start of `bytes`, and its length to `written`. What lies behind it stays as it is.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_encoded_len`; LOWRANK_TOO_MANY when there are too few bytes.
lowrank_status lowrank_emit(const lowrank_contents *contents,
                            uint8_t *bytes,
                            size_t len,
                            size_t *written,
                            lowrank_error *error);

// The adapter where it lies, which may be flash.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_NOT_IN_PLACE: use `lowrank_entry_load`. As `lowrank_encoded_len` for an entry that is none.
lowrank_status lowrank_entry_adapter(const lowrank_entry *entry, lowrank_adapter *adapter, lowrank_error *error);

// Copies A, B, the bias and the scale into an adapter of the same shape, and widens them to f32.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_ROWS, LOWRANK_COLS; LOWRANK_MISSING when there is a bias and the adapter has no room for it, which it never has for
// one of B; LOWRANK_UNEXPECTED when it has room and there is no bias.
lowrank_status lowrank_entry_load(const lowrank_entry *entry,
                                  lowrank_adapter_mut *adapter,
                                  lowrank_error *error);

// Copies moments and clock into a state that was made for the same shape, optimizer and parameters: training goes on with the
// same bits.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_ROWS and LOWRANK_COLS when it was made for others; LOWRANK_MISSING when the entry has no state.
lowrank_status lowrank_entry_restore(const lowrank_entry *entry,
                                     lowrank_state *state,
                                     lowrank_error *error);

// Makes an entry of an adapter, to be written: id 0, its scale as it is, no state of an optimizer, no random numbers.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_STRIDE when A, B or the bias has gaps between its rows; LOWRANK_NOT_UTF8.
lowrank_status lowrank_entry_of(const char *name,
                                size_t name_len,
                                const lowrank_adapter *adapter,
                                lowrank_entry *entry,
                                lowrank_error *error);

// Adds the state of an optimizer to an entry, to be written. `optimizer` and `trained` are those of the plan.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_STRIDE when a moment has gaps between its rows; LOWRANK_UNKNOWN.
lowrank_status lowrank_entry_keep(lowrank_entry *entry,
                                  lowrank_state *state,
                                  uint32_t optimizer,
                                  uint32_t trained,
                                  lowrank_error *error);

// Checks a file from its first byte to its last, in a time that is linear in its length. The bytes may lie at any address, in
// flash as well; at a multiple of 4 (of 16, best), numbers in f32 can be used where they are.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_FILE.
lowrank_status lowrank_parse(const uint8_t *bytes,
                             size_t len,
                             lowrank_file *into,
                             lowrank_error *error);

// Entry number `index` of a file. Each such call checks the whole file, as `lowrank_parse` does.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_FILE, LOWRANK_NOT_FOUND.
lowrank_status lowrank_entry_at(const uint8_t *bytes,
                                size_t len,
                                size_t index,
                                lowrank_entry *entry,
                                lowrank_error *error);

// The entry of this name, of several the one with the smallest id.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_FILE, LOWRANK_NOT_FOUND, LOWRANK_NOT_UTF8.
lowrank_status lowrank_entry_find(const uint8_t *bytes,
                                  size_t len,
                                  const char *name,
                                  size_t name_len,
                                  lowrank_entry *entry,
                                  lowrank_error *error);

// The first entry with this id.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_FILE, LOWRANK_NOT_FOUND.
lowrank_status lowrank_entry_find_id(const uint8_t *bytes,
                                     size_t len,
                                     uint32_t id,
                                     lowrank_entry *entry,
                                     lowrank_error *error);

// A fingerprint of the frozen base, so that an adapter is not put on a base that it was not trained on.
//
// # Safety
// As the page of the header says of pointers.
lowrank_status lowrank_fingerprint(const lowrank_base *base, uint64_t *fingerprint, lowrank_error *error);

// As `lowrank_forward`, from `x` to `y`.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_TOO_MANY, LOWRANK_RANGE, LOWRANK_LENGTH; LOWRANK_NULL also for `x` and `y`; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_layer_forward(lowrank_layer *layer,
                                     size_t tokens,
                                     lowrank_error *error);

// As `lowrank_backward`, from `x` and `dy` to the gradients, and to `dx` where it is not null. `accumulate` is LOWRANK_REPLACE
// or LOWRANK_ACCUMULATE, which adds to the gradients of the backward passes since the last step.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_backward`; LOWRANK_NULL also for `dy`; LOWRANK_ROWS for dA or dB when the optimizer works in place.
lowrank_status lowrank_layer_backward(lowrank_layer *layer,
                                      size_t tokens,
                                      uint32_t accumulate,
                                      lowrank_error *error);

// As `lowrank_adamw_step`, of the gradients of the backward passes since the last step.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_adamw_step`; LOWRANK_MISSING about LOWRANK_ARGUMENT_DB when there was none.
lowrank_status lowrank_layer_adamw_step(lowrank_layer *layer, const lowrank_adamw *adamw, lowrank_error *error);

// As `lowrank_sgd_step`, of the gradients of the backward passes since the last step.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_sgd_step`; LOWRANK_MISSING about LOWRANK_ARGUMENT_DB when there was none.
lowrank_status lowrank_layer_sgd_step(lowrank_layer *layer, const lowrank_sgd *sgd, lowrank_error *error);

// As `lowrank_in_place_step`, from `x` and `dy` to the adapter, and to `dx` where it is not null. A and B are trained.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_in_place_step`; LOWRANK_UNEXPECTED about LOWRANK_ARGUMENT_TRAINED unless `trained` is LOWRANK_TRAINS_A;
// LOWRANK_OTHER_OPTIMIZER unless `optimizer` is LOWRANK_IN_PLACE; LOWRANK_NULL also for `x` and `dy`.
lowrank_status lowrank_layer_in_place_step(lowrank_layer *layer,
                                           size_t tokens,
                                           const lowrank_in_place *in_place,
                                           lowrank_error *error);

// As `lowrank_square_sum`, of the gradients of this layer.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_layer_square_sum(lowrank_layer *layer, float *square_sum, lowrank_error *error);

// Multiplies the gradients of this layer by what `lowrank_clip_factor` says. `square_sum` is that of all layers together.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_clip_factor`; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_layer_clip(lowrank_layer *layer,
                                  float square_sum,
                                  float max_norm,
                                  lowrank_error *error);

// As `lowrank_merge`, into `merged` [out, in] without gaps.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_merge`; LOWRANK_LENGTH about LOWRANK_ARGUMENT_MATRIX.
lowrank_status lowrank_layer_merge(lowrank_layer *layer, float *merged, size_t merged_len, lowrank_error *error);

// As `lowrank_softmax_cross_entropy`, from `y` and `labels` [tokens] to `dy`. After a forward pass, `tokens` are those of it;
// before one, `y` is what the caller has put there.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_softmax_cross_entropy`; LOWRANK_LENGTH unless there is a label for each of the `tokens`; LOWRANK_ROWS for Y
// when the last forward pass had another number of tokens; LOWRANK_NULL also for `y` and `dy`.
lowrank_status lowrank_layer_softmax_cross_entropy(lowrank_layer *layer,
                                                   size_t tokens,
                                                   const uint32_t *labels,
                                                   size_t labels_len,
                                                   lowrank_mean_loss *loss,
                                                   lowrank_error *error);

// As `lowrank_mean_squared_error`, from `y` and `targets` [tokens, out] to `dy`, for `tokens` as in
// `lowrank_layer_softmax_cross_entropy`.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_mean_squared_error`; LOWRANK_LENGTH about LOWRANK_ARGUMENT_MATRIX; LOWRANK_ROWS for Y when the last forward pass
// had another number of tokens; LOWRANK_NULL also for `y` and `dy`.
lowrank_status lowrank_layer_mean_squared_error(lowrank_layer *layer,
                                                size_t tokens,
                                                const float *targets,
                                                size_t targets_len,
                                                lowrank_mean_loss *loss,
                                                lowrank_error *error);

// From now on `weights` is in panels of that many outputs, as `lowrank_pack` writes them; with 0 it is in rows. To be called after
// `lowrank_layer_init`.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_layer_set_panels(lowrank_layer *layer,
                                        size_t panel_width,
                                        lowrank_error *error);

// Sets the dropout of the following forward passes and of the backward passes that belong to them; with a null `dropout` there is none.
// To be called after `lowrank_layer_init`. From then on each step of the optimizer raises `layer.dropout.step`, and the caller may
// change the numbers of `layer.dropout`.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_RANGE unless 0 <= probability < 1; LOWRANK_TOO_MANY unless `layer_number` is below 2^30; LOWRANK_UNKNOWN,
// LOWRANK_UNSUPPORTED.
lowrank_status lowrank_layer_set_dropout(lowrank_layer *layer,
                                         const lowrank_dropout *dropout,
                                         lowrank_error *error);

// Sets `arena_len` to the elements that the arena of this layer has to have. The sizes, `optimizer` and `trained` are read.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_OVERFLOW when no memory could be long enough; LOWRANK_UNKNOWN.
lowrank_status lowrank_layer_plan(lowrank_layer *layer,
                                  lowrank_error *error);

// Makes a new adapter in the arena: A as `lowrank_init_kaiming_uniform` does with `seed` and `layer_number`, B zero, a
// trained bias as in the base, the gradients zero. Sets all that the calls set: no batch, no step taken, W in rows, no dropout, where
// the parts lie.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_LENGTH when the arena is shorter or longer than its plan; LOWRANK_OVERFLOW; LOWRANK_TOO_MANY unless `layer_number` is below
// 2^30; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_layer_init(lowrank_layer *layer,
                                  uint64_t seed,
                                  uint32_t layer_number,
                                  lowrank_error *error);

// The mean so far: the sum of the losses seen, over all tokens of the batch.
//
// # Safety
// As the page of the header says of pointers.
lowrank_status lowrank_mean_loss_value(const lowrank_mean_loss *loss, float *value, lowrank_error *error);

// Softmax cross-entropy: `logits` [n, classes], `labels` [n], `grad` [n, classes] receives the gradient of the mean.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_LENGTH, LOWRANK_LABEL, LOWRANK_NON_FINITE; LOWRANK_TOO_MANY when there are more tokens
// than the mean is over.
lowrank_status lowrank_softmax_cross_entropy(lowrank_mean_loss *loss,
                                             lowrank_matrix logits,
                                             const uint32_t *labels,
                                             size_t labels_len,
                                             lowrank_matrix_mut grad,
                                             lowrank_error *error);

// Mean squared error: `prediction`, `target` and `grad` are [n, outputs]; `grad` receives the gradient of the mean.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_NON_FINITE, LOWRANK_TOO_MANY.
lowrank_status lowrank_mean_squared_error(lowrank_mean_loss *loss,
                                          lowrank_matrix prediction,
                                          lowrank_matrix target,
                                          lowrank_matrix_mut grad,
                                          lowrank_error *error);

// The factor on the learning rate in step `step`, counted from 0.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_UNKNOWN.
lowrank_status lowrank_schedule_factor(const lowrank_schedule *schedule,
                                       uint32_t step,
                                       float *factor,
                                       lowrank_error *error);

// The best backend of this CPU, in the arithmetic that is fast there.
uint32_t lowrank_detect(void);

// Name of the instruction set of a backend, for example "avx2", with a zero byte at the end; null for a code that is none
// in this build or on this CPU.
const char *lowrank_backend_name(uint32_t backend);

// The version of the library, for example "0.1.0", with a zero byte at the end.
const char *lowrank_version(void);

// The version of the arithmetic: results have the same bits wherever it is the same.
uint32_t lowrank_contract_version(void);

// Asks a backend for known answers. Run it once at start, and on every thread whose floating-point environment others may
// have changed.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_DEVIATION: results will differ from those of other targets. LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_selftest(uint32_t backend,
                                lowrank_error *error);

// A frozen layer with W [outputs, inputs] in panels of `panel_width` outputs, as `lowrank_pack` writes them. They may lie in flash;
// `bias` may be null.
lowrank_base lowrank_base_panels(const float *weights,
                                 const float *bias,
                                 size_t outputs,
                                 size_t inputs,
                                 size_t panel_width);

// The defaults of torch.optim.AdamW.
lowrank_adamw lowrank_adamw_default(void);

// No momentum, no weight decay, a learning rate of 1e-3.
lowrank_sgd lowrank_sgd_default(void);

// A learning rate of 1e-3, no clipping.
lowrank_in_place lowrank_in_place_default(void);

// One step for one layer: `adapter` and `state` are changed. A parameter without a gradient is left alone.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_RANGE for a setting; LOWRANK_OTHER_OPTIMIZER when the memory was planned for one that needs less; LOWRANK_ROWS,
// LOWRANK_COLS; LOWRANK_MISSING when there is a gradient for a bias that the adapter does not have; LOWRANK_NON_FINITE when a
// gradient is infinite or NaN; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_adamw_step(const lowrank_adamw *adamw,
                                  uint32_t backend,
                                  const lowrank_adapter_mut *adapter,
                                  const lowrank_grads *grads,
                                  lowrank_state *state,
                                  lowrank_error *error);

// One step for one layer: `adapter` and `state` are changed. A parameter without a gradient is left alone.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_adamw_step`.
lowrank_status lowrank_sgd_step(const lowrank_sgd *sgd,
                                uint32_t backend,
                                const lowrank_adapter_mut *adapter,
                                const lowrank_grads *grads,
                                lowrank_state *state,
                                lowrank_error *error);

// Backward pass and step in one, after a forward pass with this `saved`. X may be left out where A is frozen.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_backward`; LOWRANK_RANGE for a setting; LOWRANK_UNEXPECTED when the adapter has a bias; LOWRANK_NON_FINITE when
// dY is not finite or, with clipping, when the norm is not. Nothing is written then but gs.
lowrank_status lowrank_in_place_step(const lowrank_in_place *in_place,
                                     uint32_t backend,
                                     const lowrank_base *base,
                                     const lowrank_adapter_mut *adapter,
                                     const lowrank_backprop *flow,
                                     lowrank_saved *saved,
                                     lowrank_error *error);

// The sum of the squares of all gradients of one layer. For several layers: add them, ask `lowrank_clip_factor` once, and
// `lowrank_clip` each.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_square_sum(uint32_t backend,
                                  const lowrank_grads *grads,
                                  float *square_sum,
                                  lowrank_error *error);

// min(1, max_norm/(√square_sum + 1e-6)).
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_RANGE when `max_norm` is not a finite number of at least 0; LOWRANK_NON_FINITE when the sum is infinite or NaN.
lowrank_status lowrank_clip_factor(float square_sum,
                                   float max_norm,
                                   float *factor,
                                   lowrank_error *error);

// Multiplies all gradients of one layer by `factor`.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_clip(uint32_t backend, const lowrank_grads *grads, float factor, lowrank_error *error);

// The factor s of an adapter: `mode` is LOWRANK_SCALE_...
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_UNKNOWN.
lowrank_status lowrank_scale(uint32_t mode, float alpha, size_t rank, float *scale, lowrank_error *error);

// A uniform in [-1/√in, 1/√in), B zero: the default of PEFT. `layer_number` is below 2^30.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_TOO_MANY unless `layer_number` is below 2^30: no two layers have the same numbers.
lowrank_status lowrank_init_kaiming_uniform(const lowrank_adapter_mut *adapter,
                                            uint64_t seed,
                                            uint32_t layer_number,
                                            lowrank_error *error);

// A normal with a standard deviation of 1/r, B zero. `layer_number` is below 2^30.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_TOO_MANY unless `layer_number` is below 2^30: no two layers have the same numbers.
lowrank_status lowrank_init_gaussian(const lowrank_adapter_mut *adapter,
                                     uint64_t seed,
                                     uint32_t layer_number,
                                     lowrank_error *error);

// Y = X·Wᵀ + b + hs·Bᵀ with hs = s·X·Aᵀ. `x` [n, in], `y` [n, out], one token a row, up to as many as `saved` has room for.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_TOO_MANY, LOWRANK_RANGE, LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_forward(uint32_t backend,
                               const lowrank_base *base,
                               const lowrank_adapter *adapter,
                               lowrank_matrix x,
                               lowrank_matrix_mut y,
                               lowrank_saved *saved,
                               lowrank_error *error);

// Gradients after the last forward pass with this `saved`: `lowrank_input_grads`, then `lowrank_parameter_grads`.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_TOO_MANY, LOWRANK_RANGE; LOWRANK_NO_FORWARD; LOWRANK_FOR_INFERENCE;
// LOWRANK_ABSENT_ADAPTER when the pass before ran with a scale of 0, and this one does not; LOWRANK_MISSING when dA is wanted
// without X; LOWRANK_DEAD_ADAPTER; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_backward(uint32_t backend,
                                const lowrank_base *base,
                                const lowrank_adapter *adapter,
                                const lowrank_backprop *flow,
                                lowrank_saved *saved,
                                const lowrank_grads *grads,
                                lowrank_error *error);

// The half of the backward pass that has a chain for each token: gs, and dX unless `dx` is left out.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_backward`.
lowrank_status lowrank_input_grads(uint32_t backend,
                                   const lowrank_base *base,
                                   const lowrank_adapter *adapter,
                                   lowrank_matrix dy,
                                   lowrank_matrix_mut dx,
                                   lowrank_saved *saved,
                                   lowrank_error *error);

// The half of the backward pass that has a chain for each parameter, after `lowrank_input_grads`. `x` may be left out where A
// is frozen.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_ROWS, LOWRANK_COLS; LOWRANK_NO_FORWARD; LOWRANK_NO_INPUT_GRADS; LOWRANK_FOR_INFERENCE; LOWRANK_MISSING when dA is
// wanted without X; LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_parameter_grads(uint32_t backend,
                                       lowrank_matrix x,
                                       lowrank_matrix dy,
                                       lowrank_saved *saved,
                                       const lowrank_grads *grads,
                                       lowrank_error *error);

// W' = W + s·B·A into `merged` [out, in]; the base stays what it was.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_ROWS, LOWRANK_COLS, LOWRANK_RANGE, LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_merge(uint32_t backend,
                             const lowrank_base *base,
                             const lowrank_adapter *adapter,
                             lowrank_matrix_mut merged,
                             lowrank_error *error);

// As `lowrank_merge`, unless an element of the result would be infinite or NaN.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_NON_FINITE, and as `lowrank_merge`.
lowrank_status lowrank_merge_finite(uint32_t backend,
                                    const lowrank_base *base,
                                    const lowrank_adapter *adapter,
                                    lowrank_matrix_mut merged,
                                    lowrank_error *error);

// Packs W [out, in] into `buffer`, out·in elements, in panels as wide as `backend` likes them, and makes `base` the layer with
// these weights. The bias of `base` stays as it is, so it has to be set before, to null or to a bias.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_LENGTH, LOWRANK_UNKNOWN, LOWRANK_UNSUPPORTED.
lowrank_status lowrank_pack(uint32_t backend,
                            lowrank_matrix w,
                            float *buffer,
                            size_t buffer_len,
                            lowrank_base *base,
                            lowrank_error *error);

// Checks that the adapter can learn: A and B are not both zero.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_DEAD_ADAPTER.
lowrank_status lowrank_check_alive(const lowrank_adapter *adapter, lowrank_error *error);

// Checks that there is no infinity and no NaN in an adapter.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_NON_FINITE.
lowrank_status lowrank_check_finite(const lowrank_adapter *adapter, lowrank_error *error);

// How many elements the arena of a plan has, and each of its parts.
//
// Where the sizes are constants, LOWRANK_ARENA_LEN is the same number as a constant.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_OVERFLOW when no memory could be long enough; LOWRANK_UNKNOWN.
lowrank_status lowrank_plan_lengths(const lowrank_plan *plan, lowrank_lengths *lengths, lowrank_error *error);

// Cuts an arena of exactly as many elements as the plan says, and writes nothing to it. `arena` is at a multiple of 4.
//
// For inference, only `saved` is cut off; the other parts of `work` are left out.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_LENGTH when the arena is shorter or longer; LOWRANK_OVERFLOW; LOWRANK_UNKNOWN.
lowrank_status lowrank_plan_split(const lowrank_plan *plan,
                                  float *arena,
                                  size_t arena_len,
                                  lowrank_work *work,
                                  lowrank_error *error);

// 32 random bits.
//
// # Safety
// As the page of the header says of pointers.
lowrank_status lowrank_rng_word(const lowrank_rng *rng, uint64_t position, uint32_t *word, lowrank_error *error);

// Puts `count` items of `item_size` bytes each (1, 2, 4 or 8) into a random order, which depends on `rng` and `count` only.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_UNKNOWN for another size.
lowrank_status lowrank_rng_shuffle(const lowrank_rng *rng,
                                   void *items,
                                   size_t count,
                                   size_t item_size,
                                   lowrank_error *error);

// Fills `items` with the numbers from 0 to `count` - 1, in the order into which `lowrank_rng_shuffle` puts them.
//
// # Safety
// As the page of the header says of pointers.
lowrank_status lowrank_rng_order(uint64_t seed,
                                 uint32_t stream,
                                 uint32_t step,
                                 uint32_t *items,
                                 size_t count,
                                 lowrank_error *error);

// Sets the dropout of the following forward passes and of the backward passes that belong to them. With a null `dropout`
// there is none.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_RANGE unless 0 <= probability < 1; LOWRANK_TOO_MANY unless `layer_number` is below 2^30.
lowrank_status lowrank_set_dropout(lowrank_saved *saved,
                                   const lowrank_dropout *dropout,
                                   lowrank_error *error);

// Forgets what an optimizer has learned: the next step is the first one.
//
// # Safety
// As the page of the header says of pointers.
lowrank_status lowrank_state_reset(lowrank_state *state, lowrank_error *error);

// Bytes of a slot for files of up to so many bytes. `erase_size` is that of the flash.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_OVERFLOW when addresses do not reach that far; LOWRANK_UNKNOWN for an `erase_size` that is no power of two.
lowrank_status lowrank_slot_len(size_t file_len, uint32_t erase_size, size_t *len, lowrank_error *error);

// Where the newest file lies, as far as reading can tell; `len` is 0 when there is none.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// LOWRANK_FLASH; LOWRANK_SLOT_UNALIGNED, LOWRANK_SLOT_OUTSIDE, LOWRANK_SLOT_TOO_SMALL, LOWRANK_SLOTS_OVERLAP, LOWRANK_PAGE,
// LOWRANK_UNKNOWN for a store that is none.
lowrank_status lowrank_store_newest(const lowrank_store *store,
                                    lowrank_stored *stored,
                                    lowrank_error *error);

// Where the newest file lies, with all its checksums right, and so that every boot finds it until something is saved; `len`
// is 0 when there is none. If a save was cut in the midst of sealing, another seal is programmed.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_store_newest`; LOWRANK_VERIFY, LOWRANK_NO_SEAL_LEFT.
lowrank_status lowrank_store_recover(const lowrank_store *store,
                                     lowrank_stored *stored,
                                     lowrank_error *error);

// Copies the newest file into `bytes`, and its length to `file_len`, which is 0 when there is none. Numbers in f32 can be used
// where they are if `bytes` starts at a multiple of 4. It is the file of `lowrank_store_recover`, or where that fails for want
// of a seal, the one of `lowrank_store_newest`.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_store_newest`; LOWRANK_TOO_LONG when there are too few bytes; LOWRANK_FILE when the file is none. `bytes` may
// have been written then.
lowrank_status lowrank_store_load(const lowrank_store *store,
                                  uint8_t *bytes,
                                  size_t len,
                                  size_t *file_len,
                                  lowrank_error *error);

// Saves a file in place of the older one, and says where it lies. Nothing of `contents` may lie in the older file.
//
// # Safety
// As the page of the header says of pointers.
//
// # Errors
// As `lowrank_store_newest` and `lowrank_encoded_len`; LOWRANK_TOO_LONG, LOWRANK_NO_SEAL_LEFT. LOWRANK_FLASH and
// LOWRANK_VERIFY also after something was written to the flash: the newest file is still there.
lowrank_status lowrank_store_save(const lowrank_store *store,
                                  const lowrank_contents *contents,
                                  lowrank_stored *stored,
                                  lowrank_error *error);

// What a status means, in English, with a zero byte at the end. Never null. `lowrank_error_text` says more.
const char *lowrank_status_text(lowrank_status status);

// What an argument is called, in English, with a zero byte at the end: LOWRANK_ARGUMENT_... Never null.
const char *lowrank_argument_text(uint32_t argument);

// What is wrong with a file, in English, with a zero byte at the end: LOWRANK_FLAW_... Never null.
const char *lowrank_flaw_text(uint32_t flaw);

// Writes what an error says as a sentence in English, in ASCII, with all its numbers, for example "Y: expected 3 rows, got 2".
// At most `length` bytes are written, the last of them is 0. Returns the bytes that the whole sentence has, without the 0:
// where that is `length` or more, the sentence was cut. With `length` 0, nothing is written, and `text` may be null.
//
// What is no `lowrank_error` (null, misaligned, of another size) gets a sentence, too. It takes no heap, and is linked only
// where it is called.
//
// # Safety
// As the page of the header says of pointers.
size_t lowrank_error_text(const lowrank_error *error,
                          char *text,
                          size_t length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LOWRANK_H */

/* Elements of an arena as a constant, for `static float arena[LOWRANK_ARENA_LEN(...)]`: A is trained, the bias is not. The
 * same number as `lowrank_plan_lengths` gives for LOWRANK_TRAINS_A. */
#define LOWRANK_ARENA_LEN(inputs, outputs, rank, tokens, optimizer)                                                    \
    ((rank) * ((inputs) + (outputs)) * LOWRANK_COPIES(optimizer) + 2 * (tokens) * (rank))

/* Numbers for each parameter: itself, its gradient, its moments. */
#define LOWRANK_COPIES(optimizer)                                                                                      \
    ((optimizer) == LOWRANK_ADAMW ? 4 : (optimizer) == LOWRANK_MOMENTUM ? 3 : (optimizer) == LOWRANK_SGD ? 2 : 1)

/* A matrix [rows, cols] without gaps between its rows. With NULL it is left out. */
static inline lowrank_matrix lowrank_rows(const float *data, size_t rows, size_t cols)
{
    lowrank_matrix matrix;
    matrix.size = sizeof matrix;
    matrix.data = data;
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.stride = cols;
    return matrix;
}

/* The same, to be written. */
static inline lowrank_matrix_mut lowrank_rows_mut(float *data, size_t rows, size_t cols)
{
    lowrank_matrix_mut matrix;
    matrix.size = sizeof matrix;
    matrix.data = data;
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.stride = cols;
    return matrix;
}

/* A frozen layer with W [outputs, inputs] in rows; `bias` may be NULL. */
static inline lowrank_base lowrank_base_rows(const float *weights, const float *bias, size_t outputs, size_t inputs)
{
    lowrank_base base;
    base.size = sizeof base;
    base.weights = weights;
    base.outputs = outputs;
    base.inputs = inputs;
    base.stride = inputs;
    base.panel_width = 0;
    base.panels.function = 0;
    base.panels.inverse = 0;
    base.bias = bias;
    return base;
}

/* A plan that trains A and B, with up to `tokens` tokens at a time; with LOWRANK_INFERENCE nothing is trained. */
static inline lowrank_plan lowrank_plan_of(size_t inputs, size_t outputs, size_t rank, size_t tokens,
                                           uint32_t optimizer)
{
    lowrank_plan plan;
    plan.size = sizeof plan;
    plan.inputs = inputs;
    plan.outputs = outputs;
    plan.rank = rank;
    plan.tokens = tokens;
    plan.optimizer = optimizer;
    plan.trained = LOWRANK_TRAINS_A;
    return plan;
}

/* The adapter in training, for reading: it sees what the steps of an optimizer write. The scale is that of now. */
static inline lowrank_adapter lowrank_adapter_of(const lowrank_adapter_mut *training)
{
    lowrank_adapter adapter;
    adapter.size = sizeof adapter;
    adapter.a = lowrank_rows(training->a.data, training->a.rows, training->a.cols);
    adapter.a.stride = training->a.stride;
    adapter.b = lowrank_rows(training->b.data, training->b.rows, training->b.cols);
    adapter.b.stride = training->b.stride;
    adapter.bias = lowrank_rows(training->bias.data, training->bias.rows, training->bias.cols);
    adapter.bias.stride = training->bias.stride;
    adapter.scale = training->scale;
    return adapter;
}

/* What flows through a layer; `x` and `dx` may be left out, see there. */
static inline lowrank_backprop lowrank_backprop_of(lowrank_matrix x, lowrank_matrix dy, lowrank_matrix_mut dx)
{
    lowrank_backprop flow;
    flow.size = sizeof flow;
    flow.x = x;
    flow.dy = dy;
    flow.dx = dx;
    return flow;
}

/* A mean over `tokens` tokens, none of them seen yet. */
static inline lowrank_mean_loss lowrank_mean_loss_over(size_t tokens)
{
    lowrank_mean_loss loss;
    loss.size = sizeof loss;
    loss.tokens = tokens;
    loss.seen = 0;
    loss.sum = 0.0f;
    return loss;
}
