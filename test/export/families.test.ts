import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/export/bounded.ts';
import { type Collected, collectFamilies } from '../../src/export/families.ts';
import { type Declarations, type ExportedVm, joinDeclarations } from '../../src/export/fleet.ts';
import { formatFamilies } from '../../src/export/prometheus.ts';
import type { Sample } from '../../src/model/metric.ts';
import { sample, vmWith } from './vms.ts';

const DECLARED = joinDeclarations([
  { name: 'go', metrics: { 'go.gc.pause': { kind: 'gauge', unit: 'ns', doc: 'A pause.' } } },
  { name: 'host', metrics: { 'system.cpu.time': { kind: 'counter', unit: 's', doc: 'CPU time.' } } },
]);

function collect(vms: readonly ExportedVm[], limits = DEFAULT_LIMITS, declarations: Declarations = DECLARED): Collected {
  return collectFamilies(vms, declarations, limits);
}

function refusals(collected: Collected, vm = 'a'): Record<string, number> {
  return Object.fromEntries(collected.refused.get(vm) ?? []);
}

const cpu = (value: number, attributes: Sample['attributes'] = {}): Sample =>
  sample('system.cpu.time', value, { kind: 'counter', unit: 's', attributes });

describe('families', () => {
  it('bring the series of all VMs together under one name, with the declared help', async () => {
    const { families } = collect([vmWith('a', [cpu(1, { vcpu: '0' }), cpu(2, { vcpu: '1' })]), vmWith('b', [cpu(3)])]);
    expect(await formatFamilies(families)).toBe(
      [
        '# HELP system_cpu_time_seconds_total CPU time.',
        '# TYPE system_cpu_time_seconds_total counter',
        'system_cpu_time_seconds_total{vm="a",vcpu="0"} 1',
        'system_cpu_time_seconds_total{vm="a",vcpu="1"} 2',
        'system_cpu_time_seconds_total{vm="b"} 3\n',
      ].join('\n'),
    );
  });

  it('of one VM alone need not name it: the scraper does', () => {
    const { families } = collectFamilies([vmWith('a', [cpu(1)])], DECLARED, DEFAULT_LIMITS, { vmLabel: false });
    expect(families[0]?.series).toEqual([{ labels: {}, value: 1 }]);
  });

  it('of quantiles are summaries; a counter cannot be one', () => {
    const pause = (quantile: string): Sample => sample('go.gc.pause', 5000, { unit: 'ns', attributes: { quantile } });
    const { families } = collect([vmWith('a', [pause('0.5'), pause('1'), cpu(1, { quantile: '0.5' })])]);
    expect(families.map(({ name, type }) => [name, type])).toEqual([
      ['go_gc_pause_seconds', 'summary'],
      ['system_cpu_time_seconds_total', 'counter'],
    ]);
    expect(families[0]?.series[0]?.value).toBeCloseTo(5e-6);
    expect(families[1]?.series[0]?.labels).toEqual({ vm: 'a', exported_quantile: '0.5' });
  });

  it('leave out what is absent, and say what and why', () => {
    const collected = collect([vmWith('a', [sample('go.gc.pause', null, { unit: 'ns', absent: 'no symbols' })])]);
    expect(collected.families).toEqual([]);
    expect(collected.absent.get('a')).toEqual([{ name: 'go.gc.pause', source: 'test', reason: 'no symbols' }]);
  });

  it('leave out what has not been measured for long', () => {
    const now = Date.now();
    expect(collect([vmWith('a', [cpu(1)], {}, now - 61_000)]).families).toEqual([]);
    expect(collect([vmWith('a', [cpu(1)], {}, now - 50_000)]).families).toHaveLength(1);
  });
});

describe('a hostile guest', () => {
  it('gets no more series than the limit, and those refused are counted', () => {
    const many = Array.from({ length: 1500 }, (_, index) => sample(`guest.m${index}`, index));
    const collected = collect([vmWith('a', many), vmWith('b', [cpu(1)])], { ...DEFAULT_LIMITS, series: 100 });
    expect(collected.families).toHaveLength(101);
    expect(refusals(collected)).toEqual({ 'too-many': 1400 });
    expect(refusals(collected, 'b')).toEqual({});
  });

  it('cannot make a declared metric something else, nor take its name in other letters', () => {
    const collected = collect([
      vmWith('a', [
        sample('system.cpu.time', 9),
        sample('system_cpu.time', 9, { kind: 'counter', unit: 's' }),
        sample('system.cpu', 9, { kind: 'counter', unit: 's', attributes: { time: 'x' } }),
      ]),
      vmWith('b', [cpu(1)]),
    ]);
    expect(refusals(collected)).toEqual({ conflict: 2 });
    expect(collected.families.find(({ name }) => name === 'system_cpu_time_seconds_total')?.series).toEqual([
      { labels: { vm: 'b' }, value: 1 },
    ]);
  });

  it('cannot say two things by one name', () => {
    const collected = collect([vmWith('a', [sample('x.y', 1), sample('x_y', 2), sample('x', 3, { kind: 'counter' })])]);
    expect(collected.families.map(({ name }) => name)).toEqual(['x_y', 'x_total']);
    expect(refusals(collected)).toEqual({ conflict: 1 });
  });

  it('cannot pass for unidbg, for Prometheus or for another VM', () => {
    const collected = collect([
      vmWith('a', [
        sample('unidbg.vm.up', 0),
        sample('up', 0),
        sample('scrape_duration_seconds', 0),
        sample('mine', 1, { attributes: { vm: 'b', job: 'x', __name__: 'up' } }),
      ]),
    ]);
    expect(refusals(collected)).toEqual({ reserved: 3 });
    expect(collected.families[0]?.series).toEqual([
      { labels: { vm: 'a', exported_vm: 'b', exported_job: 'x', name: 'up' }, value: 1 },
    ]);
  });

  it('gets no labels without end, no values that are none, and no counter below zero', () => {
    const attributes = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`l${index}`, 'x']));
    const collected = collect([
      vmWith('a', [
        sample('many.labels', 1, { attributes }),
        sample('nan', Number.NaN),
        sample('below', -1, { kind: 'counter' }),
        sample('long', 1, { attributes: { text: 'x'.repeat(100_000) } }),
      ]),
    ]);
    expect(refusals(collected)).toEqual({ malformed: 3 });
    expect(collected.families[0]?.series[0]?.labels['text']).toHaveLength(256);
  });

  it('with labels that differ in nothing a label can say has one of them exported', () => {
    const collected = collect([
      vmWith('a', [sample('x', 1, { attributes: { 'a.b': 'c' } }), sample('x', 2, { attributes: { a_b: 'c' } })]),
    ]);
    expect(collected.families[0]?.series).toHaveLength(1);
    expect(refusals(collected)).toEqual({ malformed: 1 });
  });
});
