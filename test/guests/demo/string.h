// The memory and string functions that gcc may call on its own, and those we use.
#pragma once
#include <stdbool.h>
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
/** Copies at most size-1 characters and always ends the copy. */
void copy_text(char *to, size_t size, const char *from);
