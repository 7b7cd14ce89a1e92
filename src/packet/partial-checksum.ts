// TCP and UDP checksums that a system has left to a network card, and that no card has completed: frames that never left the machine, such
// as those of another namespace's tunnel device over veth. The field then holds the folded sum of the pseudo header alone, so
// that it is told by its value. A whole checksum has that value once in 65,536 frames: completing it gives the same again.
import { get16, put16 } from "./bytes.ts";
import { finishChecksum, pseudoHeaderSum, sumWords } from "./checksum.ts";
import { IPV4_SIZE, PROTO_TCP, PROTO_UDP } from "./ipv4.ts";

const ETHERNET_SIZE = 14;
const TAG_SIZE = 4;
const TAG_TYPES: readonly number[] = [0x8100, 0x88a8];
const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;
const IPV6_SIZE = 40;
const CHECKSUM_AT: Readonly<Record<number, number>> = { [PROTO_TCP]: 16, [PROTO_UDP]: 6 };

/** Completes the checksum of an Ethernet frame in place, if it is partial. Says whether it was. */
export function completeChecksum(frame: Uint8Array): boolean {
  let ip = ETHERNET_SIZE;
  while (frame.length >= ip && TAG_TYPES.includes(get16(frame, ip - 2))) ip += TAG_SIZE;
  if (frame.length < ip) return false;
  const type = get16(frame, ip - 2);
  if (type === TYPE_IPV4) {
    if (frame.length < ip + IPV4_SIZE || (get16(frame, ip + 6) & 0x3fff) !== 0) return false;
    const start = ip + (frame[ip]! & 15) * 4;
    const end = ip + get16(frame, ip + 2);
    return complete(
      frame,
      start,
      end,
      frame[ip + 9]!,
      frame.subarray(ip + 12, ip + 16),
      frame.subarray(ip + 16, ip + 20),
    );
  }
  if (type === TYPE_IPV6 && frame.length >= ip + IPV6_SIZE) {
    const start = ip + IPV6_SIZE;
    const end = start + get16(frame, ip + 4);
    return complete(
      frame,
      start,
      end,
      frame[ip + 6]!,
      frame.subarray(ip + 8, ip + 24),
      frame.subarray(ip + 24, ip + 40),
    );
  }
  return false;
}

function complete(
  frame: Uint8Array,
  start: number,
  end: number,
  proto: number,
  src: Uint8Array,
  dst: Uint8Array,
): boolean {
  const at = CHECKSUM_AT[proto];
  if (at === undefined || end > frame.length || start + at + 2 > end) return false;
  const partial = ~finishChecksum(pseudoHeaderSum(src, dst, proto, end - start)) & 0xffff;
  if (get16(frame, start + at) !== partial) return false;
  // With the pseudo header's sum in its field the segment sums up to the whole.
  const whole = finishChecksum(sumWords(frame.subarray(start, end)));
  put16(frame, start + at, whole === 0 && proto === PROTO_UDP ? 0xffff : whole);
  return true;
}
