// Helpers against OVS's: FTP and TFTP sessions through a switch that translates addresses, or not. Control connections carry
// announcements of all kinds, right, wrong and hostile; connections come where they were announced and elsewhere; segments
// are lost, repeated and late. Compared after every frame: what is sent, and dpctl/dump-conntrack -m -s.
//
//   ALG_FRAMES=20000 ALG_SEED=7 npm test -- conntrack-alg
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIpv4, formatIpv6 } from "../../src/packet/address.ts";
import { tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../../src/packet/tcp.ts";
import { randomFrom } from "./conversations.ts";
import { OurSwitch, type Sent } from "./our-switch.ts";
import { type Ovs, ovsSkip } from "./ovs.ts";
import { withTwoPorts } from "./two-ports.ts";

const FRAMES = Number(process.env.ALG_FRAMES ?? 600);
const SEED = Number(process.env.ALG_SEED ?? 1);
type Random = (n: number) => number;

/** Inside is port 1, outside port 2. What a frame's destination MAC ends in says how it is translated. */
const WAYS = [
  { nat: "", zone: 1 },
  { nat: ",nat(src=NAT)", zone: 2 },
  { nat: ",nat(dst=INNER)", zone: 3 },
  { nat: ",nat", zone: 4 },
];

function flows(): string {
  const lines: string[] = [];
  for (const [ip, tcp, udp] of [
    ["ip", "tcp", "udp"],
    ["ipv6", "tcp6", "udp6"],
  ] as const) {
    const outside = ip === "ip" ? "198.51.100.123" : "2001:db8::77";
    const inner = ip === "ip" ? "10.7.7.7" : "fd00:1:2:3:4:5:6:7";
    WAYS.forEach(({ nat, zone }, i) => {
      const choose = nat.replace("NAT", outside).replace("INNER", inner);
      const way = `dl_dst=02:00:00:00:00:0${i}`;
      const undo = nat === "" ? "" : ",nat";
      const to = (in_port: number) =>
        `move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],move:NXM_NX_CT_MARK[0..15]->NXM_OF_ETH_SRC[8..23],` +
        `move:NXM_NX_CT_LABEL[0..7]->NXM_OF_ETH_SRC[24..31],output:${3 - in_port}`;
      // A control connection on another port, where every ct() names the helper.
      lines.push(`priority=20,${tcp},${way},tp_dst=2121 actions=ct(table=1,zone=${zone}${undo},alg=ftp)`);
      lines.push(`priority=10,${ip},${way} actions=ct(table=1,zone=${zone}${undo})`);
      const made = `exec(set_field:0x10${i}->ct_mark,set_field:0x5${i}->ct_label)`;
      lines.push(
        `table=1,priority=30,${ip},${way},ct_state=+new+rel actions=ct(commit,table=2,zone=${zone}${undo},exec(set_field:0x9->ct_mark))`,
      );
      for (const port of [21, 2121]) {
        lines.push(
          `table=1,priority=20,${tcp},${way},ct_state=+new-rel,tp_dst=${port} actions=ct(commit,table=2,zone=${zone},alg=ftp${choose},${made})`,
        );
      }
      lines.push(
        `table=1,priority=20,${udp},${way},ct_state=+new-rel,tp_dst=69 actions=ct(commit,table=2,zone=${zone},alg=tftp${choose},${made})`,
      );
      lines.push(
        `table=1,priority=5,${ip},${way},ct_state=+new-rel,tp_src=80/0x7fff,tcp actions=ct(commit,table=2,zone=${zone}${choose})`
          .replace(",tcp actions", " actions")
          .replace(`${ip},${way}`, `${tcp},${way}`),
      );
      lines.push(`table=1,priority=1,${ip},${way} actions=resubmit(,2)`);
      for (const p of [1, 2]) {
        lines.push(
          `table=2,priority=20,${ip},${way},in_port=${p},ct_state=+est+rel+trk actions=move:NXM_NX_CT_${ip === "ip" ? "NW_SRC" : "IPV6_SRC"}[0..15]->NXM_OF_ETH_DST[16..31],${to(p)}`,
        );
        lines.push(`table=2,priority=10,${ip},${way},in_port=${p} actions=${to(p)}`);
      }
    });
  }
  return lines.join("\n");
}

/** What one side of a conversation knows: the last frame that reached it. */
interface Session {
  readonly way: number;
  readonly six: boolean;
  readonly client: string;
  readonly server: string;
  readonly ports: readonly [number, number];
  /** Last received by the client, by the server. */
  readonly received: [Uint8Array | null, Uint8Array | null];
  readonly seq: [number, number];
}

const text = (s: string): Uint8Array => Uint8Array.from(s, (c) => c.charCodeAt(0) & 255);

class Sessions {
  readonly #random: Random;
  readonly #control: Session[] = [];
  readonly #data: Session[] = [];
  readonly #announced: {
    readonly way: number;
    readonly src: string;
    readonly dst: string;
    readonly port: number;
  }[] = [];
  readonly #sent: { frame: Uint8Array; port: number }[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** A frame, and the port where it comes in. */
  next(): { frame: Uint8Array; port: number; session: Session | null; from: number } {
    const r = this.#random;
    if (this.#sent.length > 0 && r(15) === 0) {
      return { ...this.#sent[r(this.#sent.length)]!, session: null, from: 0 };
    }
    if (this.#control.length < 4 || r(120) === 0) this.#begin();
    if (this.#announced.length > 0 && r(10) === 0) this.#beginData();
    const pool = this.#data.length > 0 && r(4) === 0 ? this.#data : this.#control;
    const session = pool[r(pool.length)]!;
    // Who has heard something new speaks.
    const from =
      session.received[1] === null ? 0 : session.received[0] === null ? (r(4) === 0 ? 0 : 1) : r(2);
    const made = this.#speak(session, from);
    if (made === null) return this.next();
    made[5] = session.way;
    const port = from + 1;
    this.#sent.push({ frame: made, port });
    if (this.#sent.length > 20) this.#sent.shift();
    return { frame: made, port, session, from };
  }

  /** The frame has come out at the other side. */
  arrived(session: Session, from: number, frame: Uint8Array): void {
    session.received[1 - from] = frame;
  }

  #address(): string {
    return `10.1.${this.#random(2)}.${1 + this.#random(3)}`;
  }

  #begin(): void {
    const r = this.#random;
    const six = r(4) === 0;
    const client = six ? `fd00::${1 + r(2)}` : this.#address();
    const server = six ? `2001:db8::${10 + r(2)}` : `203.0.113.${1 + r(2)}`;
    const tftp = r(5) === 0;
    this.#add(this.#control, {
      way: r(3) === 0 ? r(WAYS.length) : 1 + r(2),
      six,
      client,
      server,
      ports: [1025 + r(2000), tftp ? 69 : r(6) === 0 ? 2121 : 21],
      received: [null, null],
      seq: [r(1 << 30), r(1 << 30)],
    });
  }

  /** A connection that was announced, or nearly so. */
  #beginData(): void {
    const r = this.#random;
    const { way, src, dst, port } = this.#announced[r(this.#announced.length)]!;
    const off = r(8) === 0 ? 1 : 0;
    this.#add(this.#data, {
      way: r(10) === 0 ? r(WAYS.length) : way,
      six: src.includes(":"),
      client: src,
      server: dst,
      ports: [r(2) === 0 ? 20 : 5000 + r(1000), (port + off) & 0xffff || 1],
      received: [null, null],
      seq: [r(1 << 30), r(1 << 30)],
    });
  }

  #add(pool: Session[], session: Session): void {
    if (pool.length >= 5) pool[this.#random(pool.length)] = session;
    else pool.push(session);
  }

  /** The next frame of one side; null when it has nothing to say yet. */
  #speak(session: Session, from: number): Uint8Array | null {
    const r = this.#random;
    const got = session.received[from]!;
    const udp = session.ports[1] === 69;
    const [src, dst, srcPort, dstPort] =
      got !== null
        ? addressesOf(got, session.six)
        : from === 0
          ? ([session.client, session.server, ...session.ports] as const)
          : ["", "", 0, 0];
    if (src === "") return null;
    if (udp) {
      if (from === 1 && r(2) === 0) {
        this.#announce(session.way, src, dst, dstPort);
        return null;
      }
      return udpFrame({ src, dst, srcPort, dstPort, payload: text("\0\x01file\0octet\0") });
    }
    const l4 = session.six ? 54 : 34;
    const words =
      got === null
        ? 0
        : ((got[l4 + 4]! << 24) | (got[l4 + 5]! << 16) | (got[l4 + 6]! << 8) | got[l4 + 7]!) >>> 0;
    const theirs = got === null ? 0 : got.length - l4 - (got[l4 + 12]! >> 4) * 4;
    const syn = got !== null && (got[l4 + 13]! & TCP_SYN) !== 0 ? 1 : 0;
    const ack = (words + theirs + syn) >>> 0;
    const first =
      session.seq[from]! < 1 << 30 && (got === null || syn === 1) && (from === 0 ? got === null : true);
    let payload: Uint8Array = new Uint8Array(0);
    let flags = TCP_ACK;
    if (first) flags = got === null ? TCP_SYN : TCP_SYN | TCP_ACK;
    else if (r(2) === 0) {
      payload = this.#message(session, from, src, dst);
      flags |= TCP_PSH;
    } else if (session.way === 0 && r(40) === 0) flags = r(2) === 0 ? TCP_RST : TCP_FIN | TCP_ACK;
    const seq = session.seq[from]!;
    const frame = tcpFrame({
      src,
      dst,
      srcPort,
      dstPort,
      flags,
      seq: seq >>> 0,
      ack: got === null ? 0 : ack,
      payload,
    });
    // Sometimes it is lost on the way to what the sender remembers, and sent again.
    const repeats = r(12) === 0;
    if (!repeats)
      session.seq[from] = (seq + payload.length + ((flags & (TCP_SYN | TCP_FIN)) !== 0 ? 1 : 0)) >>> 0;
    return frame;
  }

  #announce(way: number, src: string, dst: string, port: number): void {
    this.#announced.push({ way, src, dst, port });
    if (this.#announced.length > 12) this.#announced.shift();
  }

  #message(session: Session, from: number, src: string, dst: string): Uint8Array {
    const r = this.#random;
    const port = r(8) === 0 ? r(65536) : 6000 + r(4);
    // What it calls itself: its address, or the one that the other side sees, or any.
    const got = session.received[1 - from];
    const seen = got === null || got === undefined ? src : addressesOf(got, session.six)[1];
    const name = r(8) === 0 ? seen : r(15) === 0 ? (session.six ? "fd00::99" : "192.0.2.9") : src;
    this.#announce(session.way, dst, name, port);
    this.#announce(session.way, dst, seen, port);
    const numbers = `${name.replaceAll(".", ",")},${port >> 8},${port & 255}`;
    const keyword = ["PORT", "port", "Port", "PORTX", "POR"][r(12)] ?? "PORT";
    const end = ["", "\r", "\n", " \r\nNOOP\r\n", "x", "\0\r\n"][r(16)] ?? "\r\n";
    let line: string;
    if (session.six) {
      const d = r(10) === 0 ? ["!", "/", "+", " "][r(4)]! : "|";
      const family = r(12) === 0 ? ["1", "22", "", "x2"][r(4)]! : "2";
      const long = r(8) === 0 ? name.replace("::", ":0:0:0:0:0:0:") : name;
      const odd = ["", "::ffff:1.2.3.4", "1::2::3", ":1:2", "12345::", name.toUpperCase()][r(20)] ?? long;
      line =
        r(2) === 0
          ? `${["eprt", "EPRT", "EPR"][r(12)] ?? "EPRT"} ${d}${family}${d}${odd}${d}${r(10) === 0 ? "99999" : port}${d}`
          : `229 ${["Entering Extended Passive Mode ", "extended passive", "Passive "][r(8)] ?? "Entering Extended Passive Mode "}${r(8) === 0 ? "" : "("}|||${r(12) === 0 ? "x" : port}|)`;
    } else {
      const bad = [
        `${name.replaceAll(".", ",")},300,1`,
        `${name.replaceAll(".", ",")},1`,
        `${name.replaceAll(".", ",")},,1`,
        `${name.replaceAll(".", ",")},00012,1`,
        `${name.replaceAll(".", ",")},1,999999999999`,
        `${name.replaceAll(".", ",")},1 ,2`,
        `0${name.replaceAll(".", ",")},1,2`,
        `${name},1,2,3,4`,
        `1,2,3`,
        `${numbers},9,9`,
        " ".repeat(200),
        "9".repeat(200),
        `${",".repeat(30)}`,
      ];
      const body = r(6) === 0 ? bad[r(bad.length)]! : numbers;
      line =
        (r(5) === 0 ? 1 - from : from) === 0
          ? `${r(3) === 0 ? keyword : "PORT"}${r(20) === 0 ? "" : " "}${body}`
          : `${["227", "2271", "22"][r(14)] ?? "227"} ${["", "Entering Passive Mode ", "=", "x("][r(4)]}${r(2) === 0 ? "(" : ""}${body})`;
    }
    if (r(8) === 0) line = ["220 hello", "USER x", "LIST", "", "a".repeat(r(300))][r(5)]!;
    return text(line + end);
  }
}

