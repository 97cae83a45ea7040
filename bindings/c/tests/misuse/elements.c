/* Every pointer to elements, with every number of them that there cannot be. */
#include "world.h"

static void of_arguments(void)
{
    WRONG_ELEMENTS(uint8_t, w.bytes, (void)0, lowrank_parse(it, len, &w.parsed, &error), LOWRANK_ARGUMENT_FILE);
    WRONG_ELEMENTS(uint8_t, w.bytes, (void)0, lowrank_entry_at(it, len, 0, &w.entry, &error), LOWRANK_ARGUMENT_FILE);
    WRONG_ELEMENTS(uint8_t, w.bytes, (void)0, lowrank_entry_find(it, len, w.name, 3, &w.entry, &error),
                   LOWRANK_ARGUMENT_FILE);
    WRONG_ELEMENTS(char, w.name, (void)0, lowrank_entry_find(BYTES, file_len, it, len, &w.entry, &error),
                   LOWRANK_ARGUMENT_NAME);
    WRONG_ELEMENTS(uint8_t, w.bytes, (void)0, lowrank_entry_find_id(it, len, 0, &w.entry, &error),
                   LOWRANK_ARGUMENT_FILE);
    WRONG_ELEMENTS(uint8_t, w.out, (void)0, lowrank_emit(&w.contents, it, len, &w.len, &error), LOWRANK_ARGUMENT_FILE);
    WRONG_ELEMENTS(char, w.name, (void)0, lowrank_entry_of(it, len, &w.adapter, &w.entry, &error),
                   LOWRANK_ARGUMENT_NAME);
    WRONG_ELEMENTS(uint32_t, w.labels, (void)0,
                   lowrank_softmax_cross_entropy(&w.loss, targets, it, len, loss_grad, &error),
                   LOWRANK_ARGUMENT_LABELS);
    WRONG_ELEMENTS(float, w.packed, (void)0, lowrank_pack(backend, weights, it, len, &w.base, &error),
                   LOWRANK_ARGUMENT_PACKED);
    WRONG_ELEMENTS(float, w.other, (void)0, lowrank_plan_split(&w.plan, it, len, &w.split, &error),
                   LOWRANK_ARGUMENT_ARENA);
    WRONG_ELEMENTS(uint8_t, w.items, (void)0, lowrank_rng_shuffle(&w.rng, it, len, 1, &error), LOWRANK_ARGUMENT_ITEMS);
    REFUSED((void)0, lowrank_rng_shuffle(&w.rng, w.items, SIZE_MAX / 8 + 2, 8, &error), LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_ITEMS);
    REFUSED((void)0, lowrank_rng_shuffle(&w.rng, w.items, HALF, HALF, &error), LOWRANK_WRAPS, LOWRANK_ARGUMENT_ITEMS);
    WRONG_ELEMENTS(uint32_t, w.labels, (void)0, lowrank_rng_order(1, 2, 3, it, len, &error), LOWRANK_ARGUMENT_ITEMS);
    WRONG_ELEMENTS(uint8_t, w.out, (void)0, lowrank_store_load(&w.store, it, len, &w.len, &error),
                   LOWRANK_ARGUMENT_FILE);
    WRONG_ELEMENTS(float, w.merged, (void)0, lowrank_layer_merge(&w.layer, it, len, &error),
                   LOWRANK_ARGUMENT_MERGED);
    WRONG_ELEMENTS(uint32_t, w.labels, (void)0,
                   lowrank_layer_softmax_cross_entropy(&w.layer, N, it, len, &w.loss, &error),
                   LOWRANK_ARGUMENT_LABELS);
    WRONG_ELEMENTS(float, w.targets, (void)0,
                   lowrank_layer_mean_squared_error(&w.layer, N, it, len, &w.loss, &error),
                   LOWRANK_ARGUMENT_TARGETS);
}

