// Partial knowledge: something could not be had or is in doubt. Never an error, always part of the result.

/** A remark in a result. `code` is stable and kebab-case (`image-mismatch`, `torn-stack`); `message` says what, why and what would help. */
export interface Diagnostic {
  readonly code: string;
  readonly message: string;
}
