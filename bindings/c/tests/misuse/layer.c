/* A layer, in one struct: the bits of the calls one by one, and every misuse. */
#include "world.h"

/* The same three steps on `work` with the calls one by one, and on `layer`. */
static void same_bits(void)
{
    int step;
    lowrank_mean_loss loss, other;
    float sum = 0, factor = 0;
    lowrank_layer *it = &w.layer;
    reset();
    OK(lowrank_layer_init(it, 7, 1, &error));
    OK(lowrank_init_kaiming_uniform(&w.work.adapter, 7, 1, &error));
    w.work.adapter.scale = w.adapter.scale = 0.5f;
    for (step = 0; step < 3; step++) {
        loss = other = lowrank_mean_loss_over(N);
        OK(lowrank_layer_forward(it, N, &error));
        OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
        SAME(w.own_y, w.y, N * OUT);
        OK(lowrank_layer_softmax_cross_entropy(it, N, w.labels, N, &loss, &error));
        OK(lowrank_softmax_cross_entropy(&other, lowrank_rows(w.y, N, OUT), w.labels, N, loss_grad, &error));
        SAME(w.own_dy, w.dy, N * OUT);
        SAME(&loss.sum, &other.sum, 1);
        loss = other = lowrank_mean_loss_over(N);
        OK(lowrank_layer_mean_squared_error(it, N, w.targets, N * OUT, &loss, &error));
        OK(lowrank_mean_squared_error(&other, lowrank_rows(w.y, N, OUT), targets, loss_grad, &error));
        SAME(w.own_dy, w.dy, N * OUT);
        OK(lowrank_layer_backward(it, N, LOWRANK_REPLACE, &error));
        OK(lowrank_layer_backward(it, N, LOWRANK_ACCUMULATE, &error));
        OK(lowrank_backward(1, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error));
        w.work.grads.accumulate = LOWRANK_ACCUMULATE;
        OK(lowrank_backward(1, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error));
        w.work.grads.accumulate = LOWRANK_REPLACE;
        SAME(w.own_dx, w.dx, N * IN);
        OK(lowrank_layer_square_sum(it, &sum, &error));
        OK(lowrank_layer_clip(it, sum, 0.1f, &error));
        OK(lowrank_clip_factor(sum, 0.1f, &factor, &error));
        OK(lowrank_clip(1, &w.work.grads, factor, &error));
        OK(lowrank_layer_adamw_step(it, &w.adamw, &error));
        OK(lowrank_adamw_step(&w.adamw, 1, &w.work.adapter, &w.work.grads, &w.work.state, &error));
        SAME(w.own, w.arena, LEN(w.own));
        HOLDS(it->clock.steps == w.work.state.clock.steps);
    }
    OK(lowrank_layer_merge(it, w.merged, OUT * IN, &error));
    OK(lowrank_merge(1, &w.base, &w.adapter, lowrank_rows_mut(w.packed, OUT, IN), &error));
    SAME(w.merged, w.packed, OUT * IN);
    HOLDS(it->parts[0] == w.own && it->parts[1] == w.own + RANK * IN && it->parts[2] == NULL);
    HOLDS(it->parts[9] == w.own + LEN(w.own) - OUT * RANK && it->parts[10] == NULL);
}

