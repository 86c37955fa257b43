// The crash grammar engine: console lines in, reported crashes out. It knows no system: what a crash looks like is data
// (CrashTexts). The caller says when the console is quiet or has ended; there are no timers here.

import type { ReportedCrash } from '../model/console-text.ts';
import type { CrashOmen, CrashTexts, PrefixedText, Runtime, Unikernel } from '../model/unikernel.ts';
import { type CrashFilter, type CrashStart, makeCrashFilter, splitPrefix } from './crash-filter.ts';
import type { DecodedLine } from './lines.ts';
import { MAX_LINE } from './lines.ts';
import { OpenCrash } from './open-crash.ts';
import { stripPrefixes } from './prefixes.ts';

/** An omen is about the crash that begins at most so many lines later. */
const OMEN_REACH = 16;
/** Crashes printed inside crashes that are kept; then the text is a storm and is skipped until silence or a reboot. */
const MAX_NESTED = 4;
/** Crashes kept between two boots: a log that quotes crashes, or a guest that survives its own, is not worth more. */
const MAX_CRASHES = 64;

/** What nearly every line gives. */
const NOTHING: ReportedCrash[] = [];

/** The systems and languages whose texts are listened for. */
export interface CrashReaderOptions {
  readonly unikernels: readonly Unikernel[];
  readonly runtimes: readonly Runtime[];
  /** The unikernel when it is known (by its image): then no other one's texts are listened for. */
  readonly unikernel?: string | null;
}

/** Reads one console. */
export class CrashReader {
  readonly #unikernels: readonly Unikernel[];
  readonly #filter: CrashFilter;
  #unikernel: string | null;
  #open: OpenCrash | null = null;
  /** The same text as other systems read it, whose first line looks the same: `panic: …`, `Assertion failed: …`. */
  #rivals: readonly OpenCrash[] = [];
  /** A line that has not ended yet. */
  #held: { text: string; number: number } | null = null;
  /** The line before, with its carriers' prefixes. */
  #before: (() => string) | null = null;
  #omen: { omen: CrashOmen; text: string; number: number } | null = null;
  #nested = 0;
  #crashes = 0;
  #storm = false;

  constructor(options: CrashReaderOptions) {
    const known = options.unikernels.filter((system) => system.name === options.unikernel);
    this.#unikernels = known.length > 0 ? known : options.unikernels;
    this.#unikernel = known[0]?.name ?? null;
    this.#filter = filterOf(options.runtimes, this.#unikernels);
  }

  /** The unikernel, as told or as its banner said. */
  get unikernel(): string | null {
    return this.#unikernel;
  }

  /** A crash is being read or a line is unfinished: say so once the console is `quiet`. */
  get pending(): boolean {
    return this.#open !== null || this.#held !== null || this.#storm;
  }

  /** No crash is being read and no line is unfinished: a line that means nothing changes nothing but what stood before the next. */
  get isListening(): boolean {
    return this.#open === null && this.#held === null;
  }

  /** The first lines of crashes that it listens for. */
  get filter(): CrashFilter {
    return this.#filter;
  }

  /** Lines that mean nothing were passed by while it was listening: `last` gives the text of the last of them. */
  passBy(last: () => string): void {
    this.#before = last;
  }

