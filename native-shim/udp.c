/* UDP sockets with what Node's leave out: of a datagram that came, the address it was sent to, its TOS and TTL; for one that is to go,
 * source address, TOS and TTL of its own (ip(7), ipv6(7): PKTINFO, TOS, TTL as ancillary data), DF and no checksum.
 *
 * Addresses are 16 bytes, those of IPv4 mapped into IPv6. What is said of a datagram takes OUTER_SIZE bytes:
 *   0 source 16 | 16 destination 16 | 32 the peer's port 16, network order | 34 TOS 8 | 35 TTL 8 */
#include "shim.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS_SIZE 16
#define OUTER_SIZE 36
#define OUTER_DST 16
#define OUTER_PORT 32
#define OUTER_TOS 34
#define OUTER_TTL 35
#define BUFFER_SIZE (4 << 20)

#define FLAG_V6 1
#define FLAG_DF 2
#define FLAG_CHECKSUM 4
#define FLAG_SEND_ONLY 8

/* Room for any of the three pieces of ancillary data, of either family. */
#define CONTROL_SIZE (CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)))

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_any(const uint8_t *address) {
  static const uint8_t zero[ADDRESS_SIZE];
  return memcmp(address, zero, ADDRESS_SIZE) == 0;
}

static void put_mapped(uint8_t *to, const struct in_addr *address) {
  memcpy(to, mapped_prefix, sizeof mapped_prefix);
  memcpy(to + sizeof mapped_prefix, address, 4);
}

static socklen_t socket_address(bool v6, const uint8_t *address, uint16_t port_be, struct sockaddr_storage *to) {
  memset(to, 0, sizeof *to);
  if (v6) {
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = port_be;
    memcpy(&in6->sin6_addr, address, ADDRESS_SIZE);
    return sizeof *in6;
  }
  struct sockaddr_in *in = (struct sockaddr_in *)to;
  in->sin_family = AF_INET;
  in->sin_port = port_be;
  memcpy(&in->sin_addr, address + sizeof mapped_prefix, 4);
  return sizeof *in;
}

static int set_int(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value);
}

/* 0, or -1 with errno. */
static int configure(int fd, uint32_t flags) {
  bool v6 = (flags & FLAG_V6) != 0;
  int discover = (flags & FLAG_DF) != 0 ? (v6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO) : (v6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_DONT);
  int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (v6 && set_int(fd, level, IPV6_V6ONLY, 1) != 0) return -1;
  if (set_int(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, discover) != 0) return -1;
  /* A local address may come later than the switch. */
  if (set_int(fd, IPPROTO_IP, IP_FREEBIND, 1) != 0) return -1;
  if ((flags & FLAG_CHECKSUM) == 0) {
    if (v6 ? set_int(fd, IPPROTO_UDP, UDP_NO_CHECK6_TX, 1) != 0 : set_int(fd, SOL_SOCKET, SO_NO_CHECK, 1) != 0) return -1;
  }
  if ((flags & FLAG_SEND_ONLY) != 0) return set_int(fd, SOL_SOCKET, SO_RCVBUF, 0);
  if (v6 && set_int(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1) != 0) return -1;
  if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_SIZE) != 0 && set_int(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_SIZE) != 0) return -1;
  if (set_int(fd, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1) != 0) return -1;
  if (set_int(fd, level, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, 1) != 0) return -1;
  return set_int(fd, level, v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 1);
}

napi_value shim_open_udp(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result;
  uint8_t *address;
  size_t size;
  uint32_t port, flags;
  if (!shim_arguments(env, info, 3, arguments) || !shim_bytes(env, arguments[0], napi_uint8_array, (void **)&address, &size) ||
      !shim_u32(env, arguments[1], &port) || !shim_u32(env, arguments[2], &flags)) {
    return NULL;
  }
  if (size != ADDRESS_SIZE || port > UINT16_MAX) {
    napi_throw_range_error(env, NULL, "wanted an address of 16 bytes and a port");
    return NULL;
  }
  bool v6 = (flags & FLAG_V6) != 0;
  int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return shim_throw_errno(env, "UDP socket", errno);
  struct sockaddr_storage name;
  socklen_t name_size = socket_address(v6, address, htons((uint16_t)port), &name);
  if (configure(fd, flags) != 0 || bind(fd, (struct sockaddr *)&name, name_size) != 0) {
    int error = errno;
    close(fd);
    return shim_throw_errno(env, "UDP socket", error);
  }
  napi_create_int32(env, fd, &result);
  return result;
}

/* Puts what the ancillary data says into `outer`, whose source and port are there. */
static void take_control(struct msghdr *message, uint8_t *outer) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    const uint8_t *data = CMSG_DATA(c);
    int number;
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      put_mapped(outer + OUTER_DST, &((const struct in_pktinfo *)data)->ipi_addr);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
      outer[OUTER_TOS] = *data;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) {
      memcpy(&number, data, sizeof number);
      outer[OUTER_TTL] = (uint8_t)number;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      memcpy(outer + OUTER_DST, &((const struct in6_pktinfo *)data)->ipi6_addr, ADDRESS_SIZE);
    } else if (c->cmsg_level == IPPROTO_IPV6 && (c->cmsg_type == IPV6_TCLASS || c->cmsg_type == IPV6_HOPLIMIT)) {
      memcpy(&number, data, sizeof number);
      outer[c->cmsg_type == IPV6_TCLASS ? OUTER_TOS : OUTER_TTL] = (uint8_t)number;
    }
  }
}

