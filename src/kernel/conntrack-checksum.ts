// Checksums that a frame must pass before it may be tracked (RFC 1071, RFC 8200 section 8.1).

/** The ones' complement sum of `length` bytes at `at`, not folded; reads nothing beyond them. */
function sum(at: usize, length: u32): u64 {
  let total: u64 = 0;
  const end = at + (length as usize);
  if (length >= 64) {
    // Pairs of words added in 32-bit lanes: a lane takes 2 * 0xffff for each 16 bytes, 2^32 only after 500,000 bytes.
    let lanes = i32x4.splat(0);
    while (at + 16 <= end) {
      lanes = i32x4.add(lanes, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
      at += 16;
    }
    total =
      (i32x4.extract_lane(lanes, 0) as u32 as u64) +
      (i32x4.extract_lane(lanes, 1) as u32 as u64) +
      (i32x4.extract_lane(lanes, 2) as u32 as u64) +
      (i32x4.extract_lane(lanes, 3) as u32 as u64);
  }
  while (at + 8 <= end) {
    const word = load<u64>(at);
    total += (word & 0xffffffff) + (word >> 32);
    at += 8;
  }
  if (at + 4 <= end) {
    total += load<u32>(at) as u64;
    at += 4;
  }
  if (at + 2 <= end) {
    total += load<u16>(at) as u64;
    at += 2;
  }
  if (at < end) total += load<u8>(at) as u64;
  return total;
}

/** True when a sum folds to 0xffff: what a correct checksum, included in the sum, leads to. In either byte order. */
function good(total: u64): bool {
  total = (total >> 32) + (total & 0xffffffff);
  total = (total >> 16) + (total & 0xffff);
  total = (total >> 16) + (total & 0xffff);
  total = (total >> 16) + (total & 0xffff);
  return total == 0xffff;
}

/** Checks `length` bytes that hold their own checksum: an IPv4 header, an ICMP message. */
export function checksumGood(at: usize, length: u32): bool {
  return good(sum(at, length));
}

/** The same with a pseudo-header: `addresses` are the source and destination, `addressLength` bytes in all. */
export function checksumGoodWithPseudo(
  at: usize,
  length: u32,
  addresses: usize,
  addressLength: u32,
  proto: u32,
): bool {
  const swapped = ((length & 0xff) << 8) | ((length >> 8) & 0xff);
  return good(sum(at, length) + sum(addresses, addressLength) + (swapped as u64) + ((proto << 8) as u64));
}