/* Panels, a trained bias, momentum and training in place: no call fails, and the bias starts as that of the base. */
static void other_layers(void)
{
    lowrank_layer *it = &w.layer;
    reset();
    OK(lowrank_pack(1, weights, w.packed, OUT * IN, &w.base, &error));
    w.base = lowrank_base_panels(w.packed, w.bias, OUT, IN, w.base.panel_width);
    memset(w.y, 0, sizeof w.y);
    OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
    SAME(w.y, valid.y, N * OUT);
    it->weights = w.base.weights;
    OK(lowrank_layer_set_panels(it, w.base.panel_width, &error));
    HOLDS(it->panel_width == w.base.panel_width);
    OK(lowrank_layer_forward(it, N, &error));
    SAME(w.own_y, valid.own_y, N * OUT);
    reset();
    w.bias[1] = 3;
    it->trained = LOWRANK_TRAINS_A | LOWRANK_TRAINS_BIAS;
    it->optimizer = LOWRANK_MOMENTUM;
    OK(lowrank_layer_plan(it, &error));
    it->arena = w.arena;
    OK(lowrank_layer_init(it, 7, 1, &error));
    SAME(it->parts[2], w.bias, OUT);
    OK(lowrank_layer_forward(it, N, &error));
    OK(lowrank_layer_backward(it, N, LOWRANK_REPLACE, &error));
    OK(lowrank_layer_sgd_step(it, &w.sgd, &error));
    it->trained = LOWRANK_TRAINS_A;
    it->optimizer = LOWRANK_IN_PLACE;
    OK(lowrank_layer_plan(it, &error));
    OK(lowrank_layer_init(it, 7, 1, &error));
    HOLDS(it->parts[3] == NULL && it->parts[4] == NULL);
    OK(lowrank_layer_forward(it, N, &error));
    OK(lowrank_layer_in_place_step(it, N, &w.in_place, &error));
    OK(lowrank_layer_forward(it, 0, &error));
}

/* A backward pass with another dropout than its forward pass is refused, whatever was changed; with the same one it runs. */
static void another_dropout(void)
{
    lowrank_layer *it = &w.layer;
    lowrank_dropout forward;
    int i;
    reset();
    /* What nobody has named is set all the same. */
    memset(&it->masks, 0, sizeof it->masks);
    it->dropout.probability = 0.5f;
    OK(lowrank_layer_set_dropout(it, NULL, &error));
    HOLDS(it->dropout.probability == 0);
    OK(lowrank_layer_forward(it, N, &error));
    it->dropout.probability = 0.5f;
    HOLDS(lowrank_layer_backward(it, N, LOWRANK_REPLACE, &error) == LOWRANK_NO_FORWARD);
    OK(lowrank_layer_forward(it, N, &error));
    forward = it->dropout;
    for (i = 0; i < 6; i++) {
        if (i == 0) it->dropout.probability = 0.25f;
        if (i == 1) it->dropout.seed++;
        if (i == 2) it->dropout.step++;
        if (i == 3) it->dropout.layer_number++;
        if (i == 4) it->dropout.first_token++;
        if (i == 5) it->dropout.probability = 0;
        HOLDS(lowrank_layer_backward(it, N, LOWRANK_REPLACE, &error) == LOWRANK_NO_FORWARD);
        it->dropout = forward;
    }
    /* What has nothing to do with passes does not forget one. */
    it->dropout.step++;
    OK(lowrank_layer_square_sum(it, &w.number, &error));
    it->dropout = forward;
    OK(lowrank_layer_backward(it, N, LOWRANK_REPLACE, &error));
    /* A step raises the number of the step, with which a backward pass wants another forward pass. */
    OK(lowrank_layer_adamw_step(it, &w.adamw, &error));
    HOLDS(it->dropout.step == forward.step + 1);
    HOLDS(lowrank_layer_backward(it, N, LOWRANK_REPLACE, &error) == LOWRANK_NO_FORWARD);
    OK(lowrank_layer_forward(it, N, &error));
    OK(lowrank_layer_backward(it, N, LOWRANK_REPLACE, &error));
    /* The same with the calls one by one. */
    OK(lowrank_set_dropout(&w.work.saved, &w.dropout, &error));
    OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
    w.work.saved.dropout.step++;
    HOLDS(lowrank_backward(1, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error) == LOWRANK_NO_FORWARD);
    w.work.saved.dropout.step--;
    OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
    OK(lowrank_backward(1, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error));
    w.work.saved.dropout.probability = 0;
    HOLDS(lowrank_backward(1, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error) == LOWRANK_NO_FORWARD);
    /* Code of another kind is none. */
    it->masks = w.work.saved.masks;
    HOLDS(lowrank_layer_forward(it, N, &error) == LOWRANK_NOT_SET);
    /* Whatever the dropout is now, it can be set. */
    it->dropout.probability = 1.0f;
    OK(lowrank_layer_set_dropout(it, NULL, &error));
    OK(lowrank_layer_forward(it, N, &error));
}

