// The command line as a user meets it: what each invocation says, and its exit status (0 done; 1 ran but could not finish; 2 bad
// arguments or input, and nothing written). No invocation may show a stack trace.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { tcpFrame } from "../src/packet/frame.ts";
import { CaptureWriter } from "../src/port/capture-writer.ts";

const MAIN = new URL("../src/cli/main.js", import.meta.url).pathname;
const dir = mkdtempSync(join(tmpdir(), "megaflow-cli-"));
after(() => rmSync(dir, { recursive: true }));

const frame = tcpFrame({ srcPort: 40000, dstPort: 80 });
const writer = CaptureWriter.open(join(dir, "one.pcap"));
for (const sec of [1_600_000_000, 1_600_000_001]) writer.write(sec, 7, frame, 0, frame.length, frame.length);
writer.close();
const whole = readFileSync(join(dir, "one.pcap"));
writeFileSync(join(dir, "cut.pcap"), whole.subarray(0, -1));
writeFileSync(join(dir, "empty.pcap"), "");
writeFileSync(join(dir, "good.flows"), "in_port=1,tcp actions=2\n");
writeFileSync(join(dir, "names.flows"), "in_port=pod,tcp actions=output:LOCAL\n");
writeFileSync(join(dir, "bad.flows"), "in_port=1 actions=2\n\nin_port=1 actions=nonsense\n");
writeFileSync(join(dir, "drop.flows"), "table=3,cookie=0xabc,tcp actions=drop\nactions=resubmit(,3)\n");
writeFileSync(
  join(dir, "lab.yaml"),
  "bridges:\n  br0:\n    flows: names.flows\n    ports:\n      - { no: 1, name: pod }\n",
);
writeFileSync(
  join(dir, "two.yaml"),
  "bridges:\n  br0: { flows: good.flows }\n  br1: { flows: drop.flows }\n",
);
writeFileSync(join(dir, "bad.yaml"), "bridges:\n  br0:\n    flow: good.flows\n");
writeFileSync(join(dir, "port.flows"), "tcp,tp_dst=80 actions=drop\ntp_dst=80 actions=drop\n");
mkdirSync(join(dir, "folder"));

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function megaflow(line: string, input: string | Uint8Array = ""): Run {
  const r = spawnSync(process.execPath, [MAIN, ...line.split(" ").filter((word) => word !== "")], {
    cwd: dir,
    encoding: "utf8",
    input,
    timeout: 30_000,
  });
  return { status: r.status, stdout: r.stdout, stderr: r.stderr };
}

const REPLAY = "replay --flows good.flows";
const ONE = "--in 1=one.pcap";

