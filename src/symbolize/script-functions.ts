// Where the functions and classes of a script are, and under which names: enough of ECMA-262's lexical grammar (clause 12) to match
// brackets, in one pass. What cannot be read for certain gives no functions at all: a name that is not sure is not used.

/** A function or class: UTF-16 offsets of its body and of the name that its definition gives it. */
export interface ScriptFunction {
  /** `method`: of a class or an object; its name is a property's, which no minifier changes. */
  readonly kind: 'function' | 'method' | 'class';
  readonly name: Span | null;
  /** From the bracket that opens the body, or the first character of an arrow's expression. */
  readonly start: number;
  /** Behind the body. */
  readonly end: number;
  /** Index of the function or class around it; -1 outside of all. */
  readonly parent: number;
}

/** UTF-16 offsets, [start, end). */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The innermost function or class around `offset`, then those around it; `functions` as `readScriptFunctions` gives them. */
export function* findAround(functions: readonly ScriptFunction[], offset: number): Generator<ScriptFunction> {
  let [low, high] = [0, functions.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (functions[middle]!.start <= offset) low = middle + 1;
    else high = middle;
  }
  for (let at = low - 1; at >= 0; at = functions[at]!.parent) if (offset < functions[at]!.end) yield functions[at]!;
}

/** The functions and classes of a script in the order in which their bodies begin; none when its brackets do not match. */
export function readScriptFunctions(text: string): readonly ScriptFunction[] {
  const scanner = new Scanner(text);
  return scanner.read() ? scanner.functions : [];
}

/** What stands before the `(` of parameters, arguments or a condition. */
interface Parenthesis {
  readonly kind: 'function' | 'method' | 'control' | 'group';
  readonly name: Span | null;
  /** Its name when this turns out to be an arrow's parameters. */
  readonly arrow: Span | null;
}

interface Open {
  readonly closer: ')' | ']' | '}' | '`' | 'arrow';
  readonly parenthesis: Parenthesis | null;
  /** Index of the function whose body this is; -1 = of none. */
  readonly body: number;
  /** Of an arrow's expression: `?` in it whose `:` has not come. */
  conditions: number;
}

const TOKEN = /[\w$\\\u0080-\uffff]+|=>|[^\s\w$]/y;
const WORD = /^[\w$\\\u0080-\uffff]/;
const LINE_END = /[\n\r\u2028\u2029]/g;
const CONTROL = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await']);
/** Words behind which an expression begins. */
const BEFORE_EXPRESSION = new Set(
  'return typeof case in of delete void throw new instanceof do else yield await extends default'.split(' '),
);
/** Tokens that are remembered: `name = async function * (`. */
const REACH = 6;
/** More brackets inside each other are no script that anybody wrote. */
const MAX_DEPTH = 10_000;

class Scanner {
  readonly functions: (ScriptFunction & { end: number })[] = [];
  private readonly text: string;
  private readonly open: Open[] = [];
  private readonly before: Span[] = [];
  private around = -1;
  private closed: Parenthesis | null = null;
  private arrow: Span | null = null;
  private readonly classes: { readonly depth: number; name: Span | null; isNamed: boolean }[] = [];

  constructor(text: string) {
    this.text = text;
  }

  /** Whether all brackets matched. */
  read(): boolean {
    let at = this.text.startsWith('#!') ? this.text.search(/[\n\r]|$/) : 0;
    while (at < this.text.length) {
      const from = at;
      at = skipSpace(this.text, from);
      if (at >= this.text.length) break;
      if (this.open.at(-1)?.closer === 'arrow' && this.isNextStatement(from, at)) this.endArrows(from);
      const end = this.readToken(at);
      if (end === null || this.open.length > MAX_DEPTH) return false;
      at = end;
    }
    this.endArrows(at);
    return this.open.length === 0;
  }

  /** Where the token at `at` ends; null when this is no script. */
  private readToken(at: number): number | null {
    const char = this.text[at]!;
    let end: number | null;
    if (char === '"' || char === "'") end = endOfString(this.text, at);
    else if (char === '`') end = this.readTemplate(at + 1);
    else if (char === '/' && this.isExpressionNext()) end = endOfRegExp(this.text, at);
    else {
      TOKEN.lastIndex = at;
      end = TOKEN.test(this.text) ? TOKEN.lastIndex : at + 1;
      if (!WORD.test(char)) end = this.readPunctuator(at, end);
      else this.readWord({ start: at, end });
    }
    if (end === null) return null;
    this.before.push({ start: at, end });
    if (this.before.length > REACH) this.before.shift();
    return end;
  }

