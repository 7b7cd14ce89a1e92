// What an FTP control frame announces (RFC 959 section 5, RFC 2428), read as OVS's userspace conntrack reads it: PORT and the
// reply 227 over IPv4, EPRT and the reply "Extended Passive" over IPv6. Whatever the payload is, only its first
// MESSAGE_MAX bytes are looked at, in a copy that ends in zeros, and nothing of it is changed.
//
// OVS's reading is part of the interface: of a shorter payload the last byte is not seen, a zero byte ends the message,
// text between the numbers is skipped or not in its way. What looks like an announcement and cannot be read makes the frame
// invalid.

import { hexDigit, isDigit, readIpv4, readIpv6 } from "./ip-text.ts";
import { PKT, PKT_L4, PKT_PTR } from "./memory.ts";
import { transportPresent, transportSize } from "./rewrite-ip.ts";

export const FTP_OTHER: u32 = 0;
export const FTP_ANNOUNCES: u32 = 1;
export const FTP_INVALID: u32 = 2;

/** Bytes of a message that are looked at. */
const MESSAGE_MAX: u32 = 128;
const MESSAGE: usize = memory.data(144, 16);

// "PORT", "227", "EPRT" and "EXTENDED PASSIVE", in capitals.
const PORT: usize = memory.data<u8>([0x50, 0x4f, 0x52, 0x54]);
const PASV: usize = memory.data<u8>([0x32, 0x32, 0x37]);
const EPRT: usize = memory.data<u8>([0x45, 0x50, 0x52, 0x54]);
const EPSV: usize = memory.data<u8>([
  0x45, 0x58, 0x54, 0x45, 0x4e, 0x44, 0x45, 0x44, 0x20, 0x50, 0x41, 0x53, 0x53, 0x49, 0x56, 0x45,
]);
const EPSV_SIZE: u32 = 16;

const SPACE: u32 = 0x20;
const PARENTHESIS: u32 = 0x28;
const COMMA: u32 = 0x2c;
const DOT: u32 = 0x2e;
const COLON: u32 = 0x3a;
const FAMILY_IPV6: u32 = 0x32;

// What readFtp() found in an announcement.
/** The one who sends it waits for a connection (PORT, EPRT); else it is a server's answer. */
export let ftpActive: bool = false;
/** Host order. */
export let ftpPort: u32 = 0;
/** The address in the message (4 or 16 bytes), where it stands in the payload and how long it is; EPSV has none: 0 long. */
export const FTP_ADDRESS: usize = memory.data(16, 16);
export let ftpAddressAt: u32 = 0;
export let ftpAddressSize: u32 = 0;

/** A character of the message, in capitals; zero after its end. */
function capital(i: u32): u32 {
  const c = character(i);
  return c - 0x61 < 26 ? c - 0x20 : c;
}

function character(i: u32): u32 {
  return i < MESSAGE_MAX ? (load<u8>(MESSAGE + (i as usize)) as u32) : 0;
}

function isAt(start: u32, text: usize, size: u32): bool {
  for (let i: u32 = 0; i < size; i++) {
    if (capital(start + i) != (load<u8>(text + (i as usize)) as u32)) return false;
  }
  return true;
}

/** Copies the message of the TCP frame in PKT, whose header has been found good; returns how long its header is. */
function copyMessage(): u32 {
  memory.fill(MESSAGE, 0, MESSAGE_MAX as usize);
  const l4: usize = (load<u32>(PKT, PKT_PTR) as usize) + (load<u32>(PKT, PKT_L4) as usize);
  const header = ((load<u8>(l4, 12) >> 4) as u32) << 2;
  const payload = transportSize() - header;
  if (payload == 0) return header;
  const present = transportPresent() - min(header, transportPresent());
  const size = min(min(payload, MESSAGE_MAX) - 1, present);
  for (let i: u32 = 0; i < size; i++) {
    const c = load<u8>(l4 + ((header + i) as usize));
    if (c == 0) break;
    store<u8>(MESSAGE + (i as usize), c);
  }
  return header;
}

