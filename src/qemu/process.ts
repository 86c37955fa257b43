// The QEMU process as the kernel shows it: is it still there, whose is it, which pid is behind a monitor.

import { readFileSync, statSync } from 'node:fs';
import type { AskMonitor } from '../memory/monitor-ask.ts';

/** Start time in clock ticks since boot, which with the pid names a process for ever; null when it is gone or a zombie. */
export function findStartTime(pid: number): string | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\)\s*/s, '')
      .split(' ');
    // Field 3 of proc(5) is the state, field 22 the start time; the first two were cut off.
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** The user a process runs as, or null when it is gone. */
export function findUid(pid: number): number | null {
  try {
    return statSync(`/proc/${pid}`).uid;
  } catch {
    return null;
  }
}

/** The process behind a monitor, by the thread ids of its vCPUs; null when they are not threads of this machine. */
export async function findPidOfMonitor(ask: AskMonitor): Promise<number | null> {
  const thread = /thread_id=(\d+)/.exec(await ask('info cpus'))?.[1];
  if (thread === undefined) return null;
  try {
    const group = /^Tgid:\s*(\d+)/m.exec(readFileSync(`/proc/${thread}/status`, 'utf8'))?.[1];
    if (group === undefined) return null;
    // In another pid namespace the same number is some other program: QEMU's vCPU threads come with QEMU's name.
    const command = readFileSync(`/proc/${group}/cmdline`, 'utf8').split('\0').slice(0, 8).join(' ');
    return /qemu|kvm/.test(command) ? Number(group) : null;
  } catch {
    return null;
  }
}
