// `unidbg analyze` as a user runs it, on real logs; the guests' own images are only there for the demo guest.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { SourceMapGenerator } from 'source-map';
import { afterAll, describe, expect, it } from 'vitest';
import { RecordingWriter } from '../../src/session/recording.ts';
import { Scratch } from '../elf/scratch.ts';
import { UNIDBG } from '../support/cli.ts';

const LOGS = join(import.meta.dirname, '../panics/logs');
const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

function analyze(
  args: readonly string[],
  input: string | Uint8Array = '',
): { stdout: string; stderr: string; status: number | null } {
  const environment = { ...process.env, DEBUGINFOD_URLS: '' };
  const { stdout, stderr, status } = spawnSync(process.execPath, [UNIDBG, 'analyze', ...args], {
    input,
    env: environment,
    maxBuffer: 1 << 28,
  });
  return { stdout: stdout.toString('utf8'), stderr: stderr.toString('utf8'), status };
}

const log = (name: string): string => join(LOGS, `${name}.log`);

interface Document {
  readonly verdict: string;
  readonly crash: {
    readonly title: string;
    readonly signature: string;
    readonly frames: readonly { readonly pc: string | null }[];
  } | null;
  readonly laterCrashes: readonly unknown[];
  readonly diagnostics: readonly { readonly code: string; readonly message: string }[];
}

const document = (stdout: string): Document => JSON.parse(stdout) as Document;

describe('unidbg analyze', () => {
  it('tells what killed the guest, and ends with the exit code of its kind', () => {
    const { stdout, status } = analyze([log('unikraft-probe-null')]);
    expect(stdout).toMatch(/: unikraft\n\n=== FAULT: null dereference at 0x11b6f0\n/);
    expect(status).toBe(4);
    expect(analyze([log('unikraft-probe-oom')]).status).toBe(5);
  });

  it('says of a healthy log that it is one', () => {
    const { stdout, status } = analyze([log('osv-healthy')]);
    expect(stdout).toMatch(/osv-healthy\.log: osv: no crash\n$/);
    expect(status).toBe(0);
  });

  it('reads standard input, gzip and several logs', () => {
    const text = readFileSync(log('unikraft-probe-null'));
    const packed = scratch.write('log.gz', gzipSync(text));
    expect(analyze([], text).stdout).toContain('standard input: unikraft');
    expect(analyze([packed]).stdout).toContain('=== FAULT: null dereference');
    const documents = analyze(['--json', packed, log('osv-healthy')])
      .stdout.trimEnd()
      .split('\n')
      .map(document);
    expect(documents.map(({ verdict }) => verdict)).toEqual(['fault', 'ok']);
  });

  it('gives the same bytes for the same log', () => {
    const once = (): string => analyze(['--json', log('osv-probe-gp')]).stdout;
    expect(once()).toBe(once());
  });

  it('prints nothing to standard output but the document, also when it fails', () => {
    const { stdout, status } = analyze(['--json', '/nowhere/console.log']);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'FILE_UNREADABLE' } });
    expect(status).toBe(3);
  });

  it('refuses what is no log with words that say what to do', () => {
    const { stderr, status } = analyze([process.execPath]);
    expect(stderr).toContain('an image goes behind --symbols');
    expect(status).toBe(3);
    expect(analyze(['--unikernel', 'plan9', log('osv-healthy')])).toMatchObject({ status: 2 });
    expect(analyze(['--exit-status', '300', log('osv-healthy')])).toMatchObject({ status: 2 });
  });

  it('goes on behind a log that cannot be read, and says which', () => {
    const { stdout, stderr, status } = analyze(['/nowhere/console.log', log('unikraft-probe-null')]);
    expect(stdout).toContain('=== FAULT: null dereference');
    expect(stderr).toContain('/nowhere/console.log');
    expect(status).toBe(4);
  });

  it('reads recordings, with the crashes as they were told then', () => {
    const path = join(scratch.path, 'night.unidbg');
    const writer = new RecordingWriter(path, { unidbg: '0.1.0', target: 'demo' });
    const told = { kind: 'abort', title: 'abort in f (a.c:3)', message: 'abort()', signature: '0123456789abcdef' } as const;
    const nothing = { runtime: null, vcpu: null, faultAddress: null, registers: null, guiltyFrame: null, corrupted: null };
    const crash = {
      ...told,
      ...nothing,
      alternatives: [],
      witness: 'console',
      unikernel: 'demo',
      frames: [],
      consoleLines: null,
    } as const;
    writer.write({ at: 1_700_000_000_000, type: 'crash', crash });
    writer.close();
    const { stdout, status } = analyze([path]);
    expect(stdout).toContain('=== ABORT: abort in f (a.c:3)');
    expect(status).toBe(4);
    expect(analyze(['--group', path]).stdout).toContain('11-14 22:13');
  });

  it('keeps what it can of a log that dies without end', () => {
    const death = readFileSync(log('unikraft-probe-null'));
    const { laterCrashes, diagnostics } = document(
      analyze(['--json', '-'], Buffer.concat(Array.from({ length: 1100 }, () => death))).stdout,
    );
    expect(laterCrashes).toHaveLength(999);
    expect(diagnostics.at(-1)).toMatchObject({ code: 'crashes-left-out', message: expect.stringMatching(/^100 more/) as string });
  });

  it('says that an empty log is empty', () => {
    const [empty] = document(analyze(['--json', '-'], '').stdout).diagnostics;
    expect(empty?.code).toBe('log-empty');
  });

  it('takes no names from an image that is not what printed the log', () => {
    const told = document(analyze(['--json', '--symbols', process.execPath, log('unikraft-probe-null')]).stdout);
    expect(told.diagnostics.map(({ code }) => code)).toEqual([expect.stringMatching(/^image-(?:unused|mismatch)$/)]);
    expect(told.crash?.title).toBe('null dereference at 0x11b6f0');
  });

  it('tells JavaScript in terms of its source', () => {
    const map = new SourceMapGenerator({ file: 'main.js' });
    map.addMapping({ generated: { line: 1, column: 20344 }, original: { line: 41, column: 6 }, source: '../src/server.ts' });
    const path = scratch.write('main.js.map', map.toString());
    const text =
      '/app/dist/main.js:1\nboom\n^\n\nError: no such user\n    at o (/app/dist/main.js:1:20345)\n\nNode.js v20.20.2\n';
    expect(analyze(['--symbols', path], text).stdout).toContain('=== EXCEPTION: Error: no such user in o (server.ts:41)');
  });

  it('explains the exit status of QEMU', () => {
    expect(analyze(['--exit-status', '83', log('solo5-healthy')]).stdout).toContain('exit: Solo5 ended through isa-debug-exit');
  });
});

