// Random conversations between few hosts, for comparing connection trackers: TCP that mostly behaves, with loss,
// reordering, repeats, stray segments and resets; UDP; ICMP queries and errors; other protocols; broken frames.
import { formatIpv4, formatIpv6 } from "../../src/packet/address.ts";
import { icmpFrame, ipFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG } from "../../src/packet/tcp.ts";

/** A generator of numbers from 0 to n - 1 (mulberry32). */
export function randomFrom(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  };
}

interface Side {
  readonly addr: string;
  readonly port: number;
  /** Next to send, and what it has from the other side. */
  seq: number;
  ack: number;
  scale: number;
}

interface TcpTalk {
  readonly sides: readonly [Side, Side];
  /** 0 before SYN, 1 after it, 2 after SYN+ACK, 3 open, 4 closing. */
  phase: number;
}

const HOSTS4 = ["10.0.0.1", "10.0.0.2", "192.168.7.9"];
const HOSTS6 = ["fd00::1", "fd00::2", "2001:db8:0:1::99"];

export class Conversations {
  readonly #random: (n: number) => number;
  readonly #talks: TcpTalk[] = [];
  #held: Uint8Array[] = [];
  #sent: Uint8Array[] = [];

  constructor(random: (n: number) => number) {
    this.#random = random;
  }

  next(): Uint8Array {
    const r = this.#random;
    let frame: Uint8Array;
    if (this.#held.length > 0 && r(4) === 0) {
      frame = this.#held.splice(r(this.#held.length), 1)[0]!;
    } else if (this.#sent.length > 0 && r(12) === 0) {
      frame = this.#sent[r(this.#sent.length)]!;
    } else {
      frame = this.#fresh();
      // Lost, or late.
      if (r(10) === 0) return this.next();
      if (r(10) === 0) {
        this.#held.push(frame);
        return this.next();
      }
    }
    if (r(60) === 0) frame = this.#broken(frame);
    this.#sent.push(frame);
    if (this.#sent.length > 40) this.#sent.shift();
    return frame;
  }

  #fresh(): Uint8Array {
    const r = this.#random;
    const kind = r(20);
    if (kind < 13) return this.#tcp();
    if (kind < 16) return this.#udp();
    if (kind < 18) return this.#ping();
    if (kind < 19) return this.#error();
    const { src, dst } = this.#pair();
    return ipFrame(
      { src, dst },
      [47, 50, 132, 58, 1][r(5)]!,
      Uint8Array.of(r(20), 0, 0, r(3), 0, 1, 0, 2, 0, 0, 0, 0),
    );
  }

  #pair(): { src: string; dst: string } {
    const hosts = this.#random(3) === 0 ? HOSTS6 : HOSTS4;
    const i = this.#random(3);
    return { src: hosts[i]!, dst: hosts[(i + 1 + this.#random(2)) % 3]! };
  }

  #udp(): Uint8Array {
    const r = this.#random;
    const { src, dst } = this.#pair();
    const there = r(2) === 0;
    const [srcPort, dstPort] = there ? [5000 + r(3), 53] : [53, 5000 + r(3)];
    return udpFrame({
      src,
      dst,
      srcPort,
      dstPort,
      payload: new Uint8Array(r(30)),
      ...(r(10) === 0 ? { checksum: 0 } : {}),
    });
  }

  #ping(): Uint8Array {
    const r = this.#random;
    const { src, dst } = this.#pair();
    const six = src.includes(":");
    const types = six ? [128, 128, 129, 129, 135, 133] : [8, 8, 0, 0, 13, 14, 15, 16, 17, 30];
    const rest = ((1 + r(3)) << 16) | r(5);
    const code = r(15) === 0 ? 1 : 0;
    return icmpFrame({ src, dst, type: types[r(types.length)]!, code, rest, payload: new Uint8Array(r(40)) });
  }

