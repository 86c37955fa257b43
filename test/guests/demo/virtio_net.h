// The network card.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { MAC_SIZE = 6, MAX_FRAME = 1514 };

/** Finds and starts the first virtio network card; false when there is none. `on_interrupt` runs with interrupts off. */
bool virtio_net_open(uint8_t mac[MAC_SIZE], void (*on_interrupt)(void));
/** Sends a copy of a frame; false when the queue is full. */
bool virtio_net_send(const void *frame, uint32_t length);
/** Hands every received frame to `receive`; returns how many there were. */
unsigned virtio_net_poll(void (*receive)(const uint8_t *frame, uint32_t length));
