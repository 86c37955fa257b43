// Does the cost of one cold address grow with the debug info? Only the index of units should be felt.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { openImage } from '../../src/symbolize/image.ts';
import { median } from '../statistics.ts';
import { formatMs, type Section } from '../table.ts';
import type { MeasuredImage } from './images.ts';
import type { Measured } from './locate.ts';

const ROUNDS = 11;

/** One size. */
interface Point {
  readonly megabytes: number;
  readonly ms: number;
  readonly residentMegabytes: number;
  readonly peerMs: number;
}

/** The table, and the same as a picture (SVG). */
export function measureGrowth(images: readonly MeasuredImage[]): { readonly section: Section; readonly picture: string } {
  const points = images.map(measureOne);
  return {
    section: {
      title: 'Symbols: growth',
      about: `One cold address in the middle of the code, in images with more and more DWARF; median of ${ROUNDS} processes each. In process, from opening the file to the answer; memory is the whole process, of which Node itself takes about 45 MB.`,
      columns: ['DWARF', 'unidbg, in process', 'memory', 'eu-addr2line, whole process'],
      rows: points.map(({ megabytes, ms, residentMegabytes, peerMs }) => [
        `${megabytes.toFixed(megabytes < 10 ? 1 : 0)} MB`,
        formatMs(ms),
        `${residentMegabytes.toFixed(0)} MB`,
        formatMs(peerMs),
      ]),
      remarks: ['The same as a picture: [growth.svg](growth.svg).'],
    },
    picture: plot(points),
  };
}

function measureOne({ path, debugBytes }: MeasuredImage): Point {
  const address = `0x${middleOf(path).toString(16)}`;
  const own: Measured[] = [];
  const peer: number[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const { stdout } = spawnSync(process.execPath, [join(import.meta.dirname, 'locate.ts'), path, address], { encoding: 'utf8' });
    const started = performance.now();
    spawnSync('eu-addr2line', ['-f', '-i', '-e', path, address]);
    if (round < 0) continue;
    peer.push(performance.now() - started);
    own.push(JSON.parse(stdout) as Measured);
  }
  return {
    megabytes: debugBytes / 1e6,
    ms: median(own.map(({ passes }) => passes[0]!)),
    residentMegabytes: median(own.map(({ residentBytes }) => residentBytes)) / 1e6,
    peerMs: median(peer),
  };
}

/** The first address behind the middle of the code that a function holds: between two of them is padding. */
function middleOf(path: string): bigint {
  const image = openImage(path);
  try {
    const text = image.elf.findSection('.text')!;
    let address = text.address + BigInt(Math.floor(text.size / 2));
    while (image.locate(address).length === 0) address += 1n;
    return address;
  } finally {
    image.close();
  }
}

const WIDTH = 640;
const HEIGHT = 320;
const MARGIN = 48;

/** Both axes logarithmic: a line that stays level does not grow. */
function plot(points: readonly Point[]): string {
  const x = (megabytes: number): number =>
    MARGIN + ((WIDTH - 2 * MARGIN) * Math.log10(Math.max(megabytes, 0.1) / 0.5)) / Math.log10(2000);
  const y = (value: number): number => HEIGHT - MARGIN - ((HEIGHT - 2 * MARGIN) * Math.log10(Math.max(value, 1))) / 3;
  const line = (name: string, color: string, valueOf: (point: Point) => number, unit: string): string => {
    const path = points.map((point) => `${x(point.megabytes).toFixed(1)},${y(valueOf(point)).toFixed(1)}`).join(' ');
    const last = points.at(-1)!;
    const label = `${name} (${valueOf(last).toFixed(0)} ${unit})`;
    return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/><text x="${x(last.megabytes) - 4}" y="${y(valueOf(last)) - 8}" text-anchor="end" fill="${color}">${label}</text>`;
  };
  const grid = [1, 10, 100, 1000]
    .map(
      (tick) =>
        `<line x1="${MARGIN}" x2="${WIDTH - MARGIN}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ddd"/><text x="${MARGIN - 6}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`,
    )
    .join('');
  const ticks = points
    .map(
      ({ megabytes }) =>
        `<text x="${x(megabytes)}" y="${HEIGHT - MARGIN + 18}" text-anchor="middle">${megabytes.toFixed(0)} MB</text>`,
    )
    .join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>${grid}${ticks}<text x="${WIDTH / 2}" y="${HEIGHT - 8}" text-anchor="middle">DWARF in the image</text>${line('time of a cold address', '#06c', ({ ms }) => ms, 'ms')}${line('memory', '#a40', ({ residentMegabytes }) => residentMegabytes, 'MB')}</svg>\n`;
}
