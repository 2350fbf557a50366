/**
 * What the two halves of a member (follower.ts, primary.ts) share: options, the effects of the step in progress, and what
 * is known of the peers' lives.
 */

import type { Effect, MemberId, MemberOptions, Message } from './types.ts';

export const DEFAULTS = {
  bootstrap: false,
  journal: false,
  minMembers: 1,
  heartbeatMs: 100,
  timeoutMs: 500,
  slowMs: 2000,
  maxInFlight: 64,
  maxInFlightBytes: 128 << 20,
  maxChunks: 4,
} as const;

interface Peer {
  up: boolean;
  /** Known to be gone: its connection was closed or reset from the other side. */
  dead: boolean;
  heardMs: number;
}

export class Core {
  readonly self: MemberId;
  readonly options: Required<MemberOptions>;
  readonly #peers = new Map<MemberId, Peer>();
  nowMs = 0;
  #effects: Effect[] = [];

  constructor(options: MemberOptions) {
    this.self = options.self;
    this.options = { ...DEFAULTS, ...options };
  }

  emit(effect: Effect): void {
    this.#effects.push(effect);
  }

  /** To a peer that is connected; to others nothing is sent. */
  send(to: MemberId, message: Message): void {
    if (this.isUp(to)) this.#effects.push({ kind: 'send', to, message });
  }

  takeEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  up(peer: MemberId): void {
    this.#peers.set(peer, { up: true, dead: false, heardMs: this.nowMs });
  }

  down(peer: MemberId, dead: boolean): void {
    const known = this.#peers.get(peer);
    if (known) {
      known.up = false;
      known.dead ||= dead;
    } else if (dead) this.#peers.set(peer, { up: false, dead, heardMs: this.nowMs });
  }

  heard(peer: MemberId): void {
    const known = this.#peers.get(peer);
    if (known) known.heardMs = this.nowMs;
  }

  isUp(peer: MemberId): boolean {
    return this.#peers.get(peer)?.up === true;
  }

  isDead(peer: MemberId): boolean {
    return this.#peers.get(peer)?.dead === true;
  }

  /** When it was last heard; never: since the beginning of time. */
  heardMs(peer: MemberId): number {
    return this.#peers.get(peer)?.heardMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Connected and heard within the time-out. */
  isWell(peer: MemberId): boolean {
    return this.isUp(peer) && this.nowMs - this.heardMs(peer) <= this.options.timeoutMs;
  }

  /** Connected peers in the order in which they came. */
  upPeers(): MemberId[] {
    return [...this.#peers].filter(([, peer]) => peer.up).map(([id]) => id);
  }

  /** This process itself did not run for `ms`: nobody is to be blamed for the silence. */
  forgive(ms: number): void {
    for (const peer of this.#peers.values()) peer.heardMs += ms;
  }
}
