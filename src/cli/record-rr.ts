// `--record-rr FILE` of run and ci: QEMU's record of a run, and what lies beside it for `unidbg replay-rr`.

import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import type { Crash } from '../model/crash.ts';
import { errorCode } from '../model/error.ts';
import { findPc } from '../model/registers.ts';
import type { LaunchedVm } from '../qemu/launch/launch.ts';
import { openQmp } from '../qemu/qmp/client.ts';
import { planRecord, type RecordFiles, recordFiles } from '../qemu/rr/plan-record.ts';
import { makeSnapshotImage, writeAbout } from '../qemu/rr/record-file.ts';

/** A run that is going to be recorded. `argv` starts it. */
export interface BegunRecord {
  readonly argv: readonly string[];
  readonly files: RecordFiles;
}

/** QEMU writes the end of its log when it is told to quit. */
const QUIT_MS = 15_000;
const replayState = v.object({ icount: v.number() });

/** Plans the record and makes its image. Throws USAGE with what QEMU cannot record, QEMU_NOT_FOUND, FILE_UNWRITABLE. */
export async function beginRecord(argv: readonly string[], path: string): Promise<BegunRecord> {
  const files = recordFiles(path);
  const planned = planRecord(argv, files);
  await makeSnapshotImage(files);
  writeAbout(files, { argv: planned, symbols: [], end: null, crash: null });
  return { argv: planned, files };
}

/** Notes how the run ended, beside its record; `end`: after how many instructions. Throws FILE_UNWRITABLE. */
export function noteEnd(
  { argv, files }: BegunRecord,
  symbols: readonly string[],
  crash: Crash | null,
  end: number | null = null,
): void {
  const pc = crash === null ? null : ((crash.registers === null ? null : findPc(crash.registers)) ?? crash.frames[0]?.pc ?? null);
  writeAbout(files, { argv, symbols, end, crash: crash === null ? null : { title: crash.title, pc } });
  process.stderr.write(
    `unidbg: the run is recorded; \`unidbg replay-rr ${files.log}\` goes back from its ${crash === null ? 'end' : 'crash'}\n`,
  );
}

/** Ends QEMU so that its log is whole: one that is killed leaves a log without a beginning. */
export async function endRecord(
  record: BegunRecord,
  vm: LaunchedVm,
  of: { readonly symbols: readonly string[]; readonly crash: Crash | null },
): Promise<void> {
  let end: number | null = null;
  if (vm.process.exitCode === null && vm.process.signalCode === null) {
    try {
      const qmp = await openQmp(vm.plan.qmp);
      end = v.parse(replayState, await qmp.execute('query-replay')).icount;
      await qmp.execute('quit').catch(() => null);
      qmp.close();
    } catch (error) {
      // It has ended meanwhile by itself.
      if (errorCode(error) === null) throw error;
    }
    await Promise.race([vm.exited, sleep(QUIT_MS, undefined, { ref: false })]);
  }
  noteEnd(record, of.symbols, of.crash, end);
}
