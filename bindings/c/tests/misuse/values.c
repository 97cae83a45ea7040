/* What calls return and fill in, where a wrong field would not be an error: every field takes its own way. */
#include "world.h"

#define NEAR(a, b) HOLDS((a) - (b) < 1e-6f && (b) - (a) < 1e-6f)

static void numbers(void)
{
    static const float direct = 2.0f, alpha = 0.5f, stabilized = 1.0f;
    uint32_t order[8], same[8], generation, i;
    size_t len = 0, file;
    lowrank_mean_loss loss = lowrank_mean_loss_over(8);
    lowrank_adamw adamw = lowrank_adamw_default();
    lowrank_sgd sgd = lowrank_sgd_default();
    lowrank_in_place in_place = lowrank_in_place_default();
    reset();
    OK(lowrank_scale(LOWRANK_SCALE_DIRECT, 2.0f, 4, &w.number, &error));
    SAME(&w.number, &direct, 1);
    OK(lowrank_scale(LOWRANK_SCALE_ALPHA, 2.0f, 4, &w.number, &error));
    SAME(&w.number, &alpha, 1);
    OK(lowrank_scale(LOWRANK_SCALE_RANK_STABILIZED, 2.0f, 4, &w.number, &error));
    SAME(&w.number, &stabilized, 1);
    loss.seen = 4;
    loss.sum = 6.0f;
    OK(lowrank_mean_loss_value(&loss, &w.number, &error));
    NEAR(w.number, 0.75f);
    w.schedule.warmup = 4;
    w.schedule.total = 12;
    for (i = 0; i < 3; i++) {
        static const float quarter[3] = {1.0f, 0.25f, 0.14644661f};
        w.schedule.decay = i;
        OK(lowrank_schedule_factor(&w.schedule, 2, &w.number, &error));
        NEAR(w.number, 0.5f);
        OK(lowrank_schedule_factor(&w.schedule, 10, &w.number, &error));
        NEAR(w.number, quarter[i]);
    }
    HOLDS(adamw.learning_rate == 1e-3f && adamw.b_rate == 1.0f && adamw.beta1 == 0.9 && adamw.beta2 == 0.999);
    HOLDS(adamw.epsilon == 1e-8f && adamw.weight_decay == 1e-2f && sgd.learning_rate == 1e-3f && sgd.b_rate == 1.0f);
    HOLDS(sgd.momentum == 0 && sgd.dampening == 0 && sgd.weight_decay == 0 && sgd.nesterov == 0);
    HOLDS(in_place.learning_rate == 1e-3f && in_place.b_rate == 1.0f && in_place.max_norm < 0);
    /* Items of every size go into the same order. */
    w.rng.seed = 1;
    w.rng.stream = 2;
    w.rng.step = 3;
    OK(lowrank_rng_order(1, 2, 3, order, 8, &error));
    for (i = 0; i < 8; i++) {
        uint8_t one[8];
        uint64_t eight[8];
        uint32_t at;
        for (at = 0; at < 8; at++) {
            one[at] = (uint8_t)(at + 1);
            w.items[at] = (uint16_t)at;
            eight[at] = same[at] = at;
        }
        OK(lowrank_rng_shuffle(&w.rng, one, 8, 1, &error));
        OK(lowrank_rng_shuffle(&w.rng, w.items, 8, 2, &error));
        OK(lowrank_rng_shuffle(&w.rng, same, 8, 4, &error));
        OK(lowrank_rng_shuffle(&w.rng, eight, 8, 8, &error));
        HOLDS(one[i] == order[i] + 1 && w.items[i] == order[i] && same[i] == order[i] && eight[i] == order[i]);
    }
    /* Slots: whole blocks, as many as a file needs, and up to the last address. */
    for (i = 64; i <= 4096; i *= 4) {
        for (file = 1; file < 5000; file += 61) {
            size_t units = (file + 63) / 64 * 64 + 768; /* and twelve units for marks */
            OK(lowrank_slot_len(file, i, &len, &error));
            HOLDS(len == (units + i - 1) / i * i);
        }
    }
    OK(lowrank_slot_len(file_len, 1, &len, &error));
    HOLDS(len % LOWRANK_FLASH_UNIT == 0);
    w.store.flash.erase_size = LOWRANK_FLASH_UNIT;
    w.store.end[0] = w.store.start[1] = (uint32_t)len;
    w.store.end[1] = (uint32_t)(2 * len);
    OK(lowrank_store_save(&w.store, &w.contents, &w.stored, &error));
    HOLDS(w.stored.slot == 0 && w.stored.len == file_len && w.stored.at < len);
    generation = w.stored.generation;
    OK(lowrank_store_save(&w.store, &w.contents, &w.stored, &error));
    HOLDS(w.stored.slot == 1 && w.stored.at >= len && w.stored.generation == generation + 1);
    w.store.end[0] -= LOWRANK_FLASH_UNIT;
    HOLDS(lowrank_store_save(&w.store, &w.contents, &w.stored, &error) == LOWRANK_TOO_LONG);
    HOLDS(error.expected < error.got && error.got == file_len);
#define NEWEST lowrank_store_newest(&w.store, &w.stored, &error)
    REFUSED((w.store.flash.erase_size = 1, w.store.start[0] = 32), NEWEST, LOWRANK_SLOT_UNALIGNED,
            LOWRANK_ARGUMENT_STORE);
    HOLDS(error.expected == LOWRANK_FLASH_UNIT && error.index == 0);
    REFUSED(w.store.end[1] -= 64, NEWEST, LOWRANK_SLOT_UNALIGNED, LOWRANK_ARGUMENT_STORE);
    HOLDS(error.expected == 1024 && error.index == 1);
}

