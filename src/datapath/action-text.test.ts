// Datapath actions in OVS's words; every text here was printed by Open vSwitch 3.1 but where said.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  KEY_SIZE,
  O_DL_DST,
  O_DL_SRC,
  O_IPV6_LABEL,
  O_NW_SRC,
  O_NW_TOS,
  O_NW_TTL,
  O_PKT_MARK,
  O_TP_DST,
  O_TP_SRC,
  O_TUN_DST,
  O_TUN_FLAGS,
  O_TUN_TTL,
} from "../flow/layout.ts";
import type { CtNat, DatapathAction, SetHeader } from "./action.ts";
import { formatDatapathActions, formatInstalledActions } from "./action-text.ts";

/** Bytes at offsets: [offset, value bytes, mask bytes (default ones)]. */
function set(header: SetHeader, ...fields: [number, number[], number[]?][]): DatapathAction {
  const value = new Uint8Array(KEY_SIZE);
  const mask = new Uint8Array(KEY_SIZE);
  for (const [offset, bytes, bits] of fields) {
    value.set(bytes, offset);
    mask.set(bits ?? bytes.map(() => 0xff), offset);
  }
  return { type: "set", header, value, mask };
}

const NAT: CtNat = {
  kind: "src",
  minAddr: Uint8Array.of(1, 2, 3, 4),
  maxAddr: null,
  minPort: 0,
  maxPort: 0,
  persistent: false,
  hash: false,
  random: false,
};
const CT: Extract<DatapathAction, { type: "ct" }> = {
  type: "ct",
  commit: true,
  force: false,
  zone: 0,
  mark: null,
  label: null,
  nat: null,
  alg: null,
};
const fc00 = (last: number) => Uint8Array.of(0xfc, ...new Array(14).fill(0), last);
const output = (port: number): DatapathAction => ({ type: "output", port });
const CONTROLLER: DatapathAction = {
  type: "userspace",
  userspace: {
    kind: "controller",
    reason: "invalid_ttl",
    controllerId: 5,
    maxLen: 128,
    userdata: new Uint8Array(0),
    tableId: 0,
    cookie: 0x1234n,
    recircId: 3,
  },
};

