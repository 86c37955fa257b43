// The console's end, with the lines that tell of the crash marked.

import type { Report } from '../../model/report.ts';
import { html, type Markup } from './markup.ts';

/** Null where there is none. Lines before those that are kept are counted. */
export function consoleBlock({ console: { before, lines }, crash }: Report): Markup | null {
  if (lines.length === 0) return null;
  const told = crash?.consoleLines ?? null;
  const rows = lines.map(({ number, text }) => {
    const isCrash = told !== null && told.first <= number && number <= told.last;
    return html`<span class="line${isCrash ? ' here' : ''}"><span class="no">${number}</span>${text}</span>`;
  });
  const head = before > 0 ? html`<p class="soft">${before} lines came before.</p>` : null;
  return html`${head}<pre class="console">${rows}</pre>`;
}
