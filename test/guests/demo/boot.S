// Entry of the guest. PVH boot protocol (Xen's "x86/HVM direct boot ABI"): QEMU finds the XEN_ELFNOTE_PHYS32_ENTRY note,
// and enters pvh_start in 32-bit protected mode, paging off, %ebx = physical address of struct hvm_start_info.
// This file maps the first GiB with 2 MiB pages, goes to long mode and calls kernel_main(start_info).
#include "asm.h"

    .section .note.Xen, "a", @note
    .balign 4
    .long   4                       // name size
    .long   8                       // descriptor size: QEMU reads it as the ELF class's word
    .long   18                      // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz  "Xen"
    .quad   pvh_start

    .section .text.boot, "ax"
    .code32
    .globl  pvh_start
    .type   pvh_start, @function
pvh_start:
    cli
    cld
    movl    $boot_stack_top, %esp
    movl    %ebx, %esi              // kept for kernel_main

    movl    $boot_pdpt + 3, boot_pml4
    movl    $boot_pd + 3, boot_pdpt
    movl    $0x83, %eax             // present, writable, 2 MiB
    movl    $boot_pd, %edi
1:  movl    %eax, (%edi)
    addl    $0x200000, %eax
    addl    $8, %edi
    cmpl    $boot_pd + 4096, %edi
    jne     1b

    movl    %cr4, %eax
    orl     $0x20, %eax             // PAE
    movl    %eax, %cr4
    movl    $boot_pml4, %eax
    movl    %eax, %cr3
    movl    $0xc0000080, %ecx       // EFER
    rdmsr
    orl     $0x100, %eax            // long mode enable
    wrmsr
    movl    %cr0, %eax
    orl     $0x80010001, %eax       // paging, write protect, protected mode
    movl    %eax, %cr0
    lgdt    boot_gdt_pointer
    ljmp    $0x08, $long_mode_start
    .size   pvh_start, . - pvh_start

    .code64
FUNCTION(long_mode_start)
    .cfi_undefined rip              // the outermost frame: unwinding ends here
    movl    $0x10, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    xorl    %eax, %eax
    movl    %eax, %fs
    movl    %eax, %gs
    xorl    %ebp, %ebp
    movl    %esi, %edi
    call    kernel_main
    ud2
END_FUNCTION(long_mode_start)

    .section .rodata
    .balign 8
boot_gdt:
    .quad   0
    .quad   0x00af9a000000ffff      // 0x08: 64-bit code
    .quad   0x00cf92000000ffff      // 0x10: data
boot_gdt_pointer:
    .word   . - boot_gdt - 1
    .long   boot_gdt

    .bss
    .balign 4096
boot_pml4:  .skip 4096
boot_pdpt:  .skip 4096
boot_pd:    .skip 4096
    .globl  boot_stack_guard, boot_stack, boot_stack_top
boot_stack_guard:
            .skip 4096
boot_stack: .skip 16384
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
