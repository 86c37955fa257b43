// The instruction sets unidbg knows, by the names QEMU and GNU use.

/** The guest's instruction set architecture. */
export type Machine = 'x86_64' | 'i386' | 'aarch64' | 'riscv64';
