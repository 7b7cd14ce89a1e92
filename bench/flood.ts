// A flood of spoofed SYNs, each of a connection of its own, through a full connection table, while real connections open, talk and
// close. The clock is the frames': a million SYNs a second. Some frames go alone, so that each can be timed.
import { Bridge } from "../src/bridge/bridge.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import {
  BATCH_MAX,
  CTC_CONNECTIONS,
  CTC_EARLY_DROP,
  FRAME_DESC_SIZE,
  FRAME_IN_PORT,
  FRAME_LEN,
  FRAME_PTR,
  FRAME_TIME,
  FRAME_TUNNEL,
  FRAME_WIRE_LEN,
} from "../src/datapath/abi.ts";
import { Prng } from "../src/lib/prng.ts";
import { TCP_SYN } from "../src/packet/tcp.ts";
import { PortTable } from "../src/pipeline/port-table.ts";
import { LINK, Segments, setChecksums, wholeLife } from "./traffic.ts";

/** Only a SYN opens a connection, so that one that was lost on the way is not picked up in its middle. */
const FLOWS = `
table=0, priority=10, tcp actions=ct(table=1,zone=65520)
table=1, priority=20, ct_state=+new, tcp, in_port=1, tcp_flags=+syn-ack actions=ct(commit,zone=65520),output:2
table=1, priority=20, ct_state=+est, tcp, in_port=1 actions=output:2
table=1, priority=20, ct_state=+est, tcp, in_port=2 actions=output:1
table=1, priority=10 actions=drop
`;

const START_MS = 1_587_638_000_000;
const SYNS_PER_MS = 1000;
/** A real connection's next frame comes after so long, at most; less where the table is smaller and a SYN stays less long. */
const PAUSE_MS_MAX = 200;
const STRIDE = 128;
const NEVER = 0xffffffffffffffffn;
const NW_SRC = 26;
const TP_SRC = 34;
const TCP_SEQ = 38;

export interface FloodOptions {
  readonly seed: number;
  readonly syns: number;
  readonly connectionsMax: number;
  /** Real connections, begun all along the flood. */
  readonly real: number;
}

export interface FloodFigures {
  /** Nanoseconds of a SYN in a batch. */
  readonly nsPerSyn: number;
  /** Of frames sent alone, the call into the kernel included, in microseconds. */
  readonly p999Us: number;
  readonly worstUs: number;
  readonly timed: number;
  /** Real connections of which every frame was let through. */
  readonly succeeded: number;
  readonly connectionsMost: number;
  readonly earlyDrops: number;
  /** Growth of the process between a fifth of the flood (the table is full) and its end, bytes. */
  readonly growth: number;
}

