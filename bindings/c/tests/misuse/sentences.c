/* What an error says: every status that a call can return gives a sentence, with all numbers of the error in it. */
#include "world.h"

/* The call is refused with this sentence. */
#define SAYS(change, CALL, sentence)                                                                                  \
    do {                                                                                                              \
        char text[200];                                                                                               \
        lowrank_status status;                                                                                        \
        reset();                                                                                                      \
        change;                                                                                                       \
        status = (CALL);                                                                                              \
        refused++;                                                                                                    \
        lowrank_error_text(&error, text, sizeof text);                                                                \
        if (status == LOWRANK_OK || status != error.status || strcmp(text, sentence) != 0) {                          \
            failures++, printf("%s:%d: \"%s\", expected \"%s\"\n", __FILE__, __LINE__, text, sentence);               \
        }                                                                                                             \
    } while (0)

#define FORWARD lowrank_forward(backend, &w.base, &w.adapter, x, y, &w.work.saved, &error)
#define BACKWARD lowrank_backward(backend, &w.base, &w.adapter, &w.flow, &w.work.saved, &w.work.grads, &error)
#define NEWEST lowrank_store_newest(&w.store, &w.stored, &error)

static void of_calls(void)
{
    static const float below_one = 0.99999994f;
    uint32_t infinite = 0x7f800000;
    SAYS(y.rows = N - 1, FORWARD, "Y: expected 4 rows, got 3");
    SAYS(x.cols = x.stride = IN - 1, FORWARD, "X: expected 5 columns, got 4");
    SAYS((void)0, lowrank_plan_split(&w.plan, w.other, LEN(w.other) - 1, &w.split, &error),
         "the arena: expected 80 elements, got 79");
    SAYS(w.work.saved.tokens = N - 1, FORWARD, "the number of tokens: at most 3 fit, got 4");
    SAYS(x.stride = 2, FORWARD, "X: a row stride of at least 5 is needed, got 2");
    SAYS(w.plan.rank = SIZE_MAX / 4, lowrank_plan_lengths(&w.plan, &w.lengths, &error),
         "the arena: a size does not fit into the address space");
    SAYS(w.adamw.learning_rate = -0.05f,
         lowrank_adamw_step(&w.adamw, 1, &w.work.adapter, &w.work.grads, &w.work.state, &error),
         "the learning rate: expected a number from 0 to 3.4028235e38, got -0.05");
    SAYS(w.dropout.probability = 1.0f, lowrank_set_dropout(&w.work.saved, &w.dropout, &error),
         "the dropout: expected a number from 0 to 0.99999994, got 1");
    HOLDS(error.at_most == below_one);
    SAYS(memset(&w.dropout.probability, 0xff, 4), lowrank_set_dropout(&w.work.saved, &w.dropout, &error),
         "the dropout: expected a number from 0 to 0.99999994, got NaN");
    SAYS(memcpy(&w.dropout.probability, &infinite, 4), lowrank_set_dropout(&w.work.saved, &w.dropout, &error),
         "the dropout: expected a number from 0 to 0.99999994, got infinity");
    SAYS((memset(&w.layer.masks, 0, sizeof w.layer.masks), w.layer.dropout.probability = 0.5f),
         lowrank_layer_forward(&w.layer, N, &error),
         "the dropout: lowrank_layer_set_dropout or lowrank_set_dropout sets it, which did not happen");
    SAYS(w.base.panel_width = 1, FORWARD,
         "W: lowrank_layer_set_panels or lowrank_base_panels says that it is in panels, which did not happen");
    SAYS(w.layer.parts[0] = NULL, lowrank_layer_forward(&w.layer, N, &error),
         "the layer: lowrank_layer_init makes it, after lowrank_layer_plan, which did not happen");
    SAYS((void)0, lowrank_clip_factor(1.0f, -1e-30f, &w.number, &error),
         "the maximal norm: expected a number from 0 to 3.4028235e38, got -1e-30");
    SAYS(memset(w.work.adapter.b.data + 4, 0xff, 4), lowrank_check_finite(&w.adapter, &error),
         "B: element 4 is infinite or NaN");
    SAYS(memset(w.work.adapter.a.data, 0xff, 4), lowrank_check_finite(&w.adapter, &error),
         "A: element 0 is infinite or NaN");
    SAYS(memset(w.dy + 7, 0xff, 4), lowrank_in_place_step(&w.in_place, 1, &w.base, &w.work.adapter, &w.flow,
                                                          &w.work.saved, &error), "dY: element 7 is infinite or NaN");
    SAYS(memset(w.w + 4, 0xff, 4), lowrank_merge_finite(1, &w.base, &w.adapter, merged, &error),
         "the merged weights: element 4 is infinite or NaN");
    SAYS(w.labels[2] = OUT + 4, lowrank_softmax_cross_entropy(&w.loss, targets, w.labels, N, loss_grad, &error),
         "the labels: label 2 is 7, but there are 3 classes");
    SAYS((memset(w.work.adapter.a.data, 0, 4 * RANK * IN), memset(w.work.adapter.b.data, 0, 4 * RANK * OUT)), BACKWARD,
         "A and B are both zero: the adapter can never learn");
    SAYS(w.flow.x.data = NULL, BACKWARD, "X: an argument that is needed was left out");
    SAYS(w.work.saved.progress = LOWRANK_PROGRESS_NONE, BACKWARD, "no forward pass of this batch came before");
    SAYS(w.work.saved.training = 0, BACKWARD, "made for inference, a backward pass needs memory for training");
    SAYS(w.split.adapter.bias = lowrank_rows_mut(w.y, 1, OUT), lowrank_entry_load(&w.entry, &w.split.adapter, &error),
         "the bias: an argument was given that cannot be filled");
    SAYS(plan_for(LOWRANK_SGD), lowrank_adamw_step(&w.adamw, 1, &w.work.adapter, &w.work.grads, &w.work.state, &error),
         "the state of the optimizer: the memory was planned for SGD, and the step is one of AdamW, which needs more");
    SAYS(w.base.weights = NULL, FORWARD, "W: a pointer is null that must not be");
    SAYS(x.data = (float *)(uintptr_t)0x1002, FORWARD, "X: the address 0x1002 is not a multiple of 4");
    SAYS(w.base.size = 0, FORWARD, sizeof(size_t) == 8
         ? "the base: its first field is 0, not the size 72 of the struct"
         : "the base: its first field is 0, not the size 28 of the struct");
    SAYS(y.data = w.x, FORWARD, "Y: it is written, and has bytes in common with X");
    if (sizeof(size_t) == 8) {
        SAYS((void)0, lowrank_parse(BYTES, SIZE_MAX - 64, &w.parsed, &error),
             "the file: 18446744073709551551 bytes reach beyond the end of the address space");
    }
    SAYS(backend = 90, FORWARD, "the backend: the code 90 has no meaning");
    SAYS((void)0, lowrank_entry_of("\xc0", 1, &w.adapter, &w.entry, &error),
         "the name of the entry: its 1 bytes are not UTF-8");
    SAYS((void)0, lowrank_entry_at(BYTES, file_len, 1, &w.entry, &error), "no such entry");
    SAYS((w.entry.b_bias = w.entry.b, w.entry.b_bias.rows = 1, w.entry.b_bias.cols = OUT),
         lowrank_entry_adapter(&w.entry, &w.adapter, &error), "the entry: the adapter cannot be used where it lies");
}

