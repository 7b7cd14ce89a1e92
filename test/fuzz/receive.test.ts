// The key that the datapath looks a frame up by is the parser's, also where receive.ts builds it by vector loads.
import assert from "node:assert/strict";
import test from "node:test";
import { DROP_EXPLICIT } from "../../src/datapath/abi.ts";
import { Datapath } from "../../src/datapath/datapath.ts";
import { Extractor } from "../../src/datapath/extract.ts";
import type { Miss, Translation } from "../../src/datapath/upcall.ts";
import { Flow } from "../../src/flow/flow.ts";
import { Prng } from "../../src/lib/prng.ts";
import { hexDump } from "../../src/packet/bytes.ts";
import { tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { mutatedFrame } from "../support/frames.ts";

const COUNT = Number(process.env.MEGAFLOW_FUZZ_FRAMES ?? 200_000);
const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const BATCH = 64;

test(`${COUNT} mutated frames are looked up by the parser's key (seed ${SEED})`, () => {
  const random = new Prng(SEED);
  const misses: Flow[] = [];
  const answer: Translation = {
    actions: [{ type: "drop", reason: DROP_EXPLICIT }],
    wildcards: new Flow(),
    owner: {
      credit() {},
      asked: () => true,
      dependsOnRules: false,
      rewritten: null,
      equals: () => false,
      hash: () => 0,
    },
    dependencies: null,
    drop: null,
    cacheable: false,
  };
  const upcall = (miss: Miss): Translation => {
    misses.push(miss.flow.clone());
    return answer;
  };
  const datapath = new Datapath(
    { upcall },
    { cache: false, megaflowsMax: 1024, connectionsMax: 1024, exactEntries: 0 },
  );
  const extractor = new Extractor(1); // as the datapath, which reads one tag
  const expected = new Flow();
  // Most frames should take the way of vector loads, or just miss it.
  const plain = [
    tcpFrame({
      srcPort: 40000,
      dstPort: 80,
      tos: 0xb9,
      options: new Uint8Array(8),
      payload: new Uint8Array(4),
    }),
    udpFrame({ srcPort: 68, dstPort: 67, payload: new Uint8Array(20) }),
  ];
  const frames: { bytes: Uint8Array; wireLen: number }[] = [];
  for (let done = 0; done < COUNT; done += frames.length) {
    frames.length = 0;
    misses.length = 0;
    while (frames.length < BATCH) {
      const bytes = mutatedFrame(random, random.below(2) === 0 ? plain : undefined);
      if (bytes.length < 14) continue;
      const wireLen = bytes.length + (random.below(4) === 0 ? random.below(100) : 0);
      frames.push({ bytes, wireLen });
      assert.ok(datapath.stage(bytes, 0, bytes.length, wireLen, 7, 0));
    }
    assert.equal(datapath.receive(0, Number.POSITIVE_INFINITY), BATCH);
    datapath.takeOutputs();
    datapath.clear();
    assert.equal(misses.length, BATCH);
    frames.forEach(({ bytes, wireLen }, i) => {
      extractor.extract(bytes, wireLen, 7, expected);
      if (misses[i]!.equals(expected)) return;
      const differ = [...expected.bytes.keys()].filter((k) => expected.bytes[k] !== misses[i]!.bytes[k]);
      assert.fail(`${wireLen} bytes on the wire: key bytes ${differ} differ\n${hexDump(bytes)}`);
    });
  }
});
