/* Every set-up that the header describes, to the letter: what it does not name holds anything. */
#include "world.h"

/* All bytes of it are those of no valid struct. */
#define ANYTHING(it) memset(&(it), 0xa5, sizeof(it))

/* "The caller fills in what comes before `batch`": all of it; the rest holds anything. */
static void fill_in(lowrank_layer *it, float *arena)
{
    ANYTHING(*it);
    it->size = sizeof *it;
    it->inputs = IN;
    it->outputs = OUT;
    it->rank = RANK;
    it->tokens = N;
    it->optimizer = LOWRANK_ADAMW;
    it->trained = LOWRANK_TRAINS_A;
    it->backend = LOWRANK_BASELINE_SEPARATE;
    it->scale = 0.5f;
    it->weights = w.w;
    it->bias = w.bias;
    it->x = w.x;
    it->y = w.own_y;
    it->dy = w.own_dy;
    it->dx = w.own_dx;
    it->arena = arena;
}

static void step(lowrank_layer *it, size_t tokens, uint32_t number)
{
    lowrank_mean_loss loss = lowrank_mean_loss_over(tokens);
    it->dropout.step = number;
    OK(lowrank_layer_forward(it, tokens, &error));
    OK(lowrank_layer_softmax_cross_entropy(it, tokens, w.labels, tokens, &loss, &error));
    OK(lowrank_layer_backward(it, tokens, LOWRANK_REPLACE, &error));
    OK(lowrank_layer_adamw_step(it, &w.adamw, &error));
}

/* "The gradients zero", whatever the arena held. */
static void gradients_are_zero(const lowrank_layer *it)
{
    int i;
    for (i = 0; i < RANK * IN; i++) HOLDS(it->parts[3][i] == 0);
    for (i = 0; i < RANK * OUT; i++) HOLDS(it->parts[4][i] == 0);
}

static void a_layer_is_filled_in_up_to_the_batch(void)
{
    lowrank_layer it, again;
    static float first[LEN(w.own)];
    int i;
    reset();
    w.adamw.learning_rate = 0.05f;
    for (i = 0; i < 2; i++) {
        fill_in(&it, w.own);
        OK(lowrank_layer_plan(&it, &error));
        HOLDS(it.arena_len == LEN(w.own));
        OK(lowrank_layer_init(&it, 7, 1, &error));
        if (i == 1) OK(lowrank_layer_set_dropout(&it, &w.dropout, &error));
        HOLDS(it.dropout.probability == (i == 1 ? w.dropout.probability : 0) && it.panel_width == 0);
        HOLDS(it.batch == 0 && it.progress == LOWRANK_PROGRESS_NONE);
        gradients_are_zero(&it);
        HOLDS(it.clock.size == sizeof it.clock && it.clock.steps == 0);
        HOLDS(it.clock.weight1 == 0 && it.clock.weight2 == 0);
        step(&it, N, 0);
        /* With dropout, a step ends the batch: the next one has other masks. */
        HOLDS(it.batch == (i == 1 ? 0 : N) && it.clock.steps == 1);
        HOLDS(it.progress == (i == 1 ? LOWRANK_PROGRESS_NONE : LOWRANK_PROGRESS_BACKWARD));
        step(&it, N, 1);
        memcpy(first, w.own, sizeof first);
        /* Initialized once more, it starts anew. */
        OK(lowrank_layer_init(&it, 7, 1, &error));
        HOLDS(it.batch == 0 && it.progress == LOWRANK_PROGRESS_NONE && it.clock.steps == 0 && it.clock.weight1 == 0);
        /* "W in rows, no dropout". */
        HOLDS(it.dropout.probability == 0 && it.masks.function == NULL && it.panels.function == NULL);
        if (i == 1) OK(lowrank_layer_set_dropout(&it, &w.dropout, &error));
        step(&it, N, 0);
        /* "To resume, call lowrank_layer_init, fill the parts of the arena and set [the clock]." */
        fill_in(&again, w.other);
        OK(lowrank_layer_plan(&again, &error));
        OK(lowrank_layer_init(&again, 8, 2, &error));
        if (i == 1) OK(lowrank_layer_set_dropout(&again, &w.dropout, &error));
        memcpy(again.parts[0], it.parts[0], 4 * RANK * IN);
        memcpy(again.parts[1], it.parts[1], 4 * RANK * OUT);
        memcpy(again.parts[6], it.parts[6], 4 * RANK * IN);
        memcpy(again.parts[7], it.parts[7], 4 * RANK * IN);
        memcpy(again.parts[8], it.parts[8], 4 * RANK * OUT);
        memcpy(again.parts[9], it.parts[9], 4 * RANK * OUT);
        again.clock = it.clock;
        step(&again, N, 1);
        SAME(first, w.other, LEN(first));
    }
    /* "May be null where it is not needed". */
    fill_in(&it, w.own);
    it.x = NULL;
    it.y = it.dy = it.dx = NULL;
    it.bias = NULL;
    OK(lowrank_layer_plan(&it, &error));
    OK(lowrank_layer_init(&it, 7, 1, &error));
    OK(lowrank_layer_merge(&it, w.merged, OUT * IN, &error));
    SAME(w.merged, w.w, OUT * IN);
}

