// Ethernet, ARP (RFC 826), IPv4 without options or fragments (RFC 791), ICMP echo (RFC 792), UDP (RFC 768). An answer goes
// back to the MAC it came from, so the only address ever looked up is the gateway's.
#include "net.h"
#include "alloc.h"
#include "app.h"
#include "console.h"
#include "gc.h"
#include "sched.h"
#include "string.h"
#include "timer.h"
#include "virtio_net.h"

enum { NET_STACK = 16384, ETHER_ARP = 0x0806, ETHER_IP = 0x0800, ARP_REQUEST = 1, ARP_REPLY = 2, IP_ICMP = 1, IP_UDP = 17 };
enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO = 8, PORT_ECHO = 7, PORT_STATUS = 9, STATUS_SIZE = 512, IP_FRAGMENT_MASK = 0x3fff };
#define OUR_IP 0x0a00020fu
#define GATEWAY_IP 0x0a000202u
#define POLL_PERIOD_NS (10 * NS_PER_MS)

struct ethernet {
    uint8_t to[MAC_SIZE], from[MAC_SIZE];
    uint16_t type;
} __attribute__((packed));

struct arp {
    uint16_t hardware, protocol;
    uint8_t hardware_size, protocol_size;
    uint16_t operation;
    uint8_t sender_mac[MAC_SIZE];
    uint32_t sender_ip;
    uint8_t target_mac[MAC_SIZE];
    uint32_t target_ip;
} __attribute__((packed));

struct ipv4 {
    uint8_t version_and_length, service;
    uint16_t total_length, id, fragment;
    uint8_t time_to_live, protocol;
    uint16_t checksum;
    uint32_t source, destination;
} __attribute__((packed));

struct icmp {
    uint8_t type, code;
    uint16_t checksum, id, sequence;
} __attribute__((packed));

struct udp {
    uint16_t source, destination, length, checksum;
} __attribute__((packed));

/** A frame being built, or a copy of one being answered. */
struct packet {
    struct ethernet ethernet;
    union {
        struct arp arp;
        struct {
            struct ipv4 ip;
            union {
                struct icmp icmp;
                struct udp udp;
                uint8_t payload[MAX_FRAME - sizeof(struct ethernet) - sizeof(struct ipv4)];
            };
        } __attribute__((packed));
    };
} __attribute__((packed));

enum { IP_OFFSET = sizeof(struct ethernet), PAYLOAD_OFFSET = IP_OFFSET + sizeof(struct ipv4) };

struct net_stats net_stats;

static uint8_t our_mac[MAC_SIZE], gateway_mac[MAC_SIZE];
static bool gateway_known;
static uint64_t ping_sent_at_ns;
static struct thread *net_thread;

static uint16_t swap16(uint16_t value) { return __builtin_bswap16(value); }
static uint32_t swap32(uint32_t value) { return __builtin_bswap32(value); }

/** The internet checksum (RFC 1071) in network order, over `length` bytes and a sum so far. */
static uint16_t checksum(const void *data, uint32_t length, uint32_t sum) {
    const uint8_t *bytes = data;
    for (uint32_t i = 0; i + 1 < length; i += 2) sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    if ((length & 1) != 0) sum += (uint32_t)bytes[length - 1] << 8;
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return swap16((uint16_t)~sum);
}

static uint32_t pseudo_header_sum(const struct ipv4 *ip, uint32_t length) {
    const uint32_t source = swap32(ip->source), destination = swap32(ip->destination);
    return (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff) + ip->protocol + length;
}

static void send_frame(struct packet *packet, uint16_t type, const uint8_t *to, uint32_t length) {
    memcpy(packet->ethernet.to, to, MAC_SIZE);
    memcpy(packet->ethernet.from, our_mac, MAC_SIZE);
    packet->ethernet.type = swap16(type);
    if (!virtio_net_send(packet, length)) {
        net_stats.tx_dropped++;
        return;
    }
    net_stats.tx_packets++;
    net_stats.tx_bytes += length;
}

