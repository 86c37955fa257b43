// Stacks of stripped Go programs, by Go's own tables alone: against gdb, which has CFI, where that can follow; and where Go changes
// stacks, which gdb cannot follow, against what the program must have called.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { go } from '../../src/runtimes/go.ts';
import { openImage, type SymbolImage } from '../../src/symbolize/image.ts';
import { createSymbolizer, type ImageSymbolizer } from '../../src/symbolize/symbolizer.ts';
import { openUnwindTables, placeUnwindTables } from '../../src/unwind/module.ts';
import { toFrames } from '../../src/unwind/stack.ts';
import { createUnwinder, type RawStack } from '../../src/unwind/unwinder.ts';
import { buildGo, type GoProgram, type GoStop, type GoStopPlan, stopInGdb } from './go-process.ts';

const SOURCE = `
package main

CGO
import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

//go:noinline
func deep(n int, f func()) int {
	var room [64]int
	if n == 0 {
		f()
		return 1
	}
	room[n%64] = deep(n-1, f)
	return room[n%64] + 1
}

//go:noinline
func leaf(a, b int) int { return a*b + 7 }

//go:noinline
func work(n int) int {
	t := 0
	for i := 0; i < n; i++ {
		t += leaf(i, t)
	}
	return t
}

//go:noinline
func fault(p *int) (r int) {
	defer func() { recover() }()
	return *p // the fault
}

//go:noinline
func yield() { runtime.Gosched() }

func main() {
	defer fmt.Println("done")
	for i := 0; i < 1000; i++ {
		work(5)
		deep(5, func() { runtime.GC() })
		done := make(chan int)
		go func() { done <- deep(200, func() {}) }()
		<-done
		yield()
		fault(nil)
		CALL
		syscall.Kill(os.Getpid(), syscall.SIGURG)
		time.Sleep(time.Millisecond)
	}
}
`;
const FAULT_LINE = SOURCE.split('\n').findIndex((line) => line.includes('// the fault')) + 1;
const IN_C = `/*
static volatile long sink;
__attribute__((noinline)) static void in_c(long n) { for (long i = 0; i < n; i++) sink += i; }
*/
import "C"`;

/** What every goroutine's stack begins with. */
const MAIN = ['main.main', 'runtime.main', 'runtime.goexit'];

interface Walked {
  readonly stop: GoStop;
  readonly stack: RawStack;
  readonly functions: readonly (string | null)[];
  readonly lines: readonly (number | null)[];
}

