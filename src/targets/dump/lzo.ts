// LZO1X decompression, after the description of the stream in Linux' Documentation/staging/lzo.rst (version 0, which is what liblzo2 writes).
// The input is hostile: each copy is checked against both buffers, and each instruction takes at least one byte of input.

/** Fills `out` from the stream `input`; false when the stream is damaged or does not give exactly as many bytes. */
export function decompressLzo(input: Uint8Array, out: Uint8Array): boolean {
  let from = 0;
  let to = 0;
  // Literals that the last instruction copied: 0, 1 to 3, or 4 for more.
  let state = 0;

  const copyLiterals = (count: number): boolean => {
    if (count > input.length - from || count > out.length - to) return false;
    for (let index = 0; index < count; index += 1) out[to + index] = input[from + index]!;
    from += count;
    to += count;
    return true;
  };
  const copyBlock = (distance: number, count: number): boolean => {
    if (distance > to || count > out.length - to) return false;
    // Byte by byte: a block may overlap itself, which repeats it.
    for (const end = to + count; to < end; to += 1) out[to] = out[to - distance]!;
    return true;
  };
  // A length whose bits are all zero goes on: 255 for each zero byte, then the first other byte.
  const readLength = (bits: number, mask: number): number => {
    if (bits !== 0) return bits;
    let length = mask;
    for (; input[from] === 0; from += 1) length += 255;
    length += input[from] ?? Infinity;
    from += 1;
    return length;
  };

  const first = input[0] ?? 0;
  if (first > 17) {
    from = 1;
    if (!copyLiterals(first - 17)) return false;
    state = Math.min(first - 17, 4);
  }
  while (from < input.length) {
    const instruction = input[from]!;
    from += 1;
    let literals = instruction & 3;
    let copied: boolean;
    if (instruction >= 64) {
      const distance = (input[from] ?? Infinity) * 8 + ((instruction >> 2) & 7) + 1;
      from += 1;
      copied = copyBlock(distance, (instruction >> 5) + 1);
    } else if (instruction >= 16) {
      const isNear = instruction >= 32;
      const mask = isNear ? 31 : 7;
      const length = readLength(instruction & mask, mask) + 2;
      if (from + 2 > input.length) return false;
      const operand = input[from]! | (input[from + 1]! << 8);
      from += 2;
      literals = operand & 3;
      const distance = isNear ? (operand >> 2) + 1 : 16_384 + ((instruction & 8) << 11) + (operand >> 2);
      if (distance === 16_384 && !isNear) return from === input.length && to === out.length;
      copied = copyBlock(distance, length);
    } else if (state === 0) {
      copied = copyLiterals(readLength(instruction, 15) + 3);
      literals = 4;
    } else {
      const distance = (input[from] ?? Infinity) * 4 + (instruction >> 2) + 1;
      from += 1;
      copied = state === 4 ? copyBlock(distance + 2048, 3) : copyBlock(distance, 2);
    }
    if (!copied || (literals < 4 && !copyLiterals(literals))) return false;
    state = literals;
  }
  return false;
}
