// Ways to end the machine.
#pragma once
#include <stdint.h>

/** Ends QEMU with status code*2+1 by isa-debug-exit, else powers off by ACPI, else resets, else halts. */
_Noreturn void power_exit(uint8_t code);
/** Tells the pvpanic device, when there is one. */
void power_report_panic(void);
/** Resets the machine by a triple fault. */
_Noreturn void power_triple_fault(void);
