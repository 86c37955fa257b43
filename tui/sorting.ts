// Sorting of lists by a key of the user's choice. What is not known comes last, whichever way the list runs; equals keep their order.

/** What a list can be sorted by. */
export interface SortKey<T> {
  readonly name: string;
  /** Null = not known. */
  readonly value: (item: T) => number | string | null;
  /** The greatest first, unless reversed. */
  readonly descending: boolean;
}

/** How a list is sorted: the index of its key, and whether the other way round. */
export interface Sort {
  readonly by: number;
  readonly reversed: boolean;
}

/** How every list begins: by its first key. */
export const FIRST_KEY: Sort = { by: 0, reversed: false };

/** The items in order. */
export function sorted<T>(items: readonly T[], keys: readonly SortKey<T>[], sort: Sort): readonly T[] {
  const key = keys[sort.by % keys.length];
  if (key === undefined) return items;
  const way = key.descending === sort.reversed ? 1 : -1;
  return items
    .map((item) => ({ item, value: key.value(item) }))
    .sort((a, b) => {
      if (a.value === null || b.value === null) return Number(a.value === null) - Number(b.value === null);
      return a.value === b.value ? 0 : a.value < b.value ? -way : way;
    })
    .map(({ item }) => item);
}

/** The sort by the next key. */
export function nextSort(sort: Sort, keys: number): Sort {
  return { by: (sort.by + 1) % keys, reversed: false };
}

/** `by cpu ↓`: what a title says of it. */
export function sortWords<T>(keys: readonly SortKey<T>[], sort: Sort): string {
  const key = keys[sort.by % keys.length];
  return key === undefined ? '' : `by ${key.name} ${key.descending === sort.reversed ? '↑' : '↓'}`;
}
