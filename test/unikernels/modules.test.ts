// The lists of what a guest has loaded, read from programs that lay them out as OSv and Nanos do, under the same names: their types
// come out of DWARF as a real kernel's do.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuestModule } from '../../src/model/image.ts';
import type { Memory } from '../../src/model/target.ts';
import type { Unikernel } from '../../src/model/unikernel.ts';
import { createSymbolizer, openImage, type SymbolImage } from '../../src/symbolize/symbolizer.ts';
import { nanos } from '../../src/unikernels/nanos.ts';
import { osv } from '../../src/unikernels/osv.ts';
import { Scratch } from '../elf/scratch.ts';
import { memoryAt, NO_TYPES, symbolsOf } from './fake-guest.ts';

/** Strings of libstdc++ and vectors are cut down to the members that say where the bytes are. */
const OSV = `
  namespace std { struct alloc { const char *_M_p; }; struct string { alloc _M_dataplus; long length; }; }
  namespace elf {
    struct Elf64_Ehdr { char e_ident[16]; unsigned long e_phoff; };
    struct shared { long count; };
    class object : public shared {
     public:
      object *_prog; std::string _pathname; Elf64_Ehdr _ehdr; void *_base, *_end, *_headers_start;
    };
    template <class T> struct vector_data { T *_M_start, *_M_finish, *_M_end_of_storage; };
    template <class T> struct vector_impl : vector_data<T> {};
    template <class T> struct vector_base { vector_impl<T> _M_impl; };
    template <class T> struct vector : vector_base<T> {};
    class program { public: static vector<object *> s_objs; };
    char names[2][512] = {"/probe", "/node"};
    object probe = {{1}, 0, {{names[0]}, 6}, {{}, 64}, (void *)0x100000000000, (void *)0x100000004018, (void *)0x100000000040};
    object fixed = {{1}, 0, {{names[1]}, 5}, {{}, 64}, 0, (void *)0x5000000, (void *)0x400040};
    object unloaded = {{1}, 0, {{names[1]}, 5}, {{}, 64}, 0, 0, 0};
    object *list[] = {&probe, &fixed, &unloaded, 0};
    vector<object *> program::s_objs = {{{{list, list + 4, list + 4}}}};
  }`;

const NANOS = `
  typedef unsigned long u64; typedef unsigned int u32;
  typedef struct range { u64 start, end; } range;
  typedef struct rbnode { u64 parent_color; struct rbnode *c[2]; } *rbnode;
  typedef struct rmnode { struct rbnode n; range r; } *rmnode;
  struct rbtree { rbnode root; u64 count; };
  typedef struct rangemap { void *h; struct rbtree t; } *rangemap;
  struct vmap { struct rmnode node; u32 flags, allowed_flags; void *cache_node; u64 node_offset; };
  struct aux { u64 tag, val; };
  typedef struct buffer { u64 start, end, length; char wrapped; void *h; void *contents; } *buffer;
  struct klib { buffer name; range load_range; void *mappings; buffer elf; };
  typedef struct process { int pid; rangemap vmaps; struct aux saved_aux[8]; char *saved_args_begin; } *process;
  char library[4096] __attribute__((aligned(4096))) = "\\177ELF";
  char data[4096] __attribute__((aligned(4096))) = "no image";
  char klib_file[] = "??\\177ELF and so on";
  struct vmap data_map = {{{0}, {(u64)data, (u64)data + 4096}}, 0x16, 0, data, 0};
  struct vmap heap_map = {{{0}, {0x9000, 0xa000}}, 0x86, 0, 0, 0};
  struct vmap library_map = {{{0, {&data_map.node.n, &heap_map.node.n}}, {(u64)library, (u64)library + 4096}}, 0x15, 0, data, 0};
  char arguments[512] = "/app";
  struct rangemap maps = {0, {&library_map.node.n, 3}};
  struct process program = {2, &maps, {{33, 0x7000}, {9, 0x401234}, {7, 0}, {3, 0x400040}, {0, 0}, {7, 0x666000}}, arguments};
  process processes[2] = {0, &program};
  struct buffer name = {2, 9, 16, 0, 0, "??radar/x"}, file = {2, 18, 20, 0, 0, klib_file};
  struct klib radar = {&name, {0xffff800000001000, 0xffff800000005000}, 0, &file};
  struct klib *loaded[] = {&radar};
  struct buffer list = {0, 8, 8, 0, 0, loaded};
  static buffer klib_loaded = &list;
  buffer keep(void) { return klib_loaded; }`;

