// Guests for the agentless probes of kernels, as guests.ts has them for runtimes. OSv's are C++: what stands here under std:: is only
// what its probes look at of libstdc++'s types, which in a real kernel have the same names and members.

import { expect } from 'vitest';
import type { ProbeGuestSource } from './guests.ts';

const OSV_STD = `
  typedef unsigned long size_t;
  typedef unsigned long long u64;
  namespace std {
    template <class T> struct __atomic_base { T _M_i; };
    template <class T> struct atomic : __atomic_base<T> {};
    template <class T> struct __atomic_base<T*> { T* _M_p; };
    template <class T> struct atomic<T*> { __atomic_base<T*> _M_b; };
    template <class T> struct default_delete {};
    template <class T> struct unique_ptr { struct : default_delete<T> { T* _M_head_impl; } _M_t; };
    template <class T> struct vector { struct { T *_M_start, *_M_finish; } _M_impl; };
    template <class A, class B> struct pair { A first; B second; };
    namespace __detail {
      struct _Hash_node_base { _Hash_node_base* _M_nxt; };
      template <class V, bool C> struct _Hash_node : _Hash_node_base { struct { unsigned char __data[sizeof(V)]; } _M_storage; };
    }
    template <class K, class V> struct unordered_map {
      struct { void* _M_buckets; size_t _M_bucket_count; __detail::_Hash_node_base _M_before_begin; size_t _M_element_count; } _M_h;
    };
  }`;

