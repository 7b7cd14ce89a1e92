/* What the system and this side tell each other of a frame's checksum and segments: struct virtio_net_hdr, before every frame of a
 * TAP device with IFF_VNET_HDR and of a packet socket with PACKET_VNET_HDR (linux/virtio_net.h, VIRTIO 1.2 section 5.1.6). */
#ifndef MEGAFLOW_OFFLOAD_H
#define MEGAFLOW_OFFLOAD_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Vectors that one frame takes at most: the header, the frame before its checksum, the checksum, the rest. */
#define OFFLOAD_VECTORS 4

/* A frame on its way out. The frame itself is not touched: it may be on its way to other ports too. */
struct offload_frame {
  struct virtio_net_hdr header;
  uint8_t checksum[2];
  struct iovec vectors[OFFLOAD_VECTORS];
  int vector_count;
};

/* Completes the checksum that the sender left undone; `shift` bytes were put into the frame's head since `header` was written.
 * Returns the payload bytes of each segment when the frame stands for several, else 0. */
uint32_t offload_receive(const struct virtio_net_hdr *header, uint32_t shift, uint8_t *frame, uint32_t length);

/* Describes a frame for sending; `segment` as offload_receive() gave it. False when it cannot be cut into segments. */
bool offload_send(struct offload_frame *out, uint8_t *frame, uint32_t length, uint32_t segment);

#endif
