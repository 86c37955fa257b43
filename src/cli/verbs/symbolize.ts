// `unidbg symbolize`: from addresses to functions, files and lines. With the options of addr2line it answers line for line as that
// does; without them any text goes through it and comes out with its addresses explained (docs/symbolize.md).

import type { Command } from 'commander';
import { UnidbgError } from '../../model/error.ts';
import { openSourceMapsAmong, type SourceMaps } from '../../symbolize/source-maps.ts';
import { collect } from '../collect.ts';
import { EXIT } from '../exit-codes.ts';
import { type AnswerForm } from '../symbolize/addr2line.ts';
import { answerArguments, answerInput } from '../symbolize/answer.ts';
import { explainArguments, explainInput } from '../symbolize/explain.ts';
import type { Names } from '../symbolize/names.ts';
import { openNames } from '../symbolize/open-names.ts';
import type { Verb } from '../verb.ts';

interface SymbolizeOptions {
  readonly symbols: readonly string[];
  readonly exe: readonly string[];
  readonly debugDir: readonly string[];
  readonly functions?: boolean;
  readonly inlines?: boolean;
  readonly prettyPrint?: boolean;
  readonly demangle?: boolean;
  readonly addresses?: boolean;
  readonly basenames?: boolean;
  readonly section?: string;
  readonly loadBias?: string;
  readonly base: readonly string[];
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  unidbg symbolize -f -i -e kernel.elf 0x101c3f    answers as addr2line does
  unidbg symbolize --symbols kernel.elf 0x101c3f   one line, inlined calls below
  unidbg symbolize --symbols kernel.elf < log      the log, addresses explained
  tail -f log | unidbg symbolize --symbols kernel.elf --symbols app \\
                                 --base app=0x100000000000
  unidbg symbolize --symbols dist/ < log           JavaScript by its source maps

An address is hex with or without 0x, SYMBOL, SYMBOL+0xOFFSET, or with -j an
offset in that section. With any of -e -f -i -p -a -s -j, standard input is
addresses, one a line, each answered at once; without them it is any text.`;

export const symbolize: Verb = {
  register: (program: Command, finish) => {
    program
      .command('symbolize')
      .argument('[addresses...]', 'addresses to explain; without any, standard input is read')
      .description('turn addresses into functions, files and lines; or explain the addresses in a log')
      .option(
        '--symbols <file>',
        'image with the code, its debug file, or source maps: *.map, *.js or a folder; may be given many times',
        collect,
        [],
      )
      .option('-e, --exe <elf>', 'the same, and answer as addr2line does', collect, [])
      .option('-f, --functions', "print functions' names")
      .option('-i, --inlines', 'print the calls that were inlined there too')
      .option('-p, --pretty-print', 'one line for each place')
      .option('-C, --demangle', 'names as the programmer wrote them (a log has them so anyway)')
      .option('-a, --addresses', 'print the address before each answer')
      .option('-s, --basenames', 'files without their folders')
      .option('-j, --section <name>', 'addresses are offsets in this section')
      .option('--load-bias <hex>', 'the images run so far above their link addresses')
      .option('--base <elf=hex>', 'where one image was loaded; may be given many times', collect, [])
      .option('--debug-dir <dir>', 'where separate debug files are, beside /usr/lib/debug', collect, [])
      .option('--json', 'print JSON: one document; of a log, one object for each line that has an address')
      .addHelpText('after', EXAMPLES)
      .action(finish(async (addresses: readonly string[], options: SymbolizeOptions) => run(addresses, options)));
  },
};

async function run(addresses: readonly string[], options: SymbolizeOptions): Promise<number> {
  const paths = [...options.exe, ...options.symbols];
  if (paths.length === 0) throw new UnidbgError('USAGE', 'which image? Give it with -e ELF or --symbols ELF');
  const { maps, images } = await openSourceMapsAmong(paths);
  let names: Names | null = null;
  try {
    names = await openNames(images, options);
    const overlap = names.describeOverlap();
    if (overlap !== null) complain(overlap);
    await answer(addresses, options, names, maps);
    const remarks = [...names.images.flatMap(({ image }) => image.diagnostics), ...(maps?.diagnostics ?? [])];
    for (const { message } of remarks) complain(message);
    return EXIT.fine;
  } finally {
    names?.close();
    maps?.close();
  }
}

async function answer(
  addresses: readonly string[],
  options: SymbolizeOptions,
  names: Names,
  maps: SourceMaps | null,
): Promise<void> {
  const json = options.json === true;
  if (isLikeAddr2line(options)) {
    const request = { form: formOf(options), section: findSection(options, names), json, demangle: options.demangle === true };
    if (addresses.length > 0) answerArguments(addresses, request, names, complain);
    else await answerInput(request, names, complain);
  } else if (addresses.length > 0) explainArguments(addresses, names, { json, maps }, complain);
  else await explainInput(names, { json, maps });
}

/** `-C` and `--json` alone change nothing of what a log is. */
function isLikeAddr2line({ exe, functions, inlines, prettyPrint, addresses, basenames, section }: SymbolizeOptions): boolean {
  const isAsked = [functions, inlines, prettyPrint, addresses, basenames].includes(true);
  return isAsked || exe.length > 0 || section !== undefined;
}

function formOf(options: SymbolizeOptions): AnswerForm {
  return {
    functions: options.functions === true,
    inlines: options.inlines === true,
    pretty: options.prettyPrint === true,
    addresses: options.addresses === true,
    basenames: options.basenames === true,
  };
}

function findSection(
  { section: name }: SymbolizeOptions,
  names: Names,
): { readonly start: bigint; readonly size: number } | null {
  if (name === undefined) return null;
  for (const { image, loadBias } of names.images) {
    const section = image.elf.findSection(name);
    if (section !== null) return { start: section.address + loadBias, size: section.size };
  }
  const files = names.images.map((image) => image.name).join(', ');
  throw new UnidbgError('USAGE', `no section ${name} in ${files}; \`readelf -S\` lists them`);
}

function complain(message: string): void {
  process.stderr.write(`unidbg: ${message}\n`);
}
