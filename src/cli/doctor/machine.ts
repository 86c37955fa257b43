// What this machine has of what unidbg uses, and the command or setting that would mend what is missing.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);
const TIMEOUT_MS = 5_000;
const NODE_MAJOR = 24;

/** One thing looked at. `remedy` = what to do, where something is not as it should be. */
export interface Check {
  readonly what: string;
  readonly found: string;
  readonly state: 'fine' | 'missing' | 'limits';
  readonly remedy: string | null;
}

/** All checks, in the order in which a user needs the things. */
export async function checkMachine(): Promise<readonly Check[]> {
  return [
    checkNode(),
    await checkTool('QEMU', 'qemu-system-x86_64', 'guests cannot be started here', 'sudo apt-get install --yes qemu-system-x86'),
    await checkTool('gdb', 'gdb', '`unidbg gdb` and :p in the screen need it', 'sudo apt-get install --yes gdb'),
    checkKvm(),
    checkPtrace(),
    checkDebuginfod(),
  ];
}

function checkNode(): Check {
  const { node } = process.versions;
  const isOld = Number(node.split('.')[0]) < NODE_MAJOR;
  return {
    what: 'Node',
    found: node,
    state: isOld ? 'missing' : 'fine',
    remedy: isOld ? `unidbg needs Node ${NODE_MAJOR} or newer: npx --yes node@${NODE_MAJOR}` : null,
  };
}

async function checkTool(what: string, command: string, lack: string, remedy: string): Promise<Check> {
  try {
    const { stdout } = await run(command, ['--version'], { timeout: TIMEOUT_MS });
    return { what, found: stdout.split('\n')[0]?.trim() ?? command, state: 'fine', remedy: null };
  } catch {
    return { what, found: `no ${command}: ${lack}`, state: 'missing', remedy };
  }
}

function checkKvm(): Check {
  const isThere = existsSync('/dev/kvm');
  return {
    what: 'KVM',
    found: isThere ? '/dev/kvm is there' : 'none: guests run under TCG, many times slower',
    state: isThere ? 'fine' : 'limits',
    remedy: null,
  };
}

// Yama: 1 = only a parent may read its child's memory, 2 = only root, 3 = nobody. What is refused there is read through QMP, slower.
function checkPtrace(): Check {
  const scope = readNumber('/proc/sys/kernel/yama/ptrace_scope') ?? 0;
  const isRoot = process.getuid?.() === 0;
  const isFine = scope === 0 || (isRoot && scope < 3);
  return {
    what: 'memory of other processes',
    found: isFine ? 'readable' : `ptrace_scope is ${scope}: QEMU's memory is read through QMP, which is slower`,
    state: isFine ? 'fine' : 'limits',
    remedy: isFine ? null : 'give guests a shared memory-backend-memfd, or sudo sysctl kernel.yama.ptrace_scope=0',
  };
}

function checkDebuginfod(): Check {
  const urls = process.env['DEBUGINFOD_URLS'] ?? '';
  return {
    what: 'debug info of packages',
    found: urls === '' ? 'DEBUGINFOD_URLS is not set: only files on this machine are used' : urls,
    state: urls === '' ? 'limits' : 'fine',
    remedy: urls === '' ? 'export DEBUGINFOD_URLS=https://debuginfod.debian.net' : null,
  };
}

function readNumber(path: string): number | null {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}
