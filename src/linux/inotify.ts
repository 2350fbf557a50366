/**
 * inotify(7), in part: instances and watches can be made and removed, and no event ever comes (support level: partial).
 * Programs that watch their configuration start and run; they do not see changes.
 */

import type { Plain } from '../checkpoint/ledger.ts';
import { EAGAIN, EINVAL } from './abi/errno.ts';
import { anonymousStat } from './console.ts';
import type { FileHost } from './fs/file-host.ts';
import { DEV_ANON } from './fs/node.ts';
import { OpenFile, POLLIN, type Stat } from './open-file.ts';

const EVENT_SIZE = 16;
const IN_IGNORED = 0x8000;

export class InotifyFile extends OpenFile {
  readonly #host: FileHost;
  #watches: { wd: number; ino: number }[] = [];
  #nextWd = 1;
  /** Watch descriptors whose removal is to be told (IN_IGNORED). */
  #ignored: number[] = [];

  constructor(host: FileHost, id: number, flags: number) {
    super(id, flags);
    this.#host = host;
  }

  override save(): unknown {
    const { flags } = this;
    return {
      kind: 'inotify',
      flags,
      watches: this.#watches.map((w) => [w.wd, w.ino]),
      next: this.#nextWd,
      ignored: this.#ignored,
    };
  }

  static restore(host: FileHost, id: number, state: Plain): InotifyFile {
    const saved = state as { flags: number; watches: [number, number][]; next: number; ignored: number[] };
    const file = new InotifyFile(host, id, saved.flags);
    file.#watches = saved.watches.map(([wd, ino]) => ({ wd, ino }));
    file.#nextWd = saved.next;
    file.#ignored = [...saved.ignored];
    return file;
  }

  get path(): string {
    return 'anon_inode:inotify';
  }

  override stat(): Stat {
    return anonymousStat(9, 0o600, DEV_ANON);
  }

  addWatch(ino: number): number {
    const known = this.#watches.find((watch) => watch.ino === ino);
    if (known !== undefined) return known.wd;
    const wd = this.#nextWd++;
    this.#watches.push({ wd, ino });
    this.#host.ledger.touch(this);
    return wd;
  }

  removeWatch(wd: number): number {
    const at = this.#watches.findIndex((watch) => watch.wd === wd);
    if (at < 0) return -EINVAL;
    this.#watches.splice(at, 1);
    this.#ignored.push(wd);
    this.#host.ledger.touch(this);
    this.queue.wake();
    return 0;
  }

  override read(length: number): Uint8Array | number {
    if (this.#ignored.length === 0) return -EAGAIN;
    if (length < EVENT_SIZE) return -EINVAL;
    const events = this.#ignored.splice(0, Math.floor(length / EVENT_SIZE));
    const view = new DataView(new ArrayBuffer(events.length * EVENT_SIZE));
    events.forEach((wd, i) => {
      view.setInt32(i * EVENT_SIZE, wd, true);
      view.setUint32(i * EVENT_SIZE + 4, IN_IGNORED, true);
    });
    this.#host.ledger.touch(this);
    return new Uint8Array(view.buffer);
  }

  override poll(): number {
    return this.#ignored.length > 0 ? POLLIN : 0;
  }
}
