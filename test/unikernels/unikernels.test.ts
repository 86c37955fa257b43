import { describe, expect, it } from 'vitest';
import type { Unikernel } from '../../src/model/unikernel.ts';
import { clickos } from '../../src/unikernels/clickos.ts';
import { demo } from '../../src/unikernels/demo.ts';
import { halvm } from '../../src/unikernels/halvm.ts';
import { hermit } from '../../src/unikernels/hermit.ts';
import { includeos } from '../../src/unikernels/includeos.ts';
import { UNIKERNELS } from '../../src/unikernels/index.ts';
import { ling } from '../../src/unikernels/ling.ts';
import { linux } from '../../src/unikernels/linux.ts';
import { nanos } from '../../src/unikernels/nanos.ts';
import { osv } from '../../src/unikernels/osv.ts';
import { runtimejs } from '../../src/unikernels/runtimejs.ts';
import { solo5 } from '../../src/unikernels/solo5.ts';
import { unikraft } from '../../src/unikernels/unikraft.ts';
import { memoryAt, NO_TYPES, registersOf, symbolsOf, words } from './fake-guest.ts';

const TEXT = symbolsOf({ cpu_trap_14: 0x101000n, cpu_trap_6: 0x102000n, app: 0x105000n, ukarch_ctx_switch: 0x14a000n });

/** An interrupt gate to `handler` (Intel SDM vol. 3, figure 7-8). */
function gate(handler: bigint, type = 0x8en): Uint8Array {
  return words((handler & 0xffffn) | (8n << 16n) | (type << 40n) | (((handler >> 16n) & 0xffffn) << 48n), handler >> 32n);
}

describe('Solo5 cpu_trap_N', () => {
  // r11 r10 r9 r8 rcx rdx rsi rdi rax, then cr2 ec rip cs rflags rsp ss: as read on a live test_exception.
  const stack = words(1n, 2n, 3n, 4n, 5n, 6n, 7n, 0x400000000n, 9n, 0x400000000n, 2n, 0x105fe2n, 8n, 0x206n, 0x7ffffa0n, 0x10n);
  const unwind = (rip: bigint, bytes: Uint8Array) =>
    solo5.unwindRules[0]!.unwind(
      { registers: registersOf({ rip, rsp: 0x114fc0n, rbx: 0xbbn }), pc: rip },
      memoryAt(0x114fc0n, bytes),
      TEXT,
      NO_TYPES,
    );

  it('goes on at the faulting instruction, with its registers', () => {
    const caller = unwind(0x101022n, stack);
    expect(caller?.exactPc).toBe(true);
    expect(caller?.registers.values).toMatchObject({
      rip: 0x105fe2n,
      rsp: 0x7ffffa0n,
      rax: 9n,
      r11: 1n,
      rbx: 0xbbn,
      eflags: 0x206n,
    });
  });

  it('does not know rdi where the entry took it as scratch for cr2', () => {
    expect(unwind(0x101022n, stack)?.registers.values.rdi).toBeUndefined();
    expect(unwind(0x102022n, stack)?.registers.values.rdi).toBe(0x400000000n);
  });

  it('does not take any words for a trap frame', () => {
    expect(unwind(0x101022n, words(...Array.from({ length: 16 }, () => 0x105fe2n)))).toBeNull();
    expect(unwind(0x101022n, stack.subarray(0, 100))).toBeNull();
  });
});

describe('Unikraft ukarch_ctx_switch', () => {
  const unwind = (bytes: Uint8Array) =>
    unikraft.unwindRules[0]!.unwind(
      { registers: registersOf({ rip: 0x14a01fn, rsp: 0x3af98n }), pc: 0x14a01fn },
      memoryAt(0x3af98n, bytes),
      TEXT,
      NO_TYPES,
    );

  it('takes the six pushed registers and the return address of a waiting thread', () => {
    const caller = unwind(words(15n, 14n, 13n, 12n, 0xbn, 0xbbn, 0x105010n));
    expect(caller?.registers.values).toMatchObject({ r15: 15n, r12: 12n, rbx: 0xbn, rbp: 0xbbn, rip: 0x105010n, rsp: 0x3afd0n });
    expect(caller?.exactPc).toBe(false);
  });

  it('does not apply where the word above them is no code', () => {
    expect(unwind(words(15n, 14n, 13n, 12n, 0xbn, 0xbbn, 0x55n))).toBeNull();
    expect(unwind(words(15n))).toBeNull();
  });
});

