/* Every function gets every pointer wrong: null, misaligned, with another size, overlapping, wrapping; every code wrong; and
 * every error of its list. Each time the code that it returns and the argument that it names are checked, and that no byte of
 * any buffer or struct has changed. */
#include <stdio.h>
#include <string.h>

#include "lowrank.h"

enum { IN = 5, OUT = 3, RANK = 2, N = 4, FILE_BYTES = 2048, SLOT = 2048 };

/* All that a call could write to. `valid` is how it is before every call. */
typedef struct {
    lowrank_base base;
    lowrank_adapter adapter;
    lowrank_plan plan;
    lowrank_lengths lengths;
    lowrank_work work, split;
    lowrank_backprop flow;
    lowrank_adamw adamw;
    lowrank_sgd sgd;
    lowrank_in_place in_place;
    lowrank_mean_loss loss;
    lowrank_schedule schedule;
    lowrank_rng rng;
    lowrank_dropout dropout;
    lowrank_layer layer;
    lowrank_file parsed;
    lowrank_contents contents;
    lowrank_store store;
    lowrank_stored stored;
    float arena[LOWRANK_ARENA_LEN(IN, OUT, RANK, N, LOWRANK_ADAMW)], other[LOWRANK_ARENA_LEN(IN, OUT, RANK, N, LOWRANK_ADAMW)];
    float w[OUT * IN], bias[OUT], x[N * IN], y[N * OUT], dy[N * OUT], dx[N * IN], targets[N * OUT], packed[OUT * IN];
    float merged[OUT * IN], number;
    uint32_t labels[N], word;
    uint64_t room[LOWRANK_LAYER_ROOM], bytes[FILE_BYTES / 8], out[FILE_BYTES / 8], fingerprint;
    uint16_t items[8];
    uint8_t page[LOWRANK_PAGE_LEN], flash[2 * SLOT];
    size_t len;
    char name[8];
} world;

static world w, valid;
static lowrank_error error;
static lowrank_matrix x, dy, weights, targets;
static lowrank_matrix_mut y, dx, merged, loss_grad;
static uint32_t backend;
static size_t file_len;
static int refused, failures;
static int driver_answer;

static int32_t flash_read(void *context, uint32_t at, uint8_t *into, size_t len)
{
    memcpy(into, (uint8_t *)context + at, len);
    return driver_answer;
}
static int32_t flash_erase(void *context, uint32_t from, uint32_t to)
{
    memset((uint8_t *)context + from, 0xff, to - from);
    return 0;
}
static int32_t flash_program(void *context, uint32_t at, const uint8_t *bytes, size_t len)
{
    size_t i;
    for (i = 0; i < len; i++) ((uint8_t *)context)[at + i] &= bytes[i];
    return 0;
}

/* Back to what is valid. */
static void reset(void)
{
    memcpy(&w, &valid, sizeof w);
    backend = LOWRANK_BASELINE_SEPARATE;
    x = lowrank_rows(w.x, N, IN);
    dy = lowrank_rows(w.dy, N, OUT);
    weights = lowrank_rows(w.w, OUT, IN);
    targets = lowrank_rows(w.targets, N, OUT);
    y = lowrank_rows_mut(w.y, N, OUT);
    dx = lowrank_rows_mut(w.dx, N, IN);
    merged = lowrank_rows_mut(w.merged, OUT, IN);
    loss_grad = lowrank_rows_mut(w.dy, N, OUT);
    driver_answer = 0;
    memset(&error, 0, sizeof error);
    error.size = sizeof error;
}

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES ((const uint8_t *)w.bytes)

