// What must hold of installed megaflows whatever Open vSwitch says. Translation is a decision tree: which bit is looked at next
// depends on the bits already looked at alone. So whatever the bits outside a megaflow's mask are, the translation is the same:
// actions, rules that are credited, and mask; and no two megaflows match one frame.
//
// One exception, which is OVS's too: that a subtable has no rule for a frame can be shown by the prefix trie of nw_dst or by that of
// nw_src, and the one that shows it is all that counts, not the one that was asked before it; and a trie that would need more bits than
// the subtable itself is asked only where these bits have been looked at already, else the subtable is, with all its fields. So
// megaflows that do the same may differ in how much of the addresses they match, and then in the rest, and overlap there.
import type { Bridge } from "../../../src/bridge/bridge.ts";
import type { DatapathAction } from "../../../src/datapath/action.ts";
import { FLOW_WORDS, Flow, KEY_WORDS } from "../../../src/flow/flow.ts";
import * as L from "../../../src/flow/layout.ts";
import { KEY_SIZE, O_DP_HASH } from "../../../src/flow/layout.ts";
import { formatMegaflow } from "../../../src/flow/megaflow-text.ts";
import type { Prng } from "../../../src/lib/prng.ts";
import type { Owner } from "../../../src/pipeline/owner.ts";
import { meaning, sameActions } from "./meaning.ts";

export interface MaskCheck {
  /** Keys translated again with other bits outside the mask. */
  readonly flips: number;
  /** What is wrong, or null. */
  readonly trouble: string | null;
}

interface Entry {
  readonly key: Flow;
  readonly mask: Flow;
}

interface Installed extends Entry {
  readonly actions: readonly DatapathAction[];
}

/** Checks the megaflows of a bridge; `perMegaflow` flips of each. */
export function checkMasks(bridge: Bridge, r: Prng, perMegaflow: number): MaskCheck {
  const outdated = settleTrouble(bridge);
  if (outdated !== null) return { flips: 0, trouble: outdated };
  const { kernel, megaflows } = bridge.datapath;
  const all: Installed[] = [];
  for (const megaflow of megaflows.values()) {
    const key = new Flow();
    const mask = new Flow();
    megaflow.read(kernel, key, mask);
    all.push({ key, mask, actions: megaflow.actions });
  }
  for (let i = 0; i < all.length; i++) {
    for (let k = i + 1; k < all.length; k++) {
      if (
        overlap(all[i]!, all[k]!) &&
        !(sameButTries(all[i]!.mask, all[k]!.mask) && sameMeaning(all[i]!, all[k]!))
      )
        return { flips: 0, trouble: `megaflows overlap:\n  ${name(all[i]!)}\n  ${name(all[k]!)}` };
    }
  }
  let flips = 0;
  for (const x of all) {
    const trouble = flip(bridge, x, r, perMegaflow);
    flips += perMegaflow;
    if (trouble !== null) return { flips, trouble };
  }
  return { flips, trouble: null };
}

/** Whether a megaflow that no change concerned does anything but what it would do now. */
function settleTrouble(bridge: Bridge): string | null {
  const { kernel, megaflows } = bridge.datapath;
  const kept = [...megaflows.values()].map((megaflow) => {
    const [key, mask] = [new Flow(), new Flow()];
    megaflow.read(kernel, key, mask);
    return { key, mask, actions: megaflow.actions, owner: megaflow.owner as Owner };
  });
  for (const x of kept) {
    // Behind a hash the key has not all that the actions were made of; and what learned nothing, as the limit was reached, tries again.
    if (x.mask.get32(O_DP_HASH) !== 0 || x.owner.dependsOnRules) continue;
    const now = bridge.pipeline.revalidate(x.key, bridge.nowMs);
    if (now === null || !now.cacheable) return `is out of date:\n  ${name(x)}`;
    const { rules } = now.owner as Owner;
    if (rules.length !== x.owner.rules.length || rules.some((rule, i) => rule !== x.owner.rules[i]))
      return `counts for flows that are not its own any more:\n  ${name(x)}`;
    const a = meaning(x.actions, x.key, x.mask);
    if (a !== meaning(now.actions, x.key, now.wildcards))
      return `does what it would not do now:\n  ${name(x)}\n  ${a}`;
  }
  bridge.settle();
  return null;
}

