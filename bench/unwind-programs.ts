// Hosted programs to compare stacks in: C, C++, Rust, Go and OCaml by this machine's compilers, and C for aarch64 and riscv64
// under QEMU's user emulation. A program whose compiler is not installed is left out.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openElf } from '../src/elf/file.ts';
import type { Machine } from '../src/model/machine.ts';
import { openImage, type PlacedImage } from '../src/symbolize/symbolizer.ts';
import { type Approach, type GdbSession, startGdb } from '../test/unwind/gdb-session.ts';
import { attach, type Running, type Subject } from './unwind-subjects.ts';

const C = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static volatile long sink;
__attribute__((noinline)) long leaf(long a, long b) { return a * b + 7; }
__attribute__((noinline)) long dynamic(long n) {
  char *p = __builtin_alloca(n * 16 + 1);
  memset(p, (int)n, n * 16);
  long aligned __attribute__((aligned(64))) = n;
  sink = (long)&aligned;
  return leaf(n, p[n]) + aligned;
}
__attribute__((noinline)) long recurse(long n) {
  if (n <= 0) return dynamic(5);
  long x = recurse(n - 1);
  return leaf(x, n) + x;
}
__attribute__((noinline)) long early(long *p, long n) {
  if (n == 0) return 0;
  for (long i = 0; i < n; i++) p[i] += leaf(i, n);
  return early(p + 1, n - 1) + p[0];
}
typedef long (*function)(long, long);
static volatile function through = leaf;
__attribute__((noinline)) long indirect(long n) { return through(n, 2) + 1; }
__attribute__((noinline)) double floats(double x, int n) { double y = x; for (int i = 0; i < n; i++) y = y * 1.01 + leaf(i, n); return y; }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b + (int)leaf(0, 0) - 7; }
__attribute__((noinline)) void sorting(void) {
  int v[24];
  for (int i = 0; i < 24; i++) v[i] = (i * 7919) % 31;
  qsort(v, 24, sizeof v[0], compare);
  sink += v[3];
}
__attribute__((noinline)) void text(void) {
  char buffer[100];
  snprintf(buffer, sizeof buffer, "%ld %s %f", sink, "word", floats(1.5, 9));
  char *copy = strdup(buffer);
  sink += strtol(copy, 0, 10) + (long)strlen(copy);
  free(copy);
}
__attribute__((noinline)) long many(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j) {
  long local[40];
  for (int k = 0; k < 40; k++) local[k] = leaf(a + k, j);
  return local[7] + b + c + d + e + f + g + h + i;
}
int main(void) {
  long v[6] = {1, 2, 3, 4, 5, 6};
  for (;;) { recurse(4); early(v, 6); indirect(3); text(); sorting(); sink += many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10); }
}
`;

const CPP = `
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
struct Shape { virtual ~Shape() {} virtual double area(int depth) const = 0; };
struct Square : Shape { double side; explicit Square(double s) : side(s) {} double area(int depth) const override {
  if (depth == 0) throw std::runtime_error("deep " + std::to_string(side)); return side * side; } };
struct Tree : Shape { std::vector<std::unique_ptr<Shape>> parts; double area(int depth) const override {
  double sum = 0; for (auto &part : parts) { std::string label(depth + 20, 'x'); sum += part->area(depth - 1) + label.size(); } return sum; } };
static volatile double sink;
static std::unique_ptr<Shape> make(int depth) {
  if (depth == 0) return std::make_unique<Square>(depth + 2.0);
  auto tree = std::make_unique<Tree>(); for (int i = 0; i < 2; i++) tree->parts.push_back(make(depth - 1)); return tree; }
static void attempt(int depth) {
  try { sink = make(4)->area(depth); } catch (const std::exception &error) { sink = sink + std::string(error.what()).size(); } }
int main() { for (int i = 0;; i++) { std::map<std::string, int> counts;
  for (int k = 0; k < 9; k++) counts["key" + std::to_string(k * 7 % 5)] += k; attempt(3 + i % 5); sink = sink + counts.size(); } }
`;

const RUST = `
use std::collections::HashMap;
#[inline(never)] fn fib(n: u64) -> u64 { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }
#[inline(never)] fn words(text: &str) -> HashMap<String, usize> { let mut m = HashMap::new();
  for w in text.split(' ') { *m.entry(w.to_string()).or_insert(0) += 1; } m }
