// The top of the screen: whether the guest runs, at any moment and however the display is frozen; which guest it is; how it is read.

import type { VmStatus } from '../../src/model/event.ts';
import { formatSize } from '../../src/model/quantity.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { formatClock } from '../format.ts';
import type { ScreenState } from '../state.ts';
import { referenceTime } from '../state.ts';
import type { Style } from '../style.ts';
import type { Line } from '../text.ts';
import { justify, lineWidth, span } from '../text.ts';
import { findingStyle, worstFinding } from './findings.ts';
import { drawTimeBar, playState } from './time-bar.ts';

/** Each state has its own mark and word, so that neither colour nor font need carry it. */
export const VM_BADGES: Readonly<Record<VmStatus, { readonly text: string; readonly style: Style }>> = {
  connecting: { text: '… CONNECTING', style: 'badge-quiet' },
  running: { text: '● RUNNING', style: 'badge-good' },
  paused: { text: '‖ PAUSED by someone else', style: 'badge-warning' },
  debug: { text: '■ STOPPED by unidbg', style: 'badge-bad' },
  crashed: { text: '✖ CRASHED', style: 'badge-bad' },
  shutdown: { text: '○ SHUT DOWN', style: 'badge-quiet' },
  gone: { text: '○ GONE', style: 'badge-quiet' },
};

/** One or two lines; of a replay two, with its time bar. `live` is the newest snapshot even while the display is frozen. */
export function drawStatusBar(
  live: Snapshot,
  state: ScreenState,
  size: { readonly width: number; readonly height: number },
): readonly Line[] {
  const { width, height } = size;
  if (state.playback !== null) {
    const who: Line = [...stateBadge(live, state), ...identityLine(live, state)];
    return [
      justify(who, [span(' ▷ REPLAY ', 'badge-quiet'), playState(state.playback)], width),
      drawTimeBar(state.playback, width),
    ];
  }
  const right: Line = [...badges(live, state), span(` ${time(live, state)} `)];
  const who: Line = [...stateBadge(live, state), ...identityLine(live, state)];
  const how: Line = [span(' '), ...reasonLine(live), ...(findingLine(live) ?? howRead(live))];
  if (height > 1) return [who, justify(how, right, width)];
  const fits = lineWidth(who) + 1 + lineWidth(how) + lineWidth(right) <= width;
  return [justify(fits ? [...who, span(' '), ...how] : who, right, width)];
}

/** Why the guest does not run, in QEMU's or the debugger's words. */
function reasonLine({ vm }: Snapshot): Line {
  return vm.reason === null || vm.status === 'running' ? [] : [span(vm.reason, 'strong'), span(' · ', 'dim')];
}

/** What the checks say takes the place of how memory is read: that can wait for a calmer night. */
function findingLine(live: Snapshot): Line | null {
  const worst = worstFinding(live);
  if (worst === null) return null;
  const more = live.findings.length > 1 ? ` (and ${live.findings.length - 1} more: 7)` : '';
  return [span(`! ${worst.message}${more}`, findingStyle(worst))];
}

const DEAD = { text: '✖ DEAD, halted for ever', style: 'badge-bad' } as const;
const INTERRUPT_FLAG = 0x200n;

/** QEMU says that it runs, but it has crashed and every vCPU is halted with interrupts off: nothing but a reset can wake it. */
export function isDead({ vm, crashes, registers }: Snapshot): boolean {
  const asleep = ({ values }: Snapshot['registers'][number]['registers']): boolean =>
    values.halted === 1n && ((values.eflags ?? INTERRUPT_FLAG) & INTERRUPT_FLAG) === 0n;
  return (
    vm.status === 'running' && crashes.length > 0 && registers.length > 0 && registers.every((vcpu) => asleep(vcpu.registers))
  );
}

function stateBadge(live: Snapshot, state: ScreenState): Line {
  const { vm, crashes } = live;
  const { text, style } = isDead(live) ? DEAD : VM_BADGES[vm.status];
  const seconds = Math.floor((referenceTime(state, live) - vm.since) / 1000);
  // How long a guest of somebody's stands still is worth a number; how long it runs is not.
  const held = (vm.status === 'debug' || vm.status === 'paused') && vm.since > 0 && seconds >= 1 ? ` ${seconds}s` : '';
  return [span(` ${text}${held} `, style), ...crashBadge(crashes, vm.status), ...findingBadge(live)];
}

/** What it crashed of stands beside its state. */
function crashBadge(crashes: Snapshot['crashes'], status: VmStatus): Line {
  const [first] = crashes;
  if (first === undefined || status === 'crashed') return [];
  return [span(' '), span(crashes.length === 1 ? ` ✖ ${first.kind} ` : ` ✖ ${crashes.length} crashes `, 'badge-bad')];
}

/** That something is wrong with a guest that runs stands beside its state, too. */
function findingBadge(live: Snapshot): Line {
  const worst = worstFinding(live);
  if (worst === null) return [];
  return [span(' '), span(` ! ${worst.check} `, worst.severity === 'critical' ? 'badge-bad' : 'badge-warning')];
}

function identityLine({ identity }: Snapshot, { title }: ScreenState): Line {
  if (identity === null) return [span(` ${title ?? 'attaching …'}`, 'strong')];
  const facts = [
    identity.unikernelTitle ?? identity.unikernel,
    identity.machine,
    `${identity.vcpus} vCPU`,
    identity.memoryBytes === null ? null : formatSize(identity.memoryBytes).replace('.0 ', ' '),
  ].filter((fact) => fact !== null);
  return [span(` ${title ?? identity.name}`, 'strong'), span(` · ${facts.join(' · ')}`, 'plain')];
}

function howRead({ identity }: Snapshot): Line {
  if (identity === null) return [span('looking for its memory and console', 'dim')];
  if (identity.kind === 'replay' || identity.kind === 'log' || identity.kind === 'dump') {
    return [
      span(
        identity.kind === 'dump'
          ? 'a dump: nothing runs'
          : `a ${identity.kind === 'log' ? 'console log' : 'recording'}: nothing runs`,
        'dim',
      ),
    ];
  }
  // What looking does to the guest comes first: the end is what a narrow screen cuts.
  if (identity.memoryReader === null) return [span('memory cannot be read', 'warning')];
  // Why not by a faster way, in brackets, is for the overview.
  const reader = identity.memoryReader.replace(/ \(.*$/, '');
  return identity.readStopsGuest
    ? [span(`! each look STOPS the guest · reads ${reader}`, 'warning')]
    : [span(`never stops the guest · reads ${reader}`, 'dim')];
}

function badges(live: Snapshot, state: ScreenState): Line {
  const kind = live.identity?.kind;
  return [
    ...(kind === 'replay' ? [span(' ▷ REPLAY ', 'badge-quiet')] : []),
    ...(state.recording === null ? [] : [span(' ● REC ', 'badge-bad')]),
    ...(state.frozen === null ? [] : [span(' ❄ FROZEN f ', 'badge-warning')]),
  ];
}

/** How long we have been looking at a live guest; the moment of the last event of one that is over. */
function time(live: Snapshot, state: ScreenState): string {
  const kind = live.identity?.kind ?? 'live';
  if (kind === 'live' || kind === 'rsp') return `attached ${formatClock(state.now - state.startedAt)}`;
  return live.at === 0 ? '' : new Date(live.at).toISOString().slice(0, 19).replace('T', ' ');
}
