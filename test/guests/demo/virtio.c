// Virtio over PCI, "modern" (OASIS Virtual I/O Device 1.1: 2.6 split virtqueues, 3.1 initialisation, 4.1 PCI transport).
#include "virtio.h"
#include "cpu.h"
#include "paging.h"
#include "string.h"

struct virtio_common {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t msix_config, queue_count;
    uint8_t status, config_generation;
    uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_offset;
    uint32_t queue_descriptors[2], queue_driver[2], queue_device[2];
};

enum { VENDOR_CAPABILITY = 0x09, TYPE_COMMON = 1, TYPE_NOTIFY = 2, TYPE_ISR = 3, TYPE_DEVICE = 4 };
enum { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_MULTIPLIER = 16 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, FAILED = 128 };
enum { DEVICE_WRITES = 2, NO_MSIX_VECTOR = 0xffff, RESET_SPINS = 1000000 };

static void map_capability(struct virtio_device *device, unsigned capability) {
    const struct pci_device *pci = &device->pci;
    const uint8_t type = pci_read8(pci, capability + CAP_TYPE);
    const uint8_t bar = pci_read8(pci, capability + CAP_BAR);
    const uint64_t base = bar < 6 ? pci_memory_bar(pci, bar) : 0;
    if (type < TYPE_COMMON || type > TYPE_DEVICE || base == 0) return;
    const uint64_t physical = base + pci_read32(pci, capability + CAP_OFFSET);
    volatile void *registers = paging_map_device(physical, pci_read32(pci, capability + CAP_LENGTH));
    if (type == TYPE_COMMON) device->common = registers;
    else if (type == TYPE_ISR) device->isr = registers;
    else if (type == TYPE_DEVICE) device->config = registers;
    else {
        device->notify = registers;
        device->notify_multiplier = pci_read32(pci, capability + CAP_MULTIPLIER);
    }
}

static bool reset(struct virtio_device *device) {
    device->common->status = 0;
    for (int spins = 0; device->common->status != 0; spins++)
        if (spins == RESET_SPINS) return false;
    return true;
}

static bool agree_on_features(struct virtio_device *device, uint64_t wanted) {
    volatile struct virtio_common *common = device->common;
    common->device_feature_select = 0;
    uint64_t offered = common->device_feature;
    common->device_feature_select = 1;
    offered |= (uint64_t)common->device_feature << 32;
    device->features = offered & (wanted | VIRTIO_F_VERSION_1);
    if ((device->features & VIRTIO_F_VERSION_1) == 0) return false;
    common->driver_feature_select = 0;
    common->driver_feature = (uint32_t)device->features;
    common->driver_feature_select = 1;
    common->driver_feature = (uint32_t)(device->features >> 32);
    common->status |= FEATURES_OK;
    return (common->status & FEATURES_OK) != 0;
}

bool virtio_open(struct virtio_device *device, const struct pci_device *pci, uint64_t wanted_features) {
    *device = (struct virtio_device){.pci = *pci};
    pci_enable(pci);
    for (unsigned at = 0; (at = pci_find_capability(pci, VENDOR_CAPABILITY, at)) != 0;) map_capability(device, at);
    if (device->common == NULL || device->notify == NULL || device->isr == NULL || !reset(device)) return false;
    device->common->status |= ACKNOWLEDGE;
    device->common->status |= DRIVER;
    if (agree_on_features(device, wanted_features)) return true;
    device->common->status |= FAILED;
    return false;
}

static void write_address(volatile uint32_t *to, const volatile void *memory) {
    const uint64_t physical = paging_physical((const void *)memory);
    to[0] = (uint32_t)physical;
    to[1] = (uint32_t)(physical >> 32);
}

bool virtio_open_queue(struct virtio_device *device, uint16_t index, struct virtqueue *queue) {
    volatile struct virtio_common *common = device->common;
    common->queue_select = index;
    const uint16_t offered = common->queue_size;
    if (index >= common->queue_count || offered == 0) return false;
    memset(queue, 0, sizeof *queue);
    queue->index = index;
    queue->size = offered < VIRTQUEUE_SIZE ? offered : VIRTQUEUE_SIZE;
    queue->doorbell = (volatile uint16_t *)(device->notify + common->queue_notify_offset * device->notify_multiplier);
    common->queue_size = queue->size;
    common->queue_msix_vector = NO_MSIX_VECTOR;
    write_address(common->queue_descriptors, queue->descriptors);
    write_address(common->queue_driver, &queue->available);
    write_address(common->queue_device, &queue->used);
    common->queue_enable = 1;
    return true;
}

void virtio_start(struct virtio_device *device) { device->common->status |= DRIVER_OK; }

void virtqueue_give(struct virtqueue *queue, uint16_t id, void *buffer, uint32_t length, bool device_writes) {
    queue->descriptors[id] = (struct virtq_descriptor){paging_physical(buffer), length, device_writes ? DEVICE_WRITES : 0, 0};
    queue->available.ring[queue->available.index % queue->size] = id;
    memory_barrier(); // the entry before the index
    *(volatile uint16_t *)&queue->available.index = (uint16_t)(queue->available.index + 1);
}

bool virtqueue_take(struct virtqueue *queue, uint16_t *id, uint32_t *length) {
    if (queue->used.index == queue->used_seen) return false;
    memory_barrier(); // the index before the entry
    const uint16_t at = queue->used_seen++ % queue->size;
    *id = (uint16_t)(queue->used.ring[at].id % queue->size);
    *length = queue->used.ring[at].length;
    return true;
}

void virtqueue_notify(struct virtqueue *queue) {
    memory_barrier();
    *queue->doorbell = queue->index;
}
