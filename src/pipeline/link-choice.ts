// multipath and bundle: choosing a link or a member by a hash of the frame (ovs-actions(7)).
import { type Action, OFPP_NONE } from "./action.ts";
import type { Context } from "./context.ts";
import { hash2Words } from "./flow-hash.ts";
import { hashFlowFields, maskHashFields } from "./hash-fields.ts";

export function chooseLink(ctx: Context, action: Extract<Action, { type: "multipath" }>): number {
  maskHashFields(ctx.flow, ctx.wc, action.fields);
  const hash = hashFlowFields(ctx.flow, action.fields, action.basis);
  const links = action.maxLink + 1;
  switch (action.algorithm) {
    case "modulo_n":
      return hash % links;
    case "hash_threshold":
      return links === 1 ? 0 : Math.floor(hash / (Math.floor(0xffffffff / links) + 1));
    case "hrw":
      return bestLink(links, hash);
    case "iter_hash":
      return iterate(links, hash, action.arg);
  }
}

/** Highest random weight. */
function bestLink(links: number, hash: number): number {
  let best = 0;
  let bestScore = hash2Words(hash, 0);
  for (let link = 1; link < links; link++) {
    const score = hash2Words(hash, link);
    if (score > bestScore) {
      best = link;
      bestScore = score;
    }
  }
  return best;
}

/** Each round finds a link with a chance of a half or more. */
const ITERATIONS_MAX = 1000;

/** Hashes on, in growing ranges, until a link below `links` comes out. */
function iterate(links: number, hash: number, modulo: number): number {
  let range = modulo;
  if (range < links || Math.floor(range / 2) > links) {
    range = 1;
    while (range < links) range *= 2;
  }
  for (let round = 0; round < ITERATIONS_MAX; round++) {
    const link = hash2Words(hash, round) % range;
    if (link < links) return link;
  }
  return 0;
}

export function chooseMember(ctx: Context, action: Extract<Action, { type: "bundle" }>): number {
  const alive = (port: number): boolean => port >= 0xff00 || ctx.host.ports.get(port)?.live === true;
  if (action.algorithm === "active_backup") return action.members.find(alive) ?? OFPP_NONE;
  if (action.members.length > 1) maskHashFields(ctx.flow, ctx.wc, action.fields);
  const flowHash = hashFlowFields(ctx.flow, action.fields, action.basis);
  let best = OFPP_NONE;
  let bestScore = 0;
  action.members.forEach((member, i) => {
    if (!alive(member)) return;
    const score = hash2Words(i, flowHash);
    if (best === OFPP_NONE || score > bestScore) {
      best = member;
      bestScore = score;
    }
  });
  return best;
}
