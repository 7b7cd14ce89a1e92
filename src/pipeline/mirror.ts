// Mirrors (ovs-vswitchd.conf.db(5), Mirror table): copies of what enters or leaves the bridge, to a port (SPAN) or into a VLAN
// (RSPAN). A frame is mirrored where it first becomes eligible, as it is then: on the way in before its actions, on the way out
// right after the output. It goes to each destination once.
import { O_DL_DST, O_VLAN0_TCI, VLAN_CFI } from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { Bundle } from "./bundle.ts";
import type { Context } from "./context.ts";
import { isReserved, outputTo } from "./normal.ts";
import { admitsVlan, carriesVlan, enterVlan, type Tags, tagsOf, vlanOf, withVlan } from "./port-vlan.ts";

const VID = 0x0fff;
/** As in OVS; a translation keeps one bit for each. */
export const MIRRORS_MAX = 32;

/** Ports are named by their numbers, a bond by the number of one of its members. */
export interface MirrorOptions {
  readonly name: string;
  /** What arrives or departs on any port. */
  readonly selectAll?: boolean;
  readonly selectSrcPort?: readonly number[];
  readonly selectDstPort?: readonly number[];
  /** VLANs that are mirrored; none at all stands for all. */
  readonly selectVlan?: ReadonlySet<number>;
  /** Exactly one of the next two. */
  readonly outputPort?: number;
  readonly outputVlan?: number;
  /** Longer copies are cut. */
  readonly snaplen?: number;
}

/** One mirror, and what has gone through it. */
export class Mirror {
  readonly options: MirrorOptions;
  readonly bit: number;
  /** The bits of all mirrors with the same destination. */
  duplicates = 0;
  txPackets = 0;
  txBytes = 0;

  constructor(options: MirrorOptions, index: number) {
    this.options = options;
    this.bit = 1 << index;
  }

  credit(packets: number, bytes: number): void {
    this.txPackets += packets;
    this.txBytes += bytes;
  }
}

/** The mirrors of a bridge. */
export class MirrorTable {
  readonly list: readonly Mirror[];

  /** Throws ECONFIG when a mirror has no destination, or two, or when there are too many. */
  constructor(options: readonly MirrorOptions[] = []) {
    if (options.length > MIRRORS_MAX) {
      throw new MegaflowError(
        "ECONFIG",
        `a bridge has at most ${MIRRORS_MAX} mirrors, not ${options.length}`,
      );
    }
    for (const { name, outputPort, outputVlan } of options) {
      if ((outputPort === undefined) === (outputVlan === undefined)) {
        throw new MegaflowError("ECONFIG", `mirror ${name} wants one of output_port and output_vlan`);
      }
    }
    this.list = options.map((o, i) => new Mirror(o, i));
    for (const mirror of this.list) {
      const { outputPort, outputVlan } = mirror.options;
      for (const other of this.list) {
        if (other.options.outputPort === outputPort && other.options.outputVlan === outputVlan) {
          mirror.duplicates |= other.bit;
        }
      }
    }
  }

  /** The bits of the mirrors that want what arrives on the bundle. */
  sources(bundle: Bundle): number {
    return this.#selecting(bundle, "selectSrcPort");
  }

  /** The bits of the mirrors that want what departs on the bundle. */
  destinations(bundle: Bundle): number {
    return this.#selecting(bundle, "selectDstPort");
  }

  /** Whether the bundle is there for mirrored frames alone. */
  isOutput(bundle: Bundle): boolean {
    return this.list.some(({ options }) => has(bundle, options.outputPort));
  }

  #selecting(bundle: Bundle, by: "selectSrcPort" | "selectDstPort"): number {
    let bits = 0;
    for (const { options, bit } of this.list) {
      if (options.selectAll || options[by]?.some((no) => has(bundle, no))) bits |= bit;
    }
    return bits;
  }
}

function has(bundle: Bundle, no: number | undefined): boolean {
  return bundle.members.some((member) => member.no === no);
}

/** Mirrors the frame as it has arrived. */
export function mirrorIngress(ctx: Context, inPort: number): void {
  const { mirrors, bundles } = ctx.host;
  if (mirrors.list.length === 0) return;
  const bundle = bundles.ofPort(inPort);
  if (bundle !== null) mirrorFrame(ctx, bundle, mirrors.sources(bundle));
}

/** Mirrors the frame as it has just left. */
export function mirrorEgress(ctx: Context, port: number): void {
  const { mirrors, bundles } = ctx.host;
  if (mirrors.list.length === 0) return;
  const bundle = bundles.ofPort(port);
  if (bundle !== null) mirrorFrame(ctx, bundle, mirrors.destinations(bundle));
}

function mirrorFrame(ctx: Context, bundle: Bundle, candidates: number): void {
  const { flow, wc, host } = ctx;
  // Looked at by name of VLAN and reserved destination, which OVS leaves out of its mask.
  wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | VID | VLAN_CFI);
  const given = tagsOf(flow);
  if (!admitsVlan(ctx, bundle, vlanOf(given))) return;
  const tags = enterVlan(bundle, given);
  for (const mirror of host.mirrors.list) {
    if ((candidates & mirror.bit & ~ctx.mirrored) === 0) continue;
    const { selectVlan, outputPort, outputVlan, snaplen = 0 } = mirror.options;
    if (selectVlan !== undefined && !selectVlan.has(vlanOf(tags))) continue;
    // Before the outputs below, which must not mirror to the same place again.
    ctx.mirrored |= mirror.duplicates;
    ctx.mirrorSnaplen = snaplen;
    (ctx.owner.mirrors ??= []).push(mirror);
    if (outputPort !== undefined) {
      const out = host.bundles.ofPort(outputPort);
      if (out !== null) outputTo(ctx, out, tags);
    } else if (outputVlan !== undefined && vlanOf(tags) !== outputVlan) {
      wc.setExact(O_DL_DST, 6);
      if (!isReserved(flow)) outputToVlan(ctx, withVlan(tags, outputVlan));
    }
    ctx.mirrorSnaplen = 0;
  }
}

/** To every bundle of the VLAN, the one it came from too. */
function outputToVlan(ctx: Context, tags: Tags): void {
  for (const bundle of ctx.host.bundles.list) {
    if (carriesVlan(bundle, tags) && !ctx.host.mirrors.isOutput(bundle)) outputTo(ctx, bundle, tags);
  }
}