describe('a stripped Go program', () => {
  const guest = walkAt(
    () => buildGo(SOURCE.replace('CGO', '').replace('CALL', ''), [], { CGO_ENABLED: '0' }),
    [
      { at: 'main.leaf', steps: 60, stride: 7 },
      { at: 'main.deep', times: 3, steps: 60, stride: 5 },
      { at: 'runtime.stopTheWorldWithSema' },
      { at: 'runtime.newstack', times: 4 },
      { at: 'main.yield' },
      { at: 'runtime.gosched_m' },
      { at: 'runtime.sigpanic' },
      { at: 'runtime.sighandler', times: 2 },
      { at: 'runtime.schedule', times: 3 },
    ],
  );

  it('has the frames that gdb finds by call frame information, at any instruction', () => {
    const ordinary = guest.walked.filter(({ stop }) => stop.at === 'main.leaf' || stop.at === 'main.deep');
    for (const { stop, stack } of ordinary) {
      const theirs = stop.gdbFrames.slice(0, stop.gdbFrames.findIndex(({ name }) => name === 'runtime.goexit') + 1);
      expect(stack.frames.map(({ pc }) => pc)).toEqual(theirs.map(({ pc }) => pc));
      expect(stack.end).toBe('outermost');
      expect(stack.frames.slice(1).every(({ trust }) => trust === 'cfi')).toBe(true);
    }
    expect(ordinary.length).toBe(122);
  });

  it('goes on from the system stack to the goroutine that called it', () => {
    const { functions, stack } = guest.at('runtime.stopTheWorldWithSema');
    const expected = ['runtime.systemstack', 'main.main.func1', ...Array.from({ length: 6 }, () => 'main.deep'), ...MAIN];
    expect(functions.filter((name) => expected.includes(name ?? ''))).toEqual(expected);
    expect(stack.end).toBe('outermost');
  });

  it('goes on from a stack that is growing to the function that needs more', () => {
    const { functions, stack } = guest.at('runtime.newstack');
    expect(functions.slice(0, 2)).toEqual(['runtime.newstack', 'runtime.morestack']);
    expect(functions.length).toBeGreaterThan(3);
    expect(functions.at(-1)).toBe('runtime.goexit');
    expect(stack.end).toBe('outermost');
  });

  it('goes on from the scheduler to the goroutine that gives way', () => {
    const { functions } = guest.at('runtime.gosched_m');
    expect(functions).toEqual(['runtime.gosched_m', 'runtime.mcall', 'runtime.Gosched', 'main.yield', ...MAIN]);
  });

  it('ends in a scheduler that has let go of its goroutine', () => {
    const { functions, stack } = guest.at('runtime.schedule');
    expect(['runtime.mcall', 'runtime.mstart', 'runtime.morestack']).toContain(functions.at(-1));
    expect(stack.end).toBe('outermost');
  });

  it('has the line of the very instruction that a signal interrupted', () => {
    const { functions, lines, stack } = guest.at('runtime.sigpanic');
    expect(functions).toEqual(['runtime.sigpanic', 'main.fault', ...MAIN]);
    expect(lines[1]).toBe(FAULT_LINE);
    expect(stack.frames[1]?.exactPc).toBe(true);
  });

  it('goes through the handler of a signal to what it interrupted', () => {
    const { functions, stack } = guest.at('runtime.sighandler');
    const trampoline = functions.findIndex((name) => name?.startsWith('runtime.sigreturn') === true);
    expect(trampoline).toBeGreaterThan(0);
    expect(stack.frames[functions.indexOf('runtime.sigtramp') + 2]?.exactPc).toBe(true);
    expect(functions.length).toBeGreaterThan(trampoline + 1);
    expect(stack.end).toBe('outermost');
  });
});

describe('a stripped Go program that calls C', () => {
  const guest = walkAt(() => buildGo(SOURCE.replace('CGO', IN_C).replace('CALL', 'C.in_c(10)')), [{ at: 'in_c' }]);

  it('goes on from the C function to the goroutine', () => {
    const { functions, stack } = guest.at('in_c');
    expect(functions.filter((name) => !name?.startsWith('runtime.asmcgocall'))).toEqual([
      ...[null, 'runtime.cgocall', 'main._Cfunc_in_c'],
      ...MAIN,
    ]);
    expect(stack.end).toBe('outermost');
  });
});

function walkAt(
  build: () => GoProgram,
  plans: readonly GoStopPlan[],
): { readonly walked: Walked[]; readonly at: (name: string) => Walked } {
  const walked: Walked[] = [];
  let program: GoProgram | null = null;
  let image: SymbolImage | null = null;
  beforeAll(async () => {
    program = build();
    const opened = (image = openImage(program.stripped, [go.openCodeTable!]));
    const symbolizer = createSymbolizer([{ image: opened, loadBias: 0n, match: 'text', placedBy: 'link address' }]);
    const modules = [placeUnwindTables(openUnwindTables(opened.elf, opened.debug, opened.codeTable), 0n)];
    const unwinder = createUnwinder({ modules, rules: [], symbolizer });
    await stopInGdb(program, plans, (stop) => {
      walked.push({ stop, ...describeStack(unwinder.unwind(stop.registers, stop.memory), symbolizer) });
    });
  }, 120_000);
  afterAll(() => {
    image?.close();
    program?.remove();
  });
  return { walked, at: (name) => walked.find(({ stop }) => stop.at === name)! };
}

function describeStack(stack: RawStack, symbolizer: ImageSymbolizer): Omit<Walked, 'stop'> {
  const frames = toFrames(stack.frames, symbolizer);
  return { stack, functions: frames.map((frame) => frame.function), lines: frames.map(({ line }) => line) };
}