static void send_arp(uint16_t operation, const uint8_t *target_mac, uint32_t target_ip, const uint8_t *to) {
    struct packet packet = {.arp = {swap16(1), swap16(ETHER_IP), MAC_SIZE, 4, swap16(operation), {0}, swap32(OUR_IP), {0}, target_ip}};
    memcpy(packet.arp.sender_mac, our_mac, MAC_SIZE);
    if (target_mac != NULL) memcpy(packet.arp.target_mac, target_mac, MAC_SIZE);
    send_frame(&packet, ETHER_ARP, to, IP_OFFSET + sizeof(struct arp));
}

/** Fills the IP header in and sends; `length` is that of the payload, whose own checksum is done. */
static void send_ip(struct packet *packet, const uint8_t *to_mac, uint32_t to_ip, uint8_t protocol, uint32_t length) {
    static uint16_t next_id;
    packet->ip = (struct ipv4){
        .version_and_length = 0x45,
        .total_length = swap16((uint16_t)(sizeof(struct ipv4) + length)),
        .id = swap16(next_id++),
        .time_to_live = 64,
        .protocol = protocol,
        .source = swap32(OUR_IP),
        .destination = to_ip,
    };
    packet->ip.checksum = checksum(&packet->ip, sizeof packet->ip, 0);
    send_frame(packet, ETHER_IP, to_mac, PAYLOAD_OFFSET + length);
}

static void send_icmp(struct packet *packet, const uint8_t *to_mac, uint32_t to_ip, uint8_t type, uint32_t length) {
    packet->icmp.type = type;
    packet->icmp.checksum = 0;
    packet->icmp.checksum = checksum(&packet->icmp, length, 0);
    send_ip(packet, to_mac, to_ip, IP_ICMP, length);
}

static bool receive_arp(const struct packet *packet, uint32_t length) {
    if (length < IP_OFFSET + sizeof(struct arp)) return false;
    const struct arp *arp = &packet->arp;
    if (arp->target_ip != swap32(OUR_IP)) return false;
    if (arp->sender_ip == swap32(GATEWAY_IP)) {
        memcpy(gateway_mac, arp->sender_mac, MAC_SIZE);
        gateway_known = true;
    }
    if (arp->operation != swap16(ARP_REQUEST)) return arp->operation == swap16(ARP_REPLY);
    net_stats.arp_replies++;
    send_arp(ARP_REPLY, arp->sender_mac, arp->sender_ip, arp->sender_mac);
    return true;
}

static bool receive_icmp(struct packet *packet, uint32_t length) {
    if (length < sizeof(struct icmp) || checksum(&packet->icmp, length, 0) != 0 || packet->icmp.code != 0) return false;
    if (packet->icmp.type == ICMP_ECHO_REPLY) {
        net_stats.gateway_answers++;
        net_stats.gateway_rtt_ns = clock_now_ns() - ping_sent_at_ns;
        return true;
    }
    if (packet->icmp.type != ICMP_ECHO) return false;
    net_stats.icmp_echoes++;
    send_icmp(packet, packet->ethernet.from, packet->ip.source, ICMP_ECHO_REPLY, length);
    return true;
}

static uint32_t write_status(char *text) {
    const uint64_t now = clock_now_ns();
    return (uint32_t)format_text(
        text, STATUS_SIZE,
        "demo up_ms=%lu ticks=%lu requests=%lu jobs=%lu gc_cycles=%lu gc_pause_max_ns=%lu heap_bytes=%lu rx=%lu tx=%lu\n",
        now / NS_PER_MS, tick_count, app_stats.requests, app_stats.jobs, gc_stats.cycles, gc_stats.pause_max_ns,
        alloc_stats.bytes_in_use, net_stats.rx_packets, net_stats.tx_packets);
}

static void answer_udp(struct packet *packet, uint32_t data_length) {
    const uint32_t length = sizeof(struct udp) + data_length;
    const uint16_t asker = packet->udp.source;
    const uint32_t asker_ip = packet->ip.source;
    packet->udp.source = packet->udp.destination;
    packet->udp.destination = asker;
    packet->udp.length = swap16((uint16_t)length);
    packet->udp.checksum = 0;
    // The request's addresses: swapping source and destination does not change the sum.
    const uint16_t sum = checksum(&packet->udp, length, pseudo_header_sum(&packet->ip, length));
    packet->udp.checksum = sum == 0 ? 0xffff : sum;
    send_ip(packet, packet->ethernet.from, asker_ip, IP_UDP, length);
}

