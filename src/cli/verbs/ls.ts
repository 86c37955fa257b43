// `unidbg ls`: the running VMs of this host, and for each what can be seen of it and which flag would show more.

import type { Command } from 'commander';
import { encodeJson } from '../../model/json.ts';
import { formatSize } from '../../model/quantity.ts';
import { findVms } from '../../qemu/discover/find.ts';
import type { VmRecord } from '../../qemu/discover/record.ts';
import { formatEndpoint } from '../../qemu/qmp/endpoint.ts';
import { EXIT } from '../exit-codes.ts';
import { sayLines } from '../say.ts';
import type { Verb } from '../verb.ts';

export const ls: Verb = {
  register: (program: Command, finish) => {
    program
      .command('ls')
      .description('list the running QEMU VMs of this host, what can be seen of each, and what would show more')
      .option('--json', 'print one JSON document')
      .action(finish(async (options: { json?: boolean }) => list(options.json === true)));
  },
};

async function list(json: boolean): Promise<number> {
  const vms = findVms();
  if (json) process.stdout.write(`${encodeJson({ schemaVersion: 1, vms })}\n`);
  else sayLines([vms.length === 0 ? 'no QEMU is running that you may see' : vms.map(describeVm).join('\n\n')]);
  return EXIT.fine;
}

/** A VM in some lines: who it is, what it boots, then one line for each thing that can or cannot be seen. */
export function describeVm(vm: VmRecord): string {
  const size = vm.memoryBytes === null ? '' : `, ${formatSize(vm.memoryBytes)}`;
  const managed = vm.managedBy === null ? '' : `, by ${vm.managedBy}`;
  const head = `${vm.name}  pid ${vm.pid}, user ${vm.user}${managed}: ${vm.machine ?? 'unknown machine'}, ${vm.vcpus} vCPU${vm.vcpus === 1 ? '' : 's'}${size}, ${vm.accelerator ?? 'unknown accelerator'}`;
  const boots = vm.kernel ?? vm.disks[0];
  const monitors = vm.monitors.map(
    ({ kind, endpoint, text }) => `${kind} ${endpoint === null ? text : formatEndpoint(endpoint)}`,
  );
  return [
    head,
    ...(boots === undefined ? [] : [`  boots    ${boots}${vm.append === null ? '' : `  ${vm.append}`}`]),
    ...(monitors.length === 0 ? [] : [`  monitors ${monitors.join(', ')}`]),
    ...vm.sees.map(({ name, available, how }) => `  ${available ? '+' : '-'} ${name.padEnd(8)} ${how}`),
  ].join('\n');
}
