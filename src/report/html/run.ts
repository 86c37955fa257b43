// What is told of one run: the parts of its page.

import { formatAddress } from '../../model/address.ts';
import type { Crash } from '../../model/crash.ts';
import { formatLocation } from '../../model/frame.ts';
import { exitWords } from '../../model/guest-exit.ts';
import type { HeapRow } from '../../model/heap.ts';
import { seriesKey } from '../../model/metric.ts';
import { formatSample, formatSize } from '../../model/quantity.ts';
import type { Launch, Report, Run } from '../../model/report.ts';
import { findExcerpt } from '../places.ts';
import { qemuExitWords } from '../text.ts';
import { formatSpan, isoTime } from '../times.ts';
import { consoleBlock } from './console.ts';
import { folded, html, type Markup, section, table } from './markup.ts';
import { plotFigures } from './plots.ts';
import { excerptBlock, frameList, registerGrid, stackBlock } from './stack.ts';

const STACKS_SHOWN = 200;
const METRICS_SHOWN = 500;
const LATER_SHOWN = 20;
const ROWS_SHOWN = 15;

/** The run in a few words: what a heading says. */
export function headline({ crash, verdict, guestExit, expectations }: Report): string {
  if (crash !== null) return crash.title;
  const broken = expectations.filter(({ state }) => state !== 'met').length;
  if (verdict === 'expectation-failed') return `${broken} of ${expectations.length} expectations did not hold`;
  if (verdict === 'qemu-failed') return 'QEMU failed: nothing is told of the guest';
  return verdict === 'exit' && guestExit !== null ? guestExit.how : 'No crash';
}

/** What and how it ran, as a list in a line. */
export function factList({ bundle, report }: Run): Markup {
  const { unikernel, runtime, target, launch, guestExit, seenAt } = report;
  const facts = [
    target?.unikernelTitle ?? unikernel ?? 'unknown system',
    runtime,
    target?.machine,
    target === null ? null : `${target.vcpus} vCPU${target.vcpus === 1 ? '' : 's'}`,
    target?.memoryBytes == null ? null : formatSize(target.memoryBytes),
    launch === null ? null : `ran for ${formatSpan(launch.durationMs)}`,
    launch?.bootMs == null ? null : `booted after ${formatSpan(launch.bootMs)}`,
    guestExit === null ? null : exitWords(guestExit),
    launch?.qemuExit == null ? null : qemuExitWords(launch.qemuExit),
    isoTime(seenAt)
      ?.replace('T', ' ')
      .replace(/\.\d+Z$/, ' UTC'),
    bundle === null ? null : `bundle ${bundle}`,
  ].filter((fact) => fact != null);
  return html`<ul class="facts">${facts.map((fact) => html`<li>${fact}</li>`)}</ul>`;
}

/** All parts that there is something to say in. */
export function runSections(report: Report): readonly Markup[] {
  const { crash, partial, findings, stacks, laterCrashes, diagnostics } = report;
  const plots = plotFigures(report);
  const parts = [
    partial === null ? null : html`<p class="note">This is not all of it: ${partial}</p>`,
    crash === null ? null : crashSection(crash, report),
    outOfMemorySection(report),
    section('expectations', 'Expectations', expectationTable(report)),
    section(
      'history',
      crash === null ? 'Memory and garbage collection' : 'Memory and garbage collection before the end',
      plots.length === 0 ? null : html`<div class="plots">${plots}</div>`,
    ),
    section(
      'findings',
      'Findings',
      table(
        [],
        findings.map(({ severity, check, message }) => [
          html`<span class="state ${severity}">${severity}</span>`,
          check,
          message,
        ]),
      ),
    ),
    section('console', 'Console', consoleBlock(report)),
    section(
      'later',
      'Later crashes: perhaps its consequences',
      laterCrashes.slice(0, LATER_SHOWN).map((later) => folded(`${later.kind}: ${later.title}`, crashBody(later, report))),
    ),
    section(
      'stacks',
      'Every vCPU and thread',
      stacks.slice(0, STACKS_SHOWN).map((stack) => stackBlock(stack, report.sources)),
    ),
    section(
      'registers',
      'Registers of the vCPUs',
      report.registers.map(({ vcpu, registers }) => folded(`vCPU ${vcpu}`, registerGrid(registers))),
    ),
    section('metrics', 'Metrics at the end', metricTable(report)),
    section('launch', 'How it was run', report.launch === null ? null : launchBody(report.launch)),
    section('images', 'Images', imageTable(report)),
    section(
      'remarks',
      'Remarks',
      diagnostics.length === 0 ? null : html`<ul>${diagnostics.map(({ message }) => html`<li>${message}</li>`)}</ul>`,
    ),
  ];
  return parts.filter((part) => part !== null);
}

function crashSection(crash: Crash, report: Report): Markup | null {
  return section('crash', 'What happened', crashBody(crash, report));
}

