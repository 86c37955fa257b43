// Console bytes to lines that no terminal can be harmed by: UTF-8 (RFC 3629), line ends, and the control functions of
// ECMA-48 taken out whole. A push decoder: where a chunk ends changes nothing, and it has no timers (the caller flushes).

/** A line, or a piece of one. */
export interface DecodedLine {
  readonly text: string;
  /** The line goes on (it was flushed before its end, or is longer than 16 KiB): the next one continues it. */
  readonly partial: boolean;
  /** It continues the one before, which was partial. May be empty: that only says where the line ended. */
  readonly continuation: boolean;
}

/** Longest piece of a line, in UTF-16 units; the rest of a longer line follows as continuations. */
export const MAX_LINE = 16_384;
/** A control sequence or string longer than this is taken for broken, and what follows for text. */
const MAX_SEQUENCE = 4096;
const TAB_WIDTH = 8;

const LF = 0x0a;
const CR = 0x0d;
const ESC = 0x1b;
/** `K`, the end of CSI … K. All its forms take at least what stands to the right of the cursor. */
const ERASE_IN_LINE = 0x4b;

/** Anything that is not plain text with LF or CRLF line ends. */
const ODD = /[^\n\r -~]|\r(?!\n)/g;

/** Reorders or hides text: bidi controls, zero-width characters, separators, tags. Shown as `\u{…}`. */
const DECEPTIVE =
  /[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]/u;

/** Where the decoder is inside a control function. `string` is the body of OSC, DCS, SOS, PM or APC, `string-escape` an ESC in it. */
type State = 'text' | 'escape' | 'intermediate' | 'csi' | 'string' | 'string-escape';

/** Bytes after which text may be hidden, so that what stands apart is joined: NUL, BEL, ESC, a lone CR, C1 controls. */
const HIDING = ['\0', '\x07', '\x1b', '\r', '\xc2'];

/** Finds the places in bytes (as latin1) where lines do not show all characters that they have, in order. Own one per text. */
export class HiddenText {
  readonly #text: string;
  /** The next place of each kind. */
  readonly #next = HIDING.map(() => -1);
  #first = -1;

  constructor(latin1: string) {
    this.#text = latin1;
  }

