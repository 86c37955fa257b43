// A stub's target description: architecture and registers, with its includes fetched. GDB manual, appendix G.

import { RspError } from '../error.ts';
import { quote } from '../framing/bytes.ts';
import type { XmlElement } from './xml.ts';
import { parseXml } from './xml.ts';

/** A register: gdb's name, the number of `p`, its width. `type` is gdb's (`int64`, `code_ptr`, `vec128`). */
export interface RegisterInfo {
  readonly name: string;
  readonly number: number;
  readonly bits: number;
  readonly type: string;
}

/** What a stub says its target is. `architecture` as gdb writes it (`i386:x86-64`); null where unsaid. Registers by number. */
export interface TargetDescription {
  readonly architecture: string | null;
  readonly registers: readonly RegisterInfo[];
}

const MAX_INCLUDES = 64;
const MAX_INCLUDE_DEPTH = 8;
const MAX_REGISTERS = 4096;
const MAX_REGISTER_BITS = 65_536;

/** Reads `target.xml` and what it includes through `fetch`. Throws RSP_MALFORMED, or what `fetch` throws. */
export async function readTargetDescription(fetch: (annex: string) => Promise<string>): Promise<TargetDescription> {
  const found: { architecture: string | null; registers: RegisterInfo[] } = { architecture: null, registers: [] };
  let includes = 0;
  const read = async (annex: string, depth: number): Promise<void> => {
    includes += 1;
    if (depth > MAX_INCLUDE_DEPTH || includes > MAX_INCLUDES) {
      throw new RspError('RSP_MALFORMED', `the stub's target description includes too much (at ${quote(annex)})`);
    }
    await visit(parseXml(await fetch(annex)), depth);
  };
  const visit = async (element: XmlElement, depth: number): Promise<void> => {
    if (element.name === 'xi:include') await read(element.attributes['href'] ?? '', depth + 1);
    else if (element.name === 'architecture') found.architecture = element.text.trim();
    else if (element.name === 'reg') addRegister(found.registers, element);
    for (const child of element.children) await visit(child, depth);
  };
  await read('target.xml', 0);
  return { architecture: found.architecture, registers: found.registers.sort((a, b) => a.number - b.number) };
}

function addRegister(registers: RegisterInfo[], { attributes }: XmlElement): void {
  const name = attributes['name'] ?? '';
  const bits = Number(attributes['bitsize']);
  const number = attributes['regnum'] === undefined ? (registers.at(-1)?.number ?? -1) + 1 : Number(attributes['regnum']);
  const sound =
    name !== '' && Number.isInteger(bits) && bits > 0 && bits <= MAX_REGISTER_BITS && Number.isInteger(number) && number >= 0;
  if (!sound || registers.length >= MAX_REGISTERS) {
    throw new RspError('RSP_MALFORMED', `register ${quote(name)} of the target description has no sound number or size`);
  }
  registers.push({ name, number, bits, type: attributes['type'] ?? 'int' });
}
