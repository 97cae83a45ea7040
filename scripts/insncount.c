/* A plugin for QEMU: instructions that a program executes from one call of the function `mark` to the next, one number a line
 * on stderr, beginning with those before the first call. Works for programs and for whole boards.
 *
 *   gcc -O2 -fPIC -shared -o insncount.so insncount.c
 *   qemu-aarch64 -plugin ./insncount.so PROGRAM
 *
 * Debian has no package with the plugin header; these are the few declarations that are used, of plugin API version 1. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct block;
struct instruction;
enum register_access { NO_REGISTERS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, void (*)(unsigned, void *), enum register_access, void *);
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct instruction *);
extern const char *qemu_plugin_insn_symbol(const struct instruction *);

EXPORT int qemu_plugin_version = 1;

static uint64_t executed;

/* A block is executed as a whole: only its last instruction can leave it. */
static void on_block(unsigned cpu, void *instructions)
{
    (void)cpu;
    executed += (uintptr_t)instructions;
}

static void on_mark(unsigned cpu, void *instructions)
{
    fprintf(stderr, "%" PRIu64 "\n", executed);
    executed = 0;
    on_block(cpu, instructions);
}

/* The first block that is translated inside a function is the one at its entry. */
static void on_translation(plugin_id id, struct block *block)
{
    static uint64_t entry;
    (void)id;
    struct instruction *first = qemu_plugin_tb_get_insn(block, 0);
    const char *symbol = qemu_plugin_insn_symbol(first);
    uint64_t address = qemu_plugin_insn_vaddr(first);
    if (!entry && symbol && !strcmp(symbol, "mark"))
        entry = address;
    qemu_plugin_register_vcpu_tb_exec_cb(block, entry && address == entry ? on_mark : on_block, NO_REGISTERS,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
