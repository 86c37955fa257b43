// Names with the namespaces, classes and functions that they are declared in: `outer::inner::name`. DWARF says what an entry
// contains, not what contains it, so a unit's containers are gathered once, in one walk that enters nothing else.

import type { Cursor } from '../bytes/cursor.ts';
import type { Abbrev } from './abbrev.ts';
import { AT, LANG, TAG } from './constants.ts';
import { type Reference, readReference, readString } from './forms.ts';
import { skipTo } from './functions.ts';
import { attributesOf, type DebugInfo, type Die } from './info.ts';
import { dwarfErrors } from './section.ts';
import { type Unit, visitAttributes } from './unit.ts';

const CONTAINERS: ReadonlySet<number> = new Set([
  TAG.namespace,
  TAG.module,
  TAG.structure_type,
  TAG.class_type,
  TAG.union_type,
  TAG.interface_type,
]);
const MAX_DEPTH = 64;
const MAX_CONTAINERS = 1 << 20;
const MAX_HOPS = 16;

/** The source name of an entry with what it is in; null without a name. C has no such names, and pays for none. */
export function qualifiedName(info: DebugInfo, die: Die): string | null {
  let at: Die = die;
  for (let hops = 0; hops < MAX_HOPS; hops += 1) {
    const { name, completes } = readName(at);
    const declared = completes === null ? null : info.follow(at.unit, completes);
    if (declared === null) return name === null ? null : prefixOf(at) + name;
    at = declared;
  }
  return null;
}

function readName({ unit, entry }: Die): { name: string | null; completes: Reference | null } {
  const cursor = attributesOf({ unit, entry });
  const out = { name: null as string | null, completes: null as Reference | null };
  visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
    if (name === AT.name) out.name = readString(cursor, form, unit);
    else if (name === AT.specification || name === AT.abstract_origin) {
      out.completes = readReference(cursor, form, unit.encoding);
    }
  });
  return out;
}

const PLAIN: ReadonlySet<number> = new Set(Object.values(LANG));

/** Whether a unit's language has no namespaces: C, Pascal, assembly. */
export function isPlain({ root: { language } }: Unit): boolean {
  return language === null || PLAIN.has(language);
}

/** An entry that others are declared in: [start, end) in the section, and the full name. */
interface Container {
  readonly start: number;
  readonly end: number;
  readonly name: string;
  /** Position of the container that this one is in, −1 for none. */
  readonly parent: number;
}

const gathered = new WeakMap<Unit, readonly Container[]>();

function prefixOf({ unit, entry }: Die): string {
  if (isPlain(unit)) return '';
  let containers = gathered.get(unit);
  if (containers === undefined) {
    containers = dwarfErrors(unit.describe(), () => new ContainerWalk(unit).read());
    gathered.set(unit, containers);
  }
  const name = innermost(containers, entry.offset);
  return name === null ? '' : `${name}::`;
}

/** Containers are in the order of their starts, so the last one that holds an offset is the innermost. */
function innermost(containers: readonly Container[], offset: number): string | null {
  let low = 0;
  let high = containers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (containers[middle]!.start < offset) low = middle + 1;
    else high = middle;
  }
  // Whatever else starts before it has ended, but for what it is itself in.
  for (let at = low - 1; at >= 0; at = containers[at]!.parent) if (offset < containers[at]!.end) return containers[at]!.name;
  return null;
}

class ContainerWalk {
  private readonly unit: Unit;
  private readonly cursor: Cursor;
  private readonly found: { start: number; end: number; name: string; parent: number }[] = [];

  constructor(unit: Unit) {
    this.unit = unit;
    this.cursor = unit.cursor();
  }

  read(): readonly Container[] {
    const { cursor, unit } = this;
    cursor.seek(unit.header.root - unit.header.offset);
    const root = unit.entryAt(unit.header.root, cursor);
    if (root === null) return [];
    visitAttributes(cursor, root.abbrev, unit.encoding, () => undefined);
    if (root.abbrev.hasChildren) this.readLevel('', -1, 0);
    return this.found;
  }

  private readLevel(prefix: string, parent: number, depth: number): void {
    const { cursor, unit } = this;
    while (cursor.remaining > 0) {
      const start = unit.header.offset + cursor.offset;
      const code = cursor.uleb();
      if (code === 0) return;
      this.visit(unit.abbrevs.get(code), start, { prefix, parent, depth });
    }
  }

  private visit(abbrev: Abbrev, start: number, level: { prefix: string; parent: number; depth: number }): void {
    const { cursor, unit } = this;
    const { prefix, parent, depth } = level;
    const seen = { name: null as string | null };
    let sibling = 0;
    const isContainer = CONTAINERS.has(abbrev.tag) && abbrev.hasChildren && depth < MAX_DEPTH;
    visitAttributes(cursor, abbrev, unit.encoding, (spec) => {
      if (spec.name === AT.name && isContainer) seen.name = readString(cursor, spec.form, unit);
      else if (spec.name === AT.sibling) {
        const reference = readReference(cursor, spec.form, unit.encoding);
        if (reference?.kind === 'unit') sibling = unit.header.offset + reference.offset;
      }
    });
    if (!abbrev.hasChildren) return;
    if (isContainer && this.found.length < MAX_CONTAINERS) {
      // An anonymous struct is no scope of its own; an anonymous namespace is.
      const own = seen.name ?? (abbrev.tag === TAG.namespace ? '(anonymous namespace)' : null);
      const full = own === null ? prefix : `${prefix}${own}::`;
      const container = { start, end: 0, name: full.slice(0, -2), parent };
      const at = this.found.length;
      if (full !== '') this.found.push(container);
      this.readLevel(full, full === '' ? parent : at, depth + 1);
      container.end = unit.header.offset + cursor.offset;
    } else if (sibling > 0) {
      skipTo(unit, cursor, sibling, start);
    } else {
      this.skipLevel();
    }
  }

  private skipLevel(): void {
    const { cursor, unit } = this;
    for (let depth = 1; depth > 0 && cursor.remaining > 0; ) {
      const code = cursor.uleb();
      if (code === 0) {
        depth -= 1;
        continue;
      }
      const abbrev = unit.abbrevs.get(code);
      visitAttributes(cursor, abbrev, unit.encoding, () => undefined);
      if (abbrev.hasChildren) depth += 1;
    }
  }
}
