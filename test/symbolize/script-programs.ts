// A program in TypeScript that dies with stacks of every kind (methods, arrows, async frames, constructors), and its builds: compiled
// file by file, bundled, minified; with maps beside the scripts or in them.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import ts from 'typescript';

const LIST = `// A list that fails when it is asked for what it has not.
export interface Entry { readonly key: string; readonly value: number }

export class Registry {
  private readonly entries: Entry[] = [];

  addEntry(entry: Entry): this {
    this.entries.push(entry);
    return this;
  }

  lookUp(key: string): number {
    const found = this.entries.find((entry) => entry.key === key);
    if (found === undefined) throw new RangeError(\`no entry \${key}\`);
    return found.value;
  }

  static create(entries: readonly Entry[]): Registry {
    const registry = new Registry();
    for (const entry of entries) registry.addEntry(entry);
    return registry;
  }
}

export class Strict extends Registry {
  constructor(limit: number) {
    super();
    if (limit < 0) rejectLimit(limit);
  }
}

function rejectLimit(limit: number): never {
  throw new TypeError(\`limit \${limit}\`);
}
`;

const MAIN = `import { Registry, Strict } from './list.ts';

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

const describeError = (error: unknown): string => (error as Error).stack ?? '';

async function handleRequest(key: string): Promise<number> {
  await pause(1);
  const registry = Registry.create([{ key: 'one', value: 1 }]);
  const sumOf = (keys: readonly string[]): number => keys.map((each) => registry.lookUp(each)).reduce((a, b) => a + b, 0);
  return sumOf(['one', key]);
}

async function serveAll(keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    await handleRequest(key);
  }
}

function buildStrict(limit: number): Strict {
  return new Strict(limit);
}

async function startServer(): Promise<void> {
  try {
    await serveAll(['one', 'two']);
  } catch (error) {
    console.error(describeError(error));
  }
  try {
    buildStrict(-1);
  } catch (error) {
    console.error(describeError(error));
  }
  await serveAll(['three']);
}

startServer();
`;

/** The frames of the program's stacks, innermost first: what the source calls the function (null = nothing), and what its line has. */
export const STACKS: readonly { readonly name: string | null; readonly text: string }[] = [
  ...failedLookUp("await serveAll(['one', 'two'])"),
  { name: 'rejectLimit', text: 'throw new TypeError' },
  { name: 'new Strict', text: 'if (limit < 0) rejectLimit(limit)' },
  { name: 'buildStrict', text: 'return new Strict(limit)' },
  { name: 'startServer', text: 'buildStrict(-1)' },
  ...failedLookUp("await serveAll(['three'])"),
];

function failedLookUp(outermost: string): readonly { readonly name: string | null; readonly text: string }[] {
  return [
    { name: 'Registry.lookUp', text: 'throw new RangeError' },
    { name: null, text: 'registry.lookUp(each)' },
    { name: 'sumOf', text: 'keys.map(' },
    { name: 'handleRequest', text: "return sumOf(['one', key])" },
    { name: 'serveAll', text: 'await handleRequest(key)' },
    { name: 'startServer', text: outermost },
  ];
}

/** Ways to build it. */
export const BUILDS: readonly { readonly name: string; readonly build: (root: string) => Promise<void> }[] = [
  { name: 'tsc', build: async (root) => compile(root, { sourceMap: true }) },
  { name: 'tsc-inline', build: async (root) => compile(root, { inlineSourceMap: true }) },
  { name: 'tsc-root', build: async (root) => compile(root, { sourceMap: true, sourceRoot: '../src/' }) },
  { name: 'bundle', build: async (root) => bundle(root, { sourcemap: true }) },
  { name: 'bundle-inline', build: async (root) => bundle(root, { sourcemap: 'inline' }) },
  { name: 'minified', build: async (root) => bundle(root, { sourcemap: true, minify: true }) },
  { name: 'minified-inline', build: async (root) => bundle(root, { sourcemap: 'inline', minify: true }) },
  { name: 'minified-hidden', build: async (root) => bundle(root, { sourcemap: 'hidden', minify: true }) },
];

/** Writes the sources into `root/src` and a build into `root/dist`; gives the path of the script to run. */
export async function buildProgram(root: string, name: string): Promise<string> {
  mkdirSync(join(root, 'src'), { recursive: true });
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{"type":"module"}');
  writeFileSync(join(root, 'src', 'list.ts'), LIST);
  writeFileSync(join(root, 'src', 'main.ts'), MAIN);
  await BUILDS.find((each) => each.name === name)!.build(root);
  return join(root, 'dist', 'main.js');
}

/** What a script writes to standard error when Node runs it. */
export function runScript(path: string, options: readonly string[] = []): string {
  return spawnSync(process.execPath, [...options, path], { encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } }).stderr;
}

function compile(root: string, options: ts.CompilerOptions): Promise<void> {
  const compilerOptions: ts.CompilerOptions = {
    ...{ target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, outDir: join(root, 'dist') },
    ...{ rewriteRelativeImportExtensions: true, ...options },
  };
  for (const name of ['list', 'main']) {
    const source = readFileSync(join(root, 'src', `${name}.ts`), 'utf8');
    const fileName = join(root, 'src', `${name}.ts`);
    const { outputText, sourceMapText } = ts.transpileModule(source, { fileName, compilerOptions });
    writeFileSync(join(root, 'dist', `${name}.js`), outputText);
    if (sourceMapText !== undefined) writeFileSync(join(root, 'dist', `${name}.js.map`), sourceMapText);
  }
  return Promise.resolve();
}

async function bundle(
  root: string,
  output: { readonly sourcemap: true | 'inline' | 'hidden'; readonly minify?: boolean },
): Promise<void> {
  const build = await rolldown({ input: join(root, 'src', 'main.ts'), platform: 'node' });
  await build.write({ dir: join(root, 'dist'), format: 'esm', ...output });
  await build.close();
}
