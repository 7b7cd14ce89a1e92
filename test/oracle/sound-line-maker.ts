// Random lines of flow files that OVS takes, nearly all of them: every field with each way to write its value, every action
// and every key of a flow-mod, with the prerequisites kept through what the actions do to the packet.
import { CT_LABEL, CT_MARK, type Field } from "../../src/flow/field.ts";
import {
  isMatched,
  isTarget,
  type Known,
  SETTINGS,
  SETTLED,
  SoundFieldMaker,
  UNMATCHED,
} from "./sound-fields.ts";

type Make = () => string;

export class SoundLineMaker extends SoundFieldMaker {
  /** A line that OVS takes, but for the odd one that is refused for a reason too deep for this file. */
  sound(): string {
    const [setting, prereqs] = this.pick(SETTINGS);
    const known: Known = new Set(prereqs.split(" "));
    const command =
      this.below(8) === 0 ? this.pick(["add", "modify", "mod", "modify_s", "delete", "del", "delete_s"]) : "";
    const table = this.below(200);
    const parts = this.keys(command, table);
    if (setting !== "") parts.push(setting);
    const fields = new Set<number>();
    for (let n = this.below(4); n > 0; n--) {
      const field = this.fieldOf(known, (f) => !UNMATCHED.test(f.name) && !SETTLED.test(f.name));
      // Registers that lie over one another, and forms of one field, are left to chance elsewhere.
      if (fields.has(field.offset)) continue;
      fields.add(field.offset);
      parts.push(this.matchOf(field));
    }
    const head = (command === "" ? "" : `${command} `) + parts.join(this.below(8) === 0 ? " " : ",");
    if (command.startsWith("del")) return head;
    const end = head === "" ? "" : this.pick([",", " ", ", "]);
    return `${head}${end}${this.pick(["actions", "actions", "action"])}=${this.instructions(known, table)}`;
  }

  private keys(command: string, table: number): string[] {
    const isDelete = command.startsWith("del");
    const isAdd = command === "" || command === "add";
    const some: Make[] = [() => `cookie=0x${this.below(2 ** 31).toString(16)}${isDelete ? "/-1" : ""}`];
    if (command === "" || /_s|add/.test(command)) some.push(() => `priority=${this.below(65536)}`);
    some.push(() => this.pick(["duration=5s", "n_packets=5", "n_bytes=6", "idle_age=7", "hard_age=9"]));
    if (isDelete) {
      some.push(() => `out_port=${this.pick(["1", "LOCAL", "ANY", "NONE"])}`);
      some.push(() => `out_group=${this.pick(["1", "any", "ALL"])}`);
    } else {
      some.push(() => `${this.pick(["idle", "hard"])}_timeout=${this.below(65536)}`);
      some.push(() => this.pick(["send_flow_rem", "reset_counts", "no_packet_counts", "no_byte_counts"]));
      some.push(() => this.pick(["check_overlap", "allow_hidden_fields", "no_readonly_table"]));
    }
    if (isAdd) some.push(() => `importance=${this.below(65536)}`);
    const parts = [`table=${table}`];
    for (let n = this.below(4); n > 0; n--) parts.push(this.pick(some)());
    return parts;
  }

  private matchOf(field: Field): string {
    if (field.maskable && field.codePoints.length > 0 && field.form !== "ct_state" && this.below(10) === 0) {
      const from = this.below(field.bits);
      const to = from + this.below(Math.min(16, field.bits - from));
      const name = this.nameOf(field);
      const bits = to === from && this.below(2) === 0 ? String(from) : `${from}..${to}`;
      return `${name}[${bits}]=${this.below(2 ** (to - from + 1))}`;
    }
    return `${this.shortName(field)}=${this.soundValue(field, field.maskable)}`;
  }

