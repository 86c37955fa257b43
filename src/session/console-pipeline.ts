// One console: bytes → safe lines with decoded addresses → events; and the crashes that the lines tell.

import { findAddresses, isPcLabel } from '../console/addresses.ts';
import type { CrashReader } from '../console/crash-reader.ts';
import { type DecodedLine, LineDecoder, MAX_LINE } from '../console/lines.ts';
import type { ReportedCrash } from '../model/console-text.ts';
import type { ConsoleLine, ConsoleNote } from '../model/event.ts';
import { formatLocation, type SymbolizedLocation } from '../model/frame.ts';
import type { Symbolizer } from '../model/symbolizer.ts';
import type { Code } from './code.ts';

/** After so long without a byte an unfinished line is shown, and what is a crash by then is told. */
const QUIET_MS = 150;
const MAX_NOTES = 8;

/** What a pipeline tells. */
export interface ConsoleListener {
  readonly onLine: (line: ConsoleLine) => void;
  readonly onCrash: (crash: ReportedCrash) => void;
}

/** Numbers lines from 1. Owns a timer: `close` it. */
export class ConsolePipeline {
  /** When the last byte came, ms since the epoch; 0 before the first. */
  lastByteAt = 0;
  private readonly source: string;
  private readonly reader: CrashReader;
  private readonly listener: ConsoleListener;
  private readonly decoder = new LineDecoder();
  private code: Pick<Code, 'symbolizer' | 'isText'> | null = null;
  private number = 0;
  /** The text of the line whose end has not come yet. */
  private unfinished: string | null = null;
  private quiet: NodeJS.Timeout | null = null;

  constructor(source: string, reader: CrashReader, listener: ConsoleListener) {
    this.source = source;
    this.reader = reader;
    this.listener = listener;
  }

  /** The unikernel that the console's banner named. */
  get unikernel(): string | null {
    return this.reader.unikernel;
  }

  /** From now on addresses in lines are decoded with this. */
  useCode(code: Pick<Code, 'symbolizer' | 'isText'>): void {
    this.code = code;
  }

  push(bytes: Uint8Array): void {
    this.lastByteAt = Date.now();
    this.take(this.decoder.push(bytes));
    // One timer, moved on: a flood of chunks must not make a timer each.
    if (this.quiet === null) this.quiet = setTimeout(this.onQuiet, QUIET_MS);
    else this.quiet.refresh();
  }

  /** The console has ended or the guest is dead: what stands is all there is. */
  settle(): void {
    this.take(this.decoder.flush());
    for (const crash of this.reader.settle()) this.listener.onCrash(crash);
  }

  close(): void {
    if (this.quiet !== null) clearTimeout(this.quiet);
    this.take(this.decoder.end());
    for (const crash of this.reader.settle()) this.listener.onCrash(crash);
  }

  private readonly onQuiet = (): void => {
    this.take(this.decoder.flush());
    for (const crash of this.reader.quiet()) this.listener.onCrash(crash);
  };

  private take(lines: readonly DecodedLine[]): void {
    for (const line of lines) {
      const joined = line.continuation && this.unfinished !== null ? this.unfinished + line.text : line.text;
      // A piece that continues a line keeps its number, unless the line grows beyond what one may be.
      const fits = line.continuation && this.unfinished !== null && joined.length <= MAX_LINE;
      const text = fits ? joined : line.text;
      // An empty piece only says that the line before has ended.
      const endsOverlong = !fits && line.continuation && line.text === '';
      if (!fits && !endsOverlong) this.number += 1;
      this.unfinished = line.partial ? text : null;
      if (!endsOverlong)
        this.listener.onLine({ number: this.number, source: this.source, text, partial: line.partial, notes: this.decode(text) });
      for (const crash of this.reader.push(line, this.number)) this.listener.onCrash(crash);
    }
  }

  private decode(text: string): readonly ConsoleNote[] {
    const { code } = this;
    if (code === null) return [];
    const notes: ConsoleNote[] = [];
    for (const { start, end, address } of findAddresses(text)) {
      if (notes.length >= MAX_NOTES) break;
      if (!code.isText(address)) continue;
      const location = meaningOf(address, isPcLabel(text.slice(0, start)), code.symbolizer);
      if (location?.status === 'symbolicated') notes.push({ start, end, text: formatLocation(location) });
    }
    return notes;
  }
}

/** A pc and the start of a function (`main=0x401893`) are meant as they stand; everything else is where a call returns to. */
function meaningOf(address: bigint, isPc: boolean, symbolizer: Symbolizer): SymbolizedLocation | undefined {
  const exact = symbolizer.symbolize(address);
  return isPc || exact.at(-1)?.functionOffset === 0 ? exact[0] : symbolizer.symbolize(address, { isReturnAddress: true })[0];
}