/* Buffers without elements may be null, and a step wants a backward pass. */
static void nothing_and_no_gradient(void)
{
    lowrank_layer *it = &w.layer;
    reset();
    it->x = NULL;
    it->y = it->dy = it->dx = NULL;
    it->tokens = 0;
    OK(lowrank_layer_plan(it, &error));
    OK(lowrank_layer_init(it, 7, 1, &error));
    OK(lowrank_layer_forward(it, 0, &error));
    OK(lowrank_layer_backward(it, 0, LOWRANK_REPLACE, &error));
    OK(lowrank_layer_adamw_step(it, &w.adamw, &error));
    HOLDS(it->graded == 0 && it->clock.steps == 1);
    REFUSED(it->graded = 0, lowrank_layer_adamw_step(it, &w.adamw, &error), LOWRANK_MISSING, LOWRANK_ARGUMENT_DB);
    REFUSED(it->graded = 0, lowrank_layer_sgd_step(it, &w.sgd, &error), LOWRANK_MISSING, LOWRANK_ARGUMENT_DB);
    REFUSED((it->graded = 1, it->clock.steps = 1, memset(&it->clock.weight1, 0xff, 4)),
            lowrank_layer_adamw_step(it, &w.adamw, &error), LOWRANK_RANGE, LOWRANK_ARGUMENT_STATE);
}

/* What is wrong with the struct of the layer is found by every call. */
#define WRONG_LAYER(CALL)                                                                                             \
    do {                                                                                                              \
        WRONG_STRUCT(lowrank_layer, w.layer, CALL, LOWRANK_ARGUMENT_LAYER);                                           \
        it = &w.layer;                                                                                                \
        REFUSED(w.layer.optimizer = 5, CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_OPTIMIZER);                            \
        REFUSED(w.layer.trained = 4, CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_TRAINED);                                \
        WRONG_BACKEND_IN(w.layer.backend = backend, CALL);                                                            \
        REFUSED(w.layer.weights = NULL, CALL, LOWRANK_NULL, LOWRANK_ARGUMENT_W);                                      \
        REFUSED(w.layer.arena = NULL, CALL, LOWRANK_NULL, LOWRANK_ARGUMENT_ARENA);                                    \
        REFUSED(w.layer.arena_len--, CALL, LOWRANK_LENGTH, LOWRANK_ARGUMENT_ARENA);                                   \
        REFUSED(w.layer.rank--, CALL, LOWRANK_LENGTH, LOWRANK_ARGUMENT_ARENA);                                        \
        REFUSED(w.layer.rank = SIZE_MAX / 4, CALL, LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_ARENA);                         \
        REFUSED(w.layer.inputs = SIZE_MAX, CALL, LOWRANK_WRAPS, LOWRANK_ARGUMENT_W);                                  \
        REFUSED(w.layer.tokens = SIZE_MAX, CALL, LOWRANK_WRAPS, LOWRANK_ARGUMENT_X);                                  \
        REFUSED(w.layer.weights = (float *)(void *)((char *)w.w + 2), CALL, LOWRANK_MISALIGNED,                       \
                LOWRANK_ARGUMENT_W);                                                                                  \
        REFUSED(w.layer.arena_len = SIZE_MAX / 2, CALL, LOWRANK_WRAPS, LOWRANK_ARGUMENT_ARENA);                       \
        OVERLAPS(w.layer.y = w.x, CALL, LOWRANK_ARGUMENT_Y);                                                          \
        OVERLAPS(w.layer.dx = w.own_dy, CALL, LOWRANK_ARGUMENT_DY);                                                   \
        OVERLAPS(w.layer.arena = w.own - 1, CALL, LOWRANK_ARGUMENT_LAYER);                                            \
        OVERLAPS(w.layer.weights = w.own, CALL, LOWRANK_ARGUMENT_ARENA);                                              \
        OVERLAPS(w.layer.y = (float *)(void *)&w.layer, CALL, LOWRANK_ARGUMENT_LAYER);                                \
    } while (0)