/* A last, shorter batch: as the calls one by one on as many rows. Other numbers of tokens between are refused. */
static void a_last_batch_is_shorter(void)
{
    lowrank_mean_loss loss = lowrank_mean_loss_over(N - 1), other = loss;
    lowrank_layer *it = &w.layer;
    lowrank_matrix logits;
    reset();
    OK(lowrank_init_kaiming_uniform(&w.work.adapter, 7, 1, &error));
    w.adapter.scale = 0.5f;
    step(it, N, 0);
    OK(lowrank_layer_init(it, 7, 1, &error));
    x.rows = y.rows = dy.rows = dx.rows = w.flow.x.rows = w.flow.dy.rows = w.flow.dx.rows = loss_grad.rows = N - 1;
    logits = lowrank_rows(w.y, N - 1, OUT);
    OK(lowrank_layer_forward(it, N - 1, &error));
    OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
    SAME(w.own_y, w.y, (N - 1) * OUT);
    OK(lowrank_layer_softmax_cross_entropy(it, N - 1, w.labels, N - 1, &loss, &error));
    OK(lowrank_softmax_cross_entropy(&other, logits, w.labels, N - 1, loss_grad, &error));
    HOLDS(loss.sum == other.sum && loss.seen == N - 1);
    SAME(w.own_dy, w.dy, (N - 1) * OUT);
    OK(lowrank_layer_backward(it, N - 1, LOWRANK_REPLACE, &error));
    OK(lowrank_backward(1, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error));
    SAME(it->parts[3], w.work.grads.a.data, RANK * IN);
    SAME(it->parts[4], w.work.grads.b.data, RANK * OUT);

#define ENTROPY(tokens, len) lowrank_layer_softmax_cross_entropy(it, tokens, w.labels, len, &w.loss, &error)
#define SQUARED(tokens) lowrank_layer_mean_squared_error(it, tokens, w.targets, (tokens) * OUT, &w.loss, &error)
    REFUSED((void)0, ENTROPY(N - 1, N - 1), LOWRANK_ROWS, LOWRANK_ARGUMENT_Y);
    HOLDS(error.expected == N && error.got == N - 1);
    REFUSED((void)0, ENTROPY(N, N - 1), LOWRANK_LENGTH, LOWRANK_ARGUMENT_LABELS);
    HOLDS(error.expected == N && error.got == N - 1);
    REFUSED((void)0, ENTROPY(N - 1, N), LOWRANK_ROWS, LOWRANK_ARGUMENT_Y);
    REFUSED((void)0, SQUARED(N - 1), LOWRANK_ROWS, LOWRANK_ARGUMENT_Y);
    REFUSED(it->batch = N - 1, ENTROPY(N, N), LOWRANK_ROWS, LOWRANK_ARGUMENT_Y);
    REFUSED(it->batch = N - 1, SQUARED(N), LOWRANK_ROWS, LOWRANK_ARGUMENT_Y);
    REFUSED((void)0, lowrank_layer_backward(it, N - 1, LOWRANK_REPLACE, &error), LOWRANK_ROWS,
            LOWRANK_ARGUMENT_DY);
    /* Before a forward pass, `y` is what the caller has put there. */
    reset();
    it->progress = LOWRANK_PROGRESS_NONE;
    OK(ENTROPY(N - 1, N - 1));
}

