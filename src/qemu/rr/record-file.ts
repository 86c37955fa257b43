// What lies beside a record: how it was run and what became of it, as JSON; and the image for its snapshot, made by qemu-img.

import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { errorMessage, UnidbgError } from '../../model/error.ts';
import { type RecordFiles, recordFiles } from './plan-record.ts';

/** How a record was made. */
export interface RecordAbout {
  /** The command line that recorded. */
  readonly argv: readonly string[];
  /** ELF files that names were taken from. */
  readonly symbols: readonly string[];
  /** How many instructions it had run when it was ended; null when nobody asked. */
  readonly end: number | null;
  /** The crash that ended it; null when there was none. */
  readonly crash: { readonly title: string; readonly pc: bigint | null } | null;
}

const address = v.pipe(
  v.string(),
  v.regex(/^0x[0-9a-f]{1,16}$/),
  v.transform((text) => BigInt(text)),
);
const schema = v.object({
  unidbgRecord: v.literal(1),
  argv: v.pipe(v.array(v.string()), v.minLength(1)),
  symbols: v.array(v.string()),
  end: v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  crash: v.nullable(v.object({ title: v.string(), pc: v.nullable(address) })),
});

/** Makes the image for the snapshot. Throws QEMU_NOT_FOUND, FILE_UNWRITABLE. */
export async function makeSnapshotImage({ snapshots }: RecordFiles): Promise<void> {
  try {
    await promisify(execFile)('qemu-img', ['create', '-q', '-f', 'qcow2', snapshots, '1M']);
  } catch (cause) {
    const missing = (cause as { readonly code?: unknown }).code === 'ENOENT';
    if (missing)
      throw new UnidbgError('QEMU_NOT_FOUND', 'qemu-img is not installed: --record-rr needs it (package qemu-utils)', { cause });
    throw new UnidbgError('FILE_UNWRITABLE', `cannot make ${snapshots}: ${errorMessage(cause)}`, { cause });
  }
}

/** Throws FILE_UNWRITABLE. */
export function writeAbout({ about }: RecordFiles, { argv, symbols, end, crash }: RecordAbout): void {
  const pc = crash?.pc == null ? null : `0x${crash.pc.toString(16)}`;
  const document = { unidbgRecord: 1, argv, symbols, end, crash: crash === null ? null : { title: crash.title, pc } };
  try {
    writeFileSync(about, `${JSON.stringify(document, null, 2)}\n`, { mode: 0o600 });
  } catch (cause) {
    throw new UnidbgError('FILE_UNWRITABLE', `cannot write ${about}: ${errorMessage(cause)}`, { cause });
  }
}

/** Throws FILE_UNREADABLE, RECORDING_MALFORMED. */
export function readAbout(path: string): RecordAbout {
  const { about } = recordFiles(path);
  let text: string;
  try {
    text = readFileSync(about, 'utf8');
  } catch (cause) {
    throw new UnidbgError(
      'FILE_UNREADABLE',
      `cannot read ${about}: ${errorMessage(cause)}; ${path} was not made by --record-rr, or was moved alone`,
      { cause },
    );
  }
  let document: unknown = null;
  try {
    document = JSON.parse(text);
  } catch {
    // Told below, as any other document that is none of ours.
  }
  const read = v.safeParse(schema, document);
  if (!read.success) throw new UnidbgError('RECORDING_MALFORMED', `${about} does not say how ${path} was recorded`);
  const { argv, symbols, end, crash } = read.output;
  return { argv, symbols, end, crash };
}
