// What became of each connection in a replay, told from its frames and their verdicts.
//
// A connection is a pair of endpoints as seen on the wire: a Service's address before and after its translation makes two.
// Its frames are counted from the side that opened it and from the other; its outcome is told by the TCP flags of frames
// that were let through, or by answers seen.
import type { Verdict } from "../datapath/datapath.ts";
import { Extractor } from "../datapath/extract.ts";
import { Flow } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { formatIpv4, formatIpv6 } from "../packet/address.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../packet/tcp.ts";
import { dropNote } from "./replay-output.ts";

/** A connection and its fate. */
export interface ConnectionRow {
  /** `tcp`, `udp`, `icmp`, `arp`, ...: the protocol as OVS names it, else `proto N` or the EtherType. */
  readonly protocol: string;
  readonly client: string;
  readonly server: string;
  /** Frames sent on, of both directions. */
  readonly forwarded: number;
  readonly dropped: number;
  readonly outcome: string;
  /** Where frames were dropped, most first: `3 at table 100 (cookie 0x1000000000000)`. */
  readonly drops: readonly string[];
}

class Connection {
  readonly protocol: string;
  readonly client: string;
  readonly server: string;
  forwarded = 0;
  dropped = 0;
  answered = 0;
  /** TCP flags of forwarded frames, by direction: from the client, from the server. */
  readonly flags = [0, 0];
  readonly drops = new Map<string, number>();

  constructor(protocol: string, client: string, server: string) {
    this.protocol = protocol;
    this.client = client;
    this.server = server;
  }

  row(): ConnectionRow {
    const { protocol, client, server, forwarded, dropped } = this;
    const drops = [...this.drops].sort((a, b) => b[1] - a[1]).map(([where, count]) => `${count} ${where}`);
    return { protocol, client, server, forwarded, dropped, outcome: this.#outcome(), drops };
  }

  #outcome(): string {
    if (this.forwarded === 0) return "dropped";
    const [client, server] = this.flags as [number, number];
    if (this.protocol !== "tcp" && this.protocol !== "tcp6")
      return this.answered > 0 ? "answered" : "one way";
    if ((client | server) & TCP_RST) return "reset";
    if (client & server & TCP_FIN) return "closed";
    if (server & TCP_SYN && client & TCP_ACK) return "established";
    if (client & server & TCP_ACK) return "established";
    return server & TCP_SYN ? "half open" : "unanswered";
  }
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "icmp",
  6: "tcp",
  17: "udp",
  58: "icmp6",
  132: "sctp",
};
const TCP = 6;
const UDP = 17;
const SCTP = 132;

export class ConnectionReport {
  readonly #connections = new Map<string, Connection>();
  readonly #extractor = new Extractor(1);
  readonly #flow = new Flow();

  /** Adds a frame as it came in. */
  add(frame: Uint8Array, wireLength: number, inPort: number, verdict: Verdict): void {
    const flow = this.#flow;
    this.#extractor.extract(frame, wireLength, inPort, flow);
    const { protocol, src, dst } = endpoints(flow);
    const forth = `${protocol} ${src} ${dst}`;
    let reply = 0;
    let connection = this.#connections.get(forth);
    if (connection === undefined) {
      connection = this.#connections.get(`${protocol} ${dst} ${src}`);
      if (connection !== undefined) reply = 1;
    }
    if (connection === undefined) {
      connection = new Connection(protocol, src, dst);
      this.#connections.set(forth, connection);
    }
    const drop = dropNote(verdict);
    if (drop === null) {
      connection.forwarded++;
      connection.answered += reply;
      connection.flags[reply]! |= flow.get16(L.O_TCP_FLAGS);
    } else {
      connection.dropped++;
      const where =
        drop.table === null ? drop.reason : `at table ${drop.table} (cookie ${drop.cookie ?? "none"})`;
      connection.drops.set(where, (connection.drops.get(where) ?? 0) + 1);
    }
  }

  /** In the order of their first frames. */
  rows(): ConnectionRow[] {
    return [...this.#connections.values()].map((c) => c.row());
  }
}

function endpoints(flow: Flow): { protocol: string; src: string; dst: string } {
  const { bytes } = flow;
  const type = flow.get16(L.O_DL_TYPE);
  const proto = flow.get8(L.O_NW_PROTO);
  if (type === 0x0806) {
    return { protocol: "arp", src: formatIpv4(bytes, L.O_NW_SRC), dst: formatIpv4(bytes, L.O_NW_DST) };
  }
  if (type !== 0x0800 && type !== 0x86dd) {
    return {
      protocol: `0x${type.toString(16).padStart(4, "0")}`,
      src: [...bytes.subarray(L.O_DL_SRC, L.O_DL_SRC + 6)]
        .map((b) => b.toString(16).padStart(2, "0"))
        .join(":"),
      dst: [...bytes.subarray(L.O_DL_DST, L.O_DL_DST + 6)]
        .map((b) => b.toString(16).padStart(2, "0"))
        .join(":"),
    };
  }
  const six = type === 0x86dd;
  const hasPorts =
    (proto === TCP || proto === UDP || proto === SCTP) && !(flow.get8(L.O_NW_FRAG) & L.FRAG_LATER);
  const name = PROTOCOLS[proto] ?? `proto ${proto}`;
  const side = (address: string, port: number) => {
    if (!hasPorts) return address;
    return six ? `[${address}]:${port}` : `${address}:${port}`;
  };
  const src = six ? formatIpv6(bytes, L.O_IPV6_SRC) : formatIpv4(bytes, L.O_NW_SRC);
  const dst = six ? formatIpv6(bytes, L.O_IPV6_DST) : formatIpv4(bytes, L.O_NW_DST);
  return {
    protocol: six && proto !== 58 ? `${name}6` : name,
    src: side(src, flow.get16(L.O_TP_SRC)),
    dst: side(dst, flow.get16(L.O_TP_DST)),
  };
}

/** The rows as a table for people. */
export function connectionTable(rows: readonly ConnectionRow[]): string {
  const cells = rows.map((r) => [
    r.protocol,
    r.client,
    r.server,
    r.outcome,
    String(r.forwarded),
    String(r.dropped),
    r.drops.join("; "),
  ]);
  const head = ["protocol", "from", "to", "outcome", "forwarded", "dropped", "where"];
  const all = [head, ...cells];
  const width = head.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  const numeric = (i: number) => i === 4 || i === 5;
  return all
    .map((row) =>
      row
        .map((c, i) => (numeric(i) ? c.padStart(width[i]!) : c.padEnd(width[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}