describe('unidbg analyze --group', () => {
  it('is a table of bugs, with the time that the carrier of a log wrote', () => {
    const stamped = (name: string, day: string): string => {
      const lines = readFileSync(log('nanos-probe-c-segv'), 'latin1').split('\n');
      return scratch.write(name, lines.map((line) => `2026-03-${day}T10:00:00.000000Z ${line}`).join('\n'));
    };
    const { stdout, status } = analyze(['--group', stamped('b.log', '02'), stamped('a.log', '01'), log('osv-healthy')]);
    expect(stdout).toMatch(/^3 runs: 2 crashed, 1 did not; 1 bug\n/);
    expect(stdout).toMatch(/\n {3}2 {2}[0-9a-f]{8} {2}03-01 10:00 {2}03-02 10:00 {2}fault: null dereference/);
    expect(status).toBe(4);
  });

  it('takes the reports that analyze --json wrote, and says which file is none', () => {
    const copy = scratch.write('segv.log', readFileSync(log('nanos-probe-c-segv')));
    utimesSync(copy, 1_700_000_000, 1_700_000_000);
    const report = scratch.write('report.json', analyze(['--json', copy]).stdout);
    const broken = scratch.write('broken.json', '{"schemaVersion":1}');
    const { stdout, stderr } = analyze(['--group', '--json', report, copy, broken]);
    expect(JSON.parse(stdout)).toMatchObject({
      runs: { total: 3, healthy: 0, unreadable: 1 },
      groups: [{ count: 2, firstSeen: { at: '2023-11-14T22:13:20.000Z' } }],
    });
    expect(stderr).toContain('broken.json is not a report');
  });

  it('has a signature for every crash that the golden logs tell', () => {
    const logs = readdirSync(LOGS).map((name) => join(LOGS, name));
    expect(logs.every(existsSync)).toBe(true);
    const { groups, runs } = JSON.parse(analyze(['--group', '--json', ...logs]).stdout) as {
      groups: { signature: string; title: string }[];
      runs: { total: number };
    };
    expect(runs.total).toBe(logs.length);
    expect(groups.filter(({ signature, title }) => !/^[0-9a-f]{16}$/.test(signature) || title === '')).toEqual([]);
    expect(new Set(groups.map(({ signature }) => signature)).size).toBe(groups.length);
  });
});
