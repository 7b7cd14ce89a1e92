// Random lines of group files and random meters: those that OVS takes, about half, and those with something wrong.
import { DL_VLAN, FIELDS } from "../../src/flow/field.ts";
import { FlowLineMaker } from "./flow-line-maker.ts";
import { SETTINGS } from "./sound-fields.ts";

const NONE: ReadonlySet<string> = new Set(["none", "ethernet"]);
const IP: ReadonlySet<string> = new Set(["none", "ethernet", "ipv4", "ip", "tcp"]);
const NUMBERS = ["0", "1", "2", "3", "4", "5", "9", "0xffffff00", "0xffffff01", "4294967295", "x", "-1", ""];
const BUCKET_COMMANDS = ["insert_bucket", "insert_bucket", "remove_bucket", "remove_bucket"];
const COMMANDS = [
  "add",
  "modify",
  "delete",
  "insert_bucket",
  "remove_bucket",
  "add_or_mod",
  "mod",
  "del",
  "ins",
];

export class GroupLineMaker extends FlowLineMaker {
  group(): string {
    if (this.below(3) !== 0) return this.soundGroup();
    const line = this.below(2) === 0 ? this.soundGroup() : this.looseGroup();
    return this.below(2) === 0 ? line : this.mangled(line);
  }

  meter(): string {
    if (this.below(3) !== 0) return this.soundMeter();
    const line = this.below(2) === 0 ? this.soundMeter() : this.looseMeter();
    return this.below(2) === 0 ? line : this.mangled(line);
  }

  /** A group-mod that a switch takes which has what GROUPS says; bucket_id is left to chance at times, and may be taken. */
  private soundGroup(): string {
    const command = this.pick(["", "", "add", "add_or_mod", "mod", "modify", "delete", ...BUCKET_COMMANDS]);
    const isNew = command === "" || command === "add";
    const parts: string[] = [];
    if (command === "delete") {
      parts.push(`group_id=${this.below(5) === 0 ? "all" : this.numeral(this.below(9))}`);
      return `${command} ${parts.join(",")}`;
    }
    if (BUCKET_COMMANDS.includes(command)) return this.soundBucketChange(command);
    const id = isNew ? 5 + this.below(9) : command === "add_or_mod" ? this.below(9) : 1 + this.below(4);
    parts.push(`group_id=${this.numeral(this.below(30) === 0 && isNew ? 0xffffff00 : id)}`);
    const type = this.pick(["all", "select", "select", "select", "indirect", "ff", "fast_failover"]);
    parts.push(`type=${type}`);
    if (type === "select") parts.push(...this.method());
    const count = type === "indirect" ? 1 : this.below(5);
    const numbered = this.below(3) === 0;
    for (let n = 0; n < count; n++) parts.push(this.soundBucket(type, numbered ? n * 3 : null));
    const separator = this.below(10) === 0 ? " " : ",";
    return `${command === "" ? "" : `${command} `}${parts.join(separator)}`;
  }

  /** Buckets of groups 1 (0 and 1) and 2 (5 and 7) are there. */
  private soundBucketChange(command: string): string {
    const group = 1 + this.below(2);
    const has = group === 1 ? [0, 1] : [5, 7];
    const at = this.pick(["first", "last", String(this.pick(has)), `0x${this.pick(has)}`]);
    if (command.startsWith("rem")) {
      const which = this.below(4) === 0 ? "" : `,command_bucket_id=${this.below(5) === 0 ? "all" : at}`;
      return `${command} group_id=${group}${which}`;
    }
    const buckets = Array.from({ length: 1 + this.below(3) }, (_, n) =>
      this.soundBucket(this.below(2) === 0 ? "select" : "all", 8 + n, false),
    );
    return [`${command} group_id=${group},command_bucket_id=${at}`, ...buckets].join(",");
  }

  private method(): string[] {
    switch (this.below(4)) {
      case 0:
        return [];
      case 1:
        return ["selection_method=dp_hash", ...this.param()];
      default: {
        const names = new Set<string>();
        for (let n = this.below(4); n > 0; n--) {
          const field = this.pick(FIELDS);
          if (field.codePoints.length === 0 || field.option >= 0) continue;
          const isBare = !field.maskable || this.below(2) === 0;
          names.add(isBare ? field.name : `${field.name}=${this.soundValue(field, false)}`);
        }
        const list = [...names];
        const fields = list.length === 0 ? [] : [`fields(${list.join(",")})`];
        return [
          "selection_method=hash",
          ...this.param(),
          ...(list.length === 1 ? [`fields=${list[0]}`] : fields),
        ];
      }
    }
  }

  private param(): string[] {
    if (this.below(2) === 0) return [];
    const value = this.pick([this.numeral(this.below(2 ** 31)), "0x100000005", "0xffffffffffffffff", "0"]);
    return [`selection_method_param=${value}`];
  }

  private soundBucket(type: string, id: number | null, watched = true): string {
    const parts: string[] = [];
    const mark = this.pick(["=", ":"]);
    if (type === "select" && this.below(2) === 0)
      parts.push(`weight${mark}${this.numeral(this.below(65536))}`);
    if (id !== null) parts.push(`bucket_id${mark}${this.numeral(id)}`);
    const isFailover = type.startsWith("f");
    if (isFailover || (watched && type === "select" && this.below(4) === 0)) {
      const which = this.below(3);
      if (which !== 0) parts.push(`watch_port${mark}${this.pick(["1", "2", "LOCAL", "65279"])}`);
      if (which !== 1) parts.push(`watch_group${mark}${1 + this.below(9)}`);
    }
    const known = new Set(this.pick(SETTINGS)[1].split(" "));
    const actions = this.below(4) === 0 ? this.pick(["drop", "1", "output:2"]) : this.soundActions(known, 0);
    parts.push(this.below(2) === 0 ? actions : `actions=${actions}`);
    return `bucket=${parts.join(",")}`;
  }

