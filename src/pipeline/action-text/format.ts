// Actions in OVS's words: text out.
//
// An OpenFlow switch prints what it was sent. Two spellings matter here:
//
//   "given"       as the flow was written: load stays load, mod_nw_src stays mod_nw_src. ofproto/trace prints this.
//   "OpenFlow15"  as the actions come back over OpenFlow 1.5, which has one way to set a field: load:0x2->NXM_NX_REG0[0..15]
//                 reads set_field:0x2/0xffff->reg0, enqueue reads set_queue,output,pop_queue. dump-flows prints this.

import { type Field, fieldByName, type Subfield } from "../../flow/field.ts";
import { formatFieldValue } from "../../flow/field-text.ts";
import { formatPort } from "../../flow/port-text.ts";
import { formatSubfield } from "../../flow/subfield.ts";
import { unreachable } from "../../lib/assert.ts";
import { formatIpv4, formatIpv6, formatMac } from "../../packet/address.ts";
import { type Action, type LearnSpec, type NatSpec, OFPP_CONTROLLER, OFPP_MAX } from "../action.ts";
import { isWholeRun, valueOfRun } from "./field-value.ts";
import { bytesOf, formatHexBytes, numberOf } from "./number.ts";

export type Spelling = "given" | "OpenFlow15";

/** The actions, comma separated; `drop` when there is none. */
export function formatActionList(actions: readonly Action[], spelling: Spelling): string {
  let text = "";
  for (const action of actions) {
    const one = formatAction(action, spelling);
    if (one !== "") text += text === "" ? one : `,${one}`;
  }
  return text === "" ? "drop" : text;
}

/** One action; "" for one that leaves nothing in this spelling. */
function formatAction(action: Action, spelling: Spelling): string {
  const modern = spelling === "OpenFlow15";
  switch (action.type) {
    case "output":
      return formatOutput(action.port, action.maxLen);
    case "output_reg":
      return `output:${formatSubfield(action.src)}`;
    case "output_trunc":
      return `output(port=${formatPort(action.port)},max_len=${action.maxLen})`;
    case "group":
      return `group:${action.groupId}`;
    case "controller":
      return formatController(action);
    case "enqueue":
      return modern
        ? `set_queue:${action.queue},${formatOutput(action.port, 0)},pop_queue`
        : `enqueue:${formatPort(action.port)}:${action.queue}`;
    case "set_queue":
      return `set_queue:${action.queue}`;
    case "bundle": {
      const name = action.dst === null ? "bundle" : "bundle_load";
      const dst = action.dst === null ? "" : `${formatSubfield(action.dst)},`;
      const members = action.members.map(formatPort).join(",");
      return `${name}(${action.fields},${action.basis},${action.algorithm},ofport,${dst}members:${members})`;
    }
    case "multipath": {
      const { fields, basis, algorithm, maxLink, arg, dst } = action;
      return `multipath(${fields},${basis},${algorithm},${maxLink + 1},${arg},${formatSubfield(dst)})`;
    }
    case "set_field": {
      const { field, value, mask, narrow } = action;
      if (narrow !== undefined) return formatSetField(field, narrow.value, narrow.mask);
      const ones = isWholeRun(field, mask) ? null : valueOfRun(field, mask);
      return formatSetField(field, valueOfRun(field, value), ones);
    }
    case "load": {
      const { dst, value } = action;
      if (!modern) return `load:${hex(value)}->${formatSubfield(dst)}`;
      const ones = ((1n << BigInt(dst.bits)) - 1n) << BigInt(dst.ofs);
      return formatSetField(dst.field, value << BigInt(dst.ofs), ones);
    }
    case "move":
      return `move:${formatSubfield(action.src)}->${formatSubfield(action.dst)}`;
    case "push":
      return `push:${formatSubfield(action.src)}`;
    case "pop":
      return `pop:${formatSubfield(action.dst)}`;
    case "mod":
      return modern ? formatModernMod(action) : formatMod(action);
    case "push_vlan":
      return `push_vlan:0x${action.ethertype.toString(16)}`;
    case "strip_vlan":
      return modern ? "pop_vlan" : action.spelling;
    case "push_mpls":
      return `push_mpls:0x${action.ethertype.toString(16).padStart(4, "0")}`;
    case "pop_mpls":
      return `pop_mpls:0x${action.ethertype.toString(16).padStart(4, "0")}`;
    case "set_mpls":
      return modern && action.part !== "ttl"
        ? `set_field:${action.value}->mpls_${action.part}`
        : `set_mpls_${action.part}(${action.value})`;
    case "dec_ttl":
      return action.ids === null ? "dec_ttl" : `dec_ttl(${action.ids.join(",")})`;
    case "set_tunnel":
      if (modern) return `set_field:${hex(action.id)}->tun_id`;
      return `${action.is64 ? "set_tunnel64" : "set_tunnel"}:${hex(action.id)}`;
    case "encap":
      return `encap(${action.header}${action.properties === "" ? "" : `(${action.properties})`})`;
    case "decap": {
      if (action.packetType === null) return "decap()";
      const type = (action.packetType & 0xffff).toString(16);
      const ns = action.packetType >>> 16;
      return `decap(packet_type(ns=${ns},type=${type === "0" ? "0" : `0x${type}`}))`;
    }
    case "ct":
      return formatCt(action, spelling);
    case "learn":
      return formatLearn(action);
    case "fin_timeout": {
      const parts: string[] = [];
      if (action.idleTimeout !== 0) parts.push(`idle_timeout=${action.idleTimeout}`);
      if (action.hardTimeout !== 0) parts.push(`hard_timeout=${action.hardTimeout}`);
      return `fin_timeout(${parts.join(",")})`;
    }
    case "resubmit": {
      const port = action.inPort === null ? "" : formatPort(action.inPort);
      if (action.inPort !== null && action.table === null && !action.withCt) return `resubmit:${port}`;
      return `resubmit(${port},${action.table ?? ""}${action.withCt ? ",ct" : ""})`;
    }
    case "clone":
      return `clone(${formatActionList(action.actions, spelling)})`;
    case "conjunction":
      return `conjunction(${action.id},${action.clause}/${action.nClauses})`;
    case "note":
      return `note:${formatHexBytes(action.data)}`;
    case "sample": {
      const port = action.samplingPort === null ? "" : `,sampling_port=${formatPort(action.samplingPort)}`;
      const direction = action.direction === "" ? "" : `,${action.direction}`;
      return (
        `sample(probability=${action.probability},collector_set_id=${action.collectorSetId},` +
        `obs_domain_id=${action.obsDomainId},obs_point_id=${action.obsPointId}${port}${direction})`
      );
    }
    case "check_pkt_larger":
      return `check_pkt_larger(${action.length})->${formatSubfield(action.dst)}`;
    case "delete_field":
      return `delete_field:${action.field.name}`;
    case "meter":
      return `meter:${action.meterId}`;
    case "write_actions":
      if (action.actions.length === 0 && modern) return "";
      return `write_actions(${formatActionList(action.actions, spelling)})`;
    case "write_metadata": {
      const mask = action.mask === 0xffff_ffff_ffff_ffffn ? "" : `/${hex(action.mask)}`;
      return `write_metadata:${hex(action.value)}${mask}`;
    }
    case "goto_table":
      return `goto_table:${action.table}`;
    case "nat":
      return formatNat(action.nat);
    case "pop_queue":
    case "dec_mpls_ttl":
    case "dec_nsh_ttl":
    case "ct_clear":
    case "exit":
    case "clear_actions":
    case "debug_recirc":
    case "debug_slow":
      return action.type;
    default:
      return unreachable(action);
  }
}

