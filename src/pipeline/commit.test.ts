// What writing a flow's changes back looks at: nothing that an earlier action made the same for every frame.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DatapathAction } from "../datapath/action.ts";
import { Flow } from "../flow/flow.ts";
import { O_DL_TYPE, O_MPLS_LSE0, O_NW_DST, O_NW_PROTO } from "../flow/layout.ts";
import { commitActions } from "./commit.ts";

const PENDING = {
  pendingEncap: false,
  pendingDecap: false,
  encapData: new Uint8Array(),
  poppedTag: false,
  wasMpls: false,
};

/** The mask of the protocol after an IPv4 frame, whose address was looked at, got a label. */
function protocolMask(address: number, protocol = 6): number {
  const base = new Flow();
  base.set16(O_DL_TYPE, 0x0800);
  base.set32(O_NW_DST, address);
  base.set8(O_NW_PROTO, protocol);
  const flow = new Flow();
  flow.set16(O_DL_TYPE, 0x8847);
  flow.set32(O_MPLS_LSE0, 0x140);
  const wc = new Flow();
  wc.set32(O_NW_DST, 0xff);
  const out: DatapathAction[] = [];
  commitActions(flow, base, wc, PENDING, out);
  assert.deepEqual(
    out.map((a) => a.type),
    ["push_mpls"],
  );
  return wc.get8(O_NW_PROTO);
}

test("nor does it when the label was taken off again", () => {
  for (const protocol of [0, 6]) {
    const base = new Flow();
    base.set16(O_DL_TYPE, 0x0800);
    base.set32(O_NW_DST, 0x0a000001);
    base.set8(O_NW_PROTO, protocol);
    const flow = new Flow();
    flow.set16(O_DL_TYPE, 0x0800);
    const wc = new Flow();
    wc.set32(O_NW_DST, 0xff);
    commitActions(flow, base, wc, { ...PENDING, wasMpls: true }, []);
    assert.equal(wc.get8(O_NW_PROTO), 0);
  }
});

test("what push_mpls cleared asks for no protocol, whatever bits the address has", () => {
  assert.equal(protocolMask(0x0a000001), 0);
  assert.equal(protocolMask(0x0a000000), 0);
  assert.equal(protocolMask(0x0a000001, 0), 0);
});
