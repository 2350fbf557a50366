// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are source code.
/**
 * Seeded bugs: each breaks one rule of the protocol in the source text. The simulator is worth what it catches, so every
 * one must be caught: `npm run sim:mutants`.
 *
 * Not here, because they change nothing that can be seen: counting acknowledgements of other views (an incarnation leads
 * twice only after a hand-over, when everything was acknowledged); leaving a member that sealed the view to be put out of
 * it as slow; not sealing before the compare-and-swap (what is promoted is all that was acknowledged until its answer came;
 * a durable log would need the seal); keeping a conflicting tail, or too little of the log (the member is put out of the
 * view and taught anew). Nor what a run meets once in some thousand seeds: acknowledging in a new view what matched in the
 * old one, which member.test.ts has.
 */

export interface Mutant {
  readonly name: string;
  /** Below src/. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const FOLLOWER = 'replication/follower.ts';
const PRIMARY = 'replication/primary.ts';
const MEMBER = 'replication/member.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'output leaves before it is durable in the journal',
    file: PRIMARY,
    find: 'const out = this.#journal === null ? this.commit : Math.min(this.commit, this.#journal.durable);',
    replace: 'const out = this.commit;',
  },
  {
    name: 'a hand-over does not wait for the journal',
    file: PRIMARY,
    find: 'final !== null && this.released >= final',
    replace: 'final !== null && this.commit >= final',
  },
  {
    name: 'the journal lacks the deltas beside the chunks of its root',
    file: 'replication/journal-progress.ts',
    find: 'return this.#begun || this.complete;',
    replace: 'return this.complete;',
  },
  {
    name: 'a root begins before the last one is durable',
    file: 'replication/journal-progress.ts',
    find: 'if (this.#rootEpoch !== null && this.durable >= this.#rootEpoch) this.#rooting = true;',
    replace: 'if (this.#rootEpoch !== null) this.#rooting = true;',
  },
  {
    name: 'what is written counts as durable',
    file: 'replication/journal-progress.ts',
    find: 'this.durable = Math.max(this.durable, durable);',
    replace: 'this.durable = Math.max(this.durable, written);',
  },
  {
    name: 'output leaves before it is acknowledged',
    file: PRIMARY,
    find: 'for (const id of this.#awaited()) safe = Math.min(safe, this.#acks.get(id) ?? -1);',
    replace: '',
  },
  {
    name: 'one acknowledgement is enough',
    file: PRIMARY,
    find: 'for (const id of this.#awaited()) safe = Math.min(safe, this.#acks.get(id) ?? -1);',
    replace: 'if (this.#others().length > 0) safe = Math.max(...this.#others().map((id) => this.#acks.get(id) ?? -1));',
  },
  {
    name: 'the proposed view counts before the answer is known',
    file: PRIMARY,
    find: 'const all = new Set(this.view.members);',
    replace: 'const all = new Set(this.proposal ? [] : this.view.members);',
  },
  {
    name: 'the proposed members do not count until the answer is known',
    file: PRIMARY,
    find: 'for (const member of this.proposal?.next.members ?? []) all.add(member);',
    replace: '',
  },
  {
    name: 'a learner becomes a member before it has acknowledged everything',
    file: PRIMARY,
    find: 'return (this.#acks.get(id) ?? -1) >= Math.max(done, this.commit, this.#start);',
    replace: 'return true;',
  },
  {
    name: 'a learner becomes a member in the middle of its transfer',
    file: PRIMARY,
    find: 'const { done } = learner;',
    replace: 'const done = learner.start;',
  },
  {
    name: 'messages of lower views are accepted',
    file: FOLLOWER,
    find: 'if (view < this.acceptView) {',
    replace: 'if (view < this.acceptView - 1) {',
  },
  {
    name: 'a restarted replica keeps its identity',
    file: 'sim/world.ts',
    find: 'const self = `n${slot}.${++this.#incarnations[slot]!}`;',
    replace: 'const self = `n${slot}.${(this.#incarnations[slot] = 1)}`;',
  },
  {
    name: 'a backup acknowledges across a gap',
    file: FOLLOWER,
    find: '} else if (!this.#begun || !this.#log.holds(previous)) {\n      this.status();',
    replace:
      '} else if (!this.#begun || !this.#log.holds(previous)) {\n      this.#matched = position.epoch;\n      this.#acknowledge(true);',
  },
  {
    name: 'positions are compared by their number only',
    file: 'replication/epoch-log.ts',
    find: 'return this.at(position.epoch)?.origin === position.origin;',
    replace: 'return this.at(position.epoch) !== undefined;',
  },
  {
    name: 'a promoted backup does not apply what it holds',
    file: FOLLOWER,
    find: "this.#core.emit({ kind: 'apply', epoch, bytes: entry.delta!, hash: entry.hash });",
    replace: 'void entry;',
  },
  {
    name: 'a replica that is no member takes over',
    file: MEMBER,
    find: 'const able = member && this.#follower.complete;',
    replace: 'const able = this.#follower.complete;',
  },
  {
    name: 'a replica with an unfinished transfer takes over',
    file: FOLLOWER,
    find: 'this.complete = done;',
    replace: 'this.complete = true;',
  },
  {
    name: 'a proposal without an answer is forgotten',
    file: MEMBER,
    find: '        this.#cas.answered = true;\n        return;',
    replace: '        if (this.#primary) this.#primary.proposal = null;\n        this.#cas = null;\n        return;',
  },
  {
    name: 'a replaced primary goes on',
    file: MEMBER,
    find: "} else this.#halt('TG_REPLACED', `${value.primary} is the primary of view ${value.view}`);",
    replace: '}',
  },
  {
    name: 'a chunk that was lost is not sent again',
    file: PRIMARY,
    find: 'this.#resend(from, match, learner);',
    replace: 'this.#resend(from, match, null);',
  },
  {
    name: 'a late copy of the start of a transfer begins it again',
    file: FOLLOWER,
    find: 'if (this.#begun && this.#matched !== -1 && message.position.epoch <= this.#log.last.epoch) {',
    replace: 'if (false) {',
  },
  {
    name: 'the register does not compare',
    file: 'register/register.ts',
    find: 'if (!fits) return',
    replace: 'if (!fits && false) return',
  },
  {
    name: 'the view is handed over before everything is acknowledged',
    file: PRIMARY,
    find: '} else if (final !== null && this.released >= final) {',
    replace: '} else if (final !== null) {',
  },
  {
    name: 'a view of too few members releases output',
    file: PRIMARY,
    find: ' && this.view.members.length >= this.#core.options.minMembers',
    replace: '',
  },
  {
    name: 'frames are not checked',
    file: 'transport/frame.ts',
    find: 'if (this.#crc32(body) !== crc) throw',
    replace: 'if (false) throw',
  },
  {
    name: 'nobody is put out of the view',
    file: PRIMARY,
    find: 'const bad = now.filter((id) => id !== self && this.#isBad(id));',
    replace: 'const bad: MemberId[] = [];',
  },
  {
    name: 'nobody suspects a silent primary',
    file: MEMBER,
    find: 'return this.#core.isDead(primary) || this.#core.nowMs - this.#primaryMs > this.#core.options.timeoutMs;',
    replace: 'return this.#core.isDead(primary);',
  },
  {
    name: 'a view that was won without knowing it is not taken',
    file: MEMBER,
    find: 'if (value.view >= this.#follower.acceptView) this.#promote(value);',
    replace: '',
  },
  {
    name: 'heartbeats do not show a gap at the end',
    file: FOLLOWER,
    find: '    } else this.status();\n  }\n\n  epoch(',
    replace: '    }\n  }\n\n  epoch(',
  },
  {
    name: 'a transfer goes on below its start',
    file: PRIMARY,
    find: 'if (match !== null && match >= learner.start) {',
    replace: 'if (match !== null) {',
  },
  {
    name: 'a learner is told that it is done one chunk early',
    file: PRIMARY,
    find: 'done: chunk?.done ?? false,',
    replace: 'done: chunk !== undefined && entry.position.epoch > (learner?.start ?? 0) + 1,',
  },
  {
    name: 'epochs of a new primary do not say which view made them',
    file: PRIMARY,
    find: 'const position = { epoch: event.epoch, origin: this.view.view };',
    replace: 'const position = { epoch: event.epoch, origin: 1 };',
  },
  {
    name: 'a hand-over does not wait for the last epoch to be captured',
    file: PRIMARY,
    find: '} else if (final !== null && this.released >= final) {',
    replace: '} else if (this.commit >= this.#log.last.epoch) {',
  },
];
