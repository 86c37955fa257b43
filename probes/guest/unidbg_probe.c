/* unidbg's in-guest probe: see unidbg_probe.h for its use and docs/probe-protocol.md for what it says.
 * Parts: records · the RAM ring · framing (CRC, COBS) · the 8250 UART · PCI and virtio-console (legacy interface, VIRTIO 1.x §4.1.4.8, §5.3). */

#include "unidbg_probe.h"

#define MAX_RECORD 112
#define RECORD_HEADER 16
#define MAX_FRAME (MAX_RECORD + 4 + 2) /* CRC, one COBS overhead byte, the zero */

enum { HELLO = 1, DECLARE = 2, INTEGER = 3, FLOAT = 4, SPAN = 5 };

struct metric {
    const char *name, *unit;
    uint8_t kind;
};

static struct {
    const char *program;
    uint64_t (*clock_ns)(void);
    struct metric metrics[UNIDBG_MAX_METRICS];
    uint16_t metric_count;
    uint32_t sequence, announced_sequence, dropped;
    uint64_t announced_at;
    int ring, announcing;
    uint16_t uart;
} probe;

static void announce(void);
static void send_framed(const uint8_t *record, uint32_t length);
static void ring_put(const uint8_t *record, uint32_t length);
static void uart_drain(void);
static void virtio_flush(void);

/* ---- records ---- */

static void copy(uint8_t *to, const void *from, uint32_t length) {
    const uint8_t *bytes = (const uint8_t *)from;
    for (uint32_t i = 0; i < length; i++) to[i] = bytes[i];
}

static uint32_t string_length(const char *text) {
    uint32_t length = 0;
    while (text[length] != 0) length++;
    return length;
}

static void put_u16(uint8_t *to, uint16_t value) { to[0] = (uint8_t)value; to[1] = (uint8_t)(value >> 8); }
static void put_u32(uint8_t *to, uint32_t value) { put_u16(to, (uint16_t)value); put_u16(to + 2, (uint16_t)(value >> 16)); }
static void put_u64(uint8_t *to, uint64_t value) { put_u32(to, (uint32_t)value); put_u32(to + 4, (uint32_t)(value >> 32)); }

static uint32_t put_string(uint8_t *to, const char *text, uint32_t most) {
    uint32_t length = string_length(text);
    if (length > most) length = most;
    to[0] = (uint8_t)length;
    copy(to + 1, text, length);
    return length + 1;
}

static void send(uint8_t *record, uint32_t length, uint8_t type, uint16_t id, uint64_t time) {
    record[0] = type;
    record[1] = 0;
    put_u16(record + 2, id);
    put_u32(record + 4, probe.sequence++);
    put_u64(record + 8, time);
    if (probe.ring) ring_put(record, length);
    send_framed(record, length);
    /* Before the ring has turned, the names are in it again. Last, so that records leave in the order of their numbers. */
    if (probe.ring && !probe.announcing && probe.sequence - probe.announced_sequence >= UNIDBG_RING_SLOTS / 2) announce();
}

static void send_declaration(uint16_t id) {
    uint8_t record[MAX_RECORD];
    const struct metric *metric = &probe.metrics[id - 1];
    uint32_t length = RECORD_HEADER;
    record[length++] = metric->kind;
    length += put_string(record + length, metric->name, 72);
    length += put_string(record + length, metric->unit, 20);
    send(record, length, DECLARE, id, probe.clock_ns());
}

static void announce(void) {
    uint8_t record[MAX_RECORD];
    uint32_t length = RECORD_HEADER;
    if (probe.announcing) return;
    probe.announcing = 1;
    record[length++] = 1;
    record[length++] = 0;
    put_u16(record + length, probe.metric_count);
    put_u32(record + length + 2, probe.dropped);
    length += 6;
    length += put_string(record + length, probe.program, 64);
    probe.announced_at = probe.clock_ns();
    probe.announced_sequence = probe.sequence;
    send(record, length, HELLO, 0, probe.announced_at);
    for (uint16_t id = 1; id <= probe.metric_count; id++) send_declaration(id);
    probe.announcing = 0;
}

