// From what the actions made of the flow to datapath actions: the difference between the flow as it stands (`flow`) and
// as the frame stands in the datapath (`base`), written as set, push and pop, in OVS's order. Afterwards base equals flow.
//
// A `set` carries the bits of the mask `wc` for each field that changed: those the pipeline looked at or wrote, no others.
import type { DatapathAction, SetHeader } from "../datapath/action.ts";
import type { Flow } from "../flow/flow.ts";
import {
  KEY_SIZE,
  O_ARP_SHA,
  O_ARP_THA,
  O_DL_DST,
  O_DL_SRC,
  O_DL_TYPE,
  O_IGMP_GROUP,
  O_IPV6_DST,
  O_IPV6_LABEL,
  O_IPV6_SRC,
  O_MPLS_LSE0,
  O_ND_TARGET,
  O_NSH_CONTEXT,
  O_NSH_FLAGS,
  O_NSH_MDTYPE,
  O_NSH_PATH_HDR,
  O_NW_DST,
  O_NW_PROTO,
  O_NW_SRC,
  O_NW_TOS,
  O_NW_TTL,
  O_PACKET_TYPE,
  O_PKT_MARK,
  O_SKB_PRIORITY,
  O_TCP_FLAGS,
  O_TP_DST,
  O_TP_SRC,
  O_VLAN0,
  O_VLAN1,
} from "../flow/layout.ts";
import { commitHeaders, type PendingHeaders, PT_ETH } from "./encap.ts";
import { BOS, commonLabels, countLabels, lse, MPLS_LABELS_MAX, popLabel, pushLabel, setLse } from "./mpls.ts";
import { countTags } from "./vlan.ts";
import {
  ETH_ARP,
  ETH_IP,
  ETH_IPV6,
  ETH_MPLS,
  ETH_NSH,
  isIpType,
  isMplsType,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from "./wildcards.ts";

/** A header's writable fields: offset and length, in pairs. */
type Fields = readonly number[];
const ETH: Fields = [O_DL_SRC, 6, O_DL_DST, 6];
const IPV4: Fields = [O_NW_SRC, 4, O_NW_DST, 4, O_NW_TOS, 1, O_NW_TTL, 1];
const IPV6: Fields = [O_IPV6_SRC, 16, O_IPV6_DST, 16, O_IPV6_LABEL, 4, O_NW_TOS, 1, O_NW_TTL, 1];
const ARP: Fields = [O_NW_SRC, 4, O_NW_DST, 4, O_NW_PROTO, 1, O_ARP_SHA, 6, O_ARP_THA, 6];
const ND: Fields = [O_ND_TARGET, 16, O_ARP_SHA, 6, O_ARP_THA, 6];
const ND_EXT: Fields = [O_IGMP_GROUP, 4, O_TCP_FLAGS, 2];
const PORTS: Fields = [O_TP_SRC, 2, O_TP_DST, 2];
/** nsh_mdtype and nsh_np cannot be written. */
const NSH: Fields = [O_NSH_FLAGS, 2, O_NSH_PATH_HDR, 4, O_NSH_CONTEXT, 16];
const NO_FIELDS: Fields = [];
const PRIORITY: Fields = [O_SKB_PRIORITY, 4];
const MARK: Fields = [O_PKT_MARK, 4];

/**
 * Appends to `out` what makes the frame like `flow`. Returns true when OVS could not do it in its datapath (ARP, ICMP
 * and ND fields): such a frame takes OVS's slow path, which the trace says; ours does it all the same.
 */
export function commitActions(
  flow: Flow,
  base: Flow,
  wc: Flow,
  pending: PendingHeaders,
  out: DatapathAction[],
): boolean {
  let slow = false;
  if (commitHeaders(flow, base, wc, pending, out)) {
    commitMpls(flow, base, wc, out, pending.pendingEncap);
    base.set32(O_PACKET_TYPE, flow.get32(O_PACKET_TYPE));
  }
  if (flow.get32(O_PACKET_TYPE) === PT_ETH && base.get32(O_PACKET_TYPE) === PT_ETH) {
    commitSet("eth", ETH, flow, base, wc, out, true);
  }
  const toPlain = isMplsType(base.get16(O_DL_TYPE)) && !isMplsType(flow.get16(O_DL_TYPE));
  if (toPlain) commitMpls(flow, base, wc, out, false);
  if (flow.get16(O_DL_TYPE) === ETH_NSH) commitNsh(flow, base, wc, out);

  slow = commitNetwork(flow, base, wc, out, pending.wasMpls) || slow;
  const proto = flow.get8(O_NW_PROTO);
  if (isIpType(base.get16(O_DL_TYPE))) {
    if (proto === PROTO_TCP) commitSet("tcp", PORTS, flow, base, wc, out, true);
    else if (proto === PROTO_UDP) commitSet("udp", PORTS, flow, base, wc, out, true);
    else if (proto === PROTO_SCTP) commitSet("sctp", PORTS, flow, base, wc, out, true);
  }
  const type = flow.get16(O_DL_TYPE);
  if (type === ETH_IP && proto === PROTO_ICMP) {
    slow = commitSet("icmp", PORTS, flow, base, wc, out, false) || slow;
  } else if (type === ETH_IPV6 && proto === PROTO_ICMPV6) {
    slow = commitSet("icmpv6", PORTS, flow, base, wc, out, false) || slow;
  }
  if (!toPlain) commitMpls(flow, base, wc, out, false);
  commitVlan(flow, base, wc, out, pending.poppedTag);
  commitSet("skb_priority", PRIORITY, flow, base, wc, out, true);
  commitSet("skb_mark", MARK, flow, base, wc, out, true);
  return slow;
}

/**
 * IP, ARP and ND headers. As in OVS, an IP frame of protocol 0 and an ARP frame of opcode 0 keep the header as it came;
 * since that makes the protocol matter, it is un-wildcarded (OVS 3.1 forgets to in places).
 */
function commitNetwork(flow: Flow, base: Flow, wc: Flow, out: DatapathAction[], wasMpls: boolean): boolean {
  const type = base.get16(O_DL_TYPE);
  const fields = type === ETH_IP ? IPV4 : type === ETH_IPV6 ? IPV6 : type === ETH_ARP ? ARP : NO_FIELDS;
  // (Of what push_mpls cleared nothing was looked at, and nothing is written.)
  const changed = anyLookedAtDiffers(fields, flow, base, wc);
  if (flow.get8(O_NW_PROTO) === 0) {
    // push_mpls clears the protocol of every frame: it decides nothing then. (An opcode may be written in part.)
    const cleared = wasMpls || flow.get16(O_DL_TYPE) !== type;
    if (changed && !cleared && (type === ETH_ARP || base.get8(O_NW_PROTO) === 0)) wc.set8(O_NW_PROTO, 0xff);
    return false;
  }
  if (changed) wc.set8(O_NW_PROTO, 0xff);
  if (changed) {
    commitSet(
      type === ETH_IP ? "ipv4" : type === ETH_IPV6 ? "ipv6" : "arp",
      fields,
      flow,
      base,
      wc,
      out,
      true,
    );
  }
  let slow = changed && type === ETH_ARP;
  if (type === ETH_IPV6 && base.get8(O_NW_PROTO) === PROTO_ICMPV6) {
    if (commitSet("nd_ext", ND_EXT, flow, base, wc, out, true)) {
      slow = true;
      wc.bytes[O_TCP_FLAGS] = 0; // the option's type has eight bits
    }
    slow = commitSet("nd", ND, flow, base, wc, out, true) || slow;
  }
  return slow;
}

/** All that was looked at is set, changed or not, as OVS does. */
function commitNsh(flow: Flow, base: Flow, wc: Flow, out: DatapathAction[]): void {
  if (!anyDiffers(NSH, flow, base)) return;
  const mask = new Uint8Array(KEY_SIZE);
  const value = new Uint8Array(KEY_SIZE);
  for (let i = 0; i < NSH.length; i += 2) {
    const end = NSH[i]! + NSH[i + 1]!;
    for (let at = NSH[i]!; at < end; at++) {
      mask[at] = wc.bytes[at]!;
      value[at] = flow.bytes[at]! & wc.bytes[at]!;
      base.bytes[at] = flow.bytes[at]!;
    }
  }
  value[O_NSH_MDTYPE] = flow.get8(O_NSH_MDTYPE); // says whether there is a context
  out.push({ type: "set", header: "nsh", value, mask });
}

function anyDiffers(fields: Fields, flow: Flow, base: Flow): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    if (differs(flow.bytes, base.bytes, fields[i]!, fields[i + 1]!)) return true;
  }
  return false;
}

