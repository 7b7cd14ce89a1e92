// Fragments: datagrams in pieces, whole and not. Conntrack keeps pieces back until all have come; what waits in vain goes otherwise
// in Open vSwitch (differences.md, 7), which is why a case that has fragments and conntrack ends before that.
import { Extractor } from "../../../src/datapath/extract.ts";
import { Flow } from "../../../src/flow/flow.ts";
import { O_NW_FRAG } from "../../../src/flow/layout.ts";
import type { Prng } from "../../../src/lib/prng.ts";
import { ETH_TYPE_IPV4, ETH_TYPE_IPV6 } from "../../../src/packet/ethernet.ts";
import { buildIpv4, IPV4_SIZE, readIpv4 } from "../../../src/packet/ipv4.ts";
import { buildIpv6Fragment, EXT_FRAGMENT, FRAGMENT_SIZE } from "../../../src/packet/ipv6-extension.ts";
import type { Case, CaseFrame } from "./case.ts";
import { oneIn } from "./hosts.ts";

/** What waits longer for the rest has waited in vain. */
export const FRAGMENT_WAIT_MS = 15_000;

const ETHERNET_SIZE = 14;
const IPV6_SIZE = 40;

const extractor = new Extractor(2);
const $flow = new Flow();

export function isFragment(frame: CaseFrame): boolean {
  const bytes = Buffer.from(frame.hex, "hex");
  extractor.extract(bytes, bytes.length, frame.port, $flow);
  return $flow.get8(O_NW_FRAG) !== 0;
}

export const tracks = (flows: readonly string[]): boolean => flows.some((line) => line.includes("ct("));

/** Whether a switch may keep frames back that are left when the case has ended. */
export const keepsFragments = (c: Case): boolean => tracks(c.flows) && c.frames.some(isFragment);

/** The frames of an untagged IP frame's payload in pieces, in order or not, now and then one twice or missing. */
export function inPieces(r: Prng, frame: Uint8Array, id: number): Uint8Array[] {
  const type = (frame[12]! << 8) | frame[13]!;
  if (type !== ETH_TYPE_IPV4 && type !== ETH_TYPE_IPV6) return [frame];
  const size = frame.length - ETHERNET_SIZE - (type === ETH_TYPE_IPV6 ? IPV6_SIZE : IPV4_SIZE);
  // OVS takes a piece that is not the last for invalid when it is shorter than 1,200 (IPv6: 1,280) bytes.
  const step = 8 * (oneIn(r, 6) ? 5 + r.below(100) : 160 + r.below(20));
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < size; at += step) {
    const end = Math.min(at + step, size);
    pieces.push(
      type === ETH_TYPE_IPV6
        ? piece6(frame, at, end, end < size, id)
        : piece4(frame, at, end, end < size, id),
    );
  }
  if (oneIn(r, 4)) pieces.reverse();
  if (oneIn(r, 8)) pieces.splice(r.below(pieces.length), 0, r.pick(pieces));
  if (oneIn(r, 12)) pieces.splice(r.below(pieces.length), 1);
  return pieces;
}

function piece4(frame: Uint8Array, start: number, end: number, more: boolean, id: number): Uint8Array {
  const { src, dst, proto, ttl, tos } = readIpv4(frame, ETHERNET_SIZE)!;
  const data = ETHERNET_SIZE + IPV4_SIZE;
  const header = { src, dst, proto, ttl, tos, id, moreFragments: more, fragmentOffset: start };
  const packet = buildIpv4(header, frame.slice(data + start, data + end));
  return Uint8Array.from([...frame.subarray(0, ETHERNET_SIZE), ...packet]);
}

function piece6(frame: Uint8Array, start: number, end: number, more: boolean, id: number): Uint8Array {
  const data = ETHERNET_SIZE + IPV6_SIZE;
  const nextHeader = frame[ETHERNET_SIZE + 6]!;
  const rest = buildIpv6Fragment(
    { nextHeader, offset: start, more, id },
    frame.slice(data + start, data + end),
  );
  const out = Uint8Array.from([...frame.subarray(0, data), ...rest]);
  out[ETHERNET_SIZE + 6] = EXT_FRAGMENT;
  const length = FRAGMENT_SIZE + end - start;
  out[ETHERNET_SIZE + 4] = length >> 8;
  out[ETHERNET_SIZE + 5] = length & 255;
  return out;
}

/**
 * The frames with each piece once, for pipelines with more than one ct(): a piece that comes again is invalid to the first of them and
 * waits at the next, where it meets the others in another order than in OVS (differences.md, 7).
 */
export function eachPieceOnce(flows: readonly string[], frames: readonly CaseFrame[]): CaseFrame[] {
  if ((flows.join().match(/\bct\(/g) ?? []).length < 2) return [...frames];
  const seen = new Set<string>();
  return frames.filter((frame) => {
    if (!isFragment(frame)) return true;
    const piece = placeOf(frame.hex);
    return !seen.has(piece) && seen.add(piece);
  });
}

/** Which part of which datagram a piece that inPieces() has made is, whatever its tags. */
function placeOf(hex: string): string {
  const link = /^.{24}(?:(?:8100|88a8)....)*(....)/.exec(hex)!;
  const packet = hex.slice(link[0].length);
  // IPv4: id and offset, protocol, addresses. IPv6: addresses and the fragment header.
  return link[1] === "0800"
    ? [packet.slice(8, 16), packet.slice(18, 20), packet.slice(24, 40)].join()
    : packet.slice(16, 96);
}

/** Places in a list of lines: from the first of each to before the second. */
export type Spans = readonly (readonly [number, number])[];

/**
 * The lines with those of each span sorted. When the last piece of a datagram has come its pieces go on together, in OVS action by
 * action, here one after the other (differences.md, 7): what such a frame led to on a port, or for a controller, is one span, of both
 * switches' lines. Where one of them has made something else of a frame, a span has other lines, or its neighbours have.
 */
export function sortSpans(lines: readonly string[], spans: Spans): string[] {
  const out = [...lines];
  for (const [from, to] of spans) out.splice(from, to - from, ...lines.slice(from, to).sort());
  return out;
}
