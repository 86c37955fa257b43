// All benchmarks, one after the other, each beside its peer or bound: prints the tables and writes them to bench/results.md.
//   npm run bench                       all of them, ten minutes
//   node bench/attach.ts                one alone (attach, readers, console, sampling), printed only

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { measureAttach } from './attach.ts';
import { measureConsole } from './console.ts';
import { measureReaders } from './readers.ts';
import { measureSampling } from './sampling.ts';
import { formatSection, machineFacts } from './table.ts';

const HEAD = `# Benchmarks

Written by \`npm run bench\`; read a number only beside its peer or bound in the same table.`;

const parts = [
  HEAD,
  machineFacts()
    .map((fact) => `- ${fact}`)
    .join('\n'),
];
for (const measure of [measureAttach, measureReaders, measureConsole, measureSampling]) {
  parts.push(formatSection(await measure()));
  process.stdout.write(`${parts.at(-1)!}\n\n`);
}
writeFileSync(join(import.meta.dirname, 'results.md'), `${parts.join('\n\n')}\n`);