static void of_files_and_flash(void)
{
    uint8_t *bytes = (uint8_t *)w.bytes;
    SAYS((void)0, lowrank_parse(BYTES, 10, &w.parsed, &error),
         "the file, byte 10: the bytes end before the header does, at least 64 are needed");
    SAYS(bytes[0] ^= 1, lowrank_parse(BYTES, file_len, &w.parsed, &error), "the file, byte 0: this is no adapter file");
    SAYS(w.entry.random.dropout = 1.0f, lowrank_encoded_len(&w.contents, &w.len, &error),
         "the file, byte 144: a probability is not from 0 to below 1: got 1");
    SAYS(driver_answer = -7, NEWEST, "the flash failed at address 0x500: its driver returned -7");
    SAYS(w.store.start[0] = 32, NEWEST, "slot 0: its bounds are not multiples of 1024");
    SAYS(w.store.flash.capacity = SLOT, NEWEST, "slot 1: it does not lie within the 2048 bytes of the flash");
    SAYS((w.store.start[1] = 0, w.store.end[1] = SLOT), NEWEST, "the slots overlap");
    SAYS(w.store.page_len = 127, NEWEST,
         "the page of the store: expected a multiple of 64 bytes, at least two of them, got 127");
    reset();
    OK(lowrank_store_save(&w.store, &w.contents, &w.stored, &error));
    HOLDS(lowrank_store_load(&w.store, (uint8_t *)w.out, 64, &w.len, &error) == LOWRANK_TOO_LONG);
    HOLDS(error.expected == 64 && error.got == file_len);
}

