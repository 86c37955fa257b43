// SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format): each bug is a result of the rule of its kind; what is known of the same
// bug in other runs goes by its signature in `partialFingerprints`.

import type { ArtifactLocation, CodeFlow, Invocation, Location, Log, Notification, ReportingDescriptor, Result } from 'sarif';
import { toUnsigned64 } from '../model/address.ts';
import type { Crash, CrashKind } from '../model/crash.ts';
import { type Frame, formatLocation, type Stack } from '../model/frame.ts';
import type { CrashGroup, Report, Run, RunSet } from '../model/report.ts';
import type { ReportContext, ReportFormat } from './format.ts';
import { findPlace, findRepositoryPath } from './places.ts';
import { toPrintable } from './printable.ts';
import { findTelling } from './tellings.ts';
import { isoTime } from './times.ts';

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';
const FRAMES_TOLD = 100;
const STACKS_TOLD = 64;

const RULES: Readonly<Record<CrashKind, string>> = {
  fault: 'The CPU raised an exception (or the signal made of one) that nobody handled.',
  panic: 'The kernel or a run time stopped by itself, fatally.',
  assert: 'An assertion did not hold.',
  abort: 'The program asked for its own end: abort().',
  exception: 'Nobody caught an exception.',
  'out-of-memory': 'There was no memory left.',
  hang: 'The guest made no progress any more.',
};
const KINDS = Object.keys(RULES) as CrashKind[];

export const sarifFormat: ReportFormat = {
  name: 'sarif',
  fileName: 'report.sarif',
  doc: 'SARIF 2.1.0, for code scanning',
  render: (runs, context) => `${JSON.stringify(toSarif(runs, context), printableStrings, 1)}\n`,
};

function printableStrings(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? toPrintable(value) : value;
}

/** The log of one run of the tool. */
export function toSarif(runs: RunSet, context: ReportContext): Log {
  return {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'unidbg', semanticVersion: context.version, rules: KINDS.map(ruleOf) } },
        automationDetails: { id: `unidbg/${encodeURIComponent(runs.title.toWellFormed())}/` },
        columnKind: 'utf16CodeUnits',
        originalUriBaseIds: { '%SRCROOT%': { description: { text: 'The root of the repository.' } } },
        invocations: runs.runs.map(toInvocation),
        artifacts: artifactsOf(runs, context),
        results: [
          ...runs.groups.map((group) => toResult(group, runs, context)),
          ...(runs.comparison?.fixed ?? []).map(({ signature, title }) => toAbsent(signature, title)),
        ],
      },
    ],
  };
}

function ruleOf(kind: CrashKind): ReportingDescriptor {
  return {
    id: `unidbg/${kind}`,
    name: kind
      .split('-')
      .map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`)
      .join(''),
    shortDescription: { text: RULES[kind] },
    defaultConfiguration: { level: 'error' },
  };
}

function toResult(group: CrashGroup, runs: RunSet, context: ReportContext): Result {
  const { kind, title, signature, count, sources } = group;
  const told = findTelling(runs, group);
  const known = runs.comparison?.known.some((other) => other.signature === signature);
  return {
    ruleId: `unidbg/${kind}`,
    ruleIndex: KINDS.indexOf(kind),
    level: 'error',
    kind: 'fail',
    message: { text: told === null || told.crash.message === '' ? title : `${title}\n${told.crash.message}` },
    partialFingerprints: { 'unidbgSignature/v1': signature },
    ...(known === undefined ? {} : { baselineState: known ? 'unchanged' : 'new' }),
    occurrenceCount: count,
    ...(told === null ? {} : placesOf(told.crash, told.run.report, context)),
    properties: { runs: [...sources] },
  };
}

/** A bug of the baseline that did not come up. */
function toAbsent(signature: string, title: string): Result {
  return {
    ruleId: 'unidbg/fixed',
    level: 'none',
    kind: 'notApplicable',
    message: { text: title },
    partialFingerprints: { 'unidbgSignature/v1': signature },
    baselineState: 'absent',
  };
}

/** Where it happened: the line to blame, the stack, the way there. Code scanning wants a place: without a line of source it is the console's. */
function placesOf(crash: Crash, report: Report, { root }: ReportContext): Partial<Result> {
  const place = findPlace(crash, report.sources, root);
  const toLocation = (frame: Frame): Location => locationOf(frame, report, root);
  const region =
    place === null ? null : { startLine: place.line, ...(place.column === null ? {} : { startColumn: place.column }) };
  const blamed: Location =
    place === null || region === null
      ? { ...consolePlace(crash, report), message: { text: crash.title } }
      : {
          physicalLocation: { artifactLocation: repositoryFile(place.path), region },
          ...logical(place.frame),
          ...(place.isGuilty ? {} : { message: { text: `the nearest line of the repository: frame #${place.frame.index}` } }),
        };
  const frames = crash.frames.slice(0, FRAMES_TOLD);
  const others = report.stacks.slice(0, STACKS_TOLD).filter(({ frames: all }) => all.length > 0);
  return {
    locations: [blamed],
    ...(frames.length === 0 ? {} : { codeFlows: [codeFlowOf(frames.toReversed(), toLocation)] }),
    stacks: [
      ...(frames.length === 0 ? [] : [stackOf('the crash', frames, toLocation)]),
      ...others.map((stack: Stack) => stackOf(`${stack.name} [${stack.state}]`, stack.frames.slice(0, FRAMES_TOLD), toLocation)),
    ],
    relatedLocations: frames
      .map((frame, id) => ({ id, ...toLocation(frame), message: { text: `#${frame.index} ${formatLocation(frame)}` } }))
      .filter((location) => location.physicalLocation !== undefined),
  };
}

