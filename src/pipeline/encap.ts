// encap, decap and dec_nsh_ttl (ovs-actions(7), "Encapsulation Actions"): the flow gets or loses its outermost header. The
// datapath actions follow at the next commit, as header fields may be set in between; commitHeaders() makes them.
//
// A packet type is 0 for Ethernet, else namespace << 16 | type; namespace 1 is that of EtherTypes.
import type { DatapathAction } from "../datapath/action.ts";
import type { Flow } from "../flow/flow.ts";
import {
  O_CT_NW_SRC,
  O_CT_STATE,
  O_CT_TP_SRC,
  O_DL_DST,
  O_DL_SRC,
  O_DL_TYPE,
  O_IPV6_SRC,
  O_MPLS_LSE0,
  O_NSH_CONTEXT,
  O_NSH_FLAGS,
  O_NSH_MDTYPE,
  O_NSH_NP,
  O_NSH_PATH_HDR,
  O_NSH_TTL,
  O_PACKET_TYPE,
  O_PKT_MARK,
  O_TUN_ID,
  O_VLAN0,
  O_VLAN0_TCI,
  VLAN_CFI,
} from "../flow/layout.ts";
import type { Action } from "./action.ts";
import type * as S from "./compile.ts";
import { type Context, X_TOO_MANY_MPLS_LABELS, X_UNSUPPORTED_PACKET_TYPE } from "./context.ts";
import { BOS, clearInner, countLabels, MPLS_LABELS_MAX, popLabel, pushLabel, setLse } from "./mpls.ts";
import { NO_BYTES } from "./output.ts";
import { decrementByte } from "./ttl.ts";
import { ETH_IP, ETH_IPV6, ETH_MPLS, ETH_MPLS_MC, ETH_NSH, isMplsType } from "./wildcards.ts";

export const PT_ETH = 0;
const NS_ETHERTYPE = 0x10000;
/** Stands for an Ethernet frame behind a label. */
const ETH_TRANSPARENT = 0x6558;
const PT_IPV4 = NS_ETHERTYPE | ETH_IP;
const PT_IPV6 = NS_ETHERTYPE | ETH_IPV6;
const PT_MPLS = NS_ETHERTYPE | ETH_MPLS;
const PT_MPLS_MC = NS_ETHERTYPE | ETH_MPLS_MC;
const PT_NSH = NS_ETHERTYPE | ETH_NSH;
/** decap() without a type: what the header says. */
const PT_USE_NEXT_PROTO = 0xfffe;

const NSH_TTL = 63;
const NSH_SI = 255;
const NSH_MD_TYPE_1 = 1;
const NSH_MD_TYPE_2 = 2;
const NSH_BASE_SIZE = 8;
const NSH_CONTEXT_SIZE = 16;
/** Next protocol by packet type (RFC 8300, 11.2.5). */
const NSH_NEXT: ReadonlyMap<number, number> = new Map([
  [PT_IPV4, 1],
  [PT_IPV6, 2],
  [PT_ETH, 3],
  [PT_NSH, 4],
]);
const TYPE_OF_NEXT: ReadonlyMap<number, number> = new Map([...NSH_NEXT].map(([type, np]) => [np, type]));

/** The label of encap(mpls): explicit null, and nothing else of what it carries. */
const firstLabel = (dlType: number): number => ((dlType === ETH_IPV6 ? 2 : 0) << 12) | BOS | 64;

/** What a translation has done to the flow's outermost header since the last commit. */
export interface PendingHeaders {
  pendingEncap: boolean;
  pendingDecap: boolean;
  /** The variable context headers of an NSH to be pushed. */
  encapData: Uint8Array;
  /** The only tag was taken off: a tag that the frame has in its stead may be the same by chance. */
  poppedTag: boolean;
  /** The last label was taken off: what is behind it is not known until the frame is read again. */
  readonly wasMpls: boolean;
}

/** The parts of a key that describe the frame's headers. */
const HEADERS: readonly (readonly [from: number, to: number])[] = [
  [O_CT_TP_SRC, O_CT_TP_SRC + 4],
  [O_DL_DST, O_CT_STATE],
  [O_VLAN0, O_PKT_MARK],
  [O_MPLS_LSE0, O_PACKET_TYPE],
  [O_CT_NW_SRC, O_CT_NW_SRC + 8],
  [O_IPV6_SRC, O_TUN_ID],
];

function clearHeaders(flow: Flow): void {
  for (const [from, to] of HEADERS) flow.bytes.fill(0, from, to);
}

function copyHeaders(to: Flow, from: Flow): void {
  for (const [start, end] of HEADERS) to.bytes.set(from.bytes.subarray(start, end), start);
  to.set32(O_PACKET_TYPE, from.get32(O_PACKET_TYPE));
}

/** `(1,0x894f)` */
const typeText = (type: number): string => {
  const id = type & 0xffff;
  return `(${type >>> 16},${id === 0 ? "0" : `0x${id.toString(16)}`})`;
};