const INVOCATIONS: readonly (readonly [line: string, status: number, stderr: RegExp])[] = [
  ["", 2, /^Usage: megaflow/],
  ["--help", 0, /^$/],
  ["--version", 0, /^$/],
  ["help replay", 0, /^$/],
  ["nonsense", 2, /unknown command 'nonsense'; there are replay, run, trace, parse, bench, demo/],
  ["nonsense --help", 2, /unknown command 'nonsense'/],
  ["--nonsense", 2, /unknown option '--nonsense'/],
  ["replay --help", 0, /^$/],
  ["trace --help", 0, /^$/],
  ["parse --help", 0, /^$/],
  ["bench --help", 0, /^$/],
  ["demo --help", 0, /^$/],
  ["demo extra", 2, /too many arguments/],

  ["replay", 2, /--flows FILE or --config FILE is wanted/],
  [REPLAY, 2, /^megaflow: at least one --in NO=CAPTURE is wanted$/m],
  [`${REPLAY} ${ONE}`, 0, /^$/],
  [`${REPLAY} ${ONE} --json`, 0, /^$/],
  [`${REPLAY} ${ONE} --loop 3`, 0, /^$/],
  [`${REPLAY} ${ONE} --nonsense`, 2, /unknown option/],
  [`${REPLAY} --in one.pcap`, 2, /^megaflow: --in NO=CAPTURE is wanted, not "one.pcap"$/m],
  [`${REPLAY} --in 0=one.pcap`, 2, /"0" is no port number/],
  [`${REPLAY} --in 1=none.pcap`, 2, /^megaflow: none\.pcap: no such file or directory$/m],
  [`${REPLAY} --in 1=folder`, 2, /^megaflow: folder: illegal operation on a directory$/m],
  [`${REPLAY} --in 1=good.flows`, 1, /^megaflow: good\.flows: byte 0: bad magic /m],
  [`${REPLAY} --in 1=empty.pcap`, 1, /^megaflow: empty\.pcap: byte 0: 0 bytes are no capture/m],
  [`${REPLAY} --in 1=cut.pcap`, 1, /^megaflow: not all was done; 1 frames were processed$/m],
  [`${REPLAY} --in 1=- --in 2=-`, 2, /^megaflow: standard input \(-\) can be only one of the files$/m],
  [`replay --flows - --in 1=-`, 2, /standard input/],
  [`replay --flows none.flows ${ONE}`, 2, /^megaflow: none\.flows: open \(No such file or directory\)$/m],
  [`replay --flows folder ${ONE}`, 2, /^megaflow: folder: open \(Illegal operation on a directory\)$/m],
  [`replay --flows bad.flows ${ONE}`, 2, /^megaflow: bad\.flows:3:19: unknown action nonsense$/m],
  [
    `replay --flows names.flows ${ONE}`,
    2,
    /^megaflow: names\.flows:1:9: pod: invalid or unknown port for in_port$/m,
  ],
  [`replay --flows names.flows ${ONE} --port 1=pod --port LOCAL=gw`, 0, /^$/],
  [
    `replay --flows port.flows ${ONE}`,
    0,
    /^megaflow: warning: port\.flows:2: normalization changed ofp_match, details: pre: tp_dst=80 post: \(matches everything\)\n$/,
  ],
  [`${REPLAY} ${ONE} --port 1=a --port 1=b`, 2, /port 1 is given twice/],
  [`${REPLAY} ${ONE} --port 1=a --port 2=a`, 2, /the name a is given twice/],
  [`${REPLAY} ${ONE} --at +1.5s=good.flows`, 2, /"\+1\.5s" is no time in seconds/],
  [`${REPLAY} ${ONE} --at 1600000001=good.flows`, 2, /1600000001 is too long after the first frame/],
  [`${REPLAY} ${ONE} --at +1000000000=good.flows`, 0, /^$/],
  [`${REPLAY} ${ONE} --at +0.5=bad.flows`, 2, /^megaflow: bad\.flows:3:19: /m],
  [`${REPLAY} ${ONE} --loop 2 --out-dir out`, 2, /--loop measures/],
  [`${REPLAY} ${ONE} --loop 0`, 2, /--loop wants a whole number of at least 1, not "0"/],
  [`${REPLAY} ${ONE} --shards 2`, 0, /^$/],
  [`${REPLAY} ${ONE} --shards 2 --fail-mode secure`, 0, /^$/],
  [`${REPLAY} ${ONE} --shards 0`, 2, /--shards wants a whole number of at least 1/],
  [`${REPLAY} ${ONE} --shards 65`, 2, /--shards: at most 64/],
  [`${REPLAY} ${ONE} --fail-mode open`, 2, /--fail-mode is secure or standalone, not "open"/],
  [`${REPLAY} ${ONE} --seed x`, 2, /--seed wants a whole number/],
  [`${REPLAY} ${ONE} --out-dir good.flows`, 2, /^megaflow: good\.flows: file already exists$/m],
  [
    `${REPLAY} ${ONE} --out-dir /proc/megaflow`,
    2,
    /^megaflow: \/proc\/megaflow: no such file or directory$/m,
  ],

  [`replay --config lab.yaml ${ONE}`, 0, /^$/],
  [`replay --config lab.yaml ${ONE} --port 2=other --fail-mode secure`, 0, /^$/],
  [`replay --config lab.yaml ${ONE} --port 2=pod`, 2, /the name pod is given twice/],
  [`replay --config lab.yaml ${ONE} --flows bad.flows`, 2, /^megaflow: bad\.flows:3:19: /m],
  [`replay --config two.yaml ${ONE}`, 2, /^megaflow: two\.yaml: --bridge NAME is wanted: it has br0, br1$/m],
  [`replay --config two.yaml --bridge br1 ${ONE}`, 0, /^$/],
  [`replay --config two.yaml --bridge br2 ${ONE}`, 2, /there is no bridge br2: it has br0, br1$/m],
  [
    `replay --config bad.yaml ${ONE}`,
    2,
    /^megaflow: bad\.yaml:3:5: unknown key "flow" of a bridge; did you mean "flows"\?$/m,
  ],
  [`replay --config none.yaml ${ONE}`, 2, /^megaflow: none\.yaml: open \(No such file or directory\)$/m],
  [`replay --config - --in 1=-`, 2, /standard input/],
  [`trace --config lab.yaml in_port=pod,tcp`, 0, /^$/],
  [`trace --config two.yaml --bridge br1 in_port=1,tcp`, 0, /^$/],

  ["trace in_port=1", 2, /--flows FILE or --config FILE is wanted/],
  ["trace --flows good.flows", 2, /missing required argument 'flow'/],
  ["trace --flows good.flows in_port=1,tcp", 0, /^$/],
  ["trace --flows names.flows --port 1=pod in_port=pod,tcp", 0, /^$/],
  ["trace --flows names.flows in_port=1", 2, /^megaflow: names\.flows:1:9: pod: invalid or unknown port/m],
  ["trace --flows bad.flows in_port=1", 2, /^megaflow: bad\.flows:3:19: unknown action nonsense$/m],
  ["trace --flows good.flows in_port=1,nonsense=1", 2, /^megaflow: column 11: Bad openflow flow syntax: /m],
  ["trace --flows good.flows in_port=1 ffff", 2, /^megaflow: Packet data too short for Ethernet$/m],
  ["trace --flows good.flows in_port=1 zz", 2, /^megaflow: Trailing garbage in packet data$/m],
  ["trace --flows good.flows --ct-next new in_port=1", 2, /invalid connection state/],
  ["trace --flows good.flows --fail-mode open in_port=1", 2, /--fail-mode is secure or standalone/],
  ["trace --flows - --groups - in_port=1", 2, /standard input/],

  ["parse", 2, /missing required argument 'capture'/],
  ["parse one.pcap", 0, /^$/],
  ["parse cut.pcap", 1, /cut\.pcap: byte \d+: .* \(frames printed: 1\)$/m],
  ["parse none.pcap one.pcap", 1, /^megaflow parse: none\.pcap: no such file or directory$/m],
  ["parse none.pcap", 2, /^megaflow parse: none\.pcap: no such file or directory$/m],
  ["parse folder", 2, /folder: illegal operation on a directory$/m],

  ["bench nonsense", 2, /no such bench: nonsense; there are /],
  ["bench --seed x", 2, /--seed wants a whole number/],
  ["bench --check --baseline none.json exact-1k", 2, /^megaflow: none\.json: no such file or directory$/m],
  ["bench --peer nonsense", 2, /no such peer: nonsense; there is ovs-dpdk/],
];

