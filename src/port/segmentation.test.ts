import assert from "node:assert/strict";
import { test } from "node:test";
import { segmentOf, segments } from "./segmentation.ts";

const be16 = (bytes: Uint8Array, at: number) => (bytes[at]! << 8) | bytes[at + 1]!;

/** Big endian 16-bit words, the carry around: 0xffff of what holds its own right checksum. */
function folded(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (let i = 0; i < part.length; i++) sum += i % 2 === 0 ? part[i]! << 8 : part[i]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** A TCP or UDP packet over IPv4 or IPv6 with tags before it; no checksum is right. */
function packet(six: boolean, tcp: boolean, tags: number, size: number): Uint8Array {
  const l3 = 14 + 4 * tags;
  const l4 = l3 + (six ? 40 : 20);
  const payload = l4 + (tcp ? 32 : 8);
  const frame = new Uint8Array(payload + size);
  for (let i = 0; i <= tags; i++) {
    const type = i < tags ? 0x8100 : six ? 0x86dd : 0x0800;
    frame.set([type >> 8, type & 255], 12 + 4 * i);
  }
  const length = frame.length - (six ? l4 : l3);
  if (six) frame.set([0x60, 0, 0, 0, length >> 8, length & 255, tcp ? 6 : 17, 64], l3);
  else frame.set([0x45, 0, length >> 8, length & 255, 0xff, 0xff, 0x40, 0, 64, tcp ? 6 : 17], l3);
  for (let i = six ? l3 + 8 : l3 + 12; i < l4; i++) frame[i] = i * 37;
  // Sequence 0xfffffff0, 32 bytes of header, CWR, ACK, PSH and FIN.
  if (tcp) frame.set([0, 1, 0, 2, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 0x80, 0x99], l4);
  for (let i = 0; i < size; i++) frame[payload + i] = i % 251;
  return frame;
}

for (const six of [false, true])
  for (const tcp of [false, true])
    for (const tags of [0, 2])
      test(`${tcp ? "TCP" : "UDP"} over IPv${six ? 6 : 4} behind ${tags} tags is cut`, () => {
        const whole = packet(six, tcp, tags, 3001);
        const l3 = 14 + 4 * tags;
        const l4 = l3 + (six ? 40 : 20);
        const payload = l4 + (tcp ? 32 : 8);
        const cut = segments(whole, 1000)!;
        assert.deepEqual(
          cut.map((s) => s.length - payload),
          [1000, 1000, 1000, 1],
        );
        assert.deepEqual(
          Buffer.concat(cut.map((s) => s.subarray(payload))),
          Buffer.from(whole.subarray(payload)),
        );
        for (const [i, segment] of cut.entries()) {
          const pseudo = Uint8Array.of(
            0,
            tcp ? 6 : 17,
            (segment.length - l4) >> 8,
            (segment.length - l4) & 255,
          );
          const addresses = segment.subarray(six ? l3 + 8 : l3 + 12, l4);
          assert.equal(folded(addresses, pseudo, segment.subarray(l4)), 0xffff, "the transport checksum");
          if (six) {
            assert.equal(be16(segment, l3 + 4), segment.length - l4);
          } else {
            assert.equal(folded(segment.subarray(l3, l4)), 0xffff, "the header's checksum");
            assert.equal(be16(segment, l3 + 2), segment.length - l3);
            assert.equal(be16(segment, l3 + 4), (0xffff + i) & 0xffff);
          }
          if (!tcp) {
            assert.equal(be16(segment, l4 + 4), segment.length - l4);
            continue;
          }
          const sequence = be16(segment, l4 + 4) * 65536 + be16(segment, l4 + 6);
          assert.equal(sequence, (0xfffffff0 + 1000 * i) % 2 ** 32);
          assert.equal(segment[l4 + 13], (i === 0 ? 0x80 : 0) | 0x10 | (i === 3 ? 0x09 : 0));
        }
      });

test("what is one segment stays as it is, what cannot be cut is told", () => {
  const small = packet(false, true, 0, 1000);
  assert.deepEqual(segments(small, 1000), [small]);
  assert.equal(segments(small.subarray(0, small.length - 1), 100), null, "not all of the packet is there");
  const fragment = small.slice();
  fragment[20] = 0x20;
  assert.equal(segments(fragment, 100), null);
  const arp = small.slice();
  arp[13] = 6;
  assert.equal(segments(arp, 100), null);
  assert.equal(segments(new Uint8Array(10), 100), null);
  assert.equal(segmentOf(small, 1514), 1514 - 66);
  assert.equal(segmentOf(arp, 1514), 0);
});
