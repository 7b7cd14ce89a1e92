// Datapath actions as OVS prints them, in `ofproto/trace` and `dpctl/dump-flows`:
// set(eth(dst=...)),set(ipv4(ttl=62)),ct(commit,zone=65520),recirc(0x2)

import { O_MPLS_LSE0, O_PKT_MARK, O_SKB_PRIORITY, VLAN_CFI } from "../flow/layout.ts";
import type { TlvMap } from "../flow/tlv-map.ts";
import { unreachable } from "../lib/assert.ts";
import { formatIpv4, formatIpv6, formatMac } from "../packet/address.ts";
import type { CtNat, DatapathAction, SetHeader, Userspace } from "./action.ts";
import { formatNshFields, formatNshHeader } from "./nsh-text.ts";
import { SET_FIELDS, type SetField, type SetFieldForm } from "./set-fields.ts";
import { formatTunnelKey } from "./tunnel-text.ts";

export interface ActionTextOptions {
  /** In a trace, a userspace action says that nothing is sent. */
  readonly trace?: boolean;
  /** Names the tunnel options of a set; without it they are left out. */
  readonly tlvMap?: TlvMap | null;
}

/** How a port is written: its number, or its name. */
export type PortName = (port: number) => string;

/** The reasons of packet-ins by OVS's names, at their OpenFlow numbers. */
const PACKET_IN_REASONS = [
  "no_match",
  "action",
  "invalid_ttl",
  "action_set",
  "group",
  "packet_out",
  "explicit_miss",
];

/** `drop` when there is no action; drop actions of our own (they carry a reason) are not shown. */
export function formatDatapathActions(
  actions: readonly DatapathAction[],
  portName: PortName,
  options: ActionTextOptions = {},
): string {
  const shown = actions.filter((a) => a.type !== "drop");
  if (shown.length === 0) return "drop";
  return shown.map((a) => formatAction(a, portName, options)).join(",");
}

/** What OVS's datapath cannot write: the pipeline does it there, frame by frame. The kernel here can. */
const SLOW_HEADERS: readonly string[] = ["arp", "nd", "nd_ext", "icmp", "icmpv6"] satisfies SetHeader[];

function needsSlowPath(action: DatapathAction): boolean {
  switch (action.type) {
    case "set":
      return SLOW_HEADERS.includes(action.header);
    case "clone":
    case "sample":
      return action.actions.some(needsSlowPath);
    case "check_pkt_len":
      return action.greater.some(needsSlowPath) || action.lessEqual.some(needsSlowPath);
    default:
      return false;
  }
}

/** A megaflow's actions as `dpctl/dump-flows` shows them: of one whose frames OVS would handle in its slow path, that they are. */
export function formatInstalledActions(
  actions: readonly DatapathAction[],
  portName: PortName,
  options: ActionTextOptions = {},
): string {
  if (actions.some(needsSlowPath)) return "userspace(pid=0,slow_path(action))";
  return formatDatapathActions(actions, portName, options);
}

