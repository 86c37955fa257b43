// Results as Markdown.

import { formatCount } from '../../bench/table.ts';
import type { ImageResult, PeerResult } from './compare-image.ts';
import { PEERS, versionOf } from './peers.ts';
import { RULES, type Verdict } from './rules.ts';

/** Fewer mismatches than this share of the addresses are asked for. */
const ALLOWED = 1 / 10_000;

/** Whether an image passes: every answer is what its debug info says, and fewer than 1 difference in 10,000 has no rule. */
export function isExplained({ addresses, unexplained, claimed }: ImageResult): boolean {
  return unexplained < addresses * ALLOWED && claimed > addresses * (1 - ALLOWED);
}

/** One image on one line. */
export function formatRow(result: ImageResult): string {
  const { name, addresses, equalToOne, claimed, unexplained } = result;
  return `${name}: ${addresses} addresses, ${equalToOne} as llvm-symbolizer or eu-addr2line, ${claimed} as the debug info, ${unexplained} unexplained`;
}

export function formatReport(results: readonly ImageResult[], missing: readonly string[]): string {
  return (
    [
      HEAD,
      PEERS.map((peer) => `- ${peer.name}: ${versionOf(peer)}`).join('\n'),
      '## Images',
      imageTable(results),
      ...(missing.length === 0 ? [] : [`Not compared: ${missing.join('; ')}.`]),
      '## Differences, by image',
      `Counts of addresses. ${THIRD_VOICE}`,
      classTable(results),
      '## Why they differ',
      ...RULES.flatMap(({ name }) => ruleText(name, results)),
    ].join('\n\n') + '\n'
  );
}

const HEAD = `# The same answers

Written by \`npm run compare:symbols\`. From each image 100,000 addresses are taken evenly over all its code (every byte where it has
fewer). At each, unidbg's function (the linker's name), file, line, column and inlined calls are compared with the peers', and with the
debug info itself as eu-readelf and llvm-dwarfdump print it: which line table row and which entries hold the address. A difference
counts as explained only where a rule finds its cause in those dumps.`;

const THIRD_VOICE = 'addr2line is a third voice: what it says differently is classed where a rule fits.';

function imageTable(results: readonly ImageResult[]): string {
  const rows = results.map((result) => [
    result.name,
    ...[result.addresses, result.claimed, ...result.peers.map(({ equal }) => equal), result.equalToOne].map(formatCount),
    ...(['unidbg', 'both', 'the peer'] as const).map((right) => formatCount(explainedAs(result, right))),
    formatCount(result.unexplained),
  ]);
  const head = ['image', 'addresses', 'as the debug info says', ...PEERS.map(({ name }) => `= ${name}`), '= llvm or eu'];
  return table([...head, 'explained: unidbg right', 'both right', 'the peer right', 'unexplained'], rows);
}

/** Differences from llvm-symbolizer and eu-addr2line that are explained, where that one is right. */
function explainedAs({ peers }: ImageResult, right: Verdict): number {
  const counted = peers.filter(({ peer }) => peer !== 'addr2line').flatMap(({ classes }) => [...classes]);
  return counted.filter(([kind]) => verdictOf(kind) === right).reduce((sum, [, { count }]) => sum + count, 0);
}

/** Of several rules together: the peer is wrong where one of them says so; it is right only where all do. */
function verdictOf(kind: string): Verdict {
  const verdicts = kind.split(' + ').map((name) => RULES.find((rule) => rule.name === name)!.right);
  if (verdicts.includes('the peer')) return 'the peer';
  return verdicts.includes('unidbg') ? 'unidbg' : 'both';
}

function classTable(results: readonly ImageResult[]): string {
  const cell = ({ classes, unexplained }: PeerResult): string => {
    const kinds = [...classes]
      .toSorted(([, a], [, b]) => b.count - a.count)
      .map(([kind, { count }]) => `${kind} ${formatCount(count)}`);
    return [...kinds, ...(unexplained.length === 0 ? [] : [`**unexplained ${formatCount(unexplained.length)}**`])].join('; ');
  };
  return table(
    ['image', ...PEERS.map(({ name }) => name)],
    results.map(({ name, peers }) => [name, ...peers.map(cell)]),
  );
}

/** One rule: its reason, how often it held, and an instance for each peer. */
function ruleText(name: string, results: readonly ImageResult[]): string[] {
  const rule = RULES.find((one) => one.name === name)!;
  const lines = PEERS.flatMap(({ name: peer }) => {
    const found = results.flatMap((result) => {
      const classes = result.peers.find((one) => one.peer === peer)?.classes ?? new Map<string, never>();
      return [...classes]
        .filter(([kind]) => kind.split(' + ').includes(name))
        .map(([kind, one]) => ({ image: result.name, kind, ...one }));
    });
    const example = found.find(({ kind }) => kind === name);
    const count = found.reduce((sum, one) => sum + one.count, 0);
    if (count === 0) return [];
    const shown = example === undefined ? '' : `, as in ${example.image}:\n\n\`\`\`\n${shortened(example.example)}\n\`\`\``;
    return [`${peer}: ${formatCount(count)}${shown}`];
  });
  if (lines.length === 0) return [];
  return [`### ${name}`, `Right: ${rule.right}. ${rule.reason[0]!.toUpperCase()}${rule.reason.slice(1)}.`, ...lines];
}

const LONGEST_LINE = 400;

function shortened(text: string): string {
  return text
    .split('\n')
    .map((line) => (line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line))
    .join('\n');
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [columns, columns.map((_, index) => (index === 0 ? '---' : '---:')), ...rows].map(line).join('\n');
}
