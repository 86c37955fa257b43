// Source lines or instructions around a place, as rows.

import type { Listing } from '../../src/model/event.ts';
import type { Line } from '../text.ts';
import { span } from '../text.ts';

/** Lines of a listing shown at most. */
const MOST_LINES = 400;

/** All rows of a listing: `→ 41 │ text`. The current one is marked by an arrow and bold. */
export function listingLines(listing: Listing): readonly Line[] {
  const lines = listing.lines.slice(0, MOST_LINES);
  const labels = lines.map(({ number, address }) =>
    number !== null ? String(number) : address !== null ? address.toString(16) : '',
  );
  const width = labels.reduce((most, label) => Math.max(most, label.length), 1);
  return lines.map(({ text, current }, index) => [
    span(current ? '→ ' : '  ', 'bad'),
    span(labels[index]!.padStart(width), 'dim'),
    span(' │ ', 'dim'),
    span(text.replaceAll('\t', '    '), current ? 'strong' : 'plain'),
  ]);
}

/** At most `height` rows with the current one in the middle where possible. */
export function listingAround(listing: Listing, height: number): readonly Line[] {
  const lines = listingLines(listing);
  const current = Math.max(
    0,
    listing.lines.findIndex((line) => line.current),
  );
  const from = Math.max(0, Math.min(current - Math.floor(height / 2), lines.length - height));
  return lines.slice(from, from + height);
}
