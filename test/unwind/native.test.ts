// The unwinder against gdb, on the stacks of real processes stopped at real instructions.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import type { Symbolizer } from '../../src/model/symbolizer.ts';
import { openUnwindModule, type UnwindModule } from '../../src/unwind/module.ts';
import { createUnwinder } from '../../src/unwind/unwinder.ts';
import type { RawFrame } from '../../src/unwind/walk.ts';
import { memoryOf, symtabSymbolizer } from './elf-guest.ts';
import { collectStops, type GdbStop, type Program } from './gdb-stops.ts';

const COMMON = `
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static volatile long sink;
__attribute__((noinline)) long leaf(long a, long b) { return a * b + 7; }
__attribute__((noinline)) long dynamic(long n) {
  char *p = __builtin_alloca(n * 16 + 1);
  memset(p, (int)n, n * 16);
  long aligned __attribute__((aligned(ALIGNMENT))) = n;
  sink = (long)&aligned;
  return leaf(n, p[n]) + aligned;
}
__attribute__((noinline)) long recurse(long n) {
  if (n <= 0) return dynamic(5);
  long x = recurse(n - 1);
  return leaf(x, n) + x;
}
__attribute__((noinline)) long early(long *p, long n) {
  if (n == 0) return 0;
  for (long i = 0; i < n; i++) p[i] += leaf(i, n);
  return early(p + 1, n - 1) + p[0];
}
typedef long (*function)(long, long);
static volatile function through = leaf;
__attribute__((noinline)) long indirect(long n) { return through(n, 2) + 1; }
`;

const WITH_LIBC: Program = {
  source: `${COMMON}
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b + (int)leaf(0, 0) - 7; }
__attribute__((noinline)) void sorting(void) {
  int v[24];
  for (int i = 0; i < 24; i++) v[i] = (i * 7919) % 31;
  qsort(v, 24, sizeof v[0], compare);
  sink += v[3];
}
static void handler(int signal) { sink += recurse(3) + signal; sorting(); }
__attribute__((noinline)) void text(void) {
  char buffer[100];
  snprintf(buffer, sizeof buffer, "%ld %s %f", sink, "word", 1.5);
  sink += buffer[0];
}
int main(void) {
  signal(SIGUSR1, handler);
  long v[6] = {1, 2, 3, 4, 5, 6};
  for (int i = 0; i < 100; i++) { recurse(4); early(v, 6); indirect(i); text(); raise(SIGUSR1); sorting(); }
}`,
  flags: ['-O2', '-DALIGNMENT=64'],
  stops: [
    { at: 'recurse', steps: 60, stride: 9 },
    { at: 'early', steps: 20, stride: 9 },
    { at: 'text', steps: 60, stride: 40 },
    { at: 'handler', steps: 60, stride: 9 },
    { at: 'compare', steps: 40, stride: 30 },
    { at: 'leaf', steps: 20, stride: 3 },
  ],
};

/** Nothing of the C library, so that all of it is compiled by the same flags; stepped instruction by instruction. */
const OWN_CODE: Program = {
  source: `${COMMON.replace('static volatile', 'void *fill(void *, int, size_t);\nstatic volatile')}
__attribute__((noinline)) void *fill(void *to, int byte, size_t count) {
  for (size_t i = 0; i < count; i++) ((volatile char *)to)[i] = (char)byte;
  return to;
}
int main(void) {
  long v[6] = {1, 2, 3, 4, 5, 6};
  for (int i = 0; i < 100; i++) { recurse(4); early(v, 6); indirect(i); }
}`,
  flags: [
    '-O2',
    '-fno-omit-frame-pointer',
    '-mno-omit-leaf-frame-pointer',
    '-fno-builtin',
    '-Dmemset=fill',
    '-include',
    'stddef.h',
  ],
  stops: [
    { at: 'recurse', steps: 150, stride: 1 },
    { at: 'early', steps: 100, stride: 1 },
    { at: 'indirect', steps: 60, stride: 1 },
  ],
};

