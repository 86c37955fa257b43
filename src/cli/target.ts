// From the `<vm>` a user wrote to what is opened: a name or pid of `ls`, or a monitor's socket.

import { existsSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { UnidbgError } from '../model/error.ts';
import { findVm, findVms } from '../qemu/discover/find.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import { findEndpoint } from '../qemu/qmp/endpoint.ts';
import type { LiveSource } from '../targets/live.ts';
import { findStillKind } from './still-guest.ts';

/** The VM that `text` means. A monitor's endpoint is looked for among the running VMs first: their record says more. */
export function findSource(text: string): LiveSource {
  const vms = findVms();
  refuseFile(text);
  const endpoint = findEndpoint(text);
  if (endpoint === null) return findVm(text, vms);
  const wanted = JSON.stringify(endpoint);
  return vms.find((vm) => vm.monitors.some((monitor) => JSON.stringify(monitor.endpoint) === wanted)) ?? { endpoint };
}

/** Files that hold a guest were opened before (still-guest.ts). */
function refuseFile(text: string): void {
  const isFile = statSync(text, { throwIfNoEntry: false })?.isFile() === true;
  if (!isFile && !/[/\\].*\.\w+$/.test(text)) return;
  const kind = isFile ? findStillKind(text) : null;
  if (kind !== null) {
    const message = `a running VM is needed here, and ${text} is a ${kind}: attach, backtrace, ps, free, gc, net, top, assert and analyze read it`;
    throw new UnidbgError('TARGET_NOT_FOUND', message, { facts: { path: text } });
  }
  if (isFile) {
    const message = `${text} is no dump, no bundle and no recording that unidbg knows; a console log is read by \`unidbg analyze\`, other memory with --dump-format`;
    throw new UnidbgError('TARGET_NOT_FOUND', message, { facts: { path: text } });
  }
  if (!existsSync(text) && !text.includes(':')) {
    throw new UnidbgError('TARGET_NOT_FOUND', `there is no file ${text}`, { facts: { path: text } });
  }
}

/** Without a name: the only VM there is, or the one chosen from a list. Throws TARGET_NOT_FOUND, TARGET_AMBIGUOUS. */
export async function chooseVm(): Promise<VmRecord> {
  const vms = findVms();
  const [only] = vms;
  if (only === undefined) {
    throw new UnidbgError(
      'TARGET_NOT_FOUND',
      'no QEMU is running that you may see; start one, or `unidbg run -- qemu-system-x86_64 …`',
    );
  }
  if (vms.length === 1) return only;
  const lines = vms.map((vm, index) => `  ${index + 1}  ${vm.name}  pid ${vm.pid}  ${vm.kernel ?? vm.disks[0] ?? ''}`);
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new UnidbgError('TARGET_AMBIGUOUS', `which one? Name one of:\n${lines.join('\n')}`);
  }
  return ask(vms, lines);
}

async function ask(vms: readonly VmRecord[], lines: readonly string[]): Promise<VmRecord> {
  process.stdout.write(`Running VMs:\n${lines.join('\n')}\n`);
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answer = (await terminal.question('Attach to (number or name): ')).trim();
    return vms[Number(answer) - 1] ?? findVm(answer, vms);
  } finally {
    terminal.close();
  }
}
