// The first serial port, polled.
#pragma once
#include <stddef.h>

void uart_init(void);
void uart_write(const char *text, size_t length);
