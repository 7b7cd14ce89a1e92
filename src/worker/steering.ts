// Which shard a frame goes to: a hash that is the same for both directions of a connection.
//
//   IP             the address pair, without order; of TCP and UDP the port pair too, of others the protocol
//   fragments      the address pair: the later ones have no ports
//   ICMP errors    as the frame that they quote
//   others         the Ethernet address pair
//
// Tags, LLC/SNAP and MPLS labels are looked through, however many. A frame that lies about its headers goes somewhere; where does not
// matter, since nothing that it says is tracked. Only whole header fields inside the frame are read. What counts as a header, a
// fragment or an error is what connection tracking takes for one (kernel/parse*.ts, kernel/conntrack-key.ts): two frames of what it
// holds for one connection must come to the same hash. SCTP's ports count for nothing there, and so nothing here.

const ETHERTYPE_MIN = 0x600;
const VLAN = 0x8100;
const VLAN_SERVICE = 0x88a8;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const MPLS = 0x8847;
const MPLS_MULTICAST = 0x8848;
const ICMP = 1;
const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;
// Extension headers (RFC 8200, RFC 4302).
const HOP_OPTIONS = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;

/** What is known of the last frame that was looked at. */
export class Steering {
  isIp = false;
  isFragment = false;
  /** 32 bits of the addresses alone. */
  pair = 0;
  /** 32 bits of all that tells connections apart. */
  tuple = 0;

  /** Looks at the frame in `length` bytes of `data` from `offset`. */
  look(data: Uint8Array, offset: number, length: number): void {
    const end = offset + length;
    this.isIp = false;
    this.isFragment = false;
    this.pair = 0;
    this.tuple = 0;
    if (length < 14) return;
    if (length >= 38 && data[offset + 12] === 8 && data[offset + 13] === 0 && data[offset + 14] === 0x45) {
      // Most frames: no tag, no options.
      this.isIp = true;
      this.#ipv4(data, offset + 14, end);
      return;
    }
    let at = offset + 12;
    let type = read16(data, at);
    at += 2;
    while ((type === VLAN || type === VLAN_SERVICE) && at + 4 <= end) {
      type = read16(data, at + 2);
      at += 4;
    }
    if (type < ETHERTYPE_MIN && at + 8 <= end && isSnap(data, at)) {
      type = read16(data, at + 6);
      at += 8;
    }
    if (type === MPLS || type === MPLS_MULTICAST) {
      let bottom = false;
      for (; !bottom && at + 4 <= end; at += 4) bottom = (data[at + 2]! & 1) !== 0;
      type = bottom && at < end ? typeOf(data[at]! >> 4) : 0;
    }
    if (type === IPV4 && at + 20 <= end) {
      this.isIp = true;
      this.#ipv4(data, at, end);
    } else if (type === IPV6 && at + 40 <= end) {
      this.isIp = true;
      this.#ipv6(data, at, end);
    } else {
      this.pair = pairOf(data, offset, offset + 6, 6);
      this.tuple = this.pair;
    }
  }

  #ipv4(data: Uint8Array, at: number, end: number): void {
    const protocol = data[at + 9]!;
    const l4 = at + (data[at]! & 15) * 4;
    this.pair = pairOf(data, at + 12, at + 16, 4);
    this.isFragment = (read16(data, at + 6) & 0x3fff) !== 0;
    if (this.isFragment) {
      this.tuple = this.pair;
    } else if (protocol === ICMP && l4 + 28 <= end && isIcmpError(data[l4]!)) {
      const quoted = l4 + 8;
      this.pair = pairOf(data, quoted + 12, quoted + 16, 4);
      this.tuple = tupleOf(this.pair, data, quoted + (data[quoted]! & 15) * 4, end, data[quoted + 9]!);
    } else {
      this.tuple = tupleOf(this.pair, data, l4, end, protocol);
    }
  }

  #ipv6(data: Uint8Array, at: number, end: number): void {
    this.pair = pairOf(data, at + 8, at + 24, 16);
    this.isFragment = skipExtensions(data, at, end);
    const l4 = $next.at;
    if (this.isFragment) {
      this.tuple = this.pair;
    } else if ($next.protocol === ICMPV6 && l4 + 48 <= end && data[l4]! >= 1 && data[l4]! <= 4) {
      const quoted = l4 + 8;
      this.pair = pairOf(data, quoted + 8, quoted + 24, 16);
      skipExtensions(data, quoted, end);
      this.tuple = tupleOf(this.pair, data, $next.at, end, $next.protocol);
    } else {
      this.tuple = tupleOf(this.pair, data, l4, end, $next.protocol);
    }
  }
}

/** Where skipExtensions() ended. */
const $next = { protocol: 0, at: 0 };

/** Finds what follows the extension headers of the IPv6 header at `at`; true for a fragment. */
function skipExtensions(data: Uint8Array, at: number, end: number): boolean {
  $next.protocol = data[at + 6]!;
  $next.at = at + 40;
  for (;;) {
    const { protocol, at: here } = $next;
    const options = protocol === HOP_OPTIONS || protocol === ROUTING || protocol === DESTINATION_OPTIONS;
    if (!options && protocol !== AUTHENTICATION && protocol !== FRAGMENT) return false;
    if (here + 8 > end) return false;
    // A fragment header in front of a whole packet says nothing.
    if (protocol === FRAGMENT && (read16(data, here + 2) & 0xfff9) !== 0) return true;
    const length = data[here + 1]!;
    $next.protocol = data[here]!;
    $next.at += protocol === FRAGMENT ? 8 : options ? (length + 1) * 8 : (length + 2) * 4;
  }
}

/** `pair` of a connection's addresses, 4 or 16 bytes each: the same as its frames have. */
export function pairOfAddresses(src: Uint8Array, dst: Uint8Array): number {
  const both = new Uint8Array(src.length * 2);
  both.set(src);
  both.set(dst, src.length);
  return pairOf(both, 0, src.length, src.length);
}

const typeOf = (version: number) => (version === 4 ? IPV4 : version === 6 ? IPV6 : 0);

function isSnap(data: Uint8Array, at: number): boolean {
  return read16(data, at) === 0xaaaa && read16(data, at + 2) === 0x0300 && read16(data, at + 4) === 0;
}

/** Unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792). */
function isIcmpError(type: number): boolean {
  return type === 3 || type === 4 || type === 5 || type === 11 || type === 12;
}

function tupleOf(pair: number, data: Uint8Array, at: number, end: number, protocol: number): number {
  if ((protocol !== TCP && protocol !== UDP) || at + 4 > end) return mix(pair ^ (protocol << 24));
  const a = read16(data, at);
  const b = read16(data, at + 2);
  return mix(pair ^ Math.imul(a < b ? (b << 16) | a : (a << 16) | b, 0x85ebca6b) ^ (protocol << 24));
}

/** Of two fields of `size` bytes, without order. */
function pairOf(data: Uint8Array, a: number, b: number, size: number): number {
  const x = fold(data, a, size);
  const y = fold(data, b, size);
  return mix(Math.imul(x + y, 0x9e3779b1) + (x ^ y));
}

function fold(data: Uint8Array, at: number, size: number): number {
  let h = 0;
  for (let i = 0; i < size; i += 2) h = Math.imul(h ^ read16(data, at + i), 0xcc9e2d51) ^ (h >>> 15);
  return h;
}

/** Every bit of `h` in every bit of the result: a remainder of it is to be even. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function read16(data: Uint8Array, at: number): number {
  return (data[at]! << 8) | data[at + 1]!;
}
