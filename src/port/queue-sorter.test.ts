import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes } from "../packet/bytes.ts";
import { tcpFrame, udpFrame } from "../packet/frame.ts";
import { connectionHash, QueueSorter } from "./queue-sorter.ts";

const of = (frame: Uint8Array) => connectionHash(frame, 0, frame.length);

test("frames of a connection have the same hash, connections different ones", () => {
  const connection = { src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1000, dstPort: 80 };
  assert.equal(of(tcpFrame({ ...connection, seq: 1 })), of(tcpFrame({ ...connection, seq: 7, flags: 0x18 })));
  const answer = { src: "10.0.0.2", dst: "10.0.0.1", srcPort: 80, dstPort: 1000 };
  assert.equal(of(tcpFrame(connection)), of(tcpFrame(answer)));
  const v6 = { ...connection, src: "fd00::1", dst: "fd00::2" };
  assert.equal(of(udpFrame(v6)), of(udpFrame({ ...v6, payload: new Uint8Array(9) })));
  for (const base of [connection, v6]) {
    const queues = new Set<number>();
    for (let srcPort = 1000; srcPort < 1032; srcPort++) queues.add(of(udpFrame({ ...base, srcPort })) % 4);
    assert.equal(queues.size, 4);
  }
});

test("a short frame is not read beyond its end", () => {
  const frame = tcpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1000, dstPort: 80 });
  for (let length = 14; length < frame.length; length++) {
    const cut = frame.subarray(0, length);
    const garbage = concatBytes(cut, new Uint8Array(40).fill(0xa5));
    assert.equal(
      connectionHash(garbage, 0, length),
      connectionHash(concatBytes(cut, new Uint8Array(40)), 0, length),
    );
  }
});

test("a frame goes out by the queue by which the other direction comes", () => {
  const sorter = new QueueSorter(4);
  for (const [i, queue] of [3, 0, 2, 1].entries()) {
    const came = udpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1000 + i, dstPort: 80 });
    const goes = udpFrame({ src: "10.0.0.2", dst: "10.0.0.1", srcPort: 80, dstPort: 1000 + i });
    sorter.received(queue, came, 0, 64, Uint32Array.of(came.length), 1);
    const zero = Uint32Array.of(0);
    const sent = sorter.write(goes, zero, Uint32Array.of(goes.length), zero, 1, (by) => by);
    assert.equal(sent, queue);
  }
});

test("each queue gets its frames in order, and what they took is added up", () => {
  const frames = Array.from({ length: 64 }, (_, i) =>
    udpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1000 + (i % 8), dstPort: 80 }),
  );
  const memory = concatBytes(...frames);
  let at = 0;
  const offsets = Uint32Array.from(frames, (frame) => (at += frame.length) - frame.length);
  const lengths = Uint32Array.from(frames, (frame) => frame.length);
  const segments = Uint32Array.from(frames, (_, i) => i);
  const came: number[][] = [[], [], []];
  const sent = new QueueSorter(3).write(memory, offsets, lengths, segments, 64, (queue, some) => {
    for (let i = 0; i < some.count; i++) {
      assert.equal(some.offsets[i], offsets[some.segments[i]!]);
      assert.equal(some.lengths[i], lengths[some.segments[i]!]);
      came[queue]!.push(some.segments[i]!);
    }
    return some.count - 1;
  });
  assert.equal(came.flat().length, 64);
  assert.equal(sent, 64 - came.filter((some) => some.length > 0).length);
  for (const some of came)
    assert.deepEqual(
      some,
      [...some].sort((a, b) => a - b),
    );
});
