// Patterns of `/`: words as they stand (log text is full of brackets that a regular expression would misread), `~regex`,
// and `!` before either for lines that do not match. Case counts only when the pattern has a capital.

/** A compiled pattern. `find` gives the first match at or after `from`, for highlighting; null for an inverse pattern. */
export interface Pattern {
  readonly matches: (text: string) => boolean;
  readonly find: (text: string, from: number) => { readonly start: number; readonly end: number } | null;
}

/** Text beyond this is not searched: lines are bounded anyway, and a user's regular expression may be slow. */
const SEARCHED = 4096;

const patterns = new Map<string, Pattern | null>();

/** Compiles what was typed after `/`; null for nothing. A regular expression that does not compile (yet) is read as words. */
export function parsePattern(typed: string): Pattern | null {
  const known = patterns.get(typed);
  if (known !== undefined) return known;
  const pattern = compile(typed);
  if (patterns.size > 64) patterns.clear();
  patterns.set(typed, pattern);
  return pattern;
}

function compile(typed: string): Pattern | null {
  const inverse = typed.startsWith('!');
  const body = inverse ? typed.slice(1) : typed;
  if (body === '' || body === '~') return null;
  const find = finderOf(body);
  const matches = (text: string): boolean => find(text, 0) !== null;
  return inverse ? { matches: (text) => !matches(text), find: () => null } : { matches, find };
}

function finderOf(body: string): Pattern['find'] {
  const ignoreCase = body.toLowerCase() === body;
  const expression = body.startsWith('~') ? compileRegExp(body.slice(1), ignoreCase) : null;
  if (expression !== null) {
    return (text, from) => {
      expression.lastIndex = from;
      const match = expression.exec(text.slice(0, SEARCHED));
      return match === null ? null : { start: match.index, end: match.index + match[0].length };
    };
  }
  return (text, from) => {
    const searched = text.slice(0, SEARCHED);
    const start = (ignoreCase ? searched.toLowerCase() : searched).indexOf(body, from);
    return start < 0 ? null : { start, end: start + body.length };
  };
}

function compileRegExp(source: string, ignoreCase: boolean): RegExp | null {
  try {
    return new RegExp(source, ignoreCase ? 'gi' : 'g');
  } catch {
    return null;
  }
}