#[inline(never)] fn sorted(m: &HashMap<String, usize>) -> Vec<String> { let mut v: Vec<_> = m.iter().map(|(k, n)| format!("{k}={n}")).collect();
  v.sort_by(|a, b| b.cmp(a)); v }
fn main() { let mut total = 0usize; loop { let m = words("the quick brown fox jumps over the lazy dog the end");
  total = total.wrapping_add(sorted(&m).join(",").len() + fib(9) as usize);
  let r = std::panic::catch_unwind(|| { "12x".parse::<i32>().map(|x| x + 1).unwrap_or(3) }); std::hint::black_box((r.is_ok(), total)); } }
`;

const GO = `package main
import ("fmt"; "sort"; "strings")
type node struct { left, right *node; value int }
func (n *node) insert(v int) *node { if n == nil { return &node{value: v} }
  if v < n.value { n.left = n.left.insert(v) } else { n.right = n.right.insert(v) }; return n }
func (n *node) sum() int { if n == nil { return 0 }; return n.left.sum() + n.value + n.right.sum() }
func words(text string) []string { parts := strings.Fields(text); sort.Slice(parts, func(i, j int) bool { return parts[i] > parts[j] }); return parts }
func guarded(n int) (result int) { defer func() { if r := recover(); r != nil { result = len(fmt.Sprint(r)) } }(); return []int{1, 2, 3}[n] }
var Sink int
func main() { work := make(chan int); done := make(chan int)
  go func() { for n := range work { var tree *node; for i := 0; i < 30; i++ { tree = tree.insert(i * 7919 % (n + 31)) }; done <- tree.sum() } }()
  for i := 0; ; i++ { work <- i % 50; Sink += <-done + len(words("the quick brown fox jumps over the lazy dog")) + guarded(i % 5) + len(fmt.Sprintf("%d %v", i, []string{"a"})) } }
`;

const OCAML = `
type tree = Leaf | Node of tree * int * tree
let rec insert v = function Leaf -> Node (Leaf, v, Leaf) | Node (l, x, r) -> if v < x then Node (insert v l, x, r) else Node (l, x, insert v r)
let rec sum = function Leaf -> 0 | Node (l, x, r) -> sum l + x + sum r
let total = ref 0
let safe n = try if n mod 3 = 0 then failwith "three" else List.nth [1;2;3] n with Failure s -> String.length s | Invalid_argument _ -> 0
let rec build n acc = if n = 0 then acc else build (n - 1) (insert (n * 7919 mod 101) acc)
let () = while true do
  total := !total + sum (build 40 Leaf) + safe (!total land 3) + String.length (String.concat "," (List.map string_of_int (List.sort compare [3;1;2]))) + Hashtbl.hash (Printf.sprintf "%d %s" 3 "x")
