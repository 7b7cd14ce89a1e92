// A frame that stands for several, cut into them, as a network card would do it (TCP segmentation offload, UDP_SEGMENT): for
// ports behind which nobody else does.

const ETHERNET = 14;
const TAG = 4;
const PROTO_TCP = 6;
const PROTO_UDP = 17;
const TCP_FIN_PSH = 0x09;
const TCP_CWR = 0x80;

/** Where the headers of a frame are. */
interface Headers {
  readonly l3: number;
  readonly l4: number;
  readonly payload: number;
  readonly six: boolean;
  readonly tcp: boolean;
}

/**
 * The segments of a frame, each with at most `size` bytes of payload, in memory of their own; the frame itself where there is nothing
 * to cut; null when it is not a whole TCP or UDP packet, and so cannot be cut.
 */
export function segments(frame: Uint8Array, size: number): Uint8Array[] | null {
  const headers = findHeaders(frame);
  if (headers === null || size === 0) return null;
  const { payload } = headers;
  if (frame.length - payload <= size) return [frame];
  const cut: Uint8Array[] = [];
  for (let at = payload; at < frame.length; at += size) {
    const data = frame.subarray(at, Math.min(at + size, frame.length));
    const segment = new Uint8Array(payload + data.length);
    segment.set(frame.subarray(0, payload));
    segment.set(data, payload);
    finish(segment, headers, at - payload, cut.length, at + size >= frame.length);
    cut.push(segment);
  }
  return cut;
}

/** The payload of the largest segment of a frame that is at most `frameMax` bytes; 0 where it cannot be cut. */
export function segmentOf(frame: Uint8Array, frameMax: number): number {
  const headers = findHeaders(frame);
  return headers === null ? 0 : Math.max(0, frameMax - headers.payload);
}

function findHeaders(frame: Uint8Array): Headers | null {
  if (frame.length < ETHERNET) return null;
  let l3 = ETHERNET;
  let type = be16(frame, 12);
  while ((type === 0x8100 || type === 0x88a8) && l3 + TAG <= frame.length) {
    type = be16(frame, l3 + 2);
    l3 += TAG;
  }
  const six = type === 0x86dd;
  if ((!six && type !== 0x0800) || l3 + (six ? 40 : 20) > frame.length) return null;
  const end = six ? l3 + 40 + be16(frame, l3 + 4) : l3 + be16(frame, l3 + 2);
  if (end !== frame.length || (!six && (be16(frame, l3 + 6) & 0x3fff) !== 0)) return null;
  const proto = frame[l3 + (six ? 6 : 9)]!;
  const tcp = proto === PROTO_TCP;
  const l4 = l3 + (six ? 40 : (frame[l3]! & 15) * 4);
  if ((!tcp && proto !== PROTO_UDP) || l4 + (tcp ? 20 : 8) > frame.length) return null;
  const payload = l4 + (tcp ? (frame[l4 + 12]! >> 4) * 4 : 8);
  return payload > frame.length ? null : { l3, l4, payload, six, tcp };
}

/** Writes what differs between segments: lengths, IPv4 identification, sequence number, flags, checksums. */
function finish(
  segment: Uint8Array,
  { l3, l4, six, tcp }: Headers,
  before: number,
  index: number,
  last: boolean,
): void {
  if (six) {
    putBe16(segment, l3 + 4, segment.length - l3 - 40);
  } else {
    putBe16(segment, l3 + 2, segment.length - l3);
    putBe16(segment, l3 + 4, (be16(segment, l3 + 4) + index) & 0xffff);
    putBe16(segment, l3 + 10, 0);
    putBe16(segment, l3 + 10, checksum(sum(segment, l3, l4)));
  }
  if (tcp) {
    const sequence = be16(segment, l4 + 4) * 0x10000 + be16(segment, l4 + 6) + before;
    putBe16(segment, l4 + 4, (sequence >>> 16) & 0xffff);
    putBe16(segment, l4 + 6, sequence & 0xffff);
    if (!last) segment[l4 + 13]! &= ~TCP_FIN_PSH;
    if (index > 0) segment[l4 + 13]! &= ~TCP_CWR;
  } else {
    putBe16(segment, l4 + 4, segment.length - l4);
  }
  const field = l4 + (tcp ? 16 : 6);
  putBe16(segment, field, 0);
  const addresses = six ? sum(segment, l3 + 8, l3 + 40) : sum(segment, l3 + 12, l3 + 20);
  const total =
    addresses + (tcp ? PROTO_TCP : PROTO_UDP) + (segment.length - l4) + sum(segment, l4, segment.length);
  const done = checksum(total);
  putBe16(segment, field, done === 0 && !tcp ? 0xffff : done);
}

function be16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function putBe16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 255;
}

/** The sum of 16-bit words (RFC 1071), not folded: 65,535 bytes stay far below 2^53. */
function sum(bytes: Uint8Array, from: number, to: number): number {
  let total = 0;
  let at = from;
  for (; at + 1 < to; at += 2) total += be16(bytes, at);
  return at < to ? total + (bytes[at]! << 8) : total;
}

function checksum(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}
