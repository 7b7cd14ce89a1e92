import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMatch } from "../flow/match.ts";
import { MegaflowError } from "../lib/errors.ts";
import { formatActions, parseActions } from "./action-text.ts";

/** Text, match it goes with, as OVS 3.1 prints it over OpenFlow 1.5, and as given when that differs from the text. */
const GOLDEN: readonly (readonly [text: string, match: string, modern: string, given?: string])[] = [
  ["load:0x2->NXM_NX_REG0[0..15]", "", "set_field:0x2/0xffff->reg0"],
  ["load:0x1->OXM_OF_IP_DSCP[]", "ip", "set_field:1/0x3f->ip_dscp"],
  ["set_field:0e:5a:10:60:01:01->eth_dst", "", "set_field:0e:5a:10:60:01:01->eth_dst"],
  ["set_field:0x10000/0x70000->reg4", "", "set_field:0x10000/0x70000->reg4"],
  ["set_field:0/0->reg0", "", "set_field:ANY->reg0", "set_field:ANY->reg0"],
  ["mod_vlan_vid:5", "", "push_vlan:0x8100,set_field:4101->vlan_vid"],
  ["mod_vlan_vid:5", "vlan_tci=0x1000/0x1000", "set_field:4101->vlan_vid"],
  ["mod_tp_dst:80", "tcp", "set_field:80->tcp_dst"],
  ["mod_tp_dst:80", "udp6", "set_field:80->udp_dst"],
  ["mod_nw_tos:4", "ip", "set_field:1->ip_dscp"],
  ["enqueue:1:2", "", "set_queue:2,output:1,pop_queue"],
  ["set_tunnel:5", "", "set_field:0x5->tun_id", "set_tunnel:0x5"],
  ["strip_vlan", "dl_vlan=5", "pop_vlan"],
  ["resubmit(,30)", "", "resubmit(,30)"],
  ["resubmit(in_port,30)", "", "resubmit(,30)", "resubmit(,30)"],
  ["resubmit(2,)", "", "resubmit:2", "resubmit:2"],
  ["in_port,normal", "", "IN_PORT,NORMAL", "IN_PORT,NORMAL"],
  ["drop", "", "drop"],
  ["", "", "drop", "drop"],
  ["output:reg1", "", "output:NXM_NX_REG1[]", "output:NXM_NX_REG1[]"],
  [
    "ct(commit,table=110,zone=65520,exec(load:0x20->NXM_NX_CT_MARK[]))",
    "ip",
    "ct(commit,table=110,zone=65520,exec(set_field:0x20->ct_mark))",
  ],
  [
    "ct(zone=5,commit,nat(dst=100.96.1.5:80))",
    "ip",
    "ct(commit,zone=5,nat(dst=100.96.1.5:80))",
    "ct(commit,zone=5,nat(dst=100.96.1.5:80))",
  ],
  [
    "controller(reason=no_match,id=32776,userdata=04)",
    "",
    "controller(reason=no_match,id=32776,userdata=04)",
  ],
  ["controller", "", "CONTROLLER:65535", "CONTROLLER:65535"],
  ["note:01.02", "", "note:01.02.00.00.00.00", "note:01.02.00.00.00.00"],
  ["clone()", "", "clone(drop)", "clone(drop)"],
  ["write_actions()", "", "drop", "write_actions(drop)"],
  [
    "check_pkt_larger(1500)->reg0[0]",
    "",
    "check_pkt_larger(1500)->NXM_NX_REG0[0]",
    "check_pkt_larger(1500)->NXM_NX_REG0[0]",
  ],
];

test("actions print as OVS prints them", () => {
  for (const [text, match, modern, given] of GOLDEN) {
    const actions = parseActions(text, { match: parseMatch(match) });
    assert.equal(formatActions(actions), modern, text);
    assert.equal(formatActions(actions, "given"), given ?? text, text);
  }
});

function errorOf(text: string, match = "ip"): MegaflowError {
  try {
    parseActions(text, { match: parseMatch(match), column: 11 });
  } catch (error) {
    assert(error instanceof MegaflowError, String(error));
    return error;
  }
  throw new Error(`${text}: no error`);
}

test("errors are OVS's and know their column", () => {
  const cases: readonly (readonly [text: string, column: number, message: string])[] = [
    ["output:1,foo", 20, "unknown action foo"],
    ["output:1,output:foo", 27, "foo: output to unknown port"],
    ["clone(output:1,mod_vlan_pcp:9)", 39, "9: not a valid VLAN PCP"],
    ["ct(commit,exec(set_field:5->reg0))", 26, "ct action doesn't support nested modification of reg0"],
    ["load:8->NXM_NX_REG0[0..1]", 16, "8->NXM_NX_REG0[0..1]: value 0x8 does not fit into 2 bits"],
    ["move:NXM_NX_REG0[]->foo", 16, "foo: unknown field `foo'"],
    ["set_field:5->eth_type", 21, "eth_type is read-only"],
    [
      "goto_table:5,output:1",
      11,
      "invalid instruction ordering: apply_actions must appear before goto_table, for OpenFlow 1.1+ compatibility",
    ],
    ["set_field:5->tcp_src", 11, "actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)"],
    ["ct(nat(src=1.2.3.4))", 11, "actions are invalid with specified match (OFPBAC_BAD_ARGUMENT)"],
  ];
  for (const [text, column, message] of cases) {
    const error = errorOf(text);
    assert.equal(error.message, message, text);
    assert.equal(error.place.column, column, text);
    assert.equal(error.code, "ETEXT");
  }
});

test("what is invalid is no connection, but may have its translation undone", () => {
  const invalid = "ip,ct_state=+trk+inv";
  for (const text of ["ct(commit)", "ct(commit,nat)", "clone(ct(commit,zone=1))"]) {
    assert.match(errorOf(text, invalid).message, /OFPBAC_MATCH_INCONSISTENT/, text);
  }
  parseActions("ct(zone=2,nat)", { match: parseMatch(invalid) });
});

test("a group's bucket takes no instructions", () => {
  assert.throws(
    () => parseActions("goto_table:5", { instructions: false }),
    /goto_table instruction not allowed here/,
  );
});

test("any text parses or is refused with an operating error", () => {
  const pieces = [
    "output",
    "load",
    "ct",
    "learn",
    "clone",
    "move",
    "set_field",
    "(",
    ")",
    ":",
    "=",
    ",",
    "->",
    "[",
    "]",
    "5",
    "0x",
    "reg0",
    "nat",
    "exec",
    "-",
    ".",
    "/",
    " ",
    "note",
    "bundle",
    "members",
    "encap",
    "nsh",
    "fields",
    "NXM_NX_REG0[]",
  ];
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  for (let i = 0; i < 20_000; i++) {
    let text = "";
    for (let n = 1 + random(12); n > 0; n--) text += pieces[random(pieces.length)];
    try {
      formatActions(parseActions(text, { match: parseMatch("tcp") }));
    } catch (error) {
      assert(error instanceof MegaflowError, `${text}: ${String(error)}`);
    }
  }
});
