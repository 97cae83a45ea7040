/* All memory that the calls get, and how a call is expected to be refused. */
#ifndef WORLD_H
#define WORLD_H

#include <stdio.h>
#include <stdlib.h>
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
    lowrank_entry entry;
    lowrank_file parsed;
    lowrank_contents contents;
    lowrank_store store;
    lowrank_stored stored;
    lowrank_layer layer;
    float own[LOWRANK_ARENA_LEN(IN, OUT, RANK, N, LOWRANK_ADAMW)], own_y[N * OUT], own_dy[N * OUT], own_dx[N * IN];
    float arena[LOWRANK_ARENA_LEN(IN, OUT, RANK, N, LOWRANK_ADAMW)],
        other[LOWRANK_ARENA_LEN(IN, OUT, RANK, N, LOWRANK_ADAMW)];
    float w[OUT * IN], bias[OUT], x[N * IN], y[N * OUT], dy[N * OUT], dx[N * IN], targets[N * OUT], packed[OUT * IN];
    float merged[OUT * IN], number;
    uint32_t labels[N], word;
    uint64_t room[LOWRANK_ENTRY_ROOM], bytes[FILE_BYTES / 8], out[FILE_BYTES / 8], fingerprint;
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
/* Backends that this CPU does not have. */
extern uint32_t lacks[4];
extern size_t lacking;

/* Back to what is valid. */
void reset(void);

/* Plans both layers for another optimizer, and runs them forward. */
void plan_for(uint32_t optimizer);

/* The tests, by what the functions are about. */
void every_call(void);
void elements(void);
void documented(void);
void sentences(void);
void values(void);
void passes(void);
void weights_of_a_layer(void);
void training(void);
void layers(void);
void files(void);
void contents(void);
void stores(void);

/* Its square wraps to 0. */
#define HALF ((size_t)1 << (sizeof(size_t) * 4))
#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES ((const uint8_t *)w.bytes)

#define HOLDS(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) failures++, printf("%s:%d: %s (%d)\n", __FILE__, __LINE__, #condition, (int)error.status);  \
    } while (0)
#define OK(call) HOLDS((call) == LOWRANK_OK)
#define SAME(a, b, count) HOLDS(memcmp(a, b, (count) * sizeof(float)) == 0)

