// Values as text that fits on a stack's line: scalars as gdb prints them, strings quoted and escaped, structures one level deep,
// the first elements of arrays. What cannot be had says why. Bounded in depth, members and characters, since guest and debug
// info may be anybody's; pure but for reads of memory.

import { type Contents, memoryContents, partOf, valueContents } from '../dwarf/contents.ts';
import { bytesOf, wordOf } from '../dwarf/location.ts';
import { formatAddress } from '../model/address.ts';
import type { Layout, LayoutMember } from '../model/layout.ts';
import type { Machine } from '../model/machine.ts';
import type { Memory } from '../model/target.ts';
import { formatEnum, formatFloat, formatInteger, sanitiseName } from './value-scalars.ts';
import { elementsOf, findRun, quoteMemory, quoteTerminated, SHOWN_CHARACTERS } from './value-strings.ts';
import { findVariant, type Variant } from './value-variants.ts';

/** Where values are read. */
export interface ValueGuest {
  readonly memory: Memory;
  readonly machine: Machine;
  /** Name of the function that starts at an address, or null. */
  readonly functionAt: (address: bigint) => string | null;
}

/** A value as text; `known` is false when the text only says why there is none. */
export interface ValueText {
  readonly text: string;
  readonly known: boolean;
}

const MAX_MEMBERS = 8;
const MAX_ELEMENTS = 4;
const MAX_BASES = 64;
const MAX_TEXT = 160;
/** Structures in structures, bases of bases: beyond the first level only their braces are shown. */
const MAX_DEPTH = 4;

/** The value of an object. */
export function formatValue(contents: Contents, layout: Layout, guest: ValueGuest): ValueText {
  const found = new ValueFormatter(guest).format(contents, layout, 0);
  if (found.text.length <= MAX_TEXT) return found;
  return { text: `${found.text.slice(0, MAX_TEXT - 3)}...`, known: found.known };
}

const missing = (why: string): ValueText => ({ text: `<${why}>`, known: false });
const known = (text: string): ValueText => ({ text, known: true });

/** Something that is not shown in full here; out of memory it may be nothing at all. */
function folded(contents: Contents, text = '{...}'): ValueText {
  const first = contents.address === null ? contents.read(0, 1) : '';
  return contents.address === null && typeof first === 'string' ? missing(first) : known(text);
}

class ValueFormatter {
  private readonly guest: ValueGuest;

  constructor(guest: ValueGuest) {
    this.guest = guest;
  }

  /** `depth`: 0 for the value itself, 1 for what is inside it or behind its pointer. */
  format(contents: Contents, layout: Layout, depth: number): ValueText {
    switch (layout.kind) {
      case 'integer':
      case 'enum':
      case 'float':
      case 'complex':
      case 'member-pointer':
        return this.scalar(contents, layout);
      case 'pointer':
        return layout.is === undefined ? this.pointer(contents, layout, depth) : this.reference(contents, layout, depth);
      case 'array':
        return this.array(contents, layout, depth);
      case 'struct':
      case 'union':
        return this.record(contents, layout, depth);
      case 'function':
        return contents.address === null ? missing('no value') : known(`{...} ${this.codeAt(contents.address)}`);
      case 'other':
        return missing(layout.size === 0 ? 'incomplete type' : 'unknown type');
    }
  }

  private scalar(contents: Contents, layout: Layout): ValueText {
    if (layout.size < 1 || layout.size > 32) return missing('unknown type');
    const bytes = contents.read(0, layout.size);
    return typeof bytes === 'string' ? missing(bytes) : known(this.scalarText(bytes, layout));
  }

  private scalarText(bytes: Uint8Array, layout: Layout): string {
    const value = wordOf(bytes);
    switch (layout.kind) {
      case 'float':
        return formatFloat(value, layout.size, this.guest.machine);
      case 'complex': {
        const half = layout.size / 2;
        const [real, imaginary] = [bytes.subarray(0, half), bytes.subarray(half)].map((part) =>
          formatFloat(wordOf(part), half, this.guest.machine),
        );
        return `${real ?? ''} + ${imaginary ?? ''}i`;
      }
      case 'enum':
        return formatEnum(value, layout);
      case 'member-pointer':
        return this.memberPointer(value, layout);
      case 'integer':
        return formatInteger(value, layout);
      default:
        return formatAddress(value);
    }
  }

