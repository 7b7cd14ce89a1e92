// MPLS label stacks in a flow key: counting, pushing, popping (ovs-actions(7), push_mpls and pop_mpls). A key keeps three
// labels; lse0 is the outermost.
import type { Flow } from "../flow/flow.ts";
import {
  B_ADDR,
  B_CT_IPV6_DST,
  B_EXTRA,
  B_IPV6_SRC,
  B_NSH,
  BLOCK_SIZE,
  O_CT_NW_SRC,
  O_CT_TP_SRC,
  O_DL_TYPE,
  O_DP_HASH,
  O_MPLS_LSE0,
  O_NW_FRAG,
  O_NW_PROTO,
  O_NW_SRC,
  O_NW_TOS,
  O_NW_TTL,
} from "../flow/layout.ts";
import { ETH_IPV6, isIpType, isMplsType } from "./wildcards.ts";

export const MPLS_LABELS_MAX = 3;
/** The bottom-of-stack bit of an entry. */
export const BOS = 0x100;

export const lse = (flow: Flow, i: number): number => flow.get32(O_MPLS_LSE0 + 4 * i);
export const setLse = (flow: Flow, i: number, value: number): void => flow.set32(O_MPLS_LSE0 + 4 * i, value);

/** How many labels the frame has (3: three or more). The bottom-of-stack bits looked at are set in `wc`. */
export function countLabels(flow: Flow, wc: Flow | null): number {
  if (!isMplsType(flow.get16(O_DL_TYPE))) return 0;
  let count = 0;
  for (let i = 0; i < MPLS_LABELS_MAX; i++) {
    if (wc !== null) wc.bytes[O_MPLS_LSE0 + 4 * i + 2]! |= 1;
    const value = lse(flow, i);
    if ((value & BOS) !== 0) return i + 1;
    if (value !== 0) count++;
  }
  return count;
}

/** How many labels, counted from the innermost, both have in common. */
export function commonLabels(a: Flow, countA: number, b: Flow, countB: number): number {
  let common = 0;
  while (common < Math.min(countA, countB) && lse(a, countA - 1 - common) === lse(b, countB - 1 - common))
    common++;
  return common;
}

/** Pushes a label onto `count` labels. With the first one the inner headers become unknown, unless `keepInner`. */
export function pushLabel(
  flow: Flow,
  count: number,
  ethertype: number,
  wc: Flow | null,
  keepInner: boolean,
): void {
  if (count > 0) {
    if (wc !== null) wc.setExact(O_MPLS_LSE0, 4 * count);
    for (let i = Math.min(count, MPLS_LABELS_MAX - 1); i >= 1; i--) setLse(flow, i, lse(flow, i - 1));
    setLse(flow, 0, (lse(flow, 1) & ~BOS) >>> 0);
  } else {
    setLse(flow, 0, firstLabel(flow, wc));
    if (!keepInner) clearInner(flow);
  }
  flow.set16(O_DL_TYPE, ethertype);
}

/** The explicit null label, with traffic class and TTL from the IP header if there is one. */
function firstLabel(flow: Flow, wc: Flow | null): number {
  const type = flow.get16(O_DL_TYPE);
  const label = type === ETH_IPV6 ? 2 : 0;
  let tc = 0;
  let ttl = 64;
  if (isIpType(type)) {
    tc = flow.get8(O_NW_TOS) >> 2;
    if (wc !== null) {
      wc.bytes[O_NW_TOS]! |= 0xfc;
      wc.set8(O_NW_TTL, 0xff);
    }
    if (flow.get8(O_NW_TTL) !== 0) ttl = flow.get8(O_NW_TTL);
  }
  return ((label << 12) | ((tc & 7) << 9) | BOS | ttl) >>> 0;
}

/** Layers 3 and 4 of the key become zero: behind a label they are not known. */
export function clearInner(flow: Flow): void {
  flow.bytes.fill(0, O_NW_SRC, O_NW_SRC + BLOCK_SIZE);
  flow.set8(O_NW_PROTO, 0);
  flow.set8(O_NW_FRAG, 0);
  flow.bytes.fill(0, O_CT_NW_SRC, O_CT_NW_SRC + 8);
  flow.bytes.fill(0, O_CT_TP_SRC, O_CT_TP_SRC + 4);
  flow.bytes.fill(0, B_IPV6_SRC * BLOCK_SIZE, (B_ADDR + 1) * BLOCK_SIZE);
  flow.bytes.fill(0, (B_ADDR + 1) * BLOCK_SIZE, (B_CT_IPV6_DST + 1) * BLOCK_SIZE);
  flow.bytes.fill(0, B_EXTRA * BLOCK_SIZE, (B_NSH + 1) * BLOCK_SIZE);
  flow.set32(O_DP_HASH, 0);
}

/** Pops the outermost of `count` labels. False when it cannot be done. */
export function popLabel(flow: Flow, count: number, ethertype: number, wc: Flow | null): boolean {
  if (count === 0) return false;
  if (count === MPLS_LABELS_MAX) {
    if (wc !== null) wc.bytes[O_MPLS_LSE0 + 4 * (count - 1) + 2]! |= 1;
    if ((lse(flow, count - 1) & BOS) === 0) return false;
  }
  if (wc !== null) wc.setExact(O_MPLS_LSE0 + 4, 4 * (count - 1));
  for (let i = 1; i < count; i++) setLse(flow, i - 1, lse(flow, i));
  setLse(flow, count - 1, 0);
  flow.set16(O_DL_TYPE, ethertype);
  return true;
}
