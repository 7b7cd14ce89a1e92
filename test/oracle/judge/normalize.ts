// Takes out of both switches' texts what may differ from run to run: durations, recirculation ids, the datapath's number of the
// bridge's own port, and the order of a flood (OVS floods in the order of a hash table).
import { OFPP_LOCAL } from "../../../src/pipeline/action.ts";

/** OVS's dummy datapath gives the bridge's own port this number. */
const LOCAL_DATAPATH_PORT = "100";

/** One line of dump-flows. */
export function normalizeFlow(line: string): string {
  return line
    .trim()
    .replace(/duration=[^,]*, /, "")
    .replace(/(idle|hard)_age=\d+, /g, "");
}

/** Recirculation ids by order of appearance; the bridge's own port by its OpenFlow number; runs of outputs sorted. */
export function normalizeTrace(text: string): string {
  const seen = new Map<string, string>();
  return text
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
