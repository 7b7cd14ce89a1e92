// Recirculation ids: what the pipeline has to remember when a frame leaves it to come back (after ct, a hash, a popped
// MPLS label). Equal states share an id, so that equal frames share megaflows. Ids count from 1 and are not used again.
//
// A state is kept while megaflows may lead to it: each use, and each credit of a megaflow that leads to it, renews it.
// Above RECIRC_MAX states, those unused for RECIRC_IDLE_MS go.
import type { Flow } from "../flow/flow.ts";
import { KEY_SIZE, O_IN_PORT, O_METADATA, O_REGS, O_TUN_ID } from "../flow/layout.ts";
import { S_UNROLL, type Step } from "./compile.ts";

export const RECIRC_MAX = 65_536;
export const RECIRC_IDLE_MS = 60_000;

const TUN_WORD = O_TUN_ID >> 2;
const TUN_WORDS = (KEY_SIZE - O_TUN_ID) >> 2;
const REG_WORD = O_REGS >> 2;
const REG_WORDS = 16;
const METADATA_WORD = O_METADATA >> 2;
/** in_port, metadata, registers, and the tunnel if there is one. */
const PLAIN_WORDS = 1 + 2 + REG_WORDS;

/** What of the translation's state outlives it. */
export interface Resume {
  readonly tableId: number;
  readonly conntracked: boolean;
  readonly wasMpls: boolean;
  readonly stack: readonly Uint8Array[];
  readonly actionSet: readonly Step[];
  /** The actions to go on with; empty: look up `tableId`. */
  readonly steps: readonly Step[];
  /** A packet-in's, which make it another state. */
  readonly userdata: Uint8Array | null;
  /** Bits of the mirrors that the frame need not go to any more. */
  readonly mirrored: number;
}

export class FrozenState implements Resume {
  readonly id: number;
  readonly hash: number;
  readonly metadata: Uint32Array;
  readonly tableId: number;
  readonly conntracked: boolean;
  readonly wasMpls: boolean;
  readonly stack: readonly Uint8Array[];
  readonly actionSet: readonly Step[];
  readonly steps: readonly Step[];
  readonly userdata: Uint8Array | null;
  readonly mirrored: number;
  usedMs: number;

  constructor(id: number, hash: number, metadata: Uint32Array, from: Resume, nowMs: number) {
    this.id = id;
    this.hash = hash;
    this.metadata = metadata;
    this.tableId = from.tableId;
    this.conntracked = from.conntracked;
    this.wasMpls = from.wasMpls;
    this.stack = from.stack.slice();
    this.actionSet = from.actionSet.slice();
    this.steps = from.steps.slice();
    this.userdata = from.userdata;
    this.mirrored = from.mirrored;
    this.usedMs = nowMs;
  }

  /** Puts in_port, metadata, registers and tunnel back. */
  restore(flow: Flow): void {
    const m = this.metadata;
    const w = flow.words;
    w[O_IN_PORT >> 2] = m[0]!;
    w[METADATA_WORD] = m[1]!;
    w[METADATA_WORD + 1] = m[2]!;
    for (let i = 0; i < REG_WORDS; i++) w[REG_WORD + i] = m[3 + i]!;
    const tunnel = m.length > PLAIN_WORDS;
    for (let i = 0; i < TUN_WORDS; i++) w[TUN_WORD + i] = tunnel ? m[PLAIN_WORDS + i]! : 0;
  }
}

const $plain = new Uint32Array(PLAIN_WORDS);
const $full = new Uint32Array(PLAIN_WORDS + TUN_WORDS);

