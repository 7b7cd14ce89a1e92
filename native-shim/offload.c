/* Checksums and segments of frames that senders leave to the device: see offload.h. */
#include "offload.h"

#include <string.h>

enum { ETHERNET = 14, TAG = 4, IPV4 = 20, IPV6 = 40, TCP = 20, UDP = 8 };
enum { PROTO_TCP = 6, PROTO_UDP = 17 };
enum { TCP_CHECKSUM = 16, UDP_CHECKSUM = 6, SCTP_CHECKSUM = 8, TCP_FLAGS = 13, TCP_CWR = 0x80 };

static uint32_t be16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static void put_be16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

/* The sum of 16-bit words (RFC 1071) in the machine's order, not folded; an odd byte counts as the first of a word. */
static uint64_t sum_bytes(const uint8_t *at, uint32_t length) {
  uint64_t sum = 0;
  uint32_t word;
  /* 32-bit words in 64 bits: 65,535 bytes cannot overflow, and compilers make vectors of it. */
  for (; length >= 4; at += 4, length -= 4) {
    memcpy(&word, at, 4);
    sum += word;
  }
  word = 0;
  memcpy(&word, at, length);
  return sum + word;
}

/* Folded to 16 bits, in network order as a number. */
static uint32_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  uint16_t folded = (uint16_t)sum;
  return be16((const uint8_t *)&folded);
}

/* CRC32c (RFC 9260, appendix A), for SCTP: rare, so bit by bit. */
static uint32_t crc32c(const uint8_t *at, uint32_t length) {
  uint32_t crc = 0xffffffff;
  while (length-- > 0) {
    crc ^= *at++;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

uint32_t offload_receive(const struct virtio_net_hdr *header, uint32_t shift, uint8_t *frame, uint32_t length) {
  uint32_t start = header->csum_start + shift;
  uint8_t *field = frame + start + header->csum_offset;
  if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
    if (header->csum_offset == SCTP_CHECKSUM && start + 12 <= length) {
      memset(field, 0, 4);
      uint32_t crc = crc32c(frame + start, length - start);
      for (int i = 0; i < 4; i++) field[i] = (uint8_t)(crc >> 8 * i);
    } else if (start + header->csum_offset + 2 <= length) {
      /* The field holds the pseudo header's sum already. */
      uint32_t checksum = fold(sum_bytes(frame + start, length - start)) ^ 0xffff;
      put_be16(field, checksum == 0 && header->csum_offset == UDP_CHECKSUM ? 0xffff : checksum);
    }
  }
  return header->gso_type == VIRTIO_NET_HDR_GSO_NONE ? 0 : header->gso_size;
}

/* The headers of a frame that may be cut into segments. */
struct headers {
  uint32_t transport;
  uint32_t payload;
  uint32_t checksum; /* offset in the transport header */
  uint32_t pseudo;   /* sum of the pseudo header */
  uint8_t gso_type;
};

static bool find_headers(const uint8_t *frame, uint32_t length, struct headers *found) {
  uint32_t at = ETHERNET;
  if (length < ETHERNET) return false;
  uint32_t type = be16(frame + 12);
  while ((type == 0x8100 || type == 0x88a8) && at + TAG <= length) {
    type = be16(frame + at + 2);
    at += TAG;
  }
  uint64_t pseudo;
  uint32_t proto;
  const uint8_t *ip = frame + at;
  bool six = type == 0x86dd;
  if (six) {
    if (at + IPV6 > length || at + IPV6 + be16(ip + 4) != length) return false;
    proto = ip[6];
    at += IPV6;
    pseudo = sum_bytes(ip + 8, 32);
  } else {
    /* Neither padding nor fragments: a sender that leaves segments to the device has none. */
    if (type != 0x0800 || at + IPV4 > length || at + be16(ip + 2) != length || (be16(ip + 6) & 0x3fff) != 0) return false;
    proto = ip[9];
    at += (ip[0] & 15u) * 4;
    pseudo = sum_bytes(ip + 12, 8);
  }
  bool tcp = proto == PROTO_TCP;
  if ((!tcp && proto != PROTO_UDP) || at + (tcp ? TCP : UDP) > length) return false;
  found->transport = at;
  found->checksum = tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
  found->payload = at + (tcp ? (uint32_t)(frame[at + 12] >> 4) * 4 : UDP);
  if (found->payload > length) return false;
  uint8_t tail[4] = {0, (uint8_t)proto};
  put_be16(tail + 2, length - at);
  found->pseudo = fold(pseudo + sum_bytes(tail, 4));
  found->gso_type = tcp ? (six ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4) : 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 */;
  if (tcp && frame[at + TCP_FLAGS] & TCP_CWR) found->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
  return true;
}

bool offload_send(struct offload_frame *out, uint8_t *frame, uint32_t length, uint32_t segment) {
  memset(&out->header, 0, sizeof out->header);
  out->vectors[0] = (struct iovec){&out->header, sizeof out->header};
  struct headers found;
  if (segment != 0) {
    if (!find_headers(frame, length, &found)) return false;
    /* It has become one segment: its checksum is complete. */
    if (length - found.payload <= segment) segment = 0;
  }
  if (segment == 0) {
    out->vectors[1] = (struct iovec){frame, length};
    out->vector_count = 2;
    return true;
  }
  uint32_t field = found.transport + found.checksum;
  out->header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  out->header.gso_type = found.gso_type;
  out->header.hdr_len = (uint16_t)found.payload;
  out->header.gso_size = (uint16_t)segment;
  out->header.csum_start = (uint16_t)found.transport;
  out->header.csum_offset = (uint16_t)found.checksum;
  put_be16(out->checksum, found.pseudo);
  out->vectors[1] = (struct iovec){frame, field};
  out->vectors[2] = (struct iovec){out->checksum, 2};
  out->vectors[3] = (struct iovec){frame + field + 2, length - field - 2};
  out->vector_count = OFFLOAD_VECTORS;
  return true;
}