  /** The first such place from `from` on, which does not go back; the end of the text when there is none. */
  find(from: number): number {
    if (this.#first >= from) return this.#first;
    HIDING.forEach((byte, kind) => {
      let at = this.#next[kind] ?? -1;
      if (at >= from) return;
      at = this.#text.indexOf(byte, from);
      while (at >= 0 && !this.#isHiding(at)) at = this.#text.indexOf(byte, at + 1);
      this.#next[kind] = at < 0 ? this.#text.length : at;
    });
    this.#first = Math.min(...this.#next);
    return this.#first;
  }

  /** The CR of a CRLF and letters that are no C1 control hide nothing. */
  #isHiding(at: number): boolean {
    const next = this.#text.charCodeAt(at + 1);
    if (this.#text.charCodeAt(at) === CR) return next !== LF;
    return this.#text.charCodeAt(at) !== 0xc2 || !(next > 0x9f);
  }
}

/** Turns pushed bytes into safe lines. Own one per console. */
export class LineDecoder {
  #state: State = 'text';
  /** Bytes of the control function so far. */
  #sequence = 0;
  /** Bytes of an unfinished UTF-8 letter. */
  #letter: number[] = [];
  /** What stands on the line since its start or the last lone CR. */
  #line = '';
  /** What a lone CR went back over; what the new text does not reach is still seen. */
  #under = '';
  /** A CR came: a line end if LF follows, else the cursor goes back to column 0. */
  #carriageReturn = false;
  #continues = false;
  #out: DecodedLine[] = [];

  /** The lines that `bytes` complete. */
  push(bytes: Uint8Array): DecodedLine[] {
    return this.pushLatin1(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'));
  }

  /** The same for bytes that are characters U+0000 to U+00FF. */
  pushLatin1(latin1: string): DecodedLine[] {
    let at = 0;
    while (at < latin1.length) {
      at = this.#pushPlainLines(latin1, at);
      const end = latin1.indexOf('\n', at);
      const stop = end < 0 ? latin1.length : end + 1;
      this.#pushAnything(latin1, at, stop);
      at = stop;
    }
    return this.#take();
  }

  /** What stands unfinished on the line, as a partial one: call it when the console has been quiet. */
  flush(): DecodedLine[] {
    if (this.#overlaid() !== '') this.#emit(true);
    return this.#take();
  }

  /** The stream ended: also an unfinished letter is shown. */
  end(): DecodedLine[] {
    this.#breakLetter();
    return this.flush();
  }

  #take(): DecodedLine[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Whether the next byte is the first of a line, and nothing that came before it matters. */
  get isAtLineStart(): boolean {
    return !this.#isPending && !this.#continues;
  }

  get #isPending(): boolean {
    return this.#state !== 'text' || this.#letter.length > 0 || this.#carriageReturn || this.#line !== '' || this.#under !== '';
  }

  /** The fast path: whole plain lines from `at`, when nothing is pending. Returns where it stopped. */
  #pushPlainLines(latin1: string, at: number): number {
    if (this.#isPending) return at;
    ODD.lastIndex = at;
    const odd = ODD.exec(latin1)?.index ?? latin1.length;
    while (at < odd) {
      const end = latin1.indexOf('\n', at);
      if (end < 0 || end > odd || end - at > MAX_LINE) break;
      const text = latin1.slice(at, end > at && latin1.charCodeAt(end - 1) === CR ? end - 1 : end);
      this.#out.push({ text, partial: false, continuation: this.#continues });
      this.#continues = false;
      at = end + 1;
    }
    return at;
  }

  /** The slow path: any bytes, runs of plain text at a time. */
  #pushAnything(latin1: string, from: number, to: number): void {
    let run = -1;
    for (let at = from; at < to; at += 1) {
      const byte = latin1.charCodeAt(at);
      const plain = byte >= 0x20 && byte < 0x7f && this.#state === 'text' && this.#letter.length === 0;
      if (plain) {
        if (run < 0) run = at;
        continue;
      }
      if (run >= 0) this.#write(latin1.slice(run, at));
      run = -1;
      this.#pushByte(byte);
    }
    if (run >= 0) this.#write(latin1.slice(run, to));
  }

  #pushByte(byte: number): void {
    if (this.#letter.length > 0 || byte >= 0x80) {
      this.#pushLetterByte(byte);
    } else {
      this.#pushUnit(byte);
    }
  }

  /** UTF-8: gathers a letter; a byte that cannot stand where it stands is shown as `\xNN`. */
  #pushLetterByte(byte: number): void {
    const [lead, second] = [this.#letter[0] ?? byte, this.#letter.length === 1 ? byte : null];
    if (this.#letter.length === 0) {
      if (byte >= 0xc2 && byte <= 0xf4) this.#letter.push(byte);
      else this.#pushBroken(byte);
      return;
    }
    if (byte < 0x80 || byte > 0xbf || (second !== null && !isSecondByte(lead, second))) {
      this.#breakLetter();
      this.#pushByte(byte);
      return;
    }
    this.#letter.push(byte);
    if (this.#letter.length < letterLength(lead)) return;
    const codePoint = this.#letter.reduce(
      (value, next, index) => (index === 0 ? next & (0x7f >> letterLength(lead)) : (value << 6) | (next & 0x3f)),
      0,
    );
    this.#letter = [];
    this.#pushUnit(codePoint);
  }

  /** Bytes that are no letter: text when text is read, part of the control function otherwise. */
  #pushBroken(byte: number): void {
    if (this.#state === 'string' || this.#state === 'string-escape') this.#pushUnit(0xfffd);
    else {
      this.#state = 'text';
      this.#write(hex(byte));
    }
  }

  #breakLetter(): void {
    const letter = this.#letter;
    this.#letter = [];
    for (const byte of letter) this.#pushBroken(byte);
  }

