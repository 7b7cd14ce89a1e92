// Makes a case that two switches disagree on as small as it can (delta debugging): pieces of the flows, frames and groups are
// left out, then pieces of the flows' own lines, as long as the disagreement stays.
import type { Case, CaseFrame } from "./case.ts";

export type Fails = (c: Case) => Promise<boolean>;

/** `fails(c)` holds for the case given and for the one returned. At most `tries` calls. */
export async function shrink(c: Case, fails: Fails, tries = 400): Promise<Case> {
  let left = tries;
  const test: Fails = async (smaller) => left-- > 0 && (await fails(smaller));
  let best = c;
  for (let size = -1; size !== weight(best) && left > 0; ) {
    size = weight(best);
    const frames = await fewest(best.frames, (frames) => test({ ...best, frames }));
    best = { ...best, frames };
    const flows = await fewest(best.flows, (flows) => test({ ...best, flows }));
    best = { ...best, flows };
    const groups = await fewest(best.groups, (groups) => test({ ...best, groups }));
    best = { ...best, groups };
    const meters = await fewest(best.meters, (meters) => test({ ...best, meters }));
    best = { ...best, meters };
    for (let i = 0; i < best.frames.length; i++) {
      const { port, hex, afterMs, mods } = best.frames[i]!;
      if (mods !== undefined) {
        const less = best.frames.map((f, k) => (k === i ? { port, hex, afterMs } : f));
        if (await test({ ...best, frames: less })) best = { ...best, frames: less };
      }
      if (best.frames[i]!.afterMs === 0) continue;
      const now: CaseFrame[] = best.frames.map((f, k) => (k === i ? { ...f, afterMs: 0 } : f));
      if (await test({ ...best, frames: now })) best = { ...best, frames: now };
    }
    for (const part of ["flows", "groups"] as const) {
      for (let i = 0; i < best[part].length; i++) {
        for (const line of simpler(best[part][i]!)) {
          const list = best[part].map((l, k) => (k === i ? line : l));
          if (await test({ ...best, [part]: list })) {
            best = { ...best, [part]: list };
            i--;
            break;
          }
        }
      }
    }
  }
  return best;
}

function weight(c: Case): number {
  return c.flows.join().length + c.groups.join().length + c.frames.length;
}

/** The fewest items for which `test` still holds, by halves, quarters... */
async function fewest<T>(
  all: readonly T[],
  test: (some: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let best = all;
  for (let chunk = Math.ceil(best.length / 2); chunk >= 1; chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2)) {
    for (let at = 0; at < best.length; ) {
      const less = [...best.slice(0, at), ...best.slice(at + chunk)];
      if (await test(less)) best = less;
      else at += chunk;
    }
  }
  return best;
}

/** The line without one of its comma-separated parts (commas inside parentheses do not count), or without a cookie. */
function simpler(line: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= line.length; i++) {
    const ch = line[i];
    if (ch === "(") depth++;
    else if (ch === ")") depth--;
    else if (i === line.length || (ch === "," && depth === 0)) {
      parts.push(line.slice(start, i));
      start = i + 1;
    }
  }
  const out: string[] = [];
  parts.forEach((part, i) => {
    if (/^(table|priority|group_id|type)=/.test(part)) return;
    const rest = [...parts.slice(0, i), ...parts.slice(i + 1)];
    if (!part.startsWith("actions=")) out.push(rest.join(","));
    else if (i + 1 < parts.length)
      out.push([...parts.slice(0, i), `actions=${parts[i + 1]}`, ...parts.slice(i + 2)].join(","));
    else if (part !== "actions=drop") out.push([...parts.slice(0, i), "actions=drop"].join(","));
  });
  return out;
}
