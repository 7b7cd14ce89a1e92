// What must hold of installed megaflows whatever Open vSwitch says: bits that are not in the mask do not matter, and no two
// megaflows match one frame.
import type { Bridge } from "../../../src/bridge/bridge.ts";
import type { DatapathAction } from "../../../src/datapath/action.ts";
import { FLOW_WORDS, Flow, KEY_WORDS } from "../../../src/flow/flow.ts";
import * as L from "../../../src/flow/layout.ts";
import { KEY_SIZE } from "../../../src/flow/layout.ts";
import { formatMegaflow } from "../../../src/flow/megaflow-text.ts";
import type { Prng } from "../../../src/lib/prng.ts";

export interface MaskCheck {
  readonly flips: number;
  /** What is wrong, or null. */
  readonly trouble: string | null;
}

const FLIPS_PER_MEGAFLOW = 8;

const text = (actions: readonly DatapathAction[]): string =>
  JSON.stringify(actions, (key, value: unknown) => {
    if (isSet(value)) return { ...value, value: value.value.map((v, i) => v & value.mask[i]!) };
    if (key === "recircId" || (key === "id" && typeof value === "number")) return "*"; // a new one each time
    if (typeof value === "bigint") return `${value}`;
    if (value instanceof Uint8Array)
      return Buffer.from(value)
        .toString("hex")
        .replace(/(00)+$/, "");
    return value;
  });

type SetAction = Extract<DatapathAction, { type: "set" }>;

/** Not yet written as text. */
function isSet(value: unknown): value is SetAction {
  return typeof value === "object" && value !== null && (value as SetAction).type === "set";
}

export function checkMasks(bridge: Bridge, r: Prng): MaskCheck {
  const { kernel, megaflows } = bridge.datapath;
  const all: { key: Flow; mask: Flow; actions: readonly DatapathAction[] }[] = [];
  for (const megaflow of megaflows.values()) {
    const key = new Flow();
    const mask = new Flow();
    megaflow.read(kernel, key, mask);
    all.push({ key, mask, actions: megaflow.actions });
  }
  const name = (x: { key: Flow; mask: Flow }) => formatMegaflow(x.key, x.mask, String);
  for (let i = 0; i < all.length; i++) {
    for (let k = i + 1; k < all.length; k++) {
      // Two that do the same may: a lookup may stop at either's reason (OVS's do too).
      if (overlap(all[i]!, all[k]!) && text(all[i]!.actions) !== text(all[k]!.actions))
        return { flips: 0, trouble: `megaflows overlap:\n  ${name(all[i]!)}\n  ${name(all[k]!)}` };
    }
  }
  let flips = 0;
  for (const x of all) {
    const before = bridge.pipeline.revalidate(x.key, bridge.nowMs);
    if (before === null) continue;
    const want = text(before.actions);
    for (let n = 0; n < FLIPS_PER_MEGAFLOW; n++) {
      const flipped = x.key.clone();
      // Few bits or many.
      const sparse = r.below(2) === 0;
      for (let w = 0; w < KEY_WORDS; w++) {
        let noise = r.u32() & ~x.mask.words[w]!;
        if (sparse) noise &= r.u32() & r.u32() & r.u32();
        flipped.words[w]! ^= noise;
      }
      keepPossible(flipped, x.key);
      flips++;
      const after = bridge.pipeline.revalidate(flipped, bridge.nowMs);
      const got = after === null ? "" : text(after.actions);
      if (got !== want && after?.cacheable !== false) {
        return {
          flips,
          trouble: `bits outside the mask matter:\n  ${name(x)}\n  ${want}\n  ${got}\n  ${difference(x.key, flipped)}`,
        };
      }
    }
  }
  return { flips, trouble: null };
}

type Range = readonly [offset: number, size: number];

/** Undoes flips that no frame can show: only fields that a frame of the key's kind has may differ. */
function keepPossible(flow: Flow, key: Flow): void {
  const keep = new Uint8Array(KEY_SIZE);
  const may = (...ranges: Range[]) => {
    for (const [offset, size] of ranges) keep.fill(0xff, offset, offset + size);
  };
  const dlType = key.get16(L.O_DL_TYPE);
  const proto = key.get8(L.O_NW_PROTO);
  const ip = dlType === 0x0800 || dlType === 0x86dd;
  may([L.O_DL_DST, 12], [L.O_PKT_MARK, 4], [L.O_SKB_PRIORITY, 4]);
  if ((key.get16(L.O_VLAN0_TCI) & L.VLAN_CFI) !== 0) may([L.O_VLAN0_TCI, 2]);
  if ((key.get16(L.O_VLAN1_TCI) & L.VLAN_CFI) !== 0) may([L.O_VLAN1_TCI, 2]);
  if ((key.get8(L.O_CT_STATE) & L.CS_TRACKED) !== 0)
    may([L.O_CT_ZONE, 2], [L.O_CT_MARK, 4], [L.O_CT_LABEL, 16]);
  if (ip) may([L.O_NW_TOS, 1], [L.O_NW_TTL, 1]);
  if (dlType === 0x0800) may([L.O_NW_SRC, 8]);
  if (dlType === 0x86dd) may([L.O_IPV6_SRC, 32]);
  if (dlType === 0x0806) may([L.O_NW_SRC, 8], [L.O_ARP_SHA, 12]);
  if (ip && (key.get8(L.O_NW_FRAG) & L.FRAG_LATER) === 0) {
    if (proto === 6) may([L.O_TP_SRC, 4], [L.O_TCP_FLAGS + 1, 1]);
    if (proto === 17 || proto === 132) may([L.O_TP_SRC, 4]);
    if (dlType === 0x0800 && proto === 1) may([L.O_TP_SRC + 1, 1], [L.O_TP_DST + 1, 1]);
    if (dlType === 0x86dd && proto === 58) may([L.O_TP_DST + 1, 1]);
    // Any other protocol: the same frame with a transport header that the parser does not know.
    else if (![1, 2, 6, 17, 58, 132].includes(proto)) may([L.O_NW_PROTO, 1]);
  }
  for (let i = 0; i < KEY_SIZE; i++)
    flow.bytes[i] = (flow.bytes[i]! & keep[i]!) | (key.bytes[i]! & ~keep[i]!);
  if ((key.get16(L.O_VLAN0_TCI) & L.VLAN_CFI) !== 0) flow.bytes[L.O_VLAN0_TCI]! |= 0x10;
  if ((key.get16(L.O_VLAN1_TCI) & L.VLAN_CFI) !== 0) flow.bytes[L.O_VLAN1_TCI]! |= 0x10;
}

function overlap(a: { key: Flow; mask: Flow }, b: { key: Flow; mask: Flow }): boolean {
  for (let w = 0; w < FLOW_WORDS; w++) {
    if (((a.key.words[w]! ^ b.key.words[w]!) & a.mask.words[w]! & b.mask.words[w]!) !== 0) return false;
  }
  return true;
}

function difference(a: Flow, b: Flow): string {
  const out: string[] = [];
  for (let i = 0; i < KEY_WORDS * 4; i++)
    if (a.bytes[i] !== b.bytes[i]) out.push(`${i}:${a.bytes[i]!.toString(16)}>${b.bytes[i]!.toString(16)}`);
  return out.join(" ");
}
