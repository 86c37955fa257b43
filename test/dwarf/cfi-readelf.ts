// What readelf says of call frame information, read back from its text: the oracle of the CFI tests.

import { execFileSync } from 'node:child_process';

/** One FDE as `readelf --debug-dump=frames-interp` prints it. */
export interface ReadelfFde {
  readonly section: string;
  readonly offset: number;
  readonly start: bigint;
  readonly end: bigint;
  /** Location, CFA and each printed register, as readelf words them (`rsp+8`, `c-16`, `exp`, `u`). Empty when the row is the CIE's. */
  readonly rows: readonly { readonly location: bigint; readonly cfa: string; readonly rules: ReadonlyMap<string, string> }[];
}

/** All FDEs of a file, in file order. */
export function readelfFrames(path: string): ReadelfFde[] {
  const text = execFileSync('readelf', ['--debug-dump=no-follow-links,frames-interp', '--wide', path], {
    encoding: 'latin1',
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const fdes: ReadelfFde[] = [];
  let section = '';
  let columns: string[] = [];
  let rows: { location: bigint; cfa: string; rules: Map<string, string> }[] = [];
  for (const line of text.split('\n')) {
    const title = /^Contents of the (\S+) section/.exec(line);
    const entry = /^([0-9a-f]+) [0-9a-f]+ [0-9a-f]+ (CIE|FDE cie=[0-9a-f]+ pc=([0-9a-f]+)\.\.([0-9a-f]+))/.exec(line);
    if (title !== null) section = title[1]!;
    else if (entry !== null) {
      rows = [];
      if (entry[2] === 'CIE') continue;
      fdes.push({
        section,
        offset: Number.parseInt(entry[1]!, 16),
        start: BigInt(`0x${entry[3]!}`),
        end: BigInt(`0x${entry[4]!}`),
        rows,
      });
    } else if (/^\s+LOC\s/.test(line)) columns = line.trim().split(/\s+/).slice(2);
    else if (/^[0-9a-f]+ (?!ZERO)\S/.test(line)) {
      // A register is printed by its DWARF number with its name behind it: `r3 (rbx)`.
      const [location, cfa, ...rest] = line
        .trim()
        .replaceAll(/r\d+ \((\w+)\)/g, '$1')
        .split(/\s+/);
      rows.push({ location: BigInt(`0x${location!}`), cfa: cfa!, rules: new Map(columns.map((name, at) => [name, rest[at]!])) });
    }
  }
  return fdes;
}
