// A case for the judge: a pipeline and the frames that go through it, both as text, so that a case can be kept in a file
// (test/oracle/regressions/), shrunk line by line, and given to either switch.
//
//   # why it is kept
//   == groups
//   group_id=1,type=all,bucket=output:2
//   == meters
//   meter=1,pktps,burst,bands=type=drop,rate=2,burst_size=3
//   == vlan-limit
//   2                  tags that the switch looks at, where it is not one
//   == flows
//   table=0,priority=1,actions=group:1
//   == frames
//   1 0200...          a frame on port 1
//   ! delete table=1   a flow-mod before the next frame
//   +500 2 0200...     another on port 2, 500 ms later
//   == sent
//   2 0200...          what real Open vSwitch sent on port 2, and so on: an Outcome

export interface CaseFrame {
  readonly port: number;
  /** Time that passes before it arrives. */
  readonly afterMs: number;
  readonly hex: string;
  /** Flow-mods that are made before it arrives, one bundle: lines with a command, `delete table=1,ip`. */
  readonly mods?: readonly string[];
}

export interface Case {
  readonly meters: readonly string[];
  /** VLAN tags that are looked at (other_config:vlan-limit). */
  readonly vlanLimit: 1 | 2;
  readonly groups: readonly string[];
  readonly flows: readonly string[];
  readonly frames: readonly CaseFrame[];
}

export const EMPTY_CASE: Case = { meters: [], vlanLimit: 1, groups: [], flows: [], frames: [] };

/** What a switch made of a case: lines by what they are about. */
export interface Outcome {
  /** Flow-mods refused: the message. Nothing else is there then. */
  readonly refused: readonly string[];
  /** `PORT HEX`, by port, then in order. */
  readonly sent: readonly string[];
  /** `TABLE COOKIE REASON USERDATA HEX`: what a controller is sent, in order; `-` for no user data. */
  readonly controller: readonly string[];
  /** dump-flows in order, without what depends on time. */
  readonly flows: readonly string[];
  /** Flows with send_flow_rem that have gone, as a controller is told, without durations, sorted. */
  readonly removed: readonly string[];
  /** Statistics of groups and meters, without durations. */
  readonly statistics: readonly string[];
  /** dump-conntrack, sorted. */
  readonly connections: readonly string[];
  /** ofproto/trace of some frames. */
  readonly traces: readonly string[];
}

export const ASPECTS = [
  "refused",
  "sent",
  "controller",
  "flows",
  "removed",
  "statistics",
  "connections",
  "traces",
] as const;
export type Aspect = (typeof ASPECTS)[number];

/** Of a switch that was given something that it refuses. */
export function refusal(why: string): Outcome {
  return {
    refused: [why],
    sent: [],
    controller: [],
    flows: [],
    removed: [],
    statistics: [],
    connections: [],
    traces: [],
  };
}

/** The tunnel options that both switches know. */
export const TLV_MAP =
  "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=12}->tun_metadata1,{class=0x102,type=0x80,len=124}->tun_metadata63";

/** The ports of both switches, beside the bridge's own. */
export const PORTS = [1, 2, 3, 4] as const;

function formatFrame({ port, afterMs, hex }: CaseFrame): string {
  return `${afterMs > 0 ? `+${afterMs} ` : ""}${port} ${hex}`;
}

function parseFrames(lines: readonly string[]): CaseFrame[] {
  const frames: CaseFrame[] = [];
  let mods: string[] = [];
  for (const line of lines) {
    if (line.startsWith("! ")) {
      mods.push(line.slice(2));
    } else {
      frames.push(mods.length === 0 ? parseFrame(line) : { ...parseFrame(line), mods });
      mods = [];
    }
  }
  return frames;
}

function parseFrame(line: string): CaseFrame {
  const m = /^(?:\+(\d+) )?(\d+) ([0-9a-f]+)$/.exec(line);
  if (m === null) throw new Error(`not a frame: ${line}`);
  return { afterMs: Number(m[1] ?? 0), port: Number(m[2]), hex: m[3]! };
}

/** A case and, if given, its outcome, as a file's text. */
export function formatCase(c: Case, why: string, outcome: Outcome | null): string {
  const out = why.split("\n").map((line) => `# ${line}`.trimEnd());
  const section = (name: string, lines: readonly string[]) => {
    if (lines.length > 0) out.push(`== ${name}`, ...lines);
  };
  section("meters", c.meters);
  if (c.vlanLimit !== 1) section("vlan-limit", [String(c.vlanLimit)]);
  section("groups", c.groups);
  section("flows", c.flows);
  section(
    "frames",
    c.frames.flatMap((f) => [...(f.mods ?? []).map((mod) => `! ${mod}`), formatFrame(f)]),
  );
  if (outcome !== null) {
    section("refused", outcome.refused);
    section("sent", outcome.sent);
    section("controller", outcome.controller);
    section("dump-flows", outcome.flows);
    section("removed", outcome.removed);
    section("statistics", outcome.statistics);
    section("dump-conntrack", outcome.connections);
    for (const trace of outcome.traces) section("trace", trace.split("\n"));
  }
  return `${out.join("\n")}\n`;
}

/** The reverse of formatCase. */
export function parseCase(text: string): { case: Case; outcome: Outcome } {
  const sections = new Map<string, string[]>();
  const traces: string[][] = [];
  let lines: string[] = [];
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const head = /^== (\S+)$/.exec(line);
    if (head !== null) {
      lines = [];
      if (head[1] === "trace") traces.push(lines);
      else sections.set(head[1]!, lines);
    } else if (!line.startsWith("#")) {
      lines.push(line);
    }
  }
  const of = (name: string) => sections.get(name) ?? [];
  return {
    case: {
      meters: of("meters"),
      vlanLimit: of("vlan-limit")[0] === "2" ? 2 : 1,
      groups: of("groups"),
      flows: of("flows"),
      frames: parseFrames(of("frames")),
    },
    outcome: {
      refused: of("refused"),
      sent: of("sent"),
      controller: of("controller"),
      flows: of("dump-flows"),
      removed: of("removed"),
      statistics: of("statistics"),
      connections: of("dump-conntrack"),
      traces: traces.map((t) => t.join("\n")),
    },
  };
}

/**
 * Whether the list of connections can be compared: OVS removes an ended connection some time after its end, so nothing may end
 * on the way. (The shortest timeout is 30 s.)
 */
export function connectionsComparable(c: Case): boolean {
  return c.frames.reduce((ms, f) => ms + f.afterMs, 0) < 29_000;
}

/** Which aspects differ. */
export function differences(a: Outcome, b: Outcome): Aspect[] {
  return ASPECTS.filter((aspect) => a[aspect].join("\n") !== b[aspect].join("\n"));
}

/** The lines that differ, the first few of each aspect: `-` what real Open vSwitch has, `+` what we have. */
export function describeDifference(theirs: Outcome, ours: Outcome, max = 12): string {
  const out: string[] = [];
  for (const aspect of differences(theirs, ours)) {
    out.push(`${aspect} differ:`);
    const a = theirs[aspect].flatMap((l) => l.split("\n"));
    const b = ours[aspect].flatMap((l) => l.split("\n"));
    let shown = 0;
    for (let i = 0; i < Math.max(a.length, b.length) && shown < max; i++) {
      if (a[i] === b[i]) continue;
      if (a[i] !== undefined) out.push(`  - ${a[i]}`);
      if (b[i] !== undefined) out.push(`  + ${b[i]}`);
      shown++;
    }
  }
  return out.join("\n");
}
