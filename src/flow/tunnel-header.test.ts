import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../lib/prng.ts";
import { hexToBytes } from "../packet/bytes.ts";
import { buildGeneve } from "../packet/geneve.ts";
import { Flow } from "./flow.ts";
import { parseFlow } from "./flow-text.ts";
import * as L from "./layout.ts";
import { TlvMap } from "./tlv-map.ts";
import { decapsulate, encapsulate, entropyPort, type TunnelHeaderType } from "./tunnel-header.ts";

const SEED = Number(process.env.SEED ?? 8);
const TYPES: readonly TunnelHeaderType[] = ["vxlan", "geneve", "gre"];
const tlvMap = TlvMap.parse(
  "{class=0x104,type=0x80,len=4}->tun_metadata0,{class=1,type=2,len=8}->tun_metadata5",
);
const FRAME = hexToBytes("0000000000010000000000021234");

test("what goes out comes in again", () => {
  for (const [type, text] of [
    ["vxlan", "tun_id=0xabcdef"],
    ["vxlan", "tun_id=1,tun_gbp_id=7,tun_gbp_flags=0x48"],
    ["geneve", "tun_id=5"],
    ["geneve", "tun_id=5,tun_flags=oam,tun_metadata0=0x1234,tun_metadata5=0x1122334455667788"],
    ["gre", "tun_id=0xffffffff"],
  ] as const) {
    const key = parseFlow(`tun_dst=1.1.1.1,${text}`, undefined, tlvMap);
    key.set16(L.O_TUN_FLAGS, key.get16(L.O_TUN_FLAGS) | L.TUN_FLAG_KEY);
    const bytes = encapsulate(type, key, tlvMap, FRAME);
    const back = new Flow();
    const at = decapsulate(type, bytes, tlvMap, back);
    assert.ok(typeof at === "number", `${type} ${text}: ${at}`);
    assert.deepEqual(bytes.subarray(at), FRAME);
    for (let i = L.O_TUN_ID; i < L.KEY_SIZE; i++) {
      if (i >= L.O_TUN_SRC && i < L.O_TUN_FLAGS) continue;
      assert.equal(back.get8(i), key.get8(i), `${type} ${text}: byte ${i}`);
    }
  }
});

test("GRE without a key has none, with a checksum says so", () => {
  const key = parseFlow("tun_dst=1.1.1.1");
  key.set16(L.O_TUN_FLAGS, L.TUN_FLAG_CSUM);
  const bytes = encapsulate("gre", key, null, FRAME);
  const back = new Flow();
  assert.equal(decapsulate("gre", bytes, null, back), 8);
  assert.equal(back.get16(L.O_TUN_FLAGS), L.TUN_FLAG_CSUM);
  assert.equal(back.get64(L.O_TUN_ID), 0n);
});

test("options that are not the map's", () => {
  const read = (optionClass: number, type: number, size: number, protocol = 0x6558) => {
    const options = [{ optionClass, type, value: new Uint8Array(size).fill(1) }];
    return decapsulate("geneve", buildGeneve({ vni: 1, protocol, options }), tlvMap, new Flow());
  };
  assert.equal(read(0x104, 0x80, 4), 16);
  assert.equal(read(0x104, 0x80, 8), "malformed");
  assert.equal(read(9, 0x80, 4), "critical");
  assert.equal(read(9, 0x00, 4), 16);
  assert.equal(read(0x104, 0x80, 4, 0x0800), "protocol");
});

test("no header makes reading throw or read past its end", () => {
  console.log(`SEED=${SEED}`);
  const prng = new Prng(SEED);
  for (let i = 0; i < 20_000; i++) {
    const size = prng.below(80);
    const room = new Uint8Array(size + 64);
    for (let k = 0; k < size; k++) room[k] = prng.below(3) === 0 ? 0 : prng.below(256);
    const bytes = room.subarray(0, size);
    for (const type of TYPES) {
      const key = new Flow();
      const at = decapsulate(type, bytes, tlvMap, key);
      if (typeof at === "number") assert.ok(at <= size, `${type}: ${at} of ${size}`);
      else
        assert.ok(
          key.words.every((w) => w === 0),
          `${type}: ${at} leaves the key alone`,
        );
    }
  }
});

test("the source port is in the ephemeral range", () => {
  for (const hash of [0, 1, 0x7fffffff, 0xffffffff, -1]) {
    const port = entropyPort(hash);
    assert.ok(port >= 49152 && port <= 65535, String(port));
  }
});
