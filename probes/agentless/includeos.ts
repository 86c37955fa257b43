// IncludeOS' Statman (api/statman, src/util/statman.cpp): all that its parts and the program count, by name, in a std::deque<Stat> of
// libc++ (blocks of 4096 bytes, or 16 elements). Stat is a value of one of three types, bits that say which and whether it is a gauge, and
// a name. Written from its source.

import { defineProbe, type ProbeGuest, type ReadingSeries } from '../../src/model/probe.ts';
import { findGlobal, orAbsent, type TypedValue, unwrap } from './typed.ts';

const MAX_STATS = 512;
const MAX_NAME = 48;
/** libc++'s __deque_block_size. */
const BLOCK_BYTES = 4096;
const SMALL_ELEMENT = 256;
const LARGE_PER_BLOCK = 16;
const POINTER = 8n;
/** Stat_type in the low bits of m_bits, and GAUGE_BIT. */
const TYPE_BITS = 0xfn;
const TYPE_MEMBERS = ['f', 'ui32', 'ui64'];
const GAUGE = 0x40n;
const WRAPS_AT_32 = 2 ** 32;
const NONE = 'Statman has none of these';

export const includeos = defineProbe({
  name: 'includeos',
  doc: "IncludeOS' own statistics (Statman)",
  systems: ['includeos'],
  missing: ({ types, symbols }) => {
    const isThere = types.findVariable('statman_instance') !== null;
    if (isThere) return types.findType('Stat') === null ? 'no type for Stat: build the service with debug information' : null;
    return symbols.findSymbol('_ZL16statman_instance') === null
      ? 'no Statman in the image: the service was linked without it, or is stripped'
      : 'no type for statman_instance: build the service with debug information';
  },
  metrics: {
    'includeos.stat.counter': { kind: 'counter', unit: '1', doc: "Statman's counters, by the name the guest gave them" },
    'includeos.stat.gauge': { kind: 'gauge', unit: '1', doc: "Statman's gauges, by the name the guest gave them" },
  },
  sample: (guest) => {
    const stats = findStats(guest);
    return {
      'includeos.stat.counter': orAbsent(
        stats.flatMap((stat) => readStat(stat, false)),
        NONE,
      ),
      'includeos.stat.gauge': orAbsent(
        stats.flatMap((stat) => readStat(stat, true)),
        NONE,
      ),
    };
  },
});

/** Elements of libc++'s deque: block pointers from __map_.__begin_ on, the first element at __start_ of them. */
function findStats(guest: ProbeGuest): readonly TypedValue[] {
  const layout = guest.types.findType('Stat');
  const deque = findGlobal(guest, 'statman_instance')?.member('m_stats') ?? null;
  const blocks = unwrap(deque?.member('__map_.__begin_'), 'pointer');
  const [start, size] = ['__start_', '__size_'].map((name) => unwrap(deque?.member(name), 'integer')?.number() ?? null);
  if (layout === null || layout.size === 0 || blocks === null || start == null || size == null) return [];
  const perBlock = layout.size < SMALL_ELEMENT ? Math.floor(BLOCK_BYTES / layout.size) : LARGE_PER_BLOCK;
  const first = blocks.integer() ?? 0n;
  if (first === 0n || start < 0 || !Number.isSafeInteger(start)) return [];
  return Array.from({ length: Math.max(0, Math.min(size, MAX_STATS)) }, (_, index) => {
    const at = start + index;
    const block = blocks.moved(first + BigInt(Math.floor(at / perBlock)) * POINTER).integer() ?? 0n;
    return block === 0n ? [] : [blocks.moved(block + BigInt((at % perBlock) * layout.size)).as(layout)];
  }).flat();
}

function readStat(stat: TypedValue, gauges: boolean): readonly ReadingSeries[] {
  const bits = stat.member('m_bits')?.integer() ?? null;
  const name = stat.member('name_')?.text(MAX_NAME) ?? '';
  if (bits === null || name === '' || ((bits & GAUGE) !== 0n) !== gauges) return [];
  const member = TYPE_MEMBERS[Number(bits & TYPE_BITS)];
  const value = member === undefined ? null : (stat.member(member)?.number() ?? null);
  if (value === null) return [];
  return [{ value, attributes: { name }, ...(member === 'ui32' && !gauges ? { wrapsAt: WRAPS_AT_32 } : {}) }];
}
