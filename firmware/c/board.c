#include "board.h"

extern uint32_t data_start[], data_end[], data_in_flash[], bss_start[], bss_end[], stack_top[];

static void semihosting(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void print(const char *text)
{
    semihosting(0x04, text); /* SYS_WRITE0 */
}

void print_number(uint32_t number)
{
    char text[11], *at = text + 10;
    *at = 0;
    do *--at = (char)('0' + number % 10); while (number /= 10);
    print(at);
}

void print_hex(uint64_t number)
{
    char text[17];
    int i;
    for (i = 0; i < 16; i++) text[i] = "0123456789abcdef"[(number >> (60 - 4 * i)) & 15];
    text[16] = 0;
    print(text);
}

_Noreturn void end(int status)
{
    uint32_t block[2];
    block[0] = 0x20026; /* ADP_Stopped_ApplicationExit */
    block[1] = (uint32_t)status;
    for (;;) semihosting(0x20, block); /* SYS_EXIT_EXTENDED */
}

static _Noreturn __attribute__((used)) void start(void)
{
    uint32_t *to, *from = data_in_flash;
    for (to = data_start; to < data_end;) *to++ = *from++;
    for (to = bss_start; to < bss_end;) *to++ = 0;
    end(main());
}

/* The FPU is on before any C code runs. */
__attribute__((naked, noreturn)) void reset(void)
{
#ifdef __ARM_FP
    __asm__ volatile("ldr r0, =0xe000ed88\n ldr r1, [r0]\n orr r1, r1, #0xf00000\n str r1, [r0]\n dsb\n isb\n");
#endif
    __asm__ volatile("bl start");
}

static _Noreturn void fault(void)
{
    print("fault\n");
    end(99);
}

union entry {
    const void *stack;
    void (*code)(void);
};

__attribute__((section(".vectors"), used)) static const union entry vectors[16] = {
    {.stack = stack_top},
    {.code = reset},
    {.code = fault}, {.code = fault}, {.code = fault}, {.code = fault}, {.code = fault},
};
