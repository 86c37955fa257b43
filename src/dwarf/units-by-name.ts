// What a debugger's index in a file (.debug_names, .gdb_index) is to us: which units define a name. Their entries are then read from
// .debug_info, so that the answers are the same with and without an index.

/** What a name may mean. C keeps tags (struct, union, enum) apart from typedefs: `typedef struct heap *heap` is both. */
export type NameKind = 'variable' | 'tag' | 'type';

/** Which units define a name. It speaks of some units only, and says all of these. */
export interface UnitsByName {
  /** Offsets in .debug_info of the units that it speaks of. */
  readonly units: ReadonlySet<number>;
  /** Offsets of units that may define `name` (`outer::inner`), a name that `isIndexable`. Throws DWARF_*. */
  readonly find: (kind: NameKind, name: string) => Iterable<number>;
}

/** Debuggers write other names their own way (`Box<unsigned char>`, `long`) or hash them by rules of their own (`größe`). */
const INDEXABLE = /^[\w$.:@~]+$/;

/** Whether a name is spelt in indexes as compilers spell it. */
export function isIndexable(name: string): boolean {
  return INDEXABLE.test(name);
}

const ANONYMOUS = '(anonymous namespace)';
/** Namespaces of a name that may each be preceded by an anonymous one: 16 spellings. */
const MAX_PLACES = 4;

/** The ways an index may write `name`, in which anonymous namespaces are left out: some index names them. */
export function spellingsOf(name: string): string[] {
  const parts = name.split('::');
  const places = Math.min(parts.length, MAX_PLACES);
  return Array.from({ length: 1 << places }, (_, choice) =>
    parts.flatMap((part, at) => (at < places && (choice & (1 << at)) !== 0 ? [ANONYMOUS, part] : [part])).join('::'),
  );
}

/** Whether offsets are those of units: an index of another build of the file speaks of places where none starts. */
export function areUnits(starts: ArrayLike<number>, offsets: Float64Array): boolean {
  const known = new Set(offsets);
  return Array.from(starts).every((start) => known.has(start));
}
