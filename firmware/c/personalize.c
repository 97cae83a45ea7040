/* The scenario of demo/ in C: a network 64-48-10 in flash meets a user whose digits are turned, and adapts on the
 * device. One epoch; the digest is that of `personalize --epochs 1 --arithmetic separate`. The adapter is saved in two
 * slots, found again, and used where it was loaded. QEMU has no NOR flash on these boards: the slots lie in RAM that
 * behaves like it. */
#include <string.h>

#include "board.h"
#include "lowrank.h"

enum { INPUTS = 64, HIDDEN = 48, CLASSES = 10, RANK = 4, BATCH = 32, IMAGES = 1797, RECORD = 41 };
enum { TRAINING = IMAGES - (IMAGES + 4) / 5, SLOT = 8192, FILE_BYTES = 4096, BACKEND = LOWRANK_BASELINE_SEPARATE };

extern const uint32_t BASE[INPUTS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES];
extern const uint8_t DIGITS[IMAGES * RECORD];

static float arena1[LOWRANK_ARENA_LEN(INPUTS, HIDDEN, RANK, BATCH, LOWRANK_ADAMW)];
static float arena2[LOWRANK_ARENA_LEN(HIDDEN, CLASSES, RANK, BATCH, LOWRANK_ADAMW)];
static float x[BATCH * INPUTS], hidden[BATCH * HIDDEN], d_hidden[BATCH * HIDDEN];
static float logits[BATCH * CLASSES], d_logits[BATCH * CLASSES];
static uint32_t labels[BATCH];
static uint16_t order[TRAINING];
static uint64_t file[FILE_BYTES / 8], room[2 * LOWRANK_ENTRY_ROOM];
static uint8_t flash[2 * SLOT], page[256];
static lowrank_base base1, base2;
static lowrank_work work1, work2;
static lowrank_error error;

#define TRY(call) do { if ((call) != LOWRANK_OK) return failed(#call); } while (0)

static int failed(const char *call)
{
    char text[160];
    lowrank_error_text(&error, text, sizeof text);
    print(call);
    print(": ");
    print(text);
    print("\n");
    return 1;
}

/* Images as the user sees them, a quarter turn counter-clockwise, and their labels. */
static void load(size_t row, unsigned image)
{
    const uint8_t *record = DIGITS + RECORD * image;
    unsigned i;
    labels[row] = record[0];
    for (i = 0; i < INPUTS; i++) {
        const uint8_t *pixels = record + 1 + 5 * (i % 8); /* (row, column) comes from (column, 7 - row) */
        unsigned bit = 5 * (7 - i / 8), word = pixels[bit / 8] | (unsigned)(bit / 8 < 4 ? pixels[bit / 8 + 1] : 0) << 8;
        x[INPUTS * row + i] = (float)((word >> bit % 8) & 31) / 16.0f;
    }
}

static int forward(const lowrank_adapter *one, const lowrank_adapter *two, size_t n)
{
    size_t i;
    TRY(lowrank_forward(BACKEND, &base1, one, lowrank_rows(x, n, INPUTS), lowrank_rows_mut(hidden, n, HIDDEN),
                        &work1.saved, &error));
    for (i = 0; i < n * HIDDEN; i++) hidden[i] = hidden[i] > 0.0f ? hidden[i] : 0.0f;
    TRY(lowrank_forward(BACKEND, &base2, two, lowrank_rows(hidden, n, HIDDEN), lowrank_rows_mut(logits, n, CLASSES),
                        &work2.saved, &error));
    return 0;
}

