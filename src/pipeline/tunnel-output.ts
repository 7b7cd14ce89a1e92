// Output to a tunnel port: the outer header is settled from the port's options and the flow, and the datapath is told of it
// by `set(tunnel(...))` before the output, as OVS tells its kernel datapath. The port that sends the frame then encapsulates
// it; where the underlay goes is the host's business.

import * as L from "../flow/layout.ts";
import { KEY_SIZE, O_NW_TOS, O_NW_TTL, O_PKT_MARK } from "../flow/layout.ts";
import { isPresent } from "../flow/option-bits.ts";
import type { TlvMap } from "../flow/tlv-map.ts";
import type { Context } from "./context.ts";
import { DEFAULT_TTL, type TunnelAddress, type TunnelOptions } from "./tunnel-options.ts";
import { hasTunnel, isIpAny } from "./wildcards.ts";

const ECN = 0x03;
const DSCP = 0xfc;
const CE = 3;
const ECT_0 = 2;

const START = L.O_TUN_ID;
const SIZE = KEY_SIZE - START;
const $before = new Uint8Array(SIZE);
const MASK = new Uint8Array(KEY_SIZE).fill(0xff, START);

/**
 * Appends the set that makes the port send the frame in its tunnel. False when it cannot: then the frame is not to be sent.
 * The flow has its own tunnel fields again afterwards; a pkt_mark of the port stays, as in OVS.
 */
export function commitTunnel(ctx: Context, tunnel: TunnelOptions): boolean {
  const { flow, base, original } = ctx;
  $before.set(flow.bytes.subarray(START, KEY_SIZE));
  fillOuterHeader(ctx, tunnel);
  if (isSame(flow.bytes, original.bytes, L.O_TUN_DST, 4)) {
    if (isSame(flow.bytes, original.bytes, L.O_TUN_IPV6_DST, 16)) {
      // No destination at all comes to the same. As in OVS, the flow keeps what the port has put into it.
      ctx.report("warn", "Not tunneling to our own address");
      return false;
    }
  }
  if (!hasTunnel(flow)) {
    ctx.report("warn", "Tunneling decided against output");
    flow.bytes.set($before, START);
    return false;
  }
  ctx.report("detail", "output to kernel tunnel");
  keepWhatTypeCarries(flow.bytes, tunnel, ctx.host.tlvMap);
  if (!isSame(flow.bytes, base.bytes, START, SIZE)) {
    base.bytes.set(flow.bytes.subarray(START, KEY_SIZE), START);
    const value = new Uint8Array(KEY_SIZE);
    value.set(flow.bytes.subarray(START, KEY_SIZE), START);
    ctx.actions.push({ type: "set", header: "tunnel", value, mask: MASK });
  }
  flow.bytes.set($before, START);
  return true;
}

/** Puts the port's options and what it inherits into the flow's tunnel fields. */
function fillOuterHeader(ctx: Context, tunnel: TunnelOptions): void {
  const { flow, wc, original } = ctx;
  const isIp = isIpAny(flow);
  // OVS 3.1 does not look at what it passes on of a tunnel the frame came by: frames with other options would get the first one's.
  if (hasTunnel(original)) {
    wc.set16(L.O_TUN_FLAGS, wc.get16(L.O_TUN_FLAGS) | L.TUN_FLAG_OAM);
    if (tunnel.type === "vxlan") wc.setExact(L.O_TUN_GBP_ID, 3);
    if (tunnel.type === "geneve") {
      wc.setExact(L.O_TUN_METADATA_PRESENT, 8);
      for (const { index, size } of ctx.host.tlvMap.list) {
        if (isPresent(original.bytes, index)) wc.setExact(ctx.host.tlvMap.field(index)!.offset, size);
      }
    }
  }
  if (tunnel.localIp !== "flow") setAddress(flow.bytes, L.O_TUN_SRC, L.O_TUN_IPV6_SRC, tunnel.localIp);
  if (tunnel.remoteIp !== "flow") setAddress(flow.bytes, L.O_TUN_DST, L.O_TUN_IPV6_DST, tunnel.remoteIp);
  flow.set16(L.O_TUN_TP_SRC, 0); // the sender's choice, by hash
  flow.set16(L.O_TUN_TP_DST, tunnel.dstPort);
  if (tunnel.outKey !== "flow") flow.set64(L.O_TUN_ID, tunnel.outKey ?? 0n);

  if (tunnel.ttl === "inherit" && isIp) {
    wc.set8(O_NW_TTL, 0xff);
    flow.set8(L.O_TUN_TTL, flow.get8(O_NW_TTL));
  } else flow.set8(L.O_TUN_TTL, tunnel.ttl === "inherit" ? DEFAULT_TTL : tunnel.ttl);

  let tos = tunnel.tos === "inherit" ? 0 : tunnel.tos;
  if (isIp) {
    const inner = flow.get8(O_NW_TOS);
    if (tunnel.tos === "inherit") {
      wc.bytes[O_NW_TOS]! |= DSCP;
      tos = inner & DSCP;
    }
    // RFC 3168 section 9.1.1, full functionality: congestion experienced goes out as ECT(0).
    wc.bytes[O_NW_TOS]! |= ECN;
    tos |= (inner & ECN) === CE ? ECT_0 : inner & ECN;
  }
  flow.set8(L.O_TUN_TOS, tos);

  let flags = flow.get16(L.O_TUN_FLAGS) & L.TUN_FLAG_OAM;
  if (tunnel.dfDefault) flags |= L.TUN_FLAG_DF;
  if (tunnel.csum) flags |= L.TUN_FLAG_CSUM;
  if (tunnel.outKey !== null) flags |= L.TUN_FLAG_KEY;
  flow.set16(L.O_TUN_FLAGS, flags);
  if (tunnel.egressPktMark !== null) {
    flow.set32(O_PKT_MARK, tunnel.egressPktMark);
    wc.set32(O_PKT_MARK, 0xffffffff);
    ctx.dirty = true;
  }
}

/** Takes away what the type's header has no room for. */
function keepWhatTypeCarries(bytes: Uint8Array, { type }: TunnelOptions, tlvMap: TlvMap): void {
  if (type !== "vxlan") bytes.fill(0, L.O_TUN_GBP_ID, L.O_TUN_ERSPAN_VER);
  bytes.fill(0, L.O_TUN_ERSPAN_VER, L.O_TUN_IPV6_SRC);
  if (type !== "geneve") bytes.fill(0, L.O_TUN_METADATA_PRESENT, KEY_SIZE);
  // A deleted option leaves its value behind.
  for (const { index, size } of tlvMap.list) {
    const { offset } = tlvMap.field(index)!;
    if (!isPresent(bytes, index)) bytes.fill(0, offset, offset + size);
  }
}

function setAddress(
  bytes: Uint8Array,
  v4: number,
  v6: number,
  address: Exclude<TunnelAddress, "flow"> | null,
): void {
  bytes.fill(0, v4, v4 + 4);
  bytes.fill(0, v6, v6 + 16);
  if (address !== null) bytes.set(address, address.length === 4 ? v4 : v6);
}

function isSame(a: Uint8Array, b: Uint8Array, offset: number, length: number): boolean {
  for (let i = offset; i < offset + length; i++) if (a[i] !== b[i]) return false;
  return true;
}
