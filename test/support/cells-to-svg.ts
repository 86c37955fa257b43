// Terminal cells to SVG. Lines and blocks (U+2500…U+259F) and braille are drawn as shapes and every run of text is told its
// width, so that the picture is right in whatever monospaced font its reader has.

import type { IBufferCell, Terminal } from '@xterm/headless';

const CELL_WIDTH = 8.4;
const CELL_HEIGHT = 17;
const BASELINE = 12.6;
const FONT_SIZE = 14;
const MARGIN = 12;
const TITLE_HEIGHT = 30;
const RADIUS = 8;
const GAP = 3;
const FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace";

const BACKGROUND = '#12161d';
const FRAME = '#1d232d';
const FOREGROUND = '#c9d1d9';
/** The sixteen colours of a terminal, normal then bright. */
const PALETTE: readonly string[] = [
  ...['#30363d', '#ff6b64', '#56d364', '#e3b341', '#6cb6ff', '#d2a8ff', '#56d4dd', '#c9d1d9'],
  ...['#7d8590', '#ff938a', '#7ee787', '#f2cc60', '#91cbff', '#e2c5ff', '#8ae6ec', '#ffffff'],
];

interface Style {
  readonly foreground: string;
  readonly background: string | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly underline: boolean;
}

interface Cell {
  readonly column: number;
  readonly text: string;
  readonly width: number;
  readonly style: Style;
}

/** What `terminal` shows, as an SVG document in a window frame with `title`. */
export function cellsToSvg(terminal: Terminal, title: string): string {
  const { cols, rows } = terminal;
  const width = round(cols * CELL_WIDTH + 2 * MARGIN);
  const height = round(rows * CELL_HEIGHT + MARGIN + TITLE_HEIGHT + 4);
  const body = Array.from({ length: rows }, (_, row) => drawRow(readRow(terminal, row), row)).join('');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escape(title)}">`,
    `<rect width="${width}" height="${height}" rx="${RADIUS}" fill="${BACKGROUND}"/>`,
    `<path d="M0 ${TITLE_HEIGHT - 4}V${RADIUS}a${RADIUS} ${RADIUS} 0 0 1 ${RADIUS} -${RADIUS}H${width - RADIUS}a${RADIUS} ${RADIUS} 0 0 1 ${RADIUS} ${RADIUS}V${TITLE_HEIGHT - 4}z" fill="${FRAME}"/>`,
    ...['#ff6b64', '#e3b341', '#56d364'].map((fill, index) => `<circle cx="${18 + index * 18}" cy="13" r="5.5" fill="${fill}"/>`),
    `<g font-family="${FONT}" font-size="${FONT_SIZE}" xml:space="preserve">`,
    `<text x="${width / 2}" y="18" text-anchor="middle" font-size="12.5" fill="${PALETTE[8]!}">${escape(title)}</text>`,
    `<g transform="translate(${MARGIN} ${TITLE_HEIGHT + 2})">`,
    `${body}</g></g></svg>\n`,
  ].join('\n');
}

function readRow({ buffer, cols }: Terminal, row: number): readonly Cell[] {
  const line = buffer.active.getLine(buffer.active.baseY + row);
  const cells: Cell[] = [];
  for (let column = 0; column < cols; column += 1) {
    const cell = line?.getCell(column);
    if (cell === undefined || cell.getWidth() === 0) continue;
    cells.push({ column, text: cell.getChars() || ' ', width: cell.getWidth(), style: styleOf(cell) });
  }
  return cells;
}

function styleOf(cell: IBufferCell): Style {
  const bold = cell.isBold() !== 0;
  const foreground = cell.isFgDefault() ? FOREGROUND : colour(cell.getFgColor(), cell.isFgRGB());
  const background = cell.isBgDefault() ? null : colour(cell.getBgColor(), cell.isBgRGB());
  const rest = { bold, dim: cell.isDim() !== 0, underline: cell.isUnderline() !== 0 };
  if (cell.isInverse() === 0) return { foreground, background, ...rest };
  return { foreground: background ?? BACKGROUND, background: foreground, ...rest };
}

