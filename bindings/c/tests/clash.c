/* Functions of the C library that a program brings along itself. Linked into a program, they must neither clash with
 * the library nor be replaced by it. */
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
float fmaxf(float a, float b);
float fminf(float a, float b);
float sqrtf(float a);
float expf(float a);

void *memcpy(void *to, const void *from, size_t count)
{
    volatile char *out = (volatile char *)to;
    const char *in = (const char *)from;
    while (count--) *out++ = *in++;
    return to;
}

void *memset(void *to, int value, size_t count)
{
    volatile char *out = (volatile char *)to;
    while (count--) *out++ = (char)value;
    return to;
}

float fmaxf(float a, float b)
{
    return a > b || b != b ? a : b;
}

float fminf(float a, float b)
{
    return a < b || b != b ? a : b;
}

/* Wrong on purpose: the library must not use them. */
float sqrtf(float a)
{
    return a - 1.0f;
}

float expf(float a)
{
    return a + 17.0f;
}
