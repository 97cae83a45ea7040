/* Trains a small layer with each optimizer through every operation, and prints a digest of all results: it has to be
 * the one that bindings/abi/examples/golden.rs prints, on every target and with every backend. */
#include <stdio.h>
#include <string.h>

#include "lowrank.h"

enum { INPUTS = 13, OUTPUTS = 7, RANK = 3, TOKENS = 4, STEPS = 20, FILE_BYTES = 4096 };

static uint64_t digest;
static float arena[LOWRANK_ARENA_LEN(INPUTS, OUTPUTS, RANK, TOKENS, LOWRANK_ADAMW)];
static float w[OUTPUTS * INPUTS], bias[OUTPUTS], x[TOKENS * INPUTS], targets[TOKENS * OUTPUTS];
static float packed[OUTPUTS * INPUTS], merged[OUTPUTS * INPUTS], memory[TOKENS * RANK];
static float y[TOKENS * OUTPUTS], dy[TOKENS * OUTPUTS], dx[TOKENS * INPUTS];
static uint64_t room[LOWRANK_ENTRY_ROOM];
static uint64_t file[FILE_BYTES / 8];
static int calls;
static lowrank_error error;

static void check(lowrank_status status, int line)
{
    calls++;
    if (status != LOWRANK_OK) {
        char text[160];
        lowrank_error_text(&error, text, sizeof text);
        printf("line %d: %s\n", line, text);
    }
}
#define CHECK(call)                                                                                                   \
    do {                                                                                                              \
        lowrank_status status_ = (call);                                                                              \
        check(status_, __LINE__);                                                                                     \
        if (status_ != LOWRANK_OK) return 1;                                                                          \
    } while (0)

static void add_bytes(const void *data, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)data;
    size_t i;
    for (i = 0; i < len; i++) digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static int fill(float *to, size_t count, uint32_t stream)
{
    lowrank_rng rng;
    size_t i;
    rng.size = sizeof rng;
    rng.seed = 1;
    rng.stream = stream;
    rng.step = 0;
    for (i = 0; i < count; i++) {
        uint32_t word = 0;
        CHECK(lowrank_rng_word(&rng, i, &word, &error));
        to[i] = (float)(word >> 16) / 32768.0f - 1.0f;
    }
    return 0;
}