/* What a layer says of itself after `lowrank_layer_init`. */
#define WRONG_PROGRESS(CALL)                                                                                          \
    do {                                                                                                              \
        lowrank_layer *it = &w.layer;                                                                                 \
        REFUSED(it->clock.size = 1, CALL, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_CLOCK);                               \
        REFUSED((it->clock.size = 0, it->clock.steps = 1), CALL, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_CLOCK);        \
        REFUSED((it->clock.size = 0, it->clock.weight1 = 1), CALL, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_CLOCK);      \
        REFUSED((it->clock.size = 0, it->clock.weight2 = 1), CALL, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_CLOCK);      \
        REFUSED(it->progress = 4, CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_PROGRESS);                                  \
        REFUSED(it->batch = N + 1, CALL, LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);                                  \
        REFUSED(it->dropout.size = 1, CALL, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_DROPOUT);                           \
        REFUSED((it->dropout.size = 0, it->dropout.probability = 0.5f), CALL, LOWRANK_STRUCT_SIZE,                    \
                LOWRANK_ARGUMENT_DROPOUT);                                                                            \
        REFUSED(it->dropout.probability = 1.0f, CALL, LOWRANK_RANGE, LOWRANK_ARGUMENT_DROPOUT);                       \
        WRONG_CODE(it->masks, it->dropout.probability = 0.5f, CALL, LOWRANK_ARGUMENT_DROPOUT);                        \
        WRONG_CODE(it->panels, it->panel_width = 1, CALL, LOWRANK_ARGUMENT_W);                                        \
        WRONG_LAYER(CALL);                                                                                            \
    } while (0)

