// Tokens → an expectation: docs/expressions.md, "Grammar". Recursive descent; the nesting of parentheses is bounded.

import type { Comparator, Condition, Expectation, Quantity, Selector, Span } from './syntax.ts';
import { syntaxError, type Token, tokenize } from './tokens.ts';

const COMPARATORS: readonly string[] = ['<', '<=', '>', '>=', '==', '!='];
const FUNCTIONS = ['rate', 'max', 'min'] as const;
const MAX_DEPTH = 20;

/** Parses one expectation. Throws USAGE: what is wrong, and where, with a caret under it. */
export function parseExpectation(text: string): Expectation {
  return new Parser(text).expectation();
}

class Parser {
  private readonly text: string;
  private readonly tokens: readonly Token[];
  private next = 0;
  private depth = 0;

  constructor(text: string) {
    this.text = text;
    this.tokens = tokenize(text);
  }

  expectation(): Expectation {
    const condition = this.condition();
    const span = this.span();
    if (this.peek().type !== 'end') this.fail('the expectation should end here, or go on with within, for or always');
    return { text: this.text.trim(), condition, span };
  }

  private condition(): Condition {
    if (this.peek().text === 'console' && ['~', '!~'].includes(this.peek(1).text)) return this.console();
    const left = this.sum();
    const operator = this.peek().text;
    if (COMPARATORS.includes(operator)) {
      this.take();
      return { type: 'compare', operator: operator as Comparator, left, right: this.sum() };
    }
    if (left.type !== 'metric') return this.fail('a comparison is expected here: <, <=, >, >=, == or !=');
    return this.predicate(left.selector);
  }

  private console(): Condition {
    this.take();
    const wanted = this.take().text === '~';
    const token = this.take();
    if (token.type !== 'regex') return this.fail('a regular expression is expected here: /listening on/', token);
    return { type: 'console', pattern: token.pattern, wanted };
  }

  /** `increases [by QUANTITY]`, `decreases …`, `is present`, `is absent`. */
  private predicate(selector: Selector): Condition {
    const word = this.take();
    if (word.text === 'increases' || word.text === 'decreases') {
      return { type: 'change', direction: word.text, selector, by: this.accept('by') ? this.sum() : null };
    }
    if (word.text === 'is') {
      const state = this.take();
      if (state.text === 'present' || state.text === 'absent') {
        return { type: 'present', selector, wanted: state.text === 'present' };
      }
      return this.fail('"present" or "absent" is expected here', state);
    }
    return this.fail('a comparison (<, >, ==, …), "increases", "decreases" or "is present" is expected here', word);
  }

  private span(): Span {
    if (this.accept('always')) return { type: 'always' };
    for (const type of ['within', 'for'] as const) {
      if (!this.accept(type)) continue;
      const token = this.take();
      if (token.type !== 'number' || token.dimension !== 'seconds')
        return this.fail('a time span is expected here: 500ms, 8s, 2m', token);
      return { type, ms: token.value * 1000 };
    }
    return { type: 'now' };
  }

  private sum(): Quantity {
    let left = this.product();
    for (let token = this.peek(); token.text === '+' || token.text === '-'; token = this.peek()) {
      this.take();
      left = { type: 'binary', operator: token.text, left, right: this.product() };
    }
    return left;
  }

  private product(): Quantity {
    let left = this.atom();
    for (let token = this.peek(); token.text === '*' || token.text === '/'; token = this.peek()) {
      this.take();
      left = { type: 'binary', operator: token.text, left, right: this.atom() };
    }
    return left;
  }

  private atom(): Quantity {
    const token = this.take();
    if (token.type === 'number') return { type: 'number', value: token.value, dimension: token.dimension, text: token.text };
    if (token.text === '(') return this.parenthesis(token);
    if (token.type !== 'name') return this.fail("a metric's name or a number is expected here", token);
    const called = FUNCTIONS.find((name) => name === token.text);
    if (called === undefined || !this.accept('(')) return { type: 'metric', selector: this.selector(token) };
    const name = this.take();
    if (name.type !== 'name') return this.fail(`${called}() takes a metric: ${called}(system.network.packets)`, name);
    const selector = this.selector(name);
    this.expect(')');
    return { type: 'call', function: called, selector };
  }

  private parenthesis(opening: Token): Quantity {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) this.fail(`more than ${MAX_DEPTH} parentheses in one another`, opening);
    const inner = this.sum();
    this.expect(')');
    this.depth -= 1;
    return inner;
  }

  /** `name{key=value, key="value"}`. */
  private selector(name: Token): Selector {
    const attributes: Record<string, string> = {};
    if (this.accept('{')) {
      while (!this.accept('}')) {
        const key = this.take();
        if (key.type !== 'name') this.fail("an attribute's name is expected here: {direction=receive}", key);
        this.expect('=');
        const value = this.take();
        if (value.type === 'symbol' || value.type === 'end') this.fail("an attribute's value is expected here", value);
        attributes[key.text] = value.type === 'string' ? value.text.slice(1, -1) : value.text;
        if (!this.accept(',') && this.peek().text !== '}') this.fail('"," or "}" is expected here');
      }
    }
    return { name: name.text, attributes };
  }

  private peek(ahead = 0): Token {
    return this.tokens[Math.min(this.next + ahead, this.tokens.length - 1)]!;
  }

  private take(): Token {
    const token = this.peek();
    if (token.type !== 'end') this.next += 1;
    return token;
  }

  private accept(text: string): boolean {
    const found = this.peek().text === text && this.peek().type !== 'string';
    if (found) this.take();
    return found;
  }

  private expect(text: string): void {
    if (!this.accept(text)) this.fail(`"${text}" is expected here`);
  }

  private fail(what: string, token: Token = this.peek()): never {
    throw syntaxError(this.text, token.at, what);
  }
}