/** Reads the TCP frame in PKT: FTP_*. */
export function readFtp(six: bool): u32 {
  copyMessage();
  if (six) {
    if (isAt(0, EPRT, 4)) return readEprt();
    for (let i: u32 = 0; i + EPSV_SIZE <= MESSAGE_MAX && character(i) != 0; i++) {
      if (isAt(i, EPSV, EPSV_SIZE)) return readEpsv();
    }
    return FTP_OTHER;
  }
  if (isAt(0, PORT, 4)) return readPort(4, true);
  if (isAt(0, PASV, 3)) return readPort(3, false);
  return FTP_OTHER;
}

function skipNonDigits(i: u32): u32 {
  while (character(i) != 0 && !isDigit(character(i))) i++;
  return i;
}

/** Where readNumber() ended. */
let numberEnd: u32 = 0;

/** A number of at most `digitsMax` digits (the rest is left) and at most `valueMax`; -1 for anything else. */
function readNumber(i: u32, digitsMax: u32, valueMax: u32): i32 {
  const start = i;
  let value: u32 = 0;
  while (isDigit(character(i)) && i - start < digitsMax) {
    value = value * 10 + (character(i) - 0x30);
    if (value > 0xffffff) value = 0xffffff; // too large in any case
    i++;
  }
  numberEnd = i;
  return i == start || value > valueMax ? -1 : (value as i32);
}

/** `h1,h2,h3,h4,p1,p2` somewhere after a space that follows the first `i` characters. */
function readPort(i: u32, active: bool): u32 {
  while (character(i) != SPACE) {
    if (character(i) == 0) return FTP_INVALID;
    i++;
  }
  i = skipNonDigits(i);
  const start = i;
  for (let commas = 0; commas < 4; i++) {
    if (character(i) == 0) return FTP_INVALID;
    if (character(i) == COMMA) commas++;
  }
  if (!readIpv4(MESSAGE + (start as usize), i - 1 - start, COMMA, FTP_ADDRESS)) return FTP_INVALID;
  const high = readNumber(i, 4, 255);
  if (high < 0) return FTP_INVALID;
  // Whatever stands between the two.
  const low = readNumber(numberEnd + 1, MESSAGE_MAX, 255);
  if (low < 0) return FTP_INVALID;
  ftpActive = active;
  ftpPort = ((high << 8) | low) as u32;
  ftpAddressAt = start;
  ftpAddressSize = i - 1 - start;
  return FTP_ANNOUNCES;
}

/** `|2|address|port|`, with any delimiter. */
function readEprt(): u32 {
  let i = skipNonDigits(4);
  if (character(i) != FAMILY_IPV6 || isDigit(character(i + 1))) return FTP_INVALID;
  i += 2;
  const start = i;
  while (hexDigit(character(i)) < 16 || character(i) == COLON || character(i) == DOT) i++;
  if (start > MESSAGE_MAX || !readIpv6(MESSAGE + (start as usize), i - start, FTP_ADDRESS))
    return FTP_INVALID;
  const port = readNumber(i + 1, 6, 65535);
  if (port < 0) return FTP_INVALID;
  ftpActive = true;
  ftpPort = port as u32;
  ftpAddressAt = start;
  ftpAddressSize = i - start;
  return FTP_ANNOUNCES;
}

/** `(|||port|)` somewhere. */
function readEpsv(): u32 {
  let i: u32 = 0;
  while (character(i) != 0 && character(i) != PARENTHESIS) i++;
  const port = readNumber(skipNonDigits(i), 6, 65535);
  if (port < 0) return FTP_INVALID;
  ftpActive = false;
  ftpPort = port as u32;
  ftpAddressAt = 0;
  ftpAddressSize = 0;
  return FTP_ANNOUNCES;
}