function formatAction(action: DatapathAction, portName: PortName, options: ActionTextOptions): string {
  const nested = (actions: readonly DatapathAction[]) => formatDatapathActions(actions, portName, options);
  switch (action.type) {
    case "output":
      return portName(action.port);
    case "set":
      return `set(${formatSet(action.header, action.value, action.mask, options)})`;
    case "push_vlan":
      return `push_vlan(${formatTag(action.tpid, action.tci)})`;
    case "pop_vlan":
      return "pop_vlan";
    case "push_mpls":
      return `push_mpls(${formatLabel(action.lse)},eth_type=${hex(action.ethertype)})`;
    case "pop_mpls":
      return `pop_mpls(eth_type=${hex(action.ethertype)})`;
    case "add_mpls":
      return `add_mpls(${formatLabel(action.lse)},eth_type=${hex(action.ethertype)})`;
    case "push_eth":
      return `push_eth(src=${formatMac(action.src, 0)},dst=${formatMac(action.dst, 0)})`;
    case "pop_eth":
      return "pop_eth";
    case "push_nsh":
      return `push_nsh(${formatNshHeader(action.header)})`;
    case "pop_nsh":
      return "pop_nsh()";
    case "ct":
      return formatCt(action);
    case "ct_clear":
      return "ct_clear";
    case "recirc":
      return `recirc(${hex(action.id)})`;
    case "hash":
      return `hash(${action.algorithm}(${action.basis}))`;
    case "clone":
      return `clone(${nested(action.actions)})`;
    case "userspace":
      return `userspace(pid=0,${formatController(action.userspace, options)})`;
    case "meter":
      return `meter(${action.id})`;
    case "trunc":
      return `trunc(${action.maxLen})`;
    case "drop":
      return "drop";
    case "check_pkt_len":
      return `check_pkt_len(size=${action.length},gt(${nested(action.greater)}),le(${nested(action.lessEqual)}))`;
    case "sample": {
      const percent = ((100 * action.probability) / 0xffffffff).toFixed(1);
      return `sample(sample=${percent}%,actions(${nested(action.actions)}))`;
    }
    default:
      return unreachable(action);
  }
}

/** C's `%#x`: no prefix before a zero. */
function hex(value: number | bigint): string {
  return value === 0 || value === 0n ? "0" : "0x" + value.toString(16);
}

function formatSet(
  header: SetHeader,
  value: Uint8Array,
  mask: Uint8Array,
  options: ActionTextOptions,
): string {
  switch (header) {
    case "mpls":
      return `mpls(${formatLabel(number(value, O_MPLS_LSE0, 4))})`;
    case "skb_mark":
      return `skb_mark(${maskedHex(value, mask, O_PKT_MARK)})`;
    case "skb_priority":
      return `skb_priority(${maskedHex(value, mask, O_SKB_PRIORITY)})`;
    case "nsh":
      return `nsh(${formatNshFields(value, mask)})`;
    case "tunnel":
      return `tunnel(${formatTunnelKey(value, options.tlvMap ?? null)})`;
    default: {
      const fields = SET_FIELDS.get(header) ?? [];
      const texts = fields.map((f) => formatField(f, value, mask)).filter((t) => t !== "");
      return `${header}(${texts.join(",")})`;
    }
  }
}

/** `name=value`, with `/mask` when it is not all ones; nothing when it is all zeros. */
function formatField(field: SetField, value: Uint8Array, mask: Uint8Array): string {
  const { offset, size, form } = field;
  const bits = mask.subarray(offset, offset + size);
  // OVS shows nd_reserved always, whatever its mask.
  if (form === "0x") return `${field.name}=${formatValue(form, value, offset, size)}`;
  if (bits.every((b) => b === 0)) return "";
  const text = `${field.name}=${formatValue(form, value, offset, size)}`;
  if (isAllOnes(field, bits)) return text;
  return `${text}/${formatValue(form === "decimal" ? "hex" : form, mask, offset, size)}`;
}

function isAllOnes(field: SetField, bits: Uint8Array): boolean {
  if (field.name === "label") return (number(bits, 0, 4) & 0xfffff) === 0xfffff;
  return bits.every((b) => b === 0xff);
}

function formatValue(form: SetFieldForm, bytes: Uint8Array, at: number, size: number): string {
  switch (form) {
    case "mac":
      return formatMac(bytes, at);
    case "ipv4":
      return formatIpv4(bytes, at);
    case "ipv6":
      return formatIpv6(bytes, at);
    case "decimal":
      return String(number(bytes, at, size));
    case "hex":
      return hex(number(bytes, at, size));
    case "0x":
      return "0x" + number(bytes, at, size).toString(16);
    case "op":
      return String(bytes[at] === 0xff ? 0xffff : bytes[at]);
    default:
      return unreachable(form);
  }
}

