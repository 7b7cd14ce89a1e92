// The internet checksum (RFC 1071) and SCTP's CRC32c (RFC 9260, appendix A).

/** One's-complement sum of 16-bit words, not folded; an odd last byte is the high byte of its word. */
export function sumWords(bytes: Uint8Array, seed = 0): number {
  let sum = seed;
  const even = bytes.length & ~1;
  for (let i = 0; i < even; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if (even !== bytes.length) sum += bytes[even]! << 8;
  return sum;
}

/** Folds a sum of fewer than 2^37 bytes and complements it: the value for a checksum field. */
export function finishChecksum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}

export function internetChecksum(bytes: Uint8Array, seed = 0): number {
  return finishChecksum(sumWords(bytes, seed));
}

/** Sum over the pseudo header of TCP, UDP and ICMPv6 (RFC 9293, 3.1; RFC 8200, 8.1); addresses are 4 or 16 bytes. */
export function pseudoHeaderSum(src: Uint8Array, dst: Uint8Array, proto: number, length: number): number {
  return sumWords(src) + sumWords(dst) + proto + (length >>> 16) + (length & 0xffff);
}

const CRC32C_POLYNOMIAL = 0x82f63b78; // reflected
const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CRC32C_POLYNOMIAL : crc >>> 1;
  return crc;
});

/** CRC32c as SCTP carries it: put the result into the packet least significant byte first. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC32C_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
