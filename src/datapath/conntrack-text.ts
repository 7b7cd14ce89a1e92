// Reads what `ovs-appctl dpctl/dump-conntrack` prints, with or without -m and -s: the table of a bug report.
//
//   tcp,orig=(src=A,dst=B,sport=1,dport=80),reply=(...),zone=5,timeout=86400,mark=7,labels=0x1,protoinfo=(state=ESTABLISHED)
//
// Of what the Linux kernel's tracker adds (ids, packets, bytes, start times) nothing is kept. Blank lines and lines that begin
// with # are left out; any other that cannot be read is an error (ETEXT) with line and column.
import { MegaflowError } from "../lib/errors.ts";
import { parseIp } from "../packet/address.ts";
import {
  answerType,
  type Connection,
  PROTO_NAMES,
  TCP_STATES,
  type TcpPeer,
  type Tuple,
} from "./conntrack-dump.ts";

/** A connection of a dump. */
export interface DumpedConnection extends Omit<Connection, "leftMs"> {
  /** Milliseconds until it ends; null when the dump does not say. */
  readonly leftMs: number | null;
  /** Whether an answer has been seen; null when the dump does not say. Of TCP its states say it. */
  readonly answered: boolean | null;
  readonly line: number;
}

const PROTO_ICMP = 1;
const PROTO_TCP = 6;
const PROTO_ICMPV6 = 58;
const PROTOS = new Map(Object.entries(PROTO_NAMES).map(([number, name]) => [name, Number(number)]));
const QUERY_TYPES: Readonly<Record<number, readonly number[]>> = {
  [PROTO_ICMP]: [0, 8, 13, 14, 15, 16],
  [PROTO_ICMPV6]: [128, 129],
};

/** Both sides' states where a dump gives one for both, and names that Linux alone has. */
const STATES: Readonly<Record<string, readonly [orig: string, reply: string]>> = {
  CLOSED: ["TIME_WAIT", "TIME_WAIT"],
  CLOSE: ["TIME_WAIT", "TIME_WAIT"],
  LISTEN: ["SYN_SENT", "CLOSED"],
  SYN_SENT: ["SYN_SENT", "CLOSED"],
  SYN_SENT2: ["SYN_SENT", "SYN_SENT"],
  SYN_RECV: ["ESTABLISHED", "SYN_SENT"],
  ESTABLISHED: ["ESTABLISHED", "ESTABLISHED"],
  FIN_WAIT_1: ["CLOSING", "ESTABLISHED"],
  CLOSING: ["CLOSING", "ESTABLISHED"],
  CLOSE_WAIT: ["FIN_WAIT_2", "ESTABLISHED"],
  LAST_ACK: ["FIN_WAIT_2", "CLOSING"],
  FIN_WAIT_2: ["FIN_WAIT_2", "FIN_WAIT_2"],
  TIME_WAIT: ["TIME_WAIT", "TIME_WAIT"],
};

/** Reads a whole dump. `file` is for errors. */
export function parseConnections(text: string, file: string): DumpedConnection[] {
  const found: DumpedConnection[] = [];
  const seen = new Map<string, number>();
  text.split("\n").forEach((raw, i) => {
    const line = raw.replace(/\r$/, "");
    if (line.trim() === "" || line.startsWith("#")) return;
    const connection = new Line(line, file, i + 1).connection();
    for (const tuple of [connection.orig, connection.reply]) {
      const key = `${connection.proto} ${connection.zone} ${tuple.src} ${tuple.dst} ${tuple.sport} ${tuple.dport}`;
      const first = seen.get(key);
      if (first !== undefined && first !== i + 1) {
        throw new MegaflowError("ETEXT", `its tuple is that of the connection in line ${first}`, {
          file,
          line: i + 1,
        });
      }
      seen.set(key, i + 1);
    }
    found.push(connection);
  });
  return found;
}

/** A value and where it stands. */
interface Field {
  readonly text: string;
  readonly at: number;
}

class Line {
  readonly #text: string;
  readonly #file: string;
  readonly #line: number;

  constructor(text: string, file: string, line: number) {
    this.#text = text;
    this.#file = file;
    this.#line = line;
  }

