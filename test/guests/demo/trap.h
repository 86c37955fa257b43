// CPU exceptions, and the panic that all of them and all software failures end in.
#pragma once
#include <stdint.h>

enum { PANIC_VECTOR = 0x70, IRQ_BASE = 32, IRQ_COUNT = 16 };

/** The interrupted state as vectors.S lays it out, lowest address first. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

/** Called by vectors.S for every exception, interrupt and panic. */
void trap_handler(struct trap_frame *frame);

/** Ends the guest with a message: registers, trace, pvpanic, dead halt. The text format is described in trap.c. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void assert_failed(const char *condition, const char *file, int line, const char *function);

#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__, __func__))

/** Called once at the start of a panic, with its first line, before anything is printed; may be null. */
extern void (*panic_hook)(const char *title);
