/**
 * What the TCP/IP stack offers: to the library OS's sockets on one side and to the gateway on the other. Bytes in, bytes
 * out, time passed in; no timers, no callbacks into the outside but `onReady`.
 * Shape after smoltcp (process, dispatch, pollAt).
 */

/** IPv4 address as an unsigned 32-bit integer, 10.0.0.1 = 0x0a000001. */
export type Ipv4 = number;

export interface Endpoint {
  readonly address: Ipv4;
  readonly port: number;
}

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

export interface StackOptions {
  readonly address: Ipv4;
  /** Largest IP packet, bytes: up to 65535 between the gateway and the guest. */
  readonly mtu: number;
  /** Unpredictable bytes, for the ISN secret (RFC 6528) and the timestamp offset. Asked once, at construction. */
  readonly entropy: (length: number) => Uint8Array;
  /** Memory for a packet, its content arbitrary. Absent: new arrays. */
  readonly allocate?: (length: number) => Uint8Array;
  /** Longest delay of an acknowledgement (RFC 1122 4.2.3.2), µs; absent: 40 ms, as Linux. */
  readonly delayedAckUs?: number;
}

/** One TCP connection or listener. `send` and `recv` never block. */
export interface Tcp {
  readonly id: number;
  readonly state: TcpState;
  readonly local: Endpoint;
  readonly remote: Endpoint | null;
  /** Errno (positive) that ended the connection (ECONNRESET, ETIMEDOUT, ECONNREFUSED), once; 0 = none. */
  takeError(): number;
  /** Queues as many bytes as the send buffer has room for; how many. `given`: they will not change, no copy is needed. */
  send(bytes: Uint8Array, given?: boolean): number;
  /** Up to `length` received bytes, in order; empty when there are none now. */
  recv(length: number, peek?: boolean): Uint8Array;
  /** The received bytes that lie together, not copied and not taken. Empty when there are none. */
  front(): Uint8Array;
  /** Takes `count` of the bytes that `front` gave; `kept`: their memory is still in use, and not used for others. */
  take(count: number, kept: boolean): void;
  /** Bytes that `recv` would give now. */
  readonly readable: number;
  /** The peer has sent FIN and everything before it was read. */
  readonly endOfStream: boolean;
  /** Bytes that `send` would take now. */
  readonly writable: number;
  /** Bytes sent and not yet acknowledged by the peer, or not yet sent. */
  readonly unacknowledged: number;
  /** Sends FIN after what is queued (shutdown(SHUT_WR)). */
  shutdown(): void;
  /** Orderly close: FIN after what is queued; the stack keeps the connection until it is done. */
  close(): void;
  /** RST at once. */
  abort(): void;
  /** Sets SO_KEEPALIVE, TCP_NODELAY, buffer sizes … */
  setOption(name: TcpOption, value: number): void;
}

export type TcpOption =
  | 'nodelay'
  | 'cork'
  | 'keepalive'
  | 'keepidleUs'
  | 'keepintvlUs'
  | 'keepcnt'
  | 'quickack'
  | 'sendBuffer'
  | 'receiveBuffer'
  | 'userTimeoutUs';

export interface TcpListener {
  readonly id: number;
  readonly local: Endpoint;
  /** The next established connection, or null. */
  accept(): Tcp | null;
  readonly pending: number;
  close(): void;
}

export interface Stack {
  /**
   * An IPv4 packet has come. `given`: it will not change, what is long in it need not be copied. Never throws on bad input:
   * counts and drops it.
   */
  process(packet: Uint8Array, nowUs: number, given?: boolean): void;
  /** The next packet to send, or null. Call until null after `process`, after socket calls and when `pollAt` has passed. */
  dispatch(nowUs: number): Uint8Array | null;
  /** When `dispatch` next has work without new input: monotonic µs; null: never; 0: now. */
  pollAt(): number | null;
  listen(port: number, backlog: number): TcpListener | number;
  connect(remote: Endpoint, localPort?: number): Tcp | number;
  /** Called when a connection or listener may have become readable, writable, accepted, closed. Must only mark. */
  onReady: ((id: number) => void) | null;
  /**
   * After a failover everything in flight may be lost: retransmit from sndUna at once and acknowledge every connection
   * at once (a promoted guest; a gateway that hears a new view).
   */
  resync(nowUs: number): void;
}
