// The package as its users run it, built: a clone runs its TypeScript file by file, which starts slower.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './images.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Builds the package into the cache folder; gives the path of what starts it. */
export function builtCommand(): string {
  const folder = join(cacheFolder(), 'package');
  execFileSync('npm', ['run', 'build', '--silent'], { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const path of ['dist', 'package.json', 'src/cli/unidbg.js'])
    cpSync(join(ROOT, path), join(folder, path), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return join(folder, 'src/cli/unidbg.js');
}
