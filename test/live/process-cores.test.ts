// Cores of real processes as gdb and gcore write them: threads, memory, the signal, and Go's goroutines, against gdb and the program.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DumpTarget, openDump } from '../../src/targets/dump/open-dump.ts';
import { runUnidbg } from '../support/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-cores-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const C_PROGRAM = `
#include <pthread.h>
#include <unistd.h>
struct record { long pad[7]; long value; };
static volatile long counter = 0x1122334455667788;
__attribute__((noinline)) static long read_record(struct record *record) { return record->value + counter; }
static void *wait_here(void *unused) { for (;;) pause(); return unused; }
int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, wait_here, 0);
  usleep(100000);
  return (int)read_record(0);
}
`;

describe('a C program that died under gdb', () => {
  const program = join(folder, 'died');
  const core = join(folder, 'died.core');
  let dump: DumpTarget;

  beforeAll(() => {
    writeFileSync(`${program}.c`, C_PROGRAM);
    execFileSync('gcc', ['-g', '-O1', '-pthread', '-o', program, `${program}.c`]);
    gdb(program, ['run', `generate-core-file ${core}`]);
    dump = openDump(core);
  });
  afterAll(() => {
    dump.close();
  });

  it('has the registers of every thread, as gdb reads them', async () => {
    const names = ['rip', 'rsp', 'rbp', 'rax', 'r15', 'eflags', 'fs_base'];
    const text = gdb(program, [
      `core-file ${core}`,
      ...[1, 2].flatMap((id) => [`thread ${id}`, ...names.map((name) => `p/x $${name}`)]),
    ]);
    const expected = [...text.matchAll(/^\$\d+ = (0x[0-9a-f]+)$/gm)].map(([, value]) => BigInt(value!));
    const ours = (await dump.allRegisters()).flatMap(({ registers }) => names.map((name) => registers.values[name]));
    expect(ours).toEqual(expected);
  });

  it('has its stack from the core and its code from the mapped file, as gdb reads them', async () => {
    const [first] = await dump.allRegisters();
    const { rip, rsp } = first!.registers.values;
    const memory = dump.memory(first!.registers);
    for (const address of [rsp!, rip! & ~0xfffn]) {
      const text = gdb(program, [`core-file ${core}`, `x/16xb ${address}`]);
      const expected = [...text.matchAll(/\t0x([0-9a-f]{2})/g)].map(([, byte]) => Number.parseInt(byte!, 16));
      expect(expected).toHaveLength(16);
      expect([...memory.read(address, 16)!]).toEqual(expected);
    }
    expect(dump.describe().map(({ message }) => message)).toContainEqual(expect.stringContaining(`mapped: ${program}`));
  });

  it('is told as the crash that it was, at its line', async () => {
    const { status, stdout } = await runUnidbg(['analyze', core, '--symbols', program]);
    expect(status).toBe(4);
    expect(stdout).toContain('null dereference in read_record (died.c:6)');
    expect(stdout).toContain('fault address 0x38');
    expect(stdout).toContain('signal 11 (SIGSEGV)');
  });
});

const GO_PROGRAM = `package main
import ("fmt"; "time")
//go:noinline
func waiter(c chan int) { <-c }
func main() {
	c := make(chan int)
	for i := 0; i < 5; i++ { go waiter(c) }
	time.Sleep(10 * time.Millisecond)
	fmt.Println("ready")
	time.Sleep(time.Hour)
}
`;

it("a Go program's core by gcore has its goroutines, each at its line", async () => {
  const program = join(folder, 'waiting');
  writeFileSync(`${program}.go`, GO_PROGRAM);
  execFileSync('go', ['build', '-o', program, `${program}.go`], {
    env: { ...process.env, GOFLAGS: '-mod=mod', CGO_ENABLED: '0' },
  });
  const child = spawn(program, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await new Promise((resolve) => child.stdout.once('data', resolve));
    execFileSync('gcore', ['-o', join(folder, 'go'), String(child.pid)], { stdio: 'ignore' });
  } finally {
    child.kill('SIGKILL');
  }
  const core = join(folder, `go.${child.pid}`);
  const { status, stdout } = await runUnidbg(['backtrace', core, '--symbols', program]);
  rmSync(core);
  expect(status).toBe(0);
  expect(stdout.match(/main\.waiter\+0x[0-9a-f]+ .* at .*waiting\.go:4 /g)).toHaveLength(5);
  expect(stdout).toMatch(/thread goroutine 1 \[waiting \(sleep\)\]\n(?: +#.*\n)*? +#\d+ .*main\.main/);
});

function gdb(program: string, commands: readonly string[]): string {
  const args = commands.flatMap((command) => ['-ex', command]);
  return execFileSync('gdb', ['-nx', '-batch', '-ex', 'set debuginfod enabled off', ...args, program], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}
