// An Antrea node at work: nginx in one pod, curl and wget in another, and a NetworkPolicy that comes during a transfer. 60 MB here; for more:
//   MEGAFLOW_TRANSFER_MB=1000 npm test -- transfer
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { connect, ip, Lab, missing, ping, up, within } from "./lab.ts";
import { Fetch, Web } from "./web.ts";

const BYTES = Number(process.env.MEGAFLOW_TRANSFER_MB ?? 60) * 1_000_000;
/** How long the transfer under the policy takes at least. */
const SECONDS = 3;
/** Bytes a frame at least, where segments come whole. */
const FRAME_MEAN = 2000;

const FIXTURES = new URL("../../pcap-fixtures/antrea/", import.meta.url);
const fixture = (name: string) => readFileSync(new URL(name, FIXTURES), "utf8");

/** The pods as the recorded flows know them. */
const PODS = [
  { no: 2, port: "gw0", address: "100.96.1.1", mac: "0e:5a:10:60:01:01" },
  { no: 4, port: "busybox--52b29c", address: "100.96.1.3", mac: "0e:5a:10:60:01:03" },
  { no: 6, port: "nginx-85-804507", address: "100.96.1.5", mac: "0e:5a:10:60:01:05" },
] as const;
const NGINX = PODS[2].address;

for (const type of ["tap", "af-packet"] as const) {
  test(`${type}: ${BYTES / 1e6} MB arrive whole; a policy ends no transfer and begins none`, {
    skip: missing("nginx", "curl", "busybox"),
    timeout: 300_000,
  }, async (t) => {
    const lab = new Lab("transfer");
    let web: Web | null = null;
    try {
      const node = lab.namespace("node");
      const pods = PODS.map(({ no, port, address, mac }) => {
        const netns = lab.namespace(port.slice(0, 4));
        if (type === "af-packet") connect(node, port, netns);
        return { no, port, address, mac, netns, device: type === "tap" ? port : "eth" };
      });
      lab.write("node.flows", fixture("antrea-v0.6-node1-before-policy.flows"));
      const ports = pods.map(
        ({ no, port, netns }) =>
          `{ no: ${no}, name: ${port}, type: ${type}${type === "tap" ? `, netns: ${netns}` : ""} }`,
      );
      const run = await lab.run(
        node,
        `bridges: { br-int: { fail_mode: secure, flows: node.flows, ports: [
           { no: 1, name: tun0, type: vxlan, remote_ip: flow, key: flow }, ${ports.join(", ")} ] } }`,
      );
      for (const { netns, device, address, mac } of pods) {
        ip("-n", netns, "link", "set", device, "address", mac);
        up(netns, device, address);
      }
      const [host, busybox, nginx] = pods.map(({ netns }) => netns) as [string, string, string];
      web = await Web.start(lab, nginx);
      const digest = web.file("file", BYTES);
      const url = `http://${NGINX}/file`;
      ping(busybox, NGINX);

      const startMs = performance.now();
      assert.equal(await new Fetch(busybox, url).done, digest);
      const seconds = (performance.now() - startMs) / 1000;
      const { [PODS[2].port]: counters } = await run.counters();
      t.diagnostic(
        `${((BYTES * 8) / seconds / 1e9).toFixed(2)} Gbit/s, ${counters!.rxFrames} frames from nginx`,
      );
      assert.ok(counters!.rxFrames < BYTES / FRAME_MEAN, `${counters!.rxFrames} frames`);
      const wget = (from: string) =>
        within(
          from,
          "busybox",
          "timeout",
          "2",
          "busybox",
          "wget",
          "-q",
          "-O",
          "/dev/null",
          `http://${NGINX}/`,
        );
      assert.equal(wget(busybox).status, 0);

      const established = new Fetch(busybox, url, Math.ceil(BYTES / SECONDS));
      await established.until(BYTES / 10);
      const policy = fixture("antrea-v0.6-node1-policy-only.flows");
      lab.write("node.flows", fixture("antrea-v0.6-node1-before-policy.flows") + policy);
      await run.signal("SIGHUP", /br-int: .* kept/);
      assert.ok(established.size < BYTES, "the transfer is under way");
      assert.notEqual(wget(busybox).status, 0, "a new one does not begin");
      assert.equal(wget(host).status, 0, "the node's own probes do");
      assert.equal(await established.done, digest);
      const { drops } = await run.statistics();
      assert.ok(Object.keys(drops).length > 0, JSON.stringify(drops));
    } finally {
      await web?.stop();
      await lab.end();
    }
  });
}
