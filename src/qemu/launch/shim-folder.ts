// Programs named as the QEMUs in PATH, in a folder that is put before them: whatever starts QEMU by its name (ops, kraft, make, a shell
// script) starts shim.ts, which adds to the command line what attaching needs and becomes the real QEMU.

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LaunchPlan, LaunchWishes } from './plan.ts';

const QEMU = /^(qemu-system-[a-z0-9_]+|qemu-kvm|kvm)$/;

// In the published package it is a file beside the bundle.
const SHIM = ['./shim.ts', './shim.js'].map((path) => fileURLToPath(new URL(path, import.meta.url))).find(existsSync)!;

/** What a shim left of the QEMU that it became. */
export interface ShimNote {
  readonly pid: number;
  /** Null where the command line was refused, with the reason. */
  readonly plan: LaunchPlan | null;
  readonly refused: string | null;
}

/** Makes the shims in `folder`; `PATH` for the launcher's environment. */
export function makeShims(folder: string, wishes: LaunchWishes, path: string): string {
  const programs = join(folder, 'bin');
  mkdirSync(programs);
  for (const name of findQemus(path)) {
    const file = join(programs, name);
    writeFileSync(file, `#!/bin/sh\nexec ${quote(process.execPath)} --no-warnings ${quote(SHIM)} ${name} "$@"\n`);
    chmodSync(file, 0o700);
  }
  writeFileSync(join(folder, 'wishes.json'), JSON.stringify(wishes));
  return [programs, path].join(delimiter);
}

/** The wishes that a shim has to carry out. */
export function readWishes(folder: string): LaunchWishes {
  return JSON.parse(readFileSync(join(folder, 'wishes.json'), 'utf8')) as LaunchWishes;
}

/** PATH without the shims: where the real QEMU is. */
export function withoutShims(folder: string, path: string): string {
  return path
    .split(delimiter)
    .filter((entry) => entry !== join(folder, 'bin'))
    .join(delimiter);
}

/** The private folder of the VM that is looked at, for the first who asks; null for a further QEMU beside it, which stays as it is. */
export function claim(folder: string): string | null {
  const place = placeOf(folder);
  try {
    mkdirSync(place, { mode: 0o700 });
    return place;
  } catch {
    writeFileSync(join(folder, 'others'), '.', { flag: 'a' });
    return null;
  }
}

/** Lets the next QEMU be the one that is looked at. */
export function release(folder: string): void {
  rmSync(placeOf(folder), { recursive: true, force: true });
}

/** Written whole or not at all. */
export function writeNote(place: string, note: ShimNote): void {
  writeFileSync(join(place, 'note.new'), JSON.stringify(note));
  renameSync(join(place, 'note.new'), join(place, 'note.json'));
}

/** What the claiming shim says; null while there is none. */
export function findNote(folder: string): ShimNote | null {
  const path = join(placeOf(folder), 'note.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as ShimNote) : null;
}

/** How many QEMUs ran beside the one that was looked at. */
export function countOthers(folder: string): number {
  const path = join(folder, 'others');
  return existsSync(path) ? readFileSync(path).length : 0;
}

function placeOf(folder: string): string {
  return join(folder, 'vm');
}

function findQemus(path: string): readonly string[] {
  const names = path.split(delimiter).flatMap((folder) => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  });
  return [...new Set(names)].filter((name) => QEMU.test(name));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