/* "To be set before the call": the size, and nothing else. */
static void structs_that_calls_fill(void)
{
    static float spare[LEN(w.arena)];
    size_t len = 0;
    reset();
    ANYTHING(error);
    error.size = sizeof error;
    HOLDS(lowrank_scale(9, 1.0f, RANK, &w.number, &error) == LOWRANK_UNKNOWN && error.got == 9 && error.index == 0);
    ANYTHING(w.lengths);
    w.lengths.size = sizeof w.lengths;
    OK(lowrank_plan_lengths(&w.plan, &w.lengths, &error));
    HOLDS(w.lengths.arena == LEN(w.arena) && w.lengths.adapter == RANK * (IN + OUT) && w.lengths.saved == 2 * N * RANK);
    HOLDS(w.lengths.grads == RANK * (IN + OUT) && w.lengths.state == 2 * RANK * (IN + OUT));
    ANYTHING(w.split);
    w.split.size = sizeof w.split;
    OK(lowrank_plan_split(&w.plan, spare, LEN(spare), &w.split, &error));
    HOLDS(w.split.adapter.scale == 1.0f && w.split.saved.progress == LOWRANK_PROGRESS_NONE);
    HOLDS(w.split.state.clock.steps == 0 && w.split.grads.accumulate == LOWRANK_REPLACE);
    ANYTHING(w.parsed);
    w.parsed.size = sizeof w.parsed;
    OK(lowrank_parse(BYTES, file_len, &w.parsed, &error));
    HOLDS(w.parsed.entries == 1 && w.parsed.metadata_len == 0 && w.parsed.fingerprint == 0 && w.parsed.generation == 0);
    ANYTHING(w.entry);
    w.entry.size = sizeof w.entry;
    OK(lowrank_entry_at(BYTES, file_len, 0, &w.entry, &error));
    HOLDS(w.entry.name_len == 3 && w.entry.a.rows == RANK && w.entry.random.size == sizeof w.entry.random);
    ANYTHING(w.adapter);
    w.adapter.size = sizeof w.adapter;
    OK(lowrank_entry_adapter(&w.entry, &w.adapter, &error));
    HOLDS(w.adapter.a.cols == IN && w.adapter.bias.data == NULL);
    ANYTHING(w.entry);
    w.entry.size = sizeof w.entry;
    OK(lowrank_entry_of("x", 1, &w.adapter, &w.entry, &error));
    HOLDS(w.entry.id == 0 && w.entry.optimizer == LOWRANK_INFERENCE && w.entry.random.seed == 0);
    reset();
    ANYTHING(w.stored);
    w.stored.size = sizeof w.stored;
    OK(lowrank_store_newest(&w.store, &w.stored, &error));
    HOLDS(w.stored.len == 0);
    OK(lowrank_store_load(&w.store, (uint8_t *)w.out, sizeof w.out, &len, &error));
    HOLDS(len == 0);
    /* "The bias of `base` [...] has to be set before." */
    ANYTHING(w.base);
    w.base.size = sizeof w.base;
    w.base.bias = w.bias;
    OK(lowrank_pack(backend, weights, w.packed, OUT * IN, &w.base, &error));
    HOLDS(w.base.bias == w.bias && w.base.outputs == OUT && w.base.inputs == IN && w.base.weights == w.packed);
    /* "Not looked at where W is in panels." */
    for (len = 0; len < 3; len++) {
        w.base.stride = len == 0 ? 0 : len == 1 ? 1 : SIZE_MAX;
        OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
        SAME(w.y, valid.y, N * OUT);
    }
}

/* "Left out": the pointer is null, and the other fields hold anything. */
static void parts_that_are_left_out(void)
{
    lowrank_mean_loss loss;
    lowrank_sgd sgd = lowrank_sgd_default();
    size_t i;
    reset();
#define LEFT_OUT(matrix) (ANYTHING(matrix), (matrix).data = NULL)
    LEFT_OUT(w.adapter.bias);
    LEFT_OUT(w.work.grads.a);
    LEFT_OUT(w.work.grads.bias);
    LEFT_OUT(w.flow.x);
    LEFT_OUT(w.flow.dx);
    OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
    OK(lowrank_backward(1, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error));
    LEFT_OUT(dx);
    OK(lowrank_input_grads(1, &w.base, &w.adapter, dy, dx, &w.work.saved, &error));
    LEFT_OUT(x);
    OK(lowrank_parameter_grads(1, x, dy, &w.work.saved, &w.work.grads, &error));
    /* A state by hand, "all 0 before the first step", its size as well. */
    memset(&w.work.state, 0, sizeof w.work.state);
    w.work.state.size = sizeof w.work.state;
    for (i = 0; i < 6; i++) LEFT_OUT(w.work.state.moments[i]);
    OK(lowrank_sgd_step(&sgd, 1, &w.work.adapter, &w.work.grads, &w.work.state, &error));
    HOLDS(w.work.state.clock.size == sizeof w.work.state.clock);
    /* Saved activations whose dropout is all 0. */
    reset();
    memset(&w.work.saved.dropout, 0, sizeof w.work.saved.dropout);
    OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
    SAME(w.y, valid.y, N * OUT);
    OK(lowrank_set_dropout(&w.work.saved, NULL, &error));
    /* "Before the first of them: `sum` and `seen` are 0." */
    ANYTHING(loss);
    loss.size = sizeof loss;
    loss.tokens = N;
    loss.seen = 0;
    loss.sum = 0;
    OK(lowrank_softmax_cross_entropy(&loss, targets, w.labels, N, loss_grad, &error));
    HOLDS(loss.seen == N && loss.tokens == N);
}

