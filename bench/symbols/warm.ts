// Many addresses, when all tables are known: 100,000 random ones, a second time.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { openImage } from '../../src/symbolize/image.ts';
import { median } from '../statistics.ts';
import { formatCount, formatMs, type Section } from '../table.ts';
import { feedLlvm } from './coprocess.ts';
import type { Measured } from './locate.ts';

const ADDRESSES = 100_000;
const ROUNDS = 3;

/** The table for one image. */
export async function measureWarm(path: string): Promise<Section> {
  const addresses = randomAddresses(path, ADDRESSES);
  const ours: Measured[] = [];
  const theirs: { passes: readonly number[]; residentBytes: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    ours.push(locateAll(path, addresses));
    theirs.push(await feedLlvm(path, addresses, 2));
  }
  const row = (name: string, runs: readonly { passes: readonly number[]; residentBytes: number }[]): string[] => {
    const [cold, warm] = [0, 1].map((pass) => median(runs.map(({ passes }) => passes[pass]!)));
    const memory = median(runs.map(({ residentBytes }) => residentBytes));
    return [name, formatMs(cold!), formatMs(warm!), formatCount((ADDRESSES / warm!) * 1000), `${(memory / 1e6).toFixed(0)} MB`];
  };
  return {
    title: 'Symbols: 100,000 random addresses',
    about: `Function, file, line and inlined calls of random addresses in the code of the same image. Median of ${ROUNDS} runs, in turn. The first pass reads what the addresses need, the second finds it in memory. llvm-symbolizer is one process fed on its standard input; unidbg answers in process.`,
    columns: ['tool', 'first pass', 'second pass', 'addresses a second, warm', 'memory'],
    rows: [row('unidbg', ours), row('llvm-symbolizer', theirs)],
    remarks: [`${formatCount(ours[0]!.frames)} frames in all, inlined ones included.`],
  };
}

function locateAll(path: string, addresses: readonly bigint[]): Measured {
  const input = addresses.map((address) => `0x${address.toString(16)}\n`).join('');
  const { stdout } = spawnSync(process.execPath, [join(import.meta.dirname, 'locate.ts'), path], { input, encoding: 'utf8' });
  return JSON.parse(stdout) as Measured;
}

/** Uniformly random addresses of `.text`, the same ones in every run. */
function randomAddresses(path: string, count: number): bigint[] {
  const image = openImage(path);
  const text = image.elf.findSection('.text')!;
  image.close();
  let state = 0x9e3779b9;
  return Array.from({ length: count }, () => {
    // xorshift32 (Marsaglia 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return text.address + BigInt(Math.floor(((state >>> 0) / 2 ** 32) * text.size));
  });
}
