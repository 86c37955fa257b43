// Linker names of C++ (Itanium ABI §5.1) and Rust (legacy; v0 as in RFC 2603) through cpp_demangle and rustc-demangle, which the
// package gecko-profiler-demangle brings as WebAssembly. Its JavaScript half needs a bundler, so the module is instantiated here.
//
// Folklore: a hostile name of 300 letters expands to gigabytes (each substitution doubles the one before; cpp_demangle works on it
// for ten seconds). So the module may not grow its memory beyond a little, fails there within a tenth of a second, and is thrown
// away; after some such names no more are tried. Test: test/runtimes/compiled-names.test.ts, "a name that explodes".

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** Real names reach some thousand bytes; the longest of OSv's kernel has 800. */
const MAX_NAME = 16_384;
/** What is longer is no name any more. */
const MAX_DEMANGLED = 32_768;
/** Pages of 64 KiB that the module may have in all; it begins with 17. */
const MAX_PAGES = 17 + 24;
/** After so many names that exploded, the file is an attack. */
const MAX_EXPLOSIONS = 16;
/** Names remembered; then all are forgotten. */
const MAX_REMEMBERED = 16_384;

/** What the module offers, of which wasm-bindgen made the interface. */
interface Demangler {
  readonly memory: WebAssembly.Memory;
  readonly __wbindgen_malloc: (size: number, alignment: number) => number;
  readonly __wbindgen_free: (at: number, size: number, alignment: number) => void;
  readonly __wbindgen_start: () => void;
  /** Gives (address, length). */
  readonly demangle_any: (at: number, size: number) => readonly [number, number];
}

const remembered = new Map<string, string | null>();
let program: WebAssembly.Module | null = null;
let demangler: Demangler | null = null;
let explosions = 0;

/** The programmer's name of `_Z…` or `_R…`; null when it is neither, or not a valid or reasonable one. Cached. */
export function demangleCompiled(linkerName: string): string | null {
  if (linkerName.length > MAX_NAME || !/^_[ZR][\x21-\x7e]+$/.test(linkerName)) return null;
  const known = remembered.get(linkerName);
  if (known !== undefined) return known;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  const name = explosions < MAX_EXPLOSIONS ? demangle(linkerName) : null;
  remembered.set(linkerName, name);
  return name;
}

function demangle(linkerName: string): string | null {
  try {
    demangler ??= instantiate();
    const name = call(demangler, linkerName);
    if (name === null) explosions += 1;
    // What it does not know it gives back, with or without the underscore.
    return name === linkerName || name === linkerName.slice(1) ? null : name;
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    explosions += 1;
    demangler = null;
    return null;
  }
}

/** Null when the answer is too long. */
function call({ memory, ...exports }: Demangler, linkerName: string): string | null {
  const at = exports.__wbindgen_malloc(linkerName.length, 1);
  new Uint8Array(memory.buffer, at, linkerName.length).set(Buffer.from(linkerName, 'latin1'));
  const [start, length] = exports.demangle_any(at, linkerName.length);
  const text = length > MAX_DEMANGLED ? null : Buffer.from(memory.buffer, start, length).toString('utf8');
  exports.__wbindgen_free(start, length, 1);
  return text;
}

function instantiate(): Demangler {
  program ??= new WebAssembly.Module(readModule());
  const instance = new WebAssembly.Instance(program, { './index_bg.js': { __wbindgen_init_externref_table: () => undefined } });
  const exports = instance.exports as unknown as Demangler;
  exports.__wbindgen_start();
  return exports;
}

function readModule(): Uint8Array<ArrayBuffer> {
  const require = createRequire(import.meta.url);
  const path = require.resolve('gecko-profiler-demangle/index_bg.wasm');
  return withMemoryLimit(new Uint8Array(readFileSync(path)), MAX_PAGES);
}

const MEMORY_SECTION = 5;
const HEADER_SIZE = 8;

/** The module with a maximum in its memory section (WebAssembly core 5.5.8): one memory, flags 0 and a minimum become flags 1, both. */
function withMemoryLimit(bytes: Uint8Array<ArrayBuffer>, maxPages: number): Uint8Array<ArrayBuffer> {
  for (let at = HEADER_SIZE; at < bytes.length; ) {
    const size = readLeb(bytes, at + 1);
    const end = size.next + size.value;
    if (bytes[at] === MEMORY_SECTION) {
      const [count, flags, ...minimum] = bytes.subarray(size.next, end);
      if (count !== 1 || flags !== 0) break;
      const section = [MEMORY_SECTION, 2 + minimum.length + 1, 1, 1, ...minimum, maxPages];
      return Buffer.concat([bytes.subarray(0, at), Uint8Array.from(section), bytes.subarray(end)]);
    }
    at = end;
  }
  throw new Error('gecko-profiler-demangle is not built as it was: its memory section is another');
}

function readLeb(bytes: Uint8Array, at: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at] ?? 0;
    at += 1;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return { value, next: at };
  }
}
