// Results as Markdown, and what is to be known of the machine they were measured on: no names, no paths.

import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';

/** One benchmark's outcome. */
export interface Section {
  readonly title: string;
  /** What was done, and how to read the table. */
  readonly about: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Sentences below the table. */
  readonly remarks: readonly string[];
}

/** A section as Markdown: numbers right-aligned, the first column left. */
export function formatSection({ title, about, columns, rows, remarks }: Section): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const table = [line(columns), line(columns.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(line)];
  return [
    `## ${title}`,
    about,
    table.join('\n'),
    ...(remarks.length === 0 ? [] : [remarks.map((one) => `- ${one}`).join('\n')]),
  ].join('\n\n');
}

/** CPU, cores, memory, kernel and versions, as one sentence each. */
export function machineFacts(): readonly string[] {
  const gibibytes = (totalmem() / 1024 ** 3).toFixed(1);
  return [
    `CPU: ${cpus()[0]?.model.trim() ?? 'unknown'}, ${cpus().length} cores; ${gibibytes} GiB of memory; load average ${loadavg()[0]!.toFixed(1)} before the first benchmark`,
    `Node ${process.versions.node}; ${firstLine('qemu-system-x86_64', '--version')} (TCG, no KVM); ${firstLine('gdb', '--version')}`,
  ];
}

/** The first line that a program prints; `no NAME` when it is not there. */
export function firstLine(program: string, ...args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0] ?? '';
  } catch {
    return `no ${program}`;
  }
}

/** Milliseconds with as many digits as they deserve: `0.0042 ms`, `1.25 ms`, `231 ms`. */
export function formatMs(ms: number): string {
  if (Number.isNaN(ms)) return '–';
  if (ms < 0.1) return `${(ms * 1000).toFixed(1)} µs`;
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

/** A count with thin spaces between thousands. */
export function formatCount(count: number): string {
  return Math.round(count)
    .toString()
    .replaceAll(/\B(?=(\d{3})+$)/g, '\u202f');
}

/** A ratio as a signed percentage: 0.97 → `−3.0 %`. */
export function formatChange(ratio: number): string {
  const percent = (ratio - 1) * 100;
  return `${percent < 0 ? '−' : '+'}${Math.abs(percent).toFixed(1)} %`;
}

/** Prints a section when its file is the program that was started. */
export async function printAlone(isMain: boolean, measure: () => Promise<Section>): Promise<void> {
  if (isMain) process.stdout.write(`${formatSection(await measure())}\n`);
}
