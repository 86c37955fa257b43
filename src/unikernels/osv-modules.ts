// What an OSv guest has loaded: elf::program::s_objs, the list kept for debuggers (core/elf.cc), each an elf::object with its path,
// its ELF header and where its program headers lie. Without types the first program is where OSv puts it (include/osv/elf.hh).

import { findGlobal, type TypedValue } from '../bytes/typed-value.ts';
import type { GuestModule } from '../model/image.ts';
import type { Unikernel } from '../model/unikernel.ts';

type Guest = Parameters<NonNullable<Unikernel['findModules']>>[0];

const MAX_OBJECTS = 256;
const POINTER = 8n;
/** elf::program_base: the first position-independent program; any other comes after it. */
const PROGRAM_BASE = 0x1000_0000_0000n;
const PAGE_MASK = 0xfffn;

/** Programs and libraries, in the order of their loading. */
export function findOsvModules(guest: Guest): readonly GuestModule[] {
  const objects = findGlobal(guest, 'elf::program::s_objs');
  if (objects === null) return programAtBase(guest);
  return pointersOf(objects, guest).flatMap((object) => readObject(object) ?? []);
}

function programAtBase({ memory, symbols }: Guest): readonly GuestModule[] {
  if (symbols.findSymbol('_ZN3elf7program6s_objsE') === null || memory.read(PROGRAM_BASE, 4) === null) return [];
  return [{ name: null, start: PROGRAM_BASE, end: null, header: PROGRAM_BASE, by: 'elf::program_base' }];
}

/** The objects that a std::vector of pointers points at. */
function pointersOf(vector: TypedValue, guest: Guest): readonly TypedValue[] {
  const [start, finish] = ['_M_impl._M_start', '_M_impl._M_finish'].map((path) => vector.member(path));
  const [from, to] = [start?.integer() ?? 0n, finish?.integer() ?? 0n];
  const object = guest.types.findType('elf::object');
  const pointer = start?.dereference() ?? null;
  if (object === null || pointer === null || to < from) return [];
  const count = Math.min(Number((to - from) / POINTER), MAX_OBJECTS);
  return Array.from({ length: count }, (_, index) => pointer.moved(from + BigInt(index) * POINTER).integer() ?? 0n)
    .filter((address) => address !== 0n)
    .map((address) => pointer.moved(address).as(object));
}

function readObject(object: TypedValue): GuestModule | null {
  const [segments, offset, end] = ['_headers_start', '_ehdr.e_phoff', '_end'].map((path) => object.member(path)?.integer());
  if (segments == null || offset == null || segments === 0n) return null;
  const header = segments - offset;
  const name = object.member('_pathname._M_dataplus._M_p')?.text(256) ?? null;
  return { name, start: header & ~PAGE_MASK, end: end ?? null, header, by: 'elf::program::s_objs' };
}