  connection(): DumpedConnection {
    const end = this.#text.indexOf(",");
    const name = end < 0 ? this.#text : this.#text.slice(0, end);
    const proto = PROTOS.get(name) ?? (/^\d{1,3}$/.test(name) && Number(name) < 256 ? Number(name) : null);
    if (proto === null || end < 0) throw this.#error(0, `"${name}" is no protocol that a dump names`);
    const fields = this.#fields(end + 1, this.#text.length, KEYS);
    const need = (key: string): Field => {
      const field = fields.get(key);
      if (field === undefined) throw this.#error(this.#text.length, `${key}=(...) is wanted`);
      return field;
    };
    const orig = this.#tuple(need("orig"), proto);
    const reply = this.#tuple(need("reply"), proto);
    if (reply.src.length !== orig.src.length)
      throw this.#error(need("reply").at, "its addresses are of another kind");
    const parent = fields.get("parent");
    const parentProto = proto === PROTO_TCP ? PROTO_TCP : proto;
    const status = fields.get("status")?.text ?? "0";
    const timeout = fields.get("timeout");
    const connection = {
      proto,
      family: orig.src.length === 16 ? 6 : 4,
      orig,
      reply,
      zone: this.#number(fields.get("zone"), 65535) ?? 0,
      mark: this.#number(fields.get("mark"), 0xffffffff) ?? 0,
      label: this.#label(fields.get("labels")),
      tcp: proto === PROTO_TCP ? this.#tcp(need("protoinfo")) : null,
      helper: this.#helper(fields.get("helper")),
      parent: parent === undefined ? null : { ...this.#tuple(parent, parentProto), proto: parentProto },
      leftMs: timeout === undefined ? null : this.#number(timeout, 0xffffffff)! * 1000,
      answered: /^(0|0x0)$/.test(status) ? null : status.includes("SEEN_REPLY"),
      line: this.#line,
    } as const;
    this.#checkReply(connection, need("reply"));
    return connection;
  }

  /** A connection is translated at one of its ends, or at none. */
  #checkReply({ proto, orig, reply }: { proto: number; orig: Tuple; reply: Tuple }, field: Field): void {
    const isIcmp = proto === PROTO_ICMP || proto === PROTO_ICMPV6;
    if (isIcmp) {
      if (orig.sport !== reply.sport) throw this.#error(field.at, "its id is another than the original's");
      if (reply.dport !== answerType(proto, orig.dport))
        throw this.#error(field.at, "its type does not answer the original's");
    }
    const { source, destination } = translated(proto, orig, reply);
    if (source && destination)
      throw this.#error(field.at, "source and destination are both translated: only one can be");
  }

  /** `key=value,...` from one place up to another; a value in parentheses is taken whole, without them. */
  #fields(start: number, end: number, keys: readonly string[]): Map<string, Field> {
    const fields = new Map<string, Field>();
    for (let at = start; at < end; ) {
      const equals = this.#text.indexOf("=", at);
      const key = equals < 0 || equals >= end ? this.#text.slice(at, end) : this.#text.slice(at, equals);
      if (equals < 0 || equals >= end || !keys.includes(key)) {
        throw this.#error(at, `"${key.slice(0, 40)}" is not one of ${keys.join(", ")}`);
      }
      if (fields.has(key)) throw this.#error(at, `${key} is given twice`);
      let from = equals + 1;
      let to: number;
      let next: number;
      if (this.#text[from] === "(") {
        to = this.#text.indexOf(")", from);
        if (to < 0 || to >= end) throw this.#error(from, "( is not closed");
        from++;
        next = to + 1;
      } else {
        to = this.#text.indexOf(",", from);
        if (to < 0 || to > end) to = end;
        next = to;
      }
      if (next < end && this.#text[next] !== ",") throw this.#error(next, "a comma is wanted");
      fields.set(key, { text: this.#text.slice(from, to), at: from });
      at = next + 1;
    }
    return fields;
  }

  #tuple(field: Field, proto: number): Tuple {
    const fields = this.#fields(field.at, field.at + field.text.length, TUPLE_KEYS);
    const src = this.#address(fields.get("src"), field);
    const dst = this.#address(fields.get("dst"), field);
    if (src.length !== dst.length) throw this.#error(field.at, "one address is IPv4, the other IPv6");
    if (proto === PROTO_ICMP || proto === PROTO_ICMPV6) {
      const type = this.#number(fields.get("type"), 255);
      if (type === null || !QUERY_TYPES[proto]!.includes(type)) {
        throw this.#error(fields.get("type")?.at ?? field.at, "type= of a query or its answer is wanted");
      }
      return { src, dst, sport: this.#number(fields.get("id"), 65535) ?? 0, dport: type };
    }
    const sport = this.#number(fields.get("sport"), 65535) ?? 0;
    return { src, dst, sport, dport: this.#number(fields.get("dport"), 65535) ?? 0 };
  }

  #address(field: Field | undefined, tuple: Field): Uint8Array {
    if (field === undefined) throw this.#error(tuple.at, "src= and dst= are wanted");
    try {
      return parseIp(field.text);
    } catch {
      throw this.#error(field.at, `"${field.text}" is no address`);
    }
  }

  #number(field: Field | undefined, max: number): number | null {
    if (field === undefined) return null;
    const value = /^(\d+|0x[0-9a-f]+)$/i.test(field.text) ? Number(field.text) : Number.NaN;
    if (value <= max) return value;
    throw this.#error(field.at, `"${field.text}" is no number up to ${max}`);
  }

  #label(field: Field | undefined): Uint8Array {
    const label = new Uint8Array(16);
    if (field === undefined) return label;
    const digits = /^0x([0-9a-f]{1,32})$/i.exec(field.text)?.[1];
    if (digits === undefined) throw this.#error(field.at, `"${field.text}" is no label, such as 0x1f`);
    label.set(Buffer.from(digits.padStart(32, "0"), "hex"));
    return label;
  }