function unsupported(ctx: Context, text: string): void {
  ctx.report("action", text);
  ctx.error = X_UNSUPPORTED_PACKET_TYPE;
}

// --- encap ---------------------------------------------------------------------------------------------------------

export function translateEncap(ctx: Context, step: S.Step): void {
  const action = step.action as Extract<Action, { type: "encap" }>;
  ctx.commit();
  switch (action.header) {
    case "ethernet":
      encapEthernet(ctx);
      break;
    case "nsh":
      encapNsh(ctx, action.properties);
      break;
    case "mpls":
      encapMpls(ctx, ETH_MPLS);
      break;
    case "mpls_mc":
      encapMpls(ctx, ETH_MPLS_MC);
      break;
  }
  if (ctx.error === 0) {
    ctx.pendingEncap = true;
    ctx.dirty = true;
  }
}

function encapEthernet(ctx: Context): void {
  const { flow } = ctx;
  const type = flow.get32(O_PACKET_TYPE);
  if (type === PT_ETH) {
    unsupported(ctx, "Dropping packet as encap(ethernet) is not supported for packet type ethernet.");
    return;
  }
  flow.set32(O_PACKET_TYPE, PT_ETH);
  flow.bytes.fill(0, O_DL_DST, O_DL_SRC + 6);
  flow.set16(O_DL_TYPE, type & 0xffff);
}

function encapNsh(ctx: Context, properties: string): void {
  const { flow } = ctx;
  const type = flow.get32(O_PACKET_TYPE);
  const next = NSH_NEXT.get(type);
  if (next === undefined) {
    unsupported(ctx, `Dropping packet as encap(nsh) is not supported for packet type ${typeText(type)}`);
    return;
  }
  const mdType = properties.includes("md_type=2") ? NSH_MD_TYPE_2 : NSH_MD_TYPE_1;
  ctx.encapData = mdType === NSH_MD_TYPE_2 ? variableHeaders(properties) : NO_BYTES;
  clearHeaders(flow);
  flow.set32(O_PACKET_TYPE, PT_NSH);
  flow.set16(O_DL_TYPE, ETH_NSH);
  flow.set8(O_NSH_TTL, NSH_TTL);
  flow.set8(O_NSH_MDTYPE, mdType);
  flow.set8(O_NSH_NP, next);
  flow.set32(O_NSH_PATH_HDR, NSH_SI);
}

/** The context headers that `tlv(CLASS,TYPE,VALUE)` properties make: class 2 bytes, type 1, length 1, value padded to words. */
function variableHeaders(properties: string): Uint8Array {
  const parts: number[] = [];
  for (const [, cls, type, digits] of properties.matchAll(/tlv\((0x[0-9a-f]+),(\d+),0(?:x([0-9a-f]*))?\)/g)) {
    const value = Buffer.from(digits ?? "", "hex");
    parts.push(Number(cls) >> 8, Number(cls) & 0xff, Number(type), value.length, ...value);
    while (parts.length % 4 !== 0) parts.push(0);
  }
  return Uint8Array.from(parts);
}

function encapMpls(ctx: Context, ethertype: number): void {
  const { flow, base } = ctx;
  const type = flow.get32(O_PACKET_TYPE);
  if (type !== PT_MPLS && type !== PT_MPLS_MC) {
    // Labels behind an Ethernet header are part of what is carried. (OVS 3.1 ends with an assertion there.)
    for (const key of [flow, base]) {
      key.bytes.fill(0, O_MPLS_LSE0, O_PACKET_TYPE);
      if (isMplsType(key.get16(O_DL_TYPE))) key.set16(O_DL_TYPE, 0);
    }
    const label = firstLabel(flow.get16(O_DL_TYPE));
    clearInner(flow);
    setLse(flow, 0, label);
    flow.set16(O_DL_TYPE, ethertype);
  } else {
    const count = countLabels(flow, null);
    if (count >= MPLS_LABELS_MAX) {
      if (ctx.frame !== null) {
        ctx.report(
          "error",
          "dropping packet on which an encap MPLS action can't be performed as it would have more MPLS LSEs than the 3 supported.",
        );
      }
      ctx.error = X_TOO_MANY_MPLS_LABELS;
      return;
    }
    pushLabel(flow, count, ethertype, ctx.wc, false);
  }
  flow.set32(O_PACKET_TYPE, NS_ETHERTYPE | ethertype);
}

// --- decap ---------------------------------------------------------------------------------------------------------

/** Takes the outermost header off. What was behind it may have to be parsed: then the translation freezes. */
export function translateDecap(ctx: Context, step: S.Step): void {
  const action = step.action as Extract<Action, { type: "decap" }>;
  const { flow } = ctx;
  ctx.commit();
  const type = flow.get32(O_PACKET_TYPE);
  switch (type) {
    case PT_ETH:
      if ((flow.get16(O_VLAN0_TCI) & VLAN_CFI) !== 0) {
        unsupported(ctx, "Dropping packet, cannot decap Ethernet if VLAN is present.");
        return;
      }
      flow.set32(O_PACKET_TYPE, NS_ETHERTYPE | flow.get16(O_DL_TYPE));
      flow.bytes.fill(0, O_DL_DST, O_DL_SRC + 6);
      ctx.dirty = true;
      return;
    case PT_NSH:
      decapNsh(ctx);
      return;
    case PT_MPLS:
    case PT_MPLS_MC:
      decapMpls(ctx, action.packetType ?? PT_USE_NEXT_PROTO);
      return;
    default:
      unsupported(ctx, `Dropping packet as the decap() does not support packet type ${typeText(type)}`);
  }
}

