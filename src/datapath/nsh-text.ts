// The Network Service Header in datapath text: the fields that a set writes, and a header that is pushed.

import { Flow } from "../flow/flow.ts";
import { KEY_SIZE } from "../flow/layout.ts";
import { formatNshMatch } from "../flow/nsh-text.ts";

const MD_TYPE_1 = 1;
const BASE_SIZE = 8;

/** `flags=3,ttl=4,spi=0x55,si=7,c2=0x70/0x000007f0`: the fields that `mask` names. Both are flow keys. */
export function formatNshFields(value: Uint8Array, mask: Uint8Array): string {
  return formatNshMatch(flowOf(value), flowOf(mask));
}

function flowOf(key: Uint8Array): Flow {
  const flow = new Flow();
  flow.bytes.set(key.subarray(0, KEY_SIZE));
  return flow;
}

/** `flags=0,ttl=63,mdtype=1,np=3,spi=0x123,si=255,c1=0x0,...`, or `md2=0x...` for the other metadata type. */
export function formatNshHeader(header: Uint8Array): string {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const first = view.getUint16(0);
  const path = view.getUint32(4);
  const mdType = header[2]!;
  const parts = [
    `flags=${(first >> 12) & 3}`,
    `ttl=${(first >> 6) & 0x3f}`,
    `mdtype=${mdType}`,
    `np=${header[3]}`,
    `spi=0x${(path >>> 8).toString(16)}`,
    `si=${path & 0xff}`,
  ];
  if (mdType === MD_TYPE_1) {
    for (let i = 0; i < 4; i++) parts.push(`c${i + 1}=0x${view.getUint32(BASE_SIZE + 4 * i).toString(16)}`);
  } else {
    const rest = Buffer.from(header.subarray(BASE_SIZE)).toString("hex").replace(/^0+/, "");
    parts.push(`md2=${rest === "" ? "0" : `0x${rest}`}`);
  }
  return parts.join(",");
}
