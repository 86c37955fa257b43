// Static variables inside functions, by `function::variable`: the name index leaves functions out, since they are nine tenths of
// a file's entries and hardly anybody asks. One walk over all of them the first time somebody does.

import { attemptDwarf, childrenOf } from './children.ts';
import { AT, TAG } from './constants.ts';
import { readBlock, readString } from './forms.ts';
import { attributesOf, type Complain, type DebugInfo, type Die } from './info.ts';
import { qualifiedName } from './qualified-names.ts';
import { addressIn } from './type-attributes.ts';
import { type Unit, visitAttributes } from './unit.ts';
import { originOf } from './variables.ts';

const MAX_STATICS = 1 << 20;
const MAX_DEPTH = 128;

/** The index of one file: entries in file order. */
export class LocalStatics {
  private readonly info: DebugInfo;
  private readonly dies = new Map<string, { readonly unit: Unit; readonly offset: number }[]>();
  private count = 0;

  private constructor(info: DebugInfo) {
    this.info = info;
  }

  static read(info: DebugInfo, complain: Complain): LocalStatics {
    const index = new LocalStatics(info);
    for (const unit of info.allUnits()) {
      attemptDwarf(() => {
        const root = unit.entryAt(unit.header.root);
        if (root !== null) index.readScope({ unit, entry: root }, 0);
      }, complain);
    }
    return index;
  }

  /** All statics of that name. */
  *find(name: string): Generator<Die> {
    for (const { unit, offset } of this.dies.get(name) ?? []) {
      const die = this.info.findEntryIn(unit, offset);
      if (die !== null) yield die;
    }
  }

  private readScope(scope: Die, depth: number): void {
    for (const child of childrenOf(scope)) {
      const { tag } = child.entry.abbrev;
      if (tag === TAG.subprogram) this.readFunction(child, child, depth);
      else if (SCOPES.has(tag) && depth < MAX_DEPTH) this.readScope(child, depth + 1);
    }
  }

  private readFunction(fn: Die, block: Die, depth: number): void {
    for (const child of childrenOf(block)) {
      const { tag } = child.entry.abbrev;
      if (tag === TAG.variable) this.add(fn, child);
      else if (tag === TAG.lexical_block && depth < MAX_DEPTH) this.readFunction(fn, child, depth + 1);
    }
  }

  private add(fn: Die, die: Die): void {
    const { name, isStatic } = readStatic(die);
    if (!isStatic || this.count >= MAX_STATICS) return;
    const origin = name === null ? originOf(this.info, die) : null;
    const own = name ?? (origin === null ? null : readStatic(origin).name);
    const outer = qualifiedName(this.info, fn);
    if (own === null || outer === null) return;
    const full = `${outer}::${own}`;
    const place = { unit: die.unit, offset: die.entry.offset };
    const known = this.dies.get(full);
    if (known === undefined) this.dies.set(full, [place]);
    else known.push(place);
    this.count += 1;
  }
}

const SCOPES: ReadonlySet<number> = new Set([TAG.namespace, TAG.module, TAG.structure_type, TAG.class_type, TAG.union_type]);

function readStatic(die: Die): { name: string | null; isStatic: boolean } {
  const { unit, entry } = die;
  const cursor = attributesOf(die);
  const out = { name: null as string | null, isStatic: false };
  visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
    if (name === AT.name) out.name = readString(cursor, form, unit);
    else if (name === AT.location) {
      const location = readBlock(cursor, form, unit.encoding);
      out.isStatic = location !== null && addressIn(location, unit) !== null;
    }
  });
  return out;
}