  /** The next line and its number; gives the crashes that it shows to be over. */
  push(line: DecodedLine, number: number): ReportedCrash[] {
    const held = this.#held;
    if (held === null && !line.partial) return this.#read(line.text, number);
    const whole = held === null || !line.continuation ? line.text : (held.text + line.text).slice(0, MAX_LINE);
    const first = held !== null && line.continuation ? held.number : number;
    const reported = held !== null && !line.continuation ? this.#read(held.text, held.number) : [];
    this.#held = line.partial ? { text: whole, number: first } : null;
    return line.partial ? reported : [...reported, ...this.#read(whole, first)];
  }

  /** The console is quiet: gives what is a crash by now. What only becomes one when more is printed is waited for. */
  quiet(): ReportedCrash[] {
    const reported = this.#calm();
    const open = this.#open;
    const isWaiting = open !== null && [open, ...this.#rivals].every((one) => one.isUnproven);
    return isWaiting ? reported : [...reported, ...this.#close()];
  }

  /** The console has ended: what stands is all there is of it. */
  settle(): ReportedCrash[] {
    return [...this.#calm(), ...this.#close()];
  }

  /** An unfinished line is taken as it stands, and a storm is over. */
  #calm(): ReportedCrash[] {
    const held = this.#held;
    this.#held = null;
    const reported = held === null ? [] : this.#read(held.text, held.number);
    this.#storm = false;
    this.#nested = 0;
    return reported;
  }

  #read(raw: string, number: number): ReportedCrash[] {
    const reported =
      this.#open === null ? this.#readOutside(raw, number) : this.#readInside(this.#open, stripPrefixes(raw), number);
    this.#before = () => raw;
    return reported;
  }

  #readOutside(text: string, number: number): ReportedCrash[] {
    const meaning = this.#filter.meaningOf(text, this.#unikernel);
    if (meaning === null) return NOTHING;
    if (meaning.banner !== null) this.#boot(meaning.banner);
    if (meaning.omen !== null) this.#omen = { ...meaning.omen, number };
    if (!this.#storm && this.#crashes < MAX_CRASHES) this.#begin(meaning.starts, number, null);
    return NOTHING;
  }

  #readInside(open: OpenCrash, text: string, number: number): ReportedCrash[] {
    const reading = this.#readAs(open, text, number);
    if (reading !== null) return reading.isFull ? this.#close() : [];
    if (this.#unikernels.some((system) => system.halt?.test(splitPrefix(system, text).text) === true)) {
      for (const one of [open, ...this.#rivals]) one.halt(number);
      return [];
    }
    const meaning = this.#filter.meaningOf(text, this.#unikernel);
    if (meaning?.banner) return [...this.#close(), ...this.#readOutside(text, number)];
    if (meaning !== null && meaning.starts.length > 0) return this.#readStartInside(open, meaning.starts, text, number);
    if (meaning?.omen) this.#omen = { ...meaning.omen, number };
    if (open.isBlank(text) || open.skip(text)) return [];
    return this.#close();
  }

  /** Who of those that may be right reads the line; who explains more of the text than the others leads. Null when nobody does. */
  #readAs(open: OpenCrash, text: string, number: number): OpenCrash | null {
    const isRead = open.read(text, number);
    if (this.#rivals.length === 0) return isRead ? open : null;
    const readers = this.#rivals.filter((rival) => rival.read(text, number));
    const leader = isRead ? open : readers.find((rival) => rival.linesRead > open.linesRead);
    const others = [open, ...this.#rivals].filter((one) => one !== leader);
    this.#rivals = others.filter(
      (one) => one === open || readers.includes(one) || one.isBlank(text) || one.skip(text) || one.isConfirmed,
    );
    if (leader === undefined) {
      this.#rivals = this.#rivals.filter((one) => one !== open);
      return null;
    }
    this.#open = leader;
    return leader;
  }

  /** A crash's first line while another one is being read: one more part of it, the next one, or one inside the printer. */
  #readStartInside(open: OpenCrash, starts: readonly CrashStart[], text: string, number: number): ReportedCrash[] {
    const next = starts.find((start) => open.isContinuedBy(start, this.#isUnikernel(start.texts)));
    if (next !== undefined) {
      this.#rivals = [];
      open.join(next, this.#isUnikernel(next.texts), this.#beforeOf(next.texts), number);
      return [];
    }
    if (![open, ...this.#rivals].some((one) => one.isConfirmed)) {
      this.#open = null;
      return this.#readOutside(text, number);
    }
    if (
      starts.every(({ grammar }) => grammar.confirmed !== undefined && grammar.nests !== true) &&
      !open.isTold &&
      open.skip(text)
    )
      return NOTHING;
    if (!open.isBrokenOff) return [...this.#close(), ...this.#readOutside(text, number)];
    open.corrupt('another crash began in the middle of this text');
    const reported = this.#close();
    this.#nested += 1;
    if (this.#nested > MAX_NESTED) this.#storm = true;
    else this.#begin(starts, number, 'printed inside the text of another crash, which came first');
    return reported;
  }

  #begin(starts: readonly CrashStart[], number: number, corrupted: string | null): void {
    const readings = starts.map(
      (start) => new OpenCrash(start, this.#isUnikernel(start.texts), this.#beforeOf(start.texts), number),
    );
    if (corrupted !== null) for (const reading of readings) reading.corrupt(corrupted);
    this.#open = readings[0] ?? null;
    this.#rivals = readings.slice(1);
  }

  #close(): ReportedCrash[] {
    const open = this.#open;
    const readings = open === null ? [] : [open, ...this.#rivals].toSorted((a, b) => b.linesRead - a.linesRead);
    this.#open = null;
    this.#rivals = [];
    for (const reading of readings) {
      const crash = reading.close(this.#unikernel, this.#omenOf(reading));
      if (crash === null) continue;
      this.#omen = null;
      this.#crashes += 1;
      return [{ ...crash, ordinal: this.#crashes }];
    }
    return [];
  }

  /** The omen that may be about a crash: not far before it, or inside. */
  #omenOf({ firstLine, lastLine }: OpenCrash): { omen: CrashOmen; text: string } | null {
    const omen = this.#omen;
    return omen !== null && lastLine >= omen.number && firstLine - omen.number <= OMEN_REACH ? omen : null;
  }

  /** A new boot: what was before is over. */
  #boot(system: Unikernel): void {
    this.#unikernel = system.name;
    this.#omen = null;
    this.#nested = 0;
    this.#crashes = 0;
    this.#storm = false;
  }

  #beforeOf(texts: CrashTexts): PrefixedText | null {
    return this.#before === null ? null : splitPrefix(texts, stripPrefixes(this.#before()));
  }

  #isUnikernel(texts: CrashTexts): boolean {
    return this.#unikernels.some((system) => system === texts);
  }
}

/** One filter serves all readers that listen for the same. */
const filters = new WeakMap<readonly Runtime[], WeakMap<readonly Unikernel[], CrashFilter>>();

function filterOf(runtimes: readonly Runtime[], unikernels: readonly Unikernel[]): CrashFilter {
  const known = filters.get(runtimes) ?? new WeakMap<readonly Unikernel[], CrashFilter>();
  const filter = known.get(unikernels) ?? makeCrashFilter([...runtimes, ...unikernels], unikernels);
  filters.set(runtimes, known.set(unikernels, filter));
  return filter;
}
