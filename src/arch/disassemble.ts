// Instructions as text, by Capstone. Loaded lazily by whoever shows them: it is 1.5 MB of WASM.

import load, { type Capstone } from '@alexaltea/capstone-js';
import type { Address } from '../model/address.ts';
import type { Machine } from '../model/machine.ts';

/** One instruction, or bytes that are none (`.byte 0x06`). */
export interface DisassembledInstruction {
  readonly address: Address;
  readonly length: number;
  readonly text: string;
}

let loading: Promise<Capstone> | null = null;

/** Disassembles `bytes` from `address` on to their end; an instruction cut off by the end is shown as bytes. Never throws on any bytes. */
export async function disassemble(machine: Machine, bytes: Uint8Array, address: Address): Promise<DisassembledInstruction[]> {
  loading ??= load();
  const capstone = await loading;
  const decoder = new capstone.Capstone(...dialectOf(machine, capstone));
  try {
    const result: DisassembledInstruction[] = [];
    for (let at = 0; at < bytes.length; ) {
      const found = decodeFrom(decoder, bytes.subarray(at), address + BigInt(at));
      result.push(...found);
      at += found.reduce((sum, { length }) => sum + length, 0);
    }
    return result;
  } finally {
    decoder.close();
  }
}

type Decoder = InstanceType<Capstone['Capstone']>;

/** As many instructions as decode in a row; where none does, one unit of bytes. */
function decodeFrom(decoder: Decoder, bytes: Uint8Array, address: Address): DisassembledInstruction[] {
  let length = 0;
  const found = tryDecode(decoder, bytes, address).map(({ size, mnemonic, op_str: operands }) => {
    const at = address + BigInt(length);
    length += size;
    return { address: at, length: size, text: `${mnemonic} ${operands}`.trimEnd() };
  });
  return found.length > 0 ? found : [{ address, length: 1, text: `.byte 0x${bytes[0]!.toString(16).padStart(2, '0')}` }];
}

function tryDecode(decoder: Decoder, bytes: Uint8Array, address: Address): ReturnType<Decoder['disasm']> {
  try {
    return decoder.disasm(bytes, address);
  } catch {
    // "Failed to disassemble": not one instruction here.
    return [];
  }
}

function dialectOf(machine: Machine, capstone: Capstone): [architecture: number, mode: number] {
  switch (machine) {
    case 'x86_64':
      return [capstone.ARCH_X86, capstone.MODE_64];
    case 'i386':
      return [capstone.ARCH_X86, capstone.MODE_32];
    case 'aarch64':
      return [capstone.ARCH_ARM64, capstone.MODE_LITTLE_ENDIAN];
    case 'riscv64':
      return [capstone.ARCH_RISCV, capstone.MODE_RISCV64 | capstone.MODE_RISCVC];
  }
}
