// Actions that a pipeline has now and then: choices by hash, queues, packet-ins with all their arguments.
import { hex, IPV4, IPV6, type Make, oneIn } from "./hosts.ts";

const HASHED = ["eth_src", "symmetric_l4", "nw_src", "nw_dst", "symmetric_l3"];
/** Of other frames OVS hashes the link layer with these, and its megaflow leaves that out. */
const HASHED_IP = ["symmetric_l3l4", "symmetric_l3l4+udp"];

const anyOutput: Make = (r) => `${1 + r.below(4)}`;

/** What surrounds a frame in a tunnel: here it comes from none and goes into none. */
const tunnelActions: readonly Make[] = [
  (r) => `set_field:${hex(1 + r.below(3))}->tun_metadata${r.pick([0, 1, 63])}`,
  (r) => `set_field:${hex(r.below(4))}/0x3->tun_metadata${r.pick([0, 1])}`,
  (r) => `delete_field:tun_metadata${r.pick([0, 1, 63])}`,
  () => "move:tun_metadata0[0..7]->NXM_NX_REG0[0..7]",
  () => "move:NXM_NX_REG1[0..7]->tun_metadata1[32..39]",
  (r) => `set_field:${r.pick(IPV4)}->tun_${r.pick(["src", "dst"])}`,
  (r) => `set_field:${r.pick(IPV6)}->tun_ipv6_dst`,
  (r) => `set_field:${r.below(4)}->tun_${r.pick(["gbp_id", "gbp_flags"])}`,
  () => "set_field:oam->tun_flags",
];

export const rareActions: readonly Make[] = [
  () => "note:01.02.03.00.00.00",
  () => "exit",
  () => "output:NXM_NX_REG0[16..31]",
  (r) => `multipath(${r.pick(HASHED)},50,modulo_n,4,0,NXM_NX_REG${r.below(3)}[0..3])`,
  (r) =>
    `multipath(${r.pick(HASHED)},${r.below(9)},${r.pick(["hrw", "hash_threshold", "iter_hash"])},3,0,NXM_NX_REG0[0..15])`,
  (r) =>
    `bundle(${r.pick(HASHED)},${r.below(9)},${r.pick(["hrw", "active_backup"])},ofport,members:${anyOutput(r)},${anyOutput(r)})`,
  (r) =>
    `bundle_load(${r.pick(HASHED)},0,${r.pick(["hrw", "active_backup"])},ofport,NXM_NX_REG0[0..15],members:${r.pick(["7,2", "1,3", "4"])})`,
  (r) => `check_pkt_larger(${r.pick([50, 60, 100, 1500])})->NXM_NX_REG0[${r.below(3)}]`,
  (r) =>
    `sample(probability=65535,collector_set_id=1,obs_domain_id=2,obs_point_id=3${oneIn(r, 3) ? `,sampling_port=${anyOutput(r)}` : ""}${oneIn(r, 3) ? `,${r.pick(["ingress", "egress"])}` : ""})`,
  (r) => `sample(probability=${1 + r.below(65535)})`,
  (r) => `enqueue:${1 + r.below(4)}:${r.below(3)}`,
  (r) => r.pick(tunnelActions)(r),
  (r) => r.pick(tunnelActions)(r),
  (r) => r.pick(tunnelActions)(r),
  (r) => `set_tunnel:${hex(r.below(3))}`,
  (r) => `set_field:${hex(r.below(3))}->tun_id`,
  () => "set_tunnel64:0x100000001",
  (r) =>
    `controller(reason=${r.pick(["no_match", "action", "invalid_ttl"])},max_len=${r.pick([0, 64])},id=${r.below(2)})`,
  (r) => `controller(userdata=01.0${r.below(8)}.ff,max_len=${r.pick([20, 128])})`,
  (r) => `set_field:${hex(r.below(4))}->reg${r.pick([3, 7, 15])}`,
  (r) => `set_field:${hex(r.below(4))}->${r.pick(["xreg1", "xreg7", "xxreg1", "xxreg3"])}`,
  () => "output:TABLE",
];

/** For frames with an IP header. */
export const rareIpActions: readonly Make[] = [
  (r) => `multipath(${r.pick(HASHED_IP)},50,modulo_n,4,0,NXM_NX_REG${r.below(3)}[0..3])`,
  (r) => `dec_ttl(${r.pick(["0", "1,2"])})`,
  (r) => `mod_nw_ecn:${r.below(4)}`,
  () => "move:NXM_NX_CT_MARK[]->NXM_NX_REG2[]",
  () => "move:NXM_NX_CT_LABEL[0..31]->NXM_NX_REG0[]",
  () => "move:NXM_NX_CT_STATE[0..7]->NXM_NX_REG1[0..7]",
  () => "move:NXM_NX_CT_ZONE[]->NXM_NX_REG1[16..31]",
  () => "move:NXM_OF_IP_TOS[]->NXM_NX_REG2[0..7]",
  () => "move:NXM_OF_IP_PROTO[]->NXM_NX_REG2[8..15]",
];

/** For neighbour messages. */
export const neighbourActions: readonly Make[] = [
  (r) => `set_field:${hex(r.below(3) * 0x20000000)}->nd_reserved`,
];
