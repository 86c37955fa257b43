// Lua's collector from outside: global_State behind a lua_State that the program keeps in a global variable (lstate.h; lj_obj.h). Builds
// rarely have types of it: what a variable holds is taken for a main thread only when its global_State points back at it, and the
// few members that are read lie where each family of releases has them. Lua counts no collections.

import type { MetricDeclaration } from '../../src/model/metric.ts';
import { defineProbe, type ProbeGuest, type Reading, type Readings } from '../../src/model/probe.ts';
import { TypedValue } from './typed.ts';

/** Names under which programs keep their state: lua.c's and luajit.c's own first. */
const NAMES = ['globalL', 'L', 'gL', 'g_L', 'lua', 'lua_state', 'luaState', 'lua_L', 'mainL', 'state'] as const;

/** How a family of releases lays out its lua_State and global_State. */
interface Family {
  readonly title: string;
  /** In lua_State: the type byte of an object, and the pointer to global_State. */
  readonly typeAt: number;
  readonly type: number;
  readonly globalAt: number;
  /** In global_State: words whose sum is the memory in use, and the one that use grows up to before the collector works. */
  readonly used: readonly number[];
  readonly goal: number;
}

const FAMILIES: readonly Family[] = [
  { title: 'Lua 5.2 to 5.4', typeAt: 8, type: 8, globalAt: 24, used: [16, 24], goal: 16 },
  { title: 'Lua 5.1', typeAt: 8, type: 8, globalAt: 32, used: [120], goal: 112 },
  { title: 'LuaJIT', typeAt: 9, type: 6, globalAt: 16, used: [16], goal: 24 },
];
/** A global_State lies right behind the main thread in one block, and has some 1400 bytes; LuaJIT's is larger. */
const GLOBAL_BYTES = 1024;
const MAX_USED = 1n << 46n;
const NOT_TYPED = { absent: 'Lua was built without -g: where its global_State keeps this is not known' };

const METRICS = {
  'lua.memory.used': { kind: 'gauge', unit: 'By', doc: "bytes in use, dead objects included: collectgarbage('count')" },
  'lua.memory.live': { kind: 'gauge', unit: 'By', doc: "the collector's estimate of what is not garbage" },
  'lua.gc.goal': { kind: 'gauge', unit: 'By', doc: 'use at which the collector works next' },
  'lua.gc.enabled': { kind: 'gauge', unit: '1', doc: "0 while the program has stopped the collector (collectgarbage('stop'))" },
  'lua.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections: no release of Lua counts them' },
} satisfies Readonly<Record<string, MetricDeclaration>>;

export const lua = defineProbe({
  name: 'lua',
  doc: "Lua's collector and heap",
  systems: ['lua'],
  missing: ({ symbols }) => {
    if (NAMES.some((name) => symbols.findSymbol(name) !== null)) return null;
    return `no global variable of the program holds its lua_State under a name looked for (${NAMES.join(', ')}): keep it in one of them`;
  },
  metrics: METRICS,
  sample: (guest) => {
    const found = findState(guest);
    if (found === null) return absentAll();
    const { global, family } = found;
    return {
      'lua.memory.used': wordsAt(guest, global, family.used),
      'lua.gc.goal': wordsAt(guest, global, [family.goal]),
      'lua.memory.live': typed(guest, global, ['GCestimate', 'estimate', 'gc.estimate']),
      'lua.gc.enabled': isEnabled(guest, global),
      'lua.gc.cycles': { absent: 'Lua counts no collections: see lua.memory.used fall' },
    };
  },
});

function absentAll(): Readings<keyof typeof METRICS> {
  const absent = 'no lua_State of a known layout was found there (yet)';
  return Object.fromEntries(Object.keys(METRICS).map((name) => [name, { absent }]));
}

interface FoundState {
  readonly global: bigint;
  readonly family: Family;
}

function findState(guest: ProbeGuest): FoundState | null {
  for (const name of NAMES) {
    const symbol = guest.symbols.findSymbol(name);
    const state = symbol === null ? null : readWord(guest, symbol.address);
    const found = state === null || state === 0n ? null : recognise(guest, state);
    if (found !== null) return found;
  }
  return null;
}

/** What kind of main thread or coroutine lies at `state`, if it is one. */
function recognise(guest: ProbeGuest, state: bigint): FoundState | null {
  const header = viewOf(guest, state, 40);
  for (const family of header === null ? [] : FAMILIES) {
    if (header?.getUint8(family.typeAt) !== family.type) continue;
    const global = header.getBigUint64(family.globalAt, true);
    if (global !== 0n && global % 8n === 0n && isGlobal(guest, global, family)) return { global, family };
  }
  return null;
}

/** A global_State points back at the main thread, which points at it. */
function isGlobal(guest: ProbeGuest, global: bigint, { globalAt, typeAt, type }: Family): boolean {
  const view = viewOf(guest, global, GLOBAL_BYTES);
  for (let at = 0; view !== null && at < GLOBAL_BYTES; at += 8) {
    const main = view.getBigUint64(at, true);
    // The main thread was allocated with its global_State, before it.
    if (main >= global || global - main > 1024n || main % 8n !== 0n) continue;
    const header = viewOf(guest, main, 40);
    if (header?.getUint8(typeAt) === type && header.getBigUint64(globalAt, true) === global) return true;
  }
  return false;
}

function wordsAt(guest: ProbeGuest, global: bigint, offsets: readonly number[]): Reading {
  let sum = 0n;
  for (const offset of offsets) {
    const word = readWord(guest, global + BigInt(offset));
    if (word === null) return { absent: 'its memory cannot be read' };
    sum += BigInt.asIntN(64, word);
  }
  return sum >= 0n && sum < MAX_USED ? sum : { absent: 'what was found is no size' };
}

/** Of a build with types. */
function typed(guest: ProbeGuest, global: bigint, paths: readonly string[]): Reading {
  const layout = guest.types.findType('global_State');
  const place = layout === null ? null : new TypedValue(guest.memory, global, layout);
  for (const path of paths) {
    const value = place?.member(path)?.number() ?? null;
    if (value !== null) return value;
  }
  return NOT_TYPED;
}

/** `gcstp` has reasons why it is stopped, `gcrunning` is its opposite. */
function isEnabled(guest: ProbeGuest, global: bigint): Reading {
  const stopped = typed(guest, global, ['gcstp']);
  if (typeof stopped === 'number') return stopped === 0 ? 1 : 0;
  return typed(guest, global, ['gcrunning']);
}

function readWord(guest: ProbeGuest, address: bigint): bigint | null {
  return viewOf(guest, address, 8)?.getBigUint64(0, true) ?? null;
}

function viewOf(guest: ProbeGuest, address: bigint, length: number): DataView | null {
  const bytes = guest.memory.read(BigInt.asUintN(64, address), length);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
