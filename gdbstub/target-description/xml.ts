// The subset of XML that target descriptions use: elements, attributes, comments, DOCTYPE, CDATA skipped as text.
// XML 1.0 §2–4; no DTD is read, no entity but the five built in and numbers is expanded, so nothing can blow up.

import { RspError } from '../error.ts';
import { quote } from '../framing/bytes.ts';

/** An element with its children in order. Text is kept joined; a target description has it only in leaves. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  readonly text: string;
}

interface OpenElement {
  name: string;
  attributes: Record<string, string>;
  children: XmlElement[];
  text: string;
}

const MAX_DEPTH = 32;
const MAX_ELEMENTS = 20_000;

const TOKEN =
  /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[[\s\S]*?\]\]>|<![A-Za-z][^<>[\]]*(?:\[[^\]]*\]\s*)?>|<\/\s*([\w:.-]+)\s*>|<([\w:.-]+)((?:\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/y;
const ATTRIBUTE = /([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** The root element. Throws RSP_MALFORMED for anything else than one well-formed element of bounded depth and number. */
export function parseXml(text: string): XmlElement {
  const document: OpenElement = { name: '', attributes: {}, children: [], text: '' };
  const open: OpenElement[] = [document];
  let count = 0;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const token = TOKEN.exec(text);
    if (token === null) throw malformed(`offset ${at}: ${quote(text.slice(at))} is not XML`);
    const [, closing, opening, attributes, selfClosing, characters] = token;
    const parent = open.at(-1)!;
    if (characters !== undefined) parent.text += decodeEntities(characters);
    else if (closing !== undefined) {
      if (open.length === 1 || parent.name !== closing) throw malformed(`offset ${at}: </${closing}> closes nothing`);
      open.pop();
    } else if (opening !== undefined) {
      count += 1;
      if (count > MAX_ELEMENTS || open.length > MAX_DEPTH) throw malformed(`offset ${at}: too many elements, or too deep`);
      const element: OpenElement = { name: opening, attributes: parseAttributes(attributes ?? ''), children: [], text: '' };
      parent.children.push(element);
      if (selfClosing === '') open.push(element);
    }
  }
  const root = document.children[0];
  if (open.length !== 1 || root === undefined || document.children.length !== 1) {
    throw malformed(`it ends inside <${open.at(-1)!.name}>, or has not one root`);
  }
  return root;
}

function parseAttributes(text: string): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const [, name, double, single] of text.matchAll(ATTRIBUTE)) attributes[name!] = decodeEntities(double ?? single ?? '');
  return attributes;
}

function decodeEntities(text: string): string {
  return text.replace(
    /&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|([a-z]+));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return ENTITIES[name] ?? whole;
      const code = hex !== undefined ? Number.parseInt(hex, 16) : Number.parseInt(decimal ?? '', 10);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

function malformed(what: string): RspError {
  return new RspError('RSP_MALFORMED', `the stub's target description cannot be read: ${what}`);
}