/** Of the 256: the sixteen, the 6×6×6 cube, the greys. */
function colour(value: number, isRgb: boolean): string {
  const hex = (red: number, green: number, blue: number): string =>
    `#${[red, green, blue].map((part) => part.toString(16).padStart(2, '0')).join('')}`;
  if (isRgb) return hex((value >> 16) & 255, (value >> 8) & 255, value & 255);
  if (value < 16) return PALETTE[value]!;
  const level = (part: number): number => (part === 0 ? 0 : 55 + part * 40);
  if (value < 232)
    return hex(level(Math.floor((value - 16) / 36)), level(Math.floor((value - 16) / 6) % 6), level((value - 16) % 6));
  return hex(8 + (value - 232) * 10, 8 + (value - 232) * 10, 8 + (value - 232) * 10);
}

function drawRow(cells: readonly Cell[], row: number): string {
  const top = row * CELL_HEIGHT;
  const filled = runs(cells, (a, b) => a.style.background === b.style.background).map((run) => {
    const fill = run[0]!.style.background;
    return fill === null ? '' : `<rect x="${x(run)}" y="${top}" width="${widthOf(run)}" height="${CELL_HEIGHT}" fill="${fill}"/>`;
  });
  const drawn = runs(cells, (a, b) => isSameInk(a, b)).map((run) =>
    isShape(run[0]!) ? drawShapes(run, top) : drawText(run, top),
  );
  return [...filled, ...drawn].join('');
}

function isSameInk(a: Cell, b: Cell): boolean {
  if (isShape(a) !== isShape(b)) return false;
  return a.style === b.style || JSON.stringify(a.style) === JSON.stringify(b.style);
}

/** Neighbouring cells that belong together. */
function runs(cells: readonly Cell[], together: (a: Cell, b: Cell) => boolean): Cell[][] {
  const found: Cell[][] = [];
  for (const cell of cells) {
    const last = found.at(-1)?.at(-1);
    if (last !== undefined && together(last, cell)) found.at(-1)!.push(cell);
    else found.push([cell]);
  }
  return found;
}

/** One element for each stretch without wide gaps: a gap is better left out than stretched. */
function drawText(run: readonly Cell[], top: number): string {
  const words = runs(run, (a, b) => !(a.text === ' ' && b.text === ' ')).map((word) => trim(word));
  return words.map((word) => (word.length === 0 ? '' : textElement(word, top))).join('');
}

function trim(word: readonly Cell[]): readonly Cell[] {
  const isInk = (cell: Cell): boolean => cell.text !== ' ';
  return word.slice(Math.max(0, word.findIndex(isInk)), word.findLastIndex(isInk) + 1);
}

function textElement(word: readonly Cell[], top: number): string {
  const { style } = word[0]!;
  const attributes = [
    `x="${x(word)}" y="${round(top + BASELINE)}" textLength="${widthOf(word)}" lengthAdjust="spacingAndGlyphs" fill="${style.foreground}"`,
    ...(style.bold ? ['font-weight="bold"'] : []),
    ...(style.dim ? ['opacity="0.6"'] : []),
    ...(style.underline ? ['text-decoration="underline"'] : []),
  ];
  return `<text ${attributes.join(' ')}>${escape(word.map(({ text }) => text).join(''))}</text>`;
}

/** The arms of a line-drawing character: [left, up, right, down], 0 none, 1 light, 2 heavy. */
const ARMS: Readonly<Record<string, readonly [number, number, number, number]>> = {
  ...{ '─': [1, 0, 1, 0], '━': [2, 0, 2, 0], '│': [0, 1, 0, 1], '┃': [0, 2, 0, 2] },
  ...{ '┌': [0, 0, 1, 1], '┐': [1, 0, 0, 1], '└': [0, 1, 1, 0], '┘': [1, 1, 0, 0] },
  ...{ '╭': [0, 0, 1, 1], '╮': [1, 0, 0, 1], '╰': [0, 1, 1, 0], '╯': [1, 1, 0, 0] },
  ...{ '├': [0, 1, 1, 1], '┤': [1, 1, 0, 1], '┬': [1, 0, 1, 1], '┴': [1, 1, 1, 0], '┼': [1, 1, 1, 1] },
  ...{ '┯': [2, 0, 2, 1], '┷': [2, 1, 2, 0], '┳': [2, 0, 2, 2], '┻': [2, 2, 2, 0], '╋': [2, 2, 2, 2], '┿': [2, 1, 2, 1] },
  ...{ '┏': [0, 0, 2, 2], '┓': [2, 0, 0, 2], '┗': [0, 2, 2, 0], '┛': [2, 2, 0, 0], '┣': [0, 2, 2, 2], '┫': [2, 2, 0, 2] },
  ...{ '┝': [0, 1, 2, 1], '┥': [2, 1, 0, 1], '╾': [2, 0, 1, 0], '╼': [1, 0, 2, 0], '╴': [1, 0, 0, 0], '╶': [0, 0, 1, 0] },
};

