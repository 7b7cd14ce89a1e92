// Encodes datapath actions as a kernel program: the words of abi.ts.

import * as L from "../flow/layout.ts";
import { KEY_SIZE } from "../flow/layout.ts";
import { assert, unreachable } from "../lib/assert.ts";
import { MegaflowError } from "../lib/errors.ts";
import * as A from "./abi.ts";
import type { CtNat, DatapathAction, SetHeader, Userspace } from "./action.ts";

/** What each `set` is called in a program, and the flow-key blocks whose value and mask follow (abi.ts, SET_*). */
const SETS: Readonly<Record<SetHeader, { code: number; blocks: readonly number[] }>> = {
  eth: { code: A.SET_ETHERNET, blocks: [L.B_ETH] },
  ipv4: { code: A.SET_IPV4, blocks: [L.B_IP4] },
  ipv6: { code: A.SET_IPV6, blocks: [L.B_IP4, L.B_IPV6_SRC, L.B_IPV6_DST, L.B_ADDR] },
  tcp: { code: A.SET_TCP, blocks: [L.B_IP4] },
  udp: { code: A.SET_UDP, blocks: [L.B_IP4] },
  sctp: { code: A.SET_SCTP, blocks: [L.B_IP4] },
  icmp: { code: A.SET_ICMP, blocks: [L.B_IP4] },
  icmpv6: { code: A.SET_ICMPV6, blocks: [L.B_IP4] },
  arp: { code: A.SET_ARP, blocks: [L.B_ETH, L.B_IP4, L.B_ADDR] },
  nd: { code: A.SET_ND, blocks: [L.B_ND_TARGET, L.B_ADDR] },
  nd_ext: { code: A.SET_ND_EXT, blocks: [L.B_EXTRA, L.B_IP4] },
  mpls: { code: A.SET_MPLS, blocks: [L.B_MPLS] },
  nsh: { code: A.SET_NSH, blocks: [L.B_EXTRA, L.B_NSH] },
  skb_mark: { code: A.SET_PKT_MARK, blocks: [L.B_VLAN] },
  skb_priority: { code: A.SET_SKB_PRIORITY, blocks: [L.B_VLAN] },
  tunnel: {
    code: A.SET_TUNNEL,
    blocks: [L.B_TUN, L.B_TUN2, L.B_TUN_IPV6_SRC, L.B_TUN_IPV6_DST, L.B_TUN_TP],
  },
};

/** What follows a set of a tunnel that has options. */
const TUNNEL_OPTIONS = {
  code: A.SET_TUNNEL_OPTIONS,
  blocks: Array.from({ length: L.KEY_BLOCKS - L.B_TUN_METADATA }, (_, i) => L.B_TUN_METADATA + i),
};

const BLOCK_WORDS = L.BLOCK_SIZE / 4;
const CT_WORDS = 5 + 2 * BLOCK_WORDS;
const NAT_WORDS = 2 + 2 * BLOCK_WORDS;

/** Gives the index by which the kernel hands a frame to this userspace action. */
export type UserspaceIndex = (userspace: Userspace) => number;

/**
 * Writes `actions` and a final A_END to `out` from word 0.
 * Returns the number of words written; throws ELIMIT when `out` is too small, EUNSUPPORTED for what the kernel cannot do.
 */
export function encodeProgram(
  actions: readonly DatapathAction[],
  out: Uint32Array,
  userspaceIndex: UserspaceIndex,
): number {
  return new ProgramEncoder(out, userspaceIndex).encode(actions);
}

/** encodeProgram() into the same place again and again. */
export class ProgramEncoder {
  readonly #writer: Writer;

  constructor(out: Uint32Array, userspaceIndex: UserspaceIndex) {
    this.#writer = new Writer(out, userspaceIndex);
  }

  encode(actions: readonly DatapathAction[]): number {
    this.#writer.at = 0;
    this.#writer.program(actions);
    return this.#writer.at;
  }
}

class Writer {
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #userspaceIndex: UserspaceIndex;
  at = 0;

