// Addresses, each answered for itself: as arguments, or as lines of standard input, which is answered as fast as it comes.

import { toUnsigned64 } from '../../model/address.ts';
import type { SymbolizedLocation } from '../../model/frame.ts';
import { type AnswerForm, findLeadingAddress, formatAnswer } from './addr2line.ts';
import { openJsonList, toJsonAddress } from './json.ts';
import type { Names } from './names.ts';
import { readLines, writeOut } from './streams.ts';

/** What is asked. `section`: addresses are offsets in it, `start` its run-time address. */
export interface AnswerRequest {
  readonly form: AnswerForm;
  readonly section: { readonly start: bigint; readonly size: number } | null;
  readonly json: boolean;
  readonly demangle: boolean;
}

/** An address as it was asked for, and the run-time address that it is of; null when it is outside of the section. */
interface Asked {
  readonly shown: bigint;
  readonly address: bigint | null;
}

type Complain = (message: string) => void;

const UNKNOWN: readonly SymbolizedLocation[] = [];
/** Words that are no address are told so often, then counted. */
const MAX_COMPLAINTS = 5;

/** Answers addresses given as arguments. */
export function answerArguments(words: readonly string[], request: AnswerRequest, names: Names, complain: Complain): void {
  const skipped = new Skipped(complain);
  const answerWord = answerer(request, names, skipped);
  const list = request.json ? openJsonList() : null;
  const text = words.map((word) => answerWord(word, list)).join('');
  process.stdout.write(list === null ? text : text + list.close());
  skipped.close();
}

/** Answers standard input line by line: what one chunk brought is answered with one write, before the next is waited for. */
export async function answerInput(request: AnswerRequest, names: Names, complain: Complain): Promise<void> {
  const skipped = new Skipped(complain);
  const answerWord = answerer(request, names, skipped);
  const list = request.json ? openJsonList() : null;
  await readLines(process.stdin, async (lines) => {
    const answers: string[] = [];
    for (const line of lines) answers.push(answerWord(line, list));
    await writeOut(answers.join(''));
  });
  if (list !== null) await writeOut(list.close());
  skipped.close();
}

/** What answers one word: its text, or what `list` makes of it. */
export function answerer(
  request: AnswerRequest,
  names: Names,
  skipped: Pick<Skipped, 'tell'>,
): (word: string, list?: { readonly add: (element: unknown) => string } | null) => string {
  const digits = names.images[0]?.image.elf.bits === 32 ? 8 : 16;
  const nameOf = request.demangle ? (name: string) => names.demangle(name) : (name: string) => name;
  return (word, list) => {
    const asked = readWord(word, request, names);
    if (asked === null) skipped.tell(word);
    const { shown, address } = asked ?? { shown: 0n, address: null };
    const locations = address === null ? UNKNOWN : names.locate(address);
    if (list != null) return asked === null ? '' : list.add(toJsonAddress(shown, address, locations, nameOf));
    return formatAnswer(shown, locations, request.form, { digits, nameOf });
  };
}

const SYMBOL = /^\s*([A-Za-z_.$][\w.$@]{0,1000})?(?:\+(?:0x)?([0-9a-f]{1,16}))?\s*$/i;

/** Hex first, as addr2line has it: `add` is 0xadd. Then `symbol`, `symbol+0x10`, and with a section `+0x10`. */
function readWord(word: string, { section }: AnswerRequest, names: Names): Asked | null {
  const plain = findLeadingAddress(word);
  const [, symbol, digits] = plain === null ? (SYMBOL.exec(word) ?? []) : [];
  const offset = plain ?? (digits === undefined ? null : BigInt(`0x${digits}`));
  if (symbol !== undefined) {
    const found = names.findSymbol(symbol);
    const address = found === null ? null : toUnsigned64(found.address + (offset ?? 0n));
    return address === null ? null : { shown: address, address };
  }
  if (offset === null || (plain === null && section === null)) return null;
  if (section === null) return { shown: offset, address: offset };
  return { shown: offset, address: offset < BigInt(section.size) ? section.start + offset : null };
}

class Skipped {
  private readonly complain: Complain;
  private count = 0;

  constructor(complain: Complain) {
    this.complain = complain;
  }

  tell(word: string): void {
    this.count += 1;
    if (this.count <= MAX_COMPLAINTS) this.complain(`not an address: ${JSON.stringify(word.slice(0, 80))}`);
  }

  close(): void {
    if (this.count > MAX_COMPLAINTS) this.complain(`and ${this.count - MAX_COMPLAINTS} more words that are no addresses`);
  }
}
