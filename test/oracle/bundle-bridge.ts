// A bridge with bonds and multicast snooping, made anew in a real switch: what lab-case.ts does not change on a bridge that is
// there already.
import { join } from "node:path";
import { BOND_BUCKETS } from "../../src/pipeline/bond.ts";
import { interfacesOf, type LabBond, type LabCase, type LabPort, type OurLab } from "./lab-case.ts";
import type { Ovs } from "./ovs.ts";

const BRIDGE = "br0";
const PORT_COLUMNS = ["tag", "trunks", "vlan_mode", "bond_mode", "protected"];
const PORT_OTHER_CONFIG = [
  "bond_primary",
  "bond_hash_basis",
  "mcast_snooping_flood",
  "mcast_snooping_flood_reports",
];

const columnValue = (value: unknown): string => (Array.isArray(value) ? `[${value.join()}]` : String(value));

/** Makes `br0`, all of whose frames go to NORMAL. The clock stands still from then on. */
export async function makeOvsBridge(ovs: Ovs, c: LabCase): Promise<void> {
  const args: string[] = [];
  const dummy = (member: LabPort): void => {
    args.push("--", "set", "interface", member.name, "type=dummy", `ofport_request=${member.no}`);
    args.push(`options:tx_pcap=${join(ovs.dir, `tx-${member.name}.pcap`)}`);
  };
  await ovs.addBridge(BRIDGE, { set: snoopingColumns(c) });
  for (const port of c.ports) {
    args.push("--", "add-port", BRIDGE, port.name);
    dummy(port);
    args.push(...portColumns(port));
  }
  for (const bond of c.bonds ?? []) {
    args.push("--", "add-bond", BRIDGE, bond.name, ...bond.members.map((m) => m.name));
    for (const member of bond.members) dummy(member);
    args.push(...portColumns(bond));
  }
  await ovs.vsctl(args.slice(1));
  for (const { name, link_state } of interfacesOf(c)) {
    await ovs.appctl("netdev-dummy/set-admin-state", name, link_state === "down" ? "down" : "up");
  }
  await ovs.ofctl(["add-flow", BRIDGE, "actions=NORMAL"]);
  await ovs.stopClock();
  await ovs.warp(1000); // links
  await ovs.appctl("fdb/flush", BRIDGE);
  await ovs.appctl("mdb/flush", BRIDGE).catch(() => "");
  await ovs.settle();
  await ovs.round();
  for (const { name } of [...interfacesOf(c), { name: BRIDGE }]) ovs.takeSent(name);
}

function portColumns(port: LabPort | LabBond): string[] {
  const args: string[] = [];
  for (const [key, value] of Object.entries(port)) {
    const other = PORT_OTHER_CONFIG.includes(key);
    if (!other && !PORT_COLUMNS.includes(key)) continue;
    const column = other ? `other_config:${key.replaceAll("_", "-")}` : key;
    args.push("--", "set", "port", port.name, `${column}=${columnValue(value)}`);
  }
  return args;
}

function snoopingColumns(c: LabCase): string[] {
  const keys = c.bridge?.mcast_snooping as Record<string, unknown> | undefined;
  if (keys === undefined) return [];
  const columns = ["mcast_snooping_enable=true"];
  if (keys.aging_time !== undefined)
    columns.push(`other_config:mcast-snooping-aging-time=${keys.aging_time}`);
  if (keys.table_size !== undefined)
    columns.push(`other_config:mcast-snooping-table-size=${keys.table_size}`);
  if (keys.flood_unregistered !== undefined)
    columns.push(`other_config:mcast-snooping-disable-flood-unregistered=${!keys.flood_unregistered}`);
  return columns;
}

/** Gives both switches' bonds the same active member and the same buckets, which OVS leaves to chance. */
export async function alignBonds(ovs: Ovs, c: LabCase, labs: readonly OurLab[]): Promise<void> {
  for (const { name, members, bond_mode } of c.bonds ?? []) {
    if (members.length < 2) continue;
    const nameOf = (no: number): string => members.find((m) => m.no === no)!.name;
    const bond = labs[0]!.bridge.pipeline.bundles.bond(name)!;
    void labs[0]!.bridge.pipeline.bundles.list; // brings it up to date with the links
    if (bond.active >= 0) await ovs.appctl("bond/set-active-member", name, nameOf(bond.active));
    const up = members.filter((m) => m.link_state !== "down");
    if (bond_mode !== "balance-slb" || up.length === 0) continue;
    for (let bucket = 0; bucket < BOND_BUCKETS; bucket++) {
      const member = up[bucket % up.length]!;
      await ovs.appctl("bond/migrate", name, String(bucket), member.name);
      for (const lab of labs) lab.bridge.pipeline.bundles.bond(name)!.migrate(bucket, member.no);
    }
  }
}

/** fdb/show or mdb/show with a bond's members told by the bond's first: OVS shows any of them. */
export function normalizeDump(text: string, c: LabCase): string[] {
  const lines = text.split("\n").map((line) =>
    line.replace(/^ *(\d+)/, (given, port: string) => {
      const bond = c.bonds?.find(({ members }) => members.some(({ no }) => no === Number(port)));
      return bond === undefined ? given : String(Math.min(...bond.members.map(({ no }) => no))).padStart(5);
    }),
  );
  return lines.filter((line) => line !== "");
}