static int step(uint32_t backend, uint32_t optimizer, const lowrank_base *base, lowrank_work *work, uint32_t number)
{
    static const uint32_t labels[TOKENS] = {0, 3, 6, 1};
    lowrank_adapter adapter = lowrank_adapter_of(&work->adapter);
    lowrank_matrix inputs = lowrank_rows(x, TOKENS, INPUTS), grad = lowrank_rows(dy, TOKENS, OUTPUTS);
    lowrank_matrix outputs = lowrank_rows(y, TOKENS, OUTPUTS);
    lowrank_matrix_mut into = lowrank_rows_mut(dy, TOKENS, OUTPUTS);
    lowrank_backprop flow = lowrank_backprop_of(inputs, grad, lowrank_rows_mut(dx, TOKENS, INPUTS));
    lowrank_mean_loss loss = lowrank_mean_loss_over(TOKENS);
    lowrank_dropout dropout;
    float value = 0.0f;

    dropout.size = sizeof dropout;
    dropout.probability = 0.25f;
    dropout.seed = 9;
    dropout.step = number;
    dropout.layer_number = 0;
    dropout.first_token = 0;
    CHECK(lowrank_set_dropout(&work->saved, number % 2 ? &dropout : NULL, &error));
    CHECK(lowrank_forward(backend, base, &adapter, inputs, lowrank_rows_mut(y, TOKENS, OUTPUTS), &work->saved, &error));
    if (optimizer == LOWRANK_ADAMW) {
        CHECK(lowrank_softmax_cross_entropy(&loss, outputs, labels, TOKENS, into, &error));
    } else {
        CHECK(lowrank_mean_squared_error(&loss, outputs, lowrank_rows(targets, TOKENS, OUTPUTS), into, &error));
    }
    CHECK(lowrank_mean_loss_value(&loss, &value, &error));
    add_bytes(&value, sizeof value);
    if (optimizer == LOWRANK_ADAMW) {
        lowrank_adamw adamw = lowrank_adamw_default();
        adamw.learning_rate = 0.05f;
        CHECK(lowrank_backward(backend, base, &adapter, &flow, &work->saved, &work->grads, &error));
        CHECK(lowrank_adamw_step(&adamw, backend, &work->adapter, &work->grads, &work->state, &error));
    } else if (optimizer == LOWRANK_MOMENTUM) {
        lowrank_sgd sgd = lowrank_sgd_default();
        float sum = 0.0f, factor = 0.0f;
        sgd.learning_rate = 0.05f;
        sgd.momentum = 0.875f;
        sgd.nesterov = 1;
        CHECK(lowrank_input_grads(backend, base, &adapter, grad, flow.dx, &work->saved, &error));
        work->grads.accumulate = number == 0 ? LOWRANK_REPLACE : LOWRANK_ACCUMULATE;
        CHECK(lowrank_parameter_grads(backend, inputs, grad, &work->saved, &work->grads, &error));
        CHECK(lowrank_square_sum(backend, &work->grads, &sum, &error));
        CHECK(lowrank_clip_factor(sum, 0.5f, &factor, &error));
        CHECK(lowrank_clip(backend, &work->grads, factor, &error));
        CHECK(lowrank_sgd_step(&sgd, backend, &work->adapter, &work->grads, &work->state, &error));
    } else {
        lowrank_in_place in_place = lowrank_in_place_default();
        in_place.learning_rate = 0.05f;
        in_place.max_norm = 0.5f;
        CHECK(lowrank_in_place_step(&in_place, backend, base, &work->adapter, &flow, &work->saved, &error));
    }
    add_bytes(dx, sizeof dx);
    return 0;
}

/* Writes the file, reads it back, and compares what was read with what was trained. */
static int keep(const lowrank_base *base, lowrank_work *work, uint32_t optimizer)
{
    lowrank_adapter adapter = lowrank_adapter_of(&work->adapter), found;
    lowrank_contents contents;
    lowrank_entry entry;
    lowrank_file parsed;
    size_t len = 0, written = 0;

    entry.size = sizeof entry;
    CHECK(lowrank_entry_of("layer", 5, &adapter, &entry, &error));
    CHECK(lowrank_entry_keep(&entry, &work->state, optimizer, LOWRANK_TRAINS_A, &error));
    entry.id = 5;
    entry.random.seed = 42;
    entry.random.step = STEPS;
    entry.random.dropout = 0.25f;
    memset(&contents, 0, sizeof contents);
    contents.size = sizeof contents;
    contents.entries = &entry;
    contents.entries_len = 1;
    contents.metadata = "golden";
    contents.metadata_len = 6;
    contents.generation = 3;
    contents.room = room;
    contents.room_len = LOWRANK_ENTRY_ROOM;
    CHECK(lowrank_fingerprint(base, &contents.fingerprint, &error));
    CHECK(lowrank_encoded_len(&contents, &len, &error));
    CHECK(lowrank_emit(&contents, (uint8_t *)file, sizeof file, &written, &error));
    if (written != len) return 1;
    add_bytes(file, written);

    parsed.size = sizeof parsed;
    CHECK(lowrank_parse((const uint8_t *)file, written, &parsed, &error));
    if (parsed.entries != 1 || parsed.generation != 3 || parsed.fingerprint != contents.fingerprint) return 1;
    CHECK(lowrank_entry_find((const uint8_t *)file, written, "layer", 5, &entry, &error));
    CHECK(lowrank_entry_find_id((const uint8_t *)file, written, 5, &entry, &error));
    CHECK(lowrank_entry_at((const uint8_t *)file, written, 0, &entry, &error));
    found.size = sizeof found;
    CHECK(lowrank_entry_adapter(&entry, &found, &error));
    if (found.scale != adapter.scale || memcmp(found.a.data, adapter.a.data, 4 * RANK * INPUTS) != 0) return 1;
    CHECK(lowrank_entry_restore(&entry, &work->state, &error));
    CHECK(lowrank_entry_load(&entry, &work->adapter, &error));
    return 0;
}

