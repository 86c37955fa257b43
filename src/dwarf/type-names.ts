// Types as gdb writes them: `const struct list *`, `unsigned int [3][5]`, `void (*)(int, char **)`, `int Base::*`. C's
// declarators wrap around the name, so a type is a base, what stands before the name and what stands behind it.

import { readArrayBounds } from './array-bounds.ts';
import { childrenOf } from './children.ts';
import { AT, TAG } from './constants.ts';
import { readFlag } from './forms.ts';
import { attributesOf, type DebugInfo, type Die } from './info.ts';
import { isPlain, qualifiedName } from './qualified-names.ts';
import { readType, type TypeAttributes } from './type-attributes.ts';
import { visitAttributes } from './unit.ts';

/** Types inside types; more is a loop, or nobody's to read. */
const MAX_DEPTH = 24;
/** Longer names are cut: those of templates reach megabytes in hostile files. */
const MAX_NAME = 1024;
const MAX_PARAMETERS = 64;
/** DW_LANG_Rust: the one whose arrays are not written as C's are. */
const RUST = 0x1c;

interface Written {
  readonly base: string;
  readonly prefix: string;
  readonly suffix: string;
}

/** The name of a type; `void` for none. */
export function typeNameOf(info: DebugInfo, die: Die | null): string {
  const { base, prefix, suffix } = new TypeWriter(info).write(die, 0);
  const declarator = prefix + suffix;
  return `${base}${declarator === '' ? '' : ` ${declarator}`}`.slice(0, MAX_NAME);
}

const QUALIFIERS: Readonly<Record<number, string>> = {
  [TAG.const_type]: 'const',
  [TAG.volatile_type]: 'volatile',
  [TAG.restrict_type]: 'restrict',
  [TAG.atomic_type]: '_Atomic',
};

const KEYWORDS: Readonly<Record<number, string>> = {
  [TAG.structure_type]: 'struct',
  [TAG.class_type]: 'class',
  [TAG.interface_type]: 'class',
  [TAG.union_type]: 'union',
  [TAG.enumeration_type]: 'enum',
};

/** GCC writes C's names out; gdb, as programmers do, does not. */
const SHORT_NAMES: Readonly<Record<string, string>> = {
  'long int': 'long',
  'short int': 'short',
  'long long int': 'long long',
  'long unsigned int': 'unsigned long',
  'short unsigned int': 'unsigned short',
  'long long unsigned int': 'unsigned long long',
};

/** In the arguments of templates too. */
function shortened(name: string): string {
  const short = SHORT_NAMES[name];
  if (short !== undefined || !name.includes('<')) return short ?? name;
  return name.replace(/\b(?:long long|long|short)(?: unsigned)? int\b/g, (written) => SHORT_NAMES[written] ?? written);
}

class TypeWriter {
  private readonly info: DebugInfo;

  constructor(info: DebugInfo) {
    this.info = info;
  }

  write(die: Die | null, depth: number): Written {
    if (die === null) return plain('void');
    if (depth > MAX_DEPTH) return plain('...');
    const type = readType(die);
    const { tag } = die.entry.abbrev;
    const inner = (): Written => this.write(this.target(die, type), depth + 1);
    switch (tag) {
      // Rust and Go name their pointers; C and C++ do not.
      case TAG.pointer_type:
        return type.name === null ? pointing(inner(), '*') : plain(type.name);
      case TAG.reference_type:
        return pointing(inner(), '&');
      case TAG.rvalue_reference_type:
        return pointing(inner(), '&&');
      case TAG.ptr_to_member_type:
        return this.memberPointer(die, type, depth);
      case TAG.array_type:
        return type.name === null ? this.array(die, inner()) : plain(type.name);
      case TAG.subroutine_type:
        return type.name === null ? this.function(die, inner(), depth) : plain(type.name);
      default: {
        const qualifier = QUALIFIERS[tag];
        return qualifier === undefined ? plain(this.named(die, type)) : qualified(inner(), qualifier);
      }
    }
  }

