// Everything of a guest into one `.unicrash` file (docs/bundle.md): on a crash, at the end of a run, or because somebody asked.

import { BUNDLE_FORMAT, type Completion, type Manifest } from '../bundle/manifest.ts';
import { MEMBERS } from '../bundle/open-bundle.ts';
import { BundleWriter } from '../bundle/write-bundle.ts';
import { formatAddress } from '../model/address.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import { errorCode, errorMessage } from '../model/error.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import type { CoreProgress } from '../qemu/dump/copy-memory.ts';
import { type CoreFacts, writeCore } from '../qemu/dump/dump-core.ts';
import { type CorePlan, planCore } from '../qemu/dump/plan-core.ts';
import type { LiveTarget } from '../targets/live.ts';
import type { BundleRecorder, KeptConsole } from './bundle-recorder.ts';
import type { Session } from './session.ts';

/** What is to be written, and of what. */
export interface BundleRequest {
  /** A new file; its folder exists. */
  readonly path: string;
  /** Version of unidbg. */
  readonly unidbg: string;
  readonly why: Manifest['why'];
  /** The crash's title, the expectation that failed; null when somebody asked. */
  readonly reason: string | null;
  readonly session: Session;
  readonly target: LiveTarget;
  /** Null for a VM that was given by its monitor alone. */
  readonly record: VmRecord | null;
  readonly recorder: BundleRecorder;
  /** `report.json`, made of the session's snapshot: the document of src/report/json.ts. Null: none. */
  readonly report: object | null;
  /** `live`: the guest is not stopped for it. `none`: no core. */
  readonly core: 'consistent' | 'live' | 'none';
  readonly onProgress?: (progress: CoreProgress) => void;
}

/** A bundle that was written. */
export interface WrittenBundle {
  readonly path: string;
  /** Its size. */
  readonly bytes: number;
  /** Null without a core: `noCore` says why. */
  readonly core: CoreFacts | null;
  readonly noCore: string | null;
  /** Why it is not whole; null when it is. A core that could not be had at all is no such reason. */
  readonly partial: string | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** Writes a bundle. Throws FILE_UNWRITABLE: what is in the file by then can be read. A guest that is gone has no core, and that is no error. */
export async function writeBundle(request: BundleRequest): Promise<WrittenBundle> {
  const planned = await planBundleCore(request);
  try {
    return await writeMembers(request, planned);
  } finally {
    if ('plan' in planned) planned.plan.close();
  }
}

type PlannedCore = { readonly plan: CorePlan } | { readonly noCore: string };

async function planBundleCore({ core, target }: BundleRequest): Promise<PlannedCore> {
  if (core === 'none') return { noCore: 'it was not asked for' };
  const { status, reason } = target.state();
  if (status === 'gone' || status === 'connecting') return { noCore: `QEMU is gone${reason === null ? '' : `: ${reason}`}` };
  try {
    return { plan: await planCore({ monitor: target.monitor, pid: target.facts.pid, machine: target.machine }) };
  } catch (error) {
    if (errorCode(error) === null) throw error;
    return { noCore: errorMessage(error) };
  }
}

async function writeMembers(request: BundleRequest, planned: PlannedCore): Promise<WrittenBundle> {
  const { recorder, report, record, path } = request;
  const console = recorder.keptConsole(record);
  const writer = await BundleWriter.create(path, makeManifest(request, planned, console));
  try {
    if (report !== null) await writer.addText(MEMBERS.report, `${JSON.stringify(report, null, 1)}\n`);
    if (console !== null) await addPieces(writer, MEMBERS.console, () => console.pieces());
    await addPieces(
      writer,
      MEMBERS.events,
      () => recorder.events.pieces(),
      () => recorder.events.failure,
    );
    const outcome = 'plan' in planned ? await addCore(writer, request, planned.plan) : null;
    const facts = outcome?.facts ?? null;
    await writer.complete({ stoppedMs: facts?.stoppedMs ?? null, core: facts === null ? null : coreOf(facts) });
    return {
      path,
      bytes: writer.written,
      core: facts,
      noCore: 'noCore' in planned ? planned.noCore : facts === null ? (outcome?.partial ?? null) : null,
      partial: outcome?.partial ?? recorder.events.failure,
      diagnostics: facts?.diagnostics ?? [],
    };
  } finally {
    await writer.close();
  }
}

/** Adds what is read elsewhere, piece by piece; that it cannot be read to its end makes it partial. */
async function addPieces(
  writer: BundleWriter,
  name: string,
  pieces: () => Iterable<Uint8Array>,
  findLoss: () => string | null = () => null,
): Promise<void> {
  await writer.add(name, async (sink) => {
    try {
      for (const piece of pieces()) await sink.write(piece);
      return findLoss();
    } catch (error) {
      if (errorCode(error) === 'FILE_UNWRITABLE') throw error;
      return errorMessage(error);
    }
  });
}

async function addCore(
  writer: BundleWriter,
  { core, onProgress }: BundleRequest,
  plan: CorePlan,
): Promise<{ readonly facts: CoreFacts | null; readonly partial: string | null }> {
  let facts: CoreFacts | null = null;
  let partial: string | null = null;
  const options = { live: core === 'live', compressed: true, ...(onProgress === undefined ? {} : { onProgress }) };
  await writer.add(MEMBERS.core, async (sink) => {
    try {
      facts = await writeCore(plan, sink, options);
      partial = facts.partial;
    } catch (error) {
      if (errorCode(error) === null || errorCode(error) === 'FILE_UNWRITABLE') throw error;
      partial = errorMessage(error);
    }
    return partial;
  });
  return { facts, partial };
}

function makeManifest(request: BundleRequest, planned: PlannedCore, console: KeptConsole | null): Manifest {
  const { session, target, record, recorder, core } = request;
  const { identity, images } = session.snapshot();
  const { facts } = target;
  const { since } = recorder.events;
  return {
    unidbgBundle: BUNDLE_FORMAT,
    unidbg: request.unidbg,
    madeAt: new Date().toISOString(),
    why: request.why,
    reason: request.reason,
    vm: {
      name: facts.name,
      pid: facts.pid,
      machine: facts.machine,
      vcpus: facts.vcpus,
      memoryBytes: facts.memoryBytes,
      unikernel: identity?.unikernel ?? null,
      accelerator: facts.accelerator,
      qemuVersion: facts.qemuVersion,
      commandLine: record?.argv ?? [],
    },
    images: images.map(({ path, buildId, match, base, end, loadBias, placedBy }) => ({
      ...{ path, buildId, match, placedBy },
      ...{ base: formatAddress(base), end: formatAddress(end), loadBias: formatAddress(loadBias) },
    })),
    core: 'plan' in planned ? { mode: core === 'live' ? 'live' : 'consistent', reader: planned.plan.reader } : null,
    noCore: 'noCore' in planned ? planned.noCore : null,
    console: console?.from ?? null,
    noConsole: console === null ? `nothing of it was read: ${identity?.console ?? 'it is not known'}` : null,
    eventsSince: since === null ? null : new Date(since).toISOString(),
  };
}

function coreOf({ pages, pagesWithData, pagesUntouched, pagesUnreadable }: CoreFacts): Completion['core'] {
  return { pages, pagesWithData, pagesUntouched, pagesUnreadable };
}
