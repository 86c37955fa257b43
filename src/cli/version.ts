// unidbg's own version, read from its package.json (two folders up in a clone, one in dist/).

import { existsSync, readFileSync } from 'node:fs';

/** The version in package.json. */
export function version(): string {
  const file = ['../package.json', '../../package.json']
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url));
  if (file === undefined) return 'unknown';
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
