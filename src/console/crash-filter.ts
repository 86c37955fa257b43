// Which grammar's first line a console line is. Nearly all lines have no word of any first line in them (WordIndex) and are told by
// that; the others are asked about in turn.

import type { CrashGrammar, CrashOmen, CrashTexts, PrefixedText, Unikernel } from '../model/unikernel.ts';
import { stripPrefixes } from './prefixes.ts';
import { WordIndex } from './word-index.ts';

/** A grammar that knows this line as its first. */
export interface CrashStart {
  readonly texts: CrashTexts;
  readonly grammar: CrashGrammar;
  readonly match: RegExpExecArray;
  readonly line: PrefixedText;
  /** The text that it stands behind on its line: a half-printed line, or somebody's quotation. Empty for nearly all. */
  readonly lead: string;
}

/** What a line outside a crash may mean. */
export interface LineMeaning {
  /** Of every system that knows it as a first line the first grammar that does; best first. */
  readonly starts: readonly CrashStart[];
  readonly omen: { readonly omen: CrashOmen; readonly text: string } | null;
  /** The system whose boot banner it is. */
  readonly banner: Unikernel | null;
}

/** Tells lines that mean something from the others. */
export interface CrashFilter {
  /**
   * What a line, with or without carriers' prefixes, means; null for nearly all. Where several grammars know a line
   * (`panic: …` of Go and of NetBSD), those of the unikernel that is known go first.
   */
  readonly meaningOf: (line: string, unikernel: string | null) => LineMeaning | null;
  /** Where between `from`, the start of a line, and `to` a word stands for which a line may mean something; `to` when there is none. */
  readonly search: (bytes: Uint8Array, from: number, to: number) => number;
  /** Whether a line, from `start` to `end` of a text, may mean something by how it ends. */
  readonly endsTelling: (text: string, start: number, end: number) => boolean;
}

/** `text` without the system's own prefix, and what that prefix said. */
export function splitPrefix(texts: CrashTexts, text: string): PrefixedText {
  const match = texts.prefix?.exec(text);
  return match === null || match === undefined
    ? { text, prefix: {} }
    : { text: text.slice(match[0].length), prefix: match.groups ?? {} };
}

/** One thing that a line may be. */
interface Mark {
  readonly pattern: RegExp;
  readonly texts: CrashTexts;
  /** Most specific first. */
  readonly order: number;
  readonly means: { readonly grammar: CrashGrammar } | { readonly omen: CrashOmen } | { readonly banner: Unikernel };
}

/** Joins the first lines, banners and omens of all systems into one filter. */
export function makeCrashFilter(systems: readonly CrashTexts[], banners: readonly Unikernel[]): CrashFilter {
  const marks = marksOf(systems, banners).map((mark, order) => ({ ...mark, order }));
  const index = new WordIndex<Mark>(marks.map((mark) => [mark, mark.pattern]));
  return {
    search: (bytes, from, to) => index.search(bytes, from, to),
    endsTelling: (text, start, end) => index.endsTelling(text, start, end),
    meaningOf: (line, unikernel) => {
      const found = index.find(line);
      if (found.length === 0) return null;
      const text = stripPrefixes(line);
      const asked =
        found.length === 1 ? found : found.toSorted((a, b) => rank(a, unikernel) - rank(b, unikernel) || a.order - b.order);
      const meaning = meaningOf(asked, text, '');
      if (meaning !== null && meaning.starts.length > 0) return meaning;
      const starts = startsBehind(asked, text);
      return starts.length === 0 ? meaning : { starts, omen: meaning?.omen ?? null, banner: meaning?.banner ?? null };
    },
  };
}

function marksOf(systems: readonly CrashTexts[], banners: readonly Unikernel[]): readonly Omit<Mark, 'order'>[] {
  const texts = systems.flatMap((system) => [
    ...system.crashes.map((grammar) => ({ pattern: grammar.start, texts: system, means: { grammar } })),
    ...(system.omens ?? []).map((omen) => ({ pattern: omen.pattern, texts: system, means: { omen } })),
  ]);
  const boots = banners.flatMap((banner) => {
    const pattern = banner.recognise.banner;
    return pattern === null ? [] : [{ pattern, texts: banner, means: { banner } }];
  });
  return [...texts, ...boots];
}

/** Those of the known unikernel come before all others. */
function rank({ texts }: Mark, unikernel: string | null): number {
  return texts.name === unikernel ? 0 : 1;
}

/** Behind other text, where the first of the grammars that are also looked for there begins. */
function startsBehind(marks: readonly Mark[], text: string): readonly CrashStart[] {
  const places = marks.flatMap((mark) => {
    const glued = 'grammar' in mark.means ? mark.means.grammar.glued : undefined;
    const at = glued === undefined ? -1 : text.indexOf(glued, 1);
    return at < 0 || isQuoting(text.slice(0, at)) ? [] : [{ mark, at }];
  });
  if (places.length === 0) return [];
  const first = Math.min(...places.map(({ at }) => at));
  const there = places.filter(({ at }) => at === first).map(({ mark }) => mark);
  return meaningOf(there, text.slice(first), text.slice(0, first))?.starts ?? [];
}

/** Somebody quotes what follows `lead`: it leaves a string open, or ends in an opening quotation mark, a bar, or how a pattern begins. */
export function isQuoting(lead: string): boolean {
  return lead.split('"').length % 2 === 0 || /(?:^|[\s(=:])['`]$|\| ?$|\/\^?$/.test(lead);
}

/** The first of each kind that knows the line. */
function meaningOf(marks: readonly Mark[], text: string, lead: string): LineMeaning | null {
  const starts: CrashStart[] = [];
  let omen: LineMeaning['omen'] = null;
  let banner: LineMeaning['banner'] = null;
  for (const { pattern, texts, means } of marks) {
    // A banner is matched as it stands.
    if ('banner' in means) {
      if (banner === null && pattern.test(text)) banner = means.banner;
      continue;
    }
    const line = splitPrefix(texts, text);
    const match = pattern.exec(line.text);
    if (match === null) continue;
    if ('omen' in means) omen ??= { omen: means.omen, text: line.text };
    else if (starts.every((start) => start.texts !== texts)) starts.push({ texts, grammar: means.grammar, match, line, lead });
  }
  return starts.length === 0 && omen === null && banner === null ? null : { starts, omen, banner };
}
