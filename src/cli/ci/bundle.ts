// A run's `.unicrash` bundle (docs/bundle.md), written where its report goes, while what is left of the guest is still there.

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, errorMessage } from '../../model/error.ts';
import type { Report } from '../../model/report.ts';
import type { StartedVm } from '../../qemu/launch/command.ts';
import { reportToJson } from '../../report/json.ts';
import { BundleRecorder } from '../../session/bundle-recorder.ts';
import { writeBundle } from '../../session/crash-bundle.ts';
import type { LiveSession } from '../../session/live-session.ts';
import type { Session } from '../../session/session.ts';
import { dumpProgress } from '../dump-progress.ts';
import { version } from '../version.ts';

const MAX_NAME = 80;

/** Where a run's bundle goes: `run 3` is `run-3.unicrash`. */
export function bundlePath(folder: string, runName: string): string {
  const name = runName.replaceAll(/[^A-Za-z0-9._=-]+/g, '-').replace(/^[-.]+/, '');
  return join(folder, `${name.slice(0, MAX_NAME) || 'run'}.unicrash`);
}

/** What a run keeps for its bundle from the beginning. Owns a private folder: `close` it. */
export class RunBundle {
  private readonly path: string;
  private recorder: BundleRecorder | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /** Before the session's first event. */
  readonly begin = (session: Session): void => {
    this.recorder = new BundleRecorder(session, { unidbg: version(), target: this.path });
  };

  readonly hearConsole = (bytes: Uint8Array): void => {
    this.recorder?.hearConsole(bytes);
  };

  /** Writes it over that of an earlier `ci`; gives its path, null when nothing could be written, which `remark` is told. */
  async write(live: LiveSession, { record }: StartedVm, report: Report, remark: (text: string) => void): Promise<string | null> {
    if (this.recorder === null) return null;
    const progress = dumpProgress(false);
    rmSync(this.path, { force: true });
    try {
      const written = await writeBundle({
        path: this.path,
        unidbg: version(),
        why: report.crash === null ? 'verdict' : 'crash',
        reason: report.crash?.title ?? report.verdict,
        session: live.session,
        target: live.target,
        record,
        recorder: this.recorder,
        report: reportToJson(report),
        core: 'consistent',
        onProgress: progress.onProgress,
      });
      if (written.partial !== null) remark(`${this.path} is not whole: ${written.partial}`);
    } catch (error) {
      // A full disk must not take the verdict away.
      if (errorCode(error) === null) throw error;
      remark(`the bundle ends here: ${errorMessage(error)}`);
    } finally {
      progress.close();
    }
    return existsSync(this.path) ? this.path : null;
  }

  close(): void {
    this.recorder?.close();
  }
}