/* The longest file whose slot has addresses, to the byte. */
static void the_longest_slot(void)
{
    size_t fits = 1024, too_long = UINT32_MAX, len = 0, most = 0;
    reset();
    while (too_long - fits > 1) {
        size_t middle = fits + (too_long - fits) / 2;
        if (lowrank_slot_len(middle, 4096, &len, &error) == LOWRANK_OK) fits = middle, most = len;
        else too_long = middle;
    }
    HOLDS(most == UINT32_MAX - 4095u && fits > most - 2048);
    REFUSED((void)0, lowrank_slot_len(too_long, 4096, &w.len, &error), LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_slot_len(SIZE_MAX - 4096, 4096, &w.len, &error), LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_FILE);
}

static void dropout_and_clipping(void)
{
    lowrank_layer *it = &w.layer;
    float second[2 * OUT];
    lowrank_dropout dropout;
    size_t field;
    reset();
    memset(&dropout, 0, sizeof dropout);
    dropout.size = sizeof dropout;
    dropout.probability = 0.5f;
    dropout.seed = 3;
    w.adapter.scale = 2.0f;
    OK(lowrank_set_dropout(&w.work.saved, &dropout, &error));
    OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
    HOLDS(memcmp(w.y, valid.y, sizeof w.y) != 0);
    /* Its second half alone, from its first token on. */
    memcpy(second, w.y + 2 * OUT, sizeof second);
    dropout.first_token = 2;
    OK(lowrank_set_dropout(&w.work.saved, &dropout, &error));
    OK(lowrank_forward(1, &w.base, &w.adapter, lowrank_rows(w.x + 2 * IN, 2, IN), lowrank_rows_mut(w.y, 2, OUT),
                       &w.work.saved, &error));
    SAME(w.y, second, 2 * OUT);
    /* In one struct, every number of it counts as in the calls one by one. */
    for (field = 0; field < 4; field++) {
        reset();
        w.work.adapter.scale = w.adapter.scale = 0.5f;
        OK(lowrank_layer_init(it, 7, 1, &error));
        OK(lowrank_init_kaiming_uniform(&w.work.adapter, 7, 1, &error));
        memset(it->parts[1], 0x3f, 4 * RANK * OUT);
        memset(w.work.adapter.b.data, 0x3f, 4 * RANK * OUT);
        dropout.seed = field == 0 ? 9 : 0;
        dropout.step = field == 1 ? 9 : 0;
        dropout.layer_number = field == 2 ? 9 : 0;
        dropout.first_token = field == 3 ? 9 : 0;
        OK(lowrank_layer_set_dropout(it, &dropout, &error));
        OK(lowrank_set_dropout(&w.work.saved, &dropout, &error));
        OK(lowrank_layer_forward(it, N, &error));
        OK(lowrank_forward(1, &w.base, &w.adapter, x, y, &w.work.saved, &error));
        SAME(w.own_y, w.y, N * OUT);
    }
    /* A norm of 0 clips everything away, a negative one nothing, and NaN is none. */
#define IN_PLACE lowrank_in_place_step(&w.in_place, 1, &w.base, &w.work.adapter, &w.flow, &w.work.saved, &error)
    reset();
    w.in_place.max_norm = 0;
    OK(IN_PLACE);
    HOLDS(memcmp(w.arena, valid.arena, 4 * RANK * (IN + OUT)) == 0);
    reset();
    OK(IN_PLACE);
    HOLDS(memcmp(w.arena, valid.arena, 4 * RANK * (IN + OUT)) != 0);
    REFUSED(memset(&w.in_place.max_norm, 0xff, 4), IN_PLACE, LOWRANK_RANGE, LOWRANK_ARGUMENT_MAX_NORM);
    REFUSED((w.layer.optimizer = LOWRANK_IN_PLACE, lowrank_layer_plan(it, &error),
             memset(&w.in_place.max_norm, 0xff, 4)),
            lowrank_layer_in_place_step(it, N, &w.in_place, &error), LOWRANK_RANGE, LOWRANK_ARGUMENT_MAX_NORM);
    reset();
    w.work.state.clock.steps = 5;
    w.work.state.clock.weight1 = 0.5f;
    OK(lowrank_state_reset(&w.work.state, &error));
    HOLDS(w.work.state.clock.steps == 0 && w.work.state.clock.weight1 == 0);
}

