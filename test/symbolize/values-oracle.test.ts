// Arguments and locals of frames against gdb, at stops in real programs, optimised and not: equal, or said to be unknown.

import { describe, expect, it } from 'vitest';
import type { FrameVariable } from '../../src/model/frame.ts';
import { openImage } from '../../src/symbolize/image.ts';
import { createSymbolizer } from '../../src/symbolize/symbolizer.ts';
import { openUnwindModule } from '../../src/unwind/module.ts';
import { createUnwinder } from '../../src/unwind/unwinder.ts';
import { Scratch } from '../elf/scratch.ts';
import { collectValueStops, type GdbVariable, type ValueStops } from './gdb-values.ts';

const C = `
#include <string.h>
enum colour { RED, GREEN = 5 };
enum flags { F_A = 1, F_B = 2, F_C = 8 };
struct point { int x, y; };
struct list { struct list *next; long value; char name[12]; };
struct bits { unsigned a : 3; int b : 5; unsigned long c : 40; };
union any { int i; float f; };
typedef long (*binary)(long, long);
static volatile long sink;
static int counter = 3;
#define FN __attribute__((noinline))
FN long leaf(long a, long b) { long s = a * b + 7; sink += s; return s; }
FN long apply(binary op, long x, long y) { long r = op(x, y); sink += r; return r + x; }
static inline int square(int v) { int q = v * v; sink += q; return q + counter; }
static inline int both(int p, int q) { int one = square(p); int two = square(q); return one - two; }
FN int by_value(struct point p, struct bits b, union any u) { sink += p.x + b.b; int t = both(p.x, p.y); return t + u.i + (int)b.c; }
FN double floats(double d, float f, int n) { double total = d; for (int i = 0; i < n; i++) { total += f * i; sink += (long)total; } return total; }
FN long walk(const struct list *head, const char *label, int depth) {
  long sum = 0;
  for (const struct list *at = head; at; at = at->next) { long here = at->value; sum += here; sink += leaf(here, depth); }
  if (depth > 0) return walk(head->next ? head->next : head, label + 1, depth - 1) + sum;
  return sum + (long)strlen(label);
}
FN int vla(int n, unsigned char k) {
  int values[n];
  for (int i = 0; i < n; i++) values[i] = i * k;
  sink += leaf(values[n - 1], values[0]);
  return values[n / 2];
}
FN int enums(enum colour c, enum flags f, _Bool yes, char ch, unsigned long long big) { sink += c + f + yes + ch + (long)big; return (int)leaf(c, f) + yes; }
FN int many(int a, int b, int c, int d, int e, int f, int g, int h, struct point *p) { p->x = g; int t = (int)leaf(a + b, c + d); p->y = h; return t + e + f + p->x; }
FN int unused_later(int keep, int lost, int *out) { *out = lost * 2; sink += keep; long r = leaf(keep, 3); return (int)r + keep; }
int main(int argc, char **argv) {
  struct list c = {0, 3, "third"}, b = {&c, 2, "second"}, a = {&b, 1, "first"};
  struct point p = {argc + 2, -4}; struct bits bits = {5, -3, 0x123456789aUL}; union any u = {.f = 1.5f};
  for (int i = 0; i < 3; i++) {
    apply(leaf, i, 4); by_value(p, bits, u); floats(1.25, 0.5f, 4); walk(&a, "label text", 2); vla(5 + i, 200);
    enums(GREEN, F_A | F_C, 1, 'x', 0xfedcba9876543210ULL); many(1, 2, 3, 4, 5, 6, 7, 8, &p);
    int out; unused_later(9 + i, 2, &out); sink += out;
  }
  return (int)sink + argv[0][0];
}`;