function consolePlace({ consoleLines }: Crash, { source }: Report): Location {
  const startLine = Math.max(1, consoleLines?.first ?? 1);
  return { physicalLocation: { artifactLocation: { uri: toUri(source) }, region: { startLine } } };
}

function stackOf(
  text: string,
  frames: readonly Frame[],
  toLocation: (frame: Frame) => Location,
): NonNullable<Result['stacks']>[number] {
  return {
    message: { text },
    frames: frames.map((frame) => ({ location: toLocation(frame), ...(frame.module === null ? {} : { module: frame.module }) })),
  };
}

/** From the outermost call to where it happened. */
function codeFlowOf(frames: readonly Frame[], toLocation: (frame: Frame) => Location): CodeFlow {
  return {
    threadFlows: [
      { locations: frames.map((frame) => ({ location: { ...toLocation(frame), message: { text: formatLocation(frame) } } })) },
    ],
  };
}

function locationOf(frame: Frame, { sources }: Report, root: string): Location {
  const path = findRepositoryPath(frame.file, sources, root);
  const isPlaced = frame.line !== null && frame.line > 0;
  const artifactLocation = path === null ? (frame.file === null ? null : { uri: toUri(frame.file) }) : repositoryFile(path);
  const region = isPlaced ? { region: { startLine: frame.line } } : {};
  const physical = artifactLocation === null ? {} : { artifactLocation, ...region };
  // SARIF counts addresses in numbers that JSON keeps exact.
  const address = toUnsigned64(frame.pc);
  const isExact = frame.pc !== 0n && address <= BigInt(Number.MAX_SAFE_INTEGER);
  const place = { ...physical, ...(isExact ? { address: { absoluteAddress: Number(address) } } : {}) };
  return { ...(Object.keys(place).length === 0 ? {} : { physicalLocation: place }), ...logical(frame) };
}

function logical(frame: Frame): Pick<Location, 'logicalLocations'> {
  if (frame.function === null) return {};
  return { logicalLocations: [{ fullyQualifiedName: frame.function, kind: 'function' }] };
}

function repositoryFile(path: string): ArtifactLocation {
  return { uri: toUri(path), uriBaseId: '%SRCROOT%' };
}

/** A path as a URI reference: a first segment with a colon, or a leading double slash, would be read as something else. */
function toUri(path: string): string {
  const encoded = path
    .toWellFormed()
    .split('/')
    .map((part) => encodeURIComponent(part))
    .join('/');
  return encoded.startsWith('/') ? `file:///${encoded.replace(/^\/+/, '')}` : encoded === '' ? 'unknown' : encoded;
}

function artifactsOf({ runs }: RunSet, { root }: ReportContext): NonNullable<Log['runs'][number]['artifacts']> {
  const sources = runs.flatMap(({ report }) => report.sources.map(({ path }) => path));
  const images = runs.flatMap(({ report }) => report.images);
  const files = [...new Set(sources)].flatMap((path) => {
    const inside = findRepositoryPath(path, [], root) ?? (path.startsWith('/') ? null : path);
    return inside === null ? [] : [{ location: repositoryFile(inside) }];
  });
  const seen = new Map(images.map((image) => [image.path, image]));
  return [
    ...files,
    ...[...seen.values()].map(({ path, buildId, machine }) => ({
      location: { uri: toUri(path) },
      mimeType: 'application/x-elf',
      properties: { buildId, machine },
    })),
  ];
}

function toInvocation({ name, passed, report }: Run): Invocation {
  const { launch, diagnostics, verdict } = report;
  const started = isoTime(launch?.startedAt ?? null);
  const ended = isoTime(launch === null ? null : launch.startedAt + launch.durationMs);
  const [executable] = launch?.command ?? [];
  return {
    executionSuccessful: verdict !== 'qemu-failed',
    ...(executable === undefined || launch === null
      ? {}
      : { commandLine: launch.command.join(' '), executableLocation: { uri: toUri(executable) } }),
    ...(started === null ? {} : { startTimeUtc: started }),
    ...(ended === null ? {} : { endTimeUtc: ended }),
    ...(launch?.qemuExit?.status == null ? {} : { exitCode: launch.qemuExit.status }),
    ...(launch?.qemuExit?.signal == null ? {} : { exitSignalName: launch.qemuExit.signal }),
    toolExecutionNotifications: [
      ...diagnostics.map(
        ({ code, message }): Notification => ({ descriptor: { id: code }, level: 'note', message: { text: message } }),
      ),
      ...report.expectations
        .filter(({ state }) => state !== 'met')
        .map(({ text, reason }): Notification => ({ level: passed ? 'note' : 'error', message: { text: `${text}: ${reason}` } })),
    ],
    properties: { name, passed, verdict },
  };
}
