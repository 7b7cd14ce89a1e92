import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow, type Match } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { Action, FlowMod } from "./action.ts";
import { BLANK_FLOW_MOD } from "./flow-mod.ts";
import { FlowModError, Tables } from "./tables.ts";

function register(number: number, value: number): Match {
  const match = { flow: new Flow(), mask: new Flow() };
  match.flow.set32(L.O_REGS + 4 * number, value);
  match.mask.setExact(L.O_REGS + 4 * number, 4);
  return match;
}

const ANY: Match = { flow: new Flow(), mask: new Flow() };

const output = (port: number): Action => ({ type: "output", port, maxLen: 0 });

function flowMod(over: Partial<FlowMod>): FlowMod {
  return { ...BLANK_FLOW_MOD, match: ANY, priority: 100, ...over };
}

const priorities = (tables: Tables) => [...tables.rules()].map((rule) => rule.priority);

test("an add of the same match and priority replaces the rule and keeps its counts", () => {
  const tables = new Tables();
  tables.apply([flowMod({ newCookie: 1n, idleTimeout: 5 })], 1000);
  const [old] = tables.rules();
  old!.credit(3, 300, 4000);
  tables.apply([flowMod({ newCookie: 2n })], 9000);
  const [rule] = tables.rules();
  assert.equal(tables.ruleCount(0), 1);
  assert.deepEqual([rule!.cookie, rule!.nPackets, rule!.nBytes], [2n, 3, 300]);
  assert.deepEqual([rule!.createdMs, rule!.usedMs, rule!.idleTimeout], [9000, 4000, 0]);
  assert(old!.removed);
  old!.credit(1, 100, 9500);
  assert.deepEqual([rule!.nPackets, rule!.usedMs], [4, 9500], "late counts reach the new rule");
  tables.apply([flowMod({ resetCounts: true })], 9900);
  rule!.credit(1, 100, 9950);
  const [last] = tables.rules();
  assert.deepEqual([last!.nPackets, last!.usedMs], [0, 9950], "but not one that started from zero");
});

test("a modify keeps age, timeouts, flags and cookie, and adds nothing", () => {
  const tables = new Tables();
  tables.apply([flowMod({ newCookie: 5n, hardTimeout: 10, importance: 2, match: register(0, 1) })], 1000);
  tables.apply([flowMod({ command: "modify", newCookie: 6n, actions: [output(2)] })], 3000);
  const [rule] = tables.rules();
  assert.deepEqual(rule!.actions, [output(2)]);
  assert.deepEqual([rule!.cookie, rule!.hardTimeout, rule!.importance], [5n, 10, 2]);
  assert.deepEqual([rule!.createdMs, rule!.modifiedMs], [1000, 3000]);
  tables.apply([flowMod({ command: "modify", match: register(1, 1), newCookie: 6n })], 3000);
  assert.equal(tables.ruleCount(0), 1);

  const older = new Tables({ modifyAsOpenFlow10: true });
  older.apply([flowMod({ command: "modify", newCookie: 6n })], 0);
  older.apply([flowMod({ command: "modify", newCookie: 7n })], 0);
  assert.deepEqual(
    [...older.rules()].map((r) => r.cookie),
    [7n],
  );
});

test("a batch with a refused flow-mod leaves no trace", () => {
  const tables = new Tables();
  const before = [
    flowMod({ priority: 9, match: register(0, 1) }),
    flowMod({ priority: 7, match: register(1, 1) }),
    flowMod({ priority: 7, match: register(2, 1) }),
  ];
  for (const mod of before) tables.apply([mod], 0);
  const version = tables.version;
  const rules = [...tables.rules()];
  const batch = [
    flowMod({ priority: 9, match: register(0, 1), newCookie: 9n }),
    flowMod({ command: "delete", match: register(1, 1) }),
    flowMod({ command: "modify", match: register(2, 1), actions: [output(1)] }),
    flowMod({ priority: 9, match: register(3, 1), checkOverlap: true }),
  ];
  assert.throws(
    () => tables.apply(batch, 0),
    (error) => error instanceof FlowModError && error.message === "OFPFMFC_OVERLAP" && error.index === 3,
  );
  assert.deepEqual(
    [...tables.rules()].map((rule) => rule.cookie),
    rules.map((rule) => rule.cookie),
  );
  assert.deepEqual([...tables.rules()], rules);
  assert(rules.every((rule) => !rule.removed));
  assert.equal(tables.version, version);
  const flow = register(1, 1).flow;
  assert.equal(tables.lookup(0, flow, null)!.priority, 7);
});