static void take_source(const struct sockaddr_storage *name, uint8_t *outer) {
  if (name->ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)name;
    memcpy(outer, &in6->sin6_addr, ADDRESS_SIZE);
    memcpy(outer + OUTER_PORT, &in6->sin6_port, 2);
  } else {
    const struct sockaddr_in *in = (const struct sockaddr_in *)name;
    put_mapped(outer, &in->sin_addr);
    memcpy(outer + OUTER_PORT, &in->sin_port, 2);
  }
}

napi_value shim_receive_datagrams(napi_env env, napi_callback_info info) {
  napi_value arguments[5], result;
  uint32_t fd, slot_size;
  uint8_t *memory, *outer;
  uint32_t *lengths;
  size_t size, slots, outer_size;
  if (!shim_arguments(env, info, 5, arguments) || !shim_u32(env, arguments[0], &fd) ||
      !shim_bytes(env, arguments[1], napi_uint8_array, (void **)&memory, &size) || !shim_u32(env, arguments[2], &slot_size) ||
      !shim_bytes(env, arguments[3], napi_uint32_array, (void **)&lengths, &slots) ||
      !shim_bytes(env, arguments[4], napi_uint8_array, (void **)&outer, &outer_size)) {
    return NULL;
  }
  if (slots > FRAMES_MAX) slots = FRAMES_MAX;
  if ((uint64_t)slots * slot_size > size || slots * OUTER_SIZE > outer_size) {
    napi_throw_range_error(env, NULL, "the slots end after the memory");
    return NULL;
  }
  struct mmsghdr messages[FRAMES_MAX];
  struct iovec parts[FRAMES_MAX];
  struct sockaddr_storage names[FRAMES_MAX];
  _Alignas(struct cmsghdr) uint8_t controls[FRAMES_MAX][CONTROL_SIZE];
  for (size_t i = 0; i < slots; i++) {
    parts[i] = (struct iovec){.iov_base = memory + i * slot_size, .iov_len = slot_size};
    messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                                          .msg_namelen = sizeof names[i],
                                          .msg_iov = &parts[i],
                                          .msg_iovlen = 1,
                                          .msg_control = controls[i],
                                          .msg_controllen = CONTROL_SIZE};
  }
  int count;
  do {
    count = recvmmsg((int)fd, messages, (unsigned)slots, MSG_DONTWAIT, NULL);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    if (errno != EAGAIN) return shim_throw_errno(env, "receive", errno);
    count = 0;
  }
  memset(outer, 0, (size_t)count * OUTER_SIZE);
  for (int i = 0; i < count; i++) {
    lengths[i] = messages[i].msg_len;
    take_source(&names[i], outer + (size_t)i * OUTER_SIZE);
    take_control(&messages[i].msg_hdr, outer + (size_t)i * OUTER_SIZE);
  }
  napi_create_int32(env, count, &result);
  return result;
}

static void add_control(struct msghdr *message, int level, int type, const void *data, size_t size) {
  struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)message->msg_control + message->msg_controllen);
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(c), data, size);
  message->msg_controllen += CMSG_SPACE(size);
}

/* A source of zero is the system's choice, as is a TTL of 0. */
napi_value shim_send_datagram(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result;
  uint32_t fd;
  uint8_t *payload, *outer;
  size_t size, outer_size;
  if (!shim_arguments(env, info, 3, arguments) || !shim_u32(env, arguments[0], &fd) ||
      !shim_bytes(env, arguments[1], napi_uint8_array, (void **)&payload, &size) ||
      !shim_bytes(env, arguments[2], napi_uint8_array, (void **)&outer, &outer_size)) {
    return NULL;
  }
  if (outer_size != OUTER_SIZE) {
    napi_throw_range_error(env, NULL, "wanted the 36 bytes of an outer header");
    return NULL;
  }
  bool v6 = memcmp(outer + OUTER_DST, mapped_prefix, sizeof mapped_prefix) != 0;
  uint16_t port_be;
  memcpy(&port_be, outer + OUTER_PORT, 2);
  struct sockaddr_storage name;
  _Alignas(struct cmsghdr) uint8_t control[CONTROL_SIZE];
  memset(control, 0, sizeof control);
  struct iovec part = {.iov_base = payload, .iov_len = size};
  struct msghdr message = {.msg_name = &name, .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 0};
  message.msg_namelen = socket_address(v6, outer + OUTER_DST, port_be, &name);
  int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  int tos = outer[OUTER_TOS];
  int ttl = outer[OUTER_TTL];
  add_control(&message, level, v6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof tos);
  if (ttl != 0) add_control(&message, level, v6 ? IPV6_HOPLIMIT : IP_TTL, &ttl, sizeof ttl);
  if (!is_any(outer)) {
    struct in6_pktinfo info6 = {.ipi6_ifindex = 0};
    struct in_pktinfo info4 = {.ipi_ifindex = 0};
    memcpy(&info6.ipi6_addr, outer, ADDRESS_SIZE);
    memcpy(&info4.ipi_spec_dst, outer + sizeof mapped_prefix, 4);
    if (v6) add_control(&message, level, IPV6_PKTINFO, &info6, sizeof info6);
    else add_control(&message, level, IP_PKTINFO, &info4, sizeof info4);
  }
  ssize_t sent;
  do {
    sent = sendmsg((int)fd, &message, MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && (errno == EBADF || errno == EFAULT || errno == ENOTSOCK)) return shim_throw_errno(env, "send", errno);
  napi_get_boolean(env, sent >= 0, &result);
  return result;
}