describe('the load bias from the IDT', () => {
  const biasOf = (bytes: Uint8Array, link: bigint | null, idt = 0xffffc0000f92a000n) =>
    nanos.findLoadBias!({
      registers: registersOf({ idt_base: idt }),
      memory: memoryAt(0xffffc0000f92a000n, bytes),
      linkSymbol: () => link,
    });

  it('is where the handler is less where it was linked', () => {
    expect(biasOf(gate(0xffffffff8085f1d0n), 0x2011d0n)).toEqual({
      bias: 0xffffffff8065e000n,
      by: 'IDT entry 0 is interrupt_vectors',
    });
    expect(biasOf(gate(0x2011d0n, 0x8fn), 0x2011d0n)?.bias).toBe(0n);
  });

  it('is unknown before the kernel has an IDT, without the symbol, and when the pages do not fit', () => {
    expect(biasOf(words(0n, 0n), 0x2011d0n)).toBeNull();
    expect(biasOf(gate(0xffffffff8085f1d0n), null)).toBeNull();
    expect(biasOf(gate(0xffffffff8085f1d4n), 0x2011d0n)).toBeNull();
    expect(biasOf(gate(0xffffffff8085f1d0n), 0x2011d0n, 0n)).toBeNull();
    expect(biasOf(gate(0xffffffff8085f1d0n), 0x2011d0n, 0x1000n)).toBeNull();
  });

  it('of Unikraft hangs on its divide error handler', () => {
    const guest = {
      registers: registersOf({ idt_base: 0x1970d0n }),
      memory: memoryAt(0x1970d0n, gate(0x113da0n)),
      linkSymbol: () => 0x113da0n,
    };
    expect(unikraft.findLoadBias!(guest)).toEqual({ bias: 0n, by: 'IDT entry 0 is asm_trap_divide_error' });
  });
});

describe('the console log in memory', () => {
  const read = (system: Unikernel, address: bigint, bytes: Uint8Array, names: Record<string, bigint>) => {
    const log = system.readMemoryLog!({
      memory: memoryAt(address, bytes),
      findSymbol: (name) => symbolsOf(names).findSymbol(name),
    });
    return log === null ? null : Buffer.from(log).toString('latin1');
  };

  function klog(text: string, count: bigint): Uint8Array {
    const bytes = new Uint8Array(0x2008);
    bytes.set(Buffer.from(text), 0x1000);
    bytes.set(words(count), 0x2000);
    return bytes;
  }

  it('of Nanos is klog, a ring of 4 KiB', () => {
    expect(read(nanos, 0x375a00n, klog('hello', 5n), { klog: 0x375a00n })).toBe('hello');
    expect(read(nanos, 0x375a00n, klog('newold', 4099n), { klog: 0x375a00n })?.slice(0, 3)).toBe('old');
    expect(read(nanos, 0x375a00n, klog('newold', 4099n), { klog: 0x375a00n })).toHaveLength(4096);
  });

  it('of the demo guest is console_log, a ring of 64 KiB', () => {
    const bytes = new Uint8Array(65_536 + 8);
    bytes.set(Buffer.from('demo: up\n'));
    bytes.set(words(9n), 65_536);
    expect(read(demo, 0x200000n, bytes, { console_log: 0x200000n })).toBe('demo: up\n');
  });

  it('is null while nothing was written, without the symbol, or unreadable', () => {
    expect(read(nanos, 0x375a00n, klog('', 0n), { klog: 0x375a00n })).toBeNull();
    expect(read(nanos, 0x375a00n, klog('hello', 5n), {})).toBeNull();
    expect(read(nanos, 0x375a00n, new Uint8Array(16), { klog: 0x375a00n })).toBeNull();
    expect(read(demo, 0n, new Uint8Array(16), { console_log: 0n })).toBeNull();
  });

  it('of OSv is debug_buffer, in full once it has wrapped', () => {
    const bytes = new Uint8Array(16);
    bytes.set(Buffer.from('newoldes'));
    bytes.set([3, 0, 0, 0, 1], 8);
    const sizes: Record<string, { address: bigint; size: number }> = {
      debug_buffer: { address: 0n, size: 8 },
      debug_buffer_idx: { address: 8n, size: 4 },
      debug_buffer_full: { address: 12n, size: 1 },
    };
    const log = osv.readMemoryLog!({ memory: memoryAt(0n, bytes), findSymbol: (name) => sizes[name] ?? null });
    expect(Buffer.from(log ?? []).toString()).toBe('oldesnew');
  });
});