static void of_structs(void)
{
#define EMIT lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, &w.len, &error)
    WRONG_ELEMENTS(char, w.name, (w.contents.metadata = it, w.contents.metadata_len = len), EMIT,
                   LOWRANK_ARGUMENT_METADATA);
    WRONG_ELEMENTS(uint64_t, w.room, (w.contents.entries_len = 0, w.contents.room = it, w.contents.room_len = len),
                   EMIT, LOWRANK_ARGUMENT_ROOM);
    WRONG_ELEMENTS(char, w.name, (w.entry.name = it, w.entry.name_len = len), EMIT, LOWRANK_ARGUMENT_NAME);
    WRONG_ELEMENTS(uint8_t, w.page, (w.store.page = it, w.store.page_len = len),
                   lowrank_store_newest(&w.store, &w.stored, &error), LOWRANK_ARGUMENT_PAGE);
    WRONG_ELEMENTS(float, w.own, (w.layer.arena = it, w.layer.arena_len = len),
                   lowrank_layer_init(&w.layer, 7, 1, &error), LOWRANK_ARGUMENT_ARENA);
    WRONG_ELEMENTS(float, w.packed,
                   (w.base.panel_width = 8, w.base.weights = it, w.base.outputs = 1, w.base.inputs = len),
                   lowrank_forward(backend, &w.base, &w.adapter, x, y, &w.work.saved, &error), LOWRANK_ARGUMENT_W);

#define LOAD lowrank_entry_load(&w.entry, &w.split.adapter, &error)
#define OPEN lowrank_layer_init(&w.layer, 7, 1, &error)
#define FORWARD lowrank_forward(backend, &w.base, &w.adapter, x, y, &w.work.saved, &error)
    REFUSED(w.contents.entries = (lowrank_entry *)(0 - sizeof(lowrank_entry)), EMIT, LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_ENTRIES);
    REFUSED(w.contents.entries = (lowrank_entry *)(void *)((char *)&w.entry + 4), EMIT, LOWRANK_MISALIGNED,
            LOWRANK_ARGUMENT_ENTRIES);
    REFUSED((w.entry.a.rows = HALF, w.entry.a.cols = HALF), LOAD, LOWRANK_WRAPS, LOWRANK_ARGUMENT_A);
    REFUSED((w.entry.b.rows = HALF / 2, w.entry.b.cols = HALF / 2), LOAD, LOWRANK_WRAPS, LOWRANK_ARGUMENT_B);
    REFUSED((w.entry.bias = w.entry.a, w.entry.bias.data = (void *)(UINTPTR_MAX - 7)), LOAD, LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_BIAS);
    REFUSED((w.entry.moments[5] = w.entry.a, w.entry.moments[5].rows = SIZE_MAX / 2), LOAD, LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_STATE);
    REFUSED((w.layer.inputs = w.layer.outputs = HALF, w.layer.bias = w.layer.x = NULL,
             w.layer.y = w.layer.dy = w.layer.dx = NULL), OPEN, LOWRANK_WRAPS, LOWRANK_ARGUMENT_W);
    REFUSED((w.layer.tokens = w.layer.inputs = HALF, w.layer.outputs = 0), OPEN, LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_X);
    REFUSED(w.layer.x = (float *)(UINTPTR_MAX - 3), OPEN, LOWRANK_WRAPS, LOWRANK_ARGUMENT_X);
    REFUSED(w.layer.y = (float *)(UINTPTR_MAX - 3), OPEN, LOWRANK_WRAPS, LOWRANK_ARGUMENT_Y);
    REFUSED(w.layer.dy = (float *)(UINTPTR_MAX - 3), OPEN, LOWRANK_WRAPS, LOWRANK_ARGUMENT_DY);
    REFUSED(w.layer.dx = (float *)(UINTPTR_MAX - 3), OPEN, LOWRANK_WRAPS, LOWRANK_ARGUMENT_DX);
    REFUSED(w.layer.bias = (float *)(UINTPTR_MAX - 3), OPEN, LOWRANK_WRAPS, LOWRANK_ARGUMENT_BIAS);
    REFUSED(w.layer.weights = (float *)(UINTPTR_MAX - 3), OPEN, LOWRANK_WRAPS, LOWRANK_ARGUMENT_W);
    REFUSED(w.base.bias = (float *)(UINTPTR_MAX - 3), FORWARD, LOWRANK_WRAPS, LOWRANK_ARGUMENT_BIAS);
    REFUSED((w.base.outputs = w.base.inputs = w.base.stride = HALF, w.base.bias = NULL), FORWARD, LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_W);
    REFUSED((w.base.outputs = w.base.inputs = HALF, w.base.bias = NULL, w.base.panel_width = 8), FORWARD, LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_W);
    REFUSED(w.work.saved.memory = (float *)(UINTPTR_MAX - 3), FORWARD, LOWRANK_WRAPS, LOWRANK_ARGUMENT_SAVED);
    REFUSED((w.work.saved.rank = w.work.saved.tokens = HALF), FORWARD, LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_SAVED);
}

void elements(void)
{
    of_arguments();
    of_structs();
}
