import { describe, expect, it } from 'vitest';
import { demo } from '../../src/unikernels/demo.ts';
import { nanos } from '../../src/unikernels/nanos.ts';
import { osv } from '../../src/unikernels/osv.ts';
import { memoryAt, memoryOf, symbolsOf, words } from './fake-guest.ts';

describe("how a guest's program ended", () => {
  function klogDump(magic: string, code: number): Uint8Array {
    const bytes = new Uint8Array(64);
    bytes.set(Buffer.from(magic));
    new DataView(bytes.buffer).setInt32(12, code, true);
    return bytes;
  }
  const ofNanos = (bytes: Uint8Array, names: Record<string, bigint> = { klog: 0x5000n }) =>
    nanos.readExitStatus!({ memory: memoryAt(0x5000n, bytes), findSymbol: (name) => symbolsOf(names).findSymbol(name) });

  it('of Nanos stands in the head of its klog dump, once the kernel has shut down', () => {
    expect(ofNanos(klogDump('KLOG', 3))).toMatchObject({ code: 3 });
    expect(ofNanos(klogDump('KLOG', 11))?.how).toContain('SIGSEGV ended it');
    expect(ofNanos(klogDump('KLOG', 0x7f))?.how).toContain('halted itself');
    expect(ofNanos(klogDump('\0\0\0\0', 0))).toBeNull();
    expect(ofNanos(klogDump('KLOG', 3).subarray(0, 15))).toBeNull();
    expect(ofNanos(klogDump('KLOG', 3), {})).toBeNull();
  });

  it('of OSv is the last word on its debug log; of a program that returned 0 it says nothing', () => {
    const ofOsv = (text: string) => {
      const bytes = new Uint8Array(256);
      bytes.set(Buffer.from(text));
      bytes.set([text.length, 0, 0, 0, 0], 200);
      const symbols: Record<string, { address: bigint; size: number }> = {
        debug_buffer: { address: 0n, size: 200 },
        debug_buffer_idx: { address: 200n, size: 4 },
        debug_buffer_full: { address: 204n, size: 1 },
      };
      return osv.readExitStatus!({ memory: memoryAt(0n, bytes), findSymbol: (name) => symbols[name] ?? null });
    };
    expect(ofOsv('vfs: mounting rofs\nprogram /ret returned 3\n')).toEqual({ code: 3, how: '/ret returned 3' });
    expect(ofOsv('program /a returned 1\nprogram /b returned -2\n')).toEqual({ code: -2, how: '/b returned -2' });
    expect(ofOsv('the program /a returned 1 value\n')).toBeNull();
    expect(ofOsv('')).toBeNull();
  });
});

describe("a system's own count of free memory", () => {
  const ofOsv = (free: bigint, total: bigint) =>
    osv.readFreeMemory!({
      memory: memoryOf({ '0x1000': words(free), '0x3000': words(total) }),
      findSymbol: (name) =>
        symbolsOf({ _ZN6memoryL11free_memoryE: 0x1000n, _ZN6memoryL12total_memoryE: 0x3000n }).findSymbol(name),
    });

  it('of OSv and of the demo guest is read, and is null when it cannot be true', () => {
    expect(ofOsv(0x13000n, 0xf8e7000n)).toEqual({ freeBytes: 0x13000, totalBytes: 0xf8e7000 });
    expect(ofOsv(2n, 1n)).toBeNull();
    expect(ofOsv(0n, 0n)).toBeNull();
    const ofDemo = (total: bigint, used: bigint) =>
      demo.readFreeMemory!({
        memory: memoryAt(0x1000n, words(total, used)),
        findSymbol: (name) => symbolsOf({ alloc_stats: 0x1000n }).findSymbol(name),
      });
    expect(ofDemo(100n, 99n)).toEqual({ freeBytes: 1, totalBytes: 100 });
    expect(ofDemo(99n, 100n)).toBeNull();
  });
});

describe('where OSv waits for memory', () => {
  const starves = (name: string): boolean => osv.starvesIn!.some((pattern) => pattern.test(name));

  it('is its page pool and its reclaimer, not every user of memory', () => {
    expect(
      [
        'memory::page_pool::l1::refill()',
        'memory::page_pool::l2::fill_thread()',
        'memory::reclaimer::wait_for_memory(unsigned long)',
        'memory::reclaimer::_do_reclaim()',
        'memory::reclaimer_waiters::wait(unsigned long)',
      ].every(starves),
    ).toBe(true);
    expect(['malloc', 'memory::free_page(void*)', 'memory::page_pool::l1::refill_all()', 'main'].some(starves)).toBe(false);
  });
});
