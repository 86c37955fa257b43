// The overview of many VMs: a row for each, and below them the console of the one that is selected. Narrow screens give each VM a
// second row for what is to be said of it.

import type { FleetMember } from '../../src/model/fleet.ts';
import { formatNanoseconds, formatSize } from '../../src/model/quantity.ts';
import { bar } from '../chart.ts';
import { drawScreen } from '../compose.ts';
import { parsePattern } from '../filter.ts';
import { formatAge, formatClock, formatCount, formatShare } from '../format.ts';
import { SMALLEST } from '../layout.ts';
import { sorted, sortWords } from '../sorting.ts';
import type { Line } from '../text.ts';
import { fit, justify, lineWidth, padEnd, padStart, restyle, span, textWidth, truncate, wrap } from '../text.ts';
import { drawBar } from '../views/footer.ts';
import { helpLines } from '../views/help.ts';
import type { Row } from '../views/list.ts';
import { fillRows, resolvePosition } from '../views/list.ts';
import { fullnessStyle } from '../views/memory.ts';
import type { FleetState } from './state.ts';
import type { VmFacts } from './vm-facts.ts';
import { factsOf, VM_SORTS } from './vm-facts.ts';

/** A row of the overview. */
export interface VmRow extends Row {
  readonly facts: VmFacts;
}

const ROOMY = 150;
/** Rows of console below the VMs that are worth a title. */
const LEAST_TAIL = 4;

/** The VMs in their order, those that the filter leaves. */
export function vmRows(members: readonly FleetMember[], state: FleetState): readonly VmRow[] {
  const pattern = parsePattern(state.filter);
  return sorted(members.map(factsOf), VM_SORTS, state.sort)
    .map((facts): VmRow => {
      const text = `${facts.member.name} ${facts.system} ${facts.state.text} ${facts.remark.text}`;
      return { key: facts.member.id, facts, text, draw: (width) => vmLine(facts, width) };
    })
    .filter((row) => pattern === null || pattern.matches(row.text));
}

/** How many VMs are visible at once. */
export function vmsVisible({ size }: FleetState): number {
  return Math.max(1, Math.floor((size.rows - 4) / rowsOfVm(size.columns)));
}

function rowsOfVm(columns: number): number {
  return columns >= ROOMY ? 1 : 2;
}

/** Exactly `state.size.rows` lines: the overview, or the screen of the VM that is shown. */
export function drawFleet(members: readonly FleetMember[], state: FleetState): readonly Line[] {
  const { size, shown } = state;
  const member = members.find(({ id }) => id === shown);
  const screen = shown === null ? undefined : state.screens.get(shown);
  if (member?.session != null && screen !== undefined) return drawScreen(member.session.snapshot(), screen);
  if (size.columns < SMALLEST.columns || size.rows < SMALLEST.rows) {
    const words = `${size.columns}×${size.rows} is too small: ${SMALLEST.columns}×${SMALLEST.rows} or more, please (q quits)`;
    return fillRows([[span(words)]], { width: size.columns, height: size.rows });
  }
  const area = { width: size.columns, height: size.rows - 2 };
  const body =
    state.help === null
      ? overviewLines(members, state)
      : helpLines(['fleet', 'list', 'anywhere'], size.columns).slice(state.help.top);
  return [drawHeader(members, state), ...fillRows(body, area), drawFooter(state)];
}

function drawHeader(members: readonly FleetMember[], { size, now, startedAt }: FleetState): Line {
  const all = members.map(factsOf);
  const crashed = all.filter(({ trouble }) => trouble === 4).length;
  const refused = members.filter(({ failure }) => failure !== null).length;
  const findings = all.filter(({ trouble, member }) => (trouble === 2 || trouble === 3) && member.failure === null).length;
  const running = all.filter(({ state }) => state.style === 'good').length;
  const left: Line = [
    span(' unidbg ', 'badge-quiet'),
    span(` ${members.length} ${members.length === 1 ? 'VM' : 'VMs'}`, 'strong'),
    span(`  ${running} running `, running > 0 ? 'good' : 'dim'),
    ...(crashed > 0 ? [span(` ✖ ${crashed} crashed `, 'badge-bad'), span(' ')] : []),
    ...(findings > 0 ? [span(` ! ${findings} not well `, 'badge-warning'), span(' ')] : []),
    ...(refused > 0 ? [span(`${refused} not attached`, 'warning')] : []),
  ];
  const clock = formatClock(now - startedAt);
  return justify(left, [span(size.columns < 100 ? ` ${clock}` : ` attached ${clock} `)], size.columns);
}

