// The judge: random pipelines and frames through Megaflow and through real Open vSwitch, and what they make of them compared. See
// case.ts for what is compared; masks.ts for what needs no Open vSwitch.
import { Prng } from "../../../src/lib/prng.ts";
import {
  type Aspect,
  type Case,
  type CaseFrame,
  describeDifference,
  differences,
  formatCase,
  type Outcome,
} from "./case.ts";
import { eachPieceOnce, FRAGMENT_WAIT_MS, isFragment, sortSpans, tracks } from "./fragments.ts";
import { FrameMaker } from "./frames.ts";
import { oneIn } from "./hosts.ts";
import { checkMasks } from "./masks.ts";
import { mendCounts, mendTrace } from "./normalize.ts";
import { acceptable, type OurOutcome, runOurs } from "./ours.ts";
import { makePipeline, withChanges } from "./pipelines.ts";
import { shrink } from "./shrink.ts";
import { OvsEnded, type Theirs } from "./theirs.ts";

export interface JudgeOptions {
  readonly seed: number;
  readonly pipelines: number;
  readonly frames: number;
  readonly tablesMax: number;
  /** How many frames of a pipeline are traced. */
  readonly traces: number;
  /** Ask Open vSwitch about the lines that Megaflow refuses. */
  readonly verdicts?: boolean;
  /** How often the bits outside the mask of each installed megaflow are flipped. */
  readonly flipsPerMegaflow?: number;
  /** Stop after so many flips. */
  readonly flipsMax?: number;
  readonly shrinkTries?: number;
  /** Stop after so many disagreements. */
  readonly disagreementsMax?: number;
  readonly report?: (text: string) => void;
  /** Called after each pipeline. */
  readonly progress?: (sofar: JudgeResult) => void;
}

export interface JudgeResult {
  pipelines: number;
  frames: number;
  sent: number;
  flips: number;
  disagreements: string[];
  /** Seeds on which the switches disagreed, but not when asked again: OVS orders flows and removes connections in its own time. */
  unsteady: string[];
  /** Seeds on which Open vSwitch itself ended, by why: an assertion, a signal. */
  ended: Map<string, number[]>;
  /** How many of these were judged without the flows that Open vSwitch ended on. */
  rest: number;
  /** Lines that were left out of pipelines because Megaflow refuses them, by reason. */
  refused: Map<string, number>;
}

/** The case of a seed. */
export function makeCase(
  seed: number,
  options: Pick<JudgeOptions, "frames" | "tablesMax">,
  refused: (line: string, why: string, code: string) => void = () => {},
): Case {
  const r = new Prng(seed);
  const made = withoutEnqueue(makePipeline(r, options.tablesMax));
  // Under NAT, OVS keeps the ports of a connection that is opened anew taken for some seconds (differences.md).
  const reopens = !made.flows.join().includes("nat(");
  const pieces = oneIn(r, 4);
  let frames = new FrameMaker(r, { reopens, pieces, slow: made.mortal, twoTags: made.vlanLimit === 2 }).make(
    options.frames,
  );
  // OVS keeps fragments back to reassemble them for conntrack: none may wait in vain (differences.md).
  if (tracks(made.flows))
    frames = pieces ? within(frames, FRAGMENT_WAIT_MS - 1000) : frames.filter((f) => !isFragment(f));
  frames = eachPieceOnce(made.flows, frames);
  return acceptable({ ...made, frames: withChanges(r, made.flows, frames) }, refused);
}

/**
 * Its enqueues as the three actions that they are over OpenFlow 1.5, where a queue may have been set before: over 1.0 an enqueue restores
 * that one, and so it does here (differences.md, 10). An action set restores none.
 */
function withoutEnqueue<T extends Pick<Case, "groups" | "flows">>(c: T): T {
  if (![...c.groups, ...c.flows].some((line) => line.includes("set_queue"))) return c;
  const flows = c.flows.map((line) => {
    const end = `${line}write_actions(`.indexOf("write_actions(");
    const now = line.slice(0, end).replace(/\benqueue:(\w+):(\d+)/g, "set_queue:$2,output:$1,pop_queue");
    return now + line.slice(end);
  });
  return { ...c, flows };
}

