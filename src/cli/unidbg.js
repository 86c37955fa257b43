#!/usr/bin/env node
// Starts unidbg. Plain JavaScript without any import, so that an old Node says one clear line instead of a syntax error.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `unidbg needs Node 22.18 or newer; this is ${process.versions.node} (${process.execPath}). ` +
      'In a clone: npm run unidbg -- ARGUMENTS uses the Node 24 that npm install brought.',
  );
  process.exit(3);
}
// What Node compiled last time is kept in a folder of the user's own (never /tmp: others could plant code there). Halves the start.
const { enableCompileCache } = await import('node:module');
const { homedir } = await import('node:os');
enableCompileCache(`${process.env.XDG_CACHE_HOME || `${homedir()}/.cache`}/unidbg`);
// A clone runs its TypeScript as it is; an installed package (Node strips no types under node_modules) brings dist/.
const { existsSync } = await import('node:fs');
const source = new URL('./main.ts', import.meta.url);
const { main } = await import(
  existsSync(source) && !import.meta.url.includes('/node_modules/')
    ? source.href
    : new URL('../../dist/main.js', import.meta.url).href
);
await main(process.argv);
