// What attaching takes from the command line, and what a session is opened with for it.

import { UnidbgError } from '../model/error.ts';
import { parseDuration } from '../model/quantity.ts';
import type { LiveSessionOptions } from '../session/live-session.ts';
import { parseProbeEndpoint } from '../session/probe-endpoint.ts';
import { SYSTEMS } from './systems.ts';

/** What `attach` and `run` take. */
export interface AttachOptions {
  readonly plain?: boolean;
  readonly json?: boolean;
  readonly all?: boolean;
  readonly symbols: readonly string[];
  readonly debugDir: readonly string[];
  readonly source: readonly string[];
  readonly record?: string;
  readonly log?: string;
  readonly takeConsole?: boolean;
  readonly probe?: readonly string[];
  readonly for?: string;
  readonly untilCrash?: boolean;
  readonly hangAfter?: string;
  readonly sampleEvery?: string;
  readonly lookEvery?: string;
  readonly capture?: boolean;
  readonly pcap?: string;
  readonly inspect?: string | boolean;
  readonly evaluate?: boolean;
  /** A folder; true: the current one. */
  readonly dumpOnCrash?: string | true;
  /** A file for QEMU's record of the run. */
  readonly recordRr?: string;
}

/** How a session is opened for these options. Throws USAGE. */
export function sessionOptionsOf(options: AttachOptions): LiveSessionOptions {
  const { pcap, inspect } = options;
  return {
    systems: SYSTEMS,
    symbols: options.symbols,
    debugSearch: { roots: options.debugDir, splitRoots: options.debugDir },
    sourceRoots: [...options.source, process.cwd()],
    takeConsole: options.takeConsole === true,
    probeEndpoints: (options.probe ?? []).map(parseProbeEndpoint),
    hangAfterMs: parseDuration(options.hangAfter ?? '5s'),
    sampleEveryMs: parsePeriod('--sample-every', options.sampleEvery ?? '1s', 10),
    lookEveryMs: parsePeriod('--look-every', options.lookEvery ?? '500ms', 50),
    ...(options.capture === true || pcap !== undefined ? { capture: pcap === undefined ? {} : { pcap } } : {}),
    inspect: inspect === false ? null : typeof inspect === 'string' ? inspect : 'auto',
    evaluate: options.evaluate !== false,
  };
}

function parsePeriod(option: string, text: string, least: number): number {
  const ms = parseDuration(text);
  if (ms < least) throw new UnidbgError('USAGE', `${option} ${text}: at least ${least}ms`);
  return ms;
}
