// `unidbg replay-rr FILE`: replays a run that --record-rr recorded, to its crash and back from there: steps, a function, the last write to an
// address (docs/replay-rr.md).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { openStub } from '../../../gdbstub/index.ts';
import { formatAddress } from '../../model/address.ts';
import { UnidbgError } from '../../model/error.ts';
import { type Frame, formatLocation } from '../../model/frame.ts';
import { encodeJson } from '../../model/json.ts';
import { parseDuration } from '../../model/quantity.ts';
import { type LaunchedVm, launchVm } from '../../qemu/launch/launch.ts';
import { planReplay } from '../../qemu/rr/plan-record.ts';
import { type RecordAbout, readAbout } from '../../qemu/rr/record-file.ts';
import { frameLine } from '../../report/stack-text.ts';
import type { Code } from '../../session/code.ts';
import { type OpenGuest, openGuest, viewBy } from '../../session/open-guest.ts';
import { walkFrames } from '../../session/sampler.ts';
import { TimeTravel } from '../../session/time-travel.ts';
import { collect } from '../collect.ts';
import { EXIT } from '../exit-codes.ts';
import { SYSTEMS } from '../systems.ts';
import type { Verb } from '../verb.ts';

interface ReplayOptions {
  readonly symbols: readonly string[];
  readonly steps: string;
  readonly to?: string;
  readonly watch?: string;
  readonly timeout: string;
  readonly json?: boolean;
}

const MAX_STEPS = 10_000;
const WATCH_SIZES = [1, 2, 4, 8];

export const replayRr: Verb = {
  register: (program: Command, finish) => {
    program
      .command('replay-rr')
      .argument('<file>', 'the record: what --record-rr of run or ci was given')
      .description('replay a recorded run to its crash, and go back from there')
      .option('--steps <n>', 'so many instructions back from the crash', '0')
      .option('--to <place>', 'back to where it was last at a function, FILE:LINE or 0x address')
      .option('--watch <address>', 'back to the last write to an address or a variable: ADDRESS[:BYTES], 8 bytes unless told')
      .option('--symbols <elf>', 'ELF file; may be given many times; as it was recorded without it', collect, [])
      .option('--timeout <time>', 'for each way through the run', '5m')
      .option('--json', 'print one JSON document, and nothing else to stdout')
      .action(finish(async (file: string, options: ReplayOptions) => run(file, options)));
  },
};

/** A moment of the run: instructions since its start, and the stack then. */
interface Moment {
  readonly what: string;
  readonly icount: number;
  readonly frames: readonly Frame[];
}