/* Errors by hand, one of every status and flaw. */
static void of_every_code(void)
{
    char text[200], other[200];
    int status, flaws = 0;
    uint32_t code;
    reset();
    error.expected = 111;
    error.got = LOWRANK_ARGUMENT_DX;
    error.index = 333;
    error.argument = LOWRANK_ARGUMENT_RANK;
    for (status = 0; status >= -99; status--) {
        int known = strcmp(lowrank_status_text(status), "an error without a code") != 0;
        error.status = status;
        lowrank_error_text(&error, text, sizeof text);
        HOLDS(strlen(text) > 3 && strchr(text, '%') == NULL);
        HOLDS(known == (strcmp(text, "an error without a code") != 0));
    }
    error.status = LOWRANK_DEVIATION;
    lowrank_error_text(&error, text, sizeof text);
    HOLDS(strcmp(text, "the rank: this build or thread does not keep to IEEE 754: "
                       "probe 333 gave the bits 0x9, not 0x6f") == 0);
    error.status = LOWRANK_REVERSED;
    lowrank_error_text(&error, text, sizeof text);
    HOLDS(strcmp(text, "the rank: a range starts at 111 and ends before that, at 9") == 0);
    error.status = LOWRANK_FILE;
    error.argument = LOWRANK_ARGUMENT_FILE;
    error.at_least = 0.5f;
    error.value = -2.0f;
    for (code = 0; code <= 21; code++) {
        error.flaw = code;
        lowrank_error_text(&error, text, sizeof text);
        HOLDS(strncmp(text, "the file, byte 333: ", 20) == 0 && strchr(text, '%') == NULL);
        HOLDS(strncmp(text + 20, lowrank_flaw_text(code), strlen(lowrank_flaw_text(code))) == 0);
        HOLDS(strcmp(lowrank_flaw_text(code), "a flaw without a code") != 0);
        flaws += strcmp(text, other) != 0;
        memcpy(other, text, sizeof text);
    }
    HOLDS(flaws == 22);
    error.flaw = LOWRANK_FLAW_CRC;
    lowrank_error_text(&error, text, sizeof text);
    HOLDS(strcmp(text, "the file, byte 333: the checksum is wrong: expected 0x6f, got 0x9") == 0);
    error.flaw = LOWRANK_FLAW_SCALE;
    lowrank_error_text(&error, text, sizeof text);
    HOLDS(strcmp(text, "the file, byte 333: the scale does not follow from alpha and rank: expected 0.5, got -2") == 0);
    HOLDS(strcmp(lowrank_flaw_text(99), "a flaw without a code") == 0);
    for (code = 1; code <= 130; code++) {
        int known = strcmp(lowrank_argument_text(code), "an argument") != 0;
        HOLDS(known == (code <= LOWRANK_ARGUMENT_BETA2 || code >= LOWRANK_ARGUMENT_BASE));
    }
    HOLDS(strcmp(lowrank_argument_text(LOWRANK_ARGUMENT_DBIAS), "the gradient of the bias") == 0);
}

/* As snprintf: every length, and what is no error. */
static void into_any_buffer(void)
{
    static const char whole[] = "Y: expected 4 rows, got 3";
    static lowrank_error none;
    char text[64];
    size_t length, i;
    reset();
    y.rows = N - 1;
    HOLDS(FORWARD == LOWRANK_ROWS);
    for (length = 0; length < sizeof text; length++) {
        size_t shown = length == 0 ? 0 : length <= sizeof whole - 1 ? length - 1 : sizeof whole - 1;
        memset(text, '#', sizeof text);
        HOLDS(lowrank_error_text(&error, text, length) == sizeof whole - 1);
        HOLDS(memcmp(text, whole, shown) == 0 && (length == 0 || text[shown] == 0));
        for (i = length == 0 ? 0 : shown + 1; i < sizeof text; i++) HOLDS(text[i] == '#');
    }
    HOLDS(lowrank_error_text(&error, NULL, 0) == sizeof whole - 1);
    HOLDS(lowrank_error_text(&error, NULL, 99) == sizeof whole - 1);
    HOLDS(lowrank_error_text(&error, text, SIZE_MAX) == sizeof whole - 1 && strcmp(text, whole) == 0);
    /* Over the error itself. */
    lowrank_error_text(&error, (char *)&error, sizeof error);
    HOLDS(strcmp((char *)&error, whole) == 0);
    lowrank_error_text(NULL, text, sizeof text);
    HOLDS(strcmp(text, "the error struct: a pointer is null that must not be") == 0);
    lowrank_error_text(&none, text, sizeof text);
    HOLDS(strncmp(text, "the error struct: its first field is 0, not the size ", 53) == 0);
    lowrank_error_text((lowrank_error *)(0 - sizeof(size_t)), text, sizeof text);
    HOLDS(strncmp(text, "the error struct: ", 18) == 0);
    lowrank_error_text((lowrank_error *)(void *)(text + 1), text, sizeof text);
    none.size = sizeof none;
    lowrank_error_text(&none, text, sizeof text);
    HOLDS(strcmp(text, "done") == 0);
}

void sentences(void)
{
    of_calls();
    of_files_and_flash();
    of_every_code();
    into_any_buffer();
}
