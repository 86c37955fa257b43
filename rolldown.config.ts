// The published package: its programs (the command; the guardian, the janitor and the resumer, which outlive it) as bundles. A clone runs
// the TypeScript itself.
// Node finds and links a few files much faster than some two hundred small ones: it halves the start of the command.

import { defineConfig } from 'rolldown';

export default defineConfig({
  input: {
    main: 'src/cli/main.ts',
    guardian: 'gdbstub/guardian/main.ts',
    janitor: 'src/network/janitor.ts',
    resumer: 'src/qemu/dump/resumer.ts',
    shim: 'src/qemu/launch/shim.ts',
  },
  platform: 'node',
  // Packages stay what they are: blessed and gdb-js cannot be bundled, and users' audits see what is installed.
  external: /^[^./]/,
  output: { dir: 'dist', entryFileNames: '[name].js', chunkFileNames: '[name].js', sourcemap: true, cleanDir: true },
});
