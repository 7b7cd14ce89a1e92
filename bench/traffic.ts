// Frames for the workloads: 60-byte TCP segments of as many connections as are wanted, checksums right, made fast enough that
// a hundred thousand connections are there in a moment.
import type { Prng } from "../src/lib/prng.ts";
import { finishChecksum } from "../src/packet/checksum.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN } from "../src/packet/tcp.ts";

/** Addresses as numbers: 10.0.0.1 is 0x0a000001. */
export interface Connection {
  readonly src: number;
  readonly dst: number;
  readonly srcPort: number;
  readonly dstPort: number;
}

/** Who talks to whom on the link. */
export interface Link {
  readonly ethSrc: string;
  readonly ethDst: string;
}

export const LINK: Link = { ethSrc: "02:00:00:00:00:01", ethDst: "02:00:00:00:00:02" };

const IP = 14;
const TCP = 34;
const CLIENT_SEQ = 1000;
const SERVER_SEQ = 5000;
const WORD = 6;

/** Makes segments on one link. */
export class Segments {
  readonly #template: Uint8Array;

  constructor(link: Link) {
    this.#template = tcpFrame({ ...link, minSize: 60 });
  }

  /** A segment with a payload of up to six zeros, where others have padding. */
  segment(connection: Connection, flags: number, seq: number, ack: number, payload = 0): Uint8Array {
    const frame = this.#template.slice();
    const view = new DataView(frame.buffer);
    view.setUint16(IP + 2, 40 + payload);
    view.setUint32(IP + 12, connection.src);
    view.setUint32(IP + 16, connection.dst);
    view.setUint16(TCP, connection.srcPort);
    view.setUint16(TCP + 2, connection.dstPort);
    view.setUint32(TCP + 4, seq);
    view.setUint32(TCP + 8, ack);
    view.setUint8(TCP + 13, flags);
    setChecksums(view);
    return frame;
  }
}

/** Puts the right IPv4 and TCP checksums into a 20 + 20 byte header with nothing but zeros behind it. */
export function setChecksums(view: DataView): void {
  view.setUint16(IP + 10, 0);
  view.setUint16(TCP + 16, 0);
  let ip = 0;
  for (let i = IP; i < TCP; i += 2) ip += view.getUint16(i);
  view.setUint16(IP + 10, finishChecksum(ip));
  let tcp = 6 + view.getUint16(IP + 2) - 20; // the pseudo header: protocol and length, and the addresses
  for (let i = IP + 12; i < TCP + 20; i += 2) tcp += view.getUint16(i);
  view.setUint16(TCP + 16, finishChecksum(tcp));
}

/** The three segments that open a connection; the second comes from the other side. */
export function opening(
  there: Segments,
  back: Segments,
  connection: Connection,
): [Uint8Array, Uint8Array, Uint8Array] {
  const { src, dst, srcPort, dstPort } = connection;
  const reverse = { src: dst, dst: src, srcPort: dstPort, dstPort: srcPort };
  return [
    there.segment(connection, TCP_SYN, CLIENT_SEQ, 0),
    back.segment(reverse, TCP_SYN | TCP_ACK, SERVER_SEQ, CLIENT_SEQ + 1),
    established(there, connection),
  ];
}

/** A segment of the opened connection, from the client. */
export function established(there: Segments, connection: Connection): Uint8Array {
  return there.segment(connection, TCP_ACK, CLIENT_SEQ + 1, SERVER_SEQ + 1);
}

/** The server's answer to it. */
export function reply(back: Segments, { src, dst, srcPort, dstPort }: Connection): Uint8Array {
  const reverse = { src: dst, dst: src, srcPort: dstPort, dstPort: srcPort };
  return back.segment(reverse, TCP_ACK, SERVER_SEQ + 1, CLIENT_SEQ + 1);
}

/** A connection from its first segment to its last: opened, a word each way, closed by both. The client's MAC says whose each is. */
export function wholeLife(there: Segments, back: Segments, connection: Connection): Uint8Array[] {
  const { src, dst, srcPort, dstPort } = connection;
  const reverse = { src: dst, dst: src, srcPort: dstPort, dstPort: srcPort };
  const said = CLIENT_SEQ + 1 + WORD;
  const heard = SERVER_SEQ + 1 + WORD;
  return [
    ...opening(there, back, connection),
    there.segment(connection, TCP_ACK | TCP_PSH, CLIENT_SEQ + 1, SERVER_SEQ + 1, WORD),
    back.segment(reverse, TCP_ACK | TCP_PSH, SERVER_SEQ + 1, said, WORD),
    there.segment(connection, TCP_ACK | TCP_FIN, said, heard),
    back.segment(reverse, TCP_ACK | TCP_FIN, heard, said + 1),
    there.segment(connection, TCP_ACK, said + 1, heard + 1),
  ];
}

/** Puts the items into a random order, in place. */
export function shuffle<T>(items: T[], rng: Prng): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = rng.below(i + 1);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}
