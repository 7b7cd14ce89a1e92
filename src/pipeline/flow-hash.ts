// Hashes of flow keys with OVS's own values, so that the same frames choose the same buckets and links: MurmurHash3's
// mixing (public domain, Austin Appleby) over little-endian words, as OVS builds without SSE 4.2 do.

export function hashAdd(hash: number, data: number): number {
  let d = Math.imul(data, 0xcc9e2d51);
  d = (d << 15) | (d >>> 17);
  d = Math.imul(d, 0x1b873593);
  const h = hash ^ d;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

export function hashFinish(hash: number, length: number): number {
  let h = hash ^ length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export const hash2Words = (a: number, b: number): number => hashFinish(hashAdd(hashAdd(a, 0), b), 8);

/** A 64-bit value, in two words. */
export const hash64 = (value: bigint): number =>
  hashFinish(hashAdd(hashAdd(0, Number(value & 0xffffffffn)), Number((value >> 32n) & 0xffffffffn)), 8);

export function hashBytes(bytes: Uint8Array, basis: number): number {
  let hash = basis;
  let i = 0;
  for (; i + 4 <= bytes.length; i += 4) {
    hash = hashAdd(hash, bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
  }
  if (i < bytes.length) {
    let last = 0;
    for (let k = 0; i + k < bytes.length; k++) last |= bytes[i + k]! << (8 * k);
    hash = hashAdd(hash, last);
  }
  return hashFinish(hash, bytes.length);
}

const rot = (x: number, k: number): number => (x << k) | (x >>> (32 - k));

/** Bob Jenkins's hash (public domain, lookup3), for symmetric layer 4 hashes in the slow path. */
export function jhashBytes(bytes: Uint8Array, basis: number): number {
  const word = (i: number): number =>
    (bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8) | ((bytes[i + 2] ?? 0) << 16) | ((bytes[i + 3] ?? 0) << 24);
  let a = (0xdeadbeef + bytes.length + basis) | 0;
  let b = a;
  let c = a;
  let i = 0;
  let n = bytes.length;
  while (n >= 12) {
    a = (a + word(i)) | 0;
    b = (b + word(i + 4)) | 0;
    c = (c + word(i + 8)) | 0;
    a = ((a - c) | 0) ^ rot(c, 4);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rot(a, 6);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rot(b, 8);
    b = (b + a) | 0;
    a = ((a - c) | 0) ^ rot(c, 16);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rot(a, 19);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rot(b, 4);
    b = (b + a) | 0;
    n -= 12;
    i += 12;
  }
  if (n > 0) {
    a = (a + word(i)) | 0;
    b = (b + word(i + 4)) | 0;
    c = (c + word(i + 8)) | 0;
    c = ((c ^ b) - rot(b, 14)) | 0;
    a = ((a ^ c) - rot(c, 11)) | 0;
    b = ((b ^ a) - rot(a, 25)) | 0;
    c = ((c ^ b) - rot(b, 16)) | 0;
    a = ((a ^ c) - rot(c, 4)) | 0;
    b = ((b ^ a) - rot(a, 14)) | 0;
    c = ((c ^ b) - rot(b, 24)) | 0;
  }
  return c >>> 0;
}
