// Whether a V8 inspector listens somewhere: GET /json/version and /json/list (Node.js src/inspector_socket_server.cc). Nothing
// else is ever sent, and what answers is a guest: every answer is bounded in time and size, and only its target's id is believed.

import { request } from 'node:http';
import * as v from 'valibot';
import { errorMessage, UnidbgError } from '../model/error.ts';
import { describeEndpoint, type InspectorEndpoint } from './endpoint.ts';
import { safeText } from './text.ts';

/** An inspector that answered. */
export interface FoundInspector {
  readonly endpoint: InspectorEndpoint;
  /** The target's id: another one after each start of the program. */
  readonly id: string;
  /** `node.js/v24.21.0`, by the guest's word. */
  readonly product: string;
  /** Of the program: its script's name. */
  readonly title: string;
}

const ANSWER_MS = 500;
const MAX_ANSWER = 64 * 1024;
/** Forwarded ports that are asked: more than these are a router, not a unikernel. */
const MAX_ASKED = 8;

const versionSchema = v.object({ Browser: v.string(), 'Protocol-Version': v.string() });
const listSchema = v.pipe(
  v.array(v.object({ id: v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/)), title: v.optional(v.string(), '') })),
  v.maxLength(64),
);

/** Asks one endpoint. Throws INSPECTOR_CONNECT: nobody there, or no inspector. */
export async function findInspector(endpoint: InspectorEndpoint, answerMs = ANSWER_MS): Promise<FoundInspector> {
  const version = v.safeParse(versionSchema, await getJson(endpoint, '/json/version', answerMs));
  if (!version.success) throw noInspector(endpoint, 'what answers there is no V8 inspector');
  const list = v.safeParse(listSchema, await getJson(endpoint, '/json/list', answerMs));
  const target = list.success ? list.output[0] : undefined;
  if (target === undefined) throw noInspector(endpoint, 'the inspector there names no program that it inspects');
  return { endpoint, id: target.id, product: safeText(version.output.Browser, 64), title: safeText(target.title, 200) };
}

/** The first of `endpoints` that is an inspector, asked one after the other; null when none is. */
export async function findFirstInspector(endpoints: readonly InspectorEndpoint[]): Promise<FoundInspector | null> {
  for (const endpoint of endpoints.slice(0, MAX_ASKED)) {
    const found = await findInspector(endpoint).catch(() => null);
    if (found !== null) return found;
  }
  return null;
}

function getJson(endpoint: InspectorEndpoint, path: string, answerMs: number): Promise<unknown> {
  return new Promise((done, fail) => {
    const refuse = (why: string): void => {
      asked.destroy();
      fail(noInspector(endpoint, why));
    };
    const asked = request({
      ...(endpoint.kind === 'unix' ? { socketPath: endpoint.path } : { host: endpoint.host, port: endpoint.port }),
      // Node.js answers to `localhost` and to addresses alone.
      headers: { host: 'localhost' },
      path,
      agent: false,
      maxHeaderSize: 8192,
    });
    // Over all of it: a guest that sends a byte now and then must not keep us.
    const timer = setTimeout(() => {
      refuse(`no answer within ${answerMs} ms`);
    }, answerMs);
    asked.once('close', () => {
      clearTimeout(timer);
      fail(noInspector(endpoint, 'the connection was closed in the middle of the answer'));
    });
    asked.on('error', (error) => {
      refuse(errorMessage(error));
    });
    asked.once('response', (answer) => {
      const parts: Buffer[] = [];
      let size = 0;
      answer.on('error', (error) => {
        refuse(errorMessage(error));
      });
      answer.on('data', (part: Buffer) => {
        size += part.length;
        parts.push(part);
        if (size > MAX_ANSWER) refuse(`the answer is longer than ${MAX_ANSWER} bytes: no inspector`);
      });
      answer.on('end', () => {
        if (answer.statusCode !== 200) refuse(`what answers there is no V8 inspector (HTTP status ${String(answer.statusCode)})`);
        else done(parseJson(Buffer.concat(parts).toString('utf8')));
      });
    });
    asked.end();
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function noInspector(endpoint: InspectorEndpoint, why: string): UnidbgError {
  const where = describeEndpoint(endpoint);
  return new UnidbgError(
    'INSPECTOR_CONNECT',
    `no V8 inspector at ${where}: ${safeText(why, 200)}; start Node with --inspect=0.0.0.0:9229 and forward that port`,
  );
}
