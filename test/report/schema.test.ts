// docs/report.schema.json against what is written: everything validates, nothing that is written is missing from it.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { SYSTEMS } from '../../src/cli/systems.ts';
import type { Report } from '../../src/model/report.ts';
import { groupsToJson, reportToJson, runSetToJson } from '../../src/report/json.ts';
import { makeReport } from '../../src/report/report.ts';
import { makeRunSet, runSetOf } from '../../src/report/run-set.ts';
import { CodeBuilder } from '../../src/session/build-code.ts';
import { explainReported } from '../../src/session/explain-crash.ts';
import { LogReader } from '../../src/session/log-reader.ts';
import { FAULT, HANG, HEALTHY, OUT_OF_MEMORY, QEMU_FAILED, runsOf } from './sample-reports.ts';

const ROOT = resolve(import.meta.dirname, '../..');
type Json = Record<string, unknown>;
const SCHEMA = JSON.parse(readFileSync(join(ROOT, 'docs/report.schema.json'), 'utf8')) as Json;

function compile(schema: Json): (value: unknown) => readonly string[] {
  const ajv = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true, allErrors: true });
  addFormats.default(ajv);
  const validate = ajv.compile(schema);
  return (value) =>
    validate(JSON.parse(JSON.stringify(value))) ? [] : (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message ?? ''}`);
}

/** The schema with no field allowed that it does not name. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== 'object' || node === null) return node;
  const all = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(value)]));
  return 'properties' in all ? { ...all, unevaluatedProperties: false } : all;
}

const SETS = [
  makeRunSet('all', runsOf([FAULT, OUT_OF_MEMORY, HANG, QEMU_FAILED, HEALTHY]), { path: 'b.json', bugs: [] }),
  runSetOf(HEALTHY),
];

describe('the schema of reports', () => {
  const check = compile(SCHEMA);
  const checkClosed = compile(closed(SCHEMA) as Json);

  it('takes every document that is written, and names every field in it', () => {
    const documents = [
      ...[FAULT, OUT_OF_MEMORY, HANG, QEMU_FAILED, HEALTHY].map(reportToJson),
      ...SETS.map(runSetToJson),
      groupsToJson(SETS[0]!.groups, { total: 5, healthy: 1, unreadable: 1 }),
      groupsToJson([], { total: 0, healthy: 0, unreadable: 0 }),
    ];
    for (const document of documents) {
      expect(check(document)).toEqual([]);
      expect(checkClosed(document)).toEqual([]);
    }
  });

  it('says of every field what it is', () => {
    const silent: string[] = [];
    const walk = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return;
      for (const [key, value] of Object.entries(node)) {
        if (key === 'properties')
          for (const [name, field] of Object.entries(value as Json))
            if (typeof (field as Json).description !== 'string') silent.push(`${path}.${name}`);
        walk(value, `${path}.${key}`);
      }
    };
    walk(SCHEMA, '');
    expect(silent).toEqual([]);
  });

  it('lets a later unidbg add fields, and an older one lack some', () => {
    const { verdict, schemaVersion, crash } = reportToJson(FAULT) as Json;
    expect(check({ verdict, schemaVersion, crash, novelty: 1 })).toEqual([]);
    expect(checkClosed({ verdict, schemaVersion, crash, novelty: 1 })).not.toEqual([]);
  });

  it('refuses what is no report', () => {
    for (const wrong of [
      {},
      [],
      { schemaVersion: 2, verdict: 'ok' },
      { schemaVersion: 1, verdict: 'fine' },
      { ...reportToJson(FAULT), crash: { kind: 7 } },
    ])
      expect(check(wrong)).not.toEqual([]);
  });

  it('takes the report of every log that the golden tests read', { timeout: 60_000 }, async () => {
    const folder = join(ROOT, 'test/panics/logs');
    const logs = readdirSync(folder);
    for (const log of logs) expect(check(reportToJson(await reportOfLog(join(folder, log)))), log).toEqual([]);
    expect(logs.length).toBeGreaterThan(50);
  });
});

async function reportOfLog(path: string): Promise<Report> {
  const reader = new LogReader({ ...SYSTEMS, unikernel: null });
  const logged = [...reader.push(readFileSync(path)), ...reader.end()];
  const code = new CodeBuilder(SYSTEMS, null).build({ placed: [], refused: [], modules: [], diagnostics: [], settled: true });
  const crashes = await Promise.all(logged.map(({ reported }) => explainReported(reported, code, null)));
  return makeReport({
    ...{
      source: basename(path),
      seenAt: null,
      unikernel: reader.unikernel,
      images: [],
      guestExit: null,
      diagnostics: [],
      crashes,
    },
  });
}
