import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlowMod } from "../control/openflow/flow-text.ts";
import { parseMappings, TlvMap } from "../flow/tlv-map.ts";
import { withoutPlaces } from "./action-options.ts";
import { formatActions } from "./action-text.ts";
import { Pipeline } from "./pipeline.ts";
import { PortTable } from "./port-table.ts";

const TEXT = "{class=1,type=2,len=4}->tun_metadata4,{class=1,type=3,len=8}->tun_metadata5";

test("actions get their options' places, and print without them as a client sees them", () => {
  const tlvMap = TlvMap.parse(TEXT);
  const shown = (actions: string): string =>
    formatActions(withoutPlaces(parseFlowMod(`actions=${actions}`, { tlvMap }).actions), "given");
  for (const [actions, printed] of [
    ["load:5->NXM_NX_TUN_METADATA4[]", "set_field:0x5->tun_metadata4"],
    ["load:5->NXM_NX_TUN_METADATA4[30..35]", "set_field:0x1400000/0xfc00000->tun_metadata4"],
    ["set_field:0x123456789a->tun_metadata4", "set_field:0x12345678->tun_metadata4"],
    ["move:NXM_NX_TUN_METADATA4[0..31]->NXM_NX_REG0[]", "move:NXM_NX_TUN_METADATA4[0..31]->NXM_NX_REG0[]"],
    ["clone(delete_field:tun_metadata5)", "clone(delete_field:tun_metadata5)"],
  ] as const) {
    assert.equal(shown(actions), printed);
  }
  for (const [actions, message] of [
    ["move:NXM_NX_TUN_METADATA4[]->NXM_NX_TUN_METADATA5[]", "OFPBAC_BAD_SET_LEN"],
    ["push:NXM_NX_TUN_METADATA4[30..32]", "OFPBAC_BAD_SET_LEN"],
    ["set_field:1->tun_metadata9", "NXFMFC_INVALID_TLV_FIELD"],
    ["delete_field:tun_metadata9", "NXFMFC_INVALID_TLV_FIELD"],
    ["set_field:2/1->tun_metadata4", "OFPBMC_BAD_WILDCARDS"],
    [
      "set_field:1->tun_metadata4,delete_field:tun_id",
      "actions are invalid with specified match (OFPBAC_BAD_ARGUMENT)",
    ],
  ] as const) {
    assert.throws(() => shown(actions), { message }, actions);
  }
});

test("an option that a flow needs stays in the map", () => {
  const one = parseMappings("{class=1,type=2,len=4}->tun_metadata4");
  for (const flow of [
    "tun_metadata4=1 actions=drop",
    "tun_metadata4 actions=drop",
    "actions=set_field:1->tun_metadata4",
    "actions=delete_field:tun_metadata4",
    "actions=learn(NXM_NX_TUN_METADATA4[0..3])",
    "actions=clone(push:NXM_NX_TUN_METADATA4[0..3])",
  ]) {
    const tlvMap = TlvMap.parse(TEXT);
    const pipeline = new Pipeline({ ports: new PortTable(), failMode: "secure", seed: 0, tlvMap });
    pipeline.applyFlows([parseFlowMod(flow, { tlvMap })], 0);
    assert.throws(() => pipeline.deleteTlvMappings(one), { message: "NXTTMFC_INVALID_TLV_DEL" }, flow);
    assert.throws(() => pipeline.deleteTlvMappings(null), { message: "NXTTMFC_INVALID_TLV_DEL" }, flow);
    assert.throws(() => pipeline.addTlvMappings(one), { message: "NXTTMFC_ALREADY_MAPPED" });
    pipeline.applyFlows([parseFlowMod("", {}, "delete")], 0);
    pipeline.deleteTlvMappings(one);
    assert.equal(tlvMap.list.length, 1);
    pipeline.addTlvMappings(one);
    pipeline.deleteTlvMappings(null);
    assert.equal(tlvMap.list.length, 0);
  }
});
