// Reports and groups as JSON (docs/report.md, docs/report.schema.json): addresses are `"0x…"`, what is not known is null and never left
// out, and the same report always gives the same bytes.

import { formatAddress } from '../model/address.ts';
import type { Crash } from '../model/crash.ts';
import type { TargetIdentity } from '../model/event.ts';
import type { Frame, Stack } from '../model/frame.ts';
import type { HeapCensus, OutOfMemory } from '../model/heap.ts';
import type { Image } from '../model/image.ts';
import { encodeJson } from '../model/json.ts';
import { seriesKey } from '../model/metric.ts';
import type { Registers } from '../model/registers.ts';
import type { Comparison, CrashGroup, Launch, Report, Run, RunSet, Runs, Sighting } from '../model/report.ts';
import type { Series } from '../model/snapshot.ts';
import type { ReportFormat } from './format.ts';
import { isoTime } from './times.ts';

/** Rises when a reader of an older one could go wrong: something was removed, or means something else. */
export const SCHEMA_VERSION = 1;

/** A hostile guest may name metrics without end; the recording has all. */
const MAX_HISTORIES = 300;
const MAX_POINTS = 600;
const MAX_CONSOLE_LINES = 500;

export const jsonFormat: ReportFormat = {
  name: 'json',
  fileName: 'report.json',
  doc: 'JSON by docs/report.schema.json: all that is known of all runs',
  render: (runs) => `${encodeJson(runSetToJson(runs), 1)}\n`,
};

/** The document of many runs told together. */
export function runSetToJson({ title, runs, groups, comparison }: RunSet): object {
  return {
    schemaVersion: SCHEMA_VERSION,
    title,
    runs: runs.map(runToJson),
    groups: groups.map(groupToJson),
    comparison: comparison === null ? null : comparisonToJson(comparison),
  };
}

function runToJson({ name, passed, bundle, report }: Run): object {
  return { name, passed, bundle, report: reportToJson(report) };
}

function comparisonToJson({ baseline, new: added, known, fixed }: Comparison): object {
  return {
    baseline,
    new: added.map(({ signature }) => signature),
    known: known.map(({ signature }) => signature),
    fixed: fixed.map(({ signature, title }) => ({ signature, title })),
  };
}

/** The document of one report. */
export function reportToJson(report: Report): object {
  const { source, seenAt, verdict, unikernel, runtime, image, crash, laterCrashes, guestExit, outOfMemory } = report;
  const { target, launch } = report;
  return {
    schemaVersion: SCHEMA_VERSION,
    source,
    seenAt: isoTime(seenAt),
    verdict,
    unikernel,
    runtime,
    image: image === null ? null : imageToJson(image),
    crash: crash === null ? null : crashToJson(crash),
    laterCrashes: laterCrashes.map(crashToJson),
    stacks: report.stacks.map(stackToJson),
    metrics: Object.fromEntries(
      report.metrics.map((sample) => [seriesKey(sample), { value: sample.value, unit: sample.unit, absent: sample.absent }]),
    ),
    guestExit,
    diagnostics: report.diagnostics.map(({ code, message }) => ({ code, message })),
    target: target === null ? null : targetToJson(target),
    launch: launch === null ? null : launchToJson(launch),
    images: report.images.map(imageToJson),
    outOfMemory: outOfMemory === null ? null : outOfMemoryToJson(outOfMemory),
    registers: report.registers.map(({ vcpu, registers }) => ({ vcpu, ...registersToJson(registers) })),
    history: Object.fromEntries(
      report.history.slice(0, MAX_HISTORIES).map((series) => [seriesKey(series.latest), seriesToJson(series)]),
    ),
    findings: report.findings.map(({ check, severity, message }) => ({ check, severity, message })),
    expectations: report.expectations.map(({ text, state, reason }) => ({ text, state, reason })),
    console: consoleToJson(report.console),
    sources: report.sources.map(({ file, path, line, firstLine, lines }) => ({ file, path, line, firstLine, lines })),
    partial: report.partial,
  };
}

