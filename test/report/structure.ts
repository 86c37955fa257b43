// Small strict readers of the forms, for tests: each throws where a document's structure is broken, and gives what it says.

/** An element of XML, or of HTML written with all its ends. */
export interface Element {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: (Element | string)[];
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
const VOID_IN_HTML = new Set(['meta', 'input']);
const RAW_IN_HTML = new Set(['style', 'script']);
// biome-ignore lint/suspicious/noControlCharactersInRegex: the production Char of XML 1.0.
const NOT_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

/** Reads an XML document without a DTD (XML 1.0, 5th edition), or a page of ours; throws at the first thing that is not well-formed. */
export function parseMarkup(text: string, kind: 'xml' | 'html'): Element {
  const illegal = NOT_XML.exec(text);
  if (illegal !== null) throw new Error(`illegal character ${illegal[0].codePointAt(0)!.toString(16)} at ${illegal.index}`);
  const root: Element = { name: '', attributes: new Map(), children: [] };
  const open = [root];
  const prolog = /^(<\?xml version="1\.0" encoding="UTF-8"\?>|<!DOCTYPE html>)\n/.exec(text);
  let at = prolog?.[0].length ?? 0;
  while (at < text.length) {
    const top = open.at(-1)!;
    if (text[at] !== '<') {
      const end = nextTag(text, at);
      top.children.push(unescape(text.slice(at, end)));
      at = end;
      continue;
    }
    const close = /^<\/([a-z][\w-]*)>/i.exec(text.slice(at, at + 100));
    if (close !== null) {
      if (top.name !== close[1])
        throw new Error(`</${close[1] ?? ''}> ends <${top.name}> at ${at}: ${text.slice(at - 200, at + 20)}`);
      open.pop();
      at += close[0].length;
      continue;
    }
    const tag = /^<([a-z][\w-]*)((?:\s+[a-z][\w:-]*(?:="[^"<]*")?)*)\s*(\/?)>/i.exec(text.slice(at, at + 100_000));
    if (tag === null) throw new Error(`no tag at ${at}: ${text.slice(at, at + 100)}`);
    const element: Element = { name: tag[1]!, attributes: attributesOf(tag[2]!), children: [] };
    top.children.push(element);
    at += tag[0].length;
    if (tag[3] === '/' || (kind === 'html' && VOID_IN_HTML.has(element.name))) continue;
    if (kind === 'html' && RAW_IN_HTML.has(element.name)) {
      const end = text.indexOf(`</${element.name}`, at);
      element.children.push(text.slice(at, end));
      at = end;
    }
    open.push(element);
  }
  if (open.length !== 1) throw new Error(`<${open.at(-1)!.name}> is never ended`);
  return root;
}

function nextTag(text: string, at: number): number {
  const end = text.indexOf('<', at);
  return end < 0 ? text.length : end;
}

function attributesOf(text: string): ReadonlyMap<string, string> {
  const pairs = [...text.matchAll(/([a-z][\w:-]*)(?:="([^"]*)")?/gi)].map(
    ([, name, value]) => [name!, unescape(value ?? '')] as const,
  );
  const attributes = new Map(pairs);
  if (attributes.size !== pairs.length) throw new Error(`an attribute is there twice: ${text}`);
  return attributes;
}

function unescape(text: string): string {
  if (text.includes(']]>')) throw new Error('"]]>" in text');
  return text.replaceAll(/&([^;&]*);?/g, (whole, name: string) => {
    const character = ENTITIES[name];
    if (character === undefined || !whole.endsWith(';')) throw new Error(`not a reference: ${whole.slice(0, 20)}`);
    return character;
  });
}

/** All elements, parents first. */
export function elementsOf(root: Element): readonly Element[] {
  return root.children.flatMap((child) => (typeof child === 'string' ? [] : [child, ...elementsOf(child)]));
}

/** All text under an element. */
export function textOf(element: Element): string {
  return element.children.map((child) => (typeof child === 'string' ? child : textOf(child))).join('');
}

/** A workflow command. */
export interface WorkflowCommand {
  readonly level: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly message: string;
}

/** Reads commands as the runner does: names up to a space, properties split at commas, all up to `::`, then unescaped. */
export function parseCommands(text: string): readonly WorkflowCommand[] {
  const lines = text.split(/\r\n|\r|\n/);
  if (lines.pop() !== '') throw new Error('the last line is not ended');
  return lines.map((line) => {
    const end = line.indexOf('::', 2);
    if (!line.startsWith('::') || end < 0) throw new Error(`not a command: ${line}`);
    const [, level = '', rest = ''] = /^(\S+)(?: (.*))?$/.exec(line.slice(2, end)) ?? [];
    const properties = rest
      .split(',')
      .filter((pair) => pair !== '')
      .map((pair) => [pair.slice(0, pair.indexOf('=')), unescapeProperty(pair.slice(pair.indexOf('=') + 1))]);
    return {
      level,
      properties: Object.fromEntries(properties) as Record<string, string>,
      message: unescapeData(line.slice(end + 2)),
    };
  });
}

function unescapeData(text: string): string {
  return text.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%');
}

function unescapeProperty(text: string): string {
  return unescapeData(text.replaceAll('%3A', ':').replaceAll('%2C', ','));
}
