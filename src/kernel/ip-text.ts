// IPv4 and IPv6 addresses as text in a frame: read as inet_pton(3) does, written as inet_ntop(3) does (RFC 5952 but for
// the embedded IPv4 address of ::a.b.c.d).

const COLON: u32 = 0x3a;
const DOT: u32 = 0x2e;

export function isDigit(c: u32): bool {
  return c - 0x30 < 10;
}

/** The value of a hexadecimal digit, 16 or more for anything else. */
export function hexDigit(c: u32): u32 {
  if (c - 0x30 < 10) return c - 0x30;
  const lower = c | 0x20;
  return lower - 0x61 < 6 ? lower - 0x61 + 10 : 16;
}

/** Reads `size` characters, all of them, as an IPv4 address in dotted form with `separator` for the dots; writes it to `to`. */
export function readIpv4(at: usize, size: u32, separator: u32, to: usize): bool {
  let parts: u32 = 0;
  let value: u32 = 0;
  let digits: u32 = 0;
  for (let i: u32 = 0; i <= size; i++) {
    const c: u32 = i == size ? separator : (load<u8>(at + (i as usize)) as u32);
    if (c == separator) {
      if (digits == 0 || parts == 4) return false;
      store<u8>(to + (parts as usize), value as u8);
      parts++;
      value = 0;
      digits = 0;
    } else {
      // No octet begins with a zero that is not its only digit.
      if (!isDigit(c) || (digits != 0 && value == 0)) return false;
      value = value * 10 + (c - 0x30);
      digits++;
      if (value > 255) return false;
    }
  }
  return parts == 4;
}

/** Reads `size` characters, all of them, as an IPv6 address; writes it to `to`. */
export function readIpv6(at: usize, size: u32, to: usize): bool {
  const zero = i32x4.splat(0);
  v128.store(to, zero);
  let filled: u32 = 0; // bytes
  let gap: i32 = -1;
  let i: u32 = 0;
  if (size >= 1 && (load<u8>(at) as u32) == COLON) {
    if (size < 2 || (load<u8>(at, 1) as u32) != COLON) return false;
    i = 1;
  }
  let start = i;
  let digits: u32 = 0;
  let value: u32 = 0;
  while (i < size) {
    const c = load<u8>(at + (i as usize)) as u32;
    i++;
    const digit = hexDigit(c);
    if (digit < 16) {
      if (++digits > 4) return false;
      value = (value << 4) | digit;
      continue;
    }
    if (c == COLON) {
      const from = start;
      start = i;
      if (digits == 0) {
        if (gap >= 0 || (from == i && from != 1)) return false;
        gap = filled as i32;
        continue;
      }
      if (i == size || filled + 2 > 16) return false;
      store<u16>(to + (filled as usize), bswap<u16>(value as u16));
      filled += 2;
      digits = 0;
      value = 0;
      continue;
    }
    if (c == DOT && filled + 4 <= 16) {
      if (!readIpv4(at + (start as usize), size - start, DOT, to + (filled as usize))) return false;
      filled += 4;
      digits = 0;
      break;
    }
    return false;
  }
  if (digits != 0) {
    if (filled + 2 > 16) return false;
    store<u16>(to + (filled as usize), bswap<u16>(value as u16));
    filled += 2;
  }
  if (gap >= 0) {
    if (filled == 16) return false;
    const moved = filled - (gap as u32);
    for (let k: u32 = 1; k <= moved; k++) {
      store<u8>(to + ((16 - k) as usize), load<u8>(to + (((gap as u32) + moved - k) as usize)));
      store<u8>(to + (((gap as u32) + moved - k) as usize), 0);
    }
    filled = 16;
  }
  return filled == 16;
}

/** Writes the IPv4 address at `address` with `separator` for the dots, 15 characters at most; returns how many. */
export function writeIpv4(address: usize, separator: u32, to: usize): u32 {
  let at = to;
  for (let i: usize = 0; i < 4; i++) {
    if (i != 0) store<u8>(at++, separator as u8);
    const value = load<u8>(address + i) as u32;
    if (value >= 100) store<u8>(at++, (0x30 + value / 100) as u8);
    if (value >= 10) store<u8>(at++, (0x30 + ((value / 10) % 10)) as u8);
    store<u8>(at++, (0x30 + (value % 10)) as u8);
  }
  return (at - to) as u32;
}

function group(address: usize, i: i32): u32 {
  return bswap<u16>(load<u16>(address + ((i as usize) << 1))) as u32;
}

function writeHex(value: u32, to: usize): usize {
  let shift: i32 = 12;
  while (shift > 0 && value >> shift == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) {
    const digit = (value >> shift) & 15;
    store<u8>(to++, (digit < 10 ? 0x30 + digit : 0x61 + digit - 10) as u8);
  }
  return to;
}

/** Writes the IPv6 address at `address`, 45 characters at most; returns how many. */
export function writeIpv6(address: usize, to: usize): u32 {
  // The longest run of two or more zero groups, the first of several.
  let best: i32 = -1;
  let bestLength: i32 = 1;
  for (let i: i32 = 0; i < 8; ) {
    let end = i;
    while (end < 8 && group(address, end) == 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
    i = end + 1;
  }
  let at = to;
  for (let i: i32 = 0; i < 8; i++) {
    if (best >= 0 && i >= best && i < best + bestLength) {
      if (i == best) store<u8>(at++, COLON as u8);
      continue;
    }
    if (i != 0) store<u8>(at++, COLON as u8);
    // An IPv4 address in an IPv6 one keeps its dots.
    if (i == 6 && best == 0 && (bestLength == 6 || (bestLength == 5 && group(address, 5) == 0xffff))) {
      return ((at - to) as u32) + writeIpv4(address + 12, DOT, at);
    }
    at = writeHex(group(address, i), at);
  }
  if (best >= 0 && best + bestLength == 8) store<u8>(at++, COLON as u8);
  return (at - to) as u32;
}
