// The program of sources.ts built in many ways: gcc and clang, DWARF 3 to 5, optimisation levels, link-time optimisation, split and
// packaged debug info, compressed sections. Builds are kept in a folder, named by what they were made of.

import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type ProgramSize, programSources } from './sources.ts';

export type Compiler = 'gcc' | 'clang';

/** One way of building. */
export interface Build {
  readonly compiler: Compiler;
  /** For compiling and linking. */
  readonly flags: readonly string[];
  /** For linking alone. */
  readonly link?: readonly string[];
  /** Puts the split objects into one package beside the program and removes them. */
  readonly isPackaged?: boolean;
}

/** More than 100 KB of code at every level of optimisation. */
const FULL_SIZE: ProgramSize = { c: 40, cpp: 4 };

/** Builds the program, unless `folder` has it from before; gives its path. Throws with the compiler's own words. */
export async function buildProgram(build: Build, folder: string, size = FULL_SIZE): Promise<string> {
  const { compiler, flags, link = [], isPackaged = false } = build;
  const sources = writeSources(programSources(size), folder);
  const objects = await compile(compiler, flags, isPackaged ? 'packaged' : '', sources, folder);
  const program = join(objects, `program-${digest([link])}`);
  if (existsSync(program)) return program;
  const made = readdirSync(objects).filter((name) => name.endsWith('.o'));
  const part = `${program}.${process.pid}`;
  // Named alike in every build: the linker writes no path of its own into the debug info.
  execFileSync(driverOf(compiler, 'cpp'), [...flags, ...link, '-o', part, ...made.map((name) => join(objects, name))], {
    ...{ cwd: sources, stdio: ['ignore', 'ignore', 'pipe'] },
  });
  if (isPackaged) packageObjects(compiler, part, program, objects);
  renameSync(part, program);
  return program;
}

async function compile(
  compiler: Compiler,
  flags: readonly string[],
  kind: string,
  sources: string,
  folder: string,
): Promise<string> {
  const version = execFileSync(compiler, ['--version'], { encoding: 'utf8' });
  const objects = join(folder, `${compiler}-${digest([version, flags, kind, sources])}`);
  const done = join(objects, 'done');
  if (existsSync(done)) return objects;
  rmSync(objects, { recursive: true, force: true });
  mkdirSync(objects, { recursive: true });
  const units = readdirSync(sources).filter((name) => /\.c(pp)?$/.test(name));
  const next = units.values();
  const worker = async (): Promise<void> => {
    for (const unit of next) {
      const driver = driverOf(compiler, unit.endsWith('.cpp') ? 'cpp' : 'c');
      // Compiled where the sources are, whatever the build: the debug info of all of them names the same files.
      await run(driver, [...flags, '-w', '-c', unit, '-o', join(objects, unit.replace(/\.c(pp)?$/, '.o'))], sources);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  writeFileSync(done, '');
  return objects;
}

function packageObjects(compiler: Compiler, program: string, name: string, objects: string): void {
  const split = readdirSync(objects).filter((file) => file.endsWith('.dwo'));
  execFileSync(compiler === 'gcc' ? 'dwp' : 'llvm-dwp', ['-e', program, '-o', `${name}.dwp`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  for (const file of split) rmSync(join(objects, file));
}

function writeSources(files: Readonly<Record<string, string>>, folder: string): string {
  const sources = join(folder, 'sources', digest([files]));
  mkdirSync(sources, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(sources, name), text);
  return sources;
}

function driverOf(compiler: Compiler, language: 'c' | 'cpp'): string {
  if (language === 'c') return compiler;
  return compiler === 'gcc' ? 'g++' : 'clang++';
}

function digest(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

async function run(program: string, args: readonly string[], cwd: string): Promise<void> {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.setEncoding('utf8');
  let words = '';
  child.stderr.on('data', (chunk: string) => (words += chunk));
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${words.slice(0, 2000)}`);
}
