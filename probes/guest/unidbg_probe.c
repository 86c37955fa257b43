/* unidbg's in-guest probe: see unidbg_probe.h for its use and docs/probe-protocol.md for what it says.
 * Parts: records · the RAM ring · framing (CRC, COBS) · the 8250 UART · PCI and virtio-console (VIRTIO 1.x §4.1, §5.3). */

#include "unidbg_probe.h"

#define MAX_RECORD 112
#define RECORD_HEADER 16
#define MAX_FRAME (MAX_RECORD + 4 + 2) /* CRC, one COBS overhead byte, the zero */

enum { HELLO = 1, DECLARE = 2, INTEGER = 3, FLOAT = 4, SPAN = 5 };

/* Compilers make calls of memcpy, memset or strlen from loops that look like them; there may be no libc to answer. */
#define STAYS_A_LOOP() __asm__ volatile("")

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LITTLE64(value) __builtin_bswap64(value)
#else
#define LITTLE64(value) (value)
#endif

struct metric {
    const char *name, *unit, *attributes;
    uint8_t kind;
};

static struct {
    const char *program;
    uint64_t (*clock_ns)(void);
    struct metric metrics[UNIDBG_MAX_METRICS];
    uint16_t metric_count;
    uint32_t sequence, announced_sequence, dropped;
    uint64_t announced_at;
    int ring, framed, announcing; /* framed: how many byte streams are on */
    uint16_t uart;
    int (*stream)(const uint8_t *frame, uint32_t length);
} probe;

static void announce(void);
static void send_framed(const uint8_t *record, uint32_t length);
static void ring_put(const uint8_t *record, uint32_t length);
static void ring_put_value(uint64_t head, uint64_t time, uint64_t bits);
static void uart_drain(void);
static void virtio_flush(void);

/* ---- records ---- */

static void copy(uint8_t *to, const void *from, uint32_t length) {
    const uint8_t *bytes = (const uint8_t *)from;
    for (uint32_t i = 0; i < length; i++) {
        to[i] = bytes[i];
        STAYS_A_LOOP();
    }
}

