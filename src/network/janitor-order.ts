// What unidbg tells the janitor over its standard input: the order, one line of JSON; then, for each file, how far it has read, and
// which pcapng file it writes.

/** The order. */
export interface JanitorOrder {
  /** The monitor, as parseEndpoint reads it. */
  readonly monitor: string;
  readonly qemuPid: number;
  /** Filters that are to be removed when unidbg is gone. */
  readonly filters: readonly string[];
  readonly folder: string;
  /** The files by number. */
  readonly files: readonly string[];
  readonly keepBytes: number;
}

/** Everything before `offset` of a file has been read; it holds `packets` packets. */
export interface Progress {
  readonly file: number;
  readonly offset: number;
  readonly packets: number;
}

export function encodeProgress({ file, offset, packets }: Progress): string {
  return `${String(file)} ${String(offset)} ${String(packets)}\n`;
}

/** Null when the line is none. */
export function parseProgress(line: string): Progress | null {
  const fields = /^(\d{1,4}) (\d{1,16}) (\d{1,16})$/.exec(line);
  return fields === null ? null : { file: Number(fields[1]), offset: Number(fields[2]), packets: Number(fields[3]) };
}

const WRITES = 'writes ';

/** A pcapng file that is being written, which may be cut in mid-block when its writer is killed. */
export function encodeWritten(path: string): string {
  return `${WRITES}${JSON.stringify(path)}\n`;
}

/** Null when the line is none. */
export function parseWritten(line: string): string | null {
  return line.startsWith(WRITES) ? (JSON.parse(line.slice(WRITES.length)) as string) : null;
}
