// VLAN tags in a flow key: counting, pushing, popping, setting.
import type { Flow } from "../flow/flow.ts";
import { O_VLAN0, O_VLAN0_TCI, O_VLAN1, O_VLAN1_TCI, VLAN_CFI } from "../flow/layout.ts";
import { ETH_VLAN } from "./wildcards.ts";

/** How many tags the frame has, at most two. */
export function countTags(flow: Flow): number {
  if ((flow.get16(O_VLAN0_TCI) & VLAN_CFI) === 0) return 0;
  return (flow.get16(O_VLAN1_TCI) & VLAN_CFI) === 0 ? 1 : 2;
}

/** Takes the outer tag off; returns how many there were. */
export function popTag(flow: Flow, wc: Flow): number {
  const count = countTags(flow);
  if (count > 1) {
    wc.words[O_VLAN1 >> 2] = 0xffffffff;
    flow.words[O_VLAN0 >> 2] = flow.words[O_VLAN1 >> 2]!;
  }
  if (count > 0) flow.words[(count === 2 ? O_VLAN1 : O_VLAN0) >> 2] = 0;
  return count;
}

/** Pushes an empty tag of the given TPID. */
export function pushTag(flow: Flow, wc: Flow, tpid: number): void {
  const count = countTags(flow);
  if (count > 0) wc.words[O_VLAN0 >> 2] = 0xffffffff;
  if (count > 1) wc.words[O_VLAN1 >> 2] = 0xffffffff;
  flow.words[O_VLAN1 >> 2] = flow.words[O_VLAN0 >> 2]!;
  flow.set16(O_VLAN0, tpid);
  flow.set16(O_VLAN0_TCI, VLAN_CFI);
}

/** After the TCI was written as a field: a tag without a TPID gets 802.1Q's, no tag has none. */
export function fixTpid(flow: Flow): void {
  if (flow.get16(O_VLAN0_TCI) === 0) flow.set16(O_VLAN0, 0);
  else if (flow.get16(O_VLAN0) === 0) flow.set16(O_VLAN0, ETH_VLAN);
}

/** Changes `mask` bits of the TCI. When there is no tag one is made if `push` says so. */
export function setTci(flow: Flow, wc: Flow, mask: number, value: number, push: boolean): void {
  wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | mask | VLAN_CFI);
  if (!push && (flow.get16(O_VLAN0_TCI) & VLAN_CFI) === 0) return;
  if (flow.get16(O_VLAN0) === 0) flow.set16(O_VLAN0, ETH_VLAN);
  flow.set16(O_VLAN0_TCI, (flow.get16(O_VLAN0_TCI) & ~mask) | (value & mask) | VLAN_CFI);
}
