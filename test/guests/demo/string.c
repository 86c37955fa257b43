// Memory and string functions (C11 7.24), the ones a freestanding gcc may call on its own.
#include "string.h"
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t size) {
    void *end = to;
    __asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(size) : : "memory");
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
    void *end = to;
    __asm__ volatile("rep stosb" : "+D"(end), "+c"(size) : "a"(byte) : "memory");
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
