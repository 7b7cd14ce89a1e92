// What a switch makes of a match: fields that the matched packet type cannot have are dropped, and prerequisites that
// cannot be dropped are refused (ovs-ofctl(8), "Flow Syntax": fields without their prerequisites are ignored).
import { MegaflowError } from "../lib/errors.ts";
import type { Flow } from "./flow.ts";
import * as L from "./layout.ts";

const ICMPV6_SOLICIT = 135;
const ICMPV6_ADVERT = 136;

/**
 * Drops from a match what its prerequisites do not allow; true when anything was dropped. Throws ETEXT with the OpenFlow
 * error that the switch would send for what it refuses first: OFPBMC_BAD_PREREQ, OFPBAC_MATCH_INCONSISTENT, or `refusal`,
 * what it has against a tunnel option.
 */
export function normalizeMatch(match: { flow: Flow; mask: Flow }, refusal: string | null = null): boolean {
  const { flow, mask } = match;
  const packetType = flow.get32(L.O_PACKET_TYPE);
  const isEthernet = packetType === 0;
  let dlType = flow.get16(L.O_DL_TYPE);
  if (!isEthernet) dlType = packetType >>> 16 === 1 ? packetType & 0xffff : 0;
  const isIpv4 = dlType === 0x0800;
  const isIpv6 = dlType === 0x86dd;
  const isIp = isIpv4 || isIpv6;
  const isArp = dlType === 0x0806 || dlType === 0x8035;
  const isMpls = dlType === 0x8847 || dlType === 0x8848;
  const proto = flow.get8(L.O_NW_PROTO);
  const hasPorts = isIp && (proto === 6 || proto === 17 || proto === 132);
  const isIcmpv4 = isIpv4 && proto === 1;
  const isIcmpv6 = isIpv6 && proto === 58;
  const type = flow.get16(L.O_TP_SRC);
  const isNd = isIcmpv6 && flow.get16(L.O_TP_DST) === 0;
  const isSolicit = isNd && type === ICMPV6_SOLICIT;
  const isAdvert = isNd && type === ICMPV6_ADVERT;

  let dropped = false;
  const drop = (allowed: boolean, at: number, size: number): void => {
    if (allowed) return;
    for (let i = at; i < at + size; i++) {
      if (mask.bytes[i] === 0) continue;
      mask.bytes[i] = flow.bytes[i] = 0;
      dropped = true;
    }
  };
  drop(isIpv4 || isArp, L.O_NW_SRC, 8);
  drop(isIp || isArp, L.O_NW_PROTO, 1);
  drop(isIp, L.O_NW_FRAG, 1);
  drop(isIp, L.O_NW_TOS, 2);
  drop(hasPorts || isIcmpv4 || isIcmpv6, L.O_TP_SRC, 4);
  drop((isIp && proto === 6) || isSolicit || isAdvert, L.O_TCP_FLAGS, 2);
  drop(isSolicit || isAdvert, L.O_IGMP_GROUP, 4);
  drop(isSolicit || isAdvert, L.O_ND_TARGET, 16);
  drop(isArp || isSolicit, L.O_ARP_SHA, 6);
  drop(isArp || isAdvert, L.O_ARP_THA, 6);
  drop(isIpv6, L.O_IPV6_SRC, 32);
  const isLabelled = isIpv4 && mask.get32(L.O_IPV6_LABEL) !== 0;
  drop(isIpv6, L.O_IPV6_LABEL, 4);
  drop(isMpls, L.O_MPLS_LSE0, 12);
  const ctProto = flow.get8(L.O_CT_NW_PROTO) !== 0;
  drop(ctProto, L.O_CT_NW_PROTO, 1);
  drop(ctProto, L.O_CT_TP_SRC, 4);
  if (isIcmpv4 || isIcmpv6) {
    narrow(flow, mask, L.O_TP_SRC);
    narrow(flow, mask, L.O_TP_DST);
    if (isNd) narrow(flow, mask, L.O_TCP_FLAGS);
  }
  // Zeros of ERSPAN and GTP-U do not reach the switch.
  drop(flow.get8(L.O_TUN_ERSPAN_VER) !== 0, L.O_TUN_ERSPAN_VER, 1);
  drop(flow.get8(L.O_TUN_ERSPAN_DIR) !== 0, L.O_TUN_ERSPAN_DIR, 1);
  drop(flow.get8(L.O_TUN_ERSPAN_HWID) !== 0, L.O_TUN_ERSPAN_HWID, 1);
  drop(flow.get8(L.O_TUN_GTPU_FLAGS) !== 0, L.O_TUN_GTPU_FLAGS, 1);
  drop(flow.get8(L.O_TUN_GTPU_MSGTYPE) !== 0, L.O_TUN_GTPU_MSGTYPE, 1);

  // Neither OXM nor NXM can carry these.
  if (mask.get16(L.O_TUN_TOS) !== 0 || mask.get32(L.O_SKB_PRIORITY) !== 0) {
    throw new MegaflowError("ETEXT", "actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)");
  }
  // The rest in the order in which the switch reads the fields: Ethernet, IP, tunnel options, NSH, connection tracking.
  if (!isEthernet && hasEthernet(mask)) throw new MegaflowError("ETEXT", "OFPBMC_BAD_PREREQ");
  if (isLabelled) throw new MegaflowError("ETEXT", "OFPBMC_BAD_PREREQ");
  // Ports are in the first fragment alone, and the original direction's addresses exist for a tracked connection alone.
  if (isIp && flow.get8(L.O_NW_FRAG) & L.FRAG_LATER && proto !== 1 && proto !== 58) {
    const needsHeader = mask.get32(L.O_TP_SRC) !== 0 || mask.get16(L.O_TCP_FLAGS) !== 0;
    if (needsHeader) throw new MegaflowError("ETEXT", "OFPBMC_BAD_PREREQ");
  }
  if (refusal !== null) throw new MegaflowError("ETEXT", refusal);
  refuseNsh(flow, mask, dlType === 0x894f);
  checkCt(flow, mask, isIpv4, isIpv6);
  return dropped;
}

