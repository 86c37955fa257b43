// One process of the speed tables: opens an image, looks addresses up, prints how long that took and how much memory it needed.
//   node bench/symbols/locate.ts IMAGE ADDRESS          one address, cold
//   node bench/symbols/locate.ts IMAGE < ADDRESSES      all of them twice: the first pass cold, the second warm

import { readFileSync } from 'node:fs';
import { openImage } from '../../src/symbolize/image.ts';

/** What one process measured: milliseconds of each pass, frames found in one, and the largest resident set in bytes. */
export interface Measured {
  readonly passes: readonly number[];
  readonly frames: number;
  readonly residentBytes: number;
}

if (process.argv[1] === import.meta.filename) {
  const [path, address] = process.argv.slice(2);
  const addresses = (address === undefined ? readFileSync(0, 'latin1').trim().split('\n') : [address]).map(BigInt);
  const passes: number[] = [];
  let frames = 0;
  let started = performance.now();
  const image = openImage(path!);
  for (let pass = 0; pass < (address === undefined ? 2 : 1); pass += 1) {
    frames = addresses.reduce((sum, one) => sum + image.locate(one).length, 0);
    passes.push(performance.now() - started);
    started = performance.now();
  }
  const measured: Measured = { passes, frames, residentBytes: process.resourceUsage().maxRSS * 1024 };
  process.stdout.write(`${JSON.stringify(measured)}\n`);
}