function drawFooter(state: FleetState): Line {
  const { size, message, now, typing, filter } = state;
  if (typing)
    return fit(
      [span(' /', 'key'), span(filter), span(' ', 'cursor'), span('  words · ~regex · !not · Enter keeps, Esc drops', 'dim')],
      size.columns,
    );
  if (message !== null && message.until > now) return fit([span(` ${message.text}`, message.style)], size.columns);
  return drawBar(state.help === null ? ['fleet', 'list', 'anywhere'] : ['overlay', 'anywhere'], size.columns);
}

function overviewLines(members: readonly FleetMember[], state: FleetState): readonly Line[] {
  const { columns, rows: height } = state.size;
  const rows = vmRows(members, state);
  const { index, top } = resolvePosition(state.position, rows, vmsVisible(state));
  const shown = rows.slice(top, top + vmsVisible(state));
  const table = shown.flatMap((row, offset) => vmLines(row, top + offset === index, columns));
  const title = titleLine(state, rows.length, members.length, columns);
  const lines = [title, headLine(columns), ...(rows.length > 0 ? table : [emptyLine(members, state)])];
  return [...lines, ...tailLines(rows[index], columns, height - 2 - lines.length)];
}

function titleLine({ filter, sort }: FleetState, shown: number, all: number, width: number): Line {
  const right: Line = [
    ...(filter === '' ? [] : [span(` /${filter} `, 'match'), span(` ${shown} of ${all} `, 'dim')]),
    span(` ${sortWords(VM_SORTS, sort)} `, 'dim'),
    span('━', 'rule-focused'),
  ];
  const left: Line = [span('━', 'rule-focused'), span(' 0 VMs ', 'tab-focused')];
  const stroke = span('━'.repeat(Math.max(0, width - lineWidth(left) - lineWidth(right))), 'rule-focused');
  return justify([...left, stroke], right, width);
}

function emptyLine(members: readonly FleetMember[], { filter }: FleetState): Line {
  return [span(members.length > 0 ? `nothing matches /${filter}` : 'no VM yet: those that start are shown as they come', 'dim')];
}

function vmLines(row: VmRow, selected: boolean, width: number): readonly Line[] {
  const line = fit(row.draw(width), width);
  const first = selected ? restyle(line, 'selected') : line;
  if (rowsOfVm(width) === 1) return [first];
  const { text, style } = row.facts.remark;
  return [first, [span('   '), span(truncate(text, width - 4), style)]];
}

// --- columns

interface Column {
  readonly title: string;
  readonly width: number;
  /** Its width where there is much room. */
  readonly wide?: number;
  /** Below this width of the screen it is left out. */
  readonly from: number;
  readonly draw: (facts: VmFacts, width: number) => Line;
}

const right = (text: string, width: number, style: 'plain' | 'warning' | 'bad' | 'dim' = 'plain'): Line => [
  span(padStart(text, width), style),
];

