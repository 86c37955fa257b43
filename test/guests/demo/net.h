// The network: 10.0.2.15, as QEMU's user networking expects. Answers ARP, ping, UDP echo (port 7) and status (port 9), and
// pings the gateway 10.0.2.2 once a second.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct net_stats {
    bool up;                  // there is a card
    uint64_t rx_packets, rx_bytes;
    uint64_t tx_packets, tx_bytes;
    uint64_t rx_dropped;      // malformed, or nothing here wants them
    uint64_t tx_dropped;      // the send queue was full
    uint64_t interrupts;
    uint64_t arp_replies, icmp_echoes, udp_echoes, status_answers;
    uint64_t gateway_pings, gateway_answers;
    uint64_t gateway_rtt_ns;  // of the last answer
};
extern struct net_stats net_stats;

/** Starts the card and its thread, when there is one. */
void net_start(void);
