// Nothing that unidbg starts outlives it, however it ends. All that is started has a mark in its environment, which children
// inherit and which a program that detaches itself keeps; a shell that reads a pipe of ours kills what has it when we are gone.

import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The mark: a name and the private folder. What is started gets it in its environment. */
export const MARK = 'UNIDBG_LAUNCH';

/** Reads until the pipe ends; `off` calls it all off. `$1`: the mark, `$2`: the folder. */
const SCRIPT = `while read -r line; do [ "$line" = off ] && exit 0; done
for environ in $(grep -lsF "$1" /proc/[0-9]*/environ); do pid=\${environ#/proc/}; kill -9 "\${pid%/environ}"; done
rm -rf -- "$2"`;

/** How long what is told to end may take before it is killed. */
const GRACE_MS = 700;
const POLL_MS = 10;

/** Owns what was started with its mark, and a folder. */
export interface Keeper {
  /** Environment of what is started. */
  readonly env: NodeJS.ProcessEnv;
  /** Ends all that has the mark (told first, killed after a moment) and removes the folder. */
  close(): Promise<void>;
  /** The same at once, for a process that is about to end. */
  closeNow(): void;
}

/** Starts one for a private folder, whose path is unique. */
export function openKeeper(folder: string): Keeper {
  const mark = `${MARK}=${folder}`;
  const shell = spawn('sh', ['-c', SCRIPT, 'unidbg-keeper', mark, folder], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.on('error', () => undefined);
  shell.stdin.on('error', () => undefined);
  shell.unref();
  const callOff = (): void => {
    rmSync(folder, { recursive: true, force: true });
    dismiss(shell);
  };
  return {
    env: { ...process.env, [MARK]: folder },
    close: async () => {
      signalMarked(mark, 'SIGTERM');
      for (let waited = 0; waited < GRACE_MS && findMarked(mark).length > 0; waited += POLL_MS) await sleep(POLL_MS);
      signalMarked(mark, 'SIGKILL');
      callOff();
    },
    closeNow: () => {
      signalMarked(mark, 'SIGKILL');
      callOff();
    },
  };
}

function dismiss(shell: ChildProcess): void {
  if (shell.stdin?.writable === true) shell.stdin.end('off\n');
}

function signalMarked(mark: string, signal: NodeJS.Signals): void {
  for (const pid of findMarked(mark)) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Running processes with the mark. A dead one that nobody has collected has no environment any more. */
function findMarked(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => environOf(pid).includes(mark))
    .map(Number);
}

function environOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  } catch {
    return [];
  }
}
