import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow, type Match } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { Action, FlowMod } from "./action.ts";
import { parseActions } from "./action-text.ts";
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
  tables.takeChanged();
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
  assert.deepEqual(tables.takeChanged(), []);
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
  tables.takeChanged();
  assert.deepEqual(
    tables.expire(15_001).map((rule) => rule.priority),
    [2],
  );
  assert.equal(tables.takeChanged()!.length, 1);
  tables.reduceTimeouts(idle, 2, 0);
  assert.equal(tables.nextExpiryMs(), 10_001);
  assert.deepEqual(tables.expire(20_000), [idle]);
  assert(idle.removed);
  assert.deepEqual(idle.match, ANY, "a removed rule knows its match");
  assert.deepEqual(priorities(tables), [3]);
  assert.equal(tables.nextExpiryMs(), Infinity);
});

test("an exact cookie finds its flows, the first and then the youngest", () => {
  const gone: number[] = [];
  const tables = new Tables({ onRemoved: (rule) => gone.push(rule.priority) });
  for (const priority of [1, 2, 3, 4]) tables.apply([flowMod({ priority, newCookie: 7n })], 0);
  tables.apply([flowMod({ priority: 9, tableId: 1, newCookie: 7n })], 0);
  tables.apply([flowMod({ command: "delete_strict", priority: 1 })], 0);
  tables.apply([flowMod({ priority: 5, newCookie: 7n })], 0);
  const exact = { cookie: 7n, cookieMask: 0xffff_ffff_ffff_ffffn };
  assert.deepEqual(
    [...tables.rulesOfCookie(7n)].map((rule) => rule.priority),
    [9, 5, 4, 3, 2],
  );
  tables.apply([flowMod({ command: "delete", tableId: 0, ...exact })], 0);
  assert.deepEqual(gone, [1, 5, 4, 3, 2]);
  assert.deepEqual(priorities(tables), [9]);
});

test("flows go with the group or the meter that they name", () => {
  const gone: string[] = [];
  const tables = new Tables({ onRemoved: (rule, reason) => gone.push(`${rule.priority} ${reason}`) });
  const group = (groupId: number): Action => ({ type: "group", groupId });
  const meter: Action = { type: "meter", meterId: 1 };
  tables.apply(
    [
      flowMod({ priority: 1, actions: [{ type: "clone", actions: [group(1)] }] }),
      flowMod({ priority: 2, actions: [meter, group(1), group(2)] }),
      flowMod({ priority: 3, actions: [meter] }),
      flowMod({ priority: 4, actions: [group(2), group(2)] }),
    ],
    0,
  );
  assert.deepEqual(
    [tables.groupReferences(1), tables.groupReferences(2), tables.meterReferences(1)],
    [2, 3, 2],
  );
  tables.removeGroup(1, 0);
  tables.removeMeter(1, 0);
  tables.removeMeter(9, 0);
  assert.deepEqual(gone, ["1 group_delete", "2 group_delete", "3 meter_delete"]);
  assert.deepEqual(
    [tables.groupReferences(1), tables.groupReferences(2), tables.meterReferences(1)],
    [0, 2, 0],
  );
  tables.apply([flowMod({ priority: 4 })], 0);
  assert.equal(tables.groupReferences(2), 0);
});

test("learned flows go with the last that learns them, if it says so", () => {
  const tables = new Tables();
  const [learn] = parseActions("learn(table=3,cookie=5,delete_learned,in_port)");
  const [keep] = parseActions("learn(table=4,cookie=5,in_port)");
  tables.apply(
    [1, 2].map((priority) => flowMod({ priority, actions: [learn!, keep!] })),
    0,
  );
  for (const tableId of [3, 4]) tables.apply([flowMod({ tableId, newCookie: 5n })], 0);
  tables.apply([flowMod({ command: "delete_strict", priority: 1 })], 0);
  assert.deepEqual([tables.ruleCount(3), tables.ruleCount(4)], [1, 1]);
  tables.apply([flowMod({ command: "modify_strict", priority: 2, actions: [keep!] })], 0);
  assert.deepEqual([tables.ruleCount(3), tables.ruleCount(4)], [0, 1]);
});

test("a learned flow that is due with the last that learns it goes once", () => {
  const tables = new Tables();
  const [learn] = parseActions("learn(table=3,cookie=5,delete_learned,in_port)");
  tables.apply([flowMod({ actions: [learn!], hardTimeout: 1 })], 0);
  tables.apply([flowMod({ tableId: 3, newCookie: 5n, hardTimeout: 1 })], 0);
  assert.deepEqual(
    tables.expire(1001).map((rule) => rule.tableId),
    [0],
  );
  assert.deepEqual([tables.ruleCount(0), tables.ruleCount(3)], [0, 0]);
});

test("what the switch keeps in table 254 can be missed, not changed", () => {
  const tables = new Tables();
  const remove = (over: Partial<FlowMod>) =>
    tables.apply([flowMod({ command: "delete", tableId: 254, newCookie: null, ...over })], 0);
  assert.throws(() => remove({}), /OFPBRC_EPERM/);
  assert.throws(() => remove({ match: register(0, 1) }), /OFPBRC_EPERM/);
  assert.throws(() => remove({ command: "modify" }), /OFPBRC_EPERM/);
  remove({ match: register(1, 1) });
  remove({ cookie: 1n, cookieMask: 1n });
  remove({ command: "delete_strict", priority: 77 });
  remove({ tableId: 255 });
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
