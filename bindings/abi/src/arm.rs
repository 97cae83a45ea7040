//! What the ARM run-time ABI adds to `memcpy`, `memmove` and `memset`: the compiler calls these. They are made here of the
//! three, and are not visible outside of the C library: in some C libraries they are in one piece with `memcpy`, so that a
//! program with a `memcpy` of its own could not be linked.

core::arch::global_asm!(
    ".macro lowrank_alias name, function
        .section .text.\\name, \"ax\", %progbits
        .global \\name
        .type \\name, %function
        .thumb_func
    \\name:
        ldr r3, =\\function
        bx r3
        .ltorg
    .endm",
    "lowrank_alias __aeabi_memcpy, memcpy",
    "lowrank_alias __aeabi_memcpy4, memcpy",
    "lowrank_alias __aeabi_memcpy8, memcpy",
    "lowrank_alias __aeabi_memmove, memmove",
    "lowrank_alias __aeabi_memmove4, memmove",
    "lowrank_alias __aeabi_memmove8, memmove",
    // (to, count, byte)
    ".macro lowrank_set name
        .section .text.\\name, \"ax\", %progbits
        .global \\name
        .type \\name, %function
        .thumb_func
    \\name:
        mov r3, r1
        mov r1, r2
        mov r2, r3
        ldr r3, =memset
        bx r3
        .ltorg
    .endm",
    "lowrank_set __aeabi_memset",
    "lowrank_set __aeabi_memset4",
    "lowrank_set __aeabi_memset8",
    // (to, count)
    ".macro lowrank_clear name
        .section .text.\\name, \"ax\", %progbits
        .global \\name
        .type \\name, %function
        .thumb_func
    \\name:
        mov r2, r1
        movs r1, #0
        ldr r3, =memset
        bx r3
        .ltorg
    .endm",
    "lowrank_clear __aeabi_memclr",
    "lowrank_clear __aeabi_memclr4",
    "lowrank_clear __aeabi_memclr8",
    ".text",
);
