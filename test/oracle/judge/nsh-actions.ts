// Random actions that put headers before a frame and take them off: NSH and the Ethernet header itself. What is sent is sent on two
// ports, so that it goes somewhere whatever port it came in by: OVS 3.1 ends on an encap in a clone that is never sent.
import { hex, MACS, type Make, oneIn } from "./hosts.ts";

const sent = "output:1,output:2";

/** For any frame with an Ethernet header. */
export const encapActions: readonly Make[] = [
  (r) =>
    `clone(encap(nsh(md_type=1)),set_field:${hex(r.below(100))}->nsh_spi,${oneIn(r, 2) ? "dec_nsh_ttl," : ""}encap(ethernet),` +
    `set_field:${r.pick(MACS)}->eth_dst,${sent})`,
  (r) =>
    `clone(encap(nsh(md_type=2,tlv(0x1000,${r.below(100)},0x12345678))),encap(ethernet),set_field:${r.pick(MACS)}->eth_dst,${sent})`,
  (r) => `clone(decap(),encap(ethernet),set_field:${r.pick(MACS)}->eth_dst,${sent})`,
  () => `clone(decap(),${sent})`,
  (r) =>
    `clone(decap(),encap(nsh(md_type=1)),set_field:${hex(r.below(4))}->nsh_c${1 + r.below(4)},encap(ethernet),${sent})`,
];

/** For frames with an NSH. */
export const nshActions: readonly Make[] = [
  (r) => `set_field:${hex(r.below(256))}->nsh_spi`,
  (r) => `set_field:${r.below(256)}->nsh_si`,
  (r) => `set_field:${r.below(4)}->nsh_flags`,
  (r) => `set_field:${r.pick([1, 2, 63])}->nsh_ttl`,
  (r) => `set_field:${hex(r.below(4))}/0x3->nsh_c${1 + r.below(4)}`,
  () => "dec_nsh_ttl",
  () => "move:nsh_spi[]->NXM_NX_REG0[0..23]",
  () => "move:nsh_c1[]->NXM_NX_REG1[]",
  () => "move:NXM_NX_REG2[]->nsh_c2[]",
  (r) => `clone(decap(),set_field:${r.pick(MACS)}->eth_dst,${sent})`,
  () => `clone(decap(),${sent})`,
];
