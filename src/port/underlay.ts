// What carries the frames of tunnels between nodes: the host's own network. It takes and gives what follows the outer IP and UDP headers;
// what stood in those, or is to stand there, is in the tunnel fields of a flow key. Which tunnel port a frame belongs to and what
// the tunnel's header says is the bridge's business; where the underlay's packets go is the host's.
import type { Flow } from "../flow/flow.ts";
import { O_TUN_DST, O_TUN_IPV6_DST, O_TUN_IPV6_SRC, O_TUN_SRC } from "../flow/layout.ts";

/** Given what came: the payload is valid during the call only, the key has tun_src, tun_dst, tun_tos and tun_ttl, and is the taker's. */
export type UnderlayTaker = (payload: Uint8Array, key: Flow) => void;

export interface Underlay {
  /** From now on what comes is handed over, in batches: `done` is called at the end of each. */
  start(take: UnderlayTaker, done: () => void): void;
  /**
   * Sends a payload to the tun_dst of `key`, with its tun_src if that is not zero, its tun_tos, tun_ttl and flags. Frames of one
   * `hash` take the same way. Calls `lost`, sooner or later, when it cannot be sent.
   */
  send(payload: Uint8Array, key: Flow, hash: number, lost: () => void): void;
  close(): void;
}

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/** Whether the frame goes to an IPv4 address. */
export function isIpv4Tunnel(key: Flow): boolean {
  return key.get32(O_TUN_DST) !== 0;
}

/** A key's outer addresses as 16 bytes each, source and destination, those of IPv4 mapped into IPv6; a source of zero stays that. */
export function putAddresses(key: Flow, to: Uint8Array): void {
  if (!isIpv4Tunnel(key)) {
    to.set(key.bytes.subarray(O_TUN_IPV6_SRC, O_TUN_IPV6_SRC + 32));
    return;
  }
  to.fill(0, 0, 32);
  if (key.get32(O_TUN_SRC) !== 0) to.set(MAPPED, 0);
  to.set(key.bytes.subarray(O_TUN_SRC, O_TUN_SRC + 4), 12);
  to.set(MAPPED, 16);
  to.set(key.bytes.subarray(O_TUN_DST, O_TUN_DST + 4), 28);
}

/** The other way round, from byte `at` on. */
export function takeAddresses(from: Uint8Array, at: number, key: Flow): void {
  if (MAPPED.every((byte, i) => from[at + 16 + i] === byte)) {
    key.bytes.set(from.subarray(at + 12, at + 16), O_TUN_SRC);
    key.bytes.set(from.subarray(at + 28, at + 32), O_TUN_DST);
  } else {
    key.bytes.set(from.subarray(at, at + 16), O_TUN_IPV6_SRC);
    key.bytes.set(from.subarray(at + 16, at + 32), O_TUN_IPV6_DST);
  }
}

/** An address of 4 or 16 bytes, or any (null), as 16 bytes. */
export function addressBytes(address: Uint8Array | null): Uint8Array {
  const out = new Uint8Array(16);
  if (address?.length === 4) out.set(MAPPED);
  out.set(address ?? [], address?.length === 4 ? 12 : 0);
  return out;
}
