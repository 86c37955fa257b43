// The part of @alexaltea/capstone-js (Capstone 5 compiled to WASM, no types of its own) that we use.

declare module '@alexaltea/capstone-js' {
  export interface Instruction {
    readonly address: number | bigint;
    readonly size: number;
    readonly mnemonic: string;
    readonly op_str: string;
  }
  export interface Capstone {
    readonly ARCH_X86: number;
    readonly ARCH_ARM64: number;
    readonly ARCH_RISCV: number;
    readonly MODE_LITTLE_ENDIAN: number;
    readonly MODE_32: number;
    readonly MODE_64: number;
    readonly MODE_RISCV64: number;
    readonly MODE_RISCVC: number;
    readonly Capstone: new (
      architecture: number,
      mode: number,
    ) => {
      /** Decodes until the first byte that is no instruction; throws when that is the very first. */
      disasm(bytes: Uint8Array | readonly number[], address: number | bigint, count?: number): readonly Instruction[];
      close(): void;
    };
  }
  export default function load(): Promise<Capstone>;
}
