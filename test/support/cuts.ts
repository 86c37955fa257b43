// Every stream parser is tested cut at every byte: these feed one input in all the ways a socket may deliver it.

/** All ways to cut `bytes` in two, then the bytes one at a time. */
export function* cuts(bytes: Uint8Array): Generator<readonly Uint8Array[]> {
  for (let at = 0; at <= bytes.length; at += 1) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
}

/** The same for text that is pushed as Latin-1 bytes. */
export function* cutsOfText(text: string): Generator<readonly Uint8Array[]> {
  yield* cuts(new TextEncoder().encode(text));
}