/* One step on the images that are loaded. */
static int step(const lowrank_adapter *one, const lowrank_adapter *two, lowrank_mean_loss *loss)
{
    lowrank_matrix d_out = lowrank_rows(d_logits, BATCH, CLASSES), d_mid = lowrank_rows(d_hidden, BATCH, HIDDEN);
    lowrank_backprop flow2 = lowrank_backprop_of(lowrank_rows(hidden, BATCH, HIDDEN), d_out,
                                                 lowrank_rows_mut(d_hidden, BATCH, HIDDEN));
    lowrank_backprop flow1 = lowrank_backprop_of(lowrank_rows(x, BATCH, INPUTS), d_mid, lowrank_rows_mut(NULL, 0, 0));
    lowrank_adamw adamw = lowrank_adamw_default();
    size_t i;
    adamw.learning_rate = 0.02f;
    if (forward(one, two, BATCH)) return 1;
    TRY(lowrank_softmax_cross_entropy(loss, lowrank_rows(logits, BATCH, CLASSES), labels, BATCH,
                                      lowrank_rows_mut(d_logits, BATCH, CLASSES), &error));
    TRY(lowrank_backward(BACKEND, &base2, two, &flow2, &work2.saved, &work2.grads, &error));
    for (i = 0; i < BATCH * HIDDEN; i++) d_hidden[i] = hidden[i] > 0.0f ? d_hidden[i] : 0.0f;
    TRY(lowrank_backward(BACKEND, &base1, one, &flow1, &work1.saved, &work1.grads, &error));
    TRY(lowrank_adamw_step(&adamw, BACKEND, &work1.adapter, &work1.grads, &work1.state, &error));
    TRY(lowrank_adamw_step(&adamw, BACKEND, &work2.adapter, &work2.grads, &work2.state, &error));
    return 0;
}

/* Test images, every fifth, that are read correctly. */
static int score(const lowrank_adapter *one, const lowrank_adapter *two, uint32_t *correct)
{
    unsigned image, c;
    *correct = 0;
    for (image = 0; image < IMAGES; image += 5) {
        unsigned best = 0;
        load(0, image);
        if (forward(one, two, 1)) return 1;
        for (c = 1; c < CLASSES; c++) best = logits[c] > logits[best] ? c : best;
        *correct += best == labels[0];
    }
    return 0;
}

static uint64_t digest_of(uint64_t digest, const float *numbers, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)numbers;
    size_t i;
    for (i = 0; i < 4 * count; i++) digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
    return digest;
}

static int train(const lowrank_adapter *one, const lowrank_adapter *two, uint64_t *digest)
{
    lowrank_rng rng;
    size_t i, row;
    rng.size = sizeof rng;
    rng.seed = 0;
    rng.stream = UINT32_MAX;
    rng.step = 0; /* the epoch */
    for (i = 0; i < TRAINING; i++) order[i] = (uint16_t)(1 + i / 4 * 5 + i % 4);
    TRY(lowrank_rng_shuffle(&rng, order, TRAINING, sizeof *order, &error));
    for (i = 0; i + BATCH <= TRAINING; i += BATCH) {
        lowrank_mean_loss loss = lowrank_mean_loss_over(BATCH);
        float value;
        for (row = 0; row < BATCH; row++) load(row, order[i + row]);
        if (step(one, two, &loss)) return 1;
        TRY(lowrank_mean_loss_value(&loss, &value, &error));
        *digest = digest_of(*digest, &value, 1);
    }
    *digest = digest_of(*digest, one->a.data, RANK * INPUTS);
    *digest = digest_of(*digest, one->b.data, HIDDEN * RANK);
    *digest = digest_of(*digest, two->a.data, RANK * HIDDEN);
    *digest = digest_of(*digest, two->b.data, CLASSES * RANK);
    return 0;
}

static int32_t flash_read(void *context, uint32_t at, uint8_t *into, size_t len)
{
    (void)context;
    memcpy(into, flash + at, len);
    return 0;
}

static int32_t flash_erase(void *context, uint32_t from, uint32_t to)
{
    (void)context;
    memset(flash + from, 0xff, to - from);
    return 0;
}

static int32_t flash_program(void *context, uint32_t at, const uint8_t *bytes, size_t len)
{
    (void)context;
    while (len--) flash[at++] &= *bytes++;
    return 0;
}

