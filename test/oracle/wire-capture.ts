// What a host received, as lines that do not depend on the hour, on random numbers or on what TCP chose: a line for each ARP, ICMP and UDP
// packet in whole, one for each direction of a TCP connection, in the order in which they began.
import { formatIpv4 } from "../../src/packet/address.ts";
import { bytesToHex, get16 } from "../../src/packet/bytes.ts";
import { internetChecksum, pseudoHeaderSum } from "../../src/packet/checksum.ts";
import { ETH_TYPE_IPV4, ETH_TYPE_VLAN, ETHERNET_SIZE } from "../../src/packet/ethernet.ts";
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from "../../src/packet/ipv4.ts";
import { readTcp, TCP_FIN, TCP_RST, TCP_SYN, type Tcp } from "../../src/packet/tcp.ts";

const TAG_SIZE = 4;
const ICMP_ECHO_TYPES = [0, 8];
const ICMP_SIZE = 8;
const FLAGS = { S: TCP_SYN, F: TCP_FIN, R: TCP_RST };
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_TIMESTAMPS = 8;

/** One direction of a TCP connection. */
class Stream {
  /** Link addresses, IP addresses, ports, and TOS, TTL and flags of IP: of each packet the same, or there are several. */
  readonly heads = new Set<string>();
  readonly wrong: string[] = [];
  #first: number | null = null;
  #options = "";
  #flags = 0;
  readonly #content = new Map<number, Uint8Array>();

  add(head: string, tcp: Tcp, payload: Uint8Array): void {
    this.heads.add(head);
    this.#flags |= tcp.flags & (TCP_SYN | TCP_FIN | TCP_RST);
    if ((tcp.flags & TCP_SYN) !== 0) {
      this.#first = tcp.seq;
      this.#options = optionsText(tcp.options);
    } else if (payload.length > 0) {
      this.#content.set((tcp.seq - (this.#first ?? tcp.seq) - 1) >>> 0, payload);
    }
  }

  /** All that it carried, once and in order. */
  #text(): string {
    const out: Uint8Array[] = [];
    let size = 0;
    for (const [at, payload] of [...this.#content].sort(([a], [b]) => a - b)) {
      if (at > size) out.push(new TextEncoder().encode(`[${at - size} bytes missing]`));
      const fresh = payload.subarray(Math.max(0, size - at));
      out.push(fresh);
      size = Math.max(size, at + payload.length);
    }
    return Buffer.concat(out)
      .toString("latin1")
      .replace(/^Date: .*$/m, "Date: a date");
  }

  toString(): string {
    const flags = Object.entries(FLAGS).map(([name, bit]) => ((this.#flags & bit) === 0 ? "-" : name));
    const parts = [
      `tcp ${[...this.heads].sort().join(" or ")}`,
      flags.join(""),
      this.#options,
      ...this.wrong,
    ];
    return `${parts.join(" ")} ${JSON.stringify(this.#text())}`;
  }
}

/** The lines of a capture; `frames` in hexadecimal. */
export function wireLines(frames: readonly string[]): string[] {
  const lines: (string | Stream)[] = [];
  const streams = new Map<string, Stream>();
  for (const hex of frames) {
    const frame = new Uint8Array(Buffer.from(hex, "hex"));
    let at = ETHERNET_SIZE;
    if (get16(frame, 12) === ETH_TYPE_VLAN) at += TAG_SIZE;
    if (get16(frame, at - 2) !== ETH_TYPE_IPV4) {
      lines.push(hex);
      continue;
    }
    const link = bytesToHex(frame.subarray(0, at));
    const packet = frame.slice(at, at + get16(frame, at + 2));
    const wrong = checkHeader(packet);
    const head = `${link} ${headText(packet)}`;
    const l4 = (packet[0]! & 15) * 4;
    const payload = packet.subarray(l4);
    const isFragment = (get16(packet, 6) & 0x3fff) !== 0;
    const tcp = packet[9] === PROTO_TCP && !isFragment ? readTcp(payload) : null;
    if (!isFragment) wrong.push(...checkPayload(packet, payload));
    if (tcp === null) {
      if (packet[9] === PROTO_ICMP) hideQuoted(payload);
      lines.push(`ip ${head} ${bytesToHex(payload)} ${wrong.join(" ")}`);
      continue;
    }
    const name = `${bytesToHex(packet.subarray(12, 20))} ${tcp.srcPort} ${tcp.dstPort}`;
    let stream = streams.get(name);
    if (stream === undefined) {
      stream = new Stream();
      streams.set(name, stream);
      lines.push(stream);
    }
    stream.wrong.push(...wrong);
    stream.add(`${head} ${tcp.srcPort}>${tcp.dstPort}`, tcp, payload.subarray((payload[12]! >>> 4) * 4));
  }
  return lines.map(String);
}

/** Without the identification, which is the sender's choice, and the checksum over it. */
function headText(packet: Uint8Array): string {
  const flags = get16(packet, 6).toString(16);
  return `${formatIpv4(packet, 12)}>${formatIpv4(packet, 16)} tos=${packet[1]} ttl=${packet[8]} frag=${flags} proto=${packet[9]}`;
}

function checkHeader(packet: Uint8Array): string[] {
  return internetChecksum(packet.subarray(0, (packet[0]! & 15) * 4)) === 0 ? [] : ["[bad IP checksum]"];
}

function checkPayload(packet: Uint8Array, payload: Uint8Array): string[] {
  const proto = packet[9]!;
  const isOver = proto === PROTO_TCP || proto === PROTO_UDP;
  if (!isOver && proto !== PROTO_ICMP) return [];
  if (proto === PROTO_UDP && get16(payload, 6) === 0) return [];
  const seed = isOver
    ? pseudoHeaderSum(packet.subarray(12, 16), packet.subarray(16, 20), proto, payload.length)
    : 0;
  return internetChecksum(payload, seed) === 0 ? [] : ["[bad checksum]"];
}

/** An ICMP error quotes a packet: its identification and what sums it up go, and so does the sum of the error. */
function hideQuoted(icmp: Uint8Array): void {
  if (ICMP_ECHO_TYPES.includes(icmp[0]!) || icmp.length < ICMP_SIZE + 20) return;
  icmp.fill(0, 2, 4);
  icmp.fill(0, ICMP_SIZE + 4, ICMP_SIZE + 6);
  icmp.fill(0, ICMP_SIZE + 10, ICMP_SIZE + 12);
}

/** The options of a SYN, without the time. */
function optionsText(options: Uint8Array): string {
  const texts: string[] = [];
  for (let at = 0; at < options.length; ) {
    const kind = options[at]!;
    if (kind === OPTION_END) break;
    const size = kind === OPTION_NOP ? 1 : options[at + 1]!;
    if (size === 0) break;
    const value = kind === OPTION_TIMESTAMPS ? "" : bytesToHex(options.subarray(at + 2, at + size));
    if (kind !== OPTION_NOP) texts.push(`${kind}:${value}`);
    at += size;
  }
  return texts.join(",");
}
