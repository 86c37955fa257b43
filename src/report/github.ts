// GitHub's workflow commands: `::error file=…,line=…,col=…,title=…::message`, which become annotations on the lines of a pull request.
// The form and its escapes are those that actions/toolkit writes (packages/core/src/command.ts) and the runner reads.

import { formatLocation } from '../model/frame.ts';
import type { CrashGroup, Report, Run, RunSet } from '../model/report.ts';
import type { ReportContext, ReportFormat } from './format.ts';
import { findPlace } from './places.ts';
import { toPrintable, toPrintableLine } from './printable.ts';
import { findTelling } from './tellings.ts';
import { qemuExitWords } from './text.ts';

/** GitHub shows ten of a kind a step, and cuts long messages. */
const MAX_MESSAGE = 4000;
const FRAMES_TOLD = 12;

export const githubFormat: ReportFormat = {
  name: 'github',
  fileName: 'annotations.txt',
  doc: "GitHub's workflow commands: a bug is an annotation at its line",
  render: (runs, context) => {
    const commands = [
      ...runs.groups.map((group) => bugCommand(group, runs, context)),
      ...distinct(runs.runs.flatMap((run) => failureCommands(run))),
    ];
    return commands.map((command) => `${command}\n`).join('');
  },
};

type Level = 'error' | 'warning' | 'notice';

/** One workflow command on one line. */
export function workflowCommand(level: Level, properties: Readonly<Record<string, string>>, message: string): string {
  const given = Object.entries(properties).map(([name, value]) => `${name}=${escapeProperty(value)}`);
  const shown = toPrintable(message.slice(0, MAX_MESSAGE)).trim();
  return `::${level}${given.length === 0 ? '' : ` ${given.join(',')}`}::${escapeData(shown)}`;
}

function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(toPrintableLine(text)).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

function bugCommand(group: CrashGroup, runs: RunSet, { root }: ReportContext): string {
  const told = findTelling(runs, group);
  const state = stateOf(group, runs);
  const often = runs.runs.length > 1 ? `in ${group.count} of ${runs.runs.length} runs` : '';
  const about = [state, often].filter((part) => part !== '').join(', ');
  const title = `${group.kind}: ${group.title}`;
  const isTolerated = runs.runs.every(({ name, passed }) => passed || !group.sources.includes(name));
  const level = isTolerated ? 'warning' : 'error';
  if (told === null) return workflowCommand(level, { title }, about === '' ? title : about);
  const { crash, run } = told;
  const place = findPlace(crash, run.report.sources, root);
  const where: Record<string, string> = place === null ? {} : { file: place.path, line: String(place.line) };
  if (place !== null && place.column !== null) where['col'] = String(place.column);
  const frames = crash.frames.slice(0, FRAMES_TOLD).map((frame) => `#${frame.index} ${formatLocation(frame)}`);
  const hidden = crash.frames.length - frames.length;
  const message = [
    crash.message,
    ...(place === null || place.isGuilty ? [] : [`(the nearest line of this repository: #${place.frame.index})`]),
    ...frames,
    ...(hidden > 0 ? [`… ${hidden} more`] : []),
    `signature ${group.signature}${about === '' ? '' : ` (${about})`}`,
  ];
  return workflowCommand(level, { ...where, title }, message.join('\n'));
}

function stateOf({ signature }: CrashGroup, { comparison }: RunSet): string {
  if (comparison === null) return '';
  return comparison.new.some((group) => group.signature === signature) ? 'new' : 'known';
}

/** What failed without a crash, and expectations that were not met beside one. */
function failureCommands({ report, passed }: Run): readonly string[] {
  const level = report.crash === null && !passed ? 'error' : 'notice';
  const broken = report.expectations.filter(({ state }) => state !== 'met');
  return [
    ...endCommand(report, level),
    ...broken.map(({ text, state, reason }) =>
      workflowCommand(level, { title: `expectation ${state === 'failed' ? 'failed' : 'undecided'}` }, `${text}: ${reason}`),
    ),
  ];
}

function endCommand({ verdict, launch, guestExit }: Report, level: Level): readonly string[] {
  if (verdict === 'exit') return [workflowCommand(level, { title: 'the guest failed' }, guestExit?.how ?? 'it ended by itself')];
  if (verdict !== 'qemu-failed') return [];
  const how = launch?.qemuExit == null ? [] : [qemuExitWords(launch.qemuExit)];
  return [workflowCommand(level, { title: 'QEMU failed' }, [...how, ...(launch?.qemuOutput ?? [])].join('\n'))];
}

/** The same said by many runs is said once, with how often. */
function distinct(commands: readonly string[]): readonly string[] {
  return [...Map.groupBy(commands, (command) => command)].map(([command, same]) =>
    same.length === 1 ? command : `${command} (${same.length} runs)`,
  );
}