/** Whether the fields differ in bits of `wc`, as all that were written do. */
function anyLookedAtDiffers(fields: Fields, flow: Flow, base: Flow, wc: Flow): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    const end = fields[i]! + fields[i + 1]!;
    for (let at = fields[i]!; at < end; at++)
      if (((flow.bytes[at]! ^ base.bytes[at]!) & wc.bytes[at]!) !== 0) return true;
  }
  return false;
}

function differs(a: Uint8Array, b: Uint8Array, offset: number, length: number): boolean {
  for (let i = offset; i < offset + length; i++) if (a[i] !== b[i]) return true;
  return false;
}

/** One header. When `masked` is false the datapath sets the header whole, so all of it is looked at. */
function commitSet(
  header: SetHeader,
  fields: Fields,
  flow: Flow,
  base: Flow,
  wc: Flow,
  out: DatapathAction[],
  masked: boolean,
): boolean {
  if (!anyDiffers(fields, flow, base)) return false;
  const mask = new Uint8Array(KEY_SIZE);
  for (let i = 0; i < fields.length; i += 2) {
    const offset = fields[i]!;
    const end = offset + fields[i + 1]!;
    if (!masked) {
      mask.fill(0xff, offset, end);
      wc.bytes.fill(0xff, offset, end);
    } else if (differs(flow.bytes, base.bytes, offset, end - offset)) {
      mask.set(wc.bytes.subarray(offset, end), offset);
    }
    base.bytes.set(flow.bytes.subarray(offset, end), offset);
  }
  const value = new Uint8Array(KEY_SIZE);
  for (let i = 0; i < fields.length; i += 2) {
    const end = fields[i]! + fields[i + 1]!;
    for (let at = fields[i]!; at < end; at++) value[at] = flow.bytes[at]! & mask[at]!;
  }
  out.push({ type: "set", header, value, mask });
  return true;
}

