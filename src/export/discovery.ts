// Prometheus' HTTP service discovery (Prometheus documentation, "Writing HTTP service discovery"): one target a VM. The labels lead
// the scrape to /probe?target=VM, so that no relabelling is needed; `__meta_unidbg_…` is there for who wants to.

import type { ExportedVm } from './fleet.ts';

/** One target group of the answer. */
export interface TargetGroup {
  readonly targets: readonly [address: string];
  readonly labels: Readonly<Record<string, string>>;
}

/** The VMs as targets; `address` is where the asker reaches us. */
export function describeTargets(vms: readonly ExportedVm[], address: string): readonly TargetGroup[] {
  return vms.map((vm) => {
    const { identity } = vm.snapshot();
    return {
      targets: [address],
      labels: {
        vm: vm.name,
        __metrics_path__: '/probe',
        __param_target: vm.name,
        __meta_unidbg_vm: vm.name,
        __meta_unidbg_pid: String(vm.pid),
        __meta_unidbg_state: vm.state,
        __meta_unidbg_unikernel: identity?.unikernel ?? '',
        __meta_unidbg_machine: identity?.machine ?? '',
        __meta_unidbg_accelerator: identity?.accelerator ?? '',
      },
    };
  });
}
