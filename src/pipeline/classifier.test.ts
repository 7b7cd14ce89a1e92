import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow, type Match } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import type { Action, FlowMod } from "./action.ts";
import { BLANK_FLOW_MOD } from "./flow-mod.ts";
import type { Rule } from "./rule.ts";
import { Tables } from "./tables.ts";

const SEED = Number(process.env.SEED ?? 20261);

/** A small generator (mulberry32), so that a failure can be run again. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

export function flowMod(over: Partial<FlowMod> & { match: Match }): FlowMod {
  return { ...BLANK_FLOW_MOD, priority: 32768, ...over };
}

/** Random flows over few values, so that rules and flows meet. */
function randomFlow(random: (below: number) => number): Flow {
  const flow = new Flow();
  flow.set32(L.O_IN_PORT, random(3));
  flow.set32(L.O_REGS, random(3));
  flow.set16(L.O_DL_TYPE, [0x0800, 0x0800, 0x0800, 0x0806, 0x86dd][random(5)]!);
  flow.set8(L.O_NW_PROTO, [6, 6, 17, 1][random(4)]!);
  flow.set32(L.O_NW_SRC, 0x0a000000 | (random(4) << 14) | (random(4) << 7) | random(4));
  flow.set32(L.O_NW_DST, (random(2) << 31) | (random(4) << 8) | random(4));
  flow.set16(L.O_TP_SRC, random(4) << random(12));
  flow.set16(L.O_TP_DST, random(4) << random(12));
  flow.set16(L.O_TCP_FLAGS, random(4));
  return flow;
}

function randomMatch(random: (below: number) => number): Match {
  const mask = new Flow();
  const flow = randomFlow(random);
  const some = (offset: number, size: number) => random(4) === 0 && mask.setExact(offset, size);
  some(L.O_IN_PORT, 4);
  some(L.O_REGS, 4);
  if (random(4) !== 0) {
    mask.setExact(L.O_DL_TYPE, 2);
    flow.set16(L.O_DL_TYPE, random(6) === 0 ? 0x0806 : 0x0800);
    if (random(2) === 0) mask.set32(L.O_NW_SRC, -1 << random(32));
    if (random(2) === 0) mask.set32(L.O_NW_DST, -1 << random(32));
    if (random(3) === 0) {
      flow.set16(L.O_DL_TYPE, 0x0800);
      mask.setExact(L.O_NW_PROTO, 1);
      if (random(2) === 0) mask.set16(L.O_TP_SRC, -1 << random(16));
      if (random(2) === 0) mask.set16(L.O_TP_DST, -1 << random(16));
      if (random(4) === 0) {
        flow.set8(L.O_NW_PROTO, 6);
        mask.set16(L.O_TCP_FLAGS, random(4));
      }
    }
  }
  for (let i = 0; i < flow.words.length; i++) flow.words[i] = flow.words[i]! & mask.words[i]!;
  return { flow, mask };
}

function matches(match: Match, flow: Flow): boolean {
  return flow.words.every((word, i) => ((word ^ match.flow.words[i]!) & match.mask.words[i]!) === 0);
}

/** The plain reading of the tables: highest priority first. */
function bruteForce(rules: readonly Rule[], flow: Flow): Rule | null {
  let best: Rule | null = null;
  for (const rule of rules) {
    if ((best === null || rule.priority > best.priority) && matches(rule.match, flow)) best = rule;
  }
  return best;
}

