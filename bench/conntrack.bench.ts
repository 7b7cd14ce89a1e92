// The connection tracker alone: an established segment of each of 1,000 TCP connections in turn through ct(zone=65520), with its
// key and descriptor put in place from JavaScript (about half of the time).
import { ConntrackRig, ctWords } from "../src/datapath/conntrack-rig.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { TCP_ACK, TCP_SYN } from "../src/packet/tcp.ts";
import { type BenchContext, type BenchResult, hashOf, measureFrames } from "./harness.ts";

export const name = "conntrack";
export const question = "How fast is a segment of one of 1,000 established TCP connections judged?";

const CONNECTIONS = 1000;
const ZONE = 65520;

// Addresses of src/kernel/memory.ts as word indexes; the frames lie in the rig's frame buffer, 64 bytes each.
const PKT = 0x10000 / 4;
const KEY = 0x10100 / 4;
const KEY_CT = KEY + 20;
const FRAMES = 0x20000;
const FRAME_SIZE = 64;
const PROGRAM = 0x40000;

export function run(context: BenchContext): BenchResult {
  const rig = new ConntrackRig(CONNECTIONS, BigInt(context.seed));
  const { bytes, words, exports } = rig.kernel;
  const frames: Uint8Array[] = [];
  const keys = new Uint32Array(CONNECTIONS * 12);
  for (let i = 0; i < CONNECTIONS; i++) {
    const there = {
      src: `10.1.${i >> 8}.${i & 255}`,
      dst: "10.0.0.2",
      srcPort: 1024 + i,
      dstPort: 80,
      minSize: 60,
    };
    const back = { src: there.dst, dst: there.src, srcPort: 80, dstPort: there.srcPort };
    rig.send(tcpFrame({ ...there, flags: TCP_SYN, seq: 1000 }), { zone: ZONE, commit: true });
    rig.send(tcpFrame({ ...back, flags: TCP_SYN | TCP_ACK, seq: 5000, ack: 1001 }), { zone: ZONE });
    const frame = tcpFrame({ ...there, flags: TCP_ACK, seq: 1001, ack: 5001 });
    rig.receive(frame);
    keys.set(words.subarray(KEY, KEY + 12), i * 12);
    frames.push(frame);
  }
  frames.forEach((frame, i) => {
    bytes.set(frame, FRAMES + i * FRAME_SIZE);
  });
  words.set(ctWords({ zone: ZONE }), PROGRAM / 4);
  const execute: (action: number) => void = exports.conntrackExecute;
  let states = 0;
  const pass = () => {
    for (let i = 0; i < CONNECTIONS; i++) {
      words[PKT] = FRAMES + i * FRAME_SIZE;
      for (let j = 0; j < 12; j++) words[KEY + j] = keys[i * 12 + j]!;
      words[KEY_CT] = 0;
      execute(PROGRAM);
      states += words[KEY_CT]! & 0xff;
    }
    return CONNECTIONS;
  };
  pass();
  const hash = hashOf(String(states), bytes.slice(KEY * 4, KEY * 4 + 128));
  return measureFrames(context, pass, hash);
}
