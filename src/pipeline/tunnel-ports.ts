// From which tunnel port a frame came: the port whose options name what the outer header says, the most exact first
// (ovs-vswitchd.conf.db(5), Interface table, Tunnel Options: in_key, remote_ip and local_ip).
//
// A frame's key is compared before its addresses: a port with that very key wins over every port with key=flow, then one with
// that remote address over remote_ip=flow, then one with that local address over any, and that over local_ip=flow. Two ports
// that would take the same frames may not be on one bridge.
import type { Flow } from "../flow/flow.ts";
import { O_TUN_DST, O_TUN_ID, O_TUN_IPV6_DST, O_TUN_IPV6_SRC, O_TUN_SRC } from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import { formatIpv4, formatIpv6 } from "../packet/address.ts";
import type { Port, PortTable } from "./port-table.ts";
import type { TunnelAddress, TunnelOptions, TunnelType } from "./tunnel-options.ts";

const FLOW = "flow";
const ANY = "any";

export class TunnelPorts {
  readonly #ports: PortTable;
  readonly #byMatch = new Map<string, Port>();
  #version = -1;

  constructor(ports: PortTable) {
    this.#ports = ports;
  }

  /**
   * The port for a frame that arrived by `type` on UDP port `dstPort` (0 for GRE) with the tunnel fields of `flow`
   * (tun_id, tun_src and tun_dst as they stood in the outer header); null when there is none.
   */
  receive(type: TunnelType, dstPort: number, flow: Flow): Port | null {
    this.#refresh();
    const map = this.#byMatch;
    if (map.size === 0) return null;
    const { src, dst } = addressesOf(flow);
    const key = String(flow.get64(O_TUN_ID));
    for (const k of [key, FLOW]) {
      for (const remote of [src, FLOW]) {
        for (const local of [dst, ANY, FLOW]) {
          const port = map.get(`${type} ${dstPort} ${k} ${remote} ${local}`);
          if (port !== undefined) return port;
        }
      }
    }
    return null;
  }

  #refresh(): void {
    if (this.#version === this.#ports.version) return;
    this.#version = this.#ports.version;
    this.#byMatch.clear();
    for (const port of this.#ports.list) {
      if (port.tunnel !== null) this.#byMatch.set(matchOf(port.tunnel), port);
    }
  }
}

/** Throws ECONFIG when two ports would take the same frames. */
export function checkTunnelPorts(
  ports: Iterable<{ readonly name: string; readonly tunnel?: TunnelOptions | null }>,
): void {
  const seen = new Map<string, string>();
  for (const { name, tunnel } of ports) {
    if (tunnel === undefined || tunnel === null) continue;
    const match = matchOf(tunnel);
    const other = seen.get(match);
    if (other !== undefined) {
      throw new MegaflowError("ECONFIG", `${name}: a tunnel with the same configuration as port '${other}'`);
    }
    seen.set(match, name);
  }
}

/** What received frames must have. */
function matchOf({ type, dstPort, inKey, remoteIp, localIp }: TunnelOptions): string {
  const key = inKey === FLOW ? FLOW : String(inKey ?? 0n);
  return `${type} ${dstPort} ${key} ${text(remoteIp)} ${localIp === null ? ANY : text(localIp)}`;
}

function text(address: TunnelAddress): string {
  if (address === FLOW) return FLOW;
  return address.length === 4 ? formatIpv4(address, 0) : formatIpv6(address, 0);
}

function addressesOf(flow: Flow): { src: string; dst: string } {
  if (flow.get32(O_TUN_DST) !== 0) {
    return { src: formatIpv4(flow.bytes, O_TUN_SRC), dst: formatIpv4(flow.bytes, O_TUN_DST) };
  }
  return { src: formatIpv6(flow.bytes, O_TUN_IPV6_SRC), dst: formatIpv6(flow.bytes, O_TUN_IPV6_DST) };
}