void unidbg_init(const char *program, uint64_t (*clock_ns)(void)) {
    probe.program = program;
    probe.clock_ns = clock_ns;
}

uint16_t unidbg_declare(enum unidbg_kind kind, const char *name, const char *unit) {
    if (probe.clock_ns == 0 || probe.metric_count >= UNIDBG_MAX_METRICS) return 0;
    if (string_length(name) > 72 || string_length(unit) > 20) return 0;
    struct metric *metric = &probe.metrics[probe.metric_count++];
    metric->name = name;
    metric->unit = unit;
    metric->kind = (uint8_t)kind;
    send_declaration(probe.metric_count);
    return probe.metric_count;
}

static void send_value(uint16_t id, uint8_t type, uint64_t time, uint64_t bits) {
    uint8_t record[RECORD_HEADER + 8];
    if (id == 0 || id > probe.metric_count) return;
    put_u64(record + RECORD_HEADER, bits);
    send(record, sizeof record, type, id, time);
}

void unidbg_integer(uint16_t id, int64_t value) {
    if (probe.clock_ns != 0) send_value(id, INTEGER, probe.clock_ns(), (uint64_t)value);
}

#ifndef UNIDBG_NO_FLOAT
void unidbg_float(uint16_t id, double value) {
    union { double value; uint64_t bits; } pun;
    pun.value = value;
    if (probe.clock_ns != 0) send_value(id, FLOAT, probe.clock_ns(), pun.bits);
}
#endif

void unidbg_span(uint16_t id, uint64_t start_ns, uint64_t duration_ns) {
    send_value(id, SPAN, start_ns, duration_ns);
}

void unidbg_poll(void) {
    if (probe.clock_ns == 0) return;
    if (probe.clock_ns() - probe.announced_at >= 1000000000u) announce();
    uart_drain();
    virtio_flush();
}

uint32_t unidbg_dropped(void) { return probe.dropped; }

/* ---- the RAM ring: read from outside by the symbol unidbg_ring ---- */

struct ring_slot {
    volatile uint64_t stamp;
    uint32_t length, reserved;
    uint8_t record[MAX_RECORD];
};

struct unidbg_ring {
    uint8_t magic[8];
    uint32_t slot_size, slot_count;
    volatile uint64_t written;
    uint8_t reserved[40];
    struct ring_slot slots[UNIDBG_RING_SLOTS];
};

extern struct unidbg_ring unidbg_ring;
struct unidbg_ring unidbg_ring;

#if defined(__x86_64__) || defined(__i386__)
#define RELEASE() __asm__ volatile("" ::: "memory") /* x86 keeps stores in order; only the compiler must not move them */
#else
#define RELEASE() __atomic_thread_fence(__ATOMIC_RELEASE)
#endif

int unidbg_use_ring(void) {
    unidbg_ring.slot_size = sizeof(struct ring_slot);
    unidbg_ring.slot_count = UNIDBG_RING_SLOTS;
    RELEASE();
    copy(unidbg_ring.magic, "UNIDBGR1", 8);
    probe.ring = 1;
    return 1;
}

static void ring_put(const uint8_t *record, uint32_t length) {
    uint64_t number = unidbg_ring.written;
    struct ring_slot *slot = &unidbg_ring.slots[number & (UNIDBG_RING_SLOTS - 1)];
    slot->stamp = 0;
    RELEASE();
    slot->length = length;
    copy(slot->record, record, length);
    RELEASE();
    slot->stamp = number + 1;
    RELEASE();
    unidbg_ring.written = number + 1;
}

/* ---- framing: CRC-32, COBS, one zero byte ---- */