export class RecircTable {
  #nextId = 1;
  /** While a trace goes on, the first id of its own. */
  #traceFrom = 0;
  readonly #byId = new Map<number, FrozenState>();
  readonly #byHash = new Map<number, FrozenState[]>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: number): FrozenState | null {
    return this.#byId.get(id) ?? null;
  }

  /** The id of this state: an old one when it is known, but not `other`. */
  allocate(flow: Flow, from: Resume, nowMs: number, other = 0): FrozenState {
    const metadata = gather(flow);
    const hash = hashState(metadata, from);
    const same = this.#byHash.get(hash);
    // As in OVS, a trace tells a controller of states of its own only.
    const since = from.userdata === null ? 0 : this.#traceFrom;
    if (same !== undefined) {
      for (const state of same) {
        if (state.id >= since && state.id !== other && equalStates(state, metadata, from)) {
          state.usedMs = nowMs;
          return state;
        }
      }
    }
    if (this.#byId.size >= RECIRC_MAX) this.#expire(nowMs);
    const state = new FrozenState(this.#nextId++, hash, metadata.slice(), from, nowMs);
    this.#byId.set(state.id, state);
    if (same === undefined) this.#byHash.set(hash, [state]);
    else same.push(state);
    return state;
  }

  /** A trace begins: the next id, to be handed to `forgetFrom`. */
  beginTrace(): number {
    this.#traceFrom = this.#nextId;
    return this.#nextId;
  }

  endTrace(): void {
    this.#traceFrom = 0;
  }

  /** Forgets every state made since `mark` but those of `kept`: a trace leaves nothing behind but the count. */
  forgetFrom(mark: number, kept: ReadonlySet<number>): void {
    for (let id = mark; id < this.#nextId; id++) if (!kept.has(id)) this.#forget(id);
  }

  #forget(id: number): void {
    const state = this.#byId.get(id);
    if (state === undefined) return;
    this.#byId.delete(id);
    const rest = this.#byHash.get(state.hash)!.filter((s) => s !== state);
    if (rest.length === 0) this.#byHash.delete(state.hash);
    else this.#byHash.set(state.hash, rest);
  }

  #expire(nowMs: number): void {
    for (const state of this.#byId.values())
      if (nowMs - state.usedMs >= RECIRC_IDLE_MS) this.#forget(state.id);
  }
}

/** The metadata that goes with a frozen state, in a scratch array. */
function gather(flow: Flow): Uint32Array {
  const w = flow.words;
  let tunnel = 0;
  for (let i = 0; i < TUN_WORDS; i++) tunnel |= w[TUN_WORD + i]!;
  const m = tunnel === 0 ? $plain : $full;
  m[0] = w[O_IN_PORT >> 2]!;
  m[1] = w[METADATA_WORD]!;
  m[2] = w[METADATA_WORD + 1]!;
  for (let i = 0; i < REG_WORDS; i++) m[3 + i] = w[REG_WORD + i]!;
  if (tunnel !== 0) for (let i = 0; i < TUN_WORDS; i++) m[PLAIN_WORDS + i] = w[TUN_WORD + i]!;
  return m;
}

function hashState(metadata: Uint32Array, from: Resume): number {
  let h = from.tableId + (from.conntracked ? 0x100 : 0) + (from.wasMpls ? 0x200 : 0);
  h += (from.steps.length << 10) + (from.actionSet.length << 18) + (from.stack.length << 24);
  for (let i = 0; i < metadata.length; i++) {
    h = Math.imul(h ^ metadata[i]!, 0x9e3779b1);
    h ^= h >>> 15;
  }
  return h;
}

function equalStates(state: FrozenState, metadata: Uint32Array, from: Resume): boolean {
  return (
    state.tableId === from.tableId &&
    state.conntracked === from.conntracked &&
    state.wasMpls === from.wasMpls &&
    state.mirrored === from.mirrored &&
    equalWords(state.metadata, metadata) &&
    equalSteps(state.steps, from.steps) &&
    equalSteps(state.actionSet, from.actionSet) &&
    state.stack.length === from.stack.length &&
    state.stack.every((v, i) => equalBytes(v, from.stack[i]!)) &&
    equalUserdata(state.userdata, from.userdata)
  );
}

function equalWords(a: Uint32Array, b: Uint32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function equalSteps(a: readonly Step[], b: readonly Step[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const y = b[i]!;
    if (x === y) continue;
    if (x.code !== S_UNROLL || y.code !== S_UNROLL || x.arg !== y.arg || x.cookie !== y.cookie) return false;
  }
  return true;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i]);
}

function equalUserdata(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === b || (a !== null && b !== null && equalBytes(a, b));
}