done
`;

interface Recipe {
  readonly name: string;
  readonly file: string;
  readonly source: string;
  /** Compiles `file` to `program` in its folder. */
  readonly compile: readonly string[];
  readonly machine?: Machine;
}

const DEBUG = ['-g', '-o', 'program', 'main.c', '-w'];

const RECIPES: readonly Recipe[] = [
  { name: 'c-O0', file: 'main.c', source: C, compile: ['gcc', '-O0', ...DEBUG] },
  { name: 'c-O2', file: 'main.c', source: C, compile: ['gcc', '-O2', ...DEBUG] },
  { name: 'c-O3', file: 'main.c', source: C, compile: ['gcc', '-O3', '-fomit-frame-pointer', '-static', ...DEBUG] },
  {
    name: 'c-debug-frame',
    file: 'main.c',
    source: C,
    compile: ['gcc', '-O2', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables', '-gz=zlib', ...DEBUG],
  },
  { name: 'c++-O2', file: 'main.cc', source: CPP, compile: ['g++', '-O2', '-g', '-o', 'program', 'main.cc'] },
  { name: 'rust', file: 'main.rs', source: RUST, compile: ['rustc', '-g', '-C', 'opt-level=2', '-o', 'program', 'main.rs'] },
  { name: 'go', file: 'main.go', source: GO, compile: ['go', 'build', '-o', 'program', 'main.go'] },
  { name: 'ocaml', file: 'main.ml', source: OCAML, compile: ['ocamlopt', '-g', '-o', 'program', 'main.ml'] },
  ...(['aarch64', 'riscv64'] as const).flatMap((machine): Recipe[] => {
    const recipe = (name: string, ...flags: readonly string[]): Recipe => ({
      ...{ name: `${machine}-${name}`, file: 'main.c', source: C, machine },
      compile: [`${machine}-linux-gnu-gcc`, '-static', ...flags, ...DEBUG],
    });
    const signed = machine === 'aarch64' ? [recipe('pac', '-O2', '-mbranch-protection=standard')] : [];
    return [recipe('O0', '-O0'), recipe('O2', '-O2'), ...signed];
  }),
];

/** The programs whose compilers are here. */
export function hostedSubjects(): Subject[] {
  return RECIPES.filter(
    ({ compile, machine }) => isInstalled(compile[0]!) && (machine === undefined || isInstalled('gdb-multiarch')),
  ).map((recipe) => ({
    name: recipe.name,
    interruptible: recipe.machine === undefined,
    approach: hostedApproach,
    start: async (folder) =>
      recipe.machine === undefined ? startNative(recipe, folder) : startEmulated(recipe, recipe.machine, folder),
  }));
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A third at random functions, the rest by steps from where it is. */
function hostedApproach(random: () => number, functions: readonly string[]): Approach {
  if (random() < 0.35) {
    const at = Array.from({ length: 60 }, () => functions[Math.floor(random() * functions.length)]!);
    return { seconds: 0.3, functions: at, steps: Math.floor(random() * 40) };
  }
  return { steps: 1 + Math.floor(random() * (random() < 0.6 ? 7 : 3000)) };
}

function compile({ file, source, compile: [compiler, ...flags] }: Recipe): string {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-program-'));
  process.once('exit', () => {
    rmSync(folder, { recursive: true, force: true });
  });
  writeFileSync(join(folder, file), source);
  execFileSync(compiler!, flags, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  return join(folder, 'program');
}

const programs = new Map<string, string>();

function programOf(recipe: Recipe): string {
  const path = programs.get(recipe.name) ?? compile(recipe);
  programs.set(recipe.name, path);
  return path;
}

function startNative(recipe: Recipe, folder: string): Running {
  const elf = programOf(recipe);
  const main = recipe.name === 'go' ? 'main.main' : 'main';
  const session = startGdb({ folder, elf, start: [`break ${main}`, 'run', 'delete'], limit: 300 });
  return attachTo(session, mappedImages(session));
}

async function startEmulated(recipe: Recipe, machine: Machine, folder: string): Promise<Running> {
  const elf = programOf(recipe);
  const port = await freePort();
  const qemu = spawn('timeout', ['900', `qemu-${machine}`, '-g', String(port), elf], { stdio: 'ignore' });
  await sleep(500);
  const start = [`target remote 127.0.0.1:${port}`, 'break main', 'continue', 'delete'];
  const session = startGdb({ gdb: 'gdb-multiarch', machine, folder, elf, start, limit: 300 });
  const running = attachTo(session, [{ image: openImage(elf), loadBias: 0n, match: 'unverified', placedBy: 'link address' }]);
  return {
    ...running,
    close: () => {
      running.close();
      qemu.kill();
    },
  };
}

function attachTo(session: GdbSession, placed: readonly PlacedImage[]): Running {
  return {
    ...attach(session, placed),
    close: () => {
      session.close();
      for (const { image } of placed) image.elf.close();
    },
  };
}

/** The program and its libraries, where the process has them now. */
function mappedImages(session: GdbSession): PlacedImage[] {
  const pid = Number(/process (\d+)/.exec(session.execute('info inferiors'))?.[1]);
  const first = new Map<string, bigint>();
  for (const [, start, offset, path] of readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(
    /^([0-9a-f]+)-\S+ \S+ ([0-9a-f]+) \S+ \d+ +(\/\S+)$/gm,
  )) {
    if (BigInt(`0x${offset!}`) === 0n && !first.has(path!) && existsSync(path!)) first.set(path!, BigInt(`0x${start!}`));
  }
  return [...first]
    .filter(([path]) => isElf(path))
    .map(([path, start]) => {
      const image = openImage(path);
      return { image, loadBias: start - image.elf.imageBase, match: 'unverified', placedBy: 'maps' };
    });
}

function isElf(path: string): boolean {
  try {
    openElf(path).close();
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
