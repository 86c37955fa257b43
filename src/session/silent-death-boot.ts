// A guest that never leaves its firmware: nothing to boot, a kernel that the firmware cannot load. SeaBIOS (src/boot.c: `No
// bootable device.`) then waits for ever in real mode, and a unikernel's console stays empty.

import type { Registers } from '../model/registers.ts';
import { type DeathPattern, type Observation, type SilentDeath, seconds } from './silent-death-types.ts';

const PROTECTION = 1n;
const PAGING = 1n << 31n;

/** Told when for `patienceMs` no vCPU ever had paging on and one was seen in real mode, as no unikernel runs. */
export class StuckBoot implements DeathPattern {
  private readonly patienceMs: number;
  private since: number | null = null;
  private wasReal = false;
  private hasLeft = false;

  constructor(patienceMs: number) {
    this.patienceMs = patienceMs;
  }

  reset(): void {
    this.since = null;
    this.wasReal = false;
    this.hasLeft = false;
  }

  push({ at, vcpus, console }: Observation): SilentDeath | null {
    const modes = vcpus.map(({ registers }) => controlOf(registers));
    // A guest that we cannot judge has left: 64-bit code, another machine, words of its own.
    this.hasLeft ||= modes.some((cr0) => cr0 === null || (cr0 & PAGING) !== 0n) || (console?.lines ?? 0) > 0;
    if (this.hasLeft) return null;
    this.since ??= at;
    this.wasReal ||= modes.some((cr0) => cr0 !== null && (cr0 & PROTECTION) === 0n);
    const forMs = at - this.since;
    if (!this.wasReal || forMs < this.patienceMs) return null;
    const said = console?.firmwareLine ?? null;
    return {
      pattern: 'stuck-boot',
      kind: 'hang',
      message: `stuck boot: the guest is still in its firmware\nfor ${seconds(forMs)} it ran nothing but real-mode and unpaged code: there was nothing that the firmware could boot${said === null ? '' : `\nThe firmware's last words: ${said}`}`,
      vcpu: vcpus[0]?.vcpu ?? null,
      threads: [],
      frames: [],
    };
  }
}

function controlOf({ machine, values }: Registers): bigint | null {
  return machine === 'x86_64' || machine === 'i386' ? (values.cr0 ?? null) : null;
}

/** What SeaBIOS, its option ROMs and iPXE print on a serial console (SeaBIOS src/boot.c, src/bootsplash.c; iPXE src/usr/autoboot.c). */
const FIRMWARE =
  /^(?:SeaBIOS \(|Machine UUID |iPXE |Booting from |Boot failed|No bootable device|Press (?:Ctrl-B|ESC)|PXE|Could not read the boot disk|early console in)/;

/** Whether a console line is the firmware's, not the guest's. Empty ones are nobody's. */
export function isFirmwareLine(text: string): boolean {
  return FIRMWARE.test(text.trim());
}