/** `0x2a`; zero is plain `0`, as C's %#x prints it. */
function hex(value: bigint): string {
  return value === 0n ? "0" : `0x${value.toString(16)}`;
}

function formatOutput(port: number, maxLen: number): string {
  if (port < OFPP_MAX) return `output:${port}`;
  return port === OFPP_CONTROLLER ? `CONTROLLER:${maxLen}` : formatPort(port);
}

function formatController(action: Action & { type: "controller" }): string {
  const { maxLen, controllerId, reason, userdata, pause, meterId } = action;
  const plain =
    reason === "action" && controllerId === 0 && userdata.length === 0 && !pause && meterId === null;
  if (plain) return `CONTROLLER:${maxLen}`;
  const parts: string[] = [];
  if (reason !== "action") parts.push(`reason=${reason}`);
  if (maxLen !== 0xffff) parts.push(`max_len=${maxLen}`);
  if (controllerId !== 0) parts.push(`id=${controllerId}`);
  if (userdata.length > 0) parts.push(`userdata=${formatHexBytes(userdata)}`);
  if (pause) parts.push("pause");
  if (meterId !== null) parts.push(`meter_id=${meterId}`);
  return `controller(${parts.join(",")})`;
}

/** `ones` null: the whole field, no mask printed. */
function formatSetField(field: Field, value: bigint, ones: bigint | null): string {
  const size = field.valueSize;
  const text = formatFieldValue(field, bytesOf(value, size), ones === null ? null : bytesOf(ones, size));
  return `set_field:${text}->${field.name}`;
}

/** mod_nw_src and its kin as they were written. */
function formatMod(action: Action & { type: "mod" }): string {
  const { name, value } = action;
  if (value.length === 6) return `${name}:${formatMac(value, 0)}`;
  if (value.length === 4) return `${name}:${formatIpv4(value, 0)}`;
  return `${name}:${numberOf(value)}`;
}

