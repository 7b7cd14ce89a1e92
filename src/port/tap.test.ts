import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { after, test } from "node:test";
import { MegaflowError } from "../lib/errors.ts";
import { udpFrame } from "../packet/frame.ts";
import { nativeShimSkip } from "./native-shim.ts";
import { TapPort } from "./tap.ts";

const netns = `megaflow-tap-${process.pid}`;
const ip = (...args: string[]) => spawnSync("ip", args, { encoding: "utf8" });

/** Needs the built shim, a TAP driver and the right to make namespaces: elsewhere it says what is missing. */
function missing(): string | false {
  const unbuilt = nativeShimSkip();
  if (unbuilt !== false) return unbuilt;
  if (!existsSync("/dev/net/tun")) return "skipped: this machine has no /dev/net/tun";
  const { error, status } = ip("netns", "add", netns);
  if (error !== undefined) return "skipped: iproute2 is not installed";
  return status === 0 ? false : "skipped: this machine lets us make no network namespace";
}
const skip = missing();
after(() => {
  if (skip === false) ip("netns", "del", netns);
});

const SLOT = 2048;
const ADDRESS = [10, 99, 0, 2];
const MAC = [0x02, 0, 0, 0, 0, 2];

/** Answers ARP requests for ADDRESS and pings to it, in place; false for any other frame. */
function answer(frame: Uint8Array): boolean {
  const type = (frame[12] << 8) | frame[13];
  const isArp = type === 0x0806 && frame[21] === 1 && ADDRESS.every((byte, i) => frame[38 + i] === byte);
  const isPing = type === 0x0800 && frame[23] === 1 && frame[34] === 8;
  if (!isArp && !isPing) return false;
  frame.copyWithin(0, 6, 12);
  frame.set(MAC, 6);
  if (isArp) {
    const asker = frame.slice(22, 32);
    frame[21] = 2;
    frame.set(MAC, 22);
    frame.set(ADDRESS, 28);
    frame.set(asker, 32);
  } else {
    const from = frame.slice(26, 30);
    frame.copyWithin(26, 30, 34);
    frame.set(from, 30);
    // Type 8 becomes 0: the checksum grows by 8 << 8, with the carry around.
    frame[34] = 0;
    const sum = ((frame[36] << 8) | frame[37]) + 0x0800;
    const folded = (sum & 0xffff) + (sum >> 16);
    frame[36] = folded >> 8;
    frame[37] = folded & 255;
  }
  return true;
}

test("the kernel pings an address behind a TAP in another namespace", { skip }, async () => {
  const port = TapPort.open({ name: "mftap", netns });
  assert.equal(port.name, "mftap");
  const inNamespace = ip("-n", netns, "-o", "link", "show", "mftap");
  assert.equal(inNamespace.status, 0, "the interface is in the namespace");
  assert.notEqual(ip("link", "show", "mftap").status, 0, "and not in ours");
  ip("-n", netns, "addr", "add", "10.99.0.1/24", "dev", "mftap");
  ip("-n", netns, "link", "set", "mftap", "up");

  // Shared memory, as the kernel's is with several shards; the slots begin at some offset of it.
  const memory = new Uint8Array(new SharedArrayBuffer(4096 + 64 * SLOT));
  const lengths = new Uint32Array(64);
  const segments = new Uint32Array(64);
  const outOffsets = new Uint32Array(64);
  const outLengths = new Uint32Array(64);
  let answered = 0;
  port.onReadable(() => {
    const count = port.read(memory, 4096, SLOT, lengths, segments);
    let out = 0;
    for (let i = 0; i < count; i++) {
      const at = 4096 + i * SLOT;
      if (!answer(memory.subarray(at, at + lengths[i]))) continue;
      outOffsets[out] = at;
      outLengths[out++] = lengths[i];
    }
    answered += out;
    assert.equal(port.write(memory, outOffsets, outLengths, out, segments.fill(0)), out);
  });
  const ping = spawn("ip", ["netns", "exec", netns, "ping", "-c", "3", "-i", "0.2", "-W", "5", "10.99.0.2"]);
  let output = "";
  ping.stdout.on("data", (chunk) => {
    output += chunk;
  });
  const status = await new Promise((resolve) => ping.once("close", resolve));
  port.close();
  assert.equal(status, 0, output);
  assert.match(output, /3 received|3 packets received/);
  assert.ok(answered >= 4, `${answered} answers`);
  assert.notEqual(ip("-n", netns, "link", "show", "mftap").status, 0, "close() takes the interface away");
});

