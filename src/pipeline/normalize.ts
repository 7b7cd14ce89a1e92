// What a match may say at all: a flow whose prerequisites the match does not fix has no such field, so matching on it
// means nothing. OVS drops those fields from a flow before it enters a table, and so do we (ovs-ofctl(8), "normalized").
import { FLOW_WORDS, type Flow, type Match } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";

const ETH_IP = 0x0800;
const ETH_ARP = 0x0806;
const ETH_RARP = 0x8035;
const ETH_IPV6 = 0x86dd;
const ETH_MPLS = 0x8847;
const ETH_MPLS_MC = 0x8848;
const PROTO_ICMP = 1;
const PROTO_TCP = 6;
const PROTO_UDP = 17;
const PROTO_ICMPV6 = 58;
const PROTO_SCTP = 132;
const ND_SOLICIT = 135;
const ND_ADVERT = 136;
const PACKET_TYPE_NS_ETHERTYPE = 1;

// Byte ranges of the fields a match cannot have, as pairs of offset and end.
const $ranges: number[] = [];

/** The match without the fields its prerequisites leave out, and without value bits outside the mask; itself when clean. */
export function normalizeMatch(match: Match): Match {
  let clean = true;
  const { words } = match.flow;
  const masks = match.mask.words;
  for (let i = 0; i < FLOW_WORDS; i++) if ((words[i]! & ~masks[i]!) !== 0) clean = false;
  const flow = clean ? match.flow : restricted(match.flow, match.mask);
  findImpossible(flow, match.mask);
  if (clean && !touches(match.mask)) return match;
  const mask = match.mask.clone();
  for (let i = 0; i < $ranges.length; i += 2) mask.bytes.fill(0, $ranges[i]!, $ranges[i + 1]!);
  return { flow: restricted(flow, mask), mask };
}

/** A copy of a value without the bits outside its mask. */
function restricted(flow: Flow, mask: Flow): Flow {
  const copy = flow.clone();
  for (let i = 0; i < FLOW_WORDS; i++) copy.words[i] = copy.words[i]! & mask.words[i]!;
  return copy;
}

/** Whether the mask holds any of the fields in $ranges. */
function touches(mask: Flow): boolean {
  const { bytes } = mask;
  for (let i = 0; i < $ranges.length; i += 2) {
    const end = $ranges[i + 1]!;
    for (let at = $ranges[i]!; at < end; at++) if (bytes[at] !== 0) return true;
  }
  return false;
}

function findImpossible(flow: Flow, mask: Flow): void {
  $ranges.length = 0;
  let ethernet = true;
  let dlType = flow.get16(L.O_DL_TYPE);
  const packetType = flow.get32(L.O_PACKET_TYPE);
  if (mask.get32(L.O_PACKET_TYPE) !== 0 && packetType !== 0) {
    ethernet = false;
    dlType = packetType >>> 16 === PACKET_TYPE_NS_ETHERTYPE ? packetType & 0xffff : 0;
  }
  const proto = flow.get8(L.O_NW_PROTO);
  const transport = proto === PROTO_TCP || proto === PROTO_UDP || proto === PROTO_SCTP;
  const ipv4 = dlType === ETH_IP;
  const ipv6 = dlType === ETH_IPV6;
  const arp = dlType === ETH_ARP || dlType === ETH_RARP;
  const icmpv6 = ipv6 && proto === PROTO_ICMPV6;
  const ndType = icmpv6 ? flow.get16(L.O_TP_SRC) : 0;
  const solicit = ndType === ND_SOLICIT;
  const advert = ndType === ND_ADVERT;

  if (!ethernet) exclude(L.O_DL_DST, 12);
  if (!(ipv4 || arp)) exclude(L.O_NW_SRC, 8);
  if (!((ipv4 && (transport || proto === PROTO_ICMP)) || (ipv6 && (transport || icmpv6)))) {
    exclude(L.O_TP_SRC, 4);
  }
  if (!(ipv4 || ipv6 || arp)) exclude(L.O_NW_PROTO, 1);
  if (!(ipv4 || ipv6)) exclude(L.O_NW_TOS, 2);
  if (!(arp || solicit)) exclude(L.O_ARP_SHA, 6);
  if (!(arp || advert)) exclude(L.O_ARP_THA, 6);
  if (!ipv6) {
    exclude(L.O_IPV6_SRC, 32);
    exclude(L.O_IPV6_LABEL, 4);
  }
  if (!(solicit || advert)) exclude(L.O_ND_TARGET, 16);
  if (dlType !== ETH_MPLS && dlType !== ETH_MPLS_MC) exclude(L.O_MPLS_LSE0, 12);
}

function exclude(offset: number, length: number): void {
  $ranges.push(offset, offset + length);
}
