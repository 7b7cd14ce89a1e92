// The headers that a tunnel transport writes, against those that OVS's own encapsulation writes: for each kind of port a
// frame is sent into the tunnel, and what leaves OVS's underlay port must be, behind the outer IP and UDP headers, the bytes
// that ours are. Read back they give the same key.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlowMod } from "../../src/control/openflow/flow-text.ts";
import { Extractor } from "../../src/datapath/extract.ts";
import { Flow } from "../../src/flow/flow.ts";
import * as L from "../../src/flow/layout.ts";
import { TlvMap } from "../../src/flow/tlv-map.ts";
import { decapsulate, encapsulate } from "../../src/flow/tunnel-header.ts";
import { udpFrame } from "../../src/packet/frame.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { ovsSkip } from "./ovs.ts";
import { ourPorts, SENDING, TLV_MAP, theirSwitch } from "./tunnel-switch.ts";

const ETHERNET_AND_IPV4 = 34;
const UDP = 8;

const FIELDS = [
  "set_field:1.2.3.7->tun_dst,set_field:0x1234->tun_id",
  "set_field:1.2.3.6->tun_dst,set_field:0xfffffe->tun_id,set_field:0x8899->tun_metadata0",
  "set_field:1.2.3.5->tun_dst,set_field:0x0102030405060708->tun_metadata1,set_field:oam->tun_flags",
];

test("tunnel headers are those that OVS writes", { skip: ovsSkip, timeout: 120_000 }, async () => {
  const ovs = await theirSwitch();
  try {
    const frame = udpFrame({ payload: Uint8Array.of(1, 2, 3, 4, 5) });
    const tlvMap = TlvMap.parse(TLV_MAP);
    for (const fields of FIELDS) {
      for (const [no, type] of SENDING) {
        const line = `in_port=1 actions=${fields},output:${no}`;
        const where = `${type} port ${no}: ${line}`;
        await ovs.ofctl(["del-flows", "br0"]);
        await ovs.ofctl(["add-flow", "br0", line]);
        await ovs.settle();
        ovs.takeSent("pu");
        await ovs.receive("p1", frame);
        const [outer] = ovs.takeSent("pu");
        assert.ok(outer !== undefined, where);

        const ports = ourPorts();
        const pipeline = new Pipeline({ ports, failMode: "secure", seed: 0, tlvMap });
        pipeline.applyFlows([parseFlowMod(line, { tlvMap })], 0);
        const flow = new Flow();
        new Extractor(1).extract(frame, frame.length, 1, flow);
        const translation = pipeline.upcall({ flow, frame, wireLen: frame.length, nowMs: 0 });
        const set = translation.actions[0]!;
        assert.ok(set.type === "set" && set.header === "tunnel", where);
        const key = new Flow();
        key.bytes.set(set.value);

        const theirs = outer.subarray(ETHERNET_AND_IPV4 + (type === "gre" ? 0 : UDP));
        const ours = encapsulate(type, key, tlvMap, frame);
        assert.equal(Buffer.from(ours).toString("hex"), Buffer.from(theirs).toString("hex"), where);

        const back = new Flow();
        const at = decapsulate(type, theirs, tlvMap, back);
        assert.ok(typeof at === "number", `${where}: ${at}`);
        assert.deepEqual(theirs.subarray(at), frame, where);
        // The outer IP header's part is not there, nor a key that is zero for want of one.
        for (const offset of [
          L.O_TUN_ID,
          L.O_TUN_ID + 4,
          L.O_TUN_METADATA_PRESENT,
          L.O_TUN_METADATA_PRESENT + 4,
        ]) {
          assert.equal(back.get32(offset), key.get32(offset), where);
        }
        assert.deepEqual(
          back.bytes.subarray(L.O_TUN_METADATA, L.O_REGS),
          key.bytes.subarray(L.O_TUN_METADATA, L.O_REGS),
        );
      }
    }
  } finally {
    await ovs.stop();
  }
});
