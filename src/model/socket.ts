// What a guest's own network stack says it has open, as a probe reads it from memory: listeners and connections.

/** One end of a connection, or where a socket waits. `port` is null where the protocol has none. */
export interface NetworkEnd {
  /** As text, without a port: `10.0.2.15`, `fe80::1`, `*` for any. */
  readonly address: string;
  readonly port: number | null;
}

/** States of TCP as RFC 9293 names them, in lower case. */
export type TcpState =
  | 'closed'
  | 'listen'
  | 'syn-sent'
  | 'syn-received'
  | 'established'
  | 'fin-wait-1'
  | 'fin-wait-2'
  | 'close-wait'
  | 'closing'
  | 'last-ack'
  | 'time-wait';

/** A socket (pcb) in the guest's tables. */
export interface GuestSocket {
  readonly protocol: 'tcp' | 'udp' | 'raw';
  /** Null for protocols without connections. */
  readonly state: TcpState | null;
  readonly local: NetworkEnd;
  /** Null while it has no peer. */
  readonly remote: NetworkEnd | null;
  /** Bytes that wait in the stack: received and not read by the program, sent and not acknowledged; null = not kept. */
  readonly receiveQueue: number | null;
  readonly sendQueue: number | null;
  /** Segments sent again, where the stack counts them for a socket. */
  readonly retransmits: number | null;
}
