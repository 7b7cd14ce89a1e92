import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow } from "../flow/flow.ts";
import { O_DL_DST, O_DL_SRC } from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import {
  BOND_ACCEPT,
  BOND_DROP,
  BOND_DROP_IF_MOVED,
  type BondMode,
  type BondOptions,
  bondBucket,
} from "./bond.ts";
import { BundleTable } from "./bundle.ts";
import { PortTable } from "./port-table.ts";

const MEMBERS = [4, 5, 6];

function bondOf(mode: BondMode, down: readonly number[] = [], more: Partial<BondOptions> = {}) {
  const ports = new PortTable(
    [1, ...MEMBERS].map((no) => ({ no, name: `p${no}`, live: !down.includes(no) })),
  );
  const bundles = new BundleTable(ports, [{ name: "bond0", members: MEMBERS, mode, ...more }]);
  const setLive = (no: number, live: boolean) => {
    ports.add({ no, name: `p${no}`, live });
    return bundles.list;
  };
  const bundle = bundles.ofPort(5)!;
  return { bond: bundle.bond!, bundle, bundles, setLive };
}

/** From 02:00:00:00:00:`host`. */
function flowOf(host: number, multicast = false): Flow {
  const flow = new Flow();
  flow.bytes[O_DL_DST] = multicast ? 1 : 2;
  flow.bytes.set([2, 0, 0, 0, 0, host], O_DL_SRC);
  return flow;
}

test("members are one bundle, named by the first", () => {
  const { bundle, bundles } = bondOf("active-backup");
  assert.equal(bundle.name, "bond0");
  assert.equal(bundle.no, 4);
  assert.equal(bundles.ofPort(6), bundle);
  assert.deepEqual(
    bundles.list.map(({ name }) => name),
    ["p1", "bond0"],
  );
});

test("a bond of one member is an ordinary port", () => {
  const bundles = new BundleTable(new PortTable([{ no: 1, name: "p1" }]), [{ name: "b", members: [1] }]);
  assert.equal(bundles.ofPort(1)!.bond, null);
  assert.equal(bundles.hasBonds, false);
});

test("a member must be a port, and of one bond", () => {
  const ports = new PortTable([{ no: 1, name: "p1" }]);
  const refused = (bonds: BondOptions[], words: string) =>
    assert.throws(() => new BundleTable(ports, bonds), new MegaflowError("ECONFIG", words));
  refused([{ name: "a", members: [1, 2] }], "bond a: there is no port 2");
  const twice = [
    { name: "a", members: [1] },
    { name: "b", members: [1] },
  ];
  refused(twice, "bond b: port 1 is already a bond's member");
});

test("active-backup sends and takes on the active member", () => {
  const { bond, setLive } = bondOf("active-backup");
  assert.equal(bond.choose(flowOf(1), 0, true), 4);
  assert.equal(bond.admit(4, flowOf(1)), BOND_ACCEPT);
  assert.equal(bond.admit(5, flowOf(1)), BOND_DROP);
  setLive(4, false);
  assert.equal(bond.choose(flowOf(1), 0, true), 5);
  setLive(4, true);
  assert.equal(bond.choose(flowOf(1), 0, true), 5, "the active member stays");
});

test("the primary member is active whenever it is up", () => {
  const { bond, setLive } = bondOf("active-backup", [6], { primary: 6 });
  assert.equal(bond.active, 4);
  setLive(6, true);
  assert.equal(bond.active, 6);
});

test("balance-slb deals buckets out in turn, and keeps them while the member is up", () => {
  const { bond, setLive } = bondOf("balance-slb");
  const hosts = [1, 2, 3, 4, 5];
  assert.equal(new Set(hosts.map((h) => bondBucket(flowOf(h).bytes, 0, 0))).size, hosts.length);
  const choose = (take = true) => hosts.map((host) => bond.choose(flowOf(host), 0, take));
  assert.deepEqual(choose(false), [4, 4, 4, 4, 4], "asking takes no turn");
  assert.deepEqual(choose(), [4, 5, 6, 4, 5]);
  assert.deepEqual(choose(), [4, 5, 6, 4, 5]);
  setLive(5, false);
  assert.deepEqual(choose(), [4, 6, 6, 4, 4]);
  setLive(4, false);
  setLive(6, false);
  assert.deepEqual(choose(), [-1, -1, -1, -1, -1]);
});

test("balance-slb takes multicast frames on the active member alone", () => {
  const { bond } = bondOf("balance-slb");
  assert.equal(bond.admit(5, flowOf(1, true)), BOND_DROP);
  assert.equal(bond.admit(4, flowOf(1, true)), BOND_DROP_IF_MOVED);
  assert.equal(bond.admit(5, flowOf(1)), BOND_DROP_IF_MOVED);
});

test("balance-tcp carries nothing without LACP", () => {
  const { bond } = bondOf("balance-tcp");
  assert.equal(bond.choose(flowOf(1), 0, true), -1);
  assert.equal(bond.admit(4, flowOf(1)), BOND_DROP);
});

test("buckets are OVS's", () => {
  // ovs-appctl bond/hash 00:11:22:33:44:55 10 7, and with other VLANs and bases.
  const flow = new Flow();
  flow.bytes.set([0, 0x11, 0x22, 0x33, 0x44, 0x55], O_DL_SRC);
  assert.equal(bondBucket(flow.bytes, 0, 0), 226);
  assert.equal(bondBucket(flow.bytes, 10, 0), 69);
  assert.equal(bondBucket(flow.bytes, 10, 7), 182);
});
