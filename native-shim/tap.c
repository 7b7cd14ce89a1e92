/* TAP devices: Documentation/networking/tuntap.rst in the kernel's tree.
 *
 * A device in another network namespace is made by entering that namespace for the moment of the two system calls: the open device
 * belongs to the namespace from then on, whoever reads it. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Opens and names the device; the file descriptor, or -1 with errno. `request` holds the name, and afterwards the name given. */
static int open_device(struct ifreq *request) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  request->ifr_flags = IFF_TAP | IFF_NO_PI;
  if (ioctl(fd, TUNSETIFF, request) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* As open_device, inside the namespace at `path`. The thread is always back in its own when this returns. */
static int open_device_in(const char *path, struct ifreq *request) {
  int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -1;
  int fd = -1;
  int error = 0;
  int other = open(path, O_RDONLY | O_CLOEXEC);
  if (other < 0 || setns(other, CLONE_NEWNET) != 0) {
    error = errno;
  } else {
    fd = open_device(request);
    error = errno;
    /* A process that stays in the wrong namespace would attach everything to it from now on. */
    if (setns(own, CLONE_NEWNET) != 0) abort();
  }
  if (other >= 0) close(other);
  close(own);
  errno = error;
  return fd;
}

napi_value shim_open_tap(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  if (!shim_arguments(env, info, 2, arguments)) return NULL;

  struct ifreq request;
  memset(&request, 0, sizeof request);
  char name[256];
  size_t size;
  if (napi_get_value_string_utf8(env, arguments[0], name, sizeof name, &size) != napi_ok) {
    napi_throw_type_error(env, NULL, "wanted a device name");
    return NULL;
  }
  if (size >= IFNAMSIZ) {
    napi_throw_range_error(env, "ENAMETOOLONG", "a device name has at most 15 bytes");
    return NULL;
  }
  memcpy(request.ifr_name, name, size);

  char netns[512];
  napi_valuetype type;
  napi_typeof(env, arguments[1], &type);
  bool elsewhere = type == napi_string;
  if (elsewhere) napi_get_value_string_utf8(env, arguments[1], netns, sizeof netns, &size);

  int fd = elsewhere ? open_device_in(netns, &request) : open_device(&request);
  if (fd < 0) {
    char what[800];
    int error = errno;
    snprintf(what, sizeof what, "TAP device %s%s%s", name, elsewhere ? " in " : "", elsewhere ? netns : "");
    return shim_throw_errno(env, what, error);
  }

  napi_value result, value;
  napi_create_object(env, &result);
  napi_create_int32(env, fd, &value);
  napi_set_named_property(env, result, "fd", value);
  napi_create_string_utf8(env, request.ifr_name, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, result, "name", value);
  return result;
}
