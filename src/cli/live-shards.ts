// The shards of a running bridge: where its flows allow it, threads that share its frames, and what is said when one is lost.
import type { Revival } from "../bridge/spread.ts";
import { planSpread, type SpreadPlan } from "../bridge/spread-plan.ts";
import { type ShardLoader, ShardPool } from "../worker/shard-pool.ts";
import type { SwitchFiles } from "./switch-files.ts";
import type { SwitchDescription } from "./switch-options.ts";

/** What a bridge is given of them. */
export interface LiveShards {
  readonly loaders: readonly ShardLoader[];
  readonly plan: SpreadPlan;
  readonly revival: Revival;
}

export function livePlan(described: SwitchDescription, files: SwitchFiles): SpreadPlan {
  const { failMode, settings, conntrack } = described;
  const { flows, groups, ports } = files;
  return planSpread({
    failMode,
    flows,
    later: [],
    groups,
    ports,
    settings,
    conntrack: conntrack ?? {},
    hasConnections: false,
  });
}

/** Starts so many threads for a bridge and one that stands by; null where all frames must be in one shard: it is said why. */
export async function startShards(
  count: number,
  plan: SpreadPlan,
  say: (text: string) => void,
): Promise<LiveShards | null> {
  if (count === 1) return null;
  if (plan.by === null) {
    say(`all frames are handled by one shard: ${plan.reason}`);
    return null;
  }
  const pool = await ShardPool.start(count, { replaces: true });
  const n = (x: number) => x.toLocaleString("en");
  const revival: Revival = {
    replace: (shard) => pool.replace(shard),
    told: ({ why, frames, connections }) =>
      say(
        `${why}; another thread takes its place, ${n(connections)} connections and ${n(frames)} frames are lost`,
      ),
  };
  return { loaders: pool.loaders, plan, revival };
}