/* Saves both adapters twice, loads them again, and gives them where they were loaded. */
static int save_and_load(lowrank_adapter *one, lowrank_adapter *two)
{
    lowrank_entry entries[2];
    lowrank_contents contents;
    lowrank_stored stored;
    lowrank_store store;
    size_t len;
    uint32_t save;
    memset(&store, 0, sizeof store);
    store.size = sizeof store;
    store.flash.size = sizeof store.flash;
    store.flash.read = flash_read;
    store.flash.erase = flash_erase;
    store.flash.program = flash_program;
    store.flash.capacity = sizeof flash;
    store.flash.erase_size = 4096;
    store.end[0] = store.start[1] = SLOT;
    store.end[1] = 2 * SLOT;
    store.page = page;
    store.page_len = sizeof page;
    memset(&contents, 0, sizeof contents);
    contents.size = sizeof contents;
    contents.entries = entries;
    contents.entries_len = 2;
    contents.room = room;
    contents.room_len = sizeof room / sizeof *room;
    entries[0].size = entries[1].size = sizeof *entries;
    stored.size = sizeof stored;
    TRY(lowrank_entry_of("hidden", 6, one, &entries[0], &error));
    TRY(lowrank_entry_of("output", 6, two, &entries[1], &error));
    for (save = 0; save < 2; save++) {
        TRY(lowrank_store_save(&store, &contents, &stored, &error));
        if (stored.slot != save) return failed("the other slot");
    }
    TRY(lowrank_store_load(&store, (uint8_t *)file, sizeof file, &len, &error));
    TRY(lowrank_entry_find((const uint8_t *)file, len, "hidden", 6, &entries[0], &error));
    TRY(lowrank_entry_find((const uint8_t *)file, len, "output", 6, &entries[1], &error));
    TRY(lowrank_entry_adapter(&entries[0], one, &error));
    TRY(lowrank_entry_adapter(&entries[1], two, &error));
    return 0;
}

int main(void)
{
    lowrank_plan plan1 = lowrank_plan_of(INPUTS, HIDDEN, RANK, BATCH, LOWRANK_ADAMW);
    lowrank_plan plan2 = lowrank_plan_of(HIDDEN, CLASSES, RANK, BATCH, LOWRANK_ADAMW);
    const float *weights = (const float *)(const void *)BASE;
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    uint32_t before, after, loaded;
    lowrank_adapter one, two;
    error.size = sizeof error;
    TRY(lowrank_selftest(BACKEND, &error));
    base1 = lowrank_base_rows(weights, weights + INPUTS * HIDDEN, HIDDEN, INPUTS);
    weights += INPUTS * HIDDEN + HIDDEN;
    base2 = lowrank_base_rows(weights, weights + HIDDEN * CLASSES, CLASSES, HIDDEN);
    work1.size = work2.size = sizeof work1;
    TRY(lowrank_plan_split(&plan1, arena1, sizeof arena1 / sizeof *arena1, &work1, &error));
    TRY(lowrank_plan_split(&plan2, arena2, sizeof arena2 / sizeof *arena2, &work2, &error));
    work1.adapter.scale = work2.adapter.scale = 2.0f; /* alpha 8, rank 4 */
    TRY(lowrank_init_kaiming_uniform(&work1.adapter, 0, 0, &error));
    TRY(lowrank_init_kaiming_uniform(&work2.adapter, 0, 1, &error));
    one = lowrank_adapter_of(&work1.adapter);
    two = lowrank_adapter_of(&work2.adapter);
    if (score(&one, &two, &before) || train(&one, &two, &digest) || score(&one, &two, &after)) return 1;
    if (save_and_load(&one, &two) || score(&one, &two, &loaded)) return 1;
    print("rotated digits read before: ");
    print_number(before);
    print(" of 360, after: ");
    print_number(after);
    print(", with the adapter from flash: ");
    print_number(loaded);
    print("\ndigest ");
    print_hex(digest);
    print("\n");
    return after > before && loaded == after ? 0 : 1;
}