static void misuses(void)
{
    lowrank_layer *it = &w.layer;
    WRONG_LAYER(lowrank_layer_init(it, 7, 1, &error));
    REFUSED((void)0, lowrank_layer_init(it, 7, 1u << 30, &error), LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_LAYER_NUMBER);
    WRONG_PROGRESS(lowrank_layer_forward(it, N, &error));
    WRONG_PROGRESS(lowrank_layer_backward(it, N, LOWRANK_REPLACE, &error));
    WRONG_PROGRESS(lowrank_layer_adamw_step(it, &w.adamw, &error));
    WRONG_PROGRESS(lowrank_layer_sgd_step(it, &w.sgd, &error));
    WRONG_PROGRESS(lowrank_layer_in_place_step(it, N, &w.in_place, &error));
    WRONG_PROGRESS(lowrank_layer_softmax_cross_entropy(it, N, w.labels, N, &w.loss, &error));
    WRONG_PROGRESS(lowrank_layer_mean_squared_error(it, N, w.targets, N * OUT, &w.loss, &error));
    WRONG_PROGRESS(lowrank_layer_square_sum(it, &w.number, &error));
    WRONG_PROGRESS(lowrank_layer_clip(it, 1.0f, 1.0f, &error));
    WRONG_PROGRESS(lowrank_layer_merge(it, w.merged, OUT * IN, &error));
    WRONG_PROGRESS(lowrank_layer_set_panels(it, 1, &error));
    WRONG_LAYER(lowrank_layer_set_dropout(it, NULL, &error));
#define SET_DROPOUT lowrank_layer_set_dropout(&w.layer, &w.dropout, &error)
    REFUSED(w.dropout.size = 3, SET_DROPOUT, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_DROPOUT);
    REFUSED(w.dropout.probability = 1.0f, SET_DROPOUT, LOWRANK_RANGE, LOWRANK_ARGUMENT_DROPOUT);
    REFUSED(w.dropout.probability = -0.5f, SET_DROPOUT, LOWRANK_RANGE, LOWRANK_ARGUMENT_DROPOUT);
    REFUSED(w.dropout.layer_number = 1u << 30, SET_DROPOUT, LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_LAYER_NUMBER);
    OVERLAPS((void)0, lowrank_layer_set_dropout(&w.layer, &w.layer.dropout, &error), LOWRANK_ARGUMENT_LAYER);
    WRONG_STRUCT(lowrank_layer, w.layer, lowrank_layer_plan(it, &error), LOWRANK_ARGUMENT_LAYER);
    it = &w.layer;
    REFUSED(it->rank = SIZE_MAX / 4, lowrank_layer_plan(it, &error), LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_ARENA);
    REFUSED(it->optimizer = LOWRANK_INFERENCE, lowrank_layer_plan(it, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_OPTIMIZER);

#define ON(call) lowrank_layer_##call
    REFUSED((void)0, ON(forward(it, N + 1, &error)), LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
    REFUSED(it->x = NULL, ON(forward(it, N, &error)), LOWRANK_NULL, LOWRANK_ARGUMENT_X);
    REFUSED(it->y = NULL, ON(forward(it, N, &error)), LOWRANK_NULL, LOWRANK_ARGUMENT_Y);
    REFUSED(memset(&it->scale, 0xff, 4), ON(forward(it, N, &error)), LOWRANK_RANGE, LOWRANK_ARGUMENT_SCALE);
    REFUSED((void)0, ON(backward(it, N - 1, LOWRANK_REPLACE, &error)), LOWRANK_ROWS, LOWRANK_ARGUMENT_DY);
    REFUSED((void)0, ON(backward(it, N, 2, &error)), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_ACCUMULATE);
    REFUSED(it->dy = NULL, ON(backward(it, N, LOWRANK_REPLACE, &error)), LOWRANK_NULL, LOWRANK_ARGUMENT_DY);
    REFUSED(it->x = NULL, ON(backward(it, N, LOWRANK_REPLACE, &error)), LOWRANK_MISSING, LOWRANK_ARGUMENT_X);
    REFUSED(it->progress = 0, ON(backward(it, N, LOWRANK_REPLACE, &error)), LOWRANK_NO_FORWARD, LOWRANK_ARGUMENT_SAVED);
    REFUSED(it->progress = LOWRANK_PROGRESS_ABSENT, ON(backward(it, N, LOWRANK_REPLACE, &error)), LOWRANK_ABSENT_ADAPTER,
            LOWRANK_ARGUMENT_SAVED);
    REFUSED(it->optimizer = LOWRANK_SGD, ON(adamw_step(it, &w.adamw, &error)), LOWRANK_LENGTH, LOWRANK_ARGUMENT_ARENA);
    WRONG_STRUCT(lowrank_adamw, w.adamw, lowrank_layer_adamw_step(&w.layer, it, &error), LOWRANK_ARGUMENT_OPTIMIZER);
    WRONG_STRUCT(lowrank_sgd, w.sgd, lowrank_layer_sgd_step(&w.layer, it, &error), LOWRANK_ARGUMENT_OPTIMIZER);
    WRONG_STRUCT(lowrank_in_place, w.in_place, lowrank_layer_in_place_step(&w.layer, N, it, &error),
                 LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED(w.adamw.learning_rate = -1.0f, ON(adamw_step(it, &w.adamw, &error)), LOWRANK_RANGE,
            LOWRANK_ARGUMENT_LEARNING_RATE);
    REFUSED(w.sgd.nesterov = 2, ON(sgd_step(it, &w.sgd, &error)), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_OPTIMIZER);
#define IN_PLACE_WITH(parts) (it->trained = (parts), plan_for(LOWRANK_IN_PLACE))
#define STEP_IN_PLACE ON(in_place_step(it, N, &w.in_place, &error))
    REFUSED(IN_PLACE_WITH(0), STEP_IN_PLACE, LOWRANK_UNEXPECTED, LOWRANK_ARGUMENT_TRAINED);
    REFUSED(IN_PLACE_WITH(LOWRANK_TRAINS_BIAS), STEP_IN_PLACE, LOWRANK_UNEXPECTED, LOWRANK_ARGUMENT_TRAINED);
    REFUSED(IN_PLACE_WITH(LOWRANK_TRAINS_A | LOWRANK_TRAINS_BIAS), STEP_IN_PLACE, LOWRANK_UNEXPECTED,
            LOWRANK_ARGUMENT_TRAINED);
    HOLDS(error.expected == LOWRANK_TRAINS_A && error.got == (LOWRANK_TRAINS_A | LOWRANK_TRAINS_BIAS));
    REFUSED((IN_PLACE_WITH(LOWRANK_TRAINS_A), it->x = NULL), STEP_IN_PLACE, LOWRANK_NULL, LOWRANK_ARGUMENT_X);
    REFUSED((IN_PLACE_WITH(LOWRANK_TRAINS_A), it->dy = NULL), STEP_IN_PLACE, LOWRANK_NULL, LOWRANK_ARGUMENT_DY);
    REFUSED((void)0, ON(clip(it, 1.0f, -1.0f, &error)), LOWRANK_RANGE, LOWRANK_ARGUMENT_MAX_NORM);
    REFUSED((void)0, ON(square_sum(it, NULL, &error)), LOWRANK_NULL, LOWRANK_ARGUMENT_RESULT);
    REFUSED((void)0, ON(square_sum(it, w.own_y, &error)), LOWRANK_OVERLAP, LOWRANK_ARGUMENT_Y);
    REFUSED((void)0, ON(merge(it, w.merged, OUT * IN - 1, &error)), LOWRANK_LENGTH, LOWRANK_ARGUMENT_MATRIX);
    REFUSED((void)0, ON(merge(it, NULL, OUT * IN, &error)), LOWRANK_NULL, LOWRANK_ARGUMENT_MERGED);
    REFUSED((void)0, ON(merge(it, w.w, OUT * IN, &error)), LOWRANK_OVERLAP, LOWRANK_ARGUMENT_MERGED);
#define ENTROPY(labels, len) lowrank_layer_softmax_cross_entropy(&w.layer, N, labels, len, &w.loss, &error)
    REFUSED((void)0, ENTROPY(NULL, N), LOWRANK_NULL, LOWRANK_ARGUMENT_LABELS);
    REFUSED((void)0, ENTROPY(w.labels, N - 1), LOWRANK_LENGTH, LOWRANK_ARGUMENT_LABELS);
    REFUSED((void)0, ENTROPY((uint32_t *)(void *)w.own_y, N), LOWRANK_OVERLAP, LOWRANK_ARGUMENT_Y);
    REFUSED(w.labels[1] = OUT, ENTROPY(w.labels, N), LOWRANK_LABEL, LOWRANK_ARGUMENT_LABELS);
    REFUSED(w.loss.tokens = N - 1, ENTROPY(w.labels, N), LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
    REFUSED(w.loss.size = 1, ENTROPY(w.labels, N), LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_LOSS);
    REFUSED(w.layer.dy = NULL, ENTROPY(w.labels, N), LOWRANK_NULL, LOWRANK_ARGUMENT_DY);
    REFUSED((w.layer.progress = LOWRANK_PROGRESS_NONE, w.loss.tokens = N + 1, memset(w.labels, 0, 4 * N)),
            lowrank_layer_softmax_cross_entropy(&w.layer, N + 1, &w.labels[0], N + 1, &w.loss, &error),
            LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
#define SQUARED(len) lowrank_layer_mean_squared_error(&w.layer, N, w.targets, len, &w.loss, &error)
    REFUSED((void)0, SQUARED(N * OUT - 1), LOWRANK_LENGTH, LOWRANK_ARGUMENT_MATRIX);
    REFUSED(memset(w.targets, 0xff, 4), SQUARED(N * OUT), LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_TARGETS);
    REFUSED(w.layer.y = NULL, SQUARED(N * OUT), LOWRANK_NULL, LOWRANK_ARGUMENT_Y);
}

void layers(void)
{
    same_bits();
    other_layers();
    another_dropout();
    nothing_and_no_gradient();
    misuses();
}
