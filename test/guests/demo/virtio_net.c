// Virtio network device (Virtual I/O Device 1.1, 5.1), no offloads: queue 0 receives, queue 1 sends, each buffer is a
// 12-byte header and one frame.
#include "virtio_net.h"
#include "irq.h"
#include "string.h"
#include "virtio.h"

enum { TRANSITIONAL_ID = 0x1000, MODERN_ID = 0x1041, RECEIVE_QUEUE = 0, SEND_QUEUE = 1, ISA_LINES = 16 };
#define FEATURE_MAC (1ul << 5)

struct buffer {
    struct {
        uint8_t flags, segmentation;
        uint16_t header_length, segment_size, checksum_start, checksum_offset, buffer_count;
    } header;
    uint8_t frame[MAX_FRAME];
} __attribute__((aligned(16)));

static struct virtio_device device;
static struct virtqueue receive_queue, send_queue;
static struct buffer receive_buffers[VIRTQUEUE_SIZE], send_buffers[VIRTQUEUE_SIZE];
static bool sending[VIRTQUEUE_SIZE];
static void (*interrupt_listener)(void);

static void on_interrupt(void) {
    if (*device.isr != 0) interrupt_listener();
}

static bool find_card(struct pci_device *pci) {
    return pci_find(VIRTIO_VENDOR, TRANSITIONAL_ID, 0, pci) || pci_find(VIRTIO_VENDOR, MODERN_ID, 0, pci);
}

bool virtio_net_open(uint8_t mac[MAC_SIZE], void (*listener)(void)) {
    struct pci_device pci;
    if (!find_card(&pci) || !virtio_open(&device, &pci, FEATURE_MAC)) return false;
    if (device.config == NULL || (device.features & FEATURE_MAC) == 0) return false;
    if (!virtio_open_queue(&device, RECEIVE_QUEUE, &receive_queue)) return false;
    if (!virtio_open_queue(&device, SEND_QUEUE, &send_queue)) return false;
    for (unsigned i = 0; i < MAC_SIZE; i++) mac[i] = device.config[i];
    for (uint16_t id = 0; id < receive_queue.size; id++)
        virtqueue_give(&receive_queue, id, &receive_buffers[id], sizeof receive_buffers[id], true);
    interrupt_listener = listener;
    const uint8_t line = pci_interrupt_line(&pci);
    if (line != 0 && line < ISA_LINES) irq_listen(line, on_interrupt);
    virtio_start(&device);
    virtqueue_notify(&receive_queue);
    return true;
}

static void take_sent_back(void) {
    uint16_t id;
    uint32_t length;
    while (virtqueue_take(&send_queue, &id, &length)) sending[id] = false;
}

bool virtio_net_send(const void *frame, uint32_t length) {
    take_sent_back();
    uint16_t id = 0;
    while (id < send_queue.size && sending[id]) id++;
    if (id == send_queue.size || length > MAX_FRAME) return false;
    struct buffer *buffer = &send_buffers[id];
    memset(&buffer->header, 0, sizeof buffer->header);
    memcpy(buffer->frame, frame, length);
    sending[id] = true;
    virtqueue_give(&send_queue, id, buffer, (uint32_t)sizeof buffer->header + length, false);
    virtqueue_notify(&send_queue);
    return true;
}

unsigned virtio_net_poll(void (*receive)(const uint8_t *frame, uint32_t length)) {
    uint16_t id;
    uint32_t length;
    unsigned count = 0;
    for (; virtqueue_take(&receive_queue, &id, &length); count++) {
        struct buffer *buffer = &receive_buffers[id];
        const uint32_t header = sizeof buffer->header;
        if (length > header && length <= header + MAX_FRAME) receive(buffer->frame, length - header);
        virtqueue_give(&receive_queue, id, buffer, sizeof *buffer, true);
    }
    if (count > 0) virtqueue_notify(&receive_queue);
    return count;
}