/** Eighths of a cell that a block covers: [left, top, right, bottom]. */
const BLOCKS: Readonly<Record<string, readonly [number, number, number, number]>> = {
  ...Object.fromEntries(Array.from('▁▂▃▄▅▆▇█', (block, index) => [block, [0, 7 - index, 8, 8] as const])),
  ...Object.fromEntries(Array.from('▉▊▋▌▍▎▏', (block, index) => [block, [0, 0, 7 - index, 8] as const])),
  ...{ '▀': [0, 0, 8, 4], '▐': [4, 0, 8, 8], '▔': [0, 0, 8, 1], '▕': [7, 0, 8, 8] },
};

function isBraille(text: string): boolean {
  return text >= '\u2800' && text <= '\u28ff';
}

function isShape({ text }: Cell): boolean {
  return text in ARMS || text in BLOCKS || isBraille(text);
}

function drawShapes(run: readonly Cell[], top: number): string {
  const { foreground, dim } = run[0]!.style;
  const light = run.map((cell) => armsPath(cell, top, 1)).join('');
  const heavy = run.map((cell) => armsPath(cell, top, 2)).join('');
  const solid = run.map((cell) => blockPath(cell, top)).join('');
  const opacity = dim ? ' opacity="0.6"' : '';
  return [
    light === '' ? '' : `<path d="${light}" stroke="${foreground}" stroke-width="1.2" fill="none"${opacity}/>`,
    heavy === '' ? '' : `<path d="${heavy}" stroke="${foreground}" stroke-width="2.4" fill="none"${opacity}/>`,
    solid === '' ? '' : `<path d="${solid}" fill="${foreground}"${opacity}/>`,
  ].join('');
}

function armsPath({ column, text }: Cell, top: number, weight: number): string {
  const [left, up, right, down] = (ARMS[text] ?? [0, 0, 0, 0]).map((arm) => arm === weight);
  const [middleX, middleY] = [round((column + 0.5) * CELL_WIDTH), top + CELL_HEIGHT / 2];
  const horizontal =
    left || right
      ? `M${left ? round(column * CELL_WIDTH) : middleX} ${middleY}H${right ? round((column + 1) * CELL_WIDTH) : middleX}`
      : '';
  const vertical = up || down ? `M${middleX} ${up ? top : middleY}V${down ? top + CELL_HEIGHT : middleY}` : '';
  return horizontal + vertical;
}

function blockPath({ column, text }: Cell, top: number): string {
  const box = BLOCKS[text];
  if (box !== undefined) {
    const [left, upper, right, lower] = box;
    // Bars of neighbouring rows would grow together; a terminal's fonts leave such a gap too.
    const ceiling = lower === 8 ? GAP : 0;
    const [fromX, toX] = [round((column + left / 8) * CELL_WIDTH), round((column + right / 8) * CELL_WIDTH)];
    return `M${fromX} ${round(top + ceiling + (upper / 8) * (CELL_HEIGHT - ceiling))}H${toX}V${round(top + (lower / 8) * CELL_HEIGHT)}H${fromX}z`;
  }
  return isBraille(text) ? braillePath(column, text, top) : '';
}

/** Dots 1…8 of Unicode's braille patterns: bit → column and row. */
const DOTS: readonly (readonly [number, number])[] = [
  [0, 0],
  [0, 1],
  [0, 2],
  [1, 0],
  [1, 1],
  [1, 2],
  [0, 3],
  [1, 3],
];

function braillePath(column: number, text: string, top: number): string {
  const pattern = text.charCodeAt(0) - 0x2800;
  const size = 2;
  return DOTS.filter((_, bit) => (pattern & (1 << bit)) !== 0)
    .map(
      ([dotX, dotY]) =>
        `M${round((column + 0.3 + dotX * 0.45) * CELL_WIDTH - 1)} ${round(top + (dotY + 0.5) * (CELL_HEIGHT / 4) - 1)}h${size}v${size}h-${size}z`,
    )
    .join('');
}

function x(run: readonly Cell[]): number {
  return round(run[0]!.column * CELL_WIDTH);
}

function widthOf(run: readonly Cell[]): number {
  return round(run.reduce((sum, { width }) => sum + width, 0) * CELL_WIDTH);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
