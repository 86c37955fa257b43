// The one error class of everything outside gdbstub/. Malformed or lost input throws it; partial knowledge is a
// Diagnostic instead; a bug of ours is a plain Error (assert) and exits 70.

/** What went wrong, as data. The prefix is the layer. Callers test `code`, never `instanceof`. */
export type ErrorCode =
  // Somebody else's bytes are not what the format's standard says.
  | 'BYTES_OUT_OF_RANGE'
  | 'ELF_NOT_ELF'
  | 'ELF_TRUNCATED'
  | 'ELF_UNSUPPORTED'
  | 'ELF_MALFORMED'
  | 'DWARF_TRUNCATED'
  | 'DWARF_MALFORMED'
  | 'DWARF_UNKNOWN_FORM'
  | 'DWARF_UNSUPPORTED'
  | 'CFI_MALFORMED'
  | 'GO_TABLE_MALFORMED'
  | 'RECORDING_MALFORMED'
  | 'REPORT_MALFORMED'
  | 'PROBE_MALFORMED'
  | 'DUMP_MALFORMED'
  | 'DUMP_UNSUPPORTED'
  | 'BUNDLE_MALFORMED'
  | 'SOURCE_MAP_MALFORMED'
  // The guest's memory or registers cannot be had.
  | 'MEMORY_FAULT'
  | 'MEMORY_UNREADABLE'
  | 'REGISTERS_UNREADABLE'
  // QEMU, its sockets and its process.
  | 'QMP_CONNECT'
  | 'QMP_CLOSED'
  | 'QMP_TIMEOUT'
  | 'QMP_MALFORMED'
  | 'QMP_COMMAND'
  | 'QEMU_LAUNCH'
  | 'QEMU_NOT_FOUND'
  | 'RSP_FAILED'
  | 'GDB_FAILED'
  | 'CONSOLE_UNAVAILABLE'
  | 'CAPTURE_REFUSED'
  | 'FILE_UNREADABLE'
  | 'FILE_UNWRITABLE'
  | 'DEBUG_FILE_MISSING'
  | 'TARGET_NOT_FOUND'
  | 'TARGET_AMBIGUOUS'
  // The V8 inspector of a guest.
  | 'INSPECTOR_CONNECT'
  | 'INSPECTOR_CLOSED'
  | 'INSPECTOR_TIMEOUT'
  | 'INSPECTOR_MALFORMED'
  | 'INSPECTOR_COMMAND'
  // An address that cannot be listened on, a package that is not installed.
  | 'EXPORT_UNAVAILABLE'
  // What the user wrote.
  | 'USAGE'
  | 'WRITE_REFUSED';

/** An error with a stable `code`; `message` says what, where, then what to do. `facts` hold the bad value, offset, address or path. */
export class UnidbgError extends Error {
  readonly code: ErrorCode;
  readonly facts: Readonly<Record<string, string | number | bigint | null>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; facts?: Record<string, string | number | bigint | null> } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'UnidbgError';
    this.code = code;
    this.facts = options.facts ?? {};
  }
}

/** The code of an error that unidbg threw, or null: the question callers ask. */
export function errorCode(error: unknown): ErrorCode | null {
  return error instanceof UnidbgError ? error.code : null;
}

/** One line a person can read, whatever was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
