import { afterEach, describe, expect, it } from 'vitest';
import { joinDeclarations } from '../../src/export/fleet.ts';
import { type OtlpInput, type OtlpPush, openOtlp } from '../../src/export/otlp.ts';
import type { Crash } from '../../src/model/crash.ts';
import { type OtlpRequest, startOtlpReceiver } from './otlp-receiver.ts';
import { sample, vmWith } from './vms.ts';

const open: { close: () => unknown }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close();
});

async function startReceiver(status: () => number): Promise<{ url: string; bodies: readonly OtlpRequest[] }> {
  const receiver = await startOtlpReceiver(status);
  open.push(receiver);
  return { url: receiver.url, bodies: receiver.requests };
}

async function startPush(
  url: string,
  over: Partial<OtlpInput> = {},
): Promise<{ push: OtlpPush; news: string[]; input: OtlpInput }> {
  const news: string[] = [];
  const input: OtlpInput = {
    fleet: { vms: () => [] },
    declarations: joinDeclarations([
      { name: 'p', metrics: { 'app.requests': { kind: 'counter', unit: '{request}', doc: 'Requests.' } } },
    ]),
    self: { version: '1', scrapes: 0, scrapeSeconds: 0, pushes: { metrics: 0, logs: 0, failed: 0 } },
    describeFrame: (frame) => `at ${frame.function ?? '??'}`,
    onNews: (line) => news.push(line),
    ...over,
  };
  const push = await openOtlp(input, { url, everyMs: 3_600_000 });
  return { push, news, input };
}

const crash = {
  kind: 'fault',
  title: 'null dereference in f',
  message: 'page fault',
  signature: 'sig',
  frames: [{ function: 'f' }],
} as unknown as Crash;

describe('a push over OTLP', () => {
  it('gives each VM as a resource, its metrics under their own names and units, and its crashes once, as log records', async () => {
    const { url, bodies } = await startReceiver(() => 200);
    const vm = vmWith(
      'web',
      [
        sample('app.requests', 7, { kind: 'counter', unit: '{request}', attributes: { path: '/' } }),
        sample('app.load', 0.5, { unit: '1' }),
        sample('app.none', null),
        sample('process.uptime', 100, { unit: 's' }),
      ],
      { crashes: [crash] },
    );
    const { push, input } = await startPush(`${url}/`, { fleet: { vms: () => [vm] } });
    await push.push();
    await push.push();
    expect(bodies.map(({ path }) => path)).toEqual(['/v1/metrics', '/v1/logs', '/v1/metrics']);
    expect(bodies[0]?.body).toMatchObject({
      resourceMetrics: [
        {
          resource: { attributes: expect.arrayContaining([{ key: 'service.name', value: { stringValue: 'web' } }]) as unknown },
          scopeMetrics: [
            {
              metrics: [
                {
                  name: 'app.requests',
                  unit: '{request}',
                  description: 'Requests.',
                  sum: {
                    isMonotonic: true,
                    aggregationTemporality: 2,
                    dataPoints: [{ asDouble: 7, attributes: [{ key: 'path' }] }],
                  },
                },
                { name: 'app.load', unit: '1', gauge: { dataPoints: [{ asDouble: 0.5 }] } },
                { name: 'process.uptime' },
              ],
            },
          ],
        },
      ],
    });
    // It counts since QEMU started, 100 s before it was measured.
    const point = JSON.stringify(bodies[0]?.body).match(/"startTimeUnixNano":"(\d+)","timeUnixNano":"(\d+)"/);
    expect(Number(point?.[2]) - Number(point?.[1])).toBeCloseTo(100e9, -7);
    expect(bodies[1]?.body).toMatchObject({
      resourceLogs: [
        {
          scopeLogs: [
            {
              logRecords: [
                {
                  severityText: 'FATAL',
                  body: { stringValue: 'null dereference in f' },
                  attributes: [
                    { key: 'exception.type', value: { stringValue: 'fault' } },
                    { key: 'exception.message', value: { stringValue: 'page fault' } },
                    { key: 'exception.stacktrace', value: { stringValue: 'at f' } },
                    { key: 'unikernel.crash.signature', value: { stringValue: 'sig' } },
                  ],
                },
              ],
            },
          ],
        },
      ],
    });
    expect(input.self.pushes).toEqual({ metrics: 2, logs: 1, failed: 0 });
    await push.close();
  });

  it('that is refused is told once, and its crashes are sent with the next one', async () => {
    let status = 400;
    const { url, bodies } = await startReceiver(() => status);
    const { push, news } = await startPush(url, {
      fleet: { vms: () => [vmWith('web', [sample('x', 1)], { crashes: [crash] })] },
    });
    await push.push();
    await push.push();
    expect(news).toEqual([expect.stringMatching(/OTLP: nothing is taken/)]);
    status = 200;
    await push.push();
    expect(bodies.map(({ path }) => path)).toEqual(['/v1/metrics', '/v1/logs']);
    expect(news.at(-1)).toMatch(/again/);
    await push.close();
  });

  it('needs an address that is one', async () => {
    await expect(startPush('localhost:4318')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/http:/) as string,
    });
  });
});