const CPP = `
#include <string>
#include <vector>
#include <functional>
namespace shop {
enum class Colour : unsigned char { red, green = 7 };
struct Base { int id; virtual ~Base() {} virtual int cost(int n) const { return n + id; } };
struct Left : virtual Base { int l = 11; }; struct Right : virtual Base { int r = 22; };
struct Both : Left, Right { int b = 33; int cost(int n) const override { long here = n * b; return (int)here + id; } };
struct Item { std::string name; int count; Colour colour; double price; };
static volatile long sink;
#define FN __attribute__((noinline))
FN int price(const Item &item, int &total, Item &&moved, const std::string *label, Colour colour) {
  int local = item.count * 2; total += local; sink += moved.count; std::string copy = item.name + *label;
  auto add = [&local, &item](int by) { int sum = local + by + item.count; sink += sum; return sum; };
  return add(3) + (int)copy.size() + (int)colour;
}
FN int use(Base *base, int Item::*field, int (Base::*method)(int) const, const Item &it) { int got = (base->*method)(it.*field); sink += got; return got; }
template <typename T> struct Stack { std::vector<T> items; T top{}; FN T push(T value, int times) { for (int i = 0; i < times; i++) { items.push_back(value); sink += i; } top = value; return top; } };
FN long call(const std::function<int(int)> &f, int n) { int r = f(n); sink += r; return r; }
}
int main(int argc, char **) {
  using namespace shop;
  Item item{"a name that is longer than sixteen", 3, Colour::green, 2.5}; std::string label = "short"; int total = argc; Both both; both.id = 5;
  for (int i = 0; i < 3; i++) {
    price(item, total, Item{"moved", 4 + i, Colour::red, 1}, &label, Colour::green); use(&both, &Item::count, &Base::cost, item);
    Stack<long> stack; stack.push(40 + i, 3); call([&](int x) { return x + total + i; }, 6);
  }
  return (int)sink;
}`;

const C_STOPS = ['leaf', 'by_value', 'floats', 'walk', 'vla', 'enums', 'many', 'unused_later'];
const CPP_STOPS = ['shop::price', 'shop::use', 'shop::Both::cost', 'shop::Stack<long>::push', 'shop::call'];

interface Build {
  readonly source: string;
  readonly compiler: string;
  readonly flags: readonly string[];
  readonly at: readonly string[];
}

const BUILDS: Readonly<Record<string, Build>> = {
  'C, unoptimised': { source: C, compiler: 'gcc', flags: ['-O0'], at: C_STOPS },
  'C, -O2: location lists, inlined calls, entry values': { source: C, compiler: 'gcc', flags: ['-O2'], at: C_STOPS },
  'C, -O2, DWARF 4, types in units of their own': {
    source: C,
    compiler: 'gcc',
    flags: ['-O2', '-gdwarf-4', '-fdebug-types-section'],
    at: C_STOPS,
  },
  'C, -O1, DWARF 2': { source: C, compiler: 'gcc', flags: ['-O1', '-gdwarf-2'], at: C_STOPS },
  'C++, unoptimised': { source: CPP, compiler: 'g++', flags: ['-O0'], at: CPP_STOPS },
  'C++, -O2': { source: CPP, compiler: 'g++', flags: ['-O2'], at: CPP_STOPS },
};

describe.concurrent.each(Object.keys(BUILDS))('%s', (name) => {
  it('has the values that gdb prints, and says of no value that gdb does not know what it is', async () => {
    const found = await compare(BUILDS[name]!);
    expect(found.different).toEqual([]);
    expect(found.less).toEqual([]);
    expect(found.more).toEqual([]);
    expect(found.typeNames).toEqual([]);
    expect(found.equal).toBeGreaterThan(75);
  }, 60_000);
});

const JUMPS = `
static volatile long sink;
#define FN __attribute__((noinline))
FN long leaf(long a, long b) { long s = a * b + 7; sink += s; return s; }
FN long pong(long n, long lost);
FN long ping(long n, long lost) { sink += lost; if (n <= 0) { sink += leaf(n, 1); return 1; } return pong(n - 1, lost + 1); }
FN long pong(long n, long lost) { sink += lost; if (n <= 0) { sink += leaf(n, 2); return 2; } return ping(n - 1, lost + 2); }
FN long once(long n, long lost) { sink += lost; sink += leaf(n, 3); return sink; }
int main(void) { for (long i = 0; i < 4; i++) sink += ping(i, 10 + i) + once(i, 20 + i); return (int)sink; }`;

it('an entry value is not taken from a caller whose callee may have come back by a jump', async () => {
  const found = await valuesOf(JUMPS, { at: 'leaf', times: 8, steps: 0, stride: 1 }, 'lost');
  // ping(0, 10), ping(1, 11) → pong, …: who was called with what nobody can tell; once(0, 20) is beyond doubt.
  const expected = [0, 1, 2, 3].flatMap((i) => [i % 2 === 0 ? 'ping <optimized out>' : 'pong <optimized out>', `once ${20 + i}`]);
  expect(found).toEqual(expected);
});