const CASES: readonly [string, readonly DatapathAction[]][] = [
  ["drop", []],
  ["drop", [{ type: "drop", reason: 1 }]],
  ["2,100", [output(2), output(100)]],
  [
    "set(eth(src=0e:5a:10:60:01:01,dst=0e:5a:10:60:01:05)),set(ipv4(ttl=62)),ct(commit,zone=65520),recirc(0x5)",
    [
      set("eth", [O_DL_SRC, [0x0e, 0x5a, 0x10, 0x60, 1, 1]], [O_DL_DST, [0x0e, 0x5a, 0x10, 0x60, 1, 5]]),
      set("ipv4", [O_NW_TTL, [62]]),
      { ...CT, zone: 65520 },
      { type: "recirc", id: 5 },
    ],
  ],
  ["set(ipv4(src=1.0.3.0/255.0.255.0))", [set("ipv4", [O_NW_SRC, [1, 0, 3, 0], [255, 0, 255, 0]])]],
  ["set(ipv4(tos=0x10/0xfc))", [set("ipv4", [O_NW_TOS, [0x10], [0xfc]])]],
  ["set(tcp(src=7,dst=80/0xff))", [set("tcp", [O_TP_SRC, [0, 7]], [O_TP_DST, [0, 80], [0, 0xff]])]],
  [
    "set(ipv6(label=0x5,hlimit=8))",
    [set("ipv6", [O_IPV6_LABEL, [0, 0, 0, 5], [0, 0xf, 0xff, 0xff]], [O_NW_TTL, [8]])],
  ],
  ["set(skb_mark(0x7/0x7))", [set("skb_mark", [O_PKT_MARK, [0, 0, 0, 7], [0, 0, 0, 7]])]],
  [
    // as OVS's own tests show it
    "set(tunnel(dst=1.1.1.1,ttl=64,flags(df)))",
    [set("tunnel", [O_TUN_DST, [1, 1, 1, 1]], [O_TUN_TTL, [64]], [O_TUN_FLAGS, [0, 2]])],
  ],
  ["push_vlan(vid=1,pcp=0)", [{ type: "push_vlan", tpid: 0x8100, tci: 0x1001 }]],
  [
    "push_vlan(tpid=0x88a8,vid=2,pcp=3),pop_vlan",
    [{ type: "push_vlan", tpid: 0x88a8, tci: 0x7002 }, { type: "pop_vlan" }],
  ],
  [
    "push_mpls(label=100,tc=3,ttl=64,bos=1,eth_type=0x8847),pop_mpls(eth_type=0x800)",
    [
      { type: "push_mpls", lse: (100 << 12) | (3 << 9) | (1 << 8) | 64, ethertype: 0x8847 },
      { type: "pop_mpls", ethertype: 0x800 },
    ],
  ],
  [
    "ct(commit,mark=0/0xffff,label=0x2/0x3)",
    [
      {
        ...CT,
        mark: { value: 0, mask: 0xffff },
        label: { value: fc00(2).fill(0, 0, 1), mask: fc00(3).fill(0, 0, 1) },
      },
    ],
  ],
  [
    "ct(force_commit,zone=5,nat(src=1.2.3.4-1.2.3.9:100-200,hash))",
    [
      {
        ...CT,
        force: true,
        zone: 5,
        nat: { ...NAT, maxAddr: Uint8Array.of(1, 2, 3, 9), minPort: 100, maxPort: 200, hash: true },
      },
    ],
  ],
  [
    "ct(commit,zone=5,helper=ftp,nat(dst=1.2.3.4:80,persistent,random))",
    [
      {
        ...CT,
        zone: 5,
        alg: "ftp",
        nat: { ...NAT, kind: "dst", minPort: 80, maxPort: 80, persistent: true, random: true },
      },
    ],
  ],
  ["ct(nat)", [{ ...CT, commit: false, nat: { ...NAT, kind: "undo", minAddr: null } }]],
  ["ct(commit,nat(src,random))", [{ ...CT, nat: { ...NAT, minAddr: null, random: true } }]],
  [
    "ct(commit,nat(src=[fc00::1]-[fc00::9]:1-5))",
    [{ ...CT, nat: { ...NAT, minAddr: fc00(1), maxAddr: fc00(9), minPort: 1, maxPort: 5 } }],
  ],
  ["ct(commit,nat(src=fc00::1-fc00::9))", [{ ...CT, nat: { ...NAT, minAddr: fc00(1), maxAddr: fc00(9) } }]],
  [
    "hash(sym_l4(0)),recirc(0x8)",
    [
      { type: "hash", algorithm: "sym_l4", basis: 0 },
      { type: "recirc", id: 8 },
    ],
  ],
  ["clone(ct(commit,zone=5),2),3", [{ type: "clone", actions: [{ ...CT, zone: 5 }, output(2)] }, output(3)]],
  [
    "check_pkt_len(size=100,gt(drop),le(2))",
    [{ type: "check_pkt_len", length: 100, greater: [], lessEqual: [output(2)] }],
  ],
  [
    "meter(0),trunc(100),2,ct_clear",
    [{ type: "meter", id: 0 }, { type: "trunc", maxLen: 100 }, output(2), { type: "ct_clear" }],
  ],
  ["sample(sample=50.0%,actions(2))", [{ type: "sample", probability: 0x7fffffff, actions: [output(2)] }]],
];

for (const [text, actions] of CASES) {
  test(text, () => assert.equal(formatDatapathActions(actions, String), text));
}

test("ports by name, and a packet-in in a trace and out of it", () => {
  assert.equal(
    formatDatapathActions([output(1), output(2)], (n) => `p${n}`),
    "p1,p2",
  );
  const userspace = (dontSend: number) =>
    `userspace(pid=0,controller(reason=2,dont_send=${dontSend},continuation=0,recirc_id=3,` +
    `rule_cookie=0x1234,controller_id=5,max_len=128))`;
  assert.equal(formatDatapathActions([CONTROLLER], String), userspace(0));
  assert.equal(formatDatapathActions([CONTROLLER], String, { trace: true }), userspace(1));
});

test("a megaflow that OVS would handle in its slow path says so", () => {
  const arp = set("arp", [O_NW_SRC, [10, 0, 0, 1]]);
  const slow = "userspace(pid=0,slow_path(action))";
  assert.equal(formatInstalledActions([arp, output(2)], String), slow);
  assert.equal(formatInstalledActions([{ type: "clone", actions: [arp] }, output(2)], String), slow);
  assert.equal(
    formatInstalledActions([set("ipv4", [O_NW_TTL, [63]]), output(2)], String),
    "set(ipv4(ttl=63)),2",
  );
});
