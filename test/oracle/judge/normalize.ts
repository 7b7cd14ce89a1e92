// Takes out of both switches' texts what may differ from run to run: durations, recirculation ids, the datapath's number of the
// bridge's own port, and the order of a flood (OVS floods in the order of a hash table).
import { OFPP_LOCAL } from "../../../src/pipeline/action.ts";

/** OVS's dummy datapath gives the bridge's own port this number. */
const LOCAL_DATAPATH_PORT = "100";

/** One line of dump-flows. */
function normalizeFlow(line: string): string {
  return line
    .trim()
    .replace(/duration=[^,]*, /, "")
    .replace(/(idle|hard)_age=\d+, /g, "");
}

/**
 * A whole dump. Flows of one priority stand in no certain order where their masks differ: the clauses of a conjunction may.
 */
export function normalizeFlows(lines: readonly string[]): string[] {
  const all = lines.map(normalizeFlow);
  return all.some((line) => line.includes("conjunction(")) ? all.sort() : all;
}

/** Recirculation ids by order of appearance; the bridge's own port by its OpenFlow number; runs of outputs sorted. */
export function normalizeTrace(text: string): string {
  const seen = new Map<string, string>();
  return withoutKnown(text)
    .replace(/\b(recirc_id=|recirc\()(0x[0-9a-f]+|[1-9][0-9]*)\b/g, (_, head: string, id: string) => {
      const key = Number(id).toString();
      if (!seen.has(key)) seen.set(key, `#${seen.size + 1}`);
      return head + seen.get(key)!;
    })
    .replace(/^Datapath actions: .*$/gm, (line) =>
      line
        .replace(/(?<=[ ,(])\d+(?=$|[,)])/g, (port) =>
          port === LOCAL_DATAPATH_PORT ? `${OFPP_LOCAL}` : port,
        )
        .replace(/(?<=[ ,(])\d+(,\d+)+(?=$|[,)])/g, (run) =>
          run
            .split(",")
            .map(Number)
            .sort((a, b) => a - b)
            .join(","),
        ),
    )
    .trimEnd();
}

/**
 * Takes out where Megaflow's mask is narrower on purpose (differences.md): nw_proto of a frame that has no ports when the IP header is
 * written, and the whole label entry when a part of it is. And an IPv6 label is looked at whole in either spelling.
 */
function withoutKnown(text: string): string {
  const parts = text.split(/^(?==+$)/m);
  return parts
    .map((part) => {
      const flow = /^Flow: (.*)$/m.exec(part)?.[1] ?? "";
      const noPorts = /\bmplsm?,|nw_frag=(first|later)/.test(flow) || /(^|,)(ip|ipv6),/.test(flow);
      const same = part.replace(/(ipv6_label=0x[0-9a-f]+)\/0xfffff\b/g, "$1");
      if (noPorts) return same.replace(/^Megaflow: .*$/m, "Megaflow: not compared");
      return same.replace(/^Megaflow: .*$/m, (line) =>
        line
          .replace(/(dl_vlan=0),dl_vlan_pcp=\d/, "$1")
          .replace(/,(nw_proto|arp_op)=\d+/, "")
          .replace(/,(tcp|udp|sctp|icmp),/, ",ip,")
          .replace(/,(tcp6|udp6|sctp6|icmp6),/, ",ipv6,"),
      );
    })
    .join("");
}
