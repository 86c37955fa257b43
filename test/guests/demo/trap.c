// Exceptions and panics: how this unikernel dies. The text, line by line ("\r\n" on the wire):
//
//   PANIC: WHAT cpu N thread NAME
//   address 0xHEX error 0xHEX            only #PF: cr2 and the error code (also when WHAT is a stack overflow)
//   error 0xHEX                          only other exceptions that carry an error code
//   rax=0xHEX rbx=0xHEX rcx=0xHEX rdx=0xHEX
//   rsi=0xHEX rdi=0xHEX rbp=0xHEX rsp=0xHEX
//   r8=0xHEX r9=0xHEX r10=0xHEX r11=0xHEX
//   r12=0xHEX r13=0xHEX r14=0xHEX r15=0xHEX
//   rip=0xHEX rflags=0xHEX cs=0xHEX ss=0xHEX
//   cr2=0xHEX cr3=0xHEX
//   trace:
//     #0 0xHEX                           the pc itself; the following ones are return addresses
//     #1 0xHEX
//     ...
//   scan:                                only without frame pointers: stack words that point into the text, newest
//     ? 0xHEX                            first; each may be a return address or a stale leftover
//   -- halted --
//
// HEX is 16 digits in register lines, unpadded elsewhere. There are no symbols. At most 32 frames, at most 24 scanned words.
// WHAT is one of:
//   page fault (#PF), general protection (#GP), divide error (#DE), invalid opcode (#UD), … (the table below)
//   stack overflow in thread NAME
//   assertion failed: CONDITION (FILE:LINE, FUNCTION)
//   out of memory: N bytes for PURPOSE
//   abort called
//   any other words of a panic()
#include "trap.h"
#include "console.h"
#include "cpu.h"
#include "irq.h"
#include "power.h"
#include "sched.h"
#include "string.h"
#include <stdbool.h>
#include <stddef.h>

enum { MAX_FRAMES = 32, MAX_SCANNED = 24, PAGE_FAULT = 14, EXCEPTIONS = 32 };

static const struct {
    const char *name;
    bool has_error;
} exceptions[EXCEPTIONS] = {
    [0] = {"divide error (#DE)", false},
    [1] = {"debug exception (#DB)", false},
    [2] = {"non-maskable interrupt (NMI)", false},
    [3] = {"breakpoint (#BP)", false},
    [4] = {"overflow (#OF)", false},
    [5] = {"bound range exceeded (#BR)", false},
    [6] = {"invalid opcode (#UD)", false},
    [7] = {"device not available (#NM)", false},
    [8] = {"double fault (#DF)", true},
    [10] = {"invalid TSS (#TS)", true},
    [11] = {"segment not present (#NP)", true},
    [12] = {"stack segment fault (#SS)", true},
    [13] = {"general protection (#GP)", true},
    [14] = {"page fault (#PF)", true},
    [16] = {"floating point error (#MF)", false},
    [17] = {"alignment check (#AC)", true},
    [18] = {"machine check (#MC)", false},
    [19] = {"SIMD floating point error (#XM)", false},
    [20] = {"virtualization exception (#VE)", false},
    [21] = {"control protection (#CP)", true},
};

extern char text_start[], text_end[];

void (*panic_hook)(const char *title);
static char panic_message[256];
static bool panicking;

static bool in_text(uint64_t address) { return address >= (uint64_t)text_start && address < (uint64_t)text_end; }

static const char *thread_name(void) { return sched.current != NULL ? sched.current->name : "boot"; }

