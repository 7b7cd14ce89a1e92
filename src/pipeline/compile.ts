// Actions compiled once per rule into steps: a write to header or register bits becomes a few masked 32-bit stores, so
// that translating a frame creates nothing per action. The steps of a rule stand in `Rule.plan`.
import { ARP_OP, type Field, NW_TOS, type Subfield } from "../flow/field.ts";
import { FLOW_WORDS, Flow, KEY_WORDS } from "../flow/flow.ts";
import {
  B_CT,
  B_CT_LABEL,
  B_META,
  B_TUN,
  BLOCK_SIZE,
  KEY_SIZE,
  O_DL_DST,
  O_DL_SRC,
  O_METADATA,
  O_NW_DST,
  O_NW_SRC,
  O_NW_TOS,
  O_NW_TTL,
  O_TP_DST,
  O_TP_SRC,
  O_TUN_ID,
} from "../flow/layout.ts";
import { setPresent } from "../flow/option-bits.ts";
import { maskSubfield, writeSubfield } from "../flow/subfield.ts";
import { assert, unreachable } from "../lib/assert.ts";
import { type Action, isPlainOutput, type ModName, OFPP_CONTROLLER, OFPP_IN_PORT } from "./action.ts";
import { PRE_IP, PRE_IPV4, PRE_NONE, prerequisiteOf, protocolMaskOf } from "./prerequisite.ts";

// What a step does. The common ones first.
export const S_WRITE = 0; //          writes[] if the prerequisite holds
export const S_RESUBMIT = 1;
export const S_OUTPUT = 2;
export const S_OUTPUT_REG = 3;
export const S_MOVE = 4;
export const S_DEC_TTL = 5;
export const S_CT = 6;
export const S_GOTO = 7;
export const S_NOP = 8; //            note, conjunction: seen in the trace only
export const S_GROUP = 9;
export const S_METER = 10;
export const S_LEARN = 11;
export const S_CONTROLLER = 12;
export const S_CLONE = 13;
export const S_WRITE_VLAN = 14; //    vlan_tci, vlan_vid, vlan_pcp by set_field or load
export const S_MOD_VLAN_VID = 15;
export const S_MOD_VLAN_PCP = 16;
export const S_PUSH_VLAN = 17;
export const S_STRIP_VLAN = 18;
export const S_PUSH = 19;
export const S_POP = 20;
export const S_EXIT = 21;
export const S_CT_CLEAR = 22;
export const S_WRITE_ACTIONS = 23;
export const S_CLEAR_ACTIONS = 24;
export const S_CHECK_PKT_LARGER = 25;
export const S_FIN_TIMEOUT = 26;
export const S_OUTPUT_TRUNC = 27;
export const S_SAMPLE = 28;
export const S_PUSH_MPLS = 29;
export const S_POP_MPLS = 30;
export const S_SET_MPLS = 31;
export const S_DEC_MPLS_TTL = 32;
export const S_ENQUEUE = 33;
export const S_SET_QUEUE = 34;
export const S_POP_QUEUE = 35;
export const S_MULTIPATH = 36;
export const S_BUNDLE = 37;
export const S_NAT = 38; //           the nat(...) of a ct: seen in the trace only
export const S_UNROLL = 39; //        made by freezing: back to a table and a cookie
export const S_ENCAP = 41;
export const S_DECAP = 42;
export const S_DEC_NSH_TTL = 43;
export const S_DELETE_FIELD = 44;
export const S_MOD_TP = 40; //        mod_tp_src, mod_tp_dst: what they look at depends on the frame

/** A move of `count` bytes of the flow. */
export interface ByteMove {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** One compiled action. Every step has every field, so that all have one shape. */
export class Step {
  readonly code: number;
  readonly action: Action;
  /** Triples: word index in the key, bits to change, value. */
  readonly writes: Uint32Array;
  /** PRE_*: what the frame must have. */
  readonly prereq: number;
  /** protocolMaskOf the field written. */
  readonly protocol: number;
  /** The field's bits lie in a header that the datapath can rewrite, so the next output must commit. */
  readonly header: boolean;
  /** Whether the bits written are un-wildcarded too. */
  readonly masks: boolean;
  /** A port, table, group or length, as the code says. */
  readonly arg: number;
  readonly src: Subfield | null;
  readonly dst: Subfield | null;
  readonly dstPrereq: number;
  /** Of a move of whole bytes, where these are; null for others. */
  readonly bytes: ByteMove | null;
  /** The steps inside a clone, a ct's exec, write_actions. */
  readonly sub: readonly Step[];
  /** The name for "unmet prerequisites". */
  readonly fieldName: string;
  /** S_UNROLL's cookie. */
  readonly cookie: bigint;
  /** Whether it may write to the datapath's key. */
  readonly touches: boolean;

