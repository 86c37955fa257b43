// How far a dump is: a bar on the terminal's standard error, that goes away when it is done.

import { formatNanoseconds, formatSize } from '../model/quantity.ts';
import type { CoreProgress } from '../qemu/dump/copy-memory.ts';

const EVERY_MS = 100;
const BAR_CELLS = 24;

/** Tells progress where standard error is a terminal and nobody asked for silence; `close` takes the line away. */
export function dumpProgress(isSilent: boolean): {
  readonly onProgress: (progress: CoreProgress) => void;
  readonly close: () => void;
} {
  const isShown = process.stderr.isTTY && !isSilent;
  const from = performance.now();
  let told = 0;
  return {
    onProgress: (progress) => {
      const now = performance.now();
      if (!isShown || now - told < EVERY_MS) return;
      told = now;
      process.stderr.write(`\r\x1b[K${progressLine(progress, now - from)}`);
    },
    close: () => {
      if (told > 0) process.stderr.write('\r\x1b[K');
    },
  };
}

/** `[########----------------] 33 %  1.2 GiB of 3.6 GiB  800 MiB/s  3.1s left  80 MiB written`. `sinceMs`: since the dump began. */
export function progressLine({ done, total, written }: CoreProgress, sinceMs: number): string {
  const share = total === 0 ? 1 : done / total;
  const cells = Math.round(share * BAR_CELLS);
  const bar = `[${'#'.repeat(cells)}${'-'.repeat(BAR_CELLS - cells)}] ${(share * 100).toFixed(0)} %`;
  const rate = sinceMs > 0 ? (done / sinceMs) * 1000 : 0;
  const left = rate > 0 && done < total ? `  ${formatNanoseconds(((total - done) / rate) * 1e9)} left` : '';
  return `${bar}  ${formatSize(done)} of ${formatSize(total)}  ${formatSize(rate)}/s${left}  ${formatSize(written)} written`;
}
