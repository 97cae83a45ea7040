/* All memory that the calls get, and how a call is expected to be refused. */
#ifndef WORLD_H
#define WORLD_H

#include <stdio.h>
#include <string.h>

#include "lowrank.h"

enum { IN = 5, OUT = 3, RANK = 2, N = 4, FILE_BYTES = 2048, SLOT = 2048 };

/* All that a call could write to. `valid` is how it is before every call. */
typedef struct {
    lowrank_base base;
    lowrank_adapter adapter;
    lowrank_plan plan;
    lowrank_lengths lengths;
    lowrank_work work, split;
    lowrank_backprop flow;
    lowrank_adamw adamw;
    lowrank_sgd sgd;
    lowrank_in_place in_place;
    lowrank_mean_loss loss;
    lowrank_schedule schedule;
    lowrank_rng rng;
    lowrank_dropout dropout;
    lowrank_layer layer;
    lowrank_file parsed;
    lowrank_contents contents;
    lowrank_store store;
    lowrank_stored stored;
    lowrank_training training;
    float own[LOWRANK_ARENA_LEN(IN, OUT, RANK, N, LOWRANK_ADAMW)], own_y[N * OUT], own_dy[N * OUT], own_dx[N * IN];
    float arena[LOWRANK_ARENA_LEN(IN, OUT, RANK, N, LOWRANK_ADAMW)],
        other[LOWRANK_ARENA_LEN(IN, OUT, RANK, N, LOWRANK_ADAMW)];
    float w[OUT * IN], bias[OUT], x[N * IN], y[N * OUT], dy[N * OUT], dx[N * IN], targets[N * OUT], packed[OUT * IN];
    float merged[OUT * IN], number;
    uint32_t labels[N], word;
    uint64_t room[LOWRANK_LAYER_ROOM], bytes[FILE_BYTES / 8], out[FILE_BYTES / 8], fingerprint;
    uint16_t items[8];
    uint8_t page[LOWRANK_PAGE_LEN], flash[2 * SLOT];
    size_t len;
    char name[8];
} world;

extern world w, valid;
extern lowrank_error error;
extern lowrank_matrix x, dy, weights, targets;
extern lowrank_matrix_mut y, dx, merged, loss_grad;
extern uint32_t backend;
extern size_t file_len;
extern int refused, failures;
extern int driver_answer;

/* Back to what is valid. */
void reset(void);

/* The tests, by what the functions are about. */
void passes(void);
void weights_of_a_layer(void);
void training(void);
void layer_in_training(void);
void files(void);
void contents(void);
void stores(void);

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES ((const uint8_t *)w.bytes)

