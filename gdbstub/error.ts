// The one error class of gdbstub/. Callers test `code`; `facts` hold the packet, address or path it is about.

/** What went wrong on the way to a stub, as data. */
export type RspErrorCode =
  /** Nobody listens there, or the socket may not be opened. */
  | 'RSP_CONNECT'
  /** The connection ended, by us or by the stub. */
  | 'RSP_CLOSED'
  /** A packet's checksum is wrong and asking again did not help. */
  | 'RSP_CHECKSUM'
  /** No answer in time. The connection is closed with it: a late answer would be taken for the next one's. */
  | 'RSP_TIMEOUT'
  /** The caller's AbortSignal fired. */
  | 'RSP_ABORTED'
  /** An answer that the protocol does not allow. */
  | 'RSP_MALFORMED'
  /** The stub said `Exx`. */
  | 'RSP_REFUSED'
  /** The stub gave the empty reply: it does not know this packet. */
  | 'RSP_UNSUPPORTED'
  /** The guest runs; a stub answers only while it is stopped. */
  | 'RSP_RUNNING'
  /** A write without `allowWrite`. */
  | 'RSP_WRITE_REFUSED'
  /** The guardian process could not be started or was lost. */
  | 'RSP_GUARDIAN';

/** An error with a stable `code`; `message` says what, where, then what to do. */
export class RspError extends Error {
  readonly code: RspErrorCode;
  readonly facts: Readonly<Record<string, string | number | bigint | null>>;

  constructor(
    code: RspErrorCode,
    message: string,
    options: { cause?: unknown; facts?: Record<string, string | number | bigint | null> } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'RspError';
    this.code = code;
    this.facts = options.facts ?? {};
  }
}

/** Whether `error` is an RspError, with this code when one is given. */
export function isRspError(error: unknown, code?: RspErrorCode): error is RspError {
  return error instanceof RspError && (code === undefined || error.code === code);
}
