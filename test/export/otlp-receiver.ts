// A receiver of OTLP/HTTP in JSON (opentelemetry-proto, docs/specification.md "OTLP/HTTP") that keeps what it was sent.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a request carried. */
export interface OtlpRequest {
  readonly path: string;
  readonly body: unknown;
}

/** A listening receiver. */
export interface OtlpReceiver {
  readonly url: string;
  /** The requests that were answered with 200. */
  readonly requests: readonly OtlpRequest[];
  readonly close: () => Promise<void>;
}

/** Starts a receiver that answers with `status`. */
export async function startOtlpReceiver(status: () => number = () => 200): Promise<OtlpReceiver> {
  const requests: OtlpRequest[] = [];
  const server: Server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    request.on('end', () => {
      if (status() === 200) requests.push({ path: request.url ?? '', body: JSON.parse(text) });
      response.writeHead(status(), { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
