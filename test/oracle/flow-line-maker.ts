// Random lines of flow files, half and half: those that OVS takes (see SoundLineMaker), and those with something wrong. The
// latter have words that belong nowhere, or values, prerequisites and an order that do not fit: what `loose()` makes takes
// little care of those, so that most is refused for a reason deeper than syntax.
import { FIELDS, type Field } from "../../src/flow/field.ts";
import { ACTIONS, BAD_ACTIONS, BAD_FLOWS } from "./openflow-text-cases.ts";
import { SETTINGS } from "./sound-fields.ts";
import { SoundLineMaker } from "./sound-line-maker.ts";

const LETTERS = "0159xf:=,()[]->./_ abregit+|*-#\"'$\t";
const NUMBERS = [
  "0",
  "1",
  "-1",
  "7",
  "8",
  "63",
  "64",
  "255",
  "256",
  "4095",
  "4096",
  "65279",
  "65280",
  "65535",
  "65536",
  "0xffffff00",
  "4294967295",
  "4294967296",
  "0xffffffffffffffff",
  "18446744073709551616",
  "0x",
  "010",
  "09",
  "+5",
  "",
  "x",
];
const FLAG_FIELDS: Readonly<Record<string, readonly string[]>> = {
  ct_state: ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"],
  tcp_flags: ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"],
  tunnel_flags: ["oam"],
};

export class FlowLineMaker extends SoundLineMaker {
  /** A line: half of them are taken. */
  line(): string {
    if (this.below(2) === 0) return this.sound();
    return this.below(3) === 0 ? this.loose() : this.bad();
  }

  /** A line of good syntax whose parts may not fit one another. */
  loose(): string {
    const [setting, prereqs] = this.pick(SETTINGS);
    const has = new Set(prereqs.split(" "));
    const parts: string[] = [];
    const command =
      this.below(12) === 0
        ? this.pick(["add", "modify", "mod", "delete", "del", "delete_strict", "modify_strict"])
        : "";
    const isDelete = command.startsWith("del");
    for (let n = this.below(4); n > 0; n--) parts.push(this.keyValue(isDelete));
    if (setting !== "") parts.push(setting);
    for (let n = this.below(4); n > 0; n--) parts.push(this.matchItem(has));
    const separator = this.below(8) === 0 ? " " : ",";
    const head = (command === "" ? "" : `${command} `) + parts.join(separator);
    if (isDelete && this.below(10) !== 0) return head;
    return `${head}${this.below(2) === 0 ? "," : " "}actions=${this.actions(has, 0)}`;
  }

  /** A line with one to three things broken. */
  bad(): string {
    if (this.below(25) === 0) return this.pick(BAD_FLOWS);
    if (this.below(25) === 0) return `${this.pick(SETTINGS)[0]},actions=${this.pick(BAD_ACTIONS)}`;
    return this.mangled(this.below(3) === 0 ? this.loose() : this.sound());
  }

  /** A text with one to three things broken, as one line. */
  mangled(text: string): string {
    for (let n = 1 + this.below(3); n > 0; n--) text = this.broken(text);
    return text.replaceAll("\n", " ");
  }

  private broken(text: string): string {
    const at = this.below(text.length);
    const letter = LETTERS[this.below(LETTERS.length)]!;
    switch (this.below(12)) {
      case 0:
        return text.slice(0, at) + text.slice(at + 1);
      case 1:
        return text.slice(0, at) + letter + text.slice(at);
      case 2:
        return text.slice(0, at) + letter + text.slice(at + 1);
      case 3:
        return text.slice(0, at + 1) + text.slice(at);
      case 4:
        return text.slice(0, at) + (text[at + 1] ?? "") + (text[at] ?? "") + text.slice(at + 2);
      case 5:
        return text.slice(0, at);
      case 6:
      case 7:
      case 8:
        return this.replaceOne(text, /0x[0-9a-fA-F]+|\d+/g, () => this.pick(NUMBERS));
      case 9:
        return this.replaceOne(text, /[a-z_]{3,}\d?/gi, () => this.pick(this.words()));
      case 10:
        return this.replaceOne(text, /[()[\]=,:/.-]/g, () => this.pick(["", "", "(", ")", "=", ",", "->"]));
      default: {
        const words = text.split(",");
        const from = this.below(words.length);
        words.splice(this.below(words.length), this.below(2), words[from]!);
        return words.join(",");
      }
    }
  }