  constructor(words: Uint32Array, userspaceIndex: UserspaceIndex) {
    this.#words = words;
    this.#bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    this.#userspaceIndex = userspaceIndex;
  }

  program(actions: readonly DatapathAction[]): void {
    for (const action of actions) this.#action(action);
    this.#word(A.A_END | (1 << 8));
  }

  #action(action: DatapathAction): void {
    switch (action.type) {
      case "output":
        this.#plain(A.A_OUTPUT, action.port);
        break;
      case "set":
        this.#set(action.header, action.value, action.mask);
        break;
      case "push_vlan":
        this.#plain(A.A_PUSH_VLAN, ((action.tpid << 16) | action.tci) >>> 0);
        break;
      case "pop_vlan":
        this.#plain(A.A_POP_VLAN);
        break;
      case "push_mpls":
        this.#plain(A.A_PUSH_MPLS, action.lse, action.ethertype);
        break;
      case "pop_mpls":
        this.#plain(A.A_POP_MPLS, action.ethertype);
        break;
      case "add_mpls":
        this.#plain(A.A_ADD_MPLS, action.lse, action.ethertype);
        break;
      case "push_eth": {
        const start = this.#open();
        this.#asFrame(action.dst, action.src);
        this.#close(start, A.A_PUSH_ETH);
        break;
      }
      case "pop_eth":
        this.#plain(A.A_POP_ETH);
        break;
      case "push_nsh": {
        const start = this.#open();
        this.#word(action.header.length);
        this.#asFrame(action.header);
        this.#close(start, A.A_PUSH_NSH);
        break;
      }
      case "pop_nsh":
        this.#plain(A.A_POP_NSH);
        break;
      case "ct":
        this.#ct(action);
        break;
      case "ct_clear":
        this.#plain(A.A_CT_CLEAR);
        break;
      case "recirc":
        this.#plain(A.A_RECIRC, action.id);
        break;
      case "hash":
        this.#plain(A.A_HASH, action.algorithm === "l4" ? A.HASH_L4 : A.HASH_SYM_L4, action.basis);
        break;
      case "clone": {
        const start = this.#open();
        this.program(action.actions);
        this.#close(start, A.A_CLONE);
        break;
      }
      case "userspace":
        this.#plain(A.A_USERSPACE, this.#userspaceIndex(action.userspace));
        break;
      case "meter":
        this.#plain(A.A_METER, action.id);
        break;
      case "trunc":
        this.#plain(A.A_TRUNC, action.maxLen);
        break;
      case "drop":
        this.#plain(A.A_DROP, action.reason);
        break;
      case "check_pkt_len": {
        const start = this.#open();
        this.#word(action.length);
        const sizes = this.at;
        this.#word(0);
        this.#word(0);
        const greater = this.at;
        this.program(action.greater);
        const lessEqual = this.at;
        this.program(action.lessEqual);
        this.#words[sizes] = lessEqual - greater;
        this.#words[sizes + 1] = this.at - lessEqual;
        this.#close(start, A.A_CHECK_PKT_LEN);
        break;
      }
      case "sample": {
        const start = this.#open();
        this.#word(action.probability);
        this.program(action.actions);
        this.#close(start, A.A_SAMPLE);
        break;
      }
      default:
        unreachable(action);
    }
  }

  #set(header: SetHeader, value: Uint8Array, mask: Uint8Array): void {
    this.#setBlocks(SETS[header], value, mask);
    const present = value.subarray(L.O_TUN_METADATA_PRESENT, L.O_TUN_METADATA);
    if (header === "tunnel" && present.some((b) => b !== 0)) this.#setBlocks(TUNNEL_OPTIONS, value, mask);
  }

  #setBlocks(
    { code, blocks }: { code: number; blocks: readonly number[] },
    value: Uint8Array,
    mask: Uint8Array,
  ): void {
    assert(value.length >= KEY_SIZE && mask.length >= KEY_SIZE, "a set holds whole flow keys");
    const start = this.#open();
    this.#word(code);
    for (const block of blocks) {
      this.#blockOf(value, block);
      this.#blockOf(mask, block);
    }
    this.#close(start, A.A_SET);
  }

  #ct(action: Extract<DatapathAction, { type: "ct" }>): void {
    const { mark, label, nat } = action;
    let flags = 0;
    if (action.commit) flags |= A.CT_F_COMMIT;
    if (action.force) flags |= A.CT_F_FORCE;
    if (nat !== null) flags |= A.CT_F_NAT;
    if (action.alg === "ftp") flags |= A.CT_F_ALG_FTP;
    if (action.alg === "tftp") flags |= A.CT_F_ALG_TFTP;
    if (mark !== null) flags |= A.CT_F_MARK;
    if (label !== null) flags |= A.CT_F_LABEL;
    const start = this.#open();
    this.#word(flags);
    this.#word(action.zone);
    this.#word(mark === null ? 0 : mark.value);
    this.#word(mark === null ? 0 : mark.mask);
    this.#bytes16(label === null ? null : label.value);
    this.#bytes16(label === null ? null : label.mask);
    assert(this.at - start === CT_WORDS, "the words of a ct are as abi.ts says");
    if (nat !== null) this.#nat(nat);
    this.#close(start, A.A_CT);
  }

  #nat(nat: CtNat): void {
    let flags = 0;
    if (nat.kind === "src") flags |= A.NAT_F_SRC;
    if (nat.kind === "dst") flags |= A.NAT_F_DST;
    if (nat.persistent) flags |= A.NAT_F_PERSISTENT;
    if (nat.hash) flags |= A.NAT_F_HASH;
    if (nat.random) flags |= A.NAT_F_RANDOM;
    if (nat.minAddr?.length === 16) flags |= A.NAT_F_IPV6;
    const start = this.at;
    this.#word(flags);
    this.#bytes16(nat.minAddr);
    this.#bytes16(nat.maxAddr ?? nat.minAddr);
    this.#word((nat.minPort | (nat.maxPort << 16)) >>> 0);
    assert(this.at - start === NAT_WORDS, "the words of a nat are as abi.ts says");
  }

  /** An action of plain numbers. */
  #plain(code: number, ...words: number[]): void {
    const start = this.#open();
    for (const word of words) this.#word(word);
    this.#close(start, code);
  }

  /** Begins an action: leaves room for its first word, which close() writes when the length is known. */
  #open(): number {
    const start = this.at;
    this.#word(0);
    return start;
  }

  #close(start: number, code: number): void {
    this.#words[start] = code | ((this.at - start) << 8);
  }

  #word(value: number): void {
    this.#room(1);
    this.#words[this.at++] = value;
  }

  #blockOf(key: Uint8Array, block: number): void {
    this.#bytes16(key.subarray(block * L.BLOCK_SIZE, (block + 1) * L.BLOCK_SIZE));
  }

  /** Four words from 16 bytes; from 4 bytes (an IPv4 address) the last word; from none zeros. */
  #bytes16(bytes: Uint8Array | null): void {
    this.#room(BLOCK_WORDS);
    this.#words.fill(0, this.at, this.at + BLOCK_WORDS);
    if (bytes !== null) this.#bytes.set(bytes, (this.at + BLOCK_WORDS) * 4 - bytes.length);
    this.at += BLOCK_WORDS;
  }

  /** Bytes as they stand in a frame, a whole number of words in all. */
  #asFrame(...parts: readonly Uint8Array[]): void {
    let at = this.at * 4;
    const size = parts.reduce((n, part) => n + part.length, 0);
    assert(size % 4 === 0, "a header is a whole number of words");
    this.#room(size / 4);
    for (const part of parts) {
      this.#bytes.set(part, at);
      at += part.length;
    }
    this.at += size / 4;
  }

  #room(words: number): void {
    if (this.at + words > this.#words.length) {
      throw new MegaflowError("ELIMIT", `actions do not fit in ${this.#words.length} words`);
    }
  }
}
