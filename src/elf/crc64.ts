// CRC-64 of ECMA-182, reflected, as .xz files use it (The .xz File Format 1.2, section 6), in two 32-bit halves.

const [LOW, HIGH] = makeTables();

function makeTables(): readonly [Uint32Array, Uint32Array] {
  const lows = new Uint32Array(256);
  const highs = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) value = (value >> 1n) ^ ((value & 1n) * 0xc96c_5795_d787_0f42n);
    lows[byte] = Number(value & 0xffff_ffffn);
    highs[byte] = Number(value >> 32n);
  }
  return [lows, highs];
}

/** The checksum of `bytes`. */
export function crc64(bytes: Uint8Array): bigint {
  let low = 0xffff_ffff;
  let high = 0xffff_ffff;
  for (const byte of bytes) {
    const index = (low ^ byte) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ LOW[index]!;
    high = (high >>> 8) ^ HIGH[index]!;
  }
  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0);
}
