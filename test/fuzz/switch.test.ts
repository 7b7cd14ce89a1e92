// Mutated frames through a whole switch: no exception, the same outcome whatever lies after a frame's end (DESIGN D9), and the
// same with and without caches (DESIGN D4).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Bridge, type BridgeOptions, type FrameSink } from "../../src/bridge/bridge.ts";
import { readFlowFile } from "../../src/control/openflow/flow-file.ts";
import type { Verdict } from "../../src/datapath/datapath.ts";
import { Prng } from "../../src/lib/prng.ts";
import { OFPP_LOCAL } from "../../src/pipeline/action.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import { ANTREA_FLOWS } from "../antrea-story.ts";
import { FRAMES, mutatedFrame } from "../support/frames.ts";

const COUNT = Number(process.env.MEGAFLOW_FUZZ_FRAMES ?? 500_000);
const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const PLAIN_SHARE = 10; // one frame in so many goes the slow way too
const PORTS = 12;
/** More than a batch of mutated frames takes. */
const SOIL_BYTES = 512 * 1024;

const everything = fileURLToPath(new URL("../../../test/fixtures/everything.flows", import.meta.url));

/** Digests all that a switch does; keeps every line too when `lines` is given. */
class Digest implements FrameSink {
  readonly #hash = createHash("sha256");
  readonly #lines: string[] | null;
  outputs = 0;
  drops = 0;
  packetIns = 0;

  constructor(lines: string[] | null) {
    this.#lines = lines;
  }

  note(line: string, bytes?: Uint8Array): void {
    this.#hash.update(line);
    if (bytes !== undefined) this.#hash.update(bytes);
    this.#lines?.push(bytes === undefined ? line : `${line} ${Buffer.from(bytes).toString("hex")}`);
  }

  end(): string {
    return this.#hash.digest("hex");
  }

  port(port: number, memory: Uint8Array, offset: number, length: number, wireLength: number, frame: number) {
    this.outputs++;
    this.note(`${frame}>${port} ${wireLength}`, memory.subarray(offset, offset + length));
  }

  userspace(_: unknown, memory: Uint8Array, offset: number, length: number) {
    this.packetIns++;
    this.note("userspace", memory.subarray(offset, offset + length));
  }

  verdict(index: number, verdict: Verdict) {
    if (verdict.outputs + verdict.userspace === 0) this.drops++;
    const { info } = verdict;
    this.note(`${index}: ${verdict.drop} ${info?.reason} ${info?.table} ${info?.cookie}`);
  }
}

/** Sends `count` frames through a switch; `garbage` fills the memory that frames are put into. */
function play(
  flows: string,
  count: number,
  garbage: number,
  options: Partial<BridgeOptions>,
  lines: string[] | null = null,
) {
  const ports = new PortTable(
    [...Array.from({ length: PORTS }, (_, i) => i + 1), OFPP_LOCAL].map((no) => ({ no, name: `p${no}` })),
  );
  const bridge = new Bridge({ ports, failMode: "secure", connectionsMax: 10_000, ...options });
  bridge.addFlows(readFlowFile(flows), 0);
  const { datapath } = bridge;
  const arena: number = datapath.kernel.exports.arenaAt();
  const random = new Prng(SEED);
  const whole = [...FRAMES.values()];
  const digest = new Digest(lines);
  for (let done = 0; done < count; ) {
    datapath.kernel.bytes.fill(garbage, arena, arena + SOIL_BYTES);
    for (let i = 0; i < 200 && done < count; i++, done++) {
      const frame = random.below(4) === 0 ? random.pick(whole) : mutatedFrame(random);
      const wireLength = frame.length + (random.below(10) === 0 ? random.below(200) : 0);
      const inPort = 1 + random.below(PORTS);
      assert.ok(datapath.stage(frame, 0, frame.length, wireLength, inPort, 1_000_000 + done));
    }
    bridge.run(digest);
  }
  bridge.pushStats();
  for (const rule of bridge.pipeline.tables.rules()) {
    digest.note(`table ${rule.tableId}, priority ${rule.priority}: ${rule.nPackets} ${rule.nBytes}`);
  }
  const { outputs, drops, packetIns } = digest;
  return { digest: digest.end(), outputs, drops, packetIns };
}

for (const [name, flows] of [
  ["everything", everything],
  ["Antrea", ANTREA_FLOWS],
] as const) {
  test(`${COUNT} mutated frames through ${name}: whatever lies after a frame does not count (seed ${SEED})`, () => {
    const zeros = play(flows, COUNT, 0x00, {});
    const ones = play(flows, COUNT, 0xff, {});
    assert.deepEqual(ones, zeros);
    assert.ok(zeros.outputs + zeros.drops >= COUNT / 2);
  });

  test(`${COUNT / PLAIN_SHARE} mutated frames through ${name}: the same without caches (seed ${SEED})`, () => {
    const cachedLines: string[] = [];
    const plainLines: string[] = [];
    const cached = play(flows, COUNT / PLAIN_SHARE, 0x55, {}, cachedLines);
    const plain = play(flows, COUNT / PLAIN_SHARE, 0x55, { cache: false, fastParse: false }, plainLines);
    const first = plainLines.findIndex((line, i) => line !== cachedLines[i]);
    assert.equal(cachedLines[first], plainLines[first], `the first difference is line ${first}`);
    assert.deepEqual(cached, plain);
  });
}
