// Opening a `.unicrash` bundle (docs/bundle.md): what it says of itself at once, its members on demand. A bundle that was cut off
// anywhere after its manifest opens, and says what is missing.

import { createHash } from 'node:crypto';
import { type ByteSource, openFileSource, readExactly, sliceSource } from '../bytes/byte-source.ts';
import { openSeekableZstd, type SeekableZstd } from '../bytes/seekable-zstd.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';
import { type Completion, type Manifest, parseCompletion, parseManifest } from './manifest.ts';
import { readTar, type TarContents, type TarMember } from './read-tar.ts';
import { BLOCK, decodeTarHeader } from './tar.ts';

/** The members by name, in the order in which they are written. */
export const MEMBERS = {
  manifest: 'manifest.json',
  report: 'report.json',
  console: 'console.log',
  events: 'events.jsonl',
  core: 'core.elf.zst',
  completion: 'complete.json',
} as const;

/** An open bundle; owns its file. */
export interface Bundle {
  readonly path: string;
  readonly manifest: Manifest;
  /** Null where its writing did not end. */
  readonly completion: Completion | null;
  /** Why it is not whole: one sentence; null when it is. */
  readonly partial: string | null;
  readonly members: readonly BundleMember[];
  readonly diagnostics: readonly Diagnostic[];
  /** A member's bytes, as far as they are there; null when it has none of that name. Closing it closes nothing. */
  member(name: string): ByteSource | null;
  /** The core, unpacked page by page; null when there is none. Throws DUMP_MALFORMED when nothing of it can be read. */
  core(): SeekableZstd | null;
  /** A small member as text; null when it has none of that name. Throws BUNDLE_MALFORMED when it is longer than `most` bytes. */
  text(name: string, most?: number): string | null;
  close(): void;
}

/** One file in it. `partial`: why it is not whole; null when it is. */
export interface BundleMember {
  readonly name: string;
  /** Bytes that are there. */
  readonly size: number;
  readonly partial: string | null;
}

/** The report is read whole; a hostile bundle's may be of any size. */
const MOST_TEXT = 16 * 1024 * 1024;
/** Manifest and completion have a few kilobytes; parsed JSON takes fifty times as much memory as its text where that is made to. */
const MOST_JSON = 1024 * 1024;
/** Members up to this size are held against their SHA-256 when the bundle is opened; frames of the core have checksums of their own. */
const MOST_CHECKED = 4 * 1024 * 1024;

/** Whether this file is a bundle, by its first bytes. Never throws. */
export function isBundle(path: string): boolean {
  try {
    const source = openFileSource(path);
    try {
      return isBundleSource(source);
    } finally {
      source.close();
    }
  } catch {
    return false;
  }
}

function isBundleSource(source: ByteSource): boolean {
  const block = readExactly(source, 0, BLOCK);
  const header = block === null ? null : decodeTarHeader(block);
  if (header === null || header === 'end') return false;
  // One that was packed anew may have it later.
  return header.name === MEMBERS.manifest || readTar(source).members.some(({ name }) => name === MEMBERS.manifest);
}

/** Opens a bundle. Throws FILE_UNREADABLE, or BUNDLE_MALFORMED when it has no manifest that can be read. */
export function openBundle(path: string): Bundle {
  return openBundleSource(openFileSource(path));
}

/** Opens a bundle wherever its bytes are; closes `source` with it, and when it is none. Throws as openBundle does. */
export function openBundleSource(source: ByteSource): Bundle {
  try {
    return new OpenBundle(source);
  } catch (error) {
    source.close();
    throw error;
  }
}

class OpenBundle implements Bundle {
  readonly path: string;
  readonly manifest: Manifest;
  readonly completion: Completion | null;
  readonly partial: string | null;
  readonly members: readonly BundleMember[];
  readonly diagnostics: readonly Diagnostic[];
  private readonly source: ByteSource;
  private readonly files: ReadonlyMap<string, TarMember>;