  private replaceOne(text: string, what: RegExp, by: () => string): string {
    const found = [...text.matchAll(what)];
    if (found.length === 0) return text;
    const m = this.pick(found);
    return text.slice(0, m.index) + by() + text.slice(m.index + m[0].length);
  }

  #words: readonly string[] | null = null;

  /** Every word of the vocabulary. */
  private words(): readonly string[] {
    if (this.#words === null) {
      const all = ACTIONS.flatMap(([, list]) => list).join(",");
      const words = all.match(/[a-zA-Z_]{3,}\d?/g) ?? [];
      this.#words = [
        ...new Set([...words, ...FIELDS.map((f) => f.name), ...BAD_ACTIONS.join().match(/[a-z_]{3,}/g)!]),
      ];
    }
    return this.#words;
  }

  private keyValue(isDelete: boolean): string {
    const small = (): string => String(this.below(65536));
    const some: (() => string)[] = [
      () => `table=${this.below(255)}`,
      () => `priority=${small()}`,
      () => `cookie=0x${this.below(2 ** 31).toString(16)}${isDelete ? "/-1" : ""}`,
      () => `idle_timeout=${small()}`,
      () => `hard_timeout=${small()}`,
      () => `importance=${small()}`,
      () =>
        this.pick(["send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"]),
      () =>
        this.pick([
          "duration=5s",
          "n_packets=5",
          "n_bytes=6",
          "idle_age=7",
          "hard_age=9",
          "allow_hidden_fields",
        ]),
    ];
    if (isDelete)
      some.push(
        () => `out_port=${this.pick(["1", "LOCAL", "ANY", "NONE"])}`,
        () => `out_group=${this.pick(["1", "any", "ALL"])}`,
      );
    return this.pick(some)();
  }

  private fieldFor(has: ReadonlySet<string>): Field {
    for (let tries = 0; tries < 40; tries++) {
      const field = this.pick(FIELDS);
      if (field.name.startsWith("tun_metadata") && this.below(12) !== 0) continue;
      if (has.has(field.prereq) || this.below(60) === 0) return field;
    }
    return FIELDS[0]!;
  }

  private matchItem(has: ReadonlySet<string>): string {
    const field = this.fieldFor(has);
    const name = field.alias !== null && this.below(2) === 0 ? field.alias : field.name;
    if (this.below(12) === 0) {
      const code = this.codeName(field);
      const from = this.below(field.bits);
      const to = from + this.below(Math.min(16, field.bits - from));
      return `${code}[${from}..${to}]=${this.below(2 ** (to - from + 1))}`;
    }
    return `${name}=${this.fieldValue(field, field.maskable || this.below(20) === 0)}`;
  }

  private codeName(field: Field): string {
    return this.pick([
      field.name,
      field.alias ?? field.name,
      field.nxmName ?? field.name,
      field.oxmName ?? field.name,
    ]);
  }

  /** A value as a field of that form takes it. */
  fieldValue(field: Field, masked: boolean): string {
    const flags = FLAG_FIELDS[field.form];
    if (flags !== undefined) {
      const some = flags.filter(() => this.below(3) === 0);
      if (masked && this.below(3) !== 0)
        return some.map((n) => this.pick(["+", "-"]) + n).join("") || "+" + flags[0];
      return this.below(6) === 0 ? `0x${this.below(256).toString(16)}` : some.join("|") || flags[0]!;
    }
    if (this.below(60) === 0) return this.pick(NUMBERS);
    switch (field.form) {
      case "ethernet":
        return this.value("dl_src", masked);
      case "ipv4":
        return this.value("nw_src", masked);
      case "ipv6":
        return this.value("ipv6_src", masked);
      case "of_port":
      case "of_port_oxm":
        return this.pick(["1", "LOCAL", "controller", "0xfffe", "65279", "ANY", "IN_PORT", "5"]);
      case "frag":
        return this.pick(["no", "yes", "first", "later", "not_later"]);
      case "packet_type":
        return this.pick(["(0,0)", "(1,0x800)", "(1,0x86dd)", "(1,0x8847)"]);
      default: {
        const bits = Math.min(field.bits, 48);
        const limit = 2 ** (1 + this.below(Math.min(bits, 31)));
        let n = this.below(limit);
        if (field.bits > 40 && this.below(2) === 0) n = n * 65536 + this.below(65536);
        const text = this.below(2) === 0 ? String(n) : `0x${n.toString(16)}`;
        return masked && this.below(3) === 0 ? `${text}/0x${this.below(limit).toString(16)}` : text;
      }
    }
  }

  /** A subfield of some width, by one of its names. */
  private subfield(has: ReadonlySet<string>, bits = 0): string {
    let field = this.fieldFor(has);
    for (let tries = 0; tries < 20 && field.bits < bits; tries++) field = this.fieldFor(has);
    const name = this.codeName(field);
    if (bits === 0 && this.below(2) === 0) return `${name}${this.pick(["[]", "[]", ""])}`;
    const width = bits || 1 + this.below(Math.min(field.bits, 32));
    const from = this.below(Math.max(1, field.bits - width + 1));
    return width === 1 ? `${name}[${from}]` : `${name}[${from}..${from + width - 1}]`;
  }

  actions(has: ReadonlySet<string>, depth: number): string {
    const list: string[] = [];
    for (let n = 1 + this.below(depth === 0 ? 4 : 3); n > 0; n--) list.push(this.action(has, depth));
    if (depth === 0 && this.below(12) === 0)
      list.push(this.pick(["goto_table:254", "write_metadata:5/7", "write_metadata:1,goto_table:250"]));
    return list.join(",");
  }

  private action(has: ReadonlySet<string>, depth: number): string {
    const number = (): string => (this.below(12) === 0 ? this.pick(NUMBERS) : String(this.below(256)));
    switch (this.below(depth > 2 ? 16 : 20)) {
      case 0:
      case 1:
      case 2: {
        const field = this.fieldFor(has);
        const name = this.pick([field.name, field.alias ?? field.name]);
        return `set_field:${this.fieldValue(field, field.maskable)}->${name}`;
      }
      case 3: {
        const bits = 1 + this.below(31);
        return `load:${this.pick(["", "0x"])}${this.below(2 ** Math.min(bits, 10))}->${this.subfield(has, bits)}`;
      }
      case 4: {
        const bits = 1 + this.below(32);
        return `move:${this.subfield(has, bits)}->${this.subfield(has, bits)}`;
      }
      case 5:
        return this.pick(["push", "pop"]) + ":" + this.subfield(has);
      case 6:
        return this.pick([
          `output:${number()}`,
          `group:${number()}`,
          `meter:${number()}`,
          `resubmit(${number()},${number()})`,
          `enqueue:${number()}:${number()}`,
          `${number()}`,
          `output:${this.subfield(has)}`,
        ]);
      case 7:
        return this.nat(number);
      case 8:
        return this.learn(has);
      case 9:
        return this.pick([
          `mod_vlan_vid:${number()}`,
          `mod_vlan_pcp:${this.below(9)}`,
          `set_queue:${number()}`,
          `dec_ttl(${number()})`,
          `set_mpls_label:${number()}`,
          `set_mpls_tc:${number()}`,
          `mod_nw_tos:${number()}`,
          `mod_nw_ttl:${number()}`,
          `mod_tp_dst:${number()}`,
          `push_vlan:${this.pick(["0x8100", "0x88a8", "0x9100"])}`,
          `push_mpls:${this.pick(["0x8847", "0x8848", "0x800"])}`,
          `pop_mpls:${this.pick(["0x8847", "0x8848", "0x800", "0x86dd"])}`,
          `delete_field:${this.subfield(has)}`,
          `check_pkt_larger(${number()})->${this.subfield(has, 1)}`,
          `fin_timeout(idle_timeout=${number()},hard_timeout=${number()})`,
          `multipath(${this.pick(["eth_src", "symmetric_l4", "nw_dst", "symmetric_l3"])},${number()},${this.pick(["modulo_n", "hash_threshold", "hrw", "iter_hash"])},${number()},0,${this.subfield(has, 16)})`,
          `bundle(${this.pick(["eth_src", "symmetric_l3l4", "nw_src"])},${number()},${this.pick(["hrw", "active_backup"])},ofport,members:${number()},${number()})`,
          `bundle_load(eth_src,0,hrw,ofport,${this.subfield(has, 16)},members:${number()})`,
          `controller(reason=${this.pick(["action", "no_match", "invalid_ttl"])},max_len=${number()},id=${number()})`,
          `controller(meter_id=${number()},pause)`,
          `conjunction(${number()},${this.below(4)}/${this.below(5)})`,
          `note:${this.pick(["01.02", "0102", "", "fg"])}`,
          `sample(probability=${number()},sampling_port=${number()})`,
          `output(port=${number()},max_len=${number()})`,
        ]);
      case 16:
        return `clone(${this.actions(has, depth + 1)})`;
      case 17:
        return `write_actions(${this.actions(has, depth + 1)})`;
      case 18:
        return `ct(commit,exec(${this.pick(["set_field:5->ct_mark", "load:1->NXM_NX_CT_LABEL[5]", "set_field:5/7->ct_label", `move:${this.subfield(has, 8)}->ct_mark[0..7]`, this.actions(has, depth + 1)])})${this.below(2) === 0 ? ",nat" : ""})`;
      case 19:
        return `ct(zone=${this.subfield(has, 16)},table=${number()})`;
      default: {
        const text = this.pick(this.pick(ACTIONS)[1]);
        return this.below(3) === 0 ? this.replaceOne(text, /\b\d+\b/g, number) : text;
      }
    }
  }

  private nat(number: () => string): string {
    const ip = this.pick([
      () => this.value("tun_src", false),
      () => this.value("tun_ipv6_src", false),
      () => `[${this.value("tun_ipv6_src", false)}]`,
    ]);
    const first = ip();
    const range = this.below(2) === 0 ? first : `${first}-${ip()}`;
    const ports =
      this.below(2) === 0 ? "" : this.below(2) === 0 ? `:${number()}` : `:${number()}-${number()}`;
    const flags = this.pick(["", "", ",random", ",hash", ",persistent", ",hash,persistent"]);
    return `ct(commit,zone=${number()},nat(${this.pick(["src", "dst"])}=${range}${ports}${flags}))`;
  }

  private learn(has: ReadonlySet<string>): string {
    const parts = [`table=${this.below(255)}`];
    for (let n = this.below(5); n > 0; n--) {
      const bits = 1 + this.below(32);
      parts.push(
        this.pick([
          () => `${this.subfield(has, bits)}=${this.subfield(has, bits)}`,
          () => this.subfield(has, bits),
          () => this.matchItem(has),
          () => this.fieldFor(has).name,
          () => `load:${this.below(300)}->${this.subfield(has, bits)}`,
          () => `load:${this.subfield(has, bits)}->${this.subfield(has, bits)}`,
          () => `output:${this.subfield(has)}`,
          () => "eth_type=0x800",
          () => "nw_proto=6",
          () =>
            this.pick([
              "priority=5",
              "idle_timeout=9",
              "delete_learned",
              "limit=3",
              "result_dst=reg0[5]",
              "cookie=5",
              "send_flow_rem",
            ]),
        ])(),
      );
    }
    return `learn(${parts.join(",")})`;
  }
}