/* Expects the call to be refused with this status, about this argument, without a trace. `change` makes it wrong. */
#define REFUSED(change, call, code, about)                                                                            \
    do {                                                                                                              \
        reset();                                                                                                      \
        change;                                                                                                       \
        look();                                                                                                       \
        was_refused(__FILE__, __LINE__, #call, call, code, (uint32_t)(about));                                        \
    } while (0)

/* Keeps the world as it is before a call. */
void look(void);
/* Compares status, argument and world after it. */
void was_refused(const char *file, int line, const char *call, lowrank_status status, lowrank_status code,
                 uint32_t about);

/* A pointer to a struct: null, misaligned, at the end of the address space, another size. CALL takes the pointer `it`. */
#define WRONG_STRUCT(type, variable, CALL, about)                                                                     \
    do {                                                                                                              \
        type *it = NULL;                                                                                              \
        REFUSED((void)0, CALL, LOWRANK_NULL, about);                                                                  \
        it = (type *)(void *)((char *)&(variable) + 1);                                                               \
        REFUSED((void)0, CALL, LOWRANK_MISALIGNED, about);                                                            \
        it = (type *)(0 - sizeof(size_t));                                                                            \
        REFUSED((void)0, CALL, LOWRANK_WRAPS, about);                                                                 \
        it = (type *)(0 - sizeof(type));                                                                              \
        REFUSED((void)0, CALL, LOWRANK_WRAPS, about);                                                                 \
        it = &(variable);                                                                                             \
        REFUSED(it->size = it->size - 1, CALL, LOWRANK_STRUCT_SIZE, about);                                           \
        REFUSED(it->size = it->size + 1, CALL, LOWRANK_STRUCT_SIZE, about);                                           \
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
        REFUSED((matrix).rows = (matrix).cols = (matrix).stride = HALF, CALL, LOWRANK_WRAPS, about);                  \
        REFUSED((matrix).data = (float *)(0 - sizeof(float)), CALL, LOWRANK_WRAPS, about);                            \
    } while (0)

#define WRONG_NUMBER(type, CALL)                                                                                      \
    do {                                                                                                              \
        type *it = NULL;                                                                                              \
        REFUSED((void)0, CALL, LOWRANK_NULL, LOWRANK_ARGUMENT_RESULT);                                                \
        it = (type *)(void *)((char *)&w.fingerprint + 1);                                                            \
        REFUSED((void)0, CALL, LOWRANK_MISALIGNED, LOWRANK_ARGUMENT_RESULT);                                          \
        it = (type *)(0 - sizeof(type));                                                                              \
        REFUSED((void)0, CALL, LOWRANK_WRAPS, LOWRANK_ARGUMENT_RESULT);                                               \
    } while (0)

/* A pointer to elements, and how many there are: null, at the end of the address space, and more bytes than there can be,
 * also where their number wraps to that of few or none. CALL takes `it` and `len`, or SET puts them where it finds them. */
#define WRONG_ELEMENTS(type, array, SET, CALL, about)                                                                 \
    do {                                                                                                              \
        type *it = NULL;                                                                                              \
        size_t len = 1;                                                                                               \
        REFUSED(SET, CALL, LOWRANK_NULL, about);                                                                      \
        it = (type *)(0 - sizeof(type));                                                                              \
        REFUSED(SET, CALL, LOWRANK_WRAPS, about);                                                                     \
        it = (type *)(void *)(uintptr_t)(array);                                                                      \
        REFUSED((len = SIZE_MAX, SET), CALL, LOWRANK_WRAPS, about);                                                   \
        REFUSED((len = SIZE_MAX / 2 / sizeof(type) + 1, SET), CALL, LOWRANK_WRAPS, about);                            \
        REFUSED((len = SIZE_MAX / sizeof(type), SET), CALL, LOWRANK_WRAPS, about);                                    \
        if (sizeof(type) == 1) break;                                                                                 \
        it = (type *)(void *)((char *)it + sizeof(type) / 2);                                                         \
        REFUSED((len = 1, SET), CALL, LOWRANK_MISALIGNED, about);                                                     \
        it = (type *)(void *)(uintptr_t)(array);                                                                      \
        REFUSED((len = SIZE_MAX / sizeof(type) + 2, SET), CALL, LOWRANK_WRAPS, about);                                \
    } while (0)

/* A code that means nothing, and one that this CPU does not have. SET puts `backend` where CALL finds it. */
#define WRONG_BACKEND_IN(SET, CALL)                                                                                   \
    do {                                                                                                              \
        size_t lack;                                                                                                  \
        REFUSED((backend = 9, SET), CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_BACKEND);                                 \
        REFUSED((backend = UINT32_MAX, SET), CALL, LOWRANK_UNKNOWN, LOWRANK_ARGUMENT_BACKEND);                        \
        for (lack = 0; lack < lacking; lack++) {                                                                      \
            REFUSED((backend = lacks[lack], SET), CALL, LOWRANK_UNSUPPORTED, LOWRANK_ARGUMENT_BACKEND);               \
            HOLDS(error.got == lacks[lack]);                                                                          \
        }                                                                                                             \
    } while (0)
#define WRONG_BACKEND(CALL) WRONG_BACKEND_IN((void)0, CALL)

#define OVERLAPS(change, CALL, about) REFUSED(change, CALL, LOWRANK_OVERLAP, about)

/* Code that no call has named: none, other bits, none with bits that a call has left. */
#define WRONG_CODE(code, NAMED, CALL, about)                                                                          \
    do {                                                                                                              \
        REFUSED((NAMED, memset(&code, 0, sizeof code)), CALL, LOWRANK_NOT_SET, about);                                \
        REFUSED((NAMED, memset(&code, 0xa5, sizeof code)), CALL, LOWRANK_NOT_SET, about);                             \
        REFUSED((NAMED, code.inverse++), CALL, LOWRANK_NOT_SET, about);                                               \
        REFUSED((NAMED, code.function = NULL), CALL, LOWRANK_NOT_SET, about);                                         \
        REFUSED((NAMED, code.function = NULL, code.inverse = SIZE_MAX), CALL, LOWRANK_NOT_SET, about);                \
    } while (0)

#endif
