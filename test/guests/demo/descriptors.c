// GDT, TSS and IDT (Intel SDM vol. 3, 5.8 and 6.14). #DF and #PF run on stacks of their own (IST 1 and 2), so that a thread
// which has run off its stack into the guard page can still be reported.
#include "descriptors.h"
#include <stdint.h>

enum { CODE_SELECTOR = 0x08, TSS_SELECTOR = 0x18, IST_STACK_SIZE = 8192, VECTORS = 256 };
enum { DOUBLE_FAULT = 8, PAGE_FAULT = 14, DOUBLE_FAULT_IST = 1, PAGE_FAULT_IST = 2, INTERRUPT_GATE = 0x8e };

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct task_state {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_map_base;
} __attribute__((packed));

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct vector {
    uint64_t number, entry;
};
extern const struct vector vector_table[], vector_table_end[];

static uint64_t gdt[5] = {0, 0x00af9a000000ffff, 0x00cf92000000ffff};
static struct gate idt[VECTORS];
static struct task_state tss;
static uint8_t double_fault_stack[IST_STACK_SIZE] __attribute__((aligned(16)));
static uint8_t page_fault_stack[IST_STACK_SIZE] __attribute__((aligned(16)));

static void load_gdt_and_tss(void) {
    const uint64_t base = (uint64_t)&tss;
    tss.ist[DOUBLE_FAULT_IST - 1] = (uint64_t)(double_fault_stack + IST_STACK_SIZE);
    tss.ist[PAGE_FAULT_IST - 1] = (uint64_t)(page_fault_stack + IST_STACK_SIZE);
    tss.io_map_base = sizeof tss;
    gdt[3] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    gdt[4] = base >> 32;
    const struct table_pointer pointer = {sizeof gdt - 1, (uint64_t)gdt};
    __asm__ volatile("lgdt %0; ltr %w1" : : "m"(pointer), "r"(TSS_SELECTOR));
}

static void load_idt(void) {
    for (const struct vector *v = vector_table; v < vector_table_end; v++) {
        idt[v->number] = (struct gate){
            .offset_low = v->entry & 0xffff,
            .selector = CODE_SELECTOR,
            .ist = v->number == DOUBLE_FAULT ? DOUBLE_FAULT_IST : v->number == PAGE_FAULT ? PAGE_FAULT_IST : 0,
            .type = INTERRUPT_GATE,
            .offset_middle = v->entry >> 16 & 0xffff,
            .offset_high = (uint32_t)(v->entry >> 32),
        };
    }
    const struct table_pointer pointer = {sizeof idt - 1, (uint64_t)idt};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void descriptors_init(void) {
    load_gdt_and_tss();
    load_idt();
}
