/* Every function gets every pointer wrong: null, misaligned, with another size, overlapping, wrapping; every code
 * wrong; and every error of its list. Each time the code that it returns and the argument that it names are checked,
 * and that no byte of any buffer or struct has changed. */
#include "world.h"

world w, valid;
lowrank_error error;
lowrank_matrix x, dy, weights, targets;
lowrank_matrix_mut y, dx, merged, loss_grad;
uint32_t backend;
size_t file_len;
int refused, failures;
int driver_answer;
uint32_t lacks[4];
size_t lacking;

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
void reset(void)
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

static world before;

void look(void) { memcpy(&before, &w, sizeof w); }

void was_refused(const char *file, int line, const char *call, lowrank_status status, lowrank_status code,
                 uint32_t about)
{
    refused++;
    if (status != code || error.status != code || error.argument != about) {
        failures++;
        printf("%s:%d: %s: status %d about %u, expected %d about %u\n", file, line, call, (int)status,
               (unsigned)error.argument, (int)code, (unsigned)about);
    }
    if (memcmp(&before, &w, sizeof w) != 0) {
        failures++;
        printf("%s:%d: %s: an output was written\n", file, line, call);
    }
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
    w.dropout.probability = 0.5f;
    w.entry.size = sizeof w.entry;
    w.parsed.size = sizeof w.parsed;
    w.stored.size = sizeof w.stored;
    failures += lowrank_set_dropout(&w.work.saved, NULL, &error) != LOWRANK_OK;
    failures += lowrank_forward(1, &w.base, &w.adapter, lowrank_rows(w.x, N, IN), lowrank_rows_mut(w.y, N, OUT),
                                &w.work.saved, &error) != LOWRANK_OK;
    memcpy(w.name, "fc1", 3);
    failures += lowrank_entry_of(w.name, 3, &w.adapter, &w.entry, &error) != LOWRANK_OK;
    failures += lowrank_entry_keep(&w.entry, &w.work.state, LOWRANK_ADAMW, LOWRANK_TRAINS_A, &error) != LOWRANK_OK;
    w.contents.size = sizeof w.contents;
    w.contents.entries = &w.entry;
    w.contents.entries_len = 1;
    w.contents.room = w.room;
    w.contents.room_len = LEN(w.room);
    failures += lowrank_emit(&w.contents, (uint8_t *)w.bytes, sizeof w.bytes, &file_len, &error) != LOWRANK_OK;
    memset(w.flash, 0xff, sizeof w.flash);
    w.layer.size = sizeof w.layer;
    w.layer.inputs = IN;
    w.layer.outputs = OUT;
    w.layer.rank = RANK;
    w.layer.tokens = N;
    w.layer.optimizer = LOWRANK_ADAMW;
    w.layer.trained = LOWRANK_TRAINS_A;
    w.layer.backend = LOWRANK_BASELINE_SEPARATE;
    w.layer.scale = 0.5f;
    w.layer.weights = w.w;
    w.layer.bias = w.bias;
    w.layer.x = w.x;
    w.layer.y = w.own_y;
    w.layer.dy = w.own_dy;
    w.layer.dx = w.own_dx;
    w.layer.arena = w.own;
    failures += lowrank_layer_plan(&w.layer, &error) != LOWRANK_OK || w.layer.arena_len != LEN(w.own);
    failures += lowrank_layer_init(&w.layer, 7, 1, &error) != LOWRANK_OK;
    failures += lowrank_layer_set_panels(&w.layer, 0, &error) != LOWRANK_OK;
    failures += lowrank_layer_set_dropout(&w.layer, NULL, &error) != LOWRANK_OK;
    failures += lowrank_layer_forward(&w.layer, N, &error) != LOWRANK_OK;
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
        failures += lowrank_store_load(&w.store, (uint8_t *)w.out, sizeof w.out, &len,
                                       &error) != LOWRANK_OK || len != file_len;
        failures += memcmp((uint8_t *)w.out + 64, (uint8_t *)w.bytes + 64, file_len - 64) != 0;
    }
}

/* The arguments are the codes of backends that this CPU does not have. */
int main(int argc, char **argv)
{
    for (; argc > 1 && lacking < LEN(lacks); argc--) lacks[lacking++] = (uint32_t)atoi(argv[argc - 1]);
    set_up();
    if (failures) return printf("the valid world is not valid: %d\n", (int)error.status), 1;
    store_works();
    every_call();
    elements();
    documented();
    sentences();
    values();
    passes();
    weights_of_a_layer();
    training();
    layers();
    files();
    contents();
    stores();
    printf("%d misuses refused, %d failures\n", refused, failures);
    return failures == 0 ? 0 : 1;
}