  /** One code point through the state machine of ECMA-48. */
  #pushUnit(unit: number): void {
    if (unit === LF || unit === CR || this.#state === 'text') {
      this.#state = 'text';
      this.#pushTextUnit(unit);
    } else if (unit === 0x18 || unit === 0x1a) {
      this.#state = 'text'; // CAN and SUB cancel any control function.
    } else {
      this.#sequence += 1;
      this.#pushControlUnit(this.#state, unit);
    }
  }

  #pushControlUnit(state: Exclude<State, 'text'>, unit: number): void {
    if (this.#sequence > MAX_SEQUENCE) {
      this.#state = 'text';
      this.#pushTextUnit(unit);
      return;
    }
    switch (state) {
      case 'escape':
        if (unit === 0x5b) this.#state = 'csi';
        else if (unit === 0x5d || unit === 0x50 || unit === 0x58 || unit === 0x5e || unit === 0x5f) this.#state = 'string';
        else this.#pushIntermediate(unit);
        return;
      case 'intermediate':
        this.#pushIntermediate(unit);
        return;
      case 'csi':
        if (unit === ERASE_IN_LINE) this.#eraseRest();
        if (unit >= 0x40 && unit <= 0x7e) this.#state = 'text';
        else if (unit < 0x20 || unit > 0x3f) this.#restart(unit);
        return;
      case 'string':
        if (unit === 0x07 || unit === 0x9c) this.#state = 'text';
        else if (unit === ESC) this.#state = 'string-escape';
        return;
      case 'string-escape':
        if (unit === 0x5c) this.#state = 'text';
        else {
          this.#state = 'escape';
          this.#pushControlUnit('escape', unit);
        }
    }
  }

  #pushIntermediate(unit: number): void {
    if (unit >= 0x20 && unit <= 0x2f) this.#state = 'intermediate';
    else if (unit >= 0x30 && unit <= 0x7e) this.#state = 'text';
    else this.#restart(unit);
  }

  /** A control function broken off by something that cannot be in it. */
  #restart(unit: number): void {
    this.#state = 'text';
    this.#pushTextUnit(unit);
  }

  #pushTextUnit(unit: number): void {
    if (unit === LF) {
      this.#carriageReturn = false;
      this.#emit(false);
    } else if (unit === CR) this.#carriageReturn = true;
    else if (unit === 0 || unit === 0x07)
      return; // NUL fills (Solo5 prints one after a smashed stack), BEL rings: no text.
    else if (unit === 0x09) this.#write(' '.repeat(TAB_WIDTH - (this.#line.length % TAB_WIDTH)));
    else if (unit === ESC || (unit >= 0x80 && unit <= 0x9f)) this.#beginControl(unit);
    else if (unit < 0x20 || unit === 0x7f) this.#write(hex(unit));
    else this.#write(shown(unit));
  }

  /** ESC and the C1 controls, which are what `ESC @`…`ESC _` stand for. */
  #beginControl(unit: number): void {
    this.#sequence = 1;
    if (unit === ESC) this.#state = 'escape';
    else if (unit === 0x9b) this.#state = 'csi';
    else if (unit === 0x90 || unit === 0x98 || (unit >= 0x9d && unit <= 0x9f)) this.#state = 'string';
    else this.#write(hex(unit));
  }

  /** GitLab's runner writes `section_start:…`, CR, erase, and then the text that is to be seen. */
  #eraseRest(): void {
    if (this.#carriageReturn) this.#line = '';
    this.#carriageReturn = false;
    this.#under = '';
  }

  #write(text: string): void {
    if (this.#carriageReturn) {
      this.#carriageReturn = false;
      this.#under = this.#overlaid();
      this.#line = '';
    }
    this.#line += text;
    while (this.#line.length > MAX_LINE) {
      const cut = cutAt(this.#line, MAX_LINE);
      const rest = this.#line.slice(cut);
      this.#line = this.#line.slice(0, cut);
      this.#emit(true);
      this.#line = rest;
    }
  }

  /** The line as a terminal would show it: the newest text over what the last lone CR went back over. */
  #overlaid(): string {
    if (this.#under.length <= this.#line.length) return this.#line;
    return (this.#line + this.#under.slice(this.#line.length)).toWellFormed();
  }

  #emit(partial: boolean): void {
    this.#out.push({ text: this.#overlaid(), partial, continuation: this.#continues });
    this.#continues = partial;
    this.#line = '';
    this.#under = '';
  }
}

function letterLength(lead: number): number {
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** No overlong form, no surrogate, nothing above U+10FFFF: the second byte decides (RFC 3629 §4). */
function isSecondByte(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second <= 0x9f;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second <= 0x8f;
  return true;
}

/** The nearest place at or before `at` that does not cut a surrogate pair. */
function cutAt(text: string, at: number): number {
  const before = text.charCodeAt(at - 1);
  return before >= 0xd800 && before <= 0xdbff ? at - 1 : at;
}

const HEX = Array.from({ length: 256 }, (_, byte) => `\\x${byte.toString(16).padStart(2, '0')}`);

function hex(byte: number): string {
  return HEX[byte] ?? '';
}

function shown(codePoint: number): string {
  const text = String.fromCodePoint(codePoint);
  return DECEPTIVE.test(text) ? `\\u{${codePoint.toString(16)}}` : text;
}
