// Facts as a person scans them: `label value · label value`, as many on a line as fit, none broken in two.

import type { Style } from './style.ts';
import type { Line, Span } from './text.ts';
import { fit, lineWidth, span } from './text.ts';

/** One fact: what it is (dim) and what it is now. */
export function fact(label: string, value: string, style: Style = 'strong'): Line {
  return label === '' ? [span(value, style)] : [span(`${label} `, 'dim'), span(value, style)];
}

/** The facts in lines of at most `width` cells; later lines begin under the first fact. `head` stands at the start. */
export function factLines(head: Span | null, facts: readonly Line[], width: number): readonly Line[] {
  const indent = head === null ? 1 : head.text.length;
  const lines: Span[][] = [];
  let line: Span[] = [head ?? span(' ')];
  for (const one of facts) {
    const isFirst = line.length === 1;
    if (!isFirst && lineWidth(line) + 3 + lineWidth(one) > width) {
      lines.push(line);
      line = [span(' '.repeat(indent)), ...one];
    } else {
      if (!isFirst) line.push(span(' · ', 'dim'));
      line.push(...one);
    }
  }
  if (line.length > 1) lines.push(line);
  return lines.map((one) => (lineWidth(one) > width ? fit(one, width) : one));
}
