// Actions with cases of their own (encap, decap, NSH; controller(pause)) against real OVS: for every case the text of `ofproto/trace`, of `dump-flows` and of the megaflows that
// a frame leaves, and the frames sent, byte for byte.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Bridge } from "../../src/bridge/bridge.ts";
import { flowsText, megaflowLines } from "../../src/bridge/dump.ts";
import { parseTraceArguments } from "../../src/cli/trace-arguments.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { OFPP_LOCAL } from "../../src/pipeline/action.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import { ENCAP_CASES, ENCAP_LINES, type EncapCase } from "./encap-cases.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";
import { PAUSE_CASES } from "./pause-cases.ts";

const PORTS = [1, 2, 3, 4];

interface Outcome {
  readonly dump: readonly string[];
  readonly trace: string;
  readonly sent: readonly string[];
  readonly megaflows: readonly string[];
}

/** Recirculation ids by order of appearance, floods in port order, no counts. */
function normalize(text: string): string {
  const seen = new Map<string, string>();
  return text
    .replace(/\b(recirc_id[=(]|recirc\()(0x[0-9a-f]+|[1-9][0-9]*)\b/g, (_, head: string, id: string) => {
      const key = Number(id).toString();
      if (!seen.has(key)) seen.set(key, `#${seen.size + 1}`);
      return head + seen.get(key)!;
    })
    .replace(
      /(?:duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, |packets:\d+, bytes:\d+, used:\S+ |flags:\S+, /g,
      "",
    )
    .trim();
}

function normalizeTrace(text: string, narrower: boolean): string {
  const whole = normalize(text);
  return narrower ? whole.replace(/^Megaflow: .*$/gm, "") : whole;
}

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

/** Megaflows in an order of their own: recirculation ids are numbered after it. */
function normalizeMegaflows(list: readonly string[]): readonly string[] {
  const first = (line: string): number => Number(/recirc_id\((\w+)\)/.exec(line)?.[1] ?? 0);
  return lines(normalize([...list].sort((a, b) => first(a) - first(b)).join("\n")));
}

async function theirs(ovs: Ovs, { flows, frame, narrower }: EncapCase): Promise<Outcome> {
  await ovs.ofctl(["del-flows", "br0"]);
  const file = join(ovs.dir, "encap.flows");
  writeFileSync(file, flows.join("\n") + "\n");
  await ovs.ofctl(["-O", "OpenFlow15", "add-flows", "br0", file]);
  const text = await ovs.ofctl(["-O", "OpenFlow15", "--no-names", "dump-flows", "br0"]);
  const trace = await ovs.trace("br0", "in_port=1", frame);
  await ovs.settle();
  for (const no of PORTS) ovs.takeSent(`p${no}`);
  await ovs.receive("p1", Buffer.from(frame, "hex"));
  const sent = PORTS.flatMap((no) =>
    ovs.takeSent(`p${no}`).map((bytes) => `${no} ${Buffer.from(bytes).toString("hex")}`),
  );
  const dump = lines(text).filter((line) => !line.startsWith("OFPST_FLOW"));
  return {
    dump: dump.map(normalize),
    trace: normalizeTrace(trace, narrower !== undefined),
    sent,
    megaflows: narrower === undefined ? normalizeMegaflows(await ovs.dumpMegaflows()) : [],
  };
}

function makeBridge(cache = true): Bridge {
  const ports = new PortTable(PORTS.map((no) => ({ no, name: `p${no}` })));
  ports.add({ no: OFPP_LOCAL, name: "br0" });
  return new Bridge({ ports, failMode: "secure", cache, connectionsMax: 64, megaflowsMax: 64 });
}

function ours({ flows, frame, narrower }: EncapCase, cache: boolean): Outcome {
  const bridge = makeBridge(cache);
  bridge.applyFlows(parseFlowFile(flows.join("\n")), 1000);
  const sent: string[][] = PORTS.map(() => []);
  const sink = {
    port(port: number, memory: Uint8Array, offset: number, length: number): void {
      sent[port - 1]?.push(
        `${port} ${Buffer.from(memory.subarray(offset, offset + length)).toString("hex")}`,
      );
    },
    userspace(): void {},
    verdict(): void {},
  };
  const request = parseTraceArguments(["in_port=1", frame], bridge.pipeline.ports);
  const trace = bridge.pipeline.trace({ ...request, nowMs: 1000, spelling: "OpenFlow15" });
  const bytes = Buffer.from(frame, "hex");
  bridge.datapath.stage(bytes, 0, bytes.length, bytes.length, 1, 1000);
  bridge.run(sink);
  return {
    dump: lines(flowsText(bridge))
      .filter((line) => !line.startsWith("OFPST_FLOW"))
      .map(normalize),
    trace: normalizeTrace(trace, narrower !== undefined),
    sent: sent.flat(),
    megaflows: narrower === undefined ? normalizeMegaflows([...megaflowLines(bridge)]) : [],
  };
}

test("encap, decap, NSH and controller(pause) are as in OVS", { skip: ovsSkip }, async (t) => {
  const ovs = await requireOvs();
  const only = process.env.CASE === undefined ? null : Number(process.env.CASE);
  try {
    await ovs.addBridge("br0", { ports: PORTS.map((no) => ({ no })) });
    for (const [i, c] of [...ENCAP_CASES, ...PAUSE_CASES].entries()) {
      if (only !== null && i !== only) continue;
      await t.test(`case ${i}: ${c.flows.join(" ; ")}`, async () => {
        const expected = await theirs(ovs, c);
        assert.deepEqual(ours(c, true), expected, c.frame);
        assert.deepEqual(ours(c, false).sent, expected.sent);
      });
    }
  } finally {
    await ovs.stop();
  }
});

test("flows with encap, decap and NSH are accepted or refused as by OVS", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: PORTS.map((no) => ({ no })) });
    const wrong: string[] = [];
    for (const line of ENCAP_LINES) {
      await ovs.ofctl(["del-flows", "br0"]);
      const real = await ovs
        .ofctl(["-O", "OpenFlow15", "add-flow", "br0", line])
        .then(() => ovs.ofctl(["-O", "OpenFlow15", "--no-names", "dump-flows", "br0"]))
        .then((text) => normalize(lines(text)[1] ?? ""))
        .catch((error: Error) => verdict(error.message));
      const our = ourVerdict(line);
      if (our !== real) wrong.push(`${line}\n    OVS:  ${real}\n    ours: ${our}`);
    }
    assert.deepEqual(wrong, []);
  } finally {
    await ovs.stop();
  }
});

/** The last line of OVS's complaint, without the program's name. */
function verdict(message: string): string {
  const error = /OFPT_ERROR.*: (\w+)/.exec(message);
  if (error !== null) return error[1]!;
  return (message.trim().split("\n").at(-1) ?? "").replace(/^ovs-ofctl: /, "");
}

function ourVerdict(line: string): string {
  const bridge = makeBridge();
  try {
    bridge.applyFlows(parseFlowFile(line), 1000);
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    return error.message.trimEnd();
  }
  return normalize(lines(flowsText(bridge))[1] ?? "");
}