test("a lookup finds what reading all rules finds, and flipping a wildcarded bit changes nothing", () => {
  console.log(`seed ${SEED}`);
  const random = generator(SEED);
  for (let round = 0; round < 40; round++) {
    const tables = new Tables();
    const usedPriorities = new Set<number>();
    for (let i = 0; i < 60; i++) {
      let priority = random(1000);
      while (usedPriorities.has(priority)) priority = random(1000);
      usedPriorities.add(priority);
      tables.apply([flowMod({ match: randomMatch(random), priority })], 0);
      if (random(4) === 0) {
        const all = [...tables.rules()];
        const victim = all[random(all.length)]!;
        tables.apply(
          [flowMod({ command: "delete_strict", match: victim.match, priority: victim.priority })],
          0,
        );
      }
    }
    const rules = [...tables.rules()];
    for (let i = 0; i < 100; i++) {
      const flow = randomFlow(random);
      const wc = new Flow();
      const found = tables.lookup(0, flow, wc);
      assert.equal(found, bruteForce(rules, flow));
      assert.equal(tables.lookup(0, flow, null), found);
      for (let flips = 0; flips < 20; flips++) {
        const other = flow.clone();
        const change = random(3) === 0 ? randomFlow(random) : null;
        for (let w = 0; w < flow.words.length; w++) {
          const flip = change !== null ? change.words[w]! ^ flow.words[w]! : 1 << random(32);
          other.words[w] =
            other.words[w]! ^ (flip & ~wc.words[w]! & ~(w === L.O_DL_TYPE / 4 ? dlTypeWord : 0));
        }
        assert.equal(tables.lookup(0, other, null), found);
      }
    }
  }
});

/** dl_type is un-wildcarded by the translator before any lookup; the tries rely on it. */
const dlTypeWord = (() => {
  const flow = new Flow();
  flow.setExact(L.O_DL_TYPE, 2);
  return flow.words[L.O_DL_TYPE / 4]!;
})();

function conjunction(id: number, clause: number, nClauses: number): Action {
  return { type: "conjunction", id, clause, nClauses };
}

function exact(fields: (flow: Flow, mask: Flow) => void): Match {
  const match = { flow: new Flow(), mask: new Flow() };
  fields(match.flow, match.mask);
  return match;
}

const portMatch = (port: number) =>
  exact((flow, mask) => {
    flow.set32(L.O_IN_PORT, port);
    mask.setExact(L.O_IN_PORT, 4);
  });
const registerMatch = (value: number) =>
  exact((flow, mask) => {
    flow.set32(L.O_REGS, value);
    mask.setExact(L.O_REGS, 4);
  });
const conjIdMatch = (id: number) =>
  exact((flow, mask) => {
    flow.set32(L.O_CONJ_ID, id);
    mask.setExact(L.O_CONJ_ID, 4);
  });
const any = () => exact(() => {});

test("a conjunction matches when every clause has a match, and only then", () => {
  const tables = new Tables();
  tables.apply(
    [
      flowMod({ match: portMatch(1), priority: 20, actions: [conjunction(7, 1, 2)] }),
      flowMod({ match: portMatch(2), priority: 20, actions: [conjunction(7, 1, 2)] }),
      flowMod({ match: registerMatch(5), priority: 20, actions: [conjunction(7, 2, 2)] }),
      flowMod({ match: conjIdMatch(7), priority: 10 }),
      flowMod({ match: any(), priority: 0 }),
    ],
    0,
  );
  const lookup = (port: number, register: number) => {
    const flow = new Flow();
    flow.set32(L.O_IN_PORT, port);
    flow.set32(L.O_REGS, register);
    const found = tables.lookup(0, flow, new Flow())!.priority;
    assert.equal(flow.get32(L.O_CONJ_ID), 0);
    return found;
  };
  assert.equal(lookup(1, 5), 10);
  assert.equal(lookup(2, 5), 10);
  assert.equal(lookup(3, 5), 0);
  assert.equal(lookup(1, 4), 0);
});

test("a soft match that comes to nothing gives way to the rule under it", () => {
  const tables = new Tables();
  tables.apply(
    [
      flowMod({ match: portMatch(1), priority: 20, actions: [conjunction(7, 1, 2)] }),
      flowMod({ match: portMatch(1), priority: 15 }),
      flowMod({ match: any(), priority: 0 }),
    ],
    0,
  );
  const flow = new Flow();
  flow.set32(L.O_IN_PORT, 1);
  assert.equal(tables.lookup(0, flow, null)!.priority, 15);
});
