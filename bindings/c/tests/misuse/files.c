/* Adapter files and the store. */
#include "world.h"

void files(void)
{
    WRONG_STRUCT(lowrank_file, w.parsed, lowrank_parse(BYTES, file_len, it, &error), LOWRANK_ARGUMENT_FILE);
    WRONG_STRUCT(lowrank_entry, w.entry, lowrank_entry_at(BYTES, file_len, 0, it, &error), LOWRANK_ARGUMENT_ENTRY);
    WRONG_STRUCT(lowrank_entry, w.entry, lowrank_entry_find(BYTES, file_len, "fc1", 3, it, &error),
                 LOWRANK_ARGUMENT_ENTRY);
    WRONG_STRUCT(lowrank_entry, w.entry, lowrank_entry_find_id(BYTES, file_len, 0, it, &error), LOWRANK_ARGUMENT_ENTRY);
    REFUSED((void)0, lowrank_parse(NULL, file_len, &w.parsed, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_parse(BYTES, SIZE_MAX - 64, &w.parsed, &error), LOWRANK_WRAPS, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_parse(BYTES, 10, &w.parsed, &error), LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_parse(NULL, 0, &w.parsed, &error), LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    REFUSED(((uint8_t *)w.bytes)[70] ^= 1, lowrank_parse(BYTES, file_len, &w.parsed, &error), LOWRANK_FILE,
            LOWRANK_ARGUMENT_FILE);
    REFUSED(((uint8_t *)w.bytes)[70] ^= 1, lowrank_entry_at(BYTES, file_len, 0, &w.entry, &error), LOWRANK_FILE,
            LOWRANK_ARGUMENT_FILE);
    REFUSED((void)0, lowrank_entry_at(BYTES, file_len, 1, &w.entry, &error), LOWRANK_NOT_FOUND, LOWRANK_ARGUMENT_ENTRY);
    REFUSED((void)0, lowrank_entry_find(BYTES, file_len, "fc2", 3, &w.entry, &error), LOWRANK_NOT_FOUND,
            LOWRANK_ARGUMENT_ENTRY);
    REFUSED((void)0, lowrank_entry_find(BYTES, file_len, "\xff", 1, &w.entry, &error), LOWRANK_NOT_UTF8,
            LOWRANK_ARGUMENT_NAME);
    REFUSED((void)0, lowrank_entry_find(BYTES, file_len, NULL, 1, &w.entry, &error), LOWRANK_NULL,
            LOWRANK_ARGUMENT_NAME);
    REFUSED((void)0, lowrank_entry_find_id(BYTES, file_len, 7, &w.entry, &error), LOWRANK_NOT_FOUND,
            LOWRANK_ARGUMENT_ENTRY);
    OVERLAPS((void)0, lowrank_parse((const uint8_t *)&w.parsed, 64, &w.parsed, &error), LOWRANK_ARGUMENT_FILE);

    WRONG_STRUCT(lowrank_entry, w.entry, lowrank_entry_adapter(it, &w.adapter, &error), LOWRANK_ARGUMENT_ENTRY);
    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_entry_adapter(&w.entry, it, &error), LOWRANK_ARGUMENT_ADAPTER);
    REFUSED((w.entry.b_bias = w.entry.b, w.entry.b_bias.rows = 1, w.entry.b_bias.cols = OUT),
            lowrank_entry_adapter(&w.entry, &w.adapter, &error),
            LOWRANK_NOT_IN_PLACE, LOWRANK_ARGUMENT_ENTRY);
    REFUSED(w.entry.a.dtype = 4, lowrank_entry_adapter(&w.entry, &w.adapter, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_DTYPE);
    REFUSED(w.entry.a.data = NULL, lowrank_entry_adapter(&w.entry, &w.adapter, &error), LOWRANK_MISSING,
            LOWRANK_ARGUMENT_A);
    REFUSED(w.entry.a.size = 4, lowrank_entry_adapter(&w.entry, &w.adapter, &error), LOWRANK_STRUCT_SIZE,
            LOWRANK_ARGUMENT_A);
    REFUSED(w.entry.b.rows = SIZE_MAX, lowrank_entry_adapter(&w.entry, &w.adapter, &error), LOWRANK_WRAPS,
            LOWRANK_ARGUMENT_B);
    REFUSED(w.entry.scale_mode = 3, lowrank_entry_adapter(&w.entry, &w.adapter, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_SCALE);
    REFUSED(w.entry.fan_in_fan_out = 2, lowrank_entry_adapter(&w.entry, &w.adapter, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_ENTRY);
    REFUSED(w.entry.random.size = 2, lowrank_entry_adapter(&w.entry, &w.adapter, &error), LOWRANK_STRUCT_SIZE,
            LOWRANK_ARGUMENT_RNG);

    WRONG_STRUCT(lowrank_entry, w.entry, lowrank_entry_load(it, &w.split.adapter, &error), LOWRANK_ARGUMENT_ENTRY);
    WRONG_STRUCT(lowrank_adapter_mut, w.split.adapter, lowrank_entry_load(&w.entry, it, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    REFUSED(w.split.adapter.a.rows = 1, lowrank_entry_load(&w.entry, &w.split.adapter, &error), LOWRANK_ROWS,
            LOWRANK_ARGUMENT_A);
    REFUSED(w.split.adapter.bias = lowrank_rows_mut(w.y, 1, OUT),
            lowrank_entry_load(&w.entry, &w.split.adapter, &error), LOWRANK_UNEXPECTED, LOWRANK_ARGUMENT_BIAS);
    OVERLAPS(w.split.adapter.a.data = w.work.adapter.a.data, lowrank_entry_load(&w.entry, &w.split.adapter, &error),
             LOWRANK_ARGUMENT_A);
    WRONG_STRUCT(lowrank_entry, w.entry, lowrank_entry_restore(it, &w.split.state, &error), LOWRANK_ARGUMENT_ENTRY);
    WRONG_STRUCT(lowrank_state, w.split.state, lowrank_entry_restore(&w.entry, it, &error), LOWRANK_ARGUMENT_STATE);
    REFUSED(w.entry.optimizer = LOWRANK_INFERENCE, lowrank_entry_restore(&w.entry, &w.split.state, &error),
            LOWRANK_MISSING, LOWRANK_ARGUMENT_STATE);
    REFUSED(w.entry.optimizer = 5, lowrank_entry_restore(&w.entry, &w.split.state, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED(w.split.state.moments[1].rows = 1, lowrank_entry_restore(&w.entry, &w.split.state, &error), LOWRANK_ROWS,
            LOWRANK_ARGUMENT_STATE);

    WRONG_STRUCT(lowrank_adapter, w.adapter, lowrank_entry_of("fc1", 3, it, &w.entry, &error),
                 LOWRANK_ARGUMENT_ADAPTER);
    WRONG_STRUCT(lowrank_entry, w.entry, lowrank_entry_of("fc1", 3, &w.adapter, it, &error), LOWRANK_ARGUMENT_ENTRY);
    REFUSED((void)0, lowrank_entry_of(NULL, 3, &w.adapter, &w.entry, &error), LOWRANK_NULL, LOWRANK_ARGUMENT_NAME);
    REFUSED((void)0, lowrank_entry_of("\xc0", 1, &w.adapter, &w.entry, &error), LOWRANK_NOT_UTF8,
            LOWRANK_ARGUMENT_NAME);
    REFUSED(w.adapter.b.cols = 1, lowrank_entry_of("fc1", 3, &w.adapter, &w.entry, &error), LOWRANK_STRIDE,
            LOWRANK_ARGUMENT_B);
    WRONG_STRUCT(lowrank_entry, w.entry, lowrank_entry_keep(it, &w.work.state, LOWRANK_ADAMW, 1, &error),
                 LOWRANK_ARGUMENT_ENTRY);
    WRONG_STRUCT(lowrank_state, w.work.state, lowrank_entry_keep(&w.entry, it, LOWRANK_ADAMW, 1, &error),
                 LOWRANK_ARGUMENT_STATE);
    REFUSED((void)0, lowrank_entry_keep(&w.entry, &w.work.state, 6, 1, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_OPTIMIZER);
    REFUSED((void)0, lowrank_entry_keep(&w.entry, &w.work.state, 2, 8, &error), LOWRANK_UNKNOWN,
            LOWRANK_ARGUMENT_TRAINED);

#define EMIT lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, &w.len, &error)
    WRONG_STRUCT(lowrank_contents, w.contents, lowrank_encoded_len(it, &w.len, &error), LOWRANK_ARGUMENT_CONTENTS);
    WRONG_STRUCT(lowrank_contents, w.contents, lowrank_emit(it, (uint8_t *)w.out, sizeof w.out, &w.len, &error),
                 LOWRANK_ARGUMENT_CONTENTS);
    WRONG_NUMBER(size_t, lowrank_encoded_len(&w.contents, it, &error));
    WRONG_NUMBER(size_t, lowrank_emit(&w.contents, (uint8_t *)w.out, sizeof w.out, it, &error));
    REFUSED((void)0, lowrank_emit(&w.contents, NULL, sizeof w.out, &w.len, &error), LOWRANK_NULL,
            LOWRANK_ARGUMENT_FILE);
    REFUSED(w.contents.entries = NULL, EMIT, LOWRANK_NULL, LOWRANK_ARGUMENT_ENTRIES);
    REFUSED(w.entry.size = 1, EMIT, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_ENTRIES);
    REFUSED(w.contents.room = NULL, EMIT, LOWRANK_NULL, LOWRANK_ARGUMENT_ROOM);
    REFUSED(w.contents.room_len -= 1, EMIT, LOWRANK_LENGTH, LOWRANK_ARGUMENT_ROOM);
    REFUSED(w.contents.entries_len = SIZE_MAX / 4, EMIT, LOWRANK_LENGTH, LOWRANK_ARGUMENT_ROOM);
    REFUSED(w.contents.metadata_len = 1, EMIT, LOWRANK_NULL, LOWRANK_ARGUMENT_METADATA);
    OVERLAPS((void)0, lowrank_emit(&w.contents, (uint8_t *)w.room, sizeof w.room, &w.len, &error),
             LOWRANK_ARGUMENT_FILE);
    OVERLAPS((void)0, lowrank_emit(&w.contents, (uint8_t *)w.work.adapter.a.data, 256, &w.len, &error),
             LOWRANK_ARGUMENT_FILE);
    OVERLAPS(w.contents.room = (uint64_t *)(void *)&w.entry, EMIT, LOWRANK_ARGUMENT_ROOM);
}

/* Errors that are found when the room of the contents has been written: compared without it. */
void contents(void)
{
#define EMIT_REFUSED(change, code, about) REFUSED((w.contents.room = spare, change), EMIT, code, about)
    static uint64_t spare[LOWRANK_ENTRY_ROOM];
    EMIT_REFUSED((w.contents.metadata = "\xff", w.contents.metadata_len = 1), LOWRANK_NOT_UTF8,
                 LOWRANK_ARGUMENT_METADATA);
    EMIT_REFUSED(w.entry.a.cols = IN - 1, LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    EMIT_REFUSED(w.entry.random.dropout = 1.0f, LOWRANK_FILE, LOWRANK_ARGUMENT_FILE);
    EMIT_REFUSED(w.entry.a.data = NULL, LOWRANK_MISSING, LOWRANK_ARGUMENT_A);
    EMIT_REFUSED(w.entry.name = "\xff", LOWRANK_NOT_UTF8, LOWRANK_ARGUMENT_NAME);
    REFUSED(w.contents.room = spare, lowrank_emit(&w.contents, (uint8_t *)w.out, file_len - 1, &w.len, &error),
            LOWRANK_TOO_MANY, LOWRANK_ARGUMENT_FILE);
    REFUSED((w.contents.room = spare, w.store.end[0] = 1024, w.store.start[1] = 1024, w.store.end[1] = 2048,
             w.store.page = (uint8_t *)spare + 8),
            lowrank_store_save(&w.store, &w.contents, &w.stored, &error), LOWRANK_OVERLAP, LOWRANK_ARGUMENT_PAGE);
}

static int32_t program_fails(void *context, uint32_t at, const uint8_t *bytes, size_t len)
{
    return (void)context, (void)at, (void)bytes, (void)len, -9;
}
static int32_t program_does_nothing(void *context, uint32_t at, const uint8_t *bytes, size_t len)
{
    return (void)context, (void)at, (void)bytes, (void)len, 0;
}

/* The file in the second slot, whose last mark of the first seal was cut, is found and loaded whether or not another seal
 * can be programmed. */
static void a_seal_that_was_cut(void)
{
    static uint8_t flash[sizeof w.flash];
    const size_t seals = 2 * SLOT - 12 * LOWRANK_FLASH_UNIT, next = seals + 3 * LOWRANK_FLASH_UNIT;
    lowrank_stored first;
    int way;
#define LOADS                                                                                                         \
    do {                                                                                                              \
        w.len = 0;                                                                                                    \
        memset(w.out, 0, sizeof w.out);                                                                               \
        OK(lowrank_store_load(&w.store, (uint8_t *)w.out, sizeof w.out, &w.len, &error));                             \
        HOLDS(w.len == file_len && memcmp(w.out, w.flash + first.at, file_len) == 0);                                 \
    } while (0)
    reset();
    OK(lowrank_store_load(&w.store, (uint8_t *)w.out, sizeof w.out, &w.len, &error));
    HOLDS(w.len == 0);
    OK(lowrank_store_save(&w.store, &w.contents, &w.stored, &error));
    OK(lowrank_store_save(&w.store, &w.contents, &w.stored, &error));
    first = w.stored;
    memset(w.flash + seals + 2 * LOWRANK_FLASH_UNIT, 0, LOWRANK_FLASH_UNIT);
    memcpy(flash, w.flash, sizeof flash);
    for (way = 0; way < 3; way++) {
        w.store.flash.program = way == 0 ? program_fails : program_does_nothing;
        if (way == 2) memset(w.flash + next, 0, 2 * SLOT - next), memcpy(flash, w.flash, sizeof flash);
        OK(lowrank_store_newest(&w.store, &w.stored, &error));
        HOLDS(w.stored.slot == 1 && w.stored.at == first.at && w.stored.len == file_len);
        HOLDS(lowrank_store_recover(&w.store, &w.stored, &error)
              == (way == 0 ? LOWRANK_FLASH : way == 1 ? LOWRANK_VERIFY : LOWRANK_NO_SEAL_LEFT));
        HOLDS(error.argument == (way == 2 ? LOWRANK_ARGUMENT_STORE : LOWRANK_ARGUMENT_FLASH));
        HOLDS(error.got == (way == 0 ? (uint32_t)-9 : 0));
        HOLDS(way == 2 ? error.index == 1 : error.index >= next && error.index < 2 * SLOT);
        LOADS;
        HOLDS(memcmp(flash, w.flash, sizeof flash) == 0);
    }
    reset();
    OK(lowrank_store_save(&w.store, &w.contents, &w.stored, &error));
    OK(lowrank_store_save(&w.store, &w.contents, &w.stored, &error));
    memset(w.flash + seals + 2 * LOWRANK_FLASH_UNIT, 0, LOWRANK_FLASH_UNIT);
    memcpy(flash, w.flash, sizeof flash);
    OK(lowrank_store_newest(&w.store, &w.stored, &error));
    HOLDS(memcmp(flash, w.flash, sizeof flash) == 0);
    OK(lowrank_store_recover(&w.store, &w.stored, &error));
    HOLDS(w.stored.at == first.at && memcmp(flash + next, w.flash + next, 3 * LOWRANK_FLASH_UNIT) != 0);
    LOADS;
}

void stores(void)
{
    a_seal_that_was_cut();
#define NEWEST lowrank_store_newest(&w.store, &w.stored, &error)
    WRONG_STRUCT(lowrank_store, w.store, lowrank_store_newest(it, &w.stored, &error), LOWRANK_ARGUMENT_STORE);
    WRONG_STRUCT(lowrank_store, w.store, lowrank_store_recover(it, &w.stored, &error), LOWRANK_ARGUMENT_STORE);
    WRONG_STRUCT(lowrank_store, w.store, lowrank_store_load(it, (uint8_t *)w.out, sizeof w.out, &w.len, &error),
                 LOWRANK_ARGUMENT_STORE);
    WRONG_STRUCT(lowrank_store, w.store, lowrank_store_save(it, &w.contents, &w.stored, &error),
                 LOWRANK_ARGUMENT_STORE);
    WRONG_STRUCT(lowrank_stored, w.stored, lowrank_store_newest(&w.store, it, &error), LOWRANK_ARGUMENT_STORED);
    WRONG_STRUCT(lowrank_stored, w.stored, lowrank_store_recover(&w.store, it, &error), LOWRANK_ARGUMENT_STORED);
    WRONG_STRUCT(lowrank_stored, w.stored, lowrank_store_save(&w.store, &w.contents, it, &error),
                 LOWRANK_ARGUMENT_STORED);
    WRONG_STRUCT(lowrank_contents, w.contents, lowrank_store_save(&w.store, it, &w.stored, &error),
                 LOWRANK_ARGUMENT_CONTENTS);
    WRONG_NUMBER(size_t, lowrank_store_load(&w.store, (uint8_t *)w.out, sizeof w.out, it, &error));
    REFUSED((void)0, lowrank_store_load(&w.store, NULL, sizeof w.out, &w.len, &error), LOWRANK_NULL,
            LOWRANK_ARGUMENT_FILE);
    REFUSED(w.store.flash.size = 1, NEWEST, LOWRANK_STRUCT_SIZE, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.read = NULL, NEWEST, LOWRANK_NULL, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.erase = NULL, NEWEST, LOWRANK_NULL, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.program = NULL, NEWEST, LOWRANK_NULL, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.erase_size = 0, NEWEST, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_FLASH);
    REFUSED(w.store.flash.erase_size = 4096, NEWEST, LOWRANK_SLOT_UNALIGNED, LOWRANK_ARGUMENT_STORE);
    REFUSED(w.store.start[0] = 32, NEWEST, LOWRANK_SLOT_UNALIGNED, LOWRANK_ARGUMENT_STORE);
    REFUSED(w.store.flash.capacity = SLOT, NEWEST, LOWRANK_SLOT_OUTSIDE, LOWRANK_ARGUMENT_STORE);
    REFUSED((w.store.end[0] = 512, w.store.flash.erase_size = 64), NEWEST, LOWRANK_SLOT_TOO_SMALL,
            LOWRANK_ARGUMENT_STORE);
    REFUSED((w.store.start[1] = 0, w.store.end[1] = SLOT), NEWEST, LOWRANK_SLOTS_OVERLAP, LOWRANK_ARGUMENT_STORE);
    REFUSED(w.store.page = NULL, NEWEST, LOWRANK_NULL, LOWRANK_ARGUMENT_PAGE);
    REFUSED(w.store.page_len = 64, NEWEST, LOWRANK_PAGE, LOWRANK_ARGUMENT_PAGE);
    REFUSED(w.store.page_len = 127, NEWEST, LOWRANK_PAGE, LOWRANK_ARGUMENT_PAGE);
    REFUSED(driver_answer = -7, NEWEST, LOWRANK_FLASH, LOWRANK_ARGUMENT_FLASH);
    OVERLAPS(w.store.page = (uint8_t *)&w.store, NEWEST, LOWRANK_ARGUMENT_PAGE);
    WRONG_NUMBER(size_t, lowrank_slot_len(64, 64, it, &error));
    REFUSED((void)0, lowrank_slot_len(64, 100, &w.len, &error), LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_FLASH);
    REFUSED((void)0, lowrank_slot_len(SIZE_MAX, 64, &w.len, &error), LOWRANK_OVERFLOW, LOWRANK_ARGUMENT_FILE);
}
