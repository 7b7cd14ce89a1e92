// Tunnels through a whole switch: what a frame arrived in is in its key, what it is to leave in is told to its port, with
// caches and without them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "../src/bridge/bridge.ts";
import { megaflowLines } from "../src/bridge/dump.ts";
import { parseFlowMod } from "../src/control/openflow/flow-text.ts";
import { formatTunnelKey } from "../src/datapath/tunnel-text.ts";
import { parseFlow } from "../src/flow/flow-text.ts";
import { TlvMap } from "../src/flow/tlv-map.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { PortTable } from "../src/pipeline/port-table.ts";
import { tunnelOptions } from "../src/pipeline/tunnel-options.ts";

const TLV_MAP = "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0x104,type=0x80,len=124}->tun_metadata1";

const FLOWS = [
  "priority=9,in_port=1 actions=set_field:10.0.0.9->tun_dst,set_field:7->tun_id,set_field:0xabc->tun_metadata0,output:3,2,output:4",
  "priority=8,in_port=3,tun_id=5,tun_metadata0=0x10/0xf0 actions=1",
  "priority=7,in_port=3,tun_metadata1 actions=2",
  "priority=6,in_port=3,tun_id=6 actions=4",
  "priority=5,in_port=3,tun_id=8 actions=set_field:10.0.0.8->tun_dst,in_port",
];

/** One frame of each tunnel key; what the switch sent, by frame. */
function run(cache: boolean, rounds: number): { sent: string[]; megaflows: string[] } {
  const tlvMap = TlvMap.parse(TLV_MAP);
  const ports = new PortTable([
    { no: 1, name: "p1" },
    { no: 2, name: "p2" },
    { no: 3, name: "g3", tunnel: tunnelOptions("g3", "geneve", { remote_ip: "flow", key: "flow" }) },
    {
      no: 4,
      name: "v4",
      tunnel: tunnelOptions("v4", "vxlan", { remote_ip: "10.0.0.4", key: "0x44", ttl: "inherit" }),
    },
  ]);
  const bridge = new Bridge({ ports, failMode: "secure", cache, settings: { tlvMap } });
  bridge.addFlows(
    FLOWS.map((line) => parseFlowMod(line, { tlvMap })),
    0,
  );
  const sent: string[] = [];
  const frame = tcpFrame({ payload: new Uint8Array(4) });
  const outer = (text: string) => parseFlow(`tun_src=10.0.0.1,tun_dst=10.0.0.2,${text}`, undefined, tlvMap);
  const arrivals = [
    { inPort: 1, tunnel: null },
    { inPort: 3, tunnel: outer("tun_id=5,tun_metadata0=0x1214") },
    { inPort: 3, tunnel: outer("tun_id=5,tun_metadata0=0x1224,tun_metadata1=0x99") },
    { inPort: 3, tunnel: outer("tun_id=5,tun_metadata0=0x1224") },
    { inPort: 3, tunnel: outer("tun_id=6") },
    { inPort: 3, tunnel: outer("tun_id=8,tun_metadata0=1") },
    { inPort: 3, tunnel: outer("tun_id=8,tun_metadata0=2") },
    { inPort: 3, tunnel: null },
  ];
  for (let round = 0; round < rounds; round++) {
    for (const { inPort, tunnel } of arrivals) {
      assert.ok(bridge.datapath.stage(frame, 0, frame.length, frame.length, inPort, 1000 + round, tunnel));
    }
    bridge.run({
      port: (no, _memory, _offset, length, _wireLength, index, tunnelOut) => {
        assert.equal(length, frame.length);
        const text = tunnelOut === null ? "" : ` ${formatTunnelKey(tunnelOut.bytes, tlvMap)}`;
        sent.push(`${index}: ${no}${text}`);
      },
      userspace: () => assert.fail("nothing is for a controller"),
      verdict: () => {},
    });
  }
  return { sent, megaflows: [...megaflowLines(bridge)] };
}

test("frames come out of tunnels and go into them", () => {
  const { sent, megaflows } = run(true, 1);
  const first =
    "tun_id=0x7,dst=10.0.0.9,ttl=64,tp_dst=6081,geneve({class=0xffff,type=0,len=4,0xabc}),flags(df|key)";
  assert.deepEqual(sent, [
    `0: 3 ${first}`,
    `0: 2 ${first}`, // the frame keeps it, as in OVS; a plain port does not mind
    "0: 4 tun_id=0x44,dst=10.0.0.4,ttl=64,tp_dst=4789,flags(df|key)",
    "1: 1",
    "2: 2",
    "4: 4 tun_id=0x44,dst=10.0.0.4,ttl=64,tp_dst=4789,flags(df|key)",
    "5: 3 tun_id=0x8,dst=10.0.0.8,ttl=64,tp_dst=6081,geneve({class=0xffff,type=0,len=4,0x1}),flags(df|key)",
    "6: 3 tun_id=0x8,dst=10.0.0.8,ttl=64,tp_dst=6081,geneve({class=0xffff,type=0,len=4,0x2}),flags(df|key)",
  ]);
  assert.match(
    megaflows[1]!,
    /^tunnel\(.*,geneve\(\{class=0xffff,type=0,len=4,0x1214\/0xf0\}\),flags\(-df-csum-key\)\),/,
  );
});

test("cached and uncached agree on tunnels", () => {
  const cached = run(true, 4).sent;
  assert.equal(cached.length, 32);
  assert.deepEqual(cached, run(false, 4).sent);
});
