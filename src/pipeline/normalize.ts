// What a match may say at all: a flow whose prerequisites the match does not fix has no such field, so matching on it
// means nothing. OVS drops those fields from a flow before it enters a table, and so do we (ovs-ofctl(8), "normalized").
import { FLOW_WORDS, Flow, type Match } from "../flow/flow.ts";
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

const $flow = new Flow();
const $mask = new Flow();

/** The match without the fields its prerequisites leave out, and without value bits outside the mask; itself when clean. */
export function normalizeMatch(match: Match): Match {
  $mask.copyFrom(match.mask);
  keep($flow.copyFrom(match.flow), $mask);
  clearImpossible($flow, $mask);
  keep($flow, $mask);
  if ($mask.equals(match.mask) && $flow.equals(match.flow)) return match;
  return { flow: $flow.clone(), mask: $mask.clone() };
}

/** Zeroes the bits of a value outside its mask. */
function keep(flow: Flow, mask: Flow): void {
  for (let i = 0; i < FLOW_WORDS; i++) flow.words[i] = flow.words[i]! & mask.words[i]!;
}

function clearImpossible(flow: Flow, mask: Flow): void {
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

  if (!ethernet) clear(mask, L.O_DL_DST, 12);
  if (!(ipv4 || arp)) clear(mask, L.O_NW_SRC, 8);
  if (!((ipv4 && (transport || proto === PROTO_ICMP)) || (ipv6 && (transport || icmpv6)))) {
    clear(mask, L.O_TP_SRC, 4);
  }
  if (!(ipv4 || ipv6 || arp)) clear(mask, L.O_NW_PROTO, 1);
  if (!(ipv4 || ipv6)) clear(mask, L.O_NW_TOS, 2);
  if (!(arp || solicit)) clear(mask, L.O_ARP_SHA, 6);
  if (!(arp || advert)) clear(mask, L.O_ARP_THA, 6);
  if (!ipv6) {
    clear(mask, L.O_IPV6_SRC, 32);
    clear(mask, L.O_IPV6_LABEL, 4);
  }
  if (!(solicit || advert)) clear(mask, L.O_ND_TARGET, 16);
  if (dlType !== ETH_MPLS && dlType !== ETH_MPLS_MC) clear(mask, L.O_MPLS_LSE0, 12);
}

function clear(mask: Flow, offset: number, length: number): void {
  mask.bytes.fill(0, offset, offset + length);
}
