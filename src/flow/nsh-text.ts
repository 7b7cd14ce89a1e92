// The Network Service Header (RFC 8300) of a datapath key in text, as megaflows and `set` actions show it.
import type { Flow } from "./flow.ts";
import * as L from "./layout.ts";

const MD_TYPE_1 = 1;
const hex2 = (byte: number): string => byte.toString(16).padStart(2, "0");
const SPI_MASK = 0xffffff;

/**
 * `flags=3,ttl=4,spi=0x55,si=7,c2=0x70/0x000007f0`: the fields that have bits in `mask`. As in OVS, a header that has no
 * fixed context shows four zeros in its place.
 */
export function formatNshMatch(key: Flow, mask: Flow): string {
  const parts: string[] = [];
  const byte = (name: string, at: number, value = key.get8(at)): void => {
    const m = mask.get8(at);
    if (m === 0xff) parts.push(`${name}=${value}`);
    else if (m !== 0) parts.push(`${name}=0x${hex2(value)}/0x${hex2(m)}`);
  };
  const word = (name: string, value: number, m: number, whole: number): void => {
    if (m === 0) return;
    const bits = m === whole ? "" : `/0x${m.toString(16).padStart(8, "0")}`;
    parts.push(`${name}=0x${value.toString(16)}${bits}`);
  };
  byte("flags", L.O_NSH_FLAGS);
  byte("ttl", L.O_NSH_TTL);
  byte("mdtype", L.O_NSH_MDTYPE);
  byte("np", L.O_NSH_NP);
  word("spi", key.get32(L.O_NSH_PATH_HDR) >>> 8, mask.get32(L.O_NSH_PATH_HDR) >>> 8, SPI_MASK);
  byte("si", L.O_NSH_PATH_HDR + 3);
  const hasContext = key.get8(L.O_NSH_MDTYPE) === MD_TYPE_1;
  for (let i = 0; i < 4; i++) {
    const at = L.O_NSH_CONTEXT + 4 * i;
    if (hasContext) word(`c${i + 1}`, key.get32(at), mask.get32(at), 0xffffffff);
    else parts.push(`c${i + 1}=0x0`);
  }
  return parts.join(",");
}
