// The tunnel that a `set(tunnel(...))` gives a frame, as OVS prints it.
import { formatFlags, TUN_FLAG_NAMES } from "../flow/flags-text.ts";
import * as L from "../flow/layout.ts";
import { formatGeneve } from "../flow/option-text.ts";
import type { TlvMap } from "../flow/tlv-map.ts";
import { formatIpv4, formatIpv6 } from "../packet/address.ts";

/** `tun_id=0x5,src=..,dst=..,tos=..,ttl=64,tp_dst=6081,geneve({..}),flags(df|key)`; `key` is a whole flow key. */
export function formatTunnelKey(key: Uint8Array, tlvMap: TlvMap | null): string {
  const flags = number(key, L.O_TUN_FLAGS, 2) & 0xf;
  const has = (at: number, size: number): boolean => key.subarray(at, at + size).some((b) => b !== 0);
  const parts: string[] = [];
  if (has(L.O_TUN_ID, 8) || flags & L.TUN_FLAG_KEY) {
    const id = (BigInt(number(key, L.O_TUN_ID, 4)) << 32n) | BigInt(number(key, L.O_TUN_ID + 4, 4));
    parts.push(`tun_id=0x${id.toString(16)}`);
  }
  if (has(L.O_TUN_SRC, 4)) parts.push(`src=${formatIpv4(key, L.O_TUN_SRC)}`);
  if (has(L.O_TUN_DST, 4)) parts.push(`dst=${formatIpv4(key, L.O_TUN_DST)}`);
  if (has(L.O_TUN_IPV6_SRC, 16)) parts.push(`ipv6_src=${formatIpv6(key, L.O_TUN_IPV6_SRC)}`);
  if (has(L.O_TUN_IPV6_DST, 16)) parts.push(`ipv6_dst=${formatIpv6(key, L.O_TUN_IPV6_DST)}`);
  if (has(L.O_TUN_TOS, 1)) parts.push(`tos=${hex(key[L.O_TUN_TOS]!)}`);
  parts.push(`ttl=${key[L.O_TUN_TTL]}`);
  if (has(L.O_TUN_GTPU_FLAGS, 2)) {
    parts.push(`gtpu(flags=${hex(key[L.O_TUN_GTPU_FLAGS]!)},msgtype=${key[L.O_TUN_GTPU_MSGTYPE]})`);
  }
  if (has(L.O_TUN_TP_SRC, 2)) parts.push(`tp_src=${number(key, L.O_TUN_TP_SRC, 2)}`);
  if (has(L.O_TUN_TP_DST, 2)) parts.push(`tp_dst=${number(key, L.O_TUN_TP_DST, 2)}`);
  if (has(L.O_TUN_GBP_ID, 3)) {
    const id = number(key, L.O_TUN_GBP_ID, 2);
    const gbpFlags = key[L.O_TUN_GBP_FLAGS]!;
    const gbp = [...(id === 0 ? [] : [`id=${id}`]), ...(gbpFlags === 0 ? [] : [`flags=${hex(gbpFlags)}`])];
    parts.push(`vxlan(gbp(${gbp.join(",")}))`);
  }
  const options = formatGeneve(key, null, tlvMap);
  if (options !== "") parts.push(options);
  const version = key[L.O_TUN_ERSPAN_VER];
  if (version === 1) parts.push(`erspan(ver=1,idx=${hex(number(key, L.O_TUN_ERSPAN_IDX, 4))})`);
  if (version === 2) {
    parts.push(`erspan(ver=2,dir=${key[L.O_TUN_ERSPAN_DIR]},hwid=${hex(key[L.O_TUN_ERSPAN_HWID]!)})`);
  }
  if (flags !== 0) parts.push(`flags(${formatFlags(TUN_FLAG_NAMES, flags)})`);
  return parts.join(",");
}

/** C's `%#x`. */
function hex(n: number): string {
  return n === 0 ? "0" : `0x${n.toString(16)}`;
}

/** The big-endian number of 2 or 4 bytes. */
function number(bytes: Uint8Array, at: number, size: number): number {
  let n = 0;
  for (let i = 0; i < size; i++) n = n * 256 + bytes[at + i]!;
  return n;
}