/** The frames in less time than `ms` in all. */
function within(frames: readonly CaseFrame[], ms: number): CaseFrame[] {
  let nowMs = 0;
  return frames.map((f) => {
    const afterMs = nowMs + f.afterMs < ms ? f.afterMs : 0;
    nowMs += afterMs;
    return { ...f, afterMs };
  });
}

/** The frames to trace: some of all along. */
function tracedFrames(c: Case, options: JudgeOptions): readonly CaseFrame[] {
  const count = Math.min(options.traces, c.frames.length);
  return Array.from({ length: count }, (_, i) => c.frames[Math.floor((i * c.frames.length) / count)]!);
}

/** What OVS makes of a case, its known faults mended in the traces and its order of pieces left out, as ours shows them. */
async function runTheirs(
  theirs: Theirs,
  c: Case,
  ours: OurOutcome,
  traced: readonly CaseFrame[],
): Promise<Outcome> {
  const real = await theirs.run(c, traced);
  const lines = [...c.flows, ...c.frames.flatMap((f) => f.mods ?? [])];
  const flows = mendCounts(real.flows, ours.flows, lines);
  const sent = sortSpans(real.sent, ours.pieces.sent);
  const controller = sortSpans(real.controller, ours.pieces.controller);
  return {
    ...real,
    sent,
    controller,
    flows,
    traces: real.traces.map((text, i) => mendTrace(text, ours.traces[i] ?? "")),
  };
}

/** Cached against uncached, and the masks: what is wrong, or null. */
function ownTrouble(
  c: Case,
  cached: Outcome,
  result: JudgeResult | null,
  seed: number,
  options: JudgeOptions,
): string | null {
  const plain = runOurs(c, { cache: false });
  const differ = differences(plain, { ...cached, traces: [] });
  if (differ.length > 0)
    return `cached (+) and uncached (-) disagree\n${describeDifference(plain, { ...cached, traces: [] })}`;
  let trouble: string | null = null;
  runOurs(c, {
    cache: true,
    inspect: (bridge) => {
      const checked = checkMasks(bridge, new Prng(seed), options.flipsPerMegaflow ?? 8);
      if (result !== null) result.flips += checked.flips;
      trouble = checked.trouble;
    },
  });
  return trouble;
}

export async function judge(theirs: Theirs | null, options: JudgeOptions): Promise<JudgeResult> {
  const result: JudgeResult = {
    pipelines: 0,
    frames: 0,
    sent: 0,
    flips: 0,
    disagreements: [],
    unsteady: [],
    ended: new Map(),
    rest: 0,
    refused: new Map(),
  };
  const end = (error: unknown, seed: number) => {
    if (!(error instanceof OvsEnded)) throw error;
    result.ended.set(error.message, [...(result.ended.get(error.message) ?? []), seed]);
  };
  const say = (text: string) => {
    result.disagreements.push(text);
    options.report?.(text);
  };
  for (let i = 0; i < options.pipelines; i++) {
    const seed = options.seed + i;
    const refusals: [string, string, string][] = [];
    const c = makeCase(seed, options, (...x) => refusals.push(x));
    for (const [, why] of refusals) result.refused.set(why, (result.refused.get(why) ?? 0) + 1);
    const traced = tracedFrames(c, options);
    const cached = runOurs(c, { cache: true, traced });
    result.pipelines++;
    result.frames += c.frames.length;
    result.sent += cached.sent.length;

    const own = ownTrouble(c, cached, result, seed, options);
    if (own !== null) {
      const fails = async (x: Case) =>
        ownTrouble(x, runOurs(x, { cache: true }), null, seed, options) !== null;
      const small = await shrink(c, fails, options.shrinkTries);
      const trouble = ownTrouble(small, runOurs(small, { cache: true }), null, seed, options) ?? "";
      say(formatCase(small, `seed ${seed}: ${trouble}`, null));
    }
    if (theirs !== null) {
      try {
        await judgeTheirs(theirs, c, cached, seed, options, result, say);
      } catch (error) {
        end(error, seed);
        await judgeRest(theirs, c, (error as OvsEnded).message, seed, options, result, say);
      }
      if (options.verdicts === true) await judgeRefusals(theirs, c, refusals, seed, end, say);
    }
    options.progress?.(result);
    if (result.disagreements.length >= (options.disagreementsMax ?? Number.POSITIVE_INFINITY)) break;
    if (result.flips >= (options.flipsMax ?? Number.POSITIVE_INFINITY)) break;
  }
  return result;
}

