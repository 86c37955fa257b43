// A crash whose lines are still coming: one part per grammar that reads it (a language's text, then the kernel's around
// it), joined into one ReportedCrash at the end.

import { type ReportedCrash, type ReportedFrame, reportedFrame } from '../model/console-text.ts';
import { roleNames } from '../model/registers.ts';
import type { CrashDraft, CrashGrammar, CrashOmen, CrashTexts, PrefixedText } from '../model/unikernel.ts';
import { type CrashStart, splitPrefix } from './crash-filter.ts';

const DEFAULT_FOREIGN = 8;
const DEFAULT_LINES = 400;
const MAX_BETWEEN = 64;
const MAX_MESSAGE = 2000;
const MAX_FRAMES = 1024;

interface Part {
  readonly texts: CrashTexts;
  readonly grammar: CrashGrammar;
  readonly isUnikernel: boolean;
  readonly draft: CrashDraft;
  ended: boolean;
}

/** The crash being read. */
export class OpenCrash {
  readonly firstLine: number;
  lastLine: number;
  readonly #parts: Part[] = [];
  readonly #between: string[] = [];
  /** Unknown lines since the last one that was read. */
  #foreignInRow = 0;
  /** Unknown lines that stood between lines of the crash. */
  #interleaved = 0;
  #halted = false;
  /** A line came with which all is told. */
  #isTold = false;
  /** What stood before it on its line, numbers apart. */
  readonly #lead: string;
  #linesRead = 1;
  readonly #corrupted: string[] = [];

  constructor(start: CrashStart, isUnikernel: boolean, before: PrefixedText | null, number: number) {
    this.firstLine = number;
    this.lastLine = number;
    this.#lead = withoutNumbers(start.lead);
    this.join(start, isUnikernel, before, number);
  }

  /** Another grammar's first line, which continues this crash. */
  join(start: CrashStart, isUnikernel: boolean, before: PrefixedText | null, number: number): void {
    this.#settleBetween(false);
    const draft: CrashDraft = {
      kind: start.grammar.kind,
      message: '',
      location: null,
      vcpu: null,
      faultAddress: null,
      machine: 'x86_64',
      registers: {},
      frames: [],
      loadOffsets: [],
      lastSlot: null,
      corrupted: null,
      section: '',
      before,
      prefix: start.line.prefix,
      between: this.#between,
    };
    start.grammar.begin(start.match, draft);
    const ended = start.grammar.end?.test(start.line.text) === true;
    this.#parts.push({ texts: start.texts, grammar: start.grammar, isUnikernel, draft, ended });
    this.lastLine = number;
  }

  /** True when the line belongs to the crash. */
  read(text: string, number: number): boolean {
    if (this.#isQuotedLike(text)) return false;
    for (let index = this.#parts.length - 1; index >= 0; index -= 1) {
      const part = this.#parts[index]!;
      if (this.#readAs(part, splitPrefix(part.texts, text).text)) {
        this.lastLine = number;
        this.#linesRead += 1;
        return true;
      }
    }
    return false;
  }

  /** `x.log:12: panic: …`, `x.log:13: …`: what stands before both is no half-printed line, somebody quotes a crash. */
  #isQuotedLike(text: string): boolean {
    return this.#lead.trim() !== '' && withoutNumbers(text).startsWith(this.#lead);
  }

