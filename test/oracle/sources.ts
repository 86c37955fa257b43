// A program of C and C++ for the comparison, made by rule: units that share inline functions, static functions of one name in every
// unit, templates over many types, lambdas, local types, exceptions, virtual calls, cold parts, #line, recursion.

const FUNCTIONS = 16;

/** How many units of each language a program has. */
export interface ProgramSize {
  readonly c: number;
  readonly cpp: number;
}

/** The files of the program by name. */
export function programSources(size: ProgramSize): Readonly<Record<string, string>> {
  const files: Record<string, string> = { 'shared.h': SHARED, 'shapes.hpp': SHAPES, 'main.c': mainSource(size) };
  for (let unit = 0; unit < size.c; unit += 1) files[`unit${unit}.c`] = cUnit(unit);
  for (let unit = 0; unit < size.cpp; unit += 1) files[`shapes${unit}.cpp`] = cppUnit(unit);
  return files;
}

const SHARED = `#include <stdint.h>
extern volatile int sink;
__attribute__((noreturn, noinline)) void fail(const char *why, int value);
static inline int twice(int x) { if (x & 1) return x + x; return x << 1; }
static inline int four_times(int x) { return twice(x) + twice(x + 1); }
static inline uint32_t mix(uint32_t h, uint32_t v) {
  h ^= v * 0x9e3779b1u;
  if (h & 0x80) h = (h << 13) | (h >> 19); else h += four_times((int)v);
  return h;
}
static inline int checked(int x, int limit) {
  if (__builtin_expect(x > limit, 0)) fail("limit", x);
  return x;
}
`;

function cUnit(unit: number): string {
  const functions = Array.from({ length: FUNCTIONS }, (_, index) => cFunction(unit, index));
  const calls = functions.map((_, index) => `  sum += part${index}(values, count, sum);`).join('\n');
  return `#include "shared.h"
#include <string.h>
#include <stdio.h>
struct record { int key; uint32_t hash; char name[${8 + unit}]; struct record *next; };
static int work(struct record *r, int depth) {
  if (!r || depth > ${3 + (unit % 4)}) return 0;
  r->hash = mix(r->hash, (uint32_t)r->key);
  return (int)(r->hash & 0xff) + work(r->next, depth + 1);
}
static inline int scale(int x) { return checked(x * ${unit + 3}, 1 << 28) + four_times(x); }
${functions.join('\n')}
int unit${unit}(const int *values, int count) {
  struct record tail = { count, ${unit}u, "tail", 0 }, head = { values[0], 1u, "head", &tail };
  int sum = work(&head, 0);
${calls}
  sink = sum;
  return sum;
}
`;
}

function cFunction(unit: number, index: number): string {
  const kind = (unit + index) % 4;
  const line = index === 5 && unit % 3 === 0 ? `#line ${1000 + unit} "made/grammar${unit}.y"\n` : '';
  const back = line === '' ? '' : `#line ${200 + unit} "unit${unit}.c"\n`;
  const keep = index % 3 === 0 ? '__attribute__((noinline)) ' : '';
  const head = `static ${keep}int part${index}(const int *values, int count, int seed) {\n  int total = seed;\n`;
  const bodies = [
    `  for (int i = 0; i < count; i++) {
    int v = checked(values[i], ${1 << 29});
    total += scale(v) ^ (int)mix((uint32_t)total, (uint32_t)v);
    if (total & ${1 << (index % 7)}) { int t = twice(total); total -= t; sink = t; }
  }
`,
    `  switch (seed & 7) {
    case 0: total += twice(count); break;
    case 1: total ^= four_times(values[0]); break;
    case 2: { char text[32]; snprintf(text, sizeof text, "%d-%d", seed, ${index}); total += (int)strlen(text); break; }
    case 3: fail("three", seed);
    case 5: total = scale(scale(total)); break;
    default: for (int i = count; i > 0; i /= 2) total += values[i - 1] * ${index + 1};
  }
`,
    `  int copy[16];
  memset(copy, ${index}, sizeof copy);
  for (int i = 0; i < count && i < 16; i++) copy[i] = scale(values[i]) + copy[(i * ${index + 1}) & 15];
  for (int i = 15; i >= 0; i--) total = (int)mix((uint32_t)total, (uint32_t)copy[i]);
`,
    `  if (count > 1 && seed < ${40 + index}) {
    total += part${index}(values + 1, count - 1, twice(seed) + 1);
    sink = total;
  } else if (__builtin_expect(seed == ${77 + index}, 0)) {
    fail("seed", mix((uint32_t)seed, ${unit}u) & 0xff);
  }
  total += scale(count);
`,
  ];
  return `${head}${line}${bodies[kind]!}${back}  return total;\n}`;
}

