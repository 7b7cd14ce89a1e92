// The live ports that a configuration describes: which device each is, and how it is opened.
import { dirname, isAbsolute, join } from "node:path";
import type { LivePort } from "../bridge/live-bridge.ts";
import type { BridgeConfig, Lab } from "../control/config/lab.ts";
import type { PortConfig } from "../control/config/port-shape.ts";
import { errorAt } from "../control/config/shape.ts";
import { OFPP_LOCAL } from "../pipeline/action.ts";
import { CapturePlayer } from "../port/capture-player.ts";
import type { Device } from "../port/device.ts";
import { patchPair, QueueDevice } from "../port/queue-device.ts";
import { RecordingDevice } from "../port/recording-device.ts";
import { TapPort } from "../port/tap.ts";

/** Told of a capture that cannot be played to its end. */
export type PlayFailed = (port: string, error: unknown) => void;

/** The ports of every bridge, by the bridge's name; each port that a bridge has is one. Throws ECONFIG. */
export function livePorts(lab: Lab, failed: PlayFailed): ReadonlyMap<string, LivePort[]> {
  const patches = patchDevices(lab);
  return new Map(
    lab.bridges.map((bridge) => [
      bridge.name,
      bridge.devices.map((config) => {
        const open = opener(config, bridge, lab, patches, failed);
        return { no: config.no, name: config.name, open: () => recorded(open(), config, lab) };
      }),
    ]),
  );
}

function opener(
  config: PortConfig,
  bridge: BridgeConfig,
  lab: Lab,
  patches: ReadonlyMap<PortConfig, Device>,
  failed: PlayFailed,
): () => Device {
  const { name, netns } = config;
  const type = config.type ?? (config.no === OFPP_LOCAL ? "internal" : undefined);
  const tap = () => TapPort.open({ name, ...(netns === undefined ? {} : { netns }) });
  switch (type) {
    case undefined:
      throw errorAt(
        config,
        "no",
        `port ${name} of ${bridge.name} wants a type: tap, internal, patch, capture, dummy`,
      );
    case "tap":
    case "internal":
      return tap;
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