static void print_registers(const struct trap_frame *f) {
    console_printf("rax=0x%016lx rbx=0x%016lx rcx=0x%016lx rdx=0x%016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
    console_printf("rsi=0x%016lx rdi=0x%016lx rbp=0x%016lx rsp=0x%016lx\n", f->rsi, f->rdi, f->rbp, f->rsp);
    console_printf("r8=0x%016lx r9=0x%016lx r10=0x%016lx r11=0x%016lx\n", f->r8, f->r9, f->r10, f->r11);
    console_printf("r12=0x%016lx r13=0x%016lx r14=0x%016lx r15=0x%016lx\n", f->r12, f->r13, f->r14, f->r15);
    console_printf("rip=0x%016lx rflags=0x%016lx cs=0x%016lx ss=0x%016lx\n", f->rip, f->rflags, f->cs, f->ss);
    console_printf("cr2=0x%016lx cr3=0x%016lx\n", read_cr2(), read_cr3());
}

#ifdef DEMO_FRAME_POINTERS
static void print_trace(const struct trap_frame *frame) {
    unsigned count = 0;
    console_printf("trace:\n  #%u 0x%lx\n", count++, frame->rip);
    // After a jump into nowhere the pc tells nothing, but the call has left its return address on top of the stack.
    if (!in_text(frame->rip) && sched_stack_holds(frame->rsp, 8)) {
        const uint64_t top = *(const uint64_t *)frame->rsp;
        if (in_text(top)) console_printf("  #%u 0x%lx\n", count++, top);
    }
    uint64_t record = frame->rbp;
    while (count < MAX_FRAMES && (record & 7) == 0 && sched_stack_holds(record, 16)) {
        const uint64_t *words = (const uint64_t *)record;
        if (words[1] == 0) break;
        console_printf("  #%u 0x%lx\n", count++, words[1]);
        if (words[0] <= record) break;
        record = words[0];
    }
}
#else
static void print_trace(const struct trap_frame *frame) {
    console_printf("trace:\n  #0 0x%lx\nscan:\n", frame->rip);
    unsigned count = 0;
    for (uint64_t at = (frame->rsp + 7) & ~7ul; count < MAX_SCANNED && sched_stack_holds(at, 8); at += 8) {
        const uint64_t word = *(const uint64_t *)at;
        if (!in_text(word)) continue;
        console_printf("  ? 0x%lx\n", word);
        count++;
    }
}
#endif

/** The halt a dead guest stays in: interrupts off, for ever. */
static _Noreturn __attribute__((noinline)) void halt_dead(void) {
    for (;;) __asm__ volatile("cli; hlt");
}

static _Noreturn __attribute__((noinline)) void die(const struct trap_frame *frame, const char *what) {
    static char title[320];
    interrupts_off();
    if (panicking) {
        console_printf("PANIC: panic while panicking: %s at 0x%lx\n-- halted --\n", what, frame->rip);
        halt_dead();
    }
    panicking = true;
    format_text(title, sizeof title, "PANIC: %s cpu 0 thread %s", what, thread_name());
    if (panic_hook != NULL) panic_hook(title);
    console_printf("%s\n", title);
    if (frame->vector == PAGE_FAULT) console_printf("address 0x%lx error 0x%lx\n", read_cr2(), frame->error);
    else if (frame->vector < EXCEPTIONS && exceptions[frame->vector].has_error) console_printf("error 0x%lx\n", frame->error);
    print_registers(frame);
    print_trace(frame);
    console_printf("-- halted --\n");
    power_report_panic();
    halt_dead();
}

static _Noreturn void die_of_exception(const struct trap_frame *frame) {
    char what[64];
    const struct thread *overflowed = frame->vector == PAGE_FAULT ? sched_find_by_guard_page(read_cr2()) : NULL;
    if (overflowed != NULL) format_text(what, sizeof what, "stack overflow in thread %s", overflowed->name);
    else if (exceptions[frame->vector].name != NULL) copy_text(what, sizeof what, exceptions[frame->vector].name);
    else format_text(what, sizeof what, "exception %lu", frame->vector);
    die(frame, what);
}

void trap_handler(struct trap_frame *frame) {
    if (frame->vector >= IRQ_BASE && frame->vector < IRQ_BASE + IRQ_COUNT) irq_handle((unsigned)frame->vector - IRQ_BASE);
    else if (frame->vector == PANIC_VECTOR) die(frame, panic_message);
    else die_of_exception(frame);
}

_Noreturn void panic(const char *format, ...) {
    interrupts_off();
    va_list arguments;
    va_start(arguments, format);
    format_text_list(panic_message, sizeof panic_message, format, arguments);
    va_end(arguments);
    // The pc that is reported is behind the int: the ud2 keeps it inside this function.
    __asm__ volatile("int %0; ud2" : : "i"(PANIC_VECTOR) : "memory");
    __builtin_unreachable();
}

_Noreturn void assert_failed(const char *condition, const char *file, int line, const char *function) {
    panic("assertion failed: %s (%s:%d, %s)", condition, file, line, function);
}
