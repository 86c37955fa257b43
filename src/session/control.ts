// The one part that stops a guest: the gdbstub, opened on demand under a guardian, for halt, step, break and resume.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GuardedStub, type GuardOptions, openGuarded, parseThreadId, type StopReply } from '../../gdbstub/index.ts';
import { UnidbgError } from '../model/error.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import type { Endpoint } from '../qemu/qmp/endpoint.ts';
import type { LiveTarget } from '../targets/live.ts';
import type { Code } from './code.ts';
import { walkFrames } from './sampler.ts';
import type { Session } from './session.ts';

/** Halting and stepping one guest. */
export class Control {
  private readonly target: LiveTarget;
  private readonly record: VmRecord | null;
  private readonly session: Session;
  private readonly code: () => Code;
  private guarded: GuardedStub | null = null;
  private opened: Endpoint | null = null;
  /** Private to us; holds the socket of a stub that was opened through the monitor. */
  private folder: string | null = null;

  constructor(input: { target: LiveTarget; record: VmRecord | null; session: Session; code: () => Code }) {
    this.target = input.target;
    this.record = input.record;
    this.session = input.session;
    this.code = input.code;
  }

  /** Our debugger holds the guest, be it stopped or running to a breakpoint. */
  get holding(): boolean {
    return this.guarded !== null;
  }

  /** How to reach the stub, and how the guest was; opens a stub through the monitor on a VM that was started without one. */
  async guardOptions(): Promise<GuardOptions> {
    const gdb = this.record?.gdbstub ?? (this.opened ??= await this.openStubByMonitor());
    const qmp = this.target.monitor.qmp?.endpoint ?? null;
    return {
      gdb: toStubEndpoint(gdb),
      qmp: qmp === null ? null : toStubEndpoint(qmp),
      wasRunning: this.target.state().status === 'running',
    };
  }

  /** Stops the guest; it runs again when `resume` or `close` is called, or when unidbg dies. */
  async halt(): Promise<void> {
    if (this.guarded?.stub.running === true) {
      await this.guarded.stub.interrupt();
      return;
    }
    if (this.guarded !== null) return;
    this.guarded = await openGuarded(await this.guardOptions());
    await this.showStop(this.guarded.stub.lastStop, 'halted by unidbg');
  }

  /** Goes on: to the next breakpoint where there are any, else free of us. */
  async resume(): Promise<void> {
    if (this.guarded === null) return;
    const { stub } = this.guarded;
    if (stub.breakpoints.length === 0) await this.release();
    else if (!stub.running) await this.runToBreakpoint(stub);
  }

  /** Takes every breakpoint out and lets the guest go. */
  async release(): Promise<void> {
    const { guarded } = this;
    if (guarded === null) return;
    this.guarded = null;
    const report = await guarded.close();
    const running = report.guest === 'running';
    if (!running) this.session.remark('not-resumed', `the guest was left ${report.guest}: ${report.by}`);
    this.session.emit({ type: 'vm', status: running ? 'running' : this.target.state().status, reason: null });
  }

  /** One instruction. */
  async step(vcpu: number): Promise<void> {
    await this.showStop(await this.stoppedStub().step({ thread: (vcpu + 1).toString(16) }), 'one step');
  }

  /** A breakpoint at a function, `file:line` or address; the guest then runs on until it is hit or halted. */
  async breakAt(location: string): Promise<void> {
    const address = /^0x[0-9a-f]{1,16}$/i.test(location) ? BigInt(location) : this.code().symbolizer.findCode(location);
    if (address === null) {
      throw new UnidbgError('USAGE', `"${location}" is no function, file:line or 0x… address in the symbols that are loaded`);
    }
    await this.halt();
    const stub = this.stoppedStub();
    await stub.insertBreakpoint({ kind: 'software', address, size: 1 });
    await this.runToBreakpoint(stub);
  }

  async deleteBreakpoints(): Promise<void> {
    const stub = this.stoppedStub();
    for (const breakpoint of stub.breakpoints) await stub.removeBreakpoint(breakpoint);
  }

  /** Lets go of the guest and closes a stub that was opened for us. */
  async close(): Promise<void> {
    await this.release();
    const { status } = this.target.state();
    if (this.opened !== null && status !== 'gone' && status !== 'connecting') {
      await this.target.monitor.hmp('gdbserver none').catch(() => '');
    }
    if (this.folder !== null) rmSync(this.folder, { recursive: true, force: true });
  }

  private async runToBreakpoint(stub: GuardedStub['stub']): Promise<void> {
    this.session.emit({ type: 'vm', status: 'running', reason: `to the next of ${stub.breakpoints.length} breakpoints` });
    const stop = await stub.continue();
    // Whoever let the guest go meanwhile (release, close) has told how it is.
    if (this.guarded?.stub === stub) await this.showStop(stop, 'breakpoint');
  }

  private stoppedStub(): GuardedStub['stub'] {
    if (this.guarded === null) throw new UnidbgError('USAGE', 'the guest is running: halt it first (:halt)');
    return this.guarded.stub;
  }

  private async showStop(stop: StopReply, reason: string): Promise<void> {
    // QEMU's gdbstub numbers vCPUs from 1.
    const thread = stop.type === 'stopped' && stop.thread !== null ? Number(parseThreadId(stop.thread).thread) : 1;
    const vcpu = Math.max(0, thread - 1);
    const { frames } = await walkFrames(this.target, this.code(), await this.target.registers(vcpu), { withArguments: true });
    this.session.emit({ type: 'vm', status: 'debug', reason });
    this.session.emit({ type: 'stopped', vcpu, reason, frames });
  }

  private async openStubByMonitor(): Promise<Endpoint> {
    this.folder ??= mkdtempSync(join(tmpdir(), 'unidbg-gdb-'));
    const path = join(this.folder, 'gdb.sock');
    const open = (): Promise<string> => this.target.monitor.hmp(`gdbserver unix:${path},server=on,wait=off`);
    let answer = await open();
    // A stub that a killed unidbg left open is in the way of ours (seen: 7.2 "duplicate yank instance", 10.0 "couldn't create chardev").
    if (/yank|create chardev/i.test(answer)) {
      await this.target.monitor.hmp('gdbserver none');
      answer = await open();
    }
    if (/waiting for gdb connection/i.test(answer)) return { kind: 'unix', path };
    throw new UnidbgError(
      'RSP_FAILED',
      `QEMU opened no gdbstub (${answer.trim() || 'no answer'}); start it with -s, or with -gdb unix:PATH,server=on,wait=off`,
    );
  }
}

function toStubEndpoint(endpoint: Endpoint): GuardOptions['gdb'] {
  return endpoint.kind === 'unix'
    ? { type: 'unix', path: endpoint.path }
    : { type: 'tcp', host: endpoint.host, port: endpoint.port };
}