/** ICMP types and codes, and nd_options_type, are 8 bits wide and matched exactly. */
function narrow(flow: Flow, mask: Flow, at: number): void {
  if (mask.get16(at) === 0) return;
  mask.set16(at, 0xffff);
  flow.set8(at, 0);
}

/** Whether a match looks at an Ethernet header. */
function hasEthernet(mask: Flow): boolean {
  for (let i = L.O_DL_DST; i < L.O_DL_DST + 12; i++) if (mask.bytes[i] !== 0) return true;
  return mask.get16(L.O_DL_TYPE) !== 0 || mask.get16(L.O_VLAN0_TCI) !== 0;
}

/** NSH's fields are not dropped, and some values are none. */
function refuseNsh(flow: Flow, mask: Flow, isNsh: boolean): void {
  const mdType = flow.get8(L.O_NSH_MDTYPE);
  const isMdType = mask.get8(L.O_NSH_MDTYPE) === 0 || mdType === 1 || mdType === 2;
  if (!isMdType || flow.get8(L.O_NSH_TTL) > 63) throw new MegaflowError("ETEXT", "OFPBMC_BAD_VALUE");
  for (let i = L.O_NSH_FLAGS; i < L.O_NSH_FLAGS + 28; i++) {
    if (mask.bytes[i] !== 0 && !isNsh) throw new MegaflowError("ETEXT", "OFPBMC_BAD_PREREQ");
  }
}

function checkCt(flow: Flow, mask: Flow, isIpv4: boolean, isIpv6: boolean): void {
  const v4 = mask.get32(L.O_CT_NW_SRC) !== 0 || mask.get32(L.O_CT_NW_DST) !== 0;
  let v6 = false;
  for (let i = L.O_CT_IPV6_SRC >> 2; i < (L.O_CT_IPV6_DST + 16) >> 2; i++) v6 ||= mask.words[i] !== 0;
  if (!v4 && !v6 && mask.get8(L.O_CT_NW_PROTO) === 0) return;
  // In some state of a valid connection, or tracked and known not to be invalid.
  const set = flow.get8(L.O_CT_STATE);
  const clear = mask.get8(L.O_CT_STATE) & ~set;
  const valid =
    (set & ~(L.CS_TRACKED | L.CS_INVALID)) !== 0 ||
    ((set & L.CS_TRACKED) !== 0 && (clear & L.CS_INVALID) !== 0);
  if (!valid) throw new MegaflowError("ETEXT", "OFPBMC_BAD_PREREQ");
  if ((v4 && !isIpv4) || (v6 && !isIpv6)) throw new MegaflowError("ETEXT", "OFPBAC_MATCH_INCONSISTENT");
}