export const KERNEL_GUESTS: readonly ProbeGuestSource[] = [
  {
    probe: 'osv-memory',
    variant: 'two CPUs, two mappings, a thread that waits for memory',
    language: 'c++',
    source: `${OSV_STD}
      #define KEPT __attribute__((used))
      struct tree_node { tree_node *parent_, *left_, *right_; };
      struct ring_node { ring_node *next_, *prev_; };
      namespace memory {
        KEPT static std::atomic<size_t> total_memory = {100 * 4096}, free_memory = {40 * 4096};
        KEPT static size_t watermark_lo = 4096;
        namespace stats { struct pool_stats { size_t _max, _nr; }; }
        namespace page_pool {
          struct page_batch { void* pages[4]; };
          page_batch* use;
          struct l2 { size_t _max; std::atomic<size_t> _nr; };
          KEPT static l2 global_l2 = {8, {2}};
          stats::pool_stats pools[2] = {{512, 3}, {512, 5}};
          KEPT static std::vector<stats::pool_stats> l1_pool_stats = {{pools, pools + 2}};
        }
        extern struct reclaimer { struct { ring_node header; } _oom_blocked; } reclaimer_thread;
        ring_node waiter = {&reclaimer_thread._oom_blocked.header, 0};
        reclaimer reclaimer_thread = {{{&waiter, &waiter}}};
      }
      namespace mmu {
        struct vma { void* vptr; struct { size_t _start, _end; } _range; tree_node _vma_list_hook; };
        struct vma_list_type { size_t size_; tree_node header; };
        extern vma_list_type vma_list;
        vma left = {0, {0x1000, 0x3000}, {}}, root = {0, {0x8000, 0x9000}, {(tree_node*)((char*)&vma_list.header + 1), &left._vma_list_hook, 0}};
        vma_list_type vma_list = {2, {&root._vma_list_hook, 0, 0}};
      }
      namespace pagecache { std::unordered_map<int, int> read_cache = {{0, 0, {0}, 6}}, write_cache = {{0, 0, {0}, 1}}; }`,
    expected: {
      'unikernel.memory.limit': 409_600,
      'unikernel.memory.free': 163_840,
      'unikernel.memory.used': 245_760,
      'unikernel.memory.watermark': 4096,
      'unikernel.memory.pooled': [
        { value: 12_288, attributes: { pool: 'l1', cpu: '0' } },
        { value: 20_480, attributes: { pool: 'l1', cpu: '1' } },
        { value: 32_768, attributes: { pool: 'l2', cpu: 'all' } },
      ],
      'unikernel.memory.waiting': 1,
      'unikernel.memory.mapped': 0x3000n,
      'unikernel.memory.mappings': 2,
      'unikernel.memory.cached': [
        { value: 24_576, attributes: { cache: 'read' } },
        { value: 4096, attributes: { cache: 'write' } },
      ],
      'unikernel.memory.jvm': { absent: 'the JVM balloon is not in this build: set conf_memory_jvm_balloon=1' },
    },
  },
  {
    probe: 'osv-sched',
    variant:
      'two threads in a deadlock, one on a condition variable, one that sleeps beside what it waited on before, one that runs',
    language: 'c++',
    source: `${OSV_STD}
      namespace sched {
        struct cpu { unsigned id; };
        struct timers { struct { size_t size_; } data_; };
        struct client { void* vptr; timers _active_timers; };
        struct thread : client {
          enum class status { invalid, prestarted, unstarted, waiting, sending_lock, running, queued, waking, terminating, terminated };
          struct detached_state { thread* t; cpu* _cpu; bool lock_sent; std::atomic<status> st; };
          struct { char* exception_stack; void *rsp, *rbp, *rip; } _state;
          std::unique_ptr<detached_state> _detached_state;
          struct { struct { void* begin; size_t size; } _stack; struct { char _M_elems[16]; } _name; } _attr;
          unsigned _id;
          struct { std::atomic<size_t> _counter; } stat_switches, stat_preemptions, stat_migrations;
          struct { long __r; } _total_cpu_time;
        };
        extern std::unordered_map<unsigned int, thread*> thread_map;
      }
      struct wait_record { std::atomic<sched::thread*> t; wait_record* next; } __attribute__((aligned(64)));
      namespace lockfree {
        struct mutex {
          std::atomic<int> count; unsigned depth; std::atomic<sched::thread*> owner;
          struct { std::atomic<wait_record*> pushlist, poplist; } waitqueue;
        };
      }
      struct condvar { lockfree::mutex _m; struct { wait_record *oldest, *newest; } _waiters_fifo; };
      using S = sched::thread::status;
      extern struct stack { u64 words[32]; void* lock; wait_record record; u64 more[256]; } stack_a, stack_b, stack_c, stack_d;
      extern lockfree::mutex lock_a, lock_b;
      extern sched::thread a, b, c, d, e;
      sched::thread::detached_state at_a = {&a, 0, false, {S::waiting}}, at_b = {&b, 0, false, {S::waiting}},
        at_c = {&c, 0, false, {S::waiting}}, at_d = {&d, 0, false, {S::waiting}}, at_e = {&e, 0, false, {S::running}};
      sched::thread
        a = {{0, {0}}, {0, &stack_a, (void*)0x22, (void*)0x33}, {{{}, &at_a}}, {{&stack_a, 4096}, {"a"}}, 1, {10}, {1}, {0}, {500}},
        b = {{0, {0}}, {0, &stack_b, 0, 0}, {{{}, &at_b}}, {{0, 0}, {"b"}}, 2, {20}, {2}, {0}, {600}},
        c = {{0, {1}}, {0, &stack_c, 0, 0}, {{{}, &at_c}}, {{0, 0}, {"c"}}, 3, {30}, {3}, {1}, {700}},
        d = {{0, {2}}, {0, &stack_d, 0, 0}, {{{}, &at_d}}, {{0, 0}, {""}}, 4, {40}, {4}, {0}, {800}},
        e = {{0, {0}}, {0, 0, 0, 0}, {{{}, &at_e}}, {{0, 0}, {"idle0"}}, 5, {50}, {5}, {0}, {900000}};
      lockfree::mutex lock_a = {{2}, 0, {&b}, {{0}, {&stack_a.record}}}, lock_b = {{2}, 0, {&a}, {{&stack_b.record}, {0}}};
      condvar condition = {{}, {&stack_b.record, &stack_c.record}}, left_over = {{}, {&stack_d.record, 0}};
      stack stack_a = {{7}, &lock_a, {{&a}, 0}}, stack_b = {{&lock_a ? 9u : 0}, &lock_b, {{&b}, &stack_c.record}},
        stack_c = {{1}, &condition, {{&c}, 0}}, stack_d = {{1}, &left_over, {{&d}, 0}};
      using node = std::__detail::_Hash_node<std::pair<unsigned int const, sched::thread*>, false>;
      struct real_node { void* next; std::pair<unsigned int const, sched::thread*> value; };
      node instance;
      extern real_node nodes[5];
      real_node nodes[5] = {{&nodes[1], {1, &a}}, {&nodes[2], {2, &b}}, {&nodes[3], {3, &c}}, {&nodes[4], {4, &d}}, {0, {5, &e}}};
      namespace sched {
        std::unordered_map<unsigned int, thread*> thread_map = {{0, 0, {(std::__detail::_Hash_node_base*)nodes}, 5}};
      }`,
    expected: {
      'unikernel.threads': ['runnable', 'running', 'sleeping', 'waiting'].map((state, index) => ({
        value: [0, 1, 2, 2][index],
        attributes: { state },
      })),
      'unikernel.context_switches': 150,
      'unikernel.preemptions': 15,
      'unikernel.migrations': 1,
      'unikernel.thread.cpu.time': 2600e-9,
    },
    threads: [
      {
        id: '1',
        name: 'a',
        state: 'blocked',
        waitingFor: expect.stringMatching(/^mutex 0x/),
        blockedBy: '2',
        registers: { machine: 'x86_64', values: { rbp: 0x22n, rip: 0x33n } },
        stack: { size: 4096 },
        cpuTimeNs: 500,
      },
      { id: '2', state: 'blocked', waitingFor: expect.stringMatching(/^mutex 0x/), blockedBy: '1', stack: null },
      { id: '3', state: 'sleeping', waitingFor: expect.stringMatching(/^condition variable 0x/), blockedBy: null },
      { id: '4', name: 'unnamed', state: 'sleeping', waitingFor: null },
      { id: '5', name: 'idle0', state: 'running', registers: null },
    ],
  },
  {
    probe: 'osv-net',
    variant: 'a virtio card and the loopback interface; a listener, a connection over each of IPv4 and IPv6, one in TIME_WAIT',
    language: 'c++',
    source: `${OSV_STD}
      typedef unsigned short u16; typedef unsigned char u8;
      struct ifnet;
      struct if_data { size_t ifi_ipackets, ifi_ierrors, ifi_opackets, ifi_oerrors, ifi_ibytes, ifi_obytes, ifi_iqdrops; };
      struct ifnet { void* if_softc; struct { ifnet *tqe_next, **tqe_prev; } if_link; char if_xname[16]; struct if_data if_data; };
      namespace virtio { struct net {
        void* vptr;
        struct { struct { u64 rx_packets, rx_bytes, rx_drops, rx_csum_err; } stats; } _rxq;
        struct { struct { u64 tx_packets, tx_bytes, tx_err, tx_drops, tx_hw_queue_is_full; } stats; } _txq;
        ::ifnet* _ifn;
      }; }
      extern ifnet eth0;
      virtio::net card = {0, {{10, 1000, 1, 2}}, {{20, 2000, 3, 4, 5}}, &eth0};
      ifnet lo0 = {0, {0, 0}, "lo0", {7, 0, 8, 0, 70, 80, 9}}, eth0 = {&card, {&lo0, 0}, "eth0", {}};
      struct ifnethead { ::ifnet *tqh_first, **tqh_last; } ifnet = {&eth0, 0};
      struct in_addr { unsigned s_addr; };
      union in_dependaddr { struct { unsigned ia46_pad32[3]; in_addr ia46_addr4; } id46_addr; struct { u8 bytes[16]; } id6_addr; };
      struct inpcb;
      struct tcpcb { inpcb* t_inpcb; int t_state; int t_sndrexmitpack; };
      struct sockbuf { unsigned sb_cc; };
      struct socket { sockbuf so_rcv, so_snd; };
      struct inpcb {
        struct { inpcb *le_next, **le_prev; } inp_list; void* inp_ppcb; socket* inp_socket; int inp_flags;
        struct { u8 inc_flags; struct { u16 ie_fport, ie_lport; in_dependaddr ie_dependfaddr, ie_dependladdr; } inc_ie; } inp_inc;
      };
      extern inpcb listener, four, six, old;
      tcpcb listening = {&listener, 1, 0}, established = {&four, 4, 6}, closing = {&six, 5, 0};
      socket s = {{11}, {22}};
      inpcb
        old = {{0, 0}, &card, 0, 0x01000000, {0, {0x0100, 0x901f, {{{}, {0x0100000a}}}, {{{}, {0x0200000a}}}}}},
        six = {{&old, 0}, &closing, 0, 0, {1, {0x0200, 0x901f, {.id6_addr = {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}}, {.id6_addr = {{0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}}}}}},
        four = {{&six, 0}, &established, &s, 0, {0, {0x39c3, 0x901f, {{{}, {0x0202000a}}}, {{{}, {0x0f02000a}}}}}},
        listener = {{&four, 0}, &listening, 0, 0, {0, {0, 0x901f, {}, {}}}},
        resolver = {{0, 0}, 0, 0, 0, {0, {0, 0x4400, {}, {}}}};
      struct inpcbhead { inpcb* lh_first; } tcp_list = {&listener}, udp_list = {&resolver};
      struct inpcbinfo { inpcbhead* ipi_listhead; } tcbinfo = {&tcp_list}, udbinfo = {&udp_list};
      struct tcpstat { size_t tcps_connects, tcps_accepts, tcps_drops, tcps_sndtotal, tcps_sndrexmitpack, tcps_rcvtotal; } tcpstat = {1, 2, 3, 4, 5, 6};
      struct udpstat { size_t udps_ipackets, udps_opackets; } udpstat = {1, 2};
      struct ipstat { size_t ips_total, ips_badsum, ips_noproto, ips_localout, ips_odropped, ips_noroute; } ipstat = {1, 2, 3, 4, 5, 6};`,
    expected: {
      'system.network.io': [
        { value: 1000, attributes: { device: 'eth0', direction: 'receive' } },
        { value: 2000, attributes: { device: 'eth0', direction: 'transmit' } },
        { value: 70, attributes: { device: 'lo0', direction: 'receive' } },
        { value: 80, attributes: { device: 'lo0', direction: 'transmit' } },
      ],
      'unikernel.network.queue.full': [{ value: 5, attributes: { device: 'eth0' } }],
      'system.network.connections': [
        { value: 1, attributes: { protocol: 'tcp', state: 'close-wait' } },
        { value: 1, attributes: { protocol: 'tcp', state: 'established' } },
        { value: 1, attributes: { protocol: 'tcp', state: 'listen' } },
        { value: 1, attributes: { protocol: 'tcp', state: 'time-wait' } },
        { value: 1, attributes: { protocol: 'udp', state: 'none' } },
      ],
      'unikernel.tcp.retransmits': 5,
      'unikernel.tcp.segments': [
        { value: 6, attributes: { direction: 'receive' } },
        { value: 4, attributes: { direction: 'transmit' } },
      ],
    },
    sockets: [
      { protocol: 'tcp', state: 'listen', local: { address: '*', port: 8080 }, remote: null },
      {
        state: 'established',
        local: { address: '10.0.2.15', port: 8080 },
        remote: { address: '10.0.2.2', port: 49_977 },
        receiveQueue: 11,
        sendQueue: 22,
        retransmits: 6,
      },
      { state: 'close-wait', local: { address: '2001:db8:1::2', port: 8080 }, remote: { address: 'fe80::1', port: 2 } },
      { state: 'time-wait', remote: { address: '10.0.0.1', port: 1 }, receiveQueue: null },
      { protocol: 'udp', state: null, local: { address: '*', port: 68 }, remote: null },
    ],
  },
  {
    probe: 'lwip',
    variant: 'both versions of IP, 16-bit counters',
    source: `
      typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32;
      typedef struct ip_addr { union { struct { u32 addr[4]; u8 zone; } ip6; struct { u32 addr; } ip4; } u_addr; u8 type; } ip_addr_t;
      enum tcp_state { CLOSED, LISTEN, SYN_SENT, SYN_RCVD, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT };
      struct tcp_pcb { ip_addr_t local_ip, remote_ip; struct tcp_pcb *next; enum tcp_state state; u16 local_port, remote_port; u8 nrtx; u32 lastack, snd_lbb; u16 snd_queuelen; };
      struct tcp_pcb_listen { ip_addr_t local_ip, remote_ip; struct tcp_pcb_listen *next; enum tcp_state state; u16 local_port; };
      struct udp_pcb { ip_addr_t local_ip, remote_ip; struct udp_pcb *next; u16 local_port, remote_port; };
      #define V4(a) {.u_addr.ip4.addr = a, .type = 0}
      #define ME V4(0x0f02000a)
      static struct tcp_pcb last = {ME, V4(0x0302000a), 0, TIME_WAIT, 8080, 40000};
      static struct tcp_pcb six = {{{{{0x80fe, 0, 0, 0x01000000}}}, 6}, {{{{0xb80d0120, 0, 0, 0x02000000}}}, 6}, 0, FIN_WAIT_2, 8080, 50001, 0, 7, 7, 0};
      static struct tcp_pcb four = {ME, V4(0x0202000a), &six, ESTABLISHED, 8080, 50000, 2, 0xfffffff0, 0x10, 3};
      static struct tcp_pcb_listen listener = {{{0}, 46}, {{0}, 46}, 0, LISTEN, 8080};
      static struct udp_pcb dns = {ME, V4(0x0302000a), 0, 53000, 53}, dhcp = {{0}, {0}, &dns, 68, 0};
      struct tcp_pcb *tcp_active_pcbs = &four, *tcp_tw_pcbs = &last;
      union tcp_listen_pcbs_t { struct tcp_pcb_listen *listen_pcbs; struct tcp_pcb *pcbs; } tcp_listen_pcbs = {&listener};
      struct udp_pcb *udp_pcbs = &dhcp;
      struct netif { struct netif *next; ip_addr_t ip_addr; u8 flags; char name[2]; u8 num; };
      static struct netif lo = {0, V4(0x0100007f), 0, "lo", 0}, en = {&lo, ME, 0x2d, "en", 1};
      struct netif *netif_list = &en;
      struct stats_proto { u16 xmit, recv, drop, chkerr, lenerr, memerr, rterr, proterr, opterr; };
      struct stats_ { struct stats_proto ip, udp, tcp; } lwip_stats = {{1, 2, 3, 4}, {5, 6, 7}, {8, 65535, 9, 0, 0, 2}};`,
    expected: {
      'system.network.connections': [
        { value: 1, attributes: { protocol: 'tcp', state: 'established' } },
        { value: 1, attributes: { protocol: 'tcp', state: 'fin-wait-2' } },
        { value: 1, attributes: { protocol: 'tcp', state: 'listen' } },
        { value: 1, attributes: { protocol: 'tcp', state: 'time-wait' } },
        { value: 2, attributes: { protocol: 'udp', state: 'none' } },
      ],
      'unikernel.network.up': [
        { value: 1, attributes: { device: 'en1', address: '10.0.2.15' } },
        { value: 0, attributes: { device: 'lo0', address: '127.0.0.1' } },
      ],
      'unikernel.tcp.send_queue': 32,
      'unikernel.tcp.send_queue.segments': 3,
      'unikernel.tcp.retransmitting': 1,
      'unikernel.tcp.segments': [
        { value: 65_535, attributes: { direction: 'receive' }, wrapsAt: 65_536 },
        { value: 8, attributes: { direction: 'transmit' }, wrapsAt: 65_536 },
      ],
      'unikernel.network.errors': [
        { value: 0, attributes: { protocol: 'ip', reason: 'no memory' } },
        { value: 4, attributes: { protocol: 'ip', reason: 'checksum' } },
        { value: 0, attributes: { protocol: 'udp', reason: 'no memory' } },
        { value: 2, attributes: { protocol: 'tcp', reason: 'no memory' } },
      ],
    },
    sockets: [
      { protocol: 'tcp', state: 'listen', local: { address: '*', port: 8080 }, remote: null },
      {
        state: 'established',
        local: { address: '10.0.2.15', port: 8080 },
        remote: { address: '10.0.2.2', port: 50_000 },
        sendQueue: 32,
        retransmits: 2,
      },
      { state: 'fin-wait-2', local: { address: 'fe80::1', port: 8080 }, remote: { address: '2001:db8::2', port: 50_001 } },
      { state: 'time-wait', remote: { address: '10.0.2.3', port: 40_000 } },
      { protocol: 'udp', state: null, local: { address: '*', port: 68 }, remote: null },
      { protocol: 'udp', local: { port: 53_000 }, remote: { address: '10.0.2.3', port: 53 } },
    ],
  },
  ...([4, 6] as const).map((version) => ({
    probe: 'lwip',
    variant: `IPv${version} alone, no counters`,
    source: `
      typedef struct ip_addr { unsigned addr${version === 4 ? '' : '[4]'}; } ip_addr_t;
      struct tcp_pcb { ip_addr_t local_ip, remote_ip; struct tcp_pcb *next; int state; unsigned short local_port, remote_port; };
      static struct tcp_pcb only = {${version === 4 ? '{0x0f02000a}, {0x0202000a}' : '{0x80fe, 0, 0, 0x01000000}, {0x80fe, 0, 0, 0x02000000}'}, 0, 2, 1024, 80};
      struct tcp_pcb *tcp_active_pcbs = &only;`,
    expected: {
      'system.network.connections': [
        { value: 0, attributes: { protocol: 'tcp', state: 'established' } },
        { value: 0, attributes: { protocol: 'tcp', state: 'listen' } },
        { value: 1, attributes: { protocol: 'tcp', state: 'syn-sent' } },
      ],
      'unikernel.tcp.segments': { absent: 'lwIP was built without LWIP_STATS: set it to 1 in lwipopts.h' },
    },
    sockets: [
      version === 4
        ? { local: { address: '10.0.2.15', port: 1024 }, remote: { address: '10.0.2.2', port: 80 } }
        : { local: { address: 'fe80::1', port: 1024 }, remote: { address: 'fe80::2', port: 80 } },
    ],
  })),
  {
    probe: 'nanos-net',
    variant: 'a card with two queues for three CPUs, and one that is none of virtio',
    source: `
      typedef unsigned short u16;
      struct netif { struct netif *next; void *state; char name[2]; unsigned char num; };
      struct ring { u16 flags, idx; };
      struct virtqueue { struct ring *avail, *used; u16 last_used_idx; };
      struct vnet_rx { struct virtqueue *q; };
      struct vnet { struct { struct netif n; } ndev; struct virtqueue **txq_map; struct vnet_rx *rx; };
      static struct ring rings[8] = {{0, 266}, {0, 10}, {0, 300}, {0, 44}, {0, 7}, {0, 7}, {0, 2}, {0, 65535}};
      static struct virtqueue queues[4] = {{&rings[0], &rings[1], 10}, {&rings[2], &rings[3], 40}, {&rings[4], &rings[5], 0}, {&rings[6], &rings[7], 0}};
      static struct virtqueue *map[3] = {&queues[2], &queues[2], &queues[3]};
      static struct vnet_rx rx[2] = {{&queues[0]}, {&queues[1]}};
      static struct netif other = {0, &map, "lo", 0};
      extern struct vnet card;
      struct vnet card = {{{&other, &card, "en", 1}}, map, rx};
      struct netif *netif_list = &card.ndev.n;
      unsigned long total_processors = 3;
      int page_heap;`,
    expected: {
      'system.network.packets': [
        { value: 10, attributes: { device: 'en1', direction: 'receive', queue: '0' }, wrapsAt: 65_536 },
        { value: 44, attributes: { device: 'en1', direction: 'receive', queue: '1' } },
        { value: 7, attributes: { device: 'en1', direction: 'transmit', queue: '0' } },
        { value: 65_535, attributes: { device: 'en1', direction: 'transmit', queue: '1' } },
      ],
      'unikernel.network.queue': [{ value: 0 }, { value: 4 }, { value: 0 }, { value: 3 }],
    },
  },
  ...(['struct { struct { unsigned long bytes, packets, errors, fifo; } tx_m, rx_m; } _stats;', ''] as const).map((stats) => ({
    probe: 'uk-netdev',
    variant: stats === '' ? 'without statistics' : 'with statistics',
    source: `
      struct uk_netdev { struct { int id; } *_data; struct { struct uk_netdev *tqe_next; } _list; ${stats} };
      static struct { int id; } data = {3};
      static struct uk_netdev device = {(void *)&data, {0} ${stats === '' ? '' : ', {{1000, 10, 1, 2}, {2000, 20, 3, 4}}'}};
      struct uk_netdev_list { struct uk_netdev *tqh_first; } uk_netdev_list = {&device};`,
    expected: {
      'system.network.io':
        stats === ''
          ? { absent: 'counters of network devices are not in this build: set CONFIG_LIBUKNETDEV_STATS=y' }
          : [
              { value: 2000, attributes: { device: 'netdev3', direction: 'receive' } },
              { value: 1000, attributes: { device: 'netdev3', direction: 'transmit' } },
            ],
    },
  })),
  {
    probe: 'solo5-net',
    variant: 'one card of two places',
    source: `
      typedef unsigned short u16;
      struct ring { u16 flags, idx; };
      struct virtq { struct ring *avail, *used; u16 last_used; };
      struct virtio_net_desc { struct virtq xmitq, recvq; };
      static struct ring rings[4] = {{0, 9}, {0, 8}, {0, 300}, {0, 65535}};
      static struct virtio_net_desc nd_table[2] = {{{&rings[0], &rings[1], 8}, {&rings[2], &rings[3], 65533}}, {{0}}};
      static unsigned nd_num_entries = 1;
      void *use(void) { return nd_table + nd_num_entries++; }`,
    expected: {
      'system.network.packets': [
        { value: 65_535, attributes: { device: 'net0', direction: 'receive' }, wrapsAt: 65_536 },
        { value: 8, attributes: { device: 'net0', direction: 'transmit' }, wrapsAt: 65_536 },
      ],
      'unikernel.network.queue': [
        { value: 2, attributes: { device: 'net0', direction: 'receive' } },
        { value: 1, attributes: { device: 'net0', direction: 'transmit' } },
      ],
    },
  },
  ...([944, 936] as const).map((size) => ({
    probe: 'dlmalloc',
    variant: size === 944 ? 'with a count of bytes in use' : 'as released',
    untyped: true as const,
    source: `
      unsigned long mparams[6] = {0x55aa};
      unsigned long _gm_[${size / 8}] = {[1] = 0x100, [2] = 0x2000, [8] = 0x55aa, [107] = 0x10000, [108] = 0x18000${size === 944 ? ', [117] = 0xc000' : ''}};`,
    expected: {
      'unikernel.malloc.footprint': 0x10000n,
      'unikernel.malloc.footprint.peak': 0x18000n,
      'unikernel.malloc.used':
        size === 944 ? 0xc000n : { absent: 'this dlmalloc does not count chunks in use: they would have to be walked' },
      'unikernel.malloc.top': 0x2000n,
    },
  })),
  {
    probe: 'dlmalloc',
    variant: 'something else of that name',
    untyped: true,
    source: 'unsigned long _gm_[118] = {[8] = 1, [107] = 5}, mparams[6] = {2};',
    expected: {
      'unikernel.malloc.footprint': {
        absent: 'what lies at _gm_ is not the state of a dlmalloc 2.8.6, or it has not allocated yet',
      },
    },
  },
  {
    probe: 'halvm',
    variant: 'a domain of 100 pages',
    untyped: true,
    source: `
      void *p2m_map;
      unsigned long cur_pages = 100, max_pages = 200;
      struct { int num_pg_allocs, num_pg_frees, num_mb_allocs, num_mb_frees; } stats = {50, 10, 3, 1};`,
    expected: {
      'unikernel.memory.limit': 100 * 4096,
      'unikernel.memory.used': 40 * 4096,
      'unikernel.memory.free': 60 * 4096,
      'ghc.memory.megablocks': 2 << 20,
    },
  },
  ...(['unsigned long nr_free_pages = 11, nr_mem_pages = 40;', ''] as const).map((counted) => ({
    probe: 'minios',
    variant: counted === '' ? 'free lists' : 'free pages counted',
    source: `
      typedef struct chunk { struct chunk *next, **pprev; int level; } chunk_head_t;
      static chunk_head_t free_tail[3], pair = {&free_tail[1]}, other = {&pair}, single = {&free_tail[0]};
      chunk_head_t *free_head[3] = {&single, &other, &free_tail[2]};
      struct thread { char *name, *stack; unsigned long sp, ip; struct { struct thread *tqe_next; } thread_list; unsigned flags; long wakeup_time; };
      static struct thread gone = {"gone", 0, 1, 2, {0}, 1, 0}, blocked = {"blocked", (char *)0x10000, 0x1ff00, 0x500, {0}, 0, 0};
      static struct thread sleeper = {"sleeper", 0, 3, 4, {&blocked}, 0, 77}, idle = {"idle", 0, 5, 6, {&sleeper}, 1, 0};
      struct thread *idle_thread = &idle;
      struct thread_list { struct thread *tqh_first; } thread_list = {&idle}, exited_threads = {&gone};
      ${counted}`,
    expected: {
      'unikernel.memory.free': (counted === '' ? 5 : 11) * 4096,
      'unikernel.memory.limit':
        counted === ''
          ? { absent: 'this Mini-OS was built without CONFIG_BALLOON: it does not keep how much it has' }
          : 40 * 4096,
    },
    threads: [
      { name: 'idle', state: 'runnable', registers: null },
      { name: 'sleeper', state: 'sleeping', registers: { values: { rip: 4n, rsp: 3n } } },
      { name: 'blocked', state: 'blocked', stack: { base: 0x10000n } },
      { name: 'gone', state: 'exited', registers: null },
    ],
  })),
  ...(['threadq', 'threads'] as const).map((head) => ({
    probe: 'rumprun',
    variant: `bmk's ${head}, one interface`,
    untyped: true as const,
    source: `
      unsigned long pgalloc_totalkb = 1000, pgalloc_usedkb = 300;
      struct bmk_thread {
        char bt_name[16]; long long bt_wakeup_time; int bt_flags; struct { unsigned long btcb_sp, btcb_ip; } bt_tcb;
        struct { struct bmk_thread *tqe_next; } ${head === 'threadq' ? 'bt_threadq' : 'bt_entries'};
      };
      static struct bmk_thread blocked = {"blocked", -1, 0, {1, 2}, {0}}, sleeper = {"sleeper", 5, 2, {3, 4}, {&blocked}};
      static struct bmk_thread main_thread = {"main", -1, 1, {5, 6}, {&sleeper}};
      struct { struct bmk_thread *tqh_first; } ${head} = {&main_thread};
      struct ifnet { struct { struct ifnet *tqe_next; } if_list; char if_xname[16]; struct { unsigned long ifi_ipackets, ifi_opackets, ifi_ibytes, ifi_obytes; } if_data; };
      static struct ifnet vioif0 = {{0}, "vioif0", {1, 2, 3, 4}};
      struct { struct ifnet *tqh_first; } rumpns_ifnet_list = {&vioif0};`,
    expected: {
      'unikernel.memory.limit': 1_024_000,
      'unikernel.memory.used': 307_200,
      'unikernel.memory.free': 716_800,
      'system.network.io': [
        { value: 3, attributes: { device: 'vioif0', direction: 'receive' } },
        { value: 4, attributes: { device: 'vioif0', direction: 'transmit' } },
      ],
      'system.network.errors': { absent: "Rumprun's libraries have no debug information: build them with -g" },
    },
    threads: [
      { name: 'main', state: 'runnable', registers: null },
      { name: 'sleeper', state: 'sleeping', registers: { values: { rip: 4n, rsp: 3n } } },
      { name: 'blocked', state: 'blocked' },
    ],
  })),
  {
    probe: 'includeos',
    variant: 'four statistics over two blocks',
    language: 'c++',
    source: `
      typedef unsigned char u8; typedef unsigned u32; typedef unsigned long u64;
      class Stat { public: union { float f; u32 ui32; u64 ui64; }; u8 m_bits; char name_[47]; };
      struct block { Stat stats[73]; } one = {}, two = {};
      struct Statman { struct { struct { Stat **__first_, **__begin_, **__end_; } __map_; u64 __start_; struct { u64 __value_; } __size_; } m_stats; };
      struct end { char rest[56 * 71]; Stat stats[2]; };
      end first = {{}, {{{.ui32 = 3}, 1, "eth0.tcp.rx"}, {{.f = 1.5}, 0x40, "load"}}};
      Stat second[73] = {{{.ui64 = 5000000000}, 0x82, "eth0.ethernet.bytes"}, {{.ui32 = 9}, 1, ""}};
      Stat* blocks[3] = {0, (Stat*)&first, second};
      __attribute__((used)) static Statman statman_instance = {{{blocks, blocks + 1, blocks + 3}, 71, {4}}};`,
    expected: {
      'includeos.stat.counter': [
        { value: 3, attributes: { name: 'eth0.tcp.rx' }, wrapsAt: 2 ** 32 },
        { value: 5_000_000_000, attributes: { name: 'eth0.ethernet.bytes' } },
      ],
      'includeos.stat.gauge': [{ value: 1.5, attributes: { name: 'load' } }],
    },
  },
];