function maskedHex(value: Uint8Array, mask: Uint8Array, at: number): string {
  const bits = number(mask, at, 4);
  const text = hex(number(value, at, 4));
  return bits === 0xffffffff ? text : `${text}/${hex(bits)}`;
}

function formatTag(tpid: number, tci: number): string {
  const type = tpid === 0x8100 ? "" : `tpid=0x${tpid.toString(16).padStart(4, "0")},`;
  const cfi = tci & VLAN_CFI ? "" : ",cfi=0";
  return `${type}vid=${tci & 0xfff},pcp=${tci >>> 13}${cfi}`;
}

function formatLabel(lse: number): string {
  return `label=${lse >>> 12},tc=${(lse >>> 9) & 7},ttl=${lse & 0xff},bos=${(lse >>> 8) & 1}`;
}

function formatCt(action: Extract<DatapathAction, { type: "ct" }>): string {
  const parts: string[] = [];
  // A forced commit is one too, and is printed as one word.
  if (action.force) parts.push("force_commit");
  else if (action.commit) parts.push("commit");
  if (action.zone !== 0) parts.push(`zone=${action.zone}`);
  if (action.mark !== null) parts.push(`mark=${hex(action.mark.value)}/${hex(action.mark.mask)}`);
  if (action.label !== null) {
    const mask = wide(action.label.mask);
    const exact = mask === (1n << 128n) - 1n ? "" : `/${hex(mask)}`;
    parts.push(`label=${hex(wide(action.label.value))}${exact}`);
  }
  if (action.alg !== null) parts.push(`helper=${action.alg}`);
  if (action.timeout !== undefined) parts.push(`timeout=${action.timeout}`);
  if (action.nat !== null) parts.push(formatNat(action.nat));
  return parts.length === 0 ? "ct" : `ct(${parts.join(",")})`;
}

function formatNat(nat: CtNat): string {
  if (nat.kind === "undo") return "nat";
  const ports =
    nat.minPort === 0 ? "" : `:${nat.minPort}${nat.maxPort > nat.minPort ? `-${nat.maxPort}` : ""}`;
  const address = (bytes: Uint8Array) => {
    if (bytes.length === 4) return formatIpv4(bytes, 0);
    const text = formatIpv6(bytes, 0);
    return ports === "" ? text : `[${text}]`;
  };
  let text: string = nat.kind;
  if (nat.minAddr !== null) {
    const min = address(nat.minAddr);
    const max = nat.maxAddr === null ? min : address(nat.maxAddr);
    text += `=${min}${max === min ? "" : `-${max}`}`;
  } else if (ports !== "") {
    text += "=";
  }
  text += ports;
  if (nat.persistent) text += ",persistent";
  if (nat.hash) text += ",hash";
  if (nat.random) text += ",random";
  return `nat(${text})`;
}

function formatController(userspace: Userspace, options: ActionTextOptions): string {
  const reason = Math.max(PACKET_IN_REASONS.indexOf(userspace.reason), 0);
  const dontSend = options.trace === true ? 1 : 0;
  const { recircId, cookie, controllerId, maxLen } = userspace;
  const continuation = userspace.continuation === true ? 1 : 0;
  return (
    `controller(reason=${reason},dont_send=${dontSend},continuation=${continuation},recirc_id=${recircId},` +
    `rule_cookie=${hex(cookie)},controller_id=${controllerId},max_len=${maxLen})`
  );
}

/** The big-endian number of 1, 2 or 4 bytes. */
function number(bytes: Uint8Array, at: number, size: number): number {
  let n = 0;
  for (let i = 0; i < size; i++) n = n * 256 + bytes[at + i]!;
  return n;
}

function wide(bytes: Uint8Array): bigint {
  let n = 0n;
  for (const byte of bytes) n = (n << 8n) | BigInt(byte);
  return n;
}
