// Internet checksums kept right, or kept wrong, by updating them for what changed (RFC 1624): a checksum that was wrong
// before stays wrong by the same amount, as with OVS. One's complement sums do not care for byte order, so every number
// here is as it was loaded from the frame. SCTP's CRC32c is updated likewise.

/** The checksum `sum` after a 16-bit word of what it covers went from `was` to `now` (RFC 1624, equation 3). */
export function updateChecksum16(sum: u32, was: u32, now: u32): u32 {
  let s = (~sum & 0xffff) + (~was & 0xffff) + (now & 0xffff);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  return ~s & 0xffff;
}

export function updateChecksum32(sum: u32, was: u32, now: u32): u32 {
  return updateChecksum16(updateChecksum16(sum, was, now), was >> 16, now >> 16);
}

/** For an address of `size` bytes (a multiple of 2) that goes from what is at `was` to what is at `now`. */
export function updateChecksumBytes(sum: u32, was: usize, now: usize, size: u32): u32 {
  for (let i: usize = 0; i < <usize>size; i += 2) {
    sum = updateChecksum16(sum, load<u16>(was + i), load<u16>(now + i));
  }
  return sum;
}

/** Adds `size` bytes at `at`, an odd last one padded with zero, to a sum not yet folded (at most 64 KiB: it cannot overflow). */
export function addBytes(sum: u64, at: usize, size: u32): u64 {
  const even = size & ~1;
  for (let i: u32 = 0; i < even; i += 2) sum += load<u16>(at + i);
  if ((size & 1) != 0) sum += load<u8>(at + even);
  return sum;
}

/** The checksum of what was summed. */
export function finishSum(sum: u64): u32 {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return ~(<u32>sum) & 0xffff;
}

// CRC32c (RFC 9260, appendix A), bits reflected; the table is made on first use.
const CRC_POLYNOMIAL: u32 = 0x82f63b78;
const CRC_TABLE: usize = memory.data(1024, 16);
let crcTableMade = false;

function makeCrcTable(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >> 1) ^ CRC_POLYNOMIAL : crc >> 1;
    store<u32>(CRC_TABLE + (i << 2), crc);
  }
  crcTableMade = true;
}

function crcByte(crc: u32, byte: u32): u32 {
  return (crc >> 8) ^ load<u32>(CRC_TABLE + (((crc ^ byte) & 0xff) << 2));
}

/**
 * What a CRC32c (as loaded from the frame) is XORed with when the first four bytes of the `size` that it covers change by
 * the XOR `change`. The CRC is linear: the CRCs of two messages differ by the raw CRC of their difference, here four
 * bytes and then zeros, so that the payload is not read.
 */
export function crc32cChange(change: u32, size: u32): u32 {
  if (!crcTableMade) makeCrcTable();
  let crc: u32 = 0;
  for (let i = 0; i < 4; i++) {
    crc = crcByte(crc, change & 0xff);
    change >>= 8;
  }
  for (let i: u32 = 4; i < size; i++) crc = crcByte(crc, 0);
  return crc;
}