  /** What stands behind `actions=`. */
  private instructions(known: Known, table: number): string {
    if (this.below(20) === 0) return this.pick(["drop", "", "normal", "flood", "all", "local", "in_port"]);
    if (this.below(25) === 0) return this.conjunctions();
    const list: string[] = [];
    if (this.below(12) === 0) list.push(`meter:${1 + this.below(127)}`);
    for (let n = this.below(5) + (list.length === 0 ? 1 : 0); n > 0; n--)
      list.push(this.soundAction(known, 0));
    if (this.below(15) === 0) list.push("clear_actions");
    if (this.below(10) === 0) list.push(`write_actions(${this.actionSet(known)})`);
    if (this.below(15) === 0) list.push(`write_metadata:${this.numeral(this.below(2 ** 31))}`);
    if (list.at(-1)?.startsWith("write_metadata") !== true && this.below(15) === 0) {
      list.push(`write_metadata:0x${this.below(16).toString(16)}/0xf`);
    }
    if (this.below(10) === 0) list.push(`goto_table:${table + 1 + this.below(40)}`);
    return list.join(this.below(10) === 0 ? " " : this.below(20) === 0 ? ", " : ",");
  }

  private conjunctions(): string {
    const list: string[] = [];
    for (let n = 1 + this.below(3); n > 0; n--) {
      const count = 2 + this.below(this.pick([3, 63]));
      list.push(`conjunction(${this.numeral(this.below(2 ** 31))},${1 + this.below(count)}/${count})`);
    }
    if (this.below(4) === 0) list.push(this.note());
    return list.join(",");
  }

  /** What an action set may hold. */
  private actionSet(known: Known): string {
    const inside = new Set(known);
    const list: string[] = [];
    for (let n = this.below(4); n > 0; n--) {
      list.push(
        this.pick<Make>([
          () => this.setField(inside),
          () => this.setField(inside),
          () => this.load(inside),
          () => `set_queue:${this.below(100)}`,
          () => `output:${1 + this.below(200)}`,
          () => `group:${this.below(128)}`,
          () => (inside.has("ip") ? "dec_ttl" : "output:LOCAL"),
          () => `set_tunnel:${this.numeral(this.below(2 ** 31))}`,
          () => `move:reg1[0..7]->${this.target(inside, 8)}`,
        ])(),
      );
    }
    return list.join(",");
  }

  protected soundActions(known: Known, depth: number): string {
    const inside = new Set(known);
    const list: string[] = [];
    for (let n = 1 + this.below(3); n > 0; n--) list.push(this.soundAction(inside, depth));
    return list.join(",");
  }

  private soundAction(known: Known, depth: number): string {
    switch (this.below(14)) {
      case 0:
      case 1:
        return this.setField(known);
      case 2:
        return this.load(known);
      case 3: {
        const bits = 1 + this.below(32);
        if (this.below(3) === 0) return "move:NXM_NX_REG0[]->NXM_NX_REG1[]";
        return `move:${this.source(known, bits)}->${this.target(known, bits)}`;
      }
      case 4:
        return this.pick([
          `push:${this.soundSubfield(known, 1 + this.below(16), () => true, false)}`,
          `pop:${this.soundSubfield(known, 1 + this.below(16), isTarget, false)}`,
        ]);
      case 5:
      case 6:
        return this.outputs(known);
      case 7:
        return this.tagOrLabel(known);
      case 8:
        return this.byProtocol(known);
      case 9:
        return this.ct(known, depth);
      case 10:
        return this.soundLearn(known);
      case 11:
        return depth < 4 ? `clone(${this.soundActions(known, depth + 1)})` : "exit";
      default:
        return this.rest(known, depth);
    }
  }

  private setField(known: Known): string {
    const field = this.fieldOf(known, isTarget);
    return `set_field:${this.soundValue(field, field.maskable)}->${this.shortName(field)}`;
  }

  private load(known: Known): string {
    const bits = 1 + this.below(32);
    const value = this.below(2 ** Math.min(31, bits));
    return `load:${this.numeral(value)}->${this.target(known, bits)}`;
  }