  #helper(field: Field | undefined): "ftp" | "tftp" | null {
    if (field === undefined) return null;
    if (field.text === "ftp" || field.text === "tftp") return field.text;
    throw this.#error(field.at, `there is no helper "${field.text}"`);
  }

  #tcp(field: Field): { readonly orig: TcpPeer; readonly reply: TcpPeer } {
    const fields = this.#fields(field.at, field.at + field.text.length, TCP_KEYS);
    const one = fields.get("state");
    const states = one === undefined ? null : STATES[one.text];
    if (states === undefined) throw this.#error(one!.at, `there is no state "${one!.text}"`);
    const peer = (side: "orig" | "reply", i: 0 | 1): TcpPeer => {
      const named = fields.get(`state_${side}`);
      const name = named?.text ?? states?.[i];
      if (name === undefined)
        throw this.#error(field.at, "state= or state_orig= and state_reply= are wanted");
      const state = TCP_STATES.indexOf(name);
      if (state < 0) throw this.#error(named!.at, `there is no state "${name}"`);
      const flags = fields.get(`flags_${side}`)?.text;
      const wscale = this.#number(fields.get(`wscale_${side}`), 14) ?? 0;
      const scales = wscale !== 0 || (flags?.includes("WINDOW_SCALE") ?? false);
      // A dump without -m does not tell: as if it had been picked up.
      return {
        state,
        wscale,
        scales,
        liberal: !scales && (flags?.includes("BE_LIBERAL") ?? named === undefined),
      };
    };
    return { orig: peer("orig", 0), reply: peer("reply", 1) };
  }

  #error(at: number, message: string): MegaflowError {
    return new MegaflowError("ETEXT", message, { file: this.#file, line: this.#line, column: at + 1 });
  }
}

const KEYS = [
  "orig",
  "reply",
  "id",
  "zone",
  "status",
  "timeout",
  "mark",
  "labels",
  "protoinfo",
  "helper",
  "parent",
  "start",
  "stop",
];
const TUPLE_KEYS = ["src", "dst", "sport", "dport", "id", "type", "code", "packets", "bytes"];
const TCP_KEYS = ["state", ...["state", "wscale", "flags"].flatMap((key) => [`${key}_orig`, `${key}_reply`])];

/** Which ends of a connection are translated: the reply tuple is then not the original's reverse. */
export function translated(
  proto: number,
  orig: Tuple,
  reply: Tuple,
): { source: boolean; destination: boolean } {
  const ports = proto !== PROTO_ICMP && proto !== PROTO_ICMPV6;
  const same = (a: Uint8Array, b: Uint8Array) => a.every((byte, i) => byte === b[i]);
  return {
    source: !same(reply.dst, orig.src) || (ports && reply.dport !== orig.sport),
    destination: !same(reply.src, orig.dst) || (ports && reply.sport !== orig.dport),
  };
}