test("frames come by any queue of an interface and go out by all of them", { skip }, async () => {
  const port = TapPort.open({ name: "mfmany", netns, queues: 4 });
  const memory = new Uint8Array(64 * SLOT);
  const lengths = new Uint32Array(64);
  const segments = new Uint32Array(64);
  assert.equal(port.read(memory, 0, SLOT, lengths, segments), 0);
  ip("-n", netns, "addr", "add", "10.99.0.1/24", "dev", "mfmany");
  ip("-n", netns, "link", "set", "mfmany", "up");
  ip("-n", netns, "neigh", "add", "10.99.0.2", "lladdr", "02:00:00:00:00:02", "dev", "mfmany");
  const PORTS = 40;
  const script = `const socket = require("node:dgram").createSocket("udp4");
    for (let port = 1; port <= ${PORTS}; port++) socket.send("x", 1000 + port, "10.99.0.2", () => port === ${PORTS} && socket.close());`;
  const came = new Set<number>();
  const read = (resolve: () => void) => {
    const count = port.read(memory, 0, SLOT, lengths, segments);
    for (let i = 0; i < count; i++)
      if (memory[i * SLOT + 23] === 17) came.add((memory[i * SLOT + 36]! << 8) | memory[i * SLOT + 37]!);
    if (came.size >= PORTS) resolve();
  };
  const all = new Promise<void>((resolve) => port.onReadable(() => read(resolve)));
  spawn("ip", ["netns", "exec", netns, process.execPath, "-e", script], { stdio: "ignore" });
  const timer = setTimeout(() => assert.fail(`${came.size} came`), 10_000);
  await all;
  clearTimeout(timer);
  const frames = Array.from({ length: 64 }, (_, i) =>
    udpFrame({ src: "10.99.0.2", dst: "10.99.0.1", srcPort: 1000 + i, dstPort: 9 }),
  );
  const offsets = Uint32Array.from(frames, (frame, i) => {
    memory.set(frame, i * SLOT);
    return i * SLOT;
  });
  const sizes = Uint32Array.from(frames, (frame) => frame.length);
  assert.equal(port.write(memory, offsets, sizes, 64, segments.fill(0)), 64);
  port.close();
  assert.notEqual(ip("-n", netns, "link", "show", "mfmany").status, 0, "close() takes the interface away");
});

test("reading without frames gives none, a name too long and a missing namespace are errors", {
  skip,
}, () => {
  const port = TapPort.open({ name: "", netns });
  assert.match(port.name, /^tap\d+$/);
  assert.equal(port.read(new Uint8Array(SLOT), 0, SLOT, new Uint32Array(1), new Uint32Array(1)), 0);
  assert.throws(
    () => port.read(new Uint8Array(SLOT - 1), 0, SLOT, new Uint32Array(1), new Uint32Array(1)),
    RangeError,
  );
  assert.throws(
    () => port.write(new Uint8Array(60), Uint32Array.of(1), Uint32Array.of(60), 1, Uint32Array.of(0)),
    RangeError,
  );
  port.close();
  const isDeviceError = (message: RegExp) => (error: unknown) =>
    error instanceof MegaflowError && error.code === "EFILE" && message.test(error.message);
  assert.throws(() => TapPort.open({ name: "x".repeat(16) }), isDeviceError(/at most 15 bytes/));
  assert.throws(
    () => TapPort.open({ name: "mftap", netns: "megaflow-none" }),
    isDeviceError(
      /^TAP device mftap in network namespace megaflow-none: there is no such network namespace \(ip netns add megaflow-none\)$/,
    ),
  );
});
