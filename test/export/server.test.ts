import { spawnSync } from 'node:child_process';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { joinDeclarations } from '../../src/export/fleet.ts';
import type { SelfCounts } from '../../src/export/self-families.ts';
import { type ExportServer, serveExport } from '../../src/export/server.ts';
import type { Crash } from '../../src/model/crash.ts';
import { sample, vmWith } from './vms.ts';

const crash = { kind: 'fault', title: 'a fault', message: 'boom', signature: 's', frames: [] } as unknown as Crash;
const finding = { check: 'gc-never-runs', severity: 'warning', message: 'the heap grows', active: true, since: 1 } as const;
const vms = [
  vmWith('web', [sample('app.requests', 7, { kind: 'counter', unit: '{request}' }), sample('go.gc', null)], {
    crashes: [crash],
    findings: [finding],
  }),
  vmWith('a "b" <c>', [sample('app.load', 0.5, { unit: '1' })]),
];
const self: SelfCounts = { version: '1.2.3', scrapes: 0, scrapeSeconds: 0, pushes: { metrics: 0, logs: 0, failed: 0 } };
let server: ExportServer;

beforeAll(async () => {
  server = await serveExport(
    { host: '127.0.0.1', port: 0 },
    { fleet: { vms: () => vms }, declarations: joinDeclarations([]), self },
  );
});

afterAll(async () => {
  await server.close();
});

async function get(path: string): Promise<{ status: number; type: string | null; text: string }> {
  const response = await fetch(`http://${server.address}${path}`);
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

describe('the server', () => {
  it('serves all VMs in a text that promtool has nothing to say about', async () => {
    const { status, type, text } = await get('/metrics');
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(text).toContain('app_requests_total{vm="web"} 7');
    expect(text).toContain('app_load_ratio{vm="a \\"b\\" <c>"} 0.5');
    expect(text).toContain('unidbg_crashes_total{vm="web",kind="fault"} 1');
    expect(text).toContain('unidbg_crashes_total{vm="web",kind="panic"} 0');
    expect(text).toContain('unidbg_finding{vm="web",check="gc-never-runs",severity="warning"} 1');
    expect(text).toContain('unidbg_absent_info{vm="web",metric="go.gc",source="test",reason="for a reason"} 1');
    expect(text).toContain('unidbg_vms{state="up"} 2');
    const lint = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect({ ...lint, stdout: lint.stdout, stderr: lint.stderr }).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  it('serves one VM, with its name as a label or without it', async () => {
    const named = await get('/metrics?vm=web');
    expect(named.text).toContain('app_requests_total{vm="web"} 7');
    expect(named.text).not.toContain('app_load');
    const probed = await get('/probe?target=web');
    expect(probed.text).toContain('app_requests_total 7');
    expect(probed.text).not.toContain('vm=');
    const unknown = await get('/probe?target=nobody');
    expect([unknown.status, unknown.text]).toEqual([404, expect.stringContaining('there is web')]);
  });

  it('lists the VMs as targets whose labels lead to them without relabelling', async () => {
    const { type, text } = await get('/sd');
    expect(type).toBe('application/json');
    expect(JSON.parse(text)).toMatchObject([
      {
        targets: [server.address],
        labels: { vm: 'web', __metrics_path__: '/probe', __param_target: 'web', __meta_unidbg_pid: '42' },
      },
      { labels: { __param_target: 'a "b" <c>' } },
    ]);
  });

  it('names the address by which it was asked, unless that is nonsense', async () => {
    const ask = (host: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const asked = request(`http://${server.address}/sd`, { headers: { host } }, (response) => {
          let body = '';
          response.on('data', (chunk: Buffer) => (body += chunk.toString()));
          response.on('end', () => {
            resolve((JSON.parse(body) as { targets: string[] }[])[0]!.targets[0]!);
          });
        });
        asked.on('error', reject).end();
      });
    expect(await ask('kvm7.example:9464')).toBe('kvm7.example:9464');
    expect(await ask('"><script>')).toBe(server.address);
  });

  it('says that it lives, what it is, and what it does not know', async () => {
    expect(await get('/healthz')).toMatchObject({ status: 200, text: 'ok\n' });
    const front = await get('/');
    expect(front.text).toContain('a &quot;b&quot; &lt;c>');
    expect(await get('/nothing')).toMatchObject({ status: 404 });
    expect((await fetch(`http://${server.address}/metrics`, { method: 'POST' })).status).toBe(405);
  });

  it('says in words why it cannot listen', async () => {
    const port = Number(server.address.split(':')[1]);
    const input = { fleet: { vms: () => vms }, declarations: joinDeclarations([]), self };
    await expect(serveExport({ host: '127.0.0.1', port }, input)).rejects.toMatchObject({
      code: 'EXPORT_UNAVAILABLE',
      message: expect.stringMatching(/another program does.*--listen/) as string,
    });
    await expect(serveExport({ host: '192.0.2.1', port: 0 }, input)).rejects.toMatchObject({
      message: expect.stringMatching(/no such address/) as string,
    });
  });
});
