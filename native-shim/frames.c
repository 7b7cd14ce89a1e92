/* Frames between a device and memory, up to FRAMES_MAX a call: a call into C costs about 100 ns, a read() about 1 µs. */
#include "offload.h"
#include "shim.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* Tries after which frames that the system cannot describe (EINVAL: unknown kinds of segments) have to wait for the next call. */
enum { REFUSED_MAX = 64, TAG = 4, ADDRESSES = 12 };

static napi_value number(napi_env env, uint32_t value) {
  napi_value result;
  napi_create_uint32(env, value, &result);
  return result;
}

/* The arguments of readFrames and readPackets. Frame i has `slot_size` bytes at memory + i * slot_size. */
struct slots {
  int fd;
  uint8_t *memory;
  uint32_t slot_size;
  uint32_t count;
  uint32_t *lengths, *segments;
};

static bool take_slots(napi_env env, napi_callback_info info, struct slots *slots) {
  napi_value arguments[6];
  uint32_t fd, offset;
  size_t size, length_count, segment_count;
  if (!shim_arguments(env, info, 6, arguments) || !shim_u32(env, arguments[0], &fd) ||
      !shim_bytes(env, arguments[1], napi_uint8_array, (void **)&slots->memory, &size) ||
      !shim_u32(env, arguments[2], &offset) || !shim_u32(env, arguments[3], &slots->slot_size) ||
      !shim_bytes(env, arguments[4], napi_uint32_array, (void **)&slots->lengths, &length_count) ||
      !shim_bytes(env, arguments[5], napi_uint32_array, (void **)&slots->segments, &segment_count)) {
    return false;
  }
  if (length_count > FRAMES_MAX) length_count = FRAMES_MAX;
  if (offset + (uint64_t)length_count * slots->slot_size > size || segment_count < length_count) {
    napi_throw_range_error(env, NULL, "the slots end after the memory");
    return false;
  }
  slots->fd = (int)fd;
  slots->memory += offset;
  slots->count = (uint32_t)length_count;
  return true;
}

napi_value shim_read_frames(napi_env env, napi_callback_info info) {
  struct slots slots;
  if (!take_slots(env, info, &slots)) return NULL;
  uint32_t count = 0;
  while (count < slots.count) {
    struct virtio_net_hdr header;
    uint8_t *frame = slots.memory + (size_t)count * slots.slot_size;
    struct iovec vectors[] = {{&header, sizeof header}, {frame, slots.slot_size}};
    ssize_t got = readv(slots.fd, vectors, 2);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || count > 0) break;
      return shim_throw_errno(env, "read", errno);
    }
    if (got < (ssize_t)sizeof header) continue;
    uint32_t length = (uint32_t)got - sizeof header;
    slots.lengths[count] = length;
    slots.segments[count] = offload_receive(&header, 0, frame, length);
    count++;
  }
  return number(env, count);
}

/* The tag that the system took out of the frame, put back; 0 or the bytes that the frame has grown. */
static uint32_t restore_tag(struct msghdr *message, uint8_t *frame, uint32_t *length, uint32_t room) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA) continue;
    struct tpacket_auxdata auxiliary;
    memcpy(&auxiliary, CMSG_DATA(c), sizeof auxiliary);
    if (!(auxiliary.tp_status & TP_STATUS_VLAN_VALID) || *length < ADDRESSES || *length + TAG > room) return 0;
    uint32_t tpid = auxiliary.tp_status & TP_STATUS_VLAN_TPID_VALID ? auxiliary.tp_vlan_tpid : 0x8100;
    uint8_t *at = frame + ADDRESSES;
    memmove(at + TAG, at, *length - ADDRESSES);
    at[0] = (uint8_t)(tpid >> 8);
    at[1] = (uint8_t)tpid;
    at[2] = (uint8_t)(auxiliary.tp_vlan_tci >> 8);
    at[3] = (uint8_t)auxiliary.tp_vlan_tci;
    *length += TAG;
    return TAG;
  }
  return 0;
}

