// A file as a guest that stands still: a recording, a bundle, or a dump. What can be told of each is the same session.

import { existsSync, readFileSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { type Bundle, isBundle, MEMBERS, openBundle } from '../bundle/open-bundle.ts';
import { openFileSource } from '../bytes/byte-source.ts';
import { parseAddress } from '../model/address.ts';
import { errorCode, UnidbgError } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';
import { type DumpSession, type DumpSource, openDumpSession } from '../session/dump-session.ts';
import { openRecording, readRecording } from '../session/recording.ts';
import type { Session } from '../session/session.ts';
import { DUMP_FORMATS } from '../targets/dump/formats.ts';
import { findDumpFormat, type OpenDumpOptions, openDump, openDumpFile, openDumpSource } from '../targets/dump/open-dump.ts';
import { fetchProgress } from './symbolize/progress.ts';
import { SYSTEMS } from './systems.ts';

/** What a file that holds a guest is. */
export type StillKind = 'recording' | 'bundle' | 'dump';

/** Options that say how to read one. */
export interface StillOptions {
  readonly symbols: readonly string[];
  readonly debugDir: readonly string[];
  readonly source?: readonly string[];
  readonly registers?: string;
  readonly dumpFormat?: string;
  readonly baseAddress?: string;
  readonly console?: string;
}

/** An open one. */
export interface StillGuest extends DumpSession {
  readonly kind: StillKind;
}

const RECORDING_MARK = '{"unidbgRecording":';

/** Adds what reading a dump may need to be told. */
export function addDumpOptions(command: Command): Command {
  return command
    .option('--registers <file>', 'of a dump without registers: the text of `info registers -a`')
    .option(
      '--dump-format <name>',
      `what a dump is, where its first bytes do not say it: ${DUMP_FORMATS.map(({ name }) => name).join(', ')}`,
    )
    .option('--console <file>', "what the dump's guest printed on its console, where that was kept")
    .option('--base-address <hex>', 'of raw memory: where in guest-physical space it begins', '0x0');
}

/** What `path` is; null when it is no file that a guest can be read from. `dumpFormat` given: a dump, whatever its bytes say. */
export function findStillKind(path: string, { dumpFormat }: Pick<StillOptions, 'dumpFormat'> = {}): StillKind | null {
  if (path === '-' || statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return null;
  if (dumpFormat !== undefined) return 'dump';
  if (isBundle(path)) return 'bundle';
  try {
    const source = openDumpFile(path);
    try {
      const head = Buffer.alloc(RECORDING_MARK.length);
      source.read(0, head);
      if (head.toString('latin1') === RECORDING_MARK) return 'recording';
      return findDumpFormat(source) === null ? null : 'dump';
    } finally {
      source.close();
    }
  } catch (error) {
    if (errorCode(error) === null) throw error;
    return null;
  }
}

/**
 * Opens one and reads what there is; `prepare` is given the session before its first event. Throws DUMP_*, BUNDLE_MALFORMED,
 * RECORDING_MALFORMED, ELF_*, FILE_UNREADABLE, USAGE.
 */
export async function openStill(
  path: string,
  kind: StillKind,
  options: StillOptions,
  prepare?: (session: Session) => void,
): Promise<StillGuest> {
  const bundle = kind === 'bundle' ? openBundle(path) : null;
  try {
    const progress = fetchProgress();
    const session = openDumpSession(
      { ...sourceOf(path, kind, bundle), console: options.console === undefined ? null : piecesOf(options.console) },
      {
        systems: SYSTEMS,
        symbols: options.symbols.length > 0 ? options.symbols : symbolsOf(bundle),
        debugSearch: { roots: options.debugDir, splitRoots: options.debugDir },
        onFetch: progress.onProgress,
        sourceRoots: [...(options.source ?? []), process.cwd()],
        dump: dumpOptionsOf(options),
      },
      prepare,
    ).finally(progress.close);
    const opened = await session;
    const close = (): void => {
      opened.close();
      bundle?.close();
    };
    const { session: inside, target, code } = opened;
    for (const diagnostic of bundle?.diagnostics ?? []) inside.emit({ type: 'diagnostic', diagnostic, at: inside.snapshot().at });
    return { kind, session: inside, target, code, partial: bundle?.partial ?? opened.partial, close };
  } catch (error) {
    bundle?.close();
    throw error;
  }
}

function sourceOf(path: string, kind: StillKind, bundle: Bundle | null): Omit<DumpSource, 'console'> {
  const madeAt = Math.round(statSync(path).mtimeMs);
  switch (kind) {
    case 'recording':
      return { name: path, madeAt, openDump: null, recorded: eventsOf(path) };
    case 'dump':
      return { name: path, madeAt, openDump: (options) => openDump(path, options), recorded: [] };
    case 'bundle': {
      const core = bundle?.core() ?? null;
      const recorded = bundle === null ? [] : eventsIn(bundle);
      const name = bundle?.manifest.vm.name ?? path;
      const open = core === null ? null : (options: OpenDumpOptions) => openDumpSource(core, options);
      return { name, madeAt: Date.parse(bundle?.manifest.madeAt ?? '') || 0, openDump: open, recorded };
    }
  }
}

const PIECE = 1 << 20;

function* piecesOf(path: string): Generator<Uint8Array> {
  const source = openFileSource(path);
  try {
    for (let at = 0; at < source.size; at += PIECE) {
      const bytes = new Uint8Array(Math.min(PIECE, source.size - at));
      yield bytes.subarray(0, source.read(at, bytes));
    }
  } finally {
    source.close();
  }
}

function* eventsOf(path: string): Generator<GuestEvent> {
  const reader = openRecording(path);
  try {
    yield* reader.events();
  } finally {
    reader.close();
  }
}

/** The events of a bundle, in order; none where it holds none. Throws RECORDING_MALFORMED. */
export function* eventsIn(bundle: Bundle): Generator<GuestEvent> {
  const events = bundle.member(MEMBERS.events);
  if (events !== null) yield* readRecording(events).events();
}

/** The files that the bundle's names came from, where they are on this machine too; each is compared with the core before it names anything. */
function symbolsOf(bundle: Bundle | null): readonly string[] {
  return (bundle?.manifest.images ?? [])
    .filter(({ match, path }) => match !== 'no-file' && match !== 'mismatch' && existsSync(path))
    .map(({ path }) => path);
}

function dumpOptionsOf({ registers, dumpFormat, baseAddress = '0' }: StillOptions): OpenDumpOptions {
  const physicalBase = parseAddress(baseAddress);
  if (physicalBase === null) throw new UnidbgError('USAGE', `--base-address ${baseAddress}: an address, 0x…`);
  return {
    physicalBase,
    ...(registers === undefined ? {} : { registersText: readText(registers) }),
    ...(dumpFormat === undefined ? {} : { format: dumpFormat }),
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UnidbgError('FILE_UNREADABLE', `--registers ${path} cannot be read`, { cause, facts: { path } });
  }
}