function mainSource(size: ProgramSize): string {
  const c = Array.from({ length: size.c }, (_, unit) => `unit${unit}`);
  const cpp = Array.from({ length: size.cpp }, (_, unit) => `shapes${unit}`);
  return `#include "shared.h"
#include <stdio.h>
#include <stdlib.h>
volatile int sink;
${[...c, ...cpp].map((name) => `int ${name}(const int *values, int count);`).join('\n')}
void fail(const char *why, int value) { fprintf(stderr, "%s %d\\n", why, value); abort(); }
int main(int argc, char **argv) {
  (void)argv;
  int values[8] = { 1, 2, 3, argc, 5, 6, 7, 8 };
  int sum = 0;
${[...c, ...cpp].map((name) => `  sum += ${name}(values, 8);`).join('\n')}
  return sum & 1;
}
`;
}

const SHAPES = `#pragma once
#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
extern "C" volatile int sink;
namespace shapes {
  struct Shape { virtual ~Shape() = default; virtual int area() const = 0; virtual std::string name() const { return "shape"; } };
  template <typename T, int N> struct Box : Shape {
    T side[N];
    explicit Box(T start) { for (int i = 0; i < N; i++) side[i] = start + static_cast<T>(i); }
    int area() const override { T all = 1; for (T s : side) all = static_cast<T>(all * s); return static_cast<int>(all); }
    struct Inner { static int depth(int x) { return x > 0 ? N + depth(x - 1) : 0; } };
  };
  template <typename T> T clamp(T value, T low, T high) {
    auto less = [](T a, T b) { return a < b; };
    return less(value, low) ? low : less(high, value) ? high : value;
  }
  template <typename First> int total(First first) { return static_cast<int>(first); }
  template <typename First, typename... Rest> int total(First first, Rest... rest) { return static_cast<int>(first) + total(rest...); }
  inline int guarded(const std::vector<int> &numbers, std::size_t at) {
    try { return numbers.at(at); } catch (const std::out_of_range &) { return -1; }
  }
}
`;

function cppUnit(unit: number): string {
  const types = ['int', 'long', 'short', 'unsigned', 'float', 'double', 'char', 'unsigned char'];
  const boxes = Array.from({ length: 8 }, (_, index) => `Box<${types[(unit + index) % types.length]!}, ${2 + unit + index}>`);
  return `#include "shapes.hpp"
namespace shapes {
  namespace {
    struct Counter { int count = ${unit}; ~Counter() { sink = count; } int step(int by) { return count += by; } };
    int hidden(int x) { struct Local { int v; int get() const { return v * ${unit + 2}; } } local{x}; return local.get(); }
    template <typename F> int apply(F f, int n) { Counter counter; int sum = 0; for (int i = 0; i < n; i++) sum += f(counter.step(i)); return sum; }
  }
  static int work(const std::map<std::string, int> &names) {
    int sum = 0;
    for (const auto &[name, value] : names) sum += static_cast<int>(name.size()) * value;
    return sum;
  }
  static std::unique_ptr<Shape> make(int kind) {
    switch (kind) {
${boxes.map((box, index) => `      case ${index}: return std::make_unique<${box}>(${index + 1});`).join('\n')}
      default: throw std::invalid_argument("kind " + std::to_string(kind));
    }
  }
}
extern "C" int shapes${unit}(const int *values, int count) {
  using namespace shapes;
  std::vector<int> numbers(values, values + count);
  std::sort(numbers.begin(), numbers.end(), [](int a, int b) { return a % ${unit + 3} > b % ${unit + 3}; });
  std::map<std::string, int> names;
  for (int number : numbers) names[std::to_string(number + ${unit})] += clamp(number, 1, ${unit + 5});
  int sum = work(names) + guarded(numbers, ${unit * 3}) + hidden(count);
  for (int kind = 0; kind < 8; kind++) sum += make(kind)->area();
  sum += apply([&](int x) { return apply([x](int y) { return x ^ y; }, x & 3) + hidden(x); }, count);
  sum += total(sum, 1L, 2.0f, static_cast<short>(count)) + Box<int, ${unit + 2}>::Inner::depth(count);
  try { make(sum | 8); } catch (const std::exception &error) { sum += static_cast<int>(std::string(error.what()).size()); }
  return sum;
}
`;
}
