// The whole comparison: every image of the corpus, unidbg beside llvm-symbolizer, eu-addr2line and addr2line; writes results.md.
//   npm run compare:symbols                          an hour when nothing is in the cache, ten minutes afterwards
//   node test/oracle/compare.ts --only 'gcc, DWARF 5'   those images, printed only
//   … --image FILE …                                  other images, before the corpus
//   … --cache FOLDER --count N

import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheFolder } from '../../bench/symbols/images.ts';
import { compareImage, type ImageResult } from './compare-image.ts';
import { type CorpusImage, corpus, givenImage } from './corpus.ts';
import { formatReport, formatRow, isExplained } from './report.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    cache: { type: 'string', default: join(cacheFolder(), 'symbols') },
    count: { type: 'string', default: '100000' },
    image: { type: 'string', multiple: true, default: [] },
  },
});

const given = values.image.map(
  (path): CorpusImage => ({ name: basename(path), make: async () => givenImage(basename(path), path) }),
);
const wanted = corpus().filter(({ name }) => values.only === undefined || name.includes(values.only));
const isWhole = values.only === undefined && given.length === 0;
const results: ImageResult[] = [];
const missing: string[] = [];
const report = (): string => {
  const left = (isWhole ? wanted.slice(results.length + missing.length) : []).map(({ name }) => `${name} (not reached)`);
  return formatReport(results, [...missing, ...left]).replaceAll(values.cache, '…');
};
for (const { name, make } of [...given, ...(given.length > 0 && values.only === undefined ? [] : wanted)]) {
  const started = performance.now();
  try {
    const result = await compareImage(await make(values.cache), Number(values.count), values.cache);
    results.push(result);
    process.stdout.write(`${formatRow(result)}  ${((performance.now() - started) / 1000).toFixed(0)} s\n`);
    for (const text of isExplained(result)
      ? []
      : [...result.unclaimed.slice(0, 5), ...result.peers.flatMap((peer) => peer.unexplained.slice(0, 5))])
      process.stdout.write(`  ${text}\n`);
  } catch (error) {
    missing.push(`${name}: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]!}`);
    process.stdout.write(`${missing.at(-1)!}\n`);
  }
  // After each image: a run that is interrupted leaves what it found.
  if (isWhole) writeFileSync(join(import.meta.dirname, 'results.md'), report());
}

if (!isWhole) process.stdout.write(`\n${report()}`);
process.exitCode = results.every(isExplained) && missing.length === 0 ? 0 : 1;
