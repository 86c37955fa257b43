// HMP `info registers -a` → register files. The text is QEMU's <target>_cpu_dump_state (target/i386/cpu-dump.c,
// target/arm/cpu.c, target/riscv/cpu.c); it has changed between versions, so it is scanned for `KEY=hex…` wherever they
// stand, never for lines or order.

import type { Machine } from '../model/machine.ts';
import type { Registers, VcpuRegisters } from '../model/registers.ts';

/** Register files by vCPU, in the order printed. `machine` is what the QEMU binary emulates. Unknown text gives none. */
export function parseRegisters(text: string, machine: Machine): VcpuRegisters[] {
  const found: VcpuRegisters[] = [];
  for (const { vcpu, body } of splitByVcpu(text)) {
    const registers = readFile(body, machine);
    if (Object.keys(registers.values).length > 0) found.push({ vcpu, registers });
  }
  return found;
}

function readFile(body: string, machine: Machine): Registers {
  if (machine === 'aarch64') return { machine, values: readAarch64(body) };
  if (machine === 'riscv64') return { machine, values: readRiscv64(body) };
  return readX86(body);
}

/** `CPU#0` heads each vCPU's part; without any head (`info registers` of some versions) the text is one vCPU's, number 0. */
function splitByVcpu(text: string): { vcpu: number; body: string }[] {
  const heads = [...text.matchAll(/^\*?\s*CPU\s*#\s*(\d{1,5})/gm)];
  if (heads.length === 0) return [{ vcpu: 0, body: text }];
  return heads.map((head, index) => ({
    vcpu: Number(head[1]),
    body: text.slice(head.index + head[0].length, heads[index + 1]?.index ?? text.length),
  }));
}

/** `KEY=hex hex …` pairs of a text. Keys are upper case and hex digits lower case in every version, which keeps them apart. */
function scanPairs(body: string): Map<string, bigint[]> {
  const pairs = new Map<string, bigint[]>();
  for (const [, key, values] of body.matchAll(/([A-Z][A-Z0-9_]*) *= *([0-9a-f]{1,16}(?: [0-9a-f]{1,16})*)(?![0-9a-zA-Z])/g)) {
    pairs.set(
      key!,
      values!.split(' ').map((value) => BigInt(`0x${value}`)),
    );
  }
  return pairs;
}

const X86_GENERAL = ['AX', 'BX', 'CX', 'DX', 'SI', 'DI', 'BP', 'SP', 'IP'];
const X86_SEGMENTS = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'];
const X86_SYSTEM = ['CR0', 'CR2', 'CR3', 'CR4', 'CR8', 'EFER'];

/** QEMU prints RAX… in 64-bit mode and EAX… in every other, also on qemu-system-x86_64: then the file is an i386 one. */
function readX86(body: string): Registers {
  const pairs = scanPairs(body);
  const wide = pairs.has('RIP');
  const values: Record<string, bigint> = {};
  const put = (name: string, value: bigint | undefined): void => {
    if (value !== undefined) values[name] = value;
  };
  for (const name of X86_GENERAL) put(`${wide ? 'r' : 'e'}${name.toLowerCase()}`, pairs.get(`${wide ? 'R' : 'E'}${name}`)?.[0]);
  if (wide) for (let index = 8; index < 16; index += 1) put(`r${index}`, pairs.get(`R${index}`)?.[0]);
  put('eflags', (pairs.get('RFL') ?? pairs.get('EFL'))?.[0]);
  for (const name of X86_SEGMENTS) {
    // selector, base, limit, flags
    put(name.toLowerCase(), pairs.get(name)?.[0]);
    // Outside 64-bit mode code and stack have bases too: linear pc = cs_base + eip (reset: 0xffff0000 + 0xfff0).
    if (!wide || name === 'FS' || name === 'GS') put(`${name.toLowerCase()}_base`, pairs.get(name)?.[1]);
  }
  put('gdt_base', pairs.get('GDT')?.[0]);
  put('idt_base', pairs.get('IDT')?.[0]);
  for (const name of X86_SYSTEM) put(name.toLowerCase(), pairs.get(name)?.[0]);
  put('k_gs_base', pairs.get('KERNELGS')?.[0]);
  put('halted', pairs.get('HLT')?.[0]);
  return { machine: wide ? 'x86_64' : 'i386', values };
}

function readAarch64(body: string): Record<string, bigint> {
  const values: Record<string, bigint> = {};
  for (const [key, [value]] of scanPairs(body)) {
    if (value === undefined) continue;
    const general = /^X(\d{2})$/.exec(key)?.[1];
    if (general !== undefined) values[`x${Number(general)}`] = value;
    else if (key === 'PC' || key === 'SP') values[key.toLowerCase()] = value;
    else if (key === 'PSTATE') values['cpsr'] = value;
  }
  return values;
}

/** ` pc ffffffff80002b6c`, ` x1/ra 0000…`, CSRs by their names. */
function readRiscv64(body: string): Record<string, bigint> {
  const values: Record<string, bigint> = {};
  for (const [, name, value] of body.matchAll(/(?:^|\s)(?:x\d{1,2}\/)?([a-z][a-z0-9]{1,9})\s+([0-9a-f]{8,16})(?=\s|$)/g)) {
    // The f registers follow in the same form; their names (ft0, fa0, fs0) never clash with these.
    values[name!] ??= BigInt(`0x${value!}`);
  }
  return values;
}