/* Expects the call to be refused with this status, about this argument, without a trace. `change` makes it wrong. */
#define REFUSED(change, call, code, about)                                                                            \
    do {                                                                                                              \
        static world before;                                                                                          \
        lowrank_status status;                                                                                        \
        reset();                                                                                                      \
        change;                                                                                                       \
        memcpy(&before, &w, sizeof w);                                                                                \
        status = (call);                                                                                              \
        refused++;                                                                                                    \
        if (status != (code) || error.status != (code) || error.argument != (uint32_t)(about)) {                      \
            failures++;                                                                                               \
            printf("%s:%d: %s: status %d about %u, expected %d about %u\n", __FILE__, __LINE__, #call, (int)status,   \
                   (unsigned)error.argument, (int)(code), (unsigned)(about));                                         \
        }                                                                                                             \
        if (memcmp(&before, &w, sizeof w) != 0) {                                                                     \
            failures++;                                                                                               \
            printf("%s:%d: %s: an output was written\n", __FILE__, __LINE__, #call);                                  \
        }                                                                                                             \
    } while (0)

/* A pointer to a struct: null, misaligned, another size. CALL takes the pointer `it`. */
#define WRONG_STRUCT(type, variable, CALL, about)                                                                     \
    do {                                                                                                              \
        type *it = NULL;                                                                                              \
        REFUSED((void)0, CALL, LOWRANK_NULL, about);                                                                  \
        it = (type *)(void *)((char *)&(variable) + 1);                                                               \
        REFUSED((void)0, CALL, LOWRANK_MISALIGNED, about);                                                            \
        it = &(variable);                                                                                             \
        REFUSED(it->size = it->size - 1, CALL, LOWRANK_STRUCT_SIZE, about);                                           \
        REFUSED(it->size = 0, CALL, LOWRANK_STRUCT_SIZE, about);                                                      \
    } while (0)

/* A matrix that is needed: null, misaligned, another size, a short stride, too large to be. */
#define WRONG_MATRIX(matrix, CALL, about)                                                                             \
    do {                                                                                                              \
        REFUSED((matrix).data = NULL, CALL, LOWRANK_NULL, about);                                                     \
        WRONG_OPTION(matrix, CALL, about);                                                                            \
    } while (0)

/* One that may be left out. */
#define WRONG_OPTION(matrix, CALL, about)                                                                             \
    do {                                                                                                              \
        REFUSED((matrix).data = (float *)(void *)((char *)(void *)(uintptr_t)(matrix).data + 1), CALL,                \
                LOWRANK_MISALIGNED, about);                                                                           \
        REFUSED((matrix).size = 8, CALL, LOWRANK_STRUCT_SIZE, about);                                                 \
        REFUSED((matrix).stride = (matrix).cols - 1, CALL, LOWRANK_STRIDE, about);                                    \
        REFUSED((matrix).stride = SIZE_MAX / 2, CALL, LOWRANK_WRAPS, about);                                          \
        REFUSED(((matrix).rows = SIZE_MAX, (matrix).stride = SIZE_MAX), CALL, LOWRANK_WRAPS, about);                  \
        REFUSED((matrix).stride = SIZE_MAX / 4, CALL, LOWRANK_WRAPS, about);                                          \
    } while (0)

#define WRONG_NUMBER(type, CALL)                                                                                      \
    do {                                                                                                              \
        type *it = NULL;                                                                                              \
        REFUSED((void)0, CALL, LOWRANK_NULL, LOWRANK_ARGUMENT_RESULT);                                                \
        it = (type *)(void *)((char *)&w.fingerprint + 1);                                                            \
        REFUSED((void)0, CALL, LOWRANK_MISALIGNED, LOWRANK_ARGUMENT_RESULT);                                          \
    } while (0)

#define WRONG_BACKEND(CALL)                                                                                           \
    do {                                                                                                              \
        REFUSED(backend = 9, CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_BACKEND);                                        \
        REFUSED(backend = UINT32_MAX, CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_BACKEND);                               \
    } while (0)

#define OVERLAPS(change, CALL, about) REFUSED(change, CALL, LOWRANK_OVERLAP, about)

/* The error itself is wrong: nothing can be said but the status. */
#define WRONG_ERROR(CALL)                                                                                             \
    do {                                                                                                              \
        static lowrank_error at[2];                                                                                   \
        lowrank_error *it = (lowrank_error *)(void *)((char *)at + 1);                                                \
        memset(at, 0, sizeof at);                                                                                     \
        reset();                                                                                                      \
        refused += 3;                                                                                                 \
        if ((CALL) != LOWRANK_MISALIGNED) failures++, printf("%s:%d: misaligned error\n", __FILE__, __LINE__);        \
        it = at;                                                                                                      \
        if ((CALL) != LOWRANK_STRUCT_SIZE) failures++, printf("%s:%d: size of error\n", __FILE__, __LINE__);          \
        it = (lowrank_error *)(void *)w.y;                                                                            \
        memcpy(it, &error, sizeof *it > sizeof w.y ? sizeof(size_t) : sizeof *it);                                    \
        it->size = sizeof *it;                                                                                        \
        if ((CALL) != LOWRANK_OVERLAP) failures++, printf("%s:%d: error in an output\n", __FILE__, __LINE__);         \
    } while (0)

#endif
