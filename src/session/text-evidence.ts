// Whether an image is what printed a text, by the text alone: behind a return address stands a call, and where the guest named a
// function itself the image has that function there. Names from another build are worse than none.

import { getArchitecture } from '../arch/machines.ts';
import { toUnsigned64 } from '../model/address.ts';
import type { ReportedCrash, ReportedFrame } from '../model/console-text.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import type { PlacedImage } from '../symbolize/symbolizer.ts';
import { normaliseFunction } from './signature.ts';

/** So many witnesses at least before an image is refused: one address may be anything. */
const ENOUGH = 3;
/** Frames asked; a recursion of thousands says nothing more. */
const MAX_ASKED = 64;

/** Witnesses for and against an image. */
export interface TextEvidence {
  readonly right: number;
  readonly wrong: number;
}

/** What the frames of a crash say of the image as it was placed. `demangle` as the guest would print names. */
export function weighText(
  crash: Pick<ReportedCrash, 'frames'>,
  { image, loadBias }: PlacedImage,
  demangle: (linkerName: string) => string,
): TextEvidence {
  const { imageBase, imageEnd } = image.elf;
  const verdicts = crash.frames.slice(0, MAX_ASKED).map((frame) => {
    if (frame.address === null || frame.trust === 'scan') return null;
    const link = toUnsigned64(frame.address - loadBias);
    if (link < imageBase || link >= imageEnd) return null;
    return hasNameThere(frame, link, image, demangle) ?? isBehindCall(frame, link, image);
  });
  return { right: verdicts.filter((fits) => fits === true).length, wrong: verdicts.filter((fits) => fits === false).length };
}

/** The image, refused when the text speaks against it, and what to say of that. */
export function judgeByText(
  placed: PlacedImage,
  { right, wrong }: TextEvidence,
): { readonly placed: PlacedImage; readonly diagnostic: Diagnostic | null } {
  if (right + wrong < ENOUGH || right > wrong) return { placed, diagnostic: null };
  const path = placed.image.elf.path;
  const message = `${path} is not what printed this: only ${right} of ${right + wrong} addresses of its stack fit. No names are taken from it; give the file that was run, or say where it was loaded with --base`;
  return { placed: { ...placed, match: 'mismatch' }, diagnostic: { code: 'image-mismatch', message } };
}

/** Null when the guest said no name, or one that cannot be looked up. */
function hasNameThere(
  { function: name, functionOffset: offset }: ReportedFrame,
  link: bigint,
  image: PlacedImage['image'],
  demangle: (linkerName: string) => string,
): boolean | null {
  if (name === null) return null;
  const wanted = normaliseFunction(name);
  // A guest may have looked its own address up as it stands, and the call may be the function's last instruction.
  const here = [link, link - 1n].map((at) => image.locate(at).at(-1)?.function ?? null);
  if (here.some((found) => found !== null && [found, demangle(found)].some((own) => normaliseFunction(own) === wanted)))
    return true;
  const elsewhere = image.findLinkSymbol(name);
  return elsewhere !== null && offset !== null && elsewhere.address + BigInt(offset) !== link ? false : null;
}

/** Null when nothing can be said: no return address, or no code in this file (a debug file has none). */
function isBehindCall({ addressIs }: ReportedFrame, link: bigint, { elf, machine }: PlacedImage['image']): boolean | null {
  const { findCallBefore, maxCallLength } = getArchitecture(machine);
  const callEndsAt = (at: bigint): boolean | null => {
    const bytes = elf.readVirtual(at - BigInt(maxCallLength), maxCallLength);
    return bytes === null ? null : findCallBefore(bytes, at) !== null;
  };
  if (addressIs === 'return') return callEndsAt(link);
  // Some guests print return addresses less one (OSv): a call that ends there speaks for the image, none says nothing.
  return callEndsAt(link + 1n) === true ? true : null;
}