  private outputs(known: Known): string {
    const port = (): string => this.pick(["1", "2", "LOCAL", "in_port", "normal", "controller", "65534"]);
    return this.pick<Make>([
      port,
      () => `output:${port()}`,
      () => `output:${1 + this.below(65000)}`,
      () => String(1 + this.below(65000)),
      () => `output:${this.soundSubfield(known, 1 + this.below(16))}`,
      () => `output(port=${1 + this.below(200)},max_len=${14 + this.below(2000)})`,
      () => `group:${this.below(128)}`,
      () => `enqueue:${1 + this.below(200)}:${this.below(100)}`,
      () => `enqueue(${this.pick(["1", "LOCAL", "in_port"])},${this.below(100)})`,
      () => `resubmit:${1 + this.below(200)}`,
      () => `resubmit(${this.pick(["", "in_port", "7"])},${this.below(255)})`,
      () => `resubmit(${1 + this.below(7)},)`,
      () => (known.has("ip") ? `resubmit(,${this.below(255)},ct)` : "resubmit(,3)"),
      () => `controller:${this.below(65536)}`,
      () =>
        `controller(${this.pick(["reason=no_match", "reason=action", "reason=invalid_ttl", "max_len=77", "id=6", `userdata=${this.octets(".")}`, "pause", `meter_id=${1 + this.below(127)}`])}${this.pick(["", ",max_len=128"])})`,
      () =>
        `bundle(${this.hash()},${this.below(65536)},${this.pick(["hrw", "active_backup"])},ofport,${this.members()})`,
      () =>
        `bundle_load(${this.hash()},${this.below(65536)},${this.pick(["hrw", "active_backup"])},ofport,${this.target(known, 16)},${this.members()})`,
      () =>
        `multipath(${this.hash()},${this.below(65536)},${this.pick(["modulo_n", "hash_threshold", "hrw", "iter_hash"])},${1 + this.below(256)},${this.below(65536)},${this.target(known, 8 + this.below(9))})`,
    ])();
  }

  private hash(): string {
    return this.pick([
      "eth_src",
      "symmetric_l4",
      "symmetric_l3l4",
      "symmetric_l3l4+udp",
      "nw_src",
      "nw_dst",
      "symmetric_l3",
    ]);
  }

  private members(): string {
    const some = Array.from({ length: this.below(4) }, () => this.pick(["1", "2", "77", "LOCAL"]));
    return `${this.pick(["members", "members", "slaves"])}:${some.join(",")}`;
  }

  private tagOrLabel(known: Known): string {
    if (!known.has("ethernet")) return "pop_queue";
    const makes: Make[] = [
      () => {
        known.add("vlan");
        return `mod_vlan_vid:${this.below(4096)}`;
      },
      () => {
        known.add("vlan");
        return `mod_vlan_pcp:${this.below(8)}`;
      },
    ];
    if (!known.has("vlan")) {
      makes.push(() => {
        known.add("vlan");
        return `push_vlan:${this.pick(["0x8100", "0x88a8", "33024"])}`;
      });
    } else {
      makes.push(() => {
        known.delete("vlan");
        return this.pick(["pop_vlan", "strip_vlan"]);
      });
      makes.push(() => `set_vlan_vid:${this.below(4096)}`);
      makes.push(() => `set_vlan_pcp:${this.below(8)}`);
    }
    makes.push(() => {
      become(known, "ethernet mpls");
      return `push_mpls:${this.pick(["0x8847", "0x8848"])}`;
    });
    if (known.has("mpls")) {
      makes.push(
        () => `set_mpls_label:${this.below(2 ** 20)}`,
        () => `set_mpls_tc(${this.below(8)})`,
        () => `set_mpls_ttl:${this.below(256)}`,
        () => "dec_mpls_ttl",
        () => {
          become(known, "ethernet ipv4 ip");
          return "pop_mpls:0x800";
        },
        () => {
          become(known, "ethernet ipv6 ip");
          return "pop_mpls:0x86dd";
        },
      );
    }
    return this.pick(makes)();
  }

