// The functions of scripts beside those that the TypeScript compiler's parser finds, in packages as they are and minified.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { minifySync } from 'rolldown/utils';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { findAround, readScriptFunctions, type ScriptFunction } from '../../src/symbolize/script-functions.ts';

const PACKAGES = resolve(import.meta.dirname, '../../node_modules');
const FOLDERS = [
  'source-map/lib',
  'commander/lib',
  'blessed/lib',
  'blessed/lib/widgets',
  'pino/lib',
  'chrome-remote-interface/lib',
];

/** `kind name start end` of each function and class, by the compiler's parser. */
function functionsOf(text: string): string[] {
  const file = ts.createSourceFile('script.js', text, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const found: { readonly start: number; readonly text: string }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isClassLike(node)) {
      const open = node.members.pos - 1;
      found.push({ start: open, text: `class ${nameOf(node) ?? '-'} ${open} ${node.end}` });
    } else if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const kind = ts.isFunctionDeclaration(node) || ts.isFunctionExpression(node) || ts.isArrowFunction(node);
      const start = node.body.getStart();
      found.push({
        start,
        text: `${kind ? 'function' : 'method'} ${kind ? (nameOf(node) ?? '-') : '*'} ${start} ${node.body.end}`,
      });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found.sort((one, other) => one.start - other.start).map((each) => each.text);
}

/** Its own name, or the variable that it is assigned to at once. */
function nameOf(node: ts.ClassLikeDeclaration | ts.SignatureDeclaration): string | undefined {
  if (node.name !== undefined) return node.name.getText();
  const { parent } = node;
  if (ts.isVariableDeclaration(parent) && ts.isIdentifier(parent.name)) return parent.name.text;
  if (ts.isPropertyDeclaration(parent) || ts.isBindingElement(parent) || ts.isParameter(parent)) return parent.name.getText();
  if (!ts.isBinaryExpression(parent) || parent.operatorToken.kind !== ts.SyntaxKind.EqualsToken) return undefined;
  return ts.isIdentifier(parent.left) ? parent.left.text : undefined;
}

function told(text: string, { kind, name, start, end }: ScriptFunction): string {
  const called = kind === 'method' ? '*' : name === null ? '-' : text.slice(name.start, name.end);
  return `${kind} ${called} ${start} ${end}`;
}

describe('functions of scripts', () => {
  it.each(FOLDERS)('are those that the compiler finds in %s, as it is and minified', (folder) => {
    const files = readdirSync(join(PACKAGES, folder)).filter((name) => name.endsWith('.js'));
    expect(files.length).toBeGreaterThan(3);
    for (const name of files) {
      const text = readFileSync(join(PACKAGES, folder, name), 'utf8');
      for (const script of [text, minifySync(name, text).code]) {
        expect(
          readScriptFunctions(script).map((each) => told(script, each)),
          name,
        ).toEqual(functionsOf(script));
      }
    }
  });

  it('are told from the inside out', () => {
    const text = 'class Shop { open() { return [1].map(one => one + here) } } function other() {}';
    const around = [...findAround(readScriptFunctions(text), text.indexOf('here'))];
    expect(around.map((each) => told(text, each).split(' ').slice(0, 2).join(' '))).toEqual([
      'function -',
      'method *',
      'class Shop',
    ]);
    expect([...findAround(readScriptFunctions(text), text.indexOf('function other'))]).toEqual([]);
  });

  it('are none in what is no whole script, and nothing is thrown, whatever it is', () => {
    const script =
      'const f = (a = `x${b`y${1}`}`) => a / 2; class K { static #p = /[/]/g; get() { return {if: f(x => x ? 1 : 2)} } }';
    for (let length = 0; length < script.length; length += 1) {
      for (const { start, end } of readScriptFunctions(script.slice(0, length))) expect(start <= end && end <= length).toBe(true);
    }
    const pieces = fc.constantFrom(...['(', ')', '{', '}', '[', ']', '`', '${', '=>', '/', '"', "'", '\\', '\n', ',', ':', '?']);
    const words = fc.constantFrom('a', 'class', 'function', 'async', 'extends', 'if', '=', '*', '/*', '*/', '//', ' ', '\u2028');
    fc.assert(
      fc.property(fc.array(fc.oneof(pieces, words), { maxLength: 60 }), (parts) => {
        const text = parts.join('');
        const functions = readScriptFunctions(text);
        for (const [index, each] of functions.entries()) {
          expect(each.start <= each.end && each.end <= text.length && each.parent < index).toBe(true);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('are read in time that grows with the script, however deep it is', () => {
    for (const part of ['(', '=>', '`${', 'class a{', 'a=async(', '/*', '}', '{a(', 'x=>', '?x=>']) {
      const started = performance.now();
      readScriptFunctions(part.repeat(200_000));
      expect(performance.now() - started, part).toBeLessThan(3_000);
    }
  });
});