/* Expects the call to be refused with this status, about this argument, and without a trace. `change` makes it wrong. */
#define REFUSED(change, call, code, about)                                                                                   \
    do {                                                                                                                     \
        static world before;                                                                                                 \
        lowrank_status status;                                                                                               \
        reset();                                                                                                             \
        change;                                                                                                              \
        memcpy(&before, &w, sizeof w);                                                                                       \
        status = (call);                                                                                                     \
        refused++;                                                                                                           \
        if (status != (code) || error.status != (code) || error.argument != (uint32_t)(about)) {                             \
            failures++;                                                                                                      \
            printf("line %d: %s: status %d about %u, expected %d about %u\n", __LINE__, #call, (int)status,                  \
                   (unsigned)error.argument, (int)(code), (unsigned)(about));                                                \
        }                                                                                                                    \
        if (memcmp(&before, &w, sizeof w) != 0) {                                                                            \
            failures++;                                                                                                      \
            printf("line %d: %s: an output was written\n", __LINE__, #call);                                                 \
        }                                                                                                                    \
    } while (0)

/* A pointer to a struct: null, misaligned, another size. CALL takes the pointer `it`. */
#define WRONG_STRUCT(type, variable, CALL, about)                                                                            \
    do {                                                                                                                     \
        type *it = NULL;                                                                                                     \
        REFUSED((void)0, CALL, LOWRANK_NULL, about);                                                                         \
        it = (type *)(void *)((char *)&(variable) + 1);                                                                      \
        REFUSED((void)0, CALL, LOWRANK_MISALIGNED, about);                                                                   \
        it = &(variable);                                                                                                    \
        REFUSED(it->size = it->size - 1, CALL, LOWRANK_STRUCT_SIZE, about);                                                  \
        REFUSED(it->size = 0, CALL, LOWRANK_STRUCT_SIZE, about);                                                             \
    } while (0)

/* A matrix that is needed: null, misaligned, another size, a short stride, too large to be. */
#define WRONG_MATRIX(matrix, CALL, about)                                                                                    \
    do {                                                                                                                     \
        REFUSED((matrix).data = NULL, CALL, LOWRANK_NULL, about);                                                            \
        WRONG_OPTION(matrix, CALL, about);                                                                                   \
    } while (0)

/* One that may be left out. */
#define WRONG_OPTION(matrix, CALL, about)                                                                                    \
    do {                                                                                                                     \
        REFUSED((matrix).data = (float *)(void *)((char *)(void *)(uintptr_t)(matrix).data + 1), CALL, LOWRANK_MISALIGNED,   \
                about);                                                                                                      \
        REFUSED((matrix).size = 8, CALL, LOWRANK_STRUCT_SIZE, about);                                                        \
        REFUSED((matrix).stride = (matrix).cols - 1, CALL, LOWRANK_STRIDE, about);                                           \
        REFUSED((matrix).stride = SIZE_MAX / 2, CALL, LOWRANK_WRAPS, about);                                                 \
        REFUSED(((matrix).rows = SIZE_MAX, (matrix).stride = SIZE_MAX), CALL, LOWRANK_WRAPS, about);                         \
        REFUSED((matrix).stride = SIZE_MAX / 4, CALL, LOWRANK_WRAPS, about);                                             \
    } while (0)

#define WRONG_NUMBER(type, CALL)                                                                                             \
    do {                                                                                                                     \
        type *it = NULL;                                                                                                     \
        REFUSED((void)0, CALL, LOWRANK_NULL, LOWRANK_ARGUMENT_RESULT);                                                       \
        it = (type *)(void *)((char *)&w.fingerprint + 1);                                                                   \
        REFUSED((void)0, CALL, LOWRANK_MISALIGNED, LOWRANK_ARGUMENT_RESULT);                                                 \
    } while (0)

#define WRONG_BACKEND(CALL)                                                                                                  \
    do {                                                                                                                     \
        REFUSED(backend = 9, CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_BACKEND);                                               \
        REFUSED(backend = UINT32_MAX, CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_BACKEND);                                      \
    } while (0)

#define OVERLAPS(change, CALL, about) REFUSED(change, CALL, LOWRANK_OVERLAP, about)

/* The error itself is wrong: nothing can be said but the status. */
#define WRONG_ERROR(CALL)                                                                                                    \
    do {                                                                                                                     \
        static lowrank_error at[2];                                                                                          \
        lowrank_error *it = (lowrank_error *)(void *)((char *)at + 1);                                                       \
        memset(at, 0, sizeof at);                                                                                            \
        reset();                                                                                                             \
        refused += 3;                                                                                                        \
        if ((CALL) != LOWRANK_MISALIGNED) failures++, printf("line %d: misaligned error\n", __LINE__);                       \
        it = at;                                                                                                             \
        if ((CALL) != LOWRANK_STRUCT_SIZE) failures++, printf("line %d: size of error\n", __LINE__);                         \
        it = (lowrank_error *)(void *)w.y;                                                                                   \
        memcpy(it, &error, sizeof *it > sizeof w.y ? sizeof(size_t) : sizeof *it);                                           \
        it->size = sizeof *it;                                                                                               \
        if ((CALL) != LOWRANK_OVERLAP) failures++, printf("line %d: error in an output\n", __LINE__);                        \
    } while (0)

static void passes(void)
{
#define FORWARD lowrank_forward(backend, &w.base, &w.adapter, x, y, &w.work.saved, &error)
    WRONG_BACKEND(FORWARD);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_forward(backend, it, &w.adapter, x, y, &w.work.saved, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_forward(backend, &w.base, it, x, y, &w.work.saved, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_forward(backend, &w.base, &w.adapter, x, y, it, &error),
                 LOWRANK_ARGUMENT_SAVED);
    WRONG_ERROR(lowrank_forward(backend, &w.base, &w.adapter, x, y, &w.work.saved, it));
    WRONG_MATRIX(x, FORWARD, LOWRANK_ARGUMENT_X);
    WRONG_MATRIX(y, FORWARD, LOWRANK_ARGUMENT_Y);
    WRONG_MATRIX(w.adapter.a, FORWARD, LOWRANK_ARGUMENT_A);
    WRONG_MATRIX(w.adapter.b, FORWARD, LOWRANK_ARGUMENT_B);
    REFUSED(w.base.weights = NULL, FORWARD, LOWRANK_NULL, LOWRANK_ARGUMENT_W);
    REFUSED(w.base.stride = IN - 1, FORWARD, LOWRANK_STRIDE, LOWRANK_ARGUMENT_W);
    REFUSED(w.base.bias = (const float *)(const void *)((const char *)w.bias + 2), FORWARD, LOWRANK_MISALIGNED, LOWRANK_ARGUMENT_BIAS);
    REFUSED(w.work.saved.memory = NULL, FORWARD, LOWRANK_NULL, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.work.saved.tokens = SIZE_MAX / 8, FORWARD, LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.work.saved.progress = 4, FORWARD, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_PROGRESS);
    REFUSED((w.work.saved.progress = 1, w.work.saved.batch = N + 1), FORWARD, LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
    REFUSED(w.work.saved.dropout.size = 1, FORWARD, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_DROPOUT);
    REFUSED(w.work.saved.dropout.p = 1.0f, FORWARD, LOWRANK_RANGE, LOWRANK_ARGUMENT_DROPOUT);
    OVERLAPS(y.data = w.x, FORWARD, LOWRANK_ARGUMENT_Y);
    OVERLAPS(y.data = w.w + 1, FORWARD, LOWRANK_ARGUMENT_Y);
    OVERLAPS(y.data = w.bias - (N * OUT - 1), FORWARD, LOWRANK_ARGUMENT_Y);
    OVERLAPS(y.data = w.work.adapter.a.data, FORWARD, LOWRANK_ARGUMENT_Y);
    OVERLAPS(y.data = w.work.saved.memory, FORWARD, LOWRANK_ARGUMENT_Y);
    OVERLAPS(x.data = w.work.saved.memory, FORWARD, LOWRANK_ARGUMENT_SAVED);
    OVERLAPS(w.adapter.b.data = w.work.saved.memory + 1, FORWARD, LOWRANK_ARGUMENT_SAVED);
    OVERLAPS(y.data = (float *)(void *)&w.base, FORWARD, LOWRANK_ARGUMENT_Y);
    OVERLAPS(x.data = (float *)(void *)&w.work.saved, FORWARD, LOWRANK_ARGUMENT_SAVED);
    REFUSED(x.cols = x.stride = IN - 1, FORWARD, LOWRANK_COLS, LOWRANK_ARGUMENT_X);
    REFUSED(y.rows = N - 1, FORWARD, LOWRANK_ROWS, LOWRANK_ARGUMENT_Y);
    REFUSED(w.work.saved.tokens = N - 1, FORWARD, LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
    REFUSED(memset(&w.adapter.scale, 0xff, 4), FORWARD, LOWRANK_RANGE, LOWRANK_ARGUMENT_SCALE);

#define BACKWARD lowrank_backward(backend, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error)
    WRONG_BACKEND(BACKWARD);
    WRONG_STRUCT(lowrank_backprop, w.flow, lowrank_backward(backend, &w.base, &w.adapter, it, &w.work.saved, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_FLOW);
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_backward(backend, &w.base, &w.adapter, &w.flow, &w.work.saved, it, &error),
                 LOWRANK_ARGUMENT_GRADS);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_backward(backend, it, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_backward(backend, &w.base, it, &w.flow, &w.work.saved, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_backward(backend, &w.base, &w.adapter, &w.flow, it, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_SAVED);
    WRONG_OPTION(w.flow.x, BACKWARD, LOWRANK_ARGUMENT_X);
    WRONG_MATRIX(w.flow.dy, BACKWARD, LOWRANK_ARGUMENT_DY);
    WRONG_OPTION(w.flow.dx, BACKWARD, LOWRANK_ARGUMENT_DX);
    WRONG_OPTION(w.work.grads.a, BACKWARD, LOWRANK_ARGUMENT_DA);
    WRONG_MATRIX(w.work.grads.b, BACKWARD, LOWRANK_ARGUMENT_DB);
    REFUSED(w.work.grads.accum = 2, BACKWARD, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_ACCUM);
    OVERLAPS(w.flow.dx.data = w.x, BACKWARD, LOWRANK_ARGUMENT_DX);
    OVERLAPS((w.work.grads.a.data = w.work.grads.b.data, w.work.grads.a.rows = 1), BACKWARD, LOWRANK_ARGUMENT_DA);
    OVERLAPS(w.work.grads.b.data = w.dy, BACKWARD, LOWRANK_ARGUMENT_DB);
    REFUSED(w.flow.x.data = NULL, BACKWARD, LOWRANK_MISSING, LOWRANK_ARGUMENT_X);
    REFUSED(w.work.saved.progress = LOWRANK_PROGRESS_NONE, BACKWARD, LOWRANK_MISSING, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.work.saved.training = 0, BACKWARD, LOWRANK_MISSING, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.flow.dy.rows = N - 1, BACKWARD, LOWRANK_ROWS, LOWRANK_ARGUMENT_DY);
    REFUSED(w.flow.dx.cols = IN - 1, BACKWARD, LOWRANK_COLS, LOWRANK_ARGUMENT_DX);
    REFUSED((memset(w.work.adapter.a.data, 0, 4 * RANK * IN), memset(w.work.adapter.b.data, 0, 4 * RANK * OUT)), BACKWARD,
            LOWRANK_DEAD_ADAPTER, LOWRANK_ARGUMENT_ADAPTER);

#define INPUT_GRADS lowrank_input_grads(backend, &w.base, &w.adapter, dy, dx, &w.work.saved, &error)
    WRONG_BACKEND(INPUT_GRADS);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_input_grads(backend, it, &w.adapter, dy, dx, &w.work.saved, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_input_grads(backend, &w.base, it, dy, dx, &w.work.saved, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_input_grads(backend, &w.base, &w.adapter, dy, dx, it, &error), LOWRANK_ARGUMENT_SAVED);
    WRONG_MATRIX(dy, INPUT_GRADS, LOWRANK_ARGUMENT_DY);
    WRONG_OPTION(dx, INPUT_GRADS, LOWRANK_ARGUMENT_DX);
    OVERLAPS(dx.data = w.dy, INPUT_GRADS, LOWRANK_ARGUMENT_DX);
    REFUSED(w.work.saved.progress = LOWRANK_PROGRESS_NONE, INPUT_GRADS, LOWRANK_MISSING, LOWRANK_ARGUMENT_SAVED);

#define PARAMETER_GRADS lowrank_parameter_grads(backend, x, dy, &w.work.saved, &w.work.grads, &error)
    REFUSED((w.work.saved.progress = LOWRANK_PROGRESS_BACKWARD, backend = 99), PARAMETER_GRADS, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_BACKEND);
    REFUSED((void)0, PARAMETER_GRADS, LOWRANK_MISSING, LOWRANK_ARGUMENT_SAVED);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_parameter_grads(backend, x, dy, it, &w.work.grads, &error), LOWRANK_ARGUMENT_SAVED);
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_parameter_grads(backend, x, dy, &w.work.saved, it, &error), LOWRANK_ARGUMENT_GRADS);
    WRONG_OPTION(x, PARAMETER_GRADS, LOWRANK_ARGUMENT_X);
    WRONG_MATRIX(dy, PARAMETER_GRADS, LOWRANK_ARGUMENT_DY);
    REFUSED((w.work.saved.progress = LOWRANK_PROGRESS_BACKWARD, x.data = NULL), PARAMETER_GRADS, LOWRANK_MISSING, LOWRANK_ARGUMENT_X);
    REFUSED((w.work.saved.progress = LOWRANK_PROGRESS_BACKWARD, w.work.saved.training = 0), PARAMETER_GRADS, LOWRANK_MISSING, LOWRANK_ARGUMENT_SAVED);
    OVERLAPS(w.work.grads.a.data = w.x, PARAMETER_GRADS, LOWRANK_ARGUMENT_DA);

    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_set_dropout(it, &w.dropout, &error), LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.dropout.size = 3, lowrank_set_dropout(&w.work.saved, &w.dropout, &error), LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_DROPOUT);
    REFUSED(w.dropout.p = -0.5f, lowrank_set_dropout(&w.work.saved, &w.dropout, &error), LOWRANK_RANGE, LOWRANK_ARGUMENT_DROPOUT);
    OVERLAPS((void)0, lowrank_set_dropout(&w.work.saved, &w.work.saved.dropout, &error), LOWRANK_ARGUMENT_SAVED);
}

static void weights_of_a_layer(void)
{
#define MERGE lowrank_merge(backend, &w.base, &w.adapter, merged, &error)
#define MERGE_FINITE lowrank_merge_finite(backend, &w.base, &w.adapter, merged, &error)
    WRONG_BACKEND(MERGE);
    WRONG_BACKEND(MERGE_FINITE);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_merge(backend, it, &w.adapter, merged, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_merge_finite(backend, it, &w.adapter, merged, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_merge(backend, &w.base, it, merged, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_merge_finite(backend, &w.base, it, merged, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_MATRIX(merged, MERGE, LOWRANK_ARGUMENT_MERGED);
    WRONG_MATRIX(merged, MERGE_FINITE, LOWRANK_ARGUMENT_MERGED);
    OVERLAPS(merged.data = w.w, MERGE, LOWRANK_ARGUMENT_MERGED);
    OVERLAPS(merged.data = w.w, MERGE_FINITE, LOWRANK_ARGUMENT_MERGED);
    REFUSED(merged.rows = OUT - 1, MERGE, LOWRANK_ROWS, LOWRANK_ARGUMENT_MERGED);
    REFUSED(merged.cols = IN - 1, MERGE_FINITE, LOWRANK_COLS, LOWRANK_ARGUMENT_MERGED);
    REFUSED(memset(w.w + 4, 0xff, 4), MERGE_FINITE, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_MERGED);
    REFUSED(memset(w.work.adapter.a.data + 1, 0xff, 4), MERGE_FINITE, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_A);

#define PACK lowrank_pack(backend, weights, w.packed, OUT * IN, &w.base, &error)
    WRONG_BACKEND(PACK);
    WRONG_MATRIX(weights, PACK, LOWRANK_ARGUMENT_W);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_pack(backend, weights, w.packed, OUT * IN, it, &error), LOWRANK_ARGUMENT_BASE);
    REFUSED((void)0, lowrank_pack(backend, weights, NULL, OUT * IN, &w.base, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_PACKED);
    REFUSED((void)0, lowrank_pack(backend, weights, w.packed, OUT * IN - 1, &w.base, &error), LOWRANK_LENGTH, LOWRANK_ARGUMENT_PACKED);
    REFUSED((void)0, lowrank_pack(backend, weights, w.packed, SIZE_MAX / 2, &w.base, &error), LOWRANK_WRAPS, LOWRANK_ARGUMENT_PACKED);
    OVERLAPS((void)0, lowrank_pack(backend, weights, w.w, OUT * IN, &w.base, &error), LOWRANK_ARGUMENT_PACKED);

    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_init_kaiming_uniform(it, 1, 0, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_init_gaussian(it, 1, 0, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_MATRIX(w.work.adapter.a, lowrank_init_kaiming_uniform(&w.work.adapter, 1, 0, &error), LOWRANK_ARGUMENT_A);
    WRONG_MATRIX(w.work.adapter.b, lowrank_init_gaussian(&w.work.adapter, 1, 0, &error), LOWRANK_ARGUMENT_B);
    OVERLAPS(w.work.adapter.b.data = w.work.adapter.a.data, lowrank_init_kaiming_uniform(&w.work.adapter, 1, 0, &error), LOWRANK_ARGUMENT_A);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_check_alive(it, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_check_finite(it, &error), LOWRANK_ARGUMENT_ADAPTER);
    REFUSED((memset(w.work.adapter.a.data, 0, 4 * RANK * IN), memset(w.work.adapter.b.data, 0, 4 * RANK * OUT)),
            lowrank_check_alive(&w.adapter, &error), LOWRANK_DEAD_ADAPTER, LOWRANK_ARGUMENT_ADAPTER);
    REFUSED(memset(w.work.adapter.b.data, 0xff, 4), lowrank_check_finite(&w.adapter, &error), LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_B);
    WRONG_NUMBER(float, lowrank_scale(LOWRANK_SCALE_ALPHA, 1.0f, RANK, it, &error));
    REFUSED((void)0, lowrank_scale(3, 1.0f, RANK, &w.number, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_SCALE);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_fingerprint(it, &w.fingerprint, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_NUMBER(uint64_t, lowrank_fingerprint(&w.base, it, &error));
    WRONG_BACKEND(lowrank_selftest(backend, &error));
}

static void training(void)
{
    WRONG_STRUCT(lowrank_plan, w.plan, lowrank_plan_lengths(it, &w.lengths, &error), LOWRANK_ARGUMENT_PLAN);
    WRONG_STRUCT(lowrank_lengths, w.lengths, lowrank_plan_lengths(&w.plan, it, &error), LOWRANK_ARGUMENT_LENGTHS);
    REFUSED(w.plan.rank = SIZE_MAX / 4, lowrank_plan_lengths(&w.plan, &w.lengths, &error), LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_ARENA);
    REFUSED(w.plan.optimizer = 5, lowrank_plan_lengths(&w.plan, &w.lengths, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED(w.plan.trained = 4, lowrank_plan_lengths(&w.plan, &w.lengths, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_TRAINED);
#define SPLIT(arena, len) lowrank_plan_split(&w.plan, arena, len, &w.split, &error)
    WRONG_STRUCT(lowrank_plan, w.plan, lowrank_plan_split(it, w.other, LEN(w.other), &w.split, &error), LOWRANK_ARGUMENT_PLAN);
    WRONG_STRUCT(lowrank_work, w.split, lowrank_plan_split(&w.plan, w.other, LEN(w.other), it, &error), LOWRANK_ARGUMENT_WORK);
    REFUSED((void)0, SPLIT(NULL, LEN(w.other)), LOWRANK_NULL, LOWRANK_ARGUMENT_ARENA);
    REFUSED((void)0, SPLIT((float *)(void *)((char *)w.other + 3), LEN(w.other)), LOWRANK_MISALIGNED, LOWRANK_ARGUMENT_ARENA);
    REFUSED((void)0, SPLIT(w.other, LEN(w.other) - 1), LOWRANK_LENGTH, LOWRANK_ARGUMENT_ARENA);
    REFUSED(w.plan.optimizer = LOWRANK_NONE, SPLIT(w.other, LEN(w.other)), LOWRANK_LENGTH, LOWRANK_ARGUMENT_ARENA);
    REFUSED((void)0, SPLIT(w.other, SIZE_MAX), LOWRANK_WRAPS, LOWRANK_ARGUMENT_ARENA);
    REFUSED(w.plan.tokens = SIZE_MAX, SPLIT(w.other, LEN(w.other)), LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_ARENA);
    OVERLAPS((void)0, SPLIT((float *)(void *)&w.plan, LEN(w.other)), LOWRANK_ARGUMENT_ARENA);

#define ADAMW lowrank_adamw_step(&w.adamw, backend, &w.work.adapter, &w.work.grads, &w.work.state, &error)
#define SGD lowrank_sgd_step(&w.sgd, backend, &w.work.adapter, &w.work.grads, &w.work.state, &error)
    WRONG_BACKEND(ADAMW);
    WRONG_BACKEND(SGD);
    WRONG_STRUCT(lowrank_adamw, w.adamw, lowrank_adamw_step(it, backend, &w.work.adapter, &w.work.grads, &w.work.state, &error), LOWRANK_ARGUMENT_OPTIMIZER);
    WRONG_STRUCT(lowrank_sgd, w.sgd, lowrank_sgd_step(it, backend, &w.work.adapter, &w.work.grads, &w.work.state, &error), LOWRANK_ARGUMENT_OPTIMIZER);
    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_adamw_step(&w.adamw, backend, it, &w.work.grads, &w.work.state, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_sgd_step(&w.sgd, backend, it, &w.work.grads, &w.work.state, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_adamw_step(&w.adamw, backend, &w.work.adapter, it, &w.work.state, &error), LOWRANK_ARGUMENT_GRADS);
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_sgd_step(&w.sgd, backend, &w.work.adapter, it, &w.work.state, &error), LOWRANK_ARGUMENT_GRADS);
    WRONG_STRUCT(lowrank_state, w.work.state, lowrank_adamw_step(&w.adamw, backend, &w.work.adapter, &w.work.grads, it, &error), LOWRANK_ARGUMENT_STATE);
    WRONG_STRUCT(lowrank_state, w.work.state, lowrank_sgd_step(&w.sgd, backend, &w.work.adapter, &w.work.grads, it, &error), LOWRANK_ARGUMENT_STATE);
    WRONG_STRUCT(lowrank_state, w.work.state, lowrank_state_reset(it, &error), LOWRANK_ARGUMENT_STATE);
    WRONG_OPTION(w.work.state.moments[3], ADAMW, LOWRANK_ARGUMENT_STATE);
    WRONG_MATRIX(w.work.adapter.b, ADAMW, LOWRANK_ARGUMENT_B);
    WRONG_MATRIX(w.work.grads.b, SGD, LOWRANK_ARGUMENT_DB);
    REFUSED(w.work.state.clock.size = 1, ADAMW, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_CLOCK);
    REFUSED(w.adamw.lr = -1.0f, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_LEARNING_RATE);
    REFUSED(w.adamw.eps = 0.0f, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_EPSILON);
    REFUSED(w.adamw.beta2 = 1.0, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_MOMENTUM);
    REFUSED(w.adamw.weight_decay = -1.0f, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_WEIGHT_DECAY);
    REFUSED(w.sgd.momentum = 2.0f, SGD, LOWRANK_RANGE, LOWRANK_ARGUMENT_MOMENTUM);
    REFUSED(w.sgd.nesterov = 2, SGD, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED(w.work.grads.a.rows = 1, ADAMW, LOWRANK_ROWS, LOWRANK_ARGUMENT_DA);
    REFUSED(w.work.state.moments[2].data = NULL, ADAMW, LOWRANK_ROWS, LOWRANK_ARGUMENT_STATE);
    REFUSED(w.work.grads.bias = lowrank_rows_mut(w.targets, 1, OUT), ADAMW, LOWRANK_MISSING, LOWRANK_ARGUMENT_BIAS);
    REFUSED(memset(w.work.grads.b.data + 1, 0xff, 4), ADAMW, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_DB);
    REFUSED(memset(w.work.grads.a.data + 1, 0xff, 4), SGD, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_DA);
    OVERLAPS(w.work.state.moments[0].data = w.work.adapter.a.data, ADAMW, LOWRANK_ARGUMENT_A);
    OVERLAPS(w.work.grads.a.data = w.work.adapter.a.data, SGD, LOWRANK_ARGUMENT_A);

#define IN_PLACE lowrank_in_place_step(&w.in_place, backend, &w.base, &w.work.adapter, &w.flow, &w.work.saved, &error)
    WRONG_BACKEND(IN_PLACE);
    WRONG_STRUCT(lowrank_in_place, w.in_place, lowrank_in_place_step(it, backend, &w.base, &w.work.adapter, &w.flow, &w.work.saved, &error), LOWRANK_ARGUMENT_OPTIMIZER);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_in_place_step(&w.in_place, backend, it, &w.work.adapter, &w.flow, &w.work.saved, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_in_place_step(&w.in_place, backend, &w.base, it, &w.flow, &w.work.saved, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_backprop, w.flow, lowrank_in_place_step(&w.in_place, backend, &w.base, &w.work.adapter, it, &w.work.saved, &error), LOWRANK_ARGUMENT_FLOW);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_in_place_step(&w.in_place, backend, &w.base, &w.work.adapter, &w.flow, it, &error), LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.in_place.lr = -1.0f, IN_PLACE, LOWRANK_RANGE, LOWRANK_ARGUMENT_LEARNING_RATE);
    REFUSED(w.work.adapter.bias = lowrank_rows_mut(w.targets, 1, OUT), IN_PLACE, LOWRANK_UNEXPECTED, LOWRANK_ARGUMENT_BIAS);
    REFUSED(memset(w.dy, 0xff, 4), IN_PLACE, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_DY);
    OVERLAPS(w.flow.dx.data = w.work.adapter.a.data, IN_PLACE, LOWRANK_ARGUMENT_A);

    WRONG_BACKEND(lowrank_square_sum(backend, &w.work.grads, &w.number, &error));
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_square_sum(backend, it, &w.number, &error), LOWRANK_ARGUMENT_GRADS);
    WRONG_NUMBER(float, lowrank_square_sum(backend, &w.work.grads, it, &error));
    WRONG_NUMBER(float, lowrank_clip_factor(1.0f, 1.0f, it, &error));
    REFUSED((void)0, lowrank_clip_factor(1.0f, -1.0f, &w.number, &error), LOWRANK_RANGE, LOWRANK_ARGUMENT_MAX_NORM);
    REFUSED((void)0, lowrank_clip_factor(-1.0f, 1.0f, &w.number, &error), LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_GRAD_NORM);
    WRONG_BACKEND(lowrank_clip(backend, &w.work.grads, 0.5f, &error));
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_clip(backend, it, 0.5f, &error), LOWRANK_ARGUMENT_GRADS);

#define CROSS_ENTROPY lowrank_softmax_cross_entropy(&w.loss, lowrank_rows(w.y, N, OUT), w.labels, N, loss_grad, &error)
    WRONG_STRUCT(lowrank_mean_loss, w.loss, lowrank_softmax_cross_entropy(it, targets, w.labels, N, loss_grad, &error), LOWRANK_ARGUMENT_LOSS);
    WRONG_STRUCT(lowrank_mean_loss, w.loss, lowrank_mean_squared_error(it, dy, targets, y, &error), LOWRANK_ARGUMENT_LOSS);
    WRONG_STRUCT(lowrank_mean_loss, w.loss, lowrank_mean_loss_value(it, &w.number, &error), LOWRANK_ARGUMENT_LOSS);
    WRONG_NUMBER(float, lowrank_mean_loss_value(&w.loss, it, &error));
    WRONG_MATRIX(loss_grad, CROSS_ENTROPY, LOWRANK_ARGUMENT_LOSS_GRAD);
    WRONG_MATRIX(targets, lowrank_softmax_cross_entropy(&w.loss, targets, w.labels, N, loss_grad, &error), LOWRANK_ARGUMENT_Y);
    WRONG_MATRIX(targets, lowrank_mean_squared_error(&w.loss, dy, targets, y, &error), LOWRANK_ARGUMENT_TARGETS);
    REFUSED((void)0, lowrank_softmax_cross_entropy(&w.loss, targets, NULL, N, loss_grad, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_LABELS);
    REFUSED((void)0, lowrank_softmax_cross_entropy(&w.loss, targets, w.labels, N - 1, loss_grad, &error), LOWRANK_LENGTH, LOWRANK_ARGUMENT_LABELS);
    REFUSED(w.labels[2] = OUT, CROSS_ENTROPY, LOWRANK_LABEL, LOWRANK_ARGUMENT_LABELS);
    REFUSED(memset(w.y, 0xff, 4), CROSS_ENTROPY, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_Y);
    REFUSED(w.loss.seen = 1, CROSS_ENTROPY, LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
    REFUSED(w.loss.seen = SIZE_MAX, CROSS_ENTROPY, LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
    REFUSED(loss_grad.rows = 1, CROSS_ENTROPY, LOWRANK_ROWS, LOWRANK_ARGUMENT_LOSS_GRAD);
    REFUSED(memset(w.targets, 0xff, 4), lowrank_mean_squared_error(&w.loss, dy, targets, y, &error), LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_TARGETS);
    OVERLAPS(loss_grad.data = w.y, CROSS_ENTROPY, LOWRANK_ARGUMENT_LOSS_GRAD);
    OVERLAPS(targets.data = w.y, lowrank_mean_squared_error(&w.loss, dy, targets, y, &error), LOWRANK_ARGUMENT_LOSS_GRAD);

    WRONG_STRUCT(lowrank_schedule, w.schedule, lowrank_schedule_factor(it, 1, &w.number, &error), LOWRANK_ARGUMENT_SCHEDULE);
    WRONG_NUMBER(float, lowrank_schedule_factor(&w.schedule, 1, it, &error));
    REFUSED(w.schedule.decay = 3, lowrank_schedule_factor(&w.schedule, 1, &w.number, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_SCHEDULE);
    WRONG_STRUCT(lowrank_rng, w.rng, lowrank_rng_word(it, 0, &w.word, &error), LOWRANK_ARGUMENT_RNG);
    WRONG_NUMBER(uint32_t, lowrank_rng_word(&w.rng, 0, it, &error));
    WRONG_STRUCT(lowrank_rng, w.rng, lowrank_rng_shuffle(it, w.items, 8, 2, &error), LOWRANK_ARGUMENT_RNG);
    REFUSED((void)0, lowrank_rng_shuffle(&w.rng, NULL, 8, 2, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_ITEMS);
    REFUSED((void)0, lowrank_rng_shuffle(&w.rng, w.items, 8, 3, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_ITEMS);
    REFUSED((void)0, lowrank_rng_shuffle(&w.rng, w.items, SIZE_MAX, 2, &error), LOWRANK_WRAPS, LOWRANK_ARGUMENT_ITEMS);
    OVERLAPS((void)0, lowrank_rng_shuffle(&w.rng, &w.rng, 4, 2, &error), LOWRANK_ARGUMENT_ITEMS);
}

static void files(void)
{
    WRONG_STRUCT(lowrank_file, w.parsed, lowrank_parse(BYTES, file_len, it, &error), LOWRANK_ARGUMENT_FILE);
    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_at(BYTES, file_len, 0, it, &error), LOWRANK_ARGUMENT_LAYER);
    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_find(BYTES, file_len, "fc1", 3, it, &error), LOWRANK_ARGUMENT_LAYER);
    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_find_id(BYTES, file_len, 0, it, &error), LOWRANK_ARGUMENT_LAYER);
    REFUSED((void)0, lowrank_parse(NULL, file_len, &w.parsed, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_parse(BYTES, SIZE_MAX - 64, &w.parsed, &error), LOWRANK_WRAPS, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_parse(BYTES, 10, &w.parsed, &error), LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_parse(NULL, 0, &w.parsed, &error), LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    REFUSED(((uint8_t *)w.bytes)[70] ^= 1, lowrank_parse(BYTES, file_len, &w.parsed, &error), LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    REFUSED(((uint8_t *)w.bytes)[70] ^= 1, lowrank_layer_at(BYTES, file_len, 0, &w.layer, &error), LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_layer_at(BYTES, file_len, 1, &w.layer, &error), LOWRANK_NOT_FOUND, LOWRANK_ARGUMENT_LAYER);
    REFUSED((void)0, lowrank_layer_find(BYTES, file_len, "fc2", 3, &w.layer, &error), LOWRANK_NOT_FOUND, LOWRANK_ARGUMENT_LAYER);
    REFUSED((void)0, lowrank_layer_find(BYTES, file_len, "\xff", 1, &w.layer, &error), LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_NAME);
    REFUSED((void)0, lowrank_layer_find(BYTES, file_len, NULL, 1, &w.layer, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_NAME);
    REFUSED((void)0, lowrank_layer_find_id(BYTES, file_len, 7, &w.layer, &error), LOWRANK_NOT_FOUND, LOWRANK_ARGUMENT_LAYER);
    OVERLAPS((void)0, lowrank_parse((const uint8_t *)&w.parsed, 64, &w.parsed, &error), LOWRANK_ARGUMENT_FILE);

    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_adapter(it, &w.adapter, &error), LOWRANK_ARGUMENT_LAYER);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_layer_adapter(&w.layer, it, &error), LOWRANK_ARGUMENT_ADAPTER);
    REFUSED((w.layer.b_bias = w.layer.b, w.layer.b_bias.rows = 1, w.layer.b_bias.cols = OUT), lowrank_layer_adapter(&w.layer, &w.adapter, &error),
            LOWRANK_NOT_IN_PLACE, LOWRANK_ARGUMENT_LAYER);
    REFUSED(w.layer.a.dtype = 4, lowrank_layer_adapter(&w.layer, &w.adapter, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_DTYPE);
    REFUSED(w.layer.a.data = NULL, lowrank_layer_adapter(&w.layer, &w.adapter, &error), LOWRANK_MISSING, LOWRANK_ARGUMENT_A);
    REFUSED(w.layer.a.size = 4, lowrank_layer_adapter(&w.layer, &w.adapter, &error), LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_A);
    REFUSED(w.layer.b.rows = SIZE_MAX, lowrank_layer_adapter(&w.layer, &w.adapter, &error), LOWRANK_WRAPS, LOWRANK_ARGUMENT_B);
    REFUSED(w.layer.scale_mode = 3, lowrank_layer_adapter(&w.layer, &w.adapter, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_SCALE);
    REFUSED(w.layer.fan_in_fan_out = 2, lowrank_layer_adapter(&w.layer, &w.adapter, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_LAYER);
    REFUSED(w.layer.random.size = 2, lowrank_layer_adapter(&w.layer, &w.adapter, &error), LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_RNG);

    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_load(it, &w.split.adapter, &error), LOWRANK_ARGUMENT_LAYER);
    WRONG_STRUCT(lowrank_adapter_mut, w.split.adapter, lowrank_layer_load(&w.layer, it, &error), LOWRANK_ARGUMENT_ADAPTER);
    REFUSED(w.split.adapter.a.rows = 1, lowrank_layer_load(&w.layer, &w.split.adapter, &error), LOWRANK_ROWS, LOWRANK_ARGUMENT_A);
    REFUSED(w.split.adapter.bias = lowrank_rows_mut(w.y, 1, OUT), lowrank_layer_load(&w.layer, &w.split.adapter, &error), LOWRANK_UNEXPECTED, LOWRANK_ARGUMENT_BIAS);
    OVERLAPS(w.split.adapter.a.data = w.work.adapter.a.data, lowrank_layer_load(&w.layer, &w.split.adapter, &error), LOWRANK_ARGUMENT_A);
    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_restore(it, &w.split.state, &error), LOWRANK_ARGUMENT_LAYER);
    WRONG_STRUCT(lowrank_state, w.split.state, lowrank_layer_restore(&w.layer, it, &error), LOWRANK_ARGUMENT_STATE);
    REFUSED(w.layer.optimizer = LOWRANK_NONE, lowrank_layer_restore(&w.layer, &w.split.state, &error), LOWRANK_MISSING, LOWRANK_ARGUMENT_STATE);
    REFUSED(w.layer.optimizer = 5, lowrank_layer_restore(&w.layer, &w.split.state, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED(w.split.state.moments[1].rows = 1, lowrank_layer_restore(&w.layer, &w.split.state, &error), LOWRANK_ROWS, LOWRANK_ARGUMENT_STATE);

    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_layer_of("fc1", 3, it, &w.layer, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_of("fc1", 3, &w.adapter, it, &error), LOWRANK_ARGUMENT_LAYER);
    REFUSED((void)0, lowrank_layer_of(NULL, 3, &w.adapter, &w.layer, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_NAME);
    REFUSED((void)0, lowrank_layer_of("\xc0", 1, &w.adapter, &w.layer, &error), LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_NAME);
    REFUSED(w.adapter.b.cols = 1, lowrank_layer_of("fc1", 3, &w.adapter, &w.layer, &error), LOWRANK_STRIDE, LOWRANK_ARGUMENT_B);
    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_keep(it, &w.work.state, LOWRANK_ADAMW, 1, &error), LOWRANK_ARGUMENT_LAYER);
    WRONG_STRUCT(lowrank_state, w.work.state, lowrank_layer_keep(&w.layer, it, LOWRANK_ADAMW, 1, &error), LOWRANK_ARGUMENT_STATE);
    REFUSED((void)0, lowrank_layer_keep(&w.layer, &w.work.state, 6, 1, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED((void)0, lowrank_layer_keep(&w.layer, &w.work.state, 2, 8, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_TRAINED);

#define EMIT lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, &w.len, &error)
    WRONG_STRUCT(lowrank_contents, w.contents, lowrank_encoded_len(it, &w.len, &error), LOWRANK_ARGUMENT_CONTENTS);
    WRONG_STRUCT(lowrank_contents, w.contents, lowrank_emit(it, (uint8_t *)w.out, sizeof w.out, &w.len, &error), LOWRANK_ARGUMENT_CONTENTS);
    WRONG_NUMBER(size_t, lowrank_encoded_len(&w.contents, it, &error));
    WRONG_NUMBER(size_t, lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, it, &error));
    REFUSED((void)0, lowrank_emit(&w.contents, NULL, sizeof w.out, &w.len, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_FILE);
    REFUSED(w.contents.layers = NULL, EMIT, LOWRANK_NULL, LOWRANK_ARGUMENT_LAYERS);
    REFUSED(w.layer.size = 1, EMIT, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_LAYERS);
    REFUSED(w.contents.room = NULL, EMIT, LOWRANK_NULL, LOWRANK_ARGUMENT_ROOM);
    REFUSED(w.contents.room_len -= 1, EMIT, LOWRANK_LENGTH, LOWRANK_ARGUMENT_ROOM);
    REFUSED(w.contents.layers_len = SIZE_MAX / 4, EMIT, LOWRANK_LENGTH, LOWRANK_ARGUMENT_ROOM);
    REFUSED(w.contents.metadata_len = 1, EMIT, LOWRANK_NULL, LOWRANK_ARGUMENT_METADATA);
    OVERLAPS((void)0, lowrank_emit(&w.contents, (uint8_t *)w.room, sizeof w.room, &w.len, &error), LOWRANK_ARGUMENT_FILE);
    OVERLAPS((void)0, lowrank_emit(&w.contents, (uint8_t *)w.work.adapter.a.data, 256, &w.len, &error), LOWRANK_ARGUMENT_FILE);
    OVERLAPS(w.contents.room = (uint64_t *)(void *)&w.layer, EMIT, LOWRANK_ARGUMENT_ROOM);
}

/* Errors that are found when the room of the contents has been written: compared without it. */
static void contents(void)
{
#define EMIT_REFUSED(change, about_status, about_argument)                                                                   \
    do {                                                                                                                     \
        REFUSED((w.contents.room = spare, change), EMIT, about_status, about_argument);                                      \
    } while (0)
    static uint64_t spare[LOWRANK_LAYER_ROOM];
    EMIT_REFUSED((w.contents.metadata = "\xff", w.contents.metadata_len = 1), LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_METADATA);
    EMIT_REFUSED(w.layer.a.cols = IN - 1, LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    EMIT_REFUSED(w.layer.random.dropout = 1.0f, LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    EMIT_REFUSED(w.layer.a.data = NULL, LOWRANK_MISSING, LOWRANK_ARGUMENT_A);
    EMIT_REFUSED(w.layer.name = "\xff", LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_NAME);
    REFUSED(w.contents.room = spare, lowrank_emit(&w.contents, (uint8_t *)w.out, file_len - 1, &w.len, &error), LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_FILE);
    REFUSED((w.contents.room = spare, w.store.end[0] = 1024, w.store.start[1] = 1024, w.store.end[1] = 2048, w.store.page = (uint8_t *)spare + 8),
            lowrank_store_save(&w.store, &w.contents, &w.stored, &error), LOWRANK_OVERLAP, LOWRANK_ARGUMENT_PAGE);
}

static void stores(void)
{
#define NEWEST lowrank_store_newest(&w.store, &w.stored, &error)
    WRONG_STRUCT(lowrank_store, w.store, lowrank_store_newest(it, &w.stored, &error), LOWRANK_ARGUMENT_STORE);
    WRONG_STRUCT(lowrank_store, w.store, lowrank_store_recover(it, &w.stored, &error), LOWRANK_ARGUMENT_STORE);
    WRONG_STRUCT(lowrank_store, w.store, lowrank_store_load(it, (uint8_t *)w.out, sizeof w.out, &w.len, &error), LOWRANK_ARGUMENT_STORE);
    WRONG_STRUCT(lowrank_store, w.store, lowrank_store_save(it, &w.contents, &w.stored, &error), LOWRANK_ARGUMENT_STORE);
    WRONG_STRUCT(lowrank_stored, w.stored, lowrank_store_newest(&w.store, it, &error), LOWRANK_ARGUMENT_STORED);
    WRONG_STRUCT(lowrank_stored, w.stored, lowrank_store_recover(&w.store, it, &error), LOWRANK_ARGUMENT_STORED);
    WRONG_STRUCT(lowrank_stored, w.stored, lowrank_store_save(&w.store, &w.contents, it, &error), LOWRANK_ARGUMENT_STORED);
    WRONG_STRUCT(lowrank_contents, w.contents, lowrank_store_save(&w.store, it, &w.stored, &error), LOWRANK_ARGUMENT_CONTENTS);
    WRONG_NUMBER(size_t, lowrank_store_load(&w.store, (uint8_t *)w.out, sizeof w.out, it, &error));
    REFUSED((void)0, lowrank_store_load(&w.store, NULL, sizeof w.out, &w.len, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_FILE);
    REFUSED(w.store.flash.size = 1, NEWEST, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.read = NULL, NEWEST, LOWRANK_NULL, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.erase = NULL, NEWEST, LOWRANK_NULL, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.program = NULL, NEWEST, LOWRANK_NULL, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.erase_size = 0, NEWEST, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.erase_size = 4096, NEWEST, LOWRANK_SLOT_UNALIGNED, LOWRANK_ARGUMENT_STORE);
    REFUSED(w.store.start[0] = 32, NEWEST, LOWRANK_SLOT_UNALIGNED, LOWRANK_ARGUMENT_STORE);
    REFUSED(w.store.flash.capacity = SLOT, NEWEST, LOWRANK_SLOT_OUTSIDE, LOWRANK_ARGUMENT_STORE);
    REFUSED((w.store.end[0] = 512, w.store.flash.erase_size = 64), NEWEST, LOWRANK_SLOT_TOO_SMALL, LOWRANK_ARGUMENT_STORE);
    REFUSED((w.store.start[1] = 0, w.store.end[1] = SLOT), NEWEST, LOWRANK_SLOTS_OVERLAP, LOWRANK_ARGUMENT_STORE);
    REFUSED(w.store.page = NULL, NEWEST, LOWRANK_NULL, LOWRANK_ARGUMENT_PAGE);
    REFUSED(w.store.page_len = 64, NEWEST, LOWRANK_PAGE, LOWRANK_ARGUMENT_PAGE);
    REFUSED(w.store.page_len = 127, NEWEST, LOWRANK_PAGE, LOWRANK_ARGUMENT_PAGE);
    REFUSED(driver_answer = -7, NEWEST, LOWRANK_FLASH, LOWRANK_ARGUMENT_FLASH);
    OVERLAPS(w.store.page = (uint8_t *)&w.store, NEWEST, LOWRANK_ARGUMENT_PAGE);
    WRONG_NUMBER(size_t, lowrank_slot_len(64, 64, it, &error));
    REFUSED((void)0, lowrank_slot_len(64, 100, &w.len, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_FLASH);
    REFUSED((void)0, lowrank_slot_len(SIZE_MAX, 64, &w.len, &error), LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_FILE);
}

static void set_up(void)
{
    size_t i;
    lowrank_plan plan = lowrank_plan_of(IN, OUT, RANK, N, LOWRANK_ADAMW);
    float *numbers = w.w;
    memset(&w, 0, sizeof w);
    for (i = 0; i < LEN(w.arena); i++) w.arena[i] = w.other[i] = (float)(i % 7) - 2.5f;
    for (i = 0; i < OUT * IN; i++) numbers[i] = (float)(i % 5) * 0.5f;
    for (i = 0; i < N * IN; i++) w.x[i] = (float)(i % 3) - 1.0f;
    for (i = 0; i < N * OUT; i++) w.dy[i] = w.targets[i] = (float)(i % 4) - 0.75f;
    w.plan = plan;
    w.lengths.size = sizeof w.lengths;
    w.work.size = w.split.size = sizeof w.work;
    error.size = sizeof error;
    failures += lowrank_plan_split(&plan, w.other, LEN(w.other), &w.split, &error) != LOWRANK_OK;
    failures += lowrank_plan_split(&plan, w.arena, LEN(w.arena), &w.work, &error) != LOWRANK_OK;
    w.base = lowrank_base_rows(w.w, w.bias, OUT, IN);
    w.adapter = lowrank_adapter_of(&w.work.adapter);
    w.flow = lowrank_backprop_of(lowrank_rows(w.x, N, IN), lowrank_rows(w.dy, N, OUT), lowrank_rows_mut(w.dx, N, IN));
    w.adamw = lowrank_adamw_default();
    w.sgd = lowrank_sgd_default();
    w.in_place = lowrank_in_place_default();
    w.loss = lowrank_mean_loss_over(N);
    w.schedule.size = sizeof w.schedule;
    w.rng.size = sizeof w.rng;
    w.dropout.size = sizeof w.dropout;
    w.dropout.p = 0.5f;
    w.layer.size = sizeof w.layer;
    w.parsed.size = sizeof w.parsed;
    w.stored.size = sizeof w.stored;
    failures += lowrank_forward(1, &w.base, &w.adapter, lowrank_rows(w.x, N, IN), lowrank_rows_mut(w.y, N, OUT), &w.work.saved, &error) != LOWRANK_OK;
    memcpy(w.name, "fc1", 3);
    failures += lowrank_layer_of(w.name, 3, &w.adapter, &w.layer, &error) != LOWRANK_OK;
    failures += lowrank_layer_keep(&w.layer, &w.work.state, LOWRANK_ADAMW, LOWRANK_TRAINS_A, &error) != LOWRANK_OK;
    w.contents.size = sizeof w.contents;
    w.contents.layers = &w.layer;
    w.contents.layers_len = 1;
    w.contents.room = w.room;
    w.contents.room_len = LEN(w.room);
    failures += lowrank_emit(&w.contents, (uint8_t *)w.bytes, sizeof w.bytes, &file_len, &error) != LOWRANK_OK;
    memset(w.flash, 0xff, sizeof w.flash);
    w.store.size = sizeof w.store;
    w.store.flash.size = sizeof w.store.flash;
    w.store.flash.context = w.flash;
    w.store.flash.read = flash_read;
    w.store.flash.erase = flash_erase;
    w.store.flash.program = flash_program;
    w.store.flash.capacity = sizeof w.flash;
    w.store.flash.erase_size = 1024;
    w.store.end[0] = w.store.start[1] = SLOT;
    w.store.end[1] = 2 * SLOT;
    w.store.page = w.page;
    w.store.page_len = sizeof w.page;
    memcpy(&valid, &w, sizeof w);
}

/* What is saved is found, in turns in both slots. */
static void store_works(void)
{
    uint32_t i;
    reset();
    for (i = 0; i < 3; i++) {
        size_t len = 0;
        failures += lowrank_store_save(&w.store, &w.contents, &w.stored, &error) != LOWRANK_OK;
        failures += lowrank_store_recover(&w.store, &w.stored, &error) != LOWRANK_OK;
        failures += w.stored.slot != i % 2 || w.stored.len != file_len;
        failures += lowrank_store_load(&w.store, (uint8_t *)w.out, sizeof w.out, &len, &error) != LOWRANK_OK || len != file_len;
        failures += memcmp((uint8_t *)w.out + 64, (uint8_t *)w.bytes + 64, file_len - 64) != 0;
    }
}

int main(void)
{
    set_up();
    if (failures) return printf("the valid world is not valid: %d\n", (int)error.status), 1;
    store_works();
    passes();
    weights_of_a_layer();
    training();
    files();
    contents();
    stores();
    printf("%d misuses refused, %d failures\n", refused, failures);
    return failures == 0 ? 0 : 1;
}
