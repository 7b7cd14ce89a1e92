// Cases of the judge (test/oracle/judge/) for shards: cut down to what may be spread, and sent through any number of shards.
import { Bridge, type FrameSink } from "../../src/bridge/bridge.ts";
import { conntrackText, flowsText, groupStatsLines, megaflowLines } from "../../src/bridge/dump.ts";
import { planSpread, type SpreadPlan } from "../../src/bridge/spread-plan.ts";
import { parseMeterFile } from "../../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import type { Prng } from "../../src/lib/prng.ts";
import { formatFlowRemoval } from "../../src/pipeline/flow-removal.ts";
import type { ShardLoader } from "../../src/worker/shard-pool.ts";
import { type Case, type CaseFrame, EMPTY_CASE } from "../oracle/judge/case.ts";
import { acceptable, ourPorts, parseFlows, parseGroups, tlvMap } from "../oracle/judge/ours.ts";

/** Any start but 0 will do. */
const START_MS = 1_000_000;

export function planOf({ groups, flows, frames }: Case): SpreadPlan {
  return planSpread({
    failMode: "secure",
    flows: parseFlows(flows.join("\n")),
    later: frames.flatMap(({ mods }) => (mods === undefined ? [] : parseFlows(mods.join("\n")))),
    groups: parseGroups(groups.join("\n")),
    ports: ourPorts(),
    settings: { tlvMap },
    conntrack: {},
    hasConnections: false,
  });
}

const flowsAlone = (...flows: string[]): Case => ({ ...EMPTY_CASE, flows });

/**
 * The case without what keeps its frames in one shard: lines are mended, or left out. Of ct and what must not be beside it, chance
 * keeps one.
 */
export function spreadable(c: Case, r: Prng): Case {
  const tracks = r.below(3) > 0;
  const mend = (line: string) =>
    line
      .replace(/\b(NORMAL)\b/g, () => `output:${1 + r.below(4)}`)
      .replace(/,nat(\((?:[^()]|\([^()]*\))*\))?(?=[,)])/g, "")
      .replace(/learn\((?:[^()]|\([^()]*\))*\)/g, "output:2");
  const actionsOf = (line: string) => `actions=${line.slice(line.indexOf("actions=") + 8)}`;
  const isKept = (line: string) => {
    if (/^delete|^! delete/.test(line)) return true;
    if (!tracks && /\bct\(/.test(line)) return false;
    const plain = line.replace(/^(add|modify|modify_strict) /, "");
    const withCt = tracks ? [plain, "table=0,ip,actions=ct(commit)"] : [plain];
    return planOf(flowsAlone(...withCt)).by !== null;
  };
  // A bucket is tried as a flow's actions.
  const isKeptGroup = (line: string) =>
    line
      .split("bucket=")
      .slice(1)
      .every((bucket) =>
        isKept(
          `table=0,${/ct|tcp|mod_nw|ip/.test(bucket) ? "tcp," : ""}${actionsOf(bucket.replace(/,$/, ""))}`,
        ),
      );
  const tried = (keep: (line: string) => boolean) => (line: string) => {
    try {
      return keep(line);
    } catch (error) {
      if (!(error instanceof MegaflowError)) throw error;
      return false;
    }
  };
  const groups = c.groups.map(mend).filter(tried(isKeptGroup));
  const flows = c.flows.map(mend).filter(tried(isKept));
  const frames = c.frames.map(({ mods, ...frame }): CaseFrame => {
    const kept = (mods ?? []).map(mend).filter(tried(isKept));
    return kept.length === 0 ? frame : { ...frame, mods: kept };
  });
  // What refers to a line that is gone goes too.
  return acceptable({ ...EMPTY_CASE, groups, flows, frames }, () => {});
}

export interface Transcript {
  /** All that the switch says and does of a case, a line each: equal for any number of shards. */
  readonly said: readonly string[];
  /**
   * Its megaflows, nearly always equal too. Two megaflows with the same actions may overlap: which of them a frame hits, or whether it
   * makes the second, depends on what its shard has seen.
   */
  readonly megaflows: readonly string[];
}

export function transcript(
  c: Case,
  shards: { readonly loaders: readonly ShardLoader[]; readonly plan: SpreadPlan } | null,
  cache = true,
): Transcript {
  const bridge = new Bridge({
    ports: ourPorts(),
    failMode: "secure",
    settings: { tlvMap },
    cache,
    connectionsMax: 4096,
    megaflowsMax: 8192,
    ...(shards === null ? {} : { shards }),
  });
  const said: string[] = [];
  // Frames are numbered from 0 on: a run numbers those that were staged.
  let done = 0;
  const verdicts: string[] = [];
  const run = () => {
    bridge.run(sink);
    done = verdicts.length;
  };
  bridge.onFlowRemoved = (removal) => said.push(formatFlowRemoval(removal));
  const sink: FrameSink = {
    port(port, memory, offset, length, wireLength, frame) {
      said.push(`${done + frame} to ${port}: ${hexOf(memory, offset, length)} ${wireLength}`);
    },
    userspace(to, memory, offset, length, wireLength, frame, key) {
      const { tableId, reason, cookie } = to;
      said.push(`${done + frame} to controller: ${tableId} ${reason} ${cookie} ${wireLength}`);
      said.push(`  ${hexOf(memory, offset, length)} ${Buffer.from(key.bytes).toString("hex")}`);
    },
    verdict(index, { outputs, userspace, drop, info }) {
      verdicts.push(
        `${done + index} ${outputs} ${userspace} ${drop} ${info?.reason} ${info?.table} ${info?.cookie}`,
      );
    },
  };
  bridge.advance(START_MS);
  bridge.applyMeters(parseMeterFile(c.meters.join("\n")), START_MS);
  bridge.applyGroups(parseGroups(c.groups.join("\n")), START_MS);
  bridge.applyFlows(parseFlows(c.flows.join("\n")), START_MS);
  let nowMs = START_MS;
  for (const frame of c.frames) {
    nowMs += frame.afterMs;
    if (frame.mods !== undefined) {
      run();
      bridge.advance(nowMs);
      bridge.applyFlows(parseFlows(frame.mods.join("\n")), nowMs);
    }
    const bytes = Buffer.from(frame.hex, "hex");
    const stage = () => bridge.stage(bytes, 0, bytes.length, bytes.length, frame.port, nowMs);
    if (stage()) continue;
    // A fragment may want those before it done.
    run();
    stage();
  }
  run();
  said.push(...verdicts, flowsText(bridge), ...groupStatsLines(bridge));
  said.push(...conntrackText(bridge).split("\n").sort());
  return { said, megaflows: [...megaflowLines(bridge)] };
}

const hexOf = (memory: Uint8Array, offset: number, length: number) =>
  Buffer.from(memory.subarray(offset, offset + length)).toString("hex");
