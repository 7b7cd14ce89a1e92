// A match on the outer VLAN tag as OpenFlow 1.2 and later carry it (OXM): the VLAN ID with the bit that says there is a tag,
// under any mask, and the priority, whole or not at all.
import type { Flow, Match } from "./flow.ts";
import * as L from "./layout.ts";

const VID_CFI = 0x1fff;
const PCP = 0xe000;

/** What a switch answers: the priority can be matched in packets alone that are known to have a tag. Null for nothing. */
export function refusalOfTag(match: Match): string | null {
  const vid = match.flow.get16(L.O_VLAN0_TCI) & VID_CFI;
  const isPcpMatched = (match.mask.get16(L.O_VLAN0_TCI) & PCP) !== 0;
  return isPcpMatched && vid !== 0 && (vid & L.VLAN_CFI) === 0 ? "OFPBMC_BAD_PREREQ" : null;
}

/** Makes of a tag's priority what arrives: all of it, or, when nothing else is known of the tag, none. */
export function completeTag(match: { flow: Flow; mask: Flow }): void {
  const mask = match.mask.get16(L.O_VLAN0_TCI);
  if ((mask & PCP) === 0) return;
  const tci = match.flow.get16(L.O_VLAN0_TCI);
  const isKnown = (tci & VID_CFI) !== 0;
  match.mask.set16(L.O_VLAN0_TCI, isKnown ? mask | PCP : mask & VID_CFI);
  if (!isKnown) match.flow.set16(L.O_VLAN0_TCI, 0);
}