describe('a process with call frame information', () => {
  const guest = collect(WITH_LIBC);

  it('has at every stop exactly the frames that gdb finds, by CFI wherever the linker left any', () => {
    const trusts: string[] = [];
    for (const stop of guest.stops) {
      const { frames, end } = guest.unwind(stop);
      expect(describeFrames(frames)).toEqual(describeGdb(stop));
      trusts.push(...frames.slice(1).map(({ trust }) => trust));
      expect(end).toBe('outermost');
    }
    // Only the PLT of a static program has none.
    expect(trusts.filter((trust) => trust !== 'cfi').length).toBeLessThan(trusts.length / 100);
    expect(new Set(trusts)).toEqual(new Set(['cfi', 'frame-pointer']));
    expect(guest.stops.length).toBeGreaterThan(250);
  });

  it('has an exact pc where it was interrupted and nowhere else', () => {
    let interrupted = 0;
    for (const stop of guest.stops) {
      const { frames } = guest.unwind(stop);
      const expected = stop.frames.map((_, index) => index === 0 || stop.frames[index - 1]!.isSignalFrame);
      expect(frames.map(({ exactPc }) => exactPc)).toEqual(expected);
      if (expected.lastIndexOf(true) > 0) interrupted += 1;
    }
    expect(interrupted).toBeGreaterThan(60);
  });
});

describe.each([
  ['with frame pointers', ['-fno-omit-frame-pointer', '-mno-omit-leaf-frame-pointer', '-DALIGNMENT=64']],
  // A function that aligns its stack hides where its caller's begins; with no frame pointer in the caller the walk ends there.
  ['without frame pointers', ['-fomit-frame-pointer', '-DALIGNMENT=16']],
])('a process without call frame information, %s', (_, flags) => {
  const guest = collect({ ...OWN_CODE, flags: [...OWN_CODE.flags, ...flags] });

  it('has the frames that gdb finds by CFI, at every instruction of prologues and epilogues too', () => {
    const wrong: string[] = [];
    for (const stop of guest.stops) {
      const frames = guest.unwind(stop, { withoutCfi: true }).frames.map((frame) => frame.pc.toString(16));
      // Above main lies the C library.
      const theirs = stop.frames
        .slice(0, stop.frames.findIndex(({ name }) => name === 'main') + 1)
        .map(({ pc }) => pc.toString(16));
      if (frames.slice(0, theirs.length).join(' ') !== theirs.join(' ')) {
        wrong.push(`${stop.frames[0]!.name ?? '?'}: ${frames.join(' ')} for ${theirs.join(' ')}`);
      }
    }
    expect(wrong.slice(0, 10)).toEqual([]);
    expect(guest.stops.length).toBeGreaterThan(300);
  });
});

interface Collected {
  readonly stops: GdbStop[];
  readonly unwind: (stop: GdbStop, options?: { withoutCfi?: boolean }) => ReturnType<ReturnType<typeof createUnwinder>['unwind']>;
}

function collect(program: Program): Collected {
  const stops: GdbStop[] = [];
  let elf: ElfFile;
  let module: UnwindModule;
  let symbolizer: Symbolizer;
  let remove = (): void => undefined;
  beforeAll(async () => {
    const collected = await collectStops(program);
    remove = collected.remove;
    elf = openElf(collected.elf);
    module = openUnwindModule(elf, 0n);
    symbolizer = symtabSymbolizer(elf);
    stops.push(...collected.stops);
  }, 90_000);
  afterAll(() => {
    remove();
    elf.close();
  });
  return {
    stops,
    unwind: (stop, options = {}) => {
      const modules = [options.withoutCfi === true ? { ...module, cfi: null } : module];
      const unwinder = createUnwinder({ modules, rules: [], symbolizer });
      return unwinder.unwind(stop.registers, memoryOf(elf, stop.pieces));
    },
  };
}

function describeFrames(frames: readonly RawFrame[]): string[] {
  return frames.map(({ pc, registers }) => `${pc.toString(16)} sp ${(registers.values.rsp ?? 0n).toString(16)}`);
}

function describeGdb(stop: GdbStop): string[] {
  return stop.frames.map(({ pc, sp }) => `${pc.toString(16)} sp ${sp.toString(16)}`);
}
