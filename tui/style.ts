// What things mean → how they look. Views name meanings only; no meaning rests on colour alone (each also has a word, a mark
// or an attribute), so the map under NO_COLOR loses nothing. Sixteen colours, which every terminal has.

/** What a span means. */
export type Style =
  | 'plain'
  | 'dim'
  | 'strong'
  | 'rule'
  | 'rule-focused'
  | 'tab'
  | 'tab-shown'
  | 'tab-focused'
  | 'key'
  | 'good'
  | 'warning'
  | 'bad'
  | 'badge-good'
  | 'badge-warning'
  | 'badge-bad'
  | 'badge-quiet'
  | 'function'
  | 'source'
  | 'note'
  | 'crash-text'
  | 'spark'
  | 'selected'
  | 'match'
  | 'cursor';

/** How a cell is drawn. Colours are ANSI 0–15; null is the terminal's own. */
export interface Attributes {
  readonly foreground: number | null;
  readonly background: number | null;
  readonly bold: boolean;
  readonly underline: boolean;
  readonly inverse: boolean;
}

/** What the terminal can do: 16 colours, 8 (no bright black: dim text would vanish), or NO_COLOR. */
export type Palette = 'sixteen' | 'eight' | 'none';

const PLAIN: Attributes = { foreground: null, background: null, bold: false, underline: false, inverse: false };
const [BLACK, RED, GREEN, YELLOW, BLUE, CYAN, WHITE, GREY] = [0, 1, 2, 3, 4, 6, 7, 8];

const COLOURED: Readonly<Record<Style, Attributes>> = {
  plain: PLAIN,
  dim: { ...PLAIN, foreground: GREY },
  strong: { ...PLAIN, bold: true },
  rule: { ...PLAIN, foreground: GREY },
  'rule-focused': { ...PLAIN, foreground: CYAN },
  tab: { ...PLAIN, foreground: GREY },
  'tab-shown': { ...PLAIN, bold: true },
  'tab-focused': { ...PLAIN, foreground: CYAN, bold: true },
  key: { ...PLAIN, foreground: CYAN, bold: true },
  good: { ...PLAIN, foreground: GREEN },
  warning: { ...PLAIN, foreground: YELLOW },
  bad: { ...PLAIN, foreground: RED, bold: true },
  'badge-good': { ...PLAIN, foreground: GREEN, bold: true },
  'badge-warning': { ...PLAIN, foreground: BLACK, background: YELLOW },
  'badge-bad': { ...PLAIN, foreground: WHITE, background: RED, bold: true },
  'badge-quiet': { ...PLAIN, foreground: WHITE, background: BLUE },
  function: { ...PLAIN, bold: true },
  source: { ...PLAIN, foreground: CYAN },
  note: { ...PLAIN, foreground: CYAN },
  'crash-text': { ...PLAIN, foreground: RED },
  spark: { ...PLAIN, foreground: GREEN },
  selected: { ...PLAIN, inverse: true },
  match: { ...PLAIN, foreground: BLACK, background: YELLOW },
  cursor: { ...PLAIN, inverse: true },
};

const COLOURLESS: Readonly<Record<Style, Attributes>> = {
  ...(Object.fromEntries(Object.keys(COLOURED).map((style) => [style, PLAIN])) as Record<Style, Attributes>),
  strong: { ...PLAIN, bold: true },
  'tab-shown': { ...PLAIN, bold: true },
  'tab-focused': { ...PLAIN, bold: true },
  key: { ...PLAIN, bold: true },
  bad: { ...PLAIN, bold: true },
  'badge-good': { ...PLAIN, bold: true },
  'badge-warning': { ...PLAIN, inverse: true },
  'badge-bad': { ...PLAIN, inverse: true, bold: true },
  'badge-quiet': { ...PLAIN, inverse: true },
  function: { ...PLAIN, bold: true },
  'crash-text': { ...PLAIN, bold: true },
  selected: { ...PLAIN, inverse: true },
  match: { ...PLAIN, underline: true, bold: true },
  cursor: { ...PLAIN, inverse: true },
};

/** How a meaning looks on a terminal of this palette. */
export function attributesOf(style: Style, palette: Palette): Attributes {
  if (palette === 'none') return COLOURLESS[style];
  const attributes = COLOURED[style];
  return palette === 'eight' && attributes.foreground === GREY ? { ...attributes, foreground: null } : attributes;
}
