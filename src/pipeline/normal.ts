// NORMAL: the learning switch (ovs-actions(7), output to NORMAL; ovs-vswitchd.conf.db(5), VLAN configuration). Sends to
// the bundle the destination was learned on, floods otherwise, never back to the bundle the frame came from.
import type { Flow } from "../flow/flow.ts";
import {
  O_DL_DST,
  O_DL_SRC,
  O_DL_TYPE,
  O_IN_PORT,
  O_NW_DST,
  O_NW_PROTO,
  O_NW_SRC,
  O_PACKET_TYPE,
  O_VLAN0,
  O_VLAN0_TCI,
  O_VLAN1,
  O_VLAN1_TCI,
  VLAN_CFI,
} from "../flow/layout.ts";
import { OFPP_CONTROLLER, OFPP_NONE } from "./action.ts";
import { BOND_ACCEPT, BOND_DROP } from "./bond.ts";
import type { Bundle } from "./bundle.ts";
import type { Context } from "./context.ts";
import { macKey } from "./mac-table.ts";
import { isSnooped, translateMulticast } from "./normal-multicast.ts";
import { composeOutput } from "./output.ts";
import {
  admitsVlan,
  carriesVlan,
  enterVlan,
  leaveVlan,
  putTags,
  type Tags,
  tagsOf,
  vlanOf,
} from "./port-vlan.ts";
import { ETH_ARP, isVlanType } from "./wildcards.ts";

const VID = 0x0fff;
const PCP = 0xe000;

const ARP_REQUEST = 1;
const ARP_REPLY = 2;

export function translateNormal(ctx: Context): void {
  const { flow, wc } = ctx;
  wc.setExact(O_DL_DST, 12);
  wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | VID | VLAN_CFI);

  const inPort = flow.get32(O_IN_PORT);
  const from = ctx.host.bundles.ofPort(inPort);
  const sourceless = from === null && (inPort === OFPP_NONE || inPort === OFPP_CONTROLLER);
  if (from === null && !sourceless) {
    ctx.report("error", `received packet on unknown port ${inPort}`);
    ctx.report("warn", "no input bundle, dropping");
    return;
  }
  if (isVlanType(flow.get16(O_DL_TYPE)) && (flow.get16(O_VLAN0_TCI) & VLAN_CFI) === 0) {
    if (ctx.frame !== null) {
      ctx.report(
        "error",
        `dropping packet with partial VLAN tag received on port ${from?.name ?? "OFPP_NONE"}`,
      );
    }
    ctx.report("warn", "partial VLAN tag, dropping");
    return;
  }
  const given = tagsOf(flow);
  // A priority decides whether VLAN 0 goes out tagged. (OVS looks at it without saying so in its mask.)
  if (given.outer !== 0 && vlanOf(given) === 0) wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | PCP);
  if (given.inner !== 0 && (given.inner & VID) === 0) wc.set16(O_VLAN1_TCI, 0xffff);
  if (from !== null && !admitsVlan(ctx, from, vlanOf(given))) {
    ctx.report("warn", "disallowed VLAN VID for this input port, dropping");
    return;
  }
  const tags = from === null ? given : enterVlan(from, given);
  const vlan = vlanOf(tags);
  if (from !== null && !ctx.host.settings.forwardBpdu && isReserved(flow)) {
    ctx.report("detail", "packet has reserved destination MAC, dropping");
    return;
  }
  if (from !== null && from.bond !== null && !bondAdmits(ctx, from, from.bond.admit(inPort, flow), vlan))
    return;

  const gratuitousArp = isGratuitousArp(flow, wc);
  // Whether it moves an address is also a question of time.
  if (gratuitousArp && ctx.host.bundles.hasBonds) ctx.cacheable = false;
  if (from !== null) learn(ctx, from, vlan, gratuitousArp);

  const { snooping } = ctx.host;
  if (snooping !== null && isSnooped(flow)) {
    translateMulticast(ctx, snooping, from, vlan, {
      flood: () => flood(ctx, from, tags),
      send: (to) => outputTo(ctx, to, tags),
    });
    return;
  }
  const found = lookUp(ctx, vlan);
  if (found < 0) {
    ctx.report("detail", "no learned MAC for destination, flooding");
    flood(ctx, from, tags);
    return;
  }
  const out = ctx.host.bundles.ofPort(found);
  if (out === null) {
    ctx.report("warn", "learned port is unknown, dropping");
  } else if (out === from) {
    ctx.report("detail", "learned port is input port, dropping");
  } else {
    ctx.report("detail", "forwarding to learned port");
    outputTo(ctx, out, tags);
  }
}

/** 01:80:c2:00:00:0x and the other addresses that are not forwarded unless other-config:forward-bpdu is set. */
export function isReserved(flow: Flow): boolean {
  const high = (flow.bytes[O_DL_DST]! << 16) | (flow.bytes[O_DL_DST + 1]! << 8) | flow.bytes[O_DL_DST + 2]!;
  const low =
    (flow.bytes[O_DL_DST + 3]! << 16) | (flow.bytes[O_DL_DST + 4]! << 8) | flow.bytes[O_DL_DST + 5]!;
  switch (high) {
    case 0x0180c2:
      return (low & 0xfffff0) === 0;
    case 0x00e02b: // Extreme Networks: EDP, EAPS
      return low === 0x000000 || low === 0x000004 || low === 0x000006;
    case 0x01000c: // Cisco: ISL, CDP and its kin, PVST+, FlexLink, CFM
      return (
        low === 0x000000 ||
        low === 0xcccccc ||
        low === 0xcccccd ||
        low === 0xcdcdcd ||
        (low & 0xfffff8) === 0xccccc0
      );
    default:
      return false;
  }
}

