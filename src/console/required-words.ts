// What every text that an anchored pattern matches contains, read from the pattern's source (ECMA-262 §22.2.1): a line without it
// need not be asked. The same idea as the literal prefilters of RE2 and ripgrep.

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
/** A longer word is not worth more. */
const LONG_ENOUGH = 8;
const META = /[.*+?^${}()|[\]\\]/;
const QUANTIFIER = /^(?:[*?+]|\{(\d+)(?:,\d*)?\})\??/;

/**
 * Words of which every match of `source` has one; null when it need not have any. A tab may be shown as any number of spaces:
 * no word has two spaces in a row.
 */
export function requiredWords(source: string): readonly string[] | null {
  const alternatives = splitAlternatives(source).map(bestOfSequence);
  return alternatives.some((words) => words === null) ? null : alternatives.flatMap((words) => words ?? []);
}

/** How a text that a pattern matches ends: in some of `characters`, and before those stands `before`. */
export interface RequiredEnding {
  readonly before: string;
  readonly characters: ReadonlySet<string>;
}

/** The ending of every text that `source` matches to its end, such as a colon and digits; null when it cannot be told. */
export function requiredEnding(source: string): RequiredEnding | null {
  const [before, last, end] = splitAlternatives(source).length === 1 ? atomsOf(source).slice(-3) : [];
  if (before === undefined || last === undefined || end?.atom !== '$') return null;
  const [inner, ...others] = last.atom.startsWith('(') && last.isOnce ? atomsOf(insideOf(last.atom)) : [last];
  const literal = literalOf(before.atom);
  if (literal === null || !before.isOnce || inner?.isThere !== true || others.length > 0) return null;
  return /^(?:\\d|\[[^^])/.test(inner.atom) ? { before: literal, characters: charactersOf(inner.atom) } : null;
}

/** A literal, an escape, or a class: whatever it is, the regular expression itself knows what it matches. */
function charactersOf(atom: string): ReadonlySet<string> {
  const pattern = new RegExp(`^${atom}$`);
  return new Set(ASCII.filter((character) => pattern.test(character)));
}

/** Every stretch of plain characters and every group of a sequence requires words of its own: the longest are best. */
function bestOfSequence(sequence: string): readonly string[] | null {
  const choices: (readonly string[])[] = [];
  let run = '';
  const endRun = (): void => {
    if (run !== '') choices.push([run]);
    run = '';
  };
  for (const { atom, isThere, isOnce } of atomsOf(sequence)) {
    if (hasNoWidth(atom)) continue;
    const character = isThere ? literalOf(atom) : null;
    if (character === null || (character === ' ' && run.endsWith(' '))) endRun();
    if (isThere && atom.startsWith('(')) choices.push(requiredWords(insideOf(atom)) ?? []);
    run += character ?? '';
    if (!isOnce) endRun();
  }
  endRun();
  return choices.reduce<readonly string[] | null>((best, words) => (worth(words) > worth(best) ? words : best), null);
}

/** By the shortest word: it is met most often. */
function worth(words: readonly string[] | null): number {
  if (words === null || words.length === 0) return 0;
  return Math.min(...words.map((word) => Math.min(word.length, LONG_ENOUGH)));
}

interface Atom {
  readonly atom: string;
  /** At least one time. */
  readonly isThere: boolean;
  readonly isOnce: boolean;
}

function atomsOf(sequence: string): readonly Atom[] {
  const atoms: Atom[] = [];
  for (let at = 0; at < sequence.length; ) {
    const atom = sequence.slice(at, at + atomLength(sequence.slice(at)));
    const quantifier = QUANTIFIER.exec(sequence.slice(at + atom.length));
    const isThere = quantifier === null || quantifier[0].startsWith('+') || Number(quantifier[1] ?? 0) > 0;
    atoms.push({ atom, isThere, isOnce: quantifier === null });
    at += atom.length + (quantifier?.[0].length ?? 0);
  }
  return atoms;
}

function insideOf(group: string): string {
  return group.slice(1, -1).replace(/^\?(?::|<\w+>)/, '');
}

function hasNoWidth(atom: string): boolean {
  return atom === '^' || atom === '$' || atom === '\\b' || atom === '\\B' || /^\(\?<?[=!]/.test(atom);
}

/** The character that an atom stands for; null when it is a set or a group. */
function literalOf(atom: string): string | null {
  if (atom.length === 1) return META.test(atom) ? null : atom;
  return /^\\\W$/.test(atom) ? atom.slice(1) : null;
}

/** Length of the first atom of `source`: a group, a class, an escape or a character. */
function atomLength(source: string): number {
  if (source.startsWith('\\')) return 2;
  if (source.startsWith('[')) return classLength(source);
  if (!source.startsWith('(')) return 1;
  let depth = 0;
  for (let at = 0; at < source.length; at += 1) {
    const character = source[at];
    if (character === '\\') at += 1;
    else if (character === '[') at += classLength(source.slice(at)) - 1;
    else if (character === '(') depth += 1;
    else if (character === ')' && (depth -= 1) === 0) return at + 1;
  }
  return source.length;
}

function classLength(source: string): number {
  let at = 1;
  while (at < source.length && source[at] !== ']') at += source[at] === '\\' ? 2 : 1;
  return at + 1;
}

function splitAlternatives(source: string): string[] {
  const bars: number[] = [];
  for (let at = 0; at < source.length; at += atomLength(source.slice(at))) if (source[at] === '|') bars.push(at);
  return [-1, ...bars].map((bar, index) => source.slice(bar + 1, bars[index] ?? source.length));
}
