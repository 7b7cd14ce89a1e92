/* Frames between a TAP device and memory, up to FRAMES_MAX a call: a call into C costs about 100 ns, a read() about 1 µs. */
#include "shim.h"

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

static napi_value number(napi_env env, uint32_t value) {
  napi_value result;
  napi_create_uint32(env, value, &result);
  return result;
}

/* The frame's slot takes `slot_size` bytes; frame i lies at offset + i * slot_size, its length in lengths[i]. */
napi_value shim_read_frames(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  uint32_t fd, offset, slot_size;
  uint8_t *memory;
  uint32_t *lengths;
  size_t size, slots;
  if (!shim_arguments(env, info, 5, arguments) || !shim_u32(env, arguments[0], &fd) ||
      !shim_bytes(env, arguments[1], napi_uint8_array, (void **)&memory, &size) ||
      !shim_u32(env, arguments[2], &offset) || !shim_u32(env, arguments[3], &slot_size) ||
      !shim_bytes(env, arguments[4], napi_uint32_array, (void **)&lengths, &slots)) {
    return NULL;
  }
  if (slots > FRAMES_MAX) slots = FRAMES_MAX;
  if (offset + (uint64_t)slots * slot_size > size) {
    napi_throw_range_error(env, NULL, "the slots end after the memory");
    return NULL;
  }
  uint32_t count = 0;
  while (count < slots) {
    ssize_t length = read((int)fd, memory + offset + (size_t)count * slot_size, slot_size);
    if (length < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || count > 0) break;
      return shim_throw_errno(env, "read", errno);
    }
    lengths[count++] = (uint32_t)length;
  }
  return number(env, count);
}

/* Stops at the first frame that the device does not take now; what the device refuses for good (EINVAL: too short) is left out. */
napi_value shim_write_frames(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  uint32_t fd, count;
  uint8_t *memory;
  uint32_t *offsets, *lengths;
  size_t size, offset_count, length_count;
  if (!shim_arguments(env, info, 5, arguments) || !shim_u32(env, arguments[0], &fd) ||
      !shim_bytes(env, arguments[1], napi_uint8_array, (void **)&memory, &size) ||
      !shim_bytes(env, arguments[2], napi_uint32_array, (void **)&offsets, &offset_count) ||
      !shim_bytes(env, arguments[3], napi_uint32_array, (void **)&lengths, &length_count) ||
      !shim_u32(env, arguments[4], &count)) {
    return NULL;
  }
  if (count > FRAMES_MAX) count = FRAMES_MAX;
  if (count > offset_count || count > length_count) {
    napi_throw_range_error(env, NULL, "fewer offsets or lengths than frames");
    return NULL;
  }
  for (uint32_t i = 0; i < count; i++) {
    if ((uint64_t)offsets[i] + lengths[i] > size) {
      napi_throw_range_error(env, NULL, "a frame ends after the memory");
      return NULL;
    }
  }
  uint32_t done = 0;
  while (done < count) {
    ssize_t written = write((int)fd, memory + offsets[done], lengths[done]);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno != EINVAL) {
      if (errno == EAGAIN || errno == ENOBUFS || done > 0) break;
      return shim_throw_errno(env, "write", errno);
    }
    done++;
  }
  return number(env, done);
}
