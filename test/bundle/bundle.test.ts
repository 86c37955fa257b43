import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bundle, isBundle, openBundle, openBundleSource } from '../../src/bundle/open-bundle.ts';
import { encodeTarHeader, paddedSize } from '../../src/bundle/tar.ts';
import { BundleWriter } from '../../src/bundle/write-bundle.ts';
import { memorySource } from '../../src/bytes/byte-source.ts';
import { errorCode } from '../../src/model/error.ts';
import { bundleBytes, MANIFEST } from './samples.ts';

const CONSOLE = Buffer.from('SeaBIOS\r\nhello\r\n'.repeat(50));
const REPORT = Buffer.from('{"schemaVersion":1}\n');

let folder: string;
let whole: Uint8Array;
let files = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'unidbg-bundle-test-'));
  whole = await bundleBytes({ 'report.json': REPORT, 'console.log': CONSOLE });
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function fileOf(bytes: Uint8Array): string {
  files += 1;
  const path = join(folder, `${files}.unicrash`);
  writeFileSync(path, bytes);
  return path;
}

function withBundle<T>(bytes: Uint8Array, body: (bundle: Bundle) => T): T {
  const bundle = openBundleSource(memorySource('x.unicrash', bytes));
  try {
    return body(bundle);
  } finally {
    bundle.close();
  }
}

/** A tar of these files, each with its header as given. */
function tarOf(...parts: readonly (readonly [header: Uint8Array, body: Uint8Array])[]): Uint8Array {
  const padded = parts.flatMap(([header, body]) => [header, body, new Uint8Array(paddedSize(body.length) - body.length)]);
  return Buffer.concat([...padded, new Uint8Array(1024)]);
}

const manifestBytes = Buffer.from(JSON.stringify(MANIFEST));
const manifestPart = [encodeTarHeader('manifest.json', manifestBytes.length, 0), manifestBytes] as const;

