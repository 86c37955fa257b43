// The expression language of `assert` and `ci`, as a tree: docs/expressions.md.

/** What a quantity counts. Times are in seconds, sizes in bytes; `plain` is a number of anything else. */
export type Dimension = 'bytes' | 'seconds' | 'plain';

/** A metric's series, chosen by name and attributes; several of them count together (their sum). */
export interface Selector {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Something that has a value at a moment. */
export type Quantity =
  | { readonly type: 'metric'; readonly selector: Selector }
  | { readonly type: 'call'; readonly function: 'rate' | 'max' | 'min'; readonly selector: Selector }
  /** `unit` is what was written behind the number, for saying it again. */
  | { readonly type: 'number'; readonly value: number; readonly dimension: Dimension; readonly text: string }
  | { readonly type: 'binary'; readonly operator: '+' | '-' | '*' | '/'; readonly left: Quantity; readonly right: Quantity };

export type Comparator = '<' | '<=' | '>' | '>=' | '==' | '!=';

/** What is true or not at a moment. */
export type Condition =
  | { readonly type: 'compare'; readonly operator: Comparator; readonly left: Quantity; readonly right: Quantity }
  /** Since the expectation began; `by` null = at all. */
  | {
      readonly type: 'change';
      readonly direction: 'increases' | 'decreases';
      readonly selector: Selector;
      readonly by: Quantity | null;
    }
  | { readonly type: 'present'; readonly selector: Selector; readonly wanted: boolean }
  | { readonly type: 'console'; readonly pattern: RegExp; readonly wanted: boolean };

/**
 * When it has to be true: `now` at the first moment it can be judged, `within` at some moment, `for` at every moment of a time,
 * `always` as long as anybody looks. Times in ms.
 */
export type Span =
  | { readonly type: 'now' }
  | { readonly type: 'within' | 'for'; readonly ms: number }
  | { readonly type: 'always' };

/** A whole expectation. */
export interface Expectation {
  /** As it was written. */
  readonly text: string;
  readonly condition: Condition;
  readonly span: Span;
}
