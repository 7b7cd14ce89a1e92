// OpenFlow port numbers in text (ovs-ofctl(8), OpenFlow 1.0 numbers): decimal numbers and the names of the reserved ports.

/** Resolves a port's name to its number, undefined when there is no such port. */
export type PortResolver = (name: string) => number | undefined;

const RESERVED = new Map<string, number>([
  ["UNSET", 0xfff7],
  ["IN_PORT", 0xfff8],
  ["TABLE", 0xfff9],
  ["NORMAL", 0xfffa],
  ["FLOOD", 0xfffb],
  ["ALL", 0xfffc],
  ["CONTROLLER", 0xfffd],
  ["LOCAL", 0xfffe],
  ["ANY", 0xffff],
]);
const RESERVED_NAMES = new Map([...RESERVED].map(([name, no]) => [no, name]));

const NUMBER = /^[ \t\r\n]*[+]?\d+$/;

/** The port of a text: a number, the name of a reserved port in any case, or a name that `ports` knows. */
export function parsePort(text: string, ports?: PortResolver): number | undefined {
  if (NUMBER.test(text)) {
    const no = Number(text);
    if (no <= 0xffff) return no;
    return no >= 0xffffff00 && no <= 0xffffffff ? no & 0xffff : undefined;
  }
  const upper = text.toUpperCase();
  const reserved = RESERVED.get(upper === "NONE" ? "ANY" : upper);
  if (reserved !== undefined || ports === undefined) return reserved;
  const quoted = /^"(.*)"$/.exec(text);
  return ports(quoted === null ? text : quoted[1]!);
}

/** The name of a reserved port, else the number. */
export function formatPort(no: number): string {
  return RESERVED_NAMES.get(no) ?? String(no);
}
