// The members of a tar, found by walking its headers: nothing is unpacked, nothing is written anywhere.

import { type ByteSource, readExactly } from '../bytes/byte-source.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import { BLOCK, decodeTarHeader, paddedSize, type TarHeader } from './tar.ts';

/** A file in a tar. `size` is what its header says, `there` how much of it the tar holds: less when it was cut off. Bytes. */
export interface TarMember {
  readonly name: string;
  readonly position: number;
  readonly size: number;
  readonly there: number;
}

/** All that can be read of one. */
export interface TarContents {
  readonly members: readonly TarMember[];
  /** Why the walk ended before the tar's own end; null when it did not. */
  readonly cut: string | null;
  /** What was passed over, and why. */
  readonly diagnostics: readonly Diagnostic[];
}

/** A bundle has six; a bound for files from strangers. */
const MOST_MEMBERS = 256;

/** Walks the headers. Never throws on any bytes. */
export function readTar(source: ByteSource): TarContents {
  const members = new Map<string, TarMember>();
  const diagnostics: Diagnostic[] = [];
  const end = (cut: string | null): TarContents => ({ members: [...members.values()], cut, diagnostics });
  let at = 0;
  for (let count = 0; count < MOST_MEMBERS; count += 1) {
    const block = readExactly(source, at, BLOCK);
    if (block === null) return end(`the file ends at ${source.size} bytes, in the middle`);
    const header = decodeTarHeader(block);
    if (header === 'end') return end(null);
    if (header === null) return end(`what stands at 0x${at.toString(16)} is no tar header: the file is damaged from there on`);
    const position = at + BLOCK;
    const name = memberName(header);
    const member = { name, position, size: header.size, there: Math.min(header.size, source.size - position) };
    const refusal = findRefusal(header, name, members);
    if (refusal === null) members.set(name, member);
    else diagnostics.push({ code: 'bundle-member-ignored', message: refusal });
    if (member.there < member.size) return end(`the file ends in the middle of ${printable(name)}`);
    at = position + paddedSize(header.size);
  }
  return end(`it has more than ${MOST_MEMBERS} members: the rest is not read`);
}

/** `./manifest.json` is what `tar cf x.unicrash .` makes of it. */
function memberName({ name }: TarHeader): string {
  return name.startsWith('./') ? name.slice(2) : name;
}

function findRefusal({ kind }: TarHeader, name: string, before: ReadonlyMap<string, TarMember>): string | null {
  const shown = printable(name);
  if (kind === 'a folder') return name === '' ? null : `${shown} is a folder: bundles have none`;
  if (kind !== 'file') return `${shown} is ${kind}: only plain files are read from a bundle`;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) return `${shown} is no name of a bundle's member: it is not read`;
  return before.has(name) ? `${shown} is there twice: the first one is read` : null;
}

function printable(name: string): string {
  return JSON.stringify(name).slice(0, 120);
}
