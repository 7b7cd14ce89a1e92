// Between the tunnel fields of a flow key and the headers of VXLAN, Geneve and GRE: what a tunnel transport writes before a
// frame that the switch sends in a tunnel, and what it reads of one that arrives. Outer addresses, tos, ttl and UDP ports are
// the transport's. Hostile headers are data: reading never throws.
import { concatBytes } from "../packet/bytes.ts";
import {
  buildGeneve,
  GENEVE_TYPE_CRITICAL,
  type GeneveOption,
  readGeneve,
  TRANSPARENT_ETHERNET,
} from "../packet/geneve.ts";
import { buildGre, readGre } from "../packet/gre.ts";
import { buildVxlan, readVxlan } from "../packet/vxlan.ts";
import type { Flow } from "./flow.ts";
import * as L from "./layout.ts";
import { isPresent, setPresent } from "./option-bits.ts";
import type { TlvMap } from "./tlv-map.ts";

export type TunnelHeaderType = "vxlan" | "geneve" | "gre";

/** Why a frame that arrived is not to be received. */
export type TunnelReadError =
  | "malformed" // cut short, another version, lengths that lie or are not the map's, a wrong checksum, flags that nobody knows
  | "protocol" // carries something other than an Ethernet frame
  | "critical"; // an option that must be understood, and that the map does not have

/** The inner frame behind its tunnel header: the UDP payload (VXLAN, Geneve) or the IP payload (GRE). `key` is the key of a frame sent in a tunnel. */
export function encapsulate(
  type: TunnelHeaderType,
  key: Flow,
  tlvMap: TlvMap | null,
  frame: Uint8Array,
): Uint8Array {
  const id = key.get32(L.O_TUN_ID + 4);
  const flags = key.get16(L.O_TUN_FLAGS);
  switch (type) {
    case "vxlan": {
      const policy = { id: key.get16(L.O_TUN_GBP_ID), flags: key.get8(L.O_TUN_GBP_FLAGS) };
      const hasPolicy = policy.id !== 0 || policy.flags !== 0;
      return concatBytes(buildVxlan({ vni: id & 0xffffff, policy: hasPolicy ? policy : null }), frame);
    }
    case "geneve": {
      const header = {
        vni: id & 0xffffff,
        oam: (flags & L.TUN_FLAG_OAM) !== 0,
        options: optionsOf(key, tlvMap),
      };
      return concatBytes(buildGeneve(header), frame);
    }
    case "gre":
      return buildGre(
        {
          protocol: TRANSPARENT_ETHERNET,
          key: (flags & L.TUN_FLAG_KEY) !== 0 ? id : null,
          checksum: (flags & L.TUN_FLAG_CSUM) !== 0,
        },
        frame,
      );
  }
}

/**
 * Reads a tunnel header and puts what it says into the tunnel fields of `key`, which the caller has cleared: id, flags, group
 * policy, options that the map has. Returns where the inner frame begins, or why there is none.
 */
export function decapsulate(
  type: TunnelHeaderType,
  bytes: Uint8Array,
  tlvMap: TlvMap | null,
  key: Flow,
): number | TunnelReadError {
  switch (type) {
    case "vxlan": {
      const header = readVxlan(bytes);
      if (header === null) return "malformed";
      setId(key, header.vni);
      if (header.policy !== null) {
        key.set16(L.O_TUN_GBP_ID, header.policy.id);
        key.set8(L.O_TUN_GBP_FLAGS, header.policy.flags);
      }
      return header.size;
    }
    case "geneve": {
      const header = readGeneve(bytes);
      if (header === null) return "malformed";
      if (header.protocol !== TRANSPARENT_ETHERNET) return "protocol";
      for (const option of header.options) {
        const mapping = tlvMap?.byOption(option.optionClass, option.type) ?? null;
        if (mapping !== null && mapping.size !== option.value.length) return "malformed";
        if (mapping === null && (option.type & GENEVE_TYPE_CRITICAL) !== 0) return "critical";
      }
      setId(key, header.vni);
      if (header.oam) addFlag(key, L.TUN_FLAG_OAM);
      for (const option of header.options) setOption(key, option, tlvMap);
      return header.size;
    }
    case "gre": {
      const header = readGre(bytes);
      if (header === null) return "malformed";
      if (header.protocol !== TRANSPARENT_ETHERNET) return "protocol";
      if (header.key !== null) setId(key, header.key);
      if (header.checksum) addFlag(key, L.TUN_FLAG_CSUM);
      return header.size;
    }
  }
}

// RFC 6335, section 6: ports for such use.
const ENTROPY_FIRST = 49152;
const ENTROPY_COUNT = 16384;

/** The UDP source port of a frame with that hash of its inner headers (RFC 7348 section 5, RFC 8926 section 3.3). */
export function entropyPort(hash: number): number {
  return ENTROPY_FIRST + ((hash ^ (hash >>> 16)) & (ENTROPY_COUNT - 1));
}

function optionsOf(key: Flow, tlvMap: TlvMap | null): GeneveOption[] {
  if (tlvMap === null) return [];
  return tlvMap.list
    .filter(({ index }) => isPresent(key.bytes, index))
    .map(({ optionClass, optionType, size, index }) => {
      const { offset } = tlvMap.field(index)!;
      return { optionClass, type: optionType, value: key.bytes.slice(offset, offset + size) };
    });
}

function setOption(key: Flow, { optionClass, type, value }: GeneveOption, tlvMap: TlvMap | null): void {
  const mapping = tlvMap?.byOption(optionClass, type) ?? null;
  if (mapping === null) return;
  key.bytes.set(value, tlvMap!.field(mapping.index)!.offset);
  setPresent(key.bytes, mapping.index);
}

function setId(key: Flow, id: number): void {
  key.set32(L.O_TUN_ID, 0);
  key.set32(L.O_TUN_ID + 4, id);
  addFlag(key, L.TUN_FLAG_KEY);
}

function addFlag(key: Flow, flag: number): void {
  key.set16(L.O_TUN_FLAGS, key.get16(L.O_TUN_FLAGS) | flag);
}