for (const [line, status, stderr] of INVOCATIONS) {
  test(`megaflow ${line}`, () => {
    const r = megaflow(line);
    assert.match(r.stderr, stderr);
    assert.doesNotMatch(r.stderr, /^ {4}at /m);
    assert.equal(r.status, status);
    if (status === 2) assert.equal(r.stdout, "");
    assert.equal(existsSync(join(dir, "out")), false);
  });
}

test("flows and captures may come from standard input", () => {
  const flows = megaflow(`replay --flows - ${ONE} --json`, "tcp actions=drop\n");
  assert.equal(flows.stderr, "");
  assert.deepEqual(JSON.parse(flows.stdout).drops, { drop_action_of_pipeline: 2 });
  assert.equal(JSON.parse(megaflow(`${REPLAY} --in 1=- --json`, whole).stdout).packets, 2);
  assert.equal(megaflow("parse -", whole).stdout.split("\n").length, 3);
});

test("connections are flushed on the way, and there are no more than --ct-max", () => {
  const connection = (zone: number, port: number) =>
    `udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=${port},dport=53),reply=(src=10.0.0.2,dst=10.0.0.1,sport=53,dport=${port}),zone=${zone},mark=${port}`;
  const all = [connection(1, 100), connection(2, 200), connection(2, 201)];
  writeFileSync(join(dir, "three.txt"), `${all.join("\n")}\n`);
  const left = (options: string): number[] => {
    const line = `replay --flows - ${ONE} --conntrack-state three.txt --out-dir flushed --json ${options}`;
    const r = megaflow(line, "table=0 actions=drop\n");
    assert.equal(r.stderr, "");
    const rows = JSON.parse(readFileSync(join(dir, "flushed/conntrack.json"), "utf8")) as { mark: number }[];
    return rows.map((row) => row.mark).sort();
  };
  assert.deepEqual(left(""), [100, 200, 201]);
  assert.deepEqual(left("--ct-max 3"), [100, 200, 201]);
  assert.deepEqual(left("--ct-flush +0=zone=2"), [100]);
  assert.deepEqual(left("--ct-flush +0=ct_mark=0xc8/0xfe --ct-flush +0=ct_tp_src=100"), []);
  assert.deepEqual(left("--ct-flush +0=zone=2,ct_tp_src=201"), [100, 200]);
  assert.deepEqual(left("--ct-flush +0=icmp_id=100"), [100, 200, 201]);
  assert.deepEqual(left("--ct-flush +9=all"), []);
  const bad = megaflow(`replay --flows - ${ONE} --ct-max 0`, "");
  assert.deepEqual(
    [bad.status, bad.stderr],
    [2, "megaflow: --ct-max N: there must be room for one connection\n"],
  );
});

