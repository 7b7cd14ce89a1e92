// The law of masks (DESIGN D4), without OVS: flipping bits that a translation left wildcarded must not change its
// datapath actions. A wrongly wildcarded bit would forward frames that no flow allows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { parseGroupFile } from "../src/control/openflow/group-file.ts";
import { formatDatapathActions } from "../src/datapath/action-text.ts";
import type { Translation } from "../src/datapath/upcall.ts";
import { type Flow, KEY_WORDS } from "../src/flow/flow.ts";
import { formatFlow, parseFlow } from "../src/flow/flow-text.ts";
import {
  B_CT,
  B_CT_LABEL,
  BLOCK_SIZE,
  CS_TRACKED,
  KEY_SIZE,
  O_CT_STATE,
  O_CT_ZONE,
  O_DL_DST,
  O_IPV6_LABEL,
  O_NW_SRC,
  O_RECIRC_ID,
  O_VLAN0,
} from "../src/flow/layout.ts";
import { formatMatch } from "../src/flow/match.ts";
import { MegaflowError } from "../src/lib/errors.ts";
import { Pipeline } from "../src/pipeline/pipeline.ts";
import { PortTable } from "../src/pipeline/port-table.ts";
import { makeGroups, makePipeline, makeTraceFlow, type Random, random } from "./oracle/trace-cases.ts";

const SEED = Number(process.env.SEED ?? 3);
const PIPELINES = Number(process.env.PIPELINES ?? 60);
const FLIPS = 60;

/** Where a frame's own fields stand: bits that flips may touch. Ports, types, protocols and recirculation stay. */
const FLIPPABLE = [
  [O_DL_DST, 12],
  [O_NW_SRC, 16],
  [O_VLAN0 + 2, 2], // a TPID is one of two, and there is no second tag without a first
  [O_IPV6_LABEL + 1, 3],
  [112, 48],
  [160, 12],
  [B_CT * BLOCK_SIZE, BLOCK_SIZE],
  [B_CT_LABEL * BLOCK_SIZE, BLOCK_SIZE],
] as const;

function flip(rnd: Random, flow: Flow, wc: Flow): Flow {
  const out = flow.clone();
  for (let n = 1 + rnd(12); n > 0; n--) {
    const [offset, length] = FLIPPABLE[rnd(FLIPPABLE.length)]!;
    const at = offset + rnd(length);
    if (rnd(3) === 0) out.bytes[at] = (out.bytes[at]! & wc.bytes[at]!) | (rnd(256) & ~wc.bytes[at]!);
    else out.bytes[at]! ^= (1 << rnd(8)) & ~wc.bytes[at]!;
  }
  return out;
}

function text(translation: Translation): string {
  return formatDatapathActions(translation.actions, String);
}

/** What a ct action or a hash would bring back. */
function afterRecirc(rnd: Random, flow: Flow, translation: Translation): Flow | null {
  const recirc = translation.actions.find((a) => a.type === "recirc");
  if (recirc === undefined) return null;
  const next = flow.clone();
  for (const action of translation.actions) {
    if (action === recirc) break;
    if (action.type === "set") {
      for (let i = 0; i < KEY_SIZE; i++) {
        next.bytes[i] = (next.bytes[i]! & ~action.mask[i]!) | (action.value[i]! & action.mask[i]!);
      }
    } else if (action.type === "ct") {
      next.set8(O_CT_STATE, CS_TRACKED | (rnd(2) === 0 ? 1 : 2));
      next.set16(O_CT_ZONE, action.zone);
    } else if (action.type === "hash") {
      next.set32(8, 1 + rnd(1000));
    } else if (action.type !== "output" && action.type !== "userspace" && action.type !== "meter") {
      return null;
    }
  }
  next.set32(O_RECIRC_ID, recirc.id);
  return next;
}

test("wildcarded bits change no action", () => {
  let checked = 0;
  for (let p = 0; p < PIPELINES; p++) {
    const rnd = random(SEED * 7919 + p);
    const groups = makeGroups(rnd);
    const flows = makePipeline(rnd, true);
    const ports = new PortTable([1, 2, 3, 4, 5].map((no) => ({ no, name: `p${no}` })));
    const pipeline = new Pipeline({ ports, failMode: "secure", seed: 0 });
    pipeline.applyGroups(parseGroupFile(groups), 0);
    try {
      pipeline.applyFlows(parseFlowFile(flows), 0);
    } catch (error) {
      if (error instanceof MegaflowError) continue; // a generated flow that OVS would refuse too
      throw error;
    }
    for (let k = 0; k < 10; k++) {
      let flow: Flow | null = parseFlow(makeTraceFlow(rnd)[0]!);
      flow.words.fill(0, KEY_WORDS);
      for (let pass = 0; flow !== null && pass < 4; pass++) {
        const translation: Translation | null = pipeline.revalidate(flow, 0);
        assert.ok(translation !== null);
        const before = text(translation);
        for (let n = 0; n < FLIPS; n++) {
          const other = flip(rnd, flow, translation.wildcards);
          const after = text(pipeline.revalidate(other, 0)!);
          if (after !== before) {
            assert.fail(
              `seed ${SEED}, pipeline ${p}\n${groups}${flows}flow  ${formatFlow(flow)}\nother ${formatFlow(other)}\n` +
                `mask  ${formatMatch({ flow, mask: translation.wildcards })}\n${before}\n${after}`,
            );
          }
          checked++;
        }
        flow = afterRecirc(rnd, flow, translation);
      }
    }
  }
  assert.ok(checked > 1000);
});
