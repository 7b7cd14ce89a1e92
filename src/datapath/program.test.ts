// Programs, word by word, against the layouts of abi.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  B_ADDR,
  B_ETH,
  B_IP4,
  B_IPV6_DST,
  B_IPV6_SRC,
  B_TUN,
  B_TUN_METADATA,
  B_TUN_TP,
  KEY_BLOCKS,
  KEY_SIZE,
} from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import * as A from "./abi.ts";
import type { DatapathAction, SetHeader, Userspace } from "./action.ts";
import { encodeProgram } from "./program.ts";

const END = A.A_END | (1 << 8);
const first = (code: number, length: number) => code | (length << 8);

function encode(actions: readonly DatapathAction[], index: (u: Userspace) => number = () => 0): number[] {
  const out = new Uint32Array(256).fill(0xdeadbeef);
  const length = encodeProgram(actions, out, index);
  assert.equal(out[length], 0xdeadbeef, "nothing is written past the end");
  return [...out.subarray(0, length)];
}

/** A key whose byte n is n + `seed`, so that every block can be told from every other. */
function key(seed: number): Uint8Array {
  return Uint8Array.from({ length: KEY_SIZE }, (_, i) => (i * 7 + seed) & 0xff);
}

function blockWords(bytes: Uint8Array, block: number): number[] {
  return [...new Uint32Array(bytes.slice(block * 16, block * 16 + 16).buffer)];
}

test("plain actions", () => {
  const userspace: Userspace = {
    kind: "controller",
    reason: "action",
    controllerId: 0,
    maxLen: 65535,
    userdata: new Uint8Array(0),
    tableId: 0,
    cookie: 0n,
    recircId: 0,
  };
  const words = encode(
    [
      { type: "output", port: 7 },
      { type: "push_vlan", tpid: 0x8100, tci: 0xf123 },
      { type: "pop_vlan" },
      { type: "push_mpls", lse: 0xfffff1ff, ethertype: 0x8847 },
      { type: "pop_mpls", ethertype: 0x800 },
      { type: "ct_clear" },
      { type: "recirc", id: 0x80000001 },
      { type: "hash", algorithm: "l4", basis: 5 },
      { type: "hash", algorithm: "sym_l4", basis: 0 },
      { type: "userspace", userspace },
      { type: "meter", id: 3 },
      { type: "trunc", maxLen: 64 },
      { type: "drop", reason: A.DROP_PIPELINE },
    ],
    (u) => (u === userspace ? 42 : -1),
  );
  assert.deepEqual(words, [
    ...[first(A.A_OUTPUT, 2), 7],
    ...[first(A.A_PUSH_VLAN, 2), 0x8100f123],
    first(A.A_POP_VLAN, 1),
    ...[first(A.A_PUSH_MPLS, 3), 0xfffff1ff, 0x8847],
    ...[first(A.A_POP_MPLS, 2), 0x800],
    first(A.A_CT_CLEAR, 1),
    ...[first(A.A_RECIRC, 2), 0x80000001],
    ...[first(A.A_HASH, 3), A.HASH_L4, 5],
    ...[first(A.A_HASH, 3), A.HASH_SYM_L4, 0],
    ...[first(A.A_USERSPACE, 2), 42],
    ...[first(A.A_METER, 2), 3],
    ...[first(A.A_TRUNC, 2), 64],
    ...[first(A.A_DROP, 2), A.DROP_PIPELINE],
    END,
  ]);
  assert.deepEqual(encode([]), [END]);
});

test("a set holds value and mask of each of its blocks", () => {
  const value = key(1);
  const mask = key(2);
  const sets: readonly [SetHeader, number, number[]][] = [
    ["eth", A.SET_ETHERNET, [B_ETH]],
    ["ipv4", A.SET_IPV4, [B_IP4]],
    ["ipv6", A.SET_IPV6, [B_IP4, B_IPV6_SRC, B_IPV6_DST, B_ADDR]],
    ["arp", A.SET_ARP, [B_ETH, B_IP4, B_ADDR]],
  ];
  for (const [header, code, blocks] of sets) {
    const words = encode([{ type: "set", header, value, mask }]);
    const body = blocks.flatMap((b) => [...blockWords(value, b), ...blockWords(mask, b)]);
    assert.deepEqual(words, [first(A.A_SET, 2 + body.length), code, ...body, END], header);
  }
});

