/* What a program needs of the board: text out and a way to end, both by semihosting. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

void print(const char *text);
void print_number(uint32_t number);
void print_hex(uint64_t number);
_Noreturn void end(int status);
int main(void);

#endif
