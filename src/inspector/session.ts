// An attachment to a Node.js guest's inspector: reads its heap and collections, hears of uncaught exceptions, and comes back when the
// program starts anew. It stops no JavaScript: neither the Debugger domain nor a profiler is on unless somebody asks.
//
// Folklore: a Node.js whose program has ended waits, inspector attached, "for the debugger to disconnect", and prints its last
// words only then (node src/inspector_agent.cc WaitForDisconnect). So whoever watches must let go at once. Test: live/inspector.

import * as v from 'valibot';
import type { ReportedCrash } from '../model/console-text.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import { type Connection, openConnection } from './connection.ts';
import { describeEndpoint, type InspectorEndpoint } from './endpoint.ts';
import { decodeException } from './exception.ts';
import { type FoundInspector, findInspector } from './find.ts';
import { GUEST_PROGRAM } from './guest-program.ts';
import { decodeBy, decodeReading, decodeUsage, type HeapReading } from './reading.ts';
import { safeText } from './text.ts';

/** What an attachment tells, and how it looks. */
export interface InspectorOptions {
  /** Whether a small program may be evaluated in the guest (guest-program.ts); without it there are no heap spaces and no collections. */
  readonly evaluate: boolean;
  /** An exception that nobody caught: the program is about to end. */
  readonly onException?: (crash: ReportedCrash) => void;
  /** Attached, lost, refused: a code and a sentence. */
  readonly onRemark?: (code: string, message: string) => void;
}

/** One reading, and whose it is. */
export interface TakenReading {
  readonly reading: HeapReading;
  /** The inspector's target id: another one after a restart. */
  readonly program: string;
  /** Numbers connections from 1. */
  readonly attachment: number;
}

const RETRY_MS = 1_000;
const MAX_RETRY_MS = 5_000;
const READ_MS = 2_000;
const GOODBYE_MS = 300;
const GROUP = 'unidbg';
/** Exceptions of one attachment that are told: a program dies of one. */
const MAX_EXCEPTIONS = 16;

const evaluatedSchema = v.object({
  result: v.object({ objectId: v.optional(v.string()), value: v.optional(v.unknown()), description: v.optional(v.string()) }),
  exceptionDetails: v.optional(v.object({ exception: v.optional(v.object({ description: v.optional(v.string(), '') })) })),
});
const contextSchema = v.object({
  context: v.object({ id: v.number(), auxData: v.optional(v.object({ isDefault: v.boolean() })) }),
});
const destroyedSchema = v.object({ executionContextId: v.number() });

interface Attachment {
  readonly found: FoundInspector;
  readonly connection: Connection;
  /** Handle of the guest program's object; null without one. */
  readonly reader: string | null;
}

/** Attaches to one endpoint, again and again until closed. Owns its connection. */
export class InspectorSession {
  private readonly endpoint: InspectorEndpoint;
  private readonly options: InspectorOptions;
  private current: Attachment | null = null;
  private attachments = 0;
  private exceptions = 0;
  private retry: NodeJS.Timeout | null = null;
  private opening: Promise<void> | null = null;
  private closed = false;

  constructor(endpoint: InspectorEndpoint, options: InspectorOptions) {
    this.endpoint = endpoint;
    this.options = options;
  }

  /** The inspected program while attached. */
  get program(): FoundInspector | null {
    return this.current?.found ?? null;
  }

  /** Attaches. Throws INSPECTOR_*; from then on a lost connection is looked for again by itself. */
  async open(): Promise<void> {
    this.opening = this.attach();
    await this.opening;
  }

  /** The connection, for what is asked for on demand (profile, snapshot, stacks). Throws INSPECTOR_CLOSED while there is none. */
  connection(): Connection {
    return this.attached().connection;
  }

