import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { Flow } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import { formatIpv4, formatIpv6, parseIp } from "../packet/address.ts";
import { nativeShimSkip } from "./native-shim.ts";
import { UdpUnderlay } from "./udp-underlay.ts";
import { isIpv4Tunnel } from "./underlay.ts";

const skip = nativeShimSkip();
// Of the ports that systems do not give away by themselves.
const PORT = 20_000 + (process.pid % 10_000);

function keyTo(src: string, dst: string, tos: number, ttl: number): Flow {
  const key = new Flow();
  key.bytes.set(parseIp(src), src.includes(":") ? L.O_TUN_IPV6_SRC : L.O_TUN_SRC);
  key.bytes.set(parseIp(dst), dst.includes(":") ? L.O_TUN_IPV6_DST : L.O_TUN_DST);
  key.set16(L.O_TUN_TP_DST, PORT);
  key.set8(L.O_TUN_TOS, tos);
  key.set8(L.O_TUN_TTL, ttl);
  return key;
}

interface Came {
  readonly payload: string;
  readonly src: string;
  readonly dst: string;
  readonly tos: number;
  readonly ttl: number;
  readonly port: number;
}

/** Sends all, and gives as many as came, or fails. */
async function exchange(
  family: 4 | 6,
  sends: readonly { readonly payload: string; readonly key: Flow; readonly hash: number }[],
): Promise<Came[]> {
  const underlay = new UdpUnderlay({ port: PORT, localIp: null, families: [family] });
  try {
    const came: Came[] = [];
    await new Promise<void>((resolve, reject) => {
      underlay.start(
        (payload, key) => {
          const at = (v4: number, v6: number) =>
            isIpv4Tunnel(key) ? formatIpv4(key.bytes, v4) : formatIpv6(key.bytes, v6);
          came.push({
            payload: Buffer.from(payload).toString(),
            src: at(L.O_TUN_SRC, L.O_TUN_IPV6_SRC),
            dst: at(L.O_TUN_DST, L.O_TUN_IPV6_DST),
            tos: key.get8(L.O_TUN_TOS),
            ttl: key.get8(L.O_TUN_TTL),
            port: key.get16(L.O_TUN_TP_SRC),
          });
        },
        () => {
          if (came.length === sends.length) resolve();
        },
      );
      for (const { payload, key, hash } of sends)
        underlay.send(Buffer.from(payload), key, hash, () => reject(new Error(`${payload} is lost`)));
      setTimeout(() => reject(new Error(`${came.length} came`)), 5000).unref();
    });
    return came;
  } finally {
    underlay.close();
  }
}

test("addresses, TOS and TTL go with each datagram, and a connection keeps its port", { skip }, async () => {
  const sends = [
    { payload: "a", key: keyTo("127.0.0.2", "127.0.0.3", 0x88, 33), hash: 1 },
    { payload: "b", key: keyTo("127.0.0.4", "127.0.0.5", 0x03, 255), hash: 2 },
    { payload: "c", key: keyTo("127.0.0.2", "127.0.0.3", 0, 1), hash: 1 },
  ];
  const [a, b, c] = await exchange(4, sends);
  const { port, ...rest } = a!;
  assert.deepEqual(rest, { payload: "a", src: "127.0.0.2", dst: "127.0.0.3", tos: 0x88, ttl: 33 });
  assert.deepEqual(
    { ...b!, port: 0 },
    { payload: "b", src: "127.0.0.4", dst: "127.0.0.5", tos: 3, ttl: 255, port: 0 },
  );
  assert.equal(c!.port, port);
  assert.notEqual(b!.port, port);
});

test("connections leave by many ports", { skip }, async () => {
  const key = keyTo("127.0.0.2", "127.0.0.3", 0, 64);
  const sends = Array.from({ length: 600 }, (_, hash) => ({ payload: String(hash), key, hash }));
  const ports = new Set((await exchange(4, sends)).map(({ port }) => port));
  assert.ok(ports.size >= 200, `${ports.size} ports`);
});

test("the same by IPv6", {
  skip: skip || (existsSync("/proc/net/if_inet6") ? false : "skipped: this machine has no IPv6"),
}, async () => {
  const [a] = await exchange(6, [{ payload: "a", key: keyTo("::1", "::1", 0x88, 33), hash: 1 }]);
  assert.deepEqual({ ...a!, port: 0 }, { payload: "a", src: "::1", dst: "::1", tos: 0x88, ttl: 33, port: 0 });
});

test("what cannot be sent is lost, a port in use is named", { skip }, () => {
  const underlay = new UdpUnderlay({ port: PORT, localIp: null, families: [4] });
  try {
    let lost = 0;
    const key = keyTo("127.0.0.2", "127.0.0.3", 0, 64);
    underlay.send(new Uint8Array(70_000), key, 0, () => lost++);
    assert.equal(lost, 1);
    assert.throws(
      () => new UdpUnderlay({ port: PORT, localIp: null, families: [4] }),
      (error) =>
        error instanceof MegaflowError &&
        error.message.includes(`UDP port ${PORT}`) &&
        error.message.includes("in use"),
    );
  } finally {
    underlay.close();
  }
});
