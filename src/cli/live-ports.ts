// The live ports that a configuration describes: which device each is, and how it is opened.
import { existsSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { LivePort } from "../bridge/live-bridge.ts";
import type { OpenUnderlay, TunnelTap } from "../bridge/live-tunnels.ts";
import type { BridgeConfig, Lab } from "../control/config/lab.ts";
import type { PortConfig } from "../control/config/port-shape.ts";
import { errorAt } from "../control/config/shape.ts";
import { OFPP_LOCAL } from "../pipeline/action.ts";
import { isTunnelType, TUNNEL_TYPES } from "../pipeline/tunnel-options.ts";
import { PacketPort } from "../port/af-packet.ts";
import { CapturePlayer } from "../port/capture-player.ts";
import type { Device } from "../port/device.ts";
import { GreUnderlay } from "../port/gre-underlay.ts";
import { PcapPort } from "../port/pcap-live.ts";
import { patchPair, QueueDevice } from "../port/queue-device.ts";
import { Recorder, RecordingDevice } from "../port/recording-device.ts";
import { TapPort } from "../port/tap.ts";
import { UdpUnderlay } from "../port/udp-underlay.ts";

/** Told of a capture that cannot be played to its end. */
export type PlayFailed = (port: string, error: unknown) => void;

/** The ports of every bridge that have a device, by the bridge's name: all but tunnels. Throws ECONFIG. */
export function livePorts(lab: Lab, failed: PlayFailed): ReadonlyMap<string, LivePort[]> {
  const patches = patchDevices(lab);
  return new Map(
    lab.bridges.map((bridge) => [
      bridge.name,
      bridge.devices.filter(isDevice).map((config) => {
        const open = opener(config, bridge, lab, patches, failed);
        return {
          no: config.no,
          name: config.name,
          mtu: config.mtu,
          open: () => recorded(open(), config, lab),
        };
      }),
    ]),
  );
}

function isDevice({ type }: PortConfig): boolean {
  return type === undefined || !isTunnelType(type);
}

/** What carries the tunnels of one type and UDP port. Throws MegaflowError. */
export const openUnderlay: OpenUnderlay = (type, dstPort, tunnels) => {
  if (type === "gre") return new GreUnderlay();
  const remotes = tunnels.map(({ remoteIp }) => remoteIp);
  const families = ([4, 6] as const).filter((family) =>
    remotes.some((remote) =>
      remote === "flow" ? hasFamily(family) : remote.length === (family === 4 ? 4 : 16),
    ),
  );
  // One address that all of them have is listened on alone: other programs may have the port on other addresses.
  const [first, ...others] = tunnels.map(({ localIp }) => (localIp === "flow" ? null : localIp));
  const isShared = others.every((other) => other?.join() === first?.join());
  return new UdpUnderlay({ port: dstPort, localIp: isShared ? (first ?? null) : null, families });
};

/** A switch whose remote_ip comes from the flows listens for IPv6 too where there is any. */
function hasFamily(family: 4 | 6): boolean {
  return family === 4 || existsSync("/proc/net/if_inet6");
}

/** What records the frames of a tunnel port, if that is asked for. */
export function tunnelTaps(lab: Lab): (bridge: string, no: number) => TunnelTap | null {
  return (name, no) => {
    const config = lab.bridges.find((bridge) => bridge.name === name)?.devices.find((port) => port.no === no);
    if (config?.record === undefined) return null;
    const recorder = new Recorder(besides(lab, config.record));
    process.once("exit", () => recorder.close());
    return (memory, offset, length) => recorder.record(memory, offset, length);
  };
}

function opener(
  config: PortConfig,
  bridge: BridgeConfig,
  lab: Lab,
  patches: ReadonlyMap<PortConfig, Device>,
  failed: PlayFailed,
): () => Device {
  const { name, netns, mtu, queues } = config;
  const type = config.type ?? (config.no === OFPP_LOCAL ? "internal" : undefined);
  const tap = () => TapPort.open({ name, netns, mtu, queues });
  if (queues !== undefined && type !== "tap" && type !== "internal")
    throw errorAt(config, "queues", `port ${name} is no TAP device: only those have queues`);
  switch (type) {
    case undefined:
      throw errorAt(
        config,
        "no",
        `port ${name} of ${bridge.name} wants a type: tap, af-packet, pcap-live, internal, patch, capture, dummy, ${TUNNEL_TYPES.join(", ")}`,
      );
    case "tap":
    case "internal":
      return tap;
    case "af-packet":
      return () => PacketPort.open({ name, netns });
    case "pcap-live":
      return () => PcapPort.open({ name, filter: config.filter });
    case "dummy":
      return () => new QueueDevice(name, () => {});
    case "patch": {
      const device = patches.get(config)!;
      return () => device;
    }
    case "capture": {
      if (config.file === undefined)
        throw errorAt(config, "type", `capture port ${name} wants file: the capture`);
      const path = besides(lab, config.file);
      return () => {
        const player = new CapturePlayer(name, path, config.speed ?? 1);
        player.play().catch((error: unknown) => failed(name, error));
        return player;
      };
    }
    default:
      throw errorAt(config, "type", `ports of type ${type} cannot be run yet`);
  }
}

function recorded(device: Device, { record }: PortConfig, lab: Lab): Device {
  return record === undefined ? device : new RecordingDevice(device, besides(lab, record));
}

/** The ends of all patches: every patch port has a peer, which has it. */
function patchDevices(lab: Lab): ReadonlyMap<PortConfig, Device> {
  const ports = lab.bridges.flatMap((bridge) => bridge.devices).filter((config) => config.type === "patch");
  const devices = new Map<PortConfig, Device>();
  for (const config of ports) {
    if (devices.has(config)) continue;
    const peer = ports.find((other) => other !== config && other.name === config.peer);
    if (peer?.peer !== config.name) {
      throw errorAt(
        config,
        "type",
        `patch port ${config.name} wants peer: the name of a patch port whose peer it is`,
      );
    }
    const [a, b] = patchPair([config.name, peer.name]);
    devices.set(config, a);
    devices.set(peer, b);
  }
  return devices;
}

/** A path of the configuration is relative to it. */
function besides(lab: Lab, path: string): string {
  return isAbsolute(path) || lab.file === "-" ? path : join(dirname(lab.file), path);
}
