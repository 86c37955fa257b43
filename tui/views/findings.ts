// What the built-in checks say: which panel each finding belongs to, its words there, and the one that matters most.

import type { Snapshot } from '../../src/model/snapshot.ts';
import type { PanelName } from '../panels.ts';
import type { Style } from '../style.ts';
import type { Line } from '../text.ts';
import { span, wrap } from '../text.ts';

/** An active finding. */
type ActiveFinding = Snapshot['findings'][number];

/** The first word of a check's name that is known here tells what it is about. */
const ABOUT: readonly (readonly [PanelName, RegExp])[] = [
  ['gc', /(^|-)(gc|collector|pause|pauses)(-|$)/],
  ['network', /(^|-)(network|net|tcp|dns|tls|flow|retransmits?|socket|packets?)(-|$)/],
  ['memory', /(^|-)(memory|oom|heap|leak|allocator|allocation|exhaustion)(-|$)/],
  ['threads', /(^|-)(threads?|deadlock|cpu|starvation|goroutines?|run-?queue)(-|$)/],
];

/** The panel that a finding is shown on; null when none is made for it. */
function panelOf({ check }: ActiveFinding): PanelName | null {
  return ABOUT.find(([, pattern]) => pattern.test(check))?.[0] ?? null;
}

/** The most severe finding, of those the oldest; null when all is well. */
export function worstFinding({ findings }: Snapshot): ActiveFinding | null {
  return findings.find(({ severity }) => severity === 'critical') ?? findings[0] ?? null;
}

/** How a finding looks. */
export function findingStyle({ severity }: ActiveFinding): Style {
  return severity === 'critical' ? 'bad' : 'warning';
}

/** The findings about a panel's subject, each in at most three lines; none when all is well. */
export function findingLines({ findings }: Snapshot, panel: PanelName, width: number): readonly Line[] {
  return findings
    .filter((finding) => panelOf(finding) === panel)
    .slice(0, 5)
    .flatMap((finding) =>
      wrap(finding.message, Math.max(10, width - 2), 3).map((text, index): Line => {
        const mark = index === 0 ? (finding.severity === 'critical' ? '✖ ' : '! ') : '  ';
        return [span(mark, findingStyle(finding)), span(text, findingStyle(finding))];
      }),
    );
}
