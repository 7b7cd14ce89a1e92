import assert from "node:assert/strict";
import { test } from "node:test";
import { BundleTable } from "./bundle.ts";
import { PortTable } from "./port-table.ts";
import { groupKey, ROUTERS_KEY, type SnoopingOptions, SnoopingTable } from "./snooping.ts";

const PORTS = [
  { no: 1, name: "p1" },
  { no: 2, name: "p2" },
  { no: 3, name: "all", multicastFlood: true },
  { no: 4, name: "reports", multicastFloodReports: true },
];
const G = "239.1.1.1";
const H = "239.1.1.2";

const tableOf = (options: SnoopingOptions = {}) =>
  new SnoopingTable(options, new BundleTable(new PortTable(PORTS)));
const members = (table: SnoopingTable, group: string, vlan = 0): number[] | null => {
  const found = table.members(groupKey(group, vlan));
  return found === null ? null : [...found];
};

test("a group has the bundles that asked for it in its VLAN, in that order", () => {
  const table = tableOf();
  assert.equal(table.join(G, 0, 2, 0), true);
  assert.equal(table.join(G, 0, 1, 0), false, "known");
  assert.deepEqual(members(table, G), [2, 1]);
  assert.equal(table.join(G, 0, 2, 0), false);
  assert.deepEqual(members(table, G), [1, 2], "heard again");
  assert.equal(members(table, G, 5), null);
});

test("what changes an answer is named, what only renews it is not", () => {
  const table = tableOf();
  table.join(G, 0, 1, 0);
  table.addRouter(0, 2, 0);
  assert.deepEqual(table.takeChanged(), new Set([groupKey(G, 0), ROUTERS_KEY]));
  table.join(G, 0, 1, 1000);
  table.addRouter(0, 2, 1000);
  assert.equal(table.takeChanged(), null);
  table.leave(G, 0, 1, 1000);
  assert.deepEqual(table.takeChanged(), new Set([groupKey(G, 0)]));
});

test("ports that get everything are not kept, and those that get reports do not leave", () => {
  const table = tableOf();
  assert.equal(table.join(G, 0, 3, 0), false);
  assert.equal(table.addRouter(0, 3, 0), false);
  assert.equal(members(table, G), null);
  table.join(G, 0, 4, 0);
  assert.equal(table.leave(G, 0, 4, 0), false);
  assert.deepEqual(members(table, G), [4]);
  table.addRouter(7, 1, 0);
  assert.equal(table.join(G, 7, 1, 0), false, "a router gets it anyway");
  assert.equal(table.join(G, 8, 1, 0), true);
});

test("what has aged goes, from the least recently reported group on", () => {
  const table = tableOf({ agingMs: 10_000 });
  table.join(G, 0, 1, 0);
  table.join(H, 0, 1, 5000);
  table.join(G, 0, 2, 6000);
  assert.equal(table.nextExpiryMs(), 15_000);
  table.expire(14_999);
  assert.deepEqual(members(table, G), [1, 2], "as in OVS: H has nothing that has aged");
  table.expire(15_000);
  assert.equal(members(table, H), null);
  assert.deepEqual(members(table, G), [2]);
  assert.equal(table.nextExpiryMs(), 16_000);
});

test("a group without bundles stays until it is its turn to go", () => {
  const table = tableOf();
  table.join(G, 0, 1, 0);
  table.join(H, 0, 1, 0);
  assert.equal(table.leave(H, 0, 1, 0), true);
  assert.deepEqual(members(table, H), [], "frames are not flooded");
  assert.equal(table.leave(G, 0, 1, 0), true);
  assert.equal(members(table, H), null);
  assert.equal(members(table, G), null);
});

test("a full table forgets the least recently reported group", () => {
  const table = tableOf({ tableSize: 2 });
  table.join(G, 0, 1, 0);
  table.join(H, 0, 1, 0);
  table.join(G, 0, 1, 1);
  table.takeChanged();
  table.join("239.1.1.3", 0, 1, 2);
  assert.equal(members(table, H), null);
  assert.deepEqual(members(table, G), [1]);
  assert.ok(table.takeChanged()!.has(groupKey(H, 0)));
});

test("a dump is what mdb/show prints", () => {
  const table = tableOf();
  table.join(G, 0, 1, 0);
  table.join("ff05::1", 5, 0xfffe, 1000);
  table.addRouter(5, 2, 2000);
  assert.equal(
    table.dump(12_500),
    ` port  VLAN  GROUP                Age
    1     0  239.1.1.1          12
LOCAL     5  ff05::1          11
    2     5  querier              10
`,
  );
});
