/* Every function of the header that takes an `error`, called as it is documented: it does its work, with and without
 * one; and a wrong one is refused before anything else is, without a trace. */
#include "world.h"

/* Plans both layers for another optimizer, and runs them forward. */
void plan_for(uint32_t optimizer)
{
    w.plan.optimizer = w.layer.optimizer = optimizer;
    lowrank_plan_lengths(&w.plan, &w.lengths, &error);
    lowrank_plan_split(&w.plan, w.arena, w.lengths.arena, &w.work, &error);
    w.adapter = lowrank_adapter_of(&w.work.adapter);
    lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error);
    lowrank_layer_plan(&w.layer, &error);
    lowrank_layer_init(&w.layer, 7, 1, &error);
    lowrank_layer_forward(&w.layer, N, &error);
}

static void after_backward(void)
{
    lowrank_backward(1, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error);
    lowrank_layer_backward(&w.layer, N, LOWRANK_REPLACE, &error);
}

#define OUT_BYTES (uint8_t *)w.out
#define TRAINED &w.layer
#define EVERY_CALL(CALL)                                                                                              \
    CALL(encoded_len, (void)0, (&w.contents, &w.len, it))                                                             \
    CALL(emit, (void)0, (&w.contents, OUT_BYTES, sizeof w.out, &w.len, it))                                           \
    CALL(parse, (void)0, (BYTES, file_len, &w.parsed, it))                                                            \
    CALL(entry_at, (void)0, (BYTES, file_len, 0, &w.entry, it))                                                       \
    CALL(entry_find, (void)0, (BYTES, file_len, w.name, 3, &w.entry, it))                                             \
    CALL(entry_find_id, (void)0, (BYTES, file_len, 0, &w.entry, it))                                                  \
    CALL(fingerprint, (void)0, (&w.base, &w.fingerprint, it))                                                         \
    CALL(entry_adapter, (void)0, (&w.entry, &w.adapter, it))                                                          \
    CALL(entry_load, (void)0, (&w.entry, &w.split.adapter, it))                                                       \
    CALL(entry_restore, (void)0, (&w.entry, &w.split.state, it))                                                      \
    CALL(entry_of, (void)0, (w.name, 3, &w.adapter, &w.entry, it))                                                    \
    CALL(entry_keep, (void)0, (&w.entry, &w.work.state, LOWRANK_ADAMW, LOWRANK_TRAINS_A, it))                         \
    CALL(mean_loss_value, (void)0, (&w.loss, &w.number, it))                                                          \
    CALL(softmax_cross_entropy, (void)0, (&w.loss, targets, w.labels, N, loss_grad, it))                              \
    CALL(mean_squared_error, (void)0, (&w.loss, lowrank_rows(w.y, N, OUT), targets, loss_grad, it))                   \
    CALL(schedule_factor, (void)0, (&w.schedule, 1, &w.number, it))                                                   \
    CALL(selftest, (void)0, (backend, it))                                                                            \
    CALL(adamw_step, after_backward(), (&w.adamw, backend, &w.work.adapter, &w.work.grads, &w.work.state, it))        \
    CALL(sgd_step, (plan_for(LOWRANK_SGD), after_backward()),                                                         \
         (&w.sgd, backend, &w.work.adapter, &w.work.grads, &w.work.state, it))                                        \
    CALL(in_place_step, plan_for(LOWRANK_IN_PLACE),                                                                   \
         (&w.in_place, backend, &w.base, &w.work.adapter, &w.flow, &w.work.saved, it))                                \
    CALL(square_sum, after_backward(), (backend, &w.work.grads, &w.number, it))                                       \
    CALL(clip_factor, (void)0, (1.0f, 1.0f, &w.number, it))                                                           \
    CALL(clip, after_backward(), (backend, &w.work.grads, 0.5f, it))                                                  \
    CALL(scale, (void)0, (LOWRANK_SCALE_ALPHA, 2.0f, RANK, &w.number, it))                                            \
    CALL(init_kaiming_uniform, (void)0, (&w.work.adapter, 1, 0, it))                                                  \
    CALL(init_gaussian, (void)0, (&w.work.adapter, 1, 0, it))                                                         \
    CALL(forward, (void)0, (backend, &w.base, &w.adapter, x, y, &w.work.saved, it))                                   \
    CALL(backward, (void)0, (backend, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, it))                \
    CALL(input_grads, (void)0, (backend, &w.base, &w.adapter, dy, dx, &w.work.saved, it))                             \
    CALL(parameter_grads, after_backward(), (backend, x, dy, &w.work.saved, &w.work.grads, it))                       \
    CALL(merge, (void)0, (backend, &w.base, &w.adapter, merged, it))                                                  \
    CALL(merge_finite, (void)0, (backend, &w.base, &w.adapter, merged, it))                                           \
    CALL(pack, (void)0, (backend, weights, w.packed, OUT * IN, &w.base, it))                                          \
    CALL(check_alive, (void)0, (&w.adapter, it))                                                                      \
    CALL(check_finite, (void)0, (&w.adapter, it))                                                                     \
    CALL(plan_lengths, (void)0, (&w.plan, &w.lengths, it))                                                            \
    CALL(plan_split, (void)0, (&w.plan, w.other, LEN(w.other), &w.split, it))                                         \
    CALL(rng_word, (void)0, (&w.rng, 3, &w.word, it))                                                                 \
    CALL(rng_shuffle, (void)0, (&w.rng, w.items, 8, 2, it))                                                           \
    CALL(rng_order, (void)0, (1, 2, 3, w.labels, N, it))                                                              \
    CALL(set_dropout, (void)0, (&w.work.saved, &w.dropout, it))                                                       \
    CALL(state_reset, (void)0, (&w.work.state, it))                                                                   \
    CALL(slot_len, (void)0, (64, 64, &w.len, it))                                                                     \
    CALL(store_newest, (void)0, (&w.store, &w.stored, it))                                                            \
    CALL(store_recover, (void)0, (&w.store, &w.stored, it))                                                           \
    CALL(store_load, (void)0, (&w.store, OUT_BYTES, sizeof w.out, &w.len, it))                                        \
    CALL(store_save, (void)0, (&w.store, &w.contents, &w.stored, it))                                                 \
    CALL(layer_plan, (void)0, (TRAINED, it))                                                                          \
    CALL(layer_init, (void)0, (TRAINED, 7, 1, it))                                                                    \
    CALL(layer_set_panels, (void)0, (TRAINED, 1, it))                                                                 \
    CALL(layer_set_dropout, (void)0, (TRAINED, &w.dropout, it))                                                       \
    CALL(layer_forward, (void)0, (TRAINED, N, it))                                                                    \
    CALL(layer_backward, (void)0, (TRAINED, N, LOWRANK_ACCUMULATE, it))                                               \
    CALL(layer_adamw_step, after_backward(), (TRAINED, &w.adamw, it))                                                 \
    CALL(layer_sgd_step, (plan_for(LOWRANK_SGD), after_backward()), (TRAINED, &w.sgd, it))                            \
    CALL(layer_in_place_step, plan_for(LOWRANK_IN_PLACE), (TRAINED, N, &w.in_place, it))                              \
    CALL(layer_square_sum, after_backward(), (TRAINED, &w.number, it))                                                \
    CALL(layer_clip, after_backward(), (TRAINED, 1.0f, 0.5f, it))                                                     \
    CALL(layer_merge, (void)0, (TRAINED, w.merged, OUT * IN, it))                                                     \
    CALL(layer_softmax_cross_entropy, (void)0, (TRAINED, N, w.labels, N, &w.loss, it))                                \
    CALL(layer_mean_squared_error, (void)0, (TRAINED, N, w.targets, N * OUT, &w.loss, it))

