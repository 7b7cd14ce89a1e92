/* What Node cannot do itself for live ports, and nothing more: no policy, no state but the watches. */
#ifndef MEGAFLOW_SHIM_H
#define MEGAFLOW_SHIM_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frames moved by one call at most. */
#define FRAMES_MAX 64

/* openTap(name: string, netns: string | null, many: boolean): { fd, control, name }; openPacket(name, netns): { fd, control, index,
 * name }: a TAP device, made or opened (with `many` a further queue of it, when it is opened so again), and a packet socket on an
 * interface; `control` may be asked about it, the same as `fd` for a socket. */
napi_value shim_open_tap(napi_env env, napi_callback_info info);
napi_value shim_open_packet(napi_env env, napi_callback_info info);

/* link(control, name): { index, mtu, up } | null when there is none of that name; setMtu(control, name, mtu) */
napi_value shim_link(napi_env env, napi_callback_info info);
napi_value shim_set_mtu(napi_env env, napi_callback_info info);

/* readFrames (of a TAP), readPackets (of a socket): (fd, memory: Uint8Array, offset, slotSize, lengths: Uint32Array, segments:
 * Uint32Array): number of frames read. Checksums are complete, VLAN tags in the frame; segments[i] as in offload.h; a frame longer
 * than its slot has the slot's length. */
napi_value shim_read_frames(napi_env env, napi_callback_info info);
napi_value shim_read_packets(napi_env env, napi_callback_info info);

/* writeFrames, writePackets: (fd, memory: Uint8Array, offsets, lengths, segments: Uint32Array, count): number of frames sent. Ends
 * where the device is full; a frame that it refuses for good (too short, too long) is left out. */
napi_value shim_write_frames(napi_env env, napi_callback_info info);
napi_value shim_write_packets(napi_env env, napi_callback_info info);

/* watch(fd, callback: () => void): a handle for unwatch() */
napi_value shim_watch(napi_env env, napi_callback_info info);
napi_value shim_unwatch(napi_env env, napi_callback_info info);

/* openUdp(address: 16 bytes, port, flags: 1 IPv6, 2 DF, 4 checksum, 8 only sends): fd. What follows is drawn in udp.c. */
napi_value shim_open_udp(napi_env env, napi_callback_info info);

/* receiveDatagrams(fd, memory: Uint8Array, slotSize, lengths: Uint32Array, outer: Uint8Array): number of datagrams received */
napi_value shim_receive_datagrams(napi_env env, napi_callback_info info);

/* sendDatagram(fd, payload: Uint8Array, outer: Uint8Array): whether the system took it */
napi_value shim_send_datagram(napi_env env, napi_callback_info info);

/* Throws an Error whose `code` is the name of `error` (an errno) and whose message is "what: words of the system". Returns NULL. */
napi_value shim_throw_errno(napi_env env, const char *what, int error);

/* Reads exactly `count` arguments; throws and returns false when there are fewer. */
bool shim_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments);

/* A Uint8Array's or Uint32Array's memory (also over a SharedArrayBuffer); throws and returns false for anything else. */
bool shim_bytes(napi_env env, napi_value value, napi_typedarray_type type, void **data, size_t *elements);

/* An unsigned 32-bit number; throws and returns false for anything else. */
bool shim_u32(napi_env env, napi_value value, uint32_t *result);

#endif