/** Judges what is left of a pipeline on which Open vSwitch ended without the flows that it may have ended on. */
async function judgeRest(
  theirs: Theirs,
  c: Case,
  why: string,
  seed: number,
  options: JudgeOptions,
  result: JudgeResult,
  say: (text: string) => void,
): Promise<void> {
  const deadly = DEADLY.find(([end]) => end.test(why))?.[1];
  if (deadly === undefined) return;
  const harmless = (line: string) => !deadly.test(line);
  const left = {
    ...c,
    groups: c.groups.filter(harmless),
    flows: c.flows.filter(harmless),
    frames: c.frames.map((f) => (f.mods === undefined ? f : { ...f, mods: f.mods.filter(harmless) })),
  };
  const rest = acceptable(left, () => {});
  const cached = runOurs(rest, { cache: true, traced: tracedFrames(rest, options) });
  try {
    await judgeTheirs(theirs, rest, cached, seed, options, result, say);
    result.rest++;
  } catch (error) {
    if (!(error instanceof OvsEnded)) throw error;
  }
}

/** What Open vSwitch ends on (differences.md, entry 1): the failed assertion, and the lines that lead to it. */
const DEADLY: readonly (readonly [RegExp, RegExp])[] = [
  [/action_set_len <= state->ofpacts_len/, /write_actions/],
  [/failed in push_eth\(\)/, /encap\(|push_eth/],
  [/does not answer/, /fin_(idle|hard)_timeout/],
];

async function judgeTheirs(
  theirs: Theirs,
  c: Case,
  cached: OurOutcome,
  seed: number,
  options: JudgeOptions,
  result: JudgeResult,
  say: (text: string) => void,
): Promise<void> {
  const traced = tracedFrames(c, options);
  const real = await runTheirs(theirs, c, cached, traced);
  const differ = differences(real, cached);
  if (differ.length === 0) return;
  const first = describeDifference(real, cached);
  const aspect = differ[0]!;
  // Only the traces differ: a single frame's is enough.
  const tracedOf = (x: Case) => (aspect === "traces" ? x.frames : []);
  const fails = async (x: Case) => {
    const ours = runOurs(x, { cache: true, traced: tracedOf(x) });
    let again: readonly Aspect[];
    try {
      again = differences(await runTheirs(theirs, x, ours, tracedOf(x)), ours);
    } catch (error) {
      if (!(error instanceof OvsEnded)) throw error;
      return false;
    }
    if (aspect === "refused") return ours.refused.length === 0 && again.includes(aspect);
    return ours.refused.length === 0 && again.includes(aspect) && !again.includes("refused");
  };
  const start = aspect === "traces" ? { ...c, frames: traced } : c;
  const repeats = (await fails(start)) ? start : (await fails(c)) ? c : null;
  if (repeats === null) {
    result.unsteady.push(`seed ${seed}: disagreed once, and not when repeated\n${first}`);
    return;
  }
  const small = await shrink(repeats, fails, options.shrinkTries);
  const ours = runOurs(small, { cache: true, traced: tracedOf(small) });
  const expected = await runTheirs(theirs, small, ours, tracedOf(small));
  if (differences(expected, ours).length === 0) {
    result.unsteady.push(`seed ${seed}: disagrees now and then\n${first}`);
    return;
  }
  const why = `seed ${seed}: real Open vSwitch (-) and Megaflow (+) disagree\n${describeDifference(expected, ours)}`;
  say(formatCase(small, why, expected));
}

async function judgeRefusals(
  theirs: Theirs,
  c: Case,
  refusals: readonly (readonly [string, string, string])[],
  seed: number,
  end: (error: unknown, seed: number) => void,
  say: (text: string) => void,
): Promise<void> {
  for (const [line, why, code] of refusals) {
    if (code === "EUNSUPPORTED") continue;
    const kind = line.startsWith("group_id") ? "group" : "flow";
    let verdict: string | null;
    try {
      verdict = await theirs.verdict(kind, line, c);
    } catch (error) {
      end(error, seed);
      continue;
    }
    if (verdict === null)
      say(`# seed ${seed}: real Open vSwitch takes what Megaflow refuses (${why})\n${line}\n`);
  }
}
