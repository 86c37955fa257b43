// ELF files written by hand, for what no compiler at hand makes: other byte orders and machines, odd and hostile tables.

/** A section to be; what is left out is 0. */
export interface HandmadeSection {
  readonly name: string;
  readonly type: number;
  readonly bytes?: Uint8Array;
  readonly flags?: number;
  readonly address?: bigint;
  readonly link?: number;
  readonly info?: number;
  readonly alignment?: number;
  readonly entrySize?: number;
}

/** What the bytes of a file are to say. */
export interface HandmadeElf {
  readonly bits: 32 | 64;
  readonly littleEndian: boolean;
  /** e_type and e_machine. */
  readonly type: number;
  readonly machine: number;
  /** Section 0 is added before them, the names behind. */
  readonly sections: readonly HandmadeSection[];
}

/** Appends numbers of a byte order and word size. */
export class ByteWriter {
  readonly bytes: number[] = [];
  private readonly littleEndian: boolean;
  private readonly wordSize: number;

  constructor({ bits, littleEndian }: { readonly bits: 32 | 64; readonly littleEndian: boolean }) {
    this.littleEndian = littleEndian;
    this.wordSize = bits / 8;
  }

  number(value: number | bigint, size: number): this {
    const bytes = Array.from({ length: size }, (_, index) => Number((BigInt(value) >> BigInt(8 * index)) & 0xffn));
    this.bytes.push(...(this.littleEndian ? bytes : bytes.reverse()));
    return this;
  }

  numbers(size: number, ...values: readonly (number | bigint)[]): this {
    for (const value of values) this.number(value, size);
    return this;
  }

  /** As wide as an address. */
  words(...values: readonly (number | bigint)[]): this {
    return this.numbers(this.wordSize, ...values);
  }

  append(bytes: Uint8Array): this {
    for (const byte of bytes) this.bytes.push(byte);
    return this;
  }

  get done(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }
}

/** The bytes of the file. */
export function makeElf(elf: HandmadeElf): Uint8Array {
  const headerSize = elf.bits === 64 ? 64 : 52;
  const named = [...elf.sections, { name: '.shstrtab', type: 3 }];
  const names = Buffer.from(`\0${named.map(({ name }) => `${name}\0`).join('')}`, 'latin1');
  const contents = named.map((section) => (section.name === '.shstrtab' ? names : (section.bytes ?? new Uint8Array(0))));
  const body = new ByteWriter(elf);
  const offsets = contents.map((content) => {
    while (body.bytes.length % 8 !== 0) body.bytes.push(0);
    const offset = headerSize + body.bytes.length;
    body.append(content);
    return offset;
  });
  while (body.bytes.length % 8 !== 0) body.bytes.push(0);
  const file = new ByteWriter(elf);
  file.append(
    Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, elf.bits === 64 ? 2 : 1, elf.littleEndian ? 1 : 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  );
  file.numbers(2, elf.type, elf.machine).number(1, 4);
  file.words(0, 0, headerSize + body.bytes.length).number(0, 4);
  file.numbers(2, headerSize, 0, 0, elf.bits === 64 ? 64 : 40, named.length + 1, named.length);
  file.append(body.done);
  file.append(new Uint8Array(elf.bits === 64 ? 64 : 40));
  let nameOffset = 1;
  for (const [index, section] of named.entries()) {
    file.numbers(4, nameOffset, section.type).words(section.flags ?? 0, section.address ?? 0n);
    file.words(offsets[index]!, contents[index]!.length).numbers(4, section.link ?? 0, section.info ?? 0);
    file.words(section.alignment ?? 1, section.entrySize ?? 0);
    nameOffset += section.name.length + 1;
  }
  return file.done;
}

/** A symbol to be. */
export interface HandmadeSymbol {
  readonly name?: number;
  readonly value: bigint;
  readonly section: number;
  readonly info?: number;
  readonly size?: number;
}

/** The bytes of a symbol table; symbol 0 is added before them. */
export function makeSymbols(elf: Pick<HandmadeElf, 'bits' | 'littleEndian'>, symbols: readonly HandmadeSymbol[]): Uint8Array {
  const table = new ByteWriter(elf).append(new Uint8Array(elf.bits === 64 ? 24 : 16));
  for (const { name = 0, value, section, info = 0, size = 0 } of symbols) {
    table.number(name, 4);
    if (elf.bits === 32) table.words(value, size);
    table.numbers(1, info, 0).number(section, 2);
    if (elf.bits === 64) table.words(value, size);
  }
  return table.done;
}