async function run(file: string, options: ReplayOptions): Promise<number> {
  const steps = /^\d{1,6}$/.test(options.steps) ? Number(options.steps) : -1;
  if (steps < 0 || steps > MAX_STEPS) throw new UnidbgError('USAGE', `--steps ${options.steps}: a number up to ${MAX_STEPS}`);
  const about = readAbout(file);
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-rr-'));
  const socket = join(folder, 'gdb.sock');
  const argv = planReplay(about.argv);
  const vm = await launchVm(argv, {
    terminal: 'kept',
    wishes: { hold: true, extra: ['-gdb', `unix:${socket},server=on,wait=off`] },
  });
  const killWithUs = (): void => void vm.process.kill('SIGKILL');
  process.on('exit', killWithUs);
  try {
    const moments = await travel(vm, socket, about, { ...options, steps });
    print(file, about, moments, [...argv, ...machineFlags(vm)], options);
    return EXIT.fine;
  } finally {
    process.off('exit', killWithUs);
    await vm.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function travel(
  vm: LaunchedVm,
  socket: string,
  about: RecordAbout,
  options: Omit<ReplayOptions, 'steps'> & { readonly steps: number },
): Promise<readonly Moment[]> {
  const symbols = options.symbols.length > 0 ? options.symbols : about.symbols;
  const guest = await openGuest(
    { endpoint: vm.plan.qmp },
    { systems: SYSTEMS, symbols: symbols.length > 0 ? symbols : kernelOf(about) },
  );
  const stub = await openStub({ type: 'unix', path: socket }, { requestTimeoutMs: 30_000 });
  try {
    const { qmp } = guest.target.monitor;
    if (qmp === null) throw new UnidbgError('QMP_CONNECT', 'this QEMU has no QMP monitor');
    return await new Journey(guest, new TimeTravel(stub, qmp, parseDuration(options.timeout)), about).go(options);
  } finally {
    stub.close();
    guest.target.close();
    guest.codeReader.close();
  }
}

/** The way from the crash back. */
class Journey {
  private readonly guest: OpenGuest;
  private readonly time: TimeTravel;
  private readonly about: RecordAbout;
  private readonly moments: Moment[] = [];

  constructor(guest: OpenGuest, time: TimeTravel, about: RecordAbout) {
    this.guest = guest;
    this.time = time;
    this.about = about;
  }

  async go({
    steps,
    to,
    watch,
  }: {
    readonly steps: number;
    readonly to?: string;
    readonly watch?: string;
  }): Promise<readonly Moment[]> {
    const end = await this.time.toEnd(this.about.end);
    const pc = this.about.crash?.pc ?? null;
    const found = pc === null ? null : await this.time.lastBefore({ kind: 'hardware', address: pc, size: 1 }, end);
    const crash = found ?? end;
    await this.note(found === null ? 'the end of the record' : 'the crash');
    for (let step = 1; step <= steps && (await this.time.stepBack()); step += 1) await this.note(`${step} back`);
    if (to !== undefined) await this.goTo(to, crash);
    if (watch !== undefined) await this.goToWrite(watch, crash);
    return this.moments;
  }

  private async goTo(place: string, crash: number): Promise<void> {
    const address = /^0x[0-9a-f]{1,16}$/i.test(place) ? BigInt(place) : (await this.code()).symbolizer.findCode(place);
    if (address === null)
      throw new UnidbgError('USAGE', `"${place}" is no function, file:line or 0x… address in the symbols that are loaded`);
    const at = await this.time.lastBefore({ kind: 'hardware', address, size: 1 }, crash);
    if (at === null) throw new UnidbgError('TARGET_NOT_FOUND', `the run never came to ${place} before its crash`);
    await this.note(`last at ${place}`);
  }

  private async goToWrite(text: string, crash: number): Promise<void> {
    const [place = '', bytes = '8'] = text.split(/:(?=\d+$)/);
    const address = /^0x[0-9a-f]{1,16}$/i.test(place)
      ? BigInt(place)
      : ((await this.code()).symbolizer.findSymbol(place)?.address ?? null);
    const size = Number(bytes);
    if (address === null || !WATCH_SIZES.includes(size))
      throw new UnidbgError('USAGE', `--watch ${text}: a 0x… address or a variable, and :1, :2, :4 or :8 bytes`);
    const at = await this.time.lastBefore({ kind: 'write', address, size }, crash);
    if (at === null) throw new UnidbgError('TARGET_NOT_FOUND', `nothing wrote to ${place} before the crash`);
    // QEMU stops behind the instruction that wrote.
    await this.time.stepBack();
    await this.note(`last write to ${place}`);
  }

  private async note(what: string): Promise<void> {
    const { target } = this.guest;
    const [vcpu] = await target.allRegisters();
    const frames =
      vcpu === undefined ? [] : (await walkFrames(target, await this.code(), vcpu.registers, { withArguments: true })).frames;
    this.moments.push({ what, icount: await this.time.now(), frames });
  }

  private async code(): Promise<Code> {
    const [vcpu] = await this.guest.target.allRegisters();
    if (vcpu === undefined) throw new UnidbgError('REGISTERS_UNREADABLE', 'this VM has no vCPU');
    return this.guest.codeReader.place(viewBy(this.guest.target, vcpu.registers));
  }
}

/** The image that the recorded QEMU was given. */
function kernelOf({ argv }: RecordAbout): readonly string[] {
  const at = argv.indexOf('-kernel');
  return at < 0 ? [] : argv.slice(at + 1, at + 2);
}

function print(
  file: string,
  about: RecordAbout,
  moments: readonly Moment[],
  argv: readonly string[],
  { json }: ReplayOptions,
): void {
  const gdb = gdbCommands(about, argv);
  if (json === true) {
    const told = moments.map(({ what, icount, frames }) => ({ what, icount, frames: frames.map(frameToJson) }));
    process.stdout.write(
      `${encodeJson({ schemaVersion: 1, record: file, crash: about.crash?.title ?? null, moments: told, gdb })}\n`,
    );
    return;
  }
  if (about.crash !== null) process.stdout.write(`${about.crash.title}\n`);
  for (const { what, icount, frames } of moments) {
    const [first] = frames;
    const isStep = what.endsWith(' back');
    const place = first === undefined ? 'nowhere' : `${formatAddress(first.pc)} ${formatLocation(first)}`;
    process.stdout.write(`\n${what}, instruction ${icount}${isStep ? `: ${place}` : ''}\n`.replace(/^\n(?=\d+ back)/, ''));
    if (!isStep) for (const frame of frames) process.stdout.write(`${frameLine(frame)}\n`);
  }
  process.stdout.write(`\ngo on with gdb:\n  ${gdb.qemu}\n  ${gdb.gdb}\n`);
}

function frameToJson(frame: Frame): object {
  return { ...frame, pc: formatAddress(frame.pc), cfa: frame.cfa === null ? null : formatAddress(frame.cfa) };
}

/** What unidbg added to the machine when it was recorded: without it this is another one. */
function machineFlags({ plan }: LaunchedVm): readonly string[] {
  return plan.additions.flatMap(({ flags }) => (/^-(?:object|device|action)$/.test(flags[0] ?? '') ? flags : []));
}

/** The two commands with which gdb goes on: reverse-stepi and the rest work there too. */
function gdbCommands(about: RecordAbout, argv: readonly string[]): { readonly qemu: string; readonly gdb: string } {
  const [symbols] = about.symbols.length > 0 ? about.symbols : kernelOf(about);
  return {
    qemu: [...argv, '-S', '-gdb', 'tcp:127.0.0.1:1234'].map(quoted).join(' '),
    gdb: ['gdb', ...(symbols === undefined ? [] : [symbols]), '-ex', 'target remote 127.0.0.1:1234'].map(quoted).join(' '),
  };
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
