// No false alarm: logs of healthy programs that speak of crashes, or quote them (healthy/), and the healthy consoles among the golden ones.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAlarms } from './false-alarms.ts';
import { printCrashes } from './print-crash.ts';

const HEALTHY = join(import.meta.dirname, 'healthy');
const LOGS = join(import.meta.dirname, 'logs');

describe('nothing is told', () => {
  it.each(readdirSync(HEALTHY))('of %s', (name) => {
    expect(printCrashes(readAlarms(readFileSync(join(HEALTHY, name))))).toBe('none');
  });

  it('of all healthy consoles, one after the other, a hundred times', () => {
    const consoles = readdirSync(LOGS).filter((name) => /healthy|-hello/.test(name));
    const text = Buffer.concat(consoles.map((name) => Buffer.concat([readFileSync(join(LOGS, name)), Buffer.from('\n')])));
    expect(consoles.length).toBeGreaterThan(5);
    expect(printCrashes(readAlarms(Buffer.concat(Array.from({ length: 100 }, () => text))))).toBe('none');
  });
});
