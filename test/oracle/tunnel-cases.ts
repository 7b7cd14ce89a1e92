// Random tunnel pipelines: maps of Geneve options, flows that match and set tunnel fields, flows to trace. And what the
// comparison with real OVS takes: OVS's native tunnels in the form of `set(tunnel(...))`.
import type { Random } from "./trace-cases.ts";

export interface TunnelCase {
  readonly tlvMap: string;
  /** Lines for add-flow; either switch may refuse one. */
  readonly flows: readonly string[];
  /** FLOW arguments of ofproto/trace. */
  readonly traced: readonly string[];
}

interface Option {
  readonly index: number;
  readonly size: number;
}

const SIZES = [4, 4, 4, 8, 12, 16, 32, 124];
export const REMOTES = ["1.2.3.4", "1.2.3.5", "1.2.3.6"];

const pick = <T>(rnd: Random, list: readonly T[]): T => list[rnd(list.length)]!;

function hexOf(rnd: Random, bytes: number): string {
  let digits = "";
  for (let i = 0; i < bytes; i++) digits += rnd(256).toString(16).padStart(2, "0");
  return `0x${digits}`;
}

function makeMap(rnd: Random): { text: string; options: Option[] } {
  const options: Option[] = [];
  const lines: string[] = [];
  const indices = [0, 1, 2, 7, 31, 62, 63];
  let room = 256;
  for (const index of indices) {
    const size = pick(rnd, SIZES);
    if (size > room || rnd(5) === 0) continue;
    room -= size;
    options.push({ index, size });
    lines.push(
      `{class=0x${(0x100 + index).toString(16)},type=${rnd(256)},len=${size}}->tun_metadata${index}`,
    );
  }
  if (options.length === 0) return makeMap(rnd);
  return { text: lines.join(","), options };
}

/** A value that the option may have: short ones mostly, the full width, now and then too long. */
function optionValue(rnd: Random, size: number): string {
  const bytes = pick(rnd, [1, 1, 1, 2, Math.min(size, 4), size, size + 1]);
  return rnd(6) === 0 ? "0" : rnd(3) === 0 ? pick(rnd, ["1", "2", "3"]) : hexOf(rnd, Math.min(bytes, 124));
}

/** A width of at most `most` and a place for it: `[a..b]`. */
function bitsOf(rnd: Random, size: number, width: number): string {
  const ofs = rnd(8 * size - width + 1);
  return `[${ofs}..${ofs + width - 1}]`;
}

function matchOf(rnd: Random, options: readonly Option[]): string {
  const parts: string[] = [];
  const add = (odds: number, make: () => string): void => {
    if (rnd(odds) === 0) parts.push(make());
  };
  add(3, () => pick(rnd, ["ip", "tcp", "arp"]));
  add(3, () => `tun_id=${rnd(4)}${pick(rnd, ["", "/0x1", "/0xff"])}`);
  add(4, () => `tun_src=${pick(rnd, REMOTES)}${pick(rnd, ["", "/24"])}`);
  add(5, () => `tun_dst=${pick(rnd, ["1.1.1.1", "1.1.1.0/24"])}`);
  add(8, () => `tun_flags=${pick(rnd, ["+oam", "-oam", "oam", "0"])}`);
  add(9, () => `tun_gbp_id=${rnd(3)}${pick(rnd, ["", "/0x1"])}`);
  add(9, () => `tun_gbp_flags=${rnd(3)}`);
  // OVS 3.1 takes the value of these for their mask as well: 0 and 1 come to the same.
  add(9, () => `tun_erspan_ver=${rnd(2)}`);
  add(14, () => `tun_erspan_idx=${rnd(2)}`);
  add(14, () => `tun_erspan_dir=${rnd(2)}`);
  add(14, () => `tun_erspan_hwid=${rnd(2)}`);
  add(14, () => `tun_gtpu_flags=${rnd(2)}`);
  add(14, () => `tun_gtpu_msgtype=${rnd(2)}`);
  add(14, () => `tun_ipv6_src=fe80::${rnd(3)}`);
  for (const { index, size } of options) {
    add(4, () => {
      const name = `tun_metadata${index}`;
      switch (rnd(6)) {
        case 0:
          return name;
        case 1:
          return `${name}=${optionValue(rnd, size)}/${hexOf(rnd, pick(rnd, [1, 2, size]))}`;
        case 2:
          return `${name}=${rnd(3)}/${pick(rnd, ["0x3", "0x7f", "0xff", "0xffff"])}`;
        case 3:
          return `${name}[0..${rnd(16)}]=${rnd(2)}`;
        default:
          return `${name}=${optionValue(rnd, size)}`;
      }
    });
  }
  return parts.join(",");
}