typedef struct {
    const char *name;
    void (*set_up)(void);
    lowrank_status (*call)(lowrank_error *it);
} function;

#define DEFINE(name, set_up, arguments)                                                                               \
    static void set_up_##name(void) { set_up; }                                                                       \
    static lowrank_status call_##name(lowrank_error *it) { return lowrank_##name arguments; }
EVERY_CALL(DEFINE)
#define ROW(name, set_up, arguments) {#name, set_up_##name, call_##name},
static const function FUNCTIONS[] = {EVERY_CALL(ROW)};

static world before;

static void ready(const function *it)
{
    reset();
    it->set_up();
    memset(&error, 0, sizeof error);
    error.size = sizeof error;
    memcpy(&before, &w, sizeof w);
}

#define EXPECT(condition)                                                                                             \
    do {                                                                                                              \
        if (!(condition)) failures++, printf("%s:%d: lowrank_%s: %s\n", __FILE__, __LINE__, it->name, #condition);    \
    } while (0)

static int unchanged(void) { return memcmp(&before, &w, sizeof w) == 0; }

/* It does its work, and leaves the error alone. */
static void works(const function *it)
{
    ready(it);
    EXPECT(it->call(NULL) == LOWRANK_OK);
    ready(it);
    memset(&error, 0x5a, sizeof error);
    error.size = sizeof error;
    EXPECT(it->call(&error) == LOWRANK_OK);
    EXPECT(error.expected == (size_t)0x5a5a5a5a5a5a5a5a && error.status == 0x5a5a5a5a);
}

/* Errors at the end of the address space, at odd addresses, and of other sizes. */
static void refuses_a_wrong_error(const function *it)
{
    static uint64_t room[2 + sizeof(lowrank_error) / 8];
    static const size_t sizes[] = {0, 1, sizeof error - 8, sizeof error - 1, sizeof error + 1, 2 * sizeof error, SIZE_MAX};
    uintptr_t at;
    size_t i;
    for (at = sizeof(size_t); at <= sizeof error; at += sizeof(size_t), refused++) {
        ready(it);
        EXPECT(it->call((lowrank_error *)(0 - at)) == LOWRANK_WRAPS);
        EXPECT(unchanged());
    }
    for (i = 1; i < sizeof(size_t); i++, refused += 2) {
        ready(it);
        EXPECT(it->call((lowrank_error *)(void *)((char *)room + i)) == LOWRANK_MISALIGNED);
        EXPECT(it->call((lowrank_error *)(UINTPTR_MAX - i + 1)) == LOWRANK_MISALIGNED);
        EXPECT(unchanged());
    }
    for (i = 0; i < LEN(sizes); i++, refused++) {
        ready(it);
        error.size = sizes[i];
        EXPECT(it->call(&error) == LOWRANK_STRUCT_SIZE);
        EXPECT(error.size == sizes[i] && error.status == 0 && error.argument == 0 && error.expected == 0);
        EXPECT(unchanged());
    }
}

/* Errors that lie somewhere in the world: what the call is refused for is the overlap, whatever else is wrong by that,
 * and nothing is written; or the error is all that is written; or the call did its work, and it was left alone. */
static void refuses_an_error_in_its_arguments(const function *it)
{
    size_t at, overlaps = 0;
    for (at = 0; at + sizeof error <= sizeof w; at += sizeof(size_t)) {
        lowrank_error *here = (lowrank_error *)(void *)((char *)&w + at);
        lowrank_status status;
        ready(it);
        here->size = sizeof error;
        /* Addresses that the world does not have are the caller's fault, and the flash is known to its driver only. */
        if (w.contents.entries != &w.entry || w.contents.entries_len != 1) continue;
        if (strncmp(it->name, "store", 5) == 0 && (uint8_t *)here < w.flash + sizeof w.flash
            && (uint8_t *)(here + 1) > w.flash) continue;
        memcpy(&before, &w, sizeof w);
        status = it->call(here);
        if (status == LOWRANK_OK) {
            EXPECT(memcmp((char *)&before + at, here, sizeof error) == 0);
        } else if (here->status != status) {
            overlaps += status == LOWRANK_OVERLAP;
            EXPECT(status == LOWRANK_OVERLAP && unchanged());
        } else {
            memcpy(here, (char *)&before + at, sizeof error);
            if (strcmp(it->name, "store_save") != 0) EXPECT(unchanged()); /* that may have erased a slot */
        }
    }
    refused += (int)overlaps;
    EXPECT(overlaps > 0 || strcmp(it->name, "selftest") == 0);
}

/* Two mistakes: the one about the error is what counts, since the other one cannot be said. */
static void the_error_comes_first(void)
{
#define IN_ERROR(change, where, CALL)                                                                                 \
    do {                                                                                                              \
        lowrank_error *it = (lowrank_error *)(void *)(where);                                                         \
        reset();                                                                                                      \
        change;                                                                                                       \
        it->size = sizeof *it;                                                                                        \
        memcpy(&before, &w, sizeof w);                                                                                \
        refused++;                                                                                                    \
        if ((CALL) != LOWRANK_OVERLAP || memcmp(&before, &w, sizeof w) != 0) {                                        \
            failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #CALL);                                             \
        }                                                                                                             \
    } while (0)
    static lowrank_error here;
    lowrank_layer *layer = &w.layer;
    IN_ERROR((void)0, w.arena, lowrank_forward(99, NULL, &w.adapter, x, y, &w.work.saved, it));
    IN_ERROR(x.size = 1, w.own, lowrank_forward(99, &w.base, &w.adapter, x, lowrank_rows_mut(w.own, N, OUT), NULL, it));
    IN_ERROR(w.adapter.a.size = 1, w.other,
             lowrank_forward(1, &w.base, &w.adapter, x, lowrank_rows_mut(w.other, N, OUT), &w.work.saved, it));
    IN_ERROR(w.work.grads.accumulate = 9, w.arena,
             lowrank_backward(99, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, it));
    IN_ERROR(w.contents.room_len = 0, w.out, lowrank_emit(&w.contents, OUT_BYTES, sizeof w.out, NULL, it));
    IN_ERROR(w.contents.metadata_len = 1, w.out, lowrank_emit(&w.contents, OUT_BYTES, sizeof w.out, &w.len, it));
    IN_ERROR((w.entry.a.dtype = 9, w.entry.b.data = w.other), w.other,
             lowrank_emit(&w.contents, OUT_BYTES, sizeof w.out, &w.len, it));
    IN_ERROR((w.store.flash.read = NULL, w.store.page = (uint8_t *)w.out, w.store.page_len = 128), w.out,
             lowrank_store_newest(&w.store, &w.stored, it));
    IN_ERROR(layer->optimizer = 9, layer->parts, lowrank_layer_plan(layer, it));
    IN_ERROR((void)0, layer->parts, lowrank_layer_backward(layer, N, 9, it));
    IN_ERROR(layer->weights = NULL, w.own, lowrank_layer_forward(layer, N, it));
    IN_ERROR((void)0, w.own, lowrank_layer_adamw_step(layer, NULL, it));
    IN_ERROR((void)0, w.room, lowrank_layer_merge(NULL, (float *)w.room, OUT * IN, it));
    reset();
    here.size = 1;
    if (lowrank_forward(99, NULL, NULL, x, y, NULL, &here) != LOWRANK_STRUCT_SIZE) failures++, puts("size of error");
    if (lowrank_layer_backward(NULL, N, 9, &here) != LOWRANK_STRUCT_SIZE) failures++, puts("size of error");
    refused += 2;
}

void every_call(void)
{
    size_t i;
    for (i = 0; i < LEN(FUNCTIONS); i++) {
        works(&FUNCTIONS[i]);
        refuses_a_wrong_error(&FUNCTIONS[i]);
        refuses_an_error_in_its_arguments(&FUNCTIONS[i]);
    }
    the_error_comes_first();
}
