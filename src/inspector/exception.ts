// An exception that nobody caught, as the inspector tells it (CDP Runtime.exceptionThrown): the same facts that Node.js prints, with
// more of the stack. Positions count from 0 over there and from 1 in whatever V8 prints, and here.

import * as v from 'valibot';
import { type ReportedCrash, type ReportedFrame, reportedFrame } from '../model/console-text.ts';
import { decodeBy } from './reading.ts';
import { safeLines, safeText } from './text.ts';

const MAX_FRAMES = 200;
const MAX_MESSAGE = 8_000;
/** As many as are taken of the console's text. */
const MAX_MESSAGE_LINES = 20;
const MAX_NAME = 500;
const MAX_PROPERTIES = 5;

const position = v.pipe(v.number(), v.integer(), v.minValue(-1), v.maxValue(2 ** 31));
const text = v.optional(v.string(), '');
/** A frame as CDP writes it (Runtime.CallFrame). */
export const callFrameSchema = v.object({ functionName: text, url: text, lineNumber: position, columnNumber: position });
const thrownSchema = v.object({
  exceptionDetails: v.object({
    text,
    url: text,
    lineNumber: position,
    stackTrace: v.optional(v.object({ callFrames: v.array(callFrameSchema) })),
    exception: v.optional(
      v.object({
        type: v.string(),
        subtype: v.optional(v.string()),
        className: text,
        description: v.optional(v.string()),
        value: v.optional(v.unknown()),
        preview: v.optional(v.object({ properties: v.array(v.object({ name: v.string(), value: text })) })),
      }),
    ),
  }),
});
type Thrown = NonNullable<v.InferOutput<typeof thrownSchema>['exceptionDetails']['exception']>;

/** The crash that Runtime.exceptionThrown tells: its lines are 0, the console did not tell it. Throws INSPECTOR_MALFORMED. */
export function decodeException(params: unknown, ordinal: number): ReportedCrash {
  const { exceptionDetails: details } = decodeBy(thrownSchema, params, 'exception');
  const stack = (details.exception?.description ?? '').slice(0, MAX_MESSAGE * 4).split('\n');
  const firstFrame = stack.findIndex((line) => FRAME.test(line));
  const printed = firstFrame < 0 ? [] : stack.slice(firstFrame).flatMap(readFrame);
  const called = (details.stackTrace?.callFrames ?? []).slice(0, MAX_FRAMES).map(frameOf);
  const file = scriptPath(details.url);
  return {
    ...{ unikernel: null, runtime: 'v8', ordinal, grammar: 'v8/inspector', kind: 'exception' },
    message: messageOf(details.text, details.exception, firstFrame < 0 ? stack : stack.slice(0, firstFrame)),
    location: file === '' ? null : { file, line: details.lineNumber + 1, function: null },
    frames: joinStacks(printed, called),
    ...{ vcpu: null, faultAddress: null, registers: null, loadOffsets: [], corrupted: null, firstLine: 0, lastLine: 0 },
  };
}

/** A frame of CDP's as the guest's own text would have it. */
export function frameOf({ functionName, url, lineNumber, columnNumber }: v.InferOutput<typeof callFrameSchema>): ReportedFrame {
  const file = scriptPath(url);
  return reportedFrame({
    function: functionName === '' ? null : safeText(functionName, MAX_NAME),
    ...(file === '' ? {} : { file, line: lineNumber + 1, column: columnNumber + 1 }),
  });
}

/**
 * One stack of two of the same moment: the frames of `best`, whose names say more, then what `longer` has behind them. Where their
 * places differ they are not of one moment (an error thrown elsewhere than it was made), and `best` is all.
 */
export function joinStacks(best: readonly ReportedFrame[], longer: readonly ReportedFrame[]): readonly ReportedFrame[] {
  if (best.length === 0) return longer;
  const isSame = best.every(({ file, line, column }, index) => {
    const other = longer[index];
    return other !== undefined && file === other.file && line === other.line && column === other.column;
  });
  return isSame ? [...best, ...longer.slice(best.length)] : best;
}

const FRAME = /^ {4}at (?:async )?(?:(\S.{0,500}) \((.{1,1000})\)|(\S.{0,1000}))$/;

function readFrame(line: string): ReportedFrame[] {
  const match = FRAME.exec(line);
  if (match === null) return [];
  const place = match[2] ?? match[3] ?? '';
  const parts = /^(.{1,1000}):(\d{1,9}):(\d{1,9})$/.exec(place);
  const name = match[1] === undefined ? null : safeText(match[1], MAX_NAME);
  if (parts === null) return name === null ? [] : [reportedFrame({ function: name })];
  return [reportedFrame({ function: name, file: scriptPath(parts[1] ?? ''), line: Number(parts[2]), column: Number(parts[3]) })];
}

/** `file:///app/main.js` is `/app/main.js`, as Node.js prints it. */
export function scriptPath(url: string): string {
  if (!url.startsWith('file:///')) return safeText(url, 1000);
  try {
    return safeText(decodeURIComponent(url.slice('file://'.length)), 1000);
  } catch {
    return safeText(url, 1000);
  }
}

function messageOf(said: string, thrown: Thrown | undefined, stack: readonly string[]): string {
  const words = thrown === undefined ? said : thrown.subtype === 'error' ? stack.join('\n') : `${said} ${describeValue(thrown)}`;
  return safeLines(words.trim(), MAX_MESSAGE, MAX_MESSAGE_LINES);
}

/** What was thrown, where it is no error: `'text'`, `17`, `Object {reason: no error at all, code: 17}`. */
function describeValue({ type, className, description, value, preview }: Thrown): string {
  if (type === 'string') return `'${String(value)}'`;
  if (type !== 'object' || value === null) return description ?? String(value);
  const properties = (preview?.properties ?? []).slice(0, MAX_PROPERTIES).map((entry) => `${entry.name}: ${entry.value}`);
  return properties.length === 0 ? className : `${className} {${properties.join(', ')}}`;
}