/** What ours says of variable `name` in the second frame, at each stop. */
async function valuesOf(source: string, stop: ValueStops, name: string): Promise<string[]> {
  const own = new Scratch();
  own.write('program.c', source);
  const program = own.compile('program', ['program.c'], ['-g', '-O2', '-static', '-no-pie', '-w', '-fno-ipa-cp']);
  const collected = await collectValueStops({ folder: own.path, program, stops: [stop] });
  const image = openImage(program);
  const symbolizer = createSymbolizer([{ image, loadBias: 0n, match: 'unverified', placedBy: 'test' }]);
  const unwinder = createUnwinder({ modules: [openUnwindModule(image.elf, 0n)], rules: [], symbolizer });
  const found = collected.map(({ registers, memory }) => {
    const { frames } = unwinder.unwind(registers, memory);
    const [activation] = symbolizer.variables.read(frames, 1, memory);
    const called = symbolizer.symbolize(frames[1]!.pc, { isReturnAddress: true })[0]?.function ?? '?';
    return `${called} ${activation?.arguments.find((variable) => variable.name === name)?.value ?? 'absent'}`;
  });
  image.close();
  own.remove();
  return found;
}

interface Comparison {
  equal: number;
  readonly different: string[];
  readonly less: string[];
  readonly more: string[];
  readonly typeNames: string[];
}

async function compare({ source, compiler, flags, at }: Build): Promise<Comparison> {
  const own = new Scratch();
  const file = compiler === 'gcc' ? 'program.c' : 'program.cpp';
  own.write(file, source);
  const program = own.compile('program', [file], ['-g', '-static', '-no-pie', '-w', ...flags], compiler);
  const stops = at.map((place): ValueStops => ({ at: place, steps: 5, stride: 13 }));
  const collected = await collectValueStops({ folder: own.path, program, stops });
  const image = openImage(program);
  const symbolizer = createSymbolizer([{ image, loadBias: 0n, match: 'unverified', placedBy: 'test' }]);
  const unwinder = createUnwinder({ modules: [openUnwindModule(image.elf, 0n)], rules: [], symbolizer });
  const result: Comparison = { equal: 0, different: [], less: [], more: [], typeNames: [] };
  for (const stop of collected) {
    const memory = {
      read: (address: bigint, length: number) => stop.memory.read(address, length) ?? image.elf.readVirtual(address, length),
    };
    const { frames } = unwinder.unwind(stop.registers, memory);
    const theirs = [...stop.frames];
    frames.forEach((frame, index) => {
      const activations = symbolizer.variables.read(frames, index, memory, { locals: true });
      const real = theirs.findIndex(({ inlined }) => !inlined);
      const group = theirs.splice(0, real + 1);
      // Right at the start of an inlined call gdb does not show it yet.
      const shown = activations.slice(activations.length - group.length);
      if (group.at(-1)?.pc !== frame.pc || shown.length !== group.length) return;
      group.forEach(({ name, variables }, at2) => {
        const { arguments: parameters, locals } = shown[at2]!;
        for (const variable of variables) {
          const ours = (variable.isArgument ? parameters : locals).find((candidate) => candidate.name === variable.name);
          if (ours !== undefined) compareOne(`${name ?? '?'} ${frame.pc.toString(16)}`, ours, variable, result);
        }
      });
    });
  }
  expect(image.diagnostics).toEqual([]);
  image.close();
  own.remove();
  return result;
}

function compareOne(where: string, ours: FrameVariable, theirs: GdbVariable, result: Comparison): void {
  const line = `${where} ${theirs.name}: ${ours.value}, gdb ${theirs.text}`;
  if (ours.type !== theirs.type && !theirs.type.includes('lambda'))
    result.typeNames.push(`${ours.type ?? ''}, gdb ${theirs.type}`);
  if (theirs.integer === null && theirs.float === null) {
    // gdb calls a structure optimised out when any part of it is, and refuses arrays whose size is not set yet.
    const isWhole = !ours.value.includes('<') && !/requires|Cannot access/.test(theirs.text);
    if (theirs.text.startsWith('<') && ours.known && isWhole) result.more.push(line);
    return;
  }
  if (!ours.known) result.less.push(line);
  else if (isEqual(ours.value, theirs)) result.equal += 1;
  else result.different.push(line);
}

function isEqual(text: string, { integer, float, text: theirs }: GdbVariable): boolean {
  if (float !== null) return Math.abs(Number(text) - float) <= Math.abs(float) * 1e-6;
  const match = /^@?(-?)(0x[0-9a-f]+|\d+)/.exec(text);
  // Names of enumerators and booleans; gdb writes whose they are.
  if (match === null) return text === theirs || theirs.endsWith(`::${text}`);
  const value = match[1] === '-' ? -BigInt(match[2]!) : BigInt(match[2]!);
  return [8, 16, 32, 64].some((bits) => BigInt.asUintN(bits, value) === integer);
}
