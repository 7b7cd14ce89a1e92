import assert from "node:assert/strict";
import { test } from "node:test";
import { MegaflowError } from "../../lib/errors.ts";
import { OFPP_LOCAL } from "../../pipeline/action.ts";
import { TUNNEL_OPTION_NAMES } from "../../pipeline/tunnel-options.ts";
import { parseLab } from "./lab.ts";
import { TUNNEL_FIELDS } from "./port-shape.ts";
import { snakeCase } from "./shape.ts";

const FILE = "labs/lab.yaml";

/** A bridge with one port that has these keys. */
const port = (keys: string) => `bridges: { br0: { ports: [ { no: 1, name: p1, ${keys} } ] } }`;
const bridge = (keys: string) => `bridges: { br0: { ${keys} } }`;

test("a bridge's keys become options", () => {
  const lab = parseLab(
    `# a lab
bridges:
  br0:
    fail_mode: secure
    flows: br0.flows
    groups: /etc/groups
    ports:
      - { no: 1, name: tap1, type: tap, netns: red, tag: 10, no_flood: true }
      - { no: 2, name: veth2, type: af-packet, trunks: [10, 20], vlan_mode: native-tagged, link_state: down }
      - { no: LOCAL, name: br0 }
    mac_table_size: 100
    mac_aging_time: 60
  br1:
shards: 2
`,
    FILE,
  );
  assert.equal(lab.shards, 2);
  const [br0, br1] = lab.bridges;
  assert.deepEqual(br0!.ports, [
    { no: 1, name: "tap1", tag: 10, noFlood: true },
    { no: 2, name: "veth2", trunks: new Set([10, 20]), vlanMode: "native-tagged", live: false },
    { no: OFPP_LOCAL, name: "br0" },
  ]);
  assert.equal(br0!.devices[0]!.netns, "red");
  assert.equal(br0!.failMode, "secure");
  assert.equal(br0!.flows, "labs/br0.flows");
  assert.equal(br0!.groups, "/etc/groups");
  assert.deepEqual(br0!.settings, { macTableSize: 100, macAgingMs: 60_000 });
  assert.equal(br1!.name, "br1");
  assert.equal(br1!.failMode, "standalone");
  assert.deepEqual(br1!.ports, []);
});

test("ports' VLANs and the bridge's settings are OVS's columns", () => {
  const [br0] = parseLab(
    `bridges:
  br0:
    flood_vlans: [7, 8]
    forward_bpdu: true
    vlan_limit: 0
    mac_table_size: 1
    mac_aging_time: 5
    ports:
      - { no: 1, name: a, vlan_mode: dot1q-tunnel, tag: 9, cvlans: 5, qinq_ethtype: 802.1q, priority_tags: always, protected: true }
      - { no: 2, name: b, trunks: [], cvlans: [] }
`,
    FILE,
  ).bridges;
  assert.deepEqual(br0!.ports, [
    {
      no: 1,
      name: "a",
      vlanMode: "dot1q-tunnel",
      tag: 9,
      cvlans: new Set([5]),
      qinqEthtype: 0x8100,
      priorityTags: "always",
      protected: true,
    },
    { no: 2, name: "b" },
  ]);
  assert.equal(br0!.vlanLimit, 2);
  // The last two are forced into OVS's ranges.
  const floodVlans = new Set([7, 8]);
  assert.deepEqual(br0!.settings, { floodVlans, forwardBpdu: true, macTableSize: 10, macAgingMs: 15_000 });
});

test("flow tables are OVS's Flow_Table", () => {
  const tables = (text: string) =>
    parseLab(bridge(`flow_tables: ${text}`), FILE).bridges[0]!.settings.flowTables!;
  const found = tables(
    '{ 0: { flow_limit: 9 }, 253: { overflow_policy: evict, groups: ["NXM_OF_IN_PORT[]", ip_src] } }',
  );
  assert.deepEqual(found.get(0), { flowLimit: 9 });
  const { overflowPolicy, groups } = found.get(253)!;
  assert.equal(overflowPolicy, "evict");
  assert.deepEqual(
    groups!.map(({ field, ofs, bits }) => [field.name, ofs, bits]),
    [
      ["in_port", 0, 16],
      ["ip_src", 0, 32],
    ],
  );
  assert.throws(() => tables("{ 254: {} }"), /wants as a key a table number from 0 to 253, not "254"/);
  assert.throws(() => tables("{ 1: { groups: no_such } }"), /wants a field or part of one/);
});

