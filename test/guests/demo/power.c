// isa-debug-exit (iobase 0xf4 as everybody sets it, 0x501 by default), ACPI power-off at the ports SeaBIOS gives q35 and
// pc, pvpanic at 0x505 (QEMU docs/specs/pvpanic.rst), and the triple fault.
#include "power.h"
#include "cpu.h"

enum { DEBUG_EXIT = 0xf4, DEBUG_EXIT_DEFAULT = 0x501, ACPI_CONTROL = 0x604, SLEEP_ENABLE_S5 = 0x2000, DELAY_PORT = 0x80 };
enum { PVPANIC = 0x505, PVPANIC_PANICKED = 1, NO_DEVICE = 0xff };

void power_report_panic(void) {
    const uint8_t events = inb(PVPANIC);
    if (events != NO_DEVICE && (events & PVPANIC_PANICKED) != 0) outb(PVPANIC, PVPANIC_PANICKED);
}

_Noreturn void power_triple_fault(void) {
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_idt = {0, 0};
    __asm__ volatile("lidt %0; int3" : : "m"(no_idt)); // dies: triple
    for (;;) __asm__ volatile("cli; hlt");
}

_Noreturn void power_exit(uint8_t code) {
    interrupts_off();
    outb(DEBUG_EXIT, code);
    outb(DEBUG_EXIT_DEFAULT, code);
    outw(ACPI_CONTROL, SLEEP_ENABLE_S5);
    // QEMU takes its time: a machine that knows no S5 (microvm) is left by the triple fault, no other one.
    for (int pause = 0; pause < 1000000; pause++) outb(DELAY_PORT, 0);
    power_triple_fault();
}