  private byProtocol(known: Known): string {
    const makes: Make[] = [];
    if (known.has("ethernet")) makes.push(() => `mod_dl_${this.pick(["src", "dst"])}:00:11:22:33:44:55`);
    if (known.has("ip")) {
      makes.push(
        () => `mod_nw_tos:${4 * this.below(64)}`,
        () => `mod_nw_ecn:${this.below(4)}`,
        () => `mod_nw_ttl:${this.below(256)}`,
        () => "dec_ttl",
        () => `dec_ttl(${this.below(99)},${this.below(99)})`,
      );
    }
    if (known.has("ipv4"))
      makes.push(() => `mod_nw_${this.pick(["src", "dst"])}:${this.value("tun_src", false)}`);
    if (known.has("tcp")) {
      makes.push(() => `fin_timeout(idle_timeout=${this.below(99)},hard_timeout=${this.below(99)})`);
    }
    if (known.has("tcp") || known.has("udp") || known.has("sctp")) {
      makes.push(() => `mod_tp_${this.pick(["src", "dst"])}:${this.below(65536)}`);
    }
    if (known.has("nsh")) makes.push(() => "dec_nsh_ttl");
    return makes.length === 0 ? "pop_queue" : this.pick(makes)();
  }

  private rest(known: Known, depth: number): string {
    return this.pick<Make>([
      () => `set_tunnel:${this.numeral(this.below(2 ** 31))}`,
      () => `set_tunnel64:0x${this.below(2 ** 31).toString(16)}00000`,
      () => `set_queue:${this.below(1000)}`,
      () => "pop_queue",
      () => (depth === 0 ? "exit" : "pop_queue"),
      () => "ct_clear",
      () => this.note(),
      () => `sample(probability=${1 + this.below(65535)},collector_set_id=${this.below(9)})`,
      () =>
        `sample(probability=9,obs_domain_id=${this.below(9)},obs_point_id=5${this.pick(["", ",ingress", ",egress"])}${this.pick(["", ",sampling_port=1"])})`,
      () => `check_pkt_larger(${1 + this.below(65535)})->${this.target(known, 1)}`,
      // Without a map the switch knows no option, so it refuses this.
      () => (this.below(20) === 0 ? `delete_field:tun_metadata${this.below(64)}` : "pop_queue"),
      () => this.encap(known),
    ])();
  }

  private encap(known: Known): string {
    if (known.has("vlan")) return "pop_queue";
    if (known.has("ethernet") && known.has("ip")) {
      become(known, "nsh");
      return this.pick([
        "encap(nsh)",
        "encap(nsh(md_type=1))",
        "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))",
      ]);
    }
    if (known.has("nsh") && !known.has("ethernet")) {
      known.add("ethernet");
      return "encap(ethernet)";
    }
    return "set_queue:9";
  }

  private note(): string {
    return `note:${this.pick(["", this.octets("."), this.octets("")])}`;
  }

  private octets(between: string): string {
    const octet = (): string => this.below(256).toString(16).padStart(2, "0");
    return Array.from({ length: 1 + this.below(14) }, octet).join(between);
  }

  private ct(known: Known, depth: number): string {
    if (!known.has("ip")) return "ct_clear";
    const parts: string[] = [];
    const commit = this.below(2) === 0;
    if (commit) parts.push("commit");
    if (commit && this.below(4) === 0) parts.push("force");
    if (this.below(2) === 0) {
      parts.push(`zone=${this.below(2) === 0 ? this.below(65536) : this.source(known, 16)}`);
    }
    if (this.below(2) === 0) parts.push(`table=${this.below(255)}`);
    if (commit && this.below(6) === 0 && known.has("tcp")) parts.push("alg=ftp");
    else if (commit && this.below(6) === 0 && known.has("udp")) parts.push("alg=tftp");
    if (commit ? this.below(2) === 0 : this.below(4) === 0) parts.push(this.soundNat(known, commit));
    if (commit && this.below(2) === 0) {
      const list = Array.from({ length: 1 + this.below(3) }, () => this.markOrLabel(known));
      parts.push(`exec(${list.join(",")})`);
    }
    if (parts.length === 0) return "ct";
    known.add("ct");
    const text = `ct(${parts.join(",")})`;
    return depth > 3 ? "ct_clear" : text;
  }

