// The session as plain lines, for pipes, CI and people without a terminal; or as JSON, one event a line.

import { formatAddress } from '../model/address.ts';
import type { Crash } from '../model/crash.ts';
import type { GuestEvent } from '../model/event.ts';
import { type Frame, formatArguments, type Stack } from '../model/frame.ts';
import { formatRegisters } from '../report/registers.ts';

/** The first look is to show that it works; a deep stack in full belongs to a crash. */
const FIRST_LOOK_FRAMES = 16;
const INNERMOST = 24;
const OUTERMOST = 12;

/** Lines to print for one event; empty when it says nothing to a reader of plain text. */
export function plainLines(event: GuestEvent, seen: PlainState): readonly string[] {
  switch (event.type) {
    case 'identity': {
      const { name, unikernelTitle, machine, vcpus, memoryReader, console } = event.identity;
      const line = `[unidbg] ${name}: ${unikernelTitle ?? 'unknown unikernel'}, ${machine}, ${vcpus} vCPU${vcpus === 1 ? '' : 's'}; memory: ${memoryReader?.replace(/ \(not faster.*$/s, '') ?? 'none'}; console: ${console ?? 'none'}`;
      if (event.identity.console === null || seen.identity === line) return [];
      seen.identity = line;
      return [line];
    }
    case 'vm':
      return [`[unidbg] VM ${event.status}${event.reason === null ? '' : `: ${event.reason}`}`];
    case 'images':
      return event.images.map(({ path, match, base, loadBias, placedBy }) =>
        match === 'no-file'
          ? `[unidbg] module ${path}: no symbols, at ${formatAddress(base)} (${placedBy})`
          : `[unidbg] symbols ${path}: ${match}, load bias ${formatAddress(loadBias)} (${placedBy})`,
      );
    case 'console':
      return event.line.partial ? [] : [event.line.text + event.line.notes.map((note) => `  ← ${note.text}`).join('')];
    case 'stacks':
      if (seen.stacks) return [];
      seen.stacks = event.stacks.some((stack) => stack.frames.length > 0);
      return event.stacks.flatMap((stack) => stackLines(stack, FIRST_LOOK_FRAMES));
    case 'crash':
      return crashLines(event.crash);
    case 'diagnostic':
      return [`[unidbg] ${event.diagnostic.message}`];
    case 'lost':
      return [`[unidbg] lost ${event.count} ${event.what}`];
    case 'stopped':
      return [`[unidbg] STOPPED vcpu ${event.vcpu}: ${event.reason}`, ...event.frames.map(frameLine)];
    case 'evaluated':
      return [`[unidbg] ${event.expression} = ${event.value ?? `error: ${event.error ?? ''}`}`];
    case 'registers':
    case 'threads':
    case 'metrics':
    case 'memory':
    case 'listing':
      return [];
  }
}

/** What was printed already: stacks are shown once, then only with a crash. */
export interface PlainState {
  stacks: boolean;
  identity: string | null;
}

/** A crash for a person: title, message, registers, frames. */
export function crashLines(crash: Crash): readonly string[] {
  return [
    '',
    `=== ${crash.kind.toUpperCase()}: ${crash.title}`,
    ...crash.message.split('\n').map((line) => `    ${line}`),
    ...(crash.faultAddress === null ? [] : [`    fault address ${formatAddress(crash.faultAddress)}`]),
    ...(crash.corrupted === null ? [] : [`    (the text is damaged: ${crash.corrupted})`]),
    ...(crash.registers === null ? [] : formatRegisters(crash.registers).map((line) => `    ${line}`)),
    ...frameLines(crash.frames),
    `    signature ${crash.signature}`,
    '',
  ];
}

/** Frames, with the middle of a deep stack left out: a runaway recursion is seen at its ends. The JSON has them all. */
function frameLines(frames: readonly Frame[]): readonly string[] {
  if (frames.length <= INNERMOST + OUTERMOST + 1) return frames.map(frameLine);
  const left = frames.length - INNERMOST - OUTERMOST;
  return [...frames.slice(0, INNERMOST).map(frameLine), `    … ${left} more`, ...frames.slice(-OUTERMOST).map(frameLine)];
}

/** A stack for a person, its innermost `most` frames. */
export function stackLines(stack: Stack, most = Infinity): readonly string[] {
  const torn = stack.torn ? ', torn (it moved while it was read)' : '';
  const more = stack.frames.length - most;
  return [
    `${stack.kind === 'vcpu' ? '' : 'thread '}${stack.name} [${stack.state}${torn}]`,
    ...stack.frames.slice(0, most).map(frameLine),
    ...(more > 0 ? [`    … ${more} more`] : endLine(stack)),
  ];
}

function endLine(stack: Stack): readonly string[] {
  return stack.end === 'outermost' ? [] : [`    … ends here: ${stack.end}`];
}

/** `  #2 0x10241c app_handle_request+0x1c (request=0x4000, length=3) at demo/app.c:41 (inlined) [cfi]`. */
export function frameLine(frame: Frame): string {
  const name =
    frame.function === null
      ? '??'
      : `${frame.arguments === undefined ? frame.function : withoutParameters(frame.function)}${frame.functionOffset === null || frame.inlined ? '' : `+0x${frame.functionOffset.toString(16)}`}`;
  const place =
    frame.file === null
      ? frame.module === null
        ? ''
        : ` in ${frame.module}`
      : ` at ${frame.file}${frame.line === null ? '' : `:${frame.line}`}`;
  const called = frame.arguments === undefined ? '' : ` (${formatArguments(frame.arguments)})`;
  const pc = frame.trust === 'reported' && frame.pc === 0n ? '' : ` ${formatAddress(frame.pc)}`;
  return `    #${String(frame.index).padEnd(2)}${pc} ${name}${called}${place}${frame.inlined ? ' (inlined)' : ''} [${frame.trust}]`;
}

/** `f(int) const` → `f`: where the arguments stand, their types would only say it twice. */
function withoutParameters(name: string): string {
  const end = /\)(?: const)?(?: \[clone [^\]]*\])*$/.exec(name)?.index ?? -1;
  let depth = 0;
  for (let at = end; at >= 0; at -= 1) {
    if (name[at] === ')') depth += 1;
    else if (name[at] === '(') depth -= 1;
    if (depth === 0) return at === 0 || name.slice(0, at).endsWith('operator') ? name : name.slice(0, at);
  }
  return name;
}