const name = (x: Entry) => formatMegaflow(x.key, x.mask, String);

const $flipped = new Flow();
const $mask = new Flow();

function flip(bridge: Bridge, x: Installed, r: Prng, count: number): string | null {
  const { pipeline, nowMs } = bridge;
  const before = pipeline.revalidate(x.key, nowMs);
  if (before === null) return null; // its recirculation is forgotten
  const want = before.actions;
  const wantRules = (before.owner as Owner).rules;
  $mask.copyFrom(before.wildcards);
  const free = freeBits(x);
  for (let n = 0; n < count; n++) {
    $flipped.copyFrom(x.key);
    const f = $flipped.words;
    // Many bits, few, or one.
    const density = r.below(3);
    if (density === 2) {
      const { word, bits } = r.pick(free);
      const bit = 1 << r.below(32);
      f[word]! ^= (bits & bit) !== 0 ? bit : bits;
    } else {
      for (const { word, bits } of free) {
        let noise = r.u32() & bits;
        if (density === 1) noise &= r.u32() & r.u32() & r.u32();
        f[word]! ^= noise;
      }
    }
    keepTags($flipped);
    const after = pipeline.revalidate($flipped, nowMs);
    if (after === null) return `a frozen state is gone:\n  ${name(x)}`;
    if (!sameActions(want, after.actions)) {
      // Either knows what its own mask matches: of the addresses, what a trie has looked at.
      const a = meaning(want, x.key, $mask);
      const b = meaning(after.actions, $flipped, after.wildcards);
      if (a !== b)
        return `bits outside the mask matter:\n  ${name(x)}\n  ${a}\n  ${b}\n  ${difference(x.key, $flipped)}`;
    }
    const { rules } = after.owner as Owner;
    if (rules.length !== wantRules.length || rules.some((rule, i) => rule !== wantRules[i]))
      return `bits outside the mask decide which flows are credited:\n  ${name(x)}\n  ${difference(x.key, $flipped)}`;
    if (!sameButTries($mask, after.wildcards)) {
      const other = name({ key: $flipped, mask: after.wildcards });
      return `bits outside the mask decide what is looked at:\n  ${name({ key: x.key, mask: $mask })}\n  ${other}\n  ${difference(x.key, $flipped)}`;
    }
  }
  return null;
}

/** The words that have a prefix trie, in a key and in one whose addresses resubmit(,,ct) has swapped. */
const TRIE_WORDS: ReadonlySet<number> = new Set(
  [L.O_NW_SRC, L.O_NW_DST, L.O_CT_NW_SRC, L.O_CT_NW_DST].map((o) => o >> 2),
);

/** Whether two masks are equal, or tell of different answers of the tries. */
function sameButTries(a: Flow, b: Flow): boolean {
  let same = true;
  for (let w = 0; w < KEY_WORDS; w++) {
    if (a.words[w] === b.words[w]) continue;
    if (TRIE_WORDS.has(w)) return true;
    same = false;
  }
  return same;
}

interface FreeBits {
  readonly word: number;
  readonly bits: number;
}

/** The bits outside the mask that a frame of the key's kind may have otherwise. At least one entry, which may have no bits. */
function freeBits(x: Entry): FreeBits[] {
  const may = new Flow();
  mayDiffer(may, x.key);
  const out: FreeBits[] = [];
  for (let word = 0; word < KEY_WORDS; word++) {
    const bits = (may.words[word]! & ~x.mask.words[word]!) >>> 0;
    if (bits !== 0) out.push({ word, bits });
  }
  return out.length > 0 ? out : [{ word: 0, bits: 0 }];
}

type Range = readonly [offset: number, size: number];