test("a replay may begin with the connections of a dump", () => {
  const connection =
    "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=40000,dport=80),reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=40000),zone=3,mark=5,protoinfo=(state=ESTABLISHED)";
  const flows =
    "table=0,tcp actions=ct(table=1,zone=3)\ntable=1,ct_state=+est,ct_mark=5,tcp actions=output:7\n";
  writeFileSync(join(dir, "state.txt"), `${connection}\n`);
  const line = `replay --flows - ${ONE} --conntrack-state state.txt --out-dir kept --json`;
  const r = megaflow(`${line} --ct-limit zone=3,limit=1 --ct-timeout zone=3,tcp_established=60`, flows);
  assert.equal(r.stderr, "");
  assert.deepEqual([JSON.parse(r.stdout).forwarded, JSON.parse(r.stdout).connections], [2, 1]);
  assert.equal(readFileSync(join(dir, "kept/conntrack.txt"), "utf8"), `${connection}\n`);
  const [row] = JSON.parse(readFileSync(join(dir, "kept/conntrack.json"), "utf8"));
  assert.deepEqual(
    [row.protocol, row.orig.sport, row.zone, row.mark, row.state],
    ["tcp", 40000, 3, 5, "ESTABLISHED"],
  );
  writeFileSync(join(dir, "state.txt"), `${connection}\n${connection.replace("zone=3", "zone=x")}\n`);
  const bad = megaflow(line.replace("kept", "never"), flows);
  assert.deepEqual(
    [bad.status, bad.stderr],
    [2, 'megaflow: state.txt:2:119: "x" is no number up to 65535\n'],
  );
  assert.equal(existsSync(join(dir, "never")), false);
});

