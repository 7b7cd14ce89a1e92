/* The module's table of functions, and how arguments are taken and errors thrown. */
#include "shim.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

bool shim_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) == napi_ok && given >= count) return true;
  napi_throw_type_error(env, NULL, "too few arguments");
  return false;
}

bool shim_bytes(napi_env env, napi_value value, napi_typedarray_type type, void **data, size_t *elements) {
  bool is_array = false;
  napi_typedarray_type found;
  if (napi_is_typedarray(env, value, &is_array) == napi_ok && is_array &&
      napi_get_typedarray_info(env, value, &found, elements, data, NULL, NULL) == napi_ok && found == type) {
    return true;
  }
  napi_throw_type_error(env, NULL, type == napi_uint8_array ? "wanted a Uint8Array" : "wanted a Uint32Array");
  return false;
}

bool shim_u32(napi_env env, napi_value value, uint32_t *result) {
  double number;
  if (napi_get_value_double(env, value, &number) == napi_ok && number >= 0 && number <= UINT32_MAX &&
      number == (double)(uint32_t)number) {
    *result = (uint32_t)number;
    return true;
  }
  napi_throw_range_error(env, NULL, "wanted an unsigned 32-bit number");
  return false;
}

napi_value shim_throw_errno(napi_env env, const char *what, int error) {
  char code[32];
  char message[1024];
  uv_err_name_r(-error, code, sizeof code);
  snprintf(message, sizeof message, "%s: %s", what, strerror(error));
  napi_throw_error(env, code, message);
  return NULL;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"openTap", NULL, shim_open_tap, NULL, NULL, NULL, napi_enumerable, NULL},
      {"openPacket", NULL, shim_open_packet, NULL, NULL, NULL, napi_enumerable, NULL},
      {"link", NULL, shim_link, NULL, NULL, NULL, napi_enumerable, NULL},
      {"setMtu", NULL, shim_set_mtu, NULL, NULL, NULL, napi_enumerable, NULL},
      {"readPackets", NULL, shim_read_packets, NULL, NULL, NULL, napi_enumerable, NULL},
      {"writePackets", NULL, shim_write_packets, NULL, NULL, NULL, napi_enumerable, NULL},
      {"readFrames", NULL, shim_read_frames, NULL, NULL, NULL, napi_enumerable, NULL},
      {"writeFrames", NULL, shim_write_frames, NULL, NULL, NULL, napi_enumerable, NULL},
      {"openUdp", NULL, shim_open_udp, NULL, NULL, NULL, napi_enumerable, NULL},
      {"receiveDatagrams", NULL, shim_receive_datagrams, NULL, NULL, NULL, napi_enumerable, NULL},
      {"sendDatagram", NULL, shim_send_datagram, NULL, NULL, NULL, napi_enumerable, NULL},
      {"watch", NULL, shim_watch, NULL, NULL, NULL, napi_enumerable, NULL},
      {"unwatch", NULL, shim_unwatch, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  if (napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions) != napi_ok) return NULL;
  return exports;
}
