// Ethernet, IPv4 and IPv6 addresses, as text and as bytes.

/** Six bytes from `aa:bb:cc:dd:ee:ff`. Throws RangeError when it is not one. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text))
    throw new RangeError(`${text}: not an Ethernet address`);
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

/** `aa:bb:cc:dd:ee:ff` of the six bytes at `at`. */
export function formatMac(b: Uint8Array, at = 0): string {
  return `${HEX[b[at]!]}:${HEX[b[at + 1]!]}:${HEX[b[at + 2]!]}:${HEX[b[at + 3]!]}:${HEX[b[at + 4]!]}:${HEX[b[at + 5]!]}`;
}

/** Four bytes from dotted decimal. Throws RangeError when it is not one. */
export function parseIpv4(text: string): Uint8Array {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) {
    throw new RangeError(`${text}: not an IPv4 address`);
  }
  return Uint8Array.from(parts, Number);
}

/** `a.b.c.d` of the four bytes at `at`. */
export function formatIpv4(bytes: Uint8Array, at = 0): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** Sixteen bytes from RFC 4291 text (2.2: `::` and a dotted tail are understood). Throws RangeError when it is not one. */
export function parseIpv6(text: string): Uint8Array {
  const bad = () => new RangeError(`${text}: not an IPv6 address`);
  const halves = text.split("::");
  if (halves.length > 2) throw bad();
  const groups = halves.map((half, h) => {
    const out: number[] = [];
    const parts = half === "" ? [] : half.split(":");
    parts.forEach((part, i) => {
      if (part.includes(".") && h === halves.length - 1 && i === parts.length - 1) {
        const tail = parseIpv4(part);
        out.push((tail[0]! << 8) | tail[1]!, (tail[2]! << 8) | tail[3]!);
      } else if (/^[0-9a-f]{1,4}$/i.test(part)) {
        out.push(Number.parseInt(part, 16));
      } else {
        throw bad();
      }
    });
    return out;
  });
  const known = groups.reduce((count, half) => count + half.length, 0);
  if (halves.length === 1 ? known !== 8 : known > 7) throw bad();
  const all = [...groups[0]!, ...new Array<number>(8 - known).fill(0), ...(groups[1] ?? [])];
  return Uint8Array.from(all.flatMap((group) => [group >>> 8, group & 0xff]));
}

/** The text that inet_ntop(3) gives: lower case, the longest run of two or more zero groups as `::`. */
export function formatIpv6(bytes: Uint8Array, at = 0): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[at + i]! << 8) | bytes[at + i + 1]!);
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
    if (end > i) i = end;
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (start < 0) return hex(groups);
  // Addresses that hold an IPv4 address (::a.b.c.d and ::ffff:a.b.c.d) end in dotted decimal.
  if (start === 0 && (length === 6 || (length === 5 && groups[5] === 0xffff))) {
    return `::${length === 5 ? "ffff:" : ""}${formatIpv4(bytes, at + 12)}`;
  }
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** Four or sixteen bytes, by whether the text has a colon. */
export function parseIp(text: string): Uint8Array {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}
