// Memory and string functions (C11 7.24), the ones a freestanding gcc may call on its own.
#include "string.h"
#include <stdint.h>

// By words, then bytes: an emulated CPU pays for each step of a repeated instruction, not for its width.
void *memcpy(void *to, const void *from, size_t size) {
    void *at = to;
    size_t words = size / 8, rest = size % 8;
    __asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(rest) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    if ((uintptr_t)to - (uintptr_t)from >= size) return memcpy(to, from, size);
    uint8_t *t = to;
    const uint8_t *f = from;
    while (size-- > 0) {
        t[size] = f[size];
        __asm__ volatile("" : : : "memory");
    }
    return to;
}

void *memset(void *to, int byte, size_t size) {
    void *at = to;
    size_t words = size / 8, rest = size % 8;
    const uint64_t pattern = (uint8_t)byte * 0x0101010101010101ul;
    __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(rest) : "a"(pattern) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i]) return x[i] - y[i];
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
        __asm__ volatile("" : : : "memory");
    }
    return length;
}

int strcmp(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

void copy_text(char *to, size_t size, const char *from) {
    size_t i = 0;
    for (; i + 1 < size && from[i] != '\0'; i++) to[i] = from[i];
    to[i] = '\0';
}
