// ARP (RFC 826) and RARP (RFC 903) for IPv4 over Ethernet; of any other kind nothing is kept.
import { B_ADDR, O_ARP_SHA, O_NW_DST, O_NW_PROTO, O_NW_SRC } from "../flow/layout.ts";
import { KEY, PKT, PKT_KEY_MAP } from "./memory.ts";

const ARP_SIZE: u32 = 28;
/** Hardware type 1, protocol 0x0800, address sizes 6 and 4: the first eight bytes less the opcode, as a u64. */
const ETHERNET_IPV4: u64 = 0x0406_0008_0100;
const KIND_MASK: u64 = 0xffff_ffff_ffff;

export function parseArp(at: usize, end: usize): void {
  if (<u32>(end - at) < ARP_SIZE) return;
  if ((load<u64>(at) & KIND_MASK) != ETHERNET_IPV4) return;
  // An opcode above 255 does not fit nw_proto and leaves it zero.
  if (load<u8>(at, 6) == 0) store<u8>(KEY, load<u8>(at, 7), O_NW_PROTO);
  store<u32>(KEY, load<u32>(at, 14), O_NW_SRC);
  store<u32>(KEY, load<u32>(at, 24), O_NW_DST);
  // sha (6), then tha (6), which stand 10 bytes apart in the frame.
  store<u64>(KEY, load<u64>(at, 8), O_ARP_SHA);
  store<u32>(KEY, load<u32>(at, 18), O_ARP_SHA + 6);
  store<u16>(KEY, load<u16>(at, 22), O_ARP_SHA + 10);
  store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_ADDR), PKT_KEY_MAP);
}
