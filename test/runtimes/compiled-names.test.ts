// C++ and Rust linker names against c++filt: all that libstdc++ defines, and a Rust library where there is one.

import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { demangleCompiled } from '../../src/runtimes/compiled-names.ts';
import { cpp } from '../../src/runtimes/cpp.ts';
import { rust } from '../../src/runtimes/rust.ts';

describe('C++ linker names', () => {
  it.each([
    ['_ZN3foo3barEi', 'foo::bar(int)'],
    ['_ZNK3foo3barEv.cold', 'foo::bar() const [clone .cold]'],
    ['_ZTV3Foo', 'vtable for Foo'],
    ['_ZThn16_N3foo3barEv', 'non-virtual thunk to foo::bar()'],
    ['_ZTv0_n24_N3foo3barEv', 'virtual thunk to foo::bar()'],
    ['_ZTCNSt3fooE16_So', 'construction vtable for std::ostream-in-std::foo'],
    ['_Z1fILj4ELm8ELi3EEvv', 'f<4u, 8ul, 3>()'],
    ['_ZN12_GLOBAL__N_18c_localeE', '(anonymous namespace)::c_locale'],
    ['_Z15dmi_bios_vendorB5cxx11', 'dmi_bios_vendor[abi:cxx11]'],
  ])('%s is %s', (linkerName, name) => {
    expect(cpp.demangle(linkerName)).toBe(name);
  });

  it('are not names of C, OCaml, Go, and nothing at all', () => {
    for (const name of ['main', '_start', 'camlApp.deep_517', 'runtime.gopanic', '_Z', '_ZNNNNN', '_Zebra crossing', '', '_Z\0'])
      expect(cpp.demangle(name), name).toBeNull();
  });

  it('are what c++filt or llvm-cxxfilt make of them, over all that libstdc++ exports, but for types that templates return', () => {
    const names = exportsOf('/usr/lib/x86_64-linux-gnu/libstdc++.so.6');
    const theirs = [filtered('c++filt', names), ...(hasTool('llvm-cxxfilt') ? [filtered('llvm-cxxfilt', names)] : [])];
    const counts = { equal: 0, withoutReturnType: 0, other: 0, none: 0 };
    names.forEach((name, index) => {
      const ours = cpp.demangle(name);
      const answers = theirs.map((answer) => answer[index]!);
      if (ours === null) counts.none += 1;
      else if (answers.includes(ours)) counts.equal += 1;
      else if (answers.some((answer) => answer.endsWith(` ${ours}`))) counts.withoutReturnType += 1;
      else counts.other += 1;
    });
    expect(names.length).toBeGreaterThan(4000);
    expect(counts.none).toBe(0);
    expect(counts.equal / names.length).toBeGreaterThan(hasTool('llvm-cxxfilt') ? 0.92 : 0.88);
    expect((counts.equal + counts.withoutReturnType) / names.length).toBeGreaterThan(hasTool('llvm-cxxfilt') ? 0.98 : 0.92);
  });
});

describe('Rust linker names', () => {
  it.each([
    ['_RNvCs1234_7mycrate3foo', 'mycrate::foo'],
    ['_RINvCs6xxl1lAjzDf_1a4showlKj3_EB2_', 'a::show::<i32, 3>'],
    ['_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE', 'core::fmt::Write::write_fmt'],
    ['_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE.llvm.123', 'core::fmt::Write::write_fmt'],
    [
      '_ZN4core3ptr43drop_in_place$LT$std..io..error..Custom$GT$17h000dfec13ed36141E',
      'core::ptr::drop_in_place<std::io::error::Custom>',
    ],
    [
      '_ZN63_$LT$I$u20$as$u20$core..iter..traits..collect..IntoIterator$GT$9into_iter17h725868c825d70779E',
      '<I as core::iter::traits::collect::IntoIterator>::into_iter',
    ],
  ])('%s is %s', (linkerName, name) => {
    expect(rust.demangle(linkerName)).toBe(name);
  });

  it('are not C++ names', () => {
    expect(rust.demangle('_ZN3foo3barEi')).toBeNull();
    expect(rust.demangle('_Rb_tree')).toBeNull();
  });
});

describe('a name that explodes', () => {
  it('costs little and comes to nothing, and the next names are read as ever', () => {
    const started = performance.now();
    for (let doublings = 12; doublings < 24; doublings += 1) expect(demangleCompiled(explosive(doublings))).toBeNull();
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(cpp.demangle('_ZN4next4nameEv')).toBe('next::name()');
  });

  it('is nothing when it is long, deep or endless', () => {
    for (const name of [`_Z1f${'P'.repeat(10_000)}i`, `_Z1f${'i'.repeat(1e6)}`, '_RIC1aTB3_B3_EE', `_Z1f${'1aI'.repeat(3000)}`])
      expect(demangleCompiled(name)).toBeNull();
  });
});

/** Each substitution is twice the one before. */
function explosive(doublings: number): string {
  const reference = (index: number): string => `S${(index - 1).toString(36).toUpperCase()}_`;
  const steps = Array.from({ length: doublings }, (_, index) => `S0_I${reference(index + 2)}${reference(index + 2)}E`);
  return `_Z1f1a1bIS_S_E${steps.join('')}`;
}

function exportsOf(library: string): string[] {
  const lines = execFileSync('nm', ['-D', '--defined-only', library], { encoding: 'utf8', maxBuffer: 1 << 28 }).split('\n');
  return [...new Set(lines.map((line) => (line.split(' ')[2] ?? '').replace(/@.*/, '')))].filter((name) => name.startsWith('_Z'));
}

function filtered(tool: string, names: readonly string[]): string[] {
  return execFileSync(tool, [], { input: `${names.join('\n')}\n`, encoding: 'utf8', maxBuffer: 1 << 28 }).split('\n');
}

function hasTool(name: string): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
