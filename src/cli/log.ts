// unidbg's own log: pino, to a file only (`--log FILE`), because stdout belongs to the screen or the document.

import { destination, type Logger, pino } from 'pino';
import { errorMessage, UnidbgError } from '../model/error.ts';

/** Opens the log; without a path nothing is written. Throws FILE_UNREADABLE. */
export function openLog(path: string | undefined): Logger {
  if (path === undefined) return pino({ enabled: false });
  try {
    const file = destination({ dest: path, sync: true, mode: 0o600, append: true });
    // A disk that fills up ends the log, not the session.
    file.once('error', (error: Error) => {
      process.stderr.write(`unidbg: the log ${path} ends here: ${error.message}\n`);
      file.on('error', () => undefined);
    });
    return pino({ level: 'debug', base: null }, file);
  } catch (cause) {
    throw new UnidbgError('FILE_UNREADABLE', `cannot write the log ${path}: ${errorMessage(cause)}`, { cause });
  }
}
