// switch_context(struct context *from, struct context *to): the cooperative context switch.
//
// A suspended thread is {rsp, rbp, rip} in its struct context: rip is switch_resume, rbp a frame record, rsp the lowest of
// the saved registers. Both stacks have the same layout around the instruction that swaps them, so one CFI row is right on
// either side of it, and a suspended thread unwinds from its context by CFI or by frame pointer alike.
#include "asm.h"

    .text
FUNCTION(switch_context)
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    movq    %rsp, %rbp
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r14, 0
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r15, 0
    leaq    switch_resume(%rip), %rax
    movq    %rsp, 0(%rdi)
    movq    %rbp, 8(%rdi)
    movq    %rax, 16(%rdi)
    movq    0(%rsi), %rsp
    .globl  switch_resume
switch_resume:
    popq    %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore r15
    popq    %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore r14
    popq    %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq    %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    ret
END_FUNCTION(switch_context)

// A new thread's first switch returns here (sched.c lays the stack out): the outermost frame of every thread.
// The nop makes that a return address like any other: the byte before it is thread_start's own.
FUNCTION(thread_start)
    .cfi_undefined rip
    nop
    .globl  thread_start_return
thread_start_return:
    xorl    %ebp, %ebp
    sti
    call    thread_main
    ud2
END_FUNCTION(thread_start)

    .section .note.GNU-stack, "", @progbits
