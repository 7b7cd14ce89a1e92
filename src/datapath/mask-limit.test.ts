import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { tcpFrame } from "../packet/frame.ts";
import { Datapath, type DatapathOptions } from "./datapath.ts";
import { STALE_ALL } from "./stale.ts";
import type { Miss, Translation, UpcallHandler } from "./upcall.ts";

/** Looks at other bits of nw_src for each tp_src: as many masks as ports that are seen. Sends to a port by what it saw. */
class ManyMasks implements UpcallHandler {
  upcalls = 0;

  upcall(miss: Miss): Translation {
    this.upcalls++;
    return this.translate(miss.flow);
  }

  translate(flow: Flow): Translation {
    const wildcards = new Flow();
    wildcards.setExact(L.O_IN_PORT, 8);
    wildcards.setExact(L.O_DL_TYPE, 3);
    wildcards.setExact(L.O_TP_SRC, 2);
    const tpSrc = flow.get16(L.O_TP_SRC);
    wildcards.set16(L.O_NW_SRC + 2, tpSrc);
    const port = 1 + ((flow.get16(L.O_NW_SRC + 2) & tpSrc) % 97);
    return {
      actions: [{ type: "output", port }],
      wildcards,
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
      cacheable: true,
    };
  }
}

const MASKS = 600;

function run(options: DatapathOptions) {
  const pipeline = new ManyMasks();
  const datapath = new Datapath(pipeline, { connectionsMax: 64, ...options });
  const sent: string[] = [];
  datapath.sink = {
    port: (port, _memory, _offset, _length, _wireLength, frame) => sent.push(`${frame}>${port}`),
    userspace: () => assert.fail("no userspace action here"),
  };
  const send = (inPort: number, tpSrc: number, host: number): void => {
    const src = `10.0.${host >> 8}.${host & 0xff}`;
    const frame = tcpFrame({ src, dst: "10.9.9.9", srcPort: tpSrc, dstPort: 80 });
    datapath.stage(frame, 0, frame.length, frame.length, inPort, 1_000);
    datapath.receive(0, Number.POSITIVE_INFINITY);
    datapath.takeOutputs();
    datapath.clear();
  };
  const all = (inPort: number): void => {
    for (let n = 0; n < 3; n++) {
      for (let mask = 1; mask <= MASKS; mask++) send(inPort, mask, (mask * 7919 + n * 31) & 0xffff);
    }
  };
  all(1);
  return { pipeline, datapath, sent, send, all, subtables: () => datapath.kernel.exports.subtableCount() };
}

test("masks of a port are held at the limit, and every frame goes where it would", () => {
  const plain = run({ cache: false });
  const free = run({ masksPerPortMax: MASKS });
  assert.equal(free.subtables(), MASKS);
  const limited = run({});
  assert.deepEqual(limited.sent, plain.sent);
  // The one more is that of all bits.
  assert.equal(limited.subtables(), 256 + 1);
  const few = run({ masksPerPortMax: 8 });
  assert.deepEqual(few.sent, plain.sent);
  assert.equal(few.subtables(), 8 + 1);

  // What is narrowed is cached all the same, on its port alone, and revalidation keeps it.
  const { pipeline, datapath } = few;
  const before = pipeline.upcalls;
  few.all(1);
  assert.equal(pipeline.upcalls, before);
  const count = datapath.megaflows.size;
  datapath.revalidate(STALE_ALL, (key) => pipeline.translate(key));
  assert.equal(datapath.megaflows.size, count);

  // Another port has its own; megaflows that go give back theirs.
  few.send(2, 40_000, 1);
  assert.equal(few.subtables(), 8 + 2);
  for (const megaflow of [...datapath.megaflows.values()]) datapath.remove(megaflow);
  assert.equal(few.subtables(), 0);
  few.all(1);
  assert.equal(few.subtables(), 8 + 1);
});

test("a mask that is there already and narrower is taken before that of all bits", () => {
  const { datapath, send, subtables } = run({ masksPerPortMax: 1 });
  for (const megaflow of [...datapath.megaflows.values()]) datapath.remove(megaflow);
  send(1, 0xff, 5);
  send(1, 0x0f, 5);
  assert.equal(subtables(), 1);
  const [, second] = [...datapath.megaflows.values()];
  const key = new Flow();
  const mask = new Flow();
  second!.read(datapath.kernel, key, mask);
  assert.equal(mask.get16(L.O_NW_SRC + 2), 0xff);
  send(1, 0xf0f, 5);
  assert.equal(subtables(), 2);
});
