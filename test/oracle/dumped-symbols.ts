// The symbol table as readelf prints it: evidence for names that debug info does not have.

import { programLines } from './program-lines.ts';

/** A symbol with an address; `section` is the number of its section. */
export interface DumpedSymbol {
  readonly name: string;
  readonly address: bigint;
  readonly size: bigint;
  readonly section: number;
}

const SYMBOL = /^ *\d+: ([0-9a-f]+) +(0x[0-9a-f]+|\d+) (?:FUNC|IFUNC|NOTYPE|OBJECT|TLS) +\w+ +\w+ (?:\[.*\])? +(\d+) (\S+)/;
const SECTION = /^ *\[ *(\d+)\] +\S* +\w+ +([0-9a-f]{16}) [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+ +(\w*A\w*) /;

/** The symbols of an image by address. */
export class DumpedSymbols {
  /** In rising order of address. */
  private readonly symbols: readonly DumpedSymbol[];
  private readonly byName: ReadonlyMap<string, readonly DumpedSymbol[]>;
  private readonly sections: readonly { readonly number: number; readonly start: bigint; readonly end: bigint }[];

  constructor(symbols: readonly DumpedSymbol[], sections: DumpedSymbols['sections']) {
    this.symbols = symbols.toSorted((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    this.sections = sections;
    this.byName = Map.groupBy(this.symbols, ({ name }) => name);
  }

  static async read(path: string): Promise<DumpedSymbols> {
    const symbols: DumpedSymbol[] = [];
    const sections: { number: number; start: bigint; end: bigint }[] = [];
    for await (const lines of programLines('readelf', ['-sSW', path])) {
      for (const line of lines) {
        const symbol = SYMBOL.exec(line);
        const section = symbol === null ? SECTION.exec(line) : null;
        if (symbol !== null) {
          const [, address, size, index, name] = symbol;
          symbols.push({
            name: unversioned(name!),
            address: BigInt(`0x${address!}`),
            size: BigInt(size!),
            section: Number(index),
          });
        } else if (section !== null) {
          const start = BigInt(`0x${section[2]!}`);
          sections.push({ number: Number(section[1]), start, end: start + BigInt(`0x${section[3]!}`) });
        }
      }
    }
    return new DumpedSymbols(symbols, sections);
  }

  /** Symbols of that name, whatever their version. */
  named(name: string | null): readonly DumpedSymbol[] {
    return name === null ? [] : (this.byName.get(unversioned(name)) ?? []);
  }

  /** Whether a symbol's code, as its size says, holds the address. */
  contains({ address, size }: DumpedSymbol, at: bigint): boolean {
    return address <= at && at < address + size;
  }

  /** Whether no other symbol begins between this one and the address, both being in one section. */
  isNearestBefore(symbol: DumpedSymbol, at: bigint): boolean {
    if (symbol.address > at || this.sectionOf(at) !== symbol.section) return false;
    const after = this.upperBound(symbol.address);
    return (this.symbols[after]?.address ?? at + 1n) > at;
  }

  /** Whether a symbol with a size stands where this one does and has ended before the address. */
  hasEndedBeside(symbol: DumpedSymbol, at: bigint): boolean {
    for (let index = this.upperBound(symbol.address) - 1; this.symbols[index]?.address === symbol.address; index -= 1) {
      const { address, size } = this.symbols[index]!;
      if (size > 0n && address + size <= at) return true;
    }
    return false;
  }

  /** Number of the section that is loaded at the address; −1 for none. */
  sectionOf(at: bigint): number {
    return this.sections.find(({ start, end }) => start <= at && at < end)?.number ?? -1;
  }

  private upperBound(address: bigint): number {
    let low = 0;
    let high = this.symbols.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.symbols[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** `name@VERSION` and `name@@VERSION` without the version. */
function unversioned(name: string): string {
  return name.replace(/@.*$/, '');
}