function crashBody(crash: Crash, { sources }: Report): Markup {
  const { message, faultAddress, vcpu, signature, corrupted, registers, frames, guiltyFrame, witness } = crash;
  const guilty = guiltyFrame === null ? undefined : frames[guiltyFrame];
  const facts = [
    faultAddress === null ? null : html`<dt>fault address</dt><dd class="mono">${formatAddress(faultAddress)}</dd>`,
    guilty === undefined ? null : html`<dt>in</dt><dd class="mono">${formatLocation(guilty)}</dd>`,
    vcpu === null ? null : html`<dt>vCPU</dt><dd>${vcpu}</dd>`,
    html`<dt>known by</dt><dd>${witness}</dd><dt>signature</dt><dd class="mono">${signature}</dd>`,
  ].filter((fact) => fact !== null);
  return html`<pre class="wrap">${message}</pre>
<dl>${facts}</dl>
${corrupted === null ? null : html`<p class="note">The text is in doubt: ${corrupted}</p>`}
${frames.length === 0 ? null : html`<h3>Stack</h3>${frameList(frames, sources, guiltyFrame)}`}
${registers === null ? null : html`<h3>Registers</h3>${registerGrid(registers)}`}`;
}

function outOfMemorySection({ outOfMemory, sources, crash }: Report): Markup | null {
  if (outOfMemory === null) return null;
  const { allocating, heaps, growth, remarks } = outOfMemory;
  const asker = allocating?.asker == null ? undefined : allocating.stack.frames[allocating.asker];
  const guilty = crash?.frames[crash.guiltyFrame ?? -1];
  const isShown = guilty !== undefined && asker?.file === guilty.file && asker.line === guilty.line;
  const excerpt = asker === undefined || isShown ? null : findExcerpt(asker, sources);
  const amount = (value: number, unit: string): string => (unit === 'By' ? formatSize(value) : String(value));
  return section(
    'memory',
    'Why memory ran out',
    html`${
      allocating === null
        ? null
        : html`<p><b>${allocating.stack.name}</b> asked for ${allocating.bytes === null ? 'memory' : formatSize(allocating.bytes)}${asker === undefined ? '' : ` in ${formatLocation(asker)}`} <span class="soft">(${allocating.by})</span></p>
${excerpt === null ? null : excerptBlock(excerpt)}${folded('Its stack', frameList(allocating.stack.frames, sources, allocating.asker))}`
    }
${table(
  ['what grew', 'from', 'to', 'in'],
  growth.map(({ series, unit, from, to, overMs }) => [series, amount(from, unit), amount(to, unit), formatSpan(overMs)]),
  'num',
)}
${heaps.map(
  ({
    heap,
    by,
    totalBytes,
    rows,
    roots,
    rootsAbsent,
  }) => html`<h3>${heap}, by ${by}${totalBytes === null ? '' : `: ${formatSize(totalBytes)} in use`}</h3>
${heapTable(rows)}${roots === null ? (rootsAbsent === null ? null : html`<p class="soft">What holds it is not known: ${rootsAbsent}</p>`) : html`<h3>Held by</h3>${heapTable(roots)}`}`,
)}
${remarks.map((remark) => html`<p class="soft">${remark}</p>`)}`,
  );
}

function heapTable(rows: readonly HeapRow[]): Markup | null {
  const shown = rows
    .slice(0, ROWS_SHOWN)
    .map(({ name, count, bytes }) => [html`<code>${name}</code>`, count === null ? '' : String(count), formatSize(bytes)]);
  const rest = rows.length > ROWS_SHOWN ? [[`… ${rows.length - ROWS_SHOWN} more`, '', '']] : [];
  return table(['', 'objects', 'bytes'], [...shown, ...rest], 'num');
}

function expectationTable({ expectations }: Report): Markup | null {
  const rows = expectations.map(({ text, state, reason }) => [
    html`<span class="state ${state}">${state}</span>`,
    html`<code>${text}</code>`,
    reason,
  ]);
  return table([], rows);
}

function metricTable({ metrics }: Report): Markup | null {
  const rows = metrics
    .slice(0, METRICS_SHOWN)
    .map((sample) => [
      html`<code>${seriesKey(sample)}</code>`,
      sample.value === null ? html`<span class="soft">${sample.absent ?? 'not known'}</span>` : formatSample(sample),
    ]);
  const all = table([], rows);
  return all === null ? null : folded(`${metrics.length} metrics`, all);
}

function launchBody({ command, qemuOutput, qemuExit }: Launch): Markup {
  return html`${command.length === 0 ? null : html`<pre class="wrap">${command.join(' ')}</pre>`}
${qemuExit === null ? null : html`<p>${qemuExitWords(qemuExit)}.</p>`}
${qemuOutput.length === 0 ? null : html`<h3>QEMU’s own words</h3><pre>${qemuOutput.join('\n')}</pre>`}`;
}

function imageTable({ images }: Report): Markup | null {
  const rows = images.map(({ path, match, buildId, base, end, loadBias, placedBy }) => [
    html`<code>${path}</code>`,
    match,
    html`<code>${buildId ?? 'none'}</code>`,
    html`<code>${formatAddress(base)}–${formatAddress(end)}</code>`,
    html`<code>${formatAddress(BigInt.asUintN(64, loadBias))}</code> <span class="soft">${placedBy}</span>`,
  ]);
  return table(['file', 'is it the one?', 'build-id', 'in the guest', 'load bias'], rows);
}
