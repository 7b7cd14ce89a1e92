// Random bridges with multicast snooping, and frames for them: messages about groups of every version, good and bad, and
// frames to groups.
import type { Prng } from "../../src/lib/prng.ts";
import { parseIpv6 } from "../../src/packet/address.ts";
import { bytesToHex, concatBytes, put16 } from "../../src/packet/bytes.ts";
import { internetChecksum, pseudoHeaderSum } from "../../src/packet/checksum.ts";
import { ipFrame, udpFrame } from "../../src/packet/frame.ts";
import { PROTO_ICMPV6, PROTO_IGMP } from "../../src/packet/ipv4.ts";
import { buildIpv6Extension, EXT_HOP_OPTIONS } from "../../src/packet/ipv6-extension.ts";
import { OFPP_LOCAL } from "../../src/pipeline/action.ts";
import { interfacesOf, type LabCase, type LabFrame } from "./lab-case.ts";

const chance = (rnd: Prng, in100: number): boolean => rnd.below(100) < in100;

export function makeSnoopingCase(rnd: Prng): LabCase {
  const columns = () => ({
    ...(chance(rnd, 25) ? { mcast_snooping_flood: true } : {}),
    ...(chance(rnd, 25) ? { mcast_snooping_flood_reports: true } : {}),
    ...(chance(rnd, 20) ? { tag: 5, vlan_mode: "native-untagged" } : {}),
  });
  const ports = [1, 2, 3, 4].map((no) => ({ no, name: `p${no}`, ...columns() }));
  const members = [5, 6].map((no) => ({ no, name: `p${no}` }));
  const bonds = chance(rnd, 50) ? [{ name: "bond0", bond_mode: "active-backup", members, ...columns() }] : [];
  const snooping = {
    enable: true,
    ...(chance(rnd, 40) ? { table_size: 10 } : {}),
    ...(chance(rnd, 40) ? { aging_time: rnd.pick([20, 100]) } : {}),
    ...(chance(rnd, 50) ? { flood_unregistered: chance(rnd, 20) } : {}),
  };
  return { ports, bonds, bridge: { mcast_snooping: snooping }, flows: ["actions=NORMAL"], frames: [] };
}

export function makeSnoopingFrame(rnd: Prng, c: LabCase): LabFrame {
  const port = rnd.pick([...interfacesOf(c).map(({ no }) => no), OFPP_LOCAL]);
  const frame = chance(rnd, 60) ? makeIpv4(rnd) : makeIpv6(rnd);
  return { port, hex: bytesToHex(frame) };
}

const link = (rnd: Prng, ethDst: string) => ({
  ethSrc: `02:00:00:00:00:0${1 + rnd.below(4)}`,
  ethDst: chance(rnd, 5) ? "02:00:00:00:00:01" : ethDst,
  vlans: chance(rnd, 20) ? [{ vid: 5 }] : [],
  minSize: chance(rnd, 50) ? 60 : 0,
});

const record = (rnd: Prng, address: Uint8Array): Uint8Array => {
  const sources = rnd.pick([0, 0, 0, 1, 2]);
  const auxiliary = rnd.pick([0, 0, 0, 1, 4]);
  const head = Uint8Array.of(rnd.below(8), auxiliary, 0, sources);
  return concatBytes(head, address, new Uint8Array(sources * address.length + auxiliary));
};

/** A message with its checksum, now and then a wrong one. */
function summed(rnd: Prng, message: Uint8Array, seed = 0): Uint8Array {
  put16(message, 2, internetChecksum(message, seed));
  if (chance(rnd, 6)) message[3]! ^= 1;
  return message;
}

const cut = (rnd: Prng, bytes: Uint8Array): Uint8Array =>
  chance(rnd, 5) ? bytes.slice(0, rnd.below(bytes.length + 1)) : bytes;

function makeIpv4(rnd: Prng): Uint8Array {
  const last = 1 + rnd.below(4);
  // More groups than the least table holds.
  const group = chance(rnd, 40) ? [239, 1, 2, rnd.below(16)] : [239, 1, 1, last];
  const src = rnd.pick(["0.0.0.0", "10.0.0.1", "10.0.0.2"]);
  const options = { ...link(rnd, `01:00:5e:01:0${group[2]}:0${group[3]! % 10}`), src, dst: group.join(".") };
  if (chance(rnd, 45)) {
    const dst = rnd.pick([options.dst, options.dst, options.dst, "224.0.0.1", "224.0.0.251", "10.0.0.9"]);
    return udpFrame({ ...options, dst, srcPort: 1, dstPort: 2 });
  }
  const type = rnd.pick([0x11, 0x11, 0x12, 0x16, 0x16, 0x16, 0x17, 0x17, 0x22, 0x22, 0x22, 0x13]);
  let message: Uint8Array = Uint8Array.of(type, rnd.below(3), 0, 0, ...group);
  if (type === 0x22) {
    const records = Array.from({ length: rnd.below(4) }, () =>
      record(rnd, Uint8Array.of(239, 1, 1, 1 + rnd.below(4))),
    );
    const count = records.length + (chance(rnd, 10) ? 1 : 0);
    message = concatBytes(Uint8Array.of(type, 0, 0, 0, 0, 0, 0, count), ...records);
  }
  const ipv4 = chance(rnd, 30) ? { options: Uint8Array.of(0x94, 4, 0, 0) } : {};
  return ipFrame({ ...options, ttl: 1, ipv4 }, PROTO_IGMP, cut(rnd, summed(rnd, message)));
}

function makeIpv6(rnd: Prng): Uint8Array {
  const group = `ff05::${1 + rnd.below(3)}`;
  const src = rnd.pick(["::", "fe80::1", "fe80::2"]);
  const dst = rnd.pick([group, group, group, group, "ff02::1", "ff02::2"]);
  const options = { ...link(rnd, `33:33:00:00:00:0${dst.at(-1)}`), src, dst };
  if (chance(rnd, 45)) return udpFrame({ ...options, srcPort: 1, dstPort: 2 });
  const type = rnd.pick([130, 131, 131, 132, 143, 143, 135]);
  const address = parseIpv6(`ff05::${1 + rnd.below(3)}`);
  let message = concatBytes(Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0), address);
  if (type === 143) {
    const records = Array.from({ length: rnd.below(4) }, () =>
      record(rnd, parseIpv6(`ff05::${1 + rnd.below(3)}`)),
    );
    message = concatBytes(Uint8Array.of(type, 0, 0, 0, 0, 0, 0, records.length), ...records);
  }
  const seed = pseudoHeaderSum(parseIpv6(src), parseIpv6(dst), PROTO_ICMPV6, message.length);
  summed(rnd, message, seed);
  if (chance(rnd, 40)) return ipFrame({ ...options, ttl: 1 }, PROTO_ICMPV6, message);
  const extended = buildIpv6Extension(EXT_HOP_OPTIONS, PROTO_ICMPV6, 8, message);
  return ipFrame({ ...options, ttl: 1 }, EXT_HOP_OPTIONS, extended);
}