function targetToJson(target: TargetIdentity): object {
  const { name, kind, pid, machine, accelerator, vcpus, memoryBytes, memoryReader, console } = target;
  return { name, kind, pid, machine, accelerator, vcpus, memoryBytes, memoryReader, console };
}

function launchToJson({ command, startedAt, durationMs, bootMs, qemuExit, qemuOutput }: Launch): object {
  return { command, startedAt: isoTime(startedAt), durationMs, bootMs, qemuExit, qemuOutput };
}

function outOfMemoryToJson({ allocating, heaps, growth, remarks }: OutOfMemory): object {
  const who =
    allocating === null
      ? null
      : { stack: stackToJson(allocating.stack), asker: allocating.asker, bytes: allocating.bytes, by: allocating.by };
  return { allocating: who, heaps: heaps.map(heapToJson), growth, remarks };
}

function heapToJson({ heap, by, totalBytes, rows, roots, rootsAbsent, probe }: HeapCensus): object {
  return { heap, by, totalBytes, rows, roots, rootsAbsent, probe };
}

/** The newest points; times in ms since the first of them that is told. */
function seriesToJson({ latest: { unit, kind }, times, values }: Series): object {
  const start = times.at(-MAX_POINTS) ?? times[0] ?? 0;
  return {
    ...{ unit, kind, start: isoTime(start) },
    times: times.slice(-MAX_POINTS).map((time) => time - start),
    values: values.slice(-MAX_POINTS),
  };
}

function consoleToJson({ before, lines }: Report['console']): object {
  const shown = lines.slice(-MAX_CONSOLE_LINES);
  return { before: before + lines.length - shown.length, lines: shown.map(({ number, text }) => ({ number, text })) };
}

/** The document of many runs' bugs alone: `--group --json`. */
export function groupsToJson(groups: readonly CrashGroup[], runs: Runs): object {
  return { schemaVersion: SCHEMA_VERSION, runs, groups: groups.map(groupToJson) };
}

function groupToJson({ signature, alternatives, kind, title, count, first, last, sources }: CrashGroup): object {
  return {
    ...{ signature, alternatives, kind, title, count },
    ...{ firstSeen: sightingToJson(first), lastSeen: sightingToJson(last), sources },
  };
}

function sightingToJson({ source, at }: Sighting): object {
  return { source, at: isoTime(at) };
}

function imageToJson({ path, buildId, match, loadBias, placedBy }: Image): object {
  const matched = match === 'build-id' || match === 'text' ? true : match === 'unverified' ? null : false;
  return { path, buildId, matched, loadBias: formatAddress(loadBias), placedBy };
}

function crashToJson(crash: Crash): object {
  const { kind, title, message, signature, alternatives, vcpu, faultAddress, registers, corrupted, consoleLines } = crash;
  return {
    ...{ kind, title, message, signature, alternatives },
    witness: crash.witness,
    vcpu,
    faultAddress: addressToJson(faultAddress),
    registers: registers === null ? null : registersToJson(registers).values,
    frames: crash.frames.map(frameToJson),
    guiltyFrame: crash.guiltyFrame,
    corrupted,
    consoleLines,
  };
}

function frameToJson(frame: Frame): object {
  const { index, pc, functionOffset, file, line, column, inlined, module, trust, status } = frame;
  // A frame of a language's own trace has no address.
  const isAddressless = pc === 0n && trust === 'reported';
  return {
    ...{ index, pc: isAddressless ? null : formatAddress(pc), function: frame.function, functionOffset },
    ...{ file, line, column, inlined, module, trust, status },
  };
}

function stackToJson({ name, state, frames, end, torn }: Stack): object {
  return { name, state, frames: frames.map(frameToJson), end, torn };
}

function registersToJson({ machine, values }: Registers): { readonly machine: string; readonly values: object } {
  return {
    machine,
    values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, formatAddress(value)])),
  };
}

function addressToJson(address: bigint | null): string | null {
  return address === null ? null : formatAddress(address);
}
