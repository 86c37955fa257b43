// The byte pump: socket chunks in, protocol units out. GDB manual, appendix E.1 "Overview" and E.10 "Notification Packets".
//
//   + | - | 0x03 | $ body # cc | % body # cc        cc = sum of the body's bytes as sent, modulo 256, two hex digits
//
// `#` and `$` never stand unescaped inside a body (an escape is `}` then the byte XOR 0x20; run lengths avoid both), so
// finding a unit's end needs no more than four states and cannot mind where a chunk ends.

/** One unit of the protocol. `raw` are its bytes as received, for whoever passes it on. */
export type Unit =
  | { readonly type: 'ack' | 'nak' | 'interrupt'; readonly raw: Uint8Array }
  | { readonly type: 'packet' | 'notification'; readonly payload: Uint8Array; readonly raw: Uint8Array }
  | { readonly type: 'corrupt'; readonly reason: CorruptReason; readonly raw: Uint8Array };

/** Why a unit is not a packet: wrong checksum, cut off by the start of the next, bad escape or run length, too long. */
export type CorruptReason = 'checksum' | 'truncated' | 'encoding' | 'oversize';

const DOLLAR = 0x24;
const PERCENT = 0x25;
const HASH = 0x23;
const STAR = 0x2a;
const ESCAPE = 0x7d;
const PLUS = 0x2b;
const MINUS = 0x2d;
const INTERRUPT = 0x03;

const DEFAULT_LIMIT = 1 << 20;

/** Cuts a byte stream into units. Bytes between units are skipped, as gdb does. */
export class UnitDecoder {
  private readonly limit: number;
  private readonly runLength: boolean;
  private state: 'idle' | 'body' | 'checksum1' | 'checksum2' = 'idle';
  private raw = new Uint8Array(256);
  private length = 0;
  private sum = 0;
  private oversize = false;

  /**
   * `limit` bounds a unit's bytes as sent and its payload. `runLength` (default true) expands `*`: right for what a stub
   * sends, wrong for what a client sends, whose binary data may hold a bare `*`.
   */
  constructor(options: { limit?: number; runLength?: boolean } = {}) {
    this.limit = options.limit ?? DEFAULT_LIMIT;
    this.runLength = options.runLength ?? true;
  }

  /** The units that `chunk` completes, in order. */
  push(chunk: Uint8Array): Unit[] {
    const units: Unit[] = [];
    for (const byte of chunk) {
      const unit = this.step(byte, units);
      if (unit !== null) units.push(unit);
    }
    return units;
  }

  private step(byte: number, units: Unit[]): Unit | null {
    switch (this.state) {
      case 'idle':
        return this.begin(byte);
      case 'body':
        if (byte === DOLLAR && !this.oversize) {
          // A stub that was cut off in mid-packet starts again.
          units.push({ type: 'corrupt', reason: 'truncated', raw: this.takeRaw() });
          return this.begin(byte);
        }
        this.append(byte);
        if (byte === HASH) this.state = 'checksum1';
        else this.sum = (this.sum + byte) & 0xff;
        return null;
      case 'checksum1':
        this.append(byte);
        this.state = 'checksum2';
        return null;
      case 'checksum2':
        this.append(byte);
        this.state = 'idle';
        return this.finish();
    }
  }

  private begin(byte: number): Unit | null {
    if (byte === DOLLAR || byte === PERCENT) {
      this.state = 'body';
      this.length = 0;
      this.sum = 0;
      this.oversize = false;
      this.append(byte);
      return null;
    }
    const raw = Uint8Array.of(byte);
    if (byte === PLUS) return { type: 'ack', raw };
    if (byte === MINUS) return { type: 'nak', raw };
    if (byte === INTERRUPT) return { type: 'interrupt', raw };
    return null;
  }

  private finish(): Unit {
    const sent = Number.parseInt(String.fromCharCode(this.raw[this.length - 2]!, this.raw[this.length - 1]!), 16);
    const notification = this.raw[0] === PERCENT;
    const raw = this.takeRaw();
    if (this.oversize) return { type: 'corrupt', reason: 'oversize', raw };
    if (sent !== this.sum) return { type: 'corrupt', reason: 'checksum', raw };
    const payload = expandBody(raw.subarray(1, -3), this.limit, this.runLength);
    if (typeof payload === 'string') return { type: 'corrupt', reason: payload, raw };
    return { type: notification ? 'notification' : 'packet', payload, raw };
  }

  private append(byte: number): void {
    if (this.length >= this.limit) {
      // Keep counting states, keep no more bytes: the last two slots go on holding the newest (the checksum).
      this.oversize = true;
      this.raw[this.length - 2] = this.raw[this.length - 1]!;
      this.raw[this.length - 1] = byte;
      return;
    }
    if (this.length === this.raw.length) {
      const grown = new Uint8Array(Math.min(this.limit, this.length * 2));
      grown.set(this.raw);
      this.raw = grown;
    }
    this.raw[this.length] = byte;
    this.length += 1;
  }

  private takeRaw(): Uint8Array {
    return this.raw.slice(0, this.length);
  }
}

/** Undoes escapes and run lengths; the reason when the body is none or would pass `limit` bytes. */
function expandBody(body: Uint8Array, limit: number, runLength: boolean): Uint8Array | 'encoding' | 'oversize' {
  if (!body.includes(ESCAPE) && !(runLength && body.includes(STAR))) return body;
  const out: number[] = [];
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at]!;
    const next = body[at + 1];
    if (byte === ESCAPE) {
      if (next === undefined) return 'encoding';
      out.push(next ^ 0x20);
      at += 1;
    } else if (byte === STAR && runLength) {
      // `0* ` is "0000": the count is the next character's code minus 29, at least 3.
      const last = out.at(-1);
      if (last === undefined || next === undefined || next < 0x20 || next > 0x7e) return 'encoding';
      for (let count = next - 29; count > 0; count -= 1) out.push(last);
      at += 1;
    } else {
      out.push(byte);
    }
    if (out.length > limit) return 'oversize';
  }
  return Uint8Array.from(out);
}
