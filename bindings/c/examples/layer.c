/* Adapts one layer to four examples, with all its memory in one struct: where flash is scarce. It prints what train.c prints. */
#include <stdio.h>
#include <string.h>

#include "lowrank.h"

enum { INPUTS = 2, OUTPUTS = 3, RANK = 1, TOKENS = 4 };

static const float W[OUTPUTS * INPUTS] = {1, 0, 0, 1, 1, 1}; /* frozen: it can lie in flash */
static const float X[TOKENS * INPUTS] = {1, 2, 2, 1, 0, 1, 1, 0};
static const uint32_t LABELS[TOKENS] = {0, 1, 2, 0};
static float arena[LOWRANK_ARENA_LEN(INPUTS, OUTPUTS, RANK, TOKENS, LOWRANK_ADAMW)];
static float y[TOKENS * OUTPUTS], dy[TOKENS * OUTPUTS];

int main(void)
{
    lowrank_layer layer;
    lowrank_adamw adamw = lowrank_adamw_default();
    lowrank_status status;
    lowrank_error error;
    int step;

    adamw.learning_rate = 0.05f;
    error.size = sizeof error;
    memset(&layer, 0, sizeof layer);
    layer.size = sizeof layer;
    layer.inputs = INPUTS;
    layer.outputs = OUTPUTS;
    layer.rank = RANK;
    layer.tokens = TOKENS; /* the most at a time */
    layer.optimizer = LOWRANK_ADAMW;
    layer.trained = LOWRANK_TRAINS_A;
    layer.backend = LOWRANK_BASELINE;
    layer.scale = 1.0f; /* alpha / rank */
    layer.weights = W;
    layer.x = X;
    layer.y = y;
    layer.dy = dy;
    layer.arena = arena;
    status = lowrank_layer_plan(&layer, &error); /* sets layer.arena_len, which arena has to have */
    if (!status) status = lowrank_layer_init(&layer, 42, 0, &error); /* seed, layer number */
    for (step = 0; !status && step < 20; step++) {
        lowrank_mean_loss loss = lowrank_mean_loss_over(TOKENS); /* of this batch */
        status = lowrank_layer_forward(&layer, TOKENS, &error); /* from x to y */
        if (!status) status = lowrank_layer_softmax_cross_entropy(&layer, TOKENS, LABELS, TOKENS, &loss, &error); /* dy */
        if (!status) status = lowrank_layer_backward(&layer, TOKENS, LOWRANK_REPLACE, &error);
        if (!status) status = lowrank_layer_adamw_step(&layer, &adamw, &error);
        printf("step %d: loss %.4f\n", step, (double)(loss.sum / TOKENS));
    }
    if (status) {
        char text[160];
        lowrank_error_text(&error, text, sizeof text);
        printf("%s\n", text);
    }
    return status ? 1 : 0;
}