/* Several entries, with all that a file keeps of each. */
static void files_of_several_entries(void)
{
    static const uint16_t half[RANK * IN] = {0x3c00}, brain[RANK * OUT] = {0x3f80};
    static uint64_t room[3 * LOWRANK_ENTRY_ROOM];
    lowrank_entry entries[3];
    size_t i, written = 0;
    reset();
    for (i = 0; i < 3; i++) {
        entries[i] = w.entry;
        entries[i].id = (uint32_t)i;
        entries[i].fan_in_fan_out = i == 1;
        entries[i].random.seed = 10 * i;
        entries[i].random.step = (uint32_t)i + 20;
        entries[i].random.layer_number = (uint32_t)i + 30;
        entries[i].random.dropout = 0.25f * (float)i;
        entries[i].scale_mode = (uint32_t)i;
        entries[i].alpha = 3.0f;
    }
    entries[2].a.data = half;
    entries[2].a.dtype = LOWRANK_F16;
    entries[2].b.data = brain;
    entries[2].b.dtype = LOWRANK_BF16;
    w.contents.entries = entries;
    w.contents.entries_len = 3;
    w.contents.metadata = "some";
    w.contents.metadata_len = 4;
    w.contents.room = room;
    w.contents.room_len = LEN(room);
    OK(lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, &written, &error));
    OK(lowrank_parse((const uint8_t *)w.out, written, &w.parsed, &error));
    HOLDS(w.parsed.entries == 3 && w.parsed.metadata_len == 4 && memcmp(w.parsed.metadata, "some", 4) == 0);
    for (i = 0; i < 3; i++) {
        OK(lowrank_entry_at((const uint8_t *)w.out, written, i, &w.entry, &error));
        HOLDS(w.entry.id == i && w.entry.fan_in_fan_out == (i == 1) && w.entry.random.seed == 10 * i);
        HOLDS(w.entry.random.step == i + 20 && w.entry.random.layer_number == i + 30);
        HOLDS(w.entry.random.dropout == 0.25f * (float)i);
        HOLDS(w.entry.scale_mode == i && w.entry.alpha == 3.0f && w.entry.name_len == 3);
        OK(lowrank_entry_load(&w.entry, &w.split.adapter, &error));
        NEAR(w.split.adapter.scale, i == 0 ? 3.0f : i == 1 ? 3.0f / RANK : 2.1213203f);
    }
    HOLDS(w.split.adapter.a.data[0] == 1.0f && w.split.adapter.b.data[0] == 1.0f && w.split.adapter.a.data[1] == 0);
    w.contents.room_len--;
    HOLDS(lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, &written, &error) == LOWRANK_LENGTH);
    HOLDS(error.expected == LEN(room) && error.got == LEN(room) - 1);
    w.contents.room_len++;
    entries[2].id = 1;
    HOLDS(lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, &written, &error) == LOWRANK_FILE);
    HOLDS(error.flaw == LOWRANK_FLAW_ORDER);
}