  /** An ICMP error about a frame that was sent, from its destination or from a router. */
  #error(): Uint8Array {
    const r = this.#random;
    const whole = this.#sent.filter((f) => f.length >= 62);
    if (whole.length === 0) return this.#udp();
    const about = whole[r(whole.length)]!;
    const six = about[12] === 0x86;
    const text = (at: number, length: number): string => {
      const part = [...about.slice(at, at + length)];
      if (length === 4) return part.join(".");
      const groups: string[] = [];
      for (let i = 0; i < 16; i += 2) groups.push(((part[i]! << 8) | part[i + 1]!).toString(16));
      return groups.join(":");
    };
    const [from, to] = six ? [text(38, 16), text(22, 16)] : [text(30, 4), text(26, 4)];
    const router = six ? "fd00::fe" : "10.0.0.254";
    const size = [8, 20, 28, 40, 48, 60, 200][r(7)]!;
    const types = six ? [1, 2, 3, 4] : [3, 4, 5, 11, 12];
    return icmpFrame({
      src: r(2) === 0 ? router : from,
      dst: r(10) === 0 ? router : to,
      type: types[r(types.length)]!,
      code: r(3),
      rest: 0,
      payload: about.slice(14, 14 + size),
    });
  }

  #tcp(): Uint8Array {
    const r = this.#random;
    if (this.#talks.length < 6 || r(40) === 0) this.#open();
    const talk = this.#talks[r(this.#talks.length)]!;
    if (r(12) === 0) return this.#stray(talk);
    const from = r(2);
    switch (talk.phase) {
      case 0:
        talk.phase = r(6) === 0 ? 3 : 1;
        return this.#segment(talk, 0, talk.phase === 3 ? TCP_ACK : TCP_SYN);
      case 1:
        if (r(5) === 0) return this.#segment(talk, 1, TCP_RST | TCP_ACK);
        talk.phase = 2;
        return this.#segment(talk, 1, TCP_SYN | (r(12) === 0 ? 0 : TCP_ACK));
      case 2:
        talk.phase = 3;
        return this.#segment(talk, 0, TCP_ACK);
      default: {
        const what = r(20);
        if (what === 0) return this.#segment(talk, from, r(2) === 0 ? TCP_RST : TCP_RST | TCP_ACK);
        if (what < 4) {
          talk.phase = 4;
          return this.#segment(talk, from, TCP_FIN | TCP_ACK);
        }
        if (talk.phase === 4 && what < 8) {
          talk.phase = 0;
          this.#restart(talk);
          return this.#tcp();
        }
        return this.#segment(
          talk,
          from,
          TCP_ACK | (r(3) === 0 ? TCP_PSH : 0),
          [0, 0, 1, 10, 500, 1400][r(6)]!,
        );
      }
    }
  }

  #open(): void {
    const r = this.#random;
    const { src, dst } = this.#pair();
    const start = (): number => (r(4) === 0 ? 0xffffff00 + r(256) : r(0x7fffffff) * 2) >>> 0;
    const side = (addr: string, port: number): Side => ({
      addr,
      port,
      seq: start(),
      ack: 0,
      scale: r(3) === 0 ? -1 : r(16),
    });
    const port = r(20) === 0 ? 21 : 80 + r(2);
    const talk: TcpTalk = { sides: [side(src, 40000 + r(3)), side(dst, port)], phase: 0 };
    if (this.#talks.length >= 12) this.#talks[r(this.#talks.length)] = talk;
    else this.#talks.push(talk);
  }

  #restart(talk: TcpTalk): void {
    for (const side of talk.sides) side.seq = (this.#random(0x7fffffff) * 2) >>> 0;
  }

  /** The next segment of one side; the other side hears of it nine times in ten. */
  #segment(talk: TcpTalk, from: number, flags: number, size = 0): Uint8Array {
    const r = this.#random;
    const me = talk.sides[from]!;
    const other = talk.sides[1 - from]!;
    const syn = (flags & TCP_SYN) !== 0;
    const frame = tcpFrame({
      src: me.addr,
      dst: other.addr,
      srcPort: me.port,
      dstPort: other.port,
      flags,
      seq: me.seq,
      ack: (flags & TCP_ACK) !== 0 ? (r(8) === 0 ? me.ack : other.seq) : 0,
      window: [65535, 65535, 29200, 500, 10, 1, 0][r(7)]!,
      options: syn ? this.#options(me.scale) : new Uint8Array(0),
      payload: new Uint8Array(size),
    });
    me.seq = (me.seq + size + (syn ? 1 : 0) + ((flags & TCP_FIN) !== 0 ? 1 : 0)) >>> 0;
    if (r(10) !== 0) other.ack = me.seq;
    return frame;
  }

  #options(scale: number): Uint8Array {
    const all: number[] = [];
    if (this.#random(2) === 0) all.push(2, 4, 5, 180);
    if (this.#random(2) === 0) all.push(1);
    if (scale >= 0) all.push(3, 3, scale);
    if (this.#random(3) === 0) all.push(1, 1, 4, 2);
    if (this.#random(30) === 0) all.push(8, 0);
    while (all.length % 4 !== 0) all.push(this.#random(6) === 0 ? 0 : 1);
    return Uint8Array.from(all.slice(0, 40));
  }

  /** Of a known tuple, but anything else. */
  #stray(talk: TcpTalk): Uint8Array {
    const r = this.#random;
    const from = r(2);
    const me = talk.sides[from]!;
    const other = talk.sides[1 - from]!;
    const near = (n: number): number => {
      const far = [0, 1, -1, 70000, -70000, 66000, -66000, 1_500_000, 0x7ffffff0, -0x70000000][r(10)]!;
      return (n + far + r(3000) - 1500) >>> 0;
    };
    const all = [TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG, TCP_SYN | TCP_ACK, TCP_RST | TCP_ACK];
    const flags = r(3) === 0 ? r(64) : all[r(all.length)]! | (r(2) === 0 ? TCP_ACK : 0);
    return tcpFrame({
      src: me.addr,
      dst: other.addr,
      srcPort: me.port,
      dstPort: other.port,
      flags,
      seq: near(me.seq),
      ack: r(6) === 0 ? 0 : near(other.seq),
      window: r(65536),
      options: (flags & TCP_SYN) !== 0 ? this.#options(r(16)) : new Uint8Array(0),
      payload: new Uint8Array(r(3) === 0 ? r(200) : 0),
    });
  }

  /** Some bits flipped beyond the Ethernet header (and not what makes it a fragment), or cut, or padded. */
  #broken(frame: Uint8Array): Uint8Array {
    const r = this.#random;
    const what = r(4);
    if (what === 0) return frame.slice(0, 14 + r(frame.length - 14));
    if (what === 1) {
      const padded = new Uint8Array(frame.length + 1 + r(20)).fill(0xee);
      padded.set(frame);
      return padded;
    }
    const copy = frame.slice();
    let at = 14 + r(frame.length - 14);
    const fragment = frame[12] === 0x08 ? at >= 20 && at < 22 : at === 20;
    if (fragment) at = 22;
    copy[at]! ^= 1 << r(8);
    return copy;
  }
}

/** An address in a frame, as text that the builders take. */
function addressAt(frame: Uint8Array, at: number, length: number): string {
  const part = frame.slice(at, at + length);
  return length === 4 ? formatIpv4(part) : formatIpv6(part);
}

/**
 * What the receiver of an unbroken TCP, UDP or ICMP echo frame may send back: an acknowledgment, a SYN+ACK, a FIN, a
 * datagram, an echo reply, or an ICMP error that quotes it. Null for other frames.
 */
export function answer(frame: Uint8Array, random: (n: number) => number): Uint8Array | null {
  const six = frame[12] === 0x86;
  const size = six ? 16 : 4;
  const at = six ? 22 : 26;
  const l4 = six ? 54 : 34;
  if (frame.length < l4 + 8) return null;
  const dst = addressAt(frame, at, size);
  const src = addressAt(frame, at + size, size);
  const word = (offset: number): number => (frame[l4 + offset]! << 8) | frame[l4 + offset + 1]!;
  const long = (offset: number): number => word(offset) * 65536 + word(offset + 2);
  const proto = frame[six ? 20 : 23]!;
  if (random(10) === 0) {
    const [type, from] = six ? [1 + random(4), "fd00::fe"] : [3, "10.0.0.254"];
    const payload = frame.slice(14, l4 + [20, 24, 40, 60][random(4)]!);
    return icmpFrame({ src: random(2) === 0 ? from : src, dst, type, code: random(3), payload });
  }
  const ports = { srcPort: word(2), dstPort: word(0) };
  if (proto === 17) return udpFrame({ src, dst, ...ports, payload: new Uint8Array(random(20)) });
  if (proto === 1 || proto === 58) {
    const type = frame[l4]!;
    if (type !== 8 && type !== 128) return null;
    return icmpFrame({ src, dst, type: six ? 129 : 0, rest: long(4) });
  }
  if (proto !== 6 || frame.length < l4 + 20) return null;
  const flags = frame[l4 + 13]!;
  const syn = (flags & TCP_SYN) !== 0;
  const taken =
    frame.length - l4 - (frame[l4 + 12]! >>> 4) * 4 + (syn ? 1 : 0) + ((flags & TCP_FIN) !== 0 ? 1 : 0);
  const seq = (flags & TCP_ACK) !== 0 ? long(8) : 0x1000 * random(1000);
  const more = [0, 0, 0, TCP_FIN, TCP_PSH, TCP_RST][random(6)]!;
  return tcpFrame({
    src,
    dst,
    ...ports,
    flags: syn && (flags & TCP_ACK) === 0 ? TCP_SYN | TCP_ACK : TCP_ACK | more,
    seq,
    ack: (long(4) + taken) >>> 0,
    payload: new Uint8Array(syn ? 0 : random(3) * 50),
  });
}

/**
 * A TCP frame with FIN or RST. OVS keeps the reply tuple of a connection that is closed and opened anew taken until it next
 * sweeps its table, which is a matter of its clock; so none is closed here.
 */
export function closes(frame: Uint8Array): boolean {
  const [proto, flags] = frame[12] === 0x86 ? [20, 67] : [23, 47];
  return frame[proto] === 6 && (frame[flags]! & (TCP_FIN | TCP_RST)) !== 0;
}

/**
 * An ICMP error that quotes less than a TCP header. OVS 3.1 writes the TCP checksum of what is quoted all the same, behind
 * the frame's end, and may die of it.
 */
export function isDeadly(frame: Uint8Array): boolean {
  const six = frame[12] === 0x86;
  const proto = frame[six ? 20 : 23];
  if (proto !== 1 && proto !== 58) return false;
  const length = six ? (frame[18]! << 8) | frame[19]! : (frame[16]! << 8) | frame[17]!;
  const type = frame[six ? 54 : 34]!;
  const isError = six ? type < 128 : type === 3 || type === 4 || type === 5 || type === 11 || type === 12;
  return isError && length < 8 + 20 + 40;
}
