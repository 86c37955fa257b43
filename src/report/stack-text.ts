// Frames, stacks and crashes as plain lines, for pipes, logs and people without a screen.

import { formatAddress } from '../model/address.ts';
import type { Crash } from '../model/crash.ts';
import { type Frame, formatArguments, type Stack } from '../model/frame.ts';
import { formatRegisters } from './registers.ts';

const INNERMOST = 24;
const OUTERMOST = 12;
/** Three fit into 80 columns. */
const REGISTER_COLUMNS = 3;

/** A crash for a person: title, message, registers, frames. */
export function crashLines(crash: Crash): readonly string[] {
  return [
    '',
    `=== ${crash.kind.toUpperCase()}: ${crash.title}`,
    ...crash.message.split('\n').map((line) => `    ${line}`),
    ...(crash.faultAddress === null ? [] : [`    fault address ${formatAddress(crash.faultAddress)}`]),
    ...(crash.corrupted === null ? [] : [`    (text in doubt: ${crash.corrupted})`]),
    ...(crash.registers === null ? [] : formatRegisters(crash.registers, REGISTER_COLUMNS).map((line) => `    ${line}`)),
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