/** The same as OpenFlow 1.5 sets these fields. */
function formatModernMod(action: Action & { type: "mod" }): string {
  const { name, value, fact } = action;
  const set = (fieldName: string, v = numberOf(value)): string =>
    formatSetField(fieldByName(fieldName)!, v, null);
  switch (name) {
    case "mod_vlan_vid":
      // Without a tag one is pushed first.
      return `${fact === 0 ? "push_vlan:0x8100," : ""}${set("vlan_vid", numberOf(value) | 0x1000n)}`;
    case "mod_vlan_pcp":
      return `${fact === 0 ? "push_vlan:0x8100," : ""}${set("vlan_pcp")}`;
    case "set_vlan_vid":
      return set("vlan_vid", numberOf(value) | 0x1000n);
    case "set_vlan_pcp":
      return set("vlan_pcp");
    case "mod_dl_src":
      return set("eth_src");
    case "mod_dl_dst":
      return set("eth_dst");
    case "mod_nw_src":
      return set("ip_src");
    case "mod_nw_dst":
      return set("ip_dst");
    case "mod_nw_tos":
      return set("ip_dscp", numberOf(value) >> 2n);
    case "mod_nw_ecn":
      return set("nw_ecn");
    case "mod_nw_ttl":
      return formatMod(action);
    case "mod_tp_src":
    case "mod_tp_dst": {
      const protocol = fact === 6 ? "tcp" : fact === 17 ? "udp" : fact === 132 ? "sctp" : "";
      if (protocol === "") return formatMod(action);
      return set(`${protocol}_${name.slice(7)}`);
    }
    default:
      return unreachable(name);
  }
}

function formatCt(action: Action & { type: "ct" }, spelling: Spelling): string {
  const parts: string[] = [];
  if (action.commit) parts.push("commit");
  if (action.force) parts.push("force");
  if (action.table !== null) parts.push(`table=${action.table}`);
  if (typeof action.zone !== "number") parts.push(`zone=${formatSubfield(action.zone)}`);
  else if (action.zone !== 0) parts.push(`zone=${action.zone}`);
  if (action.nat !== null) parts.push(formatNat(action.nat));
  if (action.exec.length > 0) parts.push(`exec(${formatActionList(action.exec, spelling)})`);
  if (action.alg !== null) parts.push(`alg=${action.alg}`);
  return `ct(${parts.join(",")})`;
}

function formatNat(nat: NatSpec): string {
  if (nat.kind === "undo") return "nat";
  let text = `nat(${nat.kind}`;
  if (nat.minAddr !== null) {
    const ports = nat.minPort === 0 ? "" : `:${nat.minPort}${nat.maxPort === 0 ? "" : `-${nat.maxPort}`}`;
    const address = (bytes: Uint8Array): string => {
      if (bytes.length === 4) return formatIpv4(bytes, 0);
      return ports === "" ? formatIpv6(bytes, 0) : `[${formatIpv6(bytes, 0)}]`;
    };
    text += `=${address(nat.minAddr)}${nat.maxAddr === null ? "" : `-${address(nat.maxAddr)}`}${ports}`;
  }
  if (nat.persistent) text += ",persistent";
  if (nat.hash) text += ",hash";
  if (nat.random) text += ",random";
  return `${text})`;
}

function formatLearn(action: Action & { type: "learn" }): string {
  const parts = [`table=${action.table}`];
  if (action.idleTimeout !== 0) parts.push(`idle_timeout=${action.idleTimeout}`);
  if (action.hardTimeout !== 0) parts.push(`hard_timeout=${action.hardTimeout}`);
  if (action.finIdleTimeout !== 0) parts.push(`fin_idle_timeout=${action.finIdleTimeout}`);
  if (action.finHardTimeout !== 0) parts.push(`fin_hard_timeout=${action.finHardTimeout}`);
  if (action.priority !== 32768) parts.push(`priority=${action.priority}`);
  if (action.sendFlowRem) parts.push("send_flow_rem");
  if (action.deleteLearned) parts.push("delete_learned");
  if (action.cookie !== 0n) parts.push(`cookie=0x${action.cookie.toString(16)}`);
  if (action.limit !== 0) parts.push(`limit=${action.limit}`);
  if (action.resultDst !== null) parts.push(`result_dst=${formatSubfield(action.resultDst)}`);
  for (const spec of action.specs) parts.push(formatLearnSpec(spec));
  return `learn(${parts.join(",")})`;
}

function formatLearnSpec(spec: LearnSpec): string {
  const { kind, src, dst } = spec;
  if (kind === "output" || dst === null) return `output:${formatSubfield(src as Subfield)}`;
  if (kind === "load") {
    const from = src instanceof Uint8Array ? hex(numberOf(src)) : formatSubfield(src);
    return `load:${from}->${formatSubfield(dst)}`;
  }
  if (src instanceof Uint8Array) {
    if (dst.bits === dst.field.bits) return `${dst.field.name}=${formatFieldValue(dst.field, src)}`;
    return `${formatSubfield(dst)}=${hex(numberOf(src))}`;
  }
  const same = src.field === dst.field && src.ofs === dst.ofs;
  return same ? formatSubfield(dst) : `${formatSubfield(dst)}=${formatSubfield(src)}`;
}
