// Virtio 1.x over PCI: devices and split virtqueues.
#pragma once
#include "pci.h"

enum { VIRTQUEUE_SIZE = 32, VIRTIO_VENDOR = 0x1af4 };

#define VIRTIO_F_VERSION_1 (1ul << 32)

struct virtio_common; // the device's own registers (virtio.c)

struct virtio_device {
    struct pci_device pci;
    volatile struct virtio_common *common;
    volatile uint8_t *isr;    // reading it acknowledges the interrupt
    volatile uint8_t *config; // device specific
    volatile uint8_t *notify;
    uint32_t notify_multiplier;
    uint64_t features; // agreed
};

struct virtq_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct virtq_available {
    uint16_t flags, index, ring[VIRTQUEUE_SIZE], used_event;
};

struct virtq_used {
    uint16_t flags, index;
    struct {
        uint32_t id, length;
    } ring[VIRTQUEUE_SIZE];
    uint16_t available_event;
};

/** A queue whose buffers are single descriptors: buffer number = descriptor number. */
struct virtqueue {
    struct virtq_descriptor descriptors[VIRTQUEUE_SIZE] __attribute__((aligned(16)));
    struct virtq_available available __attribute__((aligned(2)));
    volatile struct virtq_used used __attribute__((aligned(4)));
    uint16_t size; // at most VIRTQUEUE_SIZE, a device may have less
    uint16_t used_seen;
    volatile uint16_t *doorbell;
    uint16_t index;
};

/** Resets a device and agrees on features, VIRTIO_F_VERSION_1 among them; false when it is not a virtio 1.x device. */
bool virtio_open(struct virtio_device *device, const struct pci_device *pci, uint64_t wanted_features);
/** Sets queue `index` up; false when the device has none. */
bool virtio_open_queue(struct virtio_device *device, uint16_t index, struct virtqueue *queue);
/** Tells the device that the driver is ready. */
void virtio_start(struct virtio_device *device);

/** Gives buffer `id` to the device. */
void virtqueue_give(struct virtqueue *queue, uint16_t id, void *buffer, uint32_t length, bool device_writes);
/** Takes one buffer back that the device is done with: its number, and how many bytes it wrote; false when there is none. */
bool virtqueue_take(struct virtqueue *queue, uint16_t *id, uint32_t *length);
/** Tells the device that buffers were given. */
void virtqueue_notify(struct virtqueue *queue);
