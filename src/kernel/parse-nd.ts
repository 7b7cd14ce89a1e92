// Neighbour solicitation and advertisement (RFC 4861, 4.3 and 4.4) and their link-layer address options.
import {
  B_ADDR,
  B_EXTRA,
  B_ND_TARGET,
  O_ARP_SHA,
  O_ARP_THA,
  O_IGMP_GROUP,
  O_ND_TARGET,
} from "../flow/layout.ts";
import { KEY, PKT, PKT_KEY_MAP } from "./memory.ts";

const SOLICITATION: u32 = 135;
const ADVERTISEMENT: u32 = 136;
const OPTION_SOURCE: u32 = 1;
const OPTION_TARGET: u32 = 2;

/**
 * Reads the ICMPv6 message at `at`, of 8 bytes at least, if it is of neighbour discovery. The same link-layer option twice
 * (after a first one that is not all zeros) makes OVS forget target and addresses, not the option type.
 * Returns nd_options_type: the first link-layer option's type, 0 when there is none.
 */
export function parseNeighbour(at: usize, end: usize): u32 {
  const type: u32 = load<u8>(at);
  if ((type != SOLICITATION && type != ADVERTISEMENT) || load<u8>(at, 1) != 0) return 0;
  let map = load<u64>(PKT, PKT_KEY_MAP) | (1 << B_EXTRA);
  store<u32>(KEY, load<u32>(at, 4), O_IGMP_GROUP); // nd_reserved stands there
  store<u64>(PKT, map, PKT_KEY_MAP);
  if (<u32>(end - at) < 24) return 0;

  let source: u64 = 0;
  let target: u64 = 0;
  let firstType: u32 = 0;
  let option = at + 24;
  while (<u32>(end - option) >= 8) {
    const size = (<u32>load<u8>(option, 1)) << 3;
    if (size == 0 || size > <u32>(end - option)) break;
    const optionType: u32 = load<u8>(option);
    if (size == 8 && (optionType == OPTION_SOURCE || optionType == OPTION_TARGET)) {
      const known = optionType == OPTION_SOURCE ? source : target;
      if (known != 0) return firstType;
      const address = load<u64>(option) >> 16;
      if (optionType == OPTION_SOURCE) source = address;
      else target = address;
      if (firstType == 0) firstType = optionType;
    }
    option += size;
  }

  v128.store(KEY, v128.load(at, 8), O_ND_TARGET);
  map |= 1 << B_ND_TARGET;
  if ((source | target) != 0) {
    store<u32>(KEY, <u32>source, O_ARP_SHA);
    store<u16>(KEY, <u16>(source >> 32), O_ARP_SHA + 4);
    store<u32>(KEY, <u32>target, O_ARP_THA);
    store<u16>(KEY, <u16>(target >> 32), O_ARP_THA + 4);
    map |= 1 << B_ADDR;
  }
  store<u64>(PKT, map, PKT_KEY_MAP);
  return firstType;
}