describe("QEMU's exit status", () => {
  it('of Nanos is the code, a signal, or the kernel', () => {
    expect(nanos.explainExit(23)?.how).toContain('SIGSEGV');
    expect(nanos.explainExit(15)?.code).toBe(7);
    expect(nanos.explainExit(15)?.how).toContain('exited 7');
    expect(nanos.explainExit(253)?.how).toContain('faulted');
    expect(nanos.explainExit(255)?.how).toContain('halted itself');
    expect(nanos.explainExit(1)?.how).toContain('ended well');
    expect(nanos.explainExit(0)).toBeNull();
  });

  it('of Hermit is how it shut down, of LING on a host that it crashed', () => {
    expect(hermit.explainExit(3)?.how).toContain('well');
    expect(hermit.explainExit(1)?.how).toContain('panic');
    expect(ling.explainExit(42)?.how).toContain('CRASH');
    expect([hermit.explainExit(0), ling.explainExit(0)]).toEqual([null, null]);
  });

  it('of Solo5 tells nothing but that it ended, of Unikraft a crash', () => {
    expect(solo5.explainExit(83)?.how).toContain('always');
    expect(solo5.explainExit(255)?.how).toContain('aborted');
    expect(unikraft.explainExit(85)?.how).toContain('crashed');
    expect([solo5.explainExit(0), unikraft.explainExit(0)]).toEqual([null, null]);
  });
});

describe('the crash machinery', () => {
  const isMachinery = (system: Unikernel, name: string): boolean => system.crashMachinery.some((pattern) => pattern.test(name));

  it.each([
    [
      linux,
      ['dump_stack_lvl', 'panic', 'do_exit.cold', 'asm_exc_page_fault', 'out_of_memory.cold', '__list_del_entry_valid.cold'],
      ['panic_button', 'serve'],
    ],
    [
      includeos,
      ['os::panic(char const*)', '__cpu_exception', '__cpu_except_14', 'abort'],
      ['os::panic_handler_of_mine', 'Service::start()'],
    ],
    [hermit, ['hermit::scheduler::abort', 'core::panicking::panic_fmt', 'arch_fault_handler'], ['app::abort_request', 'main']],
    [runtimejs, ['exception_UD_event', 'rt::BootServices::FatalError(char const*, ...)'], ['rt::Thread::Run()']],
    [halvm, ['do_page_fault', 'runtime_exit'], ['Main_main_info']],
    [ling, ['fatal_error', '__assert_fail'], ['proc_main']],
    [clickos, ['__assert_fail', 'do_page_fault'], ['router_thread']],
  ])('of %s is not what a program calls its own', (system, machinery, own) => {
    expect(machinery.filter((name) => !isMachinery(system, name))).toEqual([]);
    expect(own.filter((name) => isMachinery(system, name))).toEqual([]);
  });
});

describe('the list', () => {
  it('names each system once, with a way to recognise it, a text of its own, or a word about why it has neither', () => {
    expect(new Set(UNIKERNELS.map((system) => system.name)).size).toBe(UNIKERNELS.length);
    const mute = UNIKERNELS.filter(({ recognise, crashes }) => recognise.symbols.length + crashes.length === 0);
    expect(mute.map((system) => system.name)).toEqual(['unik', 'drawbridge']);
    for (const { support } of mute) expect(support.silent).not.toBeNull();
  });

  it('has no grammar twice by one name in a system, and none without its source', () => {
    for (const { name, crashes } of UNIKERNELS) {
      expect(new Set(crashes.map((grammar) => grammar.name)).size, name).toBe(crashes.length);
      for (const grammar of crashes) expect(grammar.source, grammar.name).not.toBe('');
    }
  });

  it('continues grammars only by those that there are', () => {
    for (const { crashes } of UNIKERNELS) {
      const names = new Set(crashes.map((grammar) => grammar.name));
      for (const { continuedBy } of crashes) for (const name of continuedBy ?? []) expect([...names]).toContain(name);
    }
  });

  it('shares no symbol between two systems: an image is of one', () => {
    const symbols = UNIKERNELS.flatMap((system) => system.recognise.symbols);
    expect(symbols.filter((symbol, index) => symbols.indexOf(symbol) !== index)).toEqual([]);
  });

  it.each([
    ['includeos', ' IncludeOS v0.16.0-rc.1 (x86_64 / 64-bit)'],
    ['runtimejs', 'runtime.js kernel build #4.'],
    ['halvm', 'Starting 2-CPU HaLVM'],
    ['clickos', '[router_thread:158] Starting driver...'],
    ['hermit', 'Welcome to Hermit 0.13.2'],
    ['hermit', 'This is HermiTux 0.2.5, build date 1534204800'],
    ['linux', 'Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0)'],
  ])('knows %s by what it prints first, and nobody else does', (name, line) => {
    expect(UNIKERNELS.filter((system) => system.recognise.banner?.test(line) === true).map((system) => system.name)).toEqual([
      name,
    ]);
  });
});
