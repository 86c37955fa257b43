// What the tools that start QEMUs wrote down of them. OPS: `~/.ops/instances/<pid>`, JSON (ops lepton/instance.go).
// KraftKit: `-pidfile <runtime dir>/<uid>/machine.pid` beside `-name <uid>` (machine/qemu/v1alpha1.go).
// libvirt: sockets handed over under /var/lib/libvirt/qemu, the name in `-name guest=…`.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { findMember, findText, type Json, parseExactJson } from '../qmp/exact-json.ts';

/** Names of OPS instances by pid, from the instance folders below `homes`. Files that are no such JSON are passed over. */
export function readOpsInstances(homes: readonly string[]): Map<number, string> {
  const names = new Map<number, string>();
  for (const home of new Set(homes)) {
    const folder = join(home, '.ops', 'instances');
    for (const file of list(folder)) {
      const instance = readJson(join(folder, file));
      const name = findText(findMember(instance, 'instance'));
      // The pid is a string there, with a line feed when it was read from a pid file.
      const pid = Number((findText(findMember(instance, 'pid')) ?? file).trim());
      if (name !== null && Number.isInteger(pid) && pid > 0) names.set(pid, name);
    }
  }
  return names;
}

/** `kraft` or `libvirt` when the command line is theirs; null otherwise. */
export function findManager(argv: readonly string[]): 'kraft' | 'libvirt' | null {
  const pidfile = argv[argv.indexOf('-pidfile') + 1] ?? '';
  const name = argv[argv.indexOf('-name') + 1] ?? '';
  if (argv.includes('-pidfile') && basename(pidfile) === 'machine.pid' && basename(dirname(pidfile)) === name) return 'kraft';
  return argv.some((word) => word.includes('/libvirt/qemu/')) ? 'libvirt' : null;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readJson(path: string): Json | undefined {
  try {
    return parseExactJson(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
