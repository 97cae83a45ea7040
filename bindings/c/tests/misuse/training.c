/* Plans, optimizers, losses, schedules, random numbers. */
#include "world.h"

void training(void)
{
    WRONG_STRUCT(lowrank_plan, w.plan, lowrank_plan_lengths(it, &w.lengths, &error), LOWRANK_ARGUMENT_PLAN);
    WRONG_STRUCT(lowrank_lengths, w.lengths, lowrank_plan_lengths(&w.plan, it, &error), LOWRANK_ARGUMENT_LENGTHS);
    REFUSED(w.plan.rank = SIZE_MAX / 4, lowrank_plan_lengths(&w.plan, &w.lengths, &error), LOWRANK_OVERFLOW,
            LOWRANK_ARGUMENT_ARENA);
    REFUSED(w.plan.optimizer = 5, lowrank_plan_lengths(&w.plan, &w.lengths, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED(w.plan.trained = 4, lowrank_plan_lengths(&w.plan, &w.lengths, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_TRAINED);
#define SPLIT(arena, len) lowrank_plan_split(&w.plan, arena, len, &w.split, &error)
    WRONG_STRUCT(lowrank_plan, w.plan, lowrank_plan_split(it, w.other, LEN(w.other), &w.split, &error),
                 LOWRANK_ARGUMENT_PLAN);
    WRONG_STRUCT(lowrank_work, w.split, lowrank_plan_split(&w.plan, w.other, LEN(w.other), it, &error),
                 LOWRANK_ARGUMENT_WORK);
    REFUSED((void)0, SPLIT(NULL, LEN(w.other)), LOWRANK_NULL, LOWRANK_ARGUMENT_ARENA);
    REFUSED((void)0, SPLIT((float *)(void *)((char *)w.other + 3), LEN(w.other)), LOWRANK_MISALIGNED,
            LOWRANK_ARGUMENT_ARENA);
    REFUSED((void)0, SPLIT(w.other, LEN(w.other) - 1), LOWRANK_LENGTH, LOWRANK_ARGUMENT_ARENA);
    REFUSED(w.plan.optimizer = LOWRANK_INFERENCE, SPLIT(w.other, LEN(w.other)), LOWRANK_LENGTH, LOWRANK_ARGUMENT_ARENA);
    REFUSED((void)0, SPLIT(w.other, SIZE_MAX), LOWRANK_WRAPS, LOWRANK_ARGUMENT_ARENA);
    REFUSED(w.plan.tokens = SIZE_MAX, SPLIT(w.other, LEN(w.other)), LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_ARENA);
    OVERLAPS((void)0, SPLIT((float *)(void *)&w.plan, LEN(w.other)), LOWRANK_ARGUMENT_ARENA);

#define ADAMW lowrank_adamw_step(&w.adamw, backend, &w.work.adapter, &w.work.grads, &w.work.state, &error)
#define SGD lowrank_sgd_step(&w.sgd, backend, &w.work.adapter, &w.work.grads, &w.work.state, &error)
    WRONG_BACKEND(ADAMW);
    WRONG_BACKEND(SGD);
    WRONG_STRUCT(lowrank_adamw, w.adamw, lowrank_adamw_step(it, backend, &w.work.adapter, &w.work.grads, &w.work.state,
                                                            &error), LOWRANK_ARGUMENT_OPTIMIZER);
    WRONG_STRUCT(lowrank_sgd, w.sgd, lowrank_sgd_step(it, backend, &w.work.adapter, &w.work.grads, &w.work.state,
                                                      &error), LOWRANK_ARGUMENT_OPTIMIZER);
    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_adamw_step(&w.adamw, backend, it, &w.work.grads,
                                                                         &w.work.state, &error),
                                                                         LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter,
                 lowrank_sgd_step(&w.sgd, backend, it, &w.work.grads, &w.work.state, &error), LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_adamw_step(&w.adamw, backend, &w.work.adapter, it, &w.work.state,
                                                                 &error), LOWRANK_ARGUMENT_GRADS);
    WRONG_STRUCT(lowrank_grads, w.work.grads,
                 lowrank_sgd_step(&w.sgd, backend, &w.work.adapter, it, &w.work.state, &error), LOWRANK_ARGUMENT_GRADS);
    WRONG_STRUCT(lowrank_state, w.work.state, lowrank_adamw_step(&w.adamw, backend, &w.work.adapter, &w.work.grads, it,
                                                                 &error), LOWRANK_ARGUMENT_STATE);
    WRONG_STRUCT(lowrank_state, w.work.state,
                 lowrank_sgd_step(&w.sgd, backend, &w.work.adapter, &w.work.grads, it, &error), LOWRANK_ARGUMENT_STATE);
    WRONG_STRUCT(lowrank_state, w.work.state, lowrank_state_reset(it, &error), LOWRANK_ARGUMENT_STATE);
    WRONG_OPTION(w.work.state.moments[3], ADAMW, LOWRANK_ARGUMENT_STATE);
    WRONG_MATRIX(w.work.adapter.b, ADAMW, LOWRANK_ARGUMENT_B);
    WRONG_MATRIX(w.work.grads.b, SGD, LOWRANK_ARGUMENT_DB);
    REFUSED(w.work.state.clock.size = 1, ADAMW, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_CLOCK);
    REFUSED(w.adamw.learning_rate = -1.0f, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_LEARNING_RATE);
    REFUSED(w.adamw.epsilon = 0.0f, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_EPSILON);
    REFUSED(w.adamw.beta1 = 1.0, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_BETA1);
    REFUSED(w.adamw.beta2 = 1.0, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_BETA2);
    REFUSED(w.adamw.weight_decay = -1.0f, ADAMW, LOWRANK_RANGE, LOWRANK_ARGUMENT_WEIGHT_DECAY);
    REFUSED(w.sgd.momentum = 2.0f, SGD, LOWRANK_RANGE, LOWRANK_ARGUMENT_MOMENTUM);
    REFUSED(w.sgd.dampening = 2.0f, SGD, LOWRANK_RANGE, LOWRANK_ARGUMENT_DAMPENING);
    REFUSED(w.sgd.nesterov = 2, SGD, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED(w.work.grads.a.rows = 1, ADAMW, LOWRANK_ROWS, LOWRANK_ARGUMENT_DA);
    REFUSED(w.work.state.moments[2].data = NULL, ADAMW, LOWRANK_ROWS, LOWRANK_ARGUMENT_STATE);
    REFUSED((w.work.state.moments[1].data = NULL, w.work.state.moments[3].data = NULL), ADAMW, LOWRANK_OTHER_OPTIMIZER,
            LOWRANK_ARGUMENT_STATE);
    REFUSED(w.work.grads.bias = lowrank_rows_mut(w.targets, 1, OUT), ADAMW, LOWRANK_MISSING, LOWRANK_ARGUMENT_BIAS);
    REFUSED(memset(w.work.grads.b.data + 1, 0xff, 4), ADAMW, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_DB);
    REFUSED(memset(w.work.grads.a.data + 1, 0xff, 4), SGD, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_DA);
    OVERLAPS(w.work.state.moments[0].data = w.work.adapter.a.data, ADAMW, LOWRANK_ARGUMENT_A);
    OVERLAPS(w.work.grads.a.data = w.work.adapter.a.data, SGD, LOWRANK_ARGUMENT_A);

#define IN_PLACE lowrank_in_place_step(&w.in_place, backend, &w.base, &w.work.adapter, &w.flow, &w.work.saved, &error)
    WRONG_BACKEND(IN_PLACE);
    WRONG_STRUCT(lowrank_in_place, w.in_place, lowrank_in_place_step(it, backend, &w.base, &w.work.adapter, &w.flow,
                                                                     &w.work.saved, &error),
                                                                     LOWRANK_ARGUMENT_OPTIMIZER);
    WRONG_STRUCT(lowrank_base, w.base, lowrank_in_place_step(&w.in_place, backend, it, &w.work.adapter, &w.flow,
                                                             &w.work.saved, &error), LOWRANK_ARGUMENT_BASE);
    WRONG_STRUCT(lowrank_adapter_mut, w.work.adapter, lowrank_in_place_step(&w.in_place, backend, &w.base, it, &w.flow,
                                                                            &w.work.saved, &error),
                                                                            LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_backprop, w.flow, lowrank_in_place_step(&w.in_place, backend, &w.base, &w.work.adapter, it,
                                                                 &w.work.saved, &error), LOWRANK_ARGUMENT_FLOW);
    WRONG_STRUCT(lowrank_saved, w.work.saved, lowrank_in_place_step(&w.in_place, backend, &w.base, &w.work.adapter,
                                                                    &w.flow, it, &error), LOWRANK_ARGUMENT_SAVED);
    REFUSED(w.in_place.learning_rate = -1.0f, IN_PLACE, LOWRANK_RANGE, LOWRANK_ARGUMENT_LEARNING_RATE);
    REFUSED(w.work.adapter.bias = lowrank_rows_mut(w.targets, 1, OUT), IN_PLACE, LOWRANK_UNEXPECTED,
            LOWRANK_ARGUMENT_BIAS);
    REFUSED(memset(w.dy, 0xff, 4), IN_PLACE, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_DY);
    OVERLAPS(w.flow.dx.data = w.work.adapter.a.data, IN_PLACE, LOWRANK_ARGUMENT_A);

    WRONG_BACKEND(lowrank_square_sum(backend, &w.work.grads, &w.number, &error));
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_square_sum(backend, it, &w.number, &error),
                 LOWRANK_ARGUMENT_GRADS);
    WRONG_NUMBER(float, lowrank_square_sum(backend, &w.work.grads, it, &error));
    WRONG_NUMBER(float, lowrank_clip_factor(1.0f, 1.0f, it, &error));
    REFUSED((void)0, lowrank_clip_factor(1.0f, -1.0f, &w.number, &error), LOWRANK_RANGE, LOWRANK_ARGUMENT_MAX_NORM);
    REFUSED((void)0, lowrank_clip_factor(-1.0f, 1.0f, &w.number, &error), LOWRANK_NON_FINITE,
            LOWRANK_ARGUMENT_GRAD_NORM);
    WRONG_BACKEND(lowrank_clip(backend, &w.work.grads, 0.5f, &error));
    WRONG_STRUCT(lowrank_grads, w.work.grads, lowrank_clip(backend, it, 0.5f, &error), LOWRANK_ARGUMENT_GRADS);

#define CROSS_ENTROPY lowrank_softmax_cross_entropy(&w.loss, lowrank_rows(w.y, N, OUT), w.labels, N, loss_grad, &error)
    WRONG_STRUCT(lowrank_mean_loss, w.loss, lowrank_softmax_cross_entropy(it, targets, w.labels, N, loss_grad, &error),
                 LOWRANK_ARGUMENT_LOSS);
    WRONG_STRUCT(lowrank_mean_loss, w.loss, lowrank_mean_squared_error(it, dy, targets, y, &error),
                 LOWRANK_ARGUMENT_LOSS);
    WRONG_STRUCT(lowrank_mean_loss, w.loss, lowrank_mean_loss_value(it, &w.number, &error), LOWRANK_ARGUMENT_LOSS);
    WRONG_NUMBER(float, lowrank_mean_loss_value(&w.loss, it, &error));
    WRONG_MATRIX(loss_grad, CROSS_ENTROPY, LOWRANK_ARGUMENT_LOSS_GRAD);
    WRONG_MATRIX(targets, lowrank_softmax_cross_entropy(&w.loss, targets, w.labels, N, loss_grad, &error),
                 LOWRANK_ARGUMENT_Y);
    WRONG_MATRIX(targets, lowrank_mean_squared_error(&w.loss, dy, targets, y, &error), LOWRANK_ARGUMENT_TARGETS);
    REFUSED((void)0, lowrank_softmax_cross_entropy(&w.loss, targets, NULL, N, loss_grad, &error), LOWRANK_NULL,
            LOWRANK_ARGUMENT_LABELS);
    REFUSED((void)0, lowrank_softmax_cross_entropy(&w.loss, targets, w.labels, N - 1, loss_grad, &error),
            LOWRANK_LENGTH, LOWRANK_ARGUMENT_LABELS);
    REFUSED(w.labels[2] = OUT, CROSS_ENTROPY, LOWRANK_LABEL, LOWRANK_ARGUMENT_LABELS);
    REFUSED(memset(w.y, 0xff, 4), CROSS_ENTROPY, LOWRANK_NON_FINITE, LOWRANK_ARGUMENT_Y);
    REFUSED(w.loss.seen = 1, CROSS_ENTROPY, LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
    REFUSED(w.loss.seen = SIZE_MAX, CROSS_ENTROPY, LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_TOKENS);
    REFUSED(loss_grad.rows = 1, CROSS_ENTROPY, LOWRANK_ROWS, LOWRANK_ARGUMENT_LOSS_GRAD);
    REFUSED(memset(w.targets, 0xff, 4), lowrank_mean_squared_error(&w.loss, dy, targets, y, &error), LOWRANK_NON_FINITE,
            LOWRANK_ARGUMENT_TARGETS);
    OVERLAPS(loss_grad.data = w.y, CROSS_ENTROPY, LOWRANK_ARGUMENT_LOSS_GRAD);
    OVERLAPS(targets.data = w.y, lowrank_mean_squared_error(&w.loss, dy, targets, y, &error),
             LOWRANK_ARGUMENT_LOSS_GRAD);

    WRONG_STRUCT(lowrank_schedule, w.schedule, lowrank_schedule_factor(it, 1, &w.number, &error),
                 LOWRANK_ARGUMENT_SCHEDULE);
    WRONG_NUMBER(float, lowrank_schedule_factor(&w.schedule, 1, it, &error));
    REFUSED(w.schedule.decay = 3, lowrank_schedule_factor(&w.schedule, 1, &w.number, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_SCHEDULE);
    WRONG_STRUCT(lowrank_rng, w.rng, lowrank_rng_word(it, 0, &w.word, &error), LOWRANK_ARGUMENT_RNG);
    WRONG_NUMBER(uint32_t, lowrank_rng_word(&w.rng, 0, it, &error));
    WRONG_STRUCT(lowrank_rng, w.rng, lowrank_rng_shuffle(it, w.items, 8, 2, &error), LOWRANK_ARGUMENT_RNG);
    REFUSED((void)0, lowrank_rng_shuffle(&w.rng, NULL, 8, 2, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_ITEMS);
    REFUSED((void)0, lowrank_rng_shuffle(&w.rng, w.items, 8, 3, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_ITEMS);
    REFUSED((void)0, lowrank_rng_shuffle(&w.rng, w.items, SIZE_MAX, 2, &error), LOWRANK_WRAPS, LOWRANK_ARGUMENT_ITEMS);
    OVERLAPS((void)0, lowrank_rng_shuffle(&w.rng, &w.rng, 4, 2, &error), LOWRANK_ARGUMENT_ITEMS);
}
