// The command line: picks the verb, turns errors into words and exit codes. Only src/cli prints and exits.

import { Command, CommanderError } from 'commander';
import { isRspError } from '../../gdbstub/index.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import { encodeJson } from '../model/json.ts';
import { EXIT, exitCodeOfError } from './exit-codes.ts';
import { remark } from './say.ts';
import type { Finish, Verb } from './verb.ts';
import { VERBS } from './verbs/index.ts';
import { version } from './version.ts';

const LINGER_MS = 1_000;

/** Runs `unidbg` with a process's argv and leaves the exit code in `process.exitCode`. */
export async function main(argv: readonly string[]): Promise<void> {
  // `unidbg … | head` closes our stdout, a terminal may hang up: that ends us quietly, as it does any Unix tool.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || error.code === 'EIO') process.exit(EXIT.fine);
    process.stderr.write(`unidbg: cannot write to standard output: ${error.message}\n`);
    process.exit(EXIT.cannotAttach);
  });
  const json = argv.includes('--json');
  // A limit on the size of files (ulimit -f) is then an error of the write, as a full disk is, and not our end.
  process.on('SIGXFSZ', () => undefined);
  // Thrown where nobody waits (a timer, an event): a bug of ours. The screen restores the terminal on exit.
  process.on('uncaughtException', (error) => {
    process.exit(reportError(error, json));
  });
  try {
    process.exitCode = await run(argv);
  } catch (error) {
    process.exitCode = reportError(error, json);
  }
  // All is closed by now. Should a socket or child still keep the process alive, it must not keep the user waiting.
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

async function run(argv: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.fine;
  const program = new Command('unidbg')
    .description('Looks into running unikernels on QEMU without stopping them.')
    .version(version())
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      '\nExit codes: 0 fine, 1 expectation failed, 2 usage, 3 cannot attach, 4 crash, 5 out of memory, 6 hang, 70 a bug in unidbg.',
    );
  const finish: Finish =
    (work) =>
    async (...parameters) => {
      exitCode = await work(...parameters);
    };
  for (const verb of await verbsFor(argv[2])) verb.register(program, finish);
  for (const command of program.commands) command.exitOverride();
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version were printed and are no error; anything else commander has explained on stderr.
    return error.exitCode === 0 ? EXIT.fine : EXIT.usage;
  }
  return exitCode;
}

/** The verb that was called, or all of them: for help, and for saying that there is no such verb. */
async function verbsFor(name: string | undefined): Promise<Verb[]> {
  const called = name !== undefined && Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  return called === undefined ? Promise.all(Object.values(VERBS).map(async (load) => load())) : [await called()];
}

/** Prints an error where the user looks for it and gives its exit code. */
function reportError(thrown: unknown, json: boolean): number {
  const error = explainPrivateFolder(thrown);
  const code = isRspError(error) ? 'RSP_FAILED' : errorCode(error);
  const exitCode = exitCodeOfError(code);
  if (json)
    process.stdout.write(`${encodeJson({ schemaVersion: 1, error: { code: code ?? 'BUG', message: errorMessage(error) } })}\n`);
  if (code !== null) remark(errorMessage(error));
  else
    process.stderr.write(
      `unidbg: a bug in unidbg, please report it: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  return exitCode;
}

/** Sockets and spools lie in private folders: that none can be made is no bug of ours. */
function explainPrivateFolder(error: unknown): unknown {
  const { syscall, path } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  if (syscall !== 'mkdtemp') return error;
  const message = `no private folder can be made (${errorMessage(error)}): TMPDIR has to name a folder that can be written to`;
  return new UnidbgError('FILE_UNWRITABLE', message, { cause: error, facts: { path: path ?? null } });
}