/** Sets in `may` the bits that can differ between two frames of the key's kind. */
function mayDiffer(may: Flow, key: Flow): void {
  const add = (...ranges: Range[]) => {
    for (const [offset, size] of ranges) may.setExact(offset, size);
  };
  const dlType = key.get16(L.O_DL_TYPE);
  const proto = key.get8(L.O_NW_PROTO);
  const ip = dlType === 0x0800 || dlType === 0x86dd;
  if (key.get32(L.O_PACKET_TYPE) === 0) add([L.O_DL_DST, 12]);
  add([L.O_PKT_MARK, 4], [L.O_SKB_PRIORITY, 4]);
  if ((key.get16(L.O_VLAN0_TCI) & L.VLAN_CFI) !== 0) add([L.O_VLAN0_TCI, 2]);
  if ((key.get16(L.O_VLAN1_TCI) & L.VLAN_CFI) !== 0) add([L.O_VLAN1_TCI, 2]);
  if ((key.get8(L.O_CT_STATE) & L.CS_TRACKED) !== 0) {
    add([L.O_CT_ZONE, 2], [L.O_CT_MARK, 4], [L.O_CT_LABEL, 16]);
    may.set8(L.O_CT_STATE, 0xff & ~L.CS_TRACKED);
  }
  if (ip) add([L.O_NW_TOS, 1], [L.O_NW_TTL, 1]);
  if (dlType === 0x0800) add([L.O_NW_SRC, 8]);
  if (dlType === 0x86dd) {
    add([L.O_IPV6_SRC, 32]);
    may.set32(L.O_IPV6_LABEL, 0x000fffff);
  }
  // The opcode, whose second byte is all that a key holds.
  if (dlType === 0x0806 || dlType === 0x8035) add([L.O_NW_SRC, 8], [L.O_ARP_SHA, 12], [L.O_NW_PROTO, 1]);
  if (dlType === 0x8847 || dlType === 0x8848) may.set32(L.O_MPLS_LSE0, 0xfffffeff); // whether there is another entry stays
  if (!ip || (key.get8(L.O_NW_FRAG) & L.FRAG_LATER) !== 0) return;
  if (proto === 6) add([L.O_TP_SRC, 4], [L.O_TCP_FLAGS + 1, 1]);
  else if (proto === 17 || proto === 132) add([L.O_TP_SRC, 4]);
  else if (dlType === 0x0800 && proto === 1) add([L.O_TP_SRC + 1, 1], [L.O_TP_DST + 1, 1]);
  else if (dlType === 0x86dd && proto === 58) {
    add([L.O_TP_SRC + 1, 1], [L.O_TP_DST + 1, 1]);
    const type = key.get16(L.O_TP_SRC);
    if (type === 135 || type === 136) add([L.O_ND_TARGET, 16], [L.O_ARP_SHA, 12]);
  }
  // Any other protocol: the same frame with a transport header that the parser does not know.
  else if (![1, 2, 58].includes(proto)) add([L.O_NW_PROTO, 1]);
}

/** A tag that is there says so. */
function keepTags(flow: Flow): void {
  if (flow.get16(L.O_VLAN0) !== 0) flow.bytes[L.O_VLAN0_TCI]! |= 0x10;
  if (flow.get16(L.O_VLAN1) !== 0) flow.bytes[L.O_VLAN1_TCI]! |= 0x10;
}

function overlap(a: Entry, b: Entry): boolean {
  for (let w = 0; w < FLOW_WORDS; w++) {
    if (((a.key.words[w]! ^ b.key.words[w]!) & a.mask.words[w]! & b.mask.words[w]!) !== 0) return false;
  }
  return true;
}

/** Whether two megaflows that overlap do the same to the frames that both match. */
function sameMeaning(a: Installed, b: Installed): boolean {
  const key = new Flow();
  const mask = new Flow();
  for (let w = 0; w < FLOW_WORDS; w++) {
    key.words[w] = a.key.words[w]! | b.key.words[w]!;
    mask.words[w] = a.mask.words[w]! | b.mask.words[w]!;
  }
  return meaning(a.actions, key, mask) === meaning(b.actions, key, mask);
}

function difference(a: Flow, b: Flow): string {
  const out: string[] = [];
  for (let i = 0; i < KEY_SIZE; i++)
    if (a.bytes[i] !== b.bytes[i]) out.push(`${i}:${a.bytes[i]!.toString(16)}>${b.bytes[i]!.toString(16)}`);
  return out.join(" ");
}