function decapNsh(ctx: Context): void {
  const { flow, wc } = ctx;
  const next = flow.get8(O_NSH_NP);
  const type = TYPE_OF_NEXT.get(next);
  wc.set8(O_NSH_NP, 0xff);
  if (type === undefined) {
    unsupported(ctx, `Dropping packet as NSH next protocol ${next} is not supported`);
    return;
  }
  flow.set32(O_PACKET_TYPE, type);
  ctx.pendingDecap = true;
  ctx.dirty = true;
  ctx.triggerFreeze();
}

function decapMpls(ctx: Context, type: number): void {
  const { flow, wc } = ctx;
  const count = countLabels(flow, wc);
  const ethertype = type === PT_ETH ? ETH_TRANSPARENT : type & 0xffff;
  flow.set32(O_PACKET_TYPE, type);
  popLabel(flow, count, ethertype, wc);
  ctx.pendingDecap = true;
  ctx.dirty = true;
  if (count === 1) ctx.triggerFreeze();
}

/** Returns true when the TTL expired: the rest of the list is not done. */
export function decrementNshTtl(ctx: Context): boolean {
  const words = "NSH decrement TTL exception";
  const { flow } = ctx;
  if (flow.get32(O_PACKET_TYPE) === PT_NSH || flow.get16(O_DL_TYPE) === ETH_NSH) {
    return decrementByte(ctx, O_NSH_TTL, [0], words);
  }
  ctx.report("warn", words);
  return true;
}

// --- commit --------------------------------------------------------------------------------------------------------

/** Commits what is pending of outermost headers but MPLS labels, which commitMpls does: returns true when it is to. */
export function commitHeaders(
  flow: Flow,
  base: Flow,
  wc: Flow,
  pending: PendingHeaders,
  out: DatapathAction[],
): boolean {
  const type = flow.get32(O_PACKET_TYPE);
  const baseType = base.get32(O_PACKET_TYPE);
  if (pending.pendingEncap) {
    if (type === PT_ETH) pushEthernet(flow, base, out);
    else if (type === PT_NSH) {
      out.push({ type: "push_nsh", header: nshHeader(flow, pending.encapData) });
      copyHeaders(base, flow);
    } else return true;
    return false;
  }
  if (!pending.pendingDecap && type === baseType) return false;
  if (baseType === PT_ETH && type >>> 16 === 1) {
    out.push({ type: "pop_eth" });
    base.set32(O_PACKET_TYPE, type);
    base.bytes.fill(0, O_DL_DST, O_DL_SRC + 6);
  } else if (baseType === PT_NSH) {
    out.push({ type: "pop_nsh" });
    copyHeaders(base, flow);
  } else if (baseType === PT_MPLS || baseType === PT_MPLS_MC) {
    return true;
  } else if (type === PT_ETH) {
    // The flow was put back as it was before its Ethernet header went.
    wc.setExact(O_DL_DST, 12);
    pushEthernet(flow, base, out);
  }
  return false;
}

function pushEthernet(flow: Flow, base: Flow, out: DatapathAction[]): void {
  const addresses = flow.bytes.slice(O_DL_DST, O_DL_SRC + 6);
  out.push({ type: "push_eth", dst: addresses.subarray(0, 6), src: addresses.subarray(6) });
  base.set32(O_PACKET_TYPE, PT_ETH);
  base.bytes.set(addresses, O_DL_DST);
}

/** RFC 8300, 2.2: version 2 bits, flags 2, TTL 6, length in words 6; metadata type, next protocol; path; context. */
function nshHeader(flow: Flow, variable: Uint8Array): Uint8Array {
  const mdType = flow.get8(O_NSH_MDTYPE);
  const context =
    mdType === NSH_MD_TYPE_1
      ? flow.bytes.subarray(O_NSH_CONTEXT, O_NSH_CONTEXT + NSH_CONTEXT_SIZE)
      : variable;
  const header = new Uint8Array(NSH_BASE_SIZE + context.length);
  const view = new DataView(header.buffer);
  const flags = flow.get8(O_NSH_FLAGS) & 3;
  const ttl = flow.get8(O_NSH_TTL) & 0x3f;
  view.setUint16(0, (flags << 12) | (ttl << 6) | (header.length >> 2));
  header[2] = mdType;
  header[3] = flow.get8(O_NSH_NP);
  view.setUint32(4, flow.get32(O_NSH_PATH_HDR));
  header.set(context, NSH_BASE_SIZE);
  return header;
}
