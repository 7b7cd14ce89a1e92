import assert from "node:assert/strict";
import { test } from "node:test";
import { FIELDS } from "../flow/field.ts";
import { Flow } from "../flow/flow.ts";
import { copySubfield, formatSubfield, maskSubfield } from "../flow/subfield.ts";
import { Prng } from "../lib/prng.ts";
import { compileActions, moveBytes } from "./compile.ts";

const SEED = Number(process.env.SEED ?? 1);

test(`a move of whole bytes does what copying the subfields does (SEED=${SEED})`, () => {
  const rng = new Prng(SEED);
  const fields = FIELDS.filter(({ size }) => size > 0);
  let moved = 0;
  for (let n = 0; n < 20_000; n++) {
    const src = rng.pick(fields);
    const dst = rng.pick(fields.filter(({ writable }) => writable));
    const unit = rng.below(4) === 0 ? 1 : 8;
    const bits = unit * (1 + rng.below(Math.max(1, Math.floor(Math.min(src.bits, dst.bits) / unit))));
    if (bits > Math.min(src.bits, dst.bits)) continue;
    const place = (most: number) => unit * rng.below(Math.floor((most - bits) / unit) + 1);
    const action = {
      type: "move" as const,
      src: { field: src, ofs: place(src.bits), bits },
      dst: { field: dst, ofs: place(dst.bits), bits },
    };
    const [step] = compileActions([action]);
    if (step!.bytes === null) continue;
    moved++;
    const flow = new Flow();
    flow.bytes.set(rng.bytes(flow.bytes.length));
    const wc = new Flow();
    wc.bytes.set(rng.bytes(wc.bytes.length));
    const [expectedFlow, expectedWc] = [flow.clone(), wc.clone()];
    copySubfield(expectedFlow, action.src, expectedFlow, action.dst);
    maskSubfield(expectedWc, action.dst);
    maskSubfield(expectedWc, action.src);
    moveBytes(step!.bytes, flow, wc);
    const what = `${formatSubfield(action.src)} -> ${formatSubfield(action.dst)}`;
    assert.ok(flow.equals(expectedFlow), what);
    assert.ok(wc.equals(expectedWc), what);
  }
  assert.ok(moved > 5_000, `${moved} moves of whole bytes`);
});
