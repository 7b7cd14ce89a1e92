// Checksums that a frame must pass before it may be tracked (RFC 1071, RFC 8200 section 8.1).

const PROTO_TCP: u64 = 6;

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

/** Ones where the last vector of a sum has bytes of its own: load at TAIL_MASKS + 16 - their number. */
const TAIL_MASKS: usize = memory.data<u8>([
  255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0,
]);

/**
 * Whether a datagram of `total` bytes at `ip` has the right checksums: an IPv4 header of 20 bytes, then TCP. Reads up to 15 bytes
 * beyond it.
 */
export function checksumsGood(ip: usize, total: u32): bool {
  const addresses = load<u64>(ip, 12);
  const first = load<u64>(ip);
  const pseudo = (addresses >> 32) + (addresses & 0xffffffff);
  if (!good(pseudo + (first >> 32) + (first & 0xffffffff) + <u64>load<u32>(ip, 8))) return false;
  const end = ip + <usize>total;
  let at = ip + 20;
  let lanes = i32x4.extadd_pairwise_i16x8_u(v128.load(at));
  // The 16 bytes that were read are the header's.
  at += 16;
  for (; at + 16 <= end; at += 16) {
    lanes = i32x4.add(lanes, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
  }
  const last = v128.and(v128.load(at), v128.load(TAIL_MASKS + 16 - (end - at)));
  lanes = i32x4.add(lanes, i32x4.extadd_pairwise_i16x8_u(last));
  const pairs = i64x2.add(i64x2.extend_low_i32x4_u(lanes), i64x2.extend_high_i32x4_u(lanes));
  const sum = i64x2.extract_lane(pairs, 0) + i64x2.extract_lane(pairs, 1);
  return good(<u64>sum + pseudo + (<u64>bswap<u16>(<u16>(total - 20)) + ((<u64>PROTO_TCP) << 8)));
}

/** True when a sum folds to 0xffff: what a correct checksum, included in the sum, leads to. In either byte order. */
function good(total: u64): bool {
  // Halves added to each other, with the carry, in the upper half of each sum.
  const words = <u32>((total + rotl<u64>(total, 32)) >> 32);
  return (words + rotl<u32>(words, 16)) >> 16 == 0xffff;
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