  private markOrLabel(known: Known): string {
    const field = this.pick([CT_LABEL, CT_MARK]);
    const bits = 1 + this.below(32);
    const from = this.below(field.bits - bits + 1);
    const some = `${this.nameOf(field)}[${from}..${from + bits - 1}]`;
    return this.pick<Make>([
      () => `set_field:${this.soundValue(field, true)}->${field.name}`,
      () => `load:${this.numeral(this.below(2 ** Math.min(31, bits)))}->${some}`,
      () => `move:${this.source(known, bits)}->${some}`,
    ])();
  }

  private soundNat(known: Known, commit: boolean): string {
    if (!commit || this.below(4) === 0) return this.pick(commit ? ["nat", "nat(src)", "nat(dst)"] : ["nat"]);
    const low = this.below(200);
    const [from, to] = known.has("ipv6")
      ? [`fe80::${low.toString(16)}`, `fe80::${(low + 5).toString(16)}`]
      : [`10.0.0.${low}`, `10.0.0.${low + 5}`];
    const port = 1 + this.below(60000);
    const ports = this.pick(["", "", `:${port}`, `:${port}-${port + this.below(5000)}`]);
    const isRange = this.below(2) === 0;
    const wrap = (text: string): string => (known.has("ipv6") && ports !== "" ? `[${text}]` : text);
    const range = isRange ? `${wrap(from)}-${wrap(to)}` : wrap(from);
    const flags = this.pick(["", "", ",random", ",hash", ",persistent", ",hash,persistent"]);
    return `nat(${this.pick(["src", "dst"])}=${range}${ports}${flags})`;
  }

  private soundLearn(known: Known): string {
    const parts = [`table=${this.below(255)}`];
    // What the learned flow matches, so that its fields have their prerequisites.
    const [own, what] = this.pick([
      ["none ethernet", ""],
      ["none ethernet ipv4 ip", "eth_type=0x800"],
      ["none ethernet ipv4 ip tcp", "dl_type=0x800,nw_proto=6"],
      ["none ethernet ipv6 ip udp", "eth_type=0x86dd,nw_proto=17"],
      ["none ethernet arp", "eth_type=0x806"],
    ] as const);
    if (what !== "") parts.push(what);
    const learned: Known = new Set(own.split(" "));
    const bits = (): number => 1 + this.below(32);
    for (let n = this.below(5); n > 0; n--) {
      const width = bits();
      parts.push(
        this.pick<Make>([
          () => `${this.soundSubfield(learned, width, isMatched)}=${this.source(known, width)}`,
          () => {
            const both: Known = new Set([...learned].filter((p) => known.has(p)));
            return this.soundSubfield(both, width, isMatched, false);
          },
          () => {
            const field = this.fieldOf(learned, (f) => isMatched(f) && !SETTLED.test(f.name));
            return `${this.shortName(field)}=${this.soundValue(field, false)}`;
          },
          () => `load:${this.numeral(this.below(2 ** Math.min(31, width)))}->${this.target(learned, width)}`,
          () => `load:${this.source(known, width)}->${this.target(learned, width)}`,
          () => `output:${this.soundSubfield(known, 1 + this.below(16), () => true, false)}`,
          () =>
            this.pick([
              "priority=5",
              "idle_timeout=9",
              "hard_timeout=8",
              "fin_idle_timeout=3",
              "fin_hard_timeout=4",
              "delete_learned",
              "limit=3",
              "result_dst=reg0[5]",
              "cookie=0x55",
              "send_flow_rem",
            ]),
        ])(),
      );
    }
    return `learn(${parts.join(",")})`;
  }
}

/** The packet is now of another type. */
function become(known: Known, what: string): void {
  const keeps = known.has("vlan") && what.includes("ethernet") ? ["vlan"] : [];
  known.clear();
  for (const name of ["none", ...keeps, ...what.split(" ")]) known.add(name);
}