/** Source, destination and ports of an answer to `frame`. */
function addressesOf(frame: Uint8Array, six: boolean): readonly [string, string, number, number] {
  const at = six ? 22 : 26;
  const size = six ? 16 : 4;
  const show = (b: Uint8Array) => (six ? formatIpv6(b) : formatIpv4(b));
  const l4 = six ? 54 : 34;
  const port = (o: number) => (frame[l4 + o]! << 8) | frame[l4 + o + 1]!;
  return [show(frame.slice(at + size, at + 2 * size)), show(frame.slice(at, at + size)), port(2), port(0)];
}

async function compare(ovs: Ovs, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const sessions = new Sessions(random);
  const ours = new OurSwitch(flows());
  const seen = new Map<string, number>();
  const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);
  for (let i = 0; i < FRAMES; i++) {
    const { frame, port, session, from } = sessions.next();
    const mine = ours.send(frame, port);
    await ovs.receive(`p${port}`, frame);
    const theirs = [1, 2].flatMap((no) => ovs.takeSent(`p${no}`).map((f) => ({ port: no, frame: f })));
    const show = (all: readonly Sent[]) =>
      all.map(
        (s) =>
          `${s.port} ${Buffer.from(s.frame).toString("hex")} ${JSON.stringify(Buffer.from(s.frame.subarray(54)).toString("latin1"))}`,
      );
    const what = `seed ${seed}, frame ${i} at port ${port}: ${Buffer.from(frame).toString("hex")} ${JSON.stringify(Buffer.from(frame.subarray(54)).toString("latin1"))}`;
    assert.deepEqual(show(mine), show(theirs), what);
    assert.deepEqual(ours.dump().sort(), (await ovs.dumpConntrack("-m", "-s")).sort(), what);
    for (const s of mine) {
      const state = s.frame[11]!;
      note(
        `${(state & 4) !== 0 ? "rel " : ""}${(state & 16) !== 0 ? "inv" : (state & 1) !== 0 ? "new" : "est"}`,
      );
      if (s.frame.length !== frame.length) note("resized");
    }
    if (session !== null && mine[0] !== undefined && random(15) !== 0)
      sessions.arrived(session, from, mine[0].frame);
    if (random(30) === 0) {
      // Not so long that connections expire, and none is closed under NAT: OVS keeps a reply tuple taken until it next sweeps.
      const ms = [1, 10, 100][random(3)]!;
      ours.nowMs += ms;
      await ovs.warp(ms);
    }
  }
  console.log(`# seed ${seed}: ${FRAMES} frames, ${JSON.stringify(Object.fromEntries(seen))}`);
}

test("helpers do as OVS's", { skip: ovsSkip }, () => withTwoPorts(flows(), (ovs) => compare(ovs, SEED)));
