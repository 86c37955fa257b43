// What must be undone: follows both directions of one RSP conversation and knows at any moment what the stub was told.
// Pure: no socket, no clock. GDB manual, appendix E.2, E.3.

import { decodeLatin1 } from '../framing/bytes.ts';
import type { Unit } from '../framing/decoder.ts';
import { START_NO_ACK } from '../packets/features.ts';
import { isErrorReply } from '../packets/reply.ts';
import { classifyResume } from '../packets/resume.ts';
import { decodeOutput, decodeStopReply, isStopReply } from '../packets/stop-reply.ts';
import { parseThreadId } from '../packets/threads.ts';

/** gdb's SIGINT: what QEMU reports when the VM was paused. */
const SIGINT = 2;
const MAX_PENDING = 4096;
const MAX_WRITTEN = 4096;

/** The guest's debugger-made state, for the release. */
export class Tracker {
  /** Set while the guest runs because the client let it run; `step` when only for an instruction. */
  run: 'continue' | 'step' | null = null;
  /** Requests the stub has not answered yet, oldest first. */
  readonly pending: string[] = [];
  /** What follows `Z` of each breakpoint that may be in: `0,201000,1`. */
  readonly breakpoints = new Set<string>();
  /** Instruction bytes (hex) under breakpoints that were written with `M` or `X`, by the hex address. */
  readonly written = new Map<string, string>();
  acks = true;
  /** Somebody else paused the VM (libvirt, a user at the monitor) after we let it run: theirs to resume. */
  pausedByOthers = false;
  /** The process in thread-ids (`p1.1`), which `D` then needs. */
  process: string | null = null;
  private readonly lastRead = new Map<string, string>();
  private interrupts = 0;

  /** A unit that goes on to the stub. */
  fromClient(unit: Unit): void {
    if (unit.type === 'interrupt') this.interrupts += 1;
    if (unit.type !== 'packet') return;
    const text = decodeLatin1(unit.payload);
    // `F` answers the stub's own file-I/O request and is not answered.
    if (text.startsWith('F')) return;
    const run = classifyResume(text);
    if (run !== null) {
      this.run = run;
      this.interrupts = 0;
      this.pausedByOthers = false;
      this.lastRead.clear();
      return;
    }
    if (text.startsWith('Z')) this.breakpoints.add(text.slice(1).split(';', 1)[0]!);
    if (this.pending.length < MAX_PENDING) this.pending.push(text);
  }

  /** A unit that came from the stub. */
  fromStub(unit: Unit): void {
    if (unit.type !== 'packet') return;
    const text = decodeLatin1(unit.payload);
    this.process = processOf(text) ?? this.process;
    if (this.run !== null) this.stubWhileRunning(text);
    else if (!isStopReply(text) || this.pending[0] === '?') this.answer(text);
  }

  private stubWhileRunning(text: string): void {
    if (decodeOutput(text) !== null || text.startsWith('F')) return;
    this.run = null;
    if (!isStopReply(text)) return;
    const stop = decodeStopReplyOrNull(text);
    this.pausedByOthers = stop?.type === 'stopped' && stop.signal === SIGINT && stop.reason === null && this.interrupts === 0;
  }

  private answer(text: string): void {
    const request = this.pending[0];
    if (request === undefined || (request.startsWith('qRcmd,') && decodeOutput(text) !== null)) return;
    this.pending.shift();
    const ok = text === 'OK';
    const place = request.slice(1).split(';', 1)[0]!;
    if (request.startsWith('Z') && (text === '' || isErrorReply(text))) this.breakpoints.delete(place);
    else if (request.startsWith('z') && ok) this.breakpoints.delete(place);
    else if (request === START_NO_ACK && ok) this.acks = false;
    else this.followMemory(request, text);
  }

  /** A breakpoint written by hand: the instruction was read just before, and is what must be put back. */
  private followMemory(request: string, reply: string): void {
    const read = /^m([0-9a-f]+),([0-9a-f]+)$/i.exec(request);
    if (read !== null && /^(?:[0-9a-f]{2}){1,4}$/i.test(reply)) {
      if (this.lastRead.size < MAX_WRITTEN) this.lastRead.set(read[1]!, reply.toLowerCase());
      return;
    }
    const write = findWrite(request);
    if (write === null || reply !== 'OK') return;
    const before = this.lastRead.get(write.address);
    if (this.written.get(write.address) === write.hex) this.written.delete(write.address);
    else if (isTrap(write.hex) && before?.length === write.hex.length && this.written.size < MAX_WRITTEN) {
      this.written.set(write.address, before);
    }
  }
}

/** int3, aarch64's brk #0, RISC-V's ebreak and c.ebreak. */
function isTrap(hex: string): boolean {
  return ['cc', '000020d4', '73001000', '0290'].includes(hex);
}

function findWrite(request: string): { address: string; hex: string } | null {
  const match = /^([MX])([0-9a-f]+),[0-9a-f]+:([\s\S]{1,8})$/i.exec(request);
  if (match === null) return null;
  const data = match[3]!;
  return { address: match[2]!, hex: match[1] === 'X' ? Buffer.from(data, 'latin1').toString('hex') : data.toLowerCase() };
}

function processOf(text: string): string | null {
  const id = /(?:thread:|^m|^QC)(p[0-9a-f]+\.[0-9a-f]+)/i.exec(text)?.[1];
  return id === undefined ? null : (parseThreadId(id).process?.toString(16) ?? null);
}

function decodeStopReplyOrNull(text: string): ReturnType<typeof decodeStopReply> | null {
  try {
    return decodeStopReply(text);
  } catch {
    return null;
  }
}
