// encap and decap through a whole switch: what Open vSwitch 3.1 sends for the same (test/oracle/encap.test.ts asks it).
import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "../src/bridge/bridge.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { PortTable } from "../src/pipeline/port-table.ts";

const ETH = "020000000002020000000001";
const IP = "450000280000000040060000010101010202020200050050000000010000000050020100fafb0000";
const TCP = `${ETH}0800${IP}`;
const CONTEXT = "00000001000000020000000300000004";
const NSH = `${ETH}894f0fc60103000123ff${CONTEXT}${TCP}`;
const NO_MACS = "00".repeat(12);

/** What port 2 sends when `frame` comes in on port 1. */
function sentBy(flows: string, frame: string): string[] {
  const ports = new PortTable([1, 2].map((no) => ({ no, name: `p${no}` })));
  const bridge = new Bridge({ ports, failMode: "secure", connectionsMax: 64, megaflowsMax: 64 });
  bridge.applyFlows(parseFlowFile(flows), 0);
  const sent: string[] = [];
  const sink = {
    port(_port: number, memory: Uint8Array, offset: number, length: number): void {
      sent.push(Buffer.from(memory.subarray(offset, offset + length)).toString("hex"));
    },
    userspace(): void {},
    verdict(): void {},
  };
  const bytes = Buffer.from(frame, "hex");
  // Twice: by an upcall, and from the cache.
  for (let i = 0; i < 2; i++) bridge.datapath.stage(bytes, 0, bytes.length, bytes.length, 1, i);
  bridge.run(sink);
  assert.equal(sent.length % 2, 0);
  const half = sent.length / 2;
  assert.deepEqual(sent.slice(half), sent.slice(0, half));
  return sent.slice(0, half);
}

test("encap(nsh) puts a header with its fields before the whole frame", () => {
  const flows = "actions=encap(nsh),set_field:0x123->nsh_spi,set_field:0x5->nsh_c4,encap(ethernet),output:2";
  const header = `0fc60103000123ff${"00".repeat(12)}00000005`;
  assert.deepEqual(sentBy(flows, TCP), [`${NO_MACS}894f${header}${TCP}`]);
});

test("variable context headers are padded to words", () => {
  const flows = "actions=encap(nsh(md_type=2,tlv(0x1000,10,0x123456))),encap(ethernet),output:2";
  assert.deepEqual(sentBy(flows, TCP), [`${NO_MACS}894f0fc40203000000ff10000a0312345600${TCP}`]);
});

test("a frame grows by as many headers as it is given", () => {
  const flows = `actions=${"encap(nsh(md_type=2,tlv(0x1,1,0x11))),".repeat(40)}encap(ethernet),output:2`;
  const [frame] = sentBy(flows, TCP);
  assert.equal(frame!.length / 2, 14 + 40 * 16 + TCP.length / 2);
  assert.ok(frame!.endsWith(TCP));
});

test("what a taken off NSH header carried is parsed and looked up again", () => {
  const flows =
    "table=0,actions=decap(),decap(),resubmit(,1)\ntable=1,tcp,tp_dst=80,actions=dec_ttl,output:2";
  const ip = IP.replace("40060000", "3f060100");
  assert.deepEqual(sentBy(flows, NSH), [`${ETH}0800${ip}`]);
});

test("a frame without an Ethernet header is sent nowhere", () => {
  assert.deepEqual(sentBy("actions=decap(),output:2", TCP), []);
});

test("encap(mpls) keeps the Ethernet header behind the label", () => {
  const flows = "actions=encap(mpls),set_field:100->mpls_label,encap(ethernet),output:2";
  assert.deepEqual(sentBy(flows, TCP), [`${NO_MACS}884700064140${TCP}`]);
});

test("encap(mpls) of a frame with labels, at which Open vSwitch 3.1 ends, begins a stack of its own", () => {
  const labelled = `${ETH}884700065140${IP}`;
  assert.deepEqual(sentBy("actions=encap(mpls),encap(ethernet),output:2", labelled), [
    `${NO_MACS}884700000140${labelled}`,
  ]);
});

test("an encap that a clone never sends is forgotten with it", () => {
  assert.deepEqual(sentBy("actions=clone(encap(nsh)),output:2", TCP), [TCP]);
});
