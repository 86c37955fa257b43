// 16550 UART at COM1 (National Semiconductor PC16550D), polled output, 115200 8N1.
#include "uart.h"
#include "cpu.h"

enum { COM1 = 0x3f8, DATA = 0, INTERRUPT_ENABLE = 1, FIFO_CONTROL = 2, LINE_CONTROL = 3, MODEM_CONTROL = 4, LINE_STATUS = 5 };
enum { TRANSMITTER_EMPTY = 0x20, DIVISOR_LATCH = 0x80, EIGHT_BITS = 0x03 };

void uart_init(void) {
    outb(COM1 + INTERRUPT_ENABLE, 0);
    outb(COM1 + LINE_CONTROL, DIVISOR_LATCH | EIGHT_BITS);
    outb(COM1 + DATA, 1);
    outb(COM1 + INTERRUPT_ENABLE, 0);
    outb(COM1 + LINE_CONTROL, EIGHT_BITS);
    outb(COM1 + FIFO_CONTROL, 0xc7);
    outb(COM1 + MODEM_CONTROL, 0x03);
}

// A host that does not drain the port must not stop the guest for good: after a while the byte is sent anyway.
static void put_byte(char byte) {
    for (int spins = 0; spins < 1000000; spins++)
        if ((inb(COM1 + LINE_STATUS) & TRANSMITTER_EMPTY) != 0) break;
    outb(COM1 + DATA, (uint8_t)byte);
}

void uart_write(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') put_byte('\r');
        put_byte(text[i]);
    }
}
