// Intel 8259A pair: what every machine type we boot on has (microvm too), and enough for a timer and PCI INTx.
// A PCI line may be shared: up to two handlers a line.
#include "irq.h"
#include "cpu.h"
#include "trap.h"
#include <stddef.h>

enum { MASTER = 0x20, SLAVE = 0xa0, DATA = 1, CASCADE = 2, END_OF_INTERRUPT = 0x20, READ_IN_SERVICE = 0x0b, SHARERS = 2 };

#define LOCAL_APIC 0xfee00000ul
enum { SPURIOUS_VECTOR = 0xf0, LOCAL_INTERRUPT_0 = 0x350, APIC_ENABLED = 0x100, EXTERNAL_INTERRUPT = 0x700 };

static void (*handlers[IRQ_COUNT][SHARERS])(void);

// Virtual wire mode: the local APIC passes the 8259's interrupt on. SeaBIOS leaves it so, microvm's qboot does not.
static void wire_through_local_apic(void) {
    volatile uint32_t *spurious = (volatile uint32_t *)(LOCAL_APIC + SPURIOUS_VECTOR);
    volatile uint32_t *pin = (volatile uint32_t *)(LOCAL_APIC + LOCAL_INTERRUPT_0);
    *spurious = APIC_ENABLED | 0xff;
    *pin = EXTERNAL_INTERRUPT;
}

void irq_init(void) {
    wire_through_local_apic();
    outb(MASTER, 0x11), outb(SLAVE, 0x11);                                // initialise, with ICW4
    outb(MASTER + DATA, IRQ_BASE), outb(SLAVE + DATA, IRQ_BASE + 8);      // vectors
    outb(MASTER + DATA, 1 << CASCADE), outb(SLAVE + DATA, CASCADE);       // wiring
    outb(MASTER + DATA, 1), outb(SLAVE + DATA, 1);                        // 8086 mode
    outb(MASTER + DATA, (uint8_t)~(1 << CASCADE)), outb(SLAVE + DATA, 0xff);
}

void irq_listen(unsigned line, void (*handler)(void)) {
    ASSERT(line < IRQ_COUNT);
    unsigned slot = 0;
    while (slot < SHARERS && handlers[line][slot] != NULL) slot++;
    ASSERT(slot < SHARERS);
    handlers[line][slot] = handler;
    const uint16_t port = line < 8 ? MASTER + DATA : SLAVE + DATA;
    outb(port, (uint8_t)(inb(port) & ~(1 << (line & 7))));
}

// Lines 7 and 15 also fire spuriously, with nothing in service: no end-of-interrupt then, but one to the master for 15.
static int is_spurious(unsigned line) {
    if ((line & 7) != 7) return 0;
    const uint16_t port = line < 8 ? MASTER : SLAVE;
    outb(port, READ_IN_SERVICE);
    return (inb(port) & 0x80) == 0;
}

void irq_handle(unsigned line) {
    if (is_spurious(line)) {
        if (line >= 8) outb(MASTER, END_OF_INTERRUPT);
        return;
    }
    for (unsigned slot = 0; slot < SHARERS; slot++)
        if (handlers[line][slot] != NULL) handlers[line][slot]();
    if (line >= 8) outb(SLAVE, END_OF_INTERRUPT);
    outb(MASTER, END_OF_INTERRUPT);
}
