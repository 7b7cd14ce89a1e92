// Random bridges with VLANs, flags and mirrors on their ports, and frames between a few hosts behind them.
import { Prng } from "../../src/lib/prng.ts";
import { OFPP_LOCAL } from "../../src/pipeline/action.ts";
import type { LabCase, LabFrame, LabPort } from "./lab-case.ts";

export const LAB_PORTS = [1, 2, 3, 4, 5, 6] as const;
const VLANS = [0, 5, 6, 7] as const;
const HOSTS = 6;

export interface LabKinds {
  readonly vlans?: boolean;
  readonly flags?: boolean;
  /** Settings of the bridge. */
  readonly bridge?: boolean;
  /** More flows than NORMAL. */
  readonly flows?: boolean;
  readonly mirrors?: boolean;
}

export function makeLabCase(seed: number, kinds: LabKinds, frames: number): LabCase {
  const rnd = new Prng(seed);
  const ports = LAB_PORTS.map((no) => makePort(rnd, no, kinds));
  const flows = kinds.flows ? makeFlows(rnd) : ["actions=NORMAL"];
  const mirrors = kinds.mirrors ? { mirrors: makeMirrors(rnd) } : {};
  const bridge = { ...(kinds.bridge ? makeBridge(rnd) : {}), ...mirrors };
  return { ports, bridge, flows, frames: Array.from({ length: frames }, () => makeFrame(rnd)) };
}

function makeBridge(rnd: Prng): Record<string, unknown> {
  const keys: Record<string, unknown> = {};
  if (chance(rnd, 50)) keys.vlan_limit = rnd.below(3);
  if (chance(rnd, 50)) keys.forward_bpdu = chance(rnd, 70);
  if (chance(rnd, 50)) keys.flood_vlans = someVlans(rnd);
  return keys;
}

function makeMirrors(rnd: Prng): Record<string, unknown>[] {
  const somePorts = () => LAB_PORTS.filter(() => chance(rnd, 35)).map((no) => `p${no}`);
  return Array.from({ length: 1 + rnd.below(3) }, (_, i) => {
    const keys: Record<string, unknown> = { name: `m${i}` };
    if (chance(rnd, 40)) keys.select_all = true;
    if (chance(rnd, 50)) keys.select_src_port = somePorts();
    if (chance(rnd, 50)) keys.select_dst_port = somePorts();
    if (chance(rnd, 30)) keys.select_vlan = someVlans(rnd);
    if (chance(rnd, 60)) keys.output_port = `p${rnd.pick(LAB_PORTS)}`;
    else keys.output_vlan = rnd.pick([5, 6, 7]);
    if (chance(rnd, 30)) keys.snaplen = rnd.pick([14, 30, 60, 9000]);
    return keys;
  });
}

function makeFlows(rnd: Prng): string[] {
  const output = () =>
    rnd.pick(["NORMAL", "NORMAL", "FLOOD", "ALL", "IN_PORT", "LOCAL", ...LAB_PORTS.map(String)]);
  const change = () =>
    rnd.pick([
      `mod_vlan_vid:${rnd.pick(VLANS)}`,
      `mod_vlan_pcp:${rnd.below(8)}`,
      "strip_vlan",
      `mod_dl_dst:02:00:00:00:00:0${1 + rnd.below(HOSTS)}`,
      `mod_dl_src:02:00:00:00:00:0${1 + rnd.below(HOSTS)}`,
      "resubmit(,1)",
      "clone(NORMAL)",
      `clone(mod_vlan_vid:${rnd.pick(VLANS)},output:${1 + rnd.below(6)})`,
      output(),
    ]);
  const actions = (): string => {
    const words = Array.from({ length: 1 + rnd.below(3) }, change);
    words.push(output());
    return words.join(",");
  };
  const flows = [`table=0,priority=1 actions=${actions()}`, `table=1 actions=${output()}`];
  for (let i = rnd.below(4); i > 0; i--) {
    const match = rnd.pick([
      `in_port=${1 + rnd.below(6)}`,
      `dl_vlan=${rnd.pick(VLANS)}`,
      "arp",
      "dl_vlan_pcp=5",
    ]);
    flows.push(`table=0,priority=${10 + i},${match} actions=${actions()}`);
  }
  return flows;
}

const chance = (rnd: Prng, in100: number): boolean => rnd.below(100) < in100;

function someVlans(rnd: Prng): number[] {
  return VLANS.filter(() => chance(rnd, 50));
}

function makePort(rnd: Prng, no: number, kinds: LabKinds): LabPort {
  const keys: Record<string, unknown> = {};
  if (kinds.vlans) {
    if (chance(rnd, 70)) {
      keys.vlan_mode = rnd.pick(["access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel"]);
    }
    if (chance(rnd, 70)) keys.tag = rnd.pick(VLANS);
    if (chance(rnd, 40)) keys.trunks = someVlans(rnd);
    if (chance(rnd, 30)) keys.cvlans = someVlans(rnd);
    if (chance(rnd, 30)) keys.qinq_ethtype = rnd.pick(["802.1ad", "802.1q"]);
    if (chance(rnd, 30)) keys.priority_tags = rnd.pick(["never", "if-nonzero", "always"]);
    if (chance(rnd, 30)) keys.protected = true;
  }
  if (kinds.flags) {
    if (chance(rnd, 20)) keys.no_flood = true;
    if (chance(rnd, 20)) keys.no_forward = true;
    if (chance(rnd, 20)) keys.no_receive = true;
    if (chance(rnd, 20)) keys.link_state = "down";
  }
  return { no, name: `p${no}`, ...keys };
}

/** Ethernet between the hosts, tagged in every way. */
export function makeFrame(rnd: Prng): LabFrame {
  const host = (): string => `02000000000${1 + rnd.below(HOSTS)}`;
  const dst = rnd.pick([host(), host(), host(), host(), "ffffffffffff", "01005e000001", "0180c2000003"]);
  const tag = rnd.pick([
    "",
    "",
    "",
    "81000005",
    "81000006",
    "8100a006",
    "81000007",
    "81004000",
    "81000000",
    "88a80005",
  ]);
  const inner = tag !== "" && chance(rnd, 30) ? rnd.pick(["81000005", "81006006", "88a80007"]) : "";
  const sender = host();
  const arp = `0806000108000604000${1 + rnd.below(2)}${sender}0a00000${rnd.below(2)}0000000000000a00000${rnd.below(2)}`;
  const ipv4 = "080045000014000000004000000000000a0000010a000002";
  const port = rnd.pick([...LAB_PORTS, OFPP_LOCAL]);
  return { port, hex: `${dst}${sender}${tag}${inner}${rnd.pick([arp, ipv4])}` };
}
