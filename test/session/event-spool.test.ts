import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.ts';
import type { GuestEvent } from '../../src/model/event.ts';
import { EventSpool } from '../../src/session/event-spool.ts';
import { readRecording } from '../../src/session/recording.ts';

const HEADER = { unidbg: '0.1.0', target: 'demo' };

function line(at: number): GuestEvent {
  return { at, type: 'console', line: { number: at, source: 'serial0', text: 'x'.repeat(900), partial: false, notes: [] } };
}

function eventsOf(spool: EventSpool): GuestEvent[] {
  const reader = readRecording(memorySource('events.jsonl', Buffer.concat([...spool.pieces()])));
  expect(reader.header).toEqual(HEADER);
  return [...reader.events()];
}

describe('the events kept for a bundle', () => {
  it('are a recording of all of them, as often as it is asked for', () => {
    const spool = new EventSpool(HEADER);
    expect(eventsOf(spool)).toEqual([]);
    expect(spool.since).toBeNull();
    const events = Array.from({ length: 1000 }, (_, index) => line(index + 1));
    for (const event of events) spool.write(event);
    expect(eventsOf(spool)).toEqual(events);
    spool.write(line(1001));
    expect(eventsOf(spool)).toHaveLength(1001);
    expect(spool.since).toBe(1);
    expect(spool.failure).toBeNull();
    spool.close();
  });

  it('are the newest ones where they are too many, with the images said again', () => {
    const spool = new EventSpool(HEADER, 600_000);
    const images: GuestEvent = { at: 1, type: 'images', images: [] };
    spool.write(images);
    for (let at = 2; at <= 5000; at += 1) spool.write(line(at));
    const events = eventsOf(spool);
    expect(events.at(-1)).toEqual(line(5000));
    expect(events.length).toBeLessThan(2000);
    expect(events.length).toBeGreaterThan(500);
    expect(events[0]).toMatchObject({ type: 'images', at: spool.since });
    expect(spool.since).toBeGreaterThan(1000);
    spool.close();
  });

  it('lie in no folder while they are kept: nothing is left on disk, however unidbg ends', () => {
    const folder = mkdtempSync(join(tmpdir(), 'unidbg-spool-'));
    vi.stubEnv('TMPDIR', folder);
    const spool = new EventSpool(HEADER);
    spool.write(line(1));
    expect(readdirSync(folder)).toEqual([]);
    expect(eventsOf(spool)).toEqual([line(1)]);
    spool.close();
    vi.unstubAllEnvs();
    rmdirSync(folder);
  });

  it('are said to be missing where no file can be made for them', () => {
    vi.stubEnv('TMPDIR', '/proc/none');
    const spool = new EventSpool(HEADER);
    spool.write(line(1));
    expect(spool.failure).toMatch(/events from 1970-.* are missing: ENOENT/);
    spool.close();
    vi.unstubAllEnvs();
  });
});
