// Which grammar's first line a console line is. Healthy lines, nearly all, are told by one combined pattern.

import type { CrashGrammar, CrashOmen, CrashTexts, PrefixedText, Unikernel } from '../model/unikernel.ts';
import { firstCharacters } from './first-characters.ts';

/** A grammar that knows this line as its first. */
export interface CrashStart {
  readonly texts: CrashTexts;
  readonly grammar: CrashGrammar;
  readonly match: RegExpExecArray;
  readonly line: PrefixedText;
  /** It stands behind other text on its line: a half-printed line, or somebody's quotation. */
  readonly isGlued: boolean;
}

/** What a line outside a crash may mean. */
export interface LineMeaning {
  /** The first grammar that knows it as its first line. */
  readonly start: CrashStart | null;
  readonly omen: { readonly omen: CrashOmen; readonly text: string } | null;
  /** The system whose boot banner it is. */
  readonly banner: Unikernel | null;
}

/**
 * Tells of any line, already without carriers' prefixes, what it means; null for nearly all. Where several grammars know a
 * line (`panic: …` of Go and of NetBSD), those of the unikernel that is known go first.
 */
export type CrashFilter = (text: string, unikernel: string | null) => LineMeaning | null;

/** `text` without the system's own prefix, and what that prefix said. */
export function splitPrefix(texts: CrashTexts, text: string): PrefixedText {
  const match = texts.prefix?.exec(text);
  return match === null || match === undefined
    ? { text, prefix: {} }
    : { text: text.slice(match[0].length), prefix: match.groups ?? {} };
}

/** Joins the first lines, banners and omens of all systems into one filter. */
export function makeCrashFilter(systems: readonly CrashTexts[], banners: readonly Unikernel[]): CrashFilter {
  const grammars = systems.flatMap((texts) => texts.crashes);
  const anchored = byFirstCharacter([
    ...grammars.map((grammar) => grammar.start.source),
    ...systems.flatMap((texts) => (texts.omens ?? []).map((omen) => omen.pattern.source)),
    ...banners.map((system) => system.recognise.banner?.source ?? '^(?!)'),
  ]);
  const glued = anyOf(grammars.flatMap((grammar) => (grammar.glued === undefined ? [] : [escaped(grammar.glued)])));
  const prefix = anyOf(
    systems.flatMap((texts) => (texts.prefix === undefined ? [] : [withoutNames(texts.prefix.source)])),
    'y',
  );

  const meaningOf = (text: string, unikernel: string | null, isGlued: boolean): LineMeaning | null => {
    const banner = banners.find((system) => system.recognise.banner?.test(text) === true) ?? null;
    let omen: LineMeaning['omen'] = null;
    for (const texts of systems.toSorted((a, b) => Number(b.name === unikernel) - Number(a.name === unikernel))) {
      const line = splitPrefix(texts, text);
      for (const grammar of texts.crashes) {
        const match = grammar.start.exec(line.text);
        if (match !== null) return { start: { texts, grammar, match, line, isGlued }, omen, banner };
      }
      omen ??= findOmen(texts, line.text);
    }
    return omen === null && banner === null ? null : { start: null, omen, banner };
  };

  return (text, unikernel) => {
    prefix.lastIndex = 0;
    const rest = prefix.test(text) ? text.slice(prefix.lastIndex) : text;
    if (anchored(rest)) return meaningOf(text, unikernel, false);
    const at = text.search(glued);
    return at > 0 ? meaningOf(text.slice(at), unikernel, true) : null;
  };
}

function findOmen(texts: CrashTexts, text: string): LineMeaning['omen'] {
  const omen = texts.omens?.find(({ pattern }) => pattern.test(text));
  return omen === undefined ? null : { omen, text };
}

function anyOf(sources: readonly string[], flags = ''): RegExp {
  return new RegExp(sources.length === 0 ? '^(?!)' : sources.map((source) => `(?:${source})`).join('|'), flags);
}

/** Whether any of the patterns matches: only those that can begin with the text's first character are asked. */
function byFirstCharacter(sources: readonly string[]): (text: string) => boolean {
  const firsts = sources.map((source) => ({ source, characters: firstCharacters(source) }));
  const table = Array.from({ length: 128 }, (_, code) => {
    const character = String.fromCharCode(code);
    const able = firsts.filter(({ characters }) => characters?.has(character) ?? true);
    return able.length === 0 ? null : anyOf(able.map(({ source }) => source));
  });
  const other = anyOf(firsts.filter(({ characters }) => characters === null).map(({ source }) => source));
  return (text) => {
    const code = text.charCodeAt(0);
    return code < 128 ? (table[code]?.test(text) ?? false) : other.test(text);
  };
}

/** Names cost more than all the rest of the match, and the filter only wants to know where it ends. */
function withoutNames(source: string): string {
  return source.replace(/\(\?<\w+>/g, '(?:');
}

function escaped(literal: string): string {
  return literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