test("the output folder holds what it should, keys in order", () => {
  const r = megaflow("replay --flows drop.flows --in 1=one.pcap --in 2=one.pcap --out-dir new/deep --json");
  assert.equal(r.stderr, "");
  const read = (name: string): string => readFileSync(join(dir, "new/deep", name), "utf8");
  assert.deepEqual(readdirSync(join(dir, "new/deep")).sort(), [
    "conntrack.json",
    "conntrack.txt",
    "flow-removed.txt",
    "flows.txt",
    "group-stats.txt",
    "groups.txt",
    "megaflows.txt",
    "meter-stats.txt",
    "meters.txt",
    "port-1.pcap",
    "port-2.pcap",
    "port-65534.pcap",
    "summary.json",
    "verdicts.jsonl",
  ]);
  const drop = '{"reason":"drop_action_of_pipeline","table":3,"cookie":"0xabc"}';
  const verdict = (packet: number, sec: number, port: number): string =>
    `{"packet":${packet},"time":"${sec}.000000007","in_port":${port},"outputs":[],"drop":${drop},"controller":0}\n`;
  const first = 1_600_000_000;
  assert.equal(
    read("verdicts.jsonl"),
    verdict(1, first, 1) + verdict(2, first, 2) + verdict(3, first + 1, 1) + verdict(4, first + 1, 2),
  );
  assert.equal(read("summary.json"), r.stdout);
  const { seconds, mpps, ...counts } = JSON.parse(r.stdout);
  assert.equal(
    JSON.stringify(counts),
    `{"packets":4,"bytes":${4 * frame.length},"forwarded":0,"dropped":4,"drops":{"drop_action_of_pipeline":4},` +
      `"cache":{"exact":0,"megaflow":${counts.cache.megaflow},"upcall":${counts.cache.upcall}},"connections":0}`,
  );
  assert.deepEqual(Object.keys(JSON.parse(r.stdout)).slice(-2), ["seconds", "mpps"]);
  assert.equal(typeof seconds, "number");
  assert.equal(typeof mpps, "number");
});

test("an output folder that would write over the input is refused", () => {
  mkdirSync(join(dir, "chain"));
  writeFileSync(join(dir, "chain/port-1.pcap"), whole);
  const r = megaflow(`${REPLAY} --in 1=chain/port-1.pcap --out-dir folder/../chain`);
  assert.equal(r.status, 2);
  assert.match(r.stderr, /^megaflow: chain\/port-1\.pcap: is read, and would be written over/m);
  assert.deepEqual(readFileSync(join(dir, "chain/port-1.pcap")), whole);
});

test("what cannot be written is a failure of the run, not a crash", {
  skip: !existsSync("/dev/full"),
}, () => {
  const full = spawnSync("/bin/sh", ["-c", `"${process.execPath}" "${MAIN}" parse one.pcap > /dev/full`], {
    cwd: dir,
    encoding: "utf8",
  });
  assert.equal(full.stderr, "megaflow: standard output: no space left on device\n");
  assert.equal(full.status, 1);
});

test("a replay that is interrupted writes what was done till then", {
  skip: process.platform === "win32",
}, async () => {
  // The capture comes through a pipe that stays open: the end can only come by the signal.
  const args = [MAIN, ..."replay --flows good.flows --in 1=- --at +9=drop.flows --out-dir cut".split(" ")];
  const child = spawn(process.execPath, args, { cwd: dir, stdio: ["pipe", "ignore", "pipe"] });
  child.stdin.write(whole);
  const written = () => existsSync(join(dir, "cut/verdicts.jsonl"));
  while (!written() && child.exitCode === null) await sleep(10);
  child.kill("SIGINT");
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  assert.equal(stderr, "megaflow: ended by SIGINT\nmegaflow: not all was done; 2 frames were processed\n");
  assert.equal(status, 1);
  const lines = readFileSync(join(dir, "cut/flows.txt"), "utf8").split("\n");
  assert.match(lines[1]!, /^ cookie=0x0, duration=1s, table=0, n_packets=2, /);
  // The flow that was there before the first frame is no older, and the --at never came.
  assert.match(lines[2]!, /^ cookie=0x0, duration=1s, table=0, n_packets=0, .* actions=NORMAL$/);
  assert.equal(lines.length, 4);
});

test("the program can be run as it is", { skip: process.platform === "win32" }, () => {
  const r = spawnSync(MAIN, ["--version"], { encoding: "utf8" });
  assert.equal(r.status, 0);
});