/** Whether a frame that came in on a bond's member is let in. `verdict` is the bond's. */
function bondAdmits(ctx: Context, from: Bundle, verdict: number, vlan: number): boolean {
  if (verdict === BOND_ACCEPT) return true;
  if (verdict === BOND_DROP) {
    ctx.report("detail", "bonding refused admissibility, dropping");
    return false;
  }
  const { flow, wc, nowMs } = ctx;
  const { macs, settings } = ctx.host;
  if ((flow.bytes[O_DL_SRC]! & 1) !== 0 || settings.floodVlans?.has(vlan)) return true;
  const key = macKey(flow.bytes, O_DL_SRC, vlan);
  ctx.dependOn(key);
  const known = macs.portOf(key, nowMs);
  if (known < 0 || known === from.no) return true;
  if (isGratuitousArp(flow, wc)) {
    ctx.cacheable = false; // the lock is a question of time
    if (!macs.isLocked(key, nowMs)) return true;
  }
  ctx.report("detail", "SLB bond thinks this packet looped back, dropping");
  return false;
}

/** An ARP frame to all that nobody has asked for: a reply, or a request of an address for itself. */
function isGratuitousArp(flow: Flow, wc: Flow): boolean {
  if (flow.get16(O_DL_TYPE) !== ETH_ARP) return false;
  for (let i = 0; i < 6; i++) if (flow.bytes[O_DL_DST + i] !== 0xff) return false;
  wc.set8(O_NW_PROTO, 0xff);
  const opcode = flow.get8(O_NW_PROTO);
  if (opcode !== ARP_REQUEST) return opcode === ARP_REPLY;
  wc.setExact(O_NW_SRC, 4);
  wc.setExact(O_NW_DST, 4);
  return flow.get32(O_NW_SRC) === flow.get32(O_NW_DST);
}

/** The bundle (its number) that the destination was learned on, -1 when it is not known. */
function lookUp(ctx: Context, vlan: number): number {
  const { bytes } = ctx.flow;
  if ((bytes[O_DL_DST]! & 1) !== 0 || ctx.host.settings.floodVlans?.has(vlan)) return -1;
  const key = macKey(bytes, O_DL_DST, vlan);
  ctx.dependOn(key);
  return ctx.host.macs.portOf(key, ctx.nowMs);
}

function learn(ctx: Context, from: Bundle, vlan: number, gratuitousArp: boolean): void {
  const { macs } = ctx.host;
  const { bytes } = ctx.flow;
  if ((bytes[O_DL_SRC]! & 1) !== 0 || ctx.flow.get32(O_PACKET_TYPE) !== 0) return;
  if (ctx.host.settings.floodVlans?.has(vlan)) return;
  const key = macKey(bytes, O_DL_SRC, vlan);
  ctx.dependOn(key);
  ctx.owner.learnedMac = { macs, key, port: from.no };
  if (!ctx.sideEffects) {
    // The address is known elsewhere now. A cached frame would not bring it back here, so none may be cached.
    if (macs.portOf(key, ctx.nowMs) !== from.no) ctx.cacheable = false;
    return;
  }
  const source = { port: from.no, isBond: from.bond !== null, gratuitousArp };
  if (macs.learnKey(key, source, ctx.nowMs) && ctx.trace !== null) {
    const mac = Array.from(bytes.subarray(O_DL_SRC, O_DL_SRC + 6), (b) =>
      b.toString(16).padStart(2, "0"),
    ).join(":");
    ctx.report("detail", `learned that ${mac} is on port ${from.name} in VLAN ${vlan}`);
  }
}

function flood(ctx: Context, from: Bundle | null, tags: Tags): void {
  for (const bundle of ctx.host.bundles.list) {
    if (bundle === from || bundle.noFlood || ctx.host.mirrors.isOutput(bundle)) continue;
    if (carriesVlan(bundle, tags)) outputTo(ctx, bundle, tags);
  }
}

/** Outputs with the tags the bundle wants. */
export function outputTo(ctx: Context, to: Bundle, tags: Tags): void {
  const { flow } = ctx;
  const out = leaveVlan(ctx, to, tags);
  // A trace that only asks takes nobody's turn.
  const take = ctx.sideEffects || ctx.trace === null;
  const no = to.bond === null ? to.no : to.bond.choose(flow, vlanOf(out), take);
  if (no < 0) return; // no member is up
  const old0 = flow.get32(O_VLAN0);
  const old1 = flow.get32(O_VLAN1);
  putTags(flow, to, out);
  ctx.dirty = true;
  composeOutput(ctx, no);
  flow.set32(O_VLAN0, old0);
  flow.set32(O_VLAN1, old1);
  ctx.dirty = true;
}