test("the options of a tunnel follow it in a set of their own", () => {
  const value = key(1);
  const mask = key(2);
  const words = (blocks: number[]) =>
    blocks.flatMap((b) => [...blockWords(value, b), ...blockWords(mask, b)]);
  const tunnel = words(Array.from({ length: B_TUN_TP - B_TUN + 1 }, (_, i) => B_TUN + i));
  const options = words(Array.from({ length: KEY_BLOCKS - B_TUN_METADATA }, (_, i) => B_TUN_METADATA + i));
  const head = [first(A.A_SET, 2 + tunnel.length), A.SET_TUNNEL, ...tunnel];
  assert.deepEqual(encode([{ type: "set", header: "tunnel", value, mask }]), [
    ...head,
    ...[first(A.A_SET, 2 + options.length), A.SET_TUNNEL_OPTIONS, ...options],
    END,
  ]);
});

test("ct with mark, label and nat", () => {
  const label = { value: key(3).slice(0, 16), mask: key(4).slice(0, 16) };
  const ct: DatapathAction = {
    type: "ct",
    commit: true,
    force: false,
    zone: 65520,
    mark: { value: 0x20, mask: 0xffffffff },
    label,
    nat: {
      kind: "src",
      minAddr: Uint8Array.of(10, 0, 0, 1),
      maxAddr: null,
      minPort: 1000,
      maxPort: 65535,
      persistent: false,
      hash: true,
      random: false,
    },
    alg: "ftp",
  };
  const flags = A.CT_F_COMMIT | A.CT_F_NAT | A.CT_F_ALG_FTP | A.CT_F_MARK | A.CT_F_LABEL;
  const address = [0, 0, 0, 0x0100000a];
  assert.deepEqual(encode([ct]), [
    ...[first(A.A_CT, 23), flags, 65520, 0x20, 0xffffffff],
    ...blockWords(label.value, 0),
    ...blockWords(label.mask, 0),
    ...[A.NAT_F_SRC | A.NAT_F_HASH, ...address, ...address, 1000 + 65535 * 65536],
    END,
  ]);
  const plain: DatapathAction = { ...ct, commit: false, mark: null, label: null, nat: null, alg: null };
  const zeros = new Array(8).fill(0);
  assert.deepEqual(encode([plain]), [first(A.A_CT, 13), 0, 65520, 0, 0, ...zeros, END]);
});

test("programs inside programs", () => {
  const out = (port: number): DatapathAction => ({ type: "output", port });
  const words = encode([
    { type: "clone", actions: [{ type: "clone", actions: [] }, out(1)] },
    { type: "check_pkt_len", length: 100, greater: [out(2)], lessEqual: [] },
    { type: "sample", probability: 0xffffffff, actions: [out(3)] },
  ]);
  assert.deepEqual(words, [
    ...[first(A.A_CLONE, 6), first(A.A_CLONE, 2), END, first(A.A_OUTPUT, 2), 1, END],
    ...[first(A.A_CHECK_PKT_LEN, 8), 100, 3, 1, first(A.A_OUTPUT, 2), 2, END, END],
    ...[first(A.A_SAMPLE, 5), 0xffffffff, first(A.A_OUTPUT, 2), 3, END],
    END,
  ]);
});

test("what does not fit is refused", () => {
  const actions: DatapathAction[] = [{ type: "output", port: 1 }];
  assert.equal(
    encodeProgram(actions, new Uint32Array(3), () => 0),
    3,
  );
  for (const size of [0, 1, 2]) {
    assert.throws(
      () => encodeProgram(actions, new Uint32Array(size), () => 0),
      (e) => e instanceof MegaflowError && e.code === "ELIMIT",
    );
  }
});