const COLUMNS: readonly Column[] = [
  { title: 'name', width: 11, wide: 20, from: 0, draw: ({ member }, width) => [span(padEnd(member.name, width), 'strong')] },
  { title: 'system', width: 8, wide: 11, from: 0, draw: ({ system }, width) => [span(padEnd(system, width))] },
  { title: 'state', width: 10, from: 0, draw: ({ state }, width) => [span(padEnd(state.text, width), state.style)] },
  {
    title: 'up',
    width: 4,
    from: 90,
    draw: ({ uptimeMs }, width) => right(uptimeMs === null ? '–' : formatAge(uptimeMs), width, 'dim'),
  },
  {
    title: 'CPU',
    width: 6,
    from: 0,
    draw: ({ cpu }, width) =>
      right(cpu === null ? '–' : formatShare(cpu), width, cpu !== null && cpu >= 0.9 ? 'warning' : 'plain'),
  },
  { title: 'memory', width: 18, wide: 24, from: 0, draw: memoryCell },
  {
    title: 'GC/min',
    width: 6,
    from: 0,
    draw: ({ collectionsPerMinute: rate }, width) =>
      right(rate === null ? '–' : rate.toFixed(rate < 10 && rate > 0 ? 1 : 0), width),
  },
  {
    title: 'pause',
    width: 8,
    from: 110,
    draw: ({ lastPauseNs }, width) => right(lastPauseNs === null ? '–' : formatNanoseconds(lastPauseNs), width),
  },
  {
    title: 'network/s',
    width: 9,
    from: 0,
    draw: ({ network }, width) => right(network === null ? '–' : formatNetwork(network), width),
  },
  { title: 'thr', width: 3, from: 0, draw: ({ threads }, width) => right(threads === null ? '–' : formatCount(threads), width) },
];

function formatNetwork({ rate, unit }: NonNullable<VmFacts['network']>): string {
  return unit === 'By' ? formatSize(rate) : `${formatCount(Math.round(rate))} pkt`;
}

function columnsFor(width: number): readonly Column[] {
  const wide = width >= ROOMY;
  return COLUMNS.filter(({ from }) => width >= from).map((column) =>
    wide ? { ...column, width: column.wide ?? column.width } : column,
  );
}

/** `██████░░ 12.4 MiB`: against the guest's limit, coloured by fullness; dim and without a bar what only the host knows. */
function memoryCell({ memory, resident }: VmFacts, width: number): Line {
  const cells = width - 10;
  const size = (bytes: number): string => padStart(formatSize(bytes), 9);
  if (memory === null) {
    return [
      span(padEnd(resident === null ? '' : 'on host', cells), 'dim'),
      span(` ${resident === null ? padStart('–', 9) : size(resident)}`, 'dim'),
    ];
  }
  const { used, limit } = memory;
  const style = limit === null ? 'good' : fullnessStyle(used / limit);
  const drawn = limit === null ? [span(' '.repeat(cells))] : bar(used, limit, limit, cells, style);
  return [...drawn, span(` ${size(used)}`, style === 'good' ? 'plain' : style)];
}

function headLine(width: number): Line {
  const titles = columnsFor(width).map(({ title, width: cells }, index) =>
    index < 3 || title === 'memory' ? padEnd(title, cells) : padStart(title, cells),
  );
  return [span(` ${titles.join(' ')}`, 'dim')];
}

function vmLine(facts: VmFacts, width: number): Line {
  const cells = columnsFor(width).flatMap((column) => [span(' '), ...column.draw(facts, column.width)]);
  if (rowsOfVm(width) > 1) return cells;
  const room = width - lineWidth(cells) - 3;
  return [...cells, span('  '), span(truncate(facts.remark.text, room), facts.remark.style)];
}

// --- the selected one

/** What is wrong with the selected VM in full, and the end of its console, where there is room for them. */
function tailLines(row: VmRow | undefined, width: number, height: number): readonly Line[] {
  if (row === undefined || height < LEAST_TAIL + 1) return [];
  const { member, remark } = row.facts;
  const wrong = remark.style === 'dim' ? [] : wrap(remark.text, width - 1, 6).map((text): Line => [span(text, remark.style)]);
  const room = height - wrong.length - 1;
  const said =
    room <= 0
      ? []
      : (member.session?.snapshot().console ?? []).slice(-room).map(({ text }): Line => [span(truncate(text, width))]);
  const title = ` ${truncate(member.name, 30)} `;
  const head: Line = [
    span('─', 'rule'),
    span(title, 'tab-shown'),
    span('─'.repeat(Math.max(0, width - textWidth(title) - 1)), 'rule'),
  ];
  const nothing: Line = [span(member.session === null ? '' : 'nothing was printed so far', 'dim')];
  return [head, ...wrong, ...(said.length > 0 ? said : [nothing])];
}