  /** Reads the heap once. Throws INSPECTOR_*. */
  async read(): Promise<TakenReading> {
    const { found, connection, reader } = this.attached();
    const reading = reader === null ? await readUsage(connection) : await readAll(connection, reader);
    // While Runtime is enabled V8 keeps what the program logs for whoever attaches next, and all that it refers to.
    connection.send('Runtime.discardConsoleEntries').catch(ignoreLoss);
    return { reading, program: found.id, attachment: this.attachments };
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.retry !== null) clearTimeout(this.retry);
    await this.opening?.catch(ignoreLoss);
    await this.leave(true);
  }

  private attached(): Attachment {
    if (this.current !== null) return this.current;
    throw new UnidbgError('INSPECTOR_CLOSED', `the V8 inspector at ${describeEndpoint(this.endpoint)} is not there (any more)`);
  }

  private async attach(): Promise<void> {
    const found = await findInspector(this.endpoint);
    const connection = await openConnection(this.endpoint, found.id);
    try {
      this.listen(connection);
      // Where there is no such domain (before Node.js 11) the end of the context tells the same.
      await connection.send('NodeRuntime.notifyWhenWaitingForDisconnect', { enabled: true }).catch(ignoreRefusal);
      await connection.send('Runtime.enable');
      const reader = this.options.evaluate ? await this.evaluate(connection) : null;
      if (this.closed) throw new UnidbgError('INSPECTOR_CLOSED', 'closed while attaching');
      this.current = { found, connection, reader };
    } catch (error) {
      await connection.close();
      throw error;
    }
    this.attachments += 1;
    void connection.ended.then((why) => {
      this.lose(connection, why);
    });
    const { product, title } = found;
    this.remark('inspector-attached', `attached to the V8 inspector of ${title === '' ? product : `${title} (${product})`}`);
  }

  private listen(connection: Connection): void {
    let mainContext: number | null = null;
    connection.on('Runtime.exceptionThrown', (params) => {
      this.tellException(params);
    });
    connection.on('Runtime.executionContextCreated', (params) => {
      const { success, output } = v.safeParse(contextSchema, params);
      if (success && output.context.auxData?.isDefault === true) mainContext ??= output.context.id;
    });
    connection.on('Runtime.executionContextDestroyed', (params) => {
      const { success, output } = v.safeParse(destroyedSchema, params);
      if (success && output.executionContextId === mainContext) void connection.close();
    });
    connection.on('NodeRuntime.waitingForDisconnect', () => {
      void connection.close();
    });
  }

  private tellException(params: unknown): void {
    this.exceptions += 1;
    if (this.exceptions > MAX_EXCEPTIONS) return;
    try {
      this.options.onException?.(decodeException(params, this.exceptions));
    } catch (error) {
      if (errorCode(error) === null) throw error;
      this.remark('inspector-exception', `an uncaught exception that cannot be read: ${errorMessage(error)}`);
    }
  }

  private async evaluate(connection: Connection): Promise<string | null> {
    const { result, exceptionDetails } = await evaluate(connection, GUEST_PROGRAM);
    if (exceptionDetails === undefined && result.objectId !== undefined) return result.objectId;
    const why = safeText(exceptionDetails?.exception?.description ?? 'no object came of it', 200);
    this.remark(
      'inspector-evaluate',
      `heap spaces and garbage collections cannot be read: the program for it failed in the guest: ${why}`,
    );
    return null;
  }

  private lose(connection: Connection, why: string): void {
    if (this.current?.connection !== connection) return;
    this.current = null;
    if (this.closed) return;
    this.remark(
      'inspector-lost',
      `the V8 inspector at ${describeEndpoint(this.endpoint)} is gone (${why}); it is looked for again`,
    );
    this.retryIn(RETRY_MS);
  }

  private retryIn(ms: number): void {
    this.retry = setTimeout(() => {
      this.opening = this.attach().catch((error: unknown) => {
        if (errorCode(error) === null) throw error;
        if (!this.closed) this.retryIn(Math.min(ms * 2, MAX_RETRY_MS));
      });
    }, ms);
  }

  private async leave(politely: boolean): Promise<void> {
    const { current } = this;
    this.current = null;
    if (current === null) return;
    const { connection, reader } = current;
    if (politely && reader !== null) {
      const stop = { objectId: reader, functionDeclaration: 'function () { this.stop(); }', silent: true };
      await connection.send('Runtime.callFunctionOn', stop, { timeoutMs: GOODBYE_MS }).catch(ignoreLoss);
      await connection.send('Runtime.releaseObjectGroup', { objectGroup: GROUP }, { timeoutMs: GOODBYE_MS }).catch(ignoreLoss);
    }
    await connection.close();
  }

  private remark(code: string, message: string): void {
    this.options.onRemark?.(code, message);
  }
}

async function evaluate(connection: Connection, expression: string): Promise<v.InferOutput<typeof evaluatedSchema>> {
  // Breakpoints of another debugger that is attached must not stop in what we run; V8 itself ends what runs too long.
  const quietly = { silent: true, disableBreaks: true, timeout: READ_MS, includeCommandLineAPI: true };
  const answer = await connection.send('Runtime.evaluate', { expression, objectGroup: GROUP, ...quietly });
  return decodeBy(evaluatedSchema, answer, 'answer');
}

async function readAll(connection: Connection, reader: string): Promise<HeapReading> {
  const call = {
    objectId: reader,
    functionDeclaration: 'function () { return this.read(); }',
    returnByValue: true,
    silent: true,
  };
  const answer = await connection.send('Runtime.callFunctionOn', call, { timeoutMs: READ_MS });
  return decodeReading(decodeBy(evaluatedSchema, answer, 'answer').result.value);
}

async function readUsage(connection: Connection): Promise<HeapReading> {
  return decodeUsage(await connection.send('Runtime.getHeapUsage', {}, { timeoutMs: READ_MS }));
}

function ignoreLoss(error: unknown): void {
  if (errorCode(error) === null) throw error;
}

function ignoreRefusal(error: unknown): void {
  if (errorCode(error) !== 'INSPECTOR_COMMAND') throw error;
}