  private readPunctuator(at: number, end: number): number | null {
    switch (this.text.slice(at, end)) {
      case '(':
        this.open.push({ closer: ')', parenthesis: this.parenthesis(), body: -1, conditions: 0 });
        break;
      case '[':
        this.open.push({ closer: ']', parenthesis: null, body: -1, conditions: 0 });
        break;
      case '{':
        this.openBrace(at);
        break;
      case '=>':
        this.beginArrow(end);
        break;
      case '?':
        this.countCondition(at);
        break;
      case ':':
        this.endCondition(at);
        break;
      case ',':
      case ';':
        this.endArrows(at);
        break;
      case ')':
      case ']':
      case '}':
        return this.close(at);
    }
    return end;
  }

  private readWord(word: Span): void {
    const pending = this.classes.at(-1);
    const text = this.textOf(word);
    if (pending?.isNamed === false && pending.depth === this.open.length) {
      pending.isNamed = true;
      if (text !== 'extends') pending.name = word;
    }
    // A class has a name, `extends` or a body next; a property of that name has not.
    if (text === 'class' && this.word(1) !== '.' && /[\w$\\\u0080-\uffff{]/.test(this.text[skipSpace(this.text, word.end)] ?? ''))
      this.classes.push({ depth: this.open.length, name: this.assignedTo(1), isNamed: false });
  }

  private openBrace(at: number): void {
    const pending = this.classes.at(-1);
    let body = -1;
    if (pending?.depth === this.open.length) {
      this.classes.pop();
      body = this.begin('class', pending.name, at);
    } else if (this.word(1) === '=>') body = this.begin('function', this.arrow, at);
    else if (this.word(1) === ')' && this.closed !== null && (this.closed.kind === 'function' || this.closed.kind === 'method'))
      body = this.begin(this.closed.kind, this.closed.name, at);
    this.open.push({ closer: '}', parenthesis: null, body, conditions: 0 });
  }

  private beginArrow(end: number): void {
    const isParenthesised = this.word(1) === ')';
    const parameter = this.word(2) === 'async' ? 3 : 2;
    this.arrow = isParenthesised ? (this.closed?.arrow ?? null) : this.assignedTo(parameter);
    const at = skipSpace(this.text, end);
    if (this.text[at] === '{') return;
    this.open.push({ closer: 'arrow', parenthesis: null, body: this.begin('function', this.arrow, at), conditions: 0 });
  }

  private countCondition(at: number): void {
    const isOther = /^\?(?:\?|\.\D)/.test(this.text.slice(at, at + 3)) || this.text[at - 1] === '?';
    const top = this.open.at(-1);
    if (top?.closer === 'arrow' && !isOther) top.conditions += 1;
  }

  /** A `:` that is not of a condition in an arrow's expression is of one around it. */
  private endCondition(at: number): void {
    for (let top = this.open.at(-1); top?.closer === 'arrow'; top = this.open.at(-1)) {
      if (top.conditions > 0) {
        top.conditions -= 1;
        return;
      }
      this.end(this.open.pop()!, this.token(1)?.end ?? at);
    }
  }

  /** Whether a semicolon is meant in `[from, at)`: a word on a new line where none can follow. */
  private isNextStatement(from: number, at: number): boolean {
    const word = this.word(1);
    if (!/[\n\r]/.test(this.text.slice(from, at)) || !WORD.test(this.text[at]!)) return false;
    if (/^(?:in|of|instanceof)\b/.test(this.text.slice(at, at + 12))) return false;
    return WORD.test(word) ? !BEFORE_EXPRESSION.has(word) : /^[)\]}"'`]/.test(word);
  }

  /** Expressions of arrows end where the expression around them goes on. */
  private endArrows(at: number): void {
    const end = this.token(1)?.end ?? at;
    while (this.open.at(-1)?.closer === 'arrow') this.end(this.open.pop()!, end);
  }

  private close(at: number): number | null {
    this.endArrows(at);
    const opened = this.open.pop();
    const char = this.text[at];
    if (opened === undefined || (opened.closer === '`' ? '}' : opened.closer) !== char) return null;
    this.end(opened, at + 1);
    if (char === ')') this.closed = opened.parenthesis;
    while ((this.classes.at(-1)?.depth ?? 0) > this.open.length) this.classes.pop();
    return opened.closer === '`' ? this.readTemplate(at + 1) : at + 1;
  }

  private readTemplate(at: number): number | null {
    const end = endOfTemplate(this.text, at);
    if (end !== null && this.text[end - 1] === '{') this.open.push({ closer: '`', parenthesis: null, body: -1, conditions: 0 });
    return end;
  }

  private begin(kind: ScriptFunction['kind'], name: Span | null, start: number): number {
    this.functions.push({ kind, name, start, end: this.text.length, parent: this.around });
    this.around = this.functions.length - 1;
    return this.around;
  }

  private end({ body }: Open, at: number): void {
    if (body < 0) return;
    const ended = this.functions[body]!;
    ended.end = Math.max(ended.start, at);
    this.around = ended.parent;
  }

  private parenthesis(): Parenthesis {
    const name = this.token(1);
    const word = this.word(1);
    if (word === '=') return { kind: 'group', name: null, arrow: this.assignedTo(1) };
    const keyword = [1, 2, 3].find((back) => this.word(back) === 'function');
    const isGenerator = this.word(keyword === 1 ? 1 : (keyword ?? 1) - 1) === '*';
    if (keyword === 1 || (keyword === 2 && isGenerator)) {
      const from = this.word(keyword + 1) === 'async' ? keyword + 2 : keyword + 1;
      return { kind: 'function', name: this.assignedTo(from), arrow: null };
    }
    if (keyword === 2 || (keyword === 3 && this.word(2) === '*')) return { kind: 'function', name, arrow: null };
    if (CONTROL.has(word))
      return { kind: this.word(2) === '.' || this.isInClass() ? 'method' : 'control', name: null, arrow: null };
    if (WORD.test(word)) return { kind: 'method', name, arrow: word === 'async' ? this.assignedTo(2) : null };
    return { kind: word === ']' || /^["']/.test(word) ? 'method' : 'group', name: null, arrow: null };
  }

  /** The variable that is assigned what begins here: `name =`, not `object.name =`. `back` is how far back the `=` stands. */
  private assignedTo(back: number): Span | null {
    if (this.word(back) !== '=' || !WORD.test(this.word(back + 1)) || this.word(back + 2) === '.') return null;
    return this.token(back + 1);
  }

  /** Whether what comes next is a member of a class, and no statement. */
  private isInClass(): boolean {
    const body = this.open.at(-1)?.body ?? -1;
    return body >= 0 && this.functions[body]!.kind === 'class';
  }

  private isExpressionNext(): boolean {
    const word = this.word(1);
    if (word === ')') return this.closed?.kind === 'control';
    if (word.startsWith('`')) return this.text[this.token(1)!.end - 1] === '{';
    if (word === ']' || /^["']/.test(word)) return false;
    if ((word === '+' || word === '-') && this.word(2) === word) return false;
    return !WORD.test(word) || (BEFORE_EXPRESSION.has(word) && this.word(2) !== '.');
  }

  private token(back: number): Span | null {
    return this.before.at(-back) ?? null;
  }

  private word(back: number): string {
    const token = this.token(back);
    return token === null ? '' : this.textOf(token);
  }

  private textOf({ start, end }: Span): string {
    return this.text.slice(start, Math.min(end, start + 64));
  }
}

/** Behind white space and comments. */
function skipSpace(text: string, from: number): number {
  for (let at = from; ; ) {
    const char = text[at];
    if (char === '/' && text[at + 1] === '/') {
      LINE_END.lastIndex = at;
      at = LINE_END.test(text) ? LINE_END.lastIndex : text.length;
    } else if (char === '/' && text[at + 1] === '*') {
      const end = text.indexOf('*/', at + 2);
      at = end < 0 ? text.length : end + 2;
    } else if (char !== undefined && /\s/.test(char)) at += 1;
    else return at;
  }
}

function endOfString(text: string, from: number): number | null {
  for (let at = from + 1; at < text.length; at += 1) {
    const char = text[at]!;
    if (char === text[from]) return at + 1;
    if (char === '\\') at += text.startsWith('\r\n', at + 1) ? 2 : 1;
    else if (char === '\n' || char === '\r') return null;
  }
  return null;
}

/** Behind the closing backtick, or behind the `${` of a substitution. */
function endOfTemplate(text: string, from: number): number | null {
  for (let at = from; at < text.length; at += 1) {
    const char = text[at]!;
    if (char === '`') return at + 1;
    if (char === '\\') at += 1;
    else if (char === '$' && text[at + 1] === '{') return at + 2;
  }
  return null;
}

function endOfRegExp(text: string, from: number): number | null {
  let isInClass = false;
  for (let at = from + 1; at < text.length; at += 1) {
    const char = text[at]!;
    if (char === '\n' || char === '\r') return null;
    if (char === '\\') at += 1;
    else if (char === '[') isInClass = true;
    else if (char === ']') isInClass = false;
    else if (char === '/' && !isInClass) return at + 1;
  }
  return null;
}
