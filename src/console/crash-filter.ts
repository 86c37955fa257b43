// Which grammar's first line a console line is. Healthy lines, nearly all, are told by one combined pattern.

import type { CrashGrammar, CrashOmen, CrashTexts, PrefixedText, Unikernel } from '../model/unikernel.ts';

/** A grammar that knows this line as its first. */
export interface CrashStart {
  readonly texts: CrashTexts;
  readonly grammar: CrashGrammar;
  readonly match: RegExpExecArray;
  readonly line: PrefixedText;
}

/** What a line outside a crash may mean. */
export interface LineMeaning {
  readonly starts: readonly CrashStart[];
  readonly omen: { readonly omen: CrashOmen; readonly text: string } | null;
  /** The system whose boot banner it is. */
  readonly banner: Unikernel | null;
}

/** Tells of any line, already without carriers' prefixes, what it means; null for nearly all. */
export type CrashFilter = (text: string) => LineMeaning | null;

/** `text` without the system's own prefix, and what that prefix said. */
export function splitPrefix(texts: CrashTexts, text: string): PrefixedText {
  const match = texts.prefix?.exec(text);
  return match === null || match === undefined
    ? { text, prefix: {} }
    : { text: text.slice(match[0].length), prefix: match.groups ?? {} };
}

/** Joins the first lines, banners and omens of all systems into one filter. */
export function makeCrashFilter(systems: readonly CrashTexts[], banners: readonly Unikernel[]): CrashFilter {
  const grammars = systems.flatMap((texts) => texts.crashes.map((grammar) => ({ texts, grammar })));
  const anchored = anyOf([
    ...grammars.map(({ grammar }) => grammar.start.source),
    ...systems.flatMap((texts) => (texts.omens ?? []).map((omen) => omen.pattern.source)),
    ...banners.map((system) => system.recognise.banner?.source ?? '^(?!)'),
  ]);
  const glued = anyOf(grammars.flatMap(({ grammar }) => (grammar.glued === undefined ? [] : [escaped(grammar.glued)])));
  const prefixed = systems.filter((texts) => texts.prefix !== undefined);

  const meaningOf = (text: string): LineMeaning | null => {
    const starts: CrashStart[] = [];
    for (const { texts, grammar } of grammars) {
      const line = splitPrefix(texts, text);
      const match = grammar.start.exec(line.text);
      if (match !== null) starts.push({ texts, grammar, match, line });
    }
    const omen = systems.map((texts) => findOmen(texts, splitPrefix(texts, text).text)).find((found) => found !== null) ?? null;
    const banner = banners.find((system) => system.recognise.banner?.test(text) === true) ?? null;
    return starts.length === 0 && omen === null && banner === null ? null : { starts, omen, banner };
  };

  return (text) => {
    if (anchored.test(text)) return meaningOf(text);
    if (prefixed.some((texts) => hasHit(anchored, texts, text))) return meaningOf(text);
    const at = text.search(glued);
    return at > 0 ? meaningOf(text.slice(at)) : null;
  };
}

function hasHit(anchored: RegExp, texts: CrashTexts, text: string): boolean {
  const line = splitPrefix(texts, text);
  return line.text.length < text.length && anchored.test(line.text);
}

function findOmen(texts: CrashTexts, text: string): LineMeaning['omen'] {
  const omen = texts.omens?.find(({ pattern }) => pattern.test(text));
  return omen === undefined ? null : { omen, text };
}

function anyOf(sources: readonly string[]): RegExp {
  return new RegExp(sources.length === 0 ? '^(?!)' : sources.map((source) => `(?:${source})`).join('|'));
}

function escaped(literal: string): string {
  return literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