static uint32_t string_length(const char *text) {
    uint32_t length = 0;
    while (text[length] != 0) {
        length++;
        STAYS_A_LOOP();
    }
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

/* Before the ring has turned, the names are in it again. After a record, so that records leave in the order of their numbers. */
static void repeat_names_in_ring(void) {
    if (probe.ring && !probe.announcing && probe.sequence - probe.announced_sequence >= UNIDBG_RING_SLOTS / 2) announce();
}

static void send(uint8_t *record, uint32_t length, uint8_t type, uint16_t id, uint64_t time) {
    record[0] = type;
    record[1] = 0;
    put_u16(record + 2, id);
    put_u32(record + 4, probe.sequence++);
    put_u64(record + 8, time);
    if (probe.ring) ring_put(record, length);
    if (probe.framed) send_framed(record, length);
    repeat_names_in_ring();
}

static void send_declaration(uint16_t id) {
    uint8_t record[MAX_RECORD];
    const struct metric *metric = &probe.metrics[id - 1];
    uint32_t length = RECORD_HEADER;
    record[length++] = metric->kind;
    length += put_string(record + length, metric->name, 72);
    length += put_string(record + length, metric->unit, 20);
    if (metric->attributes[0] != 0) length += put_string(record + length, metric->attributes, MAX_RECORD - length - 1);
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
    for (uint32_t id = 1; id <= probe.metric_count; id++) send_declaration((uint16_t)id);
    probe.announcing = 0;
}

void unidbg_init(const char *program, uint64_t (*clock_ns)(void)) {
    probe.program = program;
    probe.clock_ns = clock_ns;
}

uint16_t unidbg_declare(enum unidbg_kind kind, const char *name, const char *unit) {
    return unidbg_declare_series(kind, name, unit, "");
}

uint16_t unidbg_declare_series(enum unidbg_kind kind, const char *name, const char *unit, const char *attributes) {
    if (probe.clock_ns == 0 || probe.metric_count >= UNIDBG_MAX_METRICS) return 0;
    uint32_t length = string_length(name) + string_length(unit) + string_length(attributes);
    if (string_length(name) > 72 || string_length(unit) > 20 || length > MAX_RECORD - RECORD_HEADER - 4) return 0;
    struct metric *metric = &probe.metrics[probe.metric_count++];
    metric->name = name;
    metric->unit = unit;
    metric->attributes = attributes;
    metric->kind = (uint8_t)kind;
    send_declaration(probe.metric_count);
    return probe.metric_count;
}

/* The one that must be cheap: with the ring alone it is eight stores and the caller's clock. */
static void send_value(uint16_t id, uint8_t type, uint64_t time, uint64_t bits) {
    if (id == 0 || id > probe.metric_count) return;
    if (probe.ring && !probe.framed) {
        ring_put_value(type | (uint64_t)id << 16 | (uint64_t)probe.sequence++ << 32, time, bits);
        repeat_names_in_ring();
        return;
    }
    uint8_t record[RECORD_HEADER + 8];
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
    union {
        uint8_t bytes[MAX_RECORD];
        uint64_t words[MAX_RECORD / 8];
    } record;
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

/* The slot of the next record, marked as being written. */
static inline struct ring_slot *ring_begin(uint32_t length) {
    struct ring_slot *slot = &unidbg_ring.slots[unidbg_ring.written & (UNIDBG_RING_SLOTS - 1)];
    slot->stamp = 0;
    RELEASE();
    slot->length = length;
    return slot;
}

static inline void ring_end(struct ring_slot *slot) {
    uint64_t written = unidbg_ring.written + 1;
    RELEASE();
    slot->stamp = written;
    RELEASE();
    unidbg_ring.written = written;
}

static void ring_put(const uint8_t *record, uint32_t length) {
    struct ring_slot *slot = ring_begin(length);
    copy(slot->record.bytes, record, length);
    ring_end(slot);
}

static void ring_put_value(uint64_t head, uint64_t time, uint64_t bits) {
    struct ring_slot *slot = ring_begin(RECORD_HEADER + 8);
    slot->record.words[0] = LITTLE64(head);
    slot->record.words[1] = LITTLE64(time);
    slot->record.words[2] = LITTLE64(bits);
    ring_end(slot);
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
    length = encode_frame(frame, record, length);
    if (probe.stream != 0 && !probe.stream(frame, length)) probe.dropped++;
    if (probe.uart != 0 && !uart_put(frame, length)) probe.dropped++;
    if (virtio_is_on() && !virtio_put(frame, length)) probe.dropped++;
}

int unidbg_use_stream(int (*put)(const uint8_t *frame, uint32_t length)) {
    if (put == 0) return 0;
    if (probe.stream == 0) probe.framed++;
    probe.stream = put;
    if (probe.clock_ns != 0) announce();
    return 1;
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
    if (probe.uart == 0) probe.framed++;
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

/* ---- PCI and virtio-console ---- */

/* Transitional devices are driven through their I/O ports (legacy interface, VIRTIO §4.1.4.10). Others through the window that every
 * modern device has in its PCI configuration space (VIRTIO_PCI_CAP_PCI_CFG, §4.1.4.9): so no BAR need be mapped, nor have an address. */

#define MAX_QUEUE 1024 /* the device alone says how long a legacy queue is: QEMU 7.2 has 32 and 128 here, QEMU 10 up to 1024 */
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
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
enum { F_MULTIPORT = 1 << 1, F_VERSION_1_HIGH = 1 };
/* Offsets in the common configuration, §4.1.4.3. */
enum { DEVICE_FEATURE_SELECT = 0, DEVICE_FEATURE = 4, DRIVER_FEATURE_SELECT = 8, DRIVER_FEATURE = 12, DEVICE_STATUS = 20,
       SELECT = 22, SIZE = 24, MSIX_VECTOR = 26, ENABLE = 28, NOTIFY_OFFSET = 30, ADDRESSES = 32 };
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_WINDOW = 5 };
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, CONSOLE_PORT = 4, PORT_OPEN = 6, PORT_NAME = 7 };

struct descriptor { uint64_t address; uint32_t length; uint16_t flags, next; };
struct used_element { uint32_t id, length; };
struct control { uint32_t port; uint16_t event, value; };
struct ports { uint32_t there, consoles; int32_t named; }; /* bit masks by port number; -1 = no port has our name */

struct region { uint32_t bar, offset; };

/* One split virtqueue: descriptors and available ring, then the used ring on the next page, as legacy devices want it (VIRTIO §2.7.2). */
struct queue {
    uint16_t index, size, last_used;
    uint32_t notify_at; /* modern: in the notify region */
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
    uint16_t io; /* legacy; 0 = modern */
    uint32_t address, window; /* of its configuration space, and of the window in it */
    uint32_t seen_bar, seen_offset, seen_length; /* what the window shows */
    struct region common, notify;
    uint32_t notify_multiplier;
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

static uint32_t pci_read(uint32_t address, uint32_t offset) {
    outl(0xcf8, 0x80000000u | address | offset);
    return inl(0xcfc);
}

static void pci_write(uint32_t address, uint32_t offset, uint32_t value) {
    outl(0xcf8, 0x80000000u | address | offset);
    outl(0xcfc, value);
}

static void window_show(const struct region *region, uint32_t offset, uint32_t length) {
    offset += region->offset;
    if (device.seen_length == length && device.seen_offset == offset && device.seen_bar == region->bar) return;
    pci_write(device.address, device.window + 4, region->bar);
    pci_write(device.address, device.window + 8, offset);
    pci_write(device.address, device.window + 12, length);
    device.seen_bar = region->bar;
    device.seen_offset = offset;
    device.seen_length = length;
}

static uint32_t common_read(uint32_t offset, uint32_t length) {
    window_show(&device.common, offset, length);
    uint32_t value = pci_read(device.address, device.window + 16);
    return length == 4 ? value : value & ((1u << 8 * length) - 1);
}

static void common_write(uint32_t offset, uint32_t length, uint32_t value) {
    window_show(&device.common, offset, length);
    pci_write(device.address, device.window + 16, value);
}

static void common_write_address(uint32_t offset, const volatile void *memory) {
    uint64_t address = physical(memory);
    common_write(offset, 4, (uint32_t)address);
    common_write(offset + 4, 4, (uint32_t)(address >> 32));
}

/* Takes in where a modern device has its registers. 0 when it is none. */
static int find_regions(void) {
    uint32_t found = 0;
    if ((pci_read(device.address, 4) >> 16 & 0x10) == 0) return 0; /* no capabilities */
    uint32_t at = pci_read(device.address, 0x34) & 0xfc;
    for (uint32_t count = 0; at >= 0x40 && count < 48; count++) {
        uint32_t head = pci_read(device.address, at), type = head >> 24;
        struct region region = {pci_read(device.address, at + 4) & 0xff, pci_read(device.address, at + 8)};
        if ((head & 0xff) == 0x09 && type < 8 && (found >> type & 1) == 0) {
            found |= 1u << type;
            if (type == CAP_COMMON) device.common = region;
            if (type == CAP_NOTIFY) {
                device.notify = region;
                device.notify_multiplier = pci_read(device.address, at + 16);
            }
            if (type == CAP_WINDOW) device.window = at;
        }
        at = head >> 8 & 0xfc;
    }
    const uint32_t wanted = 1u << CAP_COMMON | 1u << CAP_NOTIFY | 1u << CAP_WINDOW;
    return (found & wanted) == wanted;
}

/* Whether the function at `address` is a virtio-console that can be driven; then `device` says how. */
static int take_device(uint32_t address) {
    uint32_t id = pci_read(address, 0), bar = pci_read(address, 0x10);
    if (id != 0x10031af4 && id != 0x10431af4) return 0;
    device.address = address;
    device.seen_length = 0;
    device.io = id == 0x10031af4 && (bar & 1) != 0 ? (uint16_t)(bar & 0xfffc) : 0;
    if (device.io == 0 && !find_regions()) return 0;
    pci_write(address, 4, (pci_read(address, 4) & 0xffff) | 7); /* I/O space, memory space, bus master */
    return 1;
}

static int find_device(void) {
    for (uint32_t bus = 0; bus < 8; bus++)
        for (uint32_t slot = 0; slot < 32; slot++)
            for (uint32_t function = 0; function < 8; function++) {
                uint32_t address = bus << 16 | slot << 11 | function << 8;
                uint32_t id = pci_read(address, 0);
                if (id != 0xffffffff && take_device(address)) return 1;
                if (function == 0 && (id == 0xffffffff || (pci_read(address, 12) >> 16 & 0x80) == 0)) break;
            }
    return 0;
}

static void set_status(uint32_t status) {
    if (device.io != 0) outb(device.io + STATUS, (uint8_t)status);
    else common_write(DEVICE_STATUS, 1, status);
}

/* Resets the device and agrees with it on features. Gives whether it has several ports, -1 when it agrees on nothing. */
static int negotiate(void) {
    uint32_t features;
    set_status(0);
    set_status(ACKNOWLEDGE | DRIVER);
    if (device.io != 0) {
        features = inl(device.io + FEATURES) & F_MULTIPORT;
        outl(device.io + GUEST_FEATURES, features);
        return features != 0;
    }
    common_write(DEVICE_FEATURE_SELECT, 4, 0);
    features = common_read(DEVICE_FEATURE, 4) & F_MULTIPORT;
    common_write(DRIVER_FEATURE_SELECT, 4, 0);
    common_write(DRIVER_FEATURE, 4, features);
    common_write(DRIVER_FEATURE_SELECT, 4, 1);
    common_write(DRIVER_FEATURE, 4, F_VERSION_1_HIGH);
    set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    return (common_read(DEVICE_STATUS, 1) & FEATURES_OK) != 0 ? features != 0 : -1;
}

static void start_device(void) { set_status(ACKNOWLEDGE | DRIVER | DRIVER_OK | (device.io == 0 ? FEATURES_OK : 0)); }

static uint16_t select_queue(uint16_t index) {
    if (device.io != 0) {
        outw(device.io + QUEUE_SELECT, index);
        return inw(device.io + QUEUE_SIZE);
    }
    common_write(SELECT, 2, index);
    uint32_t size = common_read(SIZE, 2);
    return (uint16_t)(size > MAX_QUEUE ? MAX_QUEUE : size); /* a modern driver may want less than is offered */
}

static void clear(uint8_t *bytes, uint32_t length) {
    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = 0;
        STAYS_A_LOOP();
    }
}

static int queue_open(struct queue *queue, uint16_t index, uint8_t *memory) {
    queue->size = select_queue(index);
    if (queue->size < BUFFERS || queue->size > MAX_QUEUE) return 0;
    queue->index = index;
    queue->last_used = 0;
    queue->descriptors = (volatile struct descriptor *)memory;
    queue->available = (volatile uint16_t *)(memory + 16u * queue->size);
    uint32_t used_at = (16u * queue->size + 6 + 2u * queue->size + 4095) & ~4095u;
    queue->used = (volatile uint16_t *)(memory + used_at);
    clear(memory, QUEUE_BYTES);
    queue->available[0] = 1; /* no interrupts, please */
    if (device.io != 0) {
        outl(device.io + QUEUE_PFN, (uint32_t)(physical(memory) >> 12));
        return 1;
    }
    queue->notify_at = common_read(NOTIFY_OFFSET, 2) * device.notify_multiplier;
    common_write(SIZE, 2, queue->size);
    common_write(MSIX_VECTOR, 2, 0xffff);
    common_write_address(ADDRESSES, queue->descriptors);
    common_write_address(ADDRESSES + 8, queue->available);
    common_write_address(ADDRESSES + 16, queue->used);
    common_write(ENABLE, 2, 1);
    return 1;
}

static void queue_notify(const struct queue *queue) {
    if (device.io != 0) {
        outw(device.io + QUEUE_NOTIFY, queue->index);
        return;
    }
    window_show(&device.notify, queue->notify_at, 2);
    pci_write(device.address, device.window + 16, queue->index);
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
    queue_notify(queue);
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
    clear(control_in[id], CONTROL_SIZE);
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
    device.to_physical = to_physical;
    if (device.on || probe.clock_ns == 0 || !find_device()) return device.on;
    int ports = negotiate();
    if (ports < 0) return 0;
    uint16_t out_index = 1;
    if (ports > 0) {
        if (!queue_open(&device.control_in, 2, queue_memory[0]) || !queue_open(&device.control_out, 3, queue_memory[1])) return 0;
        /* A modern device wants all its queues before it starts; which one is ours we learn only then. Both orders work in QEMU. */
        start_device();
        int32_t port = choose_port();
        if (port < 0) return 0;
        out_index = (uint16_t)(port == 0 ? 1 : 2 * port + 3);
    }
    if (!queue_open(&device.out, out_index, queue_memory[2])) return 0;
    start_device();
    device.on = 1;
    probe.framed++;
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
