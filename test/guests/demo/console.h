// Text output: to the UART and to a ring in memory that can be read from outside.
#pragma once
#include <stdarg.h>
#include <stddef.h>

enum { CONSOLE_LOG_SIZE = 64 * 1024 };

/** The last bytes printed. Byte number n of all output is at buf[n % CONSOLE_LOG_SIZE]; `written` counts all bytes ever. */
struct console_log {
    char buf[CONSOLE_LOG_SIZE];
    volatile size_t written;
};
extern struct console_log console_log;

/** Formats like printf: %s %c %d %i %u %x %p %%, flags - and 0, width, precision on %s, lengths l and z. */
void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** The same into memory; returns the length of the text that stands in `to`, always ended by NUL. */
size_t format_text(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t format_text_list(char *to, size_t size, const char *format, va_list arguments);
