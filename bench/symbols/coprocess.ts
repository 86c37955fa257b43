// llvm-symbolizer as a co-process: how fast it answers what it is fed on its standard input, and how much memory any tool takes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** A line that is no address comes back as it is: so the end of a batch can be seen. */
const MARK = 'end-of-batch';

/** Feeds all `addresses`, `passes` times over; gives the milliseconds of each pass, and the memory at the end in bytes. */
export async function feedLlvm(
  image: string,
  addresses: readonly bigint[],
  passes: number,
): Promise<{ readonly passes: readonly number[]; readonly residentBytes: number }> {
  const child = spawn('llvm-symbolizer', ['-i', '-f', '--no-demangle', '-e', image], { stdio: ['pipe', 'pipe', 'ignore'] });
  const batch = `${addresses.map(hex).join('\n')}\n${MARK}\n`;
  const times: number[] = [];
  for (let pass = 0; pass < passes; pass += 1) {
    const started = performance.now();
    child.stdin.write(batch);
    await until(child.stdout, MARK);
    times.push(performance.now() - started);
  }
  const residentBytes = peakResidentBytes(child.pid!);
  child.stdin.end();
  await once(child, 'close');
  return { passes: times, residentBytes };
}

/** The largest resident set, in bytes, of a tool that answers addresses on its standard input, after the first answer. */
export async function residentAfterOne(command: readonly string[], address: bigint): Promise<number> {
  const child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdin.write(`${hex(address)}\n`);
  await once(child.stdout, 'data');
  const residentBytes = peakResidentBytes(child.pid!);
  child.stdin.end();
  await once(child, 'close');
  return residentBytes;
}

function hex(address: bigint): string {
  return `0x${address.toString(16)}`;
}

async function until(stream: NodeJS.ReadableStream, mark: string): Promise<void> {
  let tail = '';
  await new Promise<void>((resolve) => {
    const look = (chunk: Buffer): void => {
      tail = (tail + chunk.subarray(-2 * mark.length).toString('latin1')).slice(-2 * mark.length);
      if (!tail.includes(mark)) return;
      stream.off('data', look);
      resolve();
    };
    stream.on('data', look);
  });
}

function peakResidentBytes(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? Number.NaN) * 1024;
}