  private soundMeter(): string {
    const id =
      this.below(8) === 0 ? this.pick(["controller", "slowpath"]) : this.numeral(3 + this.below(2 ** 16));
    const parts = [`meter=${id}`, this.pick(["kbps", "pktps"])];
    const burst = this.below(2) === 0;
    if (burst) parts.push("burst");
    if (this.below(3) === 0) parts.push("stats");
    const bands = Array.from({ length: 1 + this.below(this.pick([1, 1, 8])) }, () => {
      const isDrop = this.below(8) !== 0;
      const band = [
        `type=${isDrop ? "drop" : "dscp_remark"}`,
        `rate=${this.numeral(1 + this.below(2 ** 31))}`,
      ];
      if (burst) band.push(`burst_size=${this.numeral(1 + this.below(2 ** 31))}`);
      if (!isDrop) band.push(`prec_level=${1 + this.below(255)}`);
      return band.join(this.pick([",", " "]));
    });
    const separator = this.pick([",", " "]);
    return [...parts, `${this.pick(["bands", "bands", "band"])}=${bands.join(",")}`].join(separator);
  }

  private id(limit: number): string {
    return this.below(15) === 0 ? this.pick(NUMBERS) : String(this.below(limit));
  }

  private looseGroup(): string {
    const command = this.below(2) === 0 ? "" : this.pick(COMMANDS);
    const changesBuckets = command.startsWith("ins") || command === "remove_bucket";
    const parts: string[] = [];
    if (this.below(30) !== 0) parts.push(`group_id=${this.below(12) === 0 ? "all" : this.id(8)}`);
    const type = this.pick(["all", "select", "select", "indirect", "ff", "fast_failover"]);
    if ((!changesBuckets && !command.startsWith("del")) || this.below(12) === 0) parts.push(`type=${type}`);
    if (changesBuckets && this.below(12) !== 0) {
      parts.push(
        `command_bucket_id=${this.pick(["first", "last", "all", "0", "1", "2", "7", "0xffffffff"])}`,
      );
    }
    if (this.below(type === "select" ? 2 : 15) === 0) {
      const method = this.pick(["hash", "hash", "dp_hash", "other", "a_method_that_is_long"]);
      parts.push(`selection_method=${method}`);
      if (this.below(2) === 0) parts.push(`selection_method_param=${this.id(1000)}`);
      if (this.below(method === "hash" ? 2 : 10) === 0) parts.push(this.hashFields());
    }
    const head = (command === "" ? "" : `${command} `) + parts.join(",");
    if (command === "remove_bucket" || command.startsWith("del")) {
      return this.below(10) === 0 ? `${head},bucket=output:1` : head;
    }
    const buckets: string[] = [];
    for (let n = this.below(type === "indirect" ? 2 : 4); n > 0; n--) buckets.push(this.bucket(type));
    return [head, ...buckets].join(",");
  }

  private hashFields(): string {
    const names = Array.from({ length: 1 + this.below(3) }, () => {
      const field = this.below(12) === 0 ? DL_VLAN : this.pick(FIELDS);
      const name = field.name.startsWith("tun_metadata") ? "ip_src" : field.name;
      return this.below(4) === 0 ? `${name}=${this.fieldValue(field, false)}` : name;
    });
    return this.below(3) === 0 ? `fields=${names[0]}` : `fields(${names.join(",")})`;
  }

  private bucket(type: string): string {
    const parts: string[] = [];
    if (this.below(type === "select" ? 2 : 15) === 0)
      parts.push(`weight${this.pick(["=", ":"])}${this.id(1000)}`);
    if (this.below(4) === 0) parts.push(`bucket_id${this.pick(["=", ":"])}${this.id(5)}`);
    if (this.below(type.startsWith("f") ? 2 : 15) === 0)
      parts.push(`watch_port=${this.pick(["1", "2", "LOCAL", "ANY", "x"])}`);
    if (this.below(type.startsWith("f") ? 2 : 15) === 0) parts.push(`watch_group=${this.id(5)}`);
    const actions = this.below(3) === 0 ? "output:1" : this.actions(this.pick([NONE, IP]), 1);
    parts.push(this.below(2) === 0 ? actions : `actions=${actions}`);
    return `bucket=${parts.join(",")}`;
  }

  private looseMeter(): string {
    const parts: string[] = [];
    if (this.below(30) !== 0)
      parts.push(
        `meter=${this.below(8) === 0 ? this.pick(["controller", "slowpath", "all", "0xffff0000", "0xffff0001"]) : this.id(6)}`,
      );
    if (this.below(15) !== 0) parts.push(this.pick(["kbps", "pktps"]));
    const burst = this.below(3) === 0;
    if (burst) parts.push("burst");
    if (this.below(3) === 0) parts.push("stats");
    const bands = Array.from({ length: this.below(10) === 0 ? this.below(12) : 1 }, () => {
      const isDrop = this.below(6) !== 0;
      const band = [`type=${isDrop ? "drop" : "dscp_remark"}`, `rate=${this.id(10000)}`];
      if (burst ? this.below(8) !== 0 : this.below(12) === 0) band.push(`burst_size=${this.id(1000)}`);
      if (isDrop ? this.below(15) === 0 : this.below(6) !== 0) band.push(`prec_level=${this.id(4)}`);
      return band.join(this.pick([",", " "]));
    });
    const separator = this.pick([",", " "]);
    return `${parts.join(separator)}${separator}${this.pick(["bands", "bands", "band"])}=${bands.join(",")}`;
  }
}
