// Strings and slices that languages build of plain structures, recognised by the shape DWARF gives them, never by version:
// Rust's &str, &[T] and String, Go's string and []T, libstdc++'s std::string and std::string_view.

import { type Contents, memoryContents, partOf } from '../dwarf/contents.ts';
import { wordOf } from '../dwarf/location.ts';
import type { Layout, LayoutMember } from '../model/layout.ts';
import type { Memory } from '../model/target.ts';

type Struct = Extract<Layout, { kind: 'struct' | 'union' }>;

/** A run of elements that a structure stands for. `why` in its place: it is one, but cannot be read. */
export type Run =
  | { readonly address: bigint; readonly count: bigint; readonly element: Layout | null; readonly isText: boolean }
  | { readonly why: string };

interface Shape {
  readonly name: RegExp;
  /** Paths of members: to the pointer, and to the number of elements. */
  readonly pointer: readonly string[];
  readonly count: readonly string[];
  readonly isText: boolean;
}

const SHAPES: readonly Shape[] = [
  {
    name: /^(?:&(?:mut )?|\*const |\*mut |alloc::boxed::Box<|Box<)str\b/,
    pointer: ['data_ptr'],
    count: ['length'],
    isText: true,
  },
  { name: /^(?:&(?:mut )?|\*const |\*mut |alloc::boxed::Box<|Box<)\[/, pointer: ['data_ptr'], count: ['length'], isText: false },
  { name: /^(?:alloc::string::)?String$/, pointer: ['vec', 'buf', '*'], count: ['vec', 'len'], isText: true },
  { name: /^string$/, pointer: ['str'], count: ['len'], isText: true },
  { name: /^\[\]/, pointer: ['array'], count: ['len'], isText: false },
  { name: /^basic_string<char/, pointer: ['_M_dataplus', '_M_p'], count: ['_M_string_length'], isText: true },
  { name: /^basic_string_view<char/, pointer: ['_M_str'], count: ['_M_len'], isText: true },
];

/** What a string or slice structure stands for; null when the layout is no such structure. */
export function findRun(layout: Struct, contents: Contents): Run | null {
  const shape = SHAPES.find(({ name }) => name.test(layout.name));
  const pointer = shape === undefined ? null : memberAt(layout, shape.pointer);
  const count = shape === undefined ? null : memberAt(layout, shape.count);
  if (shape === undefined || pointer?.layout.kind !== 'pointer' || count === null) return null;
  const [at, length] = [contents.read(pointer.offset, pointer.layout.size), contents.read(count.offset, count.layout.size)];
  if (typeof at === 'string') return { why: at };
  if (typeof length === 'string') return { why: length };
  return { address: wordOf(at), count: wordOf(length), element: pointer.layout.target(), isText: shape.isText };
}

interface Found {
  readonly offset: number;
  readonly layout: Layout;
}

/** The member at a path. `*`: the first pointer, however deep it lies (Rust wraps one in RawVec, Unique and NonNull). */
function memberAt(layout: Layout, path: readonly string[]): Found | null {
  let found: Found = { offset: 0, layout };
  for (const name of path) {
    const next = name === '*' ? firstPointer(found, 0) : memberNamed(found, name);
    if (next === null) return null;
    found = next;
  }
  return found;
}

function memberNamed({ offset, layout }: Found, name: string): Found | null {
  if (layout.kind !== 'struct' && layout.kind !== 'union') return null;
  const member = layout.members.find((candidate) => candidate.name === name && candidate.bits === null);
  return member === undefined ? null : into(offset, member);
}

function firstPointer(found: Found, depth: number): Found | null {
  if (found.layout.kind === 'pointer') return found;
  if (found.layout.kind !== 'struct' || depth > 8) return null;
  for (const member of found.layout.members.slice(0, 8)) {
    const pointer = firstPointer(into(found.offset, member), depth + 1);
    if (pointer !== null) return pointer;
  }
  return null;
}

function into(offset: number, member: LayoutMember): Found {
  return { offset: offset + member.offset, layout: member.layout() };
}

/** Characters of a string that are shown. */
export const SHOWN_CHARACTERS = 48;

/** `"text"`, and `...` behind it when there is more; null when not even the first byte can be read. */
export function quoteMemory(memory: Memory, address: bigint, length: bigint | null): string | null {
  const wanted = length === null || length > BigInt(SHOWN_CHARACTERS) ? SHOWN_CHARACTERS + 1 : Number(length);
  const bytes = readUpTo(memory, address, wanted);
  if (bytes === null) return null;
  return length === null ? quoteTerminated(bytes) : quote(bytes.subarray(0, SHOWN_CHARACTERS), length > BigInt(SHOWN_CHARACTERS));
}

/** A string that ends with a NUL, or goes on. */
export function quoteTerminated(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = end < 0 ? bytes : bytes.subarray(0, end);
  return quote(text.subarray(0, SHOWN_CHARACTERS), end < 0 || end > SHOWN_CHARACTERS);
}

/** `length` bytes, or those up to the end of the last page that can be read. */
function readUpTo(memory: Memory, address: bigint, length: number): Uint8Array | null {
  if (length === 0) return new Uint8Array(0);
  const whole = memory.read(address, length);
  const toPageEnd = 4096 - Number(address & 0xfffn);
  return whole ?? (toPageEnd < length ? memory.read(address, toPageEnd) : null);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '"': '\\"', '\\': '\\\\' };

/** The guest is hostile: only letters, marks, digits, punctuation, symbols and spaces go through, the rest as octal like gdb's. */
export function quote(bytes: Uint8Array, goesOn: boolean): string {
  let text = '';
  for (const character of decodeCharacters(bytes)) text += escapeCharacter(character);
  return `"${text}"${goesOn ? '...' : ''}`;
}

/** A character, or a byte that begins none. */
type Character = string | number;

function* decodeCharacters(bytes: Uint8Array): Generator<Character> {
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at]!;
    const size = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
    const character = size === 0 ? null : decode(bytes.subarray(at, at + size));
    yield character ?? first;
    at += character === null ? 1 : size;
  }
}

function decode(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** One character as it stands in a quoted string. */
export function escapeCharacter(character: Character): string {
  if (typeof character === 'string') {
    const escape = ESCAPES[character];
    if (escape !== undefined) return escape;
    if (/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character)) return character;
  }
  const bytes = typeof character === 'number' ? [character] : [...Buffer.from(character)];
  return bytes.map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}

/** The elements' own contents, the first `most` of them. */
export function elementsOf(memory: Memory, run: { address: bigint; count: bigint; element: Layout }, most: number): Contents[] {
  const count = run.count < BigInt(most) ? Number(run.count) : most;
  const whole = memoryContents(memory, run.address);
  return Array.from({ length: count }, (_, index) => partOf(whole, index * run.element.size));
}
