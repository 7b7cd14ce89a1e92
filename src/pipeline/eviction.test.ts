import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMatch } from "../flow/match.ts";
import { parseSubfieldPrefix } from "../flow/subfield.ts";
import type { FlowMod } from "./action.ts";
import type { FlowTableOptions } from "./eviction.ts";
import { BLANK_FLOW_MOD } from "./flow-mod.ts";
import { Tables } from "./tables.ts";

const S = 1024;

class Table {
  readonly gone: string[] = [];
  readonly tables: Tables;

  constructor(options: FlowTableOptions) {
    this.tables = new Tables({
      flowTables: new Map([[0, options]]),
      onRemoved: (rule, reason) => this.gone.push(`${rule.priority} ${reason}`),
    });
  }

  add(priority: number, over: Partial<FlowMod> = {}, match = "", nowMs = 0): void {
    this.tables.apply([{ ...BLANK_FLOW_MOD, priority, match: parseMatch(match), ...over }], nowMs);
  }

  get priorities(): number[] {
    return [...this.tables.rules()].map((rule) => rule.priority).sort((a, b) => a - b);
  }
}

test("a full table refuses new flows and takes those that replace one", () => {
  const table = new Table({ flowLimit: 2 });
  table.add(1, { idleTimeout: 10 });
  table.add(2);
  assert.throws(() => table.add(3), /OFPFMFC_TABLE_FULL/);
  table.add(2, { newCookie: 7n });
  table.tables.apply([{ ...BLANK_FLOW_MOD, command: "delete_strict", priority: 1 }], 0);
  table.add(3);
  assert.deepEqual(table.priorities, [2, 3]);
  assert.deepEqual(table.gone, ["1 delete"]);
});

test("the flow of least importance goes, then the one that would expire first; one without a timeout never", () => {
  const table = new Table({ flowLimit: 4, overflowPolicy: "evict" });
  table.add(1);
  table.add(2, { idleTimeout: 4 * S, importance: 1 });
  table.add(3, { hardTimeout: 8 * S });
  table.add(4, { idleTimeout: 6 * S });
  table.add(5, { idleTimeout: 2 * S, importance: 2 });
  assert.deepEqual(table.gone, ["4 eviction"]);
  table.add(6);
  table.add(7);
  table.add(8);
  assert.deepEqual(table.gone.slice(1), ["3 eviction", "2 eviction", "5 eviction"]);
  assert.throws(() => table.add(9), /OFPFMFC_TABLE_FULL/);
  assert.deepEqual(table.priorities, [1, 6, 7, 8]);
});

test("traffic keeps a flow, as far as is known", () => {
  const table = new Table({ flowLimit: 2, overflowPolicy: "evict" });
  table.add(1, { idleTimeout: 4 * S });
  table.add(2, { idleTimeout: 5 * S });
  const [first] = [...table.tables.rules()].filter((rule) => rule.priority === 1);
  first!.credit(1, 60, 3000 * S);
  table.add(3, { idleTimeout: 9 * S }, "", 3000 * S);
  assert.deepEqual(table.gone, ["2 eviction"]);
});

test("the largest group gives; a field that a flow does not have groups by its absence", () => {
  const groups = ["NXM_OF_IN_PORT[]", "tcp_dst[0..7]"].map((text) => parseSubfieldPrefix(text).subfield);
  const table = new Table({ flowLimit: 5, overflowPolicy: "evict", groups });
  table.add(1, { idleTimeout: S }, "in_port=1");
  table.add(2, { idleTimeout: 9 * S }, "in_port=2,tcp,tp_dst=0x150");
  table.add(3, { idleTimeout: 8 * S }, "in_port=2,tcp,tp_dst=0x250");
  table.add(4, { idleTimeout: 2 * S }, "in_port=2,tcp,tp_dst=0x251");
  table.add(5, { idleTimeout: 3 * S }, "in_port=2");
  table.add(6, {}, "in_port=3");
  assert.deepEqual(table.gone, ["3 eviction"]);
});

test("a batch that fails brings back what it evicted", () => {
  const table = new Table({ flowLimit: 2, overflowPolicy: "evict" });
  table.add(1, { idleTimeout: 4 * S });
  table.add(2);
  const mods = [
    { ...BLANK_FLOW_MOD, priority: 3 },
    { ...BLANK_FLOW_MOD, priority: 4 },
  ];
  assert.throws(() => table.tables.apply(mods, 0), /OFPFMFC_TABLE_FULL/);
  assert.deepEqual(table.priorities, [1, 2]);
  assert.deepEqual(table.gone, []);
  table.add(5, { idleTimeout: S });
  assert.deepEqual(table.gone, ["1 eviction"]);
});
