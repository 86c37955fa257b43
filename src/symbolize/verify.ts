// Is this file what the guest runs? Checked before any name is printed, since names from another build look right and are
// not (osv#848, esp-idf#11449). The build-id in guest memory decides; without one, samples of code from all over the image.
//
// Folklore: breakpoints, alternatives patching and freed start-up code change a few bytes or pages of a running kernel, so a
// sample may differ a little and some samples altogether; tests in test/symbolize/verify.test.ts hold both cases.

import { NT_GNU_BUILD_ID, PF_X, PT_LOAD, SHF_ALLOC, SHF_EXECINSTR, SHT_NOBITS } from '../elf/constants.ts';
import type { ElfFile } from '../elf/file.ts';
import { decodeNotes } from '../elf/notes.ts';
import { formatAddress, toUnsigned64 } from '../model/address.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import type { ImageMatch } from '../model/image.ts';
import type { Memory } from '../model/target.ts';

/** The verdict; `diagnostic` says what differs, or why nothing could be compared. */
export interface Verification {
  readonly match: ImageMatch;
  readonly diagnostic: Diagnostic | null;
}

/** Places that are compared, at most, and bytes of each: one page of guest memory is fetched per place. */
const SAMPLES = 32;
const SAMPLE_BYTES = 128;
/** Bytes of a sample that may differ: a breakpoint or a patched call in it. */
const SAMPLE_TOLERANCE = 0.1;
/** Share of the readable samples that must be equal. Another build of the same program reaches about a third. */
const MAJORITY = 0.75;

/** Compares `image` with guest memory, were it loaded with `loadBias`. Pure but for `memory.read`. */
export function verifyImage({ elf }: { readonly elf: ElfFile }, loadBias: bigint, memory: Memory): Verification {
  return verifyBuildId(elf, loadBias, memory) ?? verifyCode(elf, loadBias, memory);
}

/** Null when the image has no build-id in a loaded segment, or no build-id note is where it should be. */
function verifyBuildId(elf: ElfFile, loadBias: bigint, memory: Memory): Verification | null {
  const note = elf.buildIdNote;
  if (note?.address == null || !isLoaded(elf, note.address)) return null;
  // The note's header and name stand right before the id: 12 + 4 bytes.
  const found = memory.read(toUnsigned64(note.address - 16n + loadBias), 16 + note.descriptor.length);
  const theirs =
    found === null ? undefined : decodeNotes(found, { littleEndian: elf.littleEndian, alignment: 4, address: null })[0];
  if (theirs?.name !== 'GNU' || theirs.type !== NT_GNU_BUILD_ID) return null;
  const id = hex(theirs.descriptor);
  if (id === hex(note.descriptor)) return { match: 'build-id', diagnostic: null };
  return mismatch(`${elf.path} is not what the guest runs: its build-id is ${hex(note.descriptor)}, the guest's is ${id}`);
}

function isLoaded(elf: ElfFile, address: bigint): boolean {
  return elf.segments.some(
    (s) => s.type === PT_LOAD && s.virtualAddress <= address && address < s.virtualAddress + BigInt(s.memorySize),
  );
}

function verifyCode(elf: ElfFile, loadBias: bigint, memory: Memory): Verification {
  const samples = samplesOf(elf);
  const where = loadBias === 0n ? 'at its link address' : `with load bias ${formatAddress(loadBias)}`;
  if (samples.length === 0) {
    return {
      match: 'unverified',
      diagnostic: { code: 'image-unverified', message: `${elf.path} holds no code to compare with the guest` },
    };
  }
  const compared = samples.flatMap((sample) => {
    const found = memory.read(toUnsigned64(sample.address + loadBias), sample.bytes.length);
    return found === null ? [] : [{ ...sample, found, equal: isAlike(sample.bytes, found) }];
  });
  const first = samples[0]!;
  if (compared.length === 0) {
    const at = formatAddress(toUnsigned64(first.address + loadBias));
    return mismatch(
      `${elf.path} is not loaded ${where}: no guest memory is mapped where its code would be (${at} and ${samples.length - 1} more places)`,
    );
  }
  const different = compared.filter(({ equal }) => !equal);
  const counted = `${different.length} of ${compared.length} samples of its code differ`;
  const example = different[0];
  const shown = example === undefined ? '' : `, first at ${describeDifference(example, loadBias)}`;
  if (compared.length - different.length < compared.length * MAJORITY) {
    return mismatch(`${elf.path} is not what the guest runs ${where}: ${counted}${shown}`);
  }
  if (example === undefined) return { match: 'text', diagnostic: null };
  const message = `${elf.path}: ${counted}${shown}: code patched at run time, or start-up code that was freed`;
  return { match: 'text', diagnostic: { code: 'image-patched', message } };
}

function mismatch(why: string): Verification {
  return {
    match: 'mismatch',
    diagnostic: {
      code: 'image-mismatch',
      message: `${why}. No names are taken from it; give the file the guest was started from`,
    },
  };
}

interface Sample {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** Pieces of code spread evenly over the image; padding, which is the same in every build, is left out. */
function samplesOf(elf: ElfFile): Sample[] {
  const ranges = codeRanges(elf);
  const total = ranges.reduce((sum, { size }) => sum + size, 0);
  const step = Math.max(SAMPLE_BYTES, Math.floor(total / SAMPLES));
  const samples: Sample[] = [];
  for (const { address, size } of ranges) {
    for (let at = 0; at < size && samples.length < SAMPLES * 2; at += step) {
      const bytes = elf.readVirtual(address + BigInt(at), Math.min(SAMPLE_BYTES, size - at));
      if (bytes !== null && new Set(bytes).size >= 8) samples.push({ address: address + BigInt(at), bytes });
    }
  }
  return samples;
}

function codeRanges(elf: ElfFile): { address: bigint; size: number }[] {
  const flags = SHF_ALLOC | SHF_EXECINSTR;
  const sections = elf.sections.filter((s) => (s.flags & flags) === flags && s.type !== SHT_NOBITS && s.size > 0);
  if (sections.length > 0) return sections.map(({ address, size }) => ({ address, size }));
  return elf.segments
    .filter((s) => s.type === PT_LOAD && (s.flags & PF_X) !== 0 && s.fileSize > 0)
    .map((s) => ({ address: s.virtualAddress, size: Math.min(s.fileSize, s.memorySize) }));
}

function isAlike(expected: Uint8Array, found: Uint8Array): boolean {
  let different = 0;
  for (let at = 0; at < expected.length; at += 1) if (expected[at] !== found[at]) different += 1;
  return different <= expected.length * SAMPLE_TOLERANCE;
}

function describeDifference(sample: Sample & { readonly found: Uint8Array }, loadBias: bigint): string {
  const at = Math.max(
    0,
    sample.bytes.findIndex((byte, index) => byte !== sample.found[index]),
  );
  const [file, guest] = [sample.bytes, sample.found].map((bytes) => hex(bytes.subarray(at, at + 8)));
  return `${formatAddress(toUnsigned64(sample.address + BigInt(at) + loadBias))} (file ${file}, guest ${guest})`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
