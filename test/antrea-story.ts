// The recorded Antrea story (pcap-fixtures/README.md) as data: what came in on which port when, and what real Open vSwitch did.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CaptureMerge } from "../src/port/capture-merge.ts";
import { CaptureReader } from "../src/port/capture-reader.ts";

/** The repository's pcap-fixtures folder; this file runs from dist/test. */
export const FIXTURES: string = fileURLToPath(new URL("../../pcap-fixtures/", import.meta.url));
const ANTREA = join(FIXTURES, "antrea");

export const ANTREA_FLOWS = join(ANTREA, "antrea-v0.6-node1.flows");
export const ANTREA_BEFORE_POLICY_FLOWS = join(ANTREA, "antrea-v0.6-node1-before-policy.flows");
export const ANTREA_POLICY_FLOWS = join(ANTREA, "antrea-v0.6-node1-policy-only.flows");

/** The node's ports, by OpenFlow number. Nothing is recorded for 1 and 5. */
export const ANTREA_PORTS: readonly { readonly no: number; readonly name: string }[] = [
  { no: 1, name: "tun0" },
  { no: 2, name: "gw0" },
  { no: 3, name: "coredns--cfa77e" },
  { no: 4, name: "busybox--52b29c" },
  { no: 5, name: "busybox--cdc91c" },
  { no: 6, name: "nginx-85-804507" },
];
export const ANTREA_RECORDED: readonly number[] = [2, 3, 4, 6];

export type StoryPart = "before-policy" | "policy";

/** What a port's endpoint sent into the switch. */
export const sentCapture = (part: StoryPart, port: number): string => join(ANTREA, part, `port-${port}.pcap`);
/** What the switch gave to a port's endpoint. */
export const switchedCapture = (part: StoryPart, port: number): string =>
  join(ANTREA, part, `switched-${port}.pcap`);

/** Seconds from the first frame of part "policy" to the policy. */
export const policyAt = (): number => Number(readFileSync(join(ANTREA, "policy/policy-at.txt"), "utf8"));

export interface StoryFrame {
  readonly port: number;
  /** Since the first frame of the part. */
  readonly timeNs: number;
  readonly bytes: Uint8Array;
}

/** Every frame of a part, in time order. */
export async function storyFrames(part: StoryPart): Promise<StoryFrame[]> {
  const merge = await CaptureMerge.open(ANTREA_RECORDED.map((port) => sentCapture(part, port)));
  const frames: StoryFrame[] = [];
  let baseSec = -1;
  let baseNsec = 0;
  for (let batch = await merge.next(); batch !== null; batch = await merge.next()) {
    for (let i = 0; i < batch.count; i++) {
      if (baseSec < 0) {
        baseSec = batch.sec[i];
        baseNsec = batch.nsec[i];
      }
      const source = batch.source[i];
      const at = batch.offset[i];
      frames.push({
        port: ANTREA_RECORDED[source],
        timeNs: (batch.sec[i] - baseSec) * 1e9 + batch.nsec[i] - baseNsec,
        bytes: batch.buffers[source].slice(at, at + batch.length[i]),
      });
    }
  }
  merge.close();
  return frames;
}

/** The frames of one capture in hex, in order. */
export async function framesOf(path: string): Promise<string[]> {
  const reader = await CaptureReader.open(path);
  const frames: string[] = [];
  for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
    for (let i = 0; i < batch.count; i++) {
      const at = batch.offset[i];
      frames.push(Buffer.from(batch.data.subarray(at, at + batch.length[i])).toString("hex"));
    }
  }
  reader.close();
  return frames;
}

/** What a flow counted: its line without counters and ages, packets, bytes. */
export interface FlowCount {
  readonly flow: string;
  readonly packets: number;
  readonly bytes: number;
}

/** The flows of a dump with their counters. */
export function flowCounts(dump: string): FlowCount[] {
  return dump
    .split("\n")
    .filter((line) => line.includes("n_packets="))
    .map((line) => ({
      flow: line
        .replace(/(duration|idle_age|hard_age|n_packets|n_bytes)=[^,]*, ?/g, "")
        .replace(/reset_counts |idle_age=\d+, |hard_age=\d+, /g, "")
        .trim(),
      packets: Number(/n_packets=(\d+)/.exec(line)?.[1]),
      bytes: Number(/n_bytes=(\d+)/.exec(line)?.[1]),
    }));
}

/** Real Open vSwitch's counters at the end of a part. */
export const recordedFlows = (part: StoryPart): FlowCount[] =>
  flowCounts(readFileSync(join(ANTREA, part, "flows.txt"), "utf8"));

/** Real Open vSwitch's connections at the end of a part, sorted, their order being of no meaning. */
export const recordedConnections = (part: StoryPart): string[] =>
  readFileSync(join(ANTREA, part, "conntrack.txt"), "utf8")
    .trimEnd()
    .split("\n")
    .sort();

/** The arguments of `megaflow replay` for a part of the story, the policy at its time; add --out-dir and the like. */
export function replayArguments(part: StoryPart): string[] {
  const args = ["replay", "--flows", ANTREA_BEFORE_POLICY_FLOWS];
  for (const { no, name } of ANTREA_PORTS) args.push("--port", `${no}=${name}`);
  for (const no of ANTREA_RECORDED) args.push("--in", `${no}=${sentCapture(part, no)}`);
  if (part === "policy") args.push("--at", `+${policyAt()}=${ANTREA_POLICY_FLOWS}`);
  return args;
}
