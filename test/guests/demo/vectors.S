// Trap and interrupt entries. Each vector brings the stack to struct trap_frame (trap.h) and calls trap_handler(frame).
//
// CFI: every entry is a signal frame. The CPU pushed ss, rsp, rflags, cs, rip; the CFA is the address above them, so the
// interrupted rip is at CFA-40, rflags at CFA-24, and rsp at CFA-16 (an explicit rule: with an IST stack, and because the
// CPU aligns, the CFA is not the interrupted rsp). A second link {rbp, rip} is pushed so that a pure frame-pointer walk
// also goes through.
#include "asm.h"

.macro VECTOR number, has_error
    .balign 16
    .type   vector_\number, @function
vector_\number:
    .cfi_startproc
    .cfi_signal_frame
    .if \has_error
    .cfi_def_cfa rsp, 48
    .else
    .cfi_def_cfa rsp, 40
    .endif
    .cfi_offset rip, -40
    .cfi_offset rflags, -24
    .cfi_offset rsp, -16
    .ifeq \has_error
    pushq   $0
    .cfi_adjust_cfa_offset 8
    .endif
    pushq   $\number
    .cfi_adjust_cfa_offset 8
    jmp     trap_entry
    .cfi_endproc
    .size   vector_\number, . - vector_\number
    .pushsection .rodata.vectors, "a"
    .quad   \number, vector_\number
    .popsection
.endm

.macro SAVE register
    pushq   %\register
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset \register, 0
.endm

.macro RESTORE register
    popq    %\register
    .cfi_adjust_cfa_offset -8
    .cfi_restore \register
.endm

    .section .rodata.vectors, "a"
    .balign 8
    .globl  vector_table
vector_table:                       // pairs {number, entry}, ended by vector_table_end

    .text
    .irp    n, 0,1,2,3,4,5,6,7,9,15,16,18,19,20,22,23,24,25,26,27,28,31
    VECTOR  \n, 0
    .endr
    .irp    n, 8,10,11,12,13,14,17,21,29,30
    VECTOR  \n, 1
    .endr
    .irp    n, 32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47
    VECTOR  \n, 0
    .endr
    VECTOR  112, 0                  // PANIC_VECTOR (trap.h): a panic by software

    .section .rodata.vectors, "a"
    .globl  vector_table_end
vector_table_end:

    .text
    .type   trap_entry, @function
trap_entry:
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa rsp, 56
    .cfi_offset rip, -40
    .cfi_offset rflags, -24
    .cfi_offset rsp, -16
    SAVE    rax
    SAVE    rbx
    SAVE    rcx
    SAVE    rdx
    SAVE    rsi
    SAVE    rdi
    SAVE    rbp
    SAVE    r8
    SAVE    r9
    SAVE    r10
    SAVE    r11
    SAVE    r12
    SAVE    r13
    SAVE    r14
    SAVE    r15
    cld
    movq    %rsp, %rdi
    pushq   136(%rsp)               // trap_frame.rip, as a return address for frame-pointer walks
    .cfi_adjust_cfa_offset 8
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    movq    %rsp, %rbp
    call    trap_handler
    addq    $16, %rsp
    .cfi_adjust_cfa_offset -16
    RESTORE r15
    RESTORE r14
    RESTORE r13
    RESTORE r12
    RESTORE r11
    RESTORE r10
    RESTORE r9
    RESTORE r8
    RESTORE rbp
    RESTORE rdi
    RESTORE rsi
    RESTORE rdx
    RESTORE rcx
    RESTORE rbx
    RESTORE rax
    addq    $16, %rsp               // vector and error code
    .cfi_adjust_cfa_offset -16
    iretq
    .cfi_endproc
    .size   trap_entry, . - trap_entry

    .section .note.GNU-stack, "", @progbits