/** With `popped` the tags that both have may be others of the same value, so what they hold decides (OVS 3.1 forgets this). */
function commitVlan(flow: Flow, base: Flow, wc: Flow, out: DatapathAction[], popped: boolean): void {
  let baseTag = countTags(base) - 1;
  let flowTag = countTags(flow) - 1;
  while (
    baseTag >= 0 &&
    flowTag >= 0 &&
    base.get32(O_VLAN0 + 4 * baseTag) === flow.get32(O_VLAN0 + 4 * flowTag)
  ) {
    if (popped) wc.setExact(O_VLAN0 + 4 * baseTag, 4);
    baseTag--;
    flowTag--;
  }
  for (; baseTag >= 0; baseTag--) {
    out.push({ type: "pop_vlan" });
    wc.setExact(O_VLAN0 + 4 * baseTag, 4);
  }
  for (; flowTag >= 0; flowTag--) {
    const at = O_VLAN0 + 4 * flowTag;
    out.push({ type: "push_vlan", tpid: flow.get16(at), tci: flow.get16(at + 2) });
  }
  base.words[O_VLAN0 >> 2] = flow.words[O_VLAN0 >> 2]!;
  base.words[O_VLAN1 >> 2] = flow.words[O_VLAN1 >> 2]!;
}

/**
 * Notes that the outer entry was read whole, and of the others what their count depends on: the bottom-of-stack bit where it
 * is set, else all (an entry of zeros does not count). OVS 3.1 forgets this: its megaflow is too wide.
 */
function lookAtStack(flow: Flow, wc: Flow): void {
  wc.setExact(O_MPLS_LSE0, 4);
  for (let i = 0; i < MPLS_LABELS_MAX; i++) {
    if ((lse(flow, i) & BOS) !== 0) {
      wc.bytes[O_MPLS_LSE0 + 4 * i + 2]! |= 1;
      return;
    }
    wc.setExact(O_MPLS_LSE0 + 4 * i, 4);
  }
}

/** The label stack. With `encap` labels go before the whole frame. What it takes depends on how many entries there are, and a set writes a whole one: lookAtStack(). */
function commitMpls(flow: Flow, base: Flow, wc: Flow, out: DatapathAction[], encap: boolean): void {
  let baseCount = countLabels(base, null);
  const flowCount = countLabels(flow, null);
  if (baseCount === 0 && flowCount === 0) return;
  let common = commonLabels(flow, flowCount, base, baseCount);
  // (What a pop takes was noted when the action was translated.)
  if (!encap && flowCount > common && isMplsType(base.get16(O_DL_TYPE))) lookAtStack(base, wc);
  const type = flow.get16(O_DL_TYPE);

  while (baseCount > common) {
    if (baseCount - 1 === common && flowCount > common) {
      // One label too many and one too few: the outermost is rewritten.
      setLse(base, 0, lse(flow, flowCount - baseCount));
      const mask = new Uint8Array(KEY_SIZE).fill(0xff, O_MPLS_LSE0, O_MPLS_LSE0 + 4);
      // Of the label alone: a megaflow is the same as long as its actions are.
      const value = new Uint8Array(KEY_SIZE);
      value.set(base.bytes.subarray(O_MPLS_LSE0, O_MPLS_LSE0 + 4), O_MPLS_LSE0);
      out.push({ type: "set", header: "mpls", value, mask });
      common++;
    } else {
      out.push({ type: "pop_mpls", ethertype: !isMplsType(type) && baseCount > 1 ? ETH_MPLS : type });
      popLabel(base, baseCount, type, null);
      baseCount--;
    }
  }
  while (baseCount < flowCount) {
    const value = lse(flow, flowCount - baseCount - 1);
    out.push({ type: encap ? "add_mpls" : "push_mpls", lse: value, ethertype: type });
    pushLabel(base, baseCount, type, null, true);
    setLse(base, 0, value);
    baseCount++;
  }
}