test("mirrors name ports", () => {
  const [br0] = parseLab(
    `bridges:
  br0:
    ports: [ { no: 1, name: web }, { no: 2, name: db }, { no: 3, name: sniffer } ]
    mirrors:
      - { name: span, select_src_port: [web, 2], select_dst_port: db, select_vlan: [5], output_port: sniffer, snaplen: 64 }
      - { name: rspan, select_all: true, select_vlan: [], output_vlan: 9 }
`,
    FILE,
  ).bridges;
  assert.deepEqual(br0!.settings.mirrors, [
    {
      name: "span",
      selectSrcPort: [1, 2],
      selectDstPort: [2],
      selectVlan: new Set([5]),
      outputPort: 3,
      snaplen: 64,
    },
    { name: "rspan", selectAll: true, outputVlan: 9 },
  ]);
});

test("tunnels and their option map", () => {
  const [br0] = parseLab(
    `bridges:
  br0:
    tlv_map: ["{class=0xffff,type=0x1,len=4}->tun_metadata0", "{class=0xffff,type=0x2,len=8}->tun_metadata1"]
    ports:
      - { no: 3, name: tun0, type: geneve, remote_ip: flow, key: flow, ttl: 9, csum: true }
`,
    FILE,
  ).bridges;
  assert.equal(br0!.settings.tlvMap!.list.length, 2);
  const { tunnel } = br0!.ports[0]!;
  assert.equal(tunnel!.remoteIp, "flow");
  assert.equal(tunnel!.ttl, 9);
  assert.equal(tunnel!.csum, true);
});

test("every option of a tunnel is a key", () => {
  assert.deepEqual(Object.keys(TUNNEL_FIELDS).map(snakeCase).sort(), [...TUNNEL_OPTION_NAMES].sort());
});

test("a bond's members are ports, each with what is said of the bond", () => {
  const [br0] = parseLab(
    `bridges:
  br0:
    mcast_snooping: { table_size: 1, aging_time: 60, flood_unregistered: false }
    ports:
      - { no: 1, name: a, mcast_snooping_flood: true }
      - name: bond0
        bond_mode: balance-slb
        bond_primary: p3
        bond_hash_basis: 7
        tag: 10
        mcast_snooping_flood_reports: true
        members:
          - { no: 2, name: p2, link_state: down }
          - { no: 3, name: p3, no_flood: true }
`,
    FILE,
  ).bridges;
  assert.deepEqual(br0!.ports, [
    { no: 1, name: "a", multicastFlood: true },
    { no: 2, name: "p2", live: false, tag: 10, multicastFloodReports: true },
    { no: 3, name: "p3", noFlood: true, tag: 10, multicastFloodReports: true },
  ]);
  assert.deepEqual(br0!.settings, {
    bonds: [{ name: "bond0", members: [2, 3], mode: "balance-slb", primary: 3, hashBasis: 7 }],
    snooping: { tableSize: 10, agingMs: 60_000, floodUnregistered: false }, // the size is forced into OVS's range
  });
  assert.deepEqual(parseLab(bridge("mcast_snooping: { enable: false }"), FILE).bridges[0]!.settings, {});
  assert.deepEqual(parseLab(bridge("mcast_snooping:"), FILE).bridges[0]!.settings, { snooping: {} });
});

test("LACP is not supported", () => {
  const text = bridge("ports: [ { name: b, lacp: active, members: [ { no: 1, name: p1 } ] } ]");
  assert.throws(
    () => parseLab(text, FILE),
    (error: MegaflowError) => {
      assert.equal(error.code, "EUNSUPPORTED");
      assert.equal(error.describe(), `${FILE}:1:45: bonds do without LACP here: lacp wants to be off`);
      return true;
    },
  );
});

test("files are relative to the configuration; standard input has no folder", () => {
  const flows = (file: string) => parseLab(bridge("flows: a/b.flows"), file).bridges[0]!.flows;
  assert.equal(flows("lab.yaml"), "a/b.flows");
  assert.equal(flows("../x/lab.yaml"), "../x/a/b.flows");
  assert.equal(flows("/etc/lab.yaml"), "/etc/a/b.flows");
  assert.equal(flows("-"), "a/b.flows");
  assert.equal(parseLab(bridge("flows: '-'"), FILE).bridges[0]!.flows, "-");
});

