// Reports and groups as JSON (docs/report.md): addresses are `"0x…"`, what is not known is null and never left out, and the same
// report always gives the same bytes.

import { formatAddress } from '../model/address.ts';
import type { Crash } from '../model/crash.ts';
import type { Frame, Stack } from '../model/frame.ts';
import type { Image } from '../model/image.ts';
import { seriesKey } from '../model/metric.ts';
import type { CrashGroup, Report, Runs, Sighting } from '../model/report.ts';

/** Rises when a reader of an older one could go wrong: something was removed, or means something else. */
export const SCHEMA_VERSION = 1;

/** The document of one report. */
export function reportToJson(report: Report): object {
  const { source, seenAt, verdict, unikernel, runtime, image, crash, laterCrashes, stacks, metrics, guestExit, diagnostics } =
    report;
  return {
    schemaVersion: SCHEMA_VERSION,
    source,
    seenAt: timeToJson(seenAt),
    verdict,
    unikernel,
    runtime,
    image: image === null ? null : imageToJson(image),
    crash: crash === null ? null : crashToJson(crash),
    laterCrashes: laterCrashes.map(crashToJson),
    stacks: stacks.map(stackToJson),
    metrics: Object.fromEntries(
      metrics.map((sample) => [seriesKey(sample), { value: sample.value, unit: sample.unit, absent: sample.absent }]),
    ),
    guestExit,
    diagnostics: diagnostics.map(({ code, message }) => ({ code, message })),
  };
}

/** The document of many runs: `--group --json`. */
export function groupsToJson(groups: readonly CrashGroup[], runs: Runs): object {
  return {
    schemaVersion: SCHEMA_VERSION,
    runs,
    groups: groups.map(({ signature, kind, title, count, first, last, sources }) => ({
      ...{ signature, kind, title, count },
      ...{ firstSeen: sightingToJson(first), lastSeen: sightingToJson(last), sources },
    })),
  };
}

function sightingToJson({ source, at }: Sighting): object {
  return { source, at: timeToJson(at) };
}

function timeToJson(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
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
    registers:
      registers === null
        ? null
        : Object.fromEntries(Object.entries(registers.values).map(([name, value]) => [name, formatAddress(value)])),
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

function addressToJson(address: bigint | null): string | null {
  return address === null ? null : formatAddress(address);
}
