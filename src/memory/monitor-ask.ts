// What the readers here need from QEMU's monitor: one HMP line in, its text out. QMP's human-monitor-command and a bare
// HMP socket both give it, which is why nothing in this folder speaks QMP.

/** Runs one HMP line and returns what it printed. HMP reports its own failures in that text; only lost connections throw. */
export type AskMonitor = (line: string) => Promise<string>;