/* An entry and contents by hand: no optimizer, and random numbers "all 0 where there are none", the size as well. */
static void an_entry_by_hand(void)
{
    lowrank_entry *it = &w.entry;
    lowrank_tensor a = valid.entry.a, b = valid.entry.b;
    size_t written = 0;
    int i;
    reset();
    ANYTHING(*it);
    it->size = sizeof *it;
    it->name = "fc1";
    it->name_len = 3;
    it->id = 0;
    it->scale_mode = LOWRANK_SCALE_DIRECT;
    it->alpha = w.adapter.scale;
    it->fan_in_fan_out = 0;
    it->a = a;
    it->b = b;
    it->bias.data = it->b_bias.data = NULL;
    it->optimizer = LOWRANK_INFERENCE;
    for (i = 0; i < 6; i++) it->moments[i].data = NULL;
    memset(&it->random, 0, sizeof it->random);
    ANYTHING(w.contents);
    ANYTHING(w.room);
    w.contents.size = sizeof w.contents;
    w.contents.entries = it;
    w.contents.entries_len = 1;
    w.contents.metadata = NULL;
    w.contents.metadata_len = 0;
    w.contents.fingerprint = 5;
    w.contents.generation = 6;
    w.contents.room = w.room;
    w.contents.room_len = LOWRANK_ENTRY_ROOM;
    OK(lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, &written, &error));
    OK(lowrank_parse((const uint8_t *)w.out, written, &w.parsed, &error));
    HOLDS(w.parsed.fingerprint == 5 && w.parsed.generation == 6 && w.parsed.entries == 1);
    OK(lowrank_entry_load(it, &w.split.adapter, &error));
    SAME(w.split.adapter.a.data, w.adapter.a.data, RANK * IN);
    /* With a state before its first step. */
    it->optimizer = LOWRANK_SGD;
    it->trained = LOWRANK_TRAINS_A;
    memset(&it->clock, 0, sizeof it->clock);
    OK(lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, &written, &error));
#define LOAD lowrank_entry_load(&w.entry, &w.split.adapter, &error)
    REFUSED((memset(&it->random, 0, sizeof it->random), it->random.seed = 1), LOAD, LOWRANK_STRUCT_SIZE,
            LOWRANK_ARGUMENT_RNG);
    REFUSED((memset(&it->random, 0, sizeof it->random), it->random.step = 1), LOAD, LOWRANK_STRUCT_SIZE,
            LOWRANK_ARGUMENT_RNG);
    REFUSED((memset(&it->random, 0, sizeof it->random), it->random.layer_number = 1), LOAD, LOWRANK_STRUCT_SIZE,
            LOWRANK_ARGUMENT_RNG);
    REFUSED((memset(&it->random, 0, sizeof it->random), it->random.dropout = 0.5f), LOAD, LOWRANK_STRUCT_SIZE,
            LOWRANK_ARGUMENT_RNG);
    REFUSED((memset(&it->clock, 0, sizeof it->clock), it->clock.steps = 1), LOAD, LOWRANK_STRUCT_SIZE,
            LOWRANK_ARGUMENT_CLOCK);
}

/* "With LOWRANK_INFERENCE nothing is trained", and the other parts of the work are left out. */
static void a_plan_for_inference(void)
{
    static float memory[N * RANK];
    reset();
    ANYTHING(w.plan);
    w.plan = lowrank_plan_of(IN, OUT, RANK, N, LOWRANK_INFERENCE);
    w.split.size = sizeof w.split;
    OK(lowrank_plan_lengths(&w.plan, &w.lengths, &error));
    HOLDS(w.lengths.arena == N * RANK && w.lengths.saved == N * RANK && w.lengths.adapter == 0);
    HOLDS(w.lengths.grads == 0 && w.lengths.state == 0);
    OK(lowrank_plan_split(&w.plan, memory, N * RANK, &w.split, &error));
    HOLDS(w.split.adapter.a.data == NULL && w.split.grads.b.data == NULL && w.split.state.moments[0].data == NULL);
    HOLDS(w.split.saved.memory == memory && w.split.saved.training == 0);
    OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.split.saved, &error));
    SAME(w.y, valid.y, N * OUT);
}

void documented(void)
{
    a_layer_is_filled_in_up_to_the_batch();
    a_last_batch_is_shorter();
    structs_that_calls_fill();
    parts_that_are_left_out();
    an_entry_by_hand();
    a_plan_for_inference();
}
