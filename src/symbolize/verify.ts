// Is this file what the guest runs? Checked before any name is printed, since names from another build look right and are
// not (osv#848, esp-idf#11449). The build-id in guest memory decides; without one, samples of code from all over the image.
//
// Folklore: breakpoints, alternatives patching and freed start-up code change a few bytes or pages of a running kernel, so a
// sample may differ a little and some samples altogether. A stack that ran away overwrites whole pages of code with its frames:
// where another build has other code, there stand words that are addresses, small numbers or nothing. Tests in
// test/symbolize/verify.test.ts hold these cases.

import { Cursor } from '../bytes/cursor.ts';
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
  /** Of a mismatch: something else was found there, not merely nothing (unmapped or empty memory, as before the image is loaded). */
  readonly proven: boolean;
}

/** Places that are compared, at most, and bytes of each: one page of guest memory is fetched per place. */
const SAMPLES = 32;
const SAMPLE_BYTES = 128;
/** Bytes of a sample that may differ: a breakpoint or a patched call in it. */
const SAMPLE_TOLERANCE = 0.1;
/** Share of the readable samples that must be equal. Another build of the same program reaches about a third. */
const MAJORITY = 0.75;
/** Share that must be equal all the same where the others were overwritten: nothing else speaks for this build. */
const UNDAMAGED = 0.5;
/** Share of words that are addresses, small numbers or nothing, from which on bytes are data. Code has a few of a hundred. */
const DATA_WORDS = 0.5;

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
  if (id === hex(note.descriptor)) return { match: 'build-id', diagnostic: null, proven: true };
  return mismatch(`${elf.path} is not what the guest runs: its build-id is ${hex(note.descriptor)}, the guest's is ${id}`);
}

function isLoaded(elf: ElfFile, address: bigint): boolean {
  return elf.segments.some(
    (s) => s.type === PT_LOAD && s.virtualAddress <= address && address < s.virtualAddress + BigInt(s.memorySize),
  );
}

function verifyCode(elf: ElfFile, loadBias: bigint, memory: Memory): Verification {
  const samples = samplesOf(elf);
  if (samples.length === 0) {
    const message = `${elf.path} holds no code to compare with the guest`;
    return { match: 'unverified', diagnostic: { code: 'image-unverified', message }, proven: false };
  }
  const compared = samples.flatMap((sample): Comparison[] => {
    const found = memory.read(toUnsigned64(sample.address + loadBias), sample.bytes.length);
    return found === null ? [] : [{ ...sample, found }];
  });
  return judge(elf, loadBias, samples, compared);
}

function judge(elf: ElfFile, loadBias: bigint, samples: readonly Sample[], compared: readonly Comparison[]): Verification {
  const where = loadBias === 0n ? 'at its link address' : `with load bias ${formatAddress(loadBias)}`;
  const different = compared.filter((sample) => !isAlike(sample));
  const [example] = different;
  if (compared.length === 0 || (compared.length === different.length && different.every(isBlank))) {
    const at = formatAddress(toUnsigned64(samples[0]!.address + loadBias));
    const what = compared.length === 0 ? 'no guest memory is mapped' : 'there is nothing';
    const why = `${elf.path} is not loaded ${where}: ${what} where its code would be (${at} and ${samples.length - 1} more places)`;
    return { ...mismatch(why), proven: false };
  }
  if (example === undefined) return { match: 'text', diagnostic: null, proven: true };
  const counted = `${different.length} of ${compared.length} samples of its code differ, first at ${describeDifference(example, loadBias)}`;
  const equal = (compared.length - different.length) / compared.length;
  if (equal >= MAJORITY) {
    const message = `${elf.path}: ${counted}: code patched at run time, or start-up code that was freed`;
    return { match: 'text', diagnostic: { code: 'image-patched', message }, proven: true };
  }
  const overwritten = different.filter(isData).length / compared.length;
  if (equal >= UNDAMAGED && equal + overwritten >= MAJORITY) {
    const message = `${elf.path}: ${counted}: data stands there, the guest has overwritten its own code. Names are taken from this file unverified`;
    return { match: 'unverified', diagnostic: { code: 'image-damaged', message }, proven: true };
  }
  return mismatch(`${elf.path} is not what the guest runs ${where}: ${counted}`);
}

function mismatch(why: string): Verification {
  const message = `${why}. No names are taken from it; give the file the guest was started from`;
  return { match: 'mismatch', diagnostic: { code: 'image-mismatch', message }, proven: true };
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

/** A sample and what the guest has in its place. */
interface Comparison extends Sample {
  readonly found: Uint8Array;
}

function isAlike({ bytes, found }: Comparison): boolean {
  let different = 0;
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== found[at]) different += 1;
  return different <= bytes.length * SAMPLE_TOLERANCE;
}

function isBlank({ found }: Comparison): boolean {
  return found.every((byte) => byte === found[0]);
}

/** Words whose upper quarter is all zeros or all ones are addresses, small numbers or nothing; hardly any eight bytes of code are. */
function isData({ address, found }: Comparison): boolean {
  const cursor = new Cursor(found);
  cursor.seek(Number(-address & 7n));
  const words = Array.from({ length: cursor.remaining >> 3 }, () => cursor.u64() >> 48n);
  return words.filter((top) => top === 0n || top === 0xffffn).length >= words.length * DATA_WORDS;
}

function describeDifference(sample: Comparison, loadBias: bigint): string {
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
