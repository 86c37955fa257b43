// When two crashes are the same bug. A signature is made of what stays when a program is built again, loaded elsewhere, or run on
// another vCPU: what happened and the guilty function's name. What another build or another text may say instead (a function that is
// not inlined there, a fault without its address, `abort` where this one knows the assertion) are the alternatives: a crash
// belongs to those of which its signature is an alternative.

import { createHash } from 'node:crypto';
import type { Frame } from '../model/frame.ts';
import { findOuterFunction, type Machinery } from './blame.ts';
import { type CrashFacts, findAssertion, findGuilty, findRecursion, nameOfFault } from './title.ts';

/** Frames without a name that together stand for a place. */
const NAMELESS = 3;
/** What is the same of an address under ASLR: its place in its page. */
const IN_PAGE = 0xfffn;

/** What makes a crash known again: 16 hex digits each. */
export interface CrashIdentity {
  readonly signature: string;
  /** What the same bug's signature is where less is known of it. Never the signature itself. */
  readonly alternatives: readonly string[];
}

/** The identity of a crash. */
export function identityOf(facts: CrashFacts, machinery: Machinery): CrashIdentity {
  const places = placesOf(facts, machinery);
  const systems = facts.unikernel === null ? [''] : [facts.unikernel, ''];
  const all = happenings(facts, places.isNamed).flatMap((what) =>
    places.all.flatMap((place) => systems.map((system) => digest([system, what, place]))),
  );
  const [signature = '', ...alternatives] = new Set(all);
  return { signature, alternatives };
}

function digest(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
}

/** What happened, then what a text that knows less would say of it. */
function happenings(facts: CrashFacts, isPlaceNamed: boolean): readonly string[] {
  const { kind, message } = facts;
  const line = message.split('\n')[0] ?? '';
  switch (kind) {
    case 'fault': {
      const fault = nameOfFault(facts);
      return fault === null ? ['fault'] : [`fault ${fault}`, 'fault'];
    }
    case 'assert':
      return [`assert ${normaliseWords(findAssertion(message) ?? '')}`, 'abort'];
    case 'exception':
      return [`exception ${normaliseWords(line)}`, 'abort'];
    case 'panic':
    case 'hang':
      return [`${kind} ${normaliseWords(line)}`];
    case 'abort':
    case 'out-of-memory':
      return [isPlaceNamed ? kind : `${kind} ${normaliseWords(line)}`];
  }
}

/** Where, by the best name there is, then by names that other builds may have for it. */
function placesOf(facts: CrashFacts, machinery: Machinery): { readonly all: readonly string[]; readonly isNamed: boolean } {
  const recursion = nameOfFault(facts) === 'stack overflow' ? findRecursion(facts.frames).map(normaliseFunction) : [];
  // Which of its functions a runaway recursion ends in is chance.
  if (recursion.length > 0) return { all: [recursion.join(' '), ...(recursion.length > 1 ? recursion : [])], isNamed: true };
  const guilty = findGuilty(facts, machinery);
  if (guilty !== null) {
    const outer = findOuterFunction(facts.frames, facts.frames.indexOf(guilty));
    return { all: [guilty, outer ?? guilty].map(placeOf), isNamed: true };
  }
  const { location } = facts;
  if (location !== null) return { all: [location.function ?? basename(location.file)], isNamed: true };
  return {
    all: [facts.frames.filter(isNameless).slice(0, NAMELESS).map(placeInPage).join(' ') || pageOffset(facts.pc)],
    isNamed: false,
  };
}

/** The function's name; the file's where functions need none. */
function placeOf({ function: name, file }: Frame): string {
  const plain = normaliseFunction(name ?? '<anonymous>');
  return plain === '<anonymous>' && file !== null ? `${plain} ${basename(file)}` : plain;
}

/** Without a name in the stack, modules and offsets tell bugs apart: "all unknown" must not become one bucket. */
function placeInPage({ module, pc }: Frame): string {
  return `${module ?? '?'}+${(pc & IN_PAGE).toString(16)}`;
}

function isNameless({ function: name, pc }: Frame): boolean {
  return name === null && pc !== 0n;
}

function pageOffset(pc: bigint | null): string {
  return pc === null ? '' : `+${(pc & IN_PAGE).toString(16)}`;
}

/**
 * Parts of names that differ from build to build: `.constprop.0`, `.isra.3`, `{closure#2}`, `func1.2`, a Rust hash; parameters and template
 * arguments, which some texts print and others do not.
 */
export function normaliseFunction(name: string): string {
  return withoutBrackets(name)
    .replace(/(?:\.|\$)(?:constprop|isra|part|cold|lto_priv|llvm)(?:\.\d+)*/g, '')
    .replace(/::h[0-9a-f]{16}$/, '')
    .replace(/\.func\d+(?:\.\d+)*/g, '.func')
    .replace(/(?<=^caml.*)_\d+$/, '')
    .trim();
}

/** `ns::Box<int>::put(char const*) const` → `ns::Box::put`; `operator()`, `<T as Trait>::f` and `(*T).method` keep theirs. */
function withoutBrackets(name: string): string {
  let simple = name.replace(/\{+(?:closure|lambda)[^}]*\}+/g, '{closure}');
  for (let before = ''; before !== simple; ) {
    before = simple;
    simple = simple.replace(/(?<=[\w$])(?<!operator)<[^<>]*>/g, '');
  }
  const parameters = simple.search(/(?<!operator)\((?!\*|anonymous)/);
  return parameters <= 0 ? simple : simple.slice(0, parameters);
}

/** Words without what is different each time: addresses, numbers, paths, identifiers. */
export function normaliseWords(text: string): string {
  return text
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, 'ID')
    .replace(/(?<![\w.])(?:\/[\w.@+-]+){2,}\/?/g, 'PATH')
    .replace(/0x[0-9a-f]+/gi, 'ADDR')
    .replace(/\b(?=[a-f]*\d)[0-9a-f]{8,16}\b/gi, 'ADDR')
    .replace(/\d+(?:\.\d+)*/g, 'NUM')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 200);
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
