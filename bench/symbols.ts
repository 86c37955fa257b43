// Symbols beside elfutils, LLVM, binutils and gdb, in one run: prints the tables and writes them to bench/symbols.md.
//   npm run bench:symbols       about five minutes, plus fetching 300 MB the first time

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openImage } from '../src/symbolize/image.ts';
import { measureCold } from './symbols/cold.ts';
import { measureGrowth } from './symbols/growth.ts';
import { growingImages, kernelImage } from './symbols/images.ts';
import { measureWarm } from './symbols/warm.ts';
import { firstLine, formatSection, machineFacts } from './table.ts';

const HEAD = `# Symbols, measured

Written by \`npm run bench:symbols\`; read a number only beside its peer in the same table.`;

const kernel = kernelImage();
const facts = [
  ...machineFacts(),
  `${firstLine('eu-addr2line', '--version')}; ${llvmVersion()}; ${firstLine('addr2line', '--version')}`,
];
const parts = [HEAD, facts.map((fact) => `- ${fact}`).join('\n')];
const say = (part: string): void => {
  parts.push(part);
  process.stdout.write(`${part}\n\n`);
};

say(formatSection(await measureCold(kernel.path, addressWithInlines(kernel.path))));
say(formatSection(await measureWarm(kernel.path)));
const growth = measureGrowth([...growingImages(), kernel]);
say(formatSection(growth.section));
writeFileSync(join(import.meta.dirname, 'growth.svg'), growth.picture);
writeFileSync(join(import.meta.dirname, 'symbols.md'), `${parts.join('\n\n')}\n`);

/** The first address behind the middle of the code that is inside of inlined calls, as most of a kernel is. */
function addressWithInlines(path: string): bigint {
  const image = openImage(path);
  const text = image.elf.findSection('.text')!;
  let address = text.address + BigInt(Math.floor(text.size / 2));
  while (image.locate(address).length < 3) address += 16n;
  image.close();
  return address;
}

function llvmVersion(): string {
  // Its first line names the distribution.
  return firstLine('sh', '-c', 'llvm-symbolizer --version | grep -o "LLVM version.*"');
}