export function flood(options: FloodOptions): FloodFigures {
  const { seed, syns, connectionsMax, real } = options;
  const rng = new Prng(seed);
  const ports = new PortTable([1, 2].map((no) => ({ no, name: `p${no}` })));
  const bridge = new Bridge({ ports, failMode: "secure", connectionsMax, seed });
  bridge.advance(START_MS);
  bridge.addFlows(parseFlowFile(FLOWS), START_MS);
  const { kernel } = bridge.datapath;
  const { receive, outputCount, outputReset, conntrackCounter } = kernel.exports;
  const counter = (which: number) => Number(conntrackCounter(which));

  const there = new Segments(LINK);
  const back = new Segments({ ethSrc: LINK.ethDst, ethDst: LINK.ethSrc });
  const target = { src: 0, dst: 0xc0a80001, srcPort: 0, dstPort: 80 };
  const syn = there.segment(target, TCP_SYN, 0, 0);
  const arena: number = kernel.exports.arenaAt();
  const view = kernel.view;
  const frames: DataView[] = [];
  for (let i = 0; i < BATCH_MAX; i++) {
    const at = arena + BATCH_MAX * FRAME_DESC_SIZE + i * STRIDE;
    const d = arena + i * FRAME_DESC_SIZE;
    kernel.bytes.set(syn, at);
    view.setUint32(d + FRAME_PTR, at, true);
    view.setUint32(d + FRAME_LEN, syn.length, true);
    view.setUint32(d + FRAME_WIRE_LEN, syn.length, true);
    view.setUint32(d + FRAME_IN_PORT, 1, true);
    view.setUint32(d + FRAME_TUNNEL, 0, true);
    frames.push(new DataView(kernel.memory.buffer, at, STRIDE));
  }
  const single = arena + BATCH_MAX * (FRAME_DESC_SIZE + STRIDE);
  view.setUint32(single + FRAME_PTR, single + STRIDE, true);
  view.setUint32(single + FRAME_LEN, syn.length, true);
  view.setUint32(single + FRAME_WIRE_LEN, syn.length, true);
  view.setUint32(single + FRAME_TUNNEL, 0, true);

  const timesUs: number[] = [];
  /** Sends one frame alone; whether it was let through. */
  const alone = (frame: Uint8Array, inPort: number, nowMs: number): boolean => {
    kernel.bytes.set(frame, single + STRIDE);
    view.setUint32(single + FRAME_IN_PORT, inPort, true);
    view.setBigUint64(single + FRAME_TIME, BigInt(nowMs), true);
    const begin = performance.now();
    receive(single, 1, NEVER);
    timesUs.push((performance.now() - begin) * 1000);
    const sent: number = outputCount();
    outputReset();
    return sent === 1;
  };

  // Real clients are of 10/8; the flood is not.
  const durationMs = syns / SYNS_PER_MS;
  const due = new Map<number, number[]>();
  const lives = Array.from({ length: real }, (_, i) => {
    const src = 0x0a000000 + i;
    const frames = wholeLife(there, back, {
      src,
      dst: target.dst,
      srcPort: 1024 + rng.below(60_000),
      dstPort: 80,
    });
    return { frames, next: 0, whole: true };
  });
  const later = (which: number, ms: number) => {
    const list = due.get(ms);
    if (list === undefined) due.set(ms, [which]);
    else list.push(which);
  };
  const pauseMax = Math.min(PAUSE_MS_MAX, Math.floor(connectionsMax / SYNS_PER_MS / 3));
  lives.forEach((life, i) => {
    later(i, rng.below(Math.max(1, durationMs - pauseMax * life.frames.length)));
  });

  const figures = { ns: 0, most: 0, rss: 0 };
  for (let sent = 0; sent < syns; ) {
    const ms = Math.floor(sent / SYNS_PER_MS);
    const nowMs = START_MS + ms;
    bridge.advance(nowMs);
    for (let left = SYNS_PER_MS; left > 0; ) {
      const count = Math.min(BATCH_MAX, left);
      for (let i = 0; i < count; i++) {
        const frame = frames[i]!;
        frame.setUint32(NW_SRC, 0x0b000000 + rng.below(0xd0000000));
        frame.setUint16(TP_SRC, rng.below(0x10000));
        frame.setUint32(TCP_SEQ, rng.u32());
        setChecksums(frame);
        view.setBigUint64(arena + i * FRAME_DESC_SIZE + FRAME_TIME, BigInt(nowMs), true);
      }
      const begin = performance.now();
      receive(arena, count, NEVER);
      figures.ns += (performance.now() - begin) * 1e6;
      outputReset();
      left -= count;
      sent += count;
      // A SYN of the flood alone: it makes a connection, and another makes room.
      const spoofed = there.segment(
        { ...target, src: 0xdc000000 + sent, srcPort: rng.below(0x10000) },
        TCP_SYN,
        1,
        0,
      );
      alone(spoofed, 1, nowMs);
    }
    for (const which of due.get(ms) ?? []) {
      const life = lives[which]!;
      const n = life.next++;
      // The second, fifth and seventh frame are the server's.
      const passed = alone(life.frames[n]!, n === 1 || n === 4 || n === 6 ? 2 : 1, nowMs);
      if (!passed) life.whole = false;
      if (life.next < life.frames.length) later(which, ms + 1 + rng.below(pauseMax));
    }
    due.delete(ms);
    figures.most = Math.max(figures.most, counter(CTC_CONNECTIONS));
    if (figures.rss === 0 && sent >= syns / 5) figures.rss = process.memoryUsage().rss;
  }
  const growth = process.memoryUsage().rss - figures.rss;
  timesUs.sort((a, b) => a - b);
  return {
    nsPerSyn: figures.ns / syns,
    p999Us: timesUs[Math.floor(timesUs.length * 0.999)]!,
    worstUs: timesUs.at(-1)!,
    timed: timesUs.length,
    succeeded: lives.filter((life) => life.whole && life.next === life.frames.length).length,
    connectionsMost: figures.most,
    earlyDrops: counter(CTC_EARLY_DROP),
    growth,
  };
}
