// Types of what src/inspector uses of chrome-remote-interface 0.34.0: its client's class, which the package's own types do not have.

declare module 'chrome-remote-interface/lib/chrome.js' {
  import type { EventEmitter } from 'node:events';

  /** The part of `ws` 7 that is used. */
  export interface Socket extends EventEmitter {
    close(): void;
    terminate(): void;
  }

  export interface Options {
    readonly target: { readonly webSocketDebuggerUrl: string };
    readonly protocol: { readonly version: { readonly major: string; readonly minor: string }; readonly domains: readonly [] };
  }

  /** Tells `notifier` `connect` with itself, or `error`. */
  export default class Chrome extends EventEmitter {
    constructor(options: Options, notifier: EventEmitter);
    webSocketUrl: string;
    _ws: Socket | undefined;
    /** The id that the next command will have. */
    _nextCommandId: number;
    _connectToWebSocket(): Promise<void>;
    _handleMessage(message: object): void;
    _handleConnectionClose(): void;
    send(method: string, params: object): Promise<unknown>;
  }
}
