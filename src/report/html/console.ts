// The console's end, with the lines that tell of the crash marked.

import type { Report } from '../../model/report.ts';
import { html, type Markup } from './markup.ts';

/** The JSON, and the bundle, have more. */
const LINES_SHOWN = 1000;
const LINE = 1000;

/** Null where there is none. Lines before those that are kept are counted. */
export function consoleBlock({ console: { before, lines }, crash }: Report): Markup | null {
  if (lines.length === 0) return null;
  const told = crash?.consoleLines ?? null;
  const shown = lines.slice(-LINES_SHOWN);
  const rows = shown.map(({ number, text }) => {
    const isCrash = told !== null && told.first <= number && number <= told.last;
    return html`<span class="line${isCrash ? ' here' : ''}"><span class="no">${number}</span>${text.length > LINE ? `${text.slice(0, LINE)}…` : text}</span>`;
  });
  const earlier = before + lines.length - shown.length;
  const head = earlier > 0 ? html`<p class="soft">${earlier} lines came before.</p>` : null;
  return html`${head}<pre class="console">${rows}</pre>`;
}
