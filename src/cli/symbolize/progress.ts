// What is fetched from a debuginfod server may take minutes: a line on the terminal says so, and goes away when it is done.

import { formatSize } from '../../model/quantity.ts';
import type { FetchProgress } from '../../symbolize/debuginfod.ts';

const EVERY_MS = 200;

/** Tells progress on standard error where that is a terminal; `close` takes the line away. */
export function fetchProgress(): { readonly onProgress: (progress: FetchProgress) => void; readonly close: () => void } {
  const isTerminal = process.stderr.isTTY;
  let told = 0;
  return {
    onProgress: ({ url, received, total }) => {
      const now = Date.now();
      if (!isTerminal || now - told < EVERY_MS) return;
      told = now;
      const of = total === null ? '' : ` of ${formatSize(total)}`;
      process.stderr.write(`\r\x1b[Kdebug info from ${new URL(url).host}: ${formatSize(received)}${of}`);
    },
    close: () => {
      if (told > 0) process.stderr.write('\r\x1b[K');
    },
  };
}
