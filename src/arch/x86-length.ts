// The length of an x86 instruction and where its parts lie (Intel SDM vol. 2, chapter 2 and appendix A): opcode maps, VEX and
// EVEX included. Just enough to walk over code; what an instruction does is for the reader of the bytes.

/** A decoded instruction. `opcode` is 0x0f00 + byte for the two-byte map, −1 for anything beyond it; offsets are into the code. */
export interface X86Instruction {
  readonly length: number;
  readonly opcode: number;
  /** −1 when there is none. */
  readonly modrm: number;
  /** The REX prefix, 0 when there is none. */
  readonly rex: number;
  /** Signed immediate of 1 or 4 bytes; 0 for other sizes and none. */
  readonly immediate: number;
  /** Signed displacement of the memory operand; 0 when there is none. */
  readonly displacement: number;
  /** The SIB byte; −1 when there is none. */
  readonly sib: number;
}

const PREFIXES = new Set([0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65]);
const MAX_LENGTH = 15;

/** Decodes the instruction at `start`; null when the bytes end within it or it is longer than the CPU allows. */
export function decodeX86(code: Uint8Array, start: number, wide: boolean): X86Instruction | null {
  let at = start;
  let operand16 = false;
  while (PREFIXES.has(code[at] ?? -1) && at - start < MAX_LENGTH) {
    if (code[at] === 0x66) operand16 = true;
    at += 1;
  }
  let rex = 0;
  if (wide && ((code[at] ?? 0) & 0xf0) === 0x40) rex = code[at++]!;
  const byte = code[at++] ?? -1;
  if (byte < 0) return null;
  const vex = vexMap(code, at, byte, wide);
  if (vex !== null)
    return finish(code, start, vex.at + 1, { opcode: -1, rex: 0, hasModrm: vex.hasModrm, immediate: vex.immediate });
  if (byte !== 0x0f) {
    const hasModrm = oneByteHasModrm(byte);
    return finish(code, start, at, {
      opcode: byte,
      rex,
      hasModrm,
      immediate: oneByteImmediate(byte, code[at] ?? 0, operand16, rex, wide),
    });
  }
  const second = code[at++] ?? -1;
  if (second === 0x38 || second === 0x3a)
    return finish(code, start, at + 1, { opcode: -1, rex, hasModrm: true, immediate: second === 0x3a ? 1 : 0 });
  const near = second >= 0x80 && second <= 0x8f;
  const immediate = near ? (operand16 && !wide ? 2 : 4) : twoByteImmediate(second);
  return finish(code, start, at, { opcode: 0x0f00 + second, rex, hasModrm: twoByteHasModrm(second), immediate });
}

interface Shape {
  readonly opcode: number;
  readonly rex: number;
  readonly hasModrm: boolean;
  readonly immediate: number;
}

function finish(code: Uint8Array, start: number, afterOpcode: number, shape: Shape): X86Instruction | null {
  let at = afterOpcode;
  let modrm = -1;
  let sib = -1;
  let displacement = 0;
  if (shape.hasModrm) {
    modrm = code[at++] ?? 0;
    const mod = modrm >> 6;
    if (mod !== 3 && (modrm & 7) === 4) sib = code[at++] ?? 0;
    const size = mod === 1 ? 1 : mod === 2 || (mod === 0 && ((modrm & 7) === 5 || (sib >= 0 && (sib & 7) === 5))) ? 4 : 0;
    displacement = signedAt(code, at, size);
    at += size;
  }
  const immediate = signedAt(code, at, shape.immediate);
  at += shape.immediate;
  const length = at - start;
  if (at > code.length || length > MAX_LENGTH) return null;
  return { length, opcode: shape.opcode, modrm, rex: shape.rex, immediate, displacement, sib };
}

function signedAt(code: Uint8Array, at: number, size: number): number {
  if (size === 1) return ((code[at] ?? 0) << 24) >> 24;
  if (size !== 4) return 0;
  return (code[at] ?? 0) | ((code[at + 1] ?? 0) << 8) | ((code[at + 2] ?? 0) << 16) | ((code[at + 3] ?? 0) << 24);
}

