// What a Nanos guest has loaded: the program and its interpreter by the auxiliary vector that the kernel keeps (struct process,
// src/unix/exec.c), what the interpreter mapped by the process' mappings (struct vmap), and kernel modules (klib_loaded,
// src/kernel/klib.c), whose file stays in memory. Names of libraries are theirs: the kernel keeps none.

import { findGlobal, type TypedValue, walkTree } from '../bytes/typed-value.ts';
import type { GuestModule } from '../model/image.ts';
import type { Unikernel } from '../model/unikernel.ts';

type Guest = Parameters<NonNullable<Unikernel['findModules']>>[0];

/** Index 0 is the kernel's own dummy. */
const PROGRAM = 1;
const MAX_AUX = 64;
const MAX_MAPPINGS = 4096;
const MAX_KLIBS = 64;
const POINTER = 8;
const PAGE_MASK = 0xfffn;

/** Linux' tags of the auxiliary vector. */
const AT_NULL = 0n;
const AT_PHDR = 3n;
const AT_BASE = 7n;
const AT_SYSINFO_EHDR = 33n;
/** src/unix/unix_internal.h: the program and its interpreter; a bss that has no file behind it. */
const VMAP_PROGRAM = 0x1000n;
const VMAP_BSS = 0x2000n;

/** The program, its libraries and klibs. */
export function findNanosModules(guest: Guest): readonly GuestModule[] {
  const process = findGlobal(guest, 'processes')?.element(PROGRAM)?.dereference() ?? null;
  return [...(process === null ? [] : [...programsOf(process), ...mappedFilesOf(process, guest)]), ...klibsOf(guest)];
}

function programsOf(process: TypedValue): readonly GuestModule[] {
  const vector = readAuxiliary(process.member('saved_aux'));
  const at = (tag: bigint, name: string | null, by: string): GuestModule[] => {
    const start = (vector.get(tag) ?? 0n) & ~PAGE_MASK;
    return start === 0n ? [] : [{ name, start, end: null, header: start, by }];
  };
  const name = process.member('saved_args_begin')?.text(256) ?? null;
  return [
    ...at(AT_PHDR, name === '' ? null : name, 'AT_PHDR'),
    ...at(AT_BASE, null, 'AT_BASE'),
    ...at(AT_SYSINFO_EHDR, '[vdso]', 'AT_SYSINFO_EHDR'),
  ];
}

function readAuxiliary(saved: TypedValue | null): ReadonlyMap<bigint, bigint> {
  const vector = new Map<bigint, bigint>();
  for (let index = 0; index < MAX_AUX; index += 1) {
    const entry = saved?.element(index) ?? null;
    const [tag, value] = [entry?.member('tag')?.integer() ?? AT_NULL, entry?.member('val')?.integer() ?? 0n];
    if (tag === AT_NULL) break;
    vector.set(tag, value);
  }
  return vector;
}

/** Where the start of a file is mapped that begins like an ELF file: libraries, and programs without a kept vector. */
function mappedFilesOf(process: TypedValue, guest: Guest): readonly GuestModule[] {
  const layout = guest.types.findType('struct vmap');
  const root = process.member('vmaps')?.dereference()?.member('t.root')?.dereference() ?? null;
  if (layout === null) return [];
  const nodes = walkTree(root, (node) => [1, 0].map((side) => node.member('c')?.element(side) ?? null), MAX_MAPPINGS);
  return [...nodes].flatMap((node) => {
    const mapping = node.container(layout, 'node') ?? null;
    const [start, flags, offset] = ['node.r.start', 'flags', 'node_offset'].map((path) => mapping?.member(path)?.integer() ?? 0n);
    const isFile = (mapping?.member('cache_node')?.integer() ?? 0n) !== 0n || (flags! & VMAP_PROGRAM) !== 0n;
    if (start === 0n || offset !== 0n || !isFile || (flags! & VMAP_BSS) !== 0n) return [];
    return isElf(guest, start!) ? [{ name: null, start: start!, end: null, header: start!, by: 'vmap' }] : [];
  });
}

function isElf({ memory }: Guest, address: bigint): boolean {
  const bytes = memory.read(address, 4);
  return bytes?.[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

function klibsOf(guest: Guest): readonly GuestModule[] {
  const list = findGlobal(guest, 'klib_loaded')?.dereference() ?? null;
  const klib = guest.types.findType('struct klib');
  const first = contentsOf(list);
  if (list === null || klib === null || first === null) return [];
  const count = Math.min(Math.floor(first.length / POINTER), MAX_KLIBS);
  return Array.from({ length: count }, (_, index) => list.moved(first.address + BigInt(index * POINTER)))
    .map((slot) => slot.as(POINTER_LAYOUT).integer() ?? 0n)
    .flatMap((address) => readKlib(list.moved(address).as(klib)) ?? []);
}

const POINTER_LAYOUT = { kind: 'integer', name: 'u64', size: POINTER, signed: false } as const;

function readKlib(klib: TypedValue): GuestModule | null {
  const [start, end] = ['load_range.start', 'load_range.end'].map((path) => klib.member(path)?.integer() ?? 0n);
  const file = contentsOf(klib.member('elf')?.dereference() ?? null);
  const name = contentsOf(klib.member('name')?.dereference() ?? null);
  if (start === undefined || start === 0n || file === null) return null;
  return { name: textOf(klib, name), start: start & ~PAGE_MASK, end: end ?? null, header: file.address, by: 'klib_loaded' };
}

/** What lies between the marks of a struct buffer. */
function contentsOf(buffer: TypedValue | null): { readonly address: bigint; readonly length: number } | null {
  const [contents, start, end] = ['contents', 'start', 'end'].map((name) => buffer?.member(name)?.integer() ?? null);
  if (contents == null || start == null || end == null || contents === 0n || end < start) return null;
  return { address: contents + start, length: Number(end - start) };
}

const CHARACTERS = { kind: 'array', name: 'char[]', size: 0, count: null } as const;

function textOf(klib: TypedValue, name: ReturnType<typeof contentsOf>): string | null {
  if (name === null || name.length === 0) return null;
  const character = { kind: 'integer', name: 'char', size: 1, signed: true } as const;
  return klib
    .moved(name.address)
    .as({ ...CHARACTERS, element: () => character })
    .text(Math.min(name.length, 64));
}
