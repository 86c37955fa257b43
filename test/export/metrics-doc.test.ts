// docs/metrics.md is written from the declarations: `UPDATE=1 vitest run test/export/metrics-doc.test.ts` writes it anew.

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportDeclarations, METRIC_SOURCES } from '../../src/cli/export/metric-sources.ts';
import { toPrometheusName } from '../../src/export/prometheus-name.ts';
import { selfFamilies, vmFamilies } from '../../src/export/self-families.ts';
import type { MetricDeclaration } from '../../src/model/metric.ts';

const FILE = resolve(import.meta.dirname, '../../docs/metrics.md');

const HEAD = `# Metrics

Written from the declarations by \`UPDATE=1 vitest run test/export/metrics-doc.test.ts\`; a test compares.

Names are OpenTelemetry's where it has one, units are UCUM's. The second column is what \`unidbg export\` calls it for Prometheus:
times in seconds, sizes in bytes, \`_total\` for counters; over OTLP the first name and the unit as declared. What a guest has not
got is not exported as a number: \`unidbg_absent_info\` says why and what would bring it. Values by \`quantile\` are a summary.

Three memories that are never mixed: **allocated** is the RAM the VM was given, **resident** is what its QEMU occupies on the host,
**used** is what the guest's own allocator says it has handed out (\`unikernel.memory.used\`, up to \`unikernel.memory.limit\`). The
balloon's figures are the word of the guest's driver.

What a guest's own probe (docs/probe-protocol.md) says comes under the names that the guest gives it, and is not listed here.`;

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function section(title: string, doc: string, metrics: Readonly<Record<string, MetricDeclaration>>): string {
  const rows = Object.entries(metrics).map(([name, metric]) =>
    row([`\`${name}\``, `\`${toPrometheusName(name, metric).name}\``, metric.kind, `\`${metric.unit}\``, metric.doc]),
  );
  return [
    `## ${title}`,
    doc,
    [row(['name', 'Prometheus', 'kind', 'unit', '']), row(Array(5).fill('---')), ...rows].join('\n'),
  ].join('\n\n');
}

function selfSection(): string {
  const nobody = { families: [], refused: new Map(), absent: new Map() };
  const self = { version: '', scrapes: 0, scrapeSeconds: 0, pushes: { metrics: 0, logs: 0, failed: 0 } };
  const families = [...vmFamilies([], nobody, true, 0), ...selfFamilies([], self)];
  const rows = families.map(({ name, type, help }) => row([`\`${name}\``, type, help]));
  return [
    '## unidbg',
    'Of the VMs as such, and of `unidbg export` itself. For Prometheus only; over OTLP a crash is a log record.',
    [row(['Prometheus', 'kind', '']), row(Array(3).fill('---')), ...rows].join('\n'),
  ].join('\n\n');
}

function document(): string {
  const sources = METRIC_SOURCES.map(({ name, doc, systems, metrics }) =>
    section(name, `${doc.trim()}\n\nFor: ${systems.join(', ')}.`, metrics),
  );
  return `${[HEAD, ...sources, selfSection()].join('\n\n')}\n`;
}

describe('docs/metrics.md', () => {
  it('lists every metric that is declared, as it is declared', () => {
    const text = document();
    if (process.env['UPDATE'] === '1') writeFileSync(FILE, text);
    expect(readFileSync(FILE, 'utf8'), 'write it anew: UPDATE=1 vitest run test/export/metrics-doc.test.ts').toBe(text);
  });
});

describe('the declarations', () => {
  const declared = METRIC_SOURCES.flatMap(({ name: source, metrics }) =>
    Object.entries(metrics).map(([name, metric]) => ({ source, name, ...metric })),
  );

  it('of one name agree in kind and unit, whoever makes them', () => {
    const joined = exportDeclarations();
    const conflicts = declared.filter(
      ({ name, kind, unit }) => joined.get(name)?.kind !== kind || joined.get(name)?.unit !== unit,
    );
    expect(conflicts.map(({ source, name, kind, unit }) => `${source}: ${name} is a ${kind} in ${unit}`)).toEqual([]);
  });

  it('have a sentence each, and names of their own for Prometheus', () => {
    expect(declared.filter(({ doc }) => !/\S.{8,}\S/s.test(doc)).map(({ source, name }) => `${source}: ${name}`)).toEqual([]);
    const names = new Map<string, Set<string>>();
    for (const metric of declared) {
      const { name } = toPrometheusName(metric.name, metric);
      names.set(name, (names.get(name) ?? new Set()).add(metric.name));
    }
    expect([...names].filter(([, from]) => from.size > 1).map(([name, from]) => `${name}: ${[...from].join(', ')}`)).toEqual([]);
  });
});