test("dumps go by subtable in descending order of its highest priority, then by age", () => {
  const tables = new Tables();
  for (const [priority, match] of [
    [10, register(0, 1)],
    [200, register(1, 1)],
    [300, register(0, 2)],
    [100, register(0, 3)],
  ] as const) {
    tables.apply([flowMod({ priority, match })], 0);
  }
  assert.deepEqual(priorities(tables), [10, 300, 100, 200]);
  tables.apply([flowMod({ command: "delete", match: register(0, 2) })], 0);
  assert.deepEqual(priorities(tables), [200, 10, 100]);
});

test("the last subtable takes a removed one's place before they are sorted", () => {
  const tables = new Tables();
  [9, 8, 7, 7, 7].forEach((priority, i) => {
    tables.apply([flowMod({ priority, match: register(i, 1), newCookie: BigInt(i) })], 0);
  });
  tables.apply([flowMod({ command: "delete", match: register(1, 1) })], 0);
  assert.deepEqual(
    [...tables.rules()].map((rule) => Number(rule.cookie)),
    [0, 4, 2, 3],
  );
});

test("deletes look at cookie, port, group and table", () => {
  const tables = new Tables();
  const fill = () => {
    tables.apply(
      [
        flowMod({ command: "delete", tableId: 255 }),
        flowMod({ priority: 1, newCookie: 0x10n, actions: [{ type: "clone", actions: [output(2)] }] }),
        flowMod({ priority: 2, newCookie: 0x11n, actions: [{ type: "group", groupId: 4 }] }),
        flowMod({ priority: 3, newCookie: 0x21n, tableId: 3 }),
        flowMod({ priority: 4, newCookie: 0x21n, tableId: 3, match: register(0, 1) }),
      ],
      0,
    );
  };
  const left = (over: Partial<FlowMod>) => {
    fill();
    tables.apply([flowMod({ command: "delete", tableId: 255, newCookie: null, ...over })], 0);
    return priorities(tables).sort();
  };
  assert.deepEqual(left({ cookie: 0x20n, cookieMask: 0xf0n }), [1, 2]);
  assert.deepEqual(left({ outPort: 2 }), [2, 3, 4]);
  assert.deepEqual(left({ outGroup: 4 }), [1, 3, 4]);
  assert.deepEqual(left({ tableId: 3 }), [1, 2]);
  assert.deepEqual(left({ match: register(0, 1) }), [1, 2, 3]);
  assert.deepEqual(left({ command: "delete_strict", priority: 3 }), [1, 2, 4]);
  assert.deepEqual(left({}), []);
});

test("idle and hard timeouts", () => {
  const tables = new Tables();
  assert.equal(tables.nextExpiryMs(), Infinity);
  tables.apply(
    [
      flowMod({ priority: 1, idleTimeout: 10 }),
      flowMod({ priority: 2, hardTimeout: 15 }),
      flowMod({ priority: 3 }),
    ],
    0,
  );
  const idle = [...tables.rules()].find((rule) => rule.priority === 1)!;
  assert.equal(tables.nextExpiryMs(), 10_001);
  idle.credit(1, 60, 8000);
  assert.deepEqual(tables.expire(10_001), [], "traffic keeps it");
  assert.equal(tables.nextExpiryMs(), 15_001);
  const version = tables.version;
  assert.deepEqual(
    tables.expire(15_001).map((rule) => rule.priority),
    [2],
  );
  assert.equal(tables.version, version + 1);
  tables.reduceTimeouts(idle, 2, 0);
  assert.equal(tables.nextExpiryMs(), 10_001);
  assert.deepEqual(tables.expire(20_000), [idle]);
  assert(idle.removed);
  assert.deepEqual(idle.match, ANY, "a removed rule knows its match");
  assert.deepEqual(priorities(tables), [3]);
  assert.equal(tables.nextExpiryMs(), Infinity);
});

test("table 254 is not for users, 255 means 0 in an add, and actions are checked first", () => {
  const tables = new Tables({
    checkActions: (mod) => {
      if (mod.actions.length > 0) throw new MegaflowError("ETEXT", "OFPBAC_BAD_OUT_GROUP");
    },
  });
  assert.throws(() => tables.apply([flowMod({ tableId: 254 })], 0), /OFPBRC_EPERM/);
  assert.throws(() => tables.apply([flowMod({ actions: [output(1)] })], 0), /OFPBAC_BAD_OUT_GROUP/);
  tables.apply([flowMod({ tableId: 255 })], 0);
  assert.equal(tables.ruleCount(0), 1);
});
