/* TAP devices (Documentation/networking/tuntap.rst in the kernel's tree), packet sockets (packet(7)) and what an interface is like
 * (netdevice(7)). */
#include "netns.h"
#include "shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23 /* since Linux 4.20 */
#endif

/* What a packet socket keeps for a reader that is late: some hundreds of the longest frames. */
enum { RECEIVE_BYTES = 16 << 20 };

/* What is to be opened, and what was. */
struct opening {
  struct ifreq request; /* the name; afterwards the name given */
  char netns[512];
  bool elsewhere;
  bool many; /* of a TAP: one queue of several, which the interface gets by being opened as often */
  int control; /* a socket of the interface's namespace, to ask after it */
  int index;
};

static int close_both(int fd, int other) {
  int error = errno;
  if (fd >= 0) close(fd);
  if (other >= 0) close(other);
  errno = error;
  return -1;
}

static int open_tap(void *argument) {
  struct opening *opening = argument;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  opening->request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (opening->many ? IFF_MULTI_QUEUE : 0);
  if (ioctl(fd, TUNSETIFF, &opening->request) != 0) return close_both(fd, -1);
  /* Senders may leave checksums and TCP segments to us. A kernel that does not know this sends finished frames. */
  ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
  opening->control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return opening->control < 0 ? close_both(fd, -1) : fd;
}

static int open_packet(void *argument) {
  struct opening *opening = argument;
  /* Protocol 0: nothing is received before the socket is bound to its interface. */
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int one = 1;
  int bytes = RECEIVE_BYTES;
  if (ioctl(fd, SIOCGIFINDEX, &opening->request) != 0) return close_both(fd, -1);
  opening->index = opening->request.ifr_ifindex;
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = opening->index};
  struct packet_mreq promiscuous = {.mr_ifindex = opening->index, .mr_type = PACKET_MR_PROMISC};
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) != 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    return close_both(fd, -1);
  }
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  return fd;
}

/* An interface's name from JavaScript; false after throwing. */
static bool take_name(napi_env env, napi_value value, struct ifreq *request) {
  char name[256];
  size_t size;
  memset(request, 0, sizeof *request);
  if (napi_get_value_string_utf8(env, value, name, sizeof name, &size) != napi_ok) {
    napi_throw_type_error(env, NULL, "wanted a device name");
    return false;
  }
  if (size >= IFNAMSIZ) {
    napi_throw_range_error(env, "ENAMETOOLONG", "a device name has at most 15 bytes");
    return false;
  }
  memcpy(request->ifr_name, name, size);
  return true;
}

static void set_int(napi_env env, napi_value object, const char *name, int number) {
  napi_value value;
  napi_create_int32(env, number, &value);
  napi_set_named_property(env, object, name, value);
}

static napi_value open_with(napi_env env, napi_callback_info info, int (*work)(void *), const char *what) {
  bool is_tap = work == open_tap;
  napi_value arguments[3];
  struct opening opening = {.control = -1, .index = 0};
  if (!shim_arguments(env, info, is_tap ? 3 : 2, arguments) || !take_name(env, arguments[0], &opening.request)) return NULL;
  if (is_tap && napi_get_value_bool(env, arguments[2], &opening.many) != napi_ok) {
    napi_throw_type_error(env, NULL, "wanted true or false");
    return NULL;
  }
  char name[IFNAMSIZ];
  memcpy(name, opening.request.ifr_name, sizeof name);
  size_t size;
  napi_valuetype type;
  napi_typeof(env, arguments[1], &type);
  opening.elsewhere = type == napi_string;
  if (opening.elsewhere) napi_get_value_string_utf8(env, arguments[1], opening.netns, sizeof opening.netns, &size);

  int fd = netns_call(opening.elsewhere ? opening.netns : NULL, work, &opening);
  if (fd < 0) {
    char words[800];
    int error = errno;
    snprintf(words, sizeof words, "%s %s%s%s", what, name, opening.elsewhere ? " in " : "", opening.elsewhere ? opening.netns : "");
    return shim_throw_errno(env, words, error);
  }
  napi_value result, value;
  napi_create_object(env, &result);
  set_int(env, result, "fd", fd);
  set_int(env, result, "control", opening.control < 0 ? fd : opening.control);
  set_int(env, result, "index", opening.index);
  napi_create_string_utf8(env, is_tap ? opening.request.ifr_name : name, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, result, "name", value);
  return result;
}

napi_value shim_open_tap(napi_env env, napi_callback_info info) { return open_with(env, info, open_tap, "TAP device"); }

napi_value shim_open_packet(napi_env env, napi_callback_info info) {
  return open_with(env, info, open_packet, "interface");
}

napi_value shim_link(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result;
  uint32_t fd;
  struct ifreq index;
  if (!shim_arguments(env, info, 2, arguments) || !shim_u32(env, arguments[0], &fd) ||
      !take_name(env, arguments[1], &index)) {
    return NULL;
  }
  struct ifreq flags = index;
  struct ifreq mtu = index;
  if (ioctl((int)fd, SIOCGIFINDEX, &index) != 0 || ioctl((int)fd, SIOCGIFFLAGS, &flags) != 0 ||
      ioctl((int)fd, SIOCGIFMTU, &mtu) != 0) {
    napi_get_null(env, &result);
    return result;
  }
  napi_create_object(env, &result);
  set_int(env, result, "index", index.ifr_ifindex);
  set_int(env, result, "mtu", mtu.ifr_mtu);
  napi_value up;
  int wanted = IFF_UP | IFF_RUNNING;
  napi_get_boolean(env, (flags.ifr_flags & wanted) == wanted, &up);
  napi_set_named_property(env, result, "up", up);
  return result;
}

napi_value shim_set_mtu(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result;
  uint32_t fd, mtu;
  struct ifreq request;
  if (!shim_arguments(env, info, 3, arguments) || !shim_u32(env, arguments[0], &fd) ||
      !take_name(env, arguments[1], &request) || !shim_u32(env, arguments[2], &mtu)) {
    return NULL;
  }
  request.ifr_mtu = (int)mtu;
  if (ioctl((int)fd, SIOCSIFMTU, &request) != 0) return shim_throw_errno(env, request.ifr_name, errno);
  napi_get_undefined(env, &result);
  return result;
}