  private target(die: Die, { type }: TypeAttributes): Die | null {
    return type === null ? null : this.info.follow(die.unit, type);
  }

  /** `struct list` in C, `outer::list` in C++. */
  private named(die: Die, type: TypeAttributes): string {
    const keyword = KEYWORDS[die.entry.abbrev.tag];
    const name = this.nameOf(die, type);
    if (keyword === undefined) return name === null ? '' : shortened(name);
    if (name === null) return `${keyword} {...}`;
    return isPlain(die.unit) ? `${keyword} ${name}` : shortened(name);
  }

  private nameOf(die: Die, type: TypeAttributes): string | null {
    const bySignature = type.signature === null ? null : this.info.followSignature(type.signature);
    return bySignature === null ? qualifiedName(this.info, die) : qualifiedName(this.info, bySignature);
  }

  private array(die: Die, element: Written): Written {
    const bounds = readArrayBounds(die);
    if (die.unit.root.language === RUST) {
      const inner = `${element.base}${element.prefix}${element.suffix}`;
      return plain(bounds.reduceRight((of, { count }) => `[${of}${count === null ? '' : `; ${count}`}]`, inner));
    }
    const written = bounds.map(({ count, isVariable }) => `[${count ?? (isVariable ? 'variable length' : '')}]`).join('');
    return { ...element, suffix: `${written === '' ? '[]' : written}${element.suffix}` };
  }

  private function(die: Die, result: Written, depth: number): Written {
    const parameters: string[] = [];
    for (const child of childrenOf(die)) {
      if (parameters.length >= MAX_PARAMETERS) break;
      if (child.entry.abbrev.tag === TAG.unspecified_parameters) parameters.push('...');
      else if (child.entry.abbrev.tag === TAG.formal_parameter) {
        const type = readType(child);
        const written = this.write(this.target(child, type), depth + 1);
        // C++'s `this` cannot be changed, though no compiler says so in the type of a method.
        const { base, prefix, suffix } =
          type.artificial && !written.prefix.endsWith('const') ? qualified(written, 'const') : written;
        parameters.push(`${base}${prefix + suffix === '' ? '' : ` ${prefix}${suffix}`}`);
      }
    }
    const none = isPlain(die.unit) && !isPrototyped(die) ? '' : 'void';
    return { ...result, suffix: `(${parameters.length === 0 ? none : parameters.join(', ')})${result.suffix}` };
  }

  private memberPointer(die: Die, type: TypeAttributes, depth: number): Written {
    const of = type.containingType === null ? null : this.info.follow(die.unit, type.containingType);
    const owner = of === null ? '' : (qualifiedName(this.info, of) ?? '');
    return pointing(this.write(this.target(die, type), depth + 1), `${owner}::*`);
  }
}

function plain(base: string): Written {
  return { base, prefix: '', suffix: '' };
}

/** A pointer binds less tightly than the brackets of what it points at. */
function pointing({ base, prefix, suffix }: Written, mark: string): Written {
  if (suffix === '') return { base, prefix: `${prefix}${mark}`, suffix };
  return { base, prefix: `${prefix}(${mark}`, suffix: `)${suffix}` };
}

function qualified({ base, prefix, suffix }: Written, qualifier: string): Written {
  if (prefix === '') return { base: `${qualifier} ${base}`, prefix, suffix };
  return { base, prefix: `${prefix} ${qualifier}`, suffix };
}

function isPrototyped(die: Die): boolean {
  return hasFlag(die, AT.prototyped);
}

function hasFlag({ unit, entry }: Die, flag: number): boolean {
  const cursor = attributesOf({ unit, entry });
  let isSet = false;
  visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
    if (name === flag) isSet = readFlag(cursor, form, unit.encoding);
  });
  return isSet;
}
