// Programs whose debug info the tests compare with binutils and elfutils, and the ways they are compiled.

import type { Scratch } from '../elf/scratch.ts';

const HEADER = `
static inline int twice(int x) { if (x & 1) return x + x; return x << 1; }
static inline int four_times(int x) { return twice(x) + twice(x + 1); }
struct node { struct node *next; int value; };
extern volatile int sink;
int walk(struct node *list);
int fold(const int *values, int count);
`;

const MAIN = `#include "shapes.h"
#include <stdio.h>
#include <stdlib.h>
volatile int sink;
static int __attribute__((noinline)) leaf(int x) { return four_times(x) ^ sink; }
static inline int middle(int x) {
  int sum = 0;
  for (int i = 0; i < x; i++) { int t = four_times(i); sum += t; sink = sum; }
  return sum;
}
int __attribute__((noinline)) outer(int x) {
  if (x < 0) { fprintf(stderr, "negative %d\\n", x); abort(); }
  return middle(x) + leaf(x) + middle(x + 2);
}
static int recurse(int n) { return n <= 1 ? 1 : n * recurse(n - 1) + sink; }
int main(int argc, char **argv) {
  (void)argv;
  struct node a = { 0, argc }, b = { &a, 2 };
  int values[8] = { 1, 2, 3, argc };
  return outer(argc) + recurse(argc + 3) + walk(&b) + fold(values, 8);
}
`;

const LIST = `#include "shapes.h"
int walk(struct node *list) {
  int sum = 0;
  for (; list; list = list->next) {
    sum += twice(list->value);
#line 500 "generated/made up.y"
    sink += sum;
    if (__builtin_expect(sum > 100000, 0)) __builtin_trap();
  }
#line 12 "list.c"
  return sum;
}
int fold(const int *values, int count) {
  int apply(int x) { return x * count + four_times(x); }
  int total = 0;
  for (int i = 0; i < count; i++) total += apply(values[i]);
  return total;
}
`;

const CPP = `#include <vector>
#include <algorithm>
#include <string>
namespace shapes {
  template <typename T> struct Box {
    T value;
    explicit Box(T v) : value(v) {}
    T get() const { return value; }
    struct Inner { static int depth(int x) { return x ? 1 + depth(x - 1) : 0; } };
  };
  static int area(const Box<int> &a, const Box<int> &b) { return a.get() * b.get(); }
  namespace { int hidden(int x) { auto add = [x](int y) { return x + y; }; return add(3); } }
}
int main(int argc, char **) {
  std::vector<int> numbers{3, 1, 2, argc};
  std::sort(numbers.begin(), numbers.end(), [](int a, int b) { return a > b; });
  std::string text(static_cast<size_t>(argc), 'x');
  shapes::Box<int> box(numbers[0]);
  return shapes::area(box, box) + shapes::hidden(argc) + shapes::Box<int>::Inner::depth(argc) + static_cast<int>(text.size());
}
`;

const ASSEMBLY = `
  .text
  .globl from_assembly
  .type from_assembly, @function
from_assembly:
  movl $1, %eax
  addl $2, %eax
  ret
  .size from_assembly, . - from_assembly
`;

/** Writes the sources into the folder. */
export function writePrograms(scratch: Scratch): void {
  scratch.write('shapes.h', HEADER);
  scratch.write('main.c', MAIN);
  scratch.write('list.c', LIST);
  scratch.write('high.c', '#include "shapes.h"\nvolatile int sink;\nint high(int x) { return four_times(x) + sink; }\n');
  scratch.write('shapes.cpp', CPP);
  scratch.write('code.S', ASSEMBLY);
}

/** One way of compiling: the files, gcc's flags, the compiler. */
export interface Build {
  readonly sources: readonly string[];
  readonly flags: readonly string[];
  readonly compiler?: string;
}

const C = ['main.c', 'list.c', 'code.S'];
const HIGH_HALF = [
  '-mcmodel=kernel',
  '-fno-pic',
  '-no-pie',
  '-static',
  '-nostdlib',
  '-Wl,-Ttext=0xffffffff80100000',
  '-Wl,-e,walk',
];

/** Versions and optimisation levels, and layouts of sections that unikernels are built with. */
export const BUILDS: Readonly<Record<string, Build>> = {
  ...Object.fromEntries(
    [2, 3, 4, 5].flatMap((version) =>
      ['-O0', '-O2'].map((level) => [`C, DWARF ${version}, ${level}`, { sources: C, flags: [`-gdwarf-${version}`, level] }]),
    ),
  ),
  'C, DWARF 5, -O3, a section for each function, unused ones collected': {
    sources: C,
    flags: ['-gdwarf-5', '-O3', '-ffunction-sections', '-Wl,--gc-sections'],
  },
  'C, DWARF 4, -O2, a section for each function, unused ones collected': {
    sources: C,
    flags: ['-gdwarf-4', '-O2', '-ffunction-sections', '-Wl,--gc-sections'],
  },
  'C, DWARF 5, -O2, link-time optimised': { sources: C, flags: ['-gdwarf-5', '-O2', '-flto'] },
  'C, DWARF 5 in 64-bit format': { sources: C, flags: ['-gdwarf-5', '-gdwarf64', '-O1'] },
  'C, DWARF 4, types in .debug_types': { sources: C, flags: ['-gdwarf-4', '-fdebug-types-section', '-O1'] },
  'C, DWARF 5, strict, without columns and views': {
    sources: C,
    flags: ['-gdwarf-5', '-gstrict-dwarf', '-gno-column-info', '-gno-variable-location-views', '-O2'],
  },
  'C, DWARF 5, compressed with zlib': { sources: C, flags: ['-gdwarf-5', '-O2', '-gz=zlib'] },
  'C, DWARF 5, in the high half': { sources: ['list.c', 'high.c'], flags: ['-gdwarf-5', '-O2', ...HIGH_HALF] },
  'C, DWARF 3, in the high half, unoptimised': { sources: ['list.c', 'high.c'], flags: ['-gdwarf-3', '-O0', ...HIGH_HALF] },
  'C++, DWARF 5, -O2': { sources: ['shapes.cpp'], flags: ['-gdwarf-5', '-O2'], compiler: 'g++' },
  'C++, DWARF 4, -O0': { sources: ['shapes.cpp'], flags: ['-gdwarf-4', '-O0'], compiler: 'g++' },
};