  /** The Itanium ABI's: −1 for no member; for no function an address of 0. */
  private memberPointer(value: bigint, { size, ofFunction }: Extract<Layout, { kind: 'member-pointer' }>): string {
    if (!ofFunction) return value === BigInt.asUintN(size * 8, -1n) ? 'NULL' : String(BigInt.asIntN(size * 8, value));
    return this.codeAt(BigInt.asUintN(size * 4, value));
  }

  private pointer(contents: Contents, layout: Extract<Layout, { kind: 'pointer' }>, depth: number): ValueText {
    if (contents.pointee !== null) return this.syntheticPointer(contents.pointee(), layout, depth);
    const bytes = contents.read(0, layout.size);
    if (typeof bytes === 'string') return missing(bytes);
    const address = wordOf(bytes);
    const target = address === 0n ? null : layout.target();
    if (target === null) return known(formatAddress(address));
    if (target.kind === 'function') return known(this.codeAt(address));
    if (isCharacter(target)) {
      return known(`${formatAddress(address)} ${quoteMemory(this.guest.memory, address, null) ?? '<unreadable>'}`);
    }
    const behind = depth === 0 && isRecord(target) ? this.behind(address, target) : '';
    return known(`${formatAddress(address)}${behind}`);
  }

  /** What a pointer to a structure points at, when it can be read. */
  private behind(address: bigint, target: Layout): string {
    if (this.guest.memory.read(address, 1) === null) return ' <unreadable>';
    const found = this.format(memoryContents(this.guest.memory, address), target, 0.5);
    return found.known ? ` ${found.text}` : '';
  }

  /** The pointer was optimised out, what it points at was not. */
  private syntheticPointer(pointee: Contents, layout: Extract<Layout, { kind: 'pointer' }>, depth: number): ValueText {
    const target = layout.target();
    const found = target === null || depth > 0 ? missing('') : this.format(pointee, target, 0.5);
    return known(`<synthetic pointer>${found.known ? ` ${found.text}` : ''}`);
  }

  private reference(contents: Contents, layout: Extract<Layout, { kind: 'pointer' }>, depth: number): ValueText {
    const target = layout.target();
    if (contents.pointee !== null) return this.syntheticPointer(contents.pointee(), layout, depth);
    const bytes = contents.read(0, layout.size);
    if (typeof bytes === 'string') return missing(bytes);
    const address = wordOf(bytes);
    if (target === null || depth >= 1) return known(`@${formatAddress(address)}`);
    const { text } = this.format(memoryContents(this.guest.memory, address), target, 0.5);
    return known(`@${formatAddress(address)}: ${text}`);
  }

  private array(contents: Contents, layout: Extract<Layout, { kind: 'array' }>, depth: number): ValueText {
    const element = layout.element();
    const { count } = layout;
    if (isCharacter(element) && layout.stride === undefined && count !== null) return this.characters(contents, count);
    if (count === 0) return known('{}');
    if (depth >= 1 || count === null || element.size === 0) return folded(contents);
    const stride = layout.stride ?? element.size;
    const parts = Array.from({ length: Math.min(count, MAX_ELEMENTS) }, (_, index) => partOf(contents, index * stride));
    return this.list(parts, element, count > MAX_ELEMENTS, '{}');
  }

  private characters(contents: Contents, count: number): ValueText {
    const bytes = contents.read(0, Math.min(count, SHOWN_CHARACTERS + 1));
    if (typeof bytes === 'string') return missing(bytes);
    // An array that is full has no NUL at its end.
    return known(count <= SHOWN_CHARACTERS ? quoteTerminated(Uint8Array.from([...bytes, 0])) : quoteTerminated(bytes));
  }

  private list(parts: readonly Contents[], element: Layout, goesOn: boolean, brackets: '{}' | '[]'): ValueText {
    const texts = parts.map((part) => this.format(part, element, 1));
    const [first] = texts;
    // A whole array that is nowhere says so once.
    if (first !== undefined && texts.every(({ known: isKnown, text }) => !isKnown && text === first.text)) return first;
    const inside = texts.map(({ text }) => text).join(', ');
    return known(`${brackets[0]}${inside}${goesOn ? '...' : ''}${brackets[1]}`);
  }