function actionOf(rnd: Random, options: readonly Option[]): string {
  const { index, size } = pick(rnd, options);
  const other = pick(rnd, options);
  const name = `tun_metadata${index}`;
  const oxm = `NXM_NX_TUN_METADATA${index}`;
  const width = 1 + rnd(Math.min(32, 8 * Math.min(size, other.size)));
  switch (rnd(18)) {
    case 0:
    case 1:
      return `set_field:${optionValue(rnd, size)}->${name}`;
    case 2:
      return `set_field:${optionValue(rnd, size)}/${hexOf(rnd, pick(rnd, [1, 2, size]))}->${name}`;
    case 3:
      return `load:${rnd(2)}->${oxm}${bitsOf(rnd, size, width)}`;
    case 4:
      return `move:${oxm}${bitsOf(rnd, size, width)}->NXM_NX_REG1[0..${width - 1}]`;
    case 5:
      return `move:${oxm}${bitsOf(rnd, size, width)}->NXM_NX_TUN_METADATA${other.index}${bitsOf(rnd, other.size, width)}`;
    case 6:
      return `move:NXM_NX_REG1[0..${width - 1}]->${oxm}${bitsOf(rnd, size, width)}`;
    case 7:
      return `delete_field:${name}`;
    case 8:
      return `push:${oxm}${bitsOf(rnd, size, width)},pop:NXM_NX_TUN_METADATA${other.index}${bitsOf(rnd, other.size, width)}`;
    case 9:
      return `set_field:${rnd(5)}->tun_id`;
    case 10:
      return `set_field:${pick(rnd, REMOTES)}->tun_dst`;
    case 11:
      return `set_field:${pick(rnd, ["1.1.1.1", "1.1.1.2"])}->tun_src`;
    case 12:
      return `set_field:${pick(rnd, ["oam", "0"])}->tun_flags`;
    case 13:
      return pick(rnd, [
        "set_field:3->tun_gbp_id",
        "set_field:4->tun_gbp_flags",
        "load:1->NXM_NX_TUN_GBP_ID[0..3]",
      ]);
    case 14:
      return `move:${pick(rnd, ["NXM_NX_TUN_IPV4_SRC", "NXM_NX_TUN_IPV4_DST", "NXM_OF_IP_SRC"])}[]->NXM_NX_REG2[]`;
    case 15:
      return `clone(set_field:${optionValue(rnd, size)}->${name},output:1)`;
    case 16:
      return "resubmit(,1)";
    default:
      return `learn(table=3,${oxm}${bitsOf(rnd, size, width)},load:${oxm}${bitsOf(rnd, size, width)}->NXM_NX_REG0[0..${width - 1}])`;
  }
}

function tracedFlow(rnd: Random, options: readonly Option[], inPort: string): string {
  const parts = [`in_port=${inPort}`, pick(rnd, ["udp", "tcp", "arp", "tcp6", "dl_type=0x1234"])];
  if (!parts[1]!.startsWith("dl") && parts[1] !== "arp") {
    if (rnd(2) === 0) parts.push(`nw_tos=${4 * rnd(64)}`);
    if (rnd(2) === 0) parts.push(`nw_ecn=${rnd(4)}`);
    parts.push(`nw_ttl=${1 + rnd(200)}`);
  }
  if (rnd(5) !== 0) {
    parts.push(`tun_id=${rnd(5)}`, `tun_src=${pick(rnd, REMOTES)}`, "tun_dst=1.1.1.1");
    if (rnd(4) === 0) parts.push(`tun_tos=${rnd(256)}`);
    if (rnd(4) === 0) parts.push(`tun_ttl=${rnd(256)}`);
    if (rnd(4) === 0) parts.push("tun_flags=oam");
    if (rnd(4) === 0) parts.push(`tun_gbp_id=${rnd(3)}`);
    if (rnd(4) === 0) parts.push(`tun_erspan_ver=${rnd(2)}`);
    for (const { index, size } of options) {
      if (rnd(2) === 0) parts.push(`tun_metadata${index}=${optionValue(rnd, size)}`);
    }
  }
  return parts.join(",");
}

/** `outputs`: ports that flows may send to; `inPorts`: those that traced flows come from. */
export function makeTunnelCase(
  rnd: Random,
  outputs: readonly string[],
  inPorts: readonly string[],
): TunnelCase {
  const { text, options } = makeMap(rnd);
  const flows: string[] = [];
  for (let i = 0; i < 8; i++) {
    const actions = Array.from({ length: 1 + rnd(5) }, () =>
      rnd(3) === 0 ? `output:${pick(rnd, outputs)}` : actionOf(rnd, options),
    );
    if (rnd(2) === 0) actions.push(`output:${pick(rnd, outputs)}`);
    const table = i % 3 === 2 ? "table=1," : "";
    flows.push(
      `${table}priority=${100 - i},${matchOf(rnd, options)} actions=${actions.join(",")}`.replace(
        ", a",
        " a",
      ),
    );
  }
  flows.push(
    `priority=1 actions=${actionOf(rnd, options)},output:${pick(rnd, outputs)}`,
    "table=1,priority=1 actions=output:1",
  );
  const traced = Array.from({ length: 12 }, () => tracedFlow(rnd, options, pick(rnd, inPorts)));
  return { tlvMap: text, flows, traced };
}
