// Linux cooked captures (LINKTYPE_LINUX_SLL), as `tcpdump -i any` writes them. Their frames have, in place of Ethernet's header:
//
//   direction u16 | ARPHRD_ type u16 | address length u16 | sender's address, 8 bytes | EtherType u16
//
// Read as ovs-ofctl parse-pcap reads them: the sender's address and the EtherType make an Ethernet header, of which the
// destination is zero. The direction and the device's type do not matter.

/** LINKTYPE_LINUX_SLL. */
export const LINKTYPE_COOKED = 113;

const HEADER_SIZE = 16;
const MAC_SIZE = 6;

/** So much later than the cooked header the Ethernet header begins that is put in its place. */
export const COOKED_EXCESS = 2;

/** Puts an Ethernet header into the place of the cooked one that a record begins with. Returns what is wrong with that, or null. */
export function uncook(data: Uint8Array, at: number, captured: number): string | null {
  if (captured < HEADER_SIZE) return `a cooked packet of ${captured} bytes is too short for its header`;
  const addressSize = (data[at + 4]! << 8) | data[at + 5]!;
  if (addressSize !== MAC_SIZE)
    return `a cooked packet with an address of ${addressSize} bytes is not from Ethernet`;
  data.copyWithin(at + COOKED_EXCESS + MAC_SIZE, at + 6, at + 6 + MAC_SIZE);
  data.fill(0, at + COOKED_EXCESS, at + COOKED_EXCESS + MAC_SIZE);
  return null;
}
