// Look-ups of types and variables with a fixed place by name, and of the types of a frame's variables: what a probe needs to
// read guest memory, and a debugger to print a value.

import type { Layout } from '../model/layout.ts';
import type { BoundReader } from './array-bounds.ts';
import { attemptDwarf } from './children.ts';
import type { Reference } from './forms.ts';
import type { Complain, DebugInfo, Die } from './info.ts';
import { LayoutReader } from './layouts.ts';
import { LocalStatics } from './local-statics.ts';
import { Names } from './names.ts';
import type { Progress } from './progress.ts';
import { addressIn, readType } from './type-attributes.ts';
import { typeNameOf } from './type-names.ts';
import type { Unit } from './unit.ts';

/** Names whose answers are kept: who samples asks the same ones a hundred times a second, and layouts remember what was built in them. */
const MAX_KEPT = 1024;

/** Variables and types of one image. Look-ups give null for what is missing or damaged; damage is told to `complain`. */
export class DwarfTypes {
  private readonly info: DebugInfo;
  private readonly complain: Complain;
  private readonly layouts: LayoutReader;
  private readonly names: Names;
  private statics: LocalStatics | null = null;
  private readonly knownVariables = new Map<string, { readonly address: bigint; readonly layout: Layout } | null>();
  private readonly knownTypes = new Map<string, Layout | null>();

  constructor(info: DebugInfo, complain: Complain) {
    this.info = info;
    this.complain = complain;
    this.names = new Names(info, complain);
    this.layouts = this.readerWith(null);
  }

  /**
   * A variable with a fixed place: its link address and layout. `unit` narrows statics of one name by their source file's path
   * suffix. `function::variable` is a function's static (looked for when nothing else has that name).
   */
  findVariable(name: string, unit?: string): { readonly address: bigint; readonly layout: Layout } | null {
    return keep(this.knownVariables, `${name}\n${unit ?? ''}`, () =>
      this.attempt(() => {
        const found = this.firstVariable(this.names.find('variable', name), unit);
        if (found !== null || !name.includes('::')) return found;
        this.statics ??= LocalStatics.read(this.info, this.complain);
        return this.firstVariable(this.statics.find(name), unit);
      }),
    );
  }

  /** Reads what the first look-up by name needs, which takes a second for a kernel; a step every few milliseconds says how far it is. */
  prepare(): Generator<Progress> {
    return this.names.prepare();
  }

  /** A type by its source name. A struct, union or enum comes before a typedef of that name; with the keyword before it no typedef is meant. */
  findType(name: string): Layout | null {
    const tag = /^(?:struct|union|enum|class) (.+)$/.exec(name)?.[1];
    return keep(this.knownTypes, name, () =>
      this.attempt(() => {
        for (const die of this.names.find('tag', tag ?? name)) return this.layouts.layoutOf(die);
        if (tag !== undefined) return null;
        for (const die of this.names.find('type', name)) return this.layouts.layoutOf(die);
        return null;
      }),
    );
  }

  /** The layout of the type that `reference`, read in `unit`, means; arrays of a running function are as long as `bounds` says. */
  layoutAt(unit: Unit, reference: Reference, bounds: BoundReader | null): Layout | null {
    const reader = bounds === null ? this.layouts : this.readerWith(bounds);
    return this.attempt(() => reader.layoutAt(unit, reference));
  }

  /** A type's name as gdb writes it. */
  nameAt(unit: Unit, reference: Reference): string | null {
    return this.attempt(() => typeNameOf(this.info, this.info.follow(unit, reference)));
  }

  private readerWith(bounds: BoundReader | null): LayoutReader {
    return new LayoutReader({ info: this.info, names: this.names, complain: this.complain, bounds });
  }

  private firstVariable(dies: Iterable<Die>, unit: string | undefined): { address: bigint; layout: Layout } | null {
    for (const die of dies) {
      if (unit !== undefined && !`/${die.unit.root.name ?? ''}`.endsWith(`/${unit}`)) continue;
      const found = this.readVariable(die);
      if (found !== null) return found;
    }
    return null;
  }

  private readVariable(die: Die): { address: bigint; layout: Layout } | null {
    const own = readType(die);
    const address = own.location === null ? null : addressIn(own.location, die.unit);
    if (address === null) return null;
    const completes = own.specification ?? own.abstractOrigin;
    const declared = completes === null ? null : this.info.follow(die.unit, completes);
    const type =
      own.type === null && declared !== null
        ? { unit: declared.unit, reference: readType(declared).type }
        : { unit: die.unit, reference: own.type };
    return { address, layout: this.layouts.layoutAt(type.unit, type.reference) };
  }

  private attempt<T>(body: () => T): T | null {
    return attemptDwarf(body, this.complain);
  }
}

function keep<T>(known: Map<string, T>, key: string, find: () => T): T {
  const before = known.get(key);
  if (before !== undefined) return before;
  const found = find();
  if (known.size >= MAX_KEPT) known.clear();
  known.set(key, found);
  return found;
}
