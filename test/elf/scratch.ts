// Programs for the ELF and DWARF tests: small sources compiled by gcc at test time into a folder that goes away.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder for one test file. */
export class Scratch {
  readonly path = mkdtempSync(join(tmpdir(), 'unidbg-test-'));

  /** Writes a file and gives its path. */
  write(name: string, content: string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }

  /** Runs `gcc` (or g++) with `flags` on sources written before; gives the path of what it made. Sources are named relative to the folder. */
  compile(output: string, sources: readonly string[], flags: readonly string[] = [], compiler = 'gcc'): string {
    execFileSync(compiler, [...flags, '-o', output, ...sources], { cwd: this.path, stdio: ['ignore', 'ignore', 'pipe'] });
    return join(this.path, output);
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}

/** What a tool prints, standard error left out; tools of binutils and elfutils exit 1 for warnings too. */
export function outputOf(tool: string, args: readonly string[], input = ''): string {
  const result = spawnSync(tool, args, { input, encoding: 'utf8', maxBuffer: 1 << 30 });
  if (result.error !== undefined) throw result.error;
  return result.stdout;
}

/** The section headers of an ELF64 file as (name, position of the header), to damage them one by one. */
export function sectionHeaders(bytes: Uint8Array): { readonly name: string; readonly header: number; readonly size: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [table, count, names] = [Number(view.getBigUint64(40, true)), view.getUint16(60, true), view.getUint16(62, true)];
  const namesAt = Number(view.getBigUint64(table + names * 64 + 24, true));
  return Array.from({ length: count }, (_, index) => {
    const header = table + index * 64;
    const at = namesAt + view.getUint32(header, true);
    const name = Buffer.from(bytes.subarray(at, bytes.indexOf(0, at))).toString('latin1');
    return { name, header, size: Number(view.getBigUint64(header + 32, true)) };
  });
}

/** A copy of an ELF64 file in which section `name` ends after `size` bytes. */
export function withSectionSize(path: string, name: string, size: number): Uint8Array {
  const bytes = new Uint8Array(readFileSync(path));
  const section = sectionHeaders(bytes).find((candidate) => candidate.name === name);
  if (section === undefined) throw new Error(`${path} has no section ${name}`);
  new DataView(bytes.buffer).setBigUint64(section.header + 32, BigInt(size), true);
  return bytes;
}
