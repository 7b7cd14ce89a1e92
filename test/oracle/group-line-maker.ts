// Random lines of group files and random meters: good ones, about half, and good ones with something broken.
import { DL_VLAN, FIELDS } from "../../src/flow/field.ts";
import { FlowLineMaker } from "./flow-line-maker.ts";

const NONE: ReadonlySet<string> = new Set(["none", "ethernet"]);
const IP: ReadonlySet<string> = new Set(["none", "ethernet", "ipv4", "ip", "tcp"]);
const NUMBERS = ["0", "1", "2", "3", "4", "5", "9", "0xffffff00", "0xffffff01", "4294967295", "x", "-1", ""];
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
    const line = this.goodGroup();
    return this.below(2) === 0 ? line : this.mangled(line);
  }

  meter(): string {
    const line = this.goodMeter();
    return this.below(2) === 0 ? line : this.mangled(line);
  }

  private id(limit: number): string {
    return this.below(15) === 0 ? this.pick(NUMBERS) : String(this.below(limit));
  }

  private goodGroup(): string {
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

  private goodMeter(): string {
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
