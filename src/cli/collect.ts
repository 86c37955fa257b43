// An option that may be given many times.

/** Adds one more value: commander's parser of such an option. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
