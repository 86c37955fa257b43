// What is told of a guest from its dumps, held against what is told of it live, at the same moment: stacks, threads, metrics.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuestEvent } from '../../src/model/event.ts';
import { openQmp, type QmpClient } from '../../src/qemu/qmp/client.ts';
import { findMember } from '../../src/qemu/qmp/exact-json.ts';
import { eventsOf, runUnidbg } from '../support/cli.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';

const MEMORY = 48 * 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'unidbg-dump-session-'));
const fileOf = (name: string): string => join(folder, name);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What of a session's last words a dump can tell too. */
interface Told {
  readonly stacks: readonly object[];
  readonly threads: readonly object[];
  readonly metrics: Readonly<Record<string, number>>;
}

function told(events: readonly GuestEvent[]): Told {
  const stacks = events.findLast((event) => event.type === 'stacks')?.stacks ?? [];
  const threads = events.findLast((event) => event.type === 'threads')?.threads ?? [];
  const samples = events.flatMap((event) => (event.type === 'metrics' ? event.samples : []));
  const agentless = samples.filter(({ probe, value }) => probe === 'demo' && value !== null);
  return {
    // QEMU's notes do not say whether a vCPU is halted, and a live session samples stacks without their arguments.
    stacks: stacks.map(({ name, kind, id, end, frames }) => ({
      ...{ name, kind, id, end },
      frames: frames.map((frame) => ({ ...frame, arguments: [] })),
    })),
    threads,
    metrics: Object.fromEntries(
      agentless.map(({ name, attributes, value }) => [`${name} ${JSON.stringify(attributes)}`, value!]),
    ),
  };
}

describe('a guest that stands still', () => {
  let guest: DemoGuest;
  let qmp: QmpClient;
  let live: Told;
  const formats = new Set<string>();

  beforeAll(async () => {
    const own = fileOf('own.sock');
    guest = await startDemoGuest({ qemuArgs: ['-m', '48M', '-smp', '2', '-qmp', `unix:${own},server=on,wait=off`] });
    await guest.waitForConsole(/up 1\./);
    qmp = await openQmp({ kind: 'unix', path: own });
    await qmp.execute('stop');
    const pid = String(guest.process.pid);
    live = told(eventsOf(await runUnidbg(['attach', pid, '--json', '--for', '2s', '--symbols', guest.elf])));
    const known = findMember(await qmp.execute('query-dump-guest-memory-capability'), 'formats') as readonly string[];
    for (const format of known.filter((name) => /^elf$|^kdump-(?!raw)/.test(name))) {
      await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${fileOf(format)}`, format });
      formats.add(format);
    }
    await qmp.hmp(`pmemsave 0 ${MEMORY} "${fileOf('raw')}"`);
    writeFileSync(fileOf('registers.txt'), await qmp.hmp('info registers -a'));
    await runUnidbg(['dump', pid, '-o', fileOf('bundle.unicrash'), '--symbols', guest.elf]);
  });
  afterAll(async () => {
    qmp.close();
    await guest.stop();
  });

  const read = async (file: string, ...options: string[]): Promise<Told> =>
    told(eventsOf(await runUnidbg(['attach', fileOf(file), '--json', '--symbols', guest.elf, ...options])));

  it('has threads, stacks and metrics to be compared', () => {
    expect(live.threads.length).toBeGreaterThan(4);
    expect(live.stacks.length).toBeGreaterThan(4);
    expect(Object.keys(live.metrics).length).toBeGreaterThan(8);
    expect([...formats]).toContain('elf');
    expect([...formats]).toContain('kdump-zlib');
  });

  it.each(['elf', 'kdump-zlib', 'kdump-lzo', 'kdump-snappy'])('is told the same from %s', async (format) => {
    // A QEMU that was built without a compression cannot write it.
    if (formats.has(format)) expect(await read(format)).toEqual(live);
    else expect(format).toMatch(/lzo|snappy/);
  });

  it('is told the same from its raw memory and its registers', async () => {
    expect(await read('raw', '--dump-format', 'raw', '--registers', fileOf('registers.txt'))).toEqual(live);
  });

  it('is told the same from its raw memory alone, but for what its vCPUs do', async () => {
    const { stacks, threads, metrics } = await read('raw', '--dump-format', 'raw');
    expect(threads).toEqual(live.threads);
    expect(metrics).toEqual(live.metrics);
    const ofThreads = (all: Told['stacks']): Told['stacks'] => all.filter((stack) => 'kind' in stack && stack.kind === 'thread');
    expect(ofThreads(stacks)).toEqual(ofThreads(live.stacks));
  });

  it('is told the same from its bundle', async () => {
    expect(await read('bundle.unicrash')).toEqual(live);
  });
});

describe('a guest that has died', () => {
  it('is told from its dump as it is told live, and the views and the report work on the dump', async () => {
    const guest = await startDemoGuest({ append: 'crash=null after=300', qemuArgs: ['-m', '48M', '-no-shutdown'] });
    try {
      await guest.waitForConsole(/#0 /);
      const qmp = await openQmp({ kind: 'unix', path: guest.qmpPath });
      await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${fileOf('dead')}`, format: 'elf' });
      qmp.close();
      const symbols = ['--symbols', guest.elf];
      const analyzed = await runUnidbg(['analyze', fileOf('dead'), '--json', ...symbols]);
      const { verdict, crash, stacks } = JSON.parse(analyzed.stdout) as {
        verdict: string;
        crash: { title: string; signature: string; frames: { function: string; line: number; trust: string }[] };
        stacks: object[];
      };
      expect(analyzed.status).toBe(4);
      expect(verdict).toBe('fault');
      expect(crash.title).toMatch(/^null dereference in count_visit \(crash\.c:\d+\)$/);
      // The guest printed reported frames; the dump's memory gives better ones.
      expect(crash.frames.map(({ trust }) => trust)).not.toContain('reported');
      expect(stacks.length).toBeGreaterThan(4);
      const log = await runUnidbg(['analyze', guest.consolePath, '--json', ...symbols]);
      expect((JSON.parse(log.stdout) as { crash: { signature: string } }).crash.signature).toBe(crash.signature);

      // Without the guest's words the stack of the vCPU that died tells it.
      writeFileSync(fileOf('empty'), '');
      const wordless = await runUnidbg(['analyze', fileOf('dead'), '--console', fileOf('empty'), '--json', ...symbols]);
      const silent = (JSON.parse(wordless.stdout) as { crash: typeof crash & { message: string; witness: string } }).crash;
      expect(silent).toMatchObject({ title: crash.title, signature: crash.signature, witness: 'memory' });
      expect(silent.message).toContain('trap_handler');
      expect(silent.frames.map((frame) => frame.function)).toEqual(crash.frames.map((frame) => frame.function));

      const backtrace = await runUnidbg(['backtrace', fileOf('dead'), ...symbols]);
      expect(backtrace.stdout).toContain('halt_dead');
      expect(backtrace.stderr).toContain('it crashed: null dereference in count_visit');
      for (const view of ['ps', 'free', 'gc', 'top']) {
        const seen = await runUnidbg([view, fileOf('dead'), ...symbols]);
        expect({ view, status: seen.status }).toEqual({ view, status: 0 });
        expect(seen.stdout).not.toBe('');
      }
      expect((await runUnidbg(['ps', fileOf('dead'), ...symbols])).stdout).toContain('housekeeping');
    } finally {
      await guest.stop();
    }
  });
});
