// x86-64 instructions that C cannot say.
#pragma once
#include <stdint.h>

// Also at -Og: the halt of an idle CPU then lies in sched_run, and not in a function of its own.
#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE void outb(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static ALWAYS_INLINE void outw(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static ALWAYS_INLINE void outl(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

static ALWAYS_INLINE uint8_t inb(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static ALWAYS_INLINE uint32_t inl(uint16_t port) {
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static ALWAYS_INLINE uint64_t read_tsc(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static ALWAYS_INLINE uint64_t read_msr(uint32_t msr) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static ALWAYS_INLINE void write_msr(uint32_t msr, uint64_t value) {
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static ALWAYS_INLINE uint64_t read_cr2(void) {
    uint64_t value;
    __asm__ volatile("movq %%cr2, %0" : "=r"(value));
    return value;
}

static ALWAYS_INLINE uint64_t read_cr3(void) {
    uint64_t value;
    __asm__ volatile("movq %%cr3, %0" : "=r"(value));
    return value;
}

static ALWAYS_INLINE void write_cr3(uint64_t value) { __asm__ volatile("movq %0, %%cr3" : : "r"(value) : "memory"); }
static ALWAYS_INLINE void invalidate_page(uint64_t address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }

/** The EDX feature word of an extended CPUID leaf. */
static ALWAYS_INLINE uint32_t cpuid_edx(uint32_t leaf) {
    uint32_t a = leaf, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return d;
}

static ALWAYS_INLINE void interrupts_off(void) { __asm__ volatile("cli" : : : "memory"); }
static ALWAYS_INLINE void interrupts_on(void) { __asm__ volatile("sti" : : : "memory"); }
/** Sleeps until an interrupt; enabling and halting are one step, so a wake-up cannot be missed. */
static ALWAYS_INLINE void interrupts_on_and_halt(void) { __asm__ volatile("sti; hlt" : : : "memory"); }
static ALWAYS_INLINE void compiler_barrier(void) { __asm__ volatile("" : : : "memory"); }
static ALWAYS_INLINE void memory_barrier(void) { __asm__ volatile("mfence" : : : "memory"); }