static bool receive_udp(struct packet *packet, uint32_t length) {
    if (length < sizeof(struct udp) || swap16(packet->udp.length) < sizeof(struct udp)) return false;
    const uint32_t udp_length = swap16(packet->udp.length);
    if (udp_length > length) return false;
    if (packet->udp.checksum != 0 && checksum(&packet->udp, udp_length, pseudo_header_sum(&packet->ip, udp_length)) != 0) return false;
    switch (swap16(packet->udp.destination)) {
    case PORT_ECHO:
        net_stats.udp_echoes++;
        answer_udp(packet, udp_length - sizeof(struct udp));
        return true;
    case PORT_STATUS:
        net_stats.status_answers++;
        answer_udp(packet, write_status((char *)(&packet->udp + 1)));
        return true;
    default: return false;
    }
}

static bool receive_ip(struct packet *packet, uint32_t length) {
    if (length < PAYLOAD_OFFSET) return false;
    const struct ipv4 *ip = &packet->ip;
    const uint32_t total = swap16(ip->total_length);
    if (ip->version_and_length != 0x45 || total < sizeof(struct ipv4) || IP_OFFSET + total > length) return false;
    if (checksum(ip, sizeof *ip, 0) != 0 || ip->destination != swap32(OUR_IP)) return false;
    if ((swap16(ip->fragment) & IP_FRAGMENT_MASK) != 0) return false;
    const uint32_t payload_length = total - sizeof(struct ipv4);
    if (ip->protocol == IP_ICMP) return receive_icmp(packet, payload_length);
    if (ip->protocol == IP_UDP) return receive_udp(packet, payload_length);
    return false;
}

static void receive_frame(const uint8_t *frame, uint32_t length) {
    static struct packet packet; // answers are written over the question
    net_stats.rx_packets++;
    net_stats.rx_bytes += length;
    bool wanted = false;
    if (length >= sizeof(struct ethernet) && length <= sizeof packet) {
        memcpy(&packet, frame, length);
        if (packet.ethernet.type == swap16(ETHER_ARP)) wanted = receive_arp(&packet, length);
        else if (packet.ethernet.type == swap16(ETHER_IP)) wanted = receive_ip(&packet, length);
    }
    if (!wanted) net_stats.rx_dropped++;
}

static void ping_gateway(void) {
    static const uint8_t everybody[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (!gateway_known) {
        send_arp(ARP_REQUEST, NULL, swap32(GATEWAY_IP), everybody);
        return;
    }
    enum { PING_SIZE = 64 };
    struct packet packet = {0};
    packet.icmp.id = swap16(1);
    packet.icmp.sequence = swap16((uint16_t)net_stats.gateway_pings++);
    ping_sent_at_ns = clock_now_ns();
    send_icmp(&packet, gateway_mac, swap32(GATEWAY_IP), ICMP_ECHO, PING_SIZE);
}

static void on_interrupt(void) {
    net_stats.interrupts++;
    thread_wake(net_thread);
}

static void net_main(void *argument) {
    (void)argument;
    uint64_t next_ping = 0;
    for (;;) {
        if (virtio_net_poll(receive_frame) > 0) {
            thread_yield();
            continue;
        }
        const uint64_t now = clock_now_ns();
        if (now >= next_ping) {
            ping_gateway();
            next_ping = now + NS_PER_SECOND;
        }
        thread_sleep_ns(POLL_PERIOD_NS);
    }
}

void net_start(void) {
    net_stats.up = virtio_net_open(our_mac, on_interrupt);
    if (!net_stats.up) return;
    net_thread = thread_create("net", NET_STACK, net_main, NULL); // interrupts are still off
    console_printf("net: virtio card %02x:%02x:%02x:%02x:%02x:%02x at 10.0.2.15\n", our_mac[0], our_mac[1], our_mac[2], our_mac[3],
                   our_mac[4], our_mac[5]);
}