const scratch = new Scratch();
const images: SymbolImage[] = [];

beforeAll(() => {
  scratch.write('osv.cc', OSV);
  scratch.write('nanos.c', NANOS);
  const flags = ['-g', '-O0', '-w', '-nostdlib', '-static', '-no-pie', '-fno-stack-protector', '-Wl,-e,0'];
  images.push(openImage(scratch.compile('osv', ['osv.cc'], flags, 'g++')));
  images.push(openImage(scratch.compile('nanos', ['nanos.c'], flags)));
});
afterAll(() => {
  for (const image of images) image.close();
  scratch.remove();
});

/** The modules of a guest whose data is that of an image; `patch` changes what is read. */
function modulesOf(
  index: number,
  system: Unikernel,
  patch: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
): readonly GuestModule[] {
  const image = images[index]!;
  const symbolizer = createSymbolizer([{ image, loadBias: 0n, match: 'build-id', placedBy: 'test' }]);
  const memory: Memory = {
    read: (address, length) => {
      const bytes = image.elf.readVirtual(address, length);
      return bytes === null ? null : patch(bytes.slice());
    },
  };
  return system.findModules!({ memory, types: symbolizer.types, symbols: symbolizer });
}

function addressOf(name: string): bigint {
  return images[1]!.findLinkSymbol(name)!.address;
}

describe('the modules of OSv', () => {
  it('are the objects of elf::program::s_objs with their paths; what has no headers is not loaded', () => {
    const by = 'elf::program::s_objs';
    expect(modulesOf(0, osv)).toEqual([
      { name: '/probe', start: 0x100000000000n, end: 0x100000004018n, header: 0x100000000000n, by },
      { name: '/node', start: 0x400000n, end: 0x5000000n, header: 0x400000n, by },
    ]);
  });

  it('without types are at most the program, where OSv puts the first', () => {
    const memory = memoryAt(0x100000000000n, new Uint8Array(64));
    const named = symbolsOf({ _ZN3elf7program6s_objsE: 0x40900000n });
    const [program, ...more] = osv.findModules!({ memory, types: NO_TYPES, symbols: named });
    expect(program).toMatchObject({ name: null, start: 0x100000000000n, by: 'elf::program_base' });
    expect(more).toEqual([]);
    expect(osv.findModules!({ memory, types: NO_TYPES, symbols: symbolsOf({}) })).toEqual([]);
    expect(osv.findModules!({ memory: memoryAt(0n, new Uint8Array(8)), types: NO_TYPES, symbols: named })).toEqual([]);
  });
});

describe('the modules of Nanos', () => {
  it('are the program of the auxiliary vector, files mapped from their start that are ELF, and klibs with the file they keep', () => {
    const library = addressOf('library');
    expect(modulesOf(1, nanos)).toEqual([
      { name: '/app', start: 0x400000n, end: null, header: 0x400000n, by: 'AT_PHDR' },
      { name: '[vdso]', start: 0x7000n, end: null, header: 0x7000n, by: 'AT_SYSINFO_EHDR' },
      { name: null, start: library, end: null, header: library, by: 'vmap' },
      {
        name: 'radar/x',
        start: 0xffff800000001000n,
        end: 0xffff800000005000n,
        header: addressOf('klib_file') + 2n,
        by: 'klib_loaded',
      },
    ]);
  });

  it('are none without types', () => {
    const guest = { memory: memoryAt(0n, new Uint8Array(8)), types: NO_TYPES, symbols: symbolsOf({ processes: 0n }) };
    expect(nanos.findModules!(guest)).toEqual([]);
  });
});

describe('a hostile guest', () => {
  it('ends no list walk in an error, a loop or more than its bound', () => {
    const random = (seed: number) => () => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
    for (const [index, system] of [osv, nanos].entries()) {
      for (const value of [0x00, 0x7f, 0xff])
        expect(modulesOf(index, system, (bytes) => bytes.fill(value)).length).toBeLessThan(400);
      for (let seed = 1; seed < 60; seed += 1) {
        const next = random(seed);
        const found = modulesOf(index, system, (bytes) => {
          if (next() < 0.2) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256);
          return bytes;
        });
        expect(found.length).toBeLessThan(400);
      }
    }
  });
});
