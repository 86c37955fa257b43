// Types of the two untyped packages that only src/gdb may load: the part of gdb-js 1.3.0 that is used, and the run time of
// the generators that it was compiled to.

declare module 'gdb-js' {
  import type { Readable } from 'node:stream';

  /** What gdb-js needs of a child process. */
  export interface GdbStreams {
    readonly stdin: { write(text: string, options?: unknown): unknown };
    readonly stdout: Readable;
    readonly stderr: Readable;
  }

  export class GDB {
    constructor(process: GdbStreams);
    /** Runs one MI command; the result record's values. Rejects with gdb's message. */
    execMI(command: string): Promise<Record<string, unknown>>;
  }
}

declare module 'regenerator-runtime/runtime.js';
