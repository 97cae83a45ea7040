/* Adapts one layer to four examples, and prints how the loss falls. */
#include <stdio.h>

#include "lowrank.h"

enum { INPUTS = 2, OUTPUTS = 3, RANK = 1, TOKENS = 4 };

static const float W[OUTPUTS * INPUTS] = {1, 0, 0, 1, 1, 1}; /* frozen: it can lie in flash */
static const float X[TOKENS * INPUTS] = {1, 2, 2, 1, 0, 1, 1, 0};
static const uint32_t LABELS[TOKENS] = {0, 1, 2, 0};
static float arena[LOWRANK_ARENA_LEN(INPUTS, OUTPUTS, RANK, TOKENS, LOWRANK_ADAMW)];
static float y[TOKENS * OUTPUTS], dy[TOKENS * OUTPUTS];

int main(void)
{
    lowrank_base base = lowrank_base_rows(W, NULL, OUTPUTS, INPUTS);
    lowrank_plan plan = lowrank_plan_of(INPUTS, OUTPUTS, RANK, TOKENS, LOWRANK_ADAMW);
    lowrank_matrix x = lowrank_rows(X, TOKENS, INPUTS), logits = lowrank_rows(y, TOKENS, OUTPUTS);
    lowrank_backprop flow = lowrank_backprop_of(x, lowrank_rows(dy, TOKENS, OUTPUTS), lowrank_rows_mut(NULL, 0, 0));
    lowrank_adamw adamw = lowrank_adamw_default();
    lowrank_status status;
    lowrank_error error;
    lowrank_work work;
    int step;

    adamw.learning_rate = 0.05f;
    error.size = sizeof error;
    work.size = sizeof work;
    status = lowrank_plan_split(&plan, arena, sizeof arena / sizeof *arena, &work, &error);
    if (!status) status = lowrank_init_kaiming_uniform(&work.adapter, 42, 0, &error);
    for (step = 0; !status && step < 20; step++) {
        lowrank_adapter adapter = lowrank_adapter_of(&work.adapter);
        lowrank_mean_loss loss = lowrank_mean_loss_over(TOKENS);
        status = lowrank_forward(LOWRANK_BASELINE, &base, &adapter, x, lowrank_rows_mut(y, TOKENS, OUTPUTS),
                                 &work.saved, &error);
        if (!status) status = lowrank_softmax_cross_entropy(&loss, logits, LABELS, TOKENS,
                                                            lowrank_rows_mut(dy, TOKENS, OUTPUTS), &error);
        if (!status) status = lowrank_backward(LOWRANK_BASELINE, &base, &adapter, &flow, &work.saved, &work.grads,
                                               &error);
        if (!status) status = lowrank_adamw_step(&adamw, LOWRANK_BASELINE, &work.adapter, &work.grads, &work.state,
                                                 &error);
        printf("step %d: loss %.4f\n", step, (double)(loss.sum / TOKENS));
    }
    if (status) {
        char text[160];
        lowrank_error_text(&error, text, sizeof text);
        printf("%s\n", text);
    }
    return status ? 1 : 0;
}
