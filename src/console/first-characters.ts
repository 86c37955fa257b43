// Which characters a text must begin with to match an anchored pattern, read from the pattern's source (ECMA-262 §22.2.1).
// Lets the crash filter ask only the few patterns that can match a line at all.

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));

/** The ASCII characters that a match of `source` (which begins with `^`) may begin with; null when it cannot be told. */
export function firstCharacters(source: string): ReadonlySet<string> | null {
  const found = new Set<string>();
  for (const alternative of splitAlternatives(source)) {
    const first = firstOfSequence(alternative);
    if (first === null) return null;
    for (const character of first) found.add(character);
  }
  return found;
}

function firstOfSequence(sequence: string): ReadonlySet<string> | null {
  const rest = sequence.startsWith('^') ? sequence.slice(1) : sequence;
  if (rest === '') return null;
  const atom = rest.slice(0, atomLength(rest));
  if (/^\(\?<?[=!]/.test(atom)) return firstOfSequence(rest.slice(atom.length));
  const own = atom.startsWith('(') ? firstCharacters(atom.slice(1, -1).replace(/^\?:/, '')) : charactersOf(atom);
  const quantifier = /^(?:[?*]|\{0[,}][^}]*\}?)/.exec(rest.slice(atom.length));
  if (own === null || quantifier === null) return own;
  const next = firstOfSequence(rest.slice(atom.length + quantifier[0].length));
  return next === null ? null : new Set([...own, ...next]);
}

/** A literal, an escape, or a class: whatever it is, the regular expression itself knows what it matches. */
function charactersOf(atom: string): ReadonlySet<string> | null {
  if (atom === '.' || atom.startsWith('[^') || /^\\[WDSpPbB]/.test(atom)) return null;
  const pattern = new RegExp(`^${atom}$`);
  return new Set(ASCII.filter((character) => pattern.test(character)));
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
