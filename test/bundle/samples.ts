// Bundles for tests: a manifest, and a writer of whole ones.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUNDLE_FORMAT, type Manifest } from '../../src/bundle/manifest.ts';
import { BundleWriter } from '../../src/bundle/write-bundle.ts';

export const MANIFEST: Manifest = {
  unidbgBundle: BUNDLE_FORMAT,
  unidbg: '0.1.0',
  madeAt: '2026-01-02T03:04:05.000Z',
  why: 'crash',
  reason: 'null dereference in work_once',
  vm: {
    name: 'demo',
    pid: 4711,
    machine: 'x86_64',
    vcpus: 1,
    memoryBytes: 67_108_864,
    unikernel: null,
    accelerator: 'tcg',
    qemuVersion: '7.2.22',
    commandLine: ['qemu-system-x86_64', '-m', '64M'],
  },
  images: [],
  core: { mode: 'consistent', reader: '/proc/4711/mem' },
  noCore: null,
  console: 'from its first byte',
  noConsole: null,
  eventsSince: null,
};

/** The bytes of a whole bundle with these members after the manifest. */
export async function bundleBytes(members: Readonly<Record<string, Uint8Array>>): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-bundle-'));
  try {
    const path = join(folder, 'x.unicrash');
    const writer = await BundleWriter.create(path, MANIFEST);
    for (const [name, bytes] of Object.entries(members)) {
      await writer.add(name, async (sink) => {
        await sink.write(bytes);
        return null;
      });
    }
    await writer.complete({ stoppedMs: null, core: null });
    await writer.close();
    return readFileSync(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
