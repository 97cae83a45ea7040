/* Forward, gradients, merge, the start of an adapter. */
#include "world.h"

void passes(void)
{
#define FORWARD lowrank_forward(backend, &w.base, &w.adapter, x, y, &w.work.saved, &error)
    WRONG_BACKEND(FORWARD);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_forward(backend, it, &w.adapter, x, y, &w.work.saved, &error),
                 LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_forward(backend, &w.base, it, x, y, &w.work.saved, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_forward(backend, &w.base, &w.adapter, x, y, it, &error),
                 LOWRANK_ARGUMENT_SAVED);
    WRONG_MATRIX(x, FORWARD, LOWRANK_ARGUMENT_X);
    WRONG_MATRIX(y, FORWARD, LOWRANK_ARGUMENT_Y);
    WRONG_MATRIX(w.adapter.a, FORWARD, LOWRANK_ARGUMENT_A);
    WRONG_MATRIX(w.adapter.b, FORWARD, LOWRANK_ARGUMENT_B);
    REFUSED(w.base.weights = NULL, FORWARD, LOWRANK_NULL, LOWRANK_ARGUMENT_W);
    REFUSED(w.base.stride = IN - 1, FORWARD, LOWRANK_STRIDE, LOWRANK_ARGUMENT_W);
    REFUSED(w.base.bias = (const float *)(const void *)((const char *)w.bias + 2), FORWARD, LOWRANK_MISALIGNED,
            LOWRANK_ARGUMENT_BIAS);
    REFUSED(w.work.saved.memory = NULL, FORWARD, LOWRANK_NULL, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.work.saved.tokens = SIZE_MAX / 8, FORWARD, LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.work.saved.progress = 4, FORWARD, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_PROGRESS);
    REFUSED((w.work.saved.progress = 1, w.work.saved.batch = N + 1), FORWARD, LOWRANK_TOO_MANY,
            LOWRANK_ARGUMENT_TOKENS);
    REFUSED(w.work.saved.dropout.size = 1, FORWARD, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_DROPOUT);
    REFUSED(w.work.saved.dropout.probability = 1.0f, FORWARD, LOWRANK_RANGE, LOWRANK_ARGUMENT_DROPOUT);
    WRONG_CODE(w.work.saved.masks, w.work.saved.dropout.probability = 0.5f, FORWARD, LOWRANK_ARGUMENT_DROPOUT);
    WRONG_CODE(w.base.panels, w.base = lowrank_base_panels(w.w, w.bias, OUT, IN, 1), FORWARD, LOWRANK_ARGUMENT_W);
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
    WRONG_STRUCT(lowrank_backprop, w.flow,
                 lowrank_backward(backend, &w.base, &w.adapter, it, &w.work.saved, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_FLOW);
    WRONG_STRUCT(lowrank_grads, w.work.grads,
                 lowrank_backward(backend, &w.base, &w.adapter, &w.flow, &w.work.saved, it, &error),
                 LOWRANK_ARGUMENT_GRADS);
    WRONG_STRUCT(lowrank_base, w.base,
                 lowrank_backward(backend, it, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter, w.adapter,
                 lowrank_backward(backend, &w.base, it, &w.flow, &w.work.saved, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_saved, w.work.saved,
                 lowrank_backward(backend, &w.base, &w.adapter, &w.flow, it, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_SAVED);
    WRONG_OPTION(w.flow.x, BACKWARD, LOWRANK_ARGUMENT_X);
    WRONG_MATRIX(w.flow.dy, BACKWARD, LOWRANK_ARGUMENT_DY);
    WRONG_OPTION(w.flow.dx, BACKWARD, LOWRANK_ARGUMENT_DX);
    WRONG_OPTION(w.work.grads.a, BACKWARD, LOWRANK_ARGUMENT_DA);
    WRONG_MATRIX(w.work.grads.b, BACKWARD, LOWRANK_ARGUMENT_DB);
    REFUSED(w.work.grads.accumulate = 2, BACKWARD, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_ACCUMULATE);
    OVERLAPS(w.flow.dx.data = w.x, BACKWARD, LOWRANK_ARGUMENT_DX);
    OVERLAPS((w.work.grads.a.data = w.work.grads.b.data, w.work.grads.a.rows = 1), BACKWARD, LOWRANK_ARGUMENT_DA);
    OVERLAPS(w.work.grads.b.data = w.dy, BACKWARD, LOWRANK_ARGUMENT_DB);
    REFUSED(w.flow.x.data = NULL, BACKWARD, LOWRANK_MISSING, LOWRANK_ARGUMENT_X);
    REFUSED(w.work.saved.progress = LOWRANK_PROGRESS_NONE, BACKWARD, LOWRANK_NO_FORWARD, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.work.saved.training = 0, BACKWARD, LOWRANK_FOR_INFERENCE, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.work.saved.progress = LOWRANK_PROGRESS_ABSENT, BACKWARD, LOWRANK_ABSENT_ADAPTER, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.flow.dy.rows = N - 1, BACKWARD, LOWRANK_ROWS, LOWRANK_ARGUMENT_DY);
    REFUSED(w.flow.dx.cols = IN - 1, BACKWARD, LOWRANK_COLS, LOWRANK_ARGUMENT_DX);
    REFUSED((memset(w.work.adapter.a.data, 0, 4 * RANK * IN), memset(w.work.adapter.b.data, 0, 4 * RANK * OUT)),
            BACKWARD,
            LOWRANK_DEAD_ADAPTER, LOWRANK_ARGUMENT_ADAPTER);

#define INPUT_GRADS lowrank_input_grads(backend, &w.base, &w.adapter, dy, dx, &w.work.saved, &error)
    WRONG_BACKEND(INPUT_GRADS);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_input_grads(backend, it, &w.adapter, dy, dx, &w.work.saved, &error),
                 LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_input_grads(backend, &w.base, it, dy, dx, &w.work.saved, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_input_grads(backend, &w.base, &w.adapter, dy, dx, it, &error),
                 LOWRANK_ARGUMENT_SAVED);
    WRONG_MATRIX(dy, INPUT_GRADS, LOWRANK_ARGUMENT_DY);
    WRONG_OPTION(dx, INPUT_GRADS, LOWRANK_ARGUMENT_DX);
    OVERLAPS(dx.data = w.dy, INPUT_GRADS, LOWRANK_ARGUMENT_DX);
    REFUSED(w.work.saved.progress = LOWRANK_PROGRESS_NONE, INPUT_GRADS, LOWRANK_NO_FORWARD, LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.work.saved.progress = LOWRANK_PROGRESS_ABSENT, INPUT_GRADS, LOWRANK_ABSENT_ADAPTER, LOWRANK_ARGUMENT_SAVED);

#define PARAMETER_GRADS lowrank_parameter_grads(backend, x, dy, &w.work.saved, &w.work.grads, &error)
    WRONG_BACKEND_IN(w.work.saved.progress = LOWRANK_PROGRESS_BACKWARD, PARAMETER_GRADS);
    REFUSED(w.work.saved.progress = LOWRANK_PROGRESS_NONE, PARAMETER_GRADS, LOWRANK_NO_FORWARD, LOWRANK_ARGUMENT_SAVED);
    REFUSED((void)0, PARAMETER_GRADS, LOWRANK_NO_INPUT_GRADS, LOWRANK_ARGUMENT_SAVED);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_parameter_grads(backend, x, dy, it, &w.work.grads, &error),
                 LOWRANK_ARGUMENT_SAVED);
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_parameter_grads(backend, x, dy, &w.work.saved, it, &error),
                 LOWRANK_ARGUMENT_GRADS);
    WRONG_OPTION(x, PARAMETER_GRADS, LOWRANK_ARGUMENT_X);
    WRONG_MATRIX(dy, PARAMETER_GRADS, LOWRANK_ARGUMENT_DY);
    REFUSED((w.work.saved.progress = LOWRANK_PROGRESS_BACKWARD, x.data = NULL), PARAMETER_GRADS, LOWRANK_MISSING,
            LOWRANK_ARGUMENT_X);
    REFUSED((w.work.saved.progress = LOWRANK_PROGRESS_BACKWARD, w.work.saved.training = 0), PARAMETER_GRADS,
            LOWRANK_FOR_INFERENCE, LOWRANK_ARGUMENT_SAVED);
    OVERLAPS(w.work.grads.a.data = w.x, PARAMETER_GRADS, LOWRANK_ARGUMENT_DA);

    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_set_dropout(it, &w.dropout, &error), LOWRANK_ARGUMENT_SAVED);
    REFUSED((w.dropout.probability = 0.5f, w.dropout.layer_number = 1u << 30),
            lowrank_set_dropout(&w.work.saved, &w.dropout, &error), LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_LAYER_NUMBER);
    REFUSED(w.dropout.size = 3, lowrank_set_dropout(&w.work.saved, &w.dropout, &error), LOWRANK_STRUCT_SIZE,
            LOWRANK_ARGUMENT_DROPOUT);
    REFUSED(w.dropout.probability = -0.5f, lowrank_set_dropout(&w.work.saved, &w.dropout, &error), LOWRANK_RANGE,
            LOWRANK_ARGUMENT_DROPOUT);
    OVERLAPS((void)0, lowrank_set_dropout(&w.work.saved, &w.work.saved.dropout, &error), LOWRANK_ARGUMENT_SAVED);
}

void weights_of_a_layer(void)
{
#define MERGE lowrank_merge(backend, &w.base, &w.adapter, merged, &error)
#define MERGE_FINITE lowrank_merge_finite(backend, &w.base, &w.adapter, merged, &error)
    WRONG_BACKEND(MERGE);
    WRONG_BACKEND(MERGE_FINITE);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_merge(backend, it, &w.adapter, merged, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_merge_finite(backend, it, &w.adapter, merged, &error),
                 LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_merge(backend, &w.base, it, merged, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_merge_finite(backend, &w.base, it, merged, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
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
    WRONG_STRUCT(lowrank_base, w.base, lowrank_pack(backend, weights, w.packed, OUT * IN, it, &error),
                 LOWRANK_ARGUMENT_BASE);
    REFUSED((void)0, lowrank_pack(backend, weights, NULL, OUT * IN, &w.base, &error), LOWRANK_NULL,
            LOWRANK_ARGUMENT_PACKED);
    REFUSED((void)0, lowrank_pack(backend, weights, w.packed, OUT * IN - 1, &w.base, &error), LOWRANK_LENGTH,
            LOWRANK_ARGUMENT_PACKED);
    REFUSED((void)0, lowrank_pack(backend, weights, w.packed, SIZE_MAX / 2, &w.base, &error), LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_PACKED);
    OVERLAPS((void)0, lowrank_pack(backend, weights, w.w, OUT * IN, &w.base, &error), LOWRANK_ARGUMENT_PACKED);

    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_init_kaiming_uniform(it, 1, 0, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_init_gaussian(it, 1, 0, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    REFUSED((void)0, lowrank_init_kaiming_uniform(&w.work.adapter, 1, 1u << 30, &error), LOWRANK_TOO_MANY,
            LOWRANK_ARGUMENT_LAYER_NUMBER);
    REFUSED((void)0, lowrank_init_gaussian(&w.work.adapter, 1, 1u << 31, &error), LOWRANK_TOO_MANY,
            LOWRANK_ARGUMENT_LAYER_NUMBER);
    WRONG_MATRIX(w.work.adapter.a, lowrank_init_kaiming_uniform(&w.work.adapter, 1, 0, &error), LOWRANK_ARGUMENT_A);
    WRONG_MATRIX(w.work.adapter.b, lowrank_init_gaussian(&w.work.adapter, 1, 0, &error), LOWRANK_ARGUMENT_B);
    OVERLAPS(w.work.adapter.b.data = w.work.adapter.a.data, lowrank_init_kaiming_uniform(&w.work.adapter, 1, 0, &error),
             LOWRANK_ARGUMENT_A);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_check_alive(it, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_check_finite(it, &error), LOWRANK_ARGUMENT_ADAPTER);
    REFUSED((memset(w.work.adapter.a.data, 0, 4 * RANK * IN), memset(w.work.adapter.b.data, 0, 4 * RANK * OUT)),
            lowrank_check_alive(&w.adapter, &error), LOWRANK_DEAD_ADAPTER, LOWRANK_ARGUMENT_ADAPTER);
    REFUSED(memset(w.work.adapter.b.data, 0xff, 4), lowrank_check_finite(&w.adapter, &error), LOWRANK_NON_FINITE,
            LOWRANK_ARGUMENT_B);
    WRONG_NUMBER(float, lowrank_scale(LOWRANK_SCALE_ALPHA, 1.0f, RANK, it, &error));
    REFUSED((void)0, lowrank_scale(3, 1.0f, RANK, &w.number, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_SCALE);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_fingerprint(it, &w.fingerprint, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_NUMBER(uint64_t, lowrank_fingerprint(&w.base, it, &error));
    WRONG_BACKEND(lowrank_selftest(backend, &error));
}
