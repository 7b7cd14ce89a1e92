// Random changes of tables, groups and meters as lines of ovs-ofctl, and frames between them. All that time decides lies on a
// grid (see GRID_MS), so that a switch with another epoch decides alike.
import type { Prng } from "../../src/lib/prng.ts";
import { arpFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";

/** Flows are evicted by expiry in units of 1,024 ms: waits and timeouts are multiples of it. */
export const GRID_MS = 1024;
const TIMEOUT_STEP = 128;

export type Step =
  | { readonly kind: "flows"; readonly bundle: boolean; readonly lines: readonly string[] }
  | { readonly kind: "group" | "meter"; readonly command: string; readonly line: string }
  | { readonly kind: "frame"; readonly port: number; readonly frame: Uint8Array }
  | { readonly kind: "wait"; readonly ms: number };

export const PORTS = [1, 2, 3] as const;
/** Tables 0 to 2 see frames, and no two flows there have one priority; table 3 sees none. */
export const EVICTING_TABLE = 1;
export const REFUSING_TABLE = 2;
const QUIET_TABLE = 3;
export const FLOW_LIMIT = 6;

/** In OVS's own spelling. */
const MATCHES = [
  "",
  "in_port=1",
  "in_port=2",
  "arp",
  "arp,in_port=1",
  "ip",
  "ip,nw_src=10.0.0.0/24",
  "ip,in_port=1,nw_src=10.0.0.0/30",
  "tcp",
  "tcp,in_port=1,tp_dst=80",
  "udp,in_port=2",
  "udp,tp_src=53",
  "reg0=0",
  "reg0=0x1",
  "reg1=0x2,in_port=1",
] as const;

export function randomStep(random: Prng): Step {
  const kind = random.below(24);
  if (kind < 6) {
    const port = random.pick(PORTS);
    return { kind: "frame", port, frame: randomFrame(random, port) };
  }
  if (kind < 7) return { kind: "wait", ms: GRID_MS * (1 + random.below(3)) };
  if (kind < 10) return { kind: "group", ...randomGroupCommand(random) };
  if (kind < 11) return { kind: "meter", ...randomMeterCommand(random) };
  const bundle = random.below(3) === 0;
  const count = bundle ? 2 + random.below(8) : 1;
  return { kind: "flows", bundle, lines: Array.from({ length: count }, () => randomFlowMod(random, bundle)) };
}

function randomFrame(random: Prng, port: number): Uint8Array {
  const ethSrc = `02:00:00:00:00:0${port}`;
  const ethDst = "02:00:00:00:00:09";
  const ip = { ethSrc, ethDst, src: `10.0.0.${1 + random.below(6)}`, dst: "10.0.0.9" };
  const kind = random.below(3);
  if (kind === 0) return arpFrame({ ethSrc, op: 1, spa: ip.src, tpa: ip.dst });
  if (kind === 1) return udpFrame({ ...ip, srcPort: random.pick([53, 54]), dstPort: 9 });
  return tcpFrame({
    ...ip,
    srcPort: 4000,
    dstPort: random.pick([80, 443]),
    flags: 2,
    seq: 1,
    ack: 0,
    window: 9,
  });
}

function randomFlowMod(random: Prng, inBundle: boolean): string {
  const command = random.pick([
    "add",
    "add",
    "add",
    "add",
    "add",
    "add",
    "modify",
    "modify_strict",
    "delete",
    "delete_strict",
  ]);
  const adds = command === "add";
  const deletes = command.startsWith("delete");
  const parts: string[] = [];
  // A bundle that fails after it has evicted a flow leaves OVS 3.1 with a broken table.
  const table = inBundle && adds ? random.pick([0, REFUSING_TABLE, QUIET_TABLE]) : random.below(4);
  if (!deletes || random.below(8) > 0) parts.push(`table=${table}`);
  const at = random.below(MATCHES.length);
  if (command !== "delete") {
    parts.push(`priority=${(1 + random.below(3)) * 100 + (table === QUIET_TABLE ? 0 : at)}`);
  }
  if (adds) parts.push(`cookie=${random.below(4)}`);
  else if (random.below(2) === 0) parts.push(`cookie=${random.below(4)}/${random.pick(["1", "-1", "-1"])}`);
  if (adds) {
    if (random.below(2) === 0) parts.push(`idle_timeout=${TIMEOUT_STEP * (8 + random.below(6))}`);
    if (random.below(3) === 0) parts.push(`hard_timeout=${TIMEOUT_STEP * (8 + random.below(6))}`);
    if (random.below(3) === 0) parts.push(`importance=${1 + random.below(3)}`);
    if (random.below(4) === 0) parts.push("check_overlap");
  }
  if (!deletes) {
    if (random.below(2) === 0) parts.push("send_flow_rem");
    if (random.below(8) === 0) parts.push("reset_counts");
    if (random.below(8) === 0) parts.push("no_packet_counts");
    if (random.below(8) === 0) parts.push("no_byte_counts");
  } else {
    if (random.below(4) === 0) parts.push(`out_port=${random.pick(PORTS)}`);
    if (random.below(4) === 0) parts.push(`out_group=${1 + random.below(GROUPS)}`);
  }
  const match = MATCHES[at]!;
  if (match !== "") parts.push(match);
  return `${command} ${parts.join(",")}${deletes ? "" : ` actions=${randomActions(random, table)}`}`;
}

function randomActions(random: Prng, table: number): string {
  const parts: string[] = [];
  if (random.below(6) === 0) parts.push(`meter:${1 + random.below(2)}`);
  if (random.below(2) === 0) parts.push(`output:${random.pick(PORTS)}`);
  // OVS ends when a group goes that a flow names twice.
  if (random.below(3) === 0) {
    const group = `group:${1 + random.below(GROUPS)}`;
    parts.push(random.below(3) === 0 ? `clone(${group},output:2)` : group);
  }
  if (table === 0 && random.below(2) === 0) parts.push(`resubmit(,${1 + random.below(2)})`);
  return parts.length === 0 ? "drop" : parts.join(",");
}

/** Groups 1 to 3 may lead to the next; the last is a select group. */
const GROUPS = 4;

function randomGroupCommand(random: Prng): { command: string; line: string } {
  const no = 1 + random.below(GROUPS);
  const id = `group_id=${no}`;
  const kind = random.below(7);
  if (kind < 3) return { command: "add-group", line: `${id},${randomGroup(random, no)}` };
  if (kind < 4) return { command: "mod-group", line: `${id},${randomGroup(random, no)}` };
  // After a change of its buckets a select group of OVS 3.1 chooses among the new ones only.
  if (kind < 5 || no === GROUPS) return { command: "del-groups", line: id };
  const where = random.pick(["first", "last", String(random.below(4))]);
  if (kind < 6) return { command: "remove-buckets", line: `${id},command_bucket_id=${where}` };
  const bucket = `bucket=bucket_id:${random.below(6)},actions=${bucketActions(random, no)}`;
  return { command: "insert-buckets", line: `${id},command_bucket_id=${where},${bucket}` };
}

/** A select group has one live bucket: which of several it chooses is a matter of hashes. */
function randomGroup(random: Prng, no: number): string {
  const type = no === GROUPS ? "select" : random.pick(["all", "ff", "indirect"]);
  if (type === "indirect") {
    return `type=indirect,bucket=bucket_id:${random.below(4)},actions=${bucketActions(random, no)}`;
  }
  const count = 1 + random.below(3);
  const live = random.below(count);
  const buckets = Array.from({ length: count }, (_, i) => {
    let watch = "";
    if (type === "select") watch = `,watch_port:${i === live ? 1 : 77}`;
    else if (type === "ff") {
      watch = `,${random.pick(["watch_port:1", "watch_port:77", `watch_group:${no + 1}`])}`;
    }
    return `bucket=bucket_id:${i}${watch},actions=${bucketActions(random, no)}`;
  });
  return `type=${type},${buckets.join(",")}`;
}

function bucketActions(random: Prng, no: number): string {
  const output = `output:${random.pick(PORTS)}`;
  return random.below(3) === 0 && no < GROUPS ? `${output},group:${no + 1}` : output;
}

function randomMeterCommand(random: Prng): { command: string; line: string } {
  const id = `meter=${1 + random.below(2)}`;
  const rest = `${random.pick(["pktps", "kbps"])},bands=type=drop,rate=${100_000 * (1 + random.below(3))}`;
  switch (random.below(4)) {
    case 0:
    case 1:
      return { command: "add-meter", line: `${id},${rest}` };
    case 2:
      return { command: "mod-meter", line: `${id},${rest}` };
    default:
      return { command: "del-meter", line: id };
  }
}