/** For c5, c4 and 62 as VEX and EVEX: where the opcode lies and what follows it. Outside 64-bit code a memory ModRM means LDS, LES, BOUND. */
function vexMap(
  code: Uint8Array,
  at: number,
  byte: number,
  wide: boolean,
): { at: number; hasModrm: boolean; immediate: number } | null {
  if (byte !== 0xc5 && byte !== 0xc4 && byte !== 0x62) return null;
  const payload = code[at] ?? 0;
  if (!wide && payload < 0xc0) return null;
  const size = byte === 0xc5 ? 1 : byte === 0xc4 ? 2 : 3;
  const map = byte === 0xc5 ? 1 : payload & (byte === 0xc4 ? 0x1f : 0x07);
  const opcode = code[at + size] ?? 0;
  const immediate = map === 3 ? 1 : map === 1 ? twoByteImmediate(opcode) : 0;
  return { at: at + size, hasModrm: !(map === 1 && opcode === 0x77), immediate };
}

function oneByteHasModrm(byte: number): boolean {
  if (byte < 0x40) return (byte & 4) === 0;
  if ([0x62, 0x63, 0x69, 0x6b, 0xc0, 0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff].includes(byte)) return true;
  return (byte >= 0x80 && byte <= 0x8f) || (byte >= 0xd0 && byte <= 0xd3) || (byte >= 0xd8 && byte <= 0xdf);
}

const IMMEDIATE_8 = new Set([
  0x6a, 0x6b, 0x80, 0x82, 0x83, 0xa8, 0xc0, 0xc1, 0xc6, 0xcd, 0xd4, 0xd5, 0xe4, 0xe5, 0xe6, 0xe7, 0xeb,
]);
const IMMEDIATE_FULL = new Set([0x68, 0x69, 0x81, 0xa9, 0xc7, 0xe8, 0xe9]);

function oneByteImmediate(byte: number, modrm: number, operand16: boolean, rex: number, wide: boolean): number {
  // Near branches ignore the operand-size prefix in 64-bit code.
  const full = operand16 && !(wide && (byte === 0xe8 || byte === 0xe9)) ? 2 : 4;
  if (byte < 0x40) return (byte & 7) === 4 ? 1 : (byte & 7) === 5 ? full : 0;
  if (IMMEDIATE_8.has(byte) || (byte >= 0x70 && byte <= 0x7f) || (byte >= 0xb0 && byte <= 0xb7) || (byte >= 0xe0 && byte <= 0xe3))
    return 1;
  if (IMMEDIATE_FULL.has(byte)) return full;
  if (byte >= 0xb8 && byte <= 0xbf) return (rex & 8) !== 0 ? 8 : full;
  if (byte >= 0xa0 && byte <= 0xa3) return wide ? 8 : 4;
  if (byte === 0xc2 || byte === 0xca) return 2;
  if (byte === 0xc8) return 3;
  if (byte === 0xf6 || byte === 0xf7) return (modrm & 0x30) !== 0 ? 0 : byte === 0xf6 ? 1 : full;
  return byte === 0x9a || byte === 0xea ? full + 2 : 0;
}

function twoByteHasModrm(byte: number): boolean {
  if (byte >= 0x05 && byte <= 0x0b) return false;
  if (byte === 0x0e || byte === 0x77 || byte === 0xa2) return false;
  if (byte >= 0x30 && byte <= 0x37) return false;
  if (byte >= 0x80 && byte <= 0x8f) return false;
  return !((byte >= 0xa0 && byte <= 0xa1) || (byte >= 0xa8 && byte <= 0xaa) || (byte >= 0xc8 && byte <= 0xcf));
}

function twoByteImmediate(byte: number): number {
  const hasImmediate = (byte >= 0x70 && byte <= 0x73) || [0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6].includes(byte);
  return hasImmediate ? 1 : 0;
}
