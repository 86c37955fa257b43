// `--dump-on-crash`: when a guest crashes, everything of it is written into a bundle while it is still there.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Crash } from '../model/crash.ts';
import { errorCode, errorMessage } from '../model/error.ts';
import { formatSize } from '../model/quantity.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import { reportToJson } from '../report/json.ts';
import { reportOfSnapshot } from '../report/snapshot-report.ts';
import { BundleRecorder } from '../session/bundle-recorder.ts';
import { type WrittenBundle, writeBundle } from '../session/crash-bundle.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { Session } from '../session/session.ts';
import { dumpName } from './dump-name.ts';
import { makeFolder } from './report-files.ts';
import { version } from './version.ts';

/** What a crash makes known at once: a second crash, why memory ran out, the guest's last words. */
const AFTER_CRASH_MS = 200;

/** Waits for the first crash of one session. Owns what it keeps of it: `close` it. */
export class CrashDump {
  private readonly folder: string;
  private readonly name: string;
  private recorder: BundleRecorder | null = null;
  private readonly attached = Promise.withResolvers<{ readonly live: LiveSession; readonly record: VmRecord | null }>();
  private writing: Promise<void> | null = null;

  /** `folder` is made where there is none. `name`: what the VM is called. Throws FILE_UNWRITABLE. */
  constructor(folder: string, name: string) {
    this.folder = folder;
    this.name = name;
    makeFolder(folder);
  }

  /** For openLiveSession: the session before its first event. */
  prepare(session: Session): void {
    this.recorder = new BundleRecorder(session, { unidbg: version(), target: this.name });
    session.subscribe((event) => {
      if (event.type === 'crash') this.writing ??= this.write(session, event.crash);
    });
  }

  /** For LiveSessionOptions. */
  readonly onConsole = (bytes: Uint8Array): void => {
    this.recorder?.hearConsole(bytes);
  };

  /** The session is open. */
  use(live: LiveSession, record: VmRecord | null): void {
    this.attached.resolve({ live, record });
  }

  /** Resolves when no bundle is being written any more: only then the session may be closed. */
  async settle(): Promise<void> {
    await this.writing;
  }

  close(): void {
    this.recorder?.close();
  }

  private async write(session: Session, crash: Crash): Promise<void> {
    const { live, record } = await this.attached.promise;
    await sleep(AFTER_CRASH_MS);
    const path = join(this.folder, `${dumpName(live.target.facts.name, Date.now())}.unicrash`);
    try {
      session.remark('bundle-writing', `the crash is being written to ${path}`);
      const bundle = await writeBundle({
        ...{ path, session, record, target: live.target, unidbg: version(), why: 'crash', reason: crash.title },
        recorder: this.recorder!,
        report: reportToJson(reportOfSnapshot(session.snapshot(), { source: live.target.facts.name, seenAt: Date.now() })),
        core: 'consistent',
      });
      session.remark('bundle-written', bundleWords(bundle));
    } catch (error) {
      if (errorCode(error) === null) throw error;
      session.remark('bundle-failed', errorMessage(error));
    }
  }
}

/** A bundle in one sentence. */
export function bundleWords({ path, bytes, core, noCore, partial }: WrittenBundle): string {
  const memory =
    core === null ? `without memory: ${noCore ?? 'it could not be read'}` : `${formatSize(core.bytes)} of guest memory in it`;
  const whole = partial === null || core === null ? '' : `; it is not whole: ${partial}`;
  return `everything of the crash is in ${path} (${formatSize(bytes)}, ${memory}${whole}); \`unidbg analyze ${path}\` tells it`;
}