static uint32_t crc32(const uint8_t *bytes, uint32_t length) {
    static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;
    for (uint32_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return ~crc;
}

/* Records are far below 254 bytes, so COBS needs one overhead byte. */
static uint32_t encode_frame(uint8_t *frame, const uint8_t *record, uint32_t length) {
    uint8_t plain[MAX_RECORD + 4];
    copy(plain, record, length);
    put_u32(plain + length, crc32(record, length));
    length += 4;
    uint32_t code_at = 0, at = 1;
    for (uint32_t i = 0; i < length; i++) {
        if (plain[i] != 0) {
            frame[at++] = plain[i];
            continue;
        }
        frame[code_at] = (uint8_t)(at - code_at);
        code_at = at++;
    }
    frame[code_at] = (uint8_t)(at - code_at);
    frame[at++] = 0;
    return at;
}

static int uart_put(const uint8_t *frame, uint32_t length);
static int virtio_put(const uint8_t *frame, uint32_t length);
static int virtio_is_on(void);

static void send_framed(const uint8_t *record, uint32_t length) {
    uint8_t frame[MAX_FRAME];
    if (probe.uart == 0 && !virtio_is_on()) return;
    length = encode_frame(frame, record, length);
    if (probe.uart != 0 && !uart_put(frame, length)) probe.dropped++;
    if (virtio_is_on() && !virtio_put(frame, length)) probe.dropped++;
}

#if defined(__x86_64__) || defined(__i386__)

static inline void outb(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void outw(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static inline void outl(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static inline uint8_t inb(uint16_t port) { uint8_t value; __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline uint16_t inw(uint16_t port) { uint16_t value; __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline uint32_t inl(uint16_t port) { uint32_t value; __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port)); return value; }

/* ---- the 8250 UART: a small queue, drained as far as the FIFO takes it ---- */

#define UART_QUEUE 8192 /* a power of two */

static uint8_t uart_queue[UART_QUEUE];
static uint32_t uart_head, uart_tail, uart_room; /* uart_room: bytes an empty transmitter takes */

int unidbg_use_uart(uint16_t port) {
    /* A scratch register that does not keep its value is no UART. */
    outb(port + 7, 0x5a);
    if (inb(port + 7) != 0x5a) return 0;
    outb(port + 1, 0); /* no interrupts: polled */
    outb(port + 3, 0x80);
    outb(port + 0, 1); /* 115200 baud */
    outb(port + 1, 0);
    outb(port + 3, 0x03); /* 8N1 */
    outb(port + 2, 0x07); /* FIFO on, cleared */
    uart_room = (inb(port + 2) & 0xc0) == 0xc0 ? 16 : 1; /* an 8250 or 16450 has none */
    probe.uart = port;
    if (probe.clock_ns != 0) announce();
    return 1;
}

static int uart_put(const uint8_t *frame, uint32_t length) {
    if (UART_QUEUE - (uart_head - uart_tail) < length) uart_drain();
    if (UART_QUEUE - (uart_head - uart_tail) < length) return 0;
    for (uint32_t i = 0; i < length; i++) uart_queue[uart_head++ & (UART_QUEUE - 1)] = frame[i];
    return 1;
}

static void uart_drain(void) {
    /* "Transmitter holding register empty" means room for the whole FIFO. */
    while (probe.uart != 0 && uart_head != uart_tail && (inb(probe.uart + 5) & 0x20) != 0)
        for (uint32_t room = uart_room; room > 0 && uart_head != uart_tail; room--)
            outb(probe.uart, uart_queue[uart_tail++ & (UART_QUEUE - 1)]);
}

/* ---- PCI and virtio-console, legacy interface ---- */

#define MAX_QUEUE 1024 /* the device says how long a legacy queue is: QEMU 7.2 has 32 and 128 here, QEMU 10 up to 1024 */
#define BUFFER_SIZE 2048
#define BUFFERS 16 /* at most 32: bits of device.busy */
#define CONTROL_BUFFERS 32
#define CONTROL_SIZE 64
#define MAX_PORTS 32
#define PORTS_AT_ONCE 8   /* each answers PORT_READY with up to three messages, and what finds no buffer is lost */
/* The device may answer from another thread of the host (ioeventfd), which gets a core when it gets one. Clocks that stand still
 * while interrupts are off need the second bound. */
#define PATIENCE_NS 300000000u
#define PATIENCE_ROUNDS 3000000u

enum { FEATURES = 0, GUEST_FEATURES = 4, QUEUE_PFN = 8, QUEUE_SIZE = 12, QUEUE_SELECT = 14, QUEUE_NOTIFY = 16, STATUS = 18 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4 };
enum { F_MULTIPORT = 1 << 1 };
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, CONSOLE_PORT = 4, PORT_OPEN = 6, PORT_NAME = 7 };

struct descriptor { uint64_t address; uint32_t length; uint16_t flags, next; };
struct used_element { uint32_t id, length; };
struct control { uint32_t port; uint16_t event, value; };
struct ports { uint32_t there, consoles; int32_t named; }; /* bit masks by port number; -1 = no port has our name */

/* One legacy virtqueue: descriptors and available ring, then the used ring on the next page (VIRTIO §2.7.2). */
struct queue {
    uint16_t index, size, last_used;
    volatile struct descriptor *descriptors;
    volatile uint16_t *available; /* flags, index, ring[] */
    volatile uint16_t *used;      /* flags, index, then used_element[] */
};

#define QUEUE_BYTES (((16 * MAX_QUEUE + 6 + 2 * MAX_QUEUE + 4095) & ~4095) + ((6 + 8 * MAX_QUEUE + 4095) & ~4095))

static uint8_t queue_memory[3][QUEUE_BYTES] __attribute__((aligned(4096)));
static uint8_t control_in[CONTROL_BUFFERS][CONTROL_SIZE] __attribute__((aligned(64)));
static struct control control_out[CONTROL_BUFFERS];
static uint8_t transmit[BUFFERS][BUFFER_SIZE] __attribute__((aligned(64)));

static struct {
    int on;
    uint16_t io;
    uint64_t (*to_physical)(const void *);
    struct queue control_in, control_out, out;
    uint32_t filling, filled; /* the transmit buffer being filled, and how far */
    uint32_t busy;            /* transmit buffers that the device has, by bit */
    uint32_t control_sent;
} device;

static int virtio_is_on(void) { return device.on; }

static uint64_t physical(const volatile void *address) {
    return device.to_physical != 0 ? device.to_physical((const void *)address) : (uint64_t)(uintptr_t)address;
}

static uint32_t pci_read(uint32_t bus, uint32_t slot, uint32_t function, uint32_t offset) {
    outl(0xcf8, 0x80000000u | bus << 16 | slot << 11 | function << 8 | offset);
    return inl(0xcfc);
}

static void pci_write(uint32_t bus, uint32_t slot, uint32_t function, uint32_t offset, uint32_t value) {
    outl(0xcf8, 0x80000000u | bus << 16 | slot << 11 | function << 8 | offset);
    outl(0xcfc, value);
}

/* The I/O base of the first transitional virtio-console, 0 when there is none. */
static uint16_t find_device(void) {
    for (uint32_t bus = 0; bus < 8; bus++)
        for (uint32_t slot = 0; slot < 32; slot++)
            for (uint32_t function = 0; function < 8; function++) {
                uint32_t id = pci_read(bus, slot, function, 0);
                if (id == 0xffffffff) {
                    if (function == 0) break;
                    continue;
                }
                if (id != 0x10031af4) {
                    if (function == 0 && (pci_read(bus, slot, 0, 12) >> 16 & 0x80) == 0) break;
                    continue;
                }
                uint32_t bar = pci_read(bus, slot, function, 0x10);
                if ((bar & 1) == 0 || (bar & 0xfffc) == 0) continue;
                pci_write(bus, slot, function, 4, (pci_read(bus, slot, function, 4) & 0xffff) | 5); /* I/O space, bus master */
                return (uint16_t)(bar & 0xfffc);
            }
    return 0;
}

static int queue_open(struct queue *queue, uint16_t index, uint8_t *memory) {
    outw(device.io + QUEUE_SELECT, index);
    queue->size = inw(device.io + QUEUE_SIZE);
    if (queue->size < BUFFERS || queue->size > MAX_QUEUE) return 0;
    queue->index = index;
    queue->last_used = 0;
    queue->descriptors = (volatile struct descriptor *)memory;
    queue->available = (volatile uint16_t *)(memory + 16u * queue->size);
    uint32_t used_at = (16u * queue->size + 6 + 2u * queue->size + 4095) & ~4095u;
    queue->used = (volatile uint16_t *)(memory + used_at);
    for (uint32_t i = 0; i < QUEUE_BYTES; i++) memory[i] = 0;
    queue->available[0] = 1; /* no interrupts, please */
    outl(device.io + QUEUE_PFN, (uint32_t)(physical(memory) >> 12));
    return 1;
}

/* Descriptor `id` is always used for buffer `id`: no free list is needed. */
static void queue_give(struct queue *queue, uint16_t id, const void *buffer, uint32_t length, int writable) {
    queue->descriptors[id].address = physical(buffer);
    queue->descriptors[id].length = length;
    queue->descriptors[id].flags = writable ? 2 : 0;
    queue->available[2 + queue->available[1] % queue->size] = id;
    RELEASE();
    queue->available[1]++;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    outw(device.io + QUEUE_NOTIFY, queue->index);
}

/* The next buffer the device is done with, or -1. */
static int queue_take(struct queue *queue) {
    if (queue->last_used == queue->used[1]) return -1;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    volatile struct used_element *elements = (volatile struct used_element *)(queue->used + 2);
    int id = (int)elements[queue->last_used % queue->size].id;
    queue->last_used++;
    return id;
}

static void send_control(uint32_t port, uint16_t event, uint16_t value) {
    uint16_t slot = (uint16_t)(device.control_sent++ % CONTROL_BUFFERS % device.control_out.size);
    control_out[slot].port = port;
    control_out[slot].event = event;
    control_out[slot].value = value;
    queue_give(&device.control_out, slot, &control_out[slot], sizeof(struct control), 0);
    while (queue_take(&device.control_out) >= 0) {}
}

static void give_control_buffer(uint16_t id) {
    for (uint32_t i = 0; i < CONTROL_SIZE; i++) control_in[id][i] = 0;
    queue_give(&device.control_in, id, control_in[id], CONTROL_SIZE, 1);
}

static int is_our_name(const uint8_t *name) {
    const char *ours = "org.unidbg.probe";
    uint32_t i = 0;
    while (ours[i] != 0 && name[i] == (uint8_t)ours[i]) i++;
    return ours[i] == 0 && name[i] == 0;
}

/* The next message of the device, or -1 when it stays silent. Waits without touching the device: in QEMU a port access would
 * take the lock that the device's thread needs. */
static int await_control(void) {
    uint64_t start = probe.clock_ns();
    for (uint32_t round = 0; round < PATIENCE_ROUNDS && probe.clock_ns() - start < PATIENCE_NS; round++) {
        int id = queue_take(&device.control_in);
        if (id >= 0) return id < CONTROL_BUFFERS ? id : -1;
        __asm__ volatile("pause" ::: "memory");
    }
    return -1;
}

/* Takes in what the device says of its ports, until it is silent or our name fell. */
static void hear_ports(struct ports *ports) {
    int id;
    while (ports->named < 0 && (id = await_control()) >= 0) {
        const struct control *message = (const struct control *)control_in[id];
        if (message->port < MAX_PORTS) {
            if (message->event == PORT_ADD) ports->there |= 1u << message->port;
            if (message->event == CONSOLE_PORT) ports->consoles |= 1u << message->port;
            if (message->event == PORT_NAME && is_our_name(control_in[id] + sizeof(struct control))) ports->named = (int32_t)message->port;
        }
        give_control_buffer((uint16_t)id);
    }
}

/* The handshake of VIRTIO §5.3.6.2: makes every port ready, and opens the one to speak on: the one with our name, else the first
 * that is no console, else the first. -1 when there is none. */
static int32_t choose_port(void) {
    struct ports ports = {0, 0, -1};
    for (uint16_t i = 0; i < CONTROL_BUFFERS && i < device.control_in.size; i++) give_control_buffer(i);
    send_control(0, DEVICE_READY, 1);
    hear_ports(&ports);
    for (uint32_t first = 0; first < MAX_PORTS && ports.named < 0; first += PORTS_AT_ONCE) {
        uint32_t group = ports.there & (((1u << PORTS_AT_ONCE) - 1) << first);
        if (group == 0) continue;
        for (uint32_t port = first; port < first + PORTS_AT_ONCE; port++)
            if ((group >> port & 1) != 0) send_control(port, PORT_READY, 1);
        hear_ports(&ports);
    }
    uint32_t eligible = (ports.there & ~ports.consoles) != 0 ? ports.there & ~ports.consoles : ports.there;
    if (ports.named < 0 && eligible == 0) return -1;
    int32_t port = ports.named >= 0 ? ports.named : __builtin_ctz(eligible);
    send_control((uint32_t)port, PORT_OPEN, 1);
    return port;
}

int unidbg_use_virtio(uint64_t (*to_physical)(const void *)) {
    device.io = probe.clock_ns != 0 ? find_device() : 0;
    if (device.io == 0) return 0;
    device.to_physical = to_physical;
    outb(device.io + STATUS, 0);
    outb(device.io + STATUS, ACKNOWLEDGE | DRIVER);
    uint32_t features = inl(device.io + FEATURES) & F_MULTIPORT;
    outl(device.io + GUEST_FEATURES, features);
    uint16_t out_index = 1;
    if (features != 0) {
        if (!queue_open(&device.control_in, 2, queue_memory[0]) || !queue_open(&device.control_out, 3, queue_memory[1])) return 0;
        outb(device.io + STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK);
        int32_t port = choose_port();
        if (port < 0) return 0;
        out_index = (uint16_t)(port == 0 ? 1 : 2 * port + 3);
    }
    if (!queue_open(&device.out, out_index, queue_memory[2])) return 0;
    outb(device.io + STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK);
    device.on = 1;
    announce();
    virtio_flush();
    return 1;
}

static void reclaim(void) {
    int id;
    while ((id = queue_take(&device.out)) >= 0) device.busy &= ~(1u << (id & 31));
}

/* Frames are gathered into one buffer and go out together; when the device has all others, nobody takes them. */
static int virtio_put(const uint8_t *frame, uint32_t length) {
    if (device.filled + length > BUFFER_SIZE) virtio_flush();
    if (device.filled + length > BUFFER_SIZE) return 0;
    copy(transmit[device.filling] + device.filled, frame, length);
    device.filled += length;
    return 1;
}

static void virtio_flush(void) {
    if (!device.on) return;
    reclaim();
    uint32_t next = (device.filling + 1) % BUFFERS;
    if (device.filled == 0 || (device.busy >> next & 1) != 0) return;
    device.busy |= 1u << device.filling;
    queue_give(&device.out, (uint16_t)device.filling, transmit[device.filling], device.filled, 0);
    device.filling = next;
    device.filled = 0;
}

#else /* no port I/O here: the ring is the transport */

int unidbg_use_uart(uint16_t port) { (void)port; return 0; }
int unidbg_use_virtio(uint64_t (*to_physical)(const void *)) { (void)to_physical; return 0; }
static int uart_put(const uint8_t *frame, uint32_t length) { (void)frame; (void)length; return 0; }
static int virtio_put(const uint8_t *frame, uint32_t length) { (void)frame; (void)length; return 0; }
static int virtio_is_on(void) { return 0; }
static void uart_drain(void) {}
static void virtio_flush(void) {}

#endif
