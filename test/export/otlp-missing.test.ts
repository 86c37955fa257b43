import { expect, it, vi } from 'vitest';
import { joinDeclarations } from '../../src/export/fleet.ts';
import { openOtlp } from '../../src/export/otlp.ts';

vi.mock('@opentelemetry/exporter-logs-otlp-http', () => {
  throw new Error("Cannot find package '@opentelemetry/exporter-logs-otlp-http'");
});

it("says what to install where OpenTelemetry's packages are not", async () => {
  const input = {
    fleet: { vms: () => [] },
    declarations: joinDeclarations([]),
    self: { version: '1', scrapes: 0, scrapeSeconds: 0, pushes: { metrics: 0, logs: 0, failed: 0 } },
    describeFrame: () => '',
    onNews: () => undefined,
  };
  await expect(openOtlp(input, { url: 'http://localhost:4318', everyMs: 1000 })).rejects.toMatchObject({
    code: 'EXPORT_UNAVAILABLE',
    message: expect.stringMatching(/not installed .*npm install @opentelemetry\/api/) as string,
  });
});