/* Memory that has one byte or one element in common is common, and memory side by side is not. */
static void the_last_element_counts(void)
{
    lowrank_layer *it = &w.layer;
    uint8_t *parsed = (uint8_t *)&w.parsed;
#define OPEN lowrank_layer_init(it, 7, 1, &error)
    OVERLAPS((void)0, lowrank_parse(parsed - 63, 64, &w.parsed, &error), LOWRANK_ARGUMENT_FILE);
    OVERLAPS((void)0, lowrank_parse(parsed + sizeof w.parsed - 1, 64, &w.parsed, &error), LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_parse(parsed - 64, 64, &w.parsed, &error), LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_parse(parsed + sizeof w.parsed, 64, &w.parsed, &error), LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    /* The last element of each buffer is the first of the arena. */
    OVERLAPS(it->weights = w.own - (OUT * IN - 1), OPEN, LOWRANK_ARGUMENT_LAYER);
    it = &w.layer;
#define AT_ITS_END(field, len, about)                                                                                 \
    do {                                                                                                              \
        static float apart[LEN(w.own) + N * IN];                                                                      \
        OVERLAPS((it->arena = apart + N * IN, it->field = apart + N * IN - ((len) - 1)), OPEN, about);                \
        reset();                                                                                                      \
        it->arena = apart + N * IN;                                                                                   \
        it->field = apart + N * IN - (len);                                                                           \
        OK(OPEN);                                                                                                     \
    } while (0)
    AT_ITS_END(weights, OUT * IN, LOWRANK_ARGUMENT_ARENA);
    AT_ITS_END(bias, OUT, LOWRANK_ARGUMENT_ARENA);
    AT_ITS_END(x, N * IN, LOWRANK_ARGUMENT_ARENA);
    AT_ITS_END(y, N * OUT, LOWRANK_ARGUMENT_Y);
    AT_ITS_END(dy, N * OUT, LOWRANK_ARGUMENT_DY);
    AT_ITS_END(dx, N * IN, LOWRANK_ARGUMENT_DX);
}

static void plans(void)
{
    static const uint32_t optimizers[4] = {LOWRANK_MOMENTUM, LOWRANK_ADAMW, LOWRANK_SGD, LOWRANK_IN_PLACE};
    static const size_t moments[4] = {1, 2, 0, 0};
    size_t i;
    uint32_t trained;
    reset();
    for (i = 0; i < 4; i++) {
        for (trained = 0; trained < 4; trained++) {
            size_t a = trained & LOWRANK_TRAINS_A ? RANK * IN : 0, bias = trained & LOWRANK_TRAINS_BIAS ? OUT : 0;
            size_t all = a + RANK * OUT + bias;
            if (bias && optimizers[i] == LOWRANK_IN_PLACE) continue;
            w.plan.optimizer = optimizers[i];
            w.plan.trained = trained;
            OK(lowrank_plan_lengths(&w.plan, &w.lengths, &error));
            HOLDS(w.lengths.adapter == RANK * (IN + OUT) + bias && w.lengths.saved == 2 * N * RANK);
            HOLDS(w.lengths.grads == (optimizers[i] == LOWRANK_IN_PLACE ? 0 : all));
            HOLDS(w.lengths.state == moments[i] * all);
            HOLDS(w.lengths.arena == w.lengths.adapter + w.lengths.grads + w.lengths.saved + w.lengths.state);
        }
    }
}

void values(void)
{
    numbers();
    the_longest_slot();
    dropout_and_clipping();
    files_of_several_entries();
    the_last_element_counts();
    plans();
}
