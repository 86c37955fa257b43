// Images held against return addresses, with a real program: its own call sites are the stack.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ReportedFrame, reportedFrame } from '../../src/model/console-text.ts';
import { findBiasByCalls } from '../../src/session/place-by-calls.ts';
import { judgeByText, type TextEvidence, weighText } from '../../src/session/text-evidence.ts';
import { openImage, type SymbolImage } from '../../src/symbolize/image.ts';
import type { PlacedImage } from '../../src/symbolize/symbolizer.ts';
import { outputOf, Scratch } from '../elf/scratch.ts';

const BIAS = 0x1000_0000_0000n;
const scratch = new Scratch();
let image: SymbolImage;
let other: SymbolImage;
/** Link addresses behind calls, from objdump. */
let sites: readonly bigint[];

beforeAll(() => {
  const functions = (count: number): string =>
    Array.from(
      { length: count },
      (_, index) =>
        `__attribute__((noinline)) int f${index}(int n) { return n < ${index} ? g(n) + ${index * 77} : g(n + 1) * ${index + 3}; }`,
    ).join('\n');
  const source = (count: number): string =>
    `#include <stdio.h>\n__attribute__((noinline)) int g(int n) { return printf("%d", n); }\n${functions(count)}\nint main(void) { return f1(2); }\n`;
  scratch.write('a.c', source(300));
  scratch.write('b.c', source(40).replaceAll('+ 1', '- 3'));
  const flags = ['-O1', '-fPIE', '-pie', '-g'];
  image = openImage(scratch.compile('a', ['a.c'], flags));
  other = openImage(scratch.compile('b', ['b.c'], [...flags, '-O0']));
  const code = outputOf('objdump', ['-d', '--no-show-raw-insn', image.elf.path]).split('\n');
  sites = code.flatMap((line, index) => {
    const next = /^ +([0-9a-f]+):/.exec(code[index + 1] ?? '')?.[1];
    return /\tcall /.test(line) && next !== undefined ? [BigInt(`0x${next}`)] : [];
  });
});
afterAll(() => {
  image.close();
  other.close();
  scratch.remove();
});

const frames = (numbers: readonly number[]): readonly ReportedFrame[] =>
  numbers.map((at) => reportedFrame({ address: sites[at]! + BIAS, addressIs: 'return' }));
const placed = (which: SymbolImage, loadBias: bigint): PlacedImage => ({
  ...{ image: which, loadBias, match: 'unverified', placedBy: 'link address' },
});
const weigh = (which: SymbolImage, list: readonly ReportedFrame[]): TextEvidence =>
  weighText({ frames: list }, placed(which, BIAS), (name) => name);

describe('where an image lay', () => {
  it('is told by return addresses, which all stand behind calls in one place only', () => {
    expect(findBiasByCalls(image, frames([5, 60, 110, 170, 230]))).toBe(BIAS);
  });

  it('is told too where a guest prints them less one', () => {
    const lessOne = frames([5, 60, 110, 170]).map((frame) => ({
      ...frame,
      address: frame.address! - 1n,
      addressIs: 'exact' as const,
    }));
    expect(findBiasByCalls(image, lessOne)).toBe(BIAS);
  });

  it('is not guessed from one address, nor of a program that did not run', () => {
    expect(findBiasByCalls(image, frames([5]))).toBeNull();
    expect(findBiasByCalls(other, frames([5, 60, 110, 170, 230]))).toBeNull();
    expect(findBiasByCalls(image, [])).toBeNull();
  });
});

describe('an image held against a text', () => {
  it('is right where calls stand before the return addresses', () => {
    expect(weigh(image, frames([3, 50, 90]))).toEqual({ right: 3, wrong: 0 });
  });

  it('of another build is refused, and a diagnostic says so', () => {
    const shifted = frames([3, 50, 90, 120]).map((frame) => ({ ...frame, address: frame.address! + 2n }));
    const evidence = weigh(image, shifted);
    expect(evidence.right).toBeLessThan(evidence.wrong);
    const { placed: judged, diagnostic } = judgeByText(placed(image, BIAS), evidence);
    expect(judged.match).toBe('mismatch');
    expect(diagnostic?.code).toBe('image-mismatch');
  });

  it('is right where the guest itself named the function, wrong where it names another one there', () => {
    const { address } = image.findLinkSymbol('f7')!;
    const named = (name: string): ReportedFrame =>
      reportedFrame({ address: address + 4n + BIAS, function: name, functionOffset: 4 });
    expect(weigh(image, [named('f7')])).toEqual({ right: 1, wrong: 0 });
    expect(weigh(image, [named('f8')])).toEqual({ right: 0, wrong: 1 });
  });

  it('is not refused by one address alone, nor by words scanned from a stack', () => {
    const one = frames([3]).map((frame) => ({ ...frame, address: frame.address! + 2n }));
    expect(judgeByText(placed(image, BIAS), weigh(image, one)).diagnostic).toBeNull();
    const scanned = frames([3, 50, 90]).map((frame) => ({ ...frame, address: frame.address! + 2n, trust: 'scan' as const }));
    expect(weigh(image, scanned)).toEqual({ right: 0, wrong: 0 });
  });
});
