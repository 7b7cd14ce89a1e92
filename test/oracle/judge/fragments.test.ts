import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../../src/lib/prng.ts";
import { EMPTY_CASE } from "./case.ts";
import { inPieces, sortSpans } from "./fragments.ts";
import { runOurs } from "./ours.ts";

const UDP_SIZE = 2000;

/** UDP over IPv4, whose checksums nobody looks at before the pieces are made. */
function datagram(): Uint8Array {
  const head = Buffer.from("0200000000020200000000010800450007d000010000401100000a0000010a000002", "hex");
  return Uint8Array.from([...head, ...new Uint8Array(UDP_SIZE).fill(7)]);
}

function pieces(): string[] {
  for (let seed = 1; ; seed++) {
    const made = inPieces(new Prng(seed), datagram(), 9).map((p) => Buffer.from(p).toString("hex"));
    if (made.length === 2 && made[0]!.length > made[1]!.length) return made;
  }
}

test("a frame that makes a datagram whole is one span of each port, and only what it led to", () => {
  const other = "02000000000202000000000188cc0007";
  const frames = [other, ...pieces(), other].map((hex) => ({ port: 1, afterMs: 0, hex }));
  const flows = ["table=0,ip,actions=ct(table=1)", "table=0,priority=1,actions=output:2,output:3"];
  const onward = "table=1,actions=push_mpls:0x8847,output(port=2,max_len=40),output:2,output:3";
  const ours = runOurs({ ...EMPTY_CASE, flows: [...flows, onward], frames }, { cache: true });
  assert.deepEqual(ours.sent.map((line) => line.slice(0, 1)).join(""), "2222223333");
  assert.deepEqual(ours.pieces.sent, [
    [1, 5],
    [7, 9],
  ]);
  assert.deepEqual(ours.pieces.controller, []);
});

test("the order within a span is left out, and nothing else", () => {
  const spans = [[1, 3]] as const;
  const same = (a: string, b: string) => {
    assert.deepEqual(sortSpans([...a], spans), sortSpans([...b], spans));
  };
  same("abcd", "acbd");
  for (const other of ["bacd", "abdc", "abbd", "abc", "abcdd"]) assert.throws(() => same("abcd", other));
});