test("anchors stand for what they name", () => {
  const lab = parseLab(
    "bridges: { br0: { ports: [ { no: 1, name: a, trunks: &t [1, 2] }, { no: 2, name: b, trunks: *t } ] } }",
    FILE,
  );
  assert.deepEqual(lab.bridges[0]!.ports[1]!.trunks, new Set([1, 2]));
});

const BAD: readonly (readonly [name: string, text: string, words: string])[] = [
  ["an empty file", "", "1:1: the file wants bridges: keys (each a bridge's name)"],
  ["a comment only", "# nothing\n", "1:1: the file wants bridges: keys (each a bridge's name)"],
  ["no mapping", "- bridges", "1:1: the file wants keys (of bridges, shards), not a list"],
  ["an unknown key", "bridges: {}\nshard: 2", '2:1: unknown key "shard" of the file; did you mean "shards"?'],
  [
    "an unknown key of a bridge",
    "bridges:\n  br0:\n    fail-mode: secure",
    '3:5: unknown key "fail-mode" of a bridge; did you mean "fail_mode"?',
  ],
  [
    "a key like no other",
    bridge("colour: red"),
    '1:19: unknown key "colour" of a bridge; there are fail_mode, flows,',
  ],
  [
    "an unknown key of a port",
    port("colour: 3"),
    '1:47: unknown key "colour" of a port; there are no, name, ',
  ],
  [
    "a wrong word",
    bridge("fail_mode: secured"),
    '1:30: fail_mode wants secure or standalone, not "secured"; did you mean "secure"?',
  ],
  ["a VLAN out of range", port("tag: 4096"), "1:52: tag wants a whole number from 0 to 4095, not 4096"],
  ["a VLAN in text", port("tag: '10'"), '1:52: tag wants a whole number from 0 to 4095, not "10"'],
  ["a fraction", port("tag: 1.5"), "1:52: tag wants a whole number from 0 to 4095, not 1.5"],
  ["no number at all", port("tag: .nan"), "1:52: tag wants a whole number from 0 to 4095, not NaN"],
  ["nothing after a key", "bridges:\n  br0:\n    flows:\n", "3:11: flows wants text, not nothing"],
  ["a word for a flag", port("no_flood: yes"), '1:57: no_flood wants true or false, not "yes"'],
  [
    "a wrong item",
    port("trunks: [1, x]"),
    '1:59: item 2 of trunks wants a whole number from 0 to 4095, not "x"',
  ],
  ["keys for a list", bridge("ports: { no: 1 }"), "1:26: ports wants a list, each item keys (of no, name,"],
  [
    "a port without a number",
    bridge("ports: [ { name: a } ]"),
    "1:28: a port wants no: a port number (1 to 65279, or LOCAL)",
  ],
  [
    "a reserved port number",
    bridge("ports: [ { no: 65280, name: a } ]"),
    "1:34: no wants a port number (1 to 65279, or LOCAL), not 65280",
  ],
  [
    "port 0",
    bridge("ports: [ { no: 0, name: a } ]"),
    "1:34: no wants a port number (1 to 65279, or LOCAL), not 0",
  ],
  [
    "a number twice",
    "bridges:\n  br0:\n    ports:\n      - { no: 7, name: a }\n      - { no: 7, name: b }",
    "5:15: the port number 7 is given twice, first in line 4",
  ],
  [
    "a name twice",
    bridge("ports: [ { no: 1, name: a }, { no: 2, name: a } ]"),
    "1:63: the name a is given twice, first in line 1",
  ],
  [
    "a primary that is no member",
    bridge("ports: [ { name: b, bond_primary: q, members: [ { no: 1, name: p1 } ] } ]"),
    '1:53: bond_primary wants a member (p1), not "q"',
  ],
  [
    "a member's number twice",
    bridge("ports: [ { no: 1, name: a }, { name: b, members: [ { no: 1, name: p1 } ] } ]"),
    "1:76: the port number 1 is given twice, first in line 1",
  ],
  [
    "a bond's name twice",
    bridge("ports: [ { no: 1, name: b }, { name: b, members: [ { no: 2, name: p1 } ] } ]"),
    "1:56: the name b is given twice, first in line 1",
  ],
  [
    "a bond's key without members",
    port("bond_mode: balance-slb"),
    '1:47: unknown key "bond_mode" of a port; ',
  ],
  ["a key twice", "bridges: {}\nbridges: {}", "2:1: Map keys must be unique"],
  ["a bridge twice", "bridges: { br0: , br0: }", "1:19: Map keys must be unique"],
  [
    "no YAML",
    "bridges: [",
    "1:11: Flow sequence in block collection must be sufficiently indented and end with a ]",
  ],
  ["two documents", "bridges: {}\n---\nbridges: {}", "2:1: the file holds more than one document"],
  ["a tag", "bridges: !python/object {}", "1:10: Unresolved tag: !python/object"],
  ["an anchor that is not there", "bridges: *nowhere", "1:10: there is no anchor &nowhere before this"],
  ["a list as a key", "bridges: { [a]: {} }", "1:12: a key of bridges is text or a number, not a list"],
  ["a merge key", "bridges: { br0: { <<: { flows: x } } }", '1:19: unknown key "<<" of a bridge; '],
  [
    "a tunnel's option elsewhere",
    port("type: tap, remote_ip: flow"),
    "1:69: remote_ip is for tunnels: type geneve, vxlan, gre",
  ],
  [
    "a tunnel without an end",
    port("type: vxlan"),
    "1:53: p1: vxlan type requires valid 'remote_ip' argument",
  ],
  ["a bad option map", bridge("tlv_map: '{class=1}'"), "1:28: "],
  [
    "a mirror of no port",
    "bridges:\n  br0:\n    ports: [ { no: 1, name: sniffer } ]\n    mirrors: [ { name: m, output_port: snifer } ]",
    '4:40: there is no port snifer; did you mean "sniffer"?',
  ],
  [
    "a mirror to nowhere",
    "bridges:\n  br0:\n    mirrors: [ { name: m, select_all: true } ]",
    "3:24: a mirror wants output_port or output_vlan, and one of them only",
  ],
  ["a prototype", "__proto__: { a: 1 }\nbridges: {}", '1:1: unknown key "__proto__" of the file; '],
  ["deep nesting", `bridges: ${"[".repeat(20_000)}`, "1:1: the file is nested too deeply"],
];

