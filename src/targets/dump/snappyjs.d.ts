// The part of snappyjs (no types of its own) that we use.

declare module 'snappyjs' {
  /** The bytes of a raw snappy stream. Throws an Error for some damage and when there would be more than `maxLength`. */
  export function uncompress(compressed: Uint8Array, maxLength: number): Uint8Array;
  /** A raw snappy stream. */
  export function compress(uncompressed: Uint8Array): Uint8Array;
}
