import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlowFile } from "../control/openflow/flow-file.ts";
import { parseGroupFile } from "../control/openflow/group-file.ts";
import { PortTable } from "../pipeline/port-table.ts";
import { planSpread, type SpreadInput } from "./spread-plan.ts";

const input = (flows: string, more: Partial<SpreadInput> = {}): SpreadInput => ({
  failMode: "secure",
  flows: parseFlowFile(flows),
  later: [],
  groups: [],
  ports: new PortTable(),
  settings: {},
  conntrack: {},
  hasConnections: false,
  ...more,
});

const together: readonly [flows: string, reason: RegExp, more?: Partial<SpreadInput>][] = [
  ["actions=NORMAL", /NORMAL learns/],
  ["ip,actions=output:1", /NORMAL learns/, { failMode: "standalone" }],
  ["ip,actions=output:1", /NORMAL learns/, { later: parseFlowFile("tcp,actions=clone(NORMAL)") }],
  ["arp,actions=NORMAL\nmpls,actions=pop_mpls:0x0806,resubmit(,1)", /NORMAL learns/],
  ["dl_type=0x8100,actions=NORMAL", /NORMAL learns/],
  [
    "actions=group:1",
    /NORMAL learns/,
    { groups: parseGroupFile("group_id=1,type=all,bucket=actions=NORMAL") },
  ],
  ["tcp,actions=learn(table=1,NXM_OF_ETH_SRC[])", /learn makes flows/],
  ["tcp,actions=fin_timeout(idle_timeout=3)", /fin_timeout/],
  ["actions=meter:1,output:1", /meter/],
  ["actions=sample(probability=5)", /random/],
  ["ip,actions=ct(commit,nat(src=10.0.0.1))", /NAT/],
  ["ip,actions=ct(table=1,nat)", /NAT/],
  ["tcp,actions=ct(commit,alg=ftp)", /alg=ftp/],
  ["tcp,actions=set_field:10.0.0.1->ip_dst,ct(commit)", /change addresses/],
  ["tcp6,actions=move:NXM_NX_XXREG0[]->NXM_NX_IPV6_SRC[],ct(commit)", /change addresses/],
  ["icmp,actions=set_field:3->icmp_type,ct(commit)", /change addresses/],
  ["mpls,actions=pop_mpls:0x0800,resubmit(,1)\nip,table=1,actions=ct(commit)", /other headers/],
  ["actions=output:1", /connections are limited/, { conntrack: { defaultLimit: 5 } }],
  ["actions=output:1", /before the first frame/, { hasConnections: true }],
];

for (const [flows, reason, more] of together) {
  test(`${flows.split("\n")[0]} keeps frames together: ${reason.source}`, () => {
    const plan = planSpread(input(flows, more));
    assert.equal(plan.by, null);
    assert.match(plan.reason!, reason);
  });
}

test("what remembers nothing is spread", () => {
  const flows = "ip,actions=dec_ttl,mod_nw_src:10.0.0.1,output:2\nactions=FLOOD";
  const plan = planSpread(input(flows));
  assert.deepEqual(plan, { by: "tuple", reason: null, othersTogether: false, tracks: false });
});

test("a flow in place of the standalone bridge's own lets it spread", () => {
  assert.equal(planSpread(input("priority=0,actions=drop", { failMode: "standalone" })).by, "tuple");
});

test("NORMAL for ARP keeps the frames together that are not IP", () => {
  const plan = planSpread(input("arp,actions=NORMAL\nip,actions=ct(commit),output:1"));
  assert.deepEqual(plan, { by: "tuple", reason: null, othersTogether: true, tracks: true });
});

test("where ports change beside a ct, frames are steered by their addresses", () => {
  const plan = planSpread(input("tcp,actions=set_field:80->tcp_dst,ct(commit)"));
  assert.equal(plan.by, "pair");
  assert.equal(
    planSpread(input("arp,actions=set_field:10.0.0.1->arp_spa\nip,actions=ct(commit)")).by,
    "tuple",
  );
});