  constructor(code: number, action: Action, more: Partial<Step> = {}) {
    this.code = code;
    this.action = action;
    this.writes = more.writes ?? NO_WRITES;
    this.prereq = more.prereq ?? PRE_NONE;
    this.protocol = more.protocol ?? 0;
    this.header = more.header ?? false;
    this.masks = more.masks ?? true;
    this.arg = more.arg ?? 0;
    this.src = more.src ?? null;
    this.dst = more.dst ?? null;
    this.dstPrereq = more.dstPrereq ?? PRE_NONE;
    this.bytes = more.bytes ?? null;
    this.sub = more.sub ?? NO_STEPS;
    this.fieldName = more.fieldName ?? "";
    this.cookie = more.cookie ?? 0n;
    this.touches =
      code === S_WRITE
        ? writesKey(this.writes)
        : code === S_MOVE
          ? this.dst!.field.offset < KEY_SIZE
          : !UNTOUCHING.has(code);
  }
}

/** What leaves the flow as it is; of whatever else may write to the key. */
const UNTOUCHING: ReadonlySet<number> = new Set([
  S_OUTPUT,
  S_RESUBMIT,
  S_GOTO,
  S_NOP,
  S_METER,
  S_CONTROLLER,
  S_GROUP,
  S_WRITE_ACTIONS,
  S_CLEAR_ACTIONS,
  S_EXIT,
]);

function writesKey(writes: Uint32Array): boolean {
  for (let i = 0; i < writes.length; i += 3) if (writes[i]! < KEY_WORDS) return true;
  return false;
}

const NO_WRITES = new Uint32Array(0);
export const NO_STEPS: readonly Step[] = [];

/** Compiles a list of actions, in order. Throws EUNSUPPORTED for one that the translator cannot do. */
export function compileActions(actions: readonly Action[]): readonly Step[] {
  return actions.map(compileAction);
}

function compileAction(action: Action): Step {
  switch (action.type) {
    case "output":
      return new Step(S_OUTPUT, action, { arg: action.port });
    case "output_reg":
      return new Step(S_OUTPUT_REG, action, { src: action.src });
    case "output_trunc":
      return new Step(S_OUTPUT_TRUNC, action, { arg: action.port });
    case "group":
      return new Step(S_GROUP, action, { arg: action.groupId });
    case "controller":
      if (isPlainOutput(action))
        return compileAction({ type: "output", port: OFPP_CONTROLLER, maxLen: action.maxLen });
      return new Step(S_CONTROLLER, action);
    case "enqueue":
      return new Step(S_ENQUEUE, action, { arg: action.port });
    case "set_queue":
      return new Step(S_SET_QUEUE, action, { arg: action.queue });
    case "pop_queue":
      return new Step(S_POP_QUEUE, action);
    case "bundle":
      return new Step(S_BUNDLE, action);
    case "multipath":
      return new Step(S_MULTIPATH, action, { dst: action.dst });
    case "set_field":
      return compileSetField(action, action.field, action.value, action.mask);
    case "load":
      return compileLoad(action, action.dst, action.value);
    case "move":
      return new Step(S_MOVE, action, {
        src: checkPlace(action.src),
        dst: checkPlace(action.dst),
        prereq: prerequisiteOf(action.src.field),
        dstPrereq: prerequisiteOf(action.dst.field),
        bytes: byteMove(action.src, action.dst),
        header: isHeader(action.dst.field),
      });
    case "push":
      return new Step(S_PUSH, action, { src: checkPlace(action.src) });
    case "pop":
      return new Step(S_POP, action, {
        dst: checkPlace(action.dst),
        header: isHeader(action.dst.field),
        protocol: protocolMaskOf(action.dst.field),
      });
    case "mod":
      return compileMod(action, action.name, action.value);
    case "push_vlan":
      return new Step(S_PUSH_VLAN, action, { arg: action.ethertype });
    case "strip_vlan":
      return new Step(S_STRIP_VLAN, action);
    case "push_mpls":
      return new Step(S_PUSH_MPLS, action, { arg: action.ethertype });
    case "pop_mpls":
      return new Step(S_POP_MPLS, action, { arg: action.ethertype });
    case "set_mpls":
      return new Step(S_SET_MPLS, action, { arg: action.value });
    case "dec_mpls_ttl":
      return new Step(S_DEC_MPLS_TTL, action);
    case "dec_ttl":
      return new Step(S_DEC_TTL, action);
    case "dec_nsh_ttl":
      return new Step(S_DEC_NSH_TTL, action);
    case "set_tunnel":
      return compileSetTunnel(action, action.id);
    case "encap":
      return new Step(S_ENCAP, action);
    case "decap":
      return new Step(S_DECAP, action);
    case "ct":
      return new Step(S_CT, action, {
        src: typeof action.zone === "number" ? null : action.zone,
        arg: typeof action.zone === "number" ? action.zone : 0,
        sub: [...(action.nat === null ? [] : [new Step(S_NAT, action)]), ...compileActions(action.exec)],
      });
    case "nat":
      return new Step(S_NAT, action);
    case "ct_clear":
      return new Step(S_CT_CLEAR, action);
    case "learn":
      return new Step(S_LEARN, action);
    case "fin_timeout":
      return new Step(S_FIN_TIMEOUT, action);
    case "resubmit":
      return new Step(S_RESUBMIT, action, {
        arg: action.inPort ?? OFPP_IN_PORT,
      });
    case "clone":
      return new Step(S_CLONE, action, { sub: compileActions(action.actions) });
    case "exit":
      return new Step(S_EXIT, action);
    case "conjunction":
    case "note":
      return new Step(S_NOP, action);
    case "sample":
      return new Step(S_SAMPLE, action);
    case "check_pkt_larger":
      return new Step(S_CHECK_PKT_LARGER, action, { dst: checkPlace(action.dst), arg: action.length });
    case "delete_field":
      return new Step(S_DELETE_FIELD, action, { arg: action.field.option });
    case "meter":
      return new Step(S_METER, action, { arg: action.meterId });
    case "clear_actions":
      return new Step(S_CLEAR_ACTIONS, action);
    case "write_actions":
      return new Step(S_WRITE_ACTIONS, action, { sub: compileActions(action.actions) });
    case "write_metadata":
      return compileWriteMetadata(action, action.value, action.mask);
    case "goto_table":
      // sub: what it becomes when it is frozen.
      return new Step(S_GOTO, action, {
        arg: action.table,
        sub: [compileAction({ type: "resubmit", inPort: null, table: action.table, withCt: false })],
      });
    case "debug_recirc":
    case "debug_slow":
      throw new Error(`${action.type} is refused before it gets here`);
    default:
      return unreachable(action);
  }
}

function checkPlace(sf: Subfield): Subfield {
  checkField(sf.field);
  return sf;
}

function checkField(field: Field): void {
  assert(field.size !== 0, "a tunnel option has its place by now");
}

/** The move as one of bytes that do not overlap; null when it is none. */
function byteMove(src: Subfield, dst: Subfield): ByteMove | null {
  const from = byteAt(src);
  const to = byteAt(dst);
  const count = dst.bits / 8;
  if (from < 0 || to < 0 || src.bits !== dst.bits || Math.abs(from - to) < count) return null;
  return { from, to, count };
}

/** The first byte of a subfield of whole bytes that hold nothing else; -1 for any other. */
function byteAt({ field, ofs, bits }: Subfield): number {
  const low = field.shift + ofs;
  const isPlain =
    field.form !== "of_port" && field.form !== "of_port_oxm" && field.option < 0 && field !== NW_TOS;
  if (!isPlain || low % 8 !== 0 || bits % 8 !== 0) return -1;
  const at = field.offset + field.size - (low + bits) / 8;
  return at < field.offset ? -1 : at;
}

/** Does a move, and notes that both places were looked at. */
export function moveBytes({ from, to, count }: ByteMove, flow: Flow, wc: Flow): void {
  const f = flow.bytes;
  const w = wc.bytes;
  for (let i = 0; i < count; i++) {
    f[to + i] = f[from + i]!;
    w[to + i] = 0xff;
    w[from + i] = 0xff;
  }
}

/** Whether a change of the field must reach the frame by a datapath action. Tunnel fields count when they are sent. */
export function isHeader(field: Field): boolean {
  const block = Math.floor(field.offset / BLOCK_SIZE);
  return block !== B_META && block !== B_CT && block !== B_CT_LABEL && block < B_TUN;
}

/** The (word, mask, value) triples that put `value` where `mask` has bits; both are whole keys. */
function wordWrites(value: Flow, mask: Flow): Uint32Array {
  const out: number[] = [];
  for (let i = 0; i < FLOW_WORDS; i++) {
    const m = mask.words[i]!;
    if (m !== 0) out.push(i, m, (value.words[i]! & m) >>> 0);
  }
  return Uint32Array.from(out);
}

function compileSetField(action: Action, field: Field, value: Uint8Array, mask: Uint8Array): Step {
  checkField(field);
  const v = new Flow();
  const m = new Flow();
  // A value longer than its place in the key (arp_op) keeps its low bytes.
  v.bytes.set(value.subarray(value.length - field.size), field.offset);
  m.bytes.set(mask.subarray(mask.length - field.size), field.offset);
  if (field === NW_TOS) m.bytes[O_NW_TOS]! &= 0xfc;
  if (field.option >= 0) {
    setPresent(v.bytes, field.option);
    setPresent(m.bytes, field.option);
  }
  return writeStep(action, field, v, m);
}

function compileLoad(action: Action, dst: Subfield, value: bigint): Step {
  checkField(dst.field);
  const v = new Flow();
  const m = new Flow();
  const kept =
    dst.field === ARP_OP ? { field: dst.field, ofs: dst.ofs, bits: Math.min(dst.bits, 8 - dst.ofs) } : dst;
  writeSubfield(v, kept, value);
  maskSubfield(m, kept);
  return writeStep(action, dst.field, v, m);
}

function writeStep(action: Action, field: Field, value: Flow, mask: Flow): Step {
  const vlan =
    field.name === "vlan_tci" ||
    field.name === "vlan_vid" ||
    field.name === "vlan_pcp" ||
    field.name === "dl_vlan" ||
    field.name === "dl_vlan_pcp";
  return new Step(vlan ? S_WRITE_VLAN : S_WRITE, action, {
    writes: wordWrites(value, mask),
    prereq: prerequisiteOf(field),
    protocol: protocolMaskOf(field),
    header: isHeader(field),
    fieldName: field.name,
  });
}

function compileSetTunnel(action: Action, id: bigint): Step {
  const v = new Flow();
  const m = new Flow();
  v.set64(O_TUN_ID, id);
  m.setExact(O_TUN_ID, 8);
  return new Step(S_WRITE, action, { writes: wordWrites(v, m), masks: false });
}

function compileWriteMetadata(action: Action, value: bigint, mask: bigint): Step {
  const v = new Flow();
  const m = new Flow();
  v.set64(O_METADATA, value);
  m.set64(O_METADATA, mask);
  return new Step(S_WRITE, action, { writes: wordWrites(v, m), masks: false });
}

const MOD_PLACES: Readonly<
  Record<ModName, readonly [offset: number, mask: readonly number[], prereq: number]>
> = {
  mod_vlan_vid: [0, [], PRE_NONE],
  mod_vlan_pcp: [0, [], PRE_NONE],
  set_vlan_vid: [0, [], PRE_NONE],
  set_vlan_pcp: [0, [], PRE_NONE],
  mod_dl_src: [O_DL_SRC, [255, 255, 255, 255, 255, 255], PRE_NONE],
  mod_dl_dst: [O_DL_DST, [255, 255, 255, 255, 255, 255], PRE_NONE],
  mod_nw_src: [O_NW_SRC, [255, 255, 255, 255], PRE_IPV4],
  mod_nw_dst: [O_NW_DST, [255, 255, 255, 255], PRE_IPV4],
  mod_nw_tos: [O_NW_TOS, [0xfc], PRE_IP],
  mod_nw_ecn: [O_NW_TOS, [0x03], PRE_IP],
  mod_nw_ttl: [O_NW_TTL, [0xff], PRE_IP],
  mod_tp_src: [O_TP_SRC, [255, 255], PRE_IP],
  mod_tp_dst: [O_TP_DST, [255, 255], PRE_IP],
};

function compileMod(action: Action, name: ModName, value: Uint8Array): Step {
  const number = value.reduce((n, b) => n * 256 + b, 0);
  // masks: whether a tag is pushed when there is none.
  if (name === "mod_vlan_vid" || name === "set_vlan_vid") {
    return new Step(S_MOD_VLAN_VID, action, { arg: number, header: true, masks: name === "mod_vlan_vid" });
  }
  if (name === "mod_vlan_pcp" || name === "set_vlan_pcp") {
    return new Step(S_MOD_VLAN_PCP, action, { arg: number, header: true, masks: name === "mod_vlan_pcp" });
  }
  const [offset, bits, prereq] = MOD_PLACES[name];
  const v = new Flow();
  const m = new Flow();
  v.bytes.set(value.subarray(value.length - bits.length), offset);
  m.bytes.set(bits, offset);
  const code = name === "mod_tp_src" || name === "mod_tp_dst" ? S_MOD_TP : S_WRITE;
  const protocol = prereq === PRE_NONE ? 0 : 1;
  return new Step(code, action, { writes: wordWrites(v, m), prereq, protocol, header: true });
}
