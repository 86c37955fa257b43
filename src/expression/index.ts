// The expression language of `assert` and `ci`: docs/expressions.md.

export { parseExpectation } from './parse.ts';
export type { Expectation } from './syntax.ts';
export { type Verdict, watchExpectation } from './watch.ts';
