// A million connections end: the worst pause that expiry makes, when their time comes a little at a time, all at once, after a long
// silence, and when commits find the table full of what has ended.
import { CTC_CONNECTIONS } from "../src/datapath/abi.ts";
import { ConntrackRig } from "../src/datapath/conntrack-rig.ts";
import { udpFrame } from "../src/packet/frame.ts";
import { type BenchContext, type BenchResult, hashOf } from "./harness.ts";

export const name = "conntrack-expire";
export const question = "How long does it take to end a connection, and what is the worst pause?";

const COUNT = 1_000_000;
const SMALL = 20_000;
const PLAYS = 3;
/** Addresses and ports in a UDP frame; without a checksum, so that they may be changed. */
const NW_SRC = 26;
const TP_SRC = 34;
const UDP_CHECKSUM = 40;
const IP_CHECKSUM = 24;
const CLIENT = 0;
const SERVER = 1;
const ZONE = { zone: 7, commit: true } as const;

/** Frames of connections. */
class Opener {
  readonly #frame = udpFrame({ src: "10.0.0.1", dst: "10.255.0.2", srcPort: 1, dstPort: 53 });
  readonly #view = new DataView(this.#frame.buffer, this.#frame.byteOffset);
  #next = 1;

  /** The first frame of the next connection. */
  frame(): Uint8Array {
    return this.#make(this.#next++, CLIENT, SERVER);
  }

  /** The answer to the last one. */
  reply(): Uint8Array {
    return this.#make(this.#next - 1, SERVER, CLIENT);
  }

  #make(n: number, client: number, server: number): Uint8Array {
    const view = this.#view;
    view.setUint32(NW_SRC + client * 4, 0x0a000000 + (n >>> 8));
    view.setUint16(TP_SRC + client * 2, 1024 + (n & 0xff));
    view.setUint32(NW_SRC + server * 4, 0x0aff0002);
    view.setUint16(TP_SRC + server * 2, 53);
    view.setUint16(UDP_CHECKSUM, 0);
    view.setUint16(IP_CHECKSUM, 0);
    let sum = 0;
    for (let i = 14; i < 34; i += 2) sum += view.getUint16(i);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    view.setUint16(IP_CHECKSUM, ~sum & 0xffff);
    return this.#frame;
  }
}

type Calls = Record<"steady" | "burst" | "silence" | "commit" | "refused", number[]>;

interface Played {
  /** Microseconds of each call of a kind, in order. */
  readonly calls: Calls;
  readonly ended: number;
  readonly ns: number;
  readonly left: number;
}

function play(seed: number, count: number, commits: number): Played {
  const calls: Calls = { steady: [], burst: [], silence: [], commit: [], refused: [] };
  let ended = 0;
  let ns = 0;
  const rig = new ConntrackRig(count, BigInt(seed));
  const opener = new Opener();
  const live = () => Number(rig.kernel.exports.conntrackCounter(CTC_CONNECTIONS));
  const timed = (kind: keyof Calls, call: () => void) => {
    const begin = performance.now();
    call();
    const us = (performance.now() - begin) * 1000;
    calls[kind].push(us);
    return us;
  };
  const open = (answered = false) => {
    for (let i = 0; i < count; i++) {
      rig.send(opener.frame(), ZONE);
      if (answered) rig.send(opener.reply(), ZONE);
      if (i % 100 === 0) rig.nowMs++;
    }
  };
  const drain = (kind: keyof Calls, stepMs: number) => {
    for (let before = live(); before > 0; before = live()) {
      const us = timed(kind, () => rig.expire());
      if (before > live()) {
        ns += us * 1000;
        ended += before - live();
      }
      rig.nowMs += stepMs;
    }
  };
  const commit = (kind: keyof Calls) => {
    for (let i = 0; i < commits; i++) {
      const frame = opener.frame();
      timed(kind, () => rig.send(frame, ZONE));
    }
  };
  // Opened over a while, and ended as their time comes: a call each millisecond.
  open();
  drain("steady", 1);
  // All are over, and nobody looked.
  open();
  rig.nowMs += 600_000;
  drain("burst", 0);
  // Days without a frame.
  open();
  rig.nowMs += 3 * 86_400_000;
  drain("silence", 0);
  // The table is full of what has ended: each commit has to find a place.
  open();
  rig.nowMs += 600_000;
  commit("commit");
  rig.nowMs += 600_000;
  drain("burst", 0);
  // It is full of what was answered after it was put among the un-answered: all are met before a commit is refused.
  open(true);
  commit("refused");
  return { calls, ended, ns, left: live() };
}

export function run(context: BenchContext): BenchResult {
  const count = context.smoke ? SMALL : COUNT;
  const plays = Array.from({ length: context.smoke ? 1 : PLAYS }, () =>
    play(context.seed, count, Math.floor(count / 50)),
  );
  // The same calls each time: the shortest time of each is its own, the rest is what else the machine did.
  const worst = (kind: keyof Calls): string => {
    const first = plays[0]!.calls[kind];
    const us = first.reduce(
      (most, _, i) => Math.max(most, Math.min(...plays.map((p) => p.calls[kind][i]!))),
      0,
    );
    return `${us.toFixed(0)} us`;
  };
  const { ended, left } = plays[0]!;
  const note =
    `worst pause: ${worst("steady")} a call each millisecond, ${worst("burst")} all at once, ` +
    `${worst("silence")} after three days, ${worst("commit")} of a commit into a table full of ended ones, ` +
    `${worst("refused")} of answered ones`;
  const nsPerUnit = plays.map((p) => p.ns / p.ended);
  return { unit: "operation", nsPerUnit, count: ended, hash: hashOf(`${ended} ${left}`), note };
}
