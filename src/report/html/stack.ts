// Stacks with the source around their frames, and registers.

import { formatAddress, padAddress } from '../../model/address.ts';
import { type Frame, formatArguments, type Stack } from '../../model/frame.ts';
import type { Registers } from '../../model/registers.ts';
import type { SourceExcerpt } from '../../model/report.ts';
import { findExcerpt } from '../places.ts';
import { orderedRegisters } from '../registers.ts';
import { folded, html, type Markup } from './markup.ts';

/** Frames that are told at once: those around the guilty one; what called them is folded. */
const CALLERS_SHOWN = 12;
const FRAMES_SHOWN = 24;
/** A runaway recursion is seen at its ends. */
const FOLDED_SHOWN = 60;

/** Frames innermost first, the guilty one marked and its source open. */
export function frameList(frames: readonly Frame[], sources: readonly SourceExcerpt[], guilty: number | null): Markup {
  const shown = frames.length <= FRAMES_SHOWN ? frames.length : Math.min((guilty ?? 0) + CALLERS_SHOWN, FRAMES_SHOWN);
  const items = (some: readonly Frame[]): readonly Markup[] =>
    some.map((frame) => frameItem(frame, sources, guilty !== null && frame === frames[guilty]));
  const rest = frames.slice(shown);
  const left = rest.length - 2 * FOLDED_SHOWN;
  const ends =
    left <= 0
      ? items(rest)
      : [...items(rest.slice(0, FOLDED_SHOWN)), html`<li class="soft">… ${left} more</li>`, ...items(rest.slice(-FOLDED_SHOWN))];
  return html`<ol class="stack">${items(frames.slice(0, shown))}</ol>
${rest.length === 0 ? null : folded(`${rest.length} callers more`, html`<ol class="stack">${ends}</ol>`, { kind: 'more' })}`;
}

function frameItem(frame: Frame, sources: readonly SourceExcerpt[], isGuilty: boolean): Markup {
  const kind = [isGuilty ? 'guilty' : '', frame.inlined ? 'inlined' : ''].join(' ').trim();
  const excerpt = findExcerpt(frame, sources);
  const line = frameLine(frame);
  return html`<li class="${kind}">${excerpt === null ? line : folded(line, excerptBlock(excerpt), { open: isGuilty, kind: 'source' })}</li>
`;
}

function frameLine(frame: Frame): Markup {
  const { index, pc, functionOffset, file, line, column, inlined, module, trust } = frame;
  const called = frame.arguments === undefined || frame.arguments.length === 0 ? '' : `(${formatArguments(frame.arguments)})`;
  const name = `${frame.function ?? '??'}${functionOffset === null || functionOffset === 0 || inlined ? '' : `+0x${functionOffset.toString(16)}`}`;
  const place = file === null ? (module ?? '') : [file, line, column].filter((part) => part !== null && part !== 0).join(':');
  const at = trust === 'reported' && pc === 0n ? '' : formatAddress(pc);
  return html`<span class="frame"><span class="n">#${index}</span><span><span class="fn">${name}</span><span class="soft">${called}</span></span><span class="at">${place}</span><span class="at">${at}</span><span class="trust">${inlined ? 'inlined, ' : ''}${trust}</span></span>`;
}

/** Lines of source with their numbers, the one that matters marked. */
export function excerptBlock({ lines, firstLine, line }: SourceExcerpt): Markup {
  const rows = lines.map((text, index) => {
    const number = firstLine + index;
    return html`<span class="line${number === line ? ' here' : ''}"><span class="no">${number}</span>${text}</span>`;
  });
  return html`<pre>${rows}</pre>`;
}

/** A vCPU's or thread's stack, folded. */
export function stackBlock(stack: Stack, sources: readonly SourceExcerpt[]): Markup {
  const { kind, name, state, frames, end, torn } = stack;
  const innermost = frames.find((frame) => frame.function !== null)?.function ?? '';
  const head = html`<b>${kind === 'vcpu' ? '' : 'thread '}${name}</b> <span class="state plain">${state}</span> <span class="mono soft">${innermost}</span>`;
  const notes = [
    ...(torn ? ['It moved while it was read: names are right, their order may mix two moments.'] : []),
    ...(end === 'outermost' ? [] : [`The walk ends here: ${end}.`]),
  ];
  return folded(head, html`${frameList(frames, sources, null)}${notes.map((note) => html`<p class="soft">${note}</p>`)}`);
}

/** A register file in columns. */
export function registerGrid(registers: Registers): Markup {
  const cells = orderedRegisters(registers).map(
    ([name, value]) => html`<span><b>${name}</b>${padAddress(value)}</span>
`,
  );
  return html`<div class="regs">${cells}</div>`;
}
