// The session as plain lines, for pipes, CI and people without a terminal; or as JSON, one event a line.

import { formatAddress } from '../model/address.ts';
import type { GuestEvent } from '../model/event.ts';
import type { Finding } from '../model/finding.ts';
import { exitWords } from '../model/guest-exit.ts';
import { outOfMemoryLines } from '../report/out-of-memory-text.ts';
import { toPrintable } from '../report/printable.ts';
import { crashLines, frameLine, stackLines } from '../report/stack-text.ts';

/** The first look is to show that it works; a deep stack in full belongs to a crash. */
const FIRST_LOOK_FRAMES = 16;

/** Lines to print for one event, without escape sequences; empty when it says nothing to a reader of plain text. */
export function plainLines(event: GuestEvent, seen: PlainState): readonly string[] {
  // What comes live was made safe where it was read; a recording or a symbol's name may come from a stranger.
  return linesOf(event, seen).map(toPrintable);
}

function linesOf(event: GuestEvent, seen: PlainState): readonly string[] {
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
    case 'finding':
      return findingLines(event.finding, seen);
    case 'crash':
      return crashLines(event.crash);
    case 'out-of-memory':
      return outOfMemoryLines(event.outOfMemory);
    case 'guest-exit':
      return [`[unidbg] ${exitWords(event.exit)}`];
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
    case 'sockets':
    case 'network':
    case 'memory':
    case 'listing':
      return [];
  }
}

/** What a check finds is said again only when it becomes worse or better, or is over. */
function findingLines({ check, severity, message, active }: Finding, seen: PlainState): readonly string[] {
  const before = seen.findings.get(check) ?? null;
  if (active) seen.findings.set(check, severity);
  else seen.findings.delete(check);
  if (!active) return before === null ? [] : [`[unidbg] no longer: ${check}`];
  return before === severity ? [] : [`[unidbg] ${severity.toUpperCase()}: ${message} (${check})`];
}

/** What was printed already: stacks are shown once, then only with a crash. */
export interface PlainState {
  stacks: boolean;
  identity: string | null;
  /** Open findings: check and severity. */
  readonly findings: Map<string, Finding['severity']>;
}

/** Nothing was printed yet. */
export function newPlainState(): PlainState {
  return { stacks: false, identity: null, findings: new Map() };
}