  #readAs(part: Part, text: string): boolean {
    if (part.ended) return false;
    const isEnd = part.grammar.end?.test(text) === true;
    for (const line of part.grammar.lines) {
      if (line.in !== undefined && line.in !== part.draft.section) continue;
      const match = line.pattern.exec(text);
      if (match === null) continue;
      line.read?.(match, part.draft);
      this.#settleBetween(line.takesBetween === true);
      if (line.to !== undefined) part.draft.section = line.to;
      if (line.tellsAll === true) this.#isTold = true;
      part.ended = isEnd || line.ends === true;
      return true;
    }
    if (isEnd) {
      this.#settleBetween(false);
      part.ended = true;
    }
    return isEnd;
  }

  /** The system's last words. */
  halt(number: number): void {
    this.#settleBetween(false);
    this.#halted = true;
    this.lastLine = number;
  }

  /** Nothing but a prefix: says nothing either way. */
  isBlank(text: string): boolean {
    return this.#parts.some((part) => splitPrefix(part.texts, text).text.trim() === '');
  }

  /** An unknown line: false when it ends the crash. */
  skip(text: string): boolean {
    const limit = this.#parts.at(-1)?.grammar.maxForeignLines ?? DEFAULT_FOREIGN;
    if (this.isComplete || this.#foreignInRow >= limit) return false;
    this.#foreignInRow += 1;
    if (this.#between.length < MAX_BETWEEN) this.#between.push(text);
    return true;
  }

  #settleBetween(taken: boolean): void {
    if (!taken) this.#interleaved += this.#foreignInRow;
    this.#foreignInRow = 0;
    this.#between.length = 0;
  }

  corrupt(why: string): void {
    this.#corrupted.push(why);
  }

  /** How much of the text it explains. */
  get linesRead(): number {
    return this.#linesRead;
  }

  /** Its last line came: only another part or the system's last words may follow. */
  get isComplete(): boolean {
    return this.#halted || this.#parts.at(-1)?.ended === true;
  }

  /** What begins now is the next crash, even if its first line alone proves nothing. */
  get isTold(): boolean {
    return this.#isTold || this.isComplete;
  }

  /** The text has a last line which has not come: what is printed now is printed in its middle. */
  get isBrokenOff(): boolean {
    return this.#parts.at(-1)?.grammar.end !== undefined && !this.isComplete;
  }

  get isFull(): boolean {
    return this.#linesRead >= Math.max(...this.#parts.map((part) => part.grammar.maxLines ?? DEFAULT_LINES));
  }

  /** What was read so far is a crash whatever follows. */
  get isConfirmed(): boolean {
    return !this.#isQuotation(null) && this.#parts.some(isConfirmed);
  }

  /** Its first line alone is no crash, and what makes it one has not come yet. */
  get isUnproven(): boolean {
    return !this.isComplete && this.#parts.every(({ grammar, draft }) => grammar.confirmed?.(draft) === false);
  }

  /** Behind other text on its line, and nothing followed: believed only of a known system that has nothing more to say. */
  #isQuotation(unikernel: string | null): boolean {
    const first = this.#parts[0]!;
    if (this.#lead === '' || this.#halted || this.#linesRead > 1 || this.#parts.length > 1) return false;
    return first.texts.name !== unikernel || first.grammar.lines.length > 0;
  }

  /** A kernel's text around a language's is the same crash; else the grammar must say so. */
  isContinuedBy(start: CrashStart, isUnikernel: boolean): boolean {
    if (this.#halted) return false;
    const last = this.#parts.at(-1)!;
    if (last.texts === start.texts) return last.grammar.continuedBy?.includes(start.grammar.name) === true;
    return isUnikernel && this.#parts.every((part) => !part.isUnikernel) && this.isConfirmed;
  }

  /** The crash, all parts joined; null when it was none. */
  close(
    unikernel: string | null,
    omen: { readonly omen: CrashOmen; readonly text: string } | null,
  ): Omit<ReportedCrash, 'ordinal'> | null {
    // What the same system goes on about is a crash from its first words.
    const parts = this.#parts.filter((part, at) =>
      this.#parts.slice(at).some((later) => later.texts === part.texts && isConfirmed(later)),
    );
    const first = parts[0];
    if (first === undefined || this.#isQuotation(unikernel)) return null;
    this.#findCorruption(parts);
    for (const { grammar, draft } of parts) grammar.finish?.(draft);
    const draft = parts.slice(1).reduce((joined, part) => joinDrafts(joined, part.draft), first.draft);
    if (omen?.omen.explains(draft) === true) {
      draft.kind = omen.omen.kind;
      draft.message = `${draft.message} (after: ${omen.text.trim()})`;
    }
    return {
      unikernel: parts.find((part) => part.isUnikernel)?.texts.name ?? unikernel,
      runtime: parts.find((part) => !part.isUnikernel)?.texts.name ?? null,
      grammar: `${first.texts.name}/${first.grammar.name}`,
      kind: draft.kind,
      message: draft.message.slice(0, MAX_MESSAGE),
      location: draft.location,
      vcpu: draft.vcpu,
      faultAddress: draft.faultAddress,
      registers: Object.keys(draft.registers).length > 0 ? { machine: draft.machine, values: draft.registers } : null,
      frames: withPc(draft).slice(0, MAX_FRAMES),
      loadOffsets: draft.loadOffsets,
      corrupted: [...this.#corrupted, draft.corrupted].filter((why) => why !== null).join('; ') || null,
      firstLine: this.firstLine,
      lastLine: this.lastLine,
    };
  }

  #findCorruption(parts: readonly Part[]): void {
    const last = parts.at(-1);
    const lines = this.#interleaved === 1 ? 'a foreign line stands' : `${String(this.#interleaved)} foreign lines stand`;
    if (this.#interleaved > 0) this.corrupt(`${lines} inside the text`);
    if (this.isFull) this.corrupt('the text is longer than any crash, the rest was not read');
    else if (last?.grammar.end !== undefined && !this.isComplete && this.#corrupted.length === 0) {
      this.corrupt('the text breaks off before its last line');
    }
  }
}

/** What the later text adds to the earlier: only what that one did not know. */
function joinDrafts(earlier: CrashDraft, later: CrashDraft): CrashDraft {
  const own = Object.keys(earlier.registers).length > 0;
  return {
    ...earlier,
    vcpu: earlier.vcpu ?? later.vcpu,
    faultAddress: earlier.faultAddress ?? later.faultAddress,
    machine: own ? earlier.machine : later.machine,
    registers: own ? earlier.registers : later.registers,
    frames: joinFrames(earlier.frames, withPc(later)),
    loadOffsets: [...earlier.loadOffsets, ...later.loadOffsets],
    corrupted: earlier.corrupted ?? later.corrupted,
  };
}

function withoutNumbers(text: string): string {
  return text.replace(/ *\d+/g, '0');
}

/**
 * One stack of two texts: the language's frames, then those further out that only the kernel printed. Where the two walks share no frame
 * nothing says that they are of one stack, and what the kernel has in front is its way to abort().
 */
function joinFrames(earlier: readonly ReportedFrame[], later: ReportedFrame[]): ReportedFrame[] {
  if (earlier.length === 0) return later;
  const known = new Set(earlier.map(({ address }) => address));
  const shared = later.findLastIndex(({ address }) => address !== null && known.has(address));
  return shared < 0 ? [...earlier] : [...earlier, ...later.slice(shared + 1)];
}

/** The frames, led by the pc of the registers when the printed trace begins at its caller. */
function withPc(draft: CrashDraft): ReportedFrame[] {
  const pc = draft.registers[roleNames(draft.machine).pc];
  if (pc === undefined || draft.frames.some((frame) => frame.address === pc || frame.address === null)) return draft.frames;
  return [reportedFrame({ address: pc }), ...draft.frames];
}

function isConfirmed({ grammar, draft }: Part): boolean {
  return grammar.confirmed === undefined || grammar.confirmed(draft);
}
