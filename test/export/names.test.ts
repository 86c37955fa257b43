import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatFamilies } from '../../src/export/prometheus.ts';
import { toLabelName, toPrometheusName } from '../../src/export/prometheus-name.ts';

describe("a metric's name for Prometheus", () => {
  it.each([
    ['go.memory.gc.cycles', 'counter', '{cycle}', 'go_memory_gc_cycles_total', 1],
    ['go.memory.gc.pause.time', 'counter', 'ns', 'go_memory_gc_pause_time_seconds_total', 1e-9],
    ['system.cpu.time', 'counter', 's', 'system_cpu_time_seconds_total', 1],
    ['system.network.io', 'counter', 'By', 'system_network_io_bytes_total', 1],
    ['unikernel.memory.used', 'gauge', 'By', 'unikernel_memory_used_bytes', 1],
    ['unikernel.fragmentation', 'gauge', '1', 'unikernel_fragmentation_ratio', 1],
    ['go.config.gogc', 'gauge', '%', 'go_config_gogc_ratio', 0.01],
    ['app.rate', 'gauge', 'By/s', 'app_rate_bytes_per_second', 1],
    ['app.latency_seconds', 'gauge', 'ms', 'app_latency_seconds', 1e-3],
    // `_count` is a histogram's: this is also how Prometheus' own client for Go calls it.
    ['go.goroutine.count', 'gauge', '{goroutine}', 'go_goroutines', 1],
    ['requests_total', 'counter', '{request}', 'requests_total', 1],
    ['requests.total', 'gauge', '{request}', 'requests', 1],
    ['9 lives!', 'gauge', '', '_9_lives', 1],
    ['', 'counter', '', '__total', 1],
  ] as const)('%s (%s, %s) is %s', (name, kind, unit, expected, scale) => {
    expect(toPrometheusName(name, { kind, unit })).toEqual({ name: expected, type: kind, scale });
  });

  it('is one that Prometheus takes, whatever the guest calls it', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary-ascii' }),
        fc.string({ unit: 'binary-ascii' }),
        fc.constantFrom('counter', 'gauge'),
        (name, unit, kind) => {
          expect(toPrometheusName(name, { kind, unit }).name).toMatch(/^[A-Za-z_][A-Za-z0-9_]*$/);
          expect(toLabelName(name)).toMatch(/^[A-Za-z_][A-Za-z0-9_]*$/);
          expect(toLabelName(name)).not.toMatch(/^(__.*|vm|job|instance|le)$/);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("Prometheus' text", () => {
  it('holds any text of a guest as a label without breaking out of it', async () => {
    const evil = 'a"} 1\nevil_total 7\n\\';
    const text = await formatFamilies([{ name: 'x', help: 'a\nb', type: 'gauge', series: [{ labels: { l: evil }, value: 1 }] }]);
    expect(text.split('\n').filter((line) => line.startsWith('evil'))).toEqual([]);
    expect(text).toContain('x{l="a\\"} 1\\nevil_total 7\\n\\\\"} 1');
    const { status, stdout } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
  });
});
