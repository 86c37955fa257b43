// The JavaScript stack of this very moment (CDP Debugger.pause): stops the guest's JavaScript for some ms, so it is only ever done on
// request, and says for how long. Should we end meanwhile, the guest goes on: V8 resumes when its debugger disconnects.

import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import type { ReportedFrame } from '../model/console-text.ts';
import type { Connection } from './connection.ts';
import { frameOf } from './exception.ts';
import { decodeBy } from './reading.ts';

/** A stack, and for how long the guest's JavaScript stood still for it. */
export interface StoppedStack {
  /** Innermost first. */
  readonly frames: readonly ReportedFrame[];
  readonly stoppedMs: number;
}

const MAX_FRAMES = 1_000;
const MAX_ANSWER_MS = 10_000;

const MAX_SCRIPTS = 20_000;

const place = v.object({ scriptId: v.string(), lineNumber: v.number(), columnNumber: v.optional(v.number(), 0) });
const pausedSchema = v.object({ callFrames: v.array(v.object({ functionName: v.optional(v.string(), ''), location: place })) });
const scriptSchema = v.object({ scriptId: v.string(), url: v.optional(v.string(), '') });

/** Stops, reads the stack, resumes. Null when no JavaScript ran within `waitMs`: there is nothing to stop. Throws INSPECTOR_*. */
export async function stopForStack(connection: Connection, waitMs = 1_000): Promise<StoppedStack | null> {
  let pausedAt = 0;
  let tell: (params: unknown) => void = () => undefined;
  const paused = new Promise<unknown>((done) => {
    tell = done;
  });
  // A frame of the Debugger domain names its script by number alone; all are told when it is enabled.
  const scripts = new Map<string, string>();
  const unsubscribe = [
    connection.on('Debugger.paused', (params) => {
      pausedAt ||= performance.now();
      tell(params);
    }),
    connection.on('Debugger.scriptParsed', (params) => {
      const { success, output } = v.safeParse(scriptSchema, params);
      if (success && scripts.size < MAX_SCRIPTS) scripts.set(output.scriptId, output.url);
    }),
  ];
  const timer = new AbortController();
  try {
    await connection.send('Debugger.enable', { maxScriptsCacheSize: 0 }, { timeoutMs: MAX_ANSWER_MS });
    await connection.send('Debugger.pause');
    const params = await Promise.race([paused, sleep(waitMs, null, { signal: timer.signal }), connection.ended.then(() => null)]);
    if (params === null) return null;
    await connection.send('Debugger.resume');
    const stoppedMs = performance.now() - pausedAt;
    const { callFrames } = decodeBy(pausedSchema, params, 'stack');
    const frames = callFrames
      .slice(0, MAX_FRAMES)
      .map(({ functionName, location }) => frameOf({ functionName, url: scripts.get(location.scriptId) ?? '', ...location }));
    return { frames, stoppedMs };
  } finally {
    timer.abort();
    // Takes back a pause that never came, and all that being debugged costs.
    await connection.send('Debugger.disable').catch(() => undefined);
    for (const end of unsubscribe) end();
  }
}
