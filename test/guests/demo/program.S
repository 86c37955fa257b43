// The Lisp program as text in the image. The build runs in the folder above demo/.
    .section .rodata
    .globl  program_text
program_text:
    .incbin "demo/program.lisp"
    .byte   0
    .section .note.GNU-stack, "", @progbits
