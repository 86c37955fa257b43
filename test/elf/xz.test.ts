import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decompressXz } from '../../src/elf/xz.ts';
import { UnidbgError } from '../../src/model/error.ts';

function pack(bytes: Uint8Array, ...options: readonly string[]): Uint8Array {
  return new Uint8Array(execFileSync('xz', ['-c', ...options], { input: bytes, maxBuffer: 1 << 28 }));
}

/** What a file unpacks to, or the code of its error; anything else is thrown. */
function attempt(bytes: Uint8Array): string {
  try {
    return Buffer.from(decompressXz(bytes, 'a file')).toString('latin1');
  } catch (error) {
    if (error instanceof UnidbgError) return error.code;
    throw error;
  }
}

const text = Buffer.from('a line that repeats, and repeats, and repeats\n'.repeat(40));

describe('an .xz file', () => {
  const program = readFileSync(process.execPath).subarray(0, 400_000);
  it.each([
    ['defaults', []],
    ['speed', ['-0']],
    ['many blocks', ['--block-size=50000']],
    ['no check', ['--check=none']],
    ['CRC32', ['--check=crc32']],
    ['SHA-256', ['--check=sha256']],
    ['other contexts', ['--lzma2=preset=6,lc=0,lp=4,pb=4']],
    ['a small dictionary', ['--lzma2=preset=1,dict=4096,pb=0,lc=4']],
  ])('unpacks to what was packed with %s', (_, options) => {
    expect(Buffer.from(decompressXz(pack(program, ...options), 'a file')).equals(program)).toBe(true);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.of(7)],
    ['noise, which is stored', randomBytes(200_000)],
    ['one byte over and over', Buffer.alloc(5_000_000, 65)],
    ['text', text],
  ])('of %s unpacks to it', (_, bytes) => {
    expect(Buffer.from(decompressXz(pack(bytes), 'a file')).equals(bytes)).toBe(true);
  });

  it('with filters for code is refused by what it is', () => {
    expect(() => decompressXz(pack(text, '--x86', '--lzma2=preset=6'), 'a file')).toThrow(/a file: .*filters other than LZMA2/);
  });

  it('that claims to be huge is refused before memory is taken', () => {
    const bomb = pack(Buffer.alloc(140 * 1024 * 1024), '-0');
    expect(() => decompressXz(bomb, 'a file')).toThrow(/claims to unpack to 146800640 bytes/);
  });

  it('cut at every length, or with any bit changed, is an error, never other data', () => {
    const packed = pack(text);
    for (let length = 0; length < packed.length; length += 1) expect(attempt(packed.subarray(0, length))).toBe('ELF_MALFORMED');
    for (let bit = 0; bit < packed.length * 8; bit += 1) {
      const changed = packed.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(['ELF_MALFORMED', 'ELF_UNSUPPORTED'], `bit ${bit}`).toContain(attempt(changed));
    }
  });

  it('with any damage to its data under no check gives typed errors only', () => {
    const packed = pack(program.subarray(0, 20_000), '--check=none');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 24, max: packed.length - 40 }), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
        (changes) => {
          const changed = packed.slice();
          for (const [at, value] of changes) changed[at] = value;
          attempt(changed);
        },
      ),
      { numRuns: 300 },
    );
  });
});