napi_value shim_read_packets(napi_env env, napi_callback_info info) {
  struct slots slots;
  if (!take_slots(env, info, &slots)) return NULL;
  struct mmsghdr messages[FRAMES_MAX];
  struct iovec vectors[FRAMES_MAX][2];
  struct virtio_net_hdr headers[FRAMES_MAX];
  _Alignas(struct cmsghdr) uint8_t control[FRAMES_MAX][CMSG_SPACE(sizeof(struct tpacket_auxdata))];
  memset(messages, 0, sizeof *messages * slots.count);
  for (uint32_t i = 0; i < slots.count; i++) {
    vectors[i][0] = (struct iovec){&headers[i], sizeof headers[i]};
    vectors[i][1] = (struct iovec){slots.memory + (size_t)i * slots.slot_size, slots.slot_size};
    messages[i].msg_hdr.msg_iov = vectors[i];
    messages[i].msg_hdr.msg_iovlen = 2;
    messages[i].msg_hdr.msg_control = control[i];
    messages[i].msg_hdr.msg_controllen = sizeof control[i];
  }
  int got = 0;
  for (int refused = 0; slots.count > 0; refused++) {
    got = recvmmsg(slots.fd, messages, slots.count, MSG_DONTWAIT, NULL);
    if (got >= 0) break;
    if (errno == EAGAIN || refused == REFUSED_MAX) return number(env, 0);
    if (errno != EINTR && errno != EINVAL) return shim_throw_errno(env, "recvmmsg", errno);
  }
  for (int i = 0; i < got; i++) {
    uint8_t *frame = slots.memory + (size_t)i * slots.slot_size;
    uint32_t length = messages[i].msg_len >= sizeof *headers ? messages[i].msg_len - sizeof *headers : 0;
    uint32_t shift = restore_tag(&messages[i].msg_hdr, frame, &length, slots.slot_size);
    slots.segments[i] = offload_receive(&headers[i], shift, frame, length);
    slots.lengths[i] = messages[i].msg_hdr.msg_flags & MSG_TRUNC ? slots.slot_size : length;
  }
  return number(env, (uint32_t)got);
}

/* The arguments of writeFrames and writePackets. */
struct outgoing {
  int fd;
  uint8_t *memory;
  uint32_t *offsets, *lengths, *segments;
  uint32_t count;
};

static bool take_outgoing(napi_env env, napi_callback_info info, struct outgoing *out) {
  napi_value arguments[6];
  uint32_t fd;
  size_t size, offset_count, length_count, segment_count;
  if (!shim_arguments(env, info, 6, arguments) || !shim_u32(env, arguments[0], &fd) ||
      !shim_bytes(env, arguments[1], napi_uint8_array, (void **)&out->memory, &size) ||
      !shim_bytes(env, arguments[2], napi_uint32_array, (void **)&out->offsets, &offset_count) ||
      !shim_bytes(env, arguments[3], napi_uint32_array, (void **)&out->lengths, &length_count) ||
      !shim_bytes(env, arguments[4], napi_uint32_array, (void **)&out->segments, &segment_count) ||
      !shim_u32(env, arguments[5], &out->count)) {
    return false;
  }
  out->fd = (int)fd;
  if (out->count > FRAMES_MAX) out->count = FRAMES_MAX;
  if (out->count > offset_count || out->count > length_count || out->count > segment_count) {
    napi_throw_range_error(env, NULL, "fewer offsets, lengths or segments than frames");
    return false;
  }
  for (uint32_t i = 0; i < out->count; i++) {
    if ((uint64_t)out->offsets[i] + out->lengths[i] > size) {
      napi_throw_range_error(env, NULL, "a frame ends after the memory");
      return false;
    }
  }
  return true;
}

/* Whether an error is about this one frame, not about the device. */
static bool is_frames(int error) { return error == EINVAL || error == EMSGSIZE; }

/* Whether a device takes nothing now: its queue is full, or (EIO, of a TAP) the interface is down. */
static bool is_full(int error) { return error == EAGAIN || error == ENOBUFS || error == EIO; }

napi_value shim_write_frames(napi_env env, napi_callback_info info) {
  struct outgoing out;
  if (!take_outgoing(env, info, &out)) return NULL;
  uint32_t sent = 0;
  for (uint32_t i = 0; i < out.count; i++) {
    struct offload_frame frame;
    if (!offload_send(&frame, out.memory + out.offsets[i], out.lengths[i], out.segments[i])) continue;
    ssize_t written;
    do written = writev(out.fd, frame.vectors, frame.vector_count);
    while (written < 0 && errno == EINTR);
    if (written >= 0) sent++;
    else if (!is_frames(errno)) {
      if (is_full(errno) || sent > 0) break;
      return shim_throw_errno(env, "write", errno);
    }
  }
  return number(env, sent);
}

napi_value shim_write_packets(napi_env env, napi_callback_info info) {
  struct outgoing out;
  if (!take_outgoing(env, info, &out)) return NULL;
  struct mmsghdr messages[FRAMES_MAX];
  struct offload_frame frames[FRAMES_MAX];
  uint32_t count = 0;
  memset(messages, 0, sizeof *messages * out.count);
  for (uint32_t i = 0; i < out.count; i++) {
    if (!offload_send(&frames[count], out.memory + out.offsets[i], out.lengths[i], out.segments[i])) continue;
    messages[count].msg_hdr.msg_iov = frames[count].vectors;
    messages[count].msg_hdr.msg_iovlen = (size_t)frames[count].vector_count;
    count++;
  }
  uint32_t sent = 0;
  for (uint32_t at = 0; at < count;) {
    int done = sendmmsg(out.fd, messages + at, count - at, MSG_DONTWAIT);
    if (done >= 0) {
      at += (uint32_t)done;
      sent += (uint32_t)done;
    } else if (is_frames(errno)) {
      at++;
    } else if (errno != EINTR) {
      if (is_full(errno) || sent > 0) break;
      return shim_throw_errno(env, "sendmmsg", errno);
    }
  }
  return number(env, sent);
}
