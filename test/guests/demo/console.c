// Console text: a small printf, the in-memory log ring, and the UART behind both.
#include "console.h"
#include "string.h"
#include "uart.h"
#include <stdbool.h>
#include <stdint.h>

struct console_log console_log;

struct output {
    char *to;
    size_t size, length;
};

struct spec {
    bool left, zero, is_long;
    int width, precision;
};

static void put(struct output *out, char c) {
    if (out->length + 1 < out->size) out->to[out->length++] = c;
}

static void put_padded(struct output *out, const struct spec *spec, const char *text, int length) {
    const int pad = spec->width - length;
    for (int i = 0; i < pad && !spec->left; i++) put(out, spec->zero ? '0' : ' ');
    for (int i = 0; i < length; i++) put(out, text[i]);
    for (int i = 0; i < pad && spec->left; i++) put(out, ' ');
}

static void put_number(struct output *out, const struct spec *spec, uint64_t value, unsigned base, bool negative) {
    char digits[24];
    int at = sizeof digits;
    do digits[--at] = "0123456789abcdef"[value % base];
    while ((value /= base) != 0);
    if (negative) digits[--at] = '-';
    put_padded(out, spec, digits + at, (int)sizeof digits - at);
}

static const char *parse_spec(const char *format, struct spec *spec) {
    *spec = (struct spec){.precision = -1};
    for (;; format++) {
        if (*format == '-') spec->left = true;
        else if (*format == '0') spec->zero = true;
        else break;
    }
    for (; *format >= '0' && *format <= '9'; format++) spec->width = spec->width * 10 + (*format - '0');
    if (*format == '.') {
        spec->precision = 0;
        for (format++; *format >= '0' && *format <= '9'; format++) spec->precision = spec->precision * 10 + (*format - '0');
    }
    for (; *format == 'l' || *format == 'z'; format++) spec->is_long = true;
    return format;
}

size_t format_text_list(char *to, size_t size, const char *format, va_list arguments) {
    struct output out = {to, size, 0};
    for (; *format != '\0'; format++) {
        if (*format != '%') {
            put(&out, *format);
            continue;
        }
        struct spec spec;
        format = parse_spec(format + 1, &spec);
        switch (*format) {
        case 's': {
            const char *text = va_arg(arguments, const char *);
            int length = 0;
            while (text[length] != '\0' && (spec.precision < 0 || length < spec.precision)) length++;
            put_padded(&out, &spec, text, length);
            break;
        }
        case 'c': put(&out, (char)va_arg(arguments, int)); break;
        case 'd':
        case 'i': {
            const int64_t value = spec.is_long ? va_arg(arguments, int64_t) : va_arg(arguments, int);
            put_number(&out, &spec, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0);
            break;
        }
        case 'u':
            put_number(&out, &spec, spec.is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), 10, false);
            break;
        case 'x':
            put_number(&out, &spec, spec.is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), 16, false);
            break;
        case 'p':
            put(&out, '0');
            put(&out, 'x');
            put_number(&out, &spec, (uint64_t)va_arg(arguments, void *), 16, false);
            break;
        default: put(&out, *format); break;
        }
    }
    if (size > 0) to[out.length] = '\0';
    return out.length;
}

size_t format_text(char *to, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const size_t length = format_text_list(to, size, format, arguments);
    va_end(arguments);
    return length;
}

static void console_write(const char *text, size_t length) {
    size_t written = console_log.written;
    for (size_t i = 0; i < length; i++) console_log.buf[written++ % CONSOLE_LOG_SIZE] = text[i];
    console_log.written = written;
    uart_write(text, length);
}

void console_printf(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    const size_t length = format_text_list(line, sizeof line, format, arguments);
    va_end(arguments);
    console_write(line, length);
}
