// The HTTP side of `unidbg export`: metrics of all VMs or of one, the list of VMs for Prometheus' service discovery. It reads
// snapshots only: however many ask and however often, the guests are measured as often as the session's own period says.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { UnidbgError } from '../model/error.ts';
import { DEFAULT_LIMITS, type Limits } from './bounded.ts';
import { describeTargets } from './discovery.ts';
import { collectFamilies } from './families.ts';
import type { Declarations, ExportedVm, Fleet } from './fleet.ts';
import { formatFamilies, PROMETHEUS_TYPE } from './prometheus.ts';
import { type SelfCounts, selfFamilies, vmFamilies } from './self-families.ts';

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** What is served. */
export interface ServedInput {
  readonly fleet: Fleet;
  readonly declarations: Declarations;
  readonly self: SelfCounts;
  readonly limits?: Limits;
}

/** A listening server; `close` ends it. */
export interface ExportServer {
  /** With the port that was given, also when 0 was asked for: `127.0.0.1:9464`. */
  readonly address: string;
  readonly close: () => Promise<void>;
}

/** Starts serving. Throws EXPORT_UNAVAILABLE when the address cannot be had. */
export async function serveExport(listen: ListenAddress, input: ServedInput): Promise<ExportServer> {
  const server = createServer((request, response) => {
    void respond(request, response, input);
  });
  server.requestTimeout = 10_000;
  server.headersTimeout = 10_000;
  await startListening(server, listen);
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : listen.port;
  return {
    address: `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function startListening(server: Server, { host, port }: ListenAddress): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.once('error', (error: NodeJS.ErrnoException) => {
    reject(new UnidbgError('EXPORT_UNAVAILABLE', whyNot(error, `${host}:${port}`), { cause: error }));
  });
  server.listen({ host, port }, () => {
    resolve(undefined);
  });
  await promise;
}

function whyNot({ code, message }: NodeJS.ErrnoException, where: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return `cannot listen on ${where}: another program does (another unidbg export?); choose another with --listen HOST:PORT`;
    case 'EACCES':
      return `cannot listen on ${where}: ports below 1024 are root's; choose another with --listen HOST:PORT`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `cannot listen on ${where}: this host has no such address; --listen 127.0.0.1:9464, or 0.0.0.0:9464 for all`;
    default:
      return `cannot listen on ${where}: ${message}`;
  }
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

async function respond(request: IncomingMessage, response: ServerResponse, input: ServedInput): Promise<void> {
  const { status, type, body } = await answer(request, input);
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function answer(request: IncomingMessage, input: ServedInput): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET and HEAD are answered\n');
  const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
  const parameters = new URLSearchParams(query);
  const vms = input.fleet.vms();
  switch (path) {
    case '/metrics': {
      const wanted = parameters.get('vm');
      const chosen = wanted === null ? vms : vms.filter(({ name }) => name === wanted);
      return chosen.length === 0 && wanted !== null
        ? noSuchVm(wanted, vms)
        : metrics(chosen, input, wanted === null ? 'all' : 'one');
    }
    case '/probe': {
      const wanted = parameters.get('target') ?? '';
      const vm = vms.find(({ name }) => name === wanted);
      return vm === undefined ? noSuchVm(wanted, vms) : metrics([vm], input, 'probe');
    }
    case '/self':
      return { status: 200, type: PROMETHEUS_TYPE, body: await formatFamilies(selfFamilies(vms, input.self)) };
    case '/sd': {
      const address = addressOf(request);
      return { status: 200, type: 'application/json', body: JSON.stringify(describeTargets(vms, address)) };
    }
    case '/healthz':
      return text(200, 'ok\n');
    case '/':
      return { status: 200, type: 'text/html; charset=utf-8', body: frontPage(vms) };
    default:
      return text(404, 'there is /metrics, /metrics?vm=NAME, /probe?target=NAME, /self, /sd and /healthz\n');
  }
}

/** `probe`: the scraper says which VM it is, by the labels of the service discovery. */
async function metrics(vms: readonly ExportedVm[], input: ServedInput, of: 'all' | 'one' | 'probe'): Promise<Answer> {
  const from = performance.now();
  const now = Date.now();
  const vmLabel = of !== 'probe';
  const collected = collectFamilies(vms, input.declarations, input.limits ?? DEFAULT_LIMITS, { now, vmLabel });
  const about = vmFamilies(vms, collected, vmLabel, now);
  const body = await formatFamilies([...(of === 'all' ? selfFamilies(vms, input.self) : []), ...about, ...collected.families]);
  input.self.scrapes += 1;
  input.self.scrapeSeconds += (performance.now() - from) / 1000;
  return { status: 200, type: PROMETHEUS_TYPE, body };
}

function noSuchVm(name: string, vms: readonly ExportedVm[]): Answer {
  return text(
    404,
    `there is no VM ${JSON.stringify(name.slice(0, 100))} here; there is ${vms.map((vm) => vm.name).join(', ') || 'none'}\n`,
  );
}

function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body };
}

/** The address by which the asker knows us; it may be another than the one that is listened on (0.0.0.0). */
function addressOf(request: IncomingMessage): string {
  const { host } = request.headers;
  if (host !== undefined && /^[A-Za-z0-9._[\]:-]{1,255}$/.test(host)) return host;
  return `${request.socket.localAddress ?? '127.0.0.1'}:${request.socket.localPort ?? 0}`;
}

function frontPage(vms: readonly ExportedVm[]): string {
  const escape = (word: string): string => word.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
  const rows = vms.map(
    ({ name, pid, state }) =>
      `<li><a href="/metrics?vm=${encodeURIComponent(name)}">${escape(name)}</a> (pid ${pid}, ${state})</li>`,
  );
  return `<!doctype html><title>unidbg export</title><h1>unidbg export</h1><p><a href="/metrics">/metrics</a> of all VMs, <a href="/sd">/sd</a> for Prometheus' http_sd_configs</p><ul>${rows.join('')}</ul>\n`;
}
