import { defineConfig } from 'vitest/config';

// `unit` needs nothing but Node; `live` boots QEMU guests (test/live) and runs one file at a time, since TCG eats a core each.
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/live/**'], testTimeout: 30_000 } },
      {
        test: {
          name: 'live',
          include: ['test/live/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
          maxConcurrency: 4,
          // Software emulation on a shared machine may stand still for a second: what fails twice more is broken.
          retry: 2,
        },
      },
    ],
  },
});