  constructor(source: ByteSource) {
    this.path = source.name;
    this.source = source;
    const tar = readTar(source);
    this.files = new Map(tar.members.map((member) => [member.name, member]));
    this.manifest = this.readManifest(tar);
    const { completion, remarks } = this.readCompletion();
    this.completion = completion;
    this.members = tar.members.map((member) => ({
      name: member.name,
      size: member.there,
      partial: whyPartial(member, completion),
    }));
    this.partial = summarise(this.members, tar.cut, completion);
    this.diagnostics = [...tar.diagnostics, ...remarks, ...this.findDamage()];
  }

  member(name: string): ByteSource | null {
    const file = this.files.get(name);
    return file === undefined ? null : sliceSource(this.source, `${this.path}: ${name}`, file.position, file.there);
  }

  core(): SeekableZstd | null {
    const member = this.member(MEMBERS.core);
    return member === null ? null : openSeekableZstd(member);
  }

  text(name: string, most = MOST_TEXT): string | null {
    const member = this.member(name);
    if (member === null) return null;
    const bytes = member.size > most ? null : readExactly(member, 0, member.size);
    if (bytes !== null) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
    throw new UnidbgError(
      'BUNDLE_MALFORMED',
      `${this.path}: ${name} has ${member.size} bytes, more than the ${most} that are read`,
      {
        facts: { path: this.path, size: member.size },
      },
    );
  }

  close(): void {
    this.source.close();
  }

  private readManifest(tar: TarContents): Manifest {
    const file = this.files.get(MEMBERS.manifest);
    if (file !== undefined && file.there === file.size)
      return parseManifest(this.text(MEMBERS.manifest, MOST_JSON) ?? '', this.path);
    const why = tar.cut ?? 'no member has that name';
    throw new UnidbgError('BUNDLE_MALFORMED', `${this.path} has no whole manifest.json: ${why}; nothing else can be told of it`, {
      facts: { path: this.path },
    });
  }

  private readCompletion(): { readonly completion: Completion | null; readonly remarks: readonly Diagnostic[] } {
    const file = this.files.get(MEMBERS.completion);
    if (file === undefined || file.there < file.size) return { completion: null, remarks: [] };
    try {
      return { completion: parseCompletion(this.text(MEMBERS.completion, MOST_JSON) ?? '', this.path), remarks: [] };
    } catch (error) {
      return { completion: null, remarks: [{ code: 'bundle-damaged', message: errorMessage(error) }] };
    }
  }

  private findDamage(): readonly Diagnostic[] {
    const damaged = (this.completion?.members ?? []).filter(({ name, size, sha256 }) => {
      const member = size > MOST_CHECKED ? null : this.member(name);
      const bytes = member === null ? null : readExactly(member, 0, size);
      return bytes !== null && createHash('sha256').update(bytes).digest('hex') !== sha256;
    });
    return damaged.map(({ name }) => ({
      code: 'bundle-damaged',
      message: `${name} is not what was written (its SHA-256 is another): the bundle was damaged or changed since`,
    }));
  }
}

function whyPartial({ name, size, there }: TarMember, completion: Completion | null): string | null {
  if (there < size) return 'cut off';
  const told = completion?.members.find((member) => member.name === name);
  if (told !== undefined && told.size !== there) return `it had ${told.size} bytes when it was written`;
  return told?.partial ?? null;
}

function summarise(members: readonly BundleMember[], cut: string | null, completion: Completion | null): string | null {
  const parts = members.filter(({ partial }) => partial !== null).map(({ name, partial }) => `${name}: ${partial}`);
  const missing = (completion?.members ?? []).filter(({ name }) => !members.some((member) => member.name === name));
  parts.push(...missing.map(({ name }) => `${name} is missing`));
  if (completion !== null) return parts.length === 0 ? null : parts.join('; ');
  const whole = members.filter(({ partial }) => partial === null).map(({ name }) => name);
  const why = cut ?? 'its writer was stopped (complete.json is missing)';
  return [`${why}; whole are ${whole.join(', ')}`, ...parts].join('; ');
}