  private record(contents: Contents, layout: Extract<Layout, { kind: 'struct' | 'union' }>, depth: number): ValueText {
    const run = findRun(layout, contents);
    if (run !== null) {
      if ('why' in run) return missing(run.why);
      const { element } = run;
      if (run.isText) return known(quoteMemory(this.guest.memory, run.address, run.count) ?? '<unreadable>');
      if (depth >= 1 || element === null || element.size === 0) return known(run.count === 0n ? '[]' : '[...]');
      return this.list(elementsOf(this.guest.memory, { ...run, element }, MAX_ELEMENTS), element, run.count > 4n, '[]');
    }
    const variant = findVariant(layout, contents);
    if (typeof variant === 'string') return missing(variant);
    if (variant !== null) return this.variant(contents, variant, depth);
    if (depth >= 1) return folded(contents);
    const members = this.membersOf(contents, layout, 0);
    if (members.length === 0) return layout.size === 0 ? known('{}') : folded(contents, '{}');
    const [first] = members;
    if (first !== undefined && members.every(({ value }) => !value.known && value.text === first.value.text)) return first.value;
    const shown = members.slice(0, MAX_MEMBERS).map(({ name, value }) => (name === '' ? value.text : `${name}=${value.text}`));
    const isTuple = members.every(({ name }) => name === '');
    const inside = `${shown.join(', ')}${members.length > MAX_MEMBERS ? '...' : ''}`;
    return known(isTuple && layout.kind === 'struct' ? `(${inside})` : `{${inside}}`);
  }

  /** Members with their values, those of bases in place of the base; a few more than are shown are not read. */
  private membersOf(
    contents: Contents,
    { members }: Extract<Layout, { kind: 'struct' | 'union' }>,
    depth: number,
    bases = { seen: new Set<bigint>(), left: MAX_BASES },
  ): { readonly name: string; readonly value: ValueText }[] {
    const found: { readonly name: string; readonly value: ValueText }[] = [];
    for (const member of members) {
      if (found.length > MAX_MEMBERS || bases.left === 0) break;
      if (member.base !== undefined) bases.left -= 1;
      if (member.artificial === true) continue;
      const part = this.memberContents(contents, member);
      // A virtual base is one, however many of the bases have it.
      if (member.base === 'virtual' && part?.address != null && bases.seen.has(part.address)) continue;
      if (member.base === 'virtual' && part?.address != null) bases.seen.add(part.address);
      const layout = member.layout();
      const isBase = member.base !== undefined && layout.kind === 'struct' && depth < MAX_DEPTH;
      if (isBase && part !== null && findRun(layout, part) === null) {
        found.push(...this.membersOf(part, layout, depth + 1, bases));
      } else if (part !== null) found.push({ name: shownName(member.name), value: this.member(part, layout, member) });
    }
    return found;
  }

  private memberContents(contents: Contents, member: LayoutMember): Contents | null {
    if (member.locate === undefined) return partOf(contents, member.offset);
    const at = contents.address === null ? null : member.locate(contents.address, this.guest.memory);
    return at === null ? null : memoryContents(this.guest.memory, at);
  }

  private member(part: Contents, layout: Layout, { bits }: LayoutMember): ValueText {
    if (bits === null) return this.format(part, layout, 1);
    const first = Math.floor(bits.offset / 8);
    const bytes = part.read(first, Math.ceil((bits.offset + bits.size) / 8) - first);
    if (typeof bytes === 'string') return missing(bytes);
    const value = BigInt.asUintN(bits.size, wordOf(bytes) >> BigInt(bits.offset - first * 8));
    const signed = (layout.kind === 'integer' || layout.kind === 'enum') && layout.signed === true;
    const extended = signed ? BigInt.asIntN(bits.size, value) : value;
    return this.format(valueContents(bytesOf(extended, layout.size)), layout, 1);
  }

  /** Rust: `Some(5)`, `Point{x=1}`, `None`. */
  private variant(contents: Contents, { name, member }: Variant, depth: number): ValueText {
    const layout = member?.layout() ?? null;
    if (member === null || layout?.kind !== 'struct' || layout.members.length === 0) return known(shownName(name));
    if (depth >= 2) return known(`${shownName(name)}(...)`);
    const inner = this.record(partOf(contents, member.offset), layout, depth < 1 ? 0 : 1);
    if (!inner.known) return inner;
    return known(`${shownName(name)}${inner.text}`);
  }

  /** `0x401136 <callback>`. */
  private codeAt(address: bigint): string {
    const name = this.guest.functionAt(address);
    return `${formatAddress(address)}${name === null ? '' : ` <${shownName(name)}>`}`;
  }
}

/** Rust's tuple fields `__0` are told by their place. */
function shownName(name: string): string {
  return /^__\d+$/.test(name) ? '' : sanitiseName(name);
}

function isRecord({ kind }: Layout): boolean {
  return kind === 'struct' || kind === 'union';
}

function isCharacter(layout: Layout): boolean {
  return layout.kind === 'integer' && layout.size === 1 && layout.is === 'character';
}
