// VLANs of ports under NORMAL (ovs-vswitchd.conf.db(5), VLAN Configuration): which VLAN a frame belongs to by the port it
// came in on and its tags, which ports carry a VLAN, and which tags a frame leaves with.
import type { Flow } from "../flow/flow.ts";
import { O_VLAN0, O_VLAN0_TCI, O_VLAN1, O_VLAN1_TCI, VLAN_CFI } from "../flow/layout.ts";
import type { Context } from "./context.ts";
import type { Port } from "./port-table.ts";
import { ETH_VLAN, isVlanType } from "./wildcards.ts";

const VID = 0x0fff;
const PCP = 0xe000;

/** A frame's tags, outermost first: TPID << 16 | priority << 13 | VLAN, 0 for none. */
export interface Tags {
  readonly outer: number;
  readonly inner: number;
}

export const vlanOf = (tags: Tags): number => tags.outer & VID;

/** The same frame in another VLAN. */
export const withVlan = (tags: Tags, vid: number): Tags => ({
  outer: ((tags.outer & ~VID) | vid) >>> 0,
  inner: tags.inner,
});

const tag = (tpid: number, pcp: number, vid: number): number => ((tpid << 16) | pcp | vid) >>> 0;
const tpidOr8021q = (outer: number): number => (outer >>> 16 === 0 ? ETH_VLAN : outer >>> 16);

/** The tags of the frame as it stands. */
export function tagsOf(flow: Flow): Tags {
  const outer = tagAt(flow, O_VLAN0);
  return { outer, inner: outer === 0 ? 0 : tagAt(flow, O_VLAN1) };
}

function tagAt(flow: Flow, offset: number): number {
  const word = flow.get32(offset);
  return (word & VLAN_CFI) !== 0 && isVlanType(word >>> 16) ? (word & ~VLAN_CFI) >>> 0 : 0;
}

/** Whether a frame of VLAN `vid` (of its outer tag) may come in on the port; says why not. */
export function admitsVlan(ctx: Context, port: Port, vid: number): boolean {
  switch (port.vlanMode) {
    case "access":
      if (vid === 0) return true;
      ctx.report(
        "error",
        `dropping VLAN ${vid} tagged packet received on port ${port.name} configured as VLAN ${port.tag} access port`,
      );
      return false;
    case "dot1q-tunnel":
      if (port.cvlans === null || port.cvlans.has(vid)) return true;
      ctx.report(
        "error",
        `dropping VLAN ${vid} packet received on dot1q-tunnel port ${port.name} that excludes this VLAN`,
      );
      return false;
    default:
      if (port.vlanMode !== "trunk" && vid === 0) return true;
      if (trunksVlan(port, vid)) return true;
      ctx.report(
        "error",
        `dropping VLAN ${vid} packet received on port ${port.name} not configured for trunking VLAN ${vid}`,
      );
      return false;
  }
}

/** From the tags on the wire to those inside the switch, where the outer one is the VLAN that the frame belongs to. */
export function enterVlan(port: Port, tags: Tags): Tags {
  const { outer, inner } = tags;
  switch (port.vlanMode) {
    case "trunk":
      return tags;
    case "access":
      return { outer: tag(tpidOr8021q(outer), outer & PCP, port.tag), inner: 0 };
    case "dot1q-tunnel":
      return { outer: tag(port.qinqEthtype, 0, port.tag), inner: outer };
    default:
      if ((outer & VID) !== 0) return tags;
      return { outer: tag(tpidOr8021q(outer), outer & PCP, port.tag), inner };
  }
}

/** Whether frames of the VLAN go out on the port. */
export function carriesVlan(port: Port, tags: Tags): boolean {
  const vid = tags.outer & VID;
  switch (port.vlanMode) {
    case "access":
      return vid === port.tag && (tags.inner & VID) === 0;
    case "dot1q-tunnel":
      return vid === port.tag && (port.cvlans === null || port.cvlans.has(tags.inner & VID));
    default:
      return trunksVlan(port, vid);
  }
}

/** A native VLAN is always carried, and then VLAN 0 never is. */
function trunksVlan(port: Port, vid: number): boolean {
  if (port.vlanMode !== "trunk" && port.tag !== 0) {
    if (vid === 0) return false;
    if (vid === port.tag) return true;
  }
  return port.trunks === null || port.trunks.has(vid);
}

/** The tags that a frame leaves with. Their priority is the frame's own where the port keeps priority tags. */
export function leaveVlan(ctx: Context, port: Port, tags: Tags): Tags {
  const { flow, wc } = ctx;
  // The customer's VLAN decided whether the frame goes out here.
  if (port.vlanMode === "dot1q-tunnel" && port.cvlans !== null) wc.set16(O_VLAN1_TCI, 0xffff);
  const out = stripTags(port, tags);
  if (port.priorityTags === "never") return out;
  wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | PCP);
  return { outer: tag(out.outer >>> 16, flow.get16(O_VLAN0_TCI) & PCP, out.outer & VID), inner: out.inner };
}

/** Gives the frame these tags, as the port wants them. */
export function putTags(flow: Flow, port: Port, tags: Tags): void {
  const always = port.priorityTags === "always";
  putTag(flow, O_VLAN0, tags.outer, always);
  putTag(flow, O_VLAN1, tags.inner, always);
}

/** From the tags inside the switch to those on the wire. */
function stripTags(port: Port, tags: Tags): Tags {
  switch (port.vlanMode) {
    case "access":
      return { outer: 0, inner: 0 };
    case "dot1q-tunnel":
      return { outer: tags.inner, inner: 0 };
    case "native-untagged":
      return (tags.outer & VID) === port.tag ? { outer: tags.inner, inner: 0 } : tags;
    default:
      return tags;
  }
}

/** A tag of VLAN 0 without a priority is no tag, unless `always`. */
function putTag(flow: Flow, offset: number, value: number, always: boolean): void {
  const tci = value & (VID | PCP);
  if (tci === 0 && !(always && value !== 0)) {
    flow.set16(offset + 2, 0); // the TPID stays, as nothing reads it
    return;
  }
  flow.set16(offset, tpidOr8021q(value));
  flow.set16(offset + 2, tci | VLAN_CFI);
}
