import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gdbCommandLine } from '../../src/gdb/interactive.ts';
import { gdbPrograms, symbolCommands } from '../../src/gdb/symbols.ts';

describe('gdb’s command line', () => {
  it('loads symbols while the guest still runs, and connects last', () => {
    const line = gdbCommandLine({
      endpoint: { type: 'unix', path: '/run/guardian/stub' },
      images: [{ path: '/vm/kernel.elf', loadBias: 0x1000n }],
      machine: 'x86_64',
      gdbPath: '/usr/bin/gdb',
      arguments: ['-batch'],
    });
    expect(line).toEqual([
      ...['/usr/bin/gdb', '-q', '-ex', 'set confirm off', '-ex', 'set architecture i386:x86-64'],
      ...[
        '-ex',
        'symbol-file "/vm/kernel.elf" -o 0x1000',
        '-ex',
        'set confirm on',
        '-ex',
        'target remote /run/guardian/stub',
        '-batch',
      ],
    ]);
  });

  it('places every image by its load bias, a negative one too', () => {
    const images = [
      { path: 'a', loadBias: 0n },
      { path: 'b', loadBias: -0x1000n },
    ];
    expect(symbolCommands(images)).toEqual(['symbol-file "a"', 'add-symbol-file "b" -o 0xfffffffffffff000']);
  });

  it('is understood by gdb: names with blanks and quotes, and symbols where the bias puts them', () => {
    const directory = mkdtempSync(join(tmpdir(), 'gdb "line" \\ '));
    try {
      writeFileSync(join(directory, 'a.c'), 'int answer = 42; int main(void) { return answer; }\n');
      execFileSync('gcc', ['-g', '-no-pie', 'a.c', '-o', 'a.elf'], { cwd: directory });
      copyFileSync(join(directory, 'a.elf'), join(directory, "b's.elf"));
      const plain = addressOf(symbolCommands([{ path: join(directory, 'a.elf'), loadBias: 0n }]));
      const moved = addressOf(symbolCommands([{ path: join(directory, "b's.elf"), loadBias: 0x10000n }]));
      expect(plain).toBeGreaterThan(0n);
      expect(moved - plain).toBe(0x10000n);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('prefers the gdb that knows the guest’s machine', () => {
    expect(gdbPrograms('x86_64', 'x64')).toEqual({ names: ['gdb', 'gdb-multiarch'], apt: 'apt install gdb' });
    expect(gdbPrograms('aarch64', 'x64')).toEqual({ names: ['gdb-multiarch', 'gdb'], apt: 'apt install gdb-multiarch' });
    expect(gdbPrograms('aarch64', 'arm64').apt).toBe('apt install gdb');
  });
});

/** Where gdb sees `answer` after these commands. */
function addressOf(commands: readonly string[]): bigint {
  const args = [
    '-nx',
    '-batch',
    ...['set confirm off', ...commands, 'print /x (long)&answer'].flatMap((command) => ['-ex', command]),
  ];
  return BigInt(
    /= (0x[0-9a-f]+)/.exec(execFileSync('gdb', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))![1]!,
  );
}