static int train(uint32_t backend, uint32_t optimizer)
{
    lowrank_plan plan = lowrank_plan_of(INPUTS, OUTPUTS, RANK, TOKENS, optimizer);
    lowrank_base base = lowrank_base_rows(NULL, bias, 0, 0);
    lowrank_matrix_mut out = lowrank_rows_mut(y, TOKENS, OUTPUTS);
    lowrank_lengths lengths;
    lowrank_work work, inference;
    lowrank_adapter adapter;
    uint32_t number;

    lengths.size = sizeof lengths;
    CHECK(lowrank_plan_lengths(&plan, &lengths, &error));
    if (lengths.arena != (size_t)LOWRANK_ARENA_LEN(INPUTS, OUTPUTS, RANK, TOKENS, optimizer)) return 1;
    work.size = sizeof work;
    CHECK(lowrank_plan_split(&plan, arena, lengths.arena, &work, &error));
    CHECK(lowrank_pack(backend, lowrank_rows(w, OUTPUTS, INPUTS), packed, OUTPUTS * INPUTS, &base, &error));
    CHECK(lowrank_scale(LOWRANK_SCALE_RANK_STABILIZED, 2.0f, RANK, &work.adapter.scale, &error));
    CHECK(lowrank_init_kaiming_uniform(&work.adapter, 42, 0, &error));
    for (number = 0; number < STEPS; number++) {
        if (step(backend, optimizer, &base, &work, number)) return 1;
    }
    adapter = lowrank_adapter_of(&work.adapter);
    CHECK(lowrank_check_alive(&adapter, &error));
    CHECK(lowrank_check_finite(&adapter, &error));
    CHECK(lowrank_merge_finite(backend, &base, &adapter, lowrank_rows_mut(merged, OUTPUTS, INPUTS), &error));
    add_bytes(merged, sizeof merged);
    plan = lowrank_plan_of(INPUTS, OUTPUTS, RANK, TOKENS, LOWRANK_INFERENCE);
    inference.size = sizeof inference;
    CHECK(lowrank_plan_split(&plan, memory, TOKENS * RANK, &inference, &error));
    CHECK(lowrank_forward(backend, &base, &adapter, lowrank_rows(x, TOKENS, INPUTS), out, &inference.saved, &error));
    add_bytes(y, sizeof y);
    return keep(&base, &work, optimizer);
}

static int golden(const char *arithmetic, uint32_t backend)
{
    static const uint32_t optimizers[3] = {LOWRANK_ADAMW, LOWRANK_MOMENTUM, LOWRANK_IN_PLACE};
    int i;
    digest = UINT64_C(0xcbf29ce484222325);
    CHECK(lowrank_selftest(backend, &error));
    for (i = 0; i < 3; i++) {
        if (train(backend, optimizers[i])) return 1;
    }
    printf("%s %08lx%08lx\n", arithmetic, (unsigned long)(digest >> 32), (unsigned long)(digest & 0xffffffff));
    return 0;
}

int main(int argc, char **argv)
{
    int best = argc > 1 && strcmp(argv[1], "detected") == 0;
    uint32_t detected = lowrank_detect();
    uint32_t separate = best && detected == LOWRANK_AVX512_FUSED ? LOWRANK_AVX512_SEPARATE
                      : best && detected == LOWRANK_AVX2_FUSED   ? LOWRANK_AVX2_SEPARATE
                                                                 : LOWRANK_BASELINE_SEPARATE;
    error.size = sizeof error;
    if (fill(w, OUTPUTS * INPUTS, 1) || fill(bias, OUTPUTS, 2) || fill(x, TOKENS * INPUTS, 3)) return 1;
    if (fill(targets, TOKENS * OUTPUTS, 4)) return 1;
    if (golden("separate", separate) || golden("fused", separate + 1)) return 1;
    fprintf(stderr, "%d calls with backend %s of version %s\n", calls, lowrank_backend_name(separate),
            lowrank_version());
    return 0;
}
