// `unidbg ci` on ways to die and ways to live: the verdict, the exit code, the guilty line, and an end without waiting for the time limit.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BROKEN, type BrokenGuest, commandOf, OTHERS, placeOfDeath } from '../guests/broken.ts';
import { runUnidbg } from '../support/cli.ts';

/** What a test reads of a report (docs/report.schema.json). */
interface RunDocument {
  readonly name: string;
  readonly passed: boolean;
  readonly report: {
    readonly verdict: string;
    readonly crash: {
      readonly title: string;
      readonly guiltyFrame: number | null;
      readonly frames: readonly {
        readonly function: string | null;
        readonly file: string | null;
        readonly line: number | null;
      }[];
    } | null;
    readonly stacks: readonly { readonly name: string }[];
    readonly launch: { readonly durationMs: number; readonly bootMs: number | null } | null;
    readonly guestExit: { readonly code: number | null } | null;
    readonly expectations: readonly { readonly state: string; readonly reason: string }[];
  };
}

interface SetDocument {
  readonly runs: readonly RunDocument[];
  readonly groups: readonly { readonly title: string; readonly count: number; readonly sources: readonly string[] }[];
}

async function ci(guest: BrokenGuest): Promise<{ readonly status: number | null; readonly run: RunDocument }> {
  const { status, stdout, stderr } = await runUnidbg(['ci', '--json', ...guest.ci, '--', ...(await commandOf(guest))]);
  const [run] = stdout === '' ? [] : (JSON.parse(stdout) as SetDocument).runs;
  if (run === undefined) throw new Error(`no document: ${stderr}`);
  return { status, run };
}

describe('a unikernel that dies', () => {
  it.concurrent.each(BROKEN)(
    'of $name is told by verdict, exit code and line, without waiting for the time limit',
    async (guest) => {
      const { status, run } = await ci(guest);
      const { crash, verdict, launch } = run.report;
      const guilty = crash?.frames[crash.guiltyFrame ?? -1];
      expect({ verdict, status, passed: run.passed, guilty: guilty?.function ?? null }).toEqual({
        ...{ verdict: guest.verdict, status: guest.exitCode, passed: false, guilty: guest.guilty },
      });
      expect(crash?.title ?? '').toMatch(guest.title);
      if (guest.dies !== null) {
        const { file, line } = placeOfDeath(guest.dies);
        expect({ file: guilty?.file?.split('/').at(-1), line: guilty?.line }).toEqual({ file, line });
      }
      expect(launch?.durationMs).toBeLessThan(20_000);
      if (guest.verdict === 'hang') expect(run.report.stacks.map(({ name }) => name)).toContain('vcpu 0');
    },
  );
});

describe('a unikernel that lives', () => {
  it.concurrent.each(OTHERS)('and is $name gets its verdict and exit code', async (guest) => {
    const { status, run } = await ci(guest);
    expect({ verdict: run.report.verdict, status, crash: run.report.crash }).toEqual({
      ...{ verdict: guest.verdict, status: guest.exitCode, crash: null },
    });
    expect(run.report.launch?.bootMs).toBeGreaterThan(0);
    if (guest.name === 'slow') expect(run.report.expectations[0]?.reason).toContain('it is still at work');
  });
});

it('reports that cannot be written neither hide a bad verdict nor leave a good one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-ci-report-'));
  try {
    mkdirSync(join(folder, 'report.json'));
    for (const [guest, status] of [
      [BROKEN[0]!, 4],
      [OTHERS[0]!, 3],
    ] as const) {
      const given = ['--no-dump', '--report', folder, ...guest.ci];
      const ended = await runUnidbg(['ci', ...given, '--', ...(await commandOf(guest))]);
      expect({ name: guest.name, status: ended.status }).toEqual({ name: guest.name, status });
      expect(ended.stderr).toMatch(/cannot write .*report\.json/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