/** The header of a file by another name or type, with its checksum put right. */
function header(name: string, size: number, type = '0', prefix = ''): Uint8Array {
  const bytes = Buffer.from(encodeTarHeader(name, size, 0));
  bytes.write(type, 156, 'latin1');
  bytes.write(prefix, 345, 'latin1');
  bytes.fill(0x20, 148, 156);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

describe('a whole bundle', () => {
  it('gives its members back, and is not partial', () => {
    withBundle(whole, (bundle) => {
      expect(bundle.partial).toBeNull();
      expect(bundle.diagnostics).toEqual([]);
      expect(bundle.manifest).toEqual(MANIFEST);
      expect(bundle.text('console.log')).toBe(CONSOLE.toString());
      expect(bundle.member('core.elf.zst')).toBeNull();
      expect(bundle.completion?.members.map(({ name }) => name)).toEqual(['manifest.json', 'report.json', 'console.log']);
    });
  });

  it('is a tar that tar unpacks', () => {
    const path = fileOf(whole);
    const into = mkdtempSync(join(folder, 'unpacked-'));
    execFileSync('tar', ['xf', path, '-C', into]);
    expect(readdirSync(into).sort()).toEqual(['complete.json', 'console.log', 'manifest.json', 'report.json']);
    expect(readFileSync(join(into, 'console.log')).equals(CONSOLE)).toBe(true);
  });

  it('is known when tar packed it anew', () => {
    const into = mkdtempSync(join(folder, 'repacked-'));
    execFileSync('tar', ['xf', fileOf(whole), '-C', into]);
    for (const args of [
      ['-C', into, '.'],
      ['--format=pax', '-C', into, 'manifest.json', 'console.log', 'report.json', 'complete.json'],
    ]) {
      const path = join(folder, `again-${args.length}.unicrash`);
      execFileSync('tar', ['cf', path, ...args]);
      expect(isBundle(path)).toBe(true);
      const bundle = openBundle(path);
      expect(bundle.text('console.log')).toBe(CONSOLE.toString());
      expect(bundle.partial).toBeNull();
      bundle.close();
    }
  });

  it('is never written over', async () => {
    const path = fileOf(whole);
    await expect(BundleWriter.create(path, MANIFEST)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    expect(readFileSync(path).equals(whole)).toBe(true);
  });

  it('says which member was changed since', () => {
    const changed = Buffer.from(whole);
    changed[changed.indexOf('SeaBIOS') + 3] = 0x5a;
    withBundle(changed, (bundle) => {
      expect(bundle.diagnostics.map(({ message }) => message).join()).toMatch(/console\.log is not what was written/);
    });
  });
});

describe('a bundle that was cut off', () => {
  it('opens at every length after its manifest, says that it is partial, and gives what is there', () => {
    const manifestEnd = 512 + JSON.stringify(MANIFEST, null, 2).length + 1;
    const complete = Buffer.from(whole).indexOf('complete.json\0');
    for (let length = 0; length < whole.length; length += 1) {
      const cut = whole.subarray(0, length);
      if (length < manifestEnd) {
        expect(codeOf(() => withBundle(cut, ({ partial }) => partial))).toBe('BUNDLE_MALFORMED');
        continue;
      }
      withBundle(cut, (bundle) => {
        const console = bundle.text('console.log');
        if (length <= complete) expect(bundle.partial).not.toBeNull();
        expect(console === null || CONSOLE.toString().startsWith(console)).toBe(true);
      });
    }
  });

  it('names the members that are whole and the one that is not', () => {
    withBundle(whole.subarray(0, Buffer.from(whole).indexOf('SeaBIOS') + 20), ({ partial, members }) => {
      expect(partial).toBe(
        'the file ends in the middle of "console.log"; whole are manifest.json, report.json; console.log: cut off',
      );
      expect(members.at(-1)).toEqual({ name: 'console.log', size: 20, partial: 'cut off' });
    });
  });

  it('was being written: the member at its end is cut off', async () => {
    const path = join(folder, 'killed.unicrash');
    const writer = await BundleWriter.create(path, MANIFEST);
    const stopped = writer.add('console.log', async (sink) => {
      await sink.write(CONSOLE);
      throw new Error('killed');
    });
    await expect(stopped).rejects.toThrow('killed');
    await writer.close();
    const bundle = openBundle(path);
    expect(bundle.partial).toMatch(/console\.log: cut off/);
    expect(bundle.text('console.log')).toBe(CONSOLE.toString());
    bundle.close();
  });
});

describe('a bundle from a stranger', () => {
  it('opens or is refused in words with any bit flipped', () => {
    for (let bit = 0; bit < whole.length * 8; bit += 7) {
      const flipped = Buffer.from(whole);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const code = codeOf(() => withBundle(flipped, (bundle) => bundle.text('console.log')));
      expect(['none', 'BUNDLE_MALFORMED']).toContain(code);
    }
  });

  it('reaches no file outside: such names are passed over and said', () => {
    const body = Buffer.from('x');
    const names = ['../evil', '/etc/passwd', 'a/b', '..', '.hidden', 'manifest.json\n'];
    const bytes = tarOf(manifestPart, ...names.map((name) => [header(name, 1), body] as const), [
      header('evil', 1, '0', '../..'),
      body,
    ]);
    withBundle(bytes, ({ members, diagnostics }) => {
      expect(members.map(({ name }) => name)).toEqual(['manifest.json']);
      expect(diagnostics).toHaveLength(names.length + 1);
      expect(diagnostics[0]?.message).toContain('"../evil" is no name');
    });
  });

  it('has no links, devices, sparse files or long names', () => {
    for (const [type, words] of Object.entries({
      1: 'hard link',
      2: 'symbolic link',
      3: 'device',
      6: 'FIFO',
      S: 'sparse',
      L: 'long',
      x: 'pax',
    })) {
      withBundle(tarOf(manifestPart, [header('console.log', 0, type), new Uint8Array()]), (bundle) => {
        expect(bundle.member('console.log')).toBeNull();
        expect(bundle.diagnostics[0]?.message).toContain(words);
      });
    }
  });

  it('says each name once: the first one counts', () => {
    const bytes = tarOf(manifestPart, [header('console.log', 1), Buffer.from('a')], [header('console.log', 1), Buffer.from('b')]);
    withBundle(bytes, (bundle) => {
      expect(bundle.text('console.log')).toBe('a');
      expect(bundle.diagnostics[0]?.message).toContain('twice');
    });
  });

  it('is bounded: thousands of members, a manifest of gigabytes', () => {
    const many = tarOf(
      manifestPart,
      ...Array.from({ length: 2000 }, (_, index) => [header(`m${index}`, 0), new Uint8Array()] as const),
    );
    withBundle(many, ({ partial, members }) => {
      expect(members.length).toBeLessThanOrEqual(256);
      expect(partial).toMatch(/more than 256 members/);
    });
    const huge = tarOf([header('manifest.json', 17 * 1024 * 1024), new Uint8Array(17 * 1024 * 1024)]);
    expect(codeOf(() => openBundle(fileOf(huge)))).toBe('BUNDLE_MALFORMED');
  });

  it('is told from other files, and from what is no file', () => {
    expect(isBundle(fileOf(whole))).toBe(true);
    expect(isBundle(fileOf(tarOf([header('README', 0), new Uint8Array()])))).toBe(false);
    expect(isBundle(fileOf(new Uint8Array()))).toBe(false);
    expect(isBundle(folder)).toBe(false);
    const link = join(folder, 'link.unicrash');
    symlinkSync('/dev/zero', link);
    expect(isBundle(link)).toBe(false);
  });
});

function codeOf(body: () => unknown): string {
  try {
    body();
    return 'none';
  } catch (error) {
    return errorCode(error) ?? String(error);
  }
}
