// A stream of any text with what its addresses mean written into it. What is added stands behind an address and below its line;
// every byte that came goes through, whatever it is and wherever chunks end.

import type { SymbolizedLocation } from '../../model/frame.ts';
import type { SourceMaps } from '../../symbolize/source-maps.ts';
import { printable } from './addr2line.ts';
import { findMentions, type Mention } from './mentions.ts';
import type { Names } from './names.ts';
import { describeOriginal, findScriptMentions, type ScriptMention } from './script-positions.ts';
import { learnPlaces } from './whereabouts.ts';

/** A line in which something was found, for those who want data: text and its mentions, with the number of the line from 1. */
export interface ToldLine {
  readonly line: number;
  readonly text: string;
  readonly mentions: readonly Mention[];
  readonly scripts: readonly ScriptMention[];
}

/** What is written behind a place in the text, and below its line. */
interface Note {
  readonly end: number;
  readonly note: string;
  readonly below: readonly string[];
}

/** A line longer than this is worked on in pieces. */
const MAX_HELD = 64 * 1024;
/** So much of the end of a piece may be the first half of an address or a name. */
const MAX_TOKEN = 600;
/** What of a line is remembered for what follows on it. */
const MAX_CONTEXT = 600;
/** Frames below one line. */
const MAX_BELOW = 256;
const MAX_NAME = 500;

/** Writes what addresses mean into text that is pushed, as latin1 strings: one character a byte. */
export class Annotator {
  private names: Names;
  private readonly maps: SourceMaps | null;
  private readonly onLine: ((line: ToldLine) => void) | null;
  /** What came of a line and is not told yet. */
  private held = '';
  /** The end of what was told of the line already. */
  private context = '';
  /** Inlined frames to tell below the line. */
  private below: string[] = [];
  private number = 1;

  /** `onLine` is called for each line with mentions (for one that came in pieces, with each piece). */
  constructor(names: Names, maps: SourceMaps | null = null, onLine: ((line: ToldLine) => void) | null = null) {
    this.names = names;
    this.maps = maps;
    this.onLine = onLine;
  }

  /** The text to write for `bytes`. */
  push(bytes: Uint8Array): string {
    const text = this.held + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    const out: string[] = [];
    let at = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', at)) {
      this.writeLine(text.slice(at, end + 1), out);
      at = end + 1;
    }
    this.held = at === 0 ? text : text.slice(at);
    if (this.held.length > MAX_HELD) out.push(this.flush());
    return out.join('');
  }

  /** What can be told of an unfinished line: nobody should wait for the end of a prompt. */
  flush(): string {
    const cut = cutOf(this.held);
    const piece = this.held.slice(0, cut);
    this.held = this.held.slice(cut);
    return piece === '' ? '' : this.tell(piece);
  }

  /** The rest, when nothing more comes. */
  end(): string {
    const piece = this.held;
    this.held = '';
    const told = piece === '' ? '' : this.tell(piece);
    const lines = this.takeBelow('\n');
    return lines === '' ? told : `${told}\n${lines.slice(0, -1)}`;
  }

  private writeLine(line: string, out: string[]): void {
    const ending = line.endsWith('\r\n') ? '\r\n' : '\n';
    out.push(this.tell(line.slice(0, -ending.length)), ending);
    if (this.below.length > 0) out.push(this.takeBelow(ending));
    this.context = '';
    this.number += 1;
  }

  private takeBelow(ending: string): string {
    const lines = this.below.map((line) => `${line}${ending}`).join('');
    this.below = [];
    return lines;
  }

  private tell(piece: string): string {
    this.names = learnPlaces(this.context + piece, this.names);
    const mentions = findMentions(piece, this.context, this.names);
    const scripts = this.maps === null ? [] : findScriptMentions(piece, this.context, this.maps);
    this.context = (this.context + piece).slice(-MAX_CONTEXT);
    if (mentions.length + scripts.length === 0) return piece;
    this.onLine?.({ line: this.number, text: piece, mentions, scripts });
    const notes = [...mentions.map((mention) => this.noteOn(mention)), ...scripts.map(noteOnScript)];
    const parts: string[] = [];
    let at = 0;
    for (const { end, note, below } of notes.sort((one, other) => one.end - other.end)) {
      parts.push(piece.slice(at, end), toLatin1(note));
      at = end;
      for (const line of below.slice(0, MAX_BELOW - this.below.length)) this.below.push(toLatin1(line));
    }
    parts.push(piece.slice(at));
    return parts.join('');
  }

  private noteOn({ end, locations, saidFunction }: Mention): Note {
    const [innermost, ...outer] = locations;
    const below = outer.slice(0, MAX_BELOW).map((location) => `    (inlined by)${describePlace(location, this.names)}`);
    return { end, note: describePlace(innermost!, this.names, saidFunction), below };
  }
}

function noteOnScript({ end, source }: ScriptMention): Note {
  return { end, note: describeOriginal(source), below: [] };
}

/** ` function at file:line`; of a function that the text named already only ` at file:line`. */
export function describePlace(location: SymbolizedLocation, names: Names, saidFunction: string | null = null): string {
  const { function: name, file, line } = location;
  const called = name === null || name === saidFunction ? '' : ` ${shortened(names.demangle(name))}`;
  const where = file === null ? '' : ` at ${printable(file)}:${line === null || line === 0 ? '?' : line}`;
  return called === '' && where === '' && name === null ? ` ?? in ${location.module ?? '??'}` : called + where;
}

function shortened(name: string): string {
  const text = printable(name);
  return text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}…` : text;
}

function toLatin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Where a piece may end without cutting an address or a name in two. */
function cutOf(text: string): number {
  const tail = /[^\s]*$/.exec(text.slice(-MAX_TOKEN))?.[0] ?? '';
  return tail.length >= MAX_TOKEN ? text.length : text.length - tail.length;
}
