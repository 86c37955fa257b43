// The layer table of ARCHITECTURE.md, enforced: a folder may import itself and the folders named here, nothing else of ours.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');

const LAYERS: Readonly<Record<string, readonly string[]>> = {
  gdbstub: [],
  'src/model': [],
  'src/bytes': ['src/model'],
  'src/arch': ['src/model', 'src/bytes'],
  'src/elf': ['src/model', 'src/bytes', 'src/arch'],
  'src/dwarf': ['src/model', 'src/bytes', 'src/arch', 'src/elf'],
  'src/symbolize': ['src/model', 'src/bytes', 'src/arch', 'src/elf', 'src/dwarf'],
  'src/unwind': ['src/model', 'src/bytes', 'src/arch', 'src/elf', 'src/dwarf'],
  'src/memory': ['src/model', 'src/bytes', 'src/arch'],
  'src/qemu': ['src/model', 'src/bytes', 'src/arch', 'src/elf', 'src/memory'],
  'src/bundle': ['src/model', 'src/bytes'],
  'src/network': ['src/model', 'src/bytes', 'src/qemu'],
  'src/console': ['src/model', 'src/bytes'],
  'src/unikernels': ['src/model', 'src/bytes'],
  'src/runtimes': ['src/model', 'src/bytes'],
  'probes/agentless': ['src/model', 'src/bytes'],
  'probes/guest': ['src/model', 'src/bytes'],
  'src/targets': ['src/model', 'src/bytes', 'src/arch', 'src/elf', 'src/memory', 'src/qemu', 'gdbstub'],
  'src/gdb': ['src/model', 'gdbstub'],
  'src/session': [
    ...['src/model', 'src/bytes', 'src/arch', 'src/elf', 'src/dwarf', 'src/symbolize', 'src/unwind', 'src/memory'],
    ...['src/qemu', 'src/network', 'src/console', 'src/targets', 'src/bundle', 'src/gdb', 'src/inspector', 'gdbstub'],
  ],
  'src/vitals': ['src/model'],
  'src/checks': ['src/model'],
  'src/expression': ['src/model'],
  'src/inspector': ['src/model'],
  'src/report': ['src/model', 'src/vitals'],
  'src/export': ['src/model'],
  tui: ['src/model', 'src/vitals'],
  'src/cli': ['*'],
};

const TOP_LEVEL = /^(src|gdbstub|probes|tui)\//;

/** Who alone may import a package: [package, the one place]. */
const SOLE_IMPORTERS: readonly (readonly [string, string])[] = [
  ['blessed', 'tui/terminal.ts'],
  ['gdb-js', 'src/gdb/'],
  ['pino', 'src/cli/'],
  ['commander', 'src/cli/'],
  ['source-map', 'src/symbolize/source-maps.ts'],
  ['snappyjs', 'src/targets/dump/'],
  ['prom-client', 'src/export/prometheus.ts'],
  ['@opentelemetry/exporter-metrics-otlp-http', 'src/export/otlp.ts'],
  ['chrome-remote-interface/lib/chrome.js', 'src/inspector/connection.ts'],
];

const files = ['src', 'gdbstub', 'probes', 'tui'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => `${folder}/${name}`),
);

/** Every module specifier of a file: static, re-exported and dynamic. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/(?:\bfrom\s+|\bimport\s+|\bimport\()\s*'([^']+)'/g)].map((match) => match[1]!);
}

function layerOf(file: string): string | undefined {
  return Object.keys(LAYERS).find((layer) => file.startsWith(`${layer}/`));
}

function ownImports(file: string): string[] {
  return importsOf(file)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => relative(ROOT, resolve(ROOT, dirname(file), specifier)));
}

describe('the layer table', () => {
  it('has a row for every source file', () => {
    expect(files.filter((file) => layerOf(file) === undefined)).toEqual([]);
  });

  it('is kept: imports point down only', () => {
    const violations = files.flatMap((file) => {
      const layer = layerOf(file);
      const allowed = layer === undefined ? [] : (LAYERS[layer] ?? []);
      if (allowed.includes('*')) return [];
      return ownImports(file)
        .filter((target) => TOP_LEVEL.test(target))
        .filter((target) => ![layer, ...allowed].some((name) => name !== undefined && target.startsWith(`${name}/`)))
        .map((target) => `${file} imports ${target}`);
    });
    expect(violations).toEqual([]);
  });

  it('has no import cycle between files', () => {
    const graph = new Map(files.map((file) => [file, ownImports(file)]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      if (path.includes(file) || done.has(file)) return;
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it('keeps each outside package behind the one place that owns it', () => {
    const violations = files.flatMap((file) =>
      SOLE_IMPORTERS.filter(([name, owner]) => importsOf(file).includes(name) && !file.startsWith(owner)).map(
        ([name, owner]) => `${file} imports ${name}; only ${owner} may`,
      ),
    );
    expect(violations).toEqual([]);
  });
});