for (const [name, text, words] of BAD) {
  test(`${name} is an error that says where`, () => {
    try {
      parseLab(text, FILE);
    } catch (error) {
      assert.ok(error instanceof MegaflowError, String(error));
      assert.equal(error.code, "ECONFIG");
      assert.ok(error.describe().startsWith(`${FILE}:${words}`), error.describe());
      return;
    }
    assert.fail("no error");
  });
}

test("a file that multiplies itself comes to an end", () => {
  const many = Array.from({ length: 3000 }, () => "*t").join(", ");
  const ports = Array.from({ length: 3000 }, (_, i) => `{ no: ${i + 2}, name: p${i + 2}, trunks: *t }`).join(
    ", ",
  );
  const text = `bridges: { br0: { ports: [ { no: 1, name: p1, trunks: &t [ ${"1, ".repeat(3000)} ] }, ${ports} ] } }\n# ${many}`;
  assert.throws(() => parseLab(text, FILE), /the file has more than 200000 values/);
});

test("conntrack: limits and timeouts by zone", () => {
  const lab = parseLab(
    bridge(
      "conntrack: { default_limit: 9, zones: { 5: { limit: 100, timeouts: { tcp_syn_sent2: 7, udp_first: 3 } } } }",
    ),
    FILE,
  );
  assert.deepEqual(lab.bridges[0]!.conntrack, {
    defaultLimit: 9,
    zones: new Map([[5, { limit: 100, timeouts: { tcp_syn_sent2: 7, udp_first: 3 } }]]),
  });
  for (const [keys, error] of [
    ["conntrack: { zones: { 65536: {} } }", /:1:\d+: .*a zone \(0 to 65535\)/],
    ["conntrack: { zones: { 1: { timeouts: { tcp_closed: 1 } } } }", /"?tcp_close"?/],
    ["conntrack: { default_limit: x }", /whole number/],
  ] as const) {
    assert.throws(
      () => parseLab(bridge(keys), FILE),
      (e) => error.test((e as MegaflowError).describe()),
      keys,
    );
  }
});
